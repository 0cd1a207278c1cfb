"""Tokens in the journal's file, on a connection of their own.

Law: a secret is shown once and never stored; it is compared in constant time. A token may be made
and revoked while a server owns the journal, and the server sees it with the next request.
"""

from __future__ import annotations

import hmac
import secrets
import sqlite3
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Self

from msgspec.structs import asdict

from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Tokens
from midwatch.adapters.stores.sqlite import SqliteStore, named
from midwatch.adapters.stores.sqlite_file import (
    inspect_header,
    migrations,
    note_closed,
    note_open,
)
from midwatch.errors import BadDatabase, CommitFailed, StateError
from midwatch.ports import Token

PREFIX = "mw"


def wall_ms() -> int:
    """Say what the wall clock says."""
    return time.time_ns() // 1_000_000


class KeptTokens:
    """Makes, finds and revokes tokens; what the database raises is a `failure`."""

    def __init__(self, db: Database, failure: type[Exception], clock: Callable[[], int]) -> None:
        self._sql = db
        self._failure = failure
        self._clock = clock

    def create(self, token: Token) -> str:
        """Keep a new token and give its text, which nobody can give again."""
        secret = secrets.token_urlsafe(32)
        try:
            self._sql.change(Tokens.add, **asdict(token), hash=_hash(secret))
        except self._failure as error:
            raise CommitFailed(f"the token could not be stored: {error}") from error
        return f"{PREFIX}_{token.id}_{secret}"

    def find(self, text: str) -> Token | None:
        """Give the token with this text, unless it is unknown, revoked or over."""
        prefix, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        found = self._sql.one(Tokens.find, id=name)
        # An unknown id costs the same comparison as a wrong secret.
        right = hmac.compare_digest(_hash(secret), found.hash if found else bytes(32))
        if found is None or not right or prefix != PREFIX or not self._lives(found):
            return None
        return found.shown()

    def _lives(self, token: Token) -> bool:
        return not token.revoked_at and not 0 < token.expires_at <= self._clock()

    def get(self, token_id: str) -> Token | None:
        """Give the live token with this id, for somebody who showed its text before."""
        found = self._sql.one(Tokens.find, id=token_id)
        return found.shown() if found is not None and self._lives(found) else None

    def all(self) -> list[Token]:
        """List every token, oldest first."""
        return [found.shown() for found in self._sql.each(Tokens.all)]

    def revoke(self, token_id: str, now: int) -> Token:
        """End a token at once. Raises StateError when there is none of this id."""
        if not self._sql.change(Tokens.revoke, id=token_id, now=now):
            raise StateError(
                f"no live token is named {token_id!r}", remedy="see midwatch token list"
            )
        return next(t for t in self.all() if t.id == token_id)


class SqliteTokens(KeptTokens):
    """The tokens in a journal's file."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Callable[[], int]
    ) -> None:
        super().__init__(named(connection), sqlite3.Error, clock)
        self._db = connection
        self._path = path
        note_open(path)

    @classmethod
    def open(cls, path: Path, clock: Callable[[], int] = wall_ms) -> Self:
        """Open a database, making it when there is none. Raises BadDatabase.

        `clock` gives milliseconds since the epoch; by it tokens end.
        """
        if not path.exists():
            SqliteStore.own(path).close()
        if inspect_header(path) < migrations()[-1][0]:
            raise BadDatabase(
                "the schema is older than this midwatch",
                place=str(path),
                remedy=f"run midwatch db migrate {path}",
            )
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise BadDatabase(
                f"cannot be opened: {error}", place=str(path), remedy="restore it from a backup"
            ) from error
        return cls(connection, path, clock)

    def close(self) -> None:
        """Let the file go."""
        self._db.close()
        note_closed(self._path)


def new_id() -> str:
    """Make an id that says nothing."""
    return secrets.token_hex(4)


def _hash(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return sha256(secret.encode("utf-8", "replace")).digest()
