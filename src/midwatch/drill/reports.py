"""What a shift did, out of its journal and nothing else.

Law: same seed, same bytes: no wall time, no path. The sections A to G have the form of the lab;
every number in them is read from an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from midwatch.core.state import events as e
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import show_time
from midwatch.engine import queries
from midwatch.engine.archive import everything
from midwatch.engine.queries import Fact
from midwatch.ports import Audit

E = TypeVar("E")


class Scored(Struct, frozen=True):
    """A check of a shift."""

    name: str
    passed: bool
    why: str


class Decided(Struct, frozen=True):
    """A decision, and why it was taken."""

    seq: int
    event: str
    reason: dict[str, Any]


class Recorded(Struct, frozen=True):
    """An event as it stands in the journal."""

    seq: int
    at: str
    stream: str
    cause: str
    event: dict[str, Any]


class ShiftReport(Struct, frozen=True):
    """The whole shift: its checks, its decisions with their reasons, its events."""

    scenario: str
    seed: int
    broken: str | None
    passed: bool
    checks: list[Scored]
    journal_head: str
    decisions: list[Decided]
    events: list[Recorded]


class Story:
    """The events of one shift, and the incident that it is about."""

    def __init__(self, audit: Audit, shard: Shard) -> None:
        self.shard = shard
        self.incidents = everything(shard, audit)
        self.rows = list(audit.rows())
        self.facts = queries.facts(audit)
        self.planned = audit.planned()
        self.letters = audit.letters()
        burning = self.first(e.BudgetBurning)
        self.incident = burning.event.incident if burning else ""

    def all(self, kind: type[E]) -> list[Fact[E]]:
        """List the facts of one kind, in order."""
        return cast("list[Fact[E]]", [f for f in self.facts if type(f.event) is kind])

    def first(self, kind: type[E], incident: str = "") -> Fact[E] | None:
        """Give the first fact of one kind, of one incident when it is named; None without one."""
        for fact in self.all(kind):
            if not incident or getattr(fact.event, "incident", "") == incident:
                return fact
        return None

    def mine(self, kind: type[E]) -> Fact[E] | None:
        """Give the first fact of one kind of the incident that the shift is about."""
        return self.first(kind, self.incident) if self.incident else None

    def put_right(self, happened_at: Callable[[int], int]) -> None:
        """Give each fact its right time, where the journal's followed a clock that was off."""
        self.facts = [Fact(one.seq, happened_at(one.seq), one.event) for one in self.facts]

    @property
    def head(self) -> str:
        """The journal's last link, in hex."""
        return self.rows[-1][1].hex() if self.rows else ""


def sections(story: Story, alert_count: int) -> list[str]:
    """Tell the shift in the lab's seven sections."""
    return [
        *_storm(story, alert_count),
        *_page(story),
        *_ticket(story),
        *_mitigation(story),
        *_lesson(story),
        *_fix(story),
        *_trace(story, alert_count),
    ]


def _head(letter: str, title: str) -> str:
    return f"==== {letter}. {title} ===="


def _storm(story: Story, alert_count: int) -> list[str]:
    incidents = len({f.event.incident for f in story.all(e.AlertsAttached)})
    return [
        _head("A", "AIOPS: collapse the alert storm (M32)"),
        f"  {alert_count} alerts -> {incidents} incidents (page on causes, not symptoms)",
    ]


def _page(story: Story) -> list[str]:
    lines = [_head("B", "DETECT: the on-call page (M31)")]
    burning, sent = story.mine(e.BudgetBurning), story.mine(e.PageSent)
    if burning is None:
        return [*lines, "  paged=False  no objective burned"]
    severity = story.incidents[story.incident].severity
    event = burning.event
    terms = event.reason.terms
    return [
        *lines,
        f"  paged={sent is not None}  severity={severity}  reason={event.reason.says}",
        f"  SLI was {event.counts.shown()} against a {terms['objective']} SLO",
    ]


def _ticket(story: Story) -> list[str]:
    lines = [_head("C", "TICKET: a user's report joins the incident (M32)")]
    for fact in story.all(e.TicketTriaged):
        event = fact.event
        lines.append(
            f"  {event.ticket}: category={event.category}  priority={event.priority}"
            f"  route={event.route}"
        )
        lines.append(f"  joined {event.incident or 'no incident'}")
    return lines if len(lines) > 1 else [*lines, "  nobody reported anything"]


