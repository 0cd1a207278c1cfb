"""How bad an incident is, as far as alerts can tell.

Law: the worst of the new alerts speaks. Where an objective is heard it decides how users are, and
an alert without a severity of its own waits for it; when it falls silent, what waited is judged
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from midwatch.core import escalation, muting, recurrence, runbooks
from midwatch.core.alerts import Alert
from midwatch.core.decision import Decision
from midwatch.core.incidents import Firing, Incident, speaking, title_of
from midwatch.core.reasons import Reason
from midwatch.core.rules import Rules
from midwatch.core.severity import Severity, severity_of


def declare(
    d: Decision, rules: Rules, incident: Incident, attached: Sequence[Alert | Firing]
) -> None:
    """Take the worst of the new alerts; those of a service with an objective wait for it.

    What fired before was judged when it came, and a severity only ever rises.
    """
    kinds: dict[tuple[str, str, str], Alert | Firing] = {}
    for alert in attached:
        kinds.setdefault((alert.service, alert.level, alert.severity), alert)
    if kinds:
        judged = [(*_severity(d, rules, alert), alert) for alert in kinds.values()]
        severity, says, worst = min(judged, key=lambda one: one[0])
        reason = Reason(escalation.RULE, says, {"alerts": len(incident.firing)})

        def ahead() -> None:
            recurrence.find(d, incident)
            if rules.books.runbooks:
                runbooks.consider(d, rules.means(incident), incident)

        escalation.declare(
            d, rules.policy_of(incident), incident, severity, reason, ahead,
            title=title_of(worst.name, worst.service), service=worst.service,
        )  # fmt: skip


def declare_alone(d: Decision, rules: Rules, service: str) -> None:
    """Judge again what waited for an objective that says nothing any more."""
    for name in list(d.shard.open):
        incident = d.known(name)
        waiting = [one for one in speaking(incident) if one.service == service]
        if waiting:
            tier = rules.topology.tier(service)
            worst = min(
                waiting, key=lambda one: severity_of(one.level, tier, rules.policy.team.table)
            )
            severity = severity_of(worst.level, tier, rules.policy.team.table)
            says = f"{worst.level} {worst.name} on {service} (tier {tier}, its SLO is silent)"
            reason = Reason(escalation.RULE, says, {"alerts": len(incident.firing)})
            escalation.declare(
                d, rules.policy_of(incident), incident, severity, reason,
                title=title_of(worst.name, service), service=service,
            )  # fmt: skip


def _severity(d: Decision, rules: Rules, alert: Alert | Firing) -> tuple[Severity, str]:
    """Say how bad an alert is, and why."""
    if alert.severity:
        says = alert.summary if isinstance(alert, Alert) else alert.name
        return cast("Severity", alert.severity), says
    if _measured(d, rules, alert.service):
        return "sev4", f"{alert.name} on {alert.service}, whose objective decides"
    tier = rules.topology.tier(alert.service)
    where = alert.service or "an unknown service"
    silent = "its SLO is silent" if rules.slo_of(alert.service) else "no SLO"
    says = f"{alert.level} {alert.name} on {where} (tier {tier}, {silent})"
    return severity_of(alert.level, tier, rules.policy.team.table), says


def is_watched(d: Decision, rules: Rules, incident: Incident) -> bool:
    """Say whether an objective watches it, so that only the SLI knows how users are."""
    burned = any(one in rules.slos for one in incident.slos)  # one may be gone from the config
    return burned or any(_measured(d, rules, one) for one in incident.services)


def _measured(d: Decision, rules: Rules, service: str) -> bool:
    """Say whether an objective of a service is heard: one that is not says nothing of its users."""
    objective = rules.slo_of(service)
    return objective is not None and objective.id in d.shard.heard


def page_if_silent(d: Decision, rules: Rules, incident: Incident, says: str) -> None:
    """Page for an incident that demands a human and that nobody is looked for."""
    if incident.urgency == "page" and incident.state == "open" and not incident.awaits_ack:
        reason = Reason(muting.RULE, says)
        escalation.page(d, rules.policy_of(incident), incident, reason)
