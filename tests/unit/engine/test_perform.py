"""How effects end when the process died between claim and end."""

from __future__ import annotations

from typing import Any

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.effects import RunAction, SendPage, SetRelease, UpdatePage
from midwatch.core.state.incidents import asks_by
from midwatch.core.state.inputs import ActionAnswered, Envelope, ReleaseAnswered
from midwatch.core.state.shard import Shard
from midwatch.core.values.actions import Command
from midwatch.core.values.alerts import identify
from midwatch.core.values.teams import Person, Policy, Route, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.core.values.traffic import Traffic
from midwatch.engine.handle import Handler
from midwatch.engine.perform import Performer
from midwatch.errors import HarnessError
from midwatch.ports import Claim, Health


class World:
    """A pager, a router and a target that count what is asked of them."""

    def __init__(self, served: Traffic | None = None) -> None:
        self.sent: list[str] = []
        self.applied: list[str] = []
        self.served = served

    def send(self, page: SendPage) -> str:
        self.sent.append(page.key)
        return "receipt"

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        self.applied.append(operation)

    def check(self, service: str, release: str) -> Health:
        return Health()

    def observe(self, service: str) -> Traffic:
        if self.served is None:
            raise HarnessError("the router does not answer")
        return self.served

    def answer(self, service: str, release: str, question: str) -> str:
        return ""


class InDoubt:
    """An outbox that holds one effect which a dead process had claimed."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim

    def claim(self, now: int, limit: int, room: object = None) -> list[Claim]:
        return []

    def in_doubt(self) -> list[Claim]:
        return [self._claim]

    def next_effect_at(self, after: int = -1) -> int | None:
        return None


def paged(*, acked: bool) -> tuple[SqliteStore, Handler]:
    """An incident whose page was claimed, and perhaps acknowledged before the crash."""
    store = SqliteStore.memory()
    rules = Rules(policy=Policy("p", (Step(("ada",)),)))
    engine = Handler(store, rules, lambda: 1_000)
    labels = {"alertname": "Down", "service": "shop", "severity": "critical"}
    one = identify(labels).alert("firing", 0)
    engine.handle([Envelope("a", inputs.AlertsArrived("test", (one,)))])
    assert len(store.claim(1_000, 1)) == 1
    if acked:
        engine.handle([Envelope("b", inputs.Acknowledge("INC-1", "ada"))])
    return store, engine


@pytest.mark.parametrize(("acked", "sent"), [(False, ["page/INC-1/1"]), (True, [])])
def test_a_page_in_doubt_is_sent_again_unless_acknowledged(acked: bool, sent: list[str]) -> None:
    """Under its own key; after an ack not at all."""
    store, engine = paged(acked=acked)
    world = World()
    performer = Performer(store, {}, {"pager": world}, world, world)
    engine.handle([finish() for finish in performer.recover(engine.shard)])
    assert world.sent == sent
    assert store.in_doubt() == []


def two_teams() -> Rules:
    """Two policies in one incident: the second is for the database's people."""
    people = {name: Person(name, ("sms",)) for name in ("ada", "dan")}
    team = Team(people=people, digest_s=0, ack_s=0)
    mine = Policy("p", (Step(("ada",)),), team=team)
    other = Policy("db", (Step(("dan",)),), team=team)
    routes = (Route("db", ("db",)),)
    graph = Topology([Service("shop", 1), Service("db", 1)], [])
    return Rules(topology=graph, policy=mine, policies={"p": mine, "db": other}, routes=routes)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_a_page_that_was_acknowledged_is_not_sent_for_what_grew_since(
    fails: bool, beside: bool
) -> None:
    """Neither after a crash nor after a late failure: what is new has a page of its own."""
    now = 1_000_000
    store = SqliteStore.memory()
    engine = Handler(store, two_teams(), lambda: now)

    def fire(name: str, service: str, level: str = "error") -> None:
        labels = {"alertname": name, "service": service, "severity": level}
        alert = identify({**labels, "trace_id": "t-1"}).alert("firing", now)
        engine.handle([Envelope(f"{name}/{service}", inputs.AlertsArrived("test", (alert,)))])

    fire("Down", "shop")
    who, where = ("dan", "db") if beside else ("ada", "shop")
    if beside:
        now += 60_000
        fire("Slow", "db")
    page = engine.shard.incidents["INC-1"].pages[-1]
    assert (page.to, bool(page.beside)) == (who, beside)
    assert page.key in {one.effect.key for one in store.claim(now, 9)}
    now += 60_000
    engine.handle([Envelope("ack", inputs.Acknowledge("INC-1", who))])
    now += 900_000
    fire("Worse", where, "critical")
    (incident,) = engine.shard.incidents.values()
    newest = incident.pages[-1].key
    assert newest != page.key
    assert asks_by(incident, newest)
    if fails:
        answer = inputs.PageAnswered(page.key, "INC-1", 1, error="503")
        engine.handle([Envelope("", answer)])
        now += 60_000
        sent = [one.effect.key for one in store.claim(now, 9)]
    else:
        world = World()
        performer = Performer(store, {}, {"sms": world}, world, world)
        engine.handle([finish() for finish in performer.recover(engine.shard)])
        sent = world.sent + [one.effect.key for one in store.claim(now, 9)]
    assert newest in sent
    assert page.key not in sent


