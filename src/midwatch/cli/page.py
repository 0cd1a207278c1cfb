"""`midwatch page`: find out whether pages arrive, before they must."""

from __future__ import annotations

from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.engine.perform import Tested


@click.group("page")
def command() -> None:
    """Send a test page."""


@command.command("test")
@click.option("--via", default="", help="Pager to test (default: all).")
@json_option(list[Tested])
@server_options
def test_command(via: str, as_json: bool, **where: Any) -> int:
    """Send a test page, and print the result.

    Exit 0 when every pager accepted it, 1 when one did not.
    """
    found = incidents_at(**where).test_page(via)
    if as_json:
        print_json(found)
    else:
        for one in found:
            click.echo(f"{one.via}: {one.receipt or 'FAILED: ' + one.error}")
    return 1 if any(one.error for one in found) else 0
