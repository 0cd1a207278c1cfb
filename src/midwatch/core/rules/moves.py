"""What a person says about incidents themselves: two are one, one is two, and back.

Law: explicit, recorded and reversible. Alerts that fire go over with all that they count for; what
an objective burns in, or a plan acts on, stays where it is. What nobody has answered is asked on
there (`news.merged`), and again in each when a merge is undone. Undo takes back the last one alone.
"""

from __future__ import annotations

from midwatch.core.rules import correlation, escalation, proposing
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, is_open, title_of
from midwatch.core.values.reasons import Reason
from midwatch.core.values.teams import Policy
from midwatch.errors import StateError

RULE = "moves/1"


def merge(d: Decision, policy: Policy, old: Incident, into: Incident, by: str) -> None:
    """Let one incident go on as part of another. Raises StateError."""
    if old is into:
        raise StateError(f"{old.id} cannot be merged into itself", remedy="choose another incident")
    for one in (old, into):
        _must_be_open(one)
    if old.slo:
        remedy = f"merge the other way: midwatch incidents merge {into.id} {old.id}"
        raise StateError(f"{old.id} has a burning SLO, {old.slo}", remedy=remedy)
    if _acts(old):
        raise StateError(f"{old.id} has a mitigation under way", remedy="merge the other way")
    reason = Reason(RULE, f"{by}: {old.id} is the same as {into.id}", {"by": by})
    fingerprints = tuple(old.firing)
    _stop(d, old)
    proposing.take_away(d, old, f"{old.id} is part of {into.id}")
    d.emit(
        events.AlertsMoved(
            incident=old.id, to=into.id, fingerprints=fingerprints, reason=reason, kind="merge"
        )
    )
    _go_over(d, old, into, by, reason)
    if old.severity is not None:
        # Whoever merges them knows both: that wakes nobody who has the other one already.
        rated = escalation.rate(
            d,
            policy,
            into,
            old.severity,
            reason,
            title=old.title,
            service=old.speaks_of,
            level=old.level,
        )
        if rated and into.urgency == "page" and into.state == "open" and not into.awaits_ack:
            escalation.page(d, policy, into, reason)


def split(d: Decision, incident: Incident, given: inputs.SplitIncident) -> tuple[Incident, Reason]:
    """Make an incident of its own out of some alerts; gives it. Raises StateError."""
    _must_be_open(incident)
    unknown = [one for one in given.services if one not in incident.troubles]
    unknown += [one for one in given.fingerprints if one not in incident.firing]
    if unknown:
        known = ", ".join(incident.troubles)
        remedy = f"its services are {known}" if known else "it has no firing alerts"
        raise StateError(f"{incident.id} has no {unknown[0]!r}", remedy=remedy)
    chosen = [
        fingerprint
        for fingerprint, one in incident.firing.items()
        if one.service in given.services or fingerprint in given.fingerprints
    ]
    if not chosen:
        raise StateError("no firing alert was selected", remedy="name a service or an alert")
    if len(chosen) == len(incident.firing):
        raise StateError(
            f"these are all firing alerts of {incident.id}", remedy="select only some of them"
        )
    first = min((incident.firing[one] for one in chosen), key=lambda one: one.starts_at)
    says = f"{given.by}: {len(chosen)} alerts of {incident.id} are another problem"
    reason = Reason(RULE, says, {"by": given.by, "alerts": len(chosen)})
    symptom = correlation.Symptom(first.service, incident.namespace, first.starts_at)
    title = title_of(first.name, first.service)
    new = correlation.open_incident(d, symptom, title, reason)
    d.emit(
        events.AlertsMoved(
            incident=incident.id, to=new.id, fingerprints=tuple(chosen), reason=reason, kind="split"
        )
    )
    return new, reason


def undo(d: Decision, incident: Incident, by: str) -> tuple[Incident, Reason]:
    """Take back the last merge or split; gives the incident that has its alerts again."""
    last = incident.last_move
    if last is None:
        raise StateError(
            f"{incident.id} was neither merged nor split",
            remedy=f"see midwatch incidents show {incident.id}",
        )
    for name in (last.old, last.new):
        if (one := d.incident(name)) is None or one.state == "closed":
            raise StateError(f"{name} is closed", remedy="a closed incident cannot be changed")
    old, new = d.known(last.old), d.known(last.new)
    # What came to a part since is of the whole, too; but not what another one's burn is made of.
    whole = last.kind == "split" and is_open(new) and not (new.slo or _acts(new))
    back = tuple(one for one in new.firing if whole or one in last.fingerprints)
    reason = Reason(RULE, f"{by}: the {last.kind} is undone", {"by": by})
    if last.kind == "merge":
        d.emit(events.MergeUndone(incident=old.id, by=by, reason=reason))
    else:
        _must_be_open(old)
    if whole:
        _stop(d, new)
        proposing.take_away(d, new, f"{new.id} is part of {old.id}")
    d.emit(
        events.AlertsMoved(
            incident=new.id, to=old.id, fingerprints=back, reason=reason, kind="undo"
        )
    )
    if whole:
        _go_over(d, new, old, by, reason)
    return old, reason


def _acts(incident: Incident) -> bool:
    """Say whether something was done for it, which stays where it is."""
    return bool(incident.operation or incident.rollbacks or incident.fix or incident.runs)


def _stop(d: Decision, incident: Incident) -> None:
    escalation.silence(d, incident)
    for purpose in ("settle", "verify"):
        d.cancel_timer(f"{purpose}/{incident.id}")


def _go_over(d: Decision, old: Incident, into: Incident, by: str, reason: Reason) -> None:
    d.emit(events.IncidentMerged(incident=old.id, into=into.id, by=by, reason=reason))
    for ticket in old.tickets:
        d.emit(events.TicketLinked(incident=into.id, ticket=ticket, reason=reason))


def _must_be_open(incident: Incident) -> None:
    if not is_open(incident):
        raise StateError(
            f"{incident.id} is {incident.state}", remedy="only open incidents can be changed"
        )
