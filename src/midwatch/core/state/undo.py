"""What a decision changed, taken back exactly, at the cost of what it touched.

Law: after `back` the shard is what it was before the first fact was noted, to the byte: the same
values in the same order, with the same look-ups beside them. Each fact is noted BEFORE it is
applied, so one that breaks half-way is taken back too. Where that cannot be promised, `is_exact`
says so, and whoever asks folds the journal instead.

What is small is copied; of the tables that grow with the number of alerts and incidents only the
entries that a fact names are kept, and the whole table where one is taken out, since its place in
the order would be lost. Nothing but Shard, Incident and Habits holds a table that is changed in
place: what is in those is replaced, never changed (`tests/unit/state/test_undo.py` walks the
types).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Final

import msgspec

from midwatch.core.state import events as e
from midwatch.core.state.incidents import Firing, Incident
from midwatch.core.state.releases import Pointer
from midwatch.core.state.shard import (
    KEPT_RESTED,
    KEPT_TICKETS,
    Shard,
    has_left,
    homes,
    may_leave,
    new_types,
)
from midwatch.core.values.alerts import Alert
from midwatch.core.values.habits import MAX_ALONE, MAX_TOGETHER, Habits

SMALL = 64  # entries; a table of no more is copied whole, whatever the fact names

# The tables that grow with what happens: of these only what a fact names is kept.
LARGE: Final = (
    "incidents",
    "firing",
    "open",
    "pointers",
    "tickets",
    "versions",
    "last_resolved",
    "changes",
    "muted",
    "inhibitors",
    "cases",
    "remediations",
    "past",
    "digests",
    "rested",
    "met",
    "spaces",
    "loud",
)
LARGE_OF_INCIDENT: Final = ("services", "troubles", "firing", "ended", "noise")
SCALAR: Final = ("habits", "storm", "board")  # structs of their own


def _tables(owner: type, but: Iterable[str]) -> tuple[str, ...]:
    fields = msgspec.structs.fields(owner)
    made = [f.name for f in fields if f.default_factory is not msgspec.NODEFAULT]
    return tuple(name for name in made if name not in but)


_FIELDS = tuple(f.name for f in msgspec.structs.fields(Shard))
_SMALL = _tables(Shard, (*LARGE, *SCALAR))
_SMALL_OF_INCIDENT = _tables(Incident, LARGE_OF_INCIDENT)
_INCIDENT_FIELDS = tuple(f.name for f in msgspec.structs.fields(Incident))
_GONE: Final = object()
_SAME: Final = object()
_pointer = msgspec.json.Decoder(Pointer).decode
_encode = msgspec.json.Encoder().encode

Table = dict[Any, Any]


class Undo:
    """What one decision touches, as it was before."""

    __slots__ = (
        "_before",
        "_copied",
        "_incidents",
        "_put_up",
        "_shard",
        "_steps",
        "is_exact",
        "pointers",
    )

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._before: Shard | None = None
        # (table, key, value), (table, _GONE, all of it) or (incident, _SAME, its copy)
        self._steps: list[tuple[Any, Any, Any]] = []
        self._copied: set[int] = set()  # tables that are kept whole
        self._incidents: dict[str, Incident | None] = {}
        self._put_up: list[tuple[str, str, str, int, bool]] = []
        self.pointers: set[str] = set()
        self.is_exact = True

    def note(self, event: e.Event) -> None:
        """Keep what this fact is about to change."""
        shard = self._shard
        if self._before is None:
            self._begin(shard)
        if may_leave(shard, event):
            for table in (shard.incidents, shard.versions, shard.habits.alone):
                self.whole(table)
        if not (isinstance(event, e.IncidentEvent) and has_left(shard, event.incident)):
            self.entry(shard.versions, event.stream)
        if isinstance(event, e.IncidentEvent):
            self.incident(event.incident)
        note = NOTE.get(type(event))
        if note is None:
            self.is_exact = False
        else:
            note(self, shard, event)

    def back(self) -> None:
        """Put everything back, in place."""
        shard, before = self._shard, self._before
        if before is None:
            return
        for name in self._incidents:
            if (now := shard.incidents.get(name)) is not None:
                shard.board.remove(now)
        for table, key, value in reversed(self._steps):
            if key is _GONE:
                _refill(table, value)
            elif key is _SAME:
                _restore(table, value, _INCIDENT_FIELDS)
            elif value is _GONE:
                table.pop(key, None)
            else:
                table[key] = value
        _restore(shard, before, _FIELDS)
        for incident, service, fingerprint, at, loud in self._put_up:
            shard.board.take_down(incident, service, fingerprint, at, loud=loud)
        for name in {**self._incidents, **dict.fromkeys(one[0] for one in self._put_up)}:
            if (then := shard.incidents.get(name)) is not None:
                shard.board.remove(then)
                if name in shard.open:
                    shard.board.add(then)
        self._before = None

    def put_up(self, incident: str, alert: Alert, at: int) -> None:
        """Keep what the board says, before an alert of an incident is put up there."""
        board = self._shard.board
        if self._before is None:
            self._begin(self._shard)
        loud = alert.level == "critical"
        self._put_up.append((incident, alert.service, alert.fingerprint, at, loud))
        for ref in alert.refs:
            numbers = board.by_ref.get(ref)
            self._steps.append((board.by_ref, ref, _GONE if numbers is None else numbers.copy()))

    def _begin(self, shard: Shard) -> None:
        before = self._before = copy(shard)
        for name in _SMALL:
            setattr(before, name, getattr(shard, name).copy())
        before.storm, before.habits = copy(shard.storm), copy(shard.habits)

    def entry(self, table: Table, key: object) -> None:
        """Keep one entry of a table from which nothing is taken."""
        self._steps.append((table, key, table.get(key, _GONE)))

    def entries(self, table: Table, keys: Iterable[str]) -> None:
        """Keep several."""
        get = table.get
        self._steps.extend([(table, key, get(key, _GONE)) for key in keys])

    def whole(self, table: Table | list[Any]) -> None:
        """Keep a table with its order."""
        if id(table) not in self._copied:
            self._copied.add(id(table))
            self._steps.append((table, _GONE, table.copy()))

    def has(self, table: Table) -> bool:
        """Say whether a table is kept whole."""
        return id(table) in self._copied

    def put(self, table: Table, key: str, kept: object) -> None:
        """Keep a copy of an entry that is changed in place."""
        self._steps.append((table, key, kept))

    def incident(self, name: str) -> None:
        """Keep an incident: all that is small, and of the large tables those that are short."""
        if name in self._incidents:
            return
        shard = self._shard
        one = shard.incidents.get(name)
        if one is None:  # it is opened by this fact, or has left and stays where it is
            self._incidents[name] = None
            self.entry(shard.incidents, name)
            return
        kept = self._incidents[name] = copy(one)
        for field in _SMALL_OF_INCIDENT:
            setattr(kept, field, getattr(one, field).copy())
        kept.plans = [copy(run) for run in one.plans]  # they are changed in place
        self._steps.append((one, _SAME, kept))
        for field in LARGE_OF_INCIDENT:
            table = getattr(one, field)
            if len(table) <= SMALL:
                self.whole(table)


# --- what each kind of fact touches, besides its stream's version and its incident --------------


def _opened(u: Undo, shard: Shard, event: e.IncidentOpened) -> None:
    u.entry(shard.open, event.incident)


def _attached(u: Undo, shard: Shard, event: e.AlertsAttached) -> None:
    one = shard.incidents.get(event.incident)
    if one is None:
        return
    fingerprints = [item.alert.fingerprint for item in event.attached]
    services = {item.alert.service for item in event.attached}
    u.entries(shard.firing, fingerprints)
    u.entries(shard.met, services)
    u.entries(shard.spaces, {item.alert.namespace for item in event.attached})
    again = [one.firing[name] for name in fingerprints if name in one.firing]
    if again:  # they go to the end
        u.whole(one.firing)
        services.update(firing.service for firing in again)
    for table, keys in (
        (one.firing, fingerprints),
        (one.services, services),
        (one.troubles, services),
        (one.noise, services),
    ):
        if not u.has(table):
            u.entries(table, keys)
    for item in event.attached:
        if item.muted:
            _member(u, shard.muted, item.muted, item.alert.fingerprint)
        for key in item.mutes:
            _member(u, shard.inhibitors, key, item.alert.fingerprint)
    _learned(u, shard.habits, one, event)


def _member(u: Undo, index: Table, key: str, fingerprint: str) -> None:
    u.entry(index, key)
    if key in index:
        u.entry(index[key], fingerprint)


def _learned(u: Undo, habits: Habits, one: Incident, event: e.AlertsAttached) -> None:
    if not one.alert_count:
        first = event.attached[0].alert.fingerprint
        if first in habits.openings or len(habits.openings) >= MAX_ALONE:
            u.whole(habits.openings)
        else:
            u.entry(habits.openings, first)
        u.entries(habits.alone, habits.forgotten_by(first))
    new = new_types(one, event)
    if not new:
        return
    known = list(one.kinds)
    for kind in new:
        u.entry(habits.seen, kind)
        if len(known) < MAX_TOGETHER:  # beyond these nobody counts who came with whom
            u.entry(habits.together, kind)
            _pairs(u, habits.together, kind, known)
            known.append(kind)


def _pairs(u: Undo, together: dict[str, dict[str, float]], kind: str, others: list[str]) -> None:
    mine = together.get(kind)
    for other in others:
        if mine is not None:
            u.entry(mine, other)
        u.entry(together, other)
        if (theirs := together.get(other)) is not None:
            u.entry(theirs, kind)


def _resolved(u: Undo, shard: Shard, event: e.AlertsResolved) -> None:
    one = shard.incidents.get(event.incident)
    if one is not None:
        _taken(u, one, event.fingerprints)
        _quieter(u, shard, map(one.firing.get, event.fingerprints))
        if not u.has(one.ended):
            gone = (one.firing.get(fingerprint) for fingerprint in event.fingerprints)
            u.entries(one.ended, [firing.service for firing in gone if firing is not None])
        if len(shard.rested) + len(event.fingerprints) > KEPT_RESTED:  # the oldest leave it
            u.whole(shard.rested)
        else:
            u.entries(shard.rested, event.fingerprints)
        _nowhere(u, shard, event.fingerprints)
        _forgotten(u, shard, map(one.firing.get, event.fingerprints))


def _taken(u: Undo, one: Incident, fingerprints: Iterable[str]) -> None:
    """Keep what an incident has of alerts that stop to fire in it."""
    if not u.has(one.troubles):
        for fingerprint in fingerprints:
            if (firing := one.firing.get(fingerprint)) is not None:
                u.entry(one.troubles, firing.service)
    u.whole(one.firing)


def _nowhere(u: Undo, shard: Shard, fingerprints: Iterable[str]) -> None:
    u.entries(shard.firing, fingerprints)  # their order is nobody's: `shard.dump` sorts them


def _forgotten(u: Undo, shard: Shard, gone: Iterable[Firing | None]) -> None:
    """Keep what mutes alerts that end, and what they mute."""
    for one in gone:
        if one is not None:
            if one.muted:
                _left(u, shard.muted, one.muted)
            for key in one.mutes:
                _left(u, shard.inhibitors, key)


def _quieter(u: Undo, shard: Shard, gone: Iterable[Firing | None]) -> None:
    """Keep the news of services whose alerts end."""
    u.entries(shard.loud, {one.service for one in gone if one is not None})


def _loud(u: Undo, shard: Shard, event: e.NewsJudged | e.BudgetCalm) -> None:
    u.whole(shard.loud)


def _restated(u: Undo, shard: Shard, event: e.AlertsChanged) -> None:
    one = shard.incidents.get(event.incident)
    if one is not None:
        known = [one.firing.get(alert.fingerprint) for alert in event.alerts]
        _quieter(u, shard, known)
        for table, keys in (
            (one.firing, [alert.fingerprint for alert in event.alerts]),
            (one.troubles, {firing.service for firing in known if firing is not None}),
        ):
            if not u.has(table):
                u.entries(table, keys)
        for number, alert in enumerate(event.alerts if event.mutes else ()):
            firing = one.firing.get(alert.fingerprint)
            for key in firing.mutes if firing is not None else ():
                _left(u, shard.inhibitors, key)
            for key in event.mutes[number]:
                _member(u, shard.inhibitors, key, alert.fingerprint)


def _left(u: Undo, index: Table, key: str) -> None:
    u.whole(index)
    if key in index:
        u.whole(index[key])


def _moved(u: Undo, shard: Shard, event: e.AlertsMoved) -> None:
    u.incident(event.to)
    for name in (event.incident, event.to):
        one = shard.incidents.get(name)
        if one is not None:
            for field in LARGE_OF_INCIDENT:
                u.whole(getattr(one, field))
    u.whole(shard.loud)
    _nowhere(u, shard, event.fingerprints)


def _muted(u: Undo, shard: Shard, event: e.AlertsMuted) -> None:
    one = shard.incidents.get(event.incident)
    if one is None:
        return
    u.whole(one.firing)
    u.whole(shard.loud)
    for fingerprint in event.fingerprints:
        if (firing := one.firing.get(fingerprint)) is not None and firing.muted:
            _left(u, shard.muted, firing.muted)
        if event.key:
            _member(u, shard.muted, event.key, fingerprint)


def _over(u: Undo, shard: Shard, event: e.IncidentMerged | e.IncidentResolved) -> None:
    one = shard.incidents.get(event.incident)
    u.whole(shard.open)
    if isinstance(event, e.IncidentMerged):
        u.incident(event.into)
        u.whole(shard.rested)
    if one is not None:
        u.entry(shard.last_resolved, one.service)
        u.entry(shard.past, one.service_of_plan)
        u.whole(shard.loud)
        _told(u, shard, one)
        if one.firing:
            _nowhere(u, shard, one.firing)
            _forgotten(u, shard, one.firing.values())


def _told(u: Undo, shard: Shard, one: Incident) -> None:
    """Keep which pages told of an incident; their order is nobody's."""
    u.entries(shard.digests, [page.digest for page in one.pages if page.digest])


