"""A shift in virtual time: the loop of `serve`, with a clock that jumps.

Law: the engine is the production one and is called the way production calls it. Senders keep what
they could not deliver and send it again. The order of events is a function of scenario and seed;
after a crash the same shift goes on from the journal and the world's log. A call that hangs holds
up nothing else, and dies with its process.
"""

from __future__ import annotations

import heapq
import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from typing import Protocol

from midwatch.bootstrap import Engine, Store, World, build_engine
from midwatch.core.rules.terms import SALT_BYTES
from midwatch.core.state import inputs, shard
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.releases import is_unsettled
from midwatch.core.state.shard import Shard
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.drill.by_hand import Told, Typed
from midwatch.drill.machine import Machine, VirtualClock, WrongClock
from midwatch.drill.meddling import Meddler
from midwatch.drill.scenarios import Scenario, ServicePlan, slug
from midwatch.drill.storm import Delivery, Storm
from midwatch.drill.witnesses import Witnesses
from midwatch.drill.world import (
    Log,
    Sent,
    SimulatedActor,
    SimulatedMetrics,
    SimulatedPager,
    SimulatedRouter,
    SimulatedTarget,
    Troubles,
)
from midwatch.engine import archive
from midwatch.engine.handle import Handled, fold
from midwatch.errors import BugError, CommitFailed
from midwatch.ports import Audit, Claim, Source
from midwatch.registry import make_source

READ_EVERY_S = 60
RESEND_S = 30
ENDS_AFTER_S = 60
FIX_AGAIN_S = 900
FULL_DISK = "the disk is full"  # on purpose; any other commit that fails is the engine's fault
CALM_S = 900  # after the last fault, in which everything has to come right
REFUSES = "nothing is wrong with its answers"
MAX_FIXES = 4
SOURCE = "alertmanager"
PIPELINE = "pipeline"

Send = Callable[[], list[Envelope]]


class Crashed(BaseException):
    """The process is dead; everything in memory is gone. Not an Exception: nobody may catch it."""


class Kept(Store, Audit, Protocol):
    """A journal whose newest event can be asked for."""


