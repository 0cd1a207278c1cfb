"""Who stands in for whom: overrides and swaps, which people say while it runs.

Law: config says whose turn it is, these say what is different for a while, and who said so. A swap
is two overrides, so that everything which reads a schedule sees it; it takes the two shifts that it
names, from hand-off to hand-off, and nothing beside them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Reason
from midwatch.core.values.schedules import DAY_MIN, MINUTE_MS, Override, Schedule, Shift
from midwatch.errors import StateError

RULE = "overrides/1"
SEARCH_MS = 60 * DAY_MIN * MINUTE_MS


def add(
    d: Decision,
    schedules: Mapping[str, Schedule],
    people: Collection[str],
    given: inputs.AddOverride,
) -> None:
    """Let somebody stand in. Raises StateError for what cannot be."""
    _schedule(schedules, given.schedule)
    if people and given.person not in people:
        known = ", ".join(sorted(people))
        raise StateError(f"unknown person {given.person!r}", remedy=f"use one of {known}")
    if given.ends_at <= max(given.starts_at, d.wall):
        raise StateError(
            f"{show_time(given.ends_at)} is in the past, or before the start",
            remedy="give a later end",
        )
    _add(d, given.schedule, given.person, given.starts_at, given.ends_at, given.by)


def remove(d: Decision, given: inputs.RemoveOverride) -> None:
    """Take an override back. Raises StateError when there is none."""
    known = d.shard.overrides.get(given.schedule, ())
    if given.override not in [one.id for one in known]:
        raise StateError(
            f"{given.schedule} has no override {given.override!r}",
            remedy="see midwatch oncall override list",
        )
    d.emit(events.OverrideRemoved(schedule=given.schedule, override=given.override, by=given.by))


def swap(d: Decision, schedules: Mapping[str, Schedule], given: inputs.SwapShifts) -> None:
    """Let two people take each other's shift. Raises StateError where there is nothing to swap."""
    schedule = _schedule(schedules, given.schedule)
    shifts = [
        _shift(schedule, at, d.shard.overrides.get(schedule.name, []))
        for at in (given.one_at, given.other_at)
    ]
    one, other = shifts
    if one.person is None or other.person is None or one.person == other.person:
        raise StateError(
            f"{one.person or 'nobody'} and {other.person or 'nobody'} are on call at these times",
            remedy="give a time in the shifts of two different people",
        )
    for shift, person in ((one, other.person), (other, one.person)):
        _add(d, schedule.name, person, max(shift.starts_at, d.wall), shift.ends_at, given.by)


def _add(d: Decision, schedule: str, person: str, start: int, end: int, by: str) -> None:
    override = Override(f"O-{d.shard.next_override}", person, start, end, by)
    says = f"{person} is on call from {show_time(start)} to {show_time(end)}, says {by}"
    d.emit(
        events.OverrideAdded(
            schedule=schedule, override=override, reason=Reason(RULE, says, {"by": by})
        )
    )


def _shift(schedule: Schedule, at: int, overrides: list[Override]) -> Shift:
    """Find the whole shift that a moment lies in."""
    around = schedule.turns(at - SEARCH_MS, at + SEARCH_MS, overrides)
    return next(one for one in around if one.starts_at <= at < one.ends_at)


def _schedule(schedules: Mapping[str, Schedule], name: str) -> Schedule:
    if name not in schedules:
        known = ", ".join(schedules)
        remedy = f"use one of {known}" if known else "add it below schedules/"
        raise StateError(f"no schedule is named {name!r}", remedy=remedy)
    return schedules[name]
