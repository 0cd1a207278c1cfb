"""What held when runbooks, recoveries and postmortems were tried as their users would."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.unit.rules.test_core import POLICY, RULES, Bench, alert, kinds
from tests.unit.rules.test_postmortems import told, written
from tests.unit.rules.test_runbooks import PURGE, PURGES, answer, approve, bench, burn, due
from tests.unit.state.test_archive import Desk
from tests.unit.values.test_harm import _closed as closed  # pyright: ignore[reportPrivateUsage]

from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.state.shard import Shard
from midwatch.core.values.actions import Action, Command
from midwatch.core.values.changes import Change
from midwatch.core.values.judgements import Added
from midwatch.core.values.plans import Match, Param, Step
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.slo import Verify
from midwatch.core.values.teams import Policy
from midwatch.core.values.teams import Step as Who
from midwatch.engine.retelling import retell, subject
from midwatch.errors import InputError

MINUTE = 60_000
DEADLINE = Verify().deadline_s * 1_000


def pages(decision: Decision) -> list[str]:
    """Who is paged."""
    return [one.to for one in decision.effects if isinstance(one, effects.SendPage)]


# --- what is done -------------------------------------------------------------------------------


def test_a_step_that_is_not_done_is_tried_three_times_under_one_key() -> None:
    """Whoever does it may tell a repeat by that; then it is a person's."""
    found = bench(PURGES)
    burn(found)
    wishes = [one for one in approve(found).effects if isinstance(one, effects.RunAction)]
    key = found.only.operation
    for attempt in (1, 2):
        decision = answer(found, "not-applied", attempt, 3_000 + attempt)
        assert list(decision.retries) == [key]
        assert not decision.effects
        assert "ActionFailed" not in kinds(decision)
    assert [one.key for one in wishes] == [key]
    decision = answer(found, "not-applied", 3, 4_000)
    assert {"ActionFailed", "PagePlanned"} <= set(kinds(decision))
    assert not decision.retries
    assert found.only.no_runbook == "purge was tried, and nothing else matches shop/answers"


@pytest.mark.parametrize("topic", ["--all", "-f", "--force=true"])
def test_a_label_that_would_be_an_option_makes_no_plan(topic: str) -> None:
    """Also where the pattern of the runbook lets it through; it says which value is in the way."""
    drops = Action(
        "queue.drop", Command(("queue", "drop", "{topic}")), Command(("queue", "look", "{topic}"))
    )
    book = structs.replace(
        PURGES,
        match=Match("", (read_matcher("alertname=CacheOld"),)),
        params={"topic": Param(".*", label="topic", default="returns")},
        steps=(Step("drop", "queue.drop", {"topic": "{topic}"}, "reversible"),),
    )
    rules = Rules(
        RULES.topology, {}, POLICY, Books((book,), {PURGE.name: PURGE, drops.name: drops})
    )
    found = Bench(rules, Shard())
    found.alerts(alert("shop", "CacheOld", topic=topic))
    assert found.only.plan is None
    assert f"{{topic}} would be an option: {topic!r}" in found.only.no_runbook
    with pytest.raises(InputError, match="would be an option"):
        found.give(inputs.ProposePlan("INC-1", "purge", {"topic": topic}, "eve"))


# --- users who are not seen to be well ----------------------------------------------------------


def after(counts: tuple[int, int]) -> tuple[Bench, Decision]:
    """Purged, and read so until its deadline is over; ada has it, and ben is on the next step."""
    found = bench(PURGES)
    found.rules = structs.replace(
        found.rules, policy=Policy("p", (Who(("ada",), 300), Who(("ben",), 600)), repeat=0)
    )
    burn(found)
    found.give(inputs.Acknowledge("INC-1", "ada"), 1_500)
    approve(found)
    answer(found, "applied")
    for minute in range(6, 30, 3):
        found.read(*counts, minute * MINUTE)
    return found, due(found, "verify", 3_000 + DEADLINE)


@pytest.mark.parametrize("counts", [(9, 9), (29, 29), (0, 0)])
def test_nothing_is_claimed_on_too_few_events_or_none(counts: tuple[int, int]) -> None:
    """At the deadline people are paged again, until somebody has it."""
    found, decision = after(counts)
    missed = next(x for x in decision.events if isinstance(x, e.RecoveryMissed))
    assert missed.reason.terms["verdict"] == "inconclusive"
    assert (found.only.state, found.only.mitigated_at) == ("open", 0)
    assert pages(decision) == ["ada"]
    again = due(found, "escalate", 3_000 + DEADLINE + 300_000)
    assert pages(again) == ["ben"]


# --- what a postmortem keeps --------------------------------------------------------------------


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("state", ["applied", "unknown"])
def test_what_a_step_wrote_is_in_a_postmortem_when_it_says_so(state: str, keeps: bool) -> None:
    """`output: keep` shows it; without that nobody finds it there."""
    found = told(structs.replace(PURGES, steps=(structs.replace(PURGES.steps[0], keeps=keeps),)))
    burn(found)
    approve(found)
    given = inputs.ActionAnswered(
        found.only.operation, "INC-1", 1, state, "cached is 0", output="7 rows went"
    )
    found.give(given, 3_000)
    found.read(9_990, 10_000, 400_000)
    (run,) = written(found).runs
    assert run.steps[0].seen == "cached is 0" + ("; it wrote: 7 rows went" if keeps else "")


def test_what_is_written_after_closing_is_kept() -> None:
    """In the next draft as in what is exported; the figures stay as they were."""
    found = told(PURGES)
    burn(found)
    found.read(9_990, 10_000, 400_000)
    found.give(inputs.AddToPostmortem("INC-1", Added(went_well=("the page",)), "ada"), 450_000)
    found.give(inputs.ResolveIncident("INC-1", "ada", "gone"), 500_000)
    found.give(inputs.GrantWaiver("INC-1", "why", "ada", 86_400_000), 600_000)
    assert found.left["INC-1"].incident.state == "closed"
    before = closed(found)
    added = Added(contributing_factors=("one cache for all",))
    found.give(inputs.AddToPostmortem("INC-1", added, "ben"), 700_000)
    one = closed(found)
    assert one.judgement.went_well == ("the page",)
    assert one.judgement.contributing_factors == ("one cache for all",)
    assert (one.impact, one.state) == (before.impact, "closed")


def test_the_change_before_it_is_of_its_own_service_and_the_newest() -> None:
    """Mail was deployed later, and explains nothing of the shop; what is told last may be older."""
    desk = Desk()
    changes = (
        Change("d-1", "shop", "deploy", 700_000, "ci", "v1", "v2"),
        Change("d-2", "mail", "deploy", 900_000, "ci", "v7", "v8"),
        Change("d-0", "shop", "deploy", 100_000, "ci", "v0", "v1"),
    )
    for change in changes:
        desk.give(inputs.ChangesArrived("ci", (change,)))
    desk.alert("shop")
    found = subject(desk.handler.shard, desk.store, "INC-1")
    assert found is not None
    before = retell(*found, desk.store).change
    assert before is not None
    assert (before.service, before.before, before.after) == ("shop", "v1", "v2")
