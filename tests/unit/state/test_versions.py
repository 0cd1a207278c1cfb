"""The versions of state and events: what changes its shape raises its number."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.state import shard, upgrades
from midwatch.core.state.events import EVENT_VERSION, Event
from midwatch.core.state.shard import STATE_VERSION, Shard
from midwatch.drill import scenarios
from midwatch.drill.shift import Shift
from midwatch.errors import BadDatabase

# What midwatch 0.1.0 had; a release adds its own line here.
RELEASED = {"0.1.0": {"state": (11, "dc4e50f400ef2508"), "event": (1, "2f4341e4f50134c4")}}


def shape(of: Any) -> str:
    """A name of everything that a type can hold."""
    schema = json.dumps(msgspec.json.schema(of), sort_keys=True)
    return sha256(schema.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("kind", "of", "number"), [("state", Shard, STATE_VERSION), ("event", Event, EVENT_VERSION)]
)
def test_another_shape_has_another_number(kind: str, of: Any, number: int) -> None:
    """Else an older midwatch would go on with what it does not know."""
    for version, had in RELEASED.items():
        released, known = had[kind]
        assert (number > released) == (shape(of) != known), version


def test_every_released_state_is_read() -> None:
    """There is a way from each to the next one."""
    assert sorted(upgrades.UPGRADES) == list(range(11, STATE_VERSION))


@pytest.mark.parametrize(
    ("body", "version", "says"),
    [
        (b"{}", STATE_VERSION + 1, "upgrade midwatch"),
        (b"{}", 10, "use that midwatch"),
        (b"{", STATE_VERSION, "cannot be read"),
        (b'{"incidents": 7}', 11, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(body: bytes, version: int, says: str) -> None:
    """As an error of the journal, whatever is wrong with it."""
    with pytest.raises(BadDatabase, match=says):
        upgrades.load(body, version)


def test_lessons_of_0_1_0_are_those_that_its_events_would_teach() -> None:
    """It looked for them in all of its incidents; now they stand beside them."""
    store = SqliteStore.memory()
    shift = Shift(scenarios.load(scenarios.find("shift")), store)
    shift.run()
    state = shift.engine.handler.shard
    assert state.past
    document = msgspec.json.decode(shard.dump(state))
    for one in store.closed(100):  # they were in the state, then
        record = store.recall(one.id)
        assert record is not None
        document["incidents"][one.id] = msgspec.to_builtins(one)
        document["versions"][f"incident/{one.id}"] = record.version
    del document["past"]
    assert upgrades.load(msgspec.json.encode(document), 11).past == state.past


def test_the_oldest_state_that_is_read_has_what_it_had() -> None:
    """What it did not know has its default."""
    before = Shard(at=7, next_incident=3)
    document = msgspec.json.decode(shard.dump(before))
    del document["term_salt"], document["past"]
    assert upgrades.load(msgspec.json.encode(document), 11) == before
