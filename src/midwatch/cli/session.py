"""`midwatch session`: who is logged in to the web UI.

Law: it reads and ends; nothing here gives anybody anything. It works beside a running server.
"""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct

from midwatch.adapters.stores.tokens import SqliteTokens
from midwatch.cli.audit import journal_of, opened
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import config_option, db_option, dry_run_option, shadow_option
from midwatch.core.values.clock import show_time
from midwatch.engine.clock import wall_ms
from midwatch.ports import Attempt


class SessionView(Struct, frozen=True):
    """A login that lives: whose it is, when it began, and its last use to the minute."""

    id: str
    token: str
    name: str
    began_at: str
    used_at: str


class Ended(Struct, frozen=True):
    """How many logins were ended, or would be."""

    logins: int
    dry_run: bool


@click.group("session")
def command() -> None:
    """List logins to the web UI, and end all of them."""


@command.command("list", short_help="List logins to the web UI.")
@json_option(list[SessionView])
@config_option
@db_option
@shadow_option
def list_command(as_json: bool, folder: Path, database: Path | None, shadow: bool) -> int:
    """List logins to the web UI."""
    file = journal_of(folder, database, shadow=shadow)
    with opened(file) as access:
        found = access.sessions(wall_ms())
    tokens = SqliteTokens.open(file)
    try:
        names = {one.id: one.name for one in tokens.all()}
    finally:
        tokens.close()
    listed = [
        SessionView(
            one.id,
            one.token,
            names.get(one.token, ""),
            show_time(one.began_at),
            show_time(one.used_at),
        )
        for one in found
    ]
    if as_json:
        print_json(listed)
        return 0
    if not listed:
        click.echo("no logins")
    for one in listed:
        click.echo(
            f"{one.id}  {one.name}, token {one.token}  since {one.began_at}  used {one.used_at}"
        )
    return 0


@command.command("end-all", short_help="End all logins to the web UI.")
@dry_run_option
@json_option(Ended)
@config_option
@db_option
@shadow_option
def end_all_command(
    dry_run: bool, as_json: bool, folder: Path, database: Path | None, shadow: bool
) -> int:
    """End all logins to the web UI: everyone has to log in again. Tokens stay valid."""
    file = journal_of(folder, database, shadow=shadow)
    now = wall_ms()
    with opened(file) as access:
        count = len(access.sessions(now)) if dry_run else access.end_all()
        if not dry_run:
            access.note(Attempt(now, "logins ended", address="shell", says=f"{count} logins"))
    if as_json:
        print_json(Ended(count, dry_run))
        return 0
    verb = "would be" if dry_run else "was" if count == 1 else "were"
    click.echo(f"{counted(count, 'login')} {verb} ended")
    return 0
