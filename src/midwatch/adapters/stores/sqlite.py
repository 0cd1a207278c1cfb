"""The journal in one SQLite file.

Law: one owner a file, by its lock, and a fence that every write checks, should the lock ever be
lost. WAL with synchronous=FULL: a commit is on disk before it is answered. A transaction that does
not come to its end leaves nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import msgspec

from midwatch.adapters.stores import archive, dead_letters, lanes, pruning, sli_buckets, versions
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
    take_lock,
)
from midwatch.core import chain
from midwatch.core.effects import Effect
from midwatch.core.incidents import Incident
from midwatch.core.inputs import Timer
from midwatch.core.leaving import Archived
from midwatch.core.shard import STATE_VERSION
from midwatch.core.sli import FailedAnswer
from midwatch.errors import BadDatabase, Diverged, Fenced, HarnessError, StateError
from midwatch.ports import Claim, Cut, DeadLetter, Entry, Row, Snapshot, Sum

MEMORY = ":memory:"
# Others write next to nothing here (a token); a sender is better told to come back than kept.
LOCKED_S = 1.0

_decode_effect = msgspec.json.Decoder(Effect).decode

_OUTBOX = "key, number, kind, body, seq, state, due_at, attempt, detail"
_SEALED = {
    "inbox": "key, at",
    "dead_letter": "key, at, body, reason",
    "snapshot": "seq, state_version, body, head",
    "outbox": _OUTBOX,
    "timer": "key, due_at, purpose, incident",
    "pruned": "id, seq, kept",
    "archive": "number, version, opened_at, lasts, body",
}


# Connections to files that are gone. The last one that is closed deletes the log by its name, which
# may be another journal's by now; so these stay open until the process ends without closing them.
_abandoned: list[sqlite3.Connection] = []
_NEW = ("archive", "pruned")  # tables that a file of an older schema lacks

# When the next timer and the next planned effect are due.
_Waits = tuple[int | None, int | None]


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _is_due(at: int | None, now: int) -> bool:
    return at is not None and at <= now


class SqliteStore:
    """Journal, outbox, timers and audit on one connection."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: IO[bytes] | None = None,
        path: Path | None = None,
    ) -> None:
        self._db = connection
        self._lock = lock
        self._path = path
        self._place = path.name if path else MEMORY
        if path is not None:
            note_open(path)
        self._fence = 0
        self.presence: Presence | None = None  # of the files of whoever owns them
        self._waits: _Waits | None = None  # as it stands since the last transaction
        # A file of an older schema is only read: it has neither an archive nor events that stayed.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        self._is_older = version < migrations()[-1][0]
        self._seq, self._head = self._read_head()

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
            versions.check(connection, str(path))
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
            versions.check(connection, str(path))
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
                f"could not be written: {error}", place=str(target), remedy="look at the disk"
            ) from error

    def take_ownership(self) -> None:
        """Raise the fence: whoever owned the shard before can no longer commit."""
        with self._transaction("the file could not be taken over", fenced=False):
            self._db.execute("UPDATE shard SET fence = fence + 1")
            versions.note(self._db)
            self._fence = self._db.execute("SELECT fence FROM shard").fetchone()[0]
        self._seq, self._head = self._read_head()

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

    # --- what the journal is ---

    @property
    def name(self) -> str:
        """What this journal is called; no other one has the name."""
        return self._db.execute("SELECT name FROM journal").fetchone()[0]

    @property
    def is_shadow(self) -> bool:
        """Whether its pages were never sent."""
        return bool(self._db.execute("SELECT shadow FROM journal").fetchone()[0])

    def keep(self, *, shadow: bool) -> None:
        """Keep it in shadow, or live, for good. Raises StateError when it was kept otherwise."""
        if self.is_shadow == shadow:
            return
        if self._seq:
            was = "in shadow: its pages were never sent" if self.is_shadow else "live"
            raise StateError(f"was kept {was}", place=self._place, remedy="name another with --db")
        with self._transaction("it could not be marked"):
            self._db.execute("UPDATE journal SET shadow = ?", (int(shadow),))

    # --- Archive ---

    def recall(self, incident: str) -> Archived | None:
        """Give an incident that has left the shard, by its name."""
        return archive.find(self._db, incident)

    def closed(self, limit: int, before: str = "") -> list[Incident]:
        """Give the newest that have left, or the newest that were opened before another one."""
        return archive.newest(self._db, limit, before)

    def opened(self, start: int, end: int) -> Iterator[Incident]:
        """Give those that were opened in [start, end), in milliseconds, oldest first."""
        return archive.opened(self._db, start, end)

    def lasting(self) -> Iterator[Incident]:
        """Give those that still matter: without a proven case, waived, or with work to do."""
        return archive.lasting(self._db)

    def kept(self) -> int:
        """Count them; -1 where there is no archive yet."""
        return -1 if self._is_older else archive.count(self._db)

    def archive(self, records: Iterable[Archived]) -> None:
        """Keep incidents that left before there was an archive. Raises CommitFailed."""
        with self._transaction("the archive could not be written"):
            archive.keep(self._db, records)

    # --- pushed counts ---

    def counted(self, slo: str, since: int, unit: str | None) -> list[Sum]:
        """Give what was pushed about an objective since then, oldest first.

        With a unit, what was rolled up of it; with none, what was not rolled up yet.
        """
        if unit is None:
            return sli_buckets.fine(self._db, slo, since)
        return sli_buckets.judged(self._db, slo, since, unit)

    def releases(self, slo: str, since: int) -> list[str]:
        """List the releases that had counts of their own since then, the newest last."""
        return sli_buckets.releases(self._db, slo, since)

    def failed(self, slo: str) -> list[tuple[int, FailedAnswer]]:
        """Give the newest bad answers that were pushed, each with its moment, oldest first."""
        return sli_buckets.failures(self._db, slo)

    def roll_up(self, units: Mapping[str, str], now: int) -> bool:
        """Roll up a slice of what is old enough; False when nothing is left to do."""
        with self._transaction("pushed counts could not be rolled up"):
            return sli_buckets.roll_up(self._db, units, now) >= sli_buckets.A_SLICE

    # --- Journal ---

    def load(self) -> tuple[Snapshot | None, list[Row]]:
        """Give the newest snapshot, or what stands in for pruned events, and what comes after."""
        self._seq, self._head = self._read_head()
        found = self._db.execute(
            "SELECT seq, state_version, body, head FROM snapshot WHERE state_version = ?"
            " ORDER BY seq DESC LIMIT 1",
            (STATE_VERSION,),
        ).fetchone()
        # Of an older version only the one counts that events were pruned behind.
        snapshot = Snapshot(*found) if found else self.base()
        rows = self._db.execute(
            "SELECT seq, stream, version, at, cause, type, body FROM event WHERE seq > ?"
            " ORDER BY seq",
            (snapshot.seq if snapshot else 0,),
        )
        return snapshot, [Row(*row) for row in rows]

    def seen(self, key: str) -> bool:
        """Say whether an input with this key was committed."""
        found = self._db.execute("SELECT 1 FROM inbox WHERE key = ?", (key,)).fetchone()
        return found is not None

    def commit(self, entry: Entry) -> None:
        """Write one transaction, or nothing of it.

        Raises CommitFailed when the file takes nothing, Unstorable when it takes all but this, and
        Fenced.
        """
        with self._transaction("the journal could not be written"):
            self._write(entry)
            self.before_commit()

    def commit_each(
        self, parts: Iterable[Entry], instead: Callable[[str, int], Entry | None]
    ) -> None:
        """Write one transaction of several parts; what cannot be stored is replaced alone.

        `instead` gets why, and how often it was asked for this part. Raises as `commit` does.
        """
        with self._transaction("the journal could not be written"):
            for part in parts:
                tries, entry = 0, part
                while entry is not None:
                    why = self._attempt(entry)
                    entry = instead(why, tries) if why else None
                    tries += 1
            self.before_commit()

    def _attempt(self, entry: Entry) -> str:
        """Write a part of a transaction; gives why it cannot be stored, and then it is not there.

        Raises Diverged.
        """
        seq, head = self._seq, self._head
        self._db.execute("SAVEPOINT part")
        try:
            self._write(entry)
        except UNFIT as error:
            refused = unstorable(error)
            if isinstance(refused, Diverged):
                raise refused from error
            self._db.execute("ROLLBACK TO part")
            self._seq, self._head = seq, head
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
        fence = self._db.execute("SELECT fence FROM shard").fetchone()[0]
        if fence != self._fence:
            raise Fenced(
                f"fence {self._fence} is over, {fence} holds", remedy="this process must stop"
            )

    def probe(self) -> None:
        """Write what is there already, to see whether a commit would succeed."""
        with self._transaction("the journal could not be written"):
            self._db.execute("UPDATE shard SET fence = fence")

    def before_commit(self) -> None:
        """Do nothing; the last moment at which a crash leaves no trace of the transaction."""

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._seq, self._head = self._read_head()

    def _write(self, entry: Entry) -> None:
        db = self._db
        events = self._chained(entry.rows)
        self._move_head()
        if events:
            db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", events)
        if entry.inputs:
            db.executemany(
                "INSERT INTO inbox VALUES (?, ?, ?)",
                [(key, entry.at, seal((key, entry.at))) for key in entry.inputs],
            )
        self._write_outbox(entry)
        for key, timer in entry.timers.items():
            if timer is None:
                db.execute("DELETE FROM timer WHERE key = ?", (key,))
            else:
                columns = (timer.key, timer.due_at, timer.purpose, timer.incident)
                db.execute(
                    "INSERT OR REPLACE INTO timer VALUES (?, ?, ?, ?, ?)",
                    (*columns, seal(columns)),
                )
        if entry.dead or entry.dropped:
            dead_letters.add(db, entry.dead, entry.dropped, seal)
        sli_buckets.add(db, entry.buckets)
        archive.keep(db, entry.archived)
        if entry.snapshot is not None:
            columns = (self._seq, STATE_VERSION, entry.snapshot, self._head)
            db.execute(
                "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)",
                (*columns, seal(columns)),
            )
            # Two are enough; the one that stands in for pruned events lies before them all.
            db.execute(
                "DELETE FROM snapshot WHERE seq > ? AND seq <"
                " (SELECT max(seq) FROM snapshot WHERE seq < ?)",
                (self._last_gone(), self._seq),
            )

    def _chained(self, rows: Iterable[Row]) -> list[tuple[int | str | bytes, ...]]:
        """Put each event onto the chain; gives what is stored of it."""
        seq, head = self._seq, self._head
        stored: list[tuple[int | str | bytes, ...]] = []
        for row in rows:
            columns = (row.seq, row.stream, row.version, row.at, row.cause, row.type, row.body)
            seq = row.seq
            head = chain.link(head, *columns)
            stored.append((*columns, head))
        self._seq, self._head = seq, head
        return stored

    def _move_head(self) -> None:
        """Write the chain's head where the fence stands."""
        self._db.execute("UPDATE shard SET seq = ?, head = ?", (self._seq, self._head))

    def _write_outbox(self, entry: Entry) -> None:
        db = self._db
        for planned in entry.planned:
            number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM outbox").fetchone()[0]
            columns = (
                planned.key,
                number,
                planned.kind,
                planned.body,
                planned.seq,
                "planned",
                planned.due_at,
                0,
                "",
            )
            db.execute(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*columns, seal(columns), planned.lane),
            )
        for key in entry.cancelled:
            self._change_effect(key, state="cancelled", only_from="planned")
        for settled in entry.settled:
            self._change_effect(settled.key, state=settled.state, detail=settled.detail)
        for key, due_at in entry.retries.items():
            self._change_effect(key, state="planned", due_at=due_at)

    def _change_effect(
        self,
        key: str,
        *,
        state: str,
        only_from: str = "",
        due_at: int | None = None,
        detail: str = "",
        attempts: int = 0,
    ) -> None:
        found = self._db.execute(f"SELECT {_OUTBOX} FROM outbox WHERE key = ?", (key,)).fetchone()
        if found is None or (only_from and found[5] != only_from):
            return
        columns = (
            *found[:5],
            state,
            found[6] if due_at is None else due_at,
            found[7] + attempts,
            detail,
        )
        self._db.execute(
            "UPDATE outbox SET state = ?, due_at = ?, attempt = ?, detail = ?, seal = ?"
            " WHERE key = ?",
            (*columns[5:], seal(columns), key),
        )

    # --- Outbox ---

    def claim(self, now: int, limit: int, room: Callable[[str], int] | None = None) -> list[Claim]:
        """Take planned effects that are due, in the order they were planned."""
        keys = self._claimable(now, limit, room)
        if not keys:
            return []
        with self._transaction("nothing could be claimed"):
            for key in keys:
                self._change_effect(key, state="claimed", only_from="planned", attempts=1)
        return [claim for claim in self.in_doubt() if claim.effect.key in keys]

    def _claimable(self, now: int, limit: int, room: Callable[[str], int] | None) -> list[str]:
        """List the keys of due effects, passing over lanes that have no room."""
        return lanes.due(self._db, now, limit, room) if _is_due(self._next()[1], now) else []

    def in_doubt(self) -> list[Claim]:
        """List effects that were claimed and never settled."""
        rows = self._db.execute(
            "SELECT body, attempt FROM outbox WHERE state = 'claimed' ORDER BY number"
        )
        return [Claim(_decode_effect(body), attempt) for body, attempt in rows]

    def next_effect_at(self, after: int = -1) -> int | None:
        """Say when the next planned effect is due, of those that are due later than `after`."""
        if after < 0:
            return self._next()[1]
        return self._db.execute(
            "SELECT min(due_at) FROM outbox WHERE state = 'planned' AND due_at > ?", (after,)
        ).fetchone()[0]

    # --- Timers ---

    def due(self, now: int) -> list[Timer]:
        """List the timers whose time has come, earliest first."""
        if not _is_due(self._next()[0], now):
            return []
        rows = self._db.execute(
            "SELECT key, due_at, purpose, incident FROM timer WHERE due_at <= ?"
            " ORDER BY due_at, key",
            (now,),
        )
        return [Timer(*row) for row in rows]

    def timer(self, key: str) -> Timer | None:
        """Look a timer up."""
        row = self._db.execute(
            "SELECT key, due_at, purpose, incident FROM timer WHERE key = ?", (key,)
        ).fetchone()
        return Timer(*row) if row else None

    def next_timer_at(self) -> int | None:
        """Say when the next timer is due."""
        return self._next()[0]

    def _next(self) -> _Waits:
        """Say what is due next. It is asked at every turn, and changes by a transaction alone.

        Who does not own the file looks each time: its owner writes.
        """
        waits = self._waits
        if waits is None:
            waits = self._db.execute(
                "SELECT (SELECT min(due_at) FROM timer),"
                " (SELECT min(due_at) FROM outbox WHERE state = 'planned')"
            ).fetchone()
            self._waits = waits if self._fence else None
        return waits

    # --- Audit ---

    def rows(self, stream: str = "") -> Iterator[tuple[Row, bytes]]:
        """Give every event kept, of one stream when it is named, with its stored link, in order."""
        columns = "seq, stream, version, at, cause, type, body, link"
        last = self._last_gone()
        kept = "event WHERE 0 AND" if self._is_older else "kept_event WHERE"
        one = (
            f"SELECT {columns} FROM {kept} stream = ? UNION ALL"
            f" SELECT {columns} FROM event WHERE stream = ? AND seq > ? ORDER BY version"
        )
        every = f"SELECT {columns} FROM event WHERE seq > ? ORDER BY seq"
        try:
            for *row, link in self._db.execute(
                one if stream else every, (stream, stream, last) if stream else (last,)
            ):
                yield Row(*row), link
        except sqlite3.Error as error:
            raise BadDatabase(f"events cannot be read on: {error}") from error

    def following(self, after: int, limit: int) -> list[tuple[Row, bytes]]:
        """Give at most `limit` events that follow event `after`, with their stored links."""
        rows = self._db.execute(
            "SELECT seq, stream, version, at, cause, type, body, link FROM event WHERE seq > ?"
            " ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [(Row(*columns), link) for *columns, link in rows]

    def stretch(self, stream: str, after: int, limit: int) -> list[Row]:
        """Give at most `limit` events of a stream, in order, after its `after`-th."""
        try:
            rows = self._db.execute(
                "SELECT seq, stream, version, at, cause, type, body FROM kept_event"
                " WHERE stream = ? AND version > ? UNION ALL"
                " SELECT seq, stream, version, at, cause, type, body FROM event"
                " WHERE stream = ? AND version > ? AND seq > ? ORDER BY version LIMIT ?",
                (stream, after, stream, after, self._last_gone(), limit),
            )
            return [Row(*columns) for columns in rows]
        except sqlite3.Error as error:
            raise BadDatabase(f"events cannot be read on: {error}") from error

    def since(self, at: int) -> Iterator[Row]:
        """Give every event kept from the first one on that is not before a moment (milliseconds).

        It is found in as many steps as the number of events has bits: time never goes back.
        """
        try:
            first, last = self._last_gone() + 1, self._read_head()[0] + 1
            while first < last:
                middle = (first + last) // 2
                found = self._db.execute(
                    "SELECT at FROM event WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)
                ).fetchone()
                is_before = found is not None and found[0] < at
                first, last = (middle + 1, last) if is_before else (first, middle)
            for columns in self._db.execute(
                "SELECT seq, stream, version, at, cause, type, body FROM event WHERE seq >= ?"
                " ORDER BY seq",
                (first,),
            ):
                yield Row(*columns)
        except sqlite3.Error as error:
            raise BadDatabase(f"events cannot be read on: {error}") from error

    def snapshots(self) -> list[Snapshot]:
        """Give every snapshot kept, oldest first."""
        try:
            rows = self._db.execute(
                "SELECT seq, state_version, body, head FROM snapshot ORDER BY seq"
            )
            return [Snapshot(*row) for row in rows]
        except sqlite3.Error as error:
            raise BadDatabase(f"snapshots cannot be read: {error}") from error

    def base(self) -> Snapshot | None:
        """Give the snapshot that stands in for pruned events; None when the journal is whole."""
        last_gone = self._last_gone()
        return next((s for s in self.snapshots() if s.seq == last_gone > 0), None)

    def cut(self, made: Cut) -> None:
        """Put a snapshot in the place of the events that it was folded from, and keep what stays.

        Raises CommitFailed, and then nothing happened.
        """
        with self._transaction("nothing was pruned"):
            pruning.cut(self._db, made)

    def sweep(self, before: int, now: int) -> bool:
        """Let a slice of what nobody reads any more go; False when nothing is left.

        What has ended and is older than `before` (milliseconds) goes with the events before the
        cut: input keys, dead letters, settled effects. Raises CommitFailed.
        """
        with self._transaction("nothing was pruned"):
            return pruning.sweep(self._db, before, now) > 0

    def shrink(self) -> None:
        """Give the room that pruning left back to the disk. Raises HarnessError when it cannot."""
        try:
            self._check_fence()
            self._db.execute("VACUUM")
        except sqlite3.Error as error:
            raise HarnessError(
                f"the file could not be made smaller: {error}",
                place=self._place,
                remedy="free disk space, as it is written anew beside the old one, and prune again",
            ) from error

    def head(self) -> tuple[int, bytes]:
        """Give the newest event's number and link, as the shard row has them."""
        return self._read_head()

    def outbox(self) -> list[tuple[str, str, str, int]]:
        """Give key, kind, state and attempts of every effect, in the order they were planned."""
        return self._db.execute(
            "SELECT key, kind, state, attempt FROM outbox ORDER BY number"
        ).fetchall()

    def planned(self) -> list[tuple[str, int]]:
        """Give the key of every effect, and the event that it followed, in the order of plans."""
        return self._db.execute("SELECT key, seq FROM outbox ORDER BY number").fetchall()

    def letters(self, limit: int = -1, after: int = 0) -> list[DeadLetter]:
        """Give inputs that could not be taken, oldest first: `limit` after the one `after`."""
        return dead_letters.read(self._db, limit, after)

    def why_dead(self, key: str) -> str:
        """Say why the input with this key could not be taken; "" when nobody knows of that."""
        return dead_letters.reason_of(self._db, key)

    def dropped(self) -> dict[str, int]:
        """Count the letters that were dropped by their bounds, by source."""
        return dead_letters.dropped(self._db)

    def problems(self) -> list[str]:
        """List what is wrong with the storage itself: pages, indexes, seals."""
        found: list[str] = []
        try:
            for (line,) in self._db.execute("PRAGMA integrity_check(20)"):
                if line != "ok":
                    found.append(f"storage: {line}")
            for table, columns in _SEALED.items():
                if self._is_older and table in _NEW:
                    continue
                for *values, stored in self._db.execute(f"SELECT {columns}, seal FROM {table}"):
                    if seal(values) != stored:
                        found.append(f"{table} {values[0]!r}: the row does not match its seal")
            found += () if self._is_older else pruning.problems(self._db)
        except sqlite3.Error as error:
            found.append(f"storage: {error}")
        return found

    def _last_gone(self) -> int:
        """Give the number of the last event before the cut, 0 when nothing was pruned."""
        return pruning.before_first(self._db) if self._is_older else pruning.last_gone(self._db)

    def _read_head(self) -> tuple[int, bytes]:
        return self._db.execute("SELECT seq, head FROM shard").fetchone()
