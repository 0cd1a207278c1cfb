"""Worlds for the oracle of outages: what happens in them, and their way through the engine.

Drawn are background errors of 0 to .8 of the budget, fast, slow and nightly outages, one objective
or two, counts that come late, restarts, reports, deploys before and meanwhile, runbooks and
rollbacks that help, fail, come too late or do not hold, and what gets well by itself.
"""

from __future__ import annotations

import random
from typing import Literal

from msgspec import Struct, field, structs

from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import Engine, World, build_engine
from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.effects import RunAction, SendPage
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope, FileTicket, SliCounted
from midwatch.core.values.actions import Action, Request
from midwatch.core.values.changes import Change
from midwatch.core.values.plans import Match, Runbook
from midwatch.core.values.plans import Step as BookStep
from midwatch.core.values.postmortems import Postmortem
from midwatch.core.values.sli import Bucket, Indicator
from midwatch.core.values.slo import DAY_S, TIERS, Slo
from midwatch.core.values.teams import Person, Policy, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.core.values.traffic import Traffic
from midwatch.engine import retelling
from midwatch.errors import HarnessError
from midwatch.ports import Health, Observed, StepSaid

EDGE_S, TICK_S, LATE_S = 10, 30, 580
HOUR_S = 3_600
CURES = ("helps", "helps", "none", "none", "too late", "fails", "relapse", "relapse by hand")
HELPS = ("helps", "relapse", "relapse by hand")


# --- worlds -------------------------------------------------------------------------------------


class Outage(Struct):
    """Users of one service are hurt from `on` to `off` (seconds); a cure may end it sooner."""

    on: int
    off: int
    share: float


Cured = Literal["first", "own", "itself"]  # the first service's runbook, its own one, nobody


class Deploy(Struct):
    """A change of a service at a time of the world, and when a pipeline tells of it."""

    id: str
    service: str
    at: int
    told_at: int
    before: str
    after: str

    @property
    def change(self) -> Change:
        """As a pipeline tells it."""
        at = Run.BASE + self.at * 1_000
        return Change(self.id, self.service, "deploy", at, "ci", self.before, self.after)


class Counted(Struct):
    """What one service really served: good and bad events by the edge of their bucket."""

    slo: Slo
    rate: int  # events a bucket
    background: float
    outages: list[Outage]
    night: tuple[int, int] = (0, 0)  # when there is a tenth of the traffic
    bad: dict[int, int] = field(default_factory=dict[int, int])
    total: dict[int, int] = field(default_factory=dict[int, int])
    came: dict[int, int] = field(default_factory=dict[int, int])  # edge -> when it arrived
    cured_by: Cured = "first"
    book: str = ""  # of its own: it purges a cache, or rolls back

    def serve(self, edge: int, rng: random.Random) -> None:
        """Serve the bucket that ends at an edge."""
        share = self.background
        for one in self.outages:
            if one.on < edge <= one.off:
                share = max(share, one.share)
        rate = self.rate // 10 if self.night[0] < edge <= self.night[1] else self.rate
        self.total[edge] = rate
        self.bad[edge] = sum(rng.random() < share for _ in range(rate)) if share else 0


class Drawn(Struct):
    """A whole world."""

    name: str
    rng: random.Random
    warm_s: int
    cure: str
    services: dict[str, Counted]
    late: float
    restarts: list[int]
    approve_s: int  # after the proposal
    affected: list[int]
    deploys: list[Deploy] = field(default_factory=list[Deploy])

    @property
    def first(self) -> str:
        """The service whose runbook the cure is about."""
        return next(iter(self.services))