def _planned(u: Undo, shard: Shard, event: e.PagePlanned) -> None:
    u.entry(shard.digests, event.digest)
    _rung(u, shard, event)


def _rung(u: Undo, shard: Shard, event: e.PagePlanned | e.PageHeld | e.IncidentGrew) -> None:
    """Keep the news of an incident that nobody was paged for until now."""
    one = shard.incidents.get(event.incident)
    if one is not None and (one.waits or one.holds):
        u.whole(shard.loud)


def _learned_later(u: Undo, shard: Shard, event: e.RegressionCaseRefused | e.WaiverGranted) -> None:
    one = shard.incidents.get(event.incident)
    if one is not None:
        u.entry(shard.past, one.service_of_plan)


def _unmerged(u: Undo, shard: Shard, event: e.MergeUndone | e.IncidentReopened) -> None:
    u.entry(shard.open, event.incident)
    one = shard.incidents.get(event.incident)
    if one is not None:
        _told(u, shard, one)
        for home in homes(shard, one):
            u.incident(home.id)


def _served(u: Undo, shard: Shard, event: e.TicketLinked | e.BurnAttached) -> None:
    one = shard.incidents.get(event.incident)
    if one is not None and event.service:
        u.entry(one.services, event.service)


def _approved(u: Undo, shard: Shard, event: e.PlanApproved) -> None:
    u.whole(shard.remediations)


