"""Which waiting effects may be begun now: a few of each lane that has room.

Law: a lane without room costs one look, however many wait in it; what was planned first among the
due is given first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

_LANES = """
WITH RECURSIVE waiting (lane) AS (
    SELECT min(lane) FROM outbox WHERE state = 'planned'
    UNION ALL
    SELECT (SELECT min(lane) FROM outbox WHERE state = 'planned' AND lane > waiting.lane)
    FROM waiting WHERE lane IS NOT NULL
)
SELECT lane FROM waiting WHERE lane IS NOT NULL
"""


def due(
    db: sqlite3.Connection, now: int, limit: int, room: Callable[[str], int] | None
) -> list[str]:
    """Give the keys of at most `limit` effects that are due, the earliest first.

    `room` says how many more of a lane may be begun; without it there is no end.
    """
    found: list[tuple[int, int, str]] = []
    for (lane,) in db.execute(_LANES).fetchall():
        free = limit if room is None else min(room(lane), limit)
        if free > 0:
            found += db.execute(
                "SELECT due_at, number, key FROM outbox WHERE state = 'planned' AND lane = ?"
                " AND due_at <= ? ORDER BY due_at, number LIMIT ?",
                (lane, now, free),
            )
    return [key for _, _, key in sorted(found)[:limit]]
