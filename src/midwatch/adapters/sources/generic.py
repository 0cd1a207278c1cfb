"""Alerts of any JSON shape: config says where each field stands.

Law: a field that config names and an alert lacks costs that alert alone. What counts as over is
said in config (`resolved`); every other status fires, because in doubt something is wrong. For the
same reason a time that cannot be read costs no alert: it counts as of its arrival, and the time is
handed back with its place.

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
from midwatch.core.state.inputs import Rejected
from midwatch.core.values.alerts import NAMING, Alert, Naming, identify
from midwatch.errors import BadFile
from midwatch.ports import Parsed

REMEDY = "check the paths in midwatch.yaml against the body"
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
                raise ValueError(f"{part!r} is not an index")
            found.append(int(part[1:-1]))
        elif part:
            found.append(part)
        elif path != "$":
            raise ValueError(f"{path!r} has an empty segment")
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
                raise BadFile("not a list", place=path, remedy=REMEDY)
        alerts: list[Alert] = []
        rejected: list[Rejected] = []
        timed = "starts_at" in self._fields
        for number, item in enumerate(cast("list[Any]", items)):
            place = f"{path}[{number}]" if path else "$"
            try:
                alert, unread = self._alert(item, place, now)
                alerts.append(alert)
                rejected.extend(unread)
                timed = timed and not unread
            except BadFile as error:
                rejected.append(Rejected(error.place, error.message, msgspec.json.encode(item)))
        return Parsed(tuple(alerts), tuple(rejected), repeatable=timed)

    def _alert(self, item: Any, place: str, now: int) -> tuple[Alert, list[Rejected]]:
        found = {name: walk(item, path) for name, path in self._fields.items()}
        if not found.get("name"):
            where = _shown(self._fields.get("name", []), place)
            raise BadFile("missing", place=where, remedy=REMEDY)
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
        times: dict[str, int] = {}
        unread: list[Rejected] = []
        for name in ("starts_at", "ends_at"):
            where = _shown(self._fields.get(name, []), place)
            times[name], bad = batches.start(found.get(name), now, where, item)
            unread.extend(bad)
        alert = who.alert(
            "resolved" if over else "firing",
            times["starts_at"],
            times["ends_at"] if over else None,
            text.get("summary", ""),
            runbook=text.get("runbook", ""),
        )
        return alert, unread


def _shown(path: list[str | int], base: str = "$") -> str:
    return base + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)
