"""How far a command is, and how long it still takes, where somebody looks.

Law: it goes to stderr, and only to a terminal; with NO_COLOR it is one plain line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click

Tell = Callable[[int, int], None]


def _quiet(done: int, total: int) -> None:
    """Say nothing: nobody looks."""


@contextmanager
def shown_progress(what: str = "cases") -> Generator[Tell]:
    """Give a function that hears how many of how many are over."""
    if not sys.stderr.isatty():
        yield _quiet
    elif os.environ.get("NO_COLOR"):
        try:
            yield lambda done, total: click.echo(f"\r{done} of {total} {what}", nl=False, err=True)
        finally:
            click.echo(err=True)
    else:
        yield from _drawn(what)


def _drawn(what: str) -> Generator[Tell]:
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield tell
