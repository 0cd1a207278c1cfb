"""Time as the engine counts it in production: the journal's time, and the wall clock beside it.

Law: the journal's time never goes back, never stands still and leaps with nothing: it goes on with
the clock that counts since the machine's start, while a suspend too. A wall clock that differs by
less than a minute is followed: forward at once, back by going a little slower than time passes.
One that differs by more has jumped: it is told, and not believed before that is committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from midwatch.core.state.inputs import ClockSeen, Envelope
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.skews import JUMP_MS
from midwatch.engine.handle import Handled

log = logging.getLogger("midwatch.engine")

PACE_AHEAD = 0.9  # a minute ahead is made good in ten
ANCHOR_MS = JUMP_MS // 2  # of small steps, after which the other clock is noted again
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def wall_ms() -> int:
    """Say what the wall clock says, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def ticks_ms() -> int:
    """Say for how long the machine runs, suspended or not; where nobody counts that, since when."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    return time.monotonic_ns() // 1_000_000


def boot_id() -> str:
    """Name this run of the machine; empty where the system has no name for it."""
    with suppress(OSError):
        return _BOOT.read_text(encoding="ascii").strip()
    return ""


class SteadyClock:
    """Gives the journal's time, in milliseconds since the epoch, from any thread.

    `wall()` is what people's clocks say. `seen()` is what has to be committed first, when the
    machine's wall clock has jumped; `believe()` says that it was.

    >>> walls, ticks = [5_000, 9_000, 2_000, 2_500], [0, 1_000, 2_000, 3_000]
    >>> clock = SteadyClock(lambda: walls.pop(0), lambda: ticks.pop(0))
    >>> clock(), clock(), clock()
    (9000, 9900, 10800)
    """

    def __init__(
        self, wall: Callable[[], int], ticks: Callable[[], int] = ticks_ms, boot: str = ""
    ) -> None:
        self.boot = boot
        self.jumps = 0  # since the start
        self._wall = wall
        self._ticks = ticks
        self._lock = threading.Lock()
        self._at = float(wall())
        self._skew = 0
        self._seen = ticks()
        self._anchor = self._at - self._seen

    def __call__(self) -> int:
        """Give the journal's time."""
        with self._lock:
            return self._go_on()

    def wall(self) -> int:
        """Give the wall clock's time, as it is believed."""
        with self._lock:
            return self._go_on() - self._skew

    @property
    def skew(self) -> int:
        """How far the journal's time is ahead of the wall clock that is believed."""
        return self._skew

    def ticks(self) -> int:
        """Give what the clock of this run of the machine says."""
        return self._ticks()

    def go_on(self, shard: Shard) -> None:
        """Go on with a journal's time: in the same run of the machine as if it had never stopped.

        In another run the wall clock alone says for how long it was down, when it says so at all.
        """
        skews = shard.skews
        with self._lock:
            self._seen, wall = self._ticks(), self._wall()
            self._skew = skews.now
            if self.boot and skews.boot == self.boot and self._seen >= skews.ticks_ms:
                at = skews.at + self._seen - skews.ticks_ms
            else:
                at = wall + skews.now
            self._at = float(max(at, shard.at))
            self._anchor = self._at - self._seen

    def seen(self) -> ClockSeen | None:
        """Give what has to be committed before anything is decided by the wall clock of now."""
        with self._lock:
            at = self._go_on()
            wall = self._wall()
            by = wall + self._skew - at
            if abs(by) >= JUMP_MS:
                skew = 0 if abs(at - wall) < JUMP_MS else at - wall
            elif abs(self._at - self._seen - self._anchor) >= ANCHOR_MS:
                by, skew = 0, self._skew
            else:
                return None
            return ClockSeen(by, skew, self.boot, int(self._seen))

    def believe(self, seen: ClockSeen) -> None:
        """Take what was committed for true."""
        with self._lock:
            self.jumps += abs(seen.by_ms) >= JUMP_MS
            self._skew = seen.skew_ms
            self._anchor = self._at - self._seen

    def _go_on(self) -> int:
        seen, wall = self._ticks(), self._wall()
        passed, self._seen = seen - self._seen, seen
        target = wall + self._skew
        if abs(target - self._at - passed) >= JUMP_MS:
            self._at += passed  # it has jumped
        else:
            self._at = max(self._at + passed * PACE_AHEAD, float(target))
        return int(self._at)


def settle(clock: SteadyClock, handle: Callable[[Sequence[Envelope]], list[Handled]]) -> None:
    """Commit a jump of the wall clock, if there was one, before anything is decided by it.

    Raises what `handle` raises; then the wall clock is not believed yet.
    """
    seen = clock.seen()
    if seen is None:
        return
    (handled,) = handle([Envelope("", seen)])
    if handled.status == "rejected":
        log.error("clock jump not recorded", extra={"fields": {"msg": handled.why}})
    clock.believe(seen)
    if seen.by_ms:
        way = "ahead" if seen.by_ms > 0 else "back"
        says = f"{way} by {show_duration(abs(seen.by_ms) / SECOND)}"
        fields = {"msg": says, "by_s": seen.by_ms / SECOND, "skew_s": seen.skew_ms / SECOND}
        log.warning("wall clock jumped", extra={"fields": fields})
