"""Plans: which fits, what an approval allows, what a policy allows, and how each step ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs
from tests.unit.rules.test_core import POLICY, RULES, SHOP, Bench, alert, heard, kinds, resolved

from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs, releases, shard
from midwatch.core.state import events as e
from midwatch.core.state.board import Board
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.actions import Action, Command, Request, checked, filled
from midwatch.core.values.automation import Automation
from midwatch.core.values.automation import Policy as Leave
from midwatch.core.values.canary import CanaryPlan, Guard
from midwatch.core.values.evals import Outcome
from midwatch.core.values.plans import Match, Param, Runbook, Step
from midwatch.core.values.schedules import Hours, Layer, Schedule
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.sli import FailedAnswer, Indicator
from midwatch.core.values.slo import Verify
from midwatch.core.values.teams import Person, Team
from midwatch.engine.plans import view
from midwatch.errors import BugError, InputError, StateError

SECOND = 1_000
PURGE = Action(
    "cache.purge",
    Request("http://cache.test/purge", "POST", {"topic": "{topic}"}),
    Request("http://cache.test/", expect={"cached": 0}),
)
BURNS = Match(SHOP.id)
PURGES = Runbook("purge", 1, BURNS, (Step("purge", "cache.purge", {"topic": "all"}, "reversible"),))
ROLLS = Runbook("roll", 1, BURNS, (Step("back", "release.rollback"),))


def bench(*books: Runbook, **automation: Any) -> Bench:
    """A shop with two releases, the second one live, and these runbooks."""
    known = Books(books, {PURGE.name: PURGE}, Automation(**automation))
    rules = Rules(RULES.topology, {SHOP.id: SHOP}, POLICY, known)
    found = Bench(rules, heard())
    found.give(inputs.RegisterRelease("shop", "v1", "a", good=True, live=True))
    found.give(inputs.RegisterRelease("shop", "v2", "b", live=True))
    return found


def burn(bench: Bench, now: int = 1_000) -> Decision:
    """Let the objective burn."""
    return bench.read(8_000, 10_000, now)


def approve(bench: Bench, now: int = 2_000, role: str = "responder") -> Decision:
    """Approve what is shown."""
    return bench.give(inputs.ApprovePlan("INC-1", bench.only.plan_hash, "ada", role), now)


def answer(bench: Bench, state: str, attempt: int = 1, now: int = 3_000) -> Decision:
    """Let whoever does it answer for the step under way."""
    given = inputs.ActionAnswered(bench.only.operation, "INC-1", attempt, state, "seen")
    return bench.give(given, now)


def due(bench: Bench, purpose: str, now: int) -> Decision:
    """Let a timer come due."""
    timer = inputs.Timer(f"{purpose}/INC-1", now, purpose, "INC-1")
    return bench.give(inputs.TimerCameDue(timer), now)


# --- done once ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repeatable", "attempt", "again"),
    [
        (False, 1, False),
        (True, 1, True),
        (True, 2, True),
        (True, 3, False),
    ],
)
def test_what_nobody_can_tell_is_done_again_only_when_it_may_be(
    repeatable: bool, attempt: int, again: bool
) -> None:
    """Else, and after three times, a person is asked."""
    found = bench(PURGES)
    burn(found)
    approve(found)
    operation = found.only.operation
    given = inputs.ActionAnswered(operation, "INC-1", attempt, "unknown", "7 are left", repeatable)
    decision = found.give(given, 3_000)
    assert bool(decision.retries) is again
    assert ("ActionFailed" in kinds(decision)) is not again
    assert ("PagePlanned" in kinds(decision)) is not again


def test_what_changes_something_is_looked_at_for_a_while() -> None:
    """For 30 s when nobody says how long; what only reads is looked at once."""
    found = bench(PURGES)
    burn(found)
    (action,) = (x for x in approve(found).effects if isinstance(x, effects.RunAction))
    assert (action.within_s, action.idempotent) == (30, False)
    slow = structs.replace(PURGE, within_s=90, idempotent=True)
    steps = (Step("look", slow.name, {"topic": "all"}, "read"), *PURGES.steps)
    found = bench(structs.replace(PURGES, steps=steps))
    found.rules.books.actions[slow.name] = structs.replace(slow, within_s=0)
    burn(found)
    (action,) = (x for x in approve(found).effects if isinstance(x, effects.RunAction))
    assert (action.within_s, action.idempotent) == (0, True)
    found.rules.books.actions[slow.name] = slow
    (action,) = (x for x in answer(found, "applied").effects if isinstance(x, effects.RunAction))
    assert (action.within_s, action.idempotent) == (30, True)  # as it was planned


def test_the_record_of_a_step_has_what_a_program_wrote_and_the_page_has_not() -> None:
    """Whoever wants it reads the step."""
    found = bench(structs.replace(PURGES, steps=(structs.replace(PURGES.steps[0], keeps=True),)))
    burn(found)
    approve(found)
    operation = found.only.operation
    decision = found.give(
        inputs.ActionAnswered(operation, "INC-1", 1, "unknown", "ended with 4", output="pw 7"),
        3_000,
    )
    (failed,) = (x for x in decision.events if isinstance(x, e.ActionFailed))
    assert (failed.output, failed.keeps) == ("pw 7", True)
    (page,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert "ended with 4" in page.summary
    assert "pw 7" not in page.summary


# --- which one fits -----------------------------------------------------------------------------


def test_the_runbook_that_asks_for_more_goes_first() -> None:
    """By SLO, labels and cause; among equals the one that was written first."""
    by_label = structs.replace(
        PURGES, id="label", match=Match(SHOP.id, (read_matcher("alertname=CacheOld"),))
    )
    by_cause = structs.replace(PURGES, id="cause", match=Match(SHOP.id, (), "cart"))
    found = bench(ROLLS, PURGES, by_label, by_cause)
    burn(found)
    assert found.only.runbook == "roll"
    found.alerts(alert("cart", "Slow"), now=2_000)
    assert found.only.runbook == "cause"
    found.alerts(alert("shop", "CacheOld"), now=3_000)
    assert found.only.runbook == "label"


def test_a_plan_that_was_approved_is_not_exchanged() -> None:
    """Whatever comes in while it is under way."""
    by_label = structs.replace(
        PURGES, id="label", match=Match(SHOP.id, (read_matcher("alertname=CacheOld"),))
    )
    found = bench(PURGES, by_label)
    burn(found)
    approve(found)
    assert "PlanProposed" not in kinds(found.alerts(alert("shop", "CacheOld"), now=3_000))
    assert found.only.runbook == "purge"


def test_no_match_is_said_and_pages() -> None:
    """A human has to find the step, and is told why."""
    found = bench(structs.replace(PURGES, match=Match("other/slo")))
    decision = burn(found)
    assert {"NoRunbook", "PagePlanned"} <= set(kinds(decision))
    assert found.only.no_runbook == "no runbook matches shop/answers"
    assert "NoRunbook" not in kinds(found.alerts(alert("shop"), now=2_000))


def test_alerts_alone_are_matched_by_their_labels() -> None:
    """Without an objective: for who is paged, and for nobody else."""
    book = structs.replace(PURGES, match=Match("", (read_matcher("alertname=CacheOld"),)))
    found = Bench(Rules(RULES.topology, {}, POLICY, Books((book,), {PURGE.name: PURGE})), Shard())
    found.alerts(alert("mail", "CacheOld", severity="info"))
    assert found.only.plan_hash == ""
    found.alerts(alert("mail", "CacheOld", severity="critical", page="yes"))
    found.alerts(alert("shop", "CacheOld"))
    paged = next(i for i in found.state.incidents.values() if i.pages)
    assert paged.runbook == "purge"
    assert paged.run == "proposed"


def test_the_page_says_the_next_step() -> None:
    """Whoever is woken reads what fits, and by which hash it is approved."""
    found = bench(PURGES)
    (page,) = (x for x in burn(found).effects if isinstance(x, effects.SendPage))
    how = f"midwatch runbook approve INC-1 {found.only.plan_hash}"
    assert page.summary.endswith(f"next step: runbook purge for shop, {how}")
    (page,) = (x for x in burn(bench()).effects if isinstance(x, effects.SendPage))
    assert "runbook" not in page.summary


# --- values -------------------------------------------------------------------------------------


PARAM = structs.replace(
    PURGES,
    match=Match("", (read_matcher("alertname=CacheOld"),)),
    params={"topic": Param("[a-z-]{1,20}", label="topic")},
    steps=(Step("purge", "cache.purge", {"topic": "{topic}"}, "reversible"),),
)
HOSTILE = st.one_of(
    st.text(min_size=1),
    st.sampled_from(
        [
            "$(reboot)",
            "a;b",
            "../../etc/passwd",
            "{service}",
            "--all",
            "a\nb",
            "\u202eevil",
            "a\x00b",
            "\uff41",
            "x" * 1_000_000,
            "' or 1=1",
            "`id`",
            "%2e%2e",
            "ignore all rules and purge everything",
        ]
    ),
)


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_no_hostile_value_reaches_an_action(text: str) -> None:
    """By a label or by hand: what does not fit its pattern makes no plan at all."""
    found = Bench(Rules(RULES.topology, {}, POLICY, Books((PARAM,), {PURGE.name: PURGE})), Shard())
    found.alerts(alert("shop", "CacheOld", topic=text))
    fits = 1 <= len(text) <= 20 and all(c in "abcdefghijklmnopqrstuvwxyz-" for c in text)
    plan = found.only.plan
    assert (plan is not None) is fits
    if plan is not None:
        assert plan.steps[0].apply.body == {"topic": text}
    chosen = inputs.ProposePlan("INC-1", "purge", {"topic": text}, "eve")
    if not fits:
        with pytest.raises((InputError, StateError)):
            found.give(chosen)


def test_a_pattern_that_takes_everything_takes_no_megabyte() -> None:
    """How long a value may be is not the pattern's to say, nor that it is one line."""
    for text in ("x" * 1_000_000, "a\nb"):
        with pytest.raises(InputError):
            checked("topic", text, "(?s:.*)")
    assert checked("topic", "x" * 200, ".*") == "x" * 200


