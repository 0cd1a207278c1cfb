"""When a consent has ended: other states, other values, too late, and what was done till then."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.unit.rules.test_core import SHOP, Bench, alert, kinds, resolved
from tests.unit.rules.test_subjects import (
    ANY_OF,
    DB,
    PURGE,
    approve,
    bench,
    both_burn,
    burn,
    first,
    quiet,
)

from midwatch.core.state import effects, inputs
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.values.actions import Request
from midwatch.core.values.automation import Remediation
from midwatch.core.values.changes import Change
from midwatch.core.values.plans import Match, Param, Runbook, Step
from midwatch.core.values.schedules import Hours, Layer, Schedule
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.slo import Slo
from midwatch.engine.plans import view
from midwatch.errors import StateError

SECOND = 1_000
EVERY_DAY = tuple(range(1, 8))
SHED = Step("shed", "http.request", {}, "reversible", deed=Request("http://lb.test/shed", "POST"))
RESTORE = Step(
    "restore",
    "http.request",
    {},
    "reversible",
    deed=Request("http://lb.test/restore", "POST"),
    undoes="shed",
)
DROP = Step("drop", "http.request", {}, "destructive", deed=Request("http://db.test/drop", "POST"))
SURE = Step("sure", "ask", {"says": "still needed?"}, "read", ttl_s=600)
SOON = Step("soon", "wait", {"for_s": 60}, "read")


def book(*steps: Step, **match: Any) -> Runbook:
    """A runbook of these steps, for slow alerts or an objective."""
    labels = () if match else (read_matcher("alertname=Slow"),)
    return Runbook("book", 1, Match(labels=labels, **match), steps)


def answer(found: Bench, state: str = "applied", now: int = 30_000) -> Decision:
    """Let whoever does it answer for the step under way."""
    given = inputs.ActionAnswered(first(found).operation, "INC-1", 1, state, "seen")
    return found.give(given, now)


def due(found: Bench, now: int, purpose: Any = "step") -> Decision:
    """Let a timer come due."""
    timer = inputs.Timer(f"{purpose}/INC-1", now, purpose, "INC-1")
    return found.give(inputs.TimerCameDue(timer), now)


def runs(decision: Decision) -> list[str]:
    """Where the requests of a decision go."""
    found = (x.apply for x in decision.effects if isinstance(x, effects.RunAction))
    return [one.url.rpartition("/")[2] for one in found if isinstance(one, Request)]


def stopped(decision: Decision) -> str:
    """Why a plan was stopped."""
    (event,) = (x for x in decision.events if isinstance(x, e.PlanStopped))
    return event.reason.says


# --- the incident is over -----------------------------------------------------------------------


def test_what_waits_ends_when_users_are_well() -> None:
    """A destructive step that waits for a yes is gone with the harm, whoever says yes later."""
    found = bench(book(SHED, SURE, DROP, slo=SHOP.id))
    burn(found, SHOP, 1_000)
    approve(found, 2_000)
    answer(found)
    old = first(found).plan_hash
    assert first(found).run == "waiting"
    decision = burn(found, SHOP, 400_000, good=10_000)
    assert first(found).state == "mitigated"
    assert stopped(decision) == "INC-1 is mitigated; done: shed; not done: sure, drop"
    assert "PagePlanned" not in kinds(decision)
    for state in ("mitigated", "resolved"):
        assert first(found).state == state
        with pytest.raises(StateError):
            found.give(inputs.ApprovePlan("INC-1", old, "eve"), 500_000)
        if state == "mitigated":
            found.give(inputs.ResolveIncident("INC-1", "ada", "mended"), 450_000)


def test_no_step_begins_after_the_alerts_ended() -> None:
    """Without an SLI that is the recovery: the step under way ends, and no other is begun."""
    found = quiet(bench(book(SHED, DROP)))
    found.alerts(alert("cart", "Slow"))
    assert runs(approve(found)) == ["shed"]
    found.alerts(resolved(alert("cart", "Slow")), now=25_000)
    assert first(found).state == "mitigated"
    decision = answer(found)
    assert runs(decision) == []
    assert stopped(decision) == "INC-1 is mitigated; done: shed; not done: drop"
    assert first(found).run == "ended"


def test_who_is_well_before_anything_was_changed_needs_the_plan_no_more() -> None:
    """While it waits between two steps: it is stopped, and the incident is mitigated."""
    found = bench(book(SOON, DROP, slo=SHOP.id))
    burn(found, SHOP, 1_000)
    approve(found, 390_000)
    decision = burn(found, SHOP, 400_000, good=10_000)
    assert stopped(decision) == "shop/answers has recovered; done: nothing; not done: soon, drop"
    assert first(found).state == "mitigated"
    assert runs(due(found, 500_000)) == []


def test_who_is_well_while_load_is_shed_gets_it_back_and_no_further_change() -> None:
    """What undoes the first step is done, what drops more is not."""
    long = structs.replace(SOON, given={"for_s": 600})
    for steps, then in (((SHED, long, RESTORE), ["restore"]), ((SHED, long, DROP, RESTORE), [])):
        found = bench(book(*steps, slo=SHOP.id))
        burn(found, SHOP, 1_000)
        approve(found, 2_000)
        answer(found, now=3_000)
        decision = burn(found, SHOP, 500_000, good=10_000)
        assert first(found).state != "mitigated"
        assert [x.verdict for x in decision.events if isinstance(x, e.RecoveryJudged)] == [
            "recovered"
        ]
        decision = due(found, 604_000)
        assert runs(decision) == then
        if not then:
            assert stopped(decision).startswith("shop/answers has recovered; done: shed, soon")
            assert first(found).lead.takes_back


def test_who_burns_again_between_two_steps_has_the_plan_go_on() -> None:
    """The last word counts."""
    long = structs.replace(SOON, given={"for_s": 1_200})
    found = bench(book(SHED, long, DROP, slo=SHOP.id))
    burn(found, SHOP, 1_000)
    found.give(inputs.ApprovePlan("INC-1", first(found).plan_hash, "ada"), 500_000)
    answer(found, now=501_000)
    burn(found, SHOP, 1_000_000, good=10_000)
    burn(found, SHOP, 1_300_000)
    assert runs(due(found, 1_702_000)) == []
    assert first(found).run == "waiting"  # the approval is too old, and is asked for again
    assert runs(approve(found, 1_703_000)) == ["drop"]


def test_a_plan_ends_with_its_own_service() -> None:
    """Others in the incident may go on burning: nothing is dropped for a service that is well."""
    found = both_burn(bench(book(SURE, DROP, slo=DB.id)))
    approve(found, 5_000)
    assert first(found).run == "waiting"
    decision = burn(found, DB, 900_000, good=10_000)
    assert stopped(decision).startswith("db/writes has recovered; done: nothing")
    assert first(found).state != "mitigated"
    two = quiet(bench(book(SOON, DROP)))
    two.alerts(alert("cart", "Slow"), alert("db", "Down"))
    approve(two)
    two.alerts(resolved(alert("cart", "Slow")), now=25_000)
    decision = due(two, 90_000)
    assert runs(decision) == []
    assert stopped(decision).startswith("no alert of cart fires any more")


def test_what_a_stopped_plan_left_done_is_proposed_to_be_taken_back() -> None:
    """For its own approval, also when users are well; then nothing is left to prove."""
    found = quiet(bench(book(SHED, SOON, RESTORE)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    answer(found)
    decision = found.alerts(resolved(alert("cart", "Slow")), now=40_000)
    assert stopped(decision) == "INC-1 is mitigated; done: shed; not done: soon, restore"
    (page,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert page.to == "ada"
    assert (
        "users have recovered, and what book did is not reverted: INC-1 is mitigated"
        in page.summary
    )
    assert page.summary.endswith(f"midwatch runbook approve INC-1 {first(found).plan_hash}")
    assert not first(found).awaits_ack
    one = first(found)
    assert (one.state, one.run, one.lead.approved_by) == ("mitigated", "proposed", "")
    assert one.plan is not None
    assert [step.id for step in one.plan.steps] == ["restore"]
    assert due(found, 90_000).events == []
    assert runs(approve(found, 100_000)) == ["restore"]
    answer(found, now=110_000)
    assert (one.run, one.state) == ("ended", "mitigated")


def test_what_is_left_done_is_said_when_nobody_takes_it_back() -> None:
    """A person resolves the incident: the load stays shed, and the record says so."""
    found = quiet(bench(book(SHED, SOON, RESTORE)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    answer(found)
    found.alerts(resolved(alert("cart", "Slow")), now=40_000)
    decision = found.give(inputs.ResolveIncident("INC-1", "ada", "it is over"), 50_000)
    assert stopped(decision).endswith("; shed is done and not reverted")


def test_a_step_that_fails_leaves_what_is_to_be_taken_back() -> None:
    """The same after a failure: the page says how."""
    found = quiet(bench(book(SHED, DROP, RESTORE)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    answer(found)
    decision = answer(found, "unknown")
    assert first(found).plan is not None
    assert [step.id for step in first(found).plan.steps] == ["restore"]
    (page,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert page.summary.endswith(f"midwatch runbook approve INC-1 {first(found).plan_hash}")


def _shed_and_stopped(*others: Runbook) -> Bench:
    """A plan that a person stopped after its first step: load is shed."""
    found = bench(book(SHED, DROP, RESTORE, slo=SHOP.id), *others)
    burn(found, SHOP, 1_000)
    found.give(inputs.ApprovePlan("INC-1", first(found).plan_hash, "ada"), 2_000)
    found.give(inputs.StopPlan("INC-1", "ada", "too much"), 3_000)
    answer(found, now=4_000)
    assert first(found).lead.takes_back
    return found


def test_a_recovery_keeps_what_is_to_be_taken_back() -> None:
    """It was proposed before users were well: its holder is paged once, and may approve it."""
    found = _shed_and_stopped()
    asked = first(found).plan_hash
    decision = burn(found, SHOP, 400_000, good=10_000)
    assert "IncidentMitigated" in kinds(decision)
    (page,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert page.to == "ada"
    assert "shed still has to be reverted" in page.summary
    assert (first(found).run, first(found).plan_hash) == ("proposed", asked)
    found.give(inputs.ApprovePlan("INC-1", asked, "ada"), 410_000)
    assert first(found).run == "running"


def test_a_reopening_asks_again_for_what_is_to_be_taken_back() -> None:
    """Under a new hash, which the page shows; the old button does nothing."""
    found = _shed_and_stopped()
    asked = first(found).plan_hash
    burn(found, SHOP, 400_000, good=10_000)
    decision = burn(found, SHOP, 700_000, good=5_000)
    (event,) = (x for x in decision.events if isinstance(x, e.PlanProposed))
    assert event.reason.says == "INC-1 was reopened, and shed still has to be reverted"
    fresh = first(found).plan_hash
    assert fresh not in ("", asked)
    (page,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert fresh in page.summary
    with pytest.raises(StateError):
        found.give(inputs.ApprovePlan("INC-1", asked, "ada"), 710_000)
    assert runs(found.give(inputs.ApprovePlan("INC-1", fresh, "ada"), 720_000)) == ["restore"]


# Two sheds, and a take-back whose second step needs an approval that is younger than it will be.
UNLOAD = structs.replace(SHED, id="unload")
RELOAD = structs.replace(
    RESTORE, id="reload", undoes="unload", ttl_s=30, deed=Request("http://lb.test/reload", "POST")
)


def _taking_back(state: str = "waiting") -> Bench:
    """The first of two take-backs is done; the second waits for a further approval."""
    found = bench(book(SHED, UNLOAD, DROP, RESTORE, RELOAD, slo=SHOP.id))
    burn(found, SHOP, 1_000)
    found.give(inputs.ApprovePlan("INC-1", first(found).plan_hash, "ada"), 2_000)
    answer(found, now=3_000)
    found.give(inputs.StopPlan("INC-1", "ada", "too much"), 4_000)
    answer(found, now=5_000)
    found.give(inputs.ApprovePlan("INC-1", first(found).plan_hash, "ada"), 6_000)
    if state == "waiting":
        answer(found, now=200_000)
    assert (first(found).lead.takes_back, first(found).run) == (True, state)
    return found


def to_undo(decision: Decision) -> list[list[str]]:
    """The steps of each take-back that was proposed."""
    plans = [x.plan for x in decision.events if isinstance(x, e.PlanProposed)]
    return [[step.id for step in one.steps] for one in plans if one is not None and one.takes_back]


def test_a_take_back_that_waits_survives_a_recovery() -> None:
    """It is still asked of whoever has it, and its hash approves it."""
    found = _taking_back()
    asked = first(found).plan_hash
    decision = burn(found, SHOP, 600_000, good=10_000)
    assert "IncidentMitigated" in kinds(decision)
    (page,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert "unload still has to be reverted" in page.summary
    assert (first(found).run, first(found).plan_hash) == ("waiting", asked)
    again = found.give(inputs.ApprovePlan("INC-1", asked, "ada"), 610_000)
    assert runs(again) == ["reload"]


def test_a_take_back_that_waits_is_proposed_again_when_the_incident_is_reopened() -> None:
    """What is left of it, under a new hash; the old button does nothing."""
    found = _taking_back()
    asked = first(found).plan_hash
    burn(found, SHOP, 600_000, good=10_000)
    decision = burn(found, SHOP, 1_200_000, good=5_000)
    assert "IncidentReopened" in kinds(decision)
    assert to_undo(decision) == [["reload"]]
    fresh = first(found).plan_hash
    assert fresh not in ("", asked)
    with pytest.raises(StateError):
        found.give(inputs.ApprovePlan("INC-1", asked, "ada"), 1_210_000)
    assert runs(found.give(inputs.ApprovePlan("INC-1", fresh, "ada"), 1_220_000)) == ["reload"]


def test_what_is_left_of_a_take_back_that_was_stopped_is_proposed_again() -> None:
    """At its safe point, or because nobody answered in time."""
    stops = _taking_back("running")
    stops.give(inputs.StopPlan("INC-1", "ada", "not now"), 7_000)
    assert to_undo(answer(stops, now=8_000)) == [["reload"]]
    expires = _taking_back()
    assert to_undo(due(expires, 300_000)) == [["reload"]]


def test_a_step_of_a_take_back_that_nobody_saw_done_is_not_proposed_again() -> None:
    """It may have been done; what comes after it is proposed, and a person is paged."""
    found = _taking_back("running")
    decision = answer(found, "unknown", now=8_000)
    assert to_undo(decision) == [["reload"]]
    assert "PagePlanned" in kinds(decision)


def test_a_take_back_that_a_person_refuses_is_not_proposed_again() -> None:
    """Also one that waits: a no is a no."""
    found = _taking_back()
    refused = found.give(inputs.RefusePlan("INC-1", first(found).plan_hash, "ada", "no"), 210_000)
    assert to_undo(refused) == []
    assert not [one for one in first(found).plans if one.takes_back and one.asks_somebody]


def test_what_a_person_chooses_stays_beside_what_is_to_be_taken_back() -> None:
    """Both may be approved, each by its hash; a refusal of one leaves the other."""
    found = _shed_and_stopped(Runbook("other", 1, Match("x/y"), (SURE,)))
    asked = first(found).plan_hash
    found.give(inputs.ProposePlan("INC-1", "other", {}, "bob", "shop"), 5_000)
    hashes = {one.runbook: one.hash for one in first(found).plans if one.state == "proposed"}
    assert hashes["book"] == asked
    found.give(inputs.RefusePlan("INC-1", hashes["other"], "bob", "no"), 6_000)
    assert runs(found.give(inputs.ApprovePlan("INC-1", asked, "ada"), 7_000)) == ["restore"]


def test_who_resolves_is_paged_for_nothing_that_this_withdraws() -> None:
    """A take-back is proposed, or its plan still waits: it is withdrawn, said, and pages nobody."""
    proposed, waits = (quiet(bench(book(SHED, *then, RESTORE))) for then in ((SOON,), (SURE, DROP)))
    for found in (proposed, waits):
        found.alerts(alert("cart", "Slow"))
        approve(found)
        answer(found)
    proposed.give(inputs.StopPlan("INC-1", "ada", "too much"), 35_000)
    assert (first(proposed).lead.takes_back, first(waits).run) == (True, "waiting")
    for found in (proposed, waits):
        decision = found.give(inputs.ResolveIncident("INC-1", "ada", "it is over"), 50_000)
        assert "INC-1 is resolved" in stopped(decision)
        assert stopped(decision).endswith("; shed is done and not reverted")
        assert "PlanProposed" not in kinds(decision)
        assert not [x for x in decision.effects if isinstance(x, effects.SendPage)]


def test_a_plan_that_is_proposed_again_has_another_hash() -> None:
    """With the same values in the same incident: the button of the first message does nothing."""
    for how in ("stop", "refuse", "end"):
        found = bench(book(SHED, SOON), Runbook("other", 1, Match("x/y"), (SHED,)))
        found.alerts(alert("cart", "Odd"))
        asks = inputs.ProposePlan("INC-1", "other", {}, "bob", "cart")
        found.give(asks, 1_000)
        old = first(found).plan_hash
        if how == "refuse":
            found.give(inputs.RefusePlan("INC-1", old, "bob", "no"), 2_000)
        else:
            found.give(inputs.ApprovePlan("INC-1", old, "bob"), 2_000)
            if how == "stop":
                found.give(inputs.StopPlan("INC-1", "ada", "no", old), 3_000)
            answer(found, now=4_000)
        found.give(asks, 600_000)
        new = first(found).lead.hash
        with pytest.raises(StateError):
            found.give(inputs.ApprovePlan("INC-1", old, "bob"), 610_000)
        assert runs(found.give(inputs.ApprovePlan("INC-1", new, "bob"), 620_000)) == ["shed"]


# --- merge, split -------------------------------------------------------------------------------


def test_a_merge_takes_back_what_was_proposed() -> None:
    """The plan of an incident that goes on as part of another is nobody's; nor by its old hash."""
    found = quiet(bench(book(DROP)))
    found.rules = structs.replace(found.rules, wall="namespace")
    found.alerts(alert("db", "Down", namespace="a"))
    found.alerts(alert("cart", "Slow", namespace="b"), now=1_000)
    old = found.state.incidents["INC-2"].plan_hash
    decision = found.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), 2_000)
    assert "INC-2 is part of INC-1" in stopped(decision)
    with pytest.raises(StateError):
        found.give(inputs.ApprovePlan("INC-2", old, "eve"), 3_000)


