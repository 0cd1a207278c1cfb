"""Incidents as PagerDuty tells of them: its outgoing webhooks, version 3.

Law: `incident.triggered` fires under PagerDuty's own incident key, `incident.resolved` ends it;
every other event of it changes nothing here. High urgency is critical, low is a warning.

Source: PagerDuty, V3 webhook subscriptions.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, structs

from midwatch.adapters.sources import batches
from midwatch.core.values.alerts import NAMING, Naming, Status, identify
from midwatch.ports import Parsed

REMEDY = "send a PagerDuty V3 webhook subscription"
LEVELS = {"high": "critical", "low": "warning"}
STATUS: dict[str, Status] = {"incident.triggered": "firing", "incident.resolved": "resolved"}


class _Service(Struct):
    summary: str = ""


class _Incident(Struct):
    id: str
    title: str = ""
    urgency: str = "high"
    incident_key: str | None = None
    service: _Service | None = None


class _Event(Struct):
    event_type: str
    occurred_at: str
    data: msgspec.Raw


class _Webhook(Struct):
    event: _Event


_webhook = msgspec.json.Decoder(_Webhook)
_incident = msgspec.json.Decoder(_Incident)


class PagerDutyWebhookSource:
    """Reads one event a delivery."""

    def __init__(self, naming: Naming = NAMING) -> None:
        self._service_label = naming.services[0]
        self._naming = structs.replace(naming, services=(self._service_label,))

    def parse(self, body: bytes, now: int) -> Parsed:
        r"""Read one webhook body.

        >>> body = b'{"event": {"event_type": "incident.triggered",' \
        ...        b' "occurred_at": "2026-01-01T00:00:00Z", "data": {"id": "P1",' \
        ...        b' "title": "disk full", "service": {"summary": "db"}}}}'
        >>> alert = PagerDutyWebhookSource().parse(body, 0).alerts[0]
        >>> alert.name, alert.service, alert.level
        ('disk full', 'db', 'critical')
        """
        event = batches.decode(_webhook, body, REMEDY).event
        status = STATUS.get(event.event_type)
        if status is None:
            return Parsed(())
        one = batches.decode(_incident, bytes(event.data), REMEDY, "$.event.data")
        at, unread = batches.start(event.occurred_at, now, "$.event.occurred_at", event)
        labels = {
            "alertname": one.title or one.id,
            "severity": LEVELS.get(one.urgency, one.urgency),
            self._service_label: one.service.summary if one.service else "",
            "incident": one.id,
        }
        who = identify(
            {name: value for name, value in labels.items() if value},
            self._naming,
            one.incident_key or one.id,
        )
        over = at if status == "resolved" else None
        return Parsed((who.alert(status, at, over, one.title),), unread, repeatable=not unread)
