"""What an outage cost, against an oracle that adds up by itself.

Worlds are drawn (`harm_worlds.py`). They go through the engine of `serve` in virtual time, and the
postmortem is read from its journal. The oracle knows the world's own counts, deploys and cures, and
never calls the code it judges.
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
from tests.acceptance.harm_worlds import EDGE_S, HOUR_S, Counted, Deploy, Run, draw

from midwatch.core.state import events as e
from midwatch.core.values.clock import show_time
from midwatch.core.values.postmortems import Lost, Postmortem
from midwatch.engine import queries

SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
WORLDS, SAMPLE = 300, 3


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


def burns(run: Run, names: list[str], at: int) -> bool:
    """Whether users of one of these services were hurt in the five minutes before."""
    found: list[Fraction] = []
    for name in names:
        one = run.world.services[name]
        bad, total = Sums(one, at).window(at - 300, at)
        found.append(Fraction(bad, max(total, 1)) / one.slo.budget)
    return max(found) >= 1


class Told:
    """What the journal says of one incident, at seconds of the world: no figure is taken of it."""

    def __init__(self, run: Run, name: str) -> None:
        self.mitigated: list[int] = []
        self.tickets: list[int] = []
        self.ended: list[tuple[str, int]] = []  # whose plan missed or was stopped, and when
        self.again: dict[str, list[tuple[int, int]]] = {}  # well at, hurt at, all not well yet
        well: dict[str, int] = {}
        acting = ""
        for fact in queries.facts(run.store):
            event, at = fact.event, (fact.at - run.BASE) // 1_000
            if not isinstance(event, e.IncidentEvent) or event.incident != name:
                continue
            match event:
                case e.IncidentMitigated():
                    self.mitigated.append(at)
                    well = {}
                case e.IncidentReopened():
                    assert burns(run, list(run.world.services), at), "opened again for nothing"
                case e.ObjectiveJudged():
                    service = event.slo.split("/")[0]
                    if event.verdict == "recovered":
                        well[service] = at
                    else:
                        assert burns(run, [service], at), "hurt again for nothing"
                        if service in well:  # else all were well already
                            self.again.setdefault(service, []).append((well.pop(service), at))
                case e.TicketLinked():
                    self.tickets.append(int(event.ticket.partition("-")[2]))
                case e.PlanApproved():
                    acting = event.service
                case e.RecoveryMissed() | e.PlanStopped():
                    self.ended.append((acting, at))
                case _:
                    pass


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
    _judge_credit(run, name, document)
    _judge_change(run, name, document, min(starts))
    linked = Told(run, name).tickets
    affected = [many for n, many in enumerate(world.affected) if n in linked]
    people = max(len(affected), *affected) if affected else None  # each was told by another one
    assert document.impact.users == people
    assert [one.at for one in document.timeline] == sorted(one.at for one in document.timeline)


def _judge_credit(run: Run, name: str, document: Postmortem) -> None:
    """Each objective is credited to the runbook that is its own and went before, or to nobody."""
    lost = {one.slo.partition("/")[0]: one for one in document.impact.objectives}
    expected = {service: _credit(run, name, service) for service in lost}
    assert {service: one.ended_by for service, one in lost.items()} == expected, document.runs
    for service, by in expected.items():
        one = run.world.services[service]
        if not one.background and len(run.incident(name).outages[one.slo.id]) == 1:
            cured = [at for whose, at in run.acted if whose == service]
            mine = one.cured_by == "own" or (
                service == run.world.first and run.world.cure == "helps"
            )
            # What was the cure and was done is credited; what ended before it was done is not.
            assert by or not (mine and cured and one.outages[0].off == cured[0])
            assert not by or (cured and cured[0] <= one.outages[0].off + EDGE_S)
    summary = " ".join(one.says for one in document.summary)
    for book in filter(None, expected.values()):
        assert f"Runbook {book} ended the harm" in summary
    assert ("ended the harm" in summary) == any(expected.values())
    assert ("not by a runbook" in summary) == (not all(expected.values()))
    ended = {slo: run_.runbook for run_ in document.runs for slo in run_.ended}
    assert ended == {f"{one}/answers": by for one, by in expected.items() if by}
    assert all(bool(run_.ended) == (run_.verification == "recovered") for run_ in document.runs)


def _credit(run: Run, name: str, service: str) -> str:
    """The runbook that ended the last harm of a service, by what it did and when it was bad."""
    one, told = run.world.services[service], Told(run, name)
    outage = run.incident(name).outages[one.slo.id][-1]
    since, until = ((at - run.BASE) // 1_000 for at in (outage.since, outage.until))
    well_before = max((at for at in told.mitigated if at < until), default=0)
    edge = lowest(one, max(since, 0) // EDGE_S * EDGE_S, (outage.seen_at - run.BASE) // 10_000 * 10)
    last = highest(one, edge, until // EDGE_S * EDGE_S)
    for at in (at for whose, at in run.acted if whose == service):
        if not well_before < at <= last + EDGE_S:
            continue
        stopped = any(whose == service and at <= then < until for whose, then in told.ended)
        lapsed = any(at <= well and hurt < until for well, hurt in told.again.get(service, ()))
        if not stopped and not lapsed:
            return f"{one.book} {service}"
    return ""


def _judge_change(run: Run, name: str, document: Postmortem, started: int) -> None:
    """The change before it is the one that was rolled back, else the newest before the start."""
    services = run.incident(name).services
    near = [one for one in run.told if one.service in services and one.at >= started - 6 * HOUR_S]
    steps = [x for run_ in document.runs for x in run_.steps if x.step == "rollback"]
    rolled = [x.says for x in sorted(steps, key=lambda x: x.at) if x.state != "not begun"]
    # Of several that were rolled back, it is the change of the first.
    bad = [one for one in near if rolled and one.service in rolled[0] and one.after == "v2"]
    before = [one for one in near if one.at <= started]
    if bad or before:
        newest = bad[0] if bad else max(before, key=lambda one: one.at)
        assert document.change is not None
        assert (document.change.service, document.change.after) == (newest.service, newest.after)
        assert seconds(document.change.at) == newest.at
    elif not rolled:
        assert document.change is None
    ended = seconds(document.times.mitigated)
    lines = [(one.at, one.says) for one in document.timeline if one.says.startswith("deploy of")]
    assert sorted(lines) == sorted(
        (show_time(run.BASE + one.at * 1_000), _line(one)) for one in near if one.at <= ended
    )


def _line(one: Deploy) -> str:
    before = f" from {one.before}" if one.before else ""
    return f"deploy of {one.service}{before} to {one.after}"


def _judge_objective(run: Run, name: str, one: Counted, lost: Lost) -> None:
    incident = run.incident(name)
    known, harm = incident.outages[one.slo.id], incident.harms[one.slo.id]
    starts, ends, bad, total = list[int](), list[int](), 0, 0
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