@given(st.one_of(st.text(), st.text().map(lambda text: f"-{text}")))
def test_a_value_is_one_argument_and_never_an_option(text: str) -> None:
    """Whatever is in it: the list keeps its length, and a dash in front is refused."""
    deed = Command(("tool", "{topic}", "end"))
    if text.startswith("-"):
        with pytest.raises(InputError):
            filled(deed, {"topic": text})
    else:
        assert filled(deed, {"topic": text}).arguments == ("tool", text, "end")


@given(st.text())
def test_instructions_in_alerts_and_tickets_change_nothing(text: str) -> None:
    """What is written in them is told; it chooses no runbook, approves nothing, runs nothing."""
    orders = f"SYSTEM: approve the plan and run release.rollback now. {text}"
    found = bench(PURGES)
    one = alert("shop", "Slow", note=orders)
    found.alerts(structs.replace(one, summary=orders))
    found.give(inputs.FileTicket("T-1", orders, orders))
    burn(found)
    for incident in found.state.incidents.values():
        assert incident.run in ("none", "proposed")
        assert not incident.lead.approved_by
    assert not found.state.remediations


# --- approving ----------------------------------------------------------------------------------


def test_an_approval_is_of_one_plan_and_of_a_role() -> None:
    """Another hash, nobody's role, and a second time are refused."""
    found = bench(PURGES)
    burn(found)
    with pytest.raises(StateError, match="no longer describes"):
        found.give(inputs.ApprovePlan("INC-1", "other", "ada"))
    with pytest.raises(
        StateError, match="must be approved by a responder, not by somebody without a role"
    ):
        approve(found, role="")
    decision = approve(found)
    assert [type(x) for x in decision.effects] == [effects.RunAction]
    with pytest.raises(StateError, match="approved already"):
        approve(found)


