"""How many alerts come, beside how many usually come.

Law: a storm is a rate that leaves its own past far behind, never a fixed number alone: what is a
storm for one shop is a Monday for another. It is counted per minute of the shard's own time.
"""

from __future__ import annotations

from msgspec import Struct

MINUTE_MS = 60_000
FACTOR = 10.0
LEAST = 30  # alerts a minute; fewer can be read
SLOW = 0.1  # the share of the newest minute in what is usual
LASTS_S = 300
DIGEST_S = 60  # so far apart are pages to one person in a storm, at the least


class Storm(Struct):
    """Counts of new alerts: of this minute, of the one before, and of a usual one."""

    minute: int = 0
    now: int = 0
    before: int = 0
    usual: float = 0.0
    raging: bool = False

    def count(self, alerts: int, at: int) -> None:
        """Count alerts that came at a time in milliseconds.

        >>> storm = Storm()
        >>> storm.count(40, 0), storm.is_high, storm.count(1, 120_000), storm.is_high
        (None, True, None, False)
        """
        minute = at // MINUTE_MS
        gone = minute - self.minute
        if gone > 0:
            self.usual += SLOW * (self.now - self.usual)
            self.usual *= (1 - SLOW) ** min(gone - 1, 1_000)
            self.before = self.now if gone == 1 else 0
            self.minute, self.now = minute, 0
        self.now += alerts

    @property
    def is_high(self) -> bool:
        """Whether this minute or the one before is far above what is usual."""
        return max(self.now, self.before) > max(LEAST, FACTOR * self.usual)
