"""Check a journal: the chain holds, and folding the events gives the stored state.

Law: verification folds and compares; it never decides again, so a newer version can verify an
older file. Each finding names the row.
"""

from __future__ import annotations

import msgspec

from midwatch.core.state import chain, evolving, shard, upgrades
from midwatch.core.state.events import Event, IncidentEvent
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import STATE_VERSION, Shard
from midwatch.engine.progress import Progress, quiet, reported
from midwatch.errors import BadDatabase
from midwatch.ports import Audit, Row, Snapshot

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def verify(audit: Audit, progress: Progress = quiet) -> tuple[int, list[str]]:
    """Give the number of events and everything that is wrong, in the journal's order."""
    found, head = audit.problems(), audit.head()
    check = _Check(found, audit)
    try:
        base = audit.base()
        if base is not None:
            check.begin(base)
        snapshots = {s.seq: s for s in audit.snapshots()}
        events = head[0] - check.last
        for row, stored in reported(audit.rows(), events, progress):
            check.row(row, stored, snapshots.get(row.seq))
        check.end()
    except BadDatabase as error:
        found.append(f"storage: {error.message}")
    if head != (check.last, check.link):
        found.append(f"head: the shard ends at event {head[0]}, the events at {check.last}")
    return check.count, found


class _Check:
    """Walks the events once, with the chain and the fold beside each other."""

    def __init__(self, found: list[str], archive: Audit) -> None:
        self.found = found
        self._archive = archive
        self._is_archived = archive.kept() >= 0
        # Incidents that have left, and are not yet as the archive has them: by what comes late.
        self._late: dict[str, Archived] = {}
        self.count = 0
        self.last = 0
        self.link = chain.GENESIS
        self._state = Shard()
        self._folds = True

    def begin(self, base: Snapshot) -> None:
        """Start after pruned events, from the snapshot that stands in for them."""
        self.last, self.link = base.seq, base.head
        try:
            self._state = upgrades.load(base.body, base.state_version)
        except BadDatabase as error:
            self.found.append(f"snapshot {base.seq}: {error.message}; nothing was folded")
            self._folds = False

    def row(self, row: Row, stored: bytes, snapshot: Snapshot | None) -> None:
        """Check one event and the snapshot that was taken right after it."""
        self.count += 1
        if row.seq != self.last + 1:
            self.found.append(f"event {self.last + 1}: missing, {row.seq} follows {self.last}")
        self.last = row.seq
        columns = (row.seq, row.stream, row.version, row.at, row.cause, row.type, row.body)
        if chain.link(self.link, *columns) != stored:
            self.found.append(f"event {_name(row)}: the bytes do not match the chain")
        self.link = stored
        if self._folds:
            problem = self._fold(row)
            if problem:
                says = f"event {_name(row)}: {problem}; nothing after it was replayed"
                self.found.append(says)
                self._folds = False
        if snapshot is not None and snapshot.state_version == STATE_VERSION:
            self._snapshot(snapshot)

    def _snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.head != self.link:
            self.found.append(f"snapshot {snapshot.seq}: taken at another link of the chain")
        if self._folds and snapshot.body != shard.dump(self._state):
            self.found.append(f"snapshot {snapshot.seq}: folding the events gives another state")

    def _fold(self, row: Row) -> str:
        """Apply a row; gives what is wrong with it, empty when nothing is."""
        try:
            event = _decode.decode(row.body)
            if type(event).__name__ != row.type or event.stream != row.stream:
                return f"holds {type(event).__name__} of {event.stream}"
            gone = self._gone(event)
            last = self._version(event, row, gone)
            if row.version != last + 1:
                return f"version {row.version} follows {last}"
            left = shard.evolve(self._state, event, row.at)
            if gone is not None and isinstance(event, IncidentEvent):
                evolving.evolve(gone.incident, event, row.at)
                gone.version += 1
                left = (gone,)
            for one in left:
                self._left(one)
        except Exception as error:  # damaged bytes may raise anything; it is a finding
            return f"cannot be folded: {error}"
        return ""

    def _gone(self, event: Event) -> Archived | None:
        """Give the incident that a late fact is about, as it was when it left."""
        if not isinstance(event, IncidentEvent) or not shard.has_left(self._state, event.incident):
            return None
        return self._late.get(event.incident)

    def _version(self, event: Event, row: Row, gone: Archived | None) -> int:
        """Say how many facts the stream of an event has before it."""
        if gone is not None:
            return gone.version
        if not isinstance(event, IncidentEvent) or not shard.has_left(self._state, event.incident):
            return self._state.versions.get(row.stream, 0)
        # It left before what was pruned: its row knows of this fact, and of no later one.
        kept = self._archive.recall(event.incident)
        known = row.version <= kept.version if kept else False
        return row.version - 1 if known else -1

    def _left(self, one: Archived) -> None:
        """Compare what has left with its row; it may become so by what comes late."""
        name = one.incident.id
        if self._is_archived and self._archive.recall(name) == one:
            self._late.pop(name, None)
        else:
            self._late[name] = one

    def end(self) -> None:
        """Say what is wrong with the archive, once everything was folded."""
        if not self._folds or not self._is_archived:
            return
        for name in self._late:
            kept = self._archive.recall(name)
            says = "is another one than its events give" if kept else "is missing in the archive"
            self.found.append(f"archive {name}: {says}")
        count = self._archive.kept()
        if count != self._state.left and not self._late:
            self.found.append(f"archive: has {count} incidents, {self._state.left} have left")


def _name(row: Row) -> str:
    return f"{row.seq} ({row.stream} v{row.version})"
