"""Read-only views of a journal and of a shard.

Law: nothing here changes anything, and nothing is remembered: a view is made from the stored events
each time it is asked for.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from midwatch.core.clock import show_time
from midwatch.core.events import AlertsAttached, Event
from midwatch.ports import Audit, Row

E = TypeVar("E")

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Fact(Struct, Generic[E], frozen=True):
    """An event with its place in the journal."""

    seq: int
    at: int
    event: E


def facts(audit: Audit) -> list[Fact[Event]]:
    """Give every event kept, in order."""
    return [_fact(row) for row, _ in audit.rows()]


def timeline(audit: Audit, stream: str = "") -> list[str]:
    """Tell every event in one line with its reason; of one stream when it is named."""
    return [
        f"{show_time(row.at)}  {row.seq:>4}  {row.stream:<32} {row.type}{_says(_fact(row).event)}"
        for row, _ in audit.rows()
        if not stream or row.stream == stream
    ]


def _fact(row: Row) -> Fact[Event]:
    return Fact(row.seq, row.at, _decode.decode(row.body))


def _says(event: Event) -> str:
    """Give the reason of an event in words, with a gap before it; empty when it needs none."""
    if isinstance(event, AlertsAttached):
        return f"  {len(event.attached)} alerts; {event.attached[0].reason.says}"
    reason = getattr(event, "reason", None)
    return f"  {reason.says}" if reason is not None else ""
