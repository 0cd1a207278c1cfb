"""`midwatch audit`: who came, who was refused, and which tokens were made and revoked.

Law: it only reads. It works beside a running server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import click

from midwatch.adapters.stores.access import SqliteAccess
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import (
    config_option,
    database_of,
    db_option,
    limit_option,
    need_database,
    shadow_option,
)
from midwatch.core.values.clock import show_time
from midwatch.engine.clock import wall_ms
from midwatch.errors import HarnessError
from midwatch.ports import Attempt, Did, Token


@contextlib.contextmanager
def opened(file: Path) -> Generator[SqliteAccess]:
    """Open the logins and the trail of a journal."""
    access = SqliteAccess.open(file)
    try:
        yield access
    finally:
        access.close()


def note(file: Path, what: Did, token: Token) -> None:
    """Keep in the trail what was done from a shell; that it cannot be kept is a warning."""
    whose = f"source {token.source}" if token.source else f"{token.role} {token.name}"
    try:
        with opened(file) as access:
            access.note(Attempt(wall_ms(), what, token.id, token.name, "shell", whose))
    except HarnessError as error:
        click.echo(f"warning: the audit trail was not written: {error}", err=True)


@click.command("audit")
@limit_option
@click.option("--before", type=click.IntRange(1), help="Only lines with a number below this one.")
@json_option(list[Attempt])
@config_option
@db_option
@shadow_option
def command(
    limit: int,
    before: int | None,
    as_json: bool,
    folder: Path,
    database: Path | None,
    shadow: bool,
) -> int:
    """List logins, refused requests and token changes, newest first.

    Refusals repeated within a minute are one line with a count.
    """
    file = journal_of(folder, database, shadow=shadow)
    with opened(file) as access:
        found = access.trail(limit or 1_000, before or 0)
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo("the audit trail is empty")
    for one in found:
        who = " ".join(part for part in (one.name, one.token and f"token {one.token}") if part)
        parts = [
            one.what,
            who,
            one.address and f"from {one.address}",
            one.says,
            counted(one.times, "time") if one.times > 1 else "",
        ]
        says = ", ".join(part for part in parts if part)
        click.echo(f"{one.number:>6}  {show_time(one.at)}  {says}")
    return 0


def journal_of(folder: Path, database: Path | None, *, shadow: bool) -> Path:
    """Find the journal that a command is about. Raises InputError when it is not there."""
    file = database_of(folder, database, shadow=shadow)
    other = "omit --shadow" if shadow else "add --shadow"
    need_database(file, "set --db, or start midwatch serve first", other)
    return file