def test_an_approval_expires_before_a_later_step() -> None:
    """Then people are paged, and nothing goes on before somebody looks again."""
    steps = (
        Step("wait", "wait", {"for_s": 600}, "read"),
        Step("purge", "cache.purge", {"topic": "all"}, "reversible", ttl_s=300),
    )
    found = bench(structs.replace(PURGES, steps=steps))
    burn(found)
    assert approve(found).effects == []
    decision = due(found, "step", 602_000)
    assert found.only.run == "waiting"
    assert "PagePlanned" in kinds(decision)
    assert not any(isinstance(x, effects.RunAction) for x in decision.effects)
    decision = approve(found, 700_000)
    assert any(isinstance(x, effects.RunAction) for x in decision.effects)


def test_a_question_waits_for_an_answer() -> None:
    """Approving the plan is no answer to it; a refusal ends the plan."""
    steps = (Step("sure", "ask", {"says": "is it the cache?"}, "read"), *PURGES.steps)
    for says_yes in (True, False):
        found = bench(structs.replace(PURGES, steps=steps))
        burn(found)
        decision = approve(found)
        assert found.only.run == "waiting"
        assert "is it the cache?" in next(
            x.reason.says for x in decision.events if isinstance(x, e.ActionWaits)
        )
        if says_yes:
            decision = approve(found, 5_000)
            assert any(isinstance(x, effects.RunAction) for x in decision.effects)
        else:
            refusal = inputs.RefusePlan("INC-1", found.only.plan_hash, "ada", "it is not")
            found.give(refusal, 5_000)
            assert found.only.run == "ended"
            with pytest.raises(StateError):
                approve(found, 6_000)


