"""`midwatch report`: a week or a month on call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import read_time
from midwatch.core.values.clock import show_duration
from midwatch.engine.clock import wall_ms
from midwatch.engine.reporting import Report, Spread
from midwatch.errors import InputError

DAY_MS = 86_400_000
BARS = " .:-=+*#%@"


@click.command("report")
@click.option(
    "--week",
    "days",
    flag_value=7,
    type=int,
    default=True,
    help="Report on the last 7 days (default).",
)
@click.option("--month", "days", flag_value=30, type=int, help="Report on the last 30 days.")
@click.option(
    "--until", callback=read_time, metavar="TIME", help="End of the period (default: now)."
)
@json_option(Report)
@server_options
def command(days: int, until: int | None, as_json: bool, **where: Any) -> int:
    """Summarise a week or month of on-call: incidents, pages and open action items."""
    end = wall_ms() if until is None else until
    if end < 0:
        raise InputError(
            "the period starts before 1970", place="--until", remedy="write a later one"
        )
    found = incidents_at(**where).report(max(end - days * DAY_MS, 0), end)
    if as_json:
        print_json(found)
        return 0
    for line in _told(found):
        click.echo(line)
    return 0


def _told(one: Report) -> Iterable[str]:
    counts = f"{counted(len(one.incidents), 'incident')}, {counted(one.pages, 'page')}"
    yield f"{one.start[:10]} to {one.end[:10]}: {counts}"
    for line in one.incidents:
        spent = "".join(f", {says}" for says in line.budget_says)
        again = f", {line.recurrence_of} AGAIN" if line.recurrence_of else ""
        yield (
            f"  {line.id:<8} {line.severity or '-':<5} {line.state:<12} {line.title}"
            f"  ({counted(line.alerts, 'alert')}, {counted(line.pages, 'page')}{spent}{again})"
        )
    yield f"to detect       {_spread(one.to_detect)}"
    yield f"to acknowledge  {_spread(one.to_acknowledge)}, from the page"
    if one.unacknowledged:
        names = ", ".join(one.unacknowledged)
        yield f"UNACKNOWLEDGED  {counted(len(one.unacknowledged), 'incident')}: {names}"
    yield f"to mitigate     {_spread(one.to_mitigate)}"
    most = max(one.pages_by_hour, default=0)
    if most:
        bars = "".join(BARS[-(-n * (len(BARS) - 1) // most)] for n in one.pages_by_hour)
        yield f"pages by hour   |{bars}| 00 to 23 UTC, at most {most}"
        persons = ", ".join(f"{name} {count}" for name, count in one.pages_by_person.items())
        yield f"pages by person {persons}"
        for name, hours in one.hours_by_person.items():
            most = max(hours)
            bars = "".join(BARS[-(-n * (len(BARS) - 1) // most)] for n in hours)
            zone = one.zones.get(name, "UTC")
            yield f"  {name:<13} |{bars}| 00 to 23 {zone}, at most {most}"
    for slo, says in one.budget_says.items():
        yield f"budget          {slo}: incidents spent {says}"
    for noise in one.noisy:
        yield (
            f"noisy           {noise.alert}: {counted(noise.count, 'time')}, {noise.silent} of"
            f" {counted(noise.incidents, 'incident')} paged nobody"
        )
    for item in one.open_items:
        late = " OVERDUE" if item.overdue else ""
        yield f"to do           {item.incident}: {item.what} ({item.owner}, {item.due}{late})"
    for case in one.cases_added:
        yield f"case added      {case}"
    for says in one.recurrences:
        yield f"RECURRED        {says}"
    for says in one.waivers:
        yield f"waived          {says}"


def _spread(one: Spread) -> str:
    if one.median_s is None or one.p90_s is None or one.worst_s is None:
        return "nothing"
    return (
        f"{show_duration(one.median_s)} median, {show_duration(one.p90_s)} at the 90th percentile,"
        f" {show_duration(one.worst_s)} worst, of {one.count}"
    )
