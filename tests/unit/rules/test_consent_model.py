"""A model of consent: whatever happens in whatever order, no step runs without its own approval.

The model keeps books of its own: which plan each hash stood for, what was approved and when, what
each service's alerts say, which objective is well, which incident is over, what is done and not
undone. It reads the events and effects of decisions and nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import structs
from tests.unit.rules.test_consent import DROP, RESTORE, SHED, SOON, SURE, TOPIC, book
from tests.unit.rules.test_core import SHOP, Bench, alert, resolved
from tests.unit.rules.test_subjects import ANY_OF, DB, PURGE, bench, burn

from midwatch.core.state import effects, inputs, runs, shard
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.values.actions import Request
from midwatch.core.values.plans import Match, Plan, Runbook, Step
from midwatch.core.values.silences import read_matcher
from midwatch.errors import InputError, StateError

SECOND = 1_000
SERVICES = ("shop", "cart", "db")
NAMES = ("Slow", "Full")
TOPICS = ("returns", "billing")
FULL = Match("", (read_matcher("alertname=Full"),))
PURGES = Step("purge", PURGE.name, {"topic": "{topic}"}, "destructive", ttl_s=300)
BOOKS = (
    structs.replace(book(SOON, PURGES), id="topical", params={"topic": TOPIC}),
    Runbook("sheds", 1, FULL, (SHED, SOON, RESTORE)),
    Runbook("rolls", 1, Match(SHOP.id), (Step("back", "release.rollback"), SURE, DROP)),
    Runbook("drops", 1, Match(DB.id), (SOON, DROP)),
    Runbook("both", 1, Match("mail/none"), (SHED, DROP)),
    Runbook(
        "later", 1, Match("mail/none"), (SHED, structs.replace(SOON, given={"for_s": 400}), DROP)
    ),
)
LEAVE = structs.replace(ANY_OF, runbooks=("sheds", "topical"), times=3)


class Consent(RuleBasedStateMachine):
    """People, alerts, objectives, time, restarts and crashes, around incidents with plans."""

    def __init__(self) -> None:
        super().__init__()
        self.bench: Bench = bench(*BOOKS, policies=(LEAVE,))
        self.now, self.skew = 1_000, 0
        self.timers: dict[str, inputs.Timer] = {}
        self.wishes: dict[str, effects.RunAction | effects.SetRelease] = {}  # not answered yet
        self.plans: dict[str, Plan] = {}  # by hash, as they were shown
        self.approved: dict[tuple[str, str], tuple[str, int]] = {}  # -> service, when
        self.used: set[str] = set()  # hashes that were approved
        self.shown: set[str] = set()  # hashes of proposals
        self.asking: set[str] = set()  # hashes of what was proposed before a decision
        self.chosen: set[str] = set()  # hashes of plans that a person chose
        self.said = ""  # the hash that a person has just approved
        self.well: dict[tuple[str, str], bool] = {}  # incident, objective -> seen well
        self.proven: set[tuple[str, str]] = set()  # incident, hash whose own proof is there
        self.done: dict[tuple[str, str], set[str]] = {}  # incident, hash -> steps
        self.doing: dict[str, str] = {}  # operation -> hash
        self.back: set[tuple[str, str]] = set()  # incident, service that was rolled back
        self.over: dict[str, str] = {}  # incidents by how they are over
        self.begun: set[str] = set()
        self.firing: dict[tuple[str, str], str] = {}  # service, name -> topic
        self.seen: set[tuple[str, str]] = set()  # that ever fired
        self.left: dict[tuple[str, str], set[str]] = {}  # incident, hash -> steps to take back

    # --- the books ---

    def give(self, given: inputs.Input, *, lost: bool = False) -> None:
        """Decide on an input as a process would; `lost` when it dies before its commit."""
        before = shard.dump(self.bench.state)
        try:
            decision = self.bench.give(given, self.now)
        except (StateError, InputError):
            self.bench.state = shard.load(before)
            return
        if lost:
            self.bench.state = shard.load(before)
            return
        self.note(decision)

    def note(self, decision: Decision) -> None:
        """Write a decision down, and look whether each step of it had its consent."""
        found = self.bench.state.incidents.values()
        for event in decision.events:
            self.hear(event)
            self.feel(event)
            self.is_taken_back(event, decision)
            self.is_offered(event)
        for effect in decision.effects:
            if isinstance(effect, effects.RunAction):
                assert effect.key not in self.wishes
                self.acts(effect)
            if isinstance(effect, effects.RunAction | effects.SetRelease):
                self.wishes[effect.key] = effect
        self.asking = {x.hash for one in found for x in one.plans if x.state == "proposed"}
        for key in decision.cancelled_effects:
            self.wishes.pop(key, None)
        for key, timer in decision.timers.items():
            self.timers.pop(key, None)
            if timer is not None:
                self.timers[key] = timer

    def hear(self, event: e.Event) -> None:
        """Keep what an event says of plans, approvals and ends."""
        match event:
            case e.PlanProposed() | e.ActionWaits() if event.plan is not None:
                self.plans[event.plan.hash] = event.plan
                if isinstance(event, e.PlanProposed):
                    assert event.plan.hash not in self.used, "the hash of an older plan"
                    older = self.shown - self.asking
                    assert event.plan.hash not in older, "the hash of a plan that was replaced"
                    self.shown.add(event.plan.hash)
                    if event.by:
                        self.chosen.add(event.plan.hash)
                elif event.plan_hash in self.chosen:
                    self.chosen.add(event.plan.hash)
                self.approved.pop((event.incident, event.plan_hash), None)
                if isinstance(event, e.ActionWaits):
                    before = self.done.get((event.incident, event.plan_hash), set())
                    self.done[event.incident, event.plan.hash] = before
            case e.PlanApproved():
                assert event.plan_hash not in self.used, "an old button"
                assert event.by != "ada" or event.plan_hash == self.said, "another hash"
                self.used.add(event.plan_hash)
                self.approved[event.incident, event.plan_hash] = (event.service, self.now)
            case e.PlanStopped() | e.PlanStopAsked() | e.PlanRefused():
                self.approved.pop((event.incident, event.plan_hash), None)
            case e.RollbackStarted():
                step = self.consented(event.incident, event.plan_hash, event.service, "back")
                assert step.given["target"] == event.to
                assert step.given["live"] == event.bad
                self.rolled(event)
            case e.ActionStarted():
                assert event.operation not in self.begun
                self.begun.add(event.operation)
                self.doing[event.operation] = event.plan_hash
            case _:
                pass

    def is_taken_back(self, event: e.Event, decision: Decision) -> None:
        """See that what an early end leaves done is proposed to be taken back, there and then."""
        if isinstance(event, e.ActionDone | e.RollbackCompleted):
            step = event.step if isinstance(event, e.ActionDone) else "back"
            self.done.setdefault((event.incident, event.plan_hash), set()).add(step)
        failed = isinstance(event, e.ActionFailed) and not event.goes_on
        if not failed and not isinstance(event, e.PlanStopped | e.PlanRefused):
            return
        assert isinstance(event, e.ActionFailed | e.PlanStopped | e.PlanRefused)
        plan, done = (
            self.plans[event.plan_hash],
            self.done.pop((event.incident, event.plan_hash), set()),
        )
        left = [x.id for x in plan.steps if x.undoes in done and x.id not in done]
        if plan.takes_back:  # what was begun is not begun again, and a person's no is one
            began = event.step if isinstance(event, e.ActionFailed) else ""
            left = [x.id for x in plan.steps if x.id not in done and x.id != began]
            left = [] if isinstance(event, e.PlanRefused) else left
        resolved = any(isinstance(x, e.IncidentResolved) for x in decision.events)
        if not left or resolved:
            return
        offered = [
            [step.id for step in x.plan.steps]
            for x in decision.events
            if isinstance(x, e.PlanProposed) and x.plan is not None and x.plan.takes_back
        ]
        assert left in offered, (left, offered)

    def is_offered(self, event: e.Event) -> None:
        """Keep which take-backs were proposed and neither approved, refused nor stopped aloud."""
        if isinstance(event, e.PlanProposed) and event.plan is not None and event.plan.takes_back:
            steps = {one.id for one in event.plan.steps}
            self.left[event.incident, event.plan_hash] = steps
        elif isinstance(event, e.PlanApproved | e.PlanRefused | e.PlanStopped):
            steps = self.left.pop((event.incident, event.plan_hash), set())
            for key in [key for key, one in self.left.items() if key[0] == event.incident]:
                if self.left[key] <= steps:
                    del self.left[key]  # the same under an older hash

    @invariant()
    def a_take_back_stays(self) -> None:
        """Whatever happens besides, what is to be taken back is still proposed."""
        for (name, _), steps in self.left.items():
            proposed = [
                {step.id for step in one.plan.steps}
                for one in self.bench.state.incidents[name].plans
                if one.state == "proposed" and one.plan is not None and one.plan.takes_back
            ]
            assert any(steps <= one for one in proposed), (name, steps)

    def still_hurts(self, incident: str, plan: Plan, step: Any) -> None:
        """See that users of what a plan is proven by are not well; then only undoing is left."""
        if plan.proofs and not plan.takes_back and not step.undoes:
            assert (incident, plan.hash) not in self.proven, "its users are well"
            assert not all(self.well.get((incident, one)) for one in plan.proofs), plan.proofs

    def rolled(self, event: e.RollbackStarted) -> None:
        """See that a service is rolled back once an incident."""
        place = (event.incident, event.service)
        assert place not in self.back, place
        self.back.add(place)

    def feel(self, event: e.Event) -> None:
        """Keep what an event says of the users of an incident."""
        match event:
            case e.IncidentMitigated() | e.IncidentResolved() | e.IncidentMerged():
                self.over[event.incident] = type(event).__name__
            case e.IncidentReopened() | e.MergeUndone():
                self.over.pop(event.incident, None)
                self.well = {k: v for k, v in self.well.items() if k[0] != event.incident}
                for known in [one for one in self.approved if one[0] == event.incident]:
                    del self.approved[known]
            case e.ObjectiveJudged():
                self.well[event.incident, event.slo] = event.verdict == "recovered"
            case e.RecoveryJudged() if event.verdict == "recovered":
                self.proven.add((event.incident, event.plan_hash))
            case e.RecoveryJudged() | e.ActionDone(changed=True):
                self.proven.discard((event.incident, event.plan_hash))
            case e.BurnAttached():
                self.well[event.incident, event.slo] = False
            case _:
                pass

    def consented(self, incident: str, plan_hash: str, service: str, step_id: str) -> Any:
        """Give the step that was approved: of this plan, this service, this world, in time."""
        place = (incident, plan_hash)
        assert place in self.approved, f"{step_id} of {place} without an approval"
        approved_for, at = self.approved[place]
        plan = self.plans[plan_hash]
        assert approved_for == plan.service == service
        step = next(one for one in plan.steps if one.id == step_id)
        assert self.now - at <= step.ttl_s * SECOND
        over = self.over.get(incident, "")
        assert not over or (plan.takes_back and over == "IncidentMitigated"), (over, step_id)
        self.matches(incident, plan)
        self.still_hurts(incident, plan, step)
        return step

    def matches(self, incident: str, plan: Plan) -> None:
        """Look whether what a plan is for is still there, unless a person named the service."""
        name = {"topical": "Slow", "sheds": "Full"}.get(plan.runbook)
        if name is None or plan.hash in self.chosen or plan.takes_back:
            return
        fires = any((plan.service, one) in self.firing for one in NAMES)
        assert fires or plan.proofs, f"nothing fires on {plan.service}"
        assert (plan.service, name) in self.seen

    def acts(self, effect: effects.RunAction) -> None:
        """Compare what would be done with what was approved, and with what is true now."""
        step = self.consented(
            effect.incident, self.doing[effect.key], effect.service, effect.key.rpartition("/")[2]
        )
        assert (effect.action, effect.apply) == (step.action, step.apply)
        assert isinstance(effect.apply, Request)
        topic = (effect.apply.body or {}).get("topic")
        one = self.bench.state.incidents[effect.incident]
        run = runs.doing(one.plans, effect.key)
        assert run is not None
        alerts = (each for each in one.firing.values() if each.service == effect.service)
        said = {each.labels.get("topic") for each in alerts}
        assert "topic" in run.given or topic is None or said <= {topic}, (topic, said)

    # --- what may happen ---

    @rule(
        service=st.sampled_from(SERVICES),
        name=st.sampled_from(NAMES),
        topic=st.sampled_from(TOPICS),
    )
    def fires(self, service: str, name: str, topic: str) -> None:
        """An alert, with a topic that may be another one than before."""
        if (service, name) in self.firing:
            self.ends(service, name)
        self.firing[service, name] = topic
        self.seen.add((service, name))
        one = alert(service, name, self.now, topic=topic)
        self.give(inputs.AlertsArrived("test", (one,)))

    @rule(service=st.sampled_from(SERVICES), name=st.sampled_from(NAMES))
    def ends(self, service: str, name: str) -> None:
        """The alert's end."""
        topic = self.firing.pop((service, name), None)
        if topic is not None:
            one = resolved(alert(service, name, self.now, topic=topic))
            self.give(inputs.AlertsArrived("test", (one,)))

    @rule(slo=st.sampled_from([SHOP, DB]), good=st.sampled_from([0, 8_000, 9_950, 10_000]))
    def reads(self, slo: Any, good: int) -> None:
        """An objective: burning, well, or nearly."""
        before = shard.dump(self.bench.state)
        try:
            decision = burn(self.bench, slo, self.now, good)
        except StateError:
            self.bench.state = shard.load(before)
            return
        self.note(decision)

    @rule(seconds=st.sampled_from([1, 30, 61, 299, 601, 901, 3_601]), late=st.booleans())
    def waits(self, seconds: int, late: bool) -> None:
        """Time; timers come due in order, or all of them late."""
        until = self.now + seconds * SECOND
        for _ in range(50):
            ready = [one for one in self.timers.values() if one.due_at <= until]
            if not ready:
                break
            timer = min(ready, key=lambda one: (one.due_at, one.key))
            del self.timers[timer.key]
            self.now = until if late else max(self.now, timer.due_at)
            self.give(inputs.TimerCameDue(timer))
        self.now = until

    @rule(topic=st.sampled_from(TOPICS), name=st.sampled_from(NAMES))
    def turns(self, topic: str, name: str) -> None:
        """What an approved plan is about says something else while it is under way."""
        for one in self.under_way():
            self.fires(one, name, topic)
        self.waits(61, late=False)

    @rule()
    def recovers(self) -> None:
        """All alerts of an approved plan's service end, and so does its step."""
        for one in self.under_way():
            for service, name in list(self.firing):
                if service == one:
                    self.ends(service, name)
        self.answers("applied")
        self.waits(61, late=False)

    def under_way(self) -> list[str]:
        """List the services that have a plan under way."""
        return [
            one.acts_for(run)
            for one in self.bench.state.incidents.values()
            for run in one.plans
            if run.state in ("running", "waiting")
        ]

    @rule(data=st.data())
    def approves(self, data: st.DataObject) -> None:
        """A person, by any hash that was ever shown."""
        for name in list(self.bench.state.incidents):
            now = [one.hash for one in self.bench.state.incidents[name].plans]
            shown = data.draw(st.sampled_from([*now, *now, *self.plans, "0" * 16]))
            self.approve(name, shown)

    def approve(self, name: str, plan_hash: str) -> None:
        """Approve what has this hash, and nothing else."""
        self.said = plan_hash
        self.give(inputs.ApprovePlan(name, plan_hash, "ada"))

    def approve_all(self) -> None:
        """Say yes to whatever asks."""
        for one in list(self.bench.state.incidents.values()):
            for plan_hash in [run.hash for run in one.plans if run.asks_somebody]:
                self.approve(one.id, plan_hash)

    @rule(slo=st.sampled_from([SHOP, DB]), early=st.booleans(), chosen=st.booleans())
    def wanes(self, slo: Any, *, early: bool, chosen: bool = False) -> None:
        """Two objectives burn in one incident, one gets well; somebody approves before or after."""
        for service in SERVICES:
            self.fires(service, "Odd", "returns")
        self.reads(SHOP, 0)
        self.reads(DB, 0)
        if chosen:
            self.proposes(BOOKS[3], slo.service)
        if early:
            self.approve_all()
        self.waits(601, late=False)
        self.reads(DB if slo is SHOP else SHOP, 0)
        if not early:  # who looked at it a moment ago still has the hash
            shown = [
                (one.id, run.hash)
                for one in self.bench.state.incidents.values()
                for run in one.plans
                if run.asks_somebody
            ]
            self.reads(slo, 10_000)
            for name, plan_hash in shown:
                self.approve(name, plan_hash)
        else:
            self.reads(slo, 10_000)
        self.waits(61, late=False)

    @rule(service=st.sampled_from(SERVICES))
    def parts(self, service: str) -> None:
        """Two alerts of one service are told apart: two incidents, each with a plan for it."""
        for name in NAMES:
            self.fires(service, name, "returns")
        for one in list(self.bench.state.incidents.values()):
            mine = [
                key for key, x in one.firing.items() if (x.service, x.name) == (service, "Full")
            ]
            if mine:
                self.give(inputs.SplitIncident(one.id, (), tuple(mine), "ada"))
        self.approve_all()

    @rule(how=st.sampled_from(["stop", "unknown", "over"]))
    def sheds(self, how: str) -> None:
        """Load is shed, and the plan ends before it is taken back."""
        self.fires("cart", "Full", "returns")
        self.approve_all()
        self.answers("applied")
        if how == "over":
            for service, name in list(self.firing):
                self.ends(service, name)
        for one in list(self.bench.state.incidents.values()) if how == "stop" else ():
            for run in [run for run in one.plans if run.is_under_way]:
                self.give(inputs.StopPlan(one.id, "ada", "no", run.hash))
        if how == "unknown":
            self.waits(61, late=False)
            self.answers("unknown")

    @rule(what=st.sampled_from(["refuse", "stop", "resolve", "ack"]), which=st.integers(0, 3))
    def says(self, what: str, which: int) -> None:
        """A person who refuses, stops, resolves or acknowledges."""
        names = list(self.bench.state.incidents)
        if not names:
            return
        name = names[which % len(names)]
        plans = self.bench.state.incidents[name].plans
        plan_hash = plans[which % len(plans)].hash if plans else ""
        given: dict[str, inputs.Input] = {
            "refuse": inputs.RefusePlan(name, plan_hash, "ada", "no"),
            "stop": inputs.StopPlan(name, "ada", "no", plan_hash),
            "resolve": inputs.ResolveIncident(name, "ada", "over"),
            "ack": inputs.Acknowledge(name, "ada"),
        }
        self.give(given[what])

    @rule(one=st.sampled_from(BOOKS), service=st.sampled_from(["", *SERVICES]))
    def proposes(self, one: Runbook, service: str) -> None:
        """A person who chooses a runbook."""
        for name in list(self.bench.state.incidents):
            given = {"topic": "returns"} if one.params and service else {}
            self.give(inputs.ProposePlan(name, one.id, given, "ada", service))

    @rule(what=st.sampled_from(["merge", "split", "undo"]), service=st.sampled_from(SERVICES))
    def moves(self, what: str, service: str) -> None:
        """A person who says what belongs together."""
        names = list(self.bench.state.incidents)
        if what == "merge" and len(names) > 1:
            self.give(inputs.MergeIncident(names[-1], names[0], "ada"))
        elif names:
            split = inputs.SplitIncident(names[0], (service,), (), "ada")
            self.give(split if what == "split" else inputs.UndoMove(names[-1], "ada"))

    @rule(state=st.sampled_from(["applied", "applied", "not-applied", "unknown"]))
    def answers(self, state: str) -> None:
        """The world answers for what was wished for; three times no is a no."""
        for key, wish in list(self.wishes.items()):
            del self.wishes[key]
            if isinstance(wish, effects.RunAction):
                self.give(inputs.ActionAnswered(key, wish.incident, 3, state, "seen"))
            else:
                self.give(inputs.ReleaseAnswered(key, wish.incident, 3, state, "v1"))

    @rule(service=st.sampled_from(["shop", "cart"]), number=st.integers(3, 6))
    def deploys(self, service: str, number: int) -> None:
        """Somebody else's release goes live."""
        self.give(inputs.RegisterRelease(service, f"v{number}", f"{service}{number}", live=True))

    @rule(ahead_s=st.sampled_from([-7_200, -60, 60, 7_200]))
    def jumps(self, ahead_s: int) -> None:
        """The wall clock, which people see, jumps; the journal's time does not."""
        self.skew -= ahead_s * SECOND
        self.give(inputs.ClockSeen(ahead_s * SECOND, self.skew))

    @rule()
    def restarts(self) -> None:
        """A new process reads what the old one wrote."""
        self.bench.state = shard.load(shard.dump(self.bench.state))

    @rule(service=st.sampled_from(SERVICES))
    def crashes(self, service: str) -> None:
        """A process dies between a decision and its commit: nothing of it has happened."""
        one = alert(service, "Slow", self.now, topic="returns")
        self.give(inputs.AlertsArrived("test", (one,)), lost=True)
        for name in list(self.bench.state.incidents):
            for one in list(self.bench.state.incidents[name].plans):
                self.said = one.hash
                self.give(inputs.ApprovePlan(name, one.hash, "ada"), lost=True)

    @invariant()
    def one_at_a_time(self) -> None:
        """Of each service over all incidents."""
        busy = [
            one.acts_for(run)
            for one in self.bench.state.incidents.values()
            for run in one.plans
            if run.state in ("running", "waiting") and one.state in ("open", "acknowledged")
            # A step under way ends, though its plan was stopped for a rollback that goes before it.
            if not (run.stopping and run.operation)
        ]
        assert len(busy) == len(set(busy)), busy

    def teardown(self) -> None:
        """Every plan ends: with answers and time, and nobody who says anything."""
        for _ in range(40):
            self.answers("applied")
            self.waits(1_801, late=False)
        left = {
            (one.id, run.hash): run.state
            for one in self.bench.state.incidents.values()
            for run in one.plans
            if run.is_under_way
        }
        assert not left