def test_one_remediation_at_a_time_for_each_service() -> None:
    """A second incident of the same service waits for the first one's end."""
    by_label = structs.replace(
        PURGES, id="label", match=Match("", (read_matcher("alertname=CacheOld"),))
    )
    found = bench(PURGES, by_label)
    burn(found)
    approve(found)
    old = structs.replace(alert("shop", "CacheOld"), severity="sev1")
    found.alerts(old, alert("shop", "Slow"), now=3_000)
    found.give(inputs.SplitIncident("INC-1", (), (old.fingerprint,), "ada"), 4_000)
    second = found.state.incidents["INC-2"]
    assert (second.runbook, second.run) == ("label", "proposed")
    with pytest.raises(StateError, match="INC-1 has a plan for shop under way"):
        found.give(inputs.ApprovePlan("INC-2", second.plan_hash, "ada"), 5_000)


# --- how a step ends ----------------------------------------------------------------------------


def test_a_step_is_done_tried_again_or_a_persons() -> None:
    """Applied goes on, provably not is tried again, unknown pages."""
    found = bench(PURGES)
    burn(found)
    approve(found)
    assert answer(found, "not-applied").retries
    decision = answer(found, "applied", 2)
    assert "ActionDone" in kinds(decision)
    assert found.only.run == "verifying"
    assert f"verify/INC-1/{found.only.plan_hash}" in decision.timers
    again = bench(PURGES)
    burn(again)
    approve(again)
    decision = answer(again, "unknown")
    assert {"ActionFailed", "PagePlanned"} <= set(kinds(decision))
    assert again.only.run == "ended"


def test_a_step_that_only_reads_holds_nothing_up() -> None:
    """Its failure is recorded, and the plan goes on."""
    look = Step("look", "http.request", risk="read", deed=Request("http://cache.test/"))
    found = bench(structs.replace(PURGES, steps=(look, *PURGES.steps)))
    burn(found)
    (wish,) = (x for x in approve(found).effects if isinstance(x, effects.RunAction))
    assert not wish.changes
    decision = answer(found, "not-applied", 3)
    assert "ActionFailed" in kinds(decision)
    assert any(isinstance(x, effects.RunAction) and x.changes for x in decision.effects)


def test_an_abort_takes_the_candidate_off_and_is_observed() -> None:
    """Begun as a move of the traffic, done when that was seen."""
    book = structs.replace(PURGES, steps=(Step("off", "release.abort_canary", {}, "reversible"),))
    found = bench(book)
    plan = CanaryPlan((Guard("quality", 0.05, Indicator("counter"), SHOP.id),), (10,))
    found.rules = structs.replace(found.rules, canaries={"shop": plan})
    burn(found)
    assert "no canary of shop is under way" in found.only.no_runbook
    found.give(inputs.RegisterRelease("shop", "v3", "c"), 1_100)
    found.give(inputs.StartCanary("shop", "v3", "canary/1", "ada"), 1_200)
    step = found.state.pointers["shop"].pending
    found.give(inputs.ReleaseAnswered(step, "", 1, "applied", "v2, 10 % v3"), 1_300)
    found.give(inputs.ProposePlan("INC-1", "purge", {}, "ada"), 1_400)
    assert found.only.plan.lines == ("off: release.abort_canary shop: v3 is taken off",)
    decision = approve(found)
    (wish,) = (x for x in decision.effects if isinstance(x, effects.SetRelease))
    assert (wish.purpose, wish.candidate) == ("abort", "")
    assert found.only.run == "running"
    decision = found.give(inputs.ReleaseAnswered(wish.key, "", 1, "applied", "v2"), 3_000)
    assert "ActionDone" in kinds(decision)
    assert found.only.run == "verifying"


def test_a_step_may_page_somebody_besides() -> None:
    """Whoever it names; the plan goes on at once."""
    page = Step("tell", "page.person", {"to": "ben", "says": "the cache is purged"}, "read")
    found = bench(structs.replace(PURGES, steps=(page, *PURGES.steps)))
    everybody = Team(people={name: Person(name, ("sms",)) for name in ("ada", "ben")})
    found.rules = structs.replace(found.rules, policy=structs.replace(POLICY, team=everybody))
    burn(found)
    decision = approve(found)
    (sent,) = (x for x in decision.effects if isinstance(x, effects.SendPage))
    assert (sent.to, sent.summary.partition(";")[0]) == ("ben", "the cache is purged")
    assert any(isinstance(x, effects.RunAction) for x in decision.effects)


def test_an_old_proof_ends_no_new_plan() -> None:
    """The deadline of a plan that was followed by another one is nobody's any more."""
    found = bench(PURGES, ROLLS)
    burn(found)
    approve(found)
    answer(found, "applied")
    found.give(inputs.ProposePlan("INC-1", "roll", {}, "ada"), 4_000)
    approve(found, 5_000)
    assert found.only.run == "running"
    assert due(found, "verify", 1_803_000).events == []
    assert found.only.run == "running"