def test_an_undone_split_leaves_no_proposal_on_what_is_merged_again() -> None:
    """The part goes back into the whole: its own plan is taken back, and the whole has one."""
    found = quiet(bench(book(DROP)))
    found.alerts(alert("db", "Down"), alert("cart", "Slow"))
    found.give(inputs.SplitIncident("INC-1", ("cart",), (), "ada"), 30_000)
    part = found.state.incidents["INC-2"]
    old = part.plan_hash
    decision = found.give(inputs.UndoMove("INC-1", "ada"), 31_000)
    assert part.state == "merged"
    assert [one.state for one in part.plans] == ["none"]
    mine = [x for x in decision.events if isinstance(x, e.PlanStopped)]
    assert [(x.incident, x.plan_hash) for x in mine] == [("INC-2", old)]
    assert first(found).run == "proposed"
    with pytest.raises(StateError):
        found.give(inputs.ApprovePlan("INC-2", old, "eve"), 32_000)


def test_a_split_takes_a_plan_away_with_what_it_matched() -> None:
    """The alert that it was for is in another incident now; what waited there is stopped."""
    for steps in ((DROP,), (SURE, DROP)):
        found = quiet(bench(book(*steps)))
        found.alerts(alert("db", "Down"), alert("cart", "Slow"))
        assert first(found).planned_for == "cart"
        if len(steps) > 1:
            approve(found)
        decision = found.give(inputs.SplitIncident("INC-1", ("cart",), (), "ada"), 30_000)
        mine = [x for x in decision.events if isinstance(x, e.PlanStopped)]
        assert [x.incident for x in mine] == ["INC-1"]
        assert found.state.incidents["INC-2"].run == "proposed"
        with pytest.raises(StateError):
            found.give(inputs.ApprovePlan("INC-1", mine[0].plan_hash, "eve"), 40_000)


