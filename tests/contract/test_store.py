"""What every store keeps to; today there is one, in memory and in a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine import handle
from midwatch.engine.handle import Handler
from midwatch.engine.verify import verify
from midwatch.errors import CommitFailed, Fenced
from midwatch.ports import Cut, Entry, Settled, Snapshot

RULES = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0, ack_s=0)))


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    """A fresh store of each kind."""
    made = (
        SqliteStore.memory()
        if request.param == "memory"
        else SqliteStore.own(tmp_path / "journal.db")
    )
    yield made
    made.close()


def handler(store: SqliteStore, now: int = 1_000) -> Handler:
    """An engine's one door."""
    return Handler(store, RULES, lambda: now)


def fire(service: str, key: str = "") -> Envelope:
    """An alert that pages."""
    labels = {"alertname": "Down", "service": service, "severity": "critical"}
    one = identify(labels).alert("firing", 1_000)
    return Envelope(key or f"in/{service}", inputs.AlertsArrived("test", (one,)))


def bad(key: str) -> Envelope:
    """A command that does not fit."""
    return Envelope(key, inputs.Acknowledge("INC-99", "ada"))


def test_a_group_commits_as_one(store: SqliteStore) -> None:
    """Events, outbox, timers and inbox of a decision are there together."""
    engine = handler(store)
    assert [a.status for a in engine.handle([fire("a"), fire("b")])] == ["committed"] * 2
    assert store.seen("in/a")
    assert [key for key, *_ in store.outbox()] == ["page/INC-1/1"]
    assert store.next_timer_at() is not None
    assert verify(store) == (len(list(store.rows())), [])


def test_the_same_key_twice_is_one_input(store: SqliteStore) -> None:
    """In one group, and over two."""
    engine = handler(store)
    statuses = [a.status for a in engine.handle([fire("a"), fire("a")])]
    statuses += [a.status for a in engine.handle([fire("a")])]
    assert statuses == ["committed", "duplicate", "duplicate"]


def test_a_repeat_is_remembered_only_when_its_sender_named_it(store: SqliteStore) -> None:
    """Nothing follows from it; a key that a sender chose still means that very request."""
    engine = handler(store)
    engine.handle([fire("a")])
    again = fire("a").input
    engine.handle([Envelope("hash", again), Envelope("named", again, once=True)])
    said = engine.handle([Envelope("hash", again), Envelope("named", again, once=True)])
    assert [one.status for one in said] == ["committed", "duplicate"]


def test_a_raising_input_is_kept_and_its_neighbours_commit(store: SqliteStore) -> None:
    """The dead letter has its reason; nothing of it is in the journal."""
    engine = handler(store)
    answers = engine.handle([fire("a"), bad("x"), fire("b")])
    assert [a.status for a in answers] == ["committed", "rejected", "committed"]
    assert [(one.key, one.reason) for one in store.letters()] == [("x", answers[1].why)]
    assert "INC-99" in answers[1].why
    again = handler(store)
    assert again.shard == engine.shard


def test_a_failed_commit_throws_memory_away(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing happened, and the same input works the next time."""
    engine = handler(store)
    engine.handle([fire("a")])
    before = list(store.rows())

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "before_commit", full)
        with pytest.raises(CommitFailed, match="disk is full"):
            engine.handle([fire("b")])
    assert list(store.rows()) == before
    assert engine.shard == handler(store).shard
    assert engine.handle([fire("b")])[0].status == "committed"
    assert verify(store)[1] == []


WRITES: dict[str, Callable[[SqliteStore], object]] = {
    "commit": lambda s: s.commit(Entry(2_000, inputs=["k"])),
    "commit_each": lambda s: s.commit_each([Entry(2_000, inputs=["k"])], lambda *_: None),
    "claim": lambda s: s.claim(3_000, 5),
    "settle": lambda s: s.commit(Entry(2_000, settled=[Settled("page/INC-1/1", "done", "")])),
    "cut": lambda s: s.cut(Cut(Snapshot(0, 1, b"{}", b""), 0, 0, b"", [])),
    "sweep": lambda s: s.sweep(0, 0),
    "archive": lambda s: s.archive([]),
    "keep": lambda s: s.keep(shadow=True),
    "probe": lambda s: s.probe(),
    "snapshot": lambda s: s.commit(Entry(2_000, snapshot=b"{}")),
    "shrink": lambda s: s.shrink(),
}


@pytest.mark.parametrize("name", WRITES)
def test_an_older_owner_writes_nothing_at_all(tmp_path: Path, name: str) -> None:
    """Whoever lost the shard writes nothing, even without any lock; its owner goes on."""
    path = tmp_path / "journal.db"
    zombie = SqliteStore.own(path)
    if name != "keep":  # that is for an empty journal
        handler(zombie).handle([fire("a")])
    owner = SqliteStore(sqlite3.connect(path, isolation_level=None), path=path)
    owner.take_ownership()
    before = list(owner._db.iterdump())
    with pytest.raises(Fenced, match="stop this process"):
        WRITES[name](zombie)
    assert list(owner._db.iterdump()) == before
    if name != "keep":
        assert len(owner.claim(3_000, 5)) == 1
    zombie.close()
    owner.close()


def test_an_older_owner_is_fenced(store: SqliteStore) -> None:
    """Whoever lost the shard cannot decide, either."""
    engine = handler(store)
    engine.handle([fire("a")])
    store._db.execute("UPDATE shard SET fence = fence + 1")
    with pytest.raises(Fenced):
        engine.handle([fire("b")])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk has an error"),
        (sqlite3.SQLITE_READONLY, "the file is read-only"),
        (sqlite3.SQLITE_BUSY, "another process is writing"),
        (sqlite3.SQLITE_CORRUPT, "the file is damaged"),
    ],
)
def test_a_file_that_takes_nothing_says_why(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    """Full, broken, read-only, locked or damaged: and each has its remedy."""
    error = sqlite3.OperationalError("so it is")
    error.sqlite_errorcode = code

    def refuse() -> None:
        raise error

    monkeypatch.setattr(store, "before_commit", refuse)
    with pytest.raises(CommitFailed, match=f"{says}.*so it is.*; ."):
        handler(store).handle([fire("a")])


def test_a_claim_is_taken_once(store: SqliteStore) -> None:
    """A second claim gets nothing; what was claimed and not settled is in doubt."""
    handler(store).handle([fire("a")])
    (claim,) = store.claim(1_000, 10)
    assert (claim.effect.key, claim.attempt) == ("page/INC-1/1", 1)
    assert store.claim(1_000, 10) == []
    assert store.in_doubt() == [claim]


def test_what_is_due_next_follows_each_write(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit, one that fails, and a claim; asked in between, as a loop does."""
    engine = handler(store)

    def full() -> None:
        assert store.next_effect_at() == 1_000  # seen inside, and gone with it
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "before_commit", full)
        with pytest.raises(CommitFailed):
            engine.handle([fire("a")])
    assert (store.next_timer_at(), store.next_effect_at()) == (None, None)
    engine.handle([fire("a")])
    at = store.next_timer_at()
    assert at is not None
    assert store.next_effect_at() == 1_000
    assert [one.due_at for one in store.due(at)] == [at]
    assert store.claim(1_000, 10)
    assert store.next_effect_at() is None


