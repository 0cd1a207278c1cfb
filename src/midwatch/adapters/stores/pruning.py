"""What goes when a journal is pruned, and what stays of what came before the cut.

Law: first the cut is made, in one transaction: the snapshot that stands in for the events before
it, and the events that stay, in a table of their own. From then on nothing before the cut is read,
so the rest may go in as many slices as it likes, also after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from msgspec.structs import asdict

from midwatch.adapters.stores import sli_buckets
from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Journal, Pruning
from midwatch.adapters.stores.seals import seal
from midwatch.core.state import chain
from midwatch.ports import Cut

A_SLICE = 256  # rows that go in one transaction

_SWEEPS = (
    Pruning.sweep_events,
    Pruning.sweep_outbox,
    Pruning.sweep_inbox,
    Pruning.sweep_letters,
)


def cut(db: Database, made: Cut) -> None:
    """Put a snapshot in the place of what is before it, and keep what stays."""
    snapshot = made.snapshot
    columns = asdict(snapshot)
    db.change(Journal.put_snapshot, **columns, seal=seal(columns.values()))
    db.change(Pruning.drop_snapshots, seq=snapshot.seq)
    staying = set(made.staying)
    for stream in list(db.values(Pruning.kept_streams)):
        if stream not in staying:
            db.change(Pruning.drop_stream, stream=stream)
    for stream in made.staying:
        db.change(Pruning.keep, stream=stream, after=made.after, cut=snapshot.seq, head=made.head)
    kept = digest(db)
    db.change(Pruning.put, seq=snapshot.seq, kept=kept, seal=seal((1, snapshot.seq, kept)))


def digest(db: Database) -> bytes:
    """Hash the links that stayed, in their order."""
    found = blake2b(digest_size=16)
    for link in db.values(Pruning.kept_links):
        found.update(link)
    return found.digest()


def sweep(db: Database, before: int, now: int) -> int:
    """Let about A_SLICE rows go that nobody reads any more; gives how many, 0 at the end.

    What has ended and is older than `before` (milliseconds) goes: events before the cut, effects
    that followed from them, input keys, dead letters, counts that no period reaches back to.
    """
    last = last_gone(db)
    for delete in _SWEEPS:
        gone = db.change(delete, last=last, before=before, limit=A_SLICE)
        if gone:
            return gone
    return sli_buckets.prune(db, before, now)


def last_gone(db: Database) -> int:
    """Give the number of the last event before the cut, 0 when nothing was pruned."""
    found = db.value(Pruning.last_gone)
    return before_first(db) if found is None else found


def before_first(db: Database) -> int:
    """Give the number before the first event that is there, as a journal of 0.1.0 was pruned."""
    first = db.value(Journal.first)
    return db.only(Journal.head).seq if first is None else first - 1


def problems(db: Database) -> Iterable[str]:
    """List what is wrong with the events that stayed."""
    streams: dict[str, int] = {}
    for one in db.each(Pruning.kept):
        seq, stream, version = one.seq, one.stream, one.version
        columns = (seq, stream, version, one.at, one.cause, one.type, one.body)
        if chain.link(one.before, *columns) != one.link:
            yield f"event {seq} ({stream} v{version}): the bytes do not match the chain"
        last = streams.setdefault(stream, version - 1)
        if version != last + 1:
            yield f"event {seq} ({stream} v{version}): version {version} follows {last}"
        streams[stream] = version
    found = db.value(Pruning.digest)
    if found is not None and found != digest(db):
        yield "kept events: differ from those kept when the event log was pruned"
