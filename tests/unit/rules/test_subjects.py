"""Whose plan it is: what matched decides, in incidents of several services."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.unit.rules.test_core import POLICY, RULES, SHOP, Bench, alert, kinds, resolved

from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, evolving, inputs
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.actions import Action, Request
from midwatch.core.values.automation import Automation, Remediation
from midwatch.core.values.automation import Policy as Leave
from midwatch.core.values.plans import Match, Param, Plan, Runbook, Step, sealed
from midwatch.core.values.reasons import Reason
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.sli import Counts, SliReading
from midwatch.core.values.slo import Slo, Verify, windows_needed
from midwatch.engine.plans import draft, view
from midwatch.errors import BugError, InputError

DB = Slo("db/writes", "db", "0.99")
RESTART = Action(
    "worker.restart",
    Request("http://ops.test/restart", "POST", {"service": "{service}"}),
    Request("http://ops.test/", expect={"up": 1}),
)
PURGE = Action(
    "queue.purge",
    Request("http://ops.test/purge", "POST", {"topic": "{topic}"}),
    Request("http://ops.test/", expect={"left": 0}),
)
RISKS = ("read", "reversible", "destructive")
ANY_OF = Leave("auto", ("shop", "cart", "db", "mail"), ("sev1", "sev2"), RISKS, times=9)


def stuck(*labels: str, **more: Any) -> Runbook:
    """A runbook for alerts with these labels that restarts workers."""
    step = Step("restart", "worker.restart", {"service": "{service}"})
    match = Match(more.pop("slo", ""), tuple(read_matcher(one) for one in labels), **more)
    return Runbook("restart", 1, match, (step,))


def rolls(*labels: str) -> Runbook:
    """A runbook that rolls back what these labels are of."""
    match = Match("", tuple(read_matcher(one) for one in labels))
    return Runbook("back", 1, match, (Step("back", "release.rollback"),))


def bench(*books: Runbook, policies: tuple[Leave, ...] = ()) -> Bench:
    """Services with two releases each, and these runbooks."""
    known = {one.name: one for one in (RESTART, PURGE)}
    rules = Rules(
        RULES.topology,
        {SHOP.id: SHOP, DB.id: DB},
        POLICY,
        Books(books, known, Automation(policies, services=9)),
    )
    found = Bench(rules, Shard(heard={SHOP.id: None, DB.id: None}))
    for service in ("shop", "cart", "mail"):
        found.give(inputs.RegisterRelease(service, "v1", f"{service}1", good=True, live=True))
        found.give(inputs.RegisterRelease(service, "v2", f"{service}2", live=True))
    return found


def quiet(found: Bench) -> Bench:
    """The same without objectives: alerts alone say what is wrong."""
    found.rules = structs.replace(found.rules, slos={})
    return found


def burn(found: Bench, objective: Slo, now: int, good: int = 8_000) -> Decision:
    """Read an objective of 10,000 events in every window."""
    windows = dict.fromkeys(windows_needed(objective, Verify()), Counts(good, 10_000))
    return found.give(inputs.SliMeasured(SliReading(objective.id, now, windows)), now)


def in_one(found: Bench, *alerts: Any) -> None:
    """Deliver alerts one after the other; a person says that they are one incident."""
    for at, one in enumerate(alerts):
        found.alerts(one, now=3_000 * at)
    for name in list(found.state.incidents)[1:]:
        found.give(inputs.MergeIncident(name, "INC-1", "ada"), 9_000)


def first(found: Bench) -> Incident:
    """The incident that is looked at."""
    return found.state.incidents["INC-1"]


def approve(found: Bench, now: int = 20_000) -> Decision:
    """Approve what is shown."""
    return found.give(inputs.ApprovePlan("INC-1", first(found).plan_hash, "ada"), now)


# --- labels -------------------------------------------------------------------------------------


def test_labels_mean_the_service_of_the_alert_that_they_fit() -> None:
    """Checkout's alert in an incident that began elsewhere: its own workers are restarted."""
    found = quiet(bench(stuck("alertname=WorkersStuck"), policies=(ANY_OF,)))
    found.alerts(alert("db", "DiskFull"))
    decision = found.alerts(alert("cart", "WorkersStuck"), now=3_000)
    assert first(found).service == "db"
    (run,) = (x for x in decision.effects if isinstance(x, effects.RunAction))
    assert isinstance(run.apply, Request)
    assert (run.service, run.apply.body) == ("cart", {"service": "cart"})
    (proposed,) = (x for x in decision.events if isinstance(x, e.PlanProposed))
    assert proposed.reason.says.startswith("restart v1 matches cart; policy auto")
    assert proposed.plan is not None
    assert proposed.plan.service == "cart"
    (approved,) = (x for x in decision.events if isinstance(x, e.PlanApproved))
    assert approved.service == "cart"
    assert [one.service for one in found.state.remediations] == ["cart"]


