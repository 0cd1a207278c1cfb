"""`midwatch token`: who may send alerts, and who may answer them."""

from __future__ import annotations

import contextlib
import difflib
from pathlib import Path

import click
from msgspec import Struct

from midwatch import config
from midwatch.adapters.metrics.options import PushedOptions
from midwatch.adapters.stores.tokens import SqliteTokens, new_id
from midwatch.cli.audit import note, opened
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import (
    config_option,
    database_of,
    db_option,
    dry_run_option,
    need_database,
    read_span,
    shadow_option,
)
from midwatch.core.values.clock import show_time
from midwatch.engine.clock import wall_ms
from midwatch.errors import HarnessError, InputError, StateError
from midwatch.ports import Token

LIST = "see midwatch token list"


class TokenView(Struct, frozen=True):
    """A token, never its secret; `used_at` is its last use, to the minute, 0 for never."""

    id: str
    source: str
    role: str
    name: str
    created_at: int
    revoked_at: int
    expires_at: int
    used_at: int


@click.group("token")
def command() -> None:
    """Create, list and revoke tokens. Changes apply immediately, even to a running server."""


@command.command("create")
@click.option("--source", help="Create a sender token for this configured source.")
@click.option(
    "--role", type=click.Choice(["responder"]), help="Create a token for a person with this role."
)
@click.option(
    "--name", default="", help="Name of the holder; a person's name appears in the timeline."
)
@click.option(
    "--expires",
    callback=read_span,
    metavar="SPAN",
    help="Expiry, such as 90d or 12h (default: never).",
)
@config_option
@db_option
@shadow_option
def create_command(
    source: str | None,
    role: str | None,
    name: str,
    expires: int | None,
    folder: Path,
    database: Path | None,
    shadow: bool,
) -> int:
    """Create and print a token. It is shown once: only its hash is stored.

    Examples: midwatch token create --source alertmanager;
    midwatch token create --role responder --name ada --expires 90d
    """
    if (source is None) == (role is None):
        raise InputError(
            "use --source for an alert sender, or --role for a person",
            remedy="--source is for senders",
        )
    if source is not None:
        _must_exist(source, folder)
    elif not name.strip():
        remedy = f"write --role {role} --name ada"
        raise InputError(
            "--name is required, so that the timeline shows who acted",
            place="--role",
            remedy=remedy,
        )
    file = database_of(folder, database, shadow=shadow)
    if not file.parent.exists():
        remedy = f"create it with {config.how_to_begin(file.parent)}, or {config.ELSEWHERE}"
        raise InputError("not found", place=str(file.parent), remedy=remedy)
    now = wall_ms()
    ends_at = now + expires if expires else 0
    token = Token(new_id(), source or "", role or "", name or source or "", now, 0, ends_at)
    tokens = SqliteTokens.open(file)
    try:
        text = tokens.create(token)
    finally:
        tokens.close()
    note(file, "token made", token)
    click.echo(text)
    return 0


@command.command("list")
@json_option(list[TokenView])
@config_option
@db_option
@shadow_option
def list_command(as_json: bool, folder: Path, database: Path | None, shadow: bool) -> int:
    """List tokens (never their secrets)."""
    file = database_of(folder, database, shadow=shadow)
    tokens = _there(file, shadow=shadow)
    try:
        listed = tokens.all()
    finally:
        tokens.close()
    with opened(file) as access:
        used = access.used()
    found = [
        TokenView(
            one.id,
            one.source,
            one.role,
            one.name,
            one.created_at,
            one.revoked_at,
            one.expires_at,
            used.get(one.id, 0),
        )
        for one in listed
    ]
    if as_json:
        print_json(found)
        return 0
    now = wall_ms()
    for token in found:
        what = f"source {token.source}" if token.source else f"{token.role} {token.name}"
        named = f" ({token.name})" if token.source and token.name != token.source else ""
        last = f"used {show_time(token.used_at)}" if token.used_at else "never used"
        made = f"made {show_time(token.created_at)}"
        click.echo(f"{token.id}  {what + named:<28} {made}  {last}  {_state(token, now)}")
    return 0


def _state(token: TokenView, now: int) -> str:
    if token.revoked_at:
        return f"revoked {show_time(token.revoked_at)}"
    if not token.expires_at:
        return "live"
    return f"{'ended' if token.expires_at <= now else 'live until'} {show_time(token.expires_at)}"


@command.command("revoke")
@click.argument("token_id")
@dry_run_option
@config_option
@db_option
@shadow_option
def revoke_command(
    token_id: str, dry_run: bool, folder: Path, database: Path | None, shadow: bool
) -> int:
    """Revoke a token. TOKEN_ID is the first column of `token list`."""
    file = database_of(folder, database, shadow=shadow)
    tokens = _there(file, shadow=shadow)
    try:
        if dry_run:
            live = (one for one in tokens.all() if one.id == token_id and not one.revoked_at)
            token = next(live, None)
        else:
            token = tokens.revoke(token_id, wall_ms())
    finally:
        tokens.close()
    if token is None:
        raise StateError(f"no live token is named {token_id!r}", remedy=LIST)
    if not dry_run:
        note(file, "token revoked", token)
        _end_logins(file, token_id)
    click.echo(f"{token.id} {'would be' if dry_run else 'is'} revoked")
    return 0


def _end_logins(file: Path, token_id: str) -> None:
    """End the logins of a token; the server ends them too, at their next look."""
    with contextlib.suppress(HarnessError), opened(file) as access:
        access.end_of(token_id)


def _there(file: Path, *, shadow: bool) -> SqliteTokens:
    """Open a database that is there: only a new token may make one."""
    other = "omit --shadow" if shadow else "add --shadow"
    need_database(file, "set --db, or create a token first", other)
    return SqliteTokens.open(file)


def _must_exist(source: str, folder: Path) -> None:
    """Refuse a source that the config does not name; without a config anything goes."""
    if not (folder / "midwatch.yaml").is_file():
        return
    loaded = config.load(folder)
    pushed = (n for n, o in loaded.metrics.items() if o == PushedOptions())
    jobs = (name for name, job in loaded.rules.jobs.items() if not job.alert)
    names = [*loaded.sources, *pushed, *jobs, *config.INTAKES]
    if source not in names:
        near = difflib.get_close_matches(source, names, 1)
        hint = (
            f"did you mean {near[0]}?" if near else f"the sources are {', '.join(names) or 'none'}"
        )
        raise InputError(f"no source is named {source!r}", place=str(folder), remedy=hint)
