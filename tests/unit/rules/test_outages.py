"""Whole days of outages: what an answer depends on, and the benchmark that judges them."""

from __future__ import annotations

from random import Random

import pytest
from benchmarks import days, outages, timelines
from tests.unit.rules.test_correlation import Bench

from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.inputs import AlertsArrived, ChangesArrived
from midwatch.core.values.teams import Policy, Step
from midwatch.core.values.topology import Topology
from midwatch.engine.placing import place_all
from midwatch.engine.ringing import rings

LINES = 400


def a_day(seed: int) -> days.Day:
    """The beginning of a busy day."""
    day = days.make(seed, busy=True, size=16)
    return days.Day(
        day.name, day.lines[:LINES], day.truth[:LINES], day.outages, day.topology, day.changes
    )


@pytest.mark.parametrize("graph", [True, False])
def test_an_answer_depends_on_its_own_and_earlier_lines_alone(graph: bool) -> None:
    """A day that is cut at random lines gives the same answers up to there: causes, too."""
    day = a_day(3)
    rules = Rules(topology=day.topology if graph else Topology())
    whole = place_all(day.lines, day.changes, rules).placed
    rng = Random(7)
    for cut in (rng.randrange(1, LINES) for _ in range(4)):
        last = day.lines[cut - 1].ends_at or day.lines[cut - 1].starts_at
        known = [one for one in day.changes if one.at <= last]
        part = place_all(day.lines[:cut], known, rules).placed
        assert part == whole[:cut]
    assert len({one.incident for one in whole}) > 10


@pytest.mark.parametrize("graph", [True, False])
def test_a_server_decides_as_the_command_does(graph: bool) -> None:
    """The same day, one delivery a line, with every timer of a running midwatch coming due.

    The same incidents, and the same lines make a phone ring.
    """
    day = a_day(4)
    policy = Policy("p", (Step(("ada",), 300),), repeat=0)
    rules = Rules(topology=day.topology if graph else Topology(), policy=policy)
    storm = place_all(day.lines, day.changes, rules)
    told = [one.incident for one in storm.placed]
    bench = Bench(rules)
    found: list[str] = []
    rang: list[bool] = []
    changes = list(day.changes)
    for line in day.lines:
        at = line.ends_at or line.starts_at
        while changes and changes[0].at <= at:
            change = changes.pop(0)
            come_due(bench, change.at)
            bench.give_at(ChangesArrived("ci", (change,)), change.at)
        come_due(bench, at)
        home = bench.state.firing.get(line.fingerprint, "")
        decision = bench.give_at(AlertsArrived("am", (line,)), at)
        held = [x.incident for x in decision.events if isinstance(x, e.GrowthHeld)]
        before = [one for one in held if len(bench.state.incidents[one].growth) > 1]
        rang.append(line.status == "firing" and rings(decision.events, before))
        found.append(bench.state.firing.get(line.fingerprint, home))
    assert found == told
    assert rang == storm.pages
    assert sum(rang) > 10


def come_due(bench: Bench, at: int) -> None:
    """Let everything come due until a moment."""
    while bench.timers:
        first = min(bench.timers.values(), key=lambda one: (one.due_at, one.key))
        if first.due_at > at:
            return
        del bench.timers[first.key]
        bench.give_at(inputs.TimerCameDue(first), first.due_at)


def test_the_judge_knows_a_perfect_answer_and_a_useless_one() -> None:
    """True groups that page once cost 1; one group for all hides nearly every outage."""
    day = a_day(5)
    true = [one if one >= 0 else f"noise {n}" for n, one in enumerate(day.truth)]
    quiet = [
        rings and outage >= 0
        for rings, outage in zip(outages.first_critical(day, true), day.truth, strict=True)
    ]
    best = outages.judge(day, true, quiet, outages.first_to_fire(day, true))
    assert (best.cost, best.pages, best.hidden, best.f1, best.woken) == (1.0, 1.0, 0.0, 1.0, 0.0)
    one = outages.judge(day, [0] * LINES, outages.first_critical(day, [0] * LINES), {})
    assert one.hidden > 0.8
    assert one.cost > 3
    assert one.f1 < best.f1


def test_four_organisations_merged_share_nothing_and_keep_their_truth() -> None:
    """Services, calls and outages keep apart, in the order of news, with the truth of each line."""
    four = [days.make(seed, busy=True, size=12) for seed in (21, 22)]
    for spaces in (True, False):
        whole = days.merge(four, spaces=spaces)
        assert [days.news_at(one) for one in whole.lines] == sorted(
            days.news_at(one) for one in [*four[0].lines, *four[1].lines]
        )
        assert len(whole.topology.edges) == sum(len(day.topology.edges) for day in four)
        assert len({one.namespace for one in whole.lines}) == (2 if spaces else 1)
        for n, day in enumerate(four):
            of = [one.service.startswith(f"org-{n}-") for one in whole.lines]
            truth = [t for t, mine in zip(whole.truth, of, strict=True) if mine]
            before = sum(len(one.outages) for one in four[:n])
            assert truth == [one if one < 0 else one + before for one in day.truth]
            for known, one in enumerate(day.outages):
                assert whole.outages[before + known].roots == [f"org-{n}-{r}" for r in one.roots]


def test_pages_are_the_production_codes_own() -> None:
    """A page that is covered is not counted: fewer ring than incidents with a critical alert."""
    day = a_day(6)
    told = place_all(day.lines, day.changes, Rules(topology=day.topology))
    groups = [one.incident for one in told.placed]
    assert told.pages != outages.first_critical(day, groups)
    causes = outages.as_read(day, told.placed, told.pages)
    assert outages.measure(day).mine == outages.judge(day, groups, told.pages, causes)


def test_the_trivial_answers_and_ours_stand_beside_each_other() -> None:
    """Ours costs about what the best of theirs does, on a day that nothing was chosen on."""
    found = outages.measure(days.make(9, busy=False, size=16))
    assert 0.5 < found.mine.cost / found.cost < 1.5
    assert found.mine.f1 > 0.6 * found.f1


def test_an_outage_of_an_hour_and_a_slow_cascade_are_one_incident_and_one_page() -> None:
    """With a call graph and without; the figure is the worst of them."""
    for name, lines in timelines.outages().items():
        for graph in (True, False):
            assert timelines.played(lines, graph=graph) == (1, 1), name
    assert timelines.worst() == (1, 1)
