"""Recorded alerts and changes, placed as a running midwatch would have placed them.

Law: each goes through the production decision alone, in the order of time; nothing is known before
it happened. Gives what became of it, never a decision of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct, structs

from midwatch.core.decide import decide
from midwatch.core.rules import causes
from midwatch.core.rules.causes import Cause
from midwatch.core.rules.rules import Rules
from midwatch.core.state.decision import Decision
from midwatch.core.state.events import (
    AlertsAttached,
    AlertsMoved,
    AlertsMuted,
    Event,
    GrowthHeld,
    PageWaits,
)
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import AlertsArrived, ChangesArrived, Input, Timer, TimerCameDue
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import Alert
from midwatch.core.values.changes import Change
from midwatch.core.values.reasons import Reason
from midwatch.engine.archive import joined
from midwatch.engine.progress import Progress, quiet, reported
from midwatch.engine.ringing import rings

RULE = "placing/1"
PLAYED = ("settle", "digest", "grow", "escalate")
MANY = 256  # alerts; of a larger incident causes are ranked after one in sixteen more
NEVER = Reason(RULE, "resolved, and was never seen firing")


class Placed(Struct, frozen=True):
    """Where an alert of the input is, and why; no incident when it resolved and never fired.

    `muted` names what muted it, "" when nothing did; `causes` are the services that were most
    likely the cause when the line was read, best first.
    """

    incident: str
    why: Reason
    muted: str = ""
    causes: tuple[str, ...] = ()


class Storm(Struct, frozen=True):
    """What became of a file: all incidents at its end, and each alert in the order of the input.

    `pages` says of each whether a phone rang for it, or will within minutes; an end rings nowhere.
    `later` counts, by incident, the pages of what was covered or flapped when it came, and fires
    still once that is over: no line makes them, but time.
    """

    incidents: dict[str, Incident]
    placed: list[Placed]
    causes: dict[str, list[Cause]]
    pages: list[bool] = []
    later: dict[str, int] = {}


class Waits:
    """What time alone does to incidents between two alerts: what was held is told, or is over.

    Nobody is asked a second time for the same: who answers when is not in a file.
    """

    def __init__(self) -> None:
        self._timers: dict[str, Timer] = {}

    def take(self, decision: Decision) -> None:
        """Keep what a decision asks for."""
        for key, timer in decision.timers.items():
            if timer is None:
                self._timers.pop(key, None)
            elif timer.purpose in PLAYED:
                self._timers[key] = timer

    def due(self, at: int) -> Iterator[Timer]:
        """Give the timers up to a time, the earliest first, also those that come meanwhile."""
        while self._timers:
            first = min(self._timers.values(), key=lambda one: (one.due_at, one.key))
            if first.due_at > at:
                return
            yield self._timers.pop(first.key)


def is_played(shard: Shard, timer: Timer) -> bool:
    """Say whether a timer does anything but ask again: what waits is looked at once it is due."""
    incident = shard.incidents.get(timer.incident)
    return timer.purpose != "escalate" or (incident is not None and incident.waits)


class _Firings:
    """Where each firing of an alert is, and why; one is named by its fingerprint and its start."""

    def __init__(self) -> None:
        self.placed: dict[str, Placed] = {}
        self.newest: dict[str, str] = {}  # fingerprint -> its newest firing

    def hear(self, event: Event) -> None:
        """Note where an event puts alerts, and what mutes them."""
        placed, newest = self.placed, self.newest
        if isinstance(event, AlertsAttached):
            for item in event.attached:
                alert = item.alert
                firing = f"{alert.fingerprint}/{alert.starts_at}"
                newest[alert.fingerprint] = firing
                placed[firing] = Placed(event.incident, event.reason_of(item), item.muted)
        elif isinstance(event, AlertsMoved):
            for moved in event.fingerprints:
                was = placed[newest[moved]]
                placed[newest[moved]] = Placed(event.to, event.reason, was.muted)
        elif isinstance(event, AlertsMuted):
            for muted in event.fingerprints:
                was = placed[newest[muted]]
                placed[newest[muted]] = Placed(was.incident, was.why, event.key)


class _Thinking:
    """The causes of incidents as they stand, ranked again where the answer may have changed."""

    def __init__(self, shard: Shard, rules: Rules) -> None:
        self._shard = shard
        self._rules = rules
        self._known: dict[str, tuple[int, tuple[str, ...]]] = {}

    def of(self, name: str) -> tuple[str, ...]:
        """Name the likely causes of an incident, best first; of a huge one now and then."""
        incident = self._shard.incidents.get(name)
        count, known = self._known.get(name, (0, ()))
        if incident is None or (count >= MANY and incident.alert_count * 16 < count * 17):
            return known
        found = causes.rank(incident, self._rules.topology, self._shard.changes)
        known = tuple(one.service for one in found)
        self._known[name] = incident.alert_count, known
        return known


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
    # What comes at the same moment stays in the order of the file, so that a line's answer depends
    # on no line after it; a change is known before the alerts of its moment.
    order += [
        (news_at(alert), alert.fingerprint, n, AlertsArrived("file", (alert,)))
        for n, alert in enumerate(alerts)
    ]
    order.sort(key=lambda one: (one[0], bool(one[1]), one[2]))
    firings_of = _Firings()
    left: dict[str, Incident] = {}  # that have closed
    firings = [""] * len(alerts)
    pages = [False] * len(alerts)
    likely: list[tuple[str, ...]] = [()] * len(alerts)
    thinking = _Thinking(shard, rules)
    waits = Waits()
    waiting: set[str] = set()
    later: Counter[str] = Counter()
    for at, fingerprint, n, given in reported(order, len(order), progress):
        for timer in waits.due(at):
            if not is_played(shard, timer):
                continue
            after = decide(shard, TimerCameDue(timer), timer.due_at, rules)
            waits.take(after)
            left.update({name: one.incident for name, one in after.left.items()})
            if timer.incident in waiting and rings(after.events):
                later[timer.incident] += 1
                waiting.discard(timer.incident)
        decision = decide(shard, given, at, rules)
        waits.take(decision)
        left.update({name: one.incident for name, one in decision.left.items()})
        for event in decision.events:
            firings_of.hear(event)
        if fingerprint and alerts[n].status == "firing":
            pages[n] = rings(decision.events, _held(shard, decision.events))
            waiting |= _may_ring_later(decision.events)
        if fingerprint:
            firings[n] = firing = firings_of.newest.get(fingerprint, "")
            if firing:
                likely[n] = thinking.of(firings_of.placed[firing].incident)
    placed = firings_of.placed
    found = [
        structs.replace(placed[firing], causes=likely[n]) if firing else Placed("", NEVER)
        for n, firing in enumerate(firings)
    ]
    incidents = joined(shard, list(left.values()))
    return Storm(incidents, found, _causes(shard, incidents, rules), pages, dict(later))


def _may_ring_later(events: Iterable[Event]) -> set[str]:
    """Name the incidents whose news makes no phone ring now, but may by time alone."""
    return {
        event.incident
        for event in events
        if isinstance(event, PageWaits) or (isinstance(event, GrowthHeld) and event.flaps)
    }


def _held(shard: Shard, events: Iterable[Event]) -> list[str]:
    """Name the incidents whose growth was held before these events, which go along with it."""
    names = [event.incident for event in events if isinstance(event, GrowthHeld)]
    known = [shard.incidents.get(name) for name in names]
    return [one.id for one in known if one is not None and len(one.growth) > 1]


def _causes(shard: Shard, incidents: dict[str, Incident], rules: Rules) -> dict[str, list[Cause]]:
    return {
        name: causes.rank(incident, rules.topology, shard.changes)
        for name, incident in incidents.items()
    }


def news_at(alert: Alert) -> int:
    """Say when an alert is news: at its start, or at its end when it has one."""
    if alert.status == "resolved" and alert.ends_at is not None:
        return alert.ends_at
    return alert.starts_at
