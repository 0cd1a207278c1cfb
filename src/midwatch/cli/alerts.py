"""`midwatch alerts`: what came in and could not be taken."""

from __future__ import annotations

from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.engine.queries import Rejected


@click.group("alerts")
def command() -> None:
    """Look at rejected alerts."""


@command.command("rejected")
@json_option(list[Rejected])
@server_options
def rejected_command(as_json: bool, **where: Any) -> int:
    """List rejected alerts as received, and why. Nothing that was answered with 202 is lost."""
    found = incidents_at(**where).rejected()
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("nothing was rejected")
    for one in found:
        click.echo(f"{one.at}  {one.key or '-'}  {one.why}\n  {one.body}")
    return 0
