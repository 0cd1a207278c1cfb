"""The heartbeat that midwatch sends: somebody outside hears when it stops.

Law: it is sent only while the engine decides and its commits succeed.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from midwatch.core.values.clock import SECOND


class Beat(Struct):
    """A call to somebody outside, every so many seconds."""

    call: Callable[[], None]
    every_s: int
    next_at: int = 0  # ms

    def is_due(self, now: int) -> bool:
        """Say whether to call now, and wait for the next time if so.

        >>> beat = Beat(lambda: None, every_s=30)
        >>> beat.is_due(1_000), beat.is_due(30_999), beat.is_due(31_000)
        (True, False, True)
        """
        if now < self.next_at:
            return False
        self.next_at = now + self.every_s * SECOND
        return True
