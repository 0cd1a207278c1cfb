"""Logins, last uses and the trail of who came and who was refused, in a file beside the journal.

Law: no copy of a journal is a login. A login is 32 random bytes in a browser, kept here by their
SHA-256 alone, with an idle and an absolute end. This file is in no backup; logins that were made
for another journal, or for a later state of this one, end when a server starts. What cannot be
written here (a full disk) stops no page: the login fails, or the line is lost and counted.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Self

from msgspec.structs import asdict

from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.named import load
from midwatch.adapters.stores.names import Access
from midwatch.errors import CommitFailed, HarnessError
from midwatch.ports import Attempt, Session

IDLE_MS = 24 * 3_600_000
LONGEST_MS = 7 * 86_400_000
NOTE_EVERY_MS = 60_000  # a use is written down, and refusals are summed up, once in this time
KEPT_LINES = 20_000
MOST_SESSIONS = 1_000
LOCKED_S = 1.0


def beside(journal: Path) -> Path:
    """Name the file that belongs to a journal.

    >>> beside(Path("a/midwatch.db")).name
    'midwatch.db.access'
    """
    file = journal.resolve()
    return file.with_name(f"{file.name}.access")


class SqliteAccess:
    """Sessions and trail of one journal; from any thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._sql = Database(connection, load("sqlite", (Access,)))
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}  # by token: when its use was written down
        self.lost = 0  # lines that could not be written

    @classmethod
    def open(cls, journal: Path) -> Self:
        """Open the file beside a journal, making it for its owner alone. Raises HarnessError."""
        file = beside(journal)
        try:
            file.touch(0o600)
            connection = sqlite3.connect(
                file, timeout=LOCKED_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            schema = Path(__file__).parent / "access_schema.sql"
            connection.executescript(schema.read_text("utf-8"))
        except (sqlite3.Error, OSError) as error:
            raise HarnessError(
                f"cannot be opened: {error}",
                place=str(file),
                remedy="make it writable, or remove it: everyone has to log in again",
            ) from error
        return cls(connection)

    @classmethod
    def memory(cls) -> Self:
        """Keep logins and trail in memory alone, when their file cannot be used."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        schema = Path(__file__).parent / "access_schema.sql"
        connection.executescript(schema.read_text("utf-8"))
        return cls(connection)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _written(self) -> Generator[Database]:
        """Do it as one transaction. Raises CommitFailed."""
        with self._lock:
            try:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    yield self._sql
            except sqlite3.Error as error:
                locked = "locked" in str(error)
                first = "stop the process that locks them" if locked else "free disk space"
                remedy = f"{first}, and try again"
                raise CommitFailed(f"logins cannot be written: {error}", remedy=remedy) from error

    # --- which journal they are for ---

    def begin(self, journal: str, before: str, salt: str, seq: int) -> int:
        """Begin a term of a server; gives how many logins were ended.

        Args:
            journal: its name.
            before: the salt of the journal's newest term before this one.
            salt: the salt of this term.
            seq: the journal's newest event.

        """
        with self._written() as db:
            last = db.one(Access.made_for)
            same = (
                last is not None
                and last.seq <= seq
                and ((last.journal, last.salt) == (journal, before))
            )
            ended = 0
            if not same:
                ended = db.change(Access.drop_all)
            db.change(Access.make_for, journal=journal, salt=salt, seq=seq)
        return ended

    # --- Sessions ---

    def create(self, token: str, seq: int, now: int) -> str:
        """Log a token in; gives the text that the browser keeps. Raises CommitFailed."""
        text = secrets.token_urlsafe(32)
        with self._written() as db:
            db.change(Access.drop_ended, idle=now - IDLE_MS, longest=now - LONGEST_MS)
            db.change(Access.drop_beyond, most=MOST_SESSIONS - 1)
            db.change(
                Access.add,
                hash=_hash(text),
                id=secrets.token_hex(4),
                token=token,
                began_at=now,
                used_at=now,
            )
            db.change(Access.saw, seq=seq)
        return text

    def find(self, text: str, now: int, seq: Callable[[], int]) -> Session | None:
        """Give the login of this text, unless it is unknown, ended or too old.

        `seq` gives the journal's newest event; once a minute it is noted that the login saw it, so
        that a journal that is older does not know this login.
        """
        with self._lock:
            found = self._sql.one(Access.find, hash=_hash(text))
        if found is None:
            return None
        if found.used_at <= now - IDLE_MS or found.began_at <= now - LONGEST_MS:
            return None
        if now - found.used_at >= NOTE_EVERY_MS:
            with contextlib.suppress(CommitFailed), self._written() as db:
                db.change(Access.note_use, hash=_hash(text), now=now)
                db.change(Access.saw, seq=seq())
        return found

    def end(self, text: str) -> None:
        """End one login. Raises CommitFailed."""
        with self._written() as db:
            db.change(Access.drop, hash=_hash(text))

    def end_of(self, token: str) -> int:
        """End the logins of a token; gives how many there were. Raises CommitFailed."""
        with self._written() as db:
            return db.change(Access.drop_of_token, token=token)

    def end_all(self) -> int:
        """End every login; gives how many there were. Raises CommitFailed."""
        with self._written() as db:
            return db.change(Access.drop_all)

    def sessions(self, now: int) -> list[Session]:
        """List the logins that live, oldest first."""
        with self._lock:
            return self._sql.all(Access.live, idle=now - IDLE_MS, longest=now - LONGEST_MS)

    # --- last uses ---

    def use(self, token: str, now: int) -> None:
        """Note that a token was used; it is written down once a minute."""
        if now - self._used.get(token, 0) < NOTE_EVERY_MS:
            return
        self._used[token] = now
        with contextlib.suppress(CommitFailed), self._written() as db:
            db.change(Access.use_token, token=token, at=now)

    def used(self) -> dict[str, int]:
        """Say when each token was used last, to the minute."""
        with self._lock:
            return dict(self._sql.each(Access.uses))

    # --- Trail ---

    def note(self, one: Attempt) -> None:
        """Add a line to the trail; the oldest lines go when there are too many."""
        try:
            with self._written() as db:
                db.change(Access.add_line, **asdict(one))
                db.change(Access.trim_trail, kept=KEPT_LINES)
        except CommitFailed:
            self.lost += 1

    def trail(self, limit: int, before: int = 0) -> list[Attempt]:
        """Give the newest lines, newest first; with `before` those numbered below it."""
        with self._lock:
            return self._sql.all(Access.trail, before=before, limit=limit)


def _hash(text: str) -> bytes:
    # 256 random bits need no slow hash: there is nothing to guess.
    return sha256(text.encode("utf-8", "replace")).digest()
