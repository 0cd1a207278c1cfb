"""How far a journal may be shortened, and the snapshot that stands in for what goes.

Law: events go only behind a snapshot that was folded from them here and now, so that nothing which
is decided or verified later needs them. An incident that is still open keeps its whole timeline.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from midwatch.core import shard, upgrades
from midwatch.core.events import Event
from midwatch.core.incidents import is_open
from midwatch.core.shard import STATE_VERSION, Shard
from midwatch.engine.progress import Progress, quiet, reported
from midwatch.engine.queries import skews_of
from midwatch.ports import Audit, Snapshot

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Cut(Struct, frozen=True):
    """Where to cut: `snapshot` holds the state after the last of the `events` that may go."""

    snapshot: Snapshot
    events: int


def find_cut(audit: Audit, before: int, progress: Progress = quiet) -> Cut | None:
    """Find the longest beginning of events older than `before` that nothing open needs.

    `before` is a date, in milliseconds since the epoch. Gives None when there is nothing to cut.
    `progress` hears how many of all events were read.
    """
    last = _last_to_go(audit, before, progress)
    state, head, events = _start(audit), b"", 0
    for row, link in audit.rows():
        if row.seq > last:
            break
        shard.evolve(state, _decode.decode(row.body), row.at)
        head, events = link, events + 1
    if not events:
        return None
    return Cut(Snapshot(last, STATE_VERSION, shard.dump(state), head), events)


def _start(audit: Audit) -> Shard:
    """Give the state before the first event that is kept."""
    base = audit.base()
    return upgrades.load(base.body, base.state_version) if base is not None else Shard()


def _last_to_go(audit: Audit, before: int, progress: Progress) -> int:
    """Give the number of the last event that may go, 0 when none may."""
    state = _start(audit)
    skews = skews_of(audit)
    began: dict[str, int] = {}
    base, last = audit.base(), 0
    events = audit.head()[0] - (base.seq if base else 0)
    for row, _ in reported(audit.rows(), events, progress):
        shard.evolve(state, _decode.decode(row.body), row.at)
        began.setdefault(row.stream, row.seq)
        if skews.shown(row.at) < before:
            last = row.seq
    needed = [began[f"incident/{i.id}"] for i in state.incidents.values() if is_open(i)]
    return min([last, *(seq - 1 for seq in needed)])
