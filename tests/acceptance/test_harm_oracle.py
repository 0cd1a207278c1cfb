"""What an outage cost, against an oracle that adds up by itself.

Worlds are drawn: background errors of 0 to .8 of the budget, fast, slow and nightly outages, one
objective or two, counts that come late, restarts, reports, runbooks that help, fail, come too late
or do not hold. They go through the engine of `serve` in virtual time, and the postmortem is read
from its journal. The oracle knows the world's own counts and never calls the code it judges.
"""

from __future__ import annotations

import os
import random
import subprocess
from bisect import bisect_right
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from msgspec import Struct, field, structs

from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import Engine, World, build_engine
from midwatch.core import events as e
from midwatch.core import inputs
from midwatch.core.actions import Action, Request
from midwatch.core.effects import RunAction, SendPage
from midwatch.core.incidents import Incident
from midwatch.core.inputs import Envelope, FileTicket, SliCounted
from midwatch.core.plans import Match, Runbook
from midwatch.core.plans import Step as BookStep
from midwatch.core.postmortems import Lost, Postmortem
from midwatch.core.rules import Rules
from midwatch.core.runbooks import Books
from midwatch.core.sli import Bucket, Indicator
from midwatch.core.slo import DAY_S, TIERS, Slo
from midwatch.core.teams import Person, Policy, Step, Team
from midwatch.core.topology import Service, Topology
from midwatch.engine import queries, retelling
from midwatch.errors import HarnessError
from midwatch.ports import Observed, StepSaid

SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
WORLDS, SAMPLE = 300, 3
EDGE_S, TICK_S, LATE_S = 10, 30, 580
HOUR_S = 3_600
CURES = ("helps", "helps", "none", "none", "too late", "fails", "relapse", "relapse by hand")


def seed() -> str:
    """The commit, so that each one is tried on other worlds; MIDWATCH_SEED repeats one."""
    known = os.environ.get("MIDWATCH_SEED")
    if known:
        return known
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "no commit"


# --- worlds -------------------------------------------------------------------------------------


class Outage(Struct):
    """Users of one service are hurt from `on` to `off` (seconds); a cure may end it sooner."""

    on: int
    off: int
    share: float


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
        share = {"fast": rng.uniform(0.3, 1.0), "slow": min(0.9, budget * rng.uniform(17, 28)),
                 "night": rng.uniform(0.5, 1.0)}[kind]  # fmt: skip
        share = min(max(share, 16 * budget), 0.95)  # what no tier sees is no outage
        background = rng.choice((0.0, 0.0, rng.uniform(0.05, 0.8))) * budget
        lasts = rng.randrange(7_000, 10_000, EDGE_S)
        night = (onset - 3_000, onset + 30_000) if kind == "night" else (0, 0)
        start = onset + (rng.randrange(0, 240, EDGE_S) if services else 0)
        services[service] = Counted(
            slo, rng.choice((30, 60, 90)), background, [Outage(start, start + lasts, share)], night
        )
    return Drawn(
        name, rng, warm_s, cure, services, rng.choice((0.0, 0.15)),
        [onset + rng.randrange(60, 3_000) for _ in range(rng.choice((0, 1, 2)))],
        rng.randrange(60, 400), [rng.choice((1, 3, 40)) for _ in range(rng.choice((0, 0, 3)))],
    )  # fmt: skip


# --- the run ------------------------------------------------------------------------------------


