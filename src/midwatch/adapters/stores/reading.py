"""What a journal says to whoever reads it, in any engine.

Law: nothing here writes, and nothing here knows an engine: queries by their names, and values of
their rows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import msgspec

from midwatch.adapters.stores import archive, dead_letters, pruning, sli_buckets
from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Inbox, Journal, Outbox, Timers
from midwatch.adapters.stores.rows import Waits
from midwatch.adapters.stores.writing import Tip
from midwatch.core.state.effects import Effect
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Timer
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import STATE_VERSION
from midwatch.core.values.sli import FailedAnswer
from midwatch.errors import BadDatabase
from midwatch.ports import Claim, DeadLetter, Row, Snapshot, Sum

_decode_effect = msgspec.json.Decoder(Effect).decode


class SqlReader:
    """Journal, outbox, timers and audit, as far as they are read."""

    def __init__(self, db: Database, failure: type[Exception], *, is_older: bool) -> None:
        """Read from a database.

        Args:
            db: the connection and its queries.
            failure: what its driver raises.
            is_older: it has a schema without an archive and without events that stayed.

        """
        self._sql = db
        self._failure = failure
        self._is_older = is_older
        self._owns = False
        self._waits: Waits | None = None  # as it stands since the last transaction
        self._tip = self._read_tip()

    def _read_tip(self) -> Tip:
        head = self._sql.only(Journal.head)
        return Tip(head.seq, head.head)

    def _last_gone(self) -> int:
        """Give the number of the last event before the cut, 0 when nothing was pruned."""
        return pruning.before_first(self._sql) if self._is_older else pruning.last_gone(self._sql)

    @contextmanager
    def _read(self, what: str) -> Generator[None]:
        """Say what cannot be read. Raises BadDatabase."""
        try:
            yield
        except self._failure as error:
            raise BadDatabase(f"{what}: {error}") from error

    # --- what the journal is ---

    @property
    def name(self) -> str:
        """What this journal is called; no other one has the name."""
        return self._sql.only(Journal.identity).name

    @property
    def is_shadow(self) -> bool:
        """Whether its pages were never sent."""
        return bool(self._sql.only(Journal.identity).shadow)

    # --- Archive ---

    def recall(self, incident: str) -> Archived | None:
        """Give an incident that has left the shard, by its name."""
        return archive.find(self._sql, incident)

    def closed(self, limit: int, before: str = "") -> list[Incident]:
        """Give the newest that have left, or the newest that were opened before another one."""
        return archive.newest(self._sql, limit, before)

    def opened(self, start: int, end: int) -> Iterator[Incident]:
        """Give those that were opened in [start, end), in milliseconds, oldest first."""
        return archive.opened(self._sql, start, end)

    def lasting(self) -> Iterator[Incident]:
        """Give those that still matter: without a proven case, waived, or with work to do."""
        return archive.lasting(self._sql)

    def kept(self) -> int:
        """Count them; -1 where there is no archive yet."""
        return -1 if self._is_older else archive.count(self._sql)

    # --- pushed counts ---

    def counted(self, slo: str, since: int, unit: str | None) -> list[Sum]:
        """Give what was pushed about an objective since then, oldest first.

        With a unit, what was rolled up of it; with none, what was not rolled up yet.
        """
        if unit is None:
            return sli_buckets.fine(self._sql, slo, since)
        return sli_buckets.judged(self._sql, slo, since, unit)

    def releases(self, slo: str, since: int) -> list[str]:
        """List the releases that had counts of their own since then, the newest last."""
        return sli_buckets.releases(self._sql, slo, since)

    def failed(self, slo: str) -> list[tuple[int, FailedAnswer]]:
        """Give the newest bad answers that were pushed, each with its moment, oldest first."""
        return sli_buckets.failures(self._sql, slo)

    # --- Journal ---

    def load(self) -> tuple[Snapshot | None, list[Row]]:
        """Give the newest snapshot, or the one that replaces pruned events, and what follows."""
        self._tip = self._read_tip()
        found = self._sql.one(Journal.newest_snapshot, state_version=STATE_VERSION)
        # Of an older version only the one counts that events were pruned behind.
        snapshot = found or self.base()
        return snapshot, self._sql.all(Journal.after, seq=snapshot.seq if snapshot else 0)

    def seen(self, key: str) -> bool:
        """Say whether an input with this key was committed."""
        return self._sql.value(Inbox.seen, key=key) is not None

    # --- Outbox ---

    def in_doubt(self) -> list[Claim]:
        """List effects that were claimed and never settled."""
        rows = self._sql.each(Outbox.claimed)
        return [Claim(_decode_effect(one.body), one.attempt) for one in rows]

    def next_effect_at(self, after: int = -1) -> int | None:
        """Say when the next planned effect is due, of those that are due later than `after`."""
        if after < 0:
            return self._next().effect
        return self._sql.value(Outbox.next_after, after=after)

    # --- Timers ---

    def due(self, now: int) -> list[Timer]:
        """List the timers whose time has come, earliest first."""
        return self._sql.all(Timers.due, now=now) if is_due(self._next().timer, now) else []

    def timer(self, key: str) -> Timer | None:
        """Look a timer up."""
        return self._sql.one(Timers.find, key=key)

    def next_timer_at(self) -> int | None:
        """Say when the next timer is due."""
        return self._next().timer

    def _next(self) -> Waits:
        """Say what is due next. It is asked at every turn, and changes by a transaction alone.

        Who does not own the journal looks each time: its owner writes.
        """
        waits = self._waits
        if waits is None:
            waits = self._sql.only(Timers.waits)
            self._waits = waits if self._owns else None
        return waits

    # --- Audit ---

    def head(self) -> tuple[int, bytes]:
        """Give the newest event's number and link, as they are kept beside the events."""
        tip = self._read_tip()
        return tip.seq, tip.head

    def rows(self, stream: str = "") -> Iterator[tuple[Row, bytes]]:
        """Give every event kept, of one stream when it is named, with its stored link, in order."""
        last = self._last_gone()
        with self._read("no more events can be read"):
            if stream:
                query = Journal.stream_of_older if self._is_older else Journal.stream
                found = self._sql.each(query, stream=stream, last_gone=last)
            else:
                found = self._sql.each(Journal.linked_after, seq=last)
            for one in found:
                yield one.parted()

    def following(self, after: int, limit: int) -> list[tuple[Row, bytes]]:
        """Give at most `limit` events that follow event `after`, with their stored links."""
        found = self._sql.each(Journal.linked_page, seq=after, limit=limit)
        return [one.parted() for one in found]

    def stretch(self, stream: str, after: int, limit: int) -> list[Row]:
        """Give at most `limit` events of a stream, in order, after its `after`-th."""
        with self._read("no more events can be read"):
            last = self._last_gone()
            return self._sql.all(
                Journal.stretch, stream=stream, after=after, last_gone=last, limit=limit
            )

    def since(self, at: int) -> Iterator[Row]:
        """Give every event kept from the first one on that is not before a moment (milliseconds).

        It is found in as many steps as the number of events has bits: time never goes back.
        """
        with self._read("no more events can be read"):
            first, last = self._last_gone() + 1, self._read_tip().seq + 1
            while first < last:
                middle = (first + last) // 2
                then = self._sql.value(Journal.at_or_after, seq=middle)
                is_before = then is not None and then < at
                first, last = (middle + 1, last) if is_before else (first, middle)
            yield from self._sql.each(Journal.after, seq=first - 1)

    def snapshots(self) -> list[Snapshot]:
        """Give every snapshot kept, oldest first."""
        with self._read("snapshots cannot be read"):
            return self._sql.all(Journal.snapshots)

    def base(self) -> Snapshot | None:
        """Give the snapshot that replaces pruned events; None if nothing was pruned."""
        last_gone = self._last_gone()
        return next((s for s in self.snapshots() if s.seq == last_gone > 0), None)

    def outbox(self) -> list[tuple[str, str, str, int]]:
        """Give key, kind, state and attempts of every effect, in the order they were planned."""
        return self._sql.all(Outbox.all)

    def planned(self) -> list[tuple[str, int]]:
        """Give the key of every effect, and the event that it followed, in the order of plans."""
        return self._sql.all(Outbox.planned)

    def letters(self, limit: int = -1, after: int = 0) -> list[DeadLetter]:
        """Give inputs that could not be taken, oldest first: `limit` after the one `after`."""
        return dead_letters.read(self._sql, limit, after)

    def why_dead(self, key: str) -> str:
        """Say why the input with this key could not be taken; "" when nobody knows of that."""
        return dead_letters.reason_of(self._sql, key)

    def dropped(self) -> dict[str, int]:
        """Count the letters that were dropped by their bounds, by source."""
        return dead_letters.dropped(self._sql)


def is_due(at: int | None, now: int) -> bool:
    """Say whether a moment has come."""
    return at is not None and at <= now
