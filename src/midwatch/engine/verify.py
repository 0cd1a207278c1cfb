"""Check a journal: the chain holds, and folding the events gives the stored state.

Law: verification folds and compares; it never decides again, so a newer version can verify an
older file. Each finding names the row.
"""

from __future__ import annotations

import msgspec

from midwatch.core import chain, shard
from midwatch.core.events import Event
from midwatch.core.shard import STATE_VERSION, Shard
from midwatch.errors import MidwatchError
from midwatch.ports import Audit, Row

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def verify(audit: Audit, head: tuple[int, bytes]) -> tuple[int, list[str]]:
    """Give the number of events and everything that is wrong, in the journal's order."""
    found = audit.problems()
    state = Shard()
    snapshots = {s.seq: s for s in audit.snapshots()}
    link, count, last, folds = chain.GENESIS, 0, 0, True
    for row, stored in audit.rows():
        count += 1
        if row.seq != last + 1:
            found.append(f"event {last + 1}: missing, {row.seq} follows {last}")
        last = row.seq
        link = chain.link(
            link, row.seq, row.stream, row.version, row.at, row.cause, row.type, row.body
        )
        if link != stored:
            found.append(f"event {_name(row)}: the bytes do not match the chain")
            link = stored
        if folds:
            problem = _fold(state, row)
            if problem:
                found.append(f"event {_name(row)}: {problem}; nothing after it was folded")
                folds = False
        snapshot = snapshots.get(row.seq)
        if snapshot is None or snapshot.state_version != STATE_VERSION:
            continue
        if snapshot.head != stored:
            found.append(f"snapshot {row.seq}: taken at another link of the chain")
        if folds and snapshot.body != shard.dump(state):
            found.append(f"snapshot {row.seq}: folding the events gives another state")
    if head != (last, link):
        found.append(f"head: the shard ends at event {head[0]}, the events at {last}")
    return count, found


def _fold(state: Shard, row: Row) -> str:
    """Apply a row; gives what is wrong with it, empty when nothing is."""
    try:
        event = _decode.decode(row.body)
        if type(event).__name__ != row.type or event.stream != row.stream:
            return f"holds {type(event).__name__} of {event.stream}"
        if row.version != state.versions.get(row.stream, 0) + 1:
            return f"version {row.version} follows {state.versions.get(row.stream, 0)}"
        shard.evolve(state, event, row.at)
    except (MidwatchError, msgspec.MsgspecError, KeyError) as error:
        return f"cannot be folded: {error}"
    return ""


def _name(row: Row) -> str:
    return f"{row.seq} ({row.stream} v{row.version})"