class Shift:
    """One scenario, one seed, one journal."""

    def __init__(
        self,
        scenario: Scenario,
        store: Kept,
        *,
        seed: int = 0,
        log: Log | None = None,
        troubles: Troubles | None = None,
        network: Callable[[Delivery], list[int]] = lambda delivery: [delivery.at],
        wrap: Callable[[World], World] = lambda world: world,
        meddler: Meddler | None = None,
        typed: Sequence[Typed] = (),
        wrong_clock: WrongClock | None = None,
    ) -> None:
        # What the engine warns of on purpose-made faults is no news to whoever drills.
        logging.getLogger("midwatch").addHandler(logging.NullHandler())
        self.scenario = scenario
        self.storm = Storm(scenario, seed)
        self.clock = VirtualClock(scenario.starts_at)
        self.machine = Machine(self.clock, wrong_clock or WrongClock(), scenario.starts_at)
        people = tuple(sorted(scenario.config.rules.policy.team.people))
        self.witnesses = Witnesses(self.machine, seed, people)
        self.log = log or Log()
        self.troubles = troubles or Troubles()
        self._network = network
        self.router = SimulatedRouter(scenario, self.log, self.clock)
        self.meddler = meddler or Meddler((), starts_at=scenario.starts_at)
        pager = SimulatedPager(self.log, self.clock, self.troubles)
        metrics = SimulatedMetrics(scenario, self.router, self.clock, self.troubles, self.log)
        world = World(
            dict.fromkeys(("pager", *scenario.config.pagers), pager),
            self.router,
            dict.fromkeys(_sources_of(scenario), self.machine.dated(metrics)),
            SimulatedTarget(scenario, self.clock, self.troubles),
            SimulatedActor(scenario, self.log, self.clock),
        )
        self._world = wrap(self.meddler.around(world, self.clock, self.router.served_at))
        self._typed = typed
        self._asked: set[str] = set()  # sources whose answer is under way
        self._process = 0  # which one it is: after a crash it is another
        self.told: list[Told] = []  # what became of what was typed
        self.unwritten: list[str] = []  # why commits failed
        self.late: set[str] = set()  # effects of which the call was made a while after the claim
        self.claimed: dict[tuple[str, int], int] = {}  # effects and their attempts -> when
        self.came_at: dict[str, int] = {}  # when the first alert of each cause was sent
        self._source: Source = make_source(
            scenario.config.sources[SOURCE].kind if SOURCE in scenario.config.sources else SOURCE,
            scenario.config.naming,
        )
        self._agenda: list[tuple[int, int, Send]] = []
        self._log_seen = 0
        self._order = 0
        self._ended: set[str] = set()
        self._next_reading = scenario.starts_at
        self._store = store
        self._seed = seed
        self._marks: list[tuple[int, int]] = []  # the newest event at a right time
        self.handled: list[Handled] = []
        self.engine = self._build()

    def _build(self) -> Engine:
        self._process += 1
        self._asked.clear()
        self.machine.restart()
        rules = self.scenario.config.rules
        return build_engine(self._store, rules, self._world, self.machine.journal)

    def run(self) -> None:
        """Play the shift to its end: everything closed and nothing due, or the scenario's time."""
        self._plan_agenda()
        self._survive(self.start)
        while (now := self._next_moment()) is not None:
            self.clock.now = max(now, self.clock.now)
            self._survive(self.step)
        self._survive(self._write_snapshot)

    def _write_snapshot(self) -> None:
        # Looked up at each try: after a crash it is another handler's.
        self.engine.handler.snapshot()

    def _survive(self, action: Callable[[], None]) -> None:
        """Do something; when the process "dies" in it, start a new one until it is done."""
        try:
            action()
        except Crashed:
            self._mark(self._store.head()[0])
            self.engine = self._build()
            self._survive(self.start)
        except CommitFailed as failed:  # the process lives, with what it knew before
            if failed.message != FULL_DISK:
                self.unwritten.append(failed.message)
            self._check_undone()
            self._process += 1  # what hangs is looked at again
            self._asked.clear()
            self._survive(self.start)

    def _check_undone(self) -> None:
        """Law 2: what could not be committed is undone exactly. Raises BugError when it is not."""
        here, there = self.engine.handler.shard, fold(self._store)
        looks = (here.board, here.digests) == (there.board, there.digests)
        if shard.dump(here) != shard.dump(there) or not looks:
            raise BugError("what could not be committed was not undone exactly")

    def start(self) -> None:
        """Finish what an earlier process left in doubt, and go on at the journal's time."""
        shard = self.engine.handler.shard
        term = f"term/{self._seed}/{shard.versions.get('term', 0)}"
        salt = blake2b(term.encode(), digest_size=SALT_BYTES).hexdigest()
        self.deliver([Envelope("", self.machine.go_on(shard, salt))])
        self.machine.settle(self.deliver)
        for finish in self.engine.performer.recover(self.engine.handler.shard):
            self.deliver([finish()])
        self._follow_world()

    def step(self) -> None:
        """Do all that is due now."""
        now = self.clock.now
        self.machine.settle(self.deliver)
        while self._agenda and self._agenda[0][0] <= now:
            _, _, send = heapq.heappop(self._agenda)
            self.send(send)
        if timers := self.engine.watcher.due_timers(self.machine.journal()):
            self.deliver(timers)
        if now >= self._next_reading:
            self._next_reading = now + READ_EVERY_S * SECOND
            self._read(now)
        while claims := self.engine.performer.claim(self.machine.journal()):
            for claim in claims:
                self._perform(claim, now)
        self._follow_world()

    def _read(self, now: int) -> None:
        """Ask everything once; an answer that is late comes as it was when it was asked."""
        read: list[Envelope] = []
        at = self.machine.journal()
        for question in self.engine.watcher.questions(self.engine.handler.shard, at):
            if question.source in self._asked:
                continue
            answers = question.ask()
            wait = self.meddler.hangs_question(question.source, now)
            if wait:
                self._asked.add(question.source)
                self._later(now + wait, partial(self._heard, question.source, answers))
            else:
                read += answers
        self.deliver(read)

    def _heard(self, source: str, answers: list[Envelope]) -> list[Envelope]:
        self._asked.discard(source)
        return answers

    def _perform(self, claim: Claim, now: int) -> None:
        """Do an effect; a call that hangs is done now or later, and answers later or never."""
        self.claimed[claim.effect.key, claim.attempt] = now
        hang = self.meddler.hangs(claim.effect, now)
        if hang is None:
            self.deliver([self.engine.performer.perform(claim)])
            return
        kind, wait = hang
        if kind == "later":
            self.late.add(claim.effect.key)
            self._later(now + wait, lambda: [self.engine.performer.perform(claim)])
            return
        answer = self.engine.performer.perform(claim)
        if kind == "late":
            self._later(now + wait, lambda: [answer])

    def _later(self, when: int, send: Send) -> None:
        """Deliver something that only this process waits for."""
        process = self._process
        self.at(when, lambda: send() if process == self._process else [])

    def deliver(self, envelopes: Sequence[Envelope]) -> list[Handled]:
        """Hand inputs to the engine."""
        answers = self.engine.handler.handle(envelopes)
        self.handled.extend(answers)
        if self.engine.handler.appended:
            self._mark(self.engine.handler.appended[-1].seq)
        return answers

    def _mark(self, seq: int) -> None:
        if not self._marks or seq > self._marks[-1][0]:
            self._marks.append((seq, self.clock.now))

    def happened_at(self, seq: int) -> int:
        """Give the right time of an event, which the journal's may differ from a little."""
        return self._marks[bisect_left(self._marks, (seq, 0))][1]

    def send(self, send: Send) -> None:
        """Deliver as a sender does: without a 2xx it keeps what it has and comes back."""
        envelopes = send()
        if not envelopes:
            return
        try:
            self.deliver(envelopes)
        except BaseException:
            self.at(self.clock.now + RESEND_S * SECOND, send)
            raise

    def at(self, when: int, send: Send) -> None:
        """Put something on the agenda."""
        self._order += 1
        heapq.heappush(self._agenda, (when, self._order, send))

    def _next_moment(self) -> int | None:
        now = self.clock.now
        if self._is_over():
            return None
        moments = [self._next_reading]
        if self._agenda:
            moments.append(self._agenda[0][0])
        for due_at in (self._store.next_timer_at(), self._store.next_effect_at()):
            if due_at is not None:
                moments.append(self.machine.when(due_at))
        following = max(min(moments), now)
        return None if following > self.scenario.ends_at else following

    def _is_over(self) -> bool:
        shard = self.engine.handler.shard
        quiet = not self._agenda and self._store.next_effect_at() is None
        if not quiet or self._store.next_timer_at() is not None or shard.burning:
            return False
        if self.meddler.faults and self.clock.now < self.meddler.ends_at + CALM_S * SECOND:
            return False
        if self.clock.now < self.witnesses.ends_at:
            return False
        return bool(shard.left) and not shard.incidents

    # --- what happens by itself ---

    def _plan_agenda(self) -> None:
        for plan in self.scenario.services:
            for release in plan.releases:
                when = release.live_at or self.scenario.starts_at
                given = inputs.RegisterRelease(
                    plan.name,
                    release.name,
                    _digest(plan.name, release.name),
                    release.good,
                    release.live_at is not None,
                )
                self._command(when, f"release/{plan.name}/{release.name}", given)
            self._tell_deploys(plan)
        for trial in self.scenario.trials:
            operation = f"trial/{trial.service}/{trial.release}"
            start = inputs.StartCanary(trial.service, trial.release, operation, "ada")
            self._command(trial.at, operation, start)
        for number, typed in enumerate(self._typed, start=1):
            self._type(f"typed/{number}", typed)
        if self.meddler.keeps_answers:
            self._restart(self.meddler.ends_at, 0)
        self._plan_clock()
        for when, body in self.scenario.deliveries:
            self._webhook(Delivery(when, body))
        for delivery in self.storm.deliveries:
            self._webhook(delivery)
        for number, ticket in enumerate(self.scenario.tickets, start=1):
            name = f"T-{number}"
            given = inputs.FileTicket(name, ticket.text, ticket.by)
            self._command(ticket.at, f"ticket/{name}", given)

    def _tell_deploys(self, plan: ServicePlan) -> None:
        """Say what a pipeline says: which release went live after which."""
        live = [release for release in plan.releases if release.live_at is not None]
        for before, release in pairwise(sorted(live, key=lambda one: one.live_at or 0)):
            name, when = f"deploy-{plan.name}-{release.name}", release.live_at or 0
            change = Change(name, plan.name, "deploy", when, PIPELINE, before.name, release.name)
            self._command(when, f"change/{name}", inputs.ChangesArrived(PIPELINE, (change,)))

    def _webhook(self, delivery: Delivery) -> None:
        key = f"{SOURCE}/{blake2b(delivery.body, digest_size=8).hexdigest()}"

        def send() -> list[Envelope]:
            parsed = self._source.parse(delivery.body, self.clock.now)
            given = inputs.AlertsArrived(SOURCE, parsed.alerts)
            return [Envelope(key, given, parsed.rejected)]

        times = self._network(delivery)
        for cause in self.storm.causes_in(delivery):
            self.came_at.setdefault(cause, min(times))
        for when in times:
            self.at(when, send)

    def _type(self, key: str, typed: Typed) -> None:
        """Somebody types a rollback or an abort; what came of it is told, with what was served."""

        def send() -> list[Envelope]:
            pointer = self.engine.handler.shard.pointers.get(typed.service)
            given: inputs.Input = inputs.AbortCanary(typed.service, "ada")
            if typed.what == "rollback":
                given = inputs.MoveRelease(typed.service, "rollback", typed.operation, "ada")
            served = self.router.observe(typed.service)
            at = self.clock.now
            unsettled = pointer is not None and is_unsettled(pointer)
            live, purpose = (pointer.live, pointer.purpose) if pointer else ("", "")
            (answer,) = self.deliver([Envelope(key, given)])
            self.told.append(Told(typed, at, served, live, purpose, unsettled, answer))
            return []

        self.at(typed.at, send)

    def _plan_clock(self) -> None:
        """Look at the clock when it jumps, and let people name dates."""
        for when, _ in self.machine.wrong.edges():
            self.at(self.scenario.starts_at + when, list)
        for restart in self.machine.wrong.restarts:
            self._restart(self.scenario.starts_at + restart.at_s * SECOND, restart.down_s)
        for when, key, draw in self.witnesses.dated():
            self.at(when, partial(self._say, key, draw))

    def _say(self, key: str, draw: Callable[[Shard], inputs.Input | None]) -> list[Envelope]:
        given = draw(self.engine.handler.shard)
        return [Envelope(key, given)] if given is not None else []

    def _restart(self, when: int, down_s: int) -> None:
        """Start it again at a moment, as an operator does."""
        planned = [True]

        def send() -> list[Envelope]:
            if planned:
                planned.clear()
                self._mark(self._store.head()[0])
                self.clock.now += down_s * SECOND
                raise Crashed("restart")
            return []

        self.at(when, send)

    def _command(self, when: int, key: str, given: inputs.Input) -> None:
        self.at(when, lambda: [Envelope(key, given)])

    # --- people and users react to what reached them ---

    def _follow_world(self) -> None:
        for entry in self.log.entries[self._log_seen :]:
            self._log_seen += 1
            if isinstance(entry, Sent):
                self._answer_page(entry)
        for plan in self.scenario.services:
            self._end_faults(plan.name)

    def _answer_page(self, page: Sent) -> None:
        if self.witnesses.leaves(page, self._incident(page.incident)):
            return
        people = self.scenario.people
        acked_at = page.at + people.ack_after_s * SECOND
        ack = inputs.Acknowledge(page.incident, page.to)
        self._command(acked_at, f"ack/{page.key}", ack)
        approved_at = acked_at + people.approve_after_s * SECOND
        self.at(approved_at, lambda: self._say_yes_or_no(page.incident, page.to))
        incident = self._incident(page.incident)
        if incident is None or page.key != incident.pages[0].key:
            return
        for plan in self.scenario.services:
            for release in plan.releases:
                if release.proposed_s is not None and plan.name == incident.service_of_plan:
                    fix_at = acked_at + release.proposed_s * SECOND
                    self._propose(fix_at, page.incident, release.name, page.to, 1)
        learned = self.scenario.learned
        if learned is not None:
            written = inputs.EditPostmortem(page.incident, learned.judgement, page.to)
            when = acked_at + learned.after_s * SECOND
            self._command(when, f"learned/{page.incident}", written)
        for waiver in self.scenario.waivers:
            ends_at = acked_at + waiver.for_s * SECOND
            given = inputs.GrantWaiver(page.incident, waiver.why, waiver.owner, ends_at)
            key = f"waiver/{page.incident}/{slug(waiver.owner)}"
            self._command(acked_at + waiver.after_s * SECOND, key, given)

    def _incident(self, name: str) -> Incident | None:
        return archive.find(self.engine.handler.shard, self._store, name)

    def _say_yes_or_no(self, incident_id: str, by: str) -> list[Envelope]:
        incident = self._incident(incident_id)
        if incident is None or not incident.acknowledged_by:
            return []
        said: list[Envelope] = []
        for one in incident.plans:
            if one.asks_somebody:
                given: inputs.Input = inputs.ApprovePlan(incident_id, one.hash, by)
                if one.plan is not None and one.plan.service in self.scenario.people.refuse:
                    given = inputs.RefusePlan(incident_id, one.hash, by, REFUSES)
                said.append(Envelope(f"approve/{incident_id}/{one.hash}/{one.step}", given))
        return said

    def _propose(self, when: int, incident_id: str, release: str, by: str, number: int) -> None:
        def send() -> list[Envelope]:
            incident = self._incident(incident_id)
            if incident is None:
                return []
            if number < MAX_FIXES and incident.fix_state != "promoted":
                # Somebody looks again later; a release that was rejected stays rejected.
                later = self.clock.now + FIX_AGAIN_S * SECOND
                self._propose(later, incident_id, release, by, number + 1)
            if incident.fix_state not in ("none", "refused"):
                return []
            pointer = self.engine.handler.shard.pointers.get(incident.service_of_plan)
            known = pointer.releases.get(release) if pointer is not None else None
            if known is None or known.standing == "bad":
                return []  # meanwhile the incident is about another service
            given = inputs.ProposeFix(incident_id, release, by)
            return [Envelope(f"fix/{incident_id}/{number}", given)]

        self.at(when, send)

    def _end_faults(self, service: str) -> None:
        """Alerts on a regressed service end by themselves some time after users are well."""
        if service in self._ended:
            return
        for incident in archive.everything(self.engine.handler.shard, self._store).values():
            if incident.mitigated_at and incident.service_of_plan == service:
                self._ended.add(service)
                delivery = self.storm.end(service, incident.mitigated_at + ENDS_AFTER_S * SECOND)
                if delivery is not None:
                    self._webhook(delivery)


def _digest(service: str, release: str) -> str:
    return blake2b(f"{service}/{release}".encode(), digest_size=16).hexdigest()


def _sources_of(scenario: Scenario) -> list[str]:
    """Name the sources that the scenario's objectives count in, in order: all are simulated."""
    slos = scenario.config.rules.slos.values()
    return sorted({slo.indicator.source for slo in slos if slo.indicator is not None})
