"""`midwatch init`: a config directory that works as it is, with comments that teach."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from midwatch import config
from midwatch.cli.places import dry_run_option
from midwatch.errors import BugError, InputError

TEMPLATE = (
    "midwatch.yaml",
    "topology.yaml",
    "schedules/primary.yaml",
    "slos/availability.yaml",
    "runbooks/rollback.md",
)


@click.command("init")
@click.argument("folder", default="midwatch", type=click.Path(path_type=Path))
@dry_run_option
def command(folder: Path, dry_run: bool) -> int:
    """Write a config directory into FOLDER (default: midwatch).

    One alert source, one service, one objective, one schedule, one pager that prints, one runbook.
    Nothing that exists is overwritten.
    """
    there = [name for name in TEMPLATE if (folder / name).exists()]
    if there:
        raise InputError(
            "is there already", place=f"{folder / there[0]}", remedy="name another folder"
        )
    source = resources.files("midwatch.cli") / "template"
    for name in TEMPLATE:
        click.echo(f"{'would write' if dry_run else 'wrote'} {folder / name}")
        if not dry_run:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((source / name).read_text("utf-8"), "utf-8")
    if dry_run:
        return 0
    errors = config.check(folder)[1]
    if errors:
        raise BugError(f"the template is wrong: {errors[0]}")
    shown = "" if folder == Path("midwatch") else f" --config {folder}"
    click.echo(f"next: midwatch token create --source alertmanager{shown}")
    click.echo(f"      midwatch token create --role responder --name ada{shown}")
    click.echo(f"      midwatch serve{shown}    and open its address in a browser")
    click.echo("with --shadow behind each, it decides and records everything and sends nothing")
    return 0
