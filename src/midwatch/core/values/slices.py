"""Slices of time as events: a slice is good when enough of its events were.

Law: a slice without events is neither good nor bad: it gives no event. A slice is judged once, when
something newer than it arrives or time has passed it; what comes for it later is not counted.
"""

from __future__ import annotations

from fractions import Fraction

from midwatch.core.values.clock import SECOND


class Slicer:
    """Turns counts into one event a closed slice.

    >>> slicer = Slicer(60, "9/10")
    >>> slicer.add(10_000, good=8, total=10), slicer.add(70_000, good=10, total=10)
    ([], [(60000, 0, 1)])
    >>> slicer.close(120_000)
    [(120000, 1, 1)]
    """

    def __init__(self, slice_s: int, target: str) -> None:
        self._slice_ms = slice_s * SECOND
        self._target = Fraction(target)
        self._end = 0  # of the open slice
        self._good = 0
        self._total = 0

    def add(self, at: int, good: int, total: int) -> list[tuple[int, int, int]]:
        """Count events of a moment; gives the slices that it closes, as (at, good, total)."""
        end = -(-at // self._slice_ms) * self._slice_ms
        closed = self.close(end - 1) if end > self._end else []
        if end < self._end:
            return closed
        self._end = end
        self._good += good
        self._total += total
        return closed

    def close(self, now: int) -> list[tuple[int, int, int]]:
        """Close the open slice when its time is over."""
        if not self._total or now < self._end:
            return []
        good = self._good >= self._target * self._total
        event = (self._end, int(good), 1)
        self._good = self._total = 0
        return [event]
