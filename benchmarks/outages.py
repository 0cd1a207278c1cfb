"""How outages that last are grouped, paged and explained, as whoever is paged feels it.

    python -m benchmarks.outages [--days N] [--folder DIR] [--no-graph] [--merged]

Law: the truth of a day (`benchmarks/days.py` makes or reads it) never reaches the code under test,
which sees what `midwatch correlate` would. Beside it stand the trivial answers
of the field on the same day: each service, or each namespace, until it is resolved; everything of
one connected part within 5 or 10 minutes of the last; 330 s from the first; each alert alone. The
cheapest of them is picked for each day after the fact, which nobody could have chosen.

    cost    (every page + 4 for an outage that nobody is paged for within ten minutes) ÷ outages
            with a critical alert, and waiting: ten minutes weigh 4, too
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from msgspec import Struct

from benchmarks import correlation
from benchmarks.correlation import grouping
from benchmarks.days import Day, make, merge, read
from midwatch.core.rules.rules import Rules
from midwatch.core.values.alerts import Alert
from midwatch.core.values.clock import SECOND
from midwatch.core.values.topology import Topology
from midwatch.engine.placing import Placed, place_all

SOON_MS = 600 * SECOND
HIDDEN = 4
DAY_MS = 86_400 * SECOND


# --- trivial answers -----------------------------------------------------------------------------


def until_resolved(lines: Sequence[Alert], key: Callable[[Alert], str]) -> list[Hashable]:
    """Group by a key until nothing of it fires: what Alertmanager and Grafana OnCall do."""
    firing, opened = defaultdict[str, set[str]](set), dict[str, int]()
    found: list[Hashable] = []
    for n, line in enumerate(lines):
        of = key(line)
        if line.status == "firing":
            if not firing[of]:
                opened[of] = n
            firing[of].add(line.fingerprint)
        else:
            firing[of].discard(line.fingerprint)
        found.append((of, opened.get(of)))
    return found


def windowed(
    lines: Sequence[Alert], key: Callable[[Alert], str], seconds: int, *, rolling: bool
) -> list[Hashable]:
    """Group by a key within a time of the last, or of the first: PagerDuty, ServiceNow."""
    last, opened = dict[str, int](), dict[str, int]()
    found: list[Hashable] = []
    for n, line in enumerate(lines):
        of, at = key(line), line.starts_at
        if line.status == "firing":
            fresh = of in last and at - last[of] <= seconds * SECOND
            if not fresh:
                opened[of] = n
            if rolling or not fresh:
                last[of] = at
        found.append((of, opened.get(of)))
    return found


def trivial(day: Day) -> dict[str, list[Hashable]]:
    """Give the answers that everybody has."""
    lines = day.lines

    def part(line: Alert) -> str:
        return day.topology.part(line.service) or line.service

    def space(line: Alert) -> str:
        return line.namespace

    return {
        "service, until resolved": until_resolved(lines, lambda line: line.service),
        "namespace, until resolved": until_resolved(lines, space),
        "graph, rolling 300 s": windowed(lines, part, 300, rolling=True),
        "graph, rolling 600 s": windowed(lines, part, 600, rolling=True),
        "namespace, rolling 600 s": windowed(lines, space, 600, rolling=True),
        "graph, 330 s": windowed(lines, part, 330, rolling=False),
        "alone": list(range(len(lines))),
    }


# --- judging -------------------------------------------------------------------------------------


class Score(Struct):
    """What one answer costs, on one day."""

    cost: float
    pages: float
    hidden: float
    woken: float
    f1: float
    noise: float
    top1: float
    top3: float


def first_critical(day: Day, groups: Sequence[Hashable]) -> list[bool]:
    """Page at the first critical alert of each group."""
    seen: set[Hashable] = set()
    found: list[bool] = []
    for line, group in zip(day.lines, groups, strict=True):
        loud = _is_loud(line)
        found.append(loud and group not in seen)
        if loud:
            seen.add(group)
    return found


def _is_loud(line: Alert) -> bool:
    return line.status == "firing" and line.level == "critical"


def judge(
    day: Day, groups: Sequence[Hashable], paging: Sequence[bool], causes: dict[Hashable, list[str]]
) -> Score:
    """Compare an answer with the truth."""
    lines, truth = day.lines, day.truth
    fires = [n for n, line in enumerate(lines) if line.status == "firing"]
    agreed = grouping([truth[n] for n in fires], [groups[n] for n in fires])
    begins: dict[int, int] = {}
    for n in fires:
        if _is_loud(lines[n]) and truth[n] >= 0:
            begins.setdefault(truth[n], lines[n].starts_at)
    rings, waited = Counter[int](), dict[int, int]()
    for n in fires:
        if paging[n]:
            rings[truth[n]] += 1
            late = lines[n].starts_at - begins.get(truth[n], 0)
            if late <= SOON_MS:
                waited.setdefault(truth[n], max(late, 0))
    seen = [n for n in begins if n in waited]
    loud, hidden = max(len(begins), 1), 1 - len(seen) / max(len(begins), 1)
    waits = sum(waited[n] for n in seen) / SOON_MS
    held = defaultdict[int, Counter[Hashable]](Counter)
    for n in fires:
        held[truth[n]][groups[n]] += 1
    ranked = [
        (day.outages[n].roots, causes.get(held[n].most_common(1)[0][0], []))
        for n in seen
        if day.outages[n].roots
    ]
    tops = [
        sum(not {*roots}.isdisjoint(named[:k]) for roots, named in ranked) / max(len(ranked), 1)
        for k in (1, 3)
    ]
    return Score(
        (rings.total() + HIDDEN * waits) / loud + HIDDEN * hidden,
        sum(rings[n] for n in seen) / max(len(seen), 1),
        hidden,
        rings[-1] * DAY_MS / max(lines[-1].starts_at - lines[0].starts_at, 1),
        agreed.f1,
        agreed.noise,
        *tops,
    )


def first_to_fire(day: Day, groups: Sequence[Hashable]) -> dict[Hashable, list[str]]:
    """Name the services in the order in which they fired: the trivial cause."""
    found = defaultdict[Hashable, dict[str, None]](dict)
    for line, group in zip(day.lines, groups, strict=True):
        if line.status == "firing":
            found[group][line.service] = None
    return {group: list(services) for group, services in found.items()}


def as_read(
    day: Day, placed: Sequence[Placed], paging: Sequence[bool]
) -> dict[Hashable, list[str]]:
    """Take the causes as they stood ten minutes after an incident's first page."""
    found, since = dict[Hashable, list[str]](), dict[str, tuple[int, bool]]()
    for line, one, rings in zip(day.lines, placed, paging, strict=True):
        at, name = line.ends_at or line.starts_at, one.incident
        if name not in since or (rings and not since[name][1]):
            since[name] = at, rings
        if one.causes and (name not in found or at <= since[name][0] + SOON_MS):
            found[name] = list(one.causes)
    return found


