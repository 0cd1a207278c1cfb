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

from midwatch.adapters.stores.sqlite import SqliteStore
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


_COLUMNS = "id, source, role, name, created_at, revoked_at, expires_at"


class SqliteTokens:
    """Makes, finds and revokes tokens."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, clock: Callable[[], int]
    ) -> None:
        self._db = connection
        self._path = path
        self._clock = clock
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
                "has an older schema", place=str(path), remedy=f"run midwatch db migrate {path}"
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

    def create(self, token: Token) -> str:
        """Keep a new token and give its text, which nobody can give again."""
        secret = secrets.token_urlsafe(32)
        try:
            self._db.execute(
                f"INSERT INTO token ({_COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
                (
                    token.id,
                    token.source,
                    token.role,
                    token.name,
                    token.created_at,
                    token.expires_at,
                    _hash(secret),
                ),
            )
        except sqlite3.Error as error:
            raise CommitFailed(f"the token could not be kept: {error}") from error
        return f"{PREFIX}_{token.id}_{secret}"

    def find(self, text: str) -> Token | None:
        """Give the token with this text, unless it is unknown, revoked or over."""
        prefix, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        row = self._db.execute(
            f"SELECT {_COLUMNS}, hash FROM token WHERE id = ?", (name,)
        ).fetchone()
        # An unknown id costs the same comparison as a wrong secret.
        right = hmac.compare_digest(_hash(secret), row[-1] if row else bytes(32))
        if row is None or not right or prefix != PREFIX:
            return None
        token = Token(*row[:-1])
        return token if self._lives(token) else None

    def _lives(self, token: Token) -> bool:
        return not token.revoked_at and not 0 < token.expires_at <= self._clock()

    def get(self, token_id: str) -> Token | None:
        """Give the live token with this id, for somebody who showed its text before."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM token WHERE id = ?", (token_id,)).fetchone()
        token = Token(*row) if row else None
        return token if token is not None and self._lives(token) else None

    def all(self) -> list[Token]:
        """List every token, oldest first."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM token ORDER BY created_at, id")
        return [Token(*row) for row in rows]

    def revoke(self, token_id: str, now: int) -> Token:
        """End a token at once. Raises StateError when there is none of this id."""
        changed = self._db.execute(
            "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at = 0", (now, token_id)
        ).rowcount
        if not changed:
            raise StateError(
                f"no live token is called {token_id!r}", remedy="look at midwatch token list"
            )
        return next(t for t in self.all() if t.id == token_id)


def new_id() -> str:
    """Make an id that says nothing."""
    return secrets.token_hex(4)


def _hash(secret: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return sha256(secret.encode("utf-8", "replace")).digest()