@pytest.mark.parametrize(
    ("served", "state"),
    [
        (Traffic("v1", 3), "applied"),
        (Traffic("v2", 2), "not-applied"),
        (None, "unknown"),
    ],
)
def test_an_action_in_doubt_is_observed_and_never_repeated(
    served: Traffic | None, state: str
) -> None:
    """The answer says what is seen; nothing is applied while looking."""
    wish = SetRelease("rollback/INC-1/1", "INC-1", "shop", "v1", 3, "rollback")
    world = World(served)
    performer = Performer(InDoubt(Claim(wish, 1)), {}, {"pager": world}, world, world)
    (finish,) = performer.recover(Shard())
    envelope = finish()
    assert isinstance(envelope.input, ReleaseAnswered)
    assert envelope.input.state == state
    assert world.applied == []


def test_what_came_from_outside_is_cut_in_a_page_and_whole_in_the_journal() -> None:
    """A label of any length pages; what a chat would refuse for its length it never gets."""
    long = "x" * 100_000
    page = SendPage("page/INC-1/1", "INC-1", "ada", "sev1", long, long, long, "hook", (long, "b"))
    told: list[SendPage | UpdatePage] = []

    class Listener(World):
        def send(self, page: SendPage) -> str:
            told.append(page)
            return "receipt"

        def follow(self, update: UpdatePage) -> str:
            told.append(update)
            return "receipt"

    performer = Performer(InDoubt(Claim(page, 1)), {}, {"hook": Listener()}, None, None)
    performer.perform(Claim(page, 1))
    update = UpdatePage("update/INC-1/1", "INC-1", "ada", "acknowledged", "ada", long, "hook")
    performer.perform(Claim(update, 1))
    sent, followed = told
    assert isinstance(sent, SendPage)
    assert isinstance(followed, UpdatePage)
    assert [len(one) for one in (sent.title, sent.summary, sent.service)] == [200, 1_200, 200]
    assert [len(one) for one in (*sent.also, followed.title)] == [200, 1, 200]
    assert sent.title.endswith("x…")
    assert (sent.key, sent.to, sent.severity) == (page.key, page.to, page.severity)


class Untouchable:
    """A pager, a router and an actor that must not be called, not even to look."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.called.append(name)
        raise HarnessError(f"{name} was called in shadow")


TOOL = Command(("tool",))


@pytest.mark.parametrize(
    "wish",
    [
        SendPage("page/INC-1/1", "INC-1", "ada", "sev1", "Down", "it is", "shop", "hook"),
        SetRelease("rollback/INC-1/1", "INC-1", "shop", "v1", 3, "rollback"),
        RunAction("action/INC-1/1/purge", "INC-1", "shop", "cache.purge", TOOL, TOOL),
    ],
    ids=lambda wish: type(wish).__name__,
)
def test_in_shadow_nothing_is_touched(wish: SendPage | SetRelease | RunAction) -> None:
    """No pager is asked, no release is moved, no action is run, and the answer says so."""
    none = Untouchable()
    performer = Performer(
        InDoubt(Claim(wish, 1)), {}, {"hook": none}, none, None, none, shadow=True
    )
    given = performer.perform(Claim(wish, 1)).input
    assert none.called == []
    match given:
        case inputs.PageAnswered():
            assert given.receipt == "shadow: not sent"
        case ReleaseAnswered() | ActionAnswered():
            assert given.state == "not-applied"
            assert given.seen.endswith("shadow mode changes nothing")
        case _:
            pytest.fail(f"no answer to it: {given}")
