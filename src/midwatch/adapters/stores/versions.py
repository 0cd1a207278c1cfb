"""Which midwatch may go on with a journal: none that is older than the newest that wrote it.

Law: a journal names the newest state and the newest events that were written into it, in the
transaction in which somebody takes it over. Who knows less refuses it, before a byte of it changes:
what it does not know it would leave out, and decide without.
"""

from __future__ import annotations

from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Journal
from midwatch.core.state.events import EVENT_VERSION
from midwatch.core.state.shard import STATE_VERSION
from midwatch.errors import BadDatabase

SINCE = 9  # the schema that has the columns


def check(db: Database, schema: int, place: str) -> None:
    """Let nobody go on with what a newer midwatch wrote. Raises BadDatabase."""
    if schema < SINCE:
        return
    found = db.only(Journal.versions)
    state, event = found.state_version, found.event_version
    if state > STATE_VERSION or event > EVENT_VERSION:
        says = (
            f"the file was written by a newer midwatch (state {state}, events {event}; this one "
            f"knows"
            f" {STATE_VERSION} and {EVENT_VERSION})"
        )
        raise BadDatabase(says, place=place, remedy="upgrade midwatch")


def note(db: Database) -> None:
    """Write down what this midwatch knows; within the transaction that takes the journal over."""
    db.change(Journal.note_versions, state=STATE_VERSION, event=EVENT_VERSION)
