"""Paging, kicked in every way: nobody is missed, and nobody is woken in vain."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.escalation import SILENT_S
from midwatch.core.rules.receipts import retry_delay_s
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, events, inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.schedules import DAY_MIN, Layer, Schedule
from midwatch.core.values.teams import Person, Policy, Route, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.engine.handle import Handler
from midwatch.engine.perform import Performer
from midwatch.engine.queries import outline
from midwatch.ports import Claim, Row

SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
# Two days before the clocks go back in Berlin, so that time jumps cross that.
BEGIN = 1_792_800_000_000
MINUTE = 60_000
SERVICES = ("shop", "cart", "docs")
PEOPLE = ("ada", "ben", "cyd")
SCHEDULE = Schedule(
    "primary", "Europe/Berlin", (Layer("base", ("ada", "ben"), "2026-01-05T09:00", DAY_MIN),)
)
TEAM = Team(
    people={name: Person(name, ("slack", "mail")) for name in PEOPLE},
    schedules={"primary": SCHEDULE},
    followers=frozenset({"slack"}),
)
POLICY = Policy("default", (Step(("primary",), 300), Step(("cyd",), 600)), 1, TEAM)
RULES = Rules(
    topology=Topology([Service(name, 2) for name in SERVICES], []),
    policy=POLICY,
    policies={"default": POLICY},
)


class World:
    """Both pagers, as a store of what arrived by key; `down` and ways in `broken` refuse."""

    def __init__(self) -> None:
        self.arrived: list[effects.SendPage] = []
        self.tried: list[effects.SendPage] = []
        self.down = False
        self.broken: set[tuple[str, str]] = set()  # person and pager

    def send(self, page: effects.SendPage) -> str:
        self.tried.append(page)
        if self.down or (page.to, page.via) in self.broken:
            raise OSError("no route")
        self.arrived.append(page)
        return "receipt"

    def follow(self, update: effects.UpdatePage) -> str:
        return "told"


@dataclass
class Asked:
    """How far the looking for somebody has come for one incident, counted from what was decided."""

    next: int = 0
    exhausted: bool = False
    held: set[tuple[str, str]] = field(default_factory=set)
    shared: set[tuple[str, str]] = field(default_factory=set)  # a page for another told of it
    here: set[tuple[str, str]] = field(default_factory=set)  # whom the newest step has asked
    holder: str = ""  # who answered last
    grew: bool = False  # by this very input


RESETS = (
    events.AckWithdrawn,
    events.EscalationRestarted,
    events.IncidentReassigned,
    events.IncidentReopened,
)


class Book:
    """Reads every decision, and says whom it had to page: nothing here asks the code that decides.

    The calendar is counted with the standard library, the steps from the journal's events alone.
    """

    def __init__(self) -> None:
        self.overrides: list[tuple[str, int, int]] = []
        self.asked: dict[str, Asked] = {}
        self.planned: dict[str, tuple[str, str]] = {}
        self.planned_at: dict[str, int] = {}
        self.about: dict[str, set[str]] = {}  # incidents of a page, one or those of its digest
        self.count: Counter[tuple[str, str, str]] = Counter()

    def turn(self, at: int) -> str:
        """Whose turn it is: the newest override that covers it, else by days since the start."""
        for person, start, end in reversed(self.overrides):
            if start <= at < end:
                return person
        local = datetime.fromtimestamp(at / 1_000, ZoneInfo("Europe/Berlin"))
        days = (local.date() - date(2026, 1, 5)).days - (local.hour < 9)
        return ("ada", "ben")[days % 2]

    def read(self, given: inputs.Input, rows: list[Row]) -> None:
        """Take in what one input led to."""
        failed: set[tuple[str, str]] = set()  # whose first pager failed or was silent just now
        if isinstance(given, inputs.TimerCameDue) and given.timer.purpose == "unanswered":
            key = given.timer.key.removeprefix("unanswered/")
            assert given.timer.due_at == self.planned_at[key] + SILENT_S * 1_000
            to, via = self.planned[key]
            if via == "slack":
                failed |= {(incident, to) for incident in self.about[key]}
        for asked in self.asked.values():
            asked.grew = False
        for row in rows:
            event = msgspec.json.decode(row.body, type=events.Event)
            if isinstance(event, events.IncidentEvent):
                asked = self.asked.setdefault(event.incident, Asked())
                if isinstance(event, events.PageFailed):
                    person, via = self.planned[event.key]
                    assert via in ("slack", "mail")
                    if via == "slack":
                        failed.add((event.incident, person))
                self.judge(given, event, asked, failed, row.at)

    def judge(
        self,
        given: inputs.Input,
        event: events.IncidentEvent,
        asked: Asked,
        failed: set[tuple[str, str]],
        at: int,
    ) -> None:
        """Steps go forward from reset to reset, and each pages whom the plan names now."""
        if isinstance(event, RESETS):
            if isinstance(event, events.EscalationRestarted):
                assert asked.exhausted, event
            asked.next, asked.exhausted = 0, False
            asked.held.clear()
            asked.here.clear()
        elif isinstance(event, events.PageAcknowledged):
            asked.held.clear()
            asked.holder = event.by
        elif isinstance(event, events.PageSnoozed):
            asked.holder = event.by
        elif isinstance(event, events.IncidentGrew):
            asked.grew = True
        elif isinstance(event, events.EscalationExhausted):
            assert asked.next == len(POLICY.steps) * (POLICY.repeat + 1), event
            asked.exhausted = True
        elif isinstance(event, events.StepSkipped):
            pytest.fail(f"somebody can always be reached here: {event}")
        elif isinstance(event, (events.PagePlanned, events.PageHeld)):
            self.judge_page(given, event, asked, failed, at)
            if isinstance(event, events.PagePlanned):
                self.planned[event.key] = (event.to, event.via)
                self.planned_at[event.key] = at
                self.about.setdefault(event.digest or event.key, set()).add(event.incident)
                count = self.count
                count[event.incident, event.to, event.via] += 1
                second, first = (count[event.incident, event.to, via] for via in ("mail", "slack"))
                assert second <= first, event  # once for each page, however often that one fails

    def judge_page(
        self,
        given: inputs.Input,
        event: events.PagePlanned | events.PageHeld,
        asked: Asked,
        failed: set[tuple[str, str]],
        at: int,
    ) -> None:
        """Exactly the expected person, by the expected pager."""
        way = (event.to, event.via)
        if event.step == asked.next:  # the next step, and no other
            assert way == (self.turn(at) if event.step % 2 == 0 else "cyd", "slack"), event
            asked.next += 1
            asked.here = {way}
        elif asked.grew and event.step == -1:  # worse news goes to whoever has it first
            assert way in {(asked.holder, "slack"), *asked.here}, event
        elif asked.grew:  # or to whoever is being asked
            assert event.step == asked.next - 1, event
            assert way in asked.here, event
        elif isinstance(given, inputs.Reassign) and given.incident == event.incident:
            to = self.turn(at) if given.to == "primary" else given.to
            assert (event.step, *way) == (-1, to, "slack"), event
            asked.here = {way}
        elif way in asked.held:  # what was kept back for a digest
            assert event.step == asked.next - 1, event
        elif way in asked.shared and getattr(given, "incident", event.incident) != event.incident:
            assert event.step == asked.next - 1, event  # that other one was answered
        else:  # the same person's second pager, as the first failed; the next step stays
            assert (event.incident, event.to) in failed, event
            assert event.via == "mail", event
            assert event.step < asked.next, event
        if isinstance(event, events.PageHeld):
            asked.held.add(way)
        else:
            asked.held.discard(way)
            if event.digest:
                asked.shared.add(way)


class Paging(RuleBasedStateMachine):
    """One shard under acks, snoozes, handing over, crashes, failing pagers and jumping clocks."""

    @initialize()
    def begin(self) -> None:
        self.now = BEGIN
        self.store = SqliteStore.memory()
        self.world = World()
        self.crashes = 0
        self.fired = 0
        self.book = Book()
        self.restart()

    def restart(self) -> None:
        self.handler = Handler(self.store, RULES, lambda: self.now)
        pagers = {"slack": self.world, "mail": self.world}
        self.performer = Performer(self.store, {}, pagers, None, None)

    def give(self, given: inputs.Input) -> str:
        return self.handle(Envelope("", given))

    def handle(self, envelope: Envelope) -> str:
        (handled,) = self.handler.handle([envelope])
        self.book.read(envelope.input, self.handler.appended)
        return handled.status

    def incidents(self) -> list[str]:
        return [i.id for i in self.handler.shard.incidents.values() if i.state != "resolved"]

    def settle(self, *, crash_after_send: bool = False) -> None:
        """Do what is due: timers, then pages, as the loop does."""
        for timer in self.store.due(self.now):
            key = f"timer/{timer.key}/{timer.due_at}"
            self.handle(Envelope(key, inputs.TimerCameDue(timer)))
        for claim in self.performer.claim(self.now, 100):
            self.judge_claim(claim)
            answer = self.performer.perform(claim)
            if crash_after_send:
                return
            self.handle(answer)

    def judge_claim(self, claim: Claim) -> None:
        """Exactly the expected person, by the expected pager, and never after the ack."""
        page = claim.effect
        if not isinstance(page, effects.SendPage):
            return
        shard = self.handler.shard
        told = [i for i in shard.incidents.values() if i.id == page.incident]
        told += [i for i in shard.incidents.values() if any(p.digest == page.key for p in i.pages)]
        assert any(i.awaits_ack and not i.acknowledged_by for i in told), page
        assert (page.to, page.via) == self.book.planned[page.key]

    # --- what people and the world do ---

    @rule(service=st.sampled_from(SERVICES), level=st.sampled_from(["critical", "error"]))
    def fire(self, service: str, level: str) -> None:
        self.fired += 1
        labels = {"alertname": f"A{self.fired}", "service": service, "severity": level}
        labels["namespace"] = service
        alert = identify(labels).alert("firing", self.now)
        assert self.give(inputs.AlertsArrived("test", (alert,))) == "committed"

    @precondition(lambda self: self.incidents())
    @rule(data=st.data(), who=st.sampled_from(PEOPLE))
    def ack(self, data: st.DataObject, who: str) -> None:
        self.give(inputs.Acknowledge(data.draw(st.sampled_from(self.incidents())), who))

    @precondition(lambda self: self.incidents())
    @rule(data=st.data(), minutes=st.integers(1, 600))
    def snooze(self, data: st.DataObject, minutes: int) -> None:
        name = data.draw(st.sampled_from(self.incidents()))
        self.give(inputs.Snooze(name, "ada", self.now + minutes * MINUTE))

    @precondition(lambda self: self.incidents())
    @rule(data=st.data())
    def unack(self, data: st.DataObject) -> None:
        self.give(inputs.Unacknowledge(data.draw(st.sampled_from(self.incidents())), "ada"))

    @precondition(lambda self: self.incidents())
    @rule(data=st.data(), to=st.sampled_from([*PEOPLE, "primary"]))
    def reassign(self, data: st.DataObject, to: str) -> None:
        name = data.draw(st.sampled_from(self.incidents()))
        self.give(inputs.Reassign(name, to, "ben"))

    @rule(person=st.sampled_from(PEOPLE), hours=st.integers(1, 30))
    def override(self, person: str, hours: int) -> None:
        end = self.now + hours * 60 * MINUTE
        assert self.give(inputs.AddOverride("primary", person, self.now, end, "ada")) == "committed"
        self.book.overrides.append((person, self.now, end))

    @rule(minutes=st.sampled_from([1, 5, 11, 31, 90, 300, 1_500]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        self.settle()

    @rule(minutes=st.integers(2, 8))
    def wait_and_look(self, minutes: int) -> None:
        """As the loop does, at each moment: so that tries are used up while a step waits."""
        for _ in range(minutes):
            self.wait(1)

    @rule()
    def send(self) -> None:
        self.settle()

    @rule(down=st.booleans())
    def pagers(self, down: bool) -> None:
        self.world.down = down

    @rule()
    def crash(self) -> None:
        """Die after a page went out and before its answer was kept; come back and settle it."""
        self.crashes += 1
        self.settle(crash_after_send=True)
        self.restart()
        for finish in self.performer.recover(self.handler.shard):
            self.handle(finish())

    # --- what must hold at each moment ---

    @invariant()
    def nobody_is_missed(self) -> None:
        """Whoever still has to be found has a page under way, a timer, or is visibly exhausted."""
        if not hasattr(self, "handler"):
            return
        active = {
            key for key, _, state, _ in self.store.outbox() if state in ("planned", "claimed")
        }
        for incident in self.handler.shard.incidents.values():
            if incident.state != "open" or incident.urgency != "page":
                continue
            assert incident.awaits_ack, incident
            timer = self.store.timer(f"escalate/{incident.id}")
            pages = {page.key for page in incident.pages}
            pages |= {page.digest for page in incident.pages}
            assert timer is not None or pages & active, incident

    @invariant()
    def an_ack_leaves_no_page_behind(self) -> None:
        """What is planned for an incident that somebody has tells of another one too."""
        if not hasattr(self, "handler"):
            return
        planned = {
            key
            for key, kind, state, _ in self.store.outbox()
            if (kind, state) == ("SendPage", "planned")
        }
        shard = self.handler.shard
        for incident in shard.incidents.values():
            if incident.acknowledged_by:
                assert not planned & {page.key for page in incident.pages}, incident

    @invariant()
    def duplicates_are_bounded(self) -> None:
        """A key arrives once, and once more for each crash at most."""
        if not hasattr(self, "handler"):
            return
        for key, times in Counter(page.key for page in self.world.arrived).items():
            assert times <= 1 + self.crashes, key

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()


def test_paging_survives_everything() -> None:
    """A few hundred random days."""
    run_state_machine_as_test(
        Paging,
        settings=settings(
            max_examples=2_000 if SOAK else 120, stateful_step_count=40, deadline=None
        ),
    )


# --- single behaviours --------------------------------------------------------------------------


class Desk:
    """One shard, a pager that takes everything, and a clock."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.now = BEGIN
        self.store = SqliteStore.memory()
        self.world = World()
        self.handler = Handler(self.store, rules, lambda: self.now)
        pagers = {"slack": self.world, "mail": self.world}
        self.performer = Performer(self.store, {}, pagers, None, None)

    def give(self, given: inputs.Input) -> None:
        (handled,) = self.handler.handle([Envelope("", given)])
        assert handled.status == "committed", handled.why

    def fire(self, service: str, level: str = "critical") -> None:
        alert = identify(
            {"alertname": "Down", "service": service, "severity": level, "namespace": service}
        )
        self.give(inputs.AlertsArrived("test", (alert.alert("firing", self.now),)))

    def later(self, seconds: int) -> None:
        self.now += seconds * 1_000
        for timer in self.store.due(self.now):
            self.give(inputs.TimerCameDue(timer))
        self.send()

    def send(self) -> None:
        while claims := self.performer.claim(self.now, 100):
            for claim in claims:
                self.handler.handle([self.performer.perform(claim)])

    def told(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [(page.to, page.via, page.also) for page in self.world.arrived]


def test_several_incidents_at_once_are_one_digest() -> None:
    """The first page goes out at once; the others half a minute later, as one."""
    desk = Desk()
    for service in SERVICES:
        desk.fire(service)
    desk.send()
    assert len(desk.told()) == 1
    desk.later(31)
    assert len(desk.told()) == 2
    (_, _, also) = desk.told()[1]
    assert len(also) == 1


def test_a_sev1_is_never_held_back() -> None:
    """Not by a page a second ago."""
    rules = Rules(
        Topology([Service("docs", 2), Service("shop", 1)], []),
        policy=POLICY,
        policies={"default": POLICY},
    )
    desk = Desk(rules)
    desk.fire("docs")
    desk.fire("shop")
    desk.send()
    assert [page.severity for page in desk.world.arrived] == ["sev2", "sev1"]


def test_an_ack_of_one_leaves_the_digest_to_the_others() -> None:
    """Whoever is still waited for is told of."""
    desk = Desk()
    for service in SERVICES:
        desk.fire(service)
    desk.send()
    desk.give(inputs.Acknowledge("INC-2", "ada"))
    desk.later(31)
    assert [page.incident for page in desk.world.arrived] == ["INC-1", "INC-3"]


def test_a_page_that_cannot_be_delivered_goes_by_the_next_pager_then_to_the_next_step() -> None:
    """Slack and mail of one person, then the next person when both were given up."""
    desk = Desk()
    desk.world.down = True
    desk.fire("shop")
    (incident,) = desk.handler.shard.incidents.values()
    first = incident.pages[0].to
    while len(incident.pages) < 3:
        desk.later(1)
        assert desk.now < BEGIN + 250_000  # the step would wait for 300 s
    ways = [(page.to, page.via) for page in incident.pages]
    assert ways[:2] == [(first, "slack"), (first, "mail")]
    assert ways[2][0] == "cyd"
    assert [page.state for page in incident.pages[:2]] == ["failed", "failed"]


def test_the_second_pager_is_asked_at_the_first_failure_beside_the_tries_of_the_first() -> None:
    """Each under its own key, the second once; an ack ends both."""
    desk = Desk()
    desk.fire("shop")
    (incident,) = desk.handler.shard.incidents.values()
    who = incident.pages[0].to
    desk.world.broken = {(who, "slack")}
    desk.send()
    assert [(page.to, page.via) for page in desk.world.arrived] == [(who, "mail")]
    for _ in range(30):
        desk.later(1)
    keys = [page.key for page in desk.world.tried]
    assert keys.count("page/INC-1/1") >= 3  # 5 to 10 s and 10 to 20 s after that
    assert keys.count("page/INC-1/2") == 1
    desk.give(inputs.Acknowledge("INC-1", who))
    tried = len(desk.world.tried)
    desk.later(3_600)
    assert len(desk.world.tried) == tried
    assert len(incident.pages) == 2


def test_a_pager_that_says_nothing_for_15_s_does_not_keep_the_second_waiting() -> None:
    """Nor is it forgotten: its late receipt is recorded, and pages nobody again."""
    desk = Desk()
    desk.fire("shop")
    (hangs,) = desk.performer.claim(desk.now, 100)
    desk.later(14)
    assert desk.told() == []
    desk.later(1)
    (incident,) = desk.handler.shard.incidents.values()
    who = incident.pages[0].to
    assert desk.told() == [(who, "mail", ())]
    desk.handler.handle([desk.performer.perform(hangs)])
    assert [page.state for page in incident.pages] == ["sent", "sent"]
    desk.later(60)
    assert len(incident.pages) == 2


def test_a_pager_that_failed_and_then_says_nothing_pages_by_the_second_once() -> None:
    """The first failure was reason enough; the silence after it is no second one."""
    desk = Desk()
    desk.fire("shop")
    desk.world.down = True
    desk.send()
    desk.world.down = False
    desk.now += 11_000
    claims = desk.performer.claim(desk.now, 100)
    assert {claim.attempt for claim in claims} == {2}
    desk.later(60)
    (incident,) = desk.handler.shard.incidents.values()
    assert [page.via for page in incident.pages] == ["slack", "mail"]


def test_an_ack_ends_the_waiting_for_a_pager_that_says_nothing() -> None:
    """Whoever has it is not paged by the second pager, whatever the first says later."""
    for error in (None, "no route"):
        desk = Desk()
        desk.fire("shop")
        (hangs,) = desk.performer.claim(desk.now, 100)
        desk.give(inputs.Acknowledge("INC-1", "ada"))
        desk.later(20)
        answer = inputs.PageAnswered(hangs.effect.key, "INC-1", 1, "" if error else "ok", error)
        desk.handler.handle([Envelope("", answer)])
        desk.later(3_600)
        assert desk.world.arrived == []


def test_a_digest_that_hangs_goes_by_the_second_pager_for_those_that_nobody_has() -> None:
    """One of its incidents was taken meanwhile: the page names the others alone."""
    desk = Desk()
    for service in SERVICES:
        desk.fire(service)
    desk.send()
    desk.now += 31_000
    for timer in desk.store.due(desk.now):
        desk.give(inputs.TimerCameDue(timer))
    (hangs,) = desk.performer.claim(desk.now, 100)
    assert (hangs.effect.incident, len(desk.told())) == ("INC-2", 1)
    desk.give(inputs.Acknowledge("INC-3", "ada"))
    desk.later(15)
    assert [(page.incident, page.via, page.also) for page in desk.world.arrived[1:]] == [
        ("INC-2", "mail", ())
    ]


def test_a_step_is_over_only_when_each_pager_was_given_up() -> None:
    """The first was, the second hangs: the next person waits until it is over."""
    desk = Desk()
    desk.fire("shop")
    (incident,) = desk.handler.shard.incidents.values()
    who = incident.pages[0].to
    desk.world.broken = {(who, "slack")}
    (slack,) = desk.performer.claim(desk.now, 100)
    desk.handler.handle([desk.performer.perform(slack)])
    (mail,) = desk.performer.claim(desk.now, 100)  # and never performed
    for _ in range(200):
        desk.later(1)
    assert [page.state for page in incident.pages] == ["failed", "planned"]
    for attempt in range(1, 6):
        answer = inputs.PageAnswered(mail.effect.key, "INC-1", attempt, error="no route")
        desk.handler.handle([Envelope("", answer)])
    assert [page.to for page in incident.pages] == [who, who, "cyd"]


def test_a_third_pager_follows_the_second_as_that_one_follows_the_first() -> None:
    """Two that fail at once cost no time."""
    people = {"ada": Person("ada", ("slack", "mail", "phone"))}
    team = Team(people=people)
    desk = Desk(Rules(RULES.topology, policy=Policy("p", (Step(("ada",), 300),), 0, team)))
    desk.performer = Performer(
        desk.store, {}, dict.fromkeys(("slack", "mail", "phone"), desk.world), None, None
    )
    desk.world.broken = {("ada", "slack"), ("ada", "mail")}
    desk.fire("shop")
    desk.send()
    assert desk.told() == [("ada", "phone", ())]


def test_a_digest_that_fails_is_one_page_by_the_second_pager_too() -> None:
    """Not one for each of its incidents, and only of those that nobody has."""
    desk = Desk()
    for service in SERVICES:
        desk.fire(service)
    desk.send()
    desk.give(inputs.Acknowledge("INC-1", "ada"))
    desk.world.broken = {(desk.told()[0][0], "slack")}
    desk.later(31)
    assert desk.told()[1:] == [(desk.told()[0][0], "mail", ("INC-3 sev2: Down on docs",))]


def test_a_forgotten_ack_comes_back() -> None:
    """After four hours people are paged anew."""
    desk = Desk()
    desk.fire("shop")
    desk.send()
    desk.give(inputs.Acknowledge("INC-1", "ada"))
    desk.later(4 * 3_600 - 1)
    assert len(desk.told()) == 1
    desk.later(1)
    assert len(desk.told()) == 2


def test_handing_over_pages_that_person_and_then_the_policy() -> None:
    """Who does not answer is followed by the policy's first step."""
    desk = Desk()
    desk.fire("shop")
    desk.send()
    desk.give(inputs.Acknowledge("INC-1", "ada"))
    desk.give(inputs.Reassign("INC-1", "cyd", "ada"))
    desk.send()
    assert desk.told()[-1][0] == "cyd"
    desk.later(301)
    assert desk.told()[-1][0] in ("ada", "ben")


def test_what_was_held_for_one_person_is_not_sent_once_somebody_else_was_named() -> None:
    """Handing over ends what was kept back for a digest: one person is asked, not two."""
    desk = Desk()
    desk.fire("cart")
    desk.send()
    desk.fire("shop")
    desk.give(inputs.Reassign("INC-2", "cyd", "ben"))
    desk.send()
    desk.later(31)
    assert [page.to for page in desk.world.arrived if page.incident == "INC-2"] == ["cyd"]


def test_a_late_failure_of_an_earlier_step_takes_no_step_early() -> None:
    """Both pagers of the first step are given up while the second step still waits."""
    steps = (Step(("ada",), 60), Step(("ben",), 600), Step(("cyd",), 600))
    desk = Desk(Rules(RULES.topology, policy=Policy("three", steps, 0, TEAM)))
    desk.world.broken = {("ada", "slack"), ("ada", "mail")}
    desk.fire("shop")
    (incident,) = desk.handler.shard.incidents.values()
    for _ in range(300):
        desk.later(1)
    assert [(page.to, page.state) for page in incident.pages] == [
        ("ada", "failed"),
        ("ada", "failed"),
        ("ben", "sent"),
    ]
    for _ in range(40):
        desk.later(10)
    assert [page.to for page in incident.pages] == ["ada", "ada", "ben", "cyd"]


def test_a_late_failure_of_an_earlier_round_takes_no_step_of_this_one() -> None:
    """Handed over while the last try was under way: the policy still begins with its first step."""
    steps = (Step(("ada",), 300), Step(("ben",), 300))
    desk = Desk(Rules(RULES.topology, policy=Policy("two", steps, 0, TEAM)))
    desk.world.down = True
    desk.fire("shop")
    (incident,) = desk.handler.shard.incidents.values()
    while not (claims := desk.performer.claim(desk.now, 1)) or claims[0].attempt < 5:
        desk.handler.handle([desk.performer.perform(one) for one in claims])
        desk.now += 10_000
    answer = desk.performer.perform(claims[0])
    desk.give(inputs.Reassign("INC-1", "cyd", "ben"))
    desk.handler.handle([answer])
    desk.world.down = False
    desk.later(14)
    desk.later(286)
    ways = [(page.to, page.via) for page in incident.pages]
    assert ways == [("ada", "slack"), ("ada", "mail"), ("cyd", "slack"), ("ada", "slack")]


@pytest.mark.parametrize("broken", [True, False])
def test_who_was_paged_in_vain_is_told_from_who_could_not_be_paged(broken: bool) -> None:
    """Each pager refused, or each page arrived and nobody answered: people do not do the same."""
    steps = (Step(("ada",), 300), Step(("ben",), 300))
    desk = Desk(Rules(RULES.topology, policy=Policy("two", steps, 0, TEAM)))
    if broken:
        desk.world.broken = {(one.name, via) for one in TEAM.people.values() for via in one.pagers}
    desk.fire("shop")
    for _ in range(900):
        desk.later(1)
    (incident,) = desk.handler.shard.incidents.values()
    shown = outline(desk.handler.shard, incident).incident
    assert (shown.exhausted, shown.unreached) == (True, broken)


def test_what_reached_somebody_in_an_earlier_round_holds_up_no_step_of_this_one() -> None:
    """Everybody was paged and slept; half an hour later the first one's pagers are gone."""
    steps = (Step(("ada",), 300), Step(("ben",), 300))
    desk = Desk(Rules(RULES.topology, policy=Policy("two", steps, 0, TEAM)))
    desk.fire("shop")
    (incident,) = desk.handler.shard.incidents.values()
    desk.send()
    for _ in range(2):
        desk.later(300)
    assert incident.exhausted
    desk.world.broken = {("ada", "slack"), ("ada", "mail")}
    desk.later(1_800)
    for _ in range(200):
        desk.later(1)
    assert [page.to for page in incident.pages] == ["ada", "ben", "ada", "ada", "ben"]


def test_who_has_it_and_that_it_is_over_is_told_to_pagers_that_follow() -> None:
    """Once each, by the pager that paged."""
    desk = Desk()
    desk.fire("shop")
    desk.send()
    desk.give(inputs.Acknowledge("INC-1", "ada"))
    desk.give(inputs.ResolveIncident("INC-1", "ada", "gone"))
    kinds = [kind for _, kind, _, _ in desk.store.outbox()]
    assert kinds == ["SendPage", "UpdatePage", "UpdatePage"]


def test_a_step_that_reaches_nobody_is_passed_at_once() -> None:
    """A schedule outside of its hours leaves the page to the next step."""
    from midwatch.core.values.schedules import Hours

    office = Schedule(
        "office", "UTC", (Layer("o", ("ada",), "2026-01-05T09:00", hours=(Hours((1,), 0, 60),)),)
    )
    team = Team(people=TEAM.people, schedules={"office": office})
    policy = Policy("default", (Step(("office",)), Step(("cyd",))), 1, team)
    desk = Desk(Rules(RULES.topology, policy=policy))
    desk.fire("shop")
    desk.send()
    assert [one[0] for one in desk.told()] == ["cyd"]


def test_exhausted_is_visible_and_tried_anew() -> None:
    """After everybody was paged twice it says so, and begins again after half an hour."""
    desk = Desk()
    desk.fire("shop")
    for _ in range(4):
        desk.later(601)
    (incident,) = desk.handler.shard.incidents.values()
    assert incident.exhausted
    before = len(desk.told())
    desk.later(1_801)
    assert not incident.exhausted
    assert len(desk.told()) == before + 1


@pytest.mark.parametrize(("service", "expected"), [("shop", "cyd"), ("cart", "ben")])
def test_a_route_chooses_the_policy(service: str, expected: str) -> None:
    """By service; what no route names has the default."""
    night = Policy("night", (Step(("cyd",)),), 1, TEAM)
    default = Policy("default", (Step(("ben",)),), 1, TEAM)
    rules = Rules(
        RULES.topology,
        policy=default,
        policies={"night": night, "default": default},
        routes=(Route("night", ("shop",)),),
    )
    desk = Desk(rules)
    desk.fire(service)
    desk.send()
    assert [one[0] for one in desk.told()] == [expected]


def test_an_ack_of_the_first_one_of_a_digest_sends_the_rest_anew() -> None:
    """What was planned and not yet sent told of others too: they must not go down with it."""
    desk = Desk()
    for service in SERVICES:
        desk.fire(service)
    desk.send()
    desk.now += 31_000
    for timer in desk.store.due(desk.now):
        desk.give(inputs.TimerCameDue(timer))
    desk.give(inputs.Acknowledge("INC-2", "ada"))
    desk.send()
    assert [page.incident for page in desk.world.arrived] == ["INC-1", "INC-3"]
    assert desk.told()[-1][2] == ()


def test_when_everybody_is_exhausted_the_last_resort_is_paged() -> None:
    """Once with each round, besides those of the policy."""
    team = msgspec.structs.replace(TEAM, last_resort=("cyd",))
    desk = Desk(Rules(RULES.topology, policy=Policy("p", (Step(("ben",), 60),), 0, team)))
    desk.fire("shop")
    desk.send()
    assert [page.to for page in desk.world.arrived] == ["ben"]
    desk.later(60)
    (incident,) = desk.handler.shard.incidents.values()
    assert incident.exhausted
    assert [page.to for page in desk.world.arrived] == ["ben", "cyd"]
    desk.give(inputs.Acknowledge("INC-1", "cyd"))
    desk.later(3_600)
    assert [page.to for page in desk.world.arrived] == ["ben", "cyd"]


def test_a_channel_of_a_step_is_paged_beside_its_people() -> None:
    """By the pager of that name, which no person owns."""
    step = Step(("ada",), 300, channels=("mail",))
    desk = Desk(Rules(RULES.topology, policy=Policy("p", (step,), 0, TEAM)))
    desk.fire("shop")
    desk.send()
    assert desk.told() == [("ada", "slack", ()), ("mail", "mail", ())]


def test_tries_of_many_pages_are_spread() -> None:
    """Each waits from once to twice its turn, and hardly two the same: they do not come at once."""
    for attempt in (1, 2, 3):
        waits = {retry_delay_s(f"page/INC-{n}/1", attempt) for n in range(100)}
        base = 5 * 2 ** (attempt - 1)
        assert base <= min(waits) < 1.1 * base
        assert 1.9 * base < max(waits) <= 2 * base
        assert len(waits) == 100


def test_a_swap_changes_who_is_paged_in_both_shifts() -> None:
    """Whoever has it now is not paged until the other's shift, and then is."""
    desk = Desk(Rules(RULES.topology, policy=Policy("p", (Step(("primary",)),), 0, TEAM)))
    book = Book()
    day = DAY_MIN * MINUTE
    has_it, other = book.turn(BEGIN), book.turn(BEGIN + day)
    assert has_it != other
    desk.give(inputs.SwapShifts("primary", BEGIN, BEGIN + day, "cyd"))
    for service, person in (
        ("shop", other),
        ("cart", has_it),
        ("docs", book.turn(BEGIN + 2 * day)),
    ):
        desk.fire(service)
        desk.send()
        assert desk.told()[-1][0] == person
        desk.give(inputs.Acknowledge(desk.world.arrived[-1].incident, person))
        desk.now += day
