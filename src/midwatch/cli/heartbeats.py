"""`midwatch heartbeats`: jobs that must say that they live."""

from __future__ import annotations

from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.engine.jobs import JobView


@click.group("heartbeats")
def command() -> None:
    """Show heartbeat status.

    A job sends its heartbeat with POST /heartbeats/JOB and a token from
    `midwatch token create --source JOB`.
    """


@command.command("list")
@json_option(list[JobView])
@server_options
def list_command(as_json: bool, **where: Any) -> int:
    """List heartbeats, silent ones first."""
    found = incidents_at(**where).jobs()
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("no heartbeats configured; add watched_jobs to midwatch.yaml")
    for one in found:
        last = f"  last heard {one.last_seen}" if one.last_seen else ""
        due = f"  due by {one.due_at}" if one.due_at and one.state != "silent" else ""
        click.echo(f"{one.job:<24} {one.state:<8}{last}{due}")
    return 0
