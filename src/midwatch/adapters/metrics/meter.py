"""The counts of one objective as they come in: a ring, and slices before it where those count.

Law: what is no valid count is refused here, whoever sends it: good and bad never exceed the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midwatch.core.values.sli import Counts, Indicator, Trace
from midwatch.core.values.sli_window import SliWindow
from midwatch.core.values.slices import Slicer
from midwatch.core.values.slo import Slo
from midwatch.ports import Sum

PARTS = 1_000_000  # of a ratio that has no events behind it


class Meter:
    """Takes counts of moments and gives those of windows."""

    def __init__(self, slo: Slo) -> None:
        indicator = slo.indicator or Indicator("counter")
        self._period_s = slo.period_s
        self._ring = SliWindow(slo.period_s)
        self._slicer = (
            Slicer(indicator.slice_s, indicator.slice_target) if indicator.slice_s else None
        )

    def add(self, at: int, good: int, total: int) -> None:
        """Count events of a moment (milliseconds)."""
        good = min(max(good, 0), total)
        if self._slicer is None:
            if total > 0:
                self._ring.add(at, good, total)
            return
        for event in self._slicer.add(at, good, total):
            self._ring.add(*event)

    def fill(self, judged: Sequence[Sum], raw: Sequence[Sum]) -> None:
        """Count what was kept: slices that were judged already, and then events; oldest first."""
        events = [(at, min(max(good, 0), total), total) for at, good, total in raw if total > 0]
        if self._slicer is not None:
            events = [event for one in events for event in self._slicer.add(*one)]
        self._ring.fill(sorted([*judged, *events]))

    def counts(self, windows_s: Iterable[int], now: int) -> dict[int, Counts]:
        """Count each window that ends now."""
        self._close(now)
        return self._ring.counts(windows_s, now)

    def since(self, at: int, now: int) -> Counts:
        """Count what came after a moment."""
        self._close(now)
        return self._ring.since(at, now)

    def trace(self, since: int, now: int) -> Trace:
        """Give what was counted since a moment, edge by edge."""
        self._close(now)
        period = self._ring.counts((self._period_s,), now).get(self._period_s)
        return Trace(tuple(self._ring.edges(since, now)), self._ring.first_at, period)

    def _close(self, now: int) -> None:
        if self._slicer is not None:
            for event in self._slicer.close(now):
                self._ring.add(*event)