def test_what_a_person_stopped_begins_nowhere_else_after_a_split() -> None:
    """Who stopped a plan for a service, and what was tried for it, goes along with the service."""
    other = structs.replace(book(RESTORE), id="other")
    found = quiet(bench(book(SOON, DROP), other, policies=(ANY_OF,)))
    rules = structs.replace(found.rules.books.automation, cool_down_s=0)
    books = structs.replace(found.rules.books, automation=rules)
    found.rules = structs.replace(found.rules, books=books)
    found.alerts(alert("db", "Down"), alert("cart", "Slow"))
    assert first(found).run == "running"
    found.give(inputs.StopPlan("INC-1", "ada", "hands off"), 25_000)
    decision = found.give(inputs.SplitIncident("INC-1", ("cart",), (), "ada"), 30_000)
    assert "PlanApproved" not in kinds(decision)
    new = found.state.incidents["INC-2"]
    assert (new.run, new.runbook, new.by_hand) == ("proposed", "other", {"cart": "ada"})
    back = found.give(inputs.UndoMove("INC-2", "ada"), 35_000)
    assert "PlanApproved" not in kinds(back)
    assert first(found).has_tried("book", "cart")


# --- other values -------------------------------------------------------------------------------

TOPIC = Param("[a-z]{1,20}", label="topic")
PURGES = Step("purge", PURGE.name, {"topic": "{topic}"}, "destructive")