class Beside(Struct):
    """One day: what midwatch costs, and the best trivial answer of each kind."""

    name: str
    mine: Score
    cheapest: str
    cost: float
    f1: float
    top1: float
    top3: float


def measure(day: Day, *, graph: bool = True) -> Beside:
    """Run the production code over a day and score what it says, beside the trivial answers."""
    topology = day.topology if graph else Topology()
    told = place_all(day.lines, day.changes, Rules(topology=topology))
    groups = [one.incident for one in told.placed]
    mine = judge(day, groups, told.pages, as_read(day, told.placed, told.pages))
    bare = day if graph else Day(day.name, day.lines, day.truth, day.outages, topology, day.changes)
    scores = {
        name: judge(bare, told, first_critical(bare, told), first_to_fire(bare, told))
        for name, told in trivial(bare).items()
    }
    cheapest = min(scores, key=lambda name: scores[name].cost)
    return Beside(
        day.name,
        mine,
        cheapest,
        scores[cheapest].cost,
        *(max(getattr(one, what) for one in scores.values()) for what in ("f1", "top1", "top3")),
    )


class Figures(Struct):
    """The mean over days of what midwatch gives ÷ what the best trivial answer of the day gives."""

    days: int
    cost: float
    worst: float
    pages: float
    hidden: float
    f1: float
    noise: float
    top1: float
    top1_ratio: float
    top3: float
    top3_ratio: float


