"""When users are well again, and when harm and cause are gone.

Law: where an objective is heard, its SLI and nothing else says that users are well. Without one,
every alert explicitly resolved is the only sign; that nothing comes is none. A person may say it,
except against an SLI.
"""

from __future__ import annotations

from msgspec import structs

from midwatch.core.rules import (
    approving,
    closure,
    consent,
    drafts,
    escalation,
    impact,
    news,
    patience,
    proposing,
    proving,
    regressions,
)
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import BY_PERSON, Incident, distinct_alerts
from midwatch.core.state.members import speaking
from midwatch.core.state.releases import name_of
from midwatch.core.values import slo
from midwatch.core.values.clock import SECOND
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import SliReading
from midwatch.core.values.slo import Slo
from midwatch.core.values.windows import AGAIN_S
from midwatch.errors import StateError

RULE_NO_SLI = "recovery.no-sli/1"
RULE_PERSON = BY_PERSON
RULE_CLOCK = "recovery.clock/1"
SETTLE_S = 600


def judge(
    d: Decision, rules: Rules, objective: Slo, incident: Incident, reading: SliReading
) -> None:
    """Ask the SLI, and nothing else, whether users are well."""
    if incident.promotion:
        return
    acted_at = max(incident.acted_for(objective.id), incident.promoted_at)
    if not acted_at and not incident.slo and (incident.firing or not incident.alert_count):
        return  # alerts that fire, or people who complain: an objective that is well proves nothing
    since = _proven_after(d, incident, objective.id)
    verify = rules.verify_of(incident, objective.id)
    verdict, reason = slo.judge_recovery(objective, verify, reading, since=since)
    if verdict == "inconclusive":
        patience.begin(d, incident, objective.id, reason, verify.deadline_s)
    means = rules.means(incident)
    proving.look_between(d, means, incident, objective.id, verdict, reason)
    if _is_changing(incident, objective.id):
        return  # nobody is well as long as something may still be shed or half done
    proving.look(d, incident, objective.id, verdict, reason)
    if not _are_all_well(d, rules, incident, objective, verdict, reason, since) or any(
        one.runs and one.state != "waiting" for one in incident.plans
    ):
        if verdict == "recovered":
            approving.on_well(d, means, incident, reason)
        return
    if incident.state in ("open", "acknowledged"):
        _mitigated(d, rules, incident, reason, reading)
    elif incident.state == "mitigated" and incident.promoted_at and incident.gate == "pass":
        _resolve(d, rules, incident, Reason(reason.rule, f"{incident.fix} is live, {reason.says}"))


def _is_changing(incident: Incident, slo: str) -> bool:
    """Say whether a plan runs that an objective proves."""
    return any(
        (one.state == "running" or one.operation)
        and (slo in incident.proofs_of(one) or not incident.slo)
        for one in incident.plans
    )


def _are_all_well(
    d: Decision,
    rules: Rules,
    incident: Incident,
    objective: Slo,
    verdict: slo.RecoveryVerdict,
    reason: Reason,
    since: int,
) -> bool:
    """Note what one of several objectives says; True when none of them says otherwise."""
    well = verdict == "recovered"
    others = [one for one in incident.slos if one != objective.id and one in rules.slos]
    seen_at = incident.slos.get(objective.id)
    if others and seen_at is not None:
        changed = seen_at <= since if well else seen_at > 0 and verdict == "burning"
        if changed:
            d.emit(
                events.ObjectiveJudged(
                    incident=incident.id, slo=objective.id, verdict=verdict, reason=reason
                )
            )
    return well and all(incident.slos[one] > _proven_after(d, incident, one) for one in others)


def _proven_after(d: Decision, incident: Incident, slo: str) -> int:
    """Say since when an objective has to be well: since something was done for it."""
    acted_at = max(incident.acted_for(slo), incident.promoted_at)
    # Readings are stamped in the journal's time; when an alert came last is a date.
    return acted_at or incident.last_at + d.shard.skew


def recover_without_sli(d: Decision, rules: Rules, incident: Incident) -> None:
    """Without an objective, every alert explicitly resolved is the only sign of recovery."""
    if incident.firing or not incident.alert_count or impact.is_watched(d, rules, incident):
        return
    if incident.state not in ("open", "acknowledged"):
        return
    alerts = distinct_alerts(incident)
    which = "its one alert" if alerts == 1 else f"all {alerts} alerts"
    says = f"no SLI: {which} resolved"
    _mitigated(d, rules, incident, Reason(RULE_NO_SLI, says, {"alerts": alerts}))


def recover_clock(d: Decision, rules: Rules, incident: Incident) -> None:
    """End the harm of a jump of our own clock, which is right again."""
    _mitigated(d, rules, incident, Reason(RULE_CLOCK, "the clock is as it was before"))


