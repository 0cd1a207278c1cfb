"""Time as the engine counts it in production: the wall clock, made safe.

Law: it never goes back and never stands still. A wall clock that is set forward is followed; while
it is behind, because somebody set it back, time goes on a little slower than it passes, until the
two are one again. So what is due in five minutes is due in less than six, whatever was done to the
clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from midwatch.core.clock import SECOND

PACE_AHEAD = 0.9  # an hour ahead is made good in ten


def wall_ms() -> int:
    """Say what the wall clock says, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """Gives milliseconds since the epoch; from any thread.

    >>> walls, ticks = [5_000, 9_000, 2_000, 2_500], [0.0, 1.0, 2.0, 3.0]
    >>> clock = SteadyClock(lambda: walls.pop(0), lambda: ticks.pop(0))
    >>> clock(), clock(), clock()
    (9000, 9900, 10800)
    """

    def __init__(self, wall: Callable[[], int], monotonic_s: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._at = float(wall())
        self._seen_s = monotonic_s()

    def __call__(self) -> int:
        """Say what time it is."""
        with self._lock:
            seen_s, wall = self._monotonic_s(), self._wall()
            passed = (seen_s - self._seen_s) * SECOND
            self._seen_s = seen_s
            self._at = max(self._at + passed * PACE_AHEAD, float(wall))
            return int(self._at)

    def start_at(self, at: int) -> None:
        """Go on from a journal's time when the wall clock is behind it."""
        with self._lock:
            self._at = max(self._at, float(at))