class Cure:
    """Does the step of the runbook, as this world lets it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.done: set[str] = set()

    def apply(self, action: RunAction) -> StepSaid:
        if self.run.world.cure == "fails":
            raise HarnessError("connection refused")
        self.done.add(action.key)
        self.run.acted_at.append(self.run.now)
        if self.run.world.cure in ("helps", "relapse", "relapse by hand"):
            self.run.end_all()
        return StepSaid("answered 200")

    def observe(self, action: RunAction) -> Observed:
        return Observed(action.key in self.done, "as it was asked")


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
        self.acted_at: list[int] = []
        self.settled_at = self.proposed_at = 0
        self.reported = self.relapsed = False
        self.store = SqliteStore.memory()
        slos = {one.slo.id: one.slo for one in world.services.values()}
        book = Runbook(
            "cure", 1, Match(next(iter(slos))), (BookStep("cure", "cache.purge", {}, "reversible"),)
        )
        action = Action(
            "cache.purge", Request("http://cache.test/", "POST"),
            Request("http://cache.test/", expect={"cached": 0}),
        )  # fmt: skip
        self.rules = Rules(
            Topology([Service("shop", 1), Service("db", 1)], [("shop", "db")]), slos,
            Policy("p", (Step(("ada",), 300),), team=Team({"ada": Person("ada", ("pager",))})),
            Books((book,), {action.name: action}),
        )  # fmt: skip
        self.cure = Cure(self)
        self.pending: list[tuple[int, str, int]] = []  # when it arrives, whose, which bucket
        self.engine = self._build()

    def clock(self) -> int:
        return self.BASE + self.now * 1_000

    def _build(self) -> Engine:
        metrics = PushedMetrics(self.rules.slos)
        outside = World({"pager": Pager()}, None, {"push": metrics}, None, self.cure)
        engine = build_engine(self.store, self.rules, outside, self.clock, counted=metrics.take)
        metrics.remember(self.store, self.clock())
        return engine

    def give(self, *given: inputs.Input) -> None:
        self.engine.handler.handle([Envelope("", one) for one in given])

    def end_all(self) -> None:
        for one in self.world.services.values():
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
        self.look()

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
                *(FileTicket(f"T-{n}", f"nothing works {n}", f"user-{n}", "shop", "", many)
                  for n, many in enumerate(world.affected))
            )  # fmt: skip
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


# --- the oracle ---------------------------------------------------------------------------------


class Sums:
    """Cumulative counts of one service at its edges, out of the world's own numbers."""

    def __init__(self, one: Counted, at: int | None = None) -> None:
        self.edges = [e for e in sorted(one.total) if at is None or one.came.get(e, at + 1) <= at]
        self.bad, self.total = [0], [0]
        for edge in self.edges:
            self.bad.append(self.bad[-1] + one.bad[edge])
            self.total.append(self.total[-1] + one.total[edge])

    def upto(self, edge: int) -> tuple[int, int]:
        """Bad and all events up to an edge."""
        at = bisect_right(self.edges, edge)
        return self.bad[at], self.total[at]

    def window(self, since: int, until: int) -> tuple[int, int]:
        """Bad and all events in (since, until]."""
        (bad, total), (less, fewer) = self.upto(until), self.upto(since)
        return bad - less, total - fewer


def lowest(one: Counted, first: int, last: int) -> int:
    """The last edge in [first, last] at which bad minus budget times all is lowest."""
    sums, budget = Sums(one), one.slo.budget
    found = [(e, sums.upto(e)) for e in range(first, last + 1, EDGE_S)]
    rises = [(bad - budget * total, -e) for e, (bad, total) in found]
    return -min(rises)[1]


def highest(one: Counted, first: int, last: int) -> int:
    """The first edge in [first, last] at which it is highest."""
    sums, budget = Sums(one), one.slo.budget
    found = [(e, sums.upto(e)) for e in range(first, last + 1, EDGE_S)]
    rises = [(-(bad - budget * total), e) for e, (bad, total) in found]
    return min(rises)[1]


