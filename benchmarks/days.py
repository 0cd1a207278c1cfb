"""Whole days of outages that last, made from a recipe and a seed, read from folders, or merged.

Law: the truth is known because a day is made here; it stands beside the lines and is never in them.
The same seed gives the same day.

The recipe: rules wait before they fire (of 1,093 public ones 24 % not at all, 38 % one to five
minutes, 29 % ten to fifteen), cascades take minutes, outages last hours. An outage is a bad deploy
or a crash, a saturation, a machine, a fault that rolls through a pool, or a provider outside; it is
felt along the callers, and flaps now and then. Beside them: noise, chronic noise, changes that did
nothing, a call graph that lacks some calls.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from midwatch.adapters.sources import changes as change_files
from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.config.topology import read_edges
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.core.values.topology import Topology

_Row = tuple[float, float, str, str, str]
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


class _World:
    """Services that call each other, what watches them, and what they share."""

    def __init__(self, rng: random.Random, size: int) -> None:
        self.rng = rng
        self.services = [f"svc-{n:02d}" for n in range(size)]
        self.calls = sorted(
            {
                (caller, name)
                for n, name in enumerate(self.services[1:], 1)
                for caller in rng.sample(
                    self.services[max(0, n - 8) : n], min(n, rng.choice((1, 1, 2, 3)))
                )
            }
        )
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
            return (
                kind,
                [root],
                lasts,
                self.felt(root, rng.choice(("errors", "down", "wrong", "slow")), 20),
            )
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


def news_at(line: Alert) -> int:
    """Say when a line is news: at its start, or at its end when it tells of one."""
    return line.ends_at or line.starts_at


def merge(days: Sequence[Day], *, spaces: bool) -> Day:
    """Make one organisation of several that share nothing: names prefixed, truths renumbered.

    `spaces` gives each a namespace of its own; else all share one.
    """
    rows: list[tuple[int, int, Alert, int]] = []
    outages: list[Outage] = []
    calls: list[tuple[str, str]] = []
    changes: list[Change] = []
    for n, day in enumerate(days):
        org = f"org-{n}"
        for line, truth in zip(day.lines, day.truth, strict=True):
            labels = {**line.labels, "service": f"{org}-{line.service}"}
            labels["namespace"] = org if spaces else "prod"
            one = identify(labels).alert(line.status, line.starts_at, line.ends_at)
            rows.append((news_at(line), n, one, truth if truth < 0 else truth + len(outages)))
        outages += [Outage([f"{org}-{root}" for root in one.roots]) for one in day.outages]
        calls += [(f"{org}-{a}", f"{org}-{b}") for a, b in day.topology.edges]
        changes += [
            structs.replace(one, id=f"{org}-{one.id}", service=f"{org}-{one.service}")
            for one in day.changes
        ]
    rows.sort(key=lambda row: row[:2])
    changes.sort(key=lambda one: one.at)
    return Day(
        " + ".join(day.name for day in days),
        [one for _, _, one, _ in rows],
        [truth for *_, truth in rows],
        outages,
        Topology((), calls),
        changes,
    )


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
