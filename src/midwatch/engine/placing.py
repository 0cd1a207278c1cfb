"""Recorded alerts and changes, placed as a running midwatch would have placed them.

Law: each goes through the production decision alone, in the order of time; nothing is known before
it happened. Gives what became of it, never a decision of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from midwatch.core import causes
from midwatch.core.alerts import Alert
from midwatch.core.causes import Cause
from midwatch.core.changes import Change
from midwatch.core.decide import decide
from midwatch.core.events import AlertsAttached, AlertsMoved, AlertsMuted
from midwatch.core.incidents import Incident
from midwatch.core.inputs import AlertsArrived, ChangesArrived, Input
from midwatch.core.reasons import Reason
from midwatch.core.rules import Rules
from midwatch.core.shard import Shard
from midwatch.engine.archive import joined
from midwatch.engine.progress import Progress, quiet, reported

RULE = "placing/1"
NEVER = Reason(RULE, "resolved, and was never seen firing")


class Placed(Struct, frozen=True):
    """Where an alert of the input is, and why; no incident when it resolved and never fired.

    `muted` names what muted it, "" when nothing did.
    """

    incident: str
    why: Reason
    muted: str = ""


class Storm(Struct, frozen=True):
    """What became of a file: all incidents at its end, and each alert in the order of the input."""

    incidents: dict[str, Incident]
    placed: list[Placed]
    causes: dict[str, list[Cause]]


def place_all(
    alerts: list[Alert], changes: Iterable[Change], rules: Rules, progress: Progress = quiet
) -> Storm:
    """Decide on each in the order of time.

    A refresh and a resolved alert are told where their fingerprint was put. `progress` hears how
    many of all inputs were decided on.
    """
    shard = Shard()
    order: list[tuple[int, str, int, Input]] = [
        (change.at, "", n, ChangesArrived("file", (change,))) for n, change in enumerate(changes)
    ]
    # A resolved alert is news at its end, whatever its start: it must find the incident open.
    order += [
        (_news_at(alert), alert.fingerprint, n, AlertsArrived("file", (alert,)))
        for n, alert in enumerate(alerts)
    ]
    order.sort(key=lambda one: one[:3])
    placed: dict[str, Placed] = {}  # by firing: a fingerprint and when it began
    left: dict[str, Incident] = {}  # that have closed
    newest: dict[str, str] = {}  # fingerprint -> its newest firing
    firings = [""] * len(alerts)
    for at, fingerprint, n, given in reported(order, len(order), progress):
        decision = decide(shard, given, at, rules)
        left.update({name: one.incident for name, one in decision.left.items()})
        for event in decision.events:
            if isinstance(event, AlertsAttached):
                (item,) = event.attached
                newest[fingerprint] = firing = f"{fingerprint}/{item.alert.starts_at}"
                placed[firing] = Placed(event.incident, event.reason_of(item), item.muted)
            elif isinstance(event, AlertsMoved):
                for moved in event.fingerprints:
                    was = placed[newest[moved]]
                    placed[newest[moved]] = Placed(event.to, event.reason, was.muted)
            elif isinstance(event, AlertsMuted):
                for muted in event.fingerprints:
                    was = placed[newest[muted]]
                    placed[newest[muted]] = Placed(was.incident, was.why, event.key)
        if fingerprint:
            firings[n] = newest.get(fingerprint, "")
    found = [placed.get(firing, Placed("", NEVER)) for firing in firings]
    incidents = joined(shard, list(left.values()))
    return Storm(incidents, found, _causes(shard, incidents, rules))


def _causes(shard: Shard, incidents: dict[str, Incident], rules: Rules) -> dict[str, list[Cause]]:
    return {
        name: causes.rank(incident, rules.topology, shard.habits, shard.changes)
        for name, incident in incidents.items()
    }


def _news_at(alert: Alert) -> int:
    if alert.status == "resolved" and alert.ends_at is not None:
        return alert.ends_at
    return alert.starts_at
