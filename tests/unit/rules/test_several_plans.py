"""Several plans in one incident: each is named by its hash, and runs its own service alone."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from tests.unit.rules.test_consent import DROP, RESTORE, SHED, SOON, SURE, book, runs, stopped
from tests.unit.rules.test_core import SHOP, Bench, alert, kinds, resolved
from tests.unit.rules.test_subjects import (
    ANY_OF,
    DB,
    bench,
    both_burn,
    burn,
    first,
    quiet,
    rolls,
    stuck,
)

from midwatch.cli import runbook
from midwatch.core.decide import decide
from midwatch.core.rules.planning import Books
from midwatch.core.state import effects, inputs, shard, upgrades
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.state.events import Event
from midwatch.core.state.runs import Run
from midwatch.core.state.shard import Shard
from midwatch.core.state.undo import Undo
from midwatch.core.values.actions import Action, Request
from midwatch.core.values.automation import Automation
from midwatch.core.values.plans import Match, Runbook, Step
from midwatch.core.values.slo import Verify
from midwatch.engine.plans import views
from midwatch.engine.queries import outline
from midwatch.errors import StateError

JOURNALS = Path(__file__).parents[2] / "fixtures" / "journals"
SHOPS = structs.replace(book(SHED, SOON, RESTORE, slo=SHOP.id), id="shop")
DBS = structs.replace(book(DROP, slo=DB.id), id="db")


def of(found: Bench, runbook: str) -> Run:
    """The newest plan of a runbook."""
    return next(one for one in reversed(first(found).plans) if one.runbook == runbook)


def approve(found: Bench, runbook: str, now: int = 20_000) -> Decision:
    """Approve the plan of a runbook."""
    return found.give(inputs.ApprovePlan("INC-1", of(found, runbook).hash, "ada"), now)


def answer(found: Bench, runbook: str, state: str = "applied", now: int = 21_000) -> Decision:
    """Let the step of a runbook end."""
    given = inputs.ActionAnswered(of(found, runbook).operation, "INC-1", 1, state, "seen")
    return found.give(given, now)


def verdicts(decision: Decision, kind: type[Any]) -> list[str]:
    """Name the plans that an event of a decision is about."""
    return [x.plan_hash for x in decision.events if isinstance(x, kind)]


# --- beside each other --------------------------------------------------------------------------


def test_each_burning_objective_has_its_plan_and_they_run_beside_each_other() -> None:
    """Two approvals, two services; each event names its own."""
    found = both_burn(bench(SHOPS, DBS))
    assert [(one.runbook, one.state) for one in first(found).plans] == [
        ("shop", "proposed"),
        ("db", "proposed"),
    ]
    shop, db = of(found, "shop").hash, of(found, "db").hash
    assert shop != db
    assert runs(approve(found, "shop")) == ["shed"]
    decision = approve(found, "db")
    assert runs(decision) == ["drop"]
    assert verdicts(decision, e.ActionStarted) == [db]
    assert [one.service for one in found.state.remediations] == ["shop", "db"]
    assert verdicts(answer(found, "shop"), e.ActionDone) == [shop]
    assert (of(found, "shop").step, of(found, "db").step) == (1, 0)
    shown = {one.hash: (one.service, one.state) for one in views(first(found))}
    assert shown == {shop: ("shop", "running"), db: ("db", "running")}


def test_the_page_names_each_plan_by_its_hash() -> None:
    """A few of them, and how many more there are."""
    found = both_burn(bench(SHOPS, DBS))
    timer = inputs.Timer("escalate/INC-1", 400_000, "escalate", "INC-1")
    (page,) = found.give(inputs.TimerCameDue(timer), 400_000).effects
    assert isinstance(page, effects.SendPage)
    for name in ("shop", "db"):
        how = f"runbook {name} for {name}, midwatch runbook approve INC-1 "
        assert how + of(found, name).hash in page.summary
    many = quiet(bench(book(DROP)))
    many.alerts(*(alert(f"web{n}", "Slow") for n in range(12)), now=1_000)
    for name in list(many.state.incidents)[1:]:
        many.give(inputs.MergeIncident(name, "INC-1", "ada"), 2_000)
    assert len(first(many).plans) == 8
    (page,) = many.give(inputs.TimerCameDue(timer), 400_000).effects
    assert isinstance(page, effects.SendPage)
    assert page.summary.count("midwatch runbook approve") == 3
    assert "; 5 more plans: midwatch incidents show INC-1" in page.summary


def test_a_plan_is_proven_by_its_own_objective_while_another_runs() -> None:
    """It ends there; the incident is mitigated when all are well and nothing runs."""
    found = both_burn(bench(structs.replace(SHOPS, steps=(SHED,)), DBS))
    approve(found, "shop")
    answer(found, "shop")
    assert of(found, "shop").state == "verifying"
    approve(found, "db", 22_000)
    burn(found, SHOP, 400_000)
    assert of(found, "shop").looks == "burning"
    decision = burn(found, SHOP, 700_000, good=10_000)
    assert verdicts(decision, e.RecoveryJudged) == [of(found, "shop").hash]
    assert (of(found, "shop").state, of(found, "db").state) == ("ended", "running")
    assert first(found).state != "mitigated"
    answer(found, "db", now=710_000)
    burn(found, DB, 1_400_000, good=10_000)
    assert first(found).state == "mitigated"


def test_nobody_is_mitigated_while_a_plan_of_another_service_runs() -> None:
    """What it does is not seen yet."""
    found = both_burn(bench(SHOPS, structs.replace(DBS, steps=(SHED, SOON, DROP))))
    approve(found, "db")
    answer(found, "db")
    burn(found, SHOP, 700_000, good=10_000)
    burn(found, DB, 701_000, good=10_000)
    assert first(found).state != "mitigated"


def test_a_deadline_pages_though_another_plan_was_chosen_meanwhile() -> None:
    """The first one goes on being watched, under its own name."""
    found = bench(structs.replace(SHOPS, steps=(SHED,)), structs.replace(DBS, match=Match("x/y")))
    burn(found, SHOP, 1_000)
    approve(found, "shop")
    decision = answer(found, "shop")
    old = of(found, "shop").hash
    timer = decision.timers[f"verify/INC-1/{old}"]
    assert timer is not None
    found.give(inputs.ProposePlan("INC-1", "db", {}, "ada", "shop"), 30_000)
    approve(found, "db", 40_000)
    decision = found.give(inputs.TimerCameDue(timer), timer.due_at)
    assert verdicts(decision, e.RecoveryMissed) == [old]
    assert "PagePlanned" in kinds(decision)


# --- one at a time for a service, and a rollback first -------------------------------------------


def test_one_plan_runs_a_service_also_within_an_incident() -> None:
    """Two objectives of one service: the second plan waits for the first one's end."""
    found = both_burn(bench(SHOPS, structs.replace(DBS, match=Match("x/y"))))
    approve(found, "shop")
    with pytest.raises(StateError, match="has shop for shop under way"):
        found.give(inputs.ProposePlan("INC-1", "db", {}, "ada", "shop"), 22_000)
    found.give(inputs.ProposePlan("INC-1", "db", {}, "ada", "db"), 22_000)
    assert runs(approve(found, "db", 23_000)) == ["drop"]


