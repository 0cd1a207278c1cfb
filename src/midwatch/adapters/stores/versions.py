"""Which midwatch may go on with a journal: none that is older than the newest that wrote it.

Law: a journal names the newest state and the newest events that were written into it, in the
transaction in which somebody takes it over. Who knows less refuses it, before a byte of it changes:
what it does not know it would leave out, and decide without.
"""

from __future__ import annotations

import sqlite3

from midwatch.core.events import EVENT_VERSION
from midwatch.core.shard import STATE_VERSION
from midwatch.errors import BadDatabase

SINCE = 9  # the schema that has the columns


def check(db: sqlite3.Connection, place: str) -> None:
    """Let nobody go on with what a newer midwatch wrote. Raises BadDatabase."""
    if db.execute("PRAGMA user_version").fetchone()[0] < SINCE:
        return
    state, event = db.execute("SELECT state_version, event_version FROM journal").fetchone()
    if state > STATE_VERSION or event > EVENT_VERSION:
        says = (
            f"was written by a newer midwatch (state {state}, events {event}; this one knows"
            f" {STATE_VERSION} and {EVENT_VERSION})"
        )
        raise BadDatabase(says, place=place, remedy="upgrade midwatch")


def note(db: sqlite3.Connection) -> None:
    """Write down what this midwatch knows; within the transaction that takes the journal over."""
    known = (STATE_VERSION, EVENT_VERSION)
    db.execute("UPDATE journal SET state_version = ?, event_version = ?", known)
