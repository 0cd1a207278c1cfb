"""Threads that perform: as many as are needed, and no end of the process waits for one of them.

Law: a call that hangs holds up nobody but itself. When midwatch stops it is given a moment, then it
is left: what came of it is seen at the next start.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Hands:
    """Does calls on at most so many threads, which are made when they are needed."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._over = False

    @property
    def busy(self) -> int:
        """How many calls are waiting or under way."""
        with self._changed:
            return len(self._waiting) + self._threads - self._idle

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have it done. Raises RuntimeError after the end."""
        done: Future[T] = Future()
        with self._changed:
            if self._over:
                raise RuntimeError("the engine is shutting down")
            self._waiting.append((done, call))
            if self._idle < len(self._waiting) and self._threads < self._most:
                self._threads += 1
                name = f"{self._name}-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
            else:
                self._changed.notify()
        return done

    def settle(self, within_s: float) -> bool:
        """Wait until nothing is under way; False when that takes longer."""
        until = time.monotonic() + within_s
        with self._changed:
            while self._waiting or self._threads > self._idle:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def end(self) -> None:
        """Begin nothing more. What is under way is left alone."""
        with self._changed:
            self._over = True
            waiting, self._waiting = list(self._waiting), deque()
            self._changed.notify_all()
        for done, _ in waiting:
            done.cancel()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.notify_all()
                while not self._waiting and not self._over:
                    self._changed.wait()
                self._idle -= 1
                if not self._waiting:
                    self._threads -= 1
                    self._changed.notify_all()
                    return
                done, call = self._waiting.popleft()
            if done.set_running_or_notify_cancel():
                _answer(done, call)
            del done, call


def _answer(done: Future[Any], call: Callable[[], Any]) -> None:
    try:
        found = call()
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(found)
