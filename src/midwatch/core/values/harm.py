"""When an objective hurt its users, from edge to edge, and how many events were bad.

Law: harm is counted from where it began, not from our notice: it is the stretch in which what was
bad beyond the budget (bad minus budget times all events) rose. It begins at the lowest edge in the
longest window that burned, and ends at the highest edge before the proof that users are well. Of
edges that are equal the stretch takes those that make it shorter. Numbers are exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Measured, Outage, Stretch, Trace
from midwatch.core.values.sli_window import EDGE_S, LATE_S

# What comes late is counted for so long; after it the figures of an outage are settled.
SETTLED_MS = (LATE_S + 6 * EDGE_S) * SECOND


def unsettled(outages: Sequence[Outage], now: int) -> list[int]:
    """List the places of outages whose figures may still change."""
    return [
        place for place, one in enumerate(outages) if not one.until or now - one.until <= SETTLED_MS
    ]


def measure(
    budget: Fraction, outages: tuple[Outage, ...], trace: Trace, now: int, period_s: int
) -> Measured:
    """Measure the outages that are not settled, out of a trace that begins before the first.

    >>> from midwatch.core.values.sli import Edge
    >>> counts = ((0, 0, 0), (10, 50, 50), (20, 60, 100), (30, 70, 150), (40, 120, 200))
    >>> trace = Trace(tuple(Edge(at * 1000, good, total) for at, good, total in counts))
    >>> found = measure(Fraction(1, 100), (Outage(0, 30_000),), trace, 40_000, 86_400)
    >>> found.stretches[0]
    Stretch(start=10000, end=30000, start_width_s=10, end_width_s=10, good=20, total=100)
    """
    edges = trace.edges
    found: dict[int, Stretch] = {}
    if edges:
        ats = [one.at for one in edges]
        top, bottom = budget.numerator, budget.denominator
        rises = [(one.total - one.good) * bottom - top * one.total for one in edges]
        for place in unsettled(outages, now):
            stretch = _stretch(outages[place], trace, ats, rises, now)
            if stretch is not None:
                found[place] = stretch
    first_at = trace.first_at
    seen_s = None if first_at is None else min(max(now - first_at, 0) // SECOND, period_s)
    return Measured(outages, found, trace.period, seen_s)


def _stretch(
    outage: Outage, trace: Trace, ats: list[int], rises: list[int], now: int
) -> Stretch | None:
    first = max(bisect_right(ats, outage.since) - 1, 0)
    seen = bisect_right(ats, outage.seen_at) - 1
    last = bisect_right(ats, outage.until or now) - 1
    if last < first or seen < first:
        return None
    lowest = min(rises[first : seen + 1])
    start = max(at for at in range(first, seen + 1) if rises[at] == lowest)
    highest = max(rises[start : last + 1])
    end = next(at for at in range(start, last + 1) if rises[at] == highest)
    begin, over = trace.edges[start], trace.edges[end]
    after = ats[min(start + 1, len(ats) - 1)] - begin.at
    before = over.at - ats[max(end - 1, 0)]
    return Stretch(
        begin.at,
        over.at,
        after // SECOND,
        before // SECOND,
        over.good - begin.good,
        over.total - begin.total,
    )