def topical(*steps: Step) -> Bench:
    """An incident with a plan whose last step purges the topic of its alerts."""
    found = quiet(bench(structs.replace(book(*steps, PURGES), params={"topic": TOPIC})))
    found.alerts(alert("cart", "Slow", topic="returns"))
    return found


def test_the_difference_is_shown_and_takes_a_new_approval() -> None:
    """Old hashes approve nothing; the new one does what it says."""
    found = topical(SOON)
    approve(found)
    old = first(found).plan_hash
    found.alerts(alert("cart", "Slow", topic="billing"), now=24_000)
    found.alerts(resolved(alert("cart", "Slow", topic="returns")), now=25_000)
    decision = due(found, 90_000)
    assert not any(isinstance(x, effects.RunAction) for x in decision.effects)
    (waits,) = (x for x in decision.events if isinstance(x, e.ActionWaits))
    assert "the remaining steps have changed: purge would be" in waits.reason.says
    assert "billing" in waits.reason.says
    assert "returns" in waits.reason.says
    assert "PagePlanned" in kinds(decision)
    assert first(found).plan_hash != old
    with pytest.raises(StateError, match="no longer describes"):
        found.give(inputs.ApprovePlan("INC-1", old, "eve"), 95_000)
    decision = approve(found, 100_000)
    (run,) = (x for x in decision.effects if isinstance(x, effects.RunAction))
    assert isinstance(run.apply, Request)
    assert run.apply.body == {"topic": "billing"}


