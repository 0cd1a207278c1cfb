"""The table of incidents that have left the shard.

Law: a row is written in the transaction that appends the fact by which it leaves or changes, so it
is always the fold of its stream; it stays when that stream is pruned.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from midwatch.adapters.stores.seals import seal
from midwatch.core import upgrades
from midwatch.core.incidents import PREFIX, Incident
from midwatch.core.leaving import Archived

_encode = msgspec.json.Encoder().encode


def keep(db: sqlite3.Connection, records: Iterable[Archived]) -> None:
    """Write records down, in the place of what they were before."""
    for one in records:
        incident = one.incident
        columns = (
            int(incident.id.removeprefix(PREFIX)), one.version, incident.opened_at,
            int(_lasts(incident)), _encode(incident),
        )  # fmt: skip
        db.execute(
            "INSERT OR REPLACE INTO archive VALUES (?, ?, ?, ?, ?, ?)", (*columns, seal(columns))
        )


def find(db: sqlite3.Connection, name: str) -> Archived | None:
    """Give one by its name."""
    number = _number(name)
    row = db.execute("SELECT version, body FROM archive WHERE number = ?", (number,)).fetchone()
    return Archived(upgrades.archived(row[1]), row[0]) if row else None


def newest(db: sqlite3.Connection, limit: int, before: str) -> list[Incident]:
    """Give the newest, or the newest that were opened before another one."""
    rows = db.execute(
        "SELECT body FROM archive WHERE number < ? ORDER BY number DESC LIMIT ?",
        (_number(before) if before else 2**62, limit),
    )
    return [upgrades.archived(body) for (body,) in rows]


def opened(db: sqlite3.Connection, start: int, end: int) -> Iterator[Incident]:
    """Give those that were opened in [start, end), oldest first, one by one."""
    rows = db.execute(
        "SELECT body FROM archive WHERE opened_at >= ? AND opened_at < ?"
        " ORDER BY opened_at, number",
        (start, end),
    )
    return (upgrades.archived(body) for (body,) in rows)


def lasting(db: sqlite3.Connection) -> Iterator[Incident]:
    """Give those that still matter, oldest first, one by one."""
    rows = db.execute("SELECT body FROM archive WHERE lasts = 1 ORDER BY number")
    return (upgrades.archived(body) for (body,) in rows)


def count(db: sqlite3.Connection) -> int:
    """Count them."""
    return db.execute("SELECT count(*) FROM archive").fetchone()[0]


def _number(name: str) -> int:
    number = name.removeprefix(PREFIX)
    return int(number) if number.isdecimal() and number.isascii() and len(number) < 18 else -1


def _lasts(incident: Incident) -> bool:
    """Say whether people still have to hear about it: it lacks a proof, or has work to do."""
    items = incident.judgement.action_items if incident.judgement else ()
    unproven = incident.hurt and incident.state == "closed" and incident.case_state != "admitted"
    return unproven or bool(incident.waiver) or any(item.state == "open" for item in items)
