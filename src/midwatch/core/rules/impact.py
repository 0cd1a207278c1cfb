"""How bad an incident is, as far as alerts can tell.

Law: the worst of the new alerts speaks. Where an objective is heard it decides how users are, and
an alert without a severity of its own waits for it; when it falls silent, what waited is judged
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from midwatch.core.rules import escalation, muting, news, proposing, recurrence
from midwatch.core.rules.rules import Rules
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Firing, Incident, title_of
from midwatch.core.state.members import speaking
from midwatch.core.values.alerts import Alert
from midwatch.core.values.marks import KEPT_FINGERPRINTS
from midwatch.core.values.reasons import Reason
from midwatch.core.values.severity import SEVERITIES, Severity, severity_of
from midwatch.core.values.silences import all_fit


def declare(
    d: Decision, rules: Rules, incident: Incident, attached: Sequence[Alert | Firing]
) -> None:
    """Take the worst of the new alerts; those of a service with an objective wait for it.

    What fired before was judged when it came, and a severity only ever rises. Whether a phone rings
    is judged of each, by `news`.
    """
    kinds: dict[tuple[str, str, str], list[Alert | Firing]] = {}
    for alert in attached:
        paged = _always(rules, alert)
        kinds.setdefault((alert.service, alert.level, f"{alert.severity}{paged}"), []).append(alert)
    if not kinds:
        return
    judged = [(*_severity(d, rules, some[0]), some) for some in kinds.values()]
    severity, says, (worst, *_) = min(judged, key=lambda one: one[0])
    was = news.known_of(incident)
    reason = Reason(escalation.RULE, says, {"alerts": len(incident.firing)})

    def ahead() -> None:
        recurrence.find(d, incident)
        if rules.books.runbooks:
            proposing.consider(d, rules.means(incident), incident)

    escalation.rate(
        d,
        rules.policy_of(incident),
        incident,
        severity,
        reason,
        ahead,
        title=title_of(worst.name, worst.service),
        service=worst.service,
        level=worst.level,
    )
    known: dict[int, str] = {}
    if not all(isinstance(alert, Alert) for alert in attached):
        known = {id(fires): name for name, fires in incident.firing.items()}
    items = [_item(rules, known, how_bad, some) for how_bad, _, some in judged]
    news.hear(d, rules, incident, items, was)


def _item(
    rules: Rules, known: Mapping[int, str], severity: Severity, alerts: Sequence[Alert | Firing]
) -> news.Item:
    """Tell of alerts of one service that are as bad; `known` are the fingerprints of what fires."""
    one = alerts[0]
    spaces = (alert.labels.get("namespace", "") for alert in alerts)
    fingerprints = [
        alert.fingerprint if isinstance(alert, Alert) else known[id(alert)] for alert in alerts
    ]
    always = _always(rules, one)
    names = () if one.service else tuple(dict.fromkeys(alert.name for alert in alerts))
    # Nobody else can say what midwatch itself has seen.
    saw = one.summary if one.severity and isinstance(one, Alert) else ""
    return news.Item(
        one.service,
        severity,
        title_of(one.name, one.service),
        one.level,
        next(filter(None, spaces), ""),
        tuple(fingerprints),
        own=bool(one.severity),
        more=len(alerts) - 1,
        saw=saw,
        always=always and not one.severity,
        names=names[:KEPT_FINGERPRINTS],
    )


def declare_alone(d: Decision, rules: Rules, service: str) -> None:
    """Judge again what waited for an objective that says nothing any more."""
    for name in list(d.shard.open):
        incident = d.known(name)
        waiting = [one for one in speaking(incident) if one.service == service]
        if waiting:
            declare(d, rules, incident, waiting)


def _severity(d: Decision, rules: Rules, alert: Alert | Firing) -> tuple[Severity, str]:
    """Say how bad an alert is, and why."""
    if alert.severity:
        says = alert.summary if isinstance(alert, Alert) else alert.name
        return cast("Severity", alert.severity), says
    always = _always(rules, alert)
    if not always and _measured(d, rules, alert.service):
        return "sev4", f"{alert.name} on {alert.service}, whose SLO decides"
    tier = rules.topology.tier(alert.service)
    where = alert.service or "an unknown service"
    silent = "no SLO data" if rules.slo_of(alert.service) else "no SLO"
    if always:
        silent = "it always pages"
    says = f"{alert.level} {alert.name} on {where} (tier {tier}, {silent})"
    severity = severity_of(alert.level, tier, rules.policy.team.table)
    return (_at_least_paging(rules, severity) if always else severity), says


def _always(rules: Rules, alert: Alert | Firing) -> bool:
    """Say whether an alert pages whatever its objective says, and its level."""
    return any(all_fit(one, alert.labels) for one in rules.always_page)


def _at_least_paging(rules: Rules, severity: Severity) -> Severity:
    """Give the mildest severity that pages, unless it is worse already."""
    urgency = rules.policy.team.urgency
    paging: list[Severity] = [one for one in SEVERITIES if urgency[one] == "page"]
    return paging[-1] if paging and severity > paging[-1] else severity


def wakes(d: Decision, rules: Rules, alert: Alert) -> bool:
    """Say whether an alert would wake somebody by itself."""
    severity, _ = _severity(d, rules, alert)
    return rules.policy.team.urgency[severity] == "page"


def is_watched(d: Decision, rules: Rules, incident: Incident) -> bool:
    """Say whether an objective watches it, so that only the SLI knows how users are."""
    burned = any(one in rules.slos for one in incident.slos)  # one may be gone from the config
    return burned or any(_measured(d, rules, one) for one in incident.services)


def _measured(d: Decision, rules: Rules, service: str) -> bool:
    """Say whether an objective of a service is heard: one that is not says nothing of its users."""
    objective = rules.slo_of(service)
    return objective is not None and objective.id in d.shard.heard


def page_if_silent(d: Decision, rules: Rules, incident: Incident, says: str) -> None:
    """Page for an incident that demands a human and that nobody is looked for.

    Where nothing is left of it that would wake anybody, such as when a warning of it comes back
    alone, it is looked at again later.
    """
    if incident.urgency != "page" or incident.state != "open" or incident.awaits_ack:
        return
    if incident.slo or incident.tickets or escalation.fires(d, incident):
        reason = Reason(muting.RULE, says)
        escalation.page(d, rules.policy_of(incident), incident, reason)
    else:
        reason = Reason(muting.RULE, f"{says}, and none of its alerts pages on its own")
        escalation.wait(d, incident, reason, escalation.LOOK_S)
