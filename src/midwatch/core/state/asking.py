"""Whom an incident asks, and what they answered: pages, acknowledgements, snoozes, held growth.

Law: an answer is for what was known when it was given. What is held back is remembered until it is
sent, or until an answer covers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from midwatch.core.state import events as e
from midwatch.core.state import members, planned
from midwatch.core.state.incidents import (
    MAX_ALSO,
    MAX_GROWTH,
    MAX_ROUNDS,
    Incident,
    Left,
    Paged,
    mark_of,
)
from midwatch.core.values.marks import Held
from midwatch.core.values.severity import Severity


def _ticket(i: Incident, event: e.TicketLinked, at: int, wall: int) -> None:
    i.tickets.append(event.ticket)
    if event.service:
        i.services.setdefault(event.service, wall)


def _burn(i: Incident, event: e.BurnAttached, at: int, wall: int) -> None:
    planned.is_judged(i)
    i.slo = i.slo or event.slo
    i.slos[event.slo] = 0
    i.burned_at = i.burned_at or at
    i.services.setdefault(event.service, wall)
    i.last_at = max(i.last_at, wall)
    if i.worst is None or event.counts.good * i.worst.total < i.worst.good * event.counts.total:
        i.worst = event.counts


def _severity(i: Incident, event: e.SeverityDeclared, at: int) -> None:
    i.severity = cast("Severity", event.severity)
    if event.title:
        i.title, i.worst_service = event.title, event.service
    i.urgency, i.why, i.level = event.urgency, event.reason.says, event.level


def _news(i: Incident, event: e.NewsJudged, at: int) -> None:
    i.asking[event.service] = min(event.severity, i.asking.get(event.service, event.severity))
    i.holds = i.holds or event.held


def _grew(i: Incident, event: e.IncidentGrew, at: int) -> None:
    i.why, i.grown_at = event.reason.says, at
    i.growth, i.growth_at, i.growth_more = [], 0, 0


def _growth_held(i: Incident, event: e.GrowthHeld, at: int) -> None:
    if i.growth_at and i.growth_at <= at:  # what is left of it was over when it was due
        i.growth, i.growth_more = [], 0
    if len(i.growth) < MAX_GROWTH:
        i.growth.append(Held(event.what, event.fingerprints, event.flaps))
    else:
        i.growth_more += 1
    i.growth_at = event.until


def _waits(i: Incident, event: e.PageWaits, at: int) -> None:
    i.waits, i.waits_by, i.awaits_ack = True, event.by, True
    i.waits_until, i.left = event.until, None
    i.policy = event.policy or i.policy


def _resumed(i: Incident, event: e.AskingResumed, at: int) -> None:
    if i.left is not None and not i.left.waits:
        i.earlier_pages = i.left.earlier_pages
        if i.policy != event.policy:
            i.others_left[i.policy] = i.left.next_step
    i.others_left.pop(event.policy, None)
    i.next_step, i.exhausted = event.step, event.exhausted
    _asks(i, event.policy)


def leave(i: Incident, at: int) -> None:
    """Keep how far the search was, when nobody has answered.

    Who waits for what somebody knows of begins to wait again.
    """
    if i.awaits_ack and (not i.waits or i.mark is None):
        i.left = Left(
            at, i.next_step, i.earlier_pages, i.exhausted, i.waits, i.waits_by, i.waits_until
        )
    i.awaits_ack = i.waits = False


def _others_asked(i: Incident, event: e.OthersAsked, at: int) -> None:
    i.besides[event.policy] = event.step + 1
    i.others_left.pop(event.policy, None)


def _others_answered(i: Incident, event: e.OthersAnswered | e.OthersLeft, at: int) -> None:
    i.besides.pop(event.policy, None)
    i.others_left.pop(event.policy, None)
    if isinstance(event, e.OthersAnswered):
        i.others_answered[event.policy] = at


def _covers_also(i: Incident, event: e.CoversAlso, at: int) -> None:
    if event.other not in i.also:
        i.also = [*i.also[-MAX_ALSO + 1 :], event.other]


def _page_planned(i: Incident, event: e.PagePlanned, at: int) -> None:
    beside = event.policy if event.beside else ""
    i.pages.append(
        Paged(event.key, event.to, "planned", event.step, event.via, event.digest, at, beside)
    )
    if beside:
        i.next_page += 1
        return
    # The second pager of an earlier step takes nothing back: the next step stays the next.
    i.next_step = max(i.next_step, event.step + 1)
    i.next_page += 1
    _asks(i, event.policy)


def _asks(i: Incident, policy: str) -> None:
    i.policy, i.awaits_ack, i.waits, i.waits_by, i.left = policy, True, False, "", None


def _page_held(i: Incident, event: e.PageHeld, at: int) -> None:
    i.next_step = event.step + 1
    _asks(i, event.policy)


def _step_skipped(i: Incident, event: e.StepSkipped, at: int) -> None:
    i.next_step = event.step + 1
    _asks(i, event.policy)


def _reassigned(i: Incident, event: e.IncidentReassigned, at: int) -> None:
    i.thread += bool(i.acknowledged_by)
    i.acknowledged_by, i.snoozed_until = "", 0
    i.asking = {**i.answered, **i.asking}
    members.begin_round(i)


def _restarted(i: Incident, event: e.EscalationRestarted, at: int) -> None:
    members.begin_round(i)


def _page_sent(i: Incident, event: e.PageSent, at: int) -> None:
    state = "not sent" if event.receipt == e.NOT_SENT else "sent"
    i.pages = [replace(p, state=state) if p.key == event.key else p for p in i.pages]
    if state == "sent":
        i.paged_at = i.paged_at or at
        i.asked_at = i.asked_at or (at if i.awaits_ack else 0)


def _page_failed(i: Incident, event: e.PageFailed, at: int) -> None:
    if event.retry_at is None:
        i.pages = [replace(p, state="failed") if p.key == event.key else p for p in i.pages]


def _ack(i: Incident, event: e.PageAcknowledged, at: int) -> None:
    asked_at = i.asked_at or (i.pages[-1].at if i.pages and i.awaits_ack else 0)
    if asked_at and len(i.waits_ms) < MAX_ROUNDS:
        i.waits_ms.append(max(at - asked_at, 0))
    i.asked_at = 0
    i.acknowledged_by, i.awaits_ack, i.snoozed_until = event.by, False, 0
    i.acknowledged_at = i.acknowledged_at or at
    i.answered = {**i.answered, **i.asking}
    i.waits, i.asking, i.left = False, {}, None
    i.mark = mark_of(i, at, "ack", event.by)


def _unack(i: Incident, event: e.AckWithdrawn, at: int) -> None:
    i.thread += 1
    i.acknowledged_by, i.snoozed_until = "", 0
    if i.grown_at != at:  # else it is what grew that looks for somebody
        i.asking = {**i.answered, **i.asking}
    members.begin_round(i)


def _snoozed(i: Incident, event: e.PageSnoozed, at: int, wall: int) -> None:
    i.snoozed_until, i.snooze_over_at = event.until, at + event.until - wall
    i.mark = mark_of(i, at, "snooze", event.by)


def _exhausted(i: Incident, event: e.EscalationExhausted, at: int) -> None:
    i.exhausted, i.awaits_ack, i.waits, i.left = True, True, False, None


# Each function takes the one event type that stands beside it.
APPLY = cast(
    "dict[type, Callable[[Incident, Any, int], None]]",
    {
        e.NewsJudged: _news,
        e.IncidentGrew: _grew,
        e.GrowthHeld: _growth_held,
        e.PageWaits: _waits,
        e.AskingResumed: _resumed,
        e.CoversAlso: _covers_also,
        e.OthersAsked: _others_asked,
        e.OthersAnswered: _others_answered,
        e.OthersLeft: _others_answered,
        e.SeverityDeclared: _severity,
        e.PagePlanned: _page_planned,
        e.PageHeld: _page_held,
        e.StepSkipped: _step_skipped,
        e.IncidentReassigned: _reassigned,
        e.EscalationRestarted: _restarted,
        e.PageSent: _page_sent,
        e.PageFailed: _page_failed,
        e.PageAcknowledged: _ack,
        e.AckWithdrawn: _unack,
        e.EscalationExhausted: _exhausted,
    },
)
# Those that note a date too, which the wall clock names.
APPLY_DATED = cast(
    "dict[type, Callable[[Incident, Any, int, int], None]]",
    {
        e.TicketLinked: _ticket,
        e.BurnAttached: _burn,
        e.PageSnoozed: _snoozed,
    },
)
