"""What many commands take: the config, the database, a moment, a file; the same in every one.

Law: an option that means the same is defined here once, and a file that is not there is one error.
What is drawn out of a journal is written anew, whole or not at all; what a person may have written
is never written over.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from midwatch.core.values.moments import moment
from midwatch.errors import BadFile, InputError
from midwatch.yaml_nodes import UNITS_S

F = TypeVar("F", bound=Callable[..., Any])

DATABASE = "midwatch.db"
INCIDENT = re.compile(r"(inc-\d+)(-[0-9a-f]+)?", re.IGNORECASE)
CONFIG_SAYS = "Config directory (or set $MIDWATCH_CONFIG)."
SHADOW_DATABASE = "shadow.db"


def read_time(_: click.Context, option: click.Parameter, given: str | None) -> int | None:
    """Read a moment, RFC 3339 with its zone or seconds since 1970, as milliseconds."""
    if given is None:
        return None
    try:
        return moment(given, 0)
    except ValueError as error:
        library = "isoformat" in str(error) or "range" in str(error)
        says = f"{given!r} is not a time" if library else str(error)
        hint = "" if "write it" in says else "; write it like 2026-01-31T09:00:00Z"
        raise click.BadParameter(f"{says}{hint}") from None


def read_zone(_: click.Context, option: click.Parameter, given: str | None) -> str:
    """Read a time zone; without one that of $TZ, where it names one, else UTC."""
    from whenever import Instant, TimeZoneNotFoundError

    zone = given or os.environ.get("TZ", "").lstrip(":") or "UTC"
    try:
        Instant.from_timestamp(0).to_tz(zone)  # pyright: ignore[reportUnknownMemberType]
    except (TimeZoneNotFoundError, ValueError):
        if given:
            raise click.BadParameter("is not a time zone; write it like Europe/Berlin") from None
        return "UTC"
    return zone


def read_span(_: click.Context, option: click.Parameter, given: str | None) -> int | None:
    """Read how long, such as 90d, in milliseconds."""
    if given is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})([smhdw])", given)
    if found is None:
        raise click.BadParameter(f"{given!r} is not a time; write 90d or 12h", param=option)
    return int(found[1]) * UNITS_S[found[2]] * 1_000


def read_wait(_: click.Context, option: click.Parameter, given: str) -> float:
    """Read how long a command follows what it began, in seconds: 60, 30s or 5m.

    >>> read_wait(click.Context(click.Command("x")), click.Option(["--wait"]), "5m")
    300.0
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)", given)
    if found is None:
        raise click.BadParameter(f"{given!r} is not a time; write 60, 30s or 5m", param=option)
    return float(found[1]) * UNITS_S[found[2] or "s"]


def read_incident(_: click.Context, option: click.Parameter, given: str) -> str:
    """Take the name of an incident as people type it.

    >>> read_incident(click.Context(click.Command("x")), click.Argument(["x"]), "inc-4")
    'INC-4'
    """
    found = INCIDENT.fullmatch(given)
    return f"{found[1].upper()}{(found[2] or '').lower()}" if found else given


def read_number(_: click.Context, option: click.Parameter, given: float) -> float:
    """Refuse NaN, which is in every range."""
    if math.isnan(given):
        raise click.BadParameter("nan is not a number")
    return given


def config_option(function: F) -> F:
    """Add `--config`."""
    return click.option(
        "--config",
        "folder",
        envvar="MIDWATCH_CONFIG",
        default="midwatch",
        show_default=True,
        type=click.Path(path_type=Path),
        help=CONFIG_SAYS,
    )(function)


def read_file(file: Path, remedy: str) -> bytes:
    """Read a file that was named. Raises BadFile."""
    try:
        return file.read_bytes()
    except OSError as error:
        says = f"cannot be read: {error.strerror or error}"
        raise BadFile(says, place=str(file), remedy=remedy) from None


def write_anew(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, in the place of an older one. Raises InputError.

    A link, a pipe or a device such as /dev/stdout is written to, for nothing may take its place.
    """
    part = file.with_name(f"{file.name}.part")
    in_place = file.is_symlink() or (file.exists() and not file.is_file())
    try:
        if in_place:
            file.write_bytes(content)
        else:
            part.write_bytes(content)
            part.replace(file)
    except OSError as error:
        if not in_place:
            part.unlink(missing_ok=True)
        says = f"cannot be written: {error.strerror or error}"
        raise InputError(says, place=str(file), remedy="choose another file") from None


def own_config_option(function: F) -> F:
    """Add `--config` to a command that goes without one, too."""
    return click.option(
        "--config",
        "folder",
        envvar="MIDWATCH_CONFIG",
        type=click.Path(path_type=Path),
        help=CONFIG_SAYS,
    )(function)


def limit_option(function: F) -> F:
    """Add `--limit`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 10_000),
        default=20,
        show_default=True,
        help="Maximum number of rows.",
    )(function)


def dry_run_option(function: F) -> F:
    """Add `--dry-run`."""
    says = "Show what would be done, without doing it."
    return click.option("--dry-run", is_flag=True, help=says)(function)


def db_option(function: F) -> F:
    """Add `--db`."""
    return _db_option(DATABASE)(function)


def shadow_db_option(function: F) -> F:
    """Add `--db` to a command that is about a trial run."""
    return _db_option(SHADOW_DATABASE)(function)


def _db_option(usual: str) -> Callable[[F], F]:
    return click.option(
        "--db",
        "database",
        envvar="MIDWATCH_DB",
        type=click.Path(path_type=Path),
        help=f"The database file (or set $MIDWATCH_DB; default: {usual} in the config directory).",
    )


def shadow_option(function: F) -> F:
    """Add `--shadow` to a command that may be about a trial run."""
    says = (
        f"Use the event log of midwatch serve --shadow: {SHADOW_DATABASE} in the config directory."
    )
    return click.option("--shadow", is_flag=True, help=says)(function)


def need_database(file: Path, remedy: str, other_remedy: str = "") -> None:
    """Expect a database to be there. Raises InputError, which names one of the other kind.

    `other_remedy` is how to take that one; without it, `remedy` is.
    """
    if file.exists():
        return
    kinds = (DATABASE, SHADOW_DATABASE)
    beside = (file.with_name(name) for name in kinds if name != file.name)
    other = next((one for one in beside if one.exists()), None)
    if other is not None:
        remedy = f"{other} exists: {other_remedy or remedy}"
    elif file.name in kinds and not file.parent.exists():
        from midwatch.config import how_to_begin

        remedy = f"start with {how_to_begin(file.parent)}, or {remedy}"
    raise InputError("not found", place=str(file), remedy=remedy)


def database_of(folder: Path, database: Path | None, *, shadow: bool = False) -> Path:
    """Say which file is meant; what is kept in shadow has its own."""
    return database or folder / (SHADOW_DATABASE if shadow else DATABASE)