def figures(days: Sequence[Beside]) -> Figures:
    """Sum up."""
    mean = statistics.mean
    costs = [one.mine.cost / one.cost for one in days]
    top1, top3 = mean(one.mine.top1 for one in days), mean(one.mine.top3 for one in days)
    return Figures(
        len(days),
        mean(costs),
        max(costs),
        mean(one.mine.pages for one in days),
        mean(one.mine.hidden for one in days),
        mean(one.mine.f1 / one.f1 for one in days),
        mean(one.mine.noise for one in days),
        top1,
        top1 / mean(one.top1 for one in days),
        top3,
        top3 / mean(one.top3 for one in days),
    )


def one_storm(folder: Path, *, graph: bool) -> float:
    """Say which share of the bursts below a folder, each alone, is one incident."""
    whole: list[bool] = []
    for storm in correlation.storms(folder):
        rules = Rules(topology=storm.topology if graph else Topology())
        for burst in sorted({*storm.truth} - {correlation.NOISE}):
            mine = [
                alert for alert, one in zip(storm.alerts, storm.truth, strict=True) if one == burst
            ]
            placed = place_all(mine, [], rules).placed
            whole.append(len({one.incident for one in placed}) == 1)
    return statistics.mean(whole) if whole else 0.0


def days_of(kind: str, many: int) -> list[Day]:
    """Make days that nothing was chosen on, of 12 to 40 services."""
    return [make(9_000 + n, busy=kind == "busy", size=12 + 28 * n // many) for n in range(many)]


def merged_of(kind: str, many: int, *, spaces: bool) -> list[Day]:
    """Make organisations of 96 services: four of 24 that share nothing."""
    each = [
        [make(9_500 + 4 * n + part, busy=kind == "busy") for part in range(4)] for n in range(many)
    ]
    return [merge(four, spaces=spaces) for four in each]


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(prog="python -m benchmarks.outages", description=__doc__)
    told.add_argument("--days", type=int, default=12, help="of each kind")
    told.add_argument("--folder", type=Path, help="days that lie there, instead of made ones")
    told.add_argument("--no-graph", action="store_true", help="with an empty call graph")
    told.add_argument("--merged", action="store_true", help="four organisations as one, instead")
    told.add_argument("--bursts", type=Path, help="fast storms, each of which should be one")
    given = told.parse_args()
    if given.bursts:
        for graph in (True, False):
            share = one_storm(given.bursts, graph=graph)
            print(
                f"fast storms that are one incident, {'with' if graph else 'no'} graph: {share:.3f}"
            )
        return
    kinds = {kind: days_of(kind, given.days) for kind in ("calm", "busy") if not given.folder}
    if given.folder:
        kinds = {"read": read(given.folder)}
    elif given.merged:
        kinds = {
            f"{kind}, {'a namespace each' if spaces else 'one namespace'}": merged_of(
                kind, given.days, spaces=spaces
            )
            for kind in ("calm", "busy")
            for spaces in (True, False)
        }
    for kind, days in kinds.items():
        found = [measure(day, graph=not given.no_graph) for day in days]
        for one in found:
            print(
                f"  {one.name:20} cost {one.mine.cost:.2f} beside {one.cost:.2f} ({one.cheapest})"
                f"  pages {one.mine.pages:.2f}  hidden {one.mine.hidden:.2f}"
                f"  F1 {one.mine.f1:.2f} beside {one.f1:.2f}  cause first {one.mine.top1:.2f}"
            )
        all_ = figures(found)
        print(
            f"{kind}, {all_.days} days: cost {all_.cost:.3f} of the best trivial answer's (worst"
            f" {all_.worst:.2f}), {all_.pages:.2f} pages an outage, {all_.hidden:.3f} hidden, F1"
            f" {all_.f1:.3f} of the best, cause first {all_.top1:.2f}, that is"
            f" {all_.top1_ratio:.2f} of the first to fire ({all_.top3_ratio:.2f} among three)"
        )


if __name__ == "__main__":
    main()