TestConsent = Consent.TestCase
TestConsent.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def _burns(model: Consent) -> None:
    for service in SERVICES:
        model.fires(service, "Odd", "returns")
    model.reads(SHOP, 0)
    model.reads(DB, 0)


def _wrong(model: Consent) -> None:
    for name in list(model.bench.state.incidents):
        model.approve(name, "0" * 16)


WALKS: dict[str, tuple[Callable[[Consent], None], ...]] = {
    "a step that goes on for longer than its incident held": (
        lambda model: model.parts("cart"),
        lambda model: model.sheds("stop"),
        Consent.recovers,
        lambda model: model.jumps(-7_200),
        lambda model: model.wanes(SHOP, early=False),
        lambda model: model.parts("cart"),
        lambda model: model.wanes(SHOP, early=False),
        Consent.recovers,
        Consent.a_take_back_stays,
    ),
    "an objective that is well, burns again and is proposed for again": (
        lambda model: model.wanes(SHOP, early=False),
        Consent.recovers,
        lambda model: model.wanes(DB, early=False),
        lambda model: model.wanes(DB, early=True, chosen=True),
    ),
    "a hash that nobody was shown": (_burns, _wrong, Consent.approve_all, _wrong),
    "an objective that gets well before the yes": (
        lambda model: model.wanes(DB, early=False),
        lambda model: model.wanes(SHOP, early=False),
    ),
    "an objective of a chosen plan that gets well": (
        lambda model: model.wanes(DB, early=False, chosen=True),
    ),
    "an objective that gets well while load is shed": (
        _burns,
        lambda model: model.proposes(BOOKS[5], "db"),
        Consent.approve_all,
        lambda model: model.answers("applied"),
        lambda model: model.waits(350, late=False),
        lambda model: model.reads(DB, 10_000),
        lambda model: model.waits(61, late=False),
    ),
    "an objective that gets well after it": (
        lambda model: model.wanes(DB, early=True),
        lambda model: model.wanes(SHOP, early=True),
    ),
    "load that is shed": (lambda model: model.sheds("stop"),),
    "load that is shed, and a failed step": (lambda model: model.sheds("unknown"),),
    "load that is shed when all is over": (lambda model: model.sheds("over"),),
    "a service in two incidents": (lambda model: model.parts("cart"),),
    "a plan when all is over": (
        lambda model: model.fires("cart", "Odd", "returns"),
        lambda model: model.proposes(BOOKS[4], "cart"),
        Consent.approve_all,
        lambda model: model.ends("cart", "Odd"),
        lambda model: model.answers("applied"),
    ),
    "a wait when all is over": (
        lambda model: model.fires("cart", "Odd", "returns"),
        lambda model: model.proposes(BOOKS[3], "cart"),
        Consent.approve_all,
        Consent.recovers,
    ),
}


@pytest.mark.parametrize("walk", WALKS)
def test_the_model_walks_where_consent_ends(walk: str) -> None:
    """What chance may not come by: each way in which a consent ends, and what is not done then."""
    model = Consent()
    for step in WALKS[walk]:
        step(model)
        model.one_at_a_time()
    assert model.plans
    model.teardown()
