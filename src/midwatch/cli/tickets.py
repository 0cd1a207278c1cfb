"""`midwatch tickets`: what people report, and where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from msgspec import structs

from midwatch.adapters.sources import tickets as ticket_files
from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import limit_option, read_file
from midwatch.cli.progress import shown_progress
from midwatch.engine.queries import TicketView
from midwatch.errors import InputError


@click.group("tickets")
def command() -> None:
    """File reports of people, and see where they belong.

    Other systems send the same to POST /intake/tickets, with a token made by
    midwatch token create --source tickets.
    """


@command.command("file")
@click.argument("text", nargs=-1, required=True)
@click.option(
    "--id", "name", default="", help="Its id elsewhere; the same again is not read twice."
)
@click.option("--by", default="", help="Who reports it.")
@click.option("--service", default="", help="What it is about, when it is known.")
@click.option("--category", default="", help="Its category, when it is known; else by its words.")
@click.option(
    "--affected", type=click.IntRange(1, 10_000_000), default=1, show_default=True, help="People."
)
@json_option(list[TicketView])
@server_options
def file_command(
    text: tuple[str, ...],
    name: str,
    by: str,
    service: str,
    category: str,
    affected: int,
    as_json: bool,
    **where: Any,
) -> int:
    """File one report and say which incident it joins or opens.

    Example: midwatch tickets file "the assistant says 7 days, the policy says 30" --service shop
    """
    given = {
        "text": " ".join(text), "id": name, "by": by, "service": service, "category": category,
        "affected": affected,
    }  # fmt: skip
    return _shown(incidents_at(**where).ticket(given), as_json)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option(list[TicketView])
@server_options
def import_command(file: Path, as_json: bool, **where: Any) -> int:
    """File every report of a file, one JSON object a line.

    {"text": "no answers", "id": "ZD-1", "service": "shop", "affected": 3}; only text is required.
    What has the same id, or stands on the same line again, is not read twice.
    """
    filed = ticket_files.parse_file(read_file(file, "name a file of reports"), str(file))
    if not filed:
        raise InputError("has no reports in it", place=str(file), remedy=ticket_files.REMEDY)
    at = incidents_at(**where)
    found: list[TicketView] = []
    with shown_progress("reports") as progress:
        for done, one in enumerate(filed, start=1):
            given = structs.asdict(one)
            given["id"] = given.pop("ticket")
            del given["source"], given["signed"]  # whoever types this files them
            found.extend(at.ticket(given))
            progress(done, len(filed))
    return _shown(found, as_json)


@command.command("list")
@limit_option
@json_option(list[TicketView])
@server_options
def list_command(limit: int, as_json: bool, **where: Any) -> int:
    """List reports, the newest first."""
    return _shown(incidents_at(**where).tickets()[:limit], as_json)


def _shown(found: list[TicketView], as_json: bool) -> int:
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("no reports")
    for one in found:
        where = one.incident or "no incident"
        again = f", the same as {one.duplicate_of}" if one.duplicate_of else ""
        text = " ".join(one.text.split())[:80]
        route = f"{one.category} -> {one.route}"
        click.echo(f"{one.ticket:<14} {one.priority}  {route}  {where}{again}  {text}")
    return 0
