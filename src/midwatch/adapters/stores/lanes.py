"""Which waiting effects may be begun now: a few of each lane that has room.

Law: a lane without room costs one look, however many wait in it; what was planned first among the
due is given first.
"""

from __future__ import annotations

from collections.abc import Callable

from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Outbox


def due(db: Database, now: int, limit: int, room: Callable[[str], int] | None) -> list[str]:
    """Give the keys of at most `limit` effects that are due, the earliest first.

    `room` says how many more of a lane may be begun; without it there is no end.
    """
    found: list[tuple[int, int, str]] = []
    for lane in list(db.values(Outbox.lanes)):
        free = limit if room is None else min(room(lane), limit)
        if free > 0:
            found += db.each(Outbox.due_in_lane, lane=lane, now=now, limit=free)
    return [key for _, _, key in sorted(found)[:limit]]