def test_a_rollback_goes_before_what_runs_its_own_service_and_nothing_else() -> None:
    """The other plan's step ends and no further one begins; the neighbour's runs on."""
    roll = Runbook("roll", 1, Match("x/y"), (Step("back", "release.rollback"),))
    found = both_burn(bench(structs.replace(SHOPS, steps=(SHED, DROP)), DBS, roll))
    approve(found, "shop")
    approve(found, "db")
    found.give(inputs.ProposePlan("INC-1", "roll", {}, "ada", "shop"), 22_000)
    decision = approve(found, "roll", 23_000)
    assert [x.service for x in decision.events if isinstance(x, e.RollbackStarted)] == ["shop"]
    assert verdicts(decision, e.PlanStopAsked) == [of(found, "shop").hash]
    assert of(found, "db").stopping == ""
    decision = answer(found, "shop", now=24_000)
    assert stopped(decision) == (
        "stopped by a rollback of shop takes precedence; done: shed; not done: drop"
    )
    assert runs(decision) == []
    assert of(found, "roll").operation.startswith("rollback/")
    assert verdicts(answer(found, "db", now=25_000), e.ActionDone) == [of(found, "db").hash]


def test_only_the_rollback_itself_goes_before_what_runs() -> None:
    """A plan that begins with another step waits for the end of what runs its service."""
    roll = Runbook("roll", 1, Match("x/y"), (DROP, Step("back", "release.rollback")))
    found = both_burn(bench(SHOPS, roll))
    approve(found, "shop")
    with pytest.raises(StateError, match="has shop for shop under way"):
        found.give(inputs.ProposePlan("INC-1", "roll", {}, "bob", "shop"), 21_000)
    assert of(found, "shop").stopping == ""
    plan = next(one.plan for one in first(found).plans if one.runbook == "shop")
    assert plan is not None
    back = structs.replace(plan.steps[0], action="release.rollback")
    mixed = structs.replace(plan, steps=(plan.steps[0], back))
    assert [Run(plan=mixed, step=one).rolls_back for one in (0, 1, 2)] == [False, True, False]


