"""The ring of good and total counts behind every window of an objective.

Law: counts are cumulative integers, so a window is one subtraction and never drifts. An event costs
the same however long the windows are; what comes late is counted where it belongs, up to a bound,
and refused after it. A window reaches to `now`, and back to the last edge at or before its start:
it is never shorter than asked, and longer by less than one bucket.

    buckets of    10 s    for windows up to 6 h    (what pages is exact to 10 s)
                   5 min  for windows up to 3 d
                   1 h    for longer ones, as long as the objective's period
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec import Struct, field

from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts, Edge, Sample

EDGE_S = 10
LATE_S = 600
FULL = 2**62  # events: its cells are of 64 bits
_EDGE_MS = EDGE_S * SECOND
_LATE = LATE_S // EDGE_S
# (bucket, longest window) in seconds; the last one is as long as the period.
_FINE, _MIDDLE, _COARSE = (EDGE_S, 6 * 3_600), (300, 72 * 3_600), 3_600


class _Level:
    """Cumulative counts at the edges of buckets of one width, newest `size` of them."""

    __slots__ = ("good", "newest", "size", "span_s", "total", "width", "width_s")

    def __init__(self, width_s: int, span_s: int) -> None:
        self.width_s = width_s
        self.width = width_s // EDGE_S  # in edges of the finest level
        self.span_s = span_s
        # What is late moves the past, and a window's start lies up to a bucket before it.
        self.size = (span_s + LATE_S) // width_s + 2
        self.good = array("q", bytes(8 * self.size))
        self.total = array("q", bytes(8 * self.size))
        self.newest = 0

    def advance(self, edge: int, good: int, total: int) -> None:
        """Close the buckets before `edge` (of the finest level) with what is counted so far."""
        newest = -(-edge // self.width)
        for at in range(max(self.newest, newest - self.size), newest):
            self.good[at % self.size] = good
            self.total[at % self.size] = total
        self.newest = newest

    def fill(self, edges: list[int], goods: list[int], totals: list[int]) -> None:
        """Close all buckets before the last of `edges`; before each, so much was counted."""
        if not edges:
            return
        self.newest = -(-edges[-1] // self.width)
        for at in range(max(0, self.newest - self.size), self.newest):
            came = bisect_right(edges, at * self.width)
            self.good[at % self.size] = goods[came]
            self.total[at % self.size] = totals[came]

    def correct(self, edge: int, good: int, total: int) -> None:
        """Count something in that belongs before the newest edge."""
        for at in range(-(-edge // self.width), self.newest):
            self.good[at % self.size] += good
            self.total[at % self.size] += total


class SliWindow:
    """Good and total events of one objective, for any window up to its period.

    >>> ring = SliWindow(30 * 86_400)
    >>> ring.add(60_000, good=4, total=5), ring.add(120_000, good=1, total=1)
    (True, True)
    >>> ring.counts((60, 300), now=120_000)
    {60: Counts(good=1, total=1), 300: Counts(good=5, total=6)}
    """

    __slots__ = ("_good", "_level_of", "_levels", "_newest", "_total", "first_at", "late")

    def __init__(self, period_s: int) -> None:
        self._levels = [_Level(*_FINE), _Level(*_MIDDLE)]
        if period_s > _MIDDLE[1]:
            self._levels.append(_Level(_COARSE, period_s))
        self._level_of: dict[int, _Level] = {}  # by window
        self._newest = 0  # edge of the finest level
        self._good = 0
        self._total = 0
        self.late = 0  # events that came too late to be counted
        self.first_at: int | None = None  # when the oldest event that it ever counted came

    def add(self, at: int, good: int, total: int) -> bool:
        """Count events of a moment (milliseconds); False when they came too late, or are too many.

        Raises ValueError for counts that no events can have.
        """
        edge = -(-at // _EDGE_MS)
        if not 0 <= good <= total:
            raise ValueError(f"{good} good of {total} events")
        if self._total + total > FULL:
            self.late += total
            return False
        if edge > self._newest:
            for level in self._levels:
                level.advance(edge, self._good, self._total)
            self._newest = edge
        elif edge < self._newest:
            if self._newest - edge > _LATE:
                self.late += total
                return False
            for level in self._levels:
                level.correct(edge, good, total)
        self._good += good
        self._total += total
        if total and (self.first_at is None or at < self.first_at):
            self.first_at = at
        return True

    def fill(self, sums: Sequence[tuple[int, int, int]]) -> None:
        """Count much at once, as `add` would one by one: (at, good, total), oldest first.

        >>> ring = SliWindow(30 * 86_400)
        >>> ring.fill([(60_000, 4, 5), (120_000, 1, 1)])
        >>> ring.counts((60, 300), now=120_000)
        {60: Counts(good=1, total=1), 300: Counts(good=5, total=6)}
        """
        if self._newest or sum(total for _, _, total in sums) > FULL:
            for one in sums:
                self.add(*one)
            return
        edges = [-(-at // _EDGE_MS) for at, _, _ in sums]
        goods = list(accumulate((good for _, good, _ in sums), initial=0))
        totals = list(accumulate((total for _, _, total in sums), initial=0))
        for level in self._levels:
            level.fill(edges, goods, totals)
        self._newest = edges[-1] if edges else 0
        self._good, self._total = goods[-1], totals[-1]
        self.first_at = next((at for at, _, total in sums if total), None)

    def counts(self, windows_s: Iterable[int], now: int) -> dict[int, Counts]:
        """Count each window that ends `now`; one that the ring does not reach is left out."""
        end = -(-now // _EDGE_MS)
        good, total = self._good, self._total
        if end < self._newest:
            fine = self._levels[0]
            if end < fine.newest - fine.size:
                return {}
            good, total = fine.good[end % fine.size], fine.total[end % fine.size]
        found: dict[int, Counts] = {}
        now_s = now // SECOND
        for window_s in windows_s:
            level = self._level_of.get(window_s) or self._level_for(window_s)
            edge = (now_s - window_s) // level.width_s
            if edge >= level.newest:
                found[window_s] = Counts(good - self._good, total - self._total)
            elif edge >= level.newest - level.size:
                at = edge % level.size
                found[window_s] = Counts(good - level.good[at], total - level.total[at])
        return found

    def since(self, at: int, now: int) -> Counts:
        """Count what came after a moment, to the edge after it; nothing where that is not known.

        >>> ring = SliWindow(30 * 86_400)
        >>> ring.add(60_000, good=4, total=5), ring.add(120_000, good=1, total=1)
        (True, True)
        >>> ring.since(60_000, now=120_000)
        Counts(good=1, total=1)
        """
        fine, edge, end = self._levels[0], -(-at // _EDGE_MS), -(-now // _EDGE_MS)
        if end < self._newest or edge >= fine.newest or edge < fine.newest - fine.size:
            return Counts(0, 0)
        n = edge % fine.size
        return Counts(self._good - fine.good[n], self._total - fine.total[n])

    def edges(self, since: int, now: int) -> list[Edge]:
        """List the edges from the last one at or before `since` to `now`, each level in its time.

        >>> ring = SliWindow(30 * 86_400)
        >>> ring.add(60_000, good=4, total=5), ring.add(80_000, good=0, total=1)
        (True, True)
        >>> [(one.at, one.good, one.total) for one in ring.edges(55_000, now=90_000)]
        [(50000, 0, 0), (60000, 4, 5), (70000, 4, 5), (80000, 4, 6), (90000, 4, 6)]
        """
        end = now // _EDGE_MS
        found: list[Edge] = []
        levels = self._levels
        reach = [max(one.newest - one.size, 0) * one.width_s * SECOND for one in levels]
        for number in range(len(levels) - 1, -1, -1):
            level, finer = levels[number], reach[number - 1] if number else None
            if finer is not None and since >= finer:
                continue
            width_ms = level.width_s * SECOND
            first = max(since // width_ms, reach[number] // width_ms)
            for at in range(first, min(level.newest, end // level.width + 1)):
                if finer is not None and at * width_ms >= finer:
                    break
                n = at % level.size
                found.append(Edge(at * width_ms, level.good[n], level.total[n]))
        # The newest bucket is not closed yet; what is silent after it moves no edge.
        for at in sorted({self._newest, end}) if end >= self._newest else ():
            found.append(Edge(at * _EDGE_MS, self._good, self._total))
        return found

    def _level_for(self, window_s: int) -> _Level:
        level = next((one for one in self._levels if window_s <= one.span_s), self._levels[-1])
        self._level_of[window_s] = level
        return level


class Counter(Struct):
    """One cumulative series, as it is scraped: what came on top since the former look.

    The first look counts whole, as a series that appears with its first bad event has had no look
    before it; a caller who begins in the middle of an old one sets `last`. (Prometheus' rate() says
    nothing about that first event.) A value below the former one is a counter that started anew.

    >>> counter = Counter()
    >>> [counter.more(value) for value in (3, 5, 5, 1)]
    [3, 2, 0, 1]
    """

    last: float = 0

    def more(self, value: float) -> int:
        """Take the newest value, and say how many events came since the former one."""
        before = 0 if value < self.last else self.last
        self.last = value
        return round(value) - round(before)


class Tally(Struct):
    """Turns cumulative samples into what came on top; both counters start anew together."""

    good: Counter = field(default_factory=Counter)
    total: Counter = field(default_factory=Counter)

    def more(self, sample: Sample) -> tuple[int, int]:
        """Give the good and all events since the former sample."""
        if sample.good < self.good.last or sample.total < self.total.last:
            self.good.last = self.total.last = 0
        good, total = self.good.more(sample.good), self.total.more(sample.total)
        return min(good, total), total
