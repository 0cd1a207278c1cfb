"""The queries of a store: one class a file of texts, one attribute a query, and what it gives.

Law: an engine has a text for each, and no other; see `named.py`.
"""

from __future__ import annotations

from typing import Any

from midwatch.adapters.stores import rows
from midwatch.adapters.stores.named import Change, Rows, Values
from midwatch.core.state.inputs import Timer
from midwatch.ports import Attempt, DeadLetter, Row, Session, Snapshot, Sum


class Journal:
    """The event log, its snapshots, and the row that says who owns it."""

    identity = Rows(rows.Identity)
    mark = Change()
    versions = Rows(rows.Versions)
    note_versions = Change()
    head = Rows(rows.Head)
    move_head = Change()
    fence = Values[int]()
    raise_fence = Change()
    touch = Change()
    append = Change()
    after = Rows(Row)
    linked_after = Rows(rows.Linked)
    linked_page = Rows(rows.Linked)
    stream = Rows(rows.Linked)
    stream_of_older = Rows(rows.Linked)
    stretch = Rows(Row)
    at_or_after = Values[int]()
    first = Values[int]()
    newest_snapshot = Rows(Snapshot)
    snapshots = Rows(Snapshot)
    put_snapshot = Change()
    trim_snapshots = Change()


class Inbox:
    """The keys of inputs that were committed."""

    seen = Values[int]()
    add = Change()


class Outbox:
    """Effects between their planning and their end."""

    next_number = Values[int]()
    add = Change()
    find = Rows(rows.OutboxRow)
    change = Change()
    claimed = Rows(rows.Claimed)
    lanes = Values[str]()
    due_in_lane = Rows[tuple[int, int, str]](rows.Due)
    next_after = Values[int]()
    all = Rows[tuple[str, str, str, int]](rows.Progress)
    planned = Rows[tuple[str, int]](rows.Followed)


class Timers:
    """Wishes to be woken."""

    put = Change()
    drop = Change()
    due = Rows(Timer)
    find = Rows(Timer)
    waits = Rows(rows.Waits)


class Archive:
    """Incidents that have left the shard."""

    put = Change()
    find = Rows(rows.Left)
    newest = Values[bytes]()
    opened = Values[bytes]()
    lasting = Values[bytes]()
    count = Values[int]()


class Letters:
    """Dead letters, and the count of those that were dropped."""

    add = Change()
    of_source = Rows(rows.Size)
    of_all = Rows(rows.Size)
    drop_of_source = Change()
    drop_of_all = Change()
    count_dropped = Change()
    read = Rows(DeadLetter)
    reason = Values[str]()
    dropped = Rows[tuple[str, int]](rows.Dropped)


class Counts:
    """Pushed counts, and the newest bad answers."""

    add = Change()
    add_failure = Change()
    trim_failures = Change()
    failures = Rows(rows.Failure)
    judged = Rows[Sum](rows.Counts)
    fine = Rows[Sum](rows.Counts)
    fine_between = Rows[Sum](rows.Counts)
    fine_until = Rows[Sum](rows.Counts)
    drop_fine = Change()
    newest_fine = Values[int]()
    next_fine = Values[str]()
    next_rolled_up = Values[str]()
    units = Values[str]()
    rolled_up_until = Rows[Sum](rows.Counts)
    drop_rolled_up = Change()
    drop_of_width = Change()
    sum_up = Change()
    prune_fine = Change()
    prune_rolled_up = Change()


class Pruning:
    """What goes when a journal is pruned, and what stays of what came before the cut."""

    last_gone = Values[int]()
    digest = Values[bytes]()
    put = Change()
    drop_snapshots = Change()
    keep = Change()
    kept_streams = Values[str]()
    drop_stream = Change()
    kept = Rows(rows.Kept)
    kept_links = Values[bytes]()
    sweep_events = Change()
    sweep_outbox = Change()
    sweep_inbox = Change()
    sweep_letters = Change()


class Sealed:
    """Rows that carry a seal: what it covers, as it is stored, and the seal last."""

    inbox = Rows[tuple[Any, ...]](tuple)
    dead_letter = Rows[tuple[Any, ...]](tuple)
    snapshot = Rows[tuple[Any, ...]](tuple)
    outbox = Rows[tuple[Any, ...]](tuple)
    timer = Rows[tuple[Any, ...]](tuple)
    pruned = Rows[tuple[Any, ...]](tuple)
    archive = Rows[tuple[Any, ...]](tuple)


class Tokens:
    """Who may call."""

    add = Change()
    find = Rows(rows.Secret)
    all = Rows(rows.Secret)
    revoke = Change()
    holders = Rows(rows.Holder)


class Access:
    """Logins, last uses and the trail of both, in the file beside the journal."""

    made_for = Rows(rows.MadeFor)
    make_for = Change()
    saw = Change()
    add = Change()
    find = Rows(Session)
    live = Rows(Session)
    drop_ended = Change()
    drop_beyond = Change()
    note_use = Change()
    drop = Change()
    drop_of_token = Change()
    drop_all = Change()
    use_token = Change()
    uses = Rows[tuple[str, int]](rows.Used)
    add_line = Change()
    trim_trail = Change()
    trail = Rows(Attempt)


FAMILIES = (
    Journal,
    Inbox,
    Outbox,
    Timers,
    Archive,
    Letters,
    Counts,
    Pruning,
    Sealed,
    Tokens,
    Access,
)
