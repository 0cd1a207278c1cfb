"""`midwatch db`: look after a journal."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.sqlite_file import inspect_header, migrations
from midwatch.cli import restore
from midwatch.cli.archiving import fill_archive
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import dry_run_option
from midwatch.cli.progress import shown_progress
from midwatch.core.values.clock import SECOND
from midwatch.engine.clock import wall_ms
from midwatch.engine.handle import fold
from midwatch.engine.prune import find_cut
from midwatch.engine.verify import verify
from midwatch.errors import InputError

DAY = 86_400 * SECOND

_FILE = click.argument("file", type=click.Path(path_type=Path))


class Verified(Struct, frozen=True):
    """Whether a journal is intact, and everything that is not."""

    ok: bool
    events: int
    findings: list[str]


class Pruned(Struct, frozen=True):
    """What went, or would go, and how long the file is now."""

    events: int
    dry_run: bool
    bytes: int


@click.group("db")
def command() -> None:
    """Verify, migrate, prune, back up and restore an event log."""


command.add_command(restore.command)


@command.command("verify", short_help="Check the hash chain and the replayed state.")
@_FILE
@json_option(Verified)
def verify_command(file: Path, as_json: bool) -> int:
    """Check the hash chain, and that replaying the events gives the stored state.

    Exit 0 when it is intact, 1 when something is wrong (each finding is listed), 2 when the file is
    not a complete midwatch database. The file is not changed.
    """
    store = SqliteStore.read_only(file)
    try:
        store.hold()
        with shown_progress("events") as progress:
            count, found = verify(store, progress)
    finally:
        store.close()
    if as_json:
        print_json(Verified(not found, count, found))
        return 1 if found else 0
    for line in found:
        click.echo(f"  {line}")
    told = f"{counted(count, 'event')}, {counted(len(found), 'finding')}"
    click.echo(f"{'DAMAGED' if found else 'ok'}: {told}")
    return 1 if found else 0


@command.command("migrate")
@_FILE
@dry_run_option
def migrate_command(file: Path, dry_run: bool) -> int:
    """Migrate an event log to the newest schema. Stop the server and make a backup first."""
    if dry_run:
        before, after = inspect_header(file), migrations()[-1][0]
    else:
        before, after = SqliteStore.migrate(file)
        fill_archive(file)
    click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}, up to date")
    return 0


@command.command("prune", short_help="Replace old events with a snapshot.")
@_FILE
@click.option(
    "--keep",
    "keep_days",
    type=click.IntRange(min=0),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="Number of days of events to keep.",
)
@dry_run_option
@json_option(Pruned)
def prune_command(file: Path, keep_days: int, dry_run: bool, as_json: bool) -> int:
    """Shrink an event log: replace old events with a snapshot.

    An incident that is not closed keeps its whole timeline, and a closed one its facts. Stop
    the server first; a running server prunes automatically, if the config sets how much to keep.
    Make a backup first: pruned events cannot be restored.
    """
    now = wall_ms()
    before = now - keep_days * DAY
    inspect_header(file)
    store = SqliteStore.own(file)
    try:
        state = fold(store)
        with shown_progress("events") as progress:
            cut = find_cut(store, before, state.incidents, progress)
        if not dry_run:
            if cut is not None:
                store.cut(cut)
            while store.sweep(before + state.skew, now + state.skew):
                pass
            store.shrink()
    finally:
        store.close()
    events = cut.events if cut else 0
    if as_json:
        print_json(Pruned(events, dry_run, file.stat().st_size))
        return 0
    gone = "is gone" if events == 1 else "are gone"
    told = f"{counted(events, 'event')} older than {counted(keep_days, 'day')}"
    left = counted(file.stat().st_size, "byte")
    click.echo(f"{told} {'would go' if dry_run else gone}; {left}")
    return 0


@command.command("backup", short_help="Copy an event log, even while the server is running.")
@_FILE
@click.argument("target", type=click.Path(path_type=Path))
def backup_command(file: Path, target: Path) -> int:
    """Copy an event log to TARGET, consistently, even while the server is running."""
    if target.exists():
        raise InputError("already exists", place=str(target), remedy="choose a new file")
    inspect_header(file)
    if not target.absolute().parent.is_dir():
        raise InputError(
            "the directory does not exist", place=str(target), remedy="create it first"
        )
    store = SqliteStore.read_only(file)
    try:
        store.backup(target)
    finally:
        store.close()
    click.echo(f"{target}: {counted(target.stat().st_size, 'byte')}")
    return 0
