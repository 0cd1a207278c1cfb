"""`midwatch changes`: what was changed, for whoever looks for a cause."""

from __future__ import annotations

from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import limit_option, read_time
from midwatch.engine.queries import ChangeView


@click.group("changes")
def command() -> None:
    """Record and list changes.

    Pipelines send the same to POST /intake/changes, with a token made by
    midwatch token create --source changes.
    """


@command.command("add")
@click.argument("service")
@click.option(
    "--kind",
    default="deploy",
    show_default=True,
    help="Kind of change, such as deploy, config or index.",
)
@click.option("--id", "name", default="", help="Id of the change; a repeated id is recorded once.")
@click.option("--at", callback=read_time, metavar="TIME", help="Time of the change (default: now).")
@click.option("--by", default="", help="The pipeline or person that made it.")
@click.option("--from", "before", default="", metavar="RELEASE", help="Release before the change.")
@click.option("--to", "after", default="", metavar="RELEASE", help="Release after the change.")
@json_option(list[ChangeView])
@server_options
def add_command(
    service: str,
    kind: str,
    name: str,
    at: int | None,
    by: str,
    before: str,
    after: str,
    as_json: bool,
    **where: Any,
) -> int:
    """Record a change of SERVICE.

    Example: midwatch changes add shop --id d-12 --from v2 --to v3 --by ci/412
    """
    given: dict[str, Any] = {
        "service": service,
        "kind": kind,
        "id": name,
        "by": by,
        "from": before,
        "to": after,
    }
    if at is not None:
        given["at"] = at
    return _shown(incidents_at(**where).change(given), as_json, 1)


@command.command("list")
@limit_option
@json_option(list[ChangeView])
@server_options
def list_command(limit: int, as_json: bool, **where: Any) -> int:
    """List changes, newest first."""
    return _shown(incidents_at(**where).changes(), as_json, limit)


def _shown(found: list[ChangeView], as_json: bool, limit: int) -> int:
    if as_json:
        print_json(found[:limit])
        return 0
    if not found:
        click.echo("no changes recorded")
    for one in found[:limit]:
        releases = " -> ".join(filter(None, (one.from_release, one.to_release)))
        told = [one.at, f"{one.service:<20}", one.kind, one.id, releases]
        by = f"by {one.by}" if one.by else ""
        click.echo("  ".join(part for part in (*told, by) if part))
    return 0
