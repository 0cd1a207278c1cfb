"""`midwatch tickets`: what people report, and where it belongs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from msgspec import structs

from midwatch import config
from midwatch.adapters.sources import tickets as ticket_files
from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import config_option, limit_option, read_file, read_number
from midwatch.cli.progress import shown_progress
from midwatch.core.values.confusions import Confusion, Part, confuse
from midwatch.engine.queries import TicketView
from midwatch.errors import InputError


@click.group("tickets")
def command() -> None:
    """File user reports, and see which incident they join.

    Other systems send the same to POST /intake/tickets, with a token made by
    midwatch token create --source tickets.
    """


@command.command("file")
@click.argument("text", nargs=-1, required=True)
@click.option("--id", "name", default="", help="External id; a repeated id is filed once.")
@click.option("--by", default="", help="Name of the reporter.")
@click.option("--service", default="", help="Service, if known.")
@click.option("--category", default="", help="Category, if known (default: derived from the text).")
@click.option(
    "--affected",
    type=click.IntRange(1, 10_000_000),
    default=1,
    show_default=True,
    help="Number of affected people.",
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
    """File one report, and show which incident it joins or opens.

    Example: midwatch tickets file "the assistant says 7 days, the policy says 30" --service shop
    """
    given = {
        "text": " ".join(text),
        "id": name,
        "by": by,
        "service": service,
        "category": category,
        "affected": affected,
    }
    return _shown(incidents_at(**where).ticket(given), as_json)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option(list[TicketView])
@server_options
def import_command(file: Path, as_json: bool, **where: Any) -> int:
    """File every report of a file, one JSON object per line.

    {"text": "no answers", "id": "ZD-1", "service": "shop", "affected": 3}; only text is required.
    A report with a repeated id, or a repeated line, is filed once.
    """
    filed = ticket_files.parse_file(read_file(file, "give a file of reports"), str(file))
    if not filed:
        raise InputError("the file has no reports", place=str(file), remedy=ticket_files.REMEDY)
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
    """List reports, newest first."""
    return _shown(incidents_at(**where).tickets()[:limit], as_json)


SHARE = click.FloatRange(0, 1)


@command.command("test", short_help="Measure the configured categories on labelled reports.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--found",
    "least",
    type=SHARE,
    callback=read_number,
    default=0.0,
    metavar="SHARE",
    help="Exit 1 if recall is below this share, such as 0.75.",
)
@click.option(
    "--wrong",
    "most",
    type=SHARE,
    callback=read_number,
    default=1.0,
    metavar="SHARE",
    help="Exit 1 if the share of wrong categories is above this, such as 0.02.",
)
@json_option(Confusion)
@config_option
def test_command(file: Path, least: float, most: float, as_json: bool, folder: Path) -> int:
    """Measure how well tickets.categories classify reports.

    FILE has one labelled JSON object per line: {"text": "my card is declined",
    "category": "payment", "language": "en"}; category "" means that a report belongs to none;
    language is any name for a group with its own line in the result. Nothing is filed.

    Exit 1 when --found or --wrong is missed, otherwise 0.
    """
    body = read_file(file, "give a file of labelled reports")
    rules = config.load(folder).rules
    categories = rules.categories
    names = [one.name for one in categories]
    reports = ticket_files.parse_labelled(body, str(file), names)
    if not reports:
        raise InputError("the file has no reports", place=str(file), remedy=ticket_files.LABEL)
    measured = confuse(reports, categories, rules.trouble)
    if as_json:
        print_json(measured)
    else:
        for line in _measured(measured):
            click.echo(line)
    found, wrong = measured.all.found_share, measured.all.wrong_share
    return int((found is not None and found < least) or (wrong or 0.0) > most)


def _measured(measured: Confusion) -> Iterator[str]:
    """Print the table, the shares, and each report that was not read as its label says."""
    names = list(measured.table)
    wide = max(map(len, (*names, "label")))
    columns = [max(len(name), 5) for name in names]
    heads = "  ".join(f"{name:>{width}}" for name, width in zip(names, columns, strict=True))
    yield f"{'label':<{wide}}  {heads}   <- what the words say"
    for label, row in measured.table.items():
        cells = zip(row.values(), columns, strict=True)
        yield f"{label:<{wide}}  {'  '.join(f'{count:>{width}}' for count, width in cells)}"
    yield _part("all", measured.all)
    if any(one.language for one in measured.languages):
        for one in measured.languages:
            yield _part(one.language or "-", one)
    for one in measured.misread:
        kind = "missed" if one.said == "none" else "wrong "
        by = f", by {', '.join(one.words)}" if one.words else ""
        text = " ".join(one.text.split())[:80]
        yield f"{kind} {one.place}: {one.category}, said {one.said}{by}: {text}"


def _part(name: str, one: Part) -> str:
    found = f"found {one.found} of {one.belong} that belong{_of(one.found_share)}"
    return f"{name}: {found}, wrong {one.wrong} of {one.reports}{_of(one.wrong_share)}"


def _of(share: float | None) -> str:
    return "" if share is None else f" ({share:.2f})"


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
