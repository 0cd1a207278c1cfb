"""The alert storm of a scenario, as the bytes that an Alertmanager would deliver.

Law: a function of scenario and seed. The alerts say nothing of their cause; the truth stays here
for the checks.
"""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from midwatch.core.values.clock import SECOND, show_time
from midwatch.drill.scenarios import Fault, Scenario

GROUP_S = 30
SPREAD_S = 50
LONG_GONE = "0001-01-01T00:00:00Z"


class Delivery(Struct, frozen=True):
    """A webhook on its way: when it leaves, and its bytes."""

    at: int
    body: bytes


class Storm:
    """The alerts that fire, their deliveries, and which cause each comes from."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        rng = Random(f"storm/{seed}")
        self._faults = [
            (fault, [_labels(fault, s, a) for s in fault.services for a in fault.alerts])
            for fault in scenario.storm
        ]
        self.alert_count = sum(len(alerts) for _, alerts in self._faults)
        self.causes = {f.cause: None for f, _ in self._faults}
        self._starts: dict[tuple[int, int], int] = {}
        firing: dict[int, list[dict[str, Any]]] = {}
        resolved: dict[int, list[dict[str, Any]]] = {}
        for number, (fault, alerts) in enumerate(self._faults):
            for index, labels in enumerate(alerts):
                starts_at = fault.at + rng.randrange(SPREAD_S * SECOND)
                self._starts[number, index] = starts_at
                alert = _alert(labels, starts_at)
                _add(firing, starts_at, alert)
                if fault.lasts_s is not None:
                    ends_at = starts_at + fault.lasts_s * SECOND
                    _add(resolved, ends_at, _ended(alert, ends_at))
        slots = sorted({*firing, *resolved})
        self.deliveries = [
            Delivery(slot, _webhook([*firing.get(slot, ()), *resolved.get(slot, ())]))
            for slot in slots
        ]

    def end(self, cause: str, at: int) -> Delivery | None:
        """Deliver the end of an open-ended fault of this service; None when it has none."""
        over = [
            _ended(_alert(labels, self._starts[number, index]), at)
            for number, (fault, alerts) in enumerate(self._faults)
            if fault.cause == cause and fault.lasts_s is None
            for index, labels in enumerate(alerts)
        ]
        return Delivery(at, _webhook(over)) if over else None

    def causes_in(self, delivery: Delivery) -> list[str]:
        """List the causes of which an alert is in a delivery."""
        return [
            fault.cause
            for fault, alerts in self._faults
            if any(f'"{one["service"]}"'.encode() in delivery.body for one in alerts)
        ]

    def cause_of(self, service: str, name: str) -> str:
        """Say which cause raised an alert."""
        return next(
            (f.cause for f, _ in self._faults if service in f.services and name in f.alerts), ""
        )


def _labels(fault: Fault, service: str, alert: str) -> dict[str, str]:
    labels = {"alertname": alert, "service": service, "severity": fault.severity}
    return {**labels, "namespace": fault.namespace} if fault.namespace else labels


def _alert(labels: dict[str, str], starts_at: int) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{labels['alertname']} on {labels['service']}"},
        "startsAt": show_time(starts_at),
        "endsAt": LONG_GONE,
    }


def _ended(alert: dict[str, Any], at: int) -> dict[str, Any]:
    return {**alert, "status": "resolved", "endsAt": show_time(at)}


def _add(groups: dict[int, list[dict[str, Any]]], at: int, alert: dict[str, Any]) -> None:
    """Put an alert into the delivery that leaves next: Alertmanager groups before it sends."""
    slot = (at // (GROUP_S * SECOND) + 1) * GROUP_S * SECOND
    groups.setdefault(slot, []).append(alert)


def _webhook(alerts: list[dict[str, Any]]) -> bytes:
    firing = any(a["status"] == "firing" for a in alerts)
    return msgspec.json.encode(
        {
            "version": "4",
            "status": "firing" if firing else "resolved",
            "receiver": "midwatch",
            "alerts": alerts,
        }
    )