def draw(name: str) -> Drawn:
    """Draw a world."""
    rng = random.Random(f"harm/{name}")
    cure = rng.choice(CURES)
    warm_s = rng.choice((6, 9)) * HOUR_S
    full = rng.random() < 0.4
    services: dict[str, Counted] = {}
    onset = warm_s + rng.randrange(60, 900, EDGE_S)
    for service in ("shop", "db")[: rng.choice((1, 1, 2))]:
        objective = rng.choice(("0.95", "0.99", "0.995"))
        slo = Slo(f"{service}/answers", service, objective, indicator=Indicator("counter", "push"))
        if full:  # a period that is full: the same factors, and its own windows
            period_s = rng.choice((5, 6)) * HOUR_S
            tiers = tuple(
                structs.replace(
                    one,
                    long_s=min(one.long_s, period_s),
                    short_s=min(one.short_s, period_s // 12),
                    budget_share=str(one.factor(30 * DAY_S) * min(one.long_s, period_s) / period_s),
                )
                for one in TIERS
            )
            slo = structs.replace(slo, period_s=period_s, tiers=tiers)
        budget = float(slo.budget)
        kind = rng.choice(("fast", "fast", "slow", "night"))
        share = {
            "fast": rng.uniform(0.3, 1.0),
            "slow": min(0.9, budget * rng.uniform(17, 28)),
            "night": rng.uniform(0.5, 1.0),
        }[kind]
        share = min(max(share, 16 * budget), 0.95)  # what no tier sees is no outage
        background = rng.choice((0.0, 0.0, rng.uniform(0.05, 0.8))) * budget
        lasts = rng.randrange(7_000, 10_000, EDGE_S)
        night = (onset - 3_000, onset + 30_000) if kind == "night" else (0, 0)
        start = onset + (rng.randrange(0, 240, EDGE_S) if services else 0)
        cured_by: Cured = rng.choice(("first", "own", "itself")) if services else "first"
        if cured_by == "itself":
            lasts = rng.randrange(900, 5_000, EDGE_S)
        has_book = not services or cured_by == "own" or rng.random() < 0.3
        services[service] = Counted(
            slo,
            rng.choice((30, 60, 90)),
            background,
            [Outage(start, start + lasts, share)],
            night,
            cured_by=cured_by,
            book=rng.choice(("purge", "roll")) if has_book else "",
        )
    return Drawn(
        name,
        rng,
        warm_s,
        cure,
        services,
        rng.choice((0.0, 0.15)),
        [onset + rng.randrange(60, 3_000) for _ in range(rng.choice((0, 1, 2)))],
        rng.randrange(60, 400),
        [rng.choice((1, 3, 40)) for _ in range(rng.choice((0, 0, 3)))],
        _deploys(rng, services, onset),
    )


def _deploys(rng: random.Random, services: dict[str, Counted], onset: int) -> list[Deploy]:
    """Draw what was deployed: the release that is rolled back, and others that did no harm."""
    found: list[Deploy] = []
    for service, one in services.items():
        if one.book == "roll" or rng.random() < 0.3:
            at = one.outages[0].on - rng.randrange(0, 1_200, EDGE_S)
            found.append(Deploy(f"bad-{service}", service, at, at, "v1", "v2"))
    for number in range(rng.choice((0, 0, 1, 3))):
        service, at = rng.choice(list(services)), onset + rng.randrange(-5_000, 3_000)
        told_at = at + rng.choice((0, 0, rng.randrange(600)))
        found.append(Deploy(f"other-{number}", service, at, told_at, "", f"w{number}"))
    return sorted(found, key=lambda one: one.told_at)


# --- the run ------------------------------------------------------------------------------------


class Cure:
    """Does the step of the runbook, as this world lets it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.done: set[str] = set()

    def apply(self, action: RunAction) -> StepSaid:
        self.run.act(action.service)
        self.done.add(action.key)
        return StepSaid("answered 200")

    def observe(self, action: RunAction) -> Observed:
        return Observed(action.key in self.done, "as it was asked")


class Roads:
    """Moves traffic, as this world lets it; a rollback is the cure of what a release broke."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.served = dict.fromkeys(run.world.services, Traffic("v2", 2))

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        if self.served[service].epoch < traffic.epoch:
            self.run.act(service)
            self.served[service] = traffic

    def observe(self, service: str) -> Traffic:
        return self.served[service]

    def check(self, service: str, release: str) -> Health:
        return Health()


class Pager:
    """Takes every page."""

    def send(self, page: SendPage) -> str:
        return "receipt"


class Run:
    """One world in virtual time, at seconds after `BASE`."""

    BASE = 1_700_000_000_000 // 3_600_000 * 3_600_000

    def __init__(self, world: Drawn) -> None:
        self.world = world
        self.now = 0
        self.acted: list[tuple[str, int]] = []  # whose runbook changed something, and when
        self.settled_at = self.proposed_at = 0
        self.reported = self.relapsed = False
        self.told: list[Deploy] = []
        self.store = SqliteStore.memory()
        slos = {one.slo.id: one.slo for one in world.services.values()}
        books = tuple(self._book(name, one) for name, one in world.services.items() if one.book)
        action = Action(
            "cache.purge",
            Request("http://cache.test/", "POST"),
            Request("http://cache.test/", expect={"cached": 0}),
        )
        self.rules = Rules(
            Topology([Service("shop", 1), Service("db", 1)], [("shop", "db")]),
            slos,
            Policy("p", (Step(("ada",), 300),), team=Team({"ada": Person("ada", ("pager",))})),
            Books(books, {action.name: action}),
        )
        self.cure, self.roads = Cure(self), Roads(self)
        self.pending: list[tuple[int, str, int]] = []  # when it arrives, whose, which bucket
        self.engine = self._build()
        for name in world.services:
            self.give(inputs.RegisterRelease(name, "v1", f"{name}-1", good=True, live=True))
            self.give(inputs.RegisterRelease(name, "v2", f"{name}-2", live=True))

    def _book(self, name: str, one: Counted) -> Runbook:
        if one.book == "roll":
            step = BookStep("roll", "release.rollback")
        else:
            step = BookStep("purge", "cache.purge", {}, "reversible")
        return Runbook(f"{one.book} {name}", 1, Match(one.slo.id), (step,))

    def clock(self) -> int:
        return self.BASE + self.now * 1_000

    def _build(self) -> Engine:
        metrics = PushedMetrics(self.rules.slos)
        outside = World({"pager": Pager()}, self.roads, {"push": metrics}, None, self.cure)
        engine = build_engine(self.store, self.rules, outside, self.clock, counted=metrics.take)
        metrics.remember(self.store, self.clock())
        return engine

    def give(self, *given: inputs.Input) -> None:
        self.engine.handler.handle([Envelope("", one) for one in given])

    def act(self, service: str) -> None:
        """Do what a runbook of a service does: it ends what it is the cure of."""
        world, is_first = self.world, service == self.world.first
        if is_first and world.cure == "fails":
            raise HarnessError("connection refused")
        self.acted.append((service, self.now))
        for name, one in world.services.items():
            mine = (
                name == service if one.cured_by == "own" else one.cured_by == "first" and is_first
            )
            if mine and (not is_first or world.cure in HELPS):
                self.end(one)

    def end_all(self) -> None:
        """Let a person end all of it."""
        for one in self.world.services.values():
            self.end(one)

    def end(self, one: Counted) -> None:
        """Let users of a service be well from now on."""
        for outage in one.outages:
            if outage.on < self.now:
                outage.off = min(outage.off, self.now)

    def push(self, names: list[tuple[str, int]]) -> None:
        """Tell of buckets, now."""
        found: list[Bucket] = []
        for name, edge in names:
            one = self.world.services[name]
            one.came[edge] = self.now
            good = one.total[edge] - one.bad[edge]
            found.append(Bucket(one.slo.id, self.BASE + edge * 1_000, good, one.total[edge]))
        if found:
            self.give(SliCounted("push", tuple(found)))

    def tick(self) -> None:
        """Let time pass, and do all that is due."""
        rng, names = self.world.rng, list[tuple[str, int]]()
        for edge in range(self.now + EDGE_S, self.now + TICK_S + 1, EDGE_S):
            for name, one in self.world.services.items():
                one.serve(edge, rng)
                names.append((name, edge))
        self.now += TICK_S
        on_time: list[tuple[str, int]] = []
        for name, edge in names:
            if self.world.late and not self.settled_at and rng.random() < self.world.late:
                self.pending.append((self.now + rng.randrange(EDGE_S, LATE_S - TICK_S), name, edge))
            else:
                on_time.append((name, edge))
        on_time += [(name, edge) for due, name, edge in self.pending if due <= self.now]
        self.pending = [one for one in self.pending if one[0] > self.now]
        if self.world.restarts and self.now >= self.world.restarts[0]:
            self.world.restarts.pop(0)
            self.engine = self._build()
        self.push(on_time)
        self.tell()
        self.look()

    def tell(self) -> None:
        """Let the pipeline tell what was deployed, soon or late."""
        due = [one for one in self.world.deploys if one.told_at <= self.now]
        self.world.deploys = [one for one in self.world.deploys if one not in due]
        self.told += due
        if due:
            self.give(inputs.ChangesArrived("ci", tuple(one.change for one in due)))

    def look(self) -> None:
        handle = self.engine.handler.handle
        if timers := self.engine.watcher.due_timers(self.clock()):
            handle(timers)
        handle(self.engine.watcher.readings(self.engine.handler.shard, self.clock()))
        while claims := self.engine.performer.claim(self.clock()):
            for claim in claims:
                handle([self.engine.performer.perform(claim)])

    def warm(self) -> None:
        names: list[tuple[str, int]] = []
        for edge in range(EDGE_S, self.world.warm_s + 1, EDGE_S):
            for name, one in self.world.services.items():
                one.serve(edge, self.world.rng)
                names.append((name, edge))
        self.now = self.world.warm_s
        self.push(names)
        self.tell()
        self.look()

    def play(self) -> str:
        """Play it to its end; gives the incident."""
        self.warm()
        end, name = self.world.warm_s + 12 * HOUR_S, ""
        while self.now < end:
            self.tick()
            shard = self.engine.handler.shard
            name = name or next(iter(shard.incidents), "")
            if name and (name not in shard.incidents or self._is_over(shard.incidents[name])):
                break
        assert name, "nothing was noticed"
        if name in self.engine.handler.shard.incidents:
            self.give(inputs.ResolveIncident(name, "ada", "the cause is gone"))
        return name

    def _is_over(self, one: Incident) -> bool:
        """Do what people do; says whether all is well, and what was late has come."""
        if not one.acknowledged_at:
            self.give(inputs.Acknowledge(one.id, "ada"))
        self._approve(one)
        burned = (one.burned_at - self.BASE) // 1_000
        if self.world.cure in ("none", "fails") and self.now > burned + 900 + self.world.approve_s:
            self.end_all()
        if one.state != "mitigated":
            self.settled_at = 0
            return False
        self.settled_at = self.settled_at or self.now
        self._after(one)
        return self.now >= self.settled_at + 1_500 and not self.pending

    def _approve(self, one: Incident) -> None:
        if one.run != "proposed" or self.world.cure == "none":
            return
        self.proposed_at = self.proposed_at or self.now
        due = self.world.approve_s
        if self.world.cure == "too late":
            due = 2 * TICK_S
            if self.proposed_at == self.now:
                self.end_all()
        if self.now - self.proposed_at >= due:
            self.give(inputs.ApprovePlan(one.id, one.plan_hash, "ada", "responder"))
            self.proposed_at = 0

    def _after(self, one: Incident) -> None:
        """Let people report late, and the harm come back where it does."""
        world = self.world
        if world.affected and not self.reported:
            self.reported = True
            self.give(
                *(
                    FileTicket(f"T-{n}", f"nothing works {n}", f"user-{n}", "shop", "", many)
                    for n, many in enumerate(world.affected)
                )
            )
        if world.cure.startswith("relapse") and not self.relapsed:
            self.relapsed = True
            on = self.now + world.rng.randrange(30, 120, EDGE_S)
            for service in world.services.values():
                service.outages.append(Outage(on, on + 900, service.outages[0].share))

    def incident(self, name: str) -> Incident:
        found = retelling.subject(self.engine.handler.shard, self.store, name)
        assert found is not None
        return found[0]

    def written(self, name: str) -> Postmortem:
        found = retelling.subject(self.engine.handler.shard, self.store, name)
        assert found is not None
        return retelling.retell(*found, self.store)
