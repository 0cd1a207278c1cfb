"""Whether users are well after a plan, as what it is verified by shows it.

Law: a plan is proven by its own objective where that burned. Users who recover before anything was
changed need no plan; a recovery that is not seen in time pages a human, and the next runbook that
fits is proposed.
"""

from __future__ import annotations

from midwatch.core.rules import (
    consent,
    escalation,
    planning,
    proposing,
    running,
)
from midwatch.core.rules.planning import RULE, Means
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.values.clock import show_duration
from midwatch.core.values.reasons import Reason
from midwatch.core.values.slo import RecoveryVerdict, Verify


def look(
    d: Decision, incident: Incident, slo: str, verdict: RecoveryVerdict, reason: Reason
) -> None:
    """Note how recovery is after a plan that an objective proves, when the answer is another."""
    for run in list(incident.plans):
        proves = slo in incident.proofs_of(run) or not incident.slo
        if run.state == "verifying" and proves and verdict not in ("recovered", run.looks):
            d.emit(
                events.RecoveryJudged(
                    incident=incident.id, verdict=verdict, reason=reason, plan_hash=run.hash
                )
            )


def look_between(
    d: Decision, means: Means, incident: Incident, slo: str, verdict: RecoveryVerdict, why: Reason
) -> None:
    """Note how users are while a plan waits between two steps.

    Who is well before it changed anything needs it no more. Later, load may only be shed: what
    takes that back is done, and nothing else is changed.
    """
    for run in list(incident.plans):
        if run.state != "running" or consent.is_under_way(run):
            continue
        if slo not in incident.proofs_of(run) and incident.slo:
            continue
        well = verdict == "recovered"
        if well != (run.looks == "recovered"):
            d.emit(
                events.RecoveryJudged(
                    incident=incident.id, verdict=verdict, reason=why, plan_hash=run.hash
                )
            )
        if well and not run.has_changed:
            running.halt(d, means, incident, run, consent.over(incident, run), quiet=True)


def on_verify_timer(d: Decision, means: Means, incident: Incident, plan_hash: str = "") -> None:
    """Page when the time for recovery is over and recovery is not confirmed."""
    run = planning.timed(incident, plan_hash)
    if run is None or incident.state not in ("open", "acknowledged") or run.state != "verifying":
        return
    verify = run.plan.verify if run.plan else Verify()
    waited = show_duration(verify.deadline_s)
    says = f"recovery not confirmed {waited} after {run.runbook}"
    if run.looks:
        says += f": {run.looks}"
    reason = Reason(RULE, says, {"deadline_s": verify.deadline_s, "verdict": run.looks})
    d.emit(events.RecoveryMissed(incident=incident.id, reason=reason, plan_hash=run.hash))
    escalation.page_again(d, means.policy, incident, reason)
    proposing.consider(d, means, incident)