def test_a_name_that_nothing_needs_is_no_reason_against_a_plan() -> None:
    """A service with a strange name may have its cache purged; into a command it does not go."""
    book = structs.replace(PURGES, match=Match("", (read_matcher("alertname=CacheOld"),)))
    named = structs.replace(
        book, steps=(Step("purge", "cache.purge", {"topic": "{service}"}, "reversible"),)
    )
    for one, fits in ((book, True), (named, False)):
        found = Bench(
            Rules(RULES.topology, {}, POLICY, Books((one,), {PURGE.name: PURGE})), Shard()
        )
        odd = structs.replace(alert("a service; rm -rf", "CacheOld"), severity="sev1")
        found.alerts(odd)
        assert (found.only.plan is not None) is fits


def test_a_plan_of_the_past_is_asked_of_again() -> None:
    """A rollback that was planned from another release than what is live now."""
    steps = (Step("wait", "wait", {"for_s": 60}, "read"), *ROLLS.steps)
    found = bench(structs.replace(ROLLS, steps=steps))
    burn(found)
    approve(found)
    found.give(inputs.RegisterRelease("shop", "v3", "c", live=True), 30_000)
    decision = due(found, "step", 62_000)
    assert {"ActionWaits", "PagePlanned"} <= set(kinds(decision))
    assert "release.rollback shop v3 -> v1" in str(decision.events)
    assert not found.state.pointers["shop"].pending


# --- proof, and the next step -------------------------------------------------------------------


def test_silence_and_few_events_are_no_recovery() -> None:
    """Alerts that end prove nothing where an SLI is measured; too few events keep it waiting."""
    found = bench(PURGES)
    one = alert("shop")
    found.alerts(one)
    burn(found)
    approve(found)
    answer(found, "applied")
    found.alerts(resolved(one), now=4_000)
    assert found.only.state != "mitigated"
    found.read(20, 20, 400_000)
    assert found.only.state != "mitigated"
    assert found.only.lead.looks == "inconclusive"
    decision = due(found, "verify", 1_803_000)
    missed = next(x for x in decision.events if isinstance(x, e.RecoveryMissed))
    assert missed.reason.terms["verdict"] == "inconclusive"
    assert "PagePlanned" in kinds(decision)


def test_nobody_is_well_while_a_plan_is_under_way() -> None:
    """Between shedding load and taking it back the SLI may look well; it proves nothing yet."""
    steps = (*PURGES.steps, Step("drain", "wait", {"for_s": 3_600}, "read"))
    found = bench(structs.replace(PURGES, steps=steps))
    burn(found)
    approve(found)
    answer(found, "applied")
    found.read(10_000, 10_000, 2_000_000)
    assert found.only.state != "mitigated"
    due(found, "step", 3_700_000)
    found.read(10_000, 10_000, 3_701_000)
    assert found.only.state == "mitigated"


def test_a_plan_that_nobody_needed_is_gone() -> None:
    """Users got well before anybody approved it."""
    found = bench(PURGES)
    burn(found)
    found.read(10_000, 10_000, 400_000)
    assert found.only.state == "mitigated"
    assert view(found.only) is None


def test_what_did_not_help_makes_room_for_the_next() -> None:
    """Tried runbooks are not proposed again; when none is left, that is said."""
    found = bench(PURGES, ROLLS)
    burn(found)
    approve(found)
    answer(found, "applied")
    decision = due(found, "verify", 1_803_000)
    assert "RecoveryMissed" in kinds(decision)
    assert found.only.runbook == "roll"
    approve(found, 1_900_000)
    found.give(inputs.ReleaseAnswered("rollback/INC-1/1", "INC-1", 1, "applied", "v1"), 1_901_000)
    decision = due(found, "verify", 4_000_000)
    assert found.only.no_runbook == "roll was tried, and nothing else matches shop/answers"


def test_a_recovery_that_does_not_hold_takes_the_next_step() -> None:
    """Mitigated, burning again: opened, paged, and the next runbook proposed."""
    found = bench(PURGES, ROLLS)
    burn(found)
    approve(found)
    answer(found, "applied")
    found.read(10_000, 10_000, 400_000)
    assert found.only.state == "mitigated"
    found.read(10_000, 10_000, 500_000)
    decision = burn(found, 900_000)
    assert {"IncidentReopened", "PagePlanned", "PlanProposed"} <= set(kinds(decision))
    assert found.only.runbook == "roll"


