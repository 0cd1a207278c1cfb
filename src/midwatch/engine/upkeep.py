"""What keeps a journal small while it serves: chores, a slice of one at a time.

Law: a slice ends after a few milliseconds and is one transaction, so that nothing which arrives
waits for more than that. A slice that the disk refuses is tried again later, and stops nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from midwatch.core.values.clock import SECOND
from midwatch.errors import CommitFailed, Fenced, told

log = logging.getLogger("midwatch.engine")

PAUSE_MS = 50  # between two slices, for whoever else wants the disk
REST_S = 60  # when nothing is left to do

# Does a slice at a moment (milliseconds); says whether more is left.
Chore = Callable[[int], bool]


class Upkeep:
    """Turns chores in slices.

    >>> left = [3]
    >>> def chore(now: int) -> bool:
    ...     left[0] -= 1
    ...     return left[0] > 0
    >>> upkeep = Upkeep([chore])
    >>> [upkeep.turn(now) for now in (0, 10, 50, 100, 150)], left
    ([True, False, True, True, False], [0])
    """

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores
        self._next_at = 0

    def turn(self, now: int) -> bool:
        """Do a slice of the first chore that has one, when it is time; says whether it did.

        Raises Fenced.
        """
        if now < self._next_at:
            return False
        more = any(self._slice(chore, now) for chore in self._chores)
        self._next_at = now + (PAUSE_MS if more else REST_S * SECOND)
        return True

    def _slice(self, chore: Chore, now: int) -> bool:
        try:
            return chore(now)
        except Fenced:
            raise
        except CommitFailed as error:
            log.warning("maintenance is waiting", extra={"fields": {"msg": told(error)}})
        except Exception as error:  # such as an old event that is damaged: nobody else reads it
            log.error("maintenance failed", extra={"fields": {"msg": told(error)}})
        return False
