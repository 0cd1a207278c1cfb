"""What a reading of an objective says: it is heard, it burns, it is held back, it is calm.

Law: a burn joins the incident that the objective has, else the one where an alert of its service
would go; each worse tier is said once, and anew when users were well in between. No data is an
alert of its own and no burn.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import structs

from midwatch.core.rules import (
    correlation,
    escalation,
    impact,
    news,
    proposing,
    recovery,
    recurrence,
    regressions,
)
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, is_open
from midwatch.core.values import budget, slo
from midwatch.core.values.alerts import Alert, Identity, identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import SliReading
from midwatch.core.values.slo import Slo


def hear(d: Decision, rules: Rules, objective: Slo, reading: SliReading) -> Alert | None:
    """Note the first event; give an alert after long silence, and its end with the next event."""
    identity = _silence_of(objective.service, objective.id)
    raised = identity.fingerprint in d.shard.firing
    if slo.has_events(objective, reading):
        if objective.id not in d.shard.heard:
            d.emit(events.SliHeard(slo=objective.id))
        return d.end_of(identity) if raised else None
    why = slo.judge_quiet(objective, reading)
    if why is None or raised:
        return None
    d.emit(events.SliWentSilent(slo=objective.id, reason=why))
    impact.declare_alone(d, rules, objective.service)
    alert = identity.alert("firing", d.wall, summary=why.says)
    return structs.replace(alert, severity=slo.NO_DATA_SEVERITY)


@lru_cache(4_096)  # with every reading it is looked up whether this fires
def _silence_of(service: str, objective: str) -> Identity:
    return identify({"alertname": slo.NO_DATA, "service": service, "slo": objective})


def judge(d: Decision, rules: Rules, objective: Slo, reading: SliReading) -> None:
    """Say when a tier begins to burn, or the last one ends."""
    judged = slo.judge_burn(objective, reading.windows)
    _hold(d, objective, judged.held)
    burning = judged.burning
    before = d.shard.burning.get(objective.id)
    if burning is not None:
        joined = _burning_incident(d, objective)
        if before is None or objective.rank(burning.tier.name) < objective.rank(before.tier):
            _burn(d, rules, objective, burning, reading, joined)
        elif joined is not None and joined.state == "mitigated":
            recovery.reopen(d, rules, objective, joined, reading)
        elif joined is None and _hurts_anew(d, rules, objective, burning, reading):
            _burn(d, rules, objective, burning, reading, None)
        _mark(d, rules, objective, reading)
    elif before is not None and slo.has_data(objective, reading):
        d.emit(events.BudgetCalm(slo=objective.id, incident=before.incident))


def _mark(d: Decision, rules: Rules, objective: Slo, reading: SliReading) -> None:
    """Note where the harm of an objective is to be looked for: in the longest window that burned.

    It never reaches back to before users were last proven well.
    """
    incident = _burning_incident(d, objective)
    if incident is None or incident.state not in ("open", "acknowledged"):
        return
    weighed = slo.weigh(objective, reading.windows)
    long_s = max((one.tier.long_s for one in weighed if one.standing == "fires"), default=0)
    floor = d.shard.proofs.get(objective.id, 0)
    since = max(reading.at - long_s * SECOND, floor)
    known = incident.outages.get(objective.id, ())
    if known and not known[-1].until:
        if since < known[-1].since:
            d.emit(
                events.HarmBegan(
                    incident=incident.id, slo=objective.id, since=since, seen_at=known[-1].seen_at
                )
            )
        return
    if known:  # what burns may be old harm alone
        verify = rules.verify_of(incident, objective.id)
        verdict, _ = slo.judge_recovery(objective, verify, reading, since=known[-1].until)
        if verdict != "burning":
            return
    d.emit(
        events.HarmBegan(incident=incident.id, slo=objective.id, since=since, seen_at=reading.at)
    )


def _hurts_anew(
    d: Decision, rules: Rules, objective: Slo, burning: slo.Burning, reading: SliReading
) -> bool:
    """Say whether users are hurt anew, though the incident of the burn is over.

    Long windows burn on for hours with old harm, so what counts is what came since users were well.
    """
    owner = d.known(d.shard.burning[objective.id].incident)
    while owner.merged_into:
        owner = d.known(owner.merged_into)
    if is_open(owner):
        return False
    verify, since = rules.verify_of(owner, objective.id), owner.mitigated_at
    return slo.burns_since(objective, burning.tier, verify, reading, since=since)


def _hold(d: Decision, objective: Slo, held: slo.Burning | None) -> None:
    """Keep in mind what is held back for want of proof, so that people can see it."""
    before = d.shard.held.get(objective.id)
    if held is None:
        if before is not None:
            d.emit(events.HoldEnded(slo=objective.id))
    elif before != held.tier.name:
        why = slo.reason(objective, held, held=True)
        d.emit(
            events.BurnHeldBack(
                slo=objective.id,
                service=objective.service,
                tier=held.tier.name,
                counts=held.long,
                reason=why,
            )
        )


def _burning_incident(d: Decision, objective: Slo) -> Incident | None:
    """Find the open incident that this objective has joined already."""
    incidents = (d.shard.incidents[i] for i in d.shard.open)
    return next((i for i in incidents if objective.id in i.slos), None)


def _burn(
    d: Decision,
    rules: Rules,
    objective: Slo,
    burning: slo.Burning,
    reading: SliReading,
    joined: Incident | None,
) -> None:
    burn = slo.burn_rate(burning.short, objective.budget)
    gone = budget.says(objective, burn, reading.period, reading.seen_s)
    incident, why_burning = joined, slo.reason(objective, burning, budget=gone)
    title = f"{objective.id}: {why_burning.says}"
    if incident is None:
        places = rules.places(d.shard)
        incident, why = correlation.place_burn(d, places, objective.service, title)
        d.emit(
            events.BurnAttached(
                incident=incident.id,
                slo=objective.id,
                service=objective.service,
                counts=burning.short,
                reason=why,
            )
        )
    d.emit(
        events.BudgetBurning(
            slo=objective.id,
            service=objective.service,
            incident=incident.id,
            tier=burning.tier.name,
            burn=float(burn or 0),
            counts=burning.short,
            failures=reading.failures,
            reason=why_burning,
        )
    )
    if incident.state == "mitigated":
        recovery.reopen(d, rules, objective, incident, reading)
    regressions.draft(d, incident)
    recurrence.find(d, incident)

    def ahead() -> None:
        proposing.consider(d, rules.means(incident), incident)

    was = news.known_of(incident)
    severity = burning.tier.severity
    escalation.rate(
        d,
        rules.policy_of(incident),
        incident,
        severity,
        why_burning,
        ahead,
        title=title,
        service=objective.service,
        level=severity,
    )
    item = news.Item(objective.service, severity, title, severity, slo=objective.id)
    news.hear(d, rules, incident, (item,), was)
    ahead()  # also when it was as bad before