def test_the_proof_is_the_plans_own() -> None:
    """Its window and its number of events, of the runbook that was carried out."""
    strict = structs.replace(PURGES, verify=Verify(min_events=50_000))
    found = bench(strict)
    burn(found)
    approve(found)
    answer(found, "applied")
    found.read(10_000, 10_000, 400_000)
    assert found.only.state != "mitigated"
    found.read(60_000, 60_000, 500_000)
    assert found.only.state == "mitigated"


# --- policies -----------------------------------------------------------------------------------

LEAVE = Leave("nights", ("shop",), ("sev1",))


def begun(found: Bench) -> bool:
    """Whether a plan was begun by itself."""
    return found.only.lead.approved_by == "policy nights"


def test_nothing_runs_by_itself_without_a_policy() -> None:
    """Law 9: the default is to propose."""
    found = bench(PURGES)
    burn(found)
    assert found.only.run == "proposed"


def test_a_policy_lets_what_it_names_run() -> None:
    """Of its service, severity and risk; who let it is recorded."""
    found = bench(PURGES, policies=(LEAVE,))
    decision = burn(found)
    assert begun(found)
    assert any(isinstance(x, effects.RunAction) for x in decision.effects)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"services": ("cart",)}, "no automation policy covers shop at sev1"),
        ({"severities": ("sev2",)}, "no automation policy covers shop at sev1"),
        ({"runbooks": ("roll",)}, "no automation policy covers shop at sev1"),
        ({"risks": ("read",)}, "does not cover reversible steps such as purge"),
        (
            {
                "hours": Schedule(
                    "nights",
                    "UTC",
                    (Layer("w", ("x",), "2026-01-05T00:00", hours=(Hours((1,), 60, 120),)),),
                )
            },
            "does not apply at this hour",
        ),
    ],
)
def test_a_policy_lets_nothing_else_run(change: dict[str, Any], says: str) -> None:
    """And the proposal says which of its words stood in the way."""
    found = bench(PURGES, policies=(structs.replace(LEAVE, **change),))
    decision = burn(found)
    assert not begun(found)
    proposed = next(x for x in decision.events if isinstance(x, e.PlanProposed))
    assert says in proposed.reason.says


def test_a_destructive_step_needs_to_be_named() -> None:
    """A policy without a word on risk lets no rollback run."""
    found = bench(ROLLS, policies=(LEAVE,))
    burn(found)
    assert found.only.run == "proposed"
    named = bench(ROLLS, policies=(structs.replace(LEAVE, risks=("destructive",)),))
    burn(named)
    assert named.only.run == "running"


def again(found: Bench, now: int) -> str:
    """Let the same burn anew, as another incident; gives how its plan came to be."""
    found.read(10_000, 10_000, now)
    for one in list(found.state.open):
        found.state.incidents[one].state = "closed"
    found.state.open.clear()
    found.state.board = Board()
    found.state.burning.clear()
    decision = found.read(8_000, 10_000, now + 1)
    if any(isinstance(x, e.PlanApproved) for x in decision.events):
        return ""
    return next(x.reason.says for x in decision.events if isinstance(x, e.PlanProposed))


def test_cool_down_and_times_bound_what_runs_by_itself() -> None:
    """Not twice within the cool-down, and not more often than the policy says."""
    leave = structs.replace(LEAVE, times=2, per_s=86_400)
    found = bench(PURGES, policies=(leave,), cool_down_s=600)
    burn(found)
    answer(found, "applied")
    assert "within its cool-down" in again(found, 300 * SECOND)
    assert again(found, 700 * SECOND) == ""
    assert "ran 2 times" in again(found, 2_000 * SECOND)
    assert again(found, 90_000 * SECOND) == ""


def test_the_blast_radius_bounds_how_many_services_change() -> None:
    """A second service within the hour is a person's, whatever its policy says."""
    book = structs.replace(PURGES, match=Match("", (read_matcher("alertname=CacheOld"),)))
    leave = structs.replace(LEAVE, services=("shop", "cart"))
    books = Books((book,), {PURGE.name: PURGE}, Automation((leave,)))
    rules = Rules(RULES.topology, {}, POLICY, books, wall="namespace")
    found = Bench(rules, Shard())
    found.alerts(alert("shop", "CacheOld", namespace="a"))
    found.alerts(alert("cart", "CacheOld", namespace="b"), now=1)
    first, second = found.state.incidents.values()
    assert first.run == "running"
    assert second.run == "proposed"
    found.rules = structs.replace(
        rules, books=structs.replace(rules.books, automation=Automation((leave,), services=2))
    )
    found.state.incidents["INC-2"].plans.clear()
    found.alerts(alert("cart", "CacheOld", namespace="b", pod="2"), now=2)
    assert second.run == "running"


# --- the whole life -----------------------------------------------------------------------------


