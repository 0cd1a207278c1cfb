"""Whether an incident is an earlier one again, whose lesson should have kept it away.

Law: it is the same when the very question of the earlier one's case fails again, or when most of
its alerts are those of the earlier one on the same service. That is said loudly, with what the
earlier one left behind. An incident that merely comes after another one of its service is linked,
and no more is claimed.
"""

from __future__ import annotations

from midwatch.core.state import events, past
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.past import Lesson
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.scorers import token_f1

RULE = "recurrence/1"
ALIKE = 0.8  # of two questions
SHARED = 0.5  # of the types of alerts of the smaller one


def find(d: Decision, incident: Incident) -> None:
    """Link an incident that hurts to the one that it is again, once."""
    if incident.again or not (incident.slo or incident.urgency == "page"):
        return
    for earlier in past.before(d.shard.past, incident.service_of_plan, d.now):
        why = _same(incident, earlier)
        if why:
            name = earlier.incident
            says = f"{incident.id} is {name} again: {why}. {left_behind(earlier)}"
            terms: dict[str, Term] = {"of": name, "why": why}
            d.emit(
                events.IncidentRecurred(
                    incident=incident.id, of=name, reason=Reason(RULE, says, terms)
                )
            )
            return


def _same(incident: Incident, earlier: Lesson) -> str:
    """Say why two incidents are the same, empty when nothing says so."""
    if earlier.case:
        for failed in incident.failures:
            if failed.question and token_f1(failed.question, earlier.question) >= ALIKE:
                return f"{failed.question!r} fails, which its case {earlier.case} asks"
    kinds, before = set(incident.kinds), set(earlier.kinds)
    shared = kinds & before
    if shared and len(shared) >= SHARED * min(len(kinds), len(before)):
        return f"the same alerts, {', '.join(sorted(shared)[:3])}"
    return ""


def left_behind(earlier: Lesson) -> str:
    """Say what the earlier one left behind that should have caught it."""
    if earlier.case:
        return f"Its case {earlier.case} should have caught it: was it in the gate?"
    if earlier.waiver:
        return f"It closed without a case, by a waiver: {earlier.waiver}."
    return "It left no case behind."
