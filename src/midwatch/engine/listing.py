"""Lists of incidents in parts, and parts of what happened to one.

Law: a part costs what it shows, however many incidents there ever were. Whoever lists those that
have left looks at the shard first and reads the archive after that: who leaves in between is in
both, and is shown once; the other way round he would be in neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from heapq import nsmallest
from itertools import islice

from msgspec import Struct

from midwatch.core.state.board import number_of
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.keys import PREFIX
from midwatch.core.values.skews import Skews
from midwatch.engine import paging
from midwatch.engine.queries import OVER, Moment, Summary, moment_of, summary, urgent_first
from midwatch.ports import Archive, Audit

# Where an incident is in the list of the worst: it may have left, or become worse, since.
_PLACE = re.compile(r"(sev[1-9])\.(-?[0-9]{1,19})\.(INC-[1-9][0-9]{0,17})")


def urgent_part(shard: Shard, limit: int, after: str = "") -> tuple[list[Summary], str]:
    """List at most `limit` incidents that are not over, worst first; and where to go on.

    An incident that gets worse or better between two parts changes its place, and so may be in
    both or in neither. Raises NoSuchRow.
    """
    return _worst(shard, (shard.incidents[name] for name in shard.open), limit, after)


def owed_part(shard: Shard, limit: int, after: str = "") -> tuple[list[Summary], str]:
    """List at most `limit` incidents that are resolved and not closed, worst first.

    Raises NoSuchRow.
    """
    resolved = (one for one in shard.incidents.values() if one.state == "resolved")
    return _worst(shard, resolved, limit, after)


def _worst(
    shard: Shard, waiting: Iterable[Incident], limit: int, after: str
) -> tuple[list[Summary], str]:
    if after:
        last = _place(after)
        waiting = (one for one in waiting if urgent_first(one)[1:] > last)
    found = nsmallest(limit + 1, waiting, key=urgent_first)
    shown = found[:limit]
    return [summary(one, shard.skews) for one in shown], (
        _cursor(shown[-1]) if len(found) > limit else ""
    )


def _cursor(one: Incident) -> str:
    return f"{one.severity or 'sev9'}.{one.opened_at}.{one.id}"


def _place(after: str) -> tuple[str, int, int, str]:
    found = _PLACE.fullmatch(after)
    if found is None:
        raise paging.unknown(after)
    return found[1], -int(found[2]), len(found[3]), found[3]


class Look(Struct, frozen=True):
    """What the shard gives to a part of all incidents: the newest that are before number `before`.

    `skews` say how times are shown.
    """

    listed: list[Summary]
    before: int
    skews: Skews


def look(shard: Shard, limit: int, after: str = "") -> Look:
    """Take what a part of all incidents needs of the shard. Raises NoSuchRow."""
    before = shard.next_incident
    if after:
        before = min(before, paging.number(after, PREFIX))
    newest = (one for one in reversed(shard.incidents.values()) if number_of(one.id) < before)
    shown = [summary(one, shard.skews) for one in islice(newest, limit + 1)]
    return Look(shown, before, shard.skews)


def newest_part(seen: Look, records: Archive, limit: int) -> tuple[list[Summary], str]:
    """List at most `limit` of all incidents, newest first, and where to go on.

    `seen` was made with the same limit, and before the archive is read here.
    """
    left = records.closed(limit + 1, f"{PREFIX}{seen.before}")
    found = {one.id: one for one in seen.listed}
    found |= {one.id: summary(one, seen.skews) for one in left}
    newest = sorted(found.values(), key=lambda one: -number_of(one.id))
    return newest[:limit], newest[limit - 1].id if len(newest) > limit else ""


def worst_first(listed: list[Summary]) -> list[Summary]:
    """Order summaries of all incidents as `queries.summaries` does."""
    by_number = sorted(listed, key=lambda one: number_of(one.id))
    newest_first = sorted(by_number, key=lambda one: one.opened_at, reverse=True)
    return sorted(newest_first, key=lambda one: (one.state in OVER, one.severity or "sev9"))


def told_part(
    audit: Audit, skews: Skews, stream: str, upto: int, limit: int, after: int = 0
) -> tuple[list[Moment], int]:
    """Tell at most `limit` events of a stream after its `after`-th, of its first `upto`.

    Gives how many of them are gone from the journal, too.
    """
    rows = [row for row in audit.stretch(stream, after, limit) if row.version <= upto]
    first = audit.stretch(stream, 0, 1)
    return [moment_of(row, skews) for row in rows], first[0].version - 1 if first else upto
