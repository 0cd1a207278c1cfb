"""What follows from a wall clock that has jumped: somebody is paged, until it is right again.

Law: a jump pages by itself, also one that is put right before anybody looks; while the page of an
earlier one waits for its answer, a further jump adds none.
"""

from __future__ import annotations

from midwatch.core.rules import escalation, growth, jumps, recovery
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.values.skews import JUMP_MS


def see(d: Decision, rules: Rules, given: inputs.ClockSeen) -> bool:
    """Note how the clocks stand; True when the wall clock is another one from now on."""
    jump = jumps.see(d, given)
    if jump is None:
        return False
    incident = d.incident(jump.incident)
    if incident is not None and abs(jump.by_ms) >= JUMP_MS:
        _tell(d, rules, jump, incident)
    return True


def _tell(d: Decision, rules: Rules, jump: events.ClockJumped, incident: Incident) -> None:
    reason = jumps.advised(jump.reason)
    policy = rules.policy_of(incident)
    if incident.severity is None:
        growth.declare(
            d,
            policy,
            incident,
            jumps.SEVERITY,
            reason,
            title=incident.title,
            service=incident.service,
        )
        if not incident.awaits_ack:  # wherever such incidents are tickets
            escalation.page(d, policy, incident, reason)
    elif jump.right:
        end(d, rules, incident)
    elif incident.state == "acknowledged":
        escalation.page_again(d, policy, incident, reason)


def end(d: Decision, rules: Rules, incident: Incident) -> None:
    """End what tells of a jump, once the clock is right again and somebody has it."""
    over = incident.id == d.shard.clock_incident and d.shard.clock_right
    if over and incident.state == "acknowledged":
        recovery.recover_clock(d, rules, incident)
