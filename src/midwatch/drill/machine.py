"""The machine that midwatch runs on in a drill, and its wall clock, which may be wrong for a while.

Law: the world goes by the right time, which only the shift moves. What the machine says is a
function of that time and of the faults. With a wrong clock the engine has the production clock,
`SteadyClock`, over two that are simulated: one that counts the time that passes, one that people
see. Every fault ends, and the wall clock is right again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct, structs

from midwatch.core.state.inputs import BeginTerm, Envelope
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND
from midwatch.core.values.skews import JUMP_MS
from midwatch.core.values.sli import Counts, FailedAnswer, Trace
from midwatch.core.values.slo import Slo
from midwatch.engine.clock import SteadyClock, settle
from midwatch.engine.handle import Handled
from midwatch.ports import Metrics

BOOT = "the drill's"
UP_MS = 3_600_000  # for so long the machine runs when the shift begins


class VirtualClock:
    """Time that moves only when the shift says so."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Jump(Struct, frozen=True):
    """The wall clock is off by so much for a while; by less than a minute it is no jump."""

    at_s: int
    by_ms: int
    for_s: int

    @property
    def is_big(self) -> bool:
        """Whether it is more than what is followed without a word."""
        return abs(self.by_ms) >= JUMP_MS


class Restart(Struct, frozen=True):
    """The process ends, and another one begins a while later on the same machine."""

    at_s: int
    down_s: int


class WrongClock(Struct, frozen=True):
    """What is wrong with a machine's wall clock in a shift; empty is nothing.

    It drifts by `drift_ppm` until `stops_at_s`, when somebody sets it right.
    """

    jumps: tuple[Jump, ...] = ()
    drift_ppm: int = 0
    restarts: tuple[Restart, ...] = ()
    stops_at_s: int = 0

    def __bool__(self) -> bool:
        return bool(self.jumps or self.drift_ppm)

    @property
    def small_ms(self) -> int:
        """How far the clock may be off without a jump, either way."""
        small = sum(abs(one.by_ms) for one in self.jumps if not one.is_big)
        return small + abs(self.drift_ppm) * self.stops_at_s * SECOND // 1_000_000

    def off_ms(self, since_ms: int, *, big: bool = False) -> int:
        """Say how far the wall clock is ahead so long after the start, by jumps alone if `big`."""
        off = sum(
            one.by_ms
            for one in self.jumps
            if one.at_s * SECOND <= since_ms < (one.at_s + one.for_s) * SECOND
            and (one.is_big or not big)
        )
        drifts = 0 <= since_ms < self.stops_at_s * SECOND and not big
        return off + (since_ms * self.drift_ppm // 1_000_000 if drifts else 0)

    def edges(self) -> list[tuple[int, int]]:
        """List when the wall clock jumps, in milliseconds since the start, and by how much."""
        at = {one.at_s for one in self.jumps} | {one.at_s + one.for_s for one in self.jumps}
        found = [
            (s * SECOND, self.off_ms(s * SECOND, big=True) - self.off_ms(s * SECOND - 1, big=True))
            for s in sorted(at)
        ]
        return [(when, by) for when, by in found if by]


class Machine:
    """Gives the journal's time, by a clock of the drill's own or by one that may be wrong."""

    def __init__(self, right: VirtualClock, wrong: WrongClock, starts_at: int) -> None:
        self.right = right
        self.wrong = wrong
        self.starts_at = starts_at
        self._steady = self._boot()

    def _boot(self) -> SteadyClock:
        return SteadyClock(self.wall, lambda: self.right.now - self.starts_at + UP_MS, BOOT)

    def off_ms(self, at: int | None = None) -> int:
        """Say how far the wall clock is ahead now, or was."""
        return self.wrong.off_ms((self.right.now if at is None else at) - self.starts_at)

    def wall(self) -> int:
        """Say what people see."""
        return self.right.now + self.off_ms()

    def journal(self) -> int:
        """Give the journal's time."""
        return self._steady() if self.wrong else self.right.now

    def restart(self) -> None:
        """Begin another process."""
        self._steady = self._boot()

    def go_on(self, shard: Shard, salt: str) -> BeginTerm:
        """Go on at a journal's time; gives what begins the term."""
        if not self.wrong:
            self.right.now = max(self.right.now, shard.at)
            return BeginTerm(salt)
        self._steady.go_on(shard)
        return BeginTerm(salt, BOOT, self._steady.ticks(), self.wall())

    def settle(self, handle: Callable[[Sequence[Envelope]], list[Handled]]) -> None:
        """Look whether the wall clock has jumped, as `serve` does in each of its turns."""
        if self.wrong:
            settle(self._steady, handle)

    def when(self, due_at: int) -> int:
        """Give the right time at which the journal's will be `due_at`, or a little before."""
        return self.right.now + due_at - self.journal() if self.wrong else due_at

    def dated(self, metrics: Metrics) -> Metrics:
        """Ask a source of counts by what the wall clock says, as one is that keeps dates."""
        return _Dated(metrics, lambda: self._steady.skew) if self.wrong else metrics


class _Dated:
    def __init__(self, metrics: Metrics, skew: Callable[[], int]) -> None:
        self._metrics = metrics
        self._skew = skew

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        return self._metrics.counts(slo, windows_s, now - self._skew())

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        skew = self._skew()
        found = self._metrics.trace(slo, since - skew, now - skew)
        first_at = None if found.first_at is None else found.first_at + skew
        edges = tuple(structs.replace(one, at=one.at + skew) for one in found.edges)
        return Trace(edges, first_at, found.period)

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        return self._metrics.failures(slo, window_s, now - self._skew())