def _mitigated(
    d: Decision,
    rules: Rules,
    incident: Incident,
    reason: Reason,
    reading: SliReading | None = None,
    *,
    keeps: bool = True,
) -> None:
    """Note that users are well; `keeps` what is to be taken back, unless it is resolved at once."""
    after = reading.windows.get(rules.verify_of(incident).window_s) if reading else None
    no_case = ""
    if not rules.always_case:
        no_case = closure.no_case(incident, rules.suites, d.shard.pointers)
    d.emit(
        events.IncidentMitigated(
            incident=incident.id, reason=reason, before=incident.worst, after=after, no_case=no_case
        )
    )
    escalation.silence(d, incident)
    says = f"{incident.id} is {'mitigated' if keeps else 'resolved'}"
    approving.end(d, rules.means(incident), incident, says, keeps=keeps)
    objective = rules.slos.get(reading.slo) if reading else None
    if reading is not None and objective is not None:
        drafts.measure(d, incident, objective, reading)
    drafts.draft(d, incident, rules)
    regressions.try_both_sides(d, incident)
    if incident.cause_gone and not incident.promoted_at:
        key = f"settle/{incident.id}"
        d.set_timer(inputs.Timer(key, d.now + SETTLE_S * SECOND, "settle", incident.id))


def reopen(
    d: Decision, rules: Rules, objective: Slo, incident: Incident, reading: SliReading
) -> None:
    """Open a mitigated incident again when users are hurt anew, not when old harm still counts."""
    verify = rules.verify_of(incident, objective.id)
    verdict, reason = slo.judge_recovery(objective, verify, reading, since=incident.mitigated_at)
    if verdict == "burning":
        d.emit(events.IncidentReopened(incident=incident.id, reason=reason))
        proposing.ask_again(d, incident)
        drafts.draft(d, incident, rules)
        d.cancel_timer(f"settle/{incident.id}")
        if incident.urgency == "page":
            escalation.page(d, rules.policy_of(incident), incident, reason)
        proposing.consider(d, rules.means(incident), incident)


def reopen_without_sli(
    d: Decision, rules: Rules, incident: Incident, *, asks: bool = False
) -> None:
    """Without an objective, an alert that fires again says that the mitigation did not hold.

    `asks` when somebody was still looked for, for what was merged into it.
    """
    if incident.state != "mitigated" or impact.is_watched(d, rules, incident):
        return
    names = ", ".join(dict.fromkeys(one.name for one in speaking(incident)))
    if not names:
        return
    reason = Reason(RULE_NO_SLI, f"no SLI: {names} fires again", {"firing": len(incident.firing)})
    d.emit(events.IncidentReopened(incident=incident.id, reason=reason))
    proposing.ask_again(d, incident)
    drafts.draft(d, incident, rules)
    d.cancel_timer(f"settle/{incident.id}")
    news.reopened(d, rules, incident, reason, asks=asks)


def _resolve(d: Decision, rules: Rules, incident: Incident, reason: Reason) -> None:
    approving.end(d, rules.means(incident), incident, f"{incident.id} is resolved")
    d.emit(events.IncidentResolved(incident=incident.id, reason=reason))
    drafts.draft(d, incident, rules)
    escalation.tell(d, rules.policy.team, incident, "resolved", reason.says)
    if incident.promoted_at:
        d.emit(events.ReleaseProven(service=incident.service_of_plan, release=incident.fix))
    if closure.is_plain(incident):
        # The very alert may come back, and a person may want to write down more.
        key = f"settle/{incident.id}"
        d.set_timer(inputs.Timer(key, d.now + AGAIN_S * SECOND, "settle", incident.id))
    else:
        closure.close_if_done(d, incident)


def resolve_by_person(
    d: Decision, rules: Rules, incident: Incident, given: inputs.ResolveIncident
) -> None:
    """Take a person's word, except for what an objective measures: there only the SLI knows."""
    if incident.state not in ("open", "acknowledged", "mitigated"):
        raise StateError(f"{incident.id} is {incident.state}", remedy="no action is needed")
    doing = [one for one in incident.plans if consent.is_under_way(one)]
    if doing or incident.promotion:
        under_way = name_of(incident.promotion or doing[0].operation)
        remedy = "wait until it ends"
        if doing and doing[0].state == "running":
            remedy += f", or stop it before its next step: midwatch runbook stop {incident.id}"
        raise StateError(f"{incident.id} has {under_way} under way", remedy=remedy)
    reason = Reason(RULE_PERSON, f"{given.by}: {given.why}", {"by": given.by})
    if incident.state != "mitigated":
        if impact.is_watched(d, rules, incident):
            raise StateError(
                f"the SLI of {incident.id} has not recovered yet",
                remedy="mitigate it first; recovery is judged by the SLI",
            )
        if incident.firing:
            d.emit(events.AlertsResolved(incident=incident.id, fingerprints=tuple(incident.firing)))
        says = f"no SLI: {reason.says}"
        _mitigated(d, rules, incident, Reason(RULE_PERSON, says, reason.terms), keeps=False)
    d.cancel_timer(f"settle/{incident.id}")
    _resolve(d, rules, incident, reason)


def on_settle_timer(d: Decision, rules: Rules, incident: Incident, timer: inputs.Timer) -> None:
    """Resolve what held for its time; alerts that still fire, and a step under way, come first."""
    if incident.state == "resolved":
        closure.close_if_done(d, incident)
    if incident.state != "mitigated" or not incident.cause_gone:
        return
    if incident.firing or any(map(consent.is_under_way, incident.plans)):
        d.set_timer(structs.replace(timer, due_at=d.now + SETTLE_S * SECOND))
    else:
        _resolve(d, rules, incident, Reason(RULE_NO_SLI, f"{incident.recovery}, and it held"))
