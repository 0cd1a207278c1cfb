"""The journal in one SQLite file.

Law: one owner a file, by its lock, and a fence that every write checks, should the lock ever be
lost. WAL with synchronous=FULL: a commit is on disk before it is answered. A transaction that does
not come to its end leaves nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import IO, Self

from midwatch.adapters.stores import pruning, versions
from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.journal import SqlJournal
from midwatch.adapters.stores.named import load
from midwatch.adapters.stores.names import FAMILIES, Journal, Sealed
from midwatch.adapters.stores.presence import Presence
from midwatch.adapters.stores.seals import seal
from midwatch.adapters.stores.sqlite_errors import UNFIT, commit_failed, unstorable
from midwatch.adapters.stores.sqlite_file import (
    apply_migrations,
    create_file,
    inspect_header,
    migrations,
    note_closed,
    note_open,
    schema,
    take_lock,
)
from midwatch.errors import BadDatabase, Diverged, Fenced, HarnessError
from midwatch.ports import Entry

MEMORY = ":memory:"
# Others write next to nothing here (a token); a sender is better told to come back than kept.
LOCKED_S = 1.0

# Connections to files that are gone. The last one that is closed deletes the log by its name, which
# may be another journal's by now; so these stay open until the process ends without closing them.
_abandoned: list[sqlite3.Connection] = []
_NEW = (Sealed.pruned, Sealed.archive)  # what a file of an older schema lacks
_SEALED = (
    Sealed.inbox,
    Sealed.dead_letter,
    Sealed.snapshot,
    Sealed.outbox,
    Sealed.timer,
    *_NEW,
)


def named(connection: sqlite3.Connection) -> Database:
    """Ask a connection by the names of queries."""
    return Database(connection, load("sqlite", FAMILIES))


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class SqliteStore(SqlJournal):
    """The journal on one connection to its file, or in memory."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: IO[bytes] | None = None,
        path: Path | None = None,
    ) -> None:
        # A file of an older schema is only read: it has neither an archive nor events that stayed.
        is_older = schema(connection) < migrations()[-1][0]
        super().__init__(named(connection), sqlite3.Error, is_older=is_older)
        self._db = connection
        self._lock = lock
        self._path = path
        self._place = path.name if path else MEMORY
        if path is not None:
            note_open(path)
        self._fence = 0
        self.presence: Presence | None = None  # of the files of whoever owns them

    # --- opening and closing ---

    @classmethod
    def memory(cls) -> Self:
        """Make a journal that lives as long as this object."""
        connection = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
        apply_migrations(connection, 0)
        store = cls(connection)
        store.take_ownership()
        return store

    @classmethod
    def own(cls, path: Path) -> Self:
        """Open a file for writing, making it when there is none.

        Raises Owned when another process has it, BadDatabase when it is not ours or not whole, or
        needs `midwatch db migrate`.
        """
        version = inspect_header(path) if path.exists() else 0
        if path.exists() and version < migrations()[-1][0]:
            raise BadDatabase(
                f"has schema {version}", place=str(path), remedy="run midwatch db migrate"
            )
        lock = take_lock(path)
        try:
            if not path.exists():
                create_file(path)
            store = cls._connect(path, lock)
            store.take_ownership()
            store.presence = Presence(path, lock)
        except BaseException:
            lock.close()
            raise
        return store

    @classmethod
    def _connect(cls, path: Path, lock: IO[bytes]) -> Self:
        try:
            connection = sqlite3.connect(
                path, timeout=LOCKED_S, isolation_level=None, check_same_thread=False
            )
            versions.check(named(connection), schema(connection), str(path))
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # 16 MB of log before it goes into the file: a storm's commits wait for that less often.
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            return cls(connection, lock, path)
        except sqlite3.Error as error:
            raise BadDatabase(
                f"cannot be opened: {error}",
                place=str(path),
                remedy="run midwatch db verify, or restore it from a backup",
            ) from error

    @classmethod
    def read_only(cls, path: Path) -> Self:
        """Open a file for reading beside its owner; nothing of it is changed."""
        inspect_header(path)
        try:
            # Without a log nobody has it open; then SQLite must not put its own files beside it.
            logged = path.with_name(f"{path.name}-wal").exists()
            uri = f"{path.absolute().as_uri()}?mode=ro{'' if logged else '&immutable=1'}"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            # A damaged text must still be shown, and hashed as the bytes that it is.
            connection.text_factory = _lenient
            versions.check(named(connection), schema(connection), str(path))
            return cls(connection, path=path)
        except sqlite3.Error as error:
            raise BadDatabase(
                f"cannot be read: {error}", place=str(path), remedy="restore it from a backup"
            ) from error

    @contextmanager
    def beside(self) -> Generator[Self]:
        """Read what is committed beside the owner, from any thread, however long it takes."""
        if self._path is None:
            yield self
            return
        reader = self.read_only(self._path)
        try:
            yield reader
        finally:
            reader.close()

    def hold(self) -> None:
        """Read one and the same state from now on, whatever its owner writes meanwhile."""
        self._db.execute("BEGIN")

    @staticmethod
    def migrate(path: Path) -> tuple[int, int]:
        """Bring a file to the newest schema; gives the versions before and after."""
        before = inspect_header(path)
        with take_lock(path):
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                apply_migrations(connection, before)
            finally:
                connection.close()
        return before, migrations()[-1][0]

    def backup(self, target: Path) -> None:
        """Copy the whole journal, consistently, into a new file. Raises BadDatabase."""
        part = target.with_name(f"{target.name}.part")
        try:
            part.unlink(missing_ok=True)
            part.touch(0o600)
            copy = sqlite3.connect(part, isolation_level=None)
            try:
                self._db.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            finally:
                copy.close()
            # Somebody may open the copy the moment it has its name: it gets that only when whole.
            part.replace(target)
        except (sqlite3.Error, OSError) as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise BadDatabase(
                f"could not be written: {error}", place=str(target), remedy="check the disk"
            ) from error

    def take_ownership(self) -> None:
        """Raise the fence: whoever owned the shard before can no longer commit."""
        with self._transaction("the file could not be locked", fenced=False):
            self._sql.change(Journal.raise_fence)
            versions.note(self._sql)
            self._fence = self._sql.value(Journal.fence) or 0
        self._owns = True
        self._tip = self._read_tip()

    def close(self) -> None:
        """Let the file go."""
        if self.presence is not None and self.presence.error is not None:
            _abandoned.append(self._db)
        else:
            self._db.close()
        if self._path is not None:
            note_closed(self._path)
            self._path = None
        if self._lock is not None:
            self._lock.close()

    # --- one transaction ---

    def _attempt(self, entry: Entry) -> str:
        """Write a part of a transaction; gives why it cannot be stored, and then it is not there.

        Raises Diverged.
        """
        tip = copy(self._tip)
        self._db.execute("SAVEPOINT part")
        try:
            self._write(entry)
        except UNFIT as error:
            refused = unstorable(error)
            if isinstance(refused, Diverged):
                raise refused from error
            self._db.execute("ROLLBACK TO part")
            self._tip = tip
            return refused.message
        finally:
            if self._db.in_transaction:
                self._db.execute("RELEASE part")
        return ""

    @contextmanager
    def _transaction(self, failed: str, *, fenced: bool = True) -> Generator[None]:
        """Do all of it or nothing, and only as the owner.

        Raises CommitFailed with `failed` when the file takes nothing, Unstorable, or Fenced.
        """
        if self.presence is not None:
            self.presence.check()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if fenced:
                self._check_fence()
            yield
            self._db.execute("COMMIT")
        except UNFIT as error:
            self._roll_back()
            raise unstorable(error) from error
        except sqlite3.Error as error:
            self._roll_back()
            raise commit_failed(failed, error) from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._waits = None

    def _check_fence(self) -> None:
        """Refuse to write when somebody newer owns the file. Raises Fenced."""
        fence = self._sql.value(Journal.fence)
        if fence != self._fence:
            raise Fenced(
                f"this process was replaced: fence {self._fence} is old, {fence} is current",
                remedy="stop this process",
            )

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._tip = self._read_tip()

    # --- the file ---

    def shrink(self) -> None:
        """Give the room that pruning left back to the disk. Raises HarnessError when it cannot."""
        try:
            self._check_fence()
            self._db.execute("VACUUM")
        except sqlite3.Error as error:
            raise HarnessError(
                f"the file could not be made smaller: {error}",
                place=self._place,
                remedy="free disk space for a second copy of the file, and prune again",
            ) from error

    def problems(self) -> list[str]:
        """List what is wrong with the storage itself: pages, indexes, seals."""
        found: list[str] = []
        try:
            for (line,) in self._db.execute("PRAGMA integrity_check(20)"):
                if line != "ok":
                    found.append(f"storage: {line}")
            for query in _SEALED:
                if self._is_older and query in _NEW:
                    continue
                table = query.name.rpartition(".")[2]
                for *values, stored in self._sql.each(query):
                    if seal(values) != stored:
                        found.append(f"{table} {values[0]!r}: the row does not match its seal")
            found += () if self._is_older else pruning.problems(self._sql)
        except sqlite3.Error as error:
            found.append(f"storage: {error}")
        return found
