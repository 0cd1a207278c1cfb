"""Answers as `midwatch proxy` counts them, for each release.

Law: the proxy's counts are cumulative and begin anew with it. What it cannot be asked for is no
answer.

    {source: users, bad: errors, total: requests}       of a canary's guard; also slow
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from midwatch.adapters.metrics.meter import Meter
from midwatch.adapters.metrics.options import ProxyOptions
from midwatch.core.values.sli import Counts, FailedAnswer, Trace
from midwatch.core.values.sli_window import Counter
from midwatch.core.values.slo import Slo
from midwatch.errors import HarnessError

if TYPE_CHECKING:
    from midwatch.outbound import Outbound


class _Served(Struct):
    counted: dict[str, dict[str, int]]
    began: int = 0


class ProxyMetrics:
    """Looks at the proxy again and again; questions are written RELEASE/COUNT."""

    def __init__(self, options: ProxyOptions, token: str, outbound: Outbound) -> None:
        self._url = f"{options.url.rstrip('/')}/pointer"
        self._headers = {"authorization": f"Bearer {token}"}
        self._outbound = outbound
        self._meters: dict[str, Meter] = {}
        self._counters: dict[str, dict[str, Counter]] = {}
        self._looked_at: dict[str, int] = {}
        self._began: dict[str, int] = {}  # by objective: which start of the proxy was counted

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Look, and count the windows that end now. Raises HarnessError."""
        meter = self._meters.get(slo.id)
        if meter is None:
            meter = self._meters[slo.id] = Meter(slo)
        if now > self._looked_at.get(slo.id, 0):
            self._look(slo, meter, now)
            self._looked_at[slo.id] = now
        return meter.counts(windows_s, now)

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        """Give what was counted since a moment, edge by edge."""
        meter = self._meters.get(slo.id)
        return meter.trace(since, now) if meter else Trace()

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give none: the proxy keeps counts alone."""
        return ()

    def _look(self, slo: Slo, meter: Meter, now: int) -> None:
        indicator = slo.indicator
        if indicator is None:
            raise HarnessError(f"the SLO {slo.id} has no indicator")
        served = self._served()
        counted = served.counted
        came: dict[str, int] = {}
        counters = self._counters.get(slo.id)
        first = counters is None
        counters = self._counters.setdefault(slo.id, {})
        if self._began.get(slo.id) != served.began:
            # It counts from nothing again, even where it has overtaken what it had before.
            self._began[slo.id] = served.began
            counters.clear()
        for part in ("good", "bad", "total"):
            release, _, count = getattr(indicator, part).rpartition("/")
            if release:
                value = counted.get(release, {}).get(count, 0)
                came[part] = counters.setdefault(part, Counter()).more(value)
        if not first:
            total = came.get("total", came.get("good", 0) + came.get("bad", 0))
            meter.add(now, came.get("good", total - came.get("bad", 0)), total)

    def _served(self) -> _Served:
        answer = self._outbound.get(self._url, self._headers)
        if answer.status != 200:
            raise HarnessError(f"the proxy answered {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=_Served)
        except msgspec.MsgspecError as error:
            raise HarnessError(f"the proxy's response: {error}") from None