def test_a_rollback_moves_the_service_that_matched() -> None:
    """A bad deploy of the shop joins an incident of mail: mail's release stays where it is."""
    found = quiet(bench(rolls("alertname=ErrorsAfterDeploy"), policies=(ANY_OF,)))
    in_one(found, alert("mail", "QueueLong"), alert("shop", "ErrorsAfterDeploy"))
    moves = {name: one.pending for name, one in found.state.pointers.items() if one.pending}
    assert list(moves) == ["shop"]
    one = next(one for one in found.state.incidents.values() if one.rollbacks)
    assert one.planned_for == "shop"
    answer = inputs.ReleaseAnswered(one.operation, one.id, 1, "applied", "v1")
    assert "RollbackCompleted" in kinds(found.give(answer, 12_000))
    assert {name: one.live for name, one in found.state.pointers.items()} == {
        "shop": "v1",
        "cart": "v2",
        "mail": "v2",
    }
    assert one.service_of_plan == "shop"


def test_the_service_is_in_the_hash_and_in_what_people_see() -> None:
    """Two services with the same steps have two plans; page, plan and page of the pager name it."""
    found = quiet(bench(stuck("alertname=WorkersStuck")))
    found.alerts(alert("db", "DiskFull"))
    found.alerts(alert("cart", "WorkersStuck"), now=3_000)
    plan = first(found).plan
    assert plan is not None
    other = sealed(structs.replace(plan, service="db"), "INC-1")
    assert plan.hash != other.hash
    shown = view(first(found))
    assert shown is not None
    assert (shown.service, shown.hash) == ("cart", plan.hash)
    timer = inputs.Timer("escalate/INC-1", 400_000, "escalate", "INC-1")
    (page,) = found.give(inputs.TimerCameDue(timer), 400_000).effects
    assert isinstance(page, effects.SendPage)
    assert "next step: runbook restart for cart, midwatch runbook approve" in page.summary


def test_what_proves_it_is_in_the_hash() -> None:
    """The same steps, to be proven by another objective, are another plan."""
    plan = Plan("restart", 1, (), service="cart", proofs=("shop/answers",))
    other = structs.replace(plan, proofs=("db/writes",))
    assert sealed(plan, "INC-1").hash != sealed(other, "INC-1").hash


def test_an_alert_without_a_service_gets_no_plan_of_another_ones() -> None:
    """What it is about is unknown; that is no leave to act on the incident's first service."""
    found = quiet(bench(stuck("alertname=WorkersStuck"), policies=(ANY_OF,)))
    lone = alert("", "WorkersStuck")
    in_one(found, alert("cart", "DiskFull"), lone)
    assert not found.state.remediations
    assert all(not one.operation for one in found.state.incidents.values())


