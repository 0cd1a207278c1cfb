"""What the rows of a store are, where no port has a type for them.

Law: the fields are the columns, in the order in which a query names them; every engine's queries
give the same.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from midwatch.ports import Row, Token


class Identity(Struct, frozen=True):
    """What a journal is called, and whether its pages were never sent."""

    name: str
    shadow: int


class Versions(Struct, frozen=True):
    """The newest state and the newest events that were written into a journal."""

    state_version: int
    event_version: int


class Head(Struct, frozen=True):
    """The number and the link of the newest event."""

    seq: int
    head: bytes


class Linked(Row, frozen=True):
    """An event with its link in the chain."""

    link: bytes

    def parted(self) -> tuple[Row, bytes]:
        """Give the event and its link apart."""
        event = Row(self.seq, self.stream, self.version, self.at, self.cause, self.type, self.body)
        return event, self.link


class Kept(Linked, frozen=True):
    """An event that stayed when the journal was pruned, with the link before it."""

    before: bytes


class OutboxRow(Struct, frozen=True):
    """A row of the outbox, as its seal covers it."""

    key: str
    number: int
    kind: str
    body: bytes
    seq: int
    state: str
    due_at: int
    attempt: int
    detail: str


class Claimed(Struct, frozen=True):
    """An effect that somebody has taken, and how often."""

    body: bytes
    attempt: int


class Waits(Struct, frozen=True):
    """When the next timer and the next planned effect are due."""

    timer: int | None
    effect: int | None


class Left(Struct, frozen=True):
    """An incident that has left the shard, and how many facts its stream has."""

    body: bytes
    version: int


class Size(Struct, frozen=True):
    """What a dead letter takes."""

    id: int
    source: str
    at: int
    size: int


class Failure(Struct, frozen=True):
    """A bad answer and its moment."""

    at: int
    body: bytes


class MadeFor(Struct, frozen=True):
    """Which journal, at which term and event, the logins were made for."""

    journal: str
    salt: str
    seq: int


class Secret(Token, frozen=True):
    """A token with the hash of its secret, which leaves the store with nobody."""

    hash: bytes = b""

    def shown(self) -> Token:
        """Give what others may see."""
        return Token(
            self.id,
            self.source,
            self.role,
            self.name,
            self.created_at,
            self.revoked_at,
            self.expires_at,
        )


class Holder(Struct, frozen=True):
    """Whose a token is, and since when it is revoked; 0 for a live one."""

    id: str
    source: str
    role: str
    name: str
    revoked_at: int


# --- rows that the ports hand on as tuples ------------------------------------------------------


class Counts(NamedTuple):
    """Events that came up to a moment: the good ones, and all."""

    at: int
    good: int
    total: int


class Due(NamedTuple):
    """A waiting effect; what sorts first is begun first."""

    due_at: int
    number: int
    key: str


class Progress(NamedTuple):
    """How far an effect is."""

    key: str
    kind: str
    state: str
    attempt: int


class Followed(NamedTuple):
    """An effect and the event that it follows."""

    key: str
    seq: int


class Dropped(NamedTuple):
    """How many letters of a source were dropped."""

    source: str
    letters: int


class Used(NamedTuple):
    """When a token was used last."""

    token: str
    at: int