def test_an_approval_compares_too() -> None:
    """What waits for a yes is made again when the yes comes; else it is asked of again."""
    found = topical(SURE)
    approve(found)
    found.alerts(alert("cart", "Slow", topic="billing"), now=24_000)
    found.alerts(resolved(alert("cart", "Slow", topic="returns")), now=25_000)
    asked = first(found).plan_hash
    decision = approve(found, 30_000)
    assert not decision.effects or not runs(decision)
    assert first(found).run == "waiting"
    assert first(found).plan_hash != asked
    assert "PlanApproved" not in kinds(decision)
    approve(found, 40_000)
    assert first(found).run == "running"


def test_a_release_that_is_registered_shows_the_plan_again() -> None:
    """Under a new hash that says what is other; what a person chose, too. The old hash is dead."""
    back = Step("back", "release.rollback")
    for by in ("", "ada"):
        found = bench(book(back, slo=SHOP.id))
        burn(found, SHOP, 1_000)
        if by:
            found.give(inputs.ProposePlan("INC-1", "book", {}, "ada"), 2_000)
        old = first(found).plan_hash
        decision = found.give(inputs.RegisterRelease("shop", "v3", "c", live=True), 3_000)
        (shown,) = (x for x in decision.events if isinstance(x, e.PlanProposed))
        assert "shop v3 -> v1 at epoch 4" in shown.reason.says
        assert 'shown was "release.rollback shop v2 -> v1 at epoch 3"' in shown.reason.says
        assert (first(found).plan_hash, shown.by) == (shown.plan_hash, by)
        assert shown.plan_hash != old
        assert found.give(inputs.RegisterRelease("mail", "v9", "m", live=True), 4_000).events != []
        assert first(found).plan_hash == shown.plan_hash
        with pytest.raises(StateError, match="no longer describes"):
            found.give(inputs.ApprovePlan("INC-1", old, "eve"), 5_000)
        assert "RollbackStarted" in kinds(approve(found, 6_000))


def test_a_release_makes_a_plan_possible_that_had_no_target() -> None:
    """An incident without a plan is looked at again when its service has a release; no other."""
    found = quiet(bench(book(Step("back", "release.rollback"))))
    found.alerts(alert("db", "Slow"))
    assert first(found).run == "none"
    assert "cannot be done: no release is registered for db" in first(found).no_runbook
    found.give(inputs.RegisterRelease("db", "v1", "a", good=True, live=True), 2_000)
    found.give(inputs.RegisterRelease("mail", "v9", "m", live=True), 3_000)
    assert first(found).run == "none"
    found.give(inputs.RegisterRelease("db", "v2", "b", live=True), 4_000)
    assert (first(found).run, first(found).planned_for) == ("proposed", "db")
    assert "RollbackStarted" in kinds(approve(found, 5_000))


def test_values_of_what_has_ended_stay() -> None:
    """That the alert with the topic is over while users are hurt is no other topic."""
    found = bench(structs.replace(book(SOON, PURGES, slo=SHOP.id), params={"topic": TOPIC}))
    found.alerts(alert("shop", "Slow", topic="returns"))
    burn(found, SHOP, 1_000)
    approve(found, 2_000)
    found.alerts(resolved(alert("shop", "Slow", topic="returns")), now=3_000)
    (run,) = (x for x in due(found, 70_000).effects if isinstance(x, effects.RunAction))
    assert isinstance(run.apply, Request)
    assert run.apply.body == {"topic": "returns"}


def test_what_the_plan_itself_changed_is_no_difference() -> None:
    """After its own rollback the live release is the one that it was to leave; any other asks."""
    note = Step(
        "note",
        "http.request",
        {},
        "reversible",
        deed=Request("http://log.test/note", "POST", {"was": "{live}"}),
    )
    back = Step("back", "release.rollback")
    for live, asks in (("v1", False), ("v3", True)):
        found = bench(book(back, SOON, note, slo=SHOP.id))
        burn(found, SHOP, 1_000)
        approve(found, 2_000)
        moved = inputs.ReleaseAnswered(first(found).operation, "INC-1", 1, "applied", "v1")
        found.give(moved, 3_000)
        if live == "v3":
            found.give(inputs.RegisterRelease("shop", "v3", "c", live=True), 4_000)
        decision = due(found, 70_000)
        assert runs(decision) == ([] if asks else ["note"])
        assert ("ActionWaits" in kinds(decision)) is asks


def test_a_runbook_that_is_gone_or_rewritten_carries_nothing_on() -> None:
    """The config is another one after a restart: what it does not have is not done."""
    for left in ((), (book(SOON, SHED),)):
        found = quiet(bench(book(SOON, DROP)))
        found.alerts(alert("cart", "Slow"))
        approve(found)
        books = structs.replace(found.rules.books, runbooks=left)
        found.rules = structs.replace(found.rules, books=books)
        decision = due(found, 90_000)
        assert runs(decision) == []
        assert "done: soon; not done: drop" in stopped(decision)


