"""How a journal is written, in any engine: what one transaction does.

Law: nothing here knows an engine. An engine says how a transaction begins and ends, how a part of
one is tried, and how its owner is told from others; then all of this is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager

from midwatch.adapters.stores import archive, lanes, pruning, sli_buckets
from midwatch.adapters.stores.names import Journal
from midwatch.adapters.stores.reading import SqlReader, is_due
from midwatch.adapters.stores.writing import change_effect, write
from midwatch.core.state.leaving import Archived
from midwatch.errors import StateError
from midwatch.ports import Claim, Cut, Entry


class SqlJournal(SqlReader, ABC):
    """A journal that is written as well as read."""

    _place: str  # what it is called in an error

    @abstractmethod
    def _transaction(self, failed: str, *, fenced: bool = True) -> AbstractContextManager[None]:
        """Do all of it or nothing, and only as the owner.

        Raises CommitFailed with `failed` when the database takes nothing, Unstorable, or Fenced.
        """

    @abstractmethod
    def _attempt(self, entry: Entry) -> str:
        """Write a part of a transaction; gives why it cannot be stored, and then it is not there.

        Raises Diverged.
        """

    def _write(self, entry: Entry) -> None:
        write(self._sql, self._tip, entry)

    # --- Journal ---

    def commit(self, entry: Entry) -> None:
        """Write one transaction, or nothing of it.

        Raises CommitFailed when the file takes nothing, Unstorable when it takes all but this, and
        Fenced.
        """
        with self._transaction("the event log could not be written"):
            self._write(entry)
            self.before_commit()

    def commit_each(
        self, parts: Iterable[Entry], instead: Callable[[str, int], Entry | None]
    ) -> None:
        """Write one transaction of several parts; what cannot be stored is replaced alone.

        `instead` gets why, and how often it was asked for this part. Raises as `commit` does.
        """
        with self._transaction("the event log could not be written"):
            for part in parts:
                tries, entry = 0, part
                while entry is not None:
                    why = self._attempt(entry)
                    entry = instead(why, tries) if why else None
                    tries += 1
            self.before_commit()

    def probe(self) -> None:
        """Write what is there already, to see whether a commit would succeed."""
        with self._transaction("the event log could not be written"):
            self._sql.change(Journal.touch)

    def before_commit(self) -> None:
        """Do nothing; the last moment at which a crash leaves no trace of the transaction."""

    def keep(self, *, shadow: bool) -> None:
        """Keep it in shadow, or live, for good. Raises StateError when it was kept otherwise."""
        if self.is_shadow == shadow:
            return
        if self._tip.seq:
            was = "in shadow mode: its pages were never sent" if self.is_shadow else "for live use"
            raise StateError(
                f"the event log was created {was}",
                place=self._place,
                remedy="choose another with --db",
            )
        with self._transaction("the event log could not be marked"):
            self._sql.change(Journal.mark, shadow=int(shadow))

    def archive(self, records: Iterable[Archived]) -> None:
        """Keep incidents that left before there was an archive. Raises CommitFailed."""
        with self._transaction("the archive could not be written"):
            archive.keep(self._sql, records)

    def roll_up(self, units: Mapping[str, str], now: int) -> bool:
        """Roll up a slice of what is old enough; False when nothing is left to do."""
        with self._transaction("pushed counts could not be rolled up"):
            return sli_buckets.roll_up(self._sql, units, now) >= sli_buckets.A_SLICE

    # --- Outbox ---

    def claim(self, now: int, limit: int, room: Callable[[str], int] | None = None) -> list[Claim]:
        """Take planned effects that are due, in the order they were planned."""
        keys = self._claimable(now, limit, room)
        if not keys:
            return []
        with self._transaction("no outgoing message could be claimed"):
            for key in keys:
                change_effect(self._sql, key, state="claimed", only_from="planned", attempts=1)
        return [claim for claim in self.in_doubt() if claim.effect.key in keys]

    def _claimable(self, now: int, limit: int, room: Callable[[str], int] | None) -> list[str]:
        """List the keys of due effects, passing over lanes that have no room."""
        return lanes.due(self._sql, now, limit, room) if is_due(self._next().effect, now) else []

    # --- pruning ---

    def cut(self, made: Cut) -> None:
        """Put a snapshot in the place of the events that it was folded from, and keep what stays.

        Raises CommitFailed, and then nothing happened.
        """
        with self._transaction("nothing was pruned"):
            pruning.cut(self._sql, made)

    def sweep(self, before: int, now: int) -> bool:
        """Let a slice of what nobody reads any more go; False when nothing is left.

        What has ended and is older than `before` (milliseconds) goes with the events before the
        cut: input keys, dead letters, settled effects. Raises CommitFailed.
        """
        with self._transaction("nothing was pruned"):
            return pruning.sweep(self._sql, before, now) > 0