def seconds(shown: str | None) -> int:
    """A time of the document, in seconds of the world."""
    assert shown is not None
    at = datetime.strptime(shown, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round(at.timestamp()) - Run.BASE // 1_000


def hurt_again(run: Run, name: str) -> bool:
    """Whether what came after a recovery was bad once more, as background may be by chance."""
    found = False
    for fact in queries.facts(run.store):
        if isinstance(fact.event, e.IncidentReopened) and fact.event.incident == name:
            at = (fact.at - run.BASE) // 1_000
            burns: list[Fraction] = []
            for one in run.world.services.values():
                bad, total = Sums(one, at).window(at - 300, at)
                burns.append(Fraction(bad, max(total, 1)) / one.slo.budget)
            assert max(burns) >= 1, "it was opened again for nothing"
            found = True
    return found


def judge(run: Run, name: str) -> None:
    """Compare a postmortem with what was."""
    document = run.written(name)
    world = run.world
    told = {one.slo: one for one in document.impact.objectives}
    for one in world.services.values():
        lost = told.get(one.slo.id)
        if lost is not None:
            _judge_objective(run, name, one, lost)
    starts = [seconds(lost.started) for lost in told.values() if lost.started]
    assert seconds(document.times.started) == min(starts)
    helped = [one for one in document.runs if one.verification == "recovered"]
    helps = world.cure == "helps" or world.cure.startswith("relapse")
    credited = helps and bool(run.acted_at) and not hurt_again(run, name)
    assert bool(helped) == credited, (world.cure, document.runs, told)
    summary = " ".join(one.says for one in document.summary)
    assert ("Runbook cure ended the harm" in summary) == credited
    assert ("not by a runbook" in summary) != credited
    linked = {
        int(fact.event.ticket.partition("-")[2])
        for fact in queries.facts(run.store)
        if isinstance(fact.event, e.TicketLinked) and fact.event.incident == name
    }
    affected = [many for n, many in enumerate(world.affected) if n in linked]
    assert document.impact.users == (max(affected) if affected else None)
    assert [one.at for one in document.timeline] == sorted(one.at for one in document.timeline)


def _judge_objective(run: Run, name: str, one: Counted, lost: Lost) -> None:
    incident = run.incident(name)
    known, harm = incident.outages[one.slo.id], incident.harms[one.slo.id]
    starts, ends, bad, total = [], [], 0, 0
    sums = Sums(one)
    for outage, stretch in zip(known, harm.stretches, strict=True):
        assert stretch is not None
        since, seen, until = (
            (at - run.BASE) // 1_000 for at in (outage.since, outage.seen_at, outage.until)
        )
        start, end = ((at - run.BASE) // 1_000 for at in (stretch.start, stretch.end))
        best = lowest(one, max(since, 0) // EDGE_S * EDGE_S, seen // EDGE_S * EDGE_S)
        assert abs(start - best) <= stretch.start_width_s, (start, best)
        top = highest(one, start, until // EDGE_S * EDGE_S)
        assert abs(end - top) <= stretch.end_width_s, (end, top)
        more, all_ = sums.window(start, end)
        bad, total = bad + more, total + all_
        starts.append(start)
        ends.append(end)
        if not one.background:
            true = [x for x in one.outages if x.on < until and x.off > since]
            hurt = [e for e in one.bad if one.bad[e] and since < e <= until]
            assert true
            assert abs(start - (min(hurt) - EDGE_S)) <= stretch.start_width_s
            assert abs(end - max(hurt)) <= stretch.end_width_s
    assert (lost.bad_events, lost.valid_events) == (bad, total)
    assert (seconds(lost.started), seconds(lost.ended)) == (starts[0], ends[-1])
    at = (harm.at - run.BASE) // 1_000
    width = EDGE_S if one.slo.period_s <= 6 * HOUR_S else HOUR_S
    since = max((at - one.slo.period_s) // width * width, 0)
    _, events = Sums(one, at).window(since, at)
    share = Fraction(bad) / (one.slo.budget * events)
    assert lost.share == pytest.approx(float(share), rel=1e-9)
    full = at - min(one.total) >= one.slo.period_s
    assert lost.budget_spent == (lost.share if full else None)
    assert ("% of the error budget" in lost.says) == full


def worlds() -> list[str]:
    """The names of the worlds: a sample drawn from the commit, or all."""
    if SOAK:
        return [str(number) for number in range(WORLDS)]
    rng = random.Random(seed())
    return [str(rng.randrange(10**9)) for _ in range(SAMPLE)]


@pytest.mark.parametrize("name", worlds())
def test_the_postmortem_tells_the_harm_that_was(name: str) -> None:
    """Starts, ends, bad events, the share and the credit are those of the world."""
    run = Run(draw(name))
    incident = run.play()
    judge(run, incident)