def test_a_rollback_goes_before_a_plan_of_another_incident() -> None:
    """One that waits there is stopped at once."""
    found = quiet(bench(book(SURE, DROP), rolls("alertname=Bad")))
    found.rules = structs.replace(found.rules, wall="namespace")
    found.alerts(alert("shop", "Slow", namespace="a"))
    found.alerts(alert("shop", "Bad", namespace="b"), now=1_000)
    approve(found, "book")
    assert of(found, "book").state == "waiting"
    other = found.state.incidents["INC-2"]
    decision = found.give(inputs.ApprovePlan("INC-2", other.plan_hash, "ada"), 30_000)
    assert "RollbackStarted" in kinds(decision)
    assert stopped(decision).startswith("a rollback of shop takes precedence; done: nothing")


def test_each_service_is_rolled_back_once_an_incident() -> None:
    """Two services, two rollbacks; what was live of each is condemned, and no third is planned."""
    found = quiet(bench(rolls("alertname=Bad")))
    found.alerts(alert("shop", "Bad"), alert("mail", "Bad"))
    assert {one.plan.service for one in first(found).plans if one.plan} == {"shop", "mail"}
    for number, run in enumerate(list(first(found).plans), 1):
        given = inputs.ApprovePlan("INC-1", run.hash, "ada")
        assert "RollbackStarted" in kinds(found.give(given, 20_000 + number))
    assert first(found).rollbacks == 2
    for run in list(first(found).plans):
        done = inputs.ReleaseAnswered(run.operation, "INC-1", 1, "applied", "v1")
        (event,) = (
            x for x in found.give(done, 30_000).events if isinstance(x, e.RollbackCompleted)
        )
        assert (event.service, event.plan_hash) == (first(found).acts_for(run), run.hash)
    live = {name: one.live for name, one in found.state.pointers.items()}
    assert live == {"shop": "v1", "mail": "v1", "cart": "v2"}
    with pytest.raises(StateError, match="rolled back already"):
        found.give(inputs.ProposePlan("INC-1", "back", {}, "ada", "shop"), 9_000_000)


def test_the_blast_radius_is_over_the_services_of_one_incident_too() -> None:
    """A policy begins the first plan; the second one is a person's."""
    found = quiet(bench(stuck("alertname=WorkersStuck"), policies=(ANY_OF,)))
    books = structs.replace(found.rules.books, automation=Automation((ANY_OF,), services=1))
    found.rules = structs.replace(found.rules, books=books)
    found.alerts(alert("cart", "WorkersStuck"), alert("shop", "WorkersStuck"))
    assert sorted(one.state for one in first(found).plans) == ["proposed", "running"]


