"""How one transaction's entry is written: events onto the chain, and all that goes with them.

Law: what is written here is written inside the caller's transaction. Each event's link covers its
stored columns and the link before it; each other row carries a seal over what is stored of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import asdict, replace

from midwatch.adapters.stores import archive, dead_letters, pruning, sli_buckets
from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.names import Inbox, Journal, Outbox, Timers
from midwatch.adapters.stores.rows import OutboxRow
from midwatch.adapters.stores.seals import seal
from midwatch.core.state import chain
from midwatch.core.state.inputs import Timer
from midwatch.core.state.shard import STATE_VERSION
from midwatch.ports import Entry, Planned, Row


class Tip(Struct):
    """The end of the chain: the newest event's number and link."""

    seq: int
    head: bytes


def write(db: Database, tip: Tip, entry: Entry) -> None:
    """Write an entry, and move the tip on; who rolls back has to put the tip back too."""
    events = _chained(tip, entry.rows)
    db.change(Journal.move_head, seq=tip.seq, head=tip.head)
    db.change_each(Journal.append, events)
    if entry.inputs:
        db.change_each(
            Inbox.add,
            [{"key": key, "at": entry.at, "seal": seal((key, entry.at))} for key in entry.inputs],
        )
    _write_outbox(db, entry)
    for key, timer in entry.timers.items():
        _set(db, key, timer)
    if entry.dead or entry.dropped:
        dead_letters.add(db, entry.dead, entry.dropped, seal)
    sli_buckets.add(db, entry.buckets)
    archive.keep(db, entry.archived)
    if entry.snapshot is not None:
        columns = {
            "seq": tip.seq,
            "state_version": STATE_VERSION,
            "body": entry.snapshot,
            "head": tip.head,
        }
        db.change(Journal.put_snapshot, **columns, seal=seal(columns.values()))
        db.change(Journal.trim_snapshots, last_gone=pruning.last_gone(db), seq=tip.seq)


def _chained(tip: Tip, rows: Iterable[Row]) -> list[dict[str, int | str | bytes]]:
    """Put each event onto the chain; gives what is stored of it."""
    seq, head = tip.seq, tip.head
    stored: list[dict[str, int | str | bytes]] = []
    for row in rows:
        columns = (row.seq, row.stream, row.version, row.at, row.cause, row.type, row.body)
        seq = row.seq
        head = chain.link(head, *columns)
        stored.append({**asdict(row), "link": head})
    tip.seq, tip.head = seq, head
    return stored


def _set(db: Database, key: str, timer: Timer | None) -> None:
    if timer is None:
        db.change(Timers.drop, key=key)
    else:
        columns = asdict(timer)
        db.change(Timers.put, **columns, seal=seal(columns.values()))


# --- the outbox ---------------------------------------------------------------------------------


def _write_outbox(db: Database, entry: Entry) -> None:
    for planned in entry.planned:
        _plan(db, planned)
    for key in entry.cancelled:
        change_effect(db, key, state="cancelled", only_from="planned")
    for settled in entry.settled:
        change_effect(db, settled.key, state=settled.state, detail=settled.detail)
    for key, due_at in entry.retries.items():
        change_effect(db, key, state="planned", due_at=due_at)


def _plan(db: Database, planned: Planned) -> None:
    effect = OutboxRow(
        key=planned.key,
        number=db.value(Outbox.next_number) or 1,
        kind=planned.kind,
        body=planned.body,
        seq=planned.seq,
        state="planned",
        due_at=planned.due_at,
        attempt=0,
        detail="",
    )
    columns = asdict(effect)
    db.change(Outbox.add, **columns, seal=seal(columns.values()), lane=planned.lane)


def change_effect(
    db: Database,
    key: str,
    *,
    state: str,
    only_from: str = "",
    due_at: int | None = None,
    detail: str = "",
    attempts: int = 0,
) -> None:
    """Move an effect to a state, if it is there and in the state that it is moved from."""
    found = db.one(Outbox.find, key=key)
    if found is None or (only_from and found.state != only_from):
        return
    changed = replace(
        found,
        state=state,
        due_at=found.due_at if due_at is None else due_at,
        attempt=found.attempt + attempts,
        detail=detail,
    )
    columns = asdict(changed)
    db.change(Outbox.change, **columns, seal=seal(columns.values()))
