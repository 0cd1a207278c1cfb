"""The tables of pushed counts: sums in buckets, and the newest bad answers.

Law: they are written inside the caller's transaction, and only there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from midwatch.core.clock import SECOND
from midwatch.core.sli import Bucket, FailedAnswer

KEPT_FAILURES = 100  # of an objective
FINE_S = 6 * 3_600
COARSE_S = 300
LONGEST_S = 100 * 86_400  # no period is longer
MOST = 10**15  # events of a bucket: beyond 2**63 a sum would be no whole number any more

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FailedAnswer).decode


def add(db: sqlite3.Connection, buckets: Iterable[Bucket]) -> None:
    """Count buckets in, and keep their bad answers."""
    for one in buckets:
        db.execute(
            "INSERT INTO sli_bucket VALUES (?, ?, ?, ?) ON CONFLICT (slo, at) DO UPDATE"
            " SET good = min(good + excluded.good, ?), total = min(total + excluded.total, ?)",
            (one.slo, one.at, min(one.good, MOST), min(one.total, MOST), MOST, MOST),
        )
        if not one.failures:
            continue
        db.executemany(
            "INSERT INTO sli_failure (slo, at, body) VALUES (?, ?, ?)",
            [(one.slo, one.at, _encode(failure)) for failure in one.failures],
        )
        db.execute(
            "DELETE FROM sli_failure WHERE slo = ? AND number <= (SELECT number FROM sli_failure"
            " WHERE slo = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (one.slo, one.slo, KEPT_FAILURES),
        )


def read(db: sqlite3.Connection, now: int) -> list[Bucket]:
    """Give what is kept, oldest first; what is hours old in larger buckets."""
    fine = now - FINE_S * SECOND
    wide = COARSE_S * SECOND
    rows = db.execute(
        "SELECT slo, (at + ? - 1) / ? * ? AS edge, sum(good), sum(total) FROM sli_bucket"
        " WHERE at > ? AND at <= ? GROUP BY slo, edge"
        " UNION ALL SELECT slo, at, good, total FROM sli_bucket WHERE at > ? ORDER BY 2, 1",
        (wide, wide, wide, now - LONGEST_S * SECOND, fine, fine),
    )
    return [Bucket(*row) for row in rows]


def failures(db: sqlite3.Connection) -> list[Bucket]:
    """Give the bad answers that are kept, oldest first."""
    rows = db.execute("SELECT slo, at, body FROM sli_failure ORDER BY number")
    return [Bucket(slo, at, 0, 0, (_decode(body),)) for slo, at, body in rows]


def prune(db: sqlite3.Connection, before: int) -> None:
    """Let go what no period reaches back to."""
    db.execute("DELETE FROM sli_bucket WHERE at < ?", (before - LONGEST_S * SECOND,))
