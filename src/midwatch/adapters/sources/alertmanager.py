"""Alerts as Prometheus' Alertmanager speaks them.

Law: bytes in, alerts out; a bad alert is handed back alone, with its place. An alert is firing or
resolved by its own status, never by its group's: a group still fires while a page in it has
resolved. The year 1 is how Go writes no time: an end in it is no end, a start in it is when the
alert arrives. The API's `endsAt` of an active alert is only when it would expire.

Source: Alertmanager 0.25, webhook version 4 and GET /api/v2/alerts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from midwatch.adapters.sources import batches
from midwatch.core.values.alerts import NAMING, Alert, Identity, Naming, Status, identify, refs_in
from midwatch.errors import BadFile
from midwatch.ports import Parsed
from midwatch.texts import cut

# A server takes deliveries; a file may hold what else Alertmanager says.
WEBHOOK_REMEDY = "send Alertmanager's webhook (version 4)"
REMEDY = "send Alertmanager's webhook, its /api/v2/alerts answer, or one such alert per line"

MAX_GROUP = 200  # characters of a group's labels
MAX_KNOWN = 100_000  # label sets; about a kilobyte each


class _ApiStatus(Struct):
    state: str


# Only what is read of annotations is decoded: they are the largest part of a delivery.
class _Notes(Struct, frozen=True, gc=False):
    summary: str = ""
    title: str = ""
    runbook_url: str = ""
    runbook: str = ""
    description: str = ""
    trace_id: str = ""
    traceID: str = ""  # noqa: N815  as Grafana's exemplars spell it
    deploy_id: str = ""
    deployment_id: str = ""
    change_id: str = ""


_NO_NOTES = _Notes()


class _Alert(Struct):
    labels: msgspec.Raw
    startsAt: str  # noqa: N815  as Alertmanager spells it
    status: str | _ApiStatus = "firing"
    endsAt: str = ""  # noqa: N815  as Alertmanager spells it
    annotations: _Notes = _NO_NOTES


class _Webhook(Struct):
    version: str
    alerts: list[_Alert]
    groupKey: str = ""  # noqa: N815  as Alertmanager spells it
    groupLabels: dict[str, str] = {}  # noqa: N815  as Alertmanager spells it


class _Loose(Struct):
    version: str
    alerts: list[msgspec.Raw]
    groupKey: str = ""  # noqa: N815  as Alertmanager spells it
    groupLabels: dict[str, str] = {}  # noqa: N815  as Alertmanager spells it


class _Kind(Struct):
    alerts: msgspec.Raw | UnsetType = UNSET


_BLANK = re.compile(r"\s*")
_webhook = msgspec.json.Decoder(_Webhook)
_kind = msgspec.json.Decoder(_Kind)
_loose = msgspec.json.Decoder(_Loose)
_list = msgspec.json.Decoder(list[_Alert])
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(_Alert)
_labels = msgspec.json.Decoder(dict[str, str])


class AlertmanagerSource:
    """Reads webhook deliveries."""

    def __init__(self, naming: Naming = NAMING) -> None:
        self._naming = naming
        self._known: dict[bytes, Identity] = {}

    def parse(self, body: bytes, now: int) -> Parsed:
        r"""Read one webhook body.

        >>> body = b'{"version": "4", "alerts": [{"status": "firing", "labels":' \
        ...        b' {"alertname": "Slow"}, "startsAt": "2026-01-01T00:00:00Z"}]}'
        >>> AlertmanagerSource().parse(body, 0).alerts[0].name
        'Slow'
        """
        try:
            # The whole in one go; only when something is wrong is each alert looked at alone.
            delivery = _webhook.decode(body)
            _known(delivery.version)
            group = self._group(delivery)
            return Parsed(
                tuple(
                    self._alert(a, f"$.alerts[{n}]", now, group)
                    for n, a in enumerate(delivery.alerts)
                )
            )
        except (msgspec.MsgspecError, BadFile, UnicodeDecodeError, RecursionError):
            loose = batches.decode(_loose, body, WEBHOOK_REMEDY)
            _known(loose.version)
            group = self._group(loose)
            return batches.each(loose.alerts, lambda one: self._read(one, now, group))

    def _read(self, body: bytes, now: int, group: str) -> Alert:
        return self._alert(batches.decode(_one, body, WEBHOOK_REMEDY), "$", now, group)

    def _group(self, delivery: _Webhook | _Loose) -> str:
        """Name Alertmanager's group: its labels for people, its key for what else sets it apart."""
        if not self._naming.groups or not delivery.groupKey:
            return ""
        labels = sorted(delivery.groupLabels.items())
        shown = ", ".join(f"{name}={json.dumps(value)}" for name, value in labels)
        key = blake2b(delivery.groupKey.encode(), digest_size=4).hexdigest()
        return f"{cut(shown, MAX_GROUP)} {key}".strip()

    def parse_file(self, body: bytes, name: str) -> list[Alert]:
        r"""Read a file of alerts: JSON documents, each a webhook, an alert, or an array of them.

        A line is a document, or documents stand one behind the other, as several files do.

        >>> one = b'{"labels": {"alertname": "Slow"}, "startsAt": "2026-01-01T00:00:00Z"}'
        >>> len(AlertmanagerSource().parse_file(one + b"\n[" + one + b"]", "f"))
        2
        """
        text = body.strip()
        if not text:
            raise BadFile("no alerts found", place=name, remedy=REMEDY)
        if _is_json(text):
            return self._document(text, name, f"{name}:1")
        found: list[Alert] = []
        lines = body.splitlines()
        first = next(line for line in lines if line.strip())
        parts = enumerate(lines, start=1) if _is_json(first) else _documents(body, name)
        for number, part in parts:
            if part.strip():
                found += self._document(part, f"{name}:{number}", f"{name}:{number}")
        return found

    def _document(self, text: bytes, place: str, alone: str) -> list[Alert]:
        """Read one document that stands at `place`; as a single alert, it stands at `alone`."""
        try:
            if not text.lstrip().startswith(b"["):
                return self._single(text, place, alone)
            if b'"alerts"' not in text:  # in one go, as most are
                raws = _list.decode(text)
                return [self._alert(raw, f"{place}: $[{n}]") for n, raw in enumerate(raws)]
            found: list[Alert] = []
            for n, part in enumerate(_parts.decode(text)):
                alone = f"{place}: $[{n}]"
                found += self._single(bytes(part), alone, alone)
            return found
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadFile(f"not a valid alert: {error}", place=alone, remedy=REMEDY) from None

    def _single(self, text: bytes, place: str, alone: str) -> list[Alert]:
        if b'"alerts"' in text and _kind.decode(text).alerts is not UNSET:
            return list(self._webhook_file(text, place))
        return [self._alert(_one.decode(text), alone)]

    def _webhook_file(self, text: bytes, name: str) -> tuple[Alert, ...]:
        try:
            parsed = self.parse(text, 0)
        except BadFile as error:
            place = f"{name}: {error.place}" if error.place else name
            raise BadFile(error.message, place=place, remedy=REMEDY) from None
        for part in parsed.rejected:
            raise BadFile(part.why, place=f"{name}: {part.place}", remedy=REMEDY)
        return parsed.alerts

    def _alert(self, raw: _Alert, place: str, now: int = 0, group: str = "") -> Alert:
        try:
            starts_at, ends_at = batches.period(raw.startsAt, raw.endsAt, now)
        except ValueError as error:
            remedy = "write times like 2026-01-31T09:00:00Z"
            raise BadFile(f"invalid time: {error}", place=place, remedy=remedy) from None
        if isinstance(raw.status, _ApiStatus):
            status: Status = "firing"
            ends_at = None
        elif raw.status == "resolved":
            status = "resolved"
        elif raw.status == "firing":
            status = "firing"
        else:
            remedy = "use firing or resolved"
            raise BadFile(f"unknown status {raw.status!r}", place=place, remedy=remedy)
        notes = raw.annotations
        summary = notes.summary or notes.title or notes.description
        refs = _refs(notes)
        who = self._identify(bytes(raw.labels), place)
        runbook = notes.runbook_url or notes.runbook
        found = who.alert(status, starts_at, ends_at, summary, refs, runbook)
        return structs.replace(found, group=group) if group else found

    def _identify(self, labels: bytes, place: str) -> Identity:
        """Read labels; those that came before, as they do every few minutes, are looked up."""
        known = self._known.get(labels)
        if known is None:
            found = batches.decode(_labels, labels, REMEDY, f"{place}.labels")
            known = identify(found, self._naming)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[labels] = known
        return known


def _refs(notes: _Notes) -> tuple[str, ...]:
    trace, deploy = notes.trace_id or notes.traceID, notes.deploy_id or notes.deployment_id
    if not (trace or deploy or notes.change_id):
        return ()
    return refs_in({"trace_id": trace, "deploy_id": deploy, "change_id": notes.change_id})


def _known(version: str) -> None:
    if version != "4":
        says = f"unsupported version {version!r}; only 4 is supported"
        raise BadFile(says, place="$.version", remedy=WEBHOOK_REMEDY)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _documents(body: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    """Cut documents that stand one behind the other; gives the line that each begins in."""
    text, at = body.decode("utf-8", "replace"), 0
    reader = json.JSONDecoder()
    while (blank := _BLANK.match(text, at)) and (at := blank.end()) < len(text):
        line = text.count("\n", 0, at) + 1
        try:
            _, end = reader.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            says, place = f"not a valid alert: {error}", f"{name}:{line}"
            raise BadFile(says, place=place, remedy=REMEDY) from None
        yield line, text[at:end].encode()
        at = end
