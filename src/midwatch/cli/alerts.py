"""`midwatch alerts`: what came in and could not be taken."""

from __future__ import annotations

from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import print_json


@click.group("alerts")
def command() -> None:
    """Look at what came in."""


@command.command("rejected")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@server_options
def rejected_command(as_json: bool, **where: Any) -> int:
    """List what could not be taken, as it came, and why. Nothing that was answered 202 is lost."""
    found = incidents_at(**where).rejected()
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("nothing was rejected")
    for one in found:
        click.echo(f"{one.at}  {one.key or '-'}  {one.why}\n  {one.body}")
    return 0
