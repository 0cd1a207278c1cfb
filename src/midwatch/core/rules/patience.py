"""What an incident waits for when too few events come to say how users are.

Law: nothing waits for ever in silence. Between too few events and none nobody can say that users
are well, nor that they are not: what is waited for is written down when it begins, and whoever has
the incident is told of it once, when it has taken longer than its recovery may.
"""

from __future__ import annotations

from midwatch.core.rules import escalation
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.reasons import Reason
from midwatch.core.values.teams import Policy

RULE = "patience/1"


def begin(d: Decision, incident: Incident, slo_id: str, judged: Reason, deadline_s: int) -> None:
    """Note that an objective has too few events to judge by, once nothing fires any more."""
    terms = judged.terms
    if incident.state not in ("open", "acknowledged") or "min_events" not in terms:
        return
    if incident.firing or incident.unproven or _has_a_deadline(incident):
        return
    window = show_duration(int(terms["window_s"]))
    seen, wanted = terms.get("total", 0), terms["min_events"]
    says = f"waits for {slo_id}: {seen} of {wanted} events in {window}"
    d.emit(
        events.RecoveryAwaited(
            incident=incident.id, slo=slo_id, reason=Reason(RULE, says, dict(terms))
        )
    )
    _look_later(d, incident, deadline_s)


def _has_a_deadline(incident: Incident) -> bool:
    """Say whether a plan is under way, whose own deadline pages."""
    return any(one.is_under_way for one in incident.plans)


def on_timer(d: Decision, policy: Policy, incident: Incident, deadline_s: int) -> None:
    """Tell whoever has it, once; who is being looked for is told by that."""
    if incident.state not in ("open", "acknowledged") or not incident.unproven:
        return
    if incident.unproven_told:
        return
    if incident.snoozed_until:
        _look_later(d, incident, deadline_s)
        return
    waited = show_duration(max(d.now - incident.unproven_since, 0) // SECOND)
    says = f"{incident.id} still {incident.unproven}, {waited} ago; nothing fires"
    reason = Reason(RULE, says, {"deadline_s": deadline_s})
    d.emit(events.WaitTold(incident=incident.id, reason=reason))
    if incident.state == "acknowledged":
        _tell_holder(d, policy, incident, reason)
    elif incident.urgency == "page" and not incident.awaits_ack:
        escalation.page(d, policy, incident, reason)


def _tell_holder(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    holder = incident.acknowledged_by
    pagers = policy.team.pagers(holder)
    if not pagers:
        escalation.page_again(d, policy, incident, reason)
        return
    escalation.withdraw(d, incident, reason)
    escalation.send(d, policy, incident, holder, pagers[0], escalation.REASSIGNED_STEP, reason)
    delay_s = policy.steps[0].delay_s if policy.steps else policy.team.again_s
    escalation.wait_for_ack(d, incident, delay_s)


def _look_later(d: Decision, incident: Incident, deadline_s: int) -> None:
    due_at = d.now + deadline_s * SECOND
    d.set_timer(inputs.Timer(f"waits/{incident.id}", due_at, "waits", incident.id))