def test_a_reader_sees_what_its_owner_makes_due(tmp_path: Path) -> None:
    """Nobody tells it of a write."""
    store = SqliteStore.own(tmp_path / "journal.db")
    with store.beside() as reader:
        assert reader.next_effect_at() is None
        handler(store).handle([fire("a")])
        assert reader.next_effect_at() == 1_000
    store.close()


def test_a_cancelled_effect_is_not_claimed(store: SqliteStore) -> None:
    """No page is claimed after the ack."""
    engine = handler(store)
    engine.handle([fire("a")])
    engine.handle([Envelope("ack", inputs.Acknowledge("INC-1", "ada"))])
    assert store.claim(10**12, 10) == []
    assert store.next_timer_at() is None


def test_a_retry_waits_and_keeps_its_key(store: SqliteStore) -> None:
    """After a failed send the effect is planned again, later, under the same key."""
    engine = handler(store)
    engine.handle([fire("a")])
    store.claim(1_000, 10)
    failed = inputs.PageAnswered("page/INC-1/1", "INC-1", 1, error="503")
    engine.handle([Envelope("answer/page/INC-1/1/1", failed)])
    assert store.claim(1_000, 10) == []
    due_at = store.next_effect_at()
    assert due_at is not None
    (claim,) = store.claim(due_at, 10)
    assert (claim.effect.key, claim.attempt) == ("page/INC-1/1", 2)


def test_a_timer_fires_once(store: SqliteStore) -> None:
    """Its row goes with the decision that it caused."""
    engine = handler(store)
    engine.handle([fire("a")])
    due_at = store.next_timer_at()
    assert due_at is not None
    (timer,) = store.due(due_at)
    late = Handler(store, RULES, lambda: due_at)
    late.handle([Envelope("timer/1", inputs.TimerCameDue(timer))])
    assert timer not in store.due(due_at)


def test_a_timer_that_cannot_be_answered_is_kept_as_a_letter_and_goes(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be due again and again."""
    engine = handler(store)
    engine.handle([fire("a")])
    due_at = store.next_timer_at()
    assert due_at is not None
    (timer,) = store.due(due_at)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setitem(decide._DISPATCH, inputs.TimerCameDue, broken)
    late = Handler(store, RULES, lambda: due_at)
    (handled,) = late.handle([Envelope("timer/1", inputs.TimerCameDue(timer))])
    assert handled.status == "rejected"
    assert store.due(due_at) == []
    assert [letter.key for letter in store.letters()] == ["timer/1"]


def test_a_snapshot_shortens_the_fold(store: SqliteStore) -> None:
    """After it only the tail is read, and the state is the same."""
    engine = handler(store)
    engine.handle([fire("a")])
    engine.snapshot()
    engine.handle([fire("b")])
    snapshot, tail = store.load()
    assert snapshot is not None
    assert 0 < len(tail) < len(list(store.rows()))
    assert handler(store).shard == engine.shard
    assert verify(store)[1] == []


def test_a_large_shard_is_not_written_down_again_and_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot waits for several times its size of events; two are kept, and the fold holds."""
    monkeypatch.setattr(handle, "SNAPSHOT_EVERY", 5)
    engine = handler(store)
    taken: set[int] = set()
    for number in range(200):
        engine.handle([fire(f"s{number}", f"k{number}")])
        taken |= {one.seq for one in store.snapshots()}
        assert len(store.snapshots()) <= 2
    events = len(list(store.rows()))
    assert 2 < len(taken) < events / 20
    assert handler(store).shard == engine.shard
    assert verify(store)[1] == []
