"""What goes when a journal is pruned, and what stays of what came before the cut.

Law: first the cut is made, in one transaction: the snapshot that stands in for the events before
it, and the events that stay, in a table of their own. From then on nothing before the cut is read,
so the rest may go in as many slices as it likes, also after a restart.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import blake2b

from midwatch.adapters.stores import sli_buckets
from midwatch.adapters.stores.seals import seal
from midwatch.core import chain
from midwatch.ports import Cut

A_SLICE = 256  # rows that go in one transaction

_ENDED = "seq <= ? AND state NOT IN ('planned', 'claimed')"
_COLUMNS = "seq, stream, version, at, cause, type, body, link"


def cut(db: sqlite3.Connection, made: Cut) -> None:
    """Put a snapshot in the place of what is before it, and keep what stays."""
    snapshot = made.snapshot
    columns = (snapshot.seq, snapshot.state_version, snapshot.body, snapshot.head)
    db.execute("INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)", (*columns, seal(columns)))
    db.execute("DELETE FROM snapshot WHERE seq < ?", (snapshot.seq,))
    staying = set(made.staying)
    for (stream,) in db.execute("SELECT DISTINCT stream FROM kept_event").fetchall():
        if stream not in staying:
            db.execute("DELETE FROM kept_event WHERE stream = ?", (stream,))
    for stream in made.staying:
        db.execute(
            f"INSERT OR IGNORE INTO kept_event SELECT {_COLUMNS},"
            " coalesce((SELECT link FROM event AS e WHERE e.seq = event.seq - 1), ?)"
            " FROM event WHERE stream = ? AND seq > ? AND seq <= ?",
            (made.head, stream, made.after, snapshot.seq),
        )
    pruned = (1, snapshot.seq, digest(db))
    db.execute("INSERT OR REPLACE INTO pruned VALUES (?, ?, ?, ?)", (*pruned, seal(pruned)))


def digest(db: sqlite3.Connection) -> bytes:
    """Hash the links that stayed, in their order."""
    found = blake2b(digest_size=16)
    for (link,) in db.execute("SELECT link FROM kept_event ORDER BY seq"):
        found.update(link)
    return found.digest()


def sweep(db: sqlite3.Connection, before: int, now: int) -> int:
    """Let about A_SLICE rows go that nobody reads any more; gives how many, 0 at the end.

    What has ended and is older than `before` (milliseconds) goes: events before the cut, effects
    that followed from them, input keys, dead letters, counts that no period reaches back to.
    """
    last = last_gone(db)
    for statement, bound in (
        ("event WHERE seq IN (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ?)", last),
        (f"outbox WHERE number IN (SELECT number FROM outbox WHERE {_ENDED} LIMIT ?)", last),
        ("inbox WHERE key IN (SELECT key FROM inbox WHERE at < ? LIMIT ?)", before),
        ("dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE at < ? LIMIT ?)", before),
    ):
        gone = db.execute(f"DELETE FROM {statement}", (bound, A_SLICE)).rowcount
        if gone:
            return gone
    return sli_buckets.prune(db, before, now)


def last_gone(db: sqlite3.Connection) -> int:
    """Give the number of the last event before the cut, 0 when nothing was pruned."""
    found = db.execute("SELECT seq FROM pruned").fetchone()
    return found[0] if found is not None else before_first(db)


def before_first(db: sqlite3.Connection) -> int:
    """Give the number before the first event that is there, as a journal of 0.1.0 was pruned."""
    first = db.execute("SELECT min(seq) FROM event").fetchone()[0]
    head = db.execute("SELECT seq FROM shard").fetchone()[0]
    return head if first is None else first - 1


def problems(db: sqlite3.Connection) -> Iterable[str]:
    """List what is wrong with the events that stayed."""
    streams: dict[str, int] = {}
    for *columns, link, before in db.execute(
        f"SELECT {_COLUMNS}, before FROM kept_event ORDER BY seq"
    ):
        seq, stream, version = columns[0], columns[1], columns[2]
        if chain.link(before, *columns) != link:
            yield f"event {seq} ({stream} v{version}): the bytes do not match the chain"
        last = streams.setdefault(stream, version - 1)
        if version != last + 1:
            yield f"event {seq} ({stream} v{version}): version {version} follows {last}"
        streams[stream] = version
    found = db.execute("SELECT kept FROM pruned").fetchone()
    if found is not None and found[0] != digest(db):
        yield "kept events: are not those that stayed when the journal was pruned"
