"""What a decision changed is taken back to the byte, wherever it ends."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator, Mapping
from contextlib import suppress
from random import Random

import msgspec
import pytest
from tests.unit.histories import RULES, history

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs, shard, undo
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import Shard
from midwatch.core.state.undo import Undo
from midwatch.core.values.habits import Habits
from midwatch.drill import scenarios
from midwatch.drill.shift import Shift
from midwatch.engine import handle
from midwatch.engine.handle import Handled, Handler, fold
from midwatch.engine.verify import verify
from midwatch.errors import CommitFailed, StateError
from midwatch.ports import Row, Snapshot

Recalled = Mapping[str, Archived]


class Stumbled(Exception):
    """A decision that ended half-way."""


class Stumbling(Undo):
    """Ends a decision when its nth fact is noted, and not yet applied."""

    def __init__(self, state: Shard, left: int) -> None:
        super().__init__(state)
        self.left = left
        self.seen = 0

    def note(self, event: events.Event) -> None:
        super().note(event)
        self.seen += 1
        if self.seen == self.left:
            raise Stumbled


def known(state: Shard) -> tuple[bytes, bytes]:
    """All that a shard is: its bytes, and the look-ups that are not written down."""
    looks = (state.board, state.digests)
    return shard.dump(state), msgspec.json.encode(looks, order="deterministic")


def rehearse(state: Shard, given: inputs.Input, now: int, rng: Random, rules: Rules) -> int:
    """Decide and take it back, at the end and at a fact half-way; gives how many facts it had."""
    before = known(state)
    seen = 0
    for left in (0, rng.randrange(1, 6)):
        log = Stumbling(state, left)
        with suppress(Stumbled, StateError):
            decide(state, given, now, rules, log)
        seen = max(seen, log.seen)
        assert log.is_exact
        log.back()
        assert known(state) == before, type(given).__name__
    return seen


@pytest.fixture(params=[0, undo.SMALL], ids=["entries", "copies"], autouse=True)
def _small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a large incident needs is tried on small ones, too."""
    monkeypatch.setattr(undo, "SMALL", request.param)


@pytest.mark.parametrize("seed", range(60 if os.environ.get("MIDWATCH_SOAK") else 3))
def test_any_decision_of_a_long_history_is_taken_back_to_the_byte(seed: int) -> None:
    """Alerts, mutes, merges, splits, tickets, burns, plans, releases and people, in any order."""
    rng, state, facts = Random(f"undo/{seed}"), Shard(), 0
    for now, given in history(seed, state):
        facts += rehearse(state, given, now, rng, RULES)
        log = Undo(state)
        try:
            decide(state, given, now, RULES, log)
        except StateError:
            log.back()
        loaded = shard.load(shard.dump(state))
        assert known(loaded) == known(state)
    assert facts > 150
    assert state.next_incident > 5


def test_an_incident_that_reports_of_many_people_open_is_taken_back_to_the_byte() -> None:
    """With the earlier reports, which belong to it from then on; and it is loaded as it is kept."""
    rng, state = Random("undo/reports"), Shard()
    for number in range(7):
        given = inputs.FileTicket(f"T-{number}", f"nothing works, {number}", f"u{number}")
        rehearse(state, given, number * 1_000, rng, RULES)
        decide(state, given, number * 1_000, RULES, Undo(state))
        assert known(shard.load(shard.dump(state))) == known(state)
    assert state.incidents["INC-1"].tickets == [f"T-{number}" for number in range(7)]


@pytest.mark.parametrize("name", ["shift", "two-at-once"])
def test_every_decision_of_a_drill_is_taken_back_to_the_byte(name: str) -> None:
    """Canaries, rollbacks, cases, postmortems and gates: what a whole shift does."""
    store = SqliteStore.memory()
    shift = Shift(scenarios.load(scenarios.find(name)), store)
    rng, facts = Random(f"drill/{name}"), 0
    really = Handler.handle

    def handled(self: Handler, envelopes: list[Envelope]) -> list[Handled]:
        nonlocal facts
        for one in envelopes:
            if not store.seen(one.key):
                rules = shift.scenario.config.rules
                facts += rehearse(self.shard, one.input, shift.clock.now, rng, rules)
        return really(self, envelopes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "handle", handled)
        shift.run()
    assert facts > 20
    assert not store.letters()


class FullDisk(SqliteStore):
    """A journal whose disk is full now and then, and that counts how often it was read whole."""

    full = False
    loads = 0

    def before_commit(self) -> None:
        if self.full:
            raise CommitFailed("the disk is full")

    def load(self) -> tuple[Snapshot | None, list[Row]]:
        self.loads += 1
        return super().load()


@pytest.mark.parametrize("seed", range(2))
def test_a_group_that_cannot_be_committed_is_undone_without_reading_the_journal(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full disks and inputs that nobody can decide on: memory is what a new start would make."""
    store, rng, clock = FullDisk.memory(), Random(f"disk/{seed}"), 0

    def stumble(
        state: Shard, given: inputs.Input, now: int, rules: Rules, log: Undo, recalled: Recalled
    ) -> Decision:
        d = decide(state, given, now, rules, log, recalled)
        if d.events and rng.random() < 0.1:
            raise ZeroDivisionError
        return d

    monkeypatch.setattr(handle, "decide", stumble)
    handler = Handler(store, RULES, lambda: clock)
    group: list[Envelope] = []
    failed = 0
    for number, (now, given) in enumerate(history(seed, handler.shard)):
        group.append(Envelope(f"in/{number}", given))
        if rng.random() < 0.7:
            continue
        clock, store.full = now, rng.random() < 0.5
        with suppress(CommitFailed):
            handler.handle(group)
            group = []
        failed += store.full
        assert store.loads == 1, "since the start"
        assert known(handler.shard) == known(fold(store))
        store.loads = 1
    assert failed > 5
    assert any("ZeroDivision" in letter.reason for letter in store.letters())
    assert verify(store)[1] == []


def _leaves(kind: object) -> Iterator[type]:
    args = typing.get_args(kind)
    if args:
        for one in args:
            yield from _leaves(one)
    elif isinstance(kind, type):
        yield kind


@pytest.mark.parametrize("owner", [Shard, Incident, Habits])
def test_what_stands_in_a_table_is_never_changed_in_place(owner: type) -> None:
    """A copy of a table keeps only what it holds: so that must be replaced, never changed."""
    kept_otherwise = {"Incident", "KeptCase", "Pointer", "Habits", "Storm", "Board", "Run"}
    for field in msgspec.structs.fields(owner):
        for leaf in _leaves(field.type):
            if issubclass(leaf, msgspec.Struct) and leaf.__name__ not in kept_otherwise:
                assert leaf.__struct_config__.frozen, f"{owner.__name__}.{field.name}"


def test_every_fact_is_known_to_the_undo() -> None:
    """One that is not would make each failure as dear as the whole history."""
    for kind in typing.get_args(events.Event):
        assert kind in undo.NOTE, kind.__name__