def test_each_service_that_matches_has_its_turn() -> None:
    """What was tried for one service was not tried for another."""
    found = quiet(bench(stuck("alertname=WorkersStuck")))
    found.alerts(alert("cart", "WorkersStuck"))
    found.alerts(alert("shop", "WorkersStuck"), now=1_000)
    assert first(found).planned_for == "cart"
    refusal = inputs.RefusePlan("INC-1", first(found).plan_hash, "ada", "it is fine")
    found.give(refusal, 2_000)
    assert (first(found).planned_for, first(found).run) == ("shop", "proposed")
    found.give(inputs.RefusePlan("INC-1", first(found).plan_hash, "ada", "fine too"), 3_000)
    assert first(found).no_runbook == "restart was tried, and nothing else matches shop"


# --- values -------------------------------------------------------------------------------------

PURGES = Runbook(
    "purge",
    1,
    Match("", (read_matcher("alertname=QueueLong"),)),
    (Step("purge", "queue.purge", {"topic": "{topic}"}, "destructive"),),
    params={"topic": Param("[a-z]{1,20}", label="topic", default="all")},
)


def test_labels_that_disagree_make_no_plan_and_no_default() -> None:
    """Two topics of one service: neither, and not all of them; a person says which."""
    found = quiet(bench(PURGES, policies=(ANY_OF,)))
    found.alerts(alert("cart", "QueueLong", topic="returns"), alert("cart", "QueueLong", topic="b"))
    assert first(found).plan is None
    assert "alerts of cart disagree on topic: b, returns" in first(found).no_runbook
    assert not found.state.remediations
    found.give(inputs.ProposePlan("INC-1", "purge", {"topic": "returns"}, "ada"), 1_000)
    assert first(found).plan is not None


def test_labels_of_another_service_are_not_asked() -> None:
    """Billing's topic is none of cart's, and is no disagreement either."""
    found = quiet(bench(PURGES))
    found.alerts(alert("cart", "QueueLong", topic="returns"))
    found.alerts(alert("db", "Slow", topic="billing"), now=1_000)
    plan = first(found).plan
    assert plan is not None
    assert plan.values == {"topic": "returns"}
    other = quiet(bench(PURGES))
    other.alerts(alert("cart", "QueueLong"))
    other.alerts(alert("db", "Slow", topic="billing"), now=1_000)
    assert first(other).plan is not None
    assert first(other).plan.values == {"topic": "all"}


# --- objectives and causes ----------------------------------------------------------------------


def both_burn(found: Bench) -> Bench:
    """The shop's objective, then the database's that it stands on: one incident."""
    found.alerts(alert("shop", "Slow", at=1_000), alert("cart", "Slow", at=1_000), now=1_000)
    found.alerts(alert("db", "Slow", at=2_000), now=2_000)
    burn(found, SHOP, 3_000)
    burn(found, DB, 4_000)
    assert list(first(found).slos) == [SHOP.id, DB.id]
    return found


def test_any_objective_that_burns_may_match() -> None:
    """The second one of an incident has its runbook, its service and its proof."""
    found = both_burn(bench(stuck(slo=DB.id)))
    plan = first(found).plan
    assert plan is not None
    assert (plan.service, plan.proofs) == ("db", (DB.id,))
    shown = draft(found.rules, found.state, first(found), "restart", {}, 5_000)
    assert (shown.service, shown.hash) == ("db", plan.hash)
    assert shown.proves.startswith("db/writes burns below")


def test_a_cause_means_itself() -> None:
    """The runbook for a broken database acts on the database, whoever felt it first."""
    found = both_burn(bench(stuck(cause="db")))
    approve(found)
    assert [one.service for one in found.state.remediations] == ["db"]
    assert first(found).proofs == (DB.id,)


def test_an_objective_goes_before_labels_and_cause() -> None:
    """Labels beside it have to be of its service; a cause beside it is a condition and no more."""
    found = both_burn(bench(stuck("alertname=Slow", slo=SHOP.id)))
    assert first(found).planned_for == "shop"
    found = both_burn(bench(stuck(slo=SHOP.id, cause="db")))
    assert first(found).planned_for == "shop"
    found = bench(stuck("alertname=CacheOld", slo=SHOP.id))
    found.alerts(alert("cart", "CacheOld"))
    burn(found, SHOP, 3_000)
    assert first(found).plan is None


