"""An input that cannot be decided on or committed stops nobody else, and leaves a next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from midwatch.adapters.stores import dead_letters
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, events, inputs, shard
from midwatch.core.state.decision import Decision
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import identify
from midwatch.core.values.canary import CanaryPlan, Guard
from midwatch.core.values.judgements import ActionItem, Judgement
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Indicator
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.engine import handle
from midwatch.engine import letters as dead
from midwatch.engine.handle import Handler, fold
from midwatch.engine.verify import verify
from midwatch.errors import CommitFailed

FIRST = Policy("first", (Step(("ada",), 300),), team=Team(digest_s=0, ack_s=0))
RULES = Rules(
    topology=Topology([Service("shop", 1), Service("db", 3)]),
    policy=FIRST,
    canaries={"shop": CanaryPlan((Guard("errors", 0.02, Indicator("counter")),), (10, 50))},
)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    """A fresh store of each kind."""
    made = SqliteStore.memory() if request.param == "memory" else SqliteStore.own(tmp_path / "j.db")
    yield made
    made.close()


class Engine(Handler):
    """An engine's one door, at a time that the test sets."""

    def __init__(self, store: SqliteStore) -> None:
        self.now = 1_000
        self.store = store
        super().__init__(store, RULES, lambda: self.now)

    def pages(self) -> list[str]:
        """What was planned: for whom, and about what."""
        found = (self.store._db.execute("SELECT body FROM outbox ORDER BY number")).fetchall()
        return [body.decode() for (body,) in found if b"SendPage" in body]

    def facts(self, kind: type) -> list[str]:
        """The facts of a kind, as they are stored."""
        rows = (row for row, _ in self.store.rows())
        return [row.body.decode() for row in rows if row.type == kind.__name__]


def fire(service: str, summary: str = "", key: str = "", at: int = 1_000) -> Envelope:
    """An alert that pages."""
    labels = {"alertname": "Down", "service": service, "severity": "critical"}
    one = identify(labels).alert("firing", at, summary=summary)
    return Envelope(key or f"in/{service}", inputs.AlertsArrived("test", (one,)))


def used_key() -> inputs.Input:
    """Something from which an effect follows whose key another one has."""
    return inputs.PagesSeen("reuse", fire("shop").input.alerts)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(autouse=True)
def _reuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the core draw a key twice, which no rule of it does."""

    def reuse(d: Shard, given: inputs.Input, *args: object) -> Decision:
        done = decide.decide(d, given, *args)  # pyright: ignore[reportArgumentType]
        if isinstance(given, inputs.PagesSeen):
            done.plan(effects.UpdatePage("taken", "INC-1", "ada", "resolved", "ben", "it"))
        return done

    monkeypatch.setattr(handle, "decide", reuse)


NAMELESS = replace(identify({"alertname": "Down"}).alert("firing", 1_000), service="caf\udce9")
POISONS: dict[str, Callable[[], inputs.Input]] = {
    "a key that was used": used_key,
    "a text that is none": lambda: fire("shop", "half a \ud83d").input,
    "a service that is none": lambda: inputs.AlertsArrived("test", (NAMELESS,)),
    "a number of 64 bits": lambda: inputs.AddSilence(("a=b",), 0, 2**63, "ada", "long"),
    "a number of 65 bits": lambda: inputs.AddSilence(("a=b",), 0, 2**64, "ada", "longer"),
    "a field of the wrong kind": lambda: inputs.Acknowledge(["INC-1"], "ada"),  # pyright: ignore[reportArgumentType]  that is the point
}


def prepared(store: SqliteStore) -> Engine:
    """An engine with two releases, and an effect under a key that somebody takes again."""
    engine = Engine(store)
    for name, good in (("v1", True), ("v2", False)):
        given = inputs.RegisterRelease("shop", name, f"d-{name}", good, live=good)
        engine.handle([Envelope(f"release/{name}", given)])
    assert engine.handle([Envelope("first", used_key())])[0].status == "committed"
    return engine


def sound(engine: Engine) -> bool:
    """Memory is what a new start would make, and the journal verifies."""
    there = fold(engine.store)
    same = shard.dump(engine.shard) == shard.dump(there) and engine.shard.board == there.board
    return same and verify(engine.store)[1] == []


@pytest.mark.parametrize("name", POISONS)
def test_the_neighbours_of_a_poisoned_input_commit(store: SqliteStore, name: str) -> None:
    """Before it and after it, in one group; the letter has its reason; a retry is a duplicate."""
    engine = prepared(store)
    poison = Envelope("poison", POISONS[name]())
    said = engine.handle([fire("a"), poison, fire("b"), poison, fire("c")])
    assert [one.status for one in said] == [
        "committed",
        "rejected",
        "committed",
        "duplicate",
        "committed",
    ]
    (letter,) = store.letters()
    assert (letter.key, letter.reason) == ("poison", said[1].why)
    assert letter.body
    assert set(engine.shard.firing.values()) >= {"INC-1"}
    for service in "abc":
        assert any(one.service == service for one in alerts(engine))
    assert [one.status for one in engine.handle([poison])] == ["duplicate"]
    assert len(store.letters()) == 1
    assert sound(engine)


def alerts(engine: Engine) -> list[shard.Firing]:
    """All that fires."""
    return [one for x in engine.shard.incidents.values() for one in x.firing.values()]


def test_a_key_that_is_no_text_is_remembered(store: SqliteStore) -> None:
    """Its sender's retry is the same input."""
    engine = Engine(store)
    odd = fire("shop", key="k\ud800")
    assert [x.status for x in engine.handle([odd, odd])] == ["committed", "duplicate"]
    assert [x.status for x in engine.handle([odd])] == ["duplicate"]


