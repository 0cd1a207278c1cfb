"""How many effects are under way on each lane, and how many more may begin.

Law: a lane that hangs holds up no other. A pager's rate is kept: what is beyond it stays planned
and is claimed later.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from midwatch.core.values.clock import SECOND
from midwatch.ports import Rate

PERFORMERS = 64  # effects under way at once, and threads; those are made when they are needed
PER_LANE = 8  # of them, so that a pager that hangs holds up no other
BUSY = PERFORMERS // 2  # under way: from here on the rest is for lanes that have hardly any
PER_LANE_WHEN_BUSY = 2  # so that a few pagers that hang leave room for all others


class Lanes:
    """Counts what is under way; the engine's lock guards `begin` and `end`."""

    def __init__(self, rates: Mapping[str, Rate] | None = None) -> None:
        self._rates = rates or {}
        self._under_way: Counter[str] = Counter()
        self._begun: dict[str, deque[int]] = {lane: deque() for lane in self._rates}

    @property
    def free(self) -> int:
        """How many effects may be claimed at once now; 0 when everybody works.

        >>> lanes = Lanes()
        >>> lanes.free
        32
        >>> for number in range(PERFORMERS):
        ...     lanes.begin(f"pager-{number}")
        >>> lanes.free
        0
        """
        busy = self._under_way.total()
        return BUSY - busy if busy < BUSY else PERFORMERS - busy

    def room(self, lane: str, now: int) -> int:
        """Say how many more effects of a lane may begin at `now` (ms)."""
        is_busy = self._under_way.total() >= BUSY
        room = (PER_LANE_WHEN_BUSY if is_busy else PER_LANE) - self._under_way[lane]
        rate = self._rates.get(lane)
        if rate is None:
            return room
        begun = self._begun[lane]
        while begun and begun[0] <= now - rate.per_s * SECOND:
            begun.popleft()
        return min(room, rate.count - len(begun))

    def claimed(self, lane: str, now: int) -> None:
        """Count an effect towards the rate of its lane."""
        if lane in self._begun:
            self._begun[lane].append(now)

    def begin(self, lane: str) -> None:
        """Count a call as under way."""
        self._under_way[lane] += 1

    def end(self, lane: str) -> None:
        """Count a call as over."""
        self._under_way[lane] -= 1