def test_a_service_without_an_objective_is_proven_by_all_that_burned() -> None:
    """Users of both have to be well; until then nothing is."""
    found = both_burn(bench(stuck("alertname=Slow", "service=cart")))
    assert first(found).planned_for == "cart"
    assert first(found).proofs == (SHOP.id, DB.id)


def test_a_plan_is_proven_by_its_own_objective() -> None:
    """How the other one stands says nothing of it; mitigated takes both."""
    found = both_burn(bench(stuck(slo=DB.id)))
    approve(found, 5_000)
    done = inputs.ActionAnswered(first(found).operation, "INC-1", 1, "applied", "up is 1")
    found.give(done, 6_000)
    burn(found, SHOP, 400_000)
    assert first(found).lead.looks == ""
    burn(found, DB, 401_000)
    assert first(found).lead.looks == "burning"
    burn(found, DB, 800_000, good=10_000)
    assert first(found).state != "mitigated"
    burn(found, SHOP, 801_000, good=10_000)
    assert first(found).state == "mitigated"


# --- people -------------------------------------------------------------------------------------


def test_a_person_says_which_service_where_it_could_be_several() -> None:
    """A runbook that did not match names none; what a person names has to be of the incident."""
    found = quiet(bench(stuck("alertname=Other")))
    found.alerts(alert("cart", "Slow"))
    found.alerts(alert("db", "Slow"), now=1_000)
    with pytest.raises(InputError, match="several services of INC-1: cart, db"):
        found.give(inputs.ProposePlan("INC-1", "restart", {}, "ada"), 2_000)
    with pytest.raises(InputError, match="has no service 'mail'"):
        found.give(inputs.ProposePlan("INC-1", "restart", {}, "ada", "mail"), 2_000)
    found.give(inputs.ProposePlan("INC-1", "restart", {}, "ada", "db"), 2_000)
    assert first(found).planned_for == "db"
    (run,) = (x for x in approve(found).effects if isinstance(x, effects.RunAction))
    assert run.service == "db"


def test_busy_and_cool_down_are_asked_for_the_plans_service() -> None:
    """What was done to mail an hour ago holds up nothing of cart's."""
    for changed, runs in (("db", True), ("cart", False)):
        found = quiet(bench(stuck("alertname=WorkersStuck"), policies=(ANY_OF,)))
        found.state.remediations.append(Remediation(changed, 0, "x", "ada"))
        found.alerts(alert("db", "DiskFull"))
        found.alerts(alert("cart", "WorkersStuck"), now=3_000)
        assert (first(found).run == "running") is runs


# --- impossible, not only unsupported -----------------------------------------------------------


def test_a_rollback_of_another_service_than_the_plans_is_impossible() -> None:
    """No state takes such a fact, whoever would come to emit it."""
    found = quiet(bench(rolls("alertname=ErrorsAfterDeploy")))
    found.alerts(alert("shop", "ErrorsAfterDeploy"))
    one = first(found)
    wrong = e.RollbackStarted(
        incident="INC-1",
        service="mail",
        operation="rollback/INC-1/1",
        bad="v2",
        to="v1",
        epoch=3,
        reason=Reason("t", "t"),
    )
    with pytest.raises(BugError, match="a rollback of mail by a plan for shop"):
        evolving.evolve(one, wrong, 4_000)


def test_a_plan_of_an_older_journal_acts_on_what_it_was_for() -> None:
    """It names no service: the objective's that burned first, as midwatch 0.1 had it."""
    found = both_burn(bench(stuck(slo=SHOP.id)))
    one = first(found)
    assert one.plan is not None
    one.lead.plan = structs.replace(one.plan, service=None, proofs=(), values={})
    assert (one.planned_for, one.proofs) == ("shop", (SHOP.id, DB.id))
    assert resolved(alert("shop", "Slow")).status == "resolved"
