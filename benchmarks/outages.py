"""How outages that last are grouped, paged and explained, as whoever is paged feels it.

    python -m benchmarks.outages [--days N] [--folder DIR] [--no-graph]

Law: the truth is known because the days are made here, from a recipe and a seed; or each folder
below DIR with alerts.jsonl, changes.jsonl, topology.json and truth.json is a day. It never reaches
the code under test, which sees what `midwatch correlate` would. Beside it stand the trivial answers
of the field on the same day: each service, or each namespace, until it is resolved; everything of
one connected part within 5 or 10 minutes of the last; 330 s from the first; each alert alone. The
cheapest of them is picked for each day after the fact, which nobody could have chosen.

The recipe: rules wait before they fire (of 1,093 public ones 24 % not at all, 38 % one to five
minutes, 29 % ten to fifteen), cascades take minutes, outages last hours. An outage is a bad deploy
or a crash, a saturation, a machine, a fault that rolls through a pool, or a provider outside; it is
felt along the callers, and flaps now and then. Beside them: noise, chronic noise, changes that did
nothing, a call graph that lacks some calls.

    cost    (every page + 4 for an outage that nobody is paged for within ten minutes) ÷ outages
            with a critical alert, and waiting: ten minutes weigh 4, too
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from math import log
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from benchmarks import correlation
from benchmarks.correlation import grouping
from midwatch.adapters.sources import changes as change_files
from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.config.topology import read_edges
from midwatch.core.alerts import Alert, identify
from midwatch.core.changes import Change
from midwatch.core.clock import SECOND
from midwatch.core.rules import Rules
from midwatch.core.topology import Topology
from midwatch.engine.placing import Placed, place_all

SOON_MS = 600 * SECOND
HIDDEN = 4
DAY_MS = 86_400 * SECOND
WAITS = [
    (0, 24),
    (60, 10),
    (120, 14),
    (180, 1),
    (300, 31),
    (600, 6),
    (900, 11),
    (1_800, 1),
    (3_600, 2),
]
KINDS = {"deploy": 32, "saturation": 26, "machine": 12, "rolling": 15, "provider": 15}
# What a rule watches: its severity, and with which chance each kind of harm moves it.
WATCHES: dict[str, tuple[str, dict[str, float]]] = {
    "ErrorsHigh": ("critical", {"errors": 0.9, "slow": 0.3}),
    "TailLatencyHigh": ("critical", {"slow": 0.9, "errors": 0.3}),
    "LatencyHigh": ("warning", {"slow": 0.8, "errors": 0.2}),
    "ProbeFails": ("critical", {"down": 0.95, "errors": 0.5}),
    "RestartsOften": ("warning", {"down": 0.8, "errors": 0.2}),
    "QueueGrows": ("warning", {"slow": 0.6}),
    "CpuBusy": ("warning", {"machine": 0.7, "slow": 0.5}),
    "MemoryShort": ("warning", {"machine": 0.5, "down": 0.3}),
    "DiskFills": ("critical", {"disk": 0.95}),
    "PoolExhausted": ("critical", {"slow": 0.5}),
    "ReplicasMissing": ("warning", {"down": 0.9, "machine": 0.6}),
    "AnswersBad": ("critical", {"wrong": 0.9}),
    "RefusalsMany": ("warning", {"wrong": 0.5}),
    "TokensCostly": ("warning", {"wrong": 0.3, "slow": 0.3}),
}


class Outage(Struct):
    """What really broke: services that are right as its cause, none for a provider outside."""

    roots: list[str]


class Day(Struct):
    """Lines in the order of their news, and of each the outage, -1 for noise."""

    name: str
    lines: list[Alert]
    truth: list[int]
    outages: list[Outage]
    topology: Topology
    changes: list[Change] = field(default_factory=list[Change])


# --- making days ---------------------------------------------------------------------------------


class _World:
    """Services that call each other, what watches them, and what they share."""

    def __init__(self, rng: random.Random, size: int) -> None:
        self.rng = rng
        self.services = [f"svc-{n:02d}" for n in range(size)]
        self.calls = sorted({
            (caller, name)
            for n, name in enumerate(self.services[1:], 1)
            for caller in rng.sample(
                self.services[max(0, n - 8) : n], min(n, rng.choice((1, 1, 2, 3)))
            )
        })  # fmt: skip
        self.callers = defaultdict[str, list[str]](list)
        for caller, callee in self.calls:
            self.callers[callee].append(caller)
        self.rules = {name: self._rules() for name in self.services}
        self.machines = [self._some(3, 6) for _ in range(max(2, size // 4))]
        self.providers = [self._some(2, 4) for _ in range(3)]

    def _some(self, least: int, most: int) -> list[str]:
        return self.rng.sample(
            self.services, min(len(self.services), self.rng.randint(least, most))
        )

    def _rules(self) -> list[tuple[str, int]]:
        names = self.rng.sample(sorted(WATCHES), self.rng.randint(5, 10))
        waits, weights = zip(*WAITS, strict=True)
        return [(name, self.rng.choices(waits, weights)[0]) for name in names]

    def around(self, median: float, spread: float) -> float:
        """Draw a time."""
        return self.rng.lognormvariate(log(median), spread)

    def felt(self, root: str, harm: str, call_s: float) -> list[tuple[float, str, str]]:
        """Say who feels it when: along the callers, less surely the farther."""
        found, front, seen = [(0.0, root, harm)], [(0.0, root, 0)], {root}
        while front:
            at, service, calls = front.pop(0)
            for caller in self.callers[service]:
                if caller in seen or self.rng.random() > 0.6 * 0.85**calls:
                    continue
                seen.add(caller)
                later = at + self.around(call_s, 0.7)
                passed = harm if harm == "wrong" else self.rng.choice(("errors", "slow"))
                found.append((later, caller, passed))
                front.append((later, caller, calls + 1))
        return found

    def breaks(self) -> tuple[str, list[str], float, list[tuple[float, str, str]]]:
        """Draw an outage: its kind, its roots, how long it lasts, and who feels it when."""
        rng = self.rng
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        lasts, root = max(420.0, self.around(2_400, 0.9)), rng.choice(self.services)
        if kind == "deploy":
            return kind, [root], lasts, self.felt(
                root, rng.choice(("errors", "down", "wrong", "slow")), 20
            )  # fmt: skip
        if kind == "saturation":
            return kind, [root], lasts, self.felt(root, "slow", 150)
        if kind == "machine":
            on = rng.choice(self.machines)
            hurt = [(rng.uniform(0, 90), one, "machine") for one in on]
            for one in on:
                hurt += [(at + 60, who, what) for at, who, what in self.felt(one, "slow", 150)[1:]]
            return kind, on, lasts, hurt
        if kind == "rolling":
            return self._rolls(root, lasts)
        users = rng.choice(self.providers)
        hurt = [
            (at + rng.uniform(0, 120), who, what)
            for one in users
            for at, who, what in self.felt(one, rng.choice(("errors", "slow")), 20)
        ]
        return kind, [], lasts, hurt

    def _rolls(
        self, root: str, lasts: float
    ) -> tuple[str, list[str], float, list[tuple[float, str, str]]]:
        """One service of a pool after the other."""
        rng = self.rng
        pool = next((on for on in self.machines if root in on), self.services)
        others = [one for one in pool if one != root]
        hurt: list[tuple[float, str, str]] = []
        at = 0.0
        for one in (root, *rng.sample(others, min(len(others), rng.randint(1, 3)))):
            some = self.felt(one, rng.choice(("disk", "down")), 150)[: rng.randint(1, 3)]
            hurt += [(at + later, who, what) for later, who, what in some]
            at += self.around(480, 0.5)
        return "rolling", [root], max(lasts, at + 600), hurt

    def fires(self, service: str, harm: str, begin: float, end: float) -> Iterable[_Row]:
        """Give what a service raises while it is hurt."""
        rng = self.rng
        for name, wait in self.rules[service]:
            severity, moved = WATCHES[name]
            if rng.random() > moved.get(harm, 0.0):
                continue
            at, over = begin + rng.uniform(15, 120) + wait, end + rng.uniform(30, 420)
            while at < end:
                if not (rng.random() < 0.15 and end - at > 900):
                    yield at, over, service, name, severity
                    break
                stop = at + rng.uniform(120, 600)
                yield at, stop, service, name, severity
                at = stop + rng.uniform(60, 600) + min(wait, 300)


_Row = tuple[float, float, str, str, str]


def make(seed: int, *, busy: bool, size: int = 24) -> Day:
    """Make a day of outages; a calm one has ten days of few, a busy one four days of many."""
    rng = random.Random(f"outages/{seed}/{busy}")
    world = _World(rng, size)
    hours, gap_s, noise = (96, 7_200, 2) if busy else (240, 21_600, 1)
    span, at = hours * 3_600.0, 0.0
    rows: list[tuple[_Row, int]] = []
    outages: list[Outage] = []
    told: list[tuple[float, str]] = []
    while (at := at + rng.expovariate(1 / gap_s)) < span:
        kind, roots, lasts, hurt = world.breaks()
        first: dict[str, tuple[float, str]] = {}
        for later, service, harm in sorted(hurt):
            first.setdefault(service, (later, harm))
        raised = [
            row
            for service, (later, harm) in first.items()
            if later < lasts
            for row in world.fires(service, harm, at + later, at + lasts)
        ]
        if raised:
            rows += [(row, len(outages)) for row in raised]
            outages.append(Outage(roots))
            if kind in ("deploy", "rolling") and rng.random() < 0.6:
                told.append((at - rng.uniform(20, 400), roots[0]))
    rows += [(row, -1) for row in _noise(world, span, int(hours * noise))]
    told += [(rng.uniform(0, span), rng.choice(world.services)) for _ in range(int(hours * 0.7))]
    lines = _lines(rng, rows)
    known = [call for call in world.calls if rng.random() > 0.15]
    changes = [
        Change(f"d-{n}", service, "deploy", _ms(at)) for n, (at, service) in enumerate(sorted(told))
    ]
    name = f"{'busy' if busy else 'calm'} {seed}"
    return Day(
        name,
        [one for one, _ in lines],
        [n for _, n in lines],
        outages,
        Topology((), known),
        changes,
    )


def _noise(world: _World, span: float, count: int) -> Iterable[_Row]:
    """Fire for no cause, some again and again; a rule has the severity that it always has."""
    rng = world.rng

    def drawn(service: str, *, loud: bool) -> str:
        names = [name for name, _ in world.rules[service]]
        return rng.choice([n for n in names if (WATCHES[n][0] == "critical") == loud] or names)

    for _ in range(count):
        service, at = rng.choice(world.services), rng.uniform(0, span)
        name = drawn(service, loud=rng.random() < 0.07)
        yield at, at + world.around(240, 0.8), service, name, WATCHES[name][0]
    for service in rng.sample(world.services, max(1, len(world.services) // 6)):
        name, at = drawn(service, loud=False), rng.uniform(0, 7_200)
        while at < span:
            yield at, at + rng.uniform(120, 900), service, name, WATCHES[name][0]
            at += rng.expovariate(1 / 5_400)


def _lines(rng: random.Random, rows: list[tuple[_Row, int]]) -> list[tuple[Alert, int]]:
    """Write what fires and ends, in order; what fires already does not fire again."""
    until: dict[tuple[str, str], float] = {}
    found: list[tuple[int, Alert, int]] = []
    for (at, over, service, name, severity), outage in sorted(rows):
        if until.get((service, name), -1.0) >= at:
            continue
        until[service, name] = over
        start = round(at / 30) * 30 + rng.uniform(0, 1)
        end = max(over, start + 30)
        labels = {"alertname": name, "service": service, "namespace": "prod", "severity": severity}
        one = identify(labels)
        found.append((_ms(start), one.alert("firing", _ms(start)), outage))
        found.append((_ms(end), one.alert("resolved", _ms(start), _ms(end)), outage))
    found.sort(key=lambda x: (x[0], x[1].fingerprint))
    return [(one, outage) for _, one, outage in found]


def _ms(seconds: float) -> int:
    return 1_800_000_000_000 + round(seconds * SECOND)


def read(folder: Path) -> list[Day]:
    """Read the days below a folder; what has a truth of another kind is none."""
    found = sorted(folder.rglob("truth.json"))
    return [_read(one.parent) for one in found if "outage_of_line" in json.loads(one.read_bytes())]


def _read(here: Path) -> Day:
    truth: dict[str, Any] = json.loads((here / "truth.json").read_bytes())
    outages = [
        Outage([] if one["kind"] == "provider" else one.get("roots", [one["root"]]))
        for one in truth["outages"]
    ]
    told = here / "changes.jsonl"
    return Day(
        here.name,
        AlertmanagerSource().parse_file((here / "alerts.jsonl").read_bytes(), "alerts.jsonl"),
        truth["outage_of_line"],
        outages,
        Topology((), read_edges(here / "topology.json")),
        change_files.parse_file(told.read_bytes(), told.name),
    )


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
    placed = place_all(day.lines, day.changes, Rules(topology=topology)).placed
    groups = [one.incident for one in placed]
    paging = [bool(getattr(one, "pages", False)) for one in placed]
    if not any(paging):
        paging = first_critical(day, groups)
    mine = judge(day, groups, paging, as_read(day, placed, paging))
    bare = day if graph else Day(day.name, day.lines, day.truth, day.outages, topology, day.changes)
    scores = {
        name: judge(bare, told, first_critical(bare, told), first_to_fire(bare, told))
        for name, told in trivial(bare).items()
    }
    cheapest = min(scores, key=lambda name: scores[name].cost)
    return Beside(
        day.name, mine, cheapest, scores[cheapest].cost,
        *(max(getattr(one, what) for one in scores.values()) for what in ("f1", "top1", "top3")),
    )  # fmt: skip


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
    top3_ratio: float


def figures(days: Sequence[Beside]) -> Figures:
    """Sum up."""
    mean = statistics.mean
    costs = [one.mine.cost / one.cost for one in days]
    top1, top3 = mean(one.mine.top1 for one in days), mean(one.mine.top3 for one in days)
    return Figures(
        len(days), mean(costs), max(costs), mean(one.mine.pages for one in days),
        mean(one.mine.hidden for one in days), mean(one.mine.f1 / one.f1 for one in days),
        mean(one.mine.noise for one in days), top1,
        top1 / mean(one.top1 for one in days), top3 / mean(one.top3 for one in days),
    )  # fmt: skip


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


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(prog="python -m benchmarks.outages", description=__doc__)
    told.add_argument("--days", type=int, default=12, help="of each kind")
    told.add_argument("--folder", type=Path, help="days that lie there, instead of made ones")
    told.add_argument("--no-graph", action="store_true", help="with an empty call graph")
    told.add_argument("--bursts", type=Path, help="fast storms, each of which should be one")
    given = told.parse_args()
    if given.bursts:
        for graph in (True, False):
            share = one_storm(given.bursts, graph=graph)
            print(
                f"fast storms that are one incident, {'with' if graph else 'no'} graph: {share:.3f}"
            )
        return
    kinds = {"read": read(given.folder)} if given.folder else {
        kind: days_of(kind, given.days) for kind in ("calm", "busy")
    }  # fmt: skip
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
