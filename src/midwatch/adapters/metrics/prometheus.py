"""SLI counts out of Prometheus' HTTP API.

Law: an error, a warning (a partial answer) or a value that is no number is no answer; nothing is
filled in. Counters are read series by series: what counts is by how much each grew since its last
value, whatever lies between, in a gap, in history and now alike (counters.py). What came in a gap
is spread over it, and short windows begin after it. It is asked by dates: the event log's time is
counted in, which goes on while the wall clock jumps.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from midwatch.adapters.metrics.counters import Counters, Labels, spread
from midwatch.adapters.metrics.meter import PARTS, Meter
from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts, Edge, FailedAnswer, Indicator, Trace
from midwatch.core.values.sli_window import EDGE_S
from midwatch.core.values.slo import Slo
from midwatch.errors import HarnessError
from midwatch.promql import WINDOW, series_of

if TYPE_CHECKING:
    from midwatch.outbound import Answer, Outbound

log = logging.getLogger("midwatch.metrics")

# (how far back, step) in seconds, newest last.
HISTORY = ((30 * 86_400, 3_600), (3 * 86_400, 300), (6 * 3_600, 60))
GAP_S = 180  # what came in a longer stretch between two looks is spread over it
TRIES = 3  # to read history; then an objective is counted from now on
STEP_S = 60  # in which it is spread
SHORT_S = 1_800  # windows up to this are about now: they hold nothing that is spread
PAUSES_S = (0.3, 1.0)
MAX_STEPS, PERIOD_EVERY_S = 720, 300  # of one trace, and how old its period may be


class _Result(Struct):
    metric: dict[str, str] = field(default_factory=dict[str, str])
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])


class _Data(Struct):
    result_type: str = field(name="resultType")
    result: msgspec.Raw = msgspec.Raw(b"[]")


class _Answer(Struct):
    status: str
    data: _Data | None = None
    error: str = ""
    warnings: list[str] = field(default_factory=list[str])


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_results = msgspec.json.Decoder(list[_Result]).decode
_decode_scalar = msgspec.json.Decoder(tuple[float, str]).decode


class Series(Struct, frozen=True):
    """One series of an answer: its labels as one text, and (seconds, value) points."""

    labels: str
    points: list[tuple[float, float]]
    names: Labels = ()


class _Watched(Struct):
    """One objective that is counted by looking again and again."""

    meter: Meter
    counters: Counters = field(default_factory=Counters)
    gap_end: int = 0  # when the newest stretch ended in which nobody looked
    looked_at: int = 0
    asked_for: int = 0  # the newest date that had an answer
    sliced_at: int = 0
    skew: int = 0  # with which the time before the first look was asked for


class PrometheusMetrics:
    """Asks one Prometheus, or what speaks its API."""

    def __init__(
        self,
        options: PrometheusOptions,
        outbound: Outbound,
        secret: str = "",
        pause: Callable[[float], None] = time.sleep,
        skew: Callable[[], int] = lambda: 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._base = options.url.rstrip("/")
        self._outbound = outbound
        self._pause = pause
        self._skew = skew
        self._params = options.params
        self._headers = {
            **options.headers,
            **(headers or {}),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if options.token_env:
            self._headers["Authorization"] = f"Bearer {secret}"
        elif options.username:
            pair = base64.b64encode(f"{options.username}:{secret}".encode()).decode()
            self._headers["Authorization"] = f"Basic {pair}"
        self._watched: dict[str, _Watched] = {}
        self._tries: dict[str, int] = {}  # in vain, to read what was before the first look
        self._periods: dict[str, tuple[int, int | None, Counts | None]] = {}  # by objective

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count windows that end now. Raises HarnessError when it did not answer wholly."""
        indicator = _must(slo.indicator)
        if is_windowed(indicator) and not indicator.slice_s:
            return self._windows(indicator, windows_s, now)
        watched = self._watched.get(slo.id)
        if watched is None or watched.skew != self._skew():
            watched = self._begin(slo, indicator, watched, now)
            self._watched[slo.id] = watched
        # A wall clock that was set back asks about what is counted already: that waits.
        if now > watched.looked_at and now - self._skew() > watched.asked_for:
            self._look(indicator, watched, now)
        found = watched.meter.counts(windows_s, now)
        return _after_gap(slo, watched, found, now) if watched.gap_end else found

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        """Give what was counted since a moment; questions about windows are asked step by step."""
        indicator = _must(slo.indicator)
        watched = self._watched.get(slo.id)
        if is_windowed(indicator) and not indicator.slice_s:
            return self._steps(slo, indicator, since, now)
        return watched.meter.trace(since, now) if watched else Trace()

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give none: Prometheus keeps counts alone."""
        return ()

    # --- questions about windows ---

    def _windows(
        self, indicator: Indicator, windows_s: Sequence[int], now: int
    ) -> dict[int, Counts]:
        """Ask about all windows in one query, each part of it under a label of its own."""
        asked = {"good": indicator.good, "bad": indicator.bad, "total": indicator.total}
        parts = {
            f"{part}/{window_s}": query.replace(WINDOW, f"{window_s}s")
            for part, query in asked.items()
            if query
            for window_s in dict.fromkeys(windows_s)
        }
        query = " or ".join(
            f'label_replace(sum({text}), "midwatch", "{name}", "", "")'
            for name, text in parts.items()
        )
        values = {
            one.labels.removeprefix("midwatch="): one.points[-1][1]
            for one in self._query(query, now)
        }
        found: dict[int, Counts] = {}
        for window_s in windows_s:
            numbers = {
                part: values[name] for part in asked if (name := f"{part}/{window_s}") in values
            }
            # What is not there may be none; what is there and no number is no answer at all.
            if not all(map(math.isfinite, numbers.values())):
                continue
            counts = _windowed(indicator, numbers, window_s)
            if counts is not None:
                found[window_s] = counts
        return found

    def _steps(self, slo: Slo, indicator: Indicator, since: int, now: int) -> Trace:
        """Ask about the windows between steps, and, now and then, about the whole period."""
        known = self._periods.get(slo.id)
        if known is None or now - known[0] >= PERIOD_EVERY_S * SECOND:
            start = now - slo.period_s * SECOND
            step_s = max(60, slo.period_s // MAX_STEPS)
            came = [one for one in self._came(indicator, start, now, step_s) if one[2]]
            first_at = came[0][0] - step_s * SECOND if came else None
            period = self._windows(indicator, (slo.period_s,), now).get(slo.period_s)
            known = self._periods[slo.id] = (now, first_at, period)
        _, first_at, period = known
        if since >= now:
            return Trace((), first_at, period)
        step_s = max(EDGE_S, -(-(now - since) // SECOND // MAX_STEPS // EDGE_S) * EDGE_S)
        start = since // (step_s * SECOND) * (step_s * SECOND)
        edges, good, total = [Edge(start, 0, 0)], 0, 0
        for at, more_good, more in self._came(indicator, start, now, step_s):
            good, total = good + more_good, total + more
            edges.append(Edge(at, good, total))
        return Trace(tuple(edges) if len(edges) > 1 else (), first_at, period)

    def _came(
        self, indicator: Indicator, start: int, end: int, step_s: int
    ) -> list[tuple[int, int, int]]:
        """List what came in each step of (start, end]: its end, good, and all; oldest first."""
        numbers: dict[int, dict[str, float]] = {}
        for part, query in _parts(indicator):
            text = f"sum({query.replace(WINDOW, f'{step_s}s')})"
            for one in self._query_range(text, start + step_s * SECOND, end, step_s):
                for at, value in one.points:
                    if math.isfinite(value):
                        numbers.setdefault(round(at * SECOND), {})[part] = value
        found: list[tuple[int, int, int]] = []
        for at in sorted(numbers):
            counts = _windowed(indicator, numbers[at], step_s)
            if counts is not None:
                found.append((at, counts.good, counts.total))
        return found

    # --- looking again and again ---

    def _look(self, indicator: Indicator, watched: _Watched, now: int) -> None:
        """Take what came since the former look."""
        if indicator.kind == "increase":
            self._look_at_slices(indicator, watched, now)
            found = True
        elif indicator.kind == "counter":
            found = self._count(indicator, watched, now)
        elif indicator.kind == "delta":
            answers = {part: _values(self._query(query, now)) for part, query in _parts(indicator)}
            found = any(answers.values())
            numbers = {part: sum(values) for part, values in answers.items()}
            watched.meter.add(now, *_good_and_total(numbers))
        else:
            values = _values(self._query(indicator.total or _ratio_of(indicator), now))
            found = bool(values)
            for value in values:
                watched.meter.add(now, *_one_look(indicator, value))
        watched.looked_at = now
        if found:
            watched.asked_for = now - self._skew()

    def _count(self, indicator: Indicator, watched: _Watched, now: int) -> bool:
        """Read each series' counter, and count by how much it grew since the former look.

        False when there was no series at all.
        """
        parts = _parts(indicator)
        values = {
            part: _by_series(self._query(series_of(query) or query, now)) for part, query in parts
        }
        since = watched.looked_at
        came = watched.counters.look(
            values,
            (now - since) / SECOND if since else 0.0,
            is_young=lambda labels: self._is_young(labels, since, now),
            whole=frozenset(part for part, query in parts if series_of(query) is None),
        )
        for labels in came.baselines:
            shown = ", ".join(f"{name}={value}" for name, value in labels)
            says = "first value not counted: it is more than can have come since the last look"
            log.warning("series begins", extra={"fields": {"msg": says, "series": shown}})
        if since:
            _add(watched, since, now, *_good_and_total(came.counts))
        return any(values.values())

    def _is_young(self, labels: Labels, since: int, now: int) -> bool:
        """Say whether the process of a series began after the former look, where it says so."""
        named = [(name, value) for name, value in labels if name in ("instance", "job")]
        if len(named) < 2:
            return False
        matchers = ",".join(f"{name}={json.dumps(value)}" for name, value in named)
        try:
            found = self._query(f"process_start_time_seconds{{{matchers}}}", now)
        except HarnessError:
            return False
        began = max(_values(found), default=0.0) * SECOND
        return began > since - self._skew() - EDGE_S * SECOND

    def _look_at_slices(self, indicator: Indicator, watched: _Watched, now: int) -> None:
        """Ask about each slice that is over, once."""
        slice_ms = indicator.slice_s * SECOND
        last = now // slice_ms * slice_ms
        oldest = max(watched.sliced_at, last - 60 * slice_ms)
        for end in range(oldest + slice_ms, last + 1, slice_ms):
            counts = self._windows(indicator, (indicator.slice_s,), end).get(indicator.slice_s)
            if counts is not None:
                watched.meter.add(end, counts.good, counts.total)
        watched.sliced_at = last

    # --- what was before ---

    def _begin(self, slo: Slo, indicator: Indicator, before: _Watched | None, now: int) -> _Watched:
        """Look back; after a jump of the wall clock again, unless it shows less than is known.

        Who was asked about a time to come, or one long over, has said nothing of what was before.
        """
        watched = _Watched(Meter(slo), skew=self._skew())
        try:
            self._look_back(indicator, watched, slo.period_s, now)
        except HarnessError as error:
            if before is not None:
                return before  # the next reading tries again
            self._tries[slo.id] = self._tries.get(slo.id, 0) + 1
            if self._tries[slo.id] < TRIES:
                raise
            # Who is not watched for want of history is not watched at all.
            fields = {"msg": f"counted from now on: {error.message}", "slo": slo.id}
            log.warning("history not read", extra={"fields": fields})
            return _Watched(Meter(slo), skew=self._skew())
        if before is None:
            return watched
        before.skew = watched.skew
        (mine,) = watched.meter.counts((slo.period_s,), now).values() or (Counts(0, 0),)
        (theirs,) = before.meter.counts((slo.period_s,), now).values() or (Counts(0, 0),)
        return watched if mine.total > theirs.total else before

    def _look_back(self, indicator: Indicator, watched: _Watched, period_s: int, now: int) -> None:
        """Count what came before the first look, by the same code as what comes from now on."""
        parts = [(part, series_of(query)) for part, query in _parts(indicator)]
        if indicator.kind != "counter" or any(not one or one.startswith("{") for _, one in parts):
            return  # series whose names differ cannot be told apart in history
        selectors = {part: one for part, one in parts if one}
        start = now - period_s * SECOND
        for number, (_, step_s) in enumerate(HISTORY):
            later = HISTORY[number + 1][0] if number + 1 < len(HISTORY) else 0
            end = now - later * SECOND
            # Buckets are closed at steps, so that two parts of history never count the same twice.
            end = end // (step_s * SECOND) * (step_s * SECOND)
            if end > start:
                self._history(selectors, watched, start, end, step_s)
                start = end
        if watched.looked_at:
            watched.asked_for = watched.looked_at - self._skew()

    def _history(
        self, selectors: Mapping[str, str], watched: _Watched, start: int, end: int, step_s: int
    ) -> None:
        """Count (start, end] in steps, out of each series' last value in each of them."""
        looks: dict[int, dict[str, dict[Labels, float]]] = {}
        firsts: dict[tuple[str, Labels], float] = {}
        resets: dict[int, dict[tuple[str, Labels], float]] = {}
        first = start + step_s * SECOND
        for part, selector in selectors.items():
            ranged = f"{selector}[{step_s}s]"
            found = self._query_range(f"last_over_time({ranged})", first, end, step_s)
            for one in found:
                for at, value in one.points:
                    moment = looks.setdefault(round(at * SECOND), {})
                    moment.setdefault(part, {})[one.names] = value
            new = {one.names for one in found if not watched.counters.knows(part, one.names)}
            if new:  # the least value of its first step is what a series began with
                least = self._query_range(f"min_over_time({ranged})", first, end, step_s)
                firsts |= {(part, one.names): one.points[0][1] for one in least}
            if any(_falls(one) for one in found):
                # Of a counter that began again within a step, the last value is only its end.
                for one in self._query_range(f"increase({ranged})", first, end, step_s):
                    for at, value in one.points:
                        resets.setdefault(round(at * SECOND), {})[part, one.names] = value
        times = sorted(looks)
        # What is scraped seldom has no gap between two scrapes; one on an edge is in two steps.
        apart = sorted(after - before for before, after in pairwise(times))
        usual_s = apart[len(apart) * 3 // 4] / SECOND if apart else 0
        gap_s = max(GAP_S, step_s, 3 * usual_s)
        for at in times:
            values = {part: looks[at].get(part, {}) for part in selectors}
            since = watched.looked_at
            elapsed_s = (at - since) / SECOND if since else float(step_s)
            fell = resets.get(at, {})
            came = watched.counters.look(values, elapsed_s, resets=fell, firsts=firsts)
            good, total = _good_and_total(came.counts)
            _add(watched, since or at, at, good, total, gap_s=gap_s, step_s=step_s)
            watched.looked_at = at
        if watched.looked_at and end - watched.looked_at <= gap_s * SECOND:
            watched.looked_at = end  # nothing came in the rest of it, which is no gap

    # --- HTTP ---

    def _query(self, query: str, now: int) -> list[Series]:
        at = now - self._skew()
        return self._ask("query", {"query": query, "time": f"{at / SECOND:.3f}"})

    def _query_range(self, query: str, start: int, end: int, step_s: int) -> list[Series]:
        if start > end:
            return []
        skew_s = self._skew() / SECOND
        asked = {"start": start / SECOND - skew_s, "end": end / SECOND - skew_s}
        given = {"query": query, **{name: f"{at:.3f}" for name, at in asked.items()}}
        found = self._ask("query_range", {**given, "step": str(step_s)})
        if not skew_s:
            return found
        return [
            Series(one.labels, [(at + skew_s, value) for at, value in one.points], one.names)
            for one in found
        ]

    def _ask(self, what: str, given: dict[str, str]) -> list[Series]:
        body = urlencode({**self._params, **given}).encode()
        url = f"{self._base}/api/v1/{what}"
        for pause_s in PAUSES_S:
            try:
                answer = self._outbound.post(url, body, self._headers)
            except HarnessError:  # the last try tells what is wrong
                self._pause(pause_s)
                continue
            if answer.status != 429 and answer.status < 500:
                return _read(answer, self._base, given["query"])
            self._pause(pause_s)
        answer = self._outbound.post(url, body, self._headers)
        return _read(answer, self._base, given["query"])


def _add(
    watched: _Watched,
    since: int,
    now: int,
    good: int,
    total: int,
    *,
    gap_s: float = GAP_S,
    step_s: int = EDGE_S,
) -> None:
    """Count what came between two looks; over a gap it is spread, since nobody saw when it came."""
    if not total or now - since <= gap_s * SECOND:
        watched.meter.add(now, good, total)
        return
    steps = max((now - since) // (max(STEP_S, step_s) * SECOND), 1)
    bad = spread(total - good, steps)
    for number, all_ in enumerate(spread(total, steps), start=1):
        at = since + (now - since) * number // steps
        watched.meter.add(at, all_ - min(bad[number - 1], all_), all_)
    watched.gap_end = now


def _after_gap(
    slo: Slo, watched: _Watched, found: dict[int, Counts], now: int
) -> dict[int, Counts]:
    """Let short windows begin after a gap: what is spread says nothing of how users are now.

    Until something has come after it, only the window that silence is judged by is known.
    """
    pages = (tier.short_s for tier in slo.tiers if tier.urgency == "page")
    short_s = max((SHORT_S, *pages))
    since_s = (now - watched.gap_end) // SECOND
    if since_s >= short_s:
        return found
    after = watched.meter.since(watched.gap_end, now)
    if not after.total:
        return {window_s: one for window_s, one in found.items() if window_s == slo.quiet_s}
    return {
        window_s: after if since_s < window_s <= short_s else one for window_s, one in found.items()
    }


def _by_series(found: Iterable[Series]) -> dict[Labels, float]:
    return {one.names: one.points[-1][1] for one in found}


def _falls(one: Series) -> bool:
    return any(after < before for (_, before), (_, after) in pairwise(one.points))


def is_windowed(indicator: Indicator) -> bool:
    """Say whether the questions of an indicator name the window themselves."""
    return WINDOW in indicator.good + indicator.bad + indicator.total


def _must(indicator: Indicator | None) -> Indicator:
    if indicator is None:
        raise HarnessError(
            "the SLO has no indicator", remedy="write in the spec where its SLI events come from"
        )
    return indicator


def _parts(indicator: Indicator) -> list[tuple[str, str]]:
    named = (("good", indicator.good), ("bad", indicator.bad), ("total", indicator.total))
    return [(part, query) for part, query in named if query]


def _ratio_of(indicator: Indicator) -> str:
    return indicator.good or indicator.bad


def _good_and_total(numbers: dict[str, Any]) -> tuple[int, int]:
    """Make good and total out of two of good, bad and total."""
    counts = {part: round(value) for part, value in numbers.items()}
    total = counts.get("total", counts.get("good", 0) + counts.get("bad", 0))
    good = counts["good"] if "good" in counts else total - counts.get("bad", 0)
    return min(max(good, 0), total), total


def _windowed(indicator: Indicator, numbers: dict[str, float], window_s: int) -> Counts | None:
    """Read the numbers of one window; None when what has to be there is not."""
    if indicator.kind == "ratio":
        if len(numbers) != 1:
            return None
        return Counts(*_one_look(indicator, next(iter(numbers.values()))))
    if "total" not in numbers:
        return None
    # Where no event was bad, a counter of bad events may not be there at all.
    queries = dict(_parts(indicator))
    scaled = {
        part: value * (window_s if _is_rate(queries[part]) else 1)
        for part, value in numbers.items()
    }
    if "bad" not in scaled and "good" not in scaled and indicator.good:
        scaled["good"] = 0.0
    return Counts(*_good_and_total(scaled))


def _is_rate(query: str) -> bool:
    """Say whether a query gives events a second; increase() gives events."""
    return bool(re.search(r"\bi?rate\s*\(", query))


def _one_look(indicator: Indicator, value: float) -> tuple[int, int]:
    """Judge one value: an event, or the parts of a ratio."""
    if not math.isfinite(value):
        return 0, 0
    if indicator.kind == "ratio":
        share = value if indicator.good else 1 - value
        if not 0 <= share <= 1:
            raise HarnessError(f"gave the ratio {value:g}", remedy="a ratio is between 0 and 1")
        return round(share * PARTS), PARTS
    return int(_holds(value, indicator.op, float(indicator.value))), 1


def _holds(value: float, op: Literal["", "lt", "lte", "gt", "gte"], limit: float) -> bool:
    match op:
        case "lt":
            return value < limit
        case "lte":
            return value <= limit
        case "gt":
            return value > limit
        case _:
            return value >= limit


def _values(series: Iterable[Series]) -> list[float]:
    return [one.points[-1][1] for one in series if math.isfinite(one.points[-1][1])]


def _read(answer: Answer, place: str, query: str) -> list[Series]:
    """Read an answer. Raises HarnessError when it is an error, partial, or no answer at all."""
    try:
        found = _decode_answer(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise HarnessError(f"answered {answer.status}", place=place) from None
    if answer.status != 200 or found.status != "success" or found.data is None:
        raise HarnessError(f"refused {query!r}: {found.error or answer.status}", place=place)
    # Prometheus 2.48 to 2.53 put remarks on a query among the warnings.
    partial = [one for one in found.warnings if not one.startswith("PromQL info:")]
    if partial:
        says = f"returned a partial result: {'; '.join(partial)}"
        raise HarnessError(says, place=place)
    try:
        if found.data.result_type == "scalar":
            at, text = _decode_scalar(found.data.result)
            return [Series("", [(at, float(text))])]
        return [_series(one) for one in _decode_results(found.data.result)]
    except (msgspec.MsgspecError, ValueError):
        says = f"returned a {found.data.result_type} for {query!r}"
        raise HarnessError(says, place=place, remedy="write a query that returns numbers") from None


def _series(one: _Result) -> Series:
    points = [one.value] if one.value is not None else one.values
    labels = ",".join(f"{name}={value}" for name, value in sorted(one.metric.items()))
    numbers = [(at, float(text)) for at, text in points]
    if not numbers:
        raise ValueError("a series without a value")
    names = tuple((name, value) for name, value in sorted(one.metric.items()) if name != "__name__")
    return Series(labels, numbers, names)