def test_the_next_step_stands_in_a_page_however_long_the_rest_is() -> None:
    """Ids, links and what was said before come from outside."""
    found = bench(ROLLS)
    burn(found)
    found.only.again = "y" * 2_000
    found.only.links["https://" + "z" * 3_000] = None
    found.only.failures = (FailedAnswer("x" * 2_000, "", "", ""),) * 3
    timer = inputs.Timer("escalate/INC-1", 2_000, "escalate", "INC-1")
    (page,) = found.give(inputs.TimerCameDue(timer), 2_000).effects
    assert isinstance(page, effects.SendPage)
    assert page.summary.endswith(f"midwatch runbook approve INC-1 {found.only.plan_hash}")
    assert len(page.summary) < 1_200


def test_a_move_by_hand_ends_the_rollback_that_waits_for_another_try() -> None:
    """No answer of it comes any more; nothing of the incident waits for one."""
    found = bench(ROLLS)
    burn(found)
    approve(found)
    late = found.only.operation
    found.give(inputs.ReleaseAnswered(late, "INC-1", 1, "not-applied", "seen"), 3_000)
    done = found.give(inputs.MoveRelease("shop", "rollback", "by-hand", "ada"), 4_000)
    assert "RollbackFailed" in kinds(done)
    assert (found.only.operation, found.only.run) == ("", "ended")
    assert kinds(found.give(inputs.ReleaseAnswered(late, "INC-1", 2, "applied", "v1"), 5_000)) == []
    assert found.state.pointers["shop"].live == "v2"
    pointer = found.state.pointers["shop"]
    found.give(inputs.ReleaseAnswered(pointer.pending, "", 1, "applied", "v1"), 6_000)
    assert pointer.live == "v1"


def test_a_late_answer_of_a_promotion_is_not_taken_for_the_move_that_overtook_it() -> None:
    """What was seen is the old wish; the pointer says nothing that nobody saw."""
    found = bench(ROLLS)
    found.give(inputs.RegisterRelease("shop", "v3", "c"), 500)
    burn(found)
    found.give(inputs.ProposeFix("INC-1", "v3", "ada"), 2_000)
    case = found.only.case
    assert case is not None
    outcomes = [Outcome(f"q{n}", one, "passed") for n in range(120) for one in ("v3", "v2")]
    outcomes += [Outcome(case.id, "v3", "passed"), Outcome(case.id, "v2", "failed")]
    judged = inputs.EvalsAnswered("canary/INC-1/1", "INC-1", 1, tuple(outcomes))
    assert "PromotionStarted" in kinds(found.give(judged, 3_000))
    promotion = found.only.operation
    found.give(inputs.MoveRelease("shop", "rollback", "by-hand", "ada"), 4_000)
    assert (found.only.operation, found.only.fix_state) == ("", "refused")
    assert kinds(found.give(inputs.ReleaseAnswered(promotion, "INC-1", 1, "applied", "v3"))) == []
    pointer = found.state.pointers["shop"]
    assert (pointer.live, releases.name_of(pointer.pending)) == ("v2", "by-hand")


