"""Looks at the state that wait for their turn on the engine's thread.

Law: readers never hold up the writer. A turn answers looks for VIEWS_S of time, at least one; the
rest waits for the next turn, behind what is decided there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from msgspec import Struct

from midwatch.core.state.shard import Shard
from midwatch.errors import Busy

T = TypeVar("T")

MAX_VIEWS = 500  # looks that wait
VIEWS_S = 0.005  # for looks in one turn; the first one of a turn is always answered


class View(Struct):
    """One look, and the future of whoever asked."""

    look: Callable[[Shard], object]
    done: Future[object]

    def answer(self, shard: Shard) -> None:
        """Look, unless whoever asked has left; what the look raises is the answer."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.look(shard))
        except Exception as error:
            self.done.set_exception(error)


class Views:
    """A queue of looks, first come first served; any thread may put, one thread answers."""

    def __init__(self) -> None:
        self._waiting: deque[View] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, look: Callable[[Shard], T]) -> Future[T]:
        """Queue a look. Raises Busy when too many wait already."""
        if len(self._waiting) >= MAX_VIEWS:
            raise Busy(f"{MAX_VIEWS} readers are waiting", remedy="try again in a moment")
        done: Future[object] = Future()
        self._waiting.append(View(look, done))
        return done  # pyright: ignore[reportReturnType]  # what `look` gives is what comes out

    def answer(self, shard: Shard) -> int:
        """Answer looks within a turn's time; return how many."""
        until, answered = time.monotonic() + VIEWS_S, 0
        while self._waiting and (not answered or time.monotonic() < until):
            self._waiting.popleft().answer(shard)
            answered += 1
        return answered

    def clear(self) -> list[View]:
        """Take all that wait out of the queue."""
        rest, self._waiting = list(self._waiting), deque()
        return rest
