"""Who is on call, where nobody is, and what the next person has to know.

Law: read only. A gap is told as its consequence, not as a hole in a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct, field

from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import show_duration, show_time
from midwatch.core.values.keys import Key
from midwatch.core.values.schedules import Override, Schedule
from midwatch.core.values.skews import Skews
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine.queries import Summary, event_of, summaries
from midwatch.ports import Archive, Audit

NOISY = 10  # alerts that are told to whoever comes next
AHEAD_MS = 60 * 86_400_000  # how far the end of a present shift is looked for


class OnCall(Struct, frozen=True):
    """Who is on call for a schedule at a moment, and until when; empty is nobody."""

    schedule: str
    person: str
    until: str
    override: str


class ShiftView(Struct, frozen=True):
    """One shift; an empty person is nobody."""

    schedule: str
    person: str
    starts_at: str
    ends_at: str


class OverrideView(Struct, frozen=True):
    """Somebody who stands in."""

    id: str
    schedule: str
    person: str
    starts_at: str
    ends_at: str
    by: str


class Gap(Struct, frozen=True):
    """When nobody can be reached, and what that means."""

    schedule: str
    starts_at: str
    ends_at: str
    says: str


class Handoff(Struct, frozen=True):
    """What the next person has to know."""

    since: str
    oncall: list[OnCall]
    open: list[Summary]
    snoozed: list[Summary]
    changed: list[str]
    noisy: list[str]


def who(rules: Rules, shard: Shard, at: int) -> list[OnCall]:
    """Say who is on call for each schedule."""
    return [_who(one, shard, at) for one in rules.policy.team.schedules.values()]


def _who(schedule: Schedule, shard: Shard, at: int) -> OnCall:
    overrides = shard.overrides.get(schedule.name, [])
    shift = schedule.shifts(at, at + AHEAD_MS, overrides)[0]
    by = next((o.id for o in reversed(overrides) if o.starts_at <= at < o.ends_at), "")
    return OnCall(schedule.name, shift.person or "", show_time(shift.ends_at), by)


def shifts(rules: Rules, shard: Shard, name: str, start: int, end: int) -> list[ShiftView]:
    """List the shifts of a schedule, or of all when `name` is empty, from hand-off to hand-off."""
    return [
        ShiftView(one.name, s.person or "", show_time(s.starts_at), show_time(s.ends_at))
        for one in rules.policy.team.schedules.values()
        if name in ("", one.name)
        for s in one.turns(start, end, shard.overrides.get(one.name, []))
    ]


def overrides(shard: Shard) -> list[OverrideView]:
    """List the overrides that are kept, by schedule."""
    return [_override(name, one) for name, kept in shard.overrides.items() for one in kept]


def _override(schedule: str, one: Override) -> OverrideView:
    start, end = show_time(one.starts_at), show_time(one.ends_at)
    return OverrideView(one.id, schedule, one.person, start, end, one.by)


def gaps(rules: Rules, shard: Shard, start: int, end: int) -> list[Gap]:
    """Find when a step of a policy would reach nobody, and say what then happens."""
    found: dict[Gap, None] = {}
    for policy in {id(p): p for p in (rules.policy, *rules.policies.values())}.values():
        for number, step in enumerate(policy.steps):
            for gap in _gaps(policy, number, step, shard, start, end):
                found[gap] = None
    return list(found)


# A time in which one target of a step reaches nobody, from and to in milliseconds, and why.
_Hole = tuple[int, int, str]


def _gaps(
    policy: Policy, number: int, step: Step, shard: Shard, start: int, end: int
) -> Iterable[Gap]:
    """Find when none of the targets of a step reaches anybody."""
    holes: list[_Hole] = [(start, end, "")] if step.to else []
    for name in step.to:
        mine = list(_holes(policy.team, name, shard, start, end))
        holes = [both for one in holes for other in mine if (both := _overlap(one, other))]
    for since, until, why in holes:
        when = show_time(since), show_time(until)
        yield Gap(" and ".join(step.to), *when, f"{why}; {_then(policy, number)}")


def _overlap(one: _Hole, other: _Hole) -> _Hole | None:
    since, until = max(one[0], other[0]), min(one[1], other[1])
    return (since, until, ", ".join(filter(None, (one[2], other[2])))) if since < until else None


def _holes(team: Team, name: str, shard: Shard, start: int, end: int) -> Iterable[_Hole]:
    schedule = team.schedules.get(name)
    if schedule is None:
        if not team.pagers(name):
            yield start, end, f"a page for {name} reaches nobody: no pager is configured"
        return
    for shift in schedule.shifts(start, end, shard.overrides.get(name, [])):
        if shift.person is None:
            yield shift.starts_at, shift.ends_at, f"a page to {name} would reach nobody"
        elif not _reachable(team, shift.person):
            yield shift.starts_at, shift.ends_at, f"{shift.person} is on call and has no pager"


def _reachable(team: Team, person: str) -> bool:
    return bool(team.pagers(person)) and (not team.people or person in team.people)


def _then(policy: Policy, number: int) -> str:
    """Say what a policy does when a step reaches nobody."""
    following = policy.steps[number + 1 :]
    if following:
        names = ", ".join((*following[0].to, *following[0].channels))
        return f"policy {policy.name} escalates to {names} immediately"
    again = show_duration(policy.team.again_s)
    return f"policy {policy.name} is exhausted and starts again after {again}"


class Happened(Struct):
    """What the journal tells the next person: changes, and how often alerts fired, since a time."""

    since: int
    changed: list[str] = field(default_factory=list[str])
    fired: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, str] = field(default_factory=dict[str, str])  # alert -> its first incident

    @property
    def often(self) -> list[tuple[str, int]]:
        """The alerts that fired most, with how often, if more than once."""
        return [(name, count) for name, count in self.fired.most_common(NOISY) if count > 1]


def gather(audit: Audit, skews: Skews, since: int) -> Happened:
    """Read what happened `since` (milliseconds). It may take its time."""
    found = Happened(since)
    for row in audit.since(skews.around(since, since)[0]):
        at = skews.shown(row.at)
        if at < since:
            continue
        event = event_of(row)
        if isinstance(event, e.ReleaseEvent | e.OverrideAdded | e.OverrideRemoved):
            reason = getattr(event, "reason", None)
            says = f": {reason.says}" if reason else ""
            noun = Key.read(event.stream).rest
            found.changed.append(f"{show_time(at)} {type(event).__name__} {noun}{says}")
        elif isinstance(event, e.AlertsAttached):
            for item in event.attached:
                name = f"{item.alert.name or 'alert'} on {item.alert.service or 'unknown service'}"
                found.fired[name] += 1
                found.first.setdefault(name, event.incident)
    return found


class Present(Struct, frozen=True):
    """What is now: who is on call, what is open, and who took what alerts fired in.

    Incidents that have left the shard are not among the last.
    """

    oncall: list[OnCall]
    open: list[Summary]
    taken_by: dict[str, str]  # by incident; empty is nobody


def present(rules: Rules, shard: Shard, happened: Happened, now: int) -> Present:
    """Take what is now, to be told elsewhere."""
    known = (shard.incidents.get(happened.first[name]) for name, _ in happened.often)
    taken_by = {one.id: _taken_by(one) for one in known if one is not None}
    return Present(who(rules, shard, now), summaries(shard), taken_by)


def handoff(found: Present, happened: Happened, records: Archive) -> Handoff:
    """Tell whoever comes next what is and what happened; it was taken before this."""
    noisy = [
        f"{name}: fired {count} times, {_answered(found, records, happened.first[name])}"
        for name, count in happened.often
    ]
    snoozed = [one for one in found.open if one.snoozed_until]
    since = show_time(happened.since)
    return Handoff(since, found.oncall, found.open, snoozed, happened.changed, noisy)


def _answered(found: Present, records: Archive, incident: str) -> str:
    by = found.taken_by.get(incident)
    if by is None:
        record = records.recall(incident)
        by = _taken_by(record.incident) if record else ""
    return f"first in {incident}, which {by or 'nobody'} took"


def _taken_by(incident: Incident) -> str:
    return incident.acknowledged_by if incident.acknowledged_at else ""
