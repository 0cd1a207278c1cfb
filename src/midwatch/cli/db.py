"""`midwatch db`: look after a journal."""

from __future__ import annotations

from pathlib import Path

import click

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.cli.output import print_json
from midwatch.engine.verify import verify
from midwatch.errors import InputError

_FILE = click.argument("file", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group("db")
def command() -> None:
    """Verify, migrate and back up a journal."""


@command.command("verify")
@_FILE
@_JSON
def verify_command(file: Path, as_json: bool) -> int:
    """Check the hash chain, and that folding the events gives the stored state.

    Exit 0 when it is intact, 1 when something is wrong (each finding is named), 2 when the file is
    no whole midwatch database. The file is only read.
    """
    store = SqliteStore.read_only(file)
    try:
        count, found = verify(store, store.head())
    finally:
        store.close()
    if as_json:
        document = {"ok": not found, "events": count, "findings": found}
        print_json(document)
        return 1 if found else 0
    for line in found:
        click.echo(f"  {line}")
    click.echo(f"{'DAMAGED' if found else 'ok'}: {count} events, {len(found)} findings")
    return 1 if found else 0


@command.command("migrate")
@_FILE
def migrate_command(file: Path) -> int:
    """Bring a journal to the newest schema. Its owner must be stopped; make a backup first."""
    before, after = SqliteStore.migrate(file)
    click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}, up to date")
    return 0


@command.command("backup")
@_FILE
@click.argument("target", type=click.Path(path_type=Path))
def backup_command(file: Path, target: Path) -> int:
    """Copy a journal into TARGET, consistently, also beside its running owner."""
    if target.exists():
        raise InputError("exists already", place=target.name, remedy="name a new file")
    store = SqliteStore.read_only(file)
    try:
        store.backup(target)
    finally:
        store.close()
    click.echo(f"{target}: {target.stat().st_size} bytes")
    return 0
