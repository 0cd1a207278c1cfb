"""Time as the engine counts it in production: wall clock, made safe.

Law: it never goes back and never stands still. A wall clock that is set forward is followed; while
it is behind, because somebody set it back, time goes on at its own pace, so that what is due in
five minutes is due in five minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from midwatch.core.clock import SECOND


class SteadyClock:
    """Gives milliseconds since the epoch; from any thread.

    >>> walls, ticks = [5_000, 9_000, 2_000, 2_500], [0.0, 1.0, 2.0, 3.5]
    >>> clock = SteadyClock(lambda: walls.pop(0), lambda: ticks.pop(0))
    >>> clock(), clock(), clock()
    (9000, 10000, 11500)
    """

    def __init__(self, wall: Callable[[], int], monotonic_s: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._at = wall()
        self._seen_s = monotonic_s()

    def __call__(self) -> int:
        """Say what time it is."""
        with self._lock:
            seen_s = self._monotonic_s()
            passed = int((seen_s - self._seen_s) * SECOND)
            # What is less than a millisecond is kept, or many calls would lose it.
            self._seen_s += passed / SECOND
            self._at = max(self._at + passed, self._wall())
            return self._at

    def start_at(self, at: int) -> None:
        """Go on from a journal's time when the wall clock is behind it."""
        with self._lock:
            self._at = max(self._at, at)
