"""Dead letters in SQLite, kept to a bound: the newest of each source, and of all.

Law: whoever sends what cannot be read fills neither the disk nor the place of another source. What
is dropped is counted, and the count is kept.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from midwatch.core.clock import SECOND
from midwatch.ports import DeadLetter

MAX_OF_SOURCE, MAX_BYTES_OF_SOURCE = 500, 2_000_000
MAX, MAX_BYTES = 5_000, 16_000_000
MAX_AGE_MS = 90 * 86_400 * SECOND

_COLUMNS = "key, at, body, reason, source"


def add(
    db: sqlite3.Connection,
    letters: Iterable[DeadLetter],
    dropped: Mapping[str, int],
    seal: Callable[[Iterable[object]], bytes],
) -> None:
    """Keep letters, and drop the oldest beyond the bounds; `dropped` were never made, by source."""
    gone = Counter(dropped)
    newest: dict[str, int] = {}
    for one in letters:
        columns = (one.key, one.at, one.body, one.reason)
        db.execute(
            "INSERT INTO dead_letter (key, at, body, reason, seal, source)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (*columns, seal(columns), one.source),
        )
        newest[one.source] = one.at
    for source, at in newest.items():
        gone[source] += _trim(db, source, at)
    if newest:
        gone += _trim_all(db)
    for source, count in gone.items():
        db.execute(
            "INSERT INTO dead_letter_dropped VALUES (?, ?)"
            " ON CONFLICT (source) DO UPDATE SET count = count + excluded.count",
            (source, count),
        )


def _trim(db: sqlite3.Connection, source: str, at: int) -> int:
    """Drop what is too old, too much or too many of one source; gives how many went."""
    rows = db.execute(
        "SELECT id, at, length(body) + length(reason) FROM dead_letter WHERE source = ?"
        " ORDER BY id DESC",
        (source,),
    ).fetchall()
    size = 0
    for number, (last, then, bytes_) in enumerate(rows):
        size += bytes_
        too_old = at - then > MAX_AGE_MS
        if number >= MAX_OF_SOURCE or size > MAX_BYTES_OF_SOURCE or too_old:
            db.execute("DELETE FROM dead_letter WHERE source = ? AND id <= ?", (source, last))
            return len(rows) - number
    return 0


def _trim_all(db: sqlite3.Connection) -> Counter[str]:
    rows = db.execute(
        "SELECT id, source, length(body) + length(reason) FROM dead_letter ORDER BY id DESC"
    ).fetchall()
    size = 0
    for number, (last, _, bytes_) in enumerate(rows):
        size += bytes_
        if number >= MAX or size > MAX_BYTES:
            db.execute("DELETE FROM dead_letter WHERE id <= ?", (last,))
            return Counter(source for _, source, _ in rows[number:])
    return Counter()


def read(db: sqlite3.Connection, limit: int, after: int) -> list[DeadLetter]:
    """Give letters, the oldest first: at most `limit` of those that came after the one `after`."""
    rows = db.execute(
        f"SELECT {_COLUMNS}, id FROM dead_letter WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
    )
    return [DeadLetter(*row) for row in rows]


def reason_of(db: sqlite3.Connection, key: str) -> str:
    """Say why the input with this key died; "" when it did not, or its letter was dropped."""
    found = db.execute("SELECT reason FROM dead_letter WHERE key = ?", (key,)).fetchone()
    return found[0] if found else ""


def dropped(db: sqlite3.Connection) -> dict[str, int]:
    """Count what was dropped, by source."""
    return dict(db.execute("SELECT source, count FROM dead_letter_dropped ORDER BY source"))
