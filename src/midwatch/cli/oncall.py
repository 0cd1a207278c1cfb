"""`midwatch oncall`: who is on call, where nobody is, and handing over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import read_time, write_anew
from midwatch.core.values.clock import show_time
from midwatch.engine.clock import wall_ms
from midwatch.engine.oncall import Gap, Handoff, OnCall, OverrideView, ShiftView
from midwatch.errors import InputError

DAY_MS = 86_400_000
AROUND_MS = 62 * DAY_MS  # in which a whole shift is looked for
BACK_DAYS = 62  # in which a shift that goes on has begun
_SCHEDULE = click.argument("schedule", required=False, default="")
_AT = click.option("--at", callback=read_time, metavar="TIME", help="Time (default: now).")


@click.group("oncall")
def command() -> None:
    """Show who is on call, gaps, overrides and handoffs.

    With --server via the API of a running midwatch serve; otherwise on the file.
    A TIME is RFC 3339 with its zone, or seconds since 1970.
    """


@command.command("who")
@_SCHEDULE
@_AT
@json_option(list[OnCall])
@server_options
def who_command(schedule: str, at: int | None, as_json: bool, **where: Any) -> int:
    """Show who is on call, and until when."""
    found = [
        one
        for one in incidents_at(**where).oncall(at or wall_ms())
        if schedule in ("", one.schedule)
    ]
    _must_be_some(found, schedule)
    if as_json:
        print_json(found)
        return 0
    for one in found:
        by = f"  (override {one.override})" if one.override else ""
        click.echo(f"{one.schedule:<20} {one.person or 'nobody'} until {one.until}{by}")
    return 0


@command.command("schedule")
@_SCHEDULE
@click.option(
    "--days", type=click.IntRange(1, 400), default=14, show_default=True, help="Number of days."
)
@_AT
@click.option(
    "--ical",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the shifts to this iCalendar file.",
)
@json_option(list[ShiftView])
@server_options
def schedule_command(
    schedule: str, days: int, at: int | None, ical: Path | None, as_json: bool, **where: Any
) -> int:
    """List upcoming shifts in order; times are UTC."""
    start = at or wall_ms()
    # A calendar knows a shift by its true start, also one that is under way.
    back = min(BACK_DAYS, 400 - days) if ical is not None else 0
    since, end = start - back * DAY_MS, start + days * DAY_MS
    found = incidents_at(**where).shifts(schedule, since, end)
    _must_be_some(found, schedule)
    if ical is not None:
        found = [one for one in found if one.ends_at > show_time(start)]
        write_anew(ical, _calendar(found))
        kept = sum(1 for one in found if one.person)
        click.echo(f"wrote {counted(kept, 'shift')} to {ical}", err=True)
        return 0
    if as_json:
        print_json(found)
        return 0
    for one in found:
        click.echo(f"{one.schedule:<20} {one.starts_at} to {one.ends_at}  {one.person or 'nobody'}")
    return 0


@command.command("gaps", short_help="List gaps: times when a page would reach nobody.")
@click.option(
    "--days", type=click.IntRange(1, 400), default=14, show_default=True, help="Number of days."
)
@_AT
@json_option(list[Gap])
@server_options
def gaps_command(days: int, at: int | None, as_json: bool, **where: Any) -> int:
    """List gaps: times when a page would reach nobody, and what happens then.

    Exit 1 when there is a gap.
    """
    start = at or wall_ms()
    found = incidents_at(**where).gaps(start, start + days * DAY_MS)
    if as_json:
        print_json(found)
    elif not found:
        click.echo(f"no gaps: someone can be reached at all times in the next {days} days")
    else:
        for one in found:
            click.echo(f"{one.starts_at} to {one.ends_at}: {one.says}")
    return 1 if found else 0


@command.command("handoff", short_help="Show a handoff summary for the next person on call.")
@click.option(
    "--hours",
    type=click.IntRange(1, 24 * 60),
    default=24,
    show_default=True,
    help="Look back this many hours.",
)
@json_option(Handoff)
@server_options
def handoff_command(hours: int, as_json: bool, **where: Any) -> int:
    """Show a handoff summary: open and snoozed incidents, changes and noisy alerts."""
    found = incidents_at(**where).handoff(hours)
    if as_json:
        print_json(found)
        return 0
    for line in _told(found):
        click.echo(line)
    return 0


@command.group("override")
def override_group() -> None:
    """Override the schedule for a while."""


@override_group.command("add")
@click.argument("schedule")
@click.argument("person")
@click.option("--at", callback=read_time, metavar="TIME", help="Start (default: now).")
@click.option(
    "--until", callback=read_time, metavar="TIME", required=True, help="End of the override."
)
@json_option(list[OverrideView])
@server_options
def add_command(
    schedule: str, person: str, at: int | None, until: int, as_json: bool, **where: Any
) -> int:
    """Put a person on call, overriding the schedule."""
    given = {"person": person, "starts_at": at or wall_ms(), "ends_at": until}
    return _overrides(incidents_at(**where).override(schedule, given), as_json)


@override_group.command("remove")
@click.argument("schedule")
@click.argument("override")
@json_option(list[OverrideView])
@server_options
def remove_command(schedule: str, override: str, as_json: bool, **where: Any) -> int:
    """Remove an override."""
    return _overrides(incidents_at(**where).remove_override(schedule, override), as_json)


@override_group.command("list")
@json_option(list[OverrideView])
@server_options
def list_command(as_json: bool, **where: Any) -> int:
    """List overrides, including those of the last month."""
    return _overrides(incidents_at(**where).overrides(), as_json)


@command.command("swap")
@click.argument("schedule")
@click.option(
    "--one",
    callback=read_time,
    required=True,
    metavar="TIME",
    help="Start of a moment in the first shift.",
)
@click.option(
    "--other",
    callback=read_time,
    required=True,
    metavar="TIME",
    help="Start of a moment in the second shift.",
)
@json_option(list[OverrideView])
@server_options
def swap_command(schedule: str, one: int, other: int, as_json: bool, **where: Any) -> int:
    """Swap the people of two shifts.

    A shift lasts from handoff to handoff, even if the same person has the next one. Both shifts
    are shown first.
    """
    given = {"one_at": one, "other_at": other}
    found = incidents_at(**where)
    if not as_json:
        for at in (one, other):
            when = show_time(at)
            for shift in found.shifts(schedule, at - AROUND_MS, at + AROUND_MS):
                if shift.starts_at <= when < shift.ends_at:
                    who, since, until = shift.person or "nobody", shift.starts_at, shift.ends_at
                    click.echo(f"{who} has {since} to {until}", err=True)
    return _overrides(found.swap(schedule, given), as_json)


def _overrides(found: list[OverrideView], as_json: bool) -> int:
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("no overrides")
    for one in found:
        click.echo(
            f"{one.id:<6} {one.schedule:<20} {one.starts_at} to {one.ends_at}  {one.person}"
            f"  (by {one.by})"
        )
    return 0


def _told(found: Handoff) -> list[str]:
    lines = [f"on call: {one.person or 'nobody'} for {one.schedule}" for one in found.oncall]
    lines.append(f"open: {len(found.open)}")
    for one in found.open:
        taken = (
            f", acknowledged by {one.acknowledged_by}"
            if one.acknowledged_by
            else ", not acknowledged"
        )
        until = f" until {one.snoozed_until}" if one.snoozed_until else ""
        lines.append(f"  {one.id} {one.severity or '-'} {one.title}{taken}{until}")
    lines.append(f"changed since {found.since}: {len(found.changed)}")
    lines += [f"  {one}" for one in found.changed]
    lines.append(f"noisy: {len(found.noisy)}")
    lines += [f"  {one}" for one in found.noisy]
    return lines


def _calendar(found: list[ShiftView]) -> bytes:
    try:
        from icalendar import Calendar, Event
    except ModuleNotFoundError:
        remedy = "pip install 'midwatch[server]'"
        raise InputError("--ical needs icalendar", remedy=remedy) from None
    from datetime import datetime

    calendar: Any = Calendar()  # icalendar leaves some types open
    calendar.add("prodid", "-//midwatch//oncall//EN")
    calendar.add("version", "2.0")
    for one in found:
        if not one.person:
            continue
        event: Any = Event()
        event.add("uid", f"{one.schedule}/{one.starts_at}@midwatch")
        event.add("summary", f"{one.person} is on call: {one.schedule}")
        for name, text in (("dtstart", one.starts_at), ("dtend", one.ends_at)):
            event.add(name, datetime.fromisoformat(text))
        event.add("dtstamp", datetime.fromisoformat(found[0].starts_at))
        calendar.add_component(event)
    return calendar.to_ical()


def _must_be_some(found: list[Any], schedule: str) -> None:
    if not found:
        says = f"no schedule is named {schedule!r}" if schedule else "no schedules are configured"
        raise InputError(says, remedy="create schedules/NAME.yaml")
