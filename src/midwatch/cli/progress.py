"""How far a command is, and how long it still takes, where somebody looks.

Law: it goes to stderr, and only to a terminal; with NO_COLOR it is one plain line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import click

from midwatch.engine.progress import Progress, quiet


@contextmanager
def shown_progress(what: str = "cases") -> Generator[Progress]:
    """Give a function that hears how many of how many are over."""
    if not sys.stderr.isatty():
        yield quiet
    elif os.environ.get("NO_COLOR"):
        try:
            yield lambda done, total: click.echo(f"\r{done} of {total} {what}", nl=False, err=True)
        finally:
            click.echo(err=True)
    else:
        yield from _drawn(what)


def _drawn(what: str) -> Generator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TimeRemainingColumn

    columns = (*Bar.get_default_columns()[:-1], TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield tell
