"""An alert: one firing condition with labels, and the hash that says which one it is.

Law: the fingerprint depends on the labels alone, never on annotations, times, order or Python's
own hash. An end that lies in the year 1, Alertmanager's way of saying "not yet", is no end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Literal

from msgspec import Struct, field

Status = Literal["firing", "resolved"]
Level = Literal["critical", "error", "warning", "info"]

SERVICE_LABELS = ("service", "sloth_service", "app", "job")

# How the field spells severities. A spelling that is not here is an `error`: in doubt the higher
# one, yet nobody is woken by a typo in a label alone.
LEVELS: dict[str, Level] = {
    "critical": "critical",
    "page": "critical",
    "emergency": "critical",
    "fatal": "critical",
    "error": "error",
    "major": "error",
    "high": "error",
    "warning": "warning",
    "warn": "warning",
    "ticket": "warning",
    "minor": "warning",
    "low": "info",
    "info": "info",
    "none": "info",
}


class Alert(Struct, frozen=True):
    """One alert as every source hands it over.

    `service` is empty when no label names one; `ends_at` is None while it fires. `keyed` when the
    sender itself says which problem it is: a repeat belongs to the incident that is open for it.
    """

    fingerprint: str
    name: str
    service: str
    namespace: str
    level: Level
    status: Status
    starts_at: int
    ends_at: int | None = None
    summary: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    keyed: bool = False


def fingerprint(labels: Mapping[str, str]) -> str:
    """Hash the labels, in any order, to 16 hex digits.

    >>> fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    True
    >>> fingerprint({"a": "1b", "c": ""}) == fingerprint({"a": "1", "bc": ""})
    False
    """
    parts: list[str] = []
    for name in sorted(labels):
        # Lengths stand in front so that no two label sets can run together.
        value = labels[name]
        parts.append(f"{len(name)}:{name}{len(value)}:{value}")
    text = "".join(parts).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8).hexdigest()


def make_alert(
    labels: Mapping[str, str],
    *,
    status: Status,
    starts_at: int,
    ends_at: int | None = None,
    summary: str = "",
    service_labels: Iterable[str] = SERVICE_LABELS,
    key: str = "",
) -> Alert:
    """Build an alert out of its labels.

    The first of `service_labels` that is set names the service. An end at or before the epoch is
    "not ended". A sender's own `key` takes the labels' place as the identity.

    >>> make_alert({"alertname": "Slow", "app": "shop"}, status="firing", starts_at=0).service
    'shop'
    """
    service = next((labels[name] for name in service_labels if labels.get(name)), "")
    return Alert(
        fingerprint=fingerprint({"": key} if key else labels),
        name=labels.get("alertname", ""),
        service=service,
        namespace=labels.get("namespace", ""),
        level=LEVELS.get(labels.get("severity", "").lower(), "error"),
        status=status,
        starts_at=starts_at,
        ends_at=ends_at if ends_at is not None and ends_at > 0 else None,
        summary=summary,
        labels=dict(labels),
        keyed=bool(key),
    )