def _admitted(u: Undo, shard: Shard, event: e.RegressionCaseAdmitted) -> None:
    u.entry(shard.cases, event.case.id)
    one = shard.incidents.get(event.incident)
    if one is not None:
        u.entry(shard.past, one.service_of_plan)


def _case(u: Undo, shard: Shard, event: e.CaseEvent) -> None:
    kept = shard.cases.get(event.case)
    if kept is not None:
        u.put(shard.cases, event.case, copy(kept))


def _release(u: Undo, shard: Shard, event: e.ReleaseEvent) -> None:
    pointer = shard.pointers.get(event.service)
    if pointer is None:
        u.entry(shard.pointers, event.service)
    elif event.service not in u.pointers:
        u.pointers.add(event.service)
        u.put(shard.pointers, event.service, _pointer(_encode(pointer)))


def _burning(u: Undo, shard: Shard, event: e.BudgetBurning) -> None:
    u.incident(event.incident)


def _changed(u: Undo, shard: Shard, event: e.ChangeSeen) -> None:
    u.whole(shard.changes)


def _ticket(u: Undo, shard: Shard, event: e.TicketTriaged) -> None:
    if len(shard.tickets) >= KEPT_TICKETS:
        u.whole(shard.tickets)
    u.entry(shard.tickets, event.ticket)