def test_several_poisons_in_one_group(store: SqliteStore) -> None:
    """Each is a letter of its own."""
    engine = prepared(store)
    group = [Envelope(f"bad/{n}", make()) for n, make in enumerate(POISONS.values())]
    said = engine.handle([fire("a"), *group, fire("b")])
    assert [one.status for one in said] == ["committed", *["rejected"] * len(group), "committed"]
    assert len(store.letters()) == len(group)
    assert sound(engine)


def test_a_file_that_takes_nothing_is_no_fault_of_the_input(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is CommitFailed, also while a poisoned input is looked for; no letter is left."""
    engine = prepared(store)
    monkeypatch.setattr(store, "before_commit", lambda: (_ for _ in ()).throw(CommitFailed("full")))
    for group in ([fire("a")], [fire("a"), Envelope("p", used_key())]):
        with pytest.raises(CommitFailed, match="full"):
            engine.handle(group)
        assert sound(engine)
    monkeypatch.delattr(store, "before_commit")
    assert not store.letters()
    said = engine.handle([fire("a"), Envelope("p", used_key())])
    assert [x.status for x in said] == ["committed", "rejected"]


def test_memory_that_has_parted_from_the_journal_buries_nothing(store: SqliteStore) -> None:
    """A constraint on the events says that we erred: memory is read again, nobody is refused."""
    engine = Engine(store)
    engine.handle([fire("a")])
    engine.shard.versions["incident/INC-1"] -= 1
    with pytest.raises(CommitFailed, match="have parted"):
        engine.handle([fire("a", at=2_000, key="again")])
    assert not store.letters()
    assert [x.status for x in engine.handle([fire("a", at=2_000, key="again")])] == ["committed"]
    assert sound(engine)


# --- who is told --------------------------------------------------------------------------------


def stumbling(
    monkeypatch: pytest.MonkeyPatch, over: Callable[[inputs.Input], bool], error: Exception
) -> None:
    """Let the core raise for some inputs."""

    def stumble(d: Shard, given: inputs.Input, *args: object) -> Decision:
        done = decide.decide(d, given, *args)  # pyright: ignore[reportArgumentType]
        if over(given):
            raise error
        return done

    monkeypatch.setattr(handle, "decide", stumble)


def test_the_owner_is_paged_once_for_each_source_and_kind(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once a letter; another kind is another page."""
    engine = Engine(store)
    stumbling(monkeypatch, lambda x: isinstance(x, inputs.AlertsArrived), KeyError("boom"))
    for number in range(20):
        engine.handle([fire("shop", key=f"k/{number}")])
    assert len(store.letters()) == 20
    (page,) = engine.pages()
    assert '"to":"ada"' in page
    assert '"service":"shop"' in page
    assert "InputNotDecided" in page
    assert "KeyError: 'boom'" in page
    assert len(engine.facts(events.InputDied)) == 1
    stumbling(monkeypatch, lambda x: isinstance(x, inputs.ChangesArrived), ValueError("odd"))
    engine.handle([Envelope("c", inputs.ChangesArrived("ci", ()))])
    assert len(engine.facts(events.InputDied)) == 2


def test_what_does_not_fit_the_state_pages_nobody(store: SqliteStore) -> None:
    """Whoever typed it hears of it."""
    engine = Engine(store)
    said = engine.handle([Envelope("x", inputs.Acknowledge("INC-99", "ada"))])
    assert [one.status for one in said] == ["rejected"]
    assert store.letters()
    assert not engine.pages()


def test_a_persons_typo_pages_nobody(store: SqliteStore) -> None:
    """Whoever typed it reads what is wrong; nobody is woken, and no incident is opened."""
    engine = Engine(store)
    engine.handle([fire("shop")])
    before = len(engine.pages()), engine.shard.next_incident
    item = ActionItem("write a test", "ada", "tomorrow")
    given = inputs.EditPostmortem("INC-1", Judgement(action_items=(item,)), "ada")
    (answer,) = engine.handle([Envelope("edit/1", given)])
    assert answer.status == "rejected"
    assert "tomorrow" in answer.why
    assert (len(engine.pages()), engine.shard.next_incident) == before
    assert engine.facts(events.InputDied) == []


def test_it_pages_although_somebody_has_the_incident_that_it_joins(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged was something else."""
    engine = Engine(store)
    engine.handle([fire("shop")])
    engine.handle([Envelope("ack", inputs.Acknowledge("INC-1", "ada"))])
    stumbling(monkeypatch, lambda x: isinstance(x, inputs.ChangesArrived), ValueError("odd"))
    change = inputs.ChangesArrived("ci", (inputs.Change("d", "shop", "deploy", 1_000),))
    engine.handle([Envelope("c", change)])
    assert len(engine.pages()) == 2


def test_a_death_that_cannot_be_told_is_still_a_letter(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kills an input may kill the page about it; it never kills its neighbours."""
    engine = prepared(store)
    monkeypatch.setattr(handle, "bury", lambda *_, **__: 1 / 0)
    said = engine.handle([fire("a"), Envelope("p", used_key()), fire("b")])
    assert [one.status for one in said] == ["committed", "rejected", "committed"]
    assert len(store.letters()) == 1
    assert sound(engine)


# --- the next step ------------------------------------------------------------------------------


def test_a_timer_that_dies_is_set_again_and_then_a_person_is_paged(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An escalation comes back when the fault is over; one that never works ends after a few."""
    engine = Engine(store)
    engine.handle([fire("shop")])
    key = "escalate/INC-1"
    stumbling(monkeypatch, lambda x: isinstance(x, inputs.TimerCameDue), RuntimeError("no"))
    waits: list[int] = []
    while (timer := store.timer(key)) is not None:
        waits.append((timer.due_at - engine.now) // 1_000)
        engine.now = timer.due_at
        engine.handle([Envelope(f"timer/{key}/{timer.due_at}", inputs.TimerCameDue(timer))])
        assert len(waits) < 10
    assert waits == [300, 60, 120, 240, 480, 960]
    assert any("could not decide on what the timer to escalate" in x for x in engine.pages())
    assert sound(engine)


def test_an_escalation_that_died_once_goes_on(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute later it pages the next step."""
    engine = Engine(store)
    engine.handle([fire("shop")])
    engine.now = 301_000
    (timer,) = (one for one in store.due(engine.now) if one.purpose == "escalate")
    with monkeypatch.context() as patch:
        stumbling(patch, lambda x: isinstance(x, inputs.TimerCameDue), RuntimeError("no"))
        engine.handle([Envelope("t/1", inputs.TimerCameDue(timer))])
    again = store.timer(timer.key)
    assert again is not None
    assert again.due_at == engine.now + 60_000
    engine.now = again.due_at
    engine.handle([Envelope("t/2", inputs.TimerCameDue(again))])
    *_, page = engine.facts(events.PagePlanned)
    assert '"step":1' in page
    assert "no ack from ada" in page


def test_a_pages_answer_that_dies_is_a_page_that_failed(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is settled, and the next step is taken."""
    engine = Engine(store)
    engine.handle([fire("shop")])
    (claim,) = store.claim(1_000, 10)
    with monkeypatch.context() as patch:
        stumbling(patch, lambda x: isinstance(x, inputs.PageAnswered), RuntimeError("no"))
        engine.handle([Envelope("a", inputs.PageAnswered(claim.effect.key, "INC-1", 1, "ok"))])
    assert (claim.effect.key, "SendPage", "failed", 1) in store.outbox()
    assert engine.facts(events.PageFailed)
    assert len(engine.pages()) > 1
    assert sound(engine)


def on_trial(store: SqliteStore) -> Engine:
    """A canary at its first step."""
    engine = prepared(store)
    engine.handle([Envelope("s", inputs.StartCanary("shop", "v2", "op", "ada"))])
    pending = engine.shard.pointers["shop"].pending
    answer = inputs.ReleaseAnswered(pending, "", 1, "applied", "seen")
    engine.handle([Envelope("r", answer)])
    assert engine.shard.pointers["shop"].weight == 10
    return engine


def test_a_reading_of_a_canary_that_dies_takes_it_off(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weight 0, inconclusive, and somebody is paged."""
    engine = on_trial(store)
    stumbling(monkeypatch, lambda x: isinstance(x, inputs.CanaryRead), RuntimeError("no"))
    operation = engine.shard.pointers["shop"].canary.operation  # pyright: ignore[reportOptionalMemberAccess]
    engine.handle([Envelope("", inputs.CanaryRead("shop", operation, 99_000, {}))])
    pointer = engine.shard.pointers["shop"]
    assert pointer.canary is None
    assert pointer.last_canary is not None
    assert pointer.last_canary.verdict == "inconclusive"
    assert (pointer.intended, pointer.intended_weight) == ("v1", 0)
    assert any("InputNotDecided" in one for one in engine.pages())


def test_a_routers_answer_that_dies_leaves_nothing_pending(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what is served: the move is given up, and a person looks."""
    engine = prepared(store)
    given = inputs.MoveRelease("shop", "promote", "op", "ada", "v2", why="now")
    engine.handle([Envelope("m", given)])
    stumbling(monkeypatch, lambda x: isinstance(x, inputs.ReleaseAnswered), RuntimeError("no"))
    pending = engine.shard.pointers["shop"].pending
    engine.handle([Envelope("r", inputs.ReleaseAnswered(pending, "", 1, "applied", "seen"))])
    assert engine.shard.pointers["shop"].pending == ""
    assert (pending, "SetRelease", "unknown", 0) in store.outbox()
    assert any("ReleaseNotMoved" in one for one in engine.pages())
    assert sound(engine)


def test_deaths_of_timers_are_remembered_to_a_bound() -> None:
    """The newest of them."""
    state = Shard()
    for number in range(300):
        died = events.InputDied(
            source="t",
            kind="k",
            service="",
            reason=Reason("r/1", "no"),
            timer=f"timer/{number}",
            tries=1,
        )
        shard.evolve(state, died, 0)
    assert len(state.stumbled) == shard.KEPT_STUMBLES
    assert "timer/299" in state.stumbled


# --- bounds -------------------------------------------------------------------------------------


def delivery(number: int, parts: int, size: int, source: str = "test") -> Envelope:
    """A delivery of which nothing could be read."""
    body = b'{"labels": "' + b"x" * size + b'"}'
    rejected = tuple(inputs.Rejected(f"[{n}]", "is no alert", body) for n in range(parts))
    return Envelope(f"{source}/{number}", inputs.AlertsArrived(source, ()), rejected)


def test_what_cannot_be_read_fills_no_disk(tmp_path: Path) -> None:
    """Many parts, large parts, many deliveries: the newest are kept, cut, and the rest counted."""
    path = tmp_path / "j.db"
    store = SqliteStore.own(path)
    engine = Engine(store)
    engine.handle([delivery(0, 1, 10, "other")])
    for number in range(4):
        engine.handle([delivery(number, 30_000, 200)])
        engine.handle([delivery(100 + number, 6, 1_000_000)])
    store.close()
    assert path.stat().st_size < 1_000_000
    store = SqliteStore.own(path)
    letters = store.letters()
    assert len(letters) == 1 + 4 * (dead.MAX_PARTS + 6)
    assert max(len(one.body) for one in letters) < dead.MAX_BODY + 50
    assert store.dropped() == {"test": 4 * (30_000 - dead.MAX_PARTS)}
    assert store.letters()[0].source == "other"
    assert store.problems() == []
    store.close()


def test_a_source_never_takes_the_place_of_another(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own count and bytes; over all of them the oldest go; what is old goes."""
    monkeypatch.setattr(dead_letters, "MAX_OF_SOURCE", 5)
    monkeypatch.setattr(dead_letters, "MAX_BYTES_OF_SOURCE", 3_000)
    engine = Engine(store)
    engine.handle([delivery(0, 2, 10, "quiet")])
    for number in range(9):
        engine.handle([delivery(number, 2, 10, "loud")])
    engine.handle([delivery(9, 4, 900, "large")])
    kept = [one.source for one in store.letters()]
    assert (kept.count("quiet"), kept.count("loud"), kept.count("large")) == (2, 5, 3)
    assert store.dropped() == {"large": 1, "loud": 13}
    monkeypatch.setattr(dead_letters, "MAX", 6)
    engine.handle([delivery(10, 1, 10, "newest")])
    assert [one.source for one in store.letters()] == ["loud"] * 2 + ["large"] * 3 + ["newest"]
    assert store.dropped() == {"large": 1, "loud": 16, "quiet": 2}
    engine.now += dead_letters.MAX_AGE_MS + 1_000
    engine.handle([delivery(11, 1, 10, "loud")])
    assert [one.source for one in store.letters()].count("loud") == 1


def test_letters_are_read_in_parts(store: SqliteStore) -> None:
    """So many after the last one that was read."""
    engine = Engine(store)
    engine.handle([delivery(0, 7, 10)])
    first = store.letters(3)
    rest = store.letters(10, first[-1].id)
    assert [one.reason for one in (*first, *rest)] == [f"[{n}]: is no alert" for n in range(7)]
    assert store.why_dead("test/0") == "[0]: is no alert"
    assert store.why_dead("nobody") == ""
