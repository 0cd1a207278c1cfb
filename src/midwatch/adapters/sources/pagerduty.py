"""Events as PagerDuty's Events API v2 takes them, for senders that speak nothing else.

Law: the dedup key is the alert's identity. A trigger on a key that is open belongs to its incident,
after a resolve it opens anew, and the same bytes may be news both times. `acknowledge` is a machine
saying that a person has it: that is for people to say here, so it is refused and kept.

Source: PagerDuty Events API v2; keys have at most 255 characters.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field, structs

from midwatch.adapters.sources import batches
from midwatch.core.state.inputs import Rejected
from midwatch.core.values.alerts import NAMING, Naming, identify, refs_in
from midwatch.errors import BadFile
from midwatch.ports import Parsed

REMEDY = "send one Events API v2 event: event_action, dedup_key, payload"
MAX_KEY = 255
SEVERITIES = ("critical", "error", "warning", "info")


class _Payload(Struct):
    summary: str
    source: str
    severity: str
    timestamp: str = ""
    component: str = ""
    group: str = ""
    class_: str = field(default="", name="class")
    custom_details: dict[str, Any] | list[Any] | str | float | bool | None = None


class _Event(Struct):
    event_action: str
    dedup_key: str = ""
    payload: _Payload | None = None


_event = msgspec.json.Decoder(_Event)


class PagerDutySource:
    """Reads one event a request."""

    def __init__(self, naming: Naming = NAMING) -> None:
        self._naming = naming

    def parse(self, body: bytes, now: int) -> Parsed:
        r"""Read one event.

        >>> body = b'{"event_action": "trigger", "dedup_key": "disk/7", "payload":' \
        ...        b' {"summary": "disk full", "source": "db-7", "severity": "critical"}}'
        >>> alert = PagerDutySource().parse(body, 1500).alerts[0]
        >>> alert.name, alert.service, alert.starts_at, alert.keyed
        ('disk full', 'db-7', 1500, True)
        """
        event = batches.decode(_event, body, REMEDY)
        if event.event_action == "acknowledge":
            says = "acknowledge events are not accepted; people use midwatch incidents ack"
            return Parsed((), (Rejected("$.event_action", says, body),), repeatable=False)
        if event.event_action not in ("trigger", "resolve"):
            says = (
                f"unknown event_action {event.event_action!r}; use trigger, acknowledge or resolve"
            )
            raise BadFile(says, place="$.event_action", remedy=REMEDY)
        if len(event.dedup_key) > MAX_KEY:
            says = f"got {len(event.dedup_key)} characters, at most {MAX_KEY} are allowed"
            raise BadFile(says, place="$.dedup_key", remedy=REMEDY)
        if event.event_action == "resolve":
            return self._resolve(event, now)
        return self._trigger(event, now)

    def _resolve(self, event: _Event, now: int) -> Parsed:
        if not event.dedup_key:
            raise BadFile(
                "missing",
                place="$.dedup_key",
                remedy="write the dedup_key of the event that is over",
            )
        over = identify({}, key=event.dedup_key).alert("resolved", now, now)
        return Parsed((over,), repeatable=False)

    def _trigger(self, event: _Event, now: int) -> Parsed:
        payload = event.payload
        if payload is None:
            raise BadFile("missing", place="$.payload", remedy=REMEDY)
        if payload.severity not in SEVERITIES:
            says = f"unknown severity {payload.severity!r}; use one of {', '.join(SEVERITIES)}"
            raise BadFile(says, place="$.payload.severity", remedy=REMEDY)
        starts_at, unread = batches.start(payload.timestamp, now, "$.payload.timestamp", event)
        labels = {
            "alertname": payload.summary,
            "severity": payload.severity,
            "source": payload.source,
            "component": payload.component,
            "group": payload.group,
            "class": payload.class_,
            "dedup_key": event.dedup_key,
        }
        refs: tuple[str, ...] = ()
        if isinstance(payload.custom_details, dict):
            details: dict[Any, Any] = payload.custom_details
            named = {name: str(details[name]) for name in self._naming.services if name in details}
            labels |= named
            refs = refs_in({name: str(value) for name, value in details.items()})
        who = identify(
            {name: value for name, value in labels.items() if value},
            structs.replace(self._naming, services=(*self._naming.services, "component", "source")),
            event.dedup_key,
        )
        alert = who.alert("firing", starts_at, None, payload.summary, refs)
        return Parsed((alert,), unread, repeatable=False)
