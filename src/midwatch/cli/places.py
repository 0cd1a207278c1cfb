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
    return click.option(
        "--db",
        "database",
        envvar="MIDWATCH_DB",
        type=click.Path(path_type=Path),
        help=f"The database; also $MIDWATCH_DB. Without it: {DATABASE} in the config directory.",
    )(function)


def database_of(folder: Path, database: Path | None, *, shadow: bool = False) -> Path:
    """Say which file is meant; what is kept in shadow has its own."""
    return database or folder / (SHADOW_DATABASE if shadow else DATABASE)
