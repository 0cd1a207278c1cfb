"""Alerts as Grafana's own alerting speaks them.

Law: as with every source, one bad alert is handed back alone. Grafana's fingerprint is a hash of
the labels, and so is ours; its version is "1" and stands beside an `orgId`. `DatasourceNoData` and
`DatasourceError` are alerts of their own name, about the rule in `rulename`: what cannot be seen is
not well.

Source: Grafana 11, webhook contact point.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from midwatch.adapters.sources import batches
from midwatch.core.values.alerts import NAMING, Alert, Naming, identify, refs_in
from midwatch.errors import BadFile
from midwatch.ports import Parsed

REMEDY = "send Grafana's webhook contact point, without a custom payload"


class _Alert(Struct):
    status: str
    labels: dict[str, str]
    startsAt: str  # noqa: N815  as Grafana spells it
    endsAt: str = ""  # noqa: N815  as Grafana spells it
    annotations: dict[str, str] = field(default_factory=dict[str, str])


class _Webhook(Struct):
    orgId: int  # noqa: N815  as Grafana spells it
    alerts: list[msgspec.Raw]


_webhook = msgspec.json.Decoder(_Webhook)
_one = msgspec.json.Decoder(_Alert)


class GrafanaSource:
    """Reads webhook deliveries."""

    def __init__(self, naming: Naming = NAMING) -> None:
        self._naming = naming

    def parse(self, body: bytes, now: int) -> Parsed:
        r"""Read one webhook body.

        >>> body = b'{"orgId": 1, "alerts": [{"status": "resolved", "labels": {"alertname": "H"}' \
        ...        b', "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:05:00Z"}]}'
        >>> GrafanaSource().parse(body, 0).alerts[0].status
        'resolved'
        """
        delivery = batches.decode(_webhook, body, REMEDY)
        return batches.each(delivery.alerts, lambda one: self._read(one, now))

    def _read(self, body: bytes, now: int) -> Alert:
        raw = batches.decode(_one, body, REMEDY)
        if raw.status not in ("firing", "resolved"):
            says = f"unknown status {raw.status!r}"
            raise BadFile(says, place="$.status", remedy="use firing or resolved")
        try:
            starts_at, ends_at = batches.period(raw.startsAt, raw.endsAt, now)
        except ValueError as error:
            remedy = "write times like 2026-01-31T09:00:00Z"
            raise BadFile(f"invalid time: {error}", place="$", remedy=remedy) from None
        notes = raw.annotations
        status = "resolved" if raw.status == "resolved" else "firing"
        summary = notes.get("summary") or notes.get("description") or ""
        who = identify(raw.labels, self._naming)
        runbook = notes.get("runbook_url", "")
        return who.alert(status, starts_at, ends_at, summary, refs_in(notes), runbook)
