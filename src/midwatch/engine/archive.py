"""Every incident there ever was: those in the shard, and those that have left it.

Law: whoever asks gets the same answer whether an incident has left or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from midwatch.core.state import evolving, shard, upgrades
from midwatch.core.state.board import number_of
from midwatch.core.state.events import Event, IncidentEvent
from midwatch.core.state.incidents import Incident
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import Shard
from midwatch.core.values.keys import id_of
from midwatch.core.values.skews import Skews
from midwatch.ports import Archive, Audit

BATCH = 256
_FAR = 2**63 - 1  # milliseconds; SQLite counts no further

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def find(state: Shard, archive: Archive, name: str) -> Incident | None:
    """Give an incident by its name or its ref; None when there never was one."""
    found = shard.find(state, name)
    if found is not None or not shard.has_left(state, id_of(name)):
        return found
    record = archive.recall(id_of(name))
    return record.incident if record and record.incident.is_called(name) else None


def version_of(state: Shard, archive: Archive, name: str) -> int:
    """Say how many facts an incident has, by its name or its ref."""
    name = id_of(name)
    if not shard.has_left(state, name):
        return state.versions.get(f"incident/{name}", 0)
    record = archive.recall(name)
    return record.version if record else 0


def everything(state: Shard, archive: Archive) -> dict[str, Incident]:
    """Give all of them by name, in the order of their opening; it may take its time."""
    return joined(state, archive.opened(-_FAR, _FAR))


def joined(state: Shard, left: Iterable[Incident]) -> dict[str, Incident]:
    """Put what has left and what is in the shard into one order."""
    found = {one.id: one for one in (*left, *state.incidents.values())}
    return dict(sorted(found.items(), key=lambda one: number_of(one[0])))


def past(archive: Archive, skews: Skews, start: int, end: int) -> Iterator[Incident]:
    """Give those that have left and were opened in about [start, end), and those that still last.

    The times are the wall clock's. Some come twice, and some were opened a little beside them: a
    row has the journal's time.
    """
    first, last = (min(max(at, -_FAR), _FAR) for at in skews.around(start, end))
    yield from archive.opened(first, last)
    yield from archive.lasting()


class Filled(Audit, Protocol):
    """A journal whose archive can be written."""

    def archive(self, records: list[Archived]) -> None:
        """Keep incidents that left before there was an archive. Raises CommitFailed."""
        ...


def complete(journal: Filled, state: Shard) -> bool:
    """Write the archive of a journal that had none, out of its events; says whether that was due.

    Raises CommitFailed; then what is missing is written the next time.
    """
    if journal.kept() == state.left:
        return False
    batch: list[Archived] = []
    for one in _leaving(journal):
        batch.append(one)
        if len(batch) >= BATCH:
            journal.archive(batch)
            batch = []
    journal.archive(batch)
    return True


def _leaving(journal: Filled) -> Iterator[Archived]:
    """Fold all events, and give whoever leaves by them; again when something comes late."""
    base = journal.base()
    state, gone = upgrades.read(base.body, base.state_version) if base else (Shard(), [])
    yield from gone
    late = {one.incident.id: one for one in gone}
    for row, _ in journal.rows():
        event = _decode.decode(row.body)
        about = isinstance(event, IncidentEvent) and shard.has_left(state, event.incident)
        for one in shard.evolve(state, event, row.at):
            late[one.incident.id] = one
            yield one
        if about and isinstance(event, IncidentEvent) and event.incident in late:
            one = late[event.incident]
            evolving.evolve(one.incident, event, row.at)
            one.version += 1
            yield one
