"""Where the config and the database are: `--config` and `--db`, the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DATABASE = "midwatch.db"
SHADOW_DATABASE = "shadow.db"


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
