"""How far a command is, and how long it still takes, where somebody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


def _quiet(done: int, total: int) -> None:
    """Say nothing: nobody looks."""


@contextmanager
def shown_progress() -> Generator[Callable[[int, int], None]]:
    """Give a function that hears how many of how many are over."""
    if not sys.stderr.isatty():
        yield _quiet
        return
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("cases", total=None)

        def tell(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield tell
