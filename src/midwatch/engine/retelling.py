"""The postmortem of an incident, written anew each time out of the journal.

Law: read only. What is told are the events that are about the incident, its objective's burn, and
the changes of its services; nothing is remembered beside them.
"""

from __future__ import annotations

from msgspec import structs

from midwatch.core.rules.carried_out import Fact
from midwatch.core.rules.postmortem_writer import CHANGE_S, part_of, write
from midwatch.core.state import events as e
from midwatch.core.state.incidents import Incident, began, lacks
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND
from midwatch.core.values.postmortems import Postmortem
from midwatch.core.values.skews import Skews
from midwatch.engine import archive, queries
from midwatch.ports import Archive, Audit

LATE_S = 3_600
_LATE = {one.__name__ for one in (e.TicketTriaged, e.AlertsAttached, e.IncidentRecurred)}


def subject(shard: Shard, records: Archive, name: str) -> tuple[Incident, int] | None:
    """Take an incident as it is now, to be told elsewhere, and the shard's time."""
    incident = archive.find(shard, records, name)
    return taken(shard, incident) if incident is not None else None


def taken(shard: Shard, incident: Incident) -> tuple[Incident, int]:
    """Copy an incident as it is now, with the shard's time."""
    return structs.replace(incident, services=dict(incident.services)), shard.at


def retell(incident: Incident, at: int, audit: Audit) -> Postmortem:
    """Write the postmortem of an incident as it stood `at` a time of the journal (milliseconds)."""
    skews = queries.skews_of(audit)
    missing = [] if incident.state == "closed" else lacks(incident, at - skews.now)
    told = structs.replace(
        incident,
        opened_at=skews.shown(incident.opened_at),
        mitigated_at=skews.shown(incident.mitigated_at) if incident.mitigated_at else 0,
    )
    return write(told, _facts(audit, told, skews), missing)


def _facts(audit: Audit, incident: Incident, skews: Skews) -> list[Fact]:
    """Gather what is about an incident, in the order of the journal."""
    streams = [f"incident/{incident.id}"]
    streams += [f"slo/{slo}" for slo in incident.slos]
    streams += [f"change/{service}" for service in incident.services if service]
    found = [fact for stream in streams for fact in _of(audit, stream, skews)]
    for part in incident.parts:
        found += part_of(_of(audit, f"incident/{part}", skews))
    found = [one for one in found if _is_about(one, incident)]
    if incident.state == "closed":
        found += _late(audit, incident, found, skews)
    return sorted(found, key=lambda one: one.seq)


def _late(audit: Audit, incident: Incident, found: list[Fact], skews: Skews) -> list[Fact]:
    """Gather what came within an hour after it was closed, and belongs to another incident.

    Reports of its services, alerts that began before it was closed, and that it came again.
    """
    closed = next((one for one in found if isinstance(one.event, e.IncidentClosed)), None)
    if closed is None:
        return []
    own = {incident.id, *incident.parts}
    alerts = {
        one.alert.fingerprint
        for fact in found
        if isinstance(fact.event, e.AlertsAttached)
        for one in fact.event.attached
    }
    late: list[Fact] = []
    first, last = skews.around(closed.at, closed.at + LATE_S * SECOND)
    for row in audit.since(first):
        if row.at >= last:
            break
        if row.seq <= closed.seq or row.type not in _LATE:
            continue
        event = queries.event_of(row)
        match event:
            case e.TicketTriaged():
                says_the_same = event.duplicate_of in incident.tickets
                about = says_the_same or event.service in incident.services
                if event.incident not in own and event.service and about:
                    late.append(Fact(row.seq, skews.shown(row.at), event))
            case e.AlertsAttached() if event.incident not in own:
                old = [
                    one
                    for one in event.attached
                    if one.alert.fingerprint in alerts and one.alert.starts_at <= closed.at
                ]
                if old:
                    kept = structs.replace(event, attached=tuple(old))
                    late.append(Fact(row.seq, skews.shown(row.at), kept))
            case e.IncidentRecurred() if event.of == incident.id:
                late.append(Fact(row.seq, skews.shown(row.at), event))
            case _:
                pass
    return late


def _of(audit: Audit, stream: str, skews: Skews) -> list[Fact]:
    return [
        Fact(row.seq, skews.shown(row.at), queries.event_of(row)) for row, _ in audit.rows(stream)
    ]


def _is_about(fact: Fact, incident: Incident) -> bool:
    event = fact.event
    if isinstance(event, e.IncidentEvent):
        return True
    if isinstance(event, e.ChangeSeen):
        since = began(incident) - CHANGE_S * SECOND
        until = incident.mitigated_at or fact.at
        return since <= event.change.at <= until
    return getattr(event, "incident", "") == incident.id