# --- by hash ------------------------------------------------------------------------------------


def test_refusing_and_stopping_one_leaves_the_other() -> None:
    """Without a hash only the one that is under way is stopped; of two, somebody says which."""
    found = both_burn(bench(SHOPS, DBS))
    db = of(found, "db")
    found.give(inputs.RefusePlan("INC-1", of(found, "shop").hash, "ada", "no"), 10_000)
    assert db.state == "proposed"
    both = both_burn(bench(SHOPS, DBS))
    approve(both, "shop")
    approve(both, "db")
    with pytest.raises(StateError, match="several plans under way: "):
        both.give(inputs.StopPlan("INC-1", "ada", "no"), 22_000)
    both.give(inputs.StopPlan("INC-1", "ada", "no", of(both, "db").hash), 22_000)
    assert (of(both, "shop").stopping, of(both, "db").stopping) == ("", "ada: no")


def test_a_question_of_one_plan_leaves_the_button_of_another_alive() -> None:
    """What one asks changes no hash but its own."""
    found = both_burn(bench(structs.replace(SHOPS, steps=(SURE, DROP)), DBS))
    db = of(found, "db").hash
    approve(found, "shop")
    assert of(found, "shop").state == "waiting"
    assert of(found, "db").hash == db
    assert runs(approve(found, "db", 22_000)) == ["drop"]


# --- taken back, and written down ----------------------------------------------------------------


def test_plans_are_undone_with_the_decision_that_changed_them() -> None:
    """In place: what could not be committed leaves every plan as it was."""
    found = both_burn(bench(SHOPS, DBS))
    approve(found, "shop")
    before, plans = shard.dump(found.state), list(first(found).plans)
    for given in (
        inputs.ActionAnswered(of(found, "shop").operation, "INC-1", 1, "applied", "seen"),
        inputs.ApprovePlan("INC-1", of(found, "db").hash, "ada"),
        inputs.StopPlan("INC-1", "ada", "no"),
        inputs.RefusePlan("INC-1", of(found, "db").hash, "ada", "no"),
    ):
        undo = Undo(found.state)
        assert decide(found.state, given, 22_000, found.rules, undo).events
        assert shard.dump(found.state) != before
        undo.back()
        assert shard.dump(found.state) == before
    assert len(plans) == 2


def _read(name: str) -> Any:
    return msgspec.json.decode(gzip.decompress((JOURNALS / name).read_bytes()))


def _fold(state: Shard, events: list[tuple[int, Any]]) -> Shard:
    for at, body in events:
        shard.evolve(state, msgspec.convert(body, Event), at)
    return state


def test_journals_with_one_plan_an_incident_end_as_they_did() -> None:
    """Their facts fold to what their snapshots are read as: proposed, under way, waiting, over."""
    found: set[str] = set()
    for one in _read("plans-state-12.json.gz"):
        folded = _fold(upgrades.load(msgspec.json.encode(one["base"]), 12), one["events"])
        state = upgrades.load(msgspec.json.encode(one["state"]), 12)
        assert shard.dump(folded) == shard.dump(state)
        for name, then in one["state"]["incidents"].items():
            now = state.incidents[name]
            found.add(now.run)
            assert (now.run, now.plan_hash, now.operation, now.lead.step) == (
                then["run"],
                then["plan_hash"],
                then["operation"],
                then["step"],
            )
            assert upgrades.archived(msgspec.json.encode(then)) == now
    assert found >= {"proposed", "running", "waiting", "verifying", "ended"}


