"""Who is on call, where nobody is, and what the next person has to know.

Law: read only. A gap is told as its consequence, not as a hole in a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from midwatch.core import events as e
from midwatch.core.clock import show_duration, show_time
from midwatch.core.rules import Rules
from midwatch.core.schedules import Override, Schedule
from midwatch.core.shard import Shard
from midwatch.core.teams import Policy, Step, Team
from midwatch.engine import archive
from midwatch.engine.queries import Fact, Summary, summaries
from midwatch.ports import Archive

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
    """List the shifts of a schedule, or of all when `name` is empty."""
    return [
        ShiftView(one.name, s.person or "", show_time(s.starts_at), show_time(s.ends_at))
        for one in rules.policy.team.schedules.values()
        if name in ("", one.name)
        for s in one.shifts(start, end, shard.overrides.get(one.name, []))
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
            yield start, end, f"a page for {name} reaches nobody: no pager is known"
        return
    for shift in schedule.shifts(start, end, shard.overrides.get(name, [])):
        if shift.person is None:
            yield shift.starts_at, shift.ends_at, f"a page would wake nobody of {name}"
        elif not _reachable(team, shift.person):
            yield shift.starts_at, shift.ends_at, f"{shift.person} is on call and has no pager"


def _reachable(team: Team, person: str) -> bool:
    return bool(team.pagers(person)) and (not team.people or person in team.people)


def _then(policy: Policy, number: int) -> str:
    """Say what a policy does when a step reaches nobody."""
    following = policy.steps[number + 1 :]
    if following:
        names = ", ".join((*following[0].to, *following[0].channels))
        return f"policy {policy.name} goes on to {names} at once"
    again = show_duration(policy.team.again_s)
    return f"policy {policy.name} is exhausted, and tries anew after {again}"


def handoff(
    rules: Rules,
    shard: Shard,
    records: Archive,
    facts: Iterable[Fact[e.Event]],
    now: int,
    since: int,
) -> Handoff:
    """Gather what happened `since`, for whoever comes next."""
    listed = summaries(shard)
    changed: list[str] = []
    fired: Counter[str] = Counter()
    paged: dict[str, str] = {}
    for fact in facts:
        if fact.at < since:
            continue
        event = fact.event
        if isinstance(event, e.ReleaseEvent | e.OverrideAdded | e.OverrideRemoved):
            reason = getattr(event, "reason", None)
            says = f": {reason.says}" if reason else ""
            noun = event.stream.partition("/")[2]
            changed.append(f"{show_time(fact.at)} {type(event).__name__} {noun}{says}")
        elif isinstance(event, e.AlertsAttached):
            for item in event.attached:
                name = f"{item.alert.name or 'alert'} on {item.alert.service or 'unknown service'}"
                fired[name] += 1
                paged.setdefault(name, event.incident)
    noisy = [
        f"{name}: fired {count} times, {_answered(shard, records, paged[name])}"
        for name, count in fired.most_common(10)
        if count > 1
    ]
    snoozed = [one for one in listed if one.snoozed_until]
    return Handoff(show_time(since), who(rules, shard, now), listed, snoozed, changed, noisy)


def _answered(shard: Shard, records: Archive, incident: str) -> str:
    found = archive.find(shard, records, incident)
    taken = found is not None and found.acknowledged_at
    return f"first in {incident}, " + (
        f"which {found.acknowledged_by} took" if found and taken else "which nobody took"
    )
