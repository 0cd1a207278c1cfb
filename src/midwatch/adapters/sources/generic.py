"""Alerts of any JSON shape: config says where each field stands.

Law: a field that config names and an alert lacks costs that alert alone. What counts as over is
said in config (`resolved`); every other status fires, because in doubt something is wrong.

    sources:
      ci:
        type: generic
        alerts: $.items            # a list; without it the body is one alert
        fields: {name: $.title, service: $.labels.app, status: $.state, key: $.id}
        resolved: [ok, closed]
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import Struct, field

from midwatch.adapters.sources import batches
from midwatch.core.alerts import NAMING, Alert, Naming, identify
from midwatch.core.clock import parse_time
from midwatch.core.inputs import Rejected
from midwatch.errors import BadFile
from midwatch.ports import Parsed

REMEDY = "compare the body with the paths in midwatch.yaml"
FIELDS = (
    "name",
    "service",
    "severity",
    "status",
    "starts_at",
    "ends_at",
    "summary",
    "runbook",
    "key",
    "namespace",
    "trace_id",
    "deploy_id",
    "change_id",
)
REFS = ("trace_id", "deploy_id", "change_id")


class GenericOptions(Struct, frozen=True):
    """Where the fields stand; paths are written like `$.labels.app` or `$.items[0].name`."""

    fields: dict[str, str] = field(default_factory=dict[str, str])
    alerts: str = ""
    resolved: tuple[str, ...] = ("resolved", "ok", "closed")


def steps(path: str) -> list[str | int]:
    """Split a path. Raises ValueError when it is none.

    >>> steps("$.a.b[0]")
    ['a', 'b', 0]
    """
    if path != "$" and not path.startswith(("$.", "$[")):
        raise ValueError(f"{path!r} does not start with $.")
    found: list[str | int] = []
    for part in path[1:].replace("[", ".[").strip(".").split("."):
        if part.startswith("["):
            if not (part.endswith("]") and part[1:-1].isdigit()):
                raise ValueError(f"{part!r} is no index")
            found.append(int(part[1:-1]))
        elif part:
            found.append(part)
        elif path != "$":
            raise ValueError(f"{path!r} has an empty step")
    return found


def walk(value: Any, path: list[str | int]) -> Any:
    """Follow a path; None where it leads nowhere."""
    for step in path:
        if isinstance(step, int):
            items = cast("list[Any]", value) if isinstance(value, list) else []
            value = items[step] if step < len(items) else None
        else:
            value = cast("dict[str, Any]", value).get(step) if isinstance(value, dict) else None
    return value


class GenericSource:
    """Reads whatever config describes."""

    def __init__(
        self,
        naming: Naming = NAMING,
        options: GenericOptions | None = None,
    ) -> None:
        options = options or GenericOptions({"name": "$.name"})
        self._alerts = steps(options.alerts) if options.alerts else None
        self._fields = {name: steps(path) for name, path in options.fields.items()}
        self._resolved = frozenset(word.lower() for word in options.resolved)
        self._naming = naming

    def parse(self, body: bytes, now: int) -> Parsed:
        """Read one body.

        >>> options = GenericOptions({"name": "$.title", "status": "$.state"}, alerts="$.items")
        >>> body = b'{"items": [{"title": "Hot", "state": "ok"}, {"state": "bad"}]}'
        >>> parsed = GenericSource(NAMING, options).parse(body, 0)
        >>> parsed.alerts[0].status, parsed.rejected[0].place
        ('resolved', '$.items[1].title')
        """
        whole = batches.decode(msgspec.json.Decoder(Any), body, REMEDY)
        if self._alerts is None:
            items, path = [whole], ""
        else:
            items, path = walk(whole, self._alerts), _shown(self._alerts)
            if not isinstance(items, list):
                raise BadFile("is no list", place=path, remedy=REMEDY)
        alerts: list[Alert] = []
        rejected: list[Rejected] = []
        for number, item in enumerate(cast("list[Any]", items)):
            place = f"{path}[{number}]" if path else "$"
            try:
                alerts.append(self._alert(item, place, now))
            except BadFile as error:
                rejected.append(Rejected(error.place, error.message, msgspec.json.encode(item)))
        timed = "starts_at" in self._fields
        return Parsed(tuple(alerts), tuple(rejected), repeatable=timed)

    def _alert(self, item: Any, place: str, now: int) -> Alert:
        found = {name: walk(item, path) for name, path in self._fields.items()}
        if not found.get("name"):
            where = _shown(self._fields.get("name", []), place)
            raise BadFile("is missing", place=where, remedy=REMEDY)
        text = {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in found.items()
            if value is not None
        }
        over = text.get("status", "").lower() in self._resolved
        labels = {"alertname": text["name"]}
        known = ("severity", "namespace", *REFS)
        labels |= {name: text[name] for name in known if name in text}
        if "service" in text:
            labels[self._naming.services[0]] = text["service"]
        who = identify(labels, self._naming, text.get("key", ""))
        return who.alert(
            "resolved" if over else "firing",
            self._time(text, "starts_at", place, now),
            self._time(text, "ends_at", place, now) if over else None,
            text.get("summary", ""),
            runbook=text.get("runbook", ""),
        )

    def _time(self, text: dict[str, str], name: str, place: str, now: int) -> int:
        if name not in text:
            return now
        try:
            return int(text[name]) if text[name].isdigit() else parse_time(text[name])
        except ValueError as error:
            where = _shown(self._fields[name], place)
            remedy = "write times like 2026-01-31T09:00:00Z, or milliseconds since 1970"
            raise BadFile(str(error), place=where, remedy=remedy) from None


def _shown(path: list[str | int], base: str = "$") -> str:
    return base + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)
