"""Dead letters, kept to a bound: the newest of each source, and of all.

Law: whoever sends what cannot be read fills neither the disk nor the place of another source. What
is dropped is counted, and the count is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Letters
from midwatch.core.values.clock import SECOND
from midwatch.ports import DeadLetter

MAX_OF_SOURCE, MAX_BYTES_OF_SOURCE = 500, 2_000_000
MAX, MAX_BYTES = 5_000, 16_000_000
MAX_AGE_MS = 90 * 86_400 * SECOND


def add(
    db: Database,
    letters: Iterable[DeadLetter],
    dropped: Mapping[str, int],
    seal: Callable[[Iterable[object]], bytes],
) -> None:
    """Keep letters, and drop the oldest beyond the bounds; `dropped` were never made, by source."""
    gone = Counter(dropped)
    newest: dict[str, int] = {}
    for one in letters:
        columns = {"key": one.key, "at": one.at, "body": one.body, "reason": one.reason}
        db.change(Letters.add, **columns, seal=seal(columns.values()), source=one.source)
        newest[one.source] = one.at
    for source, at in newest.items():
        gone[source] += _trim(db, source, at)
    if newest:
        gone += _trim_all(db)
    for source, count in gone.items():
        db.change(Letters.count_dropped, source=source, count=count)


def _trim(db: Database, source: str, at: int) -> int:
    """Drop what is too old, too much or too many of one source; gives how many went."""
    letters = db.all(Letters.of_source, source=source)
    size = 0
    for number, one in enumerate(letters):
        size += one.size
        too_old = at - one.at > MAX_AGE_MS
        if number >= MAX_OF_SOURCE or size > MAX_BYTES_OF_SOURCE or too_old:
            db.change(Letters.drop_of_source, source=source, id=one.id)
            return len(letters) - number
    return 0


def _trim_all(db: Database) -> Counter[str]:
    letters = db.all(Letters.of_all)
    size = 0
    for number, one in enumerate(letters):
        size += one.size
        if number >= MAX or size > MAX_BYTES:
            db.change(Letters.drop_of_all, id=one.id)
            return Counter(gone.source for gone in letters[number:])
    return Counter()


def read(db: Database, limit: int, after: int) -> list[DeadLetter]:
    """Give letters, the oldest first: at most `limit` of those that came after the one `after`."""
    return db.all(Letters.read, after=after, limit=limit)


def reason_of(db: Database, key: str) -> str:
    """Say why the input with this key died; "" when it did not, or its letter was dropped."""
    return db.value(Letters.reason, key=key) or ""


def dropped(db: Database) -> dict[str, int]:
    """Count what was dropped, by source."""
    return dict(db.each(Letters.dropped))
