"""How far long work is, told to whoever looks.

Law: hearing it changes nothing; it is told once in many steps, so that telling costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Progress = Callable[[int, int], None]
STEP = 500
T = TypeVar("T")


def quiet(done: int, total: int) -> None:
    """Hear that `done` of `total` steps are over, and say nothing of it."""


def reported(steps: Iterable[T], total: int, progress: Progress) -> Iterator[T]:
    """Give each step on, and say now and then how many of `total` are over, and at the last one.

    >>> list(reported("abc", 3, lambda done, total: print(done, "of", total)))
    3 of 3
    ['a', 'b', 'c']
    """
    for done, step in enumerate(steps, start=1):
        yield step
        if done % STEP == 0 or done == total:
            progress(done, total)
