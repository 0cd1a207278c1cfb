"""What is written down of an incident while it happens, so that it can be told afterwards.

Law: only what no later reading could give: how the objective burned, what it had cost when users
were well again, and what was thought to be the cause. What a person makes of it is taken as it is.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from midwatch.core import causes, events, judgements
from midwatch.core.clock import SECOND
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident
from midwatch.core.inputs import EditPostmortem
from midwatch.core.sli import Counts, SliReading
from midwatch.core.slo import Slo
from midwatch.core.topology import Topology
from midwatch.errors import StateError

SAMPLE_S, LATER_S, MANY = 60, 600, 120  # a burn every minute for two hours, then every ten
MAX_SAMPLES = 400
AFTER_S = 1_800  # of a mitigation, in which the curve is still drawn


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


def sample(d: Decision, incident: Incident, slo: Slo, reading: SliReading) -> None:
    """Write down how an objective burns, now and then, for the curve of its incident."""
    over = incident.mitigated_at and d.now > incident.mitigated_at + AFTER_S * SECOND
    every_s = SAMPLE_S if incident.samples < MANY else LATER_S
    if over or incident.samples >= MAX_SAMPLES:
        return
    too_soon = incident.samples and d.now < incident.sampled_at + every_s * SECOND
    if too_soon or not slo.useful_tiers:
        return
    window_s = slo.useful_tiers[0].short_s
    counts = reading.windows.get(window_s)
    if counts is not None and counts.total:
        burn = float(Fraction(counts.bad, counts.total) / slo.budget)
        d.emit(events.BurnSampled(incident.id, counts, round(burn, 4), window_s))


def draft(
    d: Decision, incident: Incident, topology: Topology, slo: Slo | None, impact: Counts | None
) -> None:
    """Write down what an incident that hurt has cost, once it is mitigated."""
    if not incident.hurt or incident.has_postmortem:
        return
    likely = causes.evident(incident, causes.rank(incident, topology, d.shard.changes))
    spent = None
    if slo is not None and impact is not None:
        spent = round(budget_spent(slo, impact, _lasted_s(d, incident)), 6)
    reports = [d.shard.tickets[name] for name in incident.tickets if name in d.shard.tickets]
    document: dict[str, Any] = {
        "slo": slo.id if slo else None,
        "objective": slo.objective_percent if slo else None,
        "query": _query(slo),
        "bad_events": impact.bad if impact else None,
        "valid_events": impact.total if impact else None,
        "budget_spent": spent,
        "users": sum(one.affected for one in reports) if reports else None,
        "causes": [{"service": one.service, "why": one.why} for one in likely],
    }
    d.emit(events.PostmortemDrafted(incident.id, document))


def _lasted_s(d: Decision, incident: Incident) -> float:
    """Say for how long users are hurt; a start to come was told by a clock that was wrong."""
    return max(d.wall - incident.first_at, 0) / SECOND


def _query(slo: Slo | None) -> str | None:
    """Say by what the events were counted."""
    if slo is None or slo.indicator is None:
        return None
    one = slo.indicator
    parts = {"good": one.good, "bad": one.bad, "total": one.total}
    return "; ".join(f"{name}: {text}" for name, text in parts.items() if text) or one.source


def draft_by_hand(d: Decision, incident: Incident, topology: Topology, slo: Slo | None) -> None:
    """Write the facts down for a person. Raises StateError when there are none, or already."""
    if incident.has_postmortem:
        raise StateError(f"{incident.id} has a postmortem", remedy="midwatch postmortem show")
    if not incident.hurt:
        raise StateError(
            f"{incident.id} paged nobody and spent no budget", remedy="it needs no postmortem"
        )
    if incident.state in ("open", "acknowledged"):
        raise StateError(f"{incident.id} is {incident.state}", remedy="mitigate it first")
    draft(d, incident, topology, slo, None)


def edit(d: Decision, incident: Incident, given: EditPostmortem) -> None:
    """Take what a person makes of it. Raises InputError or StateError."""
    judgement = judgements.checked(given.judgement)
    if not incident.hurt:
        raise StateError(
            f"{incident.id} paged nobody and spent no budget", remedy="it needs no postmortem"
        )
    if judgement != incident.judgement:
        d.emit(events.PostmortemEdited(incident.id, judgement, given.by))
