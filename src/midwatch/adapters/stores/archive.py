"""The table of incidents that have left the shard.

Law: a row is written in the transaction that appends the fact by which it leaves or changes, so it
is always the fold of its stream; it stays when that stream is pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from midwatch.adapters.stores import names
from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.seals import seal
from midwatch.core.state import upgrades
from midwatch.core.state.board import number_of
from midwatch.core.state.incidents import Incident
from midwatch.core.state.leaving import Archived
from midwatch.core.values.keys import number_in

_encode = msgspec.json.Encoder().encode


def keep(db: Database, records: Iterable[Archived]) -> None:
    """Write records down, in the place of what they were before."""
    for one in records:
        incident = one.incident
        columns = {
            "number": number_of(incident.id),
            "version": one.version,
            "opened_at": incident.opened_at,
            "lasts": int(_lasts(incident)),
            "body": _encode(incident),
        }
        db.change(names.Archive.put, **columns, seal=seal(columns.values()))


def find(db: Database, name: str) -> Archived | None:
    """Give one by its name."""
    left = db.one(names.Archive.find, number=_number(name))
    return Archived(upgrades.archived(left.body), left.version) if left else None


def newest(db: Database, limit: int, before: str) -> list[Incident]:
    """Give the newest, or the newest that were opened before another one."""
    number = _number(before) if before else 2**62
    return list(map(upgrades.archived, db.values(names.Archive.newest, before=number, limit=limit)))


def opened(db: Database, start: int, end: int) -> Iterator[Incident]:
    """Give those that were opened in [start, end), oldest first, one by one."""
    return map(upgrades.archived, db.values(names.Archive.opened, start=start, end=end))


def lasting(db: Database) -> Iterator[Incident]:
    """Give those that still matter, oldest first, one by one."""
    return map(upgrades.archived, db.values(names.Archive.lasting))


def count(db: Database) -> int:
    """Count them."""
    return db.value(names.Archive.count) or 0


def _number(name: str) -> int:
    number = number_in(name)
    return -1 if number is None else number


def _lasts(incident: Incident) -> bool:
    """Say whether people still have to hear about it: it lacks a proof, or has work to do."""
    items = incident.judgement.action_items if incident.judgement else ()
    unproven = incident.hurt and incident.state == "closed" and incident.case_state != "admitted"
    return unproven or bool(incident.waiver) or any(item.state == "open" for item in items)
