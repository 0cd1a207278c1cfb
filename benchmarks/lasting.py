"""Every row of `make bench` about outages that last.

Law: measured by `outages` and `timelines` alone, on days that nothing was chosen on; a row says
what was wanted of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import outages, timelines
from benchmarks.days import Day

DAYS = 12
BEST = "best trivial"
WANTED = {"calm": (0.97, 1.02), "busy": (0.94, 0.95)}  # with the call graph, and with an empty one
MERGED = 0.96

# A value, its unit, its peer, that one's value, what is wanted, and whether it is so.
Row = tuple[float, str, str, float, str, bool]


def rows(data: Path | None) -> Iterator[tuple[str, Row]]:
    """Measure all; the fast storms only when they lie below a folder."""
    for kind, (with_graph, bare) in WANTED.items():
        yield from _of_days(kind, with_graph, bare)
        for spaces in (True, False):
            found = _figures(outages.merged_of(kind, DAYS, spaces=spaces))
            name = f"outages_{kind}_merged_{'spaces' if spaces else 'one_space'}_cost"
            yield name, _most(found.cost, MERGED)
    incidents, pages = timelines.worst()
    yield "outage_of_an_hour_incidents", (incidents, "at most", "none", 0.0, "<= 2", incidents <= 2)
    yield "outage_of_an_hour_pages", (pages, "at most", "none", 0.0, "<= 2", pages <= 2)
    if data is not None:
        for name, graph, least in (("graph", True, 0.93), ("no_graph", False, 0.60)):
            share = outages.one_storm(data, graph=graph)
            row = share, "share", "none", 0.0, f">= {least}", share >= least
            yield f"fast_storm_is_one_{name}", row


def _of_days(kind: str, most: float, most_bare: float) -> Iterator[tuple[str, Row]]:
    days = outages.days_of(kind, DAYS)
    found, bare = _figures(days), _figures(days, graph=False)
    figures = {
        "cost": _most(found.cost, most),
        "cost_worst_day": _most(found.worst, 1.08),
        "cost_no_graph": _most(bare.cost, most_bare),
        "pages": _most(found.pages, 1.1),
        "f1": _least(found.f1, 0.92),
        "cause_first": (found.top1, "share", BEST, 0.0, ">= 0.58", found.top1 >= 0.58),
        "cause_first_ratio": _least(found.top1_ratio, 0.95),
        "cause_three": (found.top3, "share", BEST, 0.0, ">= 0.74", found.top3 >= 0.74),
        "cause_three_ratio": _least(found.top3_ratio, 1.0),
    }
    for name, one in figures.items():
        yield f"outages_{kind}_{name}", one


def _figures(days: Iterable[Day], *, graph: bool = True) -> outages.Figures:
    return outages.figures([outages.measure(day, graph=graph) for day in days])


def _most(value: float, most: float) -> Row:
    return value, "x", BEST, 1.0, f"<= {most}", value <= most


def _least(value: float, least: float) -> Row:
    return value, "x", BEST, 1.0, f">= {least}", value >= least