def _nothing(u: Undo, shard: Shard, event: e.Event) -> None:
    """Keep nothing besides: its tables are small, and kept already."""


def _restore(one: Any, kept: Any, fields: Iterable[str]) -> None:
    for field in fields:
        setattr(one, field, getattr(kept, field))


def _refill(table: Any, kept: Any) -> None:
    table.clear()
    (table.extend if isinstance(kept, list) else table.update)(kept)


def _kinds(base: type) -> list[type]:
    return [one for one in vars(e).values() if isinstance(one, type) and issubclass(one, base)]


_SPECIAL: dict[type, Callable[[Undo, Shard, Any], None]] = {
    e.IncidentOpened: _opened,
    e.AlertsAttached: _attached,
    e.AlertsResolved: _resolved,
    e.AlertsMoved: _moved,
    e.AlertsMuted: _muted,
    e.AlertsChanged: _restated,
    e.NewsJudged: _loud,
    e.BudgetCalm: _loud,
    e.IncidentMerged: _over,
    e.IncidentResolved: _over,
    e.MergeUndone: _unmerged,
    e.IncidentReopened: _unmerged,
    e.TicketLinked: _served,
    e.BurnAttached: _served,
    e.PlanApproved: _approved,
    e.RegressionCaseAdmitted: _admitted,
    e.RegressionCaseRefused: _learned_later,
    e.WaiverGranted: _learned_later,
    e.PagePlanned: _planned,
    e.PageHeld: _rung,
    e.IncidentGrew: _rung,
    e.BudgetBurning: _burning,
    e.ChangeSeen: _changed,
    e.TicketTriaged: _ticket,
}
_PLAIN = (
    e.IncidentEvent,
    e.SloEvent,
    e.JobEvent,
    e.ScheduleEvent,
    e.SilenceEvent,
    e.StormEvent,
    e.SourceEvent,
    e.TermEvent,
    e.ClockEvent,
)
NOTE: dict[type, Callable[[Undo, Shard, Any], None]] = {
    **{one: _nothing for base in _PLAIN for one in _kinds(base)},
    **dict.fromkeys(_kinds(e.CaseEvent), _case),
    **dict.fromkeys(_kinds(e.ReleaseEvent), _release),
    **_SPECIAL,
}
