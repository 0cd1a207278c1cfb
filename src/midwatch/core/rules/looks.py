"""A second look at what is covered: whether somebody still has it, or it has to page after all.

Law: what is covered is never dropped. After LOOK_S it pages, unless it is over, or somebody is
paged for or has what covers it and that still fires. A snooze covers what it was given for and
nothing else, however long it lasts. An incident that nobody is paged for is looked at by its own
timer (`escalation`), one that somebody has by the one here.
"""

from __future__ import annotations

from midwatch.core.rules import escalation, growth
from midwatch.core.rules.covers import home_of
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.values.clock import SECOND
from midwatch.core.values.marks import Loud
from midwatch.core.values.reasons import Reason
from midwatch.core.values.teams import Policy

RULE = "looks/1"


def later(d: Decision, incident: Incident) -> None:
    """Look again at what came to an incident that somebody has, and was covered."""
    due_at = d.now + escalation.LOOK_S * SECOND
    d.set_timer(inputs.Timer(f"look/{incident.id}", due_at, "look", incident.id))


def on_timer(d: Decision, rules: Rules, incident: Incident) -> None:
    """Page for what is covered no longer; look again later at what still is."""
    found = home_of(d.shard, incident.id)
    if found is None or found.state != "acknowledged" or found.mark is None:
        return  # whoever is paged for it is told of all of it, and so is whoever takes it
    news = [
        (service, one)
        for service in found.services
        for one in d.shard.loud.get(service, ())
        if one.incident == found.id and one.paged_in and not one.ended_at and one.at > found.mark.at
    ]
    open_now = [(service, one) for service, one in news if not _has(d, found, service, one)]
    if open_now:
        _ring(d, rules, found, open_now)
    elif any(home_of(d.shard, one.paged_in) is not found for _, one in news):
        later(d, found)


def _has(d: Decision, incident: Incident, service: str, one: Loud) -> bool:
    """Say whether somebody has what covers a piece of news."""
    by = home_of(d.shard, one.paged_in)
    if by is incident:
        return not incident.snoozed_until or escalation.is_snoozed(incident, service, one.severity)
    return by is not None and escalation.is_looked_for(d, by, (service,), one.severity)


def _ring(d: Decision, rules: Rules, incident: Incident, news: list[tuple[str, Loud]]) -> None:
    main = _main(rules, incident)
    policies: dict[str, dict[str, None]] = {}
    for service, one in news:
        name = main.name if rules.same_people(main.name, one.policy) else one.policy
        policies.setdefault(name, {})[service] = None
    reasons: dict[str, Reason] = {}
    for name, services in policies.items():
        names = escalation.firing_loudly(d, incident, services)
        says = f"{names} still fires, and nobody has acknowledged what covered it"
        reasons[name] = Reason(RULE, f"{incident.id} grew: {says}")
    for service, one in news:
        reason = next(reasons[name] for name, some in policies.items() if service in some)
        d.emit(
            events.NewsJudged(
                incident=incident.id,
                service=service,
                severity=one.severity,
                pages=True,
                reason=reason,
                told=one.severity,
                policy=one.policy,
                namespace=one.namespace,
                fingerprints=one.fingerprints,
                slo=one.slo,
                own=one.own,
                apart=one.apart,
                names=one.names,
                level=one.level,
                more=one.more,
                said=one.said,
            )
        )
    for name, reason in reasons.items():
        if name == main.name:
            growth.grow(d, main, incident, reason)
        else:
            growth.page_others(d, main, rules.policies.get(name, main), incident, reason)


def _main(rules: Rules, incident: Incident) -> Policy:
    """Find whose an incident is that somebody has: by what they took, not by what came later."""
    known = rules.policies.get(incident.policy)
    if known is None and incident.mark and incident.mark.services:
        return rules.policy_for(incident.mark.services[0], incident.severity or "sev3")
    return known or rules.policy_of(incident)