# --- too late -----------------------------------------------------------------------------------


def test_every_question_ends() -> None:
    """Nobody answers in its time: the plan is stopped, people are paged, and the button is dead."""
    found = quiet(bench(book(SHED, SURE, DROP)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    answer(found)
    asked, plan_hash = first(found).lead.step_asked_at, first(found).plan_hash
    assert due(found, asked + 599 * SECOND).events == []
    decision = due(found, asked + 600 * SECOND)
    assert stopped(decision) == ("nobody approved sure in 10 min; done: shed; not done: sure, drop")
    assert "PagePlanned" in kinds(decision)
    with pytest.raises(StateError):
        found.give(inputs.ApprovePlan("INC-1", plan_hash, "eve"), 900_000)


def test_a_button_of_an_old_message_does_nothing() -> None:
    """The hash by which a plan was begun answers none of its questions, nor one the next."""
    again = structs.replace(SURE, id="again")
    found = quiet(bench(book(SURE, again, DROP)))
    found.alerts(alert("cart", "Slow"))
    began = first(found).plan_hash
    approve(found)
    asked = first(found).plan_hash
    for old in (began,):
        with pytest.raises(StateError, match="no longer describes"):
            found.give(inputs.ApprovePlan("INC-1", old, "eve"), 25_000)
    found.give(inputs.ApprovePlan("INC-1", asked, "ada"), 26_000)
    assert first(found).run == "waiting"
    for old in (began, asked):
        with pytest.raises(StateError, match="no longer describes"):
            found.give(inputs.ApprovePlan("INC-1", old, "eve"), 27_000)
        with pytest.raises(StateError):
            found.give(inputs.RefusePlan("INC-1", old, "eve", "no"), 27_000)
    assert runs(approve(found, 28_000)) == ["drop"]
    shown = view(first(found))
    assert shown is not None
    assert shown.hash == first(found).plan_hash


def test_a_plan_that_comes_back_has_another_hash() -> None:
    """A, then B, then A again: the button of the first message approves nothing."""
    found = topical()
    seen = [first(found).plan_hash]
    for at, (old, new) in enumerate((("returns", "billing"), ("billing", "returns"))):
        found.alerts(alert("cart", "Slow", topic=new), now=24_000 + 2_000 * at)
        found.alerts(resolved(alert("cart", "Slow", topic=old)), now=25_000 + 2_000 * at)
        seen.append(first(found).plan_hash)
    assert len({*seen, ""}) == 4
    for hash_of in seen[:2]:
        with pytest.raises(StateError):
            found.give(inputs.ApprovePlan("INC-1", hash_of, "eve"), 30_000)
    assert runs(approve(found, 31_000)) == ["purge"]


def test_a_plan_that_was_impossible_for_a_while_has_another_hash() -> None:
    """Its topic was of no use, and nothing else fitted: the first message is an old one."""
    found = topical()
    old = first(found).plan_hash
    found.alerts(alert("cart", "Slow", topic="9"), now=24_000)
    found.alerts(resolved(alert("cart", "Slow", topic="returns")), now=25_000)
    assert not [one for one in first(found).plans if one.state == "proposed"]
    found.alerts(alert("cart", "Slow", topic="returns"), now=26_000)
    found.alerts(resolved(alert("cart", "Slow", topic="9")), now=27_000)
    assert first(found).plan_hash not in ("", old)
    with pytest.raises(StateError):
        found.give(inputs.ApprovePlan("INC-1", old, "eve"), 30_000)


def test_a_proposal_ends_with_what_it_matched() -> None:
    """The alert is over while another service's fires: the proposal is taken back at once."""
    found = quiet(bench(book(DROP)))
    found.alerts(alert("cart", "Slow"), alert("db", "Down"))
    old = first(found).plan_hash
    decision = found.alerts(resolved(alert("cart", "Slow")), now=5_000)
    assert first(found).state == "open"
    assert stopped(decision) == "book was proposed for cart: no runbook matches cart"
    assert view(first(found)) is None
    with pytest.raises(StateError, match="has no plan to approve"):
        found.give(inputs.ApprovePlan("INC-1", old, "eve"), 20_000)


def test_an_approval_looks_again_at_what_matched() -> None:
    """A deploy is told of meanwhile and is the likelier cause: the other one's plan is not run."""
    found = quiet(bench(book(DROP, cause="cart")))
    found.alerts(alert("shop", "Down"), alert("cart", "Slow"))
    assert first(found).planned_for == "cart"
    deploy = Change("d-1", "shop", "deploy", 0)
    found.give(inputs.ChangesArrived("ci", (deploy,)), 5_000)
    with pytest.raises(StateError, match="book no longer matches cart"):
        approve(found)


# --- held back for a time -----------------------------------------------------------------------

NIGHTS = Schedule(
    "nights", "UTC", (Layer("w", ("x",), "1970-01-01T00:00", hours=(Hours(EVERY_DAY, 60, 120),)),)
)


@pytest.mark.parametrize("wanted", ["cool-down", "hours"])
def test_what_is_held_back_for_a_time_is_asked_of_again(wanted: str) -> None:
    """A cool-down that ends, hours that begin: the plan runs then, with the values of then."""
    leave = structs.replace(ANY_OF, hours=NIGHTS if wanted == "hours" else None)
    found = quiet(bench(structs.replace(book(PURGES), params={"topic": TOPIC}), policies=(leave,)))
    if wanted == "cool-down":
        found.state.remediations.append(Remediation("cart", 0, "x", "ada"))
    decision = found.alerts(alert("cart", "Slow", topic="returns"), now=1_000)
    assert first(found).run == "proposed"
    timer = decision.timers[f"automate/INC-1/{first(found).plan_hash}"]
    assert timer is not None
    assert timer.due_at == 3_600 * SECOND
    found.alerts(alert("cart", "Slow", topic="billing"), now=24_000)
    other = found.alerts(resolved(alert("cart", "Slow", topic="returns")), now=25_000)
    assert found.give(inputs.TimerCameDue(timer), timer.due_at).events == []  # of another plan
    timer = other.timers[f"automate/INC-1/{first(found).plan_hash}"]
    assert timer is not None
    decision = found.give(inputs.TimerCameDue(timer), timer.due_at)
    (run,) = (x for x in decision.effects if isinstance(x, effects.RunAction))
    assert isinstance(run.apply, Request)
    assert run.apply.body == {"topic": "billing"}
    assert first(found).lead.approved_by == "policy auto"


def test_what_a_busy_service_holds_back_is_asked_of_again() -> None:
    """A policy would begin it, but another plan runs its service: it begins once that has ended."""
    slow = Slo("shop/slow", "shop", "0.99")
    books = [structs.replace(book(SHED, slo=one.id), id=one.id[5:]) for one in (SHOP, slow)]
    found = bench(*books, policies=(ANY_OF,))
    rules = structs.replace(found.rules.books.automation, cool_down_s=0)
    known = structs.replace(found.rules.books, automation=rules)
    slos = {**found.rules.slos, slow.id: slow}
    found.rules = structs.replace(found.rules, slos=slos, books=known)
    found.state.heard[slow.id] = None
    burn(found, SHOP, 1_000)
    assert first(found).run == "running"
    decision = burn(found, slow, 2_000)
    for now in (40_000, 80_000):
        assert [one.state for one in first(found).plans] == ["running", "proposed"]
        ((_, timer),) = [x for x in decision.timers.items() if x[0].startswith("automate/")]
        assert timer is not None
        assert timer.due_at <= now
        if now == 80_000:
            answer(found, "unknown", now)
        decision = found.give(inputs.TimerCameDue(timer), now)
    assert runs(decision) == ["shed"]
    assert [one.state for one in first(found).plans] == ["ended", "running"]


def test_what_no_time_changes_is_a_persons() -> None:
    """A risk that no policy names, a severity, somebody who chose it: no timer is set."""
    for leave in (structs.replace(ANY_OF, risks=("read",)), structs.replace(ANY_OF, severities=())):
        found = quiet(bench(book(DROP), policies=(leave,)))
        timers = found.alerts(alert("cart", "Slow")).timers
        assert not any(key.startswith("automate/") for key in timers)


# --- stop, resolve ------------------------------------------------------------------------------


def test_a_plan_is_stopped_at_the_next_safe_point() -> None:
    """What is being done ends first; it is not tried again, and nothing more begins."""
    for state, done in (("applied", "shed"), ("not-applied", "nothing")):
        found = quiet(bench(book(SHED, DROP)))
        found.alerts(alert("cart", "Slow"))
        approve(found)
        decision = found.give(inputs.StopPlan("INC-1", "ada", "wrong cluster"), 25_000)
        assert kinds(decision) == ["PlanStopAsked"]
        assert found.give(inputs.StopPlan("INC-1", "ada", "really"), 25_000).events == []
        decision = answer(found, state)
        assert decision.retries == {}
        assert runs(decision) == []
        assert first(found).run == "ended"
        if done == "shed":
            assert stopped(decision) == (
                "stopped by ada: wrong cluster; done: shed; not done: drop"
            )


def test_a_further_try_that_has_not_begun_is_cancelled() -> None:
    """Between two tries nothing is being done: a stop ends the plan there, a rollback's too."""
    back = Step("back", "release.rollback")
    for steps, at, now in (
        ((SHED, DROP), 25_500, True),
        ((SHED, DROP), 30_000, False),
        ((back,), 25_500, True),
    ):
        found = quiet(bench(book(*steps)))
        found.alerts(alert("cart", "Slow"))
        approve(found)
        key = first(found).operation
        if steps == (back,):
            tried = found.give(inputs.ReleaseAnswered(key, "INC-1", 1, "not-applied", "v2"), 25_000)
        else:
            tried = answer(found, "not-applied", now=25_000)
        assert tried.retries == {key: 30_000}
        decision = found.give(inputs.StopPlan("INC-1", "ada", "wrong cluster"), at)
        assert (decision.cancelled_effects == [key]) is now
        assert ("PlanStopped" in kinds(decision)) is now
        assert (first(found).run == "ended") is now
        assert not (now and found.state.pointers["cart"].pending)
        if now and steps != (back,):
            assert answer(found, now=31_000).events == []
        elif not now:
            assert stopped(answer(found, now=31_000)).startswith("stopped by ada")


def test_what_waits_is_stopped_at_once() -> None:
    """A wait, a question, a proof; what is only proposed is refused instead."""
    for steps in ((SOON, DROP), (SURE, DROP), (SHED,)):
        found = quiet(bench(book(*steps)))
        found.alerts(alert("cart", "Slow"))
        with pytest.raises(StateError, match="no plan under way; refuse it"):
            found.give(inputs.StopPlan("INC-1", "ada", "no"), 15_000)
        approve(found)
        if steps == (SHED,):
            answer(found)
            assert first(found).run == "verifying"
        with pytest.raises(StateError, match="no plan 00 under way"):
            found.give(inputs.StopPlan("INC-1", "ada", "no", "00"), 31_000)
        decision = found.give(inputs.StopPlan("INC-1", "ada", "no"), 32_000)
        assert stopped(decision).startswith("stopped by ada: no; done: ")
        assert first(found).run == "ended"
        assert due(found, 100_000).events == []


def test_after_a_persons_stop_only_a_person_approves_for_that_service() -> None:
    """No policy begins the next runbook that fits by itself, in the same decision or later."""
    other = structs.replace(book(RESTORE), id="other")
    for steps, answers in (((SOON, DROP), False), ((SHED, DROP), True)):
        found = quiet(bench(book(*steps), other, policies=(ANY_OF,)))
        rules = structs.replace(found.rules.books.automation, cool_down_s=0)
        books = structs.replace(found.rules.books, automation=rules)
        found.rules = structs.replace(found.rules, books=books)
        found.alerts(alert("cart", "Slow"))
        assert first(found).run == "running"
        decision = found.give(inputs.StopPlan("INC-1", "ada", "wrong cluster"), 25_000)
        if answers:
            decision = answer(found)
        assert runs(decision) == []
        assert "PlanApproved" not in kinds(decision)
        proposed = next(x for x in decision.events if isinstance(x, e.PlanProposed))
        assert proposed.reason.says == (
            "other v1 matches cart; needs approval: ada stopped a plan for cart"
        )
        assert not any(key.startswith("automate/") for key in decision.timers)
        assert runs(approve(found, 40_000)) == ["restore"]


def test_only_what_is_really_being_done_keeps_an_incident_from_its_end() -> None:
    """A wait does not; what it waited before is not done any more."""
    found = quiet(bench(book(SOON, DROP)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    decision = found.give(inputs.ResolveIncident("INC-1", "ada", "a false alarm"), 30_000)
    assert "IncidentResolved" in kinds(decision)
    assert "INC-1 is resolved" in stopped(decision)
    assert runs(due(found, 90_000)) == []
    busy = quiet(bench(book(SHED, DROP)))
    busy.alerts(alert("cart", "Slow"))
    approve(busy)
    with pytest.raises(
        StateError, match="under way; wait until it ends, or stop it before its next step"
    ):
        busy.give(inputs.ResolveIncident("INC-1", "ada", "a false alarm"), 30_000)


def test_a_journal_of_the_first_release_asks_nothing_new_of_what_waits() -> None:
    """A question of midwatch 0.1 has the plan's hash and no end; it is answered as it was."""
    found = quiet(bench(book(SURE, DROP)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    one = first(found)
    assert one.plan is not None
    one.lead.plan = structs.replace(one.plan, service=None, proofs=(), values={})
    assert runs(approve(found, 30_000)) == ["drop"]


# --- it was over for a moment, or is elsewhere now ----------------------------------------------


def _flapped(found: Bench) -> None:
    """The alert ends, and fires again a moment later."""
    found.alerts(resolved(alert("cart", "Slow")), now=25_000)
    found.alerts(alert("cart", "Slow", at=40_000), now=40_000)


def test_a_step_that_ran_while_it_was_over_is_the_last_of_its_plan() -> None:
    """Meanwhile nobody may choose another plan; then it says what it did and did not."""
    found = quiet(bench(book(SHED, DROP, RESTORE)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    _flapped(found)
    with pytest.raises(StateError, match="under way"):
        found.give(inputs.ProposePlan("INC-1", "book", {}, "ada", "cart"), 45_000)
    decision = answer(found, now=50_000)
    assert "done: shed; not done: drop, restore" in stopped(decision)
    assert runs(decision) == []
    one = first(found)
    assert one.plan is not None
    assert (one.run, [step.id for step in one.plan.steps]) == ("proposed", ["restore"])


def test_the_button_of_a_message_from_before_a_recovery_does_nothing() -> None:
    """The same plan is proposed again when it did not hold, under another hash."""
    found = quiet(bench(book(DROP)))
    found.alerts(alert("cart", "Slow"))
    old = first(found).plan_hash
    _flapped(found)
    assert first(found).run == "proposed"
    with pytest.raises(StateError, match="plan"):
        found.give(inputs.ApprovePlan("INC-1", old, "eve"), 50_000)
    assert runs(approve(found, 60_000)) == ["drop"]


def test_a_plan_ends_with_the_alert_that_matched() -> None:
    """Another alert of the service fires on: the plan was not for that one."""
    found = quiet(bench(book(SOON, DROP), policies=(ANY_OF,)))
    found.alerts(alert("cart", "Slow"), alert("cart", "CertOld"))
    found.alerts(resolved(alert("cart", "Slow")), now=25_000)
    decision = due(found, 61_000)
    says = "no alert of cart that it was for fires any more; done: soon; not done: drop"
    assert stopped(decision) == says
    assert runs(decision) == []


def test_a_plan_that_a_person_chose_ends_when_its_service_is_split_away() -> None:
    """What they said yes to is another incident now."""
    found = quiet(bench(book(SURE, DROP, cause="nothing")))
    found.alerts(alert("db", "Down"), alert("cart", "Slow"))
    found.give(inputs.ProposePlan("INC-1", "book", {}, "ada", "cart"), 1_000)
    approve(found, 2_000)
    split = found.give(inputs.SplitIncident("INC-1", ("cart",), (), "ada"), 30_000)
    assert stopped(split).startswith("INC-1 has no alert of cart any more")


def test_a_step_is_not_tried_again_once_users_are_well() -> None:
    """It was provably not done: nor is it needed."""
    found = quiet(bench(book(SHED, RESTORE)))
    found.alerts(alert("cart", "Slow"))
    approve(found)
    found.alerts(resolved(alert("cart", "Slow")), now=25_000)
    decision = answer(found, "not-applied", now=30_000)
    assert decision.retries == {}
    assert "ActionFailed" in kinds(decision)