def _of_0_1_0(events: list[Any], url: str = "http://ops.test/note") -> Bench:
    """An incident as 0.1 left it, with the runbook of its plan; `url` is where its steps go."""
    note = Action(
        "note",
        Request(url, "POST", {"slo": "{slo}"}),
        Request("http://ops.test/", expect={"up": 1}),
    )
    steps = (
        Step("first", "note", {"slo": "{slo}"}, "reversible"),
        SOON,
        Step("second", "note", {"slo": "{slo}"}, "reversible"),
    )
    old = Runbook("book", 1, Match(SHOP.id), steps, Verify())
    found = bench(old)
    found.rules = structs.replace(found.rules, books=Books((old,), {note.name: note}))
    heard: dict[str, None] = {SHOP.id: None, DB.id: None}
    found.state = _fold(Shard(heard=heard), events)
    assert list(first(found).slos) == [SHOP.id, DB.id]
    return found


def test_a_plan_of_0_1_0_that_is_under_way_goes_on_where_its_steps_are_the_same() -> None:
    """Its `slo` is the objective that burned first, its timer names no plan."""
    found = _of_0_1_0(_read("0.1.0-plan-under-way.json.gz")["events"])
    assert (first(found).run, first(found).lead.step) == ("running", 1)
    timer = inputs.Timer("step/INC-1", 66_000, "step", "INC-1")
    decision = found.give(inputs.TimerCameDue(timer), 66_000)
    (act,) = (x for x in decision.effects if isinstance(x, effects.RunAction))
    assert isinstance(act.apply, Request)
    assert act.apply.body == {"slo": SHOP.id}
    assert "ActionWaits" not in kinds(decision)
    found.give(inputs.ActionAnswered(act.key, "INC-1", 1, "applied", "up is 1"), 67_000)
    assert first(found).run == "verifying"


@pytest.mark.parametrize("url", ["http://ops.test/note", "http://ops.test/other"])
def test_a_proposal_of_0_1_0_is_approved_for_what_it_showed_alone(url: str) -> None:
    """The plan is proposed again with its service named, and begun; other steps are refused."""
    events = _read("0.1.0-plan-under-way.json.gz")["events"]
    cut = next(n for n, (_, event) in enumerate(events) if event["type"] == "PlanApproved")
    found = _of_0_1_0(events[:cut], url)
    shown = first(found).plan_hash
    assert first(found).run == "proposed"
    approval = inputs.ApprovePlan("INC-1", shown, "ada")
    if not url.endswith("/note"):
        with pytest.raises(StateError, match="no longer describes"):
            found.give(approval, 5_000)
        return
    decision = found.give(approval, 5_000)
    (proposed,) = (x for x in decision.events if isinstance(x, e.PlanProposed))
    assert proposed.plan is not None
    assert (proposed.plan.service, proposed.plan_hash == shown) == ("shop", False)
    assert runs(decision) == ["note"]


def test_alerts_that_end_take_their_own_plan_away() -> None:
    """The other service's proposal stays, under the hash that was shown."""
    found = quiet(bench(stuck("alertname=WorkersStuck")))
    found.alerts(alert("cart", "WorkersStuck"), alert("shop", "WorkersStuck"))
    kept = next(one.hash for one in first(found).plans if first(found).acts_for(one) == "shop")
    decision = found.alerts(resolved(alert("cart", "WorkersStuck")), now=5_000)
    assert stopped(decision) == "restart was proposed for cart: no runbook matches cart"
    assert first(found).plan_hash == kept


def test_a_command_without_a_hash_means_the_only_plan_that_fits() -> None:
    """Of several it names each by its hash, of none it says so."""
    found = both_burn(bench(SHOPS, DBS))
    detail = outline(found.state, first(found))
    assert [one.hash for one in detail.plans] == [of(found, "shop").hash, of(found, "db").hash]
    assert detail.incident.asks == 2
    says = f"2 plans of INC-1 await approval: {of(found, 'shop').hash} .shop for shop., "
    with pytest.raises(StateError, match=says):
        runbook._only(detail, "awaits approval", lambda one: one.asks)
    with pytest.raises(StateError, match="no plan of INC-1 is in progress"):
        runbook._only(detail, "is in progress", lambda one: one.is_under_way)
    approve(found, "db")
    detail = outline(found.state, first(found))
    only = runbook._only(detail, "is in progress", lambda one: one.is_under_way)
    assert only.hash == of(found, "db").hash
