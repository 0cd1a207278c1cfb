"""What many commands take: the config, the database, a moment; the same in every one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from midwatch.core.clock import SECOND, parse_time

F = TypeVar("F", bound=Callable[..., Any])

DATABASE = "midwatch.db"
SHADOW_DATABASE = "shadow.db"


def read_time(_: click.Context, option: click.Parameter, given: str | None) -> int | None:
    """Read a moment, RFC 3339 with its zone or seconds since 1970, as milliseconds."""
    if given is None:
        return None
    try:
        return round(float(given) * SECOND)
    except (ValueError, OverflowError):
        pass
    try:
        return parse_time(given)
    except ValueError as error:
        raise click.BadParameter(f"{error}; write it like 2026-01-31T09:00:00Z") from None


def read_number(_: click.Context, option: click.Parameter, given: float) -> float:
    """Refuse NaN, which is in every range."""
    if math.isnan(given):
        raise click.BadParameter("nan is no number")
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
        help="The config directory; also $MIDWATCH_CONFIG.",
    )(function)


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
        help=f"The database; also $MIDWATCH_DB. Without it: {usual} in the config directory.",
    )


def shadow_option(function: F) -> F:
    """Add `--shadow` to a command that may be about a trial run."""
    says = f"In the journal of midwatch serve --shadow: {SHADOW_DATABASE} in the config directory."
    return click.option("--shadow", is_flag=True, help=says)(function)


def database_of(folder: Path, database: Path | None, *, shadow: bool = False) -> Path:
    """Say which file is meant; what is kept in shadow has its own."""
    return database or folder / (SHADOW_DATABASE if shadow else DATABASE)