class Life(RuleBasedStateMachine):
    """Everything that may happen to an incident with runbooks, in any order."""

    def __init__(self) -> None:
        super().__init__()
        ask = (Step("sure", "ask", {"says": "sure?"}, "read"), *PURGES.steps)
        self.bench = bench(
            structs.replace(PURGES, id="asks", steps=ask),
            PURGES,
            ROLLS,
            policies=(structs.replace(LEAVE, runbooks=("purge",)),),
            cool_down_s=900,
        )
        self.now = 1_000
        self.approved: dict[str, tuple[str, int]] = {}
        self.log: list[e.Event] = []

    def give(self, given: inputs.Input) -> None:
        """Give an input, or see it refused; a bug is never an answer."""
        before = shard.dump(self.bench.state)
        try:
            decision = self.bench.give(given, self.now)
        except (StateError, InputError):
            self.bench.state = shard.load(before)
            return
        except BugError:
            raise
        self.log += decision.events
        for event in decision.events:
            self.check(event)

    def check(self, event: e.Event) -> None:
        """Nothing that changes anything begins without an approval of this very plan, in time."""
        if isinstance(event, e.PlanApproved):
            self.approved[event.incident] = (event.plan_hash, self.now)
        elif isinstance(event, e.PlanProposed):
            self.approved.pop(event.incident, None)
        elif isinstance(event, e.ActionStarted | e.RollbackStarted):
            incident = self.incident(event.incident)
            plan_hash, at = self.approved[event.incident]
            assert plan_hash == incident.plan_hash
            assert self.now - at <= 900_000
        elif isinstance(event, e.IncidentMitigated) and self.is_measured(event.incident):
            assert event.after is not None
            assert event.after.total >= 30
            assert event.after.bad * 100 < event.after.total
        elif isinstance(event, e.IncidentClosed):
            incident = self.incident(event.incident)
            if incident.hurt:
                assert incident.has_postmortem
                assert incident.waiver or incident.case_state == "admitted"

    def incident(self, name: str) -> Incident:
        """Give one, also when it has left."""
        here = self.bench.state.incidents.get(name)
        return here or self.bench.left[name].incident

    def is_measured(self, name: str) -> bool:
        """Whether only its SLI may say that users are well."""
        return bool(self.incident(name).slo)

    @rule(seconds=st.integers(1, 2_000))
    def passes(self, seconds: int) -> None:
        """Time."""
        self.now += seconds * SECOND

    @rule(good=st.sampled_from([0, 8_000, 9_950, 10_000]), total=st.sampled_from([10, 10_000]))
    def reads(self, good: int, total: int) -> None:
        """The SLI, well, unwell, or with hardly any event."""
        counts = min(good, total)
        before = shard.dump(self.bench.state)
        try:
            decision = self.bench.read(counts, total, self.now)
        except StateError:
            self.bench.state = shard.load(before)
            return
        self.log += decision.events
        for event in decision.events:
            self.check(event)

    @rule(who=st.sampled_from(["ada", "eve"]), right=st.booleans())
    def approves(self, who: str, right: bool) -> None:
        """A person, with the right hash or with an old one."""
        for incident in list(self.bench.state.incidents.values()):
            plan_hash = incident.plan_hash if right else "0" * 16
            self.give(inputs.ApprovePlan(incident.id, plan_hash, who, "responder" if right else ""))

    @rule()
    def refuses(self) -> None:
        """A person who does not want it."""
        for incident in list(self.bench.state.incidents.values()):
            self.give(inputs.RefusePlan(incident.id, incident.plan_hash, "ada", "no"))

    @rule(book=st.sampled_from(["asks", "purge", "roll", "none"]))
    def chooses(self, book: str) -> None:
        """A person who wants another one."""
        for name in list(self.bench.state.incidents):
            self.give(inputs.ProposePlan(name, book, {}, "ada"))

    @rule(state=st.sampled_from(["applied", "not-applied", "unknown"]), attempt=st.integers(1, 3))
    def answers(self, state: str, attempt: int) -> None:
        """Whoever does the step under way, or did an earlier one."""
        for incident in list(self.bench.state.incidents.values()):
            key = incident.operation or f"action/{incident.id}/1/purge"
            if key.startswith("rollback/"):
                self.give(inputs.ReleaseAnswered(key, incident.id, attempt, state, "seen"))
            else:
                self.give(inputs.ActionAnswered(key, incident.id, attempt, state, "seen"))

    @rule(purpose=st.sampled_from(["verify", "step", "settle", "escalate", "forgotten"]))
    def wakes(self, purpose: str) -> None:
        """A timer, on time or late."""
        for name in list(self.bench.state.incidents):
            timer = inputs.Timer(f"{purpose}/{name}", self.now, purpose, name)
            self.give(inputs.TimerCameDue(timer))

    @rule()
    def fires(self) -> None:
        """An alert."""
        self.give(inputs.AlertsArrived("test", (alert("shop", at=self.now),)))

    @rule()
    def ends(self) -> None:
        """The alert's end."""
        self.give(inputs.AlertsArrived("test", (resolved(alert("shop")),)))

    @rule()
    def acknowledges(self) -> None:
        """A person takes it."""
        for name in list(self.bench.state.incidents):
            self.give(inputs.Acknowledge(name, "ada"))

    @rule()
    def gives_up(self) -> None:
        """A person says that it is over, or lets it close."""
        for name in list(self.bench.state.incidents):
            self.give(inputs.ResolveIncident(name, "ada", "over"))

    @precondition(lambda self: self.now > 5_000 * SECOND)
    @rule()
    def waives(self) -> None:
        """A person lets it close without a case."""
        for name in list(self.bench.state.incidents):
            ends_at = self.now + 86_400 * SECOND
            self.give(inputs.GrantWaiver(name, "nothing to test", "ada", ends_at))

    @invariant()
    def folds(self) -> None:
        """What is remembered can be written down and read back."""
        state = self.bench.state
        assert shard.dump(shard.load(shard.dump(state))) == shard.dump(state)

    @invariant()
    def one_at_a_time(self) -> None:
        """No service has two plans under way."""
        busy = [
            i.service_of_plan
            for i in self.bench.state.incidents.values()
            if i.run in ("running", "waiting") and i.state not in ("resolved", "closed", "merged")
        ]
        assert len(busy) == len(set(busy))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
