"""A model of consent: whatever happens in whatever order, no step runs without its own approval.

The model keeps books of its own: which plan each hash stood for, what was approved and when, what
each service's alerts say, which incident is over. It reads the events and effects of decisions and
nothing of how they came about.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import structs
from tests.unit.test_consent import DROP, RESTORE, SHED, SOON, SURE, TOPIC, book
from tests.unit.test_core import SHOP, Bench, alert, resolved
from tests.unit.test_subjects import ANY_OF, DB, PURGE, bench, burn

from midwatch.core import effects, inputs, runs, shard
from midwatch.core import events as e
from midwatch.core.actions import Request
from midwatch.core.decision import Decision
from midwatch.core.plans import Match, Plan, Runbook, Step
from midwatch.core.silences import read_matcher
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
        self.chosen: set[str] = set()  # hashes of plans that a person chose
        self.doing: dict[str, str] = {}  # operation -> hash
        self.back: set[tuple[str, str]] = set()  # incident, service that was rolled back
        self.over: dict[str, str] = {}  # incidents by how they are over
        self.begun: set[str] = set()
        self.firing: dict[tuple[str, str], str] = {}  # service, name -> topic
        self.seen: set[tuple[str, str]] = set()  # that ever fired

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
        for event in decision.events:
            self.hear(event)
        for effect in decision.effects:
            if isinstance(effect, effects.RunAction):
                assert effect.key not in self.wishes
                self.acts(effect)
            if isinstance(effect, effects.RunAction | effects.SetRelease):
                self.wishes[effect.key] = effect
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
                    self.used.discard(event.plan.hash)  # a new proposal, though of the same
                    if event.by:
                        self.chosen.add(event.plan.hash)
                elif event.plan_hash in self.chosen:
                    self.chosen.add(event.plan.hash)
                self.approved.pop((event.incident, event.plan_hash), None)
            case e.PlanApproved():
                assert event.plan_hash not in self.used, "an old button"
                self.used.add(event.plan_hash)
                self.approved[event.incident, event.plan_hash] = (event.service, self.now)
            case e.PlanStopped() | e.PlanStopAsked() | e.PlanRefused():
                self.approved.pop((event.incident, event.plan_hash), None)
            case e.IncidentMitigated() | e.IncidentResolved() | e.IncidentMerged():
                self.over[event.incident] = type(event).__name__
            case e.IncidentReopened() | e.MergeUndone():
                self.over.pop(event.incident, None)
                for known in [one for one in self.approved if one[0] == event.incident]:
                    del self.approved[known]
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

    def rolled(self, event: e.RollbackStarted) -> None:
        """See that a service is rolled back once an incident."""
        place = (event.incident, event.service)
        assert place not in self.back, place
        self.back.add(place)

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
            self.give(inputs.ApprovePlan(name, shown, "ada"))

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
