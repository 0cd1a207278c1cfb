"""What is lost when a copy of a journal takes its place.

Law: read only. The two have one beginning as far as their chains are the same; what the file has
after it is lost, and what people did there is named, for nobody else remembers it.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from midwatch.core.state import events as e
from midwatch.core.values.clock import show_time
from midwatch.core.values.keys import Key
from midwatch.core.values.skews import Skews
from midwatch.engine import queries
from midwatch.ports import Audit, Row

# What a person has to do again, and what each is called.
DONE: dict[type[e.Event], str] = {
    e.PageAcknowledged: "acknowledgement",
    e.PageSnoozed: "snooze",
    e.IncidentReassigned: "reassignment",
    e.IncidentMerged: "merge",
    e.SilenceAdded: "silence",
    e.SilenceEnded: "end of a silence",
    e.OverrideAdded: "override",
    e.OverrideRemoved: "end of an override",
    e.PlanApproved: "approval",
    e.PlanRefused: "refusal",
    e.WaiverGranted: "waiver",
    e.PostmortemEdited: "postmortem",
    e.CaseQuarantined: "quarantine",
    e.CaseRetired: "retirement",
    e.RegressionCaseAdmitted: "regression case",
    e.ReleaseRegistered: "release",
    e.PointerMoved: "move of traffic",
}
_NAMES = {kind.__name__: says for kind, says in DONE.items()}
# Whether a page is out after such a fact that nobody has ended.
_PAGES = {
    e.PagePlanned.__name__: True,
    e.IncidentResolved.__name__: False,
    e.IncidentClosed.__name__: False,
    e.IncidentMerged.__name__: False,
}
decode = msgspec.json.Decoder(e.IncidentOpened).decode


class Done(Struct, frozen=True):
    """What was done after the copy: when, what kind of thing, about what, and in words."""

    at: str
    kind: str
    about: str
    says: str


class Lost(Struct, frozen=True):
    """What the file has that the copy has not; `behind` are events that the copy has alone.

    `pruned` are those that the file itself has no more, so nobody can say what they were. Nobody
    will end the pages of incidents that were `opened` since and are not over.
    """

    events: int = 0
    behind: int = 0
    pruned: int = 0
    since: str = ""
    opened: list[Done] = field(default_factory=list[Done])
    done: list[Done] = field(default_factory=list[Done])


def compare(copy: Audit, file: Audit) -> Lost:
    """Say what is lost with the file."""
    common, at = _common(copy, file)
    skews = queries.skews_of(file)
    opened: dict[str, Done] = {}
    paged: dict[str, bool] = {}  # and not over since
    done: list[Done] = []
    for row, _ in file.rows():
        if row.seq <= common:
            continue
        if row.type == e.IncidentOpened.__name__:
            title = decode(row.body).title
            opened[row.stream] = replace(_done(row, "incident", skews), says=title)
        elif row.type in _NAMES:
            done.append(_done(row, _NAMES[row.type], skews))
        if row.type in _PAGES:
            paged[row.stream] = _PAGES[row.type]
    since = show_time(skews.shown(at)) if at else ""
    base = file.base()
    pruned = max(base.seq - common, 0) if base else 0
    told = [one for name, one in opened.items() if paged.get(name)]
    return Lost(file.head()[0] - common, copy.head()[0] - common, pruned, since, told, done)


def _common(copy: Audit, file: Audit) -> tuple[int, int]:
    """Give the number and the time of the last event that both have.

    Each link covers all before it: where two differ, the journals have parted, for good.
    """
    seq = at = 0
    pruned = 0, 0
    ours = file.rows()
    link_of: dict[int, bytes] = {}
    base = file.base()
    if base is not None:
        link_of[base.seq] = base.head
    begins = copy.base()
    if begins is not None and link_of.get(begins.seq) == begins.head:
        seq = begins.seq
    mine = next(ours, None)
    for row, link in copy.rows():
        while mine is not None and mine[0].seq < row.seq:
            mine = next(ours, None)
        known = link_of.get(row.seq) or (
            mine[1] if mine is not None and mine[0].seq == row.seq else None
        )
        if known is None and base is not None and row.seq < base.seq:
            pruned = row.seq, row.at
            continue  # pruned in the file: a later link says whether they are one
        if known != link:
            return seq, at
        seq, at = row.seq, row.at
    # Where the copy ends before what was pruned, no link can say it; nothing says otherwise either.
    return max((seq, at), pruned)


def _done(row: Row, kind: str, skews: Skews) -> Done:
    moment = queries.moment_of(row, skews)
    return Done(moment.at, kind, Key.read(row.stream).rest, moment.says)
