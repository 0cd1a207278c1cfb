"""`midwatch silences`: nobody is paged for what matches, for a while; all of it is recorded."""

from __future__ import annotations

from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import read_number, read_time
from midwatch.engine.clock import wall_ms
from midwatch.engine.queries import SilenceView

MAX_MIN = 366 * 24 * 60


@click.group("silences")
def command() -> None:
    """Silence matching alerts for a while. They are recorded but page nobody.

    Configure recurring windows in midwatch.yaml under maintenance.
    """


@command.command("add", short_help="Silence alerts that match all matchers.")
@click.argument("matchers", nargs=-1, required=True)
@click.option(
    "--minutes",
    type=click.FloatRange(0, MAX_MIN, min_open=True),
    callback=read_number,
    default=60.0,
    show_default=True,
    help="Duration of the silence in minutes.",
)
@click.option("--at", callback=read_time, metavar="TIME", help="Start (default: now).")
@click.option("--why", required=True, help="Reason, shown with the muted alerts.")
@json_option(list[SilenceView])
@server_options
def add_command(
    matchers: tuple[str, ...],
    minutes: float,
    at: int | None,
    why: str,
    as_json: bool,
    **where: Any,
) -> int:
    """Silence alerts that match all MATCHERS (Alertmanager syntax).

    Example: midwatch silences add service=shop 'alertname=~"Disk.*"' --why "the disks are swapped"
    """
    start = at if at is not None else wall_ms()
    given = {
        "matchers": list(matchers),
        "starts_at": start,
        "ends_at": start + int(minutes * 60_000),
        "why": why,
    }
    return _shown(incidents_at(**where).silence(given), as_json)


@command.command("list", short_help="List active and future silences.")
@json_option(list[SilenceView])
@server_options
def list_command(as_json: bool, **where: Any) -> int:
    """List active and future silences, and how many alerts each mutes now."""
    return _shown(incidents_at(**where).silences(), as_json)


@command.command("end", short_help="End a silence.")
@click.argument("silence")
@json_option(list[SilenceView])
@server_options
def end_command(silence: str, as_json: bool, **where: Any) -> int:
    """End a silence: alerts that still fire are treated as new."""
    return _shown(incidents_at(**where).end_silence(silence), as_json)


def _shown(found: list[SilenceView], as_json: bool) -> int:
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("no silences")
    for one in found:
        click.echo(
            f"{one.silence:<6} {', '.join(one.matchers)}  {one.starts_at} to {one.ends_at}"
            f"  mutes {one.mutes}  {one.by}: {one.why}"
        )
        if one.trouble:
            click.echo(
                f"       mutes nothing: {one.trouble}; end it and add one with a valid RE2 pattern"
            )
    return 0
