"""`midwatch db restore`: a copy takes the place of a journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click
import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from midwatch.adapters.stores.access import SqliteAccess, beside
from midwatch.adapters.stores.putting_back import put_back, tokens_of
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.sqlite_file import inspect_header, take_lock
from midwatch.cli.archiving import fill_archive
from midwatch.cli.output import counted, json_option, on_one_line, print_json
from midwatch.cli.places import dry_run_option
from midwatch.cli.progress import shown_progress
from midwatch.core.values.clock import show_time
from midwatch.engine.clock import wall_ms
from midwatch.engine.restoring import Done, Lost, compare
from midwatch.engine.verify import verify
from midwatch.errors import BadDatabase, InputError, StateError, told


class Restored(Struct, frozen=True, kw_only=True):
    """What a copy held, what is lost with the file that it replaces, and where that one is kept.

    `unknown` says why the loss is not known; `findings` are what is wrong with the copy, and then
    nothing was done. Tokens that were `revoked` since the copy are valid again.
    """

    ok: bool
    dry_run: bool
    events: int
    lost: Lost = field(default_factory=Lost)
    unknown: str = ""
    kept_aside: str = ""
    tokens_made: list[str] = field(default_factory=list[str])
    tokens_revoked: list[str] = field(default_factory=list[str])
    findings: list[str] = field(default_factory=list[str])


@click.command("restore", short_help="Restore an event log from a copy.")
@click.argument("copy", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@dry_run_option
@json_option(Restored)
def command(copy: Path, file: Path, dry_run: bool, as_json: bool) -> int:
    """Replace the event log FILE with COPY. Stop the server first.

    COPY is verified first. What is only in FILE is lost: the command lists it, and keeps the old
    FILE next to the new one. Exit 1 when COPY is damaged; then nothing is changed.
    """
    if file.is_dir():
        raise InputError(
            "this is a directory", place=str(file), remedy="give the event log file in it"
        )
    file = file.resolve()  # a link to it stays a link to it
    if file.exists() and copy.exists() and copy.samefile(file):
        raise InputError(
            "the copy and the event log are the same file",
            place=str(copy),
            remedy="choose a backup",
        )
    inspect_header(copy)
    with take_lock(file):
        found = _looked(copy, file, dry_run)
        if found.ok and not dry_run:
            aside = Path(found.kept_aside) if found.kept_aside else file
            _end_logins(file)
            put_back(copy, file, aside)
    if found.ok and not dry_run:
        fill_archive(file)
    if as_json:
        print_json(found)
    else:
        _print(found, copy, file)
    return 0 if found.ok else 1


def _end_logins(file: Path) -> None:
    """End all logins: also those that are older than the copy, whose tokens it may bring back."""
    if beside(file).exists():
        access = SqliteAccess.open(file)
        try:
            access.end_all()
        finally:
            access.close()


def _looked(copy: Path, file: Path, dry_run: bool) -> Restored:
    """Look at both. Raises StateError when they are not of one journal."""
    reader = SqliteStore.read_only(copy)
    try:
        with shown_progress("events") as progress:
            count, findings = verify(reader, progress)
        if findings:
            return Restored(ok=False, dry_run=dry_run, events=count, findings=findings)
        if not file.exists():
            says = f"{file} does not exist"
            return Restored(ok=True, dry_run=dry_run, events=count, unknown=says)
        return _compared(reader, copy, file, count, dry_run)
    finally:
        reader.close()


def _compared(reader: SqliteStore, copy: Path, file: Path, count: int, dry_run: bool) -> Restored:
    stamp = show_time(wall_ms()).replace(":", "").replace(".", "")
    aside = str(file.with_name(f"{file.name}.before-{stamp}"))
    found = Restored(ok=True, dry_run=dry_run, events=count, kept_aside=aside)
    try:
        old = SqliteStore.read_only(file)
    except BadDatabase as error:
        return replace(found, unknown=str(error))
    try:
        if (old.name, old.is_shadow) != (reader.name, reader.is_shadow):
            remedy = "move it away first to replace it anyway"
            raise StateError(
                f"not the event log that {copy} is a copy of", place=str(file), remedy=remedy
            )
        lost = compare(reader, old)
    except (BadDatabase, sqlite3.Error, msgspec.MsgspecError) as error:
        return replace(found, unknown=told(error))
    finally:
        old.close()
    then, now = tokens_of(copy), tokens_of(file)
    made = [f"{name} {one.whose}" for name, one in now.items() if name not in then]
    revoked = [
        f"{name} {one.whose}"
        for name, one in now.items()
        if one.revoked and name in then and not then[name].revoked
    ]
    return replace(found, lost=lost, tokens_made=made, tokens_revoked=revoked)


def _print(found: Restored, copy: Path, file: Path) -> None:
    if found.findings:
        for line in found.findings:
            click.echo(f"  {line}")
        click.echo(f"DAMAGED: {copy}, {counted(len(found.findings), 'finding')}; nothing was done")
        return
    click.echo(f"copy: {copy}, {counted(found.events, 'event')}, verified")
    if found.unknown:
        click.echo(f"it is unknown what is lost: {found.unknown}")
    else:
        _print_lost(found)
    if found.kept_aside:
        click.echo(f"{'would be kept' if found.dry_run else 'kept'}: {found.kept_aside}")
    would = "would be" if found.dry_run else "is"
    click.echo(f"{file} {would} {copy}; all logins end with the next midwatch serve")


def _print_lost(found: Restored) -> None:
    lost = found.lost
    since = f" since {lost.since}" if lost.since else ""
    click.echo(f"lost: {counted(lost.events, 'event')}{since}")
    if lost.pruned:
        says = "of them were pruned from the file: their content is unknown"
        click.echo(f"  {counted(lost.pruned, 'event')} {says}")
    if lost.behind:
        click.echo(
            f"{counted(lost.behind, 'event')} of the copy are not in the file: the two "
            f"have diverged"
        )
    for title, lines in (
        (
            "incident, whose pages were sent and not resolved: resolve them in the pager",
            lost.opened,
        ),
        ("action, by people or runbooks: repeat those that still apply", lost.done),
    ):
        noun, _, rest = title.partition(",")
        if lines:
            click.echo(f"  {counted(len(lines), noun)},{rest}")
        for line in lines:
            click.echo(f"    {_told(line)}")
    for title, names in (
        ("made since are not valid any more", found.tokens_made),
        ("revoked since are valid again: revoke them", found.tokens_revoked),
    ):
        if names:
            click.echo(f"  {counted(len(names), 'token')} {title}: {', '.join(names)}")


def _told(line: Done) -> str:
    return on_one_line(f"{line.at} {line.about} {line.kind}: {line.says}")
