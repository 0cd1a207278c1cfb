"""What an incident leaves behind: the document, and whether it may close.

Law: one that was paged or spent error budget closes with a postmortem and an admitted case, or
with a waiver; others close with a recorded reason. The document holds facts out of the incident's
own events, in numbers; judgement is a person's and is not made up here.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from midwatch.core import causes, events
from midwatch.core.causes import Cause
from midwatch.core.clock import SECOND, show_time
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident
from midwatch.core.reasons import Reason
from midwatch.core.sli import Counts
from midwatch.core.slo import Slo
from midwatch.core.topology import Topology

RULE = "closure/1"


def budget_spent(slo: Slo, counts: Counts, duration_s: float) -> float:
    """Give the share of a period's error budget that these events spent.

    The period's traffic is taken to be as dense as the incident's.

    >>> slo = Slo("s/x", "s", "0.99", period_s=1000)
    >>> budget_spent(slo, Counts(80, 100), 100)
    2.0
    """
    if not counts.total:
        return 0.0
    burn = Fraction(counts.bad, counts.total) / slo.budget
    return float(burn * Fraction(duration_s) / slo.period_s)


def document(
    incident: Incident, likely: Sequence[Cause], slo: Slo | None, impact: Counts | None, now: int
) -> dict[str, Any]:
    """Write the facts down; times in UTC, durations in seconds, None for what did not happen."""
    started = incident.first_at
    detected = incident.burned_at or incident.opened_at

    def since_start(at: int) -> float | None:
        return (at - started) / SECOND if at else None

    def shown(at: int) -> str | None:
        return show_time(at) if at else None

    spent = None
    if slo is not None and impact is not None:
        spent = round(budget_spent(slo, impact, (now - started) / SECOND), 6)
    return {
        "summary": incident.title,
        "severity": incident.severity,
        "started_at": shown(started),
        "detected_at": shown(detected),
        "acknowledged_at": shown(incident.acknowledged_at),
        "mitigated_at": shown(incident.mitigated_at),
        "to_detect_s": since_start(detected),
        "to_acknowledge_s": since_start(incident.acknowledged_at),
        "to_mitigate_s": since_start(incident.mitigated_at),
        "slo": slo.id if slo else None,
        "bad_events": impact.bad if impact else None,
        "valid_events": impact.total if impact else None,
        "budget_spent": spent,
        "alerts": incident.alert_count,
        "tickets": list(incident.tickets),
        "causes": [cause.service for cause in likely],
        "causes_why": [f"{cause.service}: {cause.why}" for cause in likely],
        "change": incident.bad_release or None,
        "rolled_back_to": incident.good_release or None,
        "recovery": incident.recovery,
        "recurrence_of": incident.recurrence_of or None,
        "action_items": [],
    }


def write(
    d: Decision, incident: Incident, topology: Topology, slo: Slo | None, impact: Counts | None
) -> None:
    """Draft the document of an incident that hurt, once."""
    if incident.hurt and not incident.has_postmortem:
        likely = causes.rank(incident, topology, d.shard.habits, d.shard.changes)
        text = document(incident, likely, slo, impact, d.now)
        d.emit(events.PostmortemDrafted(incident.id, text))


def missing(incident: Incident) -> list[str]:
    """List what still stands between a resolved incident and closed.

    >>> missing(Incident("INC-1", "shop", "", "slow", 0, slo="shop/answers"))
    ['a postmortem', 'a proven regression case or a waiver']
    """
    if not incident.hurt:
        return []
    lacks: list[str] = []
    if not incident.has_postmortem:
        lacks.append("a postmortem")
    if incident.case_state != "admitted" and not incident.waiver:
        lacks.append("a proven regression case or a waiver")
    if incident.fix_state == "promoted" and incident.gate != "pass":
        lacks.append("a gate that passes")
    return lacks


def close(d: Decision, incident: Incident) -> None:
    """Close a resolved incident when nothing is missing."""
    if incident.state != "resolved" or missing(incident):
        return
    if not incident.hurt:
        says = "nobody was paged and no budget was spent"
    elif incident.case_state == "admitted" and incident.case:
        says = f"postmortem and {incident.case.id}"
    else:
        says = f"waiver: {incident.waiver}"
    d.emit(events.IncidentClosed(incident.id, Reason(RULE, says)))
