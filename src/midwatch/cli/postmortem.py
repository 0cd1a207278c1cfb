"""`midwatch postmortem`: what happened, told out of the journal, and what people make of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct, structs

from midwatch import config
from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import read_file, read_incident, read_zone, write_anew
from midwatch.core.values.judgements import ActionItem, Added, Whole
from midwatch.core.values.postmortems import Postmortem, problems, unjudged
from midwatch.errors import BadFile, InputError
from midwatch.yaml_nodes import Problems, read_yaml

_INCIDENT = click.argument("incident", callback=read_incident)
_ZONE = click.option(
    "--zone",
    callback=read_zone,
    metavar="ZONE",
    help="Time zone shown next to UTC, such as Europe/Berlin (default: $TZ).",
)
KINDS = {".md": "md", ".html": "html", ".htm": "html", ".json": "json"}


class Proofread(Struct, frozen=True):
    """What is wrong with a postmortem, and what nobody has written yet."""

    incident: str
    wrong: list[str]
    unwritten: list[str]


@click.group("postmortem")
def command() -> None:
    """Draft, show, edit, export and check postmortems.

    The facts are read from the event log each time; what you write is stored next to them.
    """


@command.command("draft", short_help="Draft the postmortem now.")
@_INCIDENT
@json_option(Postmortem)
@server_options
def draft_command(incident: str, as_json: bool, **where: Any) -> int:
    """Draft the postmortem now, if that has not happened automatically."""
    found = incidents_at(**where).draft(incident)
    if as_json:
        print_json(found)
        return 0
    click.echo(f"{incident} has a postmortem: see midwatch postmortem show {incident}")
    for one in found.lacks:
        click.echo(f"  still missing: {one}")
    return 0


@command.command("show")
@_INCIDENT
@_ZONE
@json_option(Postmortem)
@server_options
def show_command(incident: str, zone: str, as_json: bool, **where: Any) -> int:
    """Show a postmortem as Markdown."""
    from midwatch.adapters.reports import postmortem as pages

    found = incidents_at(**where).postmortem(incident)
    if as_json:
        print_json(found)
    else:
        click.echo(pages.markdown(found, zone=zone), nl=False)
    return 0


@command.command("edit", short_help="Edit the human part of a postmortem.")
@_INCIDENT
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML or JSON file that replaces the whole human part.",
)
@click.option("--what", "summary", metavar="TEXT", help="Root cause, in your words.")
@click.option("--went-well", multiple=True, metavar="TEXT", help="Add what went well (repeatable).")
@click.option(
    "--went-wrong", multiple=True, metavar="TEXT", help="Add what went wrong (repeatable)."
)
@click.option(
    "--lucky", multiple=True, metavar="TEXT", help="Add where you were lucky (repeatable)."
)
@click.option(
    "--factor", "factors", multiple=True, metavar="TEXT", help="A contributing factor (repeatable)."
)
@click.option("--item", metavar="TEXT", help="An action item; needs --owner and --due.")
@click.option("--owner", help="Owner of the action item.")
@click.option("--due", metavar="DAY", help="Due date of the action item: 2026-12-31.")
@click.option("--done", "done", type=click.IntRange(1), help="Mark action item N as done.")
@click.option("--drop", "dropped", type=click.IntRange(1), help="Mark action item N as dropped.")
@click.option(
    "--at-version",
    "version",
    type=click.IntRange(0),
    metavar="N",
    help="With --file: fail if someone has edited it since version N.",
)
@json_option(Postmortem)
@server_options
def edit_command(
    incident: str,
    file: Path | None,
    summary: str | None,
    went_well: Sequence[str],
    went_wrong: Sequence[str],
    lucky: Sequence[str],
    factors: Sequence[str],
    item: str | None,
    owner: str | None,
    due: str | None,
    done: int | None,
    dropped: int | None,
    version: int | None,
    as_json: bool,
    **where: Any,
) -> int:
    """Edit the human part of a postmortem.

    An action item has an owner and a due date, or it is refused. Text given with options is
    added to the existing text, and a repeated item is kept once; --file replaces everything.
    The file may contain a version, as in `show --json`.
    """
    at = incidents_at(**where)
    if (item is None) is not (owner is None and due is None) or (owner is None) is not (
        due is None
    ):
        raise click.UsageError("--item, --owner and --due belong together")
    added = Added(
        summary,
        tuple(went_well),
        tuple(went_wrong),
        tuple(lucky),
        tuple(factors),
        (ActionItem(item, owner or "", due or ""),) if item is not None else (),
        done,
        dropped,
    )
    if file is None:
        if version is not None:
            raise click.UsageError("--at-version needs --file")
        found = at.add(incident, added)
    else:
        if added != Added():
            raise click.UsageError("--file replaces everything: give no other option with it")
        whole = _read(file)
        if version is not None:
            whole = structs.replace(whole, version=version)
        found = at.judge(incident, whole)
    if as_json:
        print_json(found)
        return 0
    left = found.judgement.unwritten
    click.echo(f"{incident}: written; " + (f"still open: {', '.join(left)}" if left else "whole"))
    return 0


@command.command("export", short_help="Export a postmortem as Markdown, HTML or JSON.")
@_INCIDENT
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Output file; its suffix sets the format: .md, .html or .json.",
)
@_ZONE
@server_options
def export_command(incident: str, out: Path, zone: str, **where: Any) -> int:
    """Write a postmortem to a file: .md, .html or .json.

    Markdown has the burn curve of each SLO in a separate SVG file; HTML contains them and needs no
    other file.
    """
    from midwatch.adapters.reports import curve
    from midwatch.adapters.reports import postmortem as pages

    kind = KINDS.get(out.suffix.lower())
    if kind is None:
        remedy = f"use one of {', '.join(KINDS)}"
        raise InputError("unknown file suffix", place=str(out), remedy=remedy)
    found = incidents_at(**where).postmortem(incident)
    written = [out]
    if kind == "json":
        text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
    elif kind == "html":
        text = pages.html(found, zone=zone)
    else:
        beside = [
            out.with_name(f"{out.stem}{f'-{number}' if number > 1 else ''}.svg")
            for number in range(1, len(found.drawn) + 1)
        ]
        text = pages.markdown(found, [one.name for one in beside], zone)
        for place, one in zip(beside, found.drawn, strict=True):
            write_anew(place, curve.draw(found, one).encode())
            written.append(place)
    write_anew(out, text.encode())
    click.echo(f"wrote {' and '.join(str(one) for one in written)}")
    return 0


@command.command("check", short_help="Check whether a postmortem may be published.")
@click.argument("incident", metavar="INCIDENT|FILE", callback=read_incident)
@click.option("--whole", is_flag=True, help="Also fail on parts that nobody has written yet.")
@click.option(
    "--none",
    "none",
    metavar="REASON",
    help="Reason why nothing went well or no action items remain.",
)
@json_option(Proofread)
@server_options
def check_command(incident: str, whole: bool, none: str | None, as_json: bool, **where: Any) -> int:
    """Check a postmortem, of an incident or in a file of `export`. Exit 1 when it fails.

    Each sentence must refer to its events, the figures must be complete, action items need an owner
    and a due date, and generated text must not name people. Someone must have written what went
    well and at least one action item; otherwise give the reason with --none.
    """
    if none is not None and not none.strip():
        raise click.UsageError("--none has a reason")
    file = Path(incident)
    found = _decode(file) if file.suffix == ".json" else incidents_at(**where).postmortem(incident)
    people = _people(where["folder"])
    wrong = problems(found, people)
    if none is None:
        wrong += [f"{one}; write it, or give the reason with --none" for one in unjudged(found)]
    left = [f"not written yet: {one}" for one in found.judgement.unwritten]
    wrong += left if whole else []
    if as_json:
        print_json(Proofread(found.incident, wrong, left))
    else:
        for one in wrong:
            click.echo(one)
        for one in left if not whole else []:
            click.echo(f"note: {one}")
        click.echo(f"{found.incident}: {'good' if not wrong else f'{len(wrong)} wrong'}")
    return 1 if wrong else 0


def _people(folder: Path) -> dict[str, str]:
    """Name whom the config knows, and how people write them; without one nobody."""
    if not (folder / "midwatch.yaml").is_file():
        return {}
    known = config.load(folder).rules.policy.team.people
    return {name: one.called for name, one in sorted(known.items())}


def _decode(file: Path) -> Postmortem:
    try:
        body = read_file(file, "create one with midwatch postmortem export")
        return msgspec.json.decode(body, type=Postmortem)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "see docs/schemas/postmortem-1.json"
        raise BadFile(f"not a valid postmortem: {error}", place=str(file), remedy=remedy) from None


def _read(file: Path) -> Whole:
    """Read what somebody wrote into a file."""
    if not file.is_file():
        raise BadFile("not found", place=str(file), remedy="create it first")
    noted = Problems()
    root = read_yaml(file, noted)
    if noted.found:
        raise noted.found[0]
    try:
        return msgspec.convert(root.value or {}, Whole, str_keys=True)
    except msgspec.ValidationError as error:
        remedy = "see docs/postmortems.md"
        raise BadFile(str(error), place=str(file), remedy=remedy) from None
