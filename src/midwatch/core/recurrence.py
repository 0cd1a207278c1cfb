"""Whether an incident is an earlier one again, whose lesson should have kept it away.

Law: it is the same when the very question of the earlier one's case fails again, or when most of
its alerts are those of the earlier one on the same service. That is said loudly, with what the
earlier one left behind. An incident that merely comes after another one of its service is linked,
and no more is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator

from midwatch.core import events
from midwatch.core.clock import SECOND
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident
from midwatch.core.reasons import Reason, Term
from midwatch.core.scorers import token_f1

RULE = "recurrence/1"
LOOKS_BACK_S = 90 * 86_400
ALIKE = 0.8  # of two questions
SHARED = 0.5  # of the types of alerts of the smaller one


def find(d: Decision, incident: Incident) -> None:
    """Link an incident that hurts to the one that it is again, once."""
    if incident.again or not (incident.slo or incident.urgency == "page"):
        return
    for earlier in _before(d, incident):
        why = _same(incident, earlier)
        if why:
            says = f"{incident.id} is {earlier.id} again: {why}. {left_behind(earlier)}"
            terms: dict[str, Term] = {"of": earlier.id, "why": why}
            d.emit(events.IncidentRecurred(incident.id, earlier.id, Reason(RULE, says, terms)))
            return


def _before(d: Decision, incident: Incident) -> Iterator[Incident]:
    """Give the incidents of the same service that are over, the newest first."""
    since = d.now - LOOKS_BACK_S * SECOND
    for one in reversed(d.shard.incidents.values()):
        if one.opened_at < since:
            return
        over = one.state in ("resolved", "closed") and one.hurt
        if one.id != incident.id and over and one.service_of_plan == incident.service_of_plan:
            yield one


def _same(incident: Incident, earlier: Incident) -> str:
    """Say why two incidents are the same, empty when nothing says so."""
    case = earlier.case if earlier.case_state == "admitted" else None
    if case is not None:
        for failed in incident.failures:
            if failed.question and token_f1(failed.question, case.question) >= ALIKE:
                return f"{failed.question!r} fails, which its case {case.id} asks"
    kinds, before = set(incident.kinds), set(earlier.kinds)
    shared = kinds & before
    if shared and len(shared) >= SHARED * min(len(kinds), len(before)):
        return f"the same alerts, {', '.join(sorted(shared)[:3])}"
    return ""


def left_behind(earlier: Incident) -> str:
    """Say what the earlier one left behind that should have caught it."""
    if earlier.case_state == "admitted" and earlier.case is not None:
        return f"Its case {earlier.case.id} should have caught it: was it in the gate?"
    if earlier.waiver:
        return f"It closed without a case, by a waiver: {earlier.waiver}."
    return "It left no case behind."
