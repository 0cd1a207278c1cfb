"""`midwatch init`: a config directory that works as it is, with comments that teach."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

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

EXAMPLE = '# heartbeat: {url: "https://example.org/ping/midwatch", every: 60s}'


@click.command("init")
@click.argument("folder", default="midwatch", type=click.Path(path_type=Path))
@click.option(
    "--heartbeat",
    "beat",
    metavar="URL",
    default="",
    help="URL that midwatch calls while it is healthy; an outside service pages you when the "
    "calls stop.",
)
@dry_run_option
def command(folder: Path, beat: str, dry_run: bool) -> int:
    """Create a config directory in FOLDER (default: midwatch).

    It has an alert source, a service, an SLO, a schedule, a pager that prints, and a runbook.
    Existing files are never overwritten.
    """
    if beat and not _is_address(beat):
        raise InputError(
            f"{beat!r} is not an http or https URL",
            place="--heartbeat",
            remedy="write it like https://example.org/ping/midwatch",
        )
    there = [name for name in TEMPLATE if (folder / name).exists()]
    if there:
        raise InputError(
            "already exists", place=f"{folder / there[0]}", remedy="choose another directory"
        )
    source = resources.files("midwatch.cli") / "template"
    for name in TEMPLATE:
        click.echo(f"{'would write' if dry_run else 'wrote'} {folder / name}")
        if not dry_run:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_filled((source / name).read_text("utf-8"), beat), "utf-8")
    if dry_run:
        return 0
    errors = config.check(folder)[1]
    if errors:
        raise BugError(f"the template is invalid: {errors[0]}")
    shown = "" if folder == Path("midwatch") else f" --config {folder}"
    click.echo(f"next: midwatch token create --source alertmanager{shown}")
    click.echo(f"      midwatch token create --role responder --name ada{shown}")
    click.echo(f"      midwatch serve{shown}    and open its URL in a browser")
    click.echo(
        "add --shadow to each command for a dry run: everything is recorded, nothing is sent"
    )
    if not beat:
        click.echo(
            f"set heartbeat in {folder / TEMPLATE[0]}: without it nobody is paged when midwatch"
        )
        click.echo("      itself is down (or start with midwatch init --heartbeat URL)")
    return 0


def _is_address(text: str) -> bool:
    """Say whether a text is an address that YAML holds in quotes as it is."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "\\')
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def _filled(text: str, beat: str) -> str:
    """Put the heartbeat's address where the template has an example of one."""
    return text.replace(EXAMPLE, f'heartbeat: {{url: "{beat}", every: 60s}}') if beat else text
