"""A decision in the making: facts, wishes and timers, to be committed as one.

Law: never split. What is emitted here changes the shard at once, so that the next step of the same
decision sees it; `undo` is what takes all of it back when it cannot be decided or committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

from midwatch.core.state import events, evolving, shard
from midwatch.core.state.effects import Effect
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Timer
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import Shard
from midwatch.core.state.undo import Undo
from midwatch.core.values import keys
from midwatch.core.values.alerts import Alert, Identity
from midwatch.core.values.keys import Key
from midwatch.core.values.moments import kept
from midwatch.core.values.sli import Bucket
from midwatch.errors import BugError


class Decision:
    """What follows from one input at one moment.

    `now` is the journal's time, which waits are measured in and facts are stamped with; `wall` is
    the wall clock.
    """

    def __init__(
        self,
        state: Shard,
        now: int,
        undo: Undo | None = None,
        recalled: Mapping[str, Archived] = {},
    ) -> None:
        self.shard = state
        self._undo = undo
        self.now = now
        self.events: list[events.Event] = []
        self.versions: list[int] = []  # of each event, in its stream
        self.effects: list[Effect] = []
        self.cancelled_effects: list[str] = []
        self.retries: dict[str, int] = {}
        self.timers: dict[str, Timer | None] = {}
        self.buckets: list[Bucket] = []
        self._recalled = recalled
        self.left: dict[str, Archived] = {}  # incidents that leave, or have left and changed

    @property
    def wall(self) -> int:
        """What people's clocks say: for dates, schedules and whatever came from outside."""
        return self.now - self.shard.skew

    def emit(self, event: events.Event) -> None:
        """Record a fact; the shard has it from here on."""
        if self._undo is not None:
            self._undo.note(event)
        one = self._of_left(event)
        for gone in shard.evolve(self.shard, event, self.now):
            self.left[gone.incident.id] = gone
        if one is not None and isinstance(event, events.IncidentEvent):
            evolving.evolve(one.incident, event, self.now)
            one.version += 1
        self.events.append(event)
        self.versions.append(self.version(event.stream))

    def _of_left(self, event: events.Event) -> Archived | None:
        """Give the record of an incident that has left, for a late fact about it."""
        if not isinstance(event, events.IncidentEvent) or event.incident in self.shard.incidents:
            return None
        name = event.incident
        if name not in self.left and name in self._recalled:
            self.left[name] = deepcopy(self._recalled[name])
        return self.left.get(name)

    def version(self, stream: str) -> int:
        """Say how many facts a stream has."""
        gone = self.left.get(Key.read(stream).rest)
        return gone.version if gone else self.shard.versions[stream]

    def put_up(self, incident: str, alert: Alert) -> None:
        """Let the next alert of the same decision find an incident that this one will join."""
        at, loud = kept(alert.starts_at, self.now), alert.level == "critical"
        if self._undo is not None:
            self._undo.put_up(incident, alert, at)
        self.shard.board.put(incident, alert.service, alert.refs)
        self.shard.board.fire(incident, alert.service, alert.fingerprint, at, loud=loud)

    def end_of(self, identity: Identity) -> Alert:
        """Give the end of an alert of our own; it never lies before its start.

        That may have been told by a clock that was ahead.
        """
        incident = self.incident(self.shard.firing.get(identity.fingerprint, ""))
        firing = incident.firing.get(identity.fingerprint) if incident else None
        at = max(self.wall, firing.starts_at) if firing else self.wall
        return identity.alert("resolved", at, at)

    def key(self, *parts: object) -> str:
        """Draw the key of an effect: no copy of this journal draws it, too."""
        return keys.key_of(self.shard.term_salt, *parts)

    def plan(self, effect: Effect) -> None:
        """Wish for something in the world, under a key that nothing else has.

        A key is a name and a number that its incident, its pointer or its stream counts up; the
        journal refuses one that was used before. Raises BugError for one that is planned twice.
        """
        if any(one.key == effect.key for one in self.effects):
            raise BugError(f"an effect {effect.key} is planned twice")
        self.effects.append(effect)

    def count(self, buckets: Iterable[Bucket]) -> None:
        """Keep counts; no incident changes by them until they are judged."""
        self.buckets.extend(buckets)

    def retry_effect(self, key: str, at: int) -> None:
        """Let an effect that has answered be claimed again, under its own key, not before `at`."""
        self.retries[key] = at

    def cancel_effect(self, key: str) -> None:
        """Take a wish back that nobody has claimed yet."""
        self.cancelled_effects.append(key)

    def set_timer(self, timer: Timer) -> None:
        """Ask to be woken; the same key replaces an earlier wish."""
        self.timers[timer.key] = timer

    def cancel_timer(self, key: str) -> None:
        """Take a wish to be woken back."""
        self.timers[key] = None

    def incident(self, incident_id: str) -> Incident | None:
        """Look an incident up, by name or ref; also one that has left, if the input names it."""
        found = shard.find(self.shard, incident_id)
        if found is not None:
            return found
        name = keys.id_of(incident_id)
        gone = self.left.get(name) or self._recalled.get(name)
        return gone.incident if gone and gone.incident.is_called(incident_id) else None

    def known(self, incident_id: str) -> Incident:
        """Look up an incident that is there, or has left by this very decision."""
        found = self.incident(incident_id)
        if found is None:
            raise BugError(f"{incident_id} is not there")
        return found

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all follows from the input."""
        return not (
            self.events
            or self.effects
            or self.cancelled_effects
            or self.retries
            or self.timers
            or self.buckets
        )