def _mitigation(story: Story) -> list[str]:
    lines = [_head("D", "MITIGATE: runbook -> rollback (M31 + M33)")]
    rolled = story.mine(e.RollbackCompleted)
    if rolled is None:
        return [*lines, "  nothing was rolled back"]
    lines.append(f"  rolled back {rolled.event.bad} -> {rolled.event.to}")
    mitigated = recovered_by_rollback(story)
    if mitigated is None:
        return [*lines, "  SLI did not recover after the rollback"]
    before, after = mitigated.event.before, mitigated.event.after
    if before is None or after is None:
        return [*lines, "  recovered without an SLI"]
    shown = f"{before.shown()} -> {after.shown()}"
    return [*lines, f"  SLI recovered {shown}  (stop the bleeding first)"]


def recovered_by_rollback(story: Story) -> Fact[e.IncidentMitigated] | None:
    """Give the mitigation that came after a rollback and before any fix, None without one."""
    mitigated, rolled = story.mine(e.IncidentMitigated), story.mine(e.RollbackCompleted)
    promoted = story.mine(e.FixPromoted)
    if mitigated is None or rolled is None or mitigated.seq < rolled.seq:
        return None
    if promoted is not None and promoted.seq < mitigated.seq:
        return None
    return mitigated


def _lesson(story: Story) -> list[str]:
    lines = [_head("E", "LEARN: postmortem and the case it leaves (M31->M26)")]
    written = story.mine(e.PostmortemDrafted)
    if written is None:
        lines.append("  no postmortem")
    else:
        spent = written.event.document["budget_spent"]
        impact = "unknown" if spent is None else f"{100 * spent:.2f}% of the error budget"
        lines.append(f"  postmortem of {story.incident}: impact {impact}")
    case = story.mine(e.RegressionCaseAdmitted)
    refused = story.mine(e.RegressionCaseRefused)
    if case is not None:
        event = case.event
        lines.append(f"  case '{event.case.question}' fails on {event.bad}, passes on {event.good}")
    elif refused is not None:
        lines.append(f"  case refused: {refused.event.reason.says}")
    else:
        lines.append("  no regression case")
    return lines


def _fix(story: Story) -> list[str]:
    lines = [_head("F", "SHIP THE FIX: canary the corrected release (M33)")]
    judged = [f.event for f in story.all(e.CanaryJudged)]
    if not judged:
        return [*lines, "  no fix was tried"]
    last = judged[-1]
    pointer = story.shard.pointers[story.incidents[last.incident].service_of_plan]
    return [
        *lines,
        f"  {last.release} canary decision: {last.verdict}  ->  live is now {pointer.live}",
    ]


def _trace(story: Story, alert_count: int) -> list[str]:
    def seqs(*kinds: type) -> str:
        found = [f.seq for f in story.facts if type(f.event) in kinds]
        return f"events {found[0]}..{found[-1]}" if found else "nothing"

    counted = f"{alert_count} alerts and {len(story.shard.tickets)} ticket"
    found = [
        (
            f"[M32] {counted} into {len(story.incidents)} incidents",
            seqs(e.IncidentOpened, e.AlertsAttached, e.TicketTriaged),
        ),
        (
            "[M31] burn, severity, page, ack",
            seqs(e.BudgetBurning, e.SeverityDeclared, e.PageSent, e.PageAcknowledged),
        ),
        (
            "[M31+M33] plan, approval, rollback, recovery",
            seqs(e.PlanProposed, e.PlanApproved, e.RollbackCompleted),
        ),
        (
            "[M31->M26] postmortem and regression case",
            seqs(e.PostmortemDrafted, e.RegressionCaseAdmitted, e.RegressionCaseRefused),
        ),
        (
            "[M33] canary, promotion, gate",
            seqs(e.FixProposed, e.CanaryJudged, e.FixPromoted, e.GateJudged),
        ),
    ]
    return [_head("G", "TRACE: which module did what"), *(f"  {a}: {b}" for a, b in found)]


def document(
    story: Story, scenario: str, seed: int, checks: list[tuple[str, bool, str]], broke: str
) -> ShiftReport:
    """Write the whole shift down: events, decisions with their reasons, checks."""
    listed: list[Recorded] = []
    decisions: list[Decided] = []
    for row, _ in story.rows:
        body = msgspec.json.decode(row.body)
        listed.append(Recorded(row.seq, show_time(row.at), row.stream, row.cause, body))
        if "reason" in body:
            decisions.append(Decided(row.seq, row.type, body["reason"]))
    return ShiftReport(
        scenario=scenario,
        seed=seed,
        broken=broke or None,
        passed=all(passed for _, passed, _ in checks),
        checks=[Scored(*one) for one in checks],
        journal_head=story.head,
        decisions=decisions,
        events=listed,
    )
