"""An alert: one firing condition with labels, and the hash that says which one it is.

Law: the fingerprint depends on the labels alone, never on annotations, times, order or Python's
own hash. An end that lies in the year 1, Alertmanager's way of saying "not yet", is no end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Literal

import msgspec
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


_canonical = msgspec.json.Encoder(order="sorted").encode


# gc=False, here and in what holds alerts by the thousand: none of it can be part of a ring, and the
# collector would walk through all of it again and again.
class Alert(Struct, frozen=True, gc=False):
    """One alert as every source hands it over.

    `service` is empty when no label names one; `ends_at` is None while it fires. `keyed` when the
    sender itself says which problem it is: a repeat belongs to the incident that is open for it.
    `severity` is set by midwatch alone, for what it raises itself; else impact is looked up.
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
    severity: str = ""


def fingerprint(labels: Mapping[str, str]) -> str:
    """Hash the labels, in any order, to 16 hex digits.

    >>> fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    True
    >>> fingerprint({"a": "1b", "c": ""}) == fingerprint({"a": "1", "bc": ""})
    False
    """
    # Quotes stand around each name and value, so no two label sets can run together.
    return blake2b(_canonical(labels), digest_size=8).hexdigest()


class Identity(Struct, frozen=True, gc=False):
    """What labels say, whenever they come: which alert it is, and whom it is about."""

    fingerprint: str
    name: str
    service: str
    namespace: str
    level: Level
    labels: dict[str, str]
    keyed: bool

    def alert(
        self, status: Status, starts_at: int, ends_at: int | None = None, summary: str = ""
    ) -> Alert:
        """Build the alert. An end at or before the epoch is "not ended"."""
        return Alert(
            self.fingerprint,
            self.name,
            self.service,
            self.namespace,
            self.level,
            status,
            starts_at,
            ends_at if ends_at is not None and ends_at > 0 else None,
            summary,
            self.labels,
            self.keyed,
        )


def identify(
    labels: dict[str, str], service_labels: Iterable[str] = SERVICE_LABELS, key: str = ""
) -> Identity:
    """Read labels.

    The first of `service_labels` that is set names the service. A sender's own `key` takes the
    labels' place as the identity.

    >>> identify({"alertname": "Slow", "app": "shop"}).service
    'shop'
    """
    service = ""
    for name in service_labels:
        if service := labels.get(name, ""):
            break
    return Identity(
        fingerprint=fingerprint({"": key} if key else labels),
        name=labels.get("alertname", ""),
        service=service,
        namespace=labels.get("namespace", ""),
        level=LEVELS.get(labels.get("severity", "").lower(), "error"),
        labels=labels,
        keyed=bool(key),
    )
