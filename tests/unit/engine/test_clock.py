"""Time in production: it goes on with the time that passes, whatever the wall clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midwatch.core.state.shard import Shard
from midwatch.core.values.skews import JUMP_MS, Skews
from midwatch.engine.clock import SteadyClock

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_800_000_000_000


class Machine:
    """A wall clock that may be set, and one that only counts."""

    def __init__(self, wall: int = NOW, boot: str = "one") -> None:
        self.off = wall
        self.ticks = 5_000.0
        self.boot = boot

    def wall(self) -> int:
        """What the wall clock says."""
        return self.off + int(self.ticks)

    def starts(self, shard: Shard | None = None) -> SteadyClock:
        """Start a process on it."""
        clock = SteadyClock(self.wall, lambda: int(self.ticks), self.boot)
        clock.go_on(shard or Shard())
        return clock


def settled(clock: SteadyClock) -> int:
    """Let a jump be committed; gives how far it was."""
    seen = clock.seen()
    if seen is not None:
        clock.believe(seen)
    return seen.by_ms if seen else 0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-2 * DAY, 2 * DAY)), max_size=40))
def test_time_goes_on_whatever_the_wall_clock_does(steps: list[tuple[float, int]]) -> None:
    """At nine tenths of its pace at the least, and it leaps by no more than a minute."""
    machine = Machine()
    clock = machine.starts()
    before = clock()
    for step_s, jump in steps:
        machine.ticks += step_s * 1_000
        machine.off += jump
        now = clock()
        assert now >= before + int(step_s * 900) - 1
        assert now <= before + int(step_s * 1_000) + 2 + JUMP_MS
        settled(clock)
        before = clock()  # a corrected clock is followed, too, by less than a jump
        assert now <= before < now + JUMP_MS
        assert abs(clock.wall() - machine.wall()) <= JUMP_MS


def test_many_looks_lose_no_time() -> None:
    """Of a hundred looks in a millisecond, each as if it were the first."""
    machine = Machine()
    clock, began = machine.starts(), machine.wall()
    machine.off -= 30_000
    for _ in range(100_000):
        machine.ticks += 0.01
        clock()
    assert abs(clock() - began - 900) <= 1


def test_a_small_step_forward_is_followed_at_once() -> None:
    """Half a minute is no jump."""
    machine = Machine()
    clock = machine.starts()
    machine.off += 30_000
    assert clock() == machine.wall()
    assert clock.seen() is not None  # only that the other clock stands elsewhere now
    assert settled(clock) == 0
    assert clock.skew == 0


def test_a_small_step_back_is_made_good() -> None:
    """Within ten times as long, and it was never wrong by more."""
    machine = Machine()
    clock, lead = machine.starts(), 50_000
    machine.off -= lead
    for _ in range(10):
        machine.ticks += MINUTE
        ahead = clock() - machine.wall()
        assert 0 <= ahead <= lead
        lead = ahead
    assert lead == 0


def test_a_jump_is_told_and_not_followed() -> None:
    """A day ahead: time goes on, the wall clock is believed once that is committed."""
    machine = Machine()
    clock = machine.starts()
    began = clock()
    machine.off += DAY
    machine.ticks += 1_000
    assert clock() == began + 1_000
    assert clock.wall() == began + 1_000
    assert settled(clock) == DAY
    assert (clock(), clock.wall()) == (began + 1_000, machine.wall())
    machine.off -= DAY
    machine.ticks += 20_000
    assert settled(clock) == -DAY
    assert (clock.skew, clock(), clock.wall()) == (0, began + 21_000, machine.wall())
    assert clock.jumps == 2


def test_a_restart_in_the_same_run_of_the_machine_goes_on_as_if_it_had_never_stopped() -> None:
    """It knows for how long it was down, though the wall clock is wrong."""
    machine = Machine()
    began = machine.starts()()
    shard = Shard(at=began, skews=Skews().anchored(began, "one", int(machine.ticks)))
    machine.ticks += HOUR
    machine.off += 3_650 * DAY
    clock = machine.starts(shard)
    assert clock() == began + HOUR
    assert settled(clock) == 3_650 * DAY
    assert clock.wall() == machine.wall()


def test_in_another_run_the_wall_clock_says_how_long_it_was_down() -> None:
    """Nobody else can; a journal that is not ahead of it needs no skew."""
    machine = Machine(boot="two")
    shard = Shard(at=NOW - 3 * DAY, skews=Skews().anchored(NOW - 4 * DAY, "one", 9))
    clock = machine.starts(shard)
    assert clock() == machine.wall()
    assert clock.seen() is None


def test_a_journal_that_is_ahead_goes_on_and_people_see_the_wall_clock() -> None:
    """Such as one that an older version wrote while the clock was ten years ahead."""
    machine = Machine()
    shard = Shard(at=NOW + 3_650 * DAY)
    clock = machine.starts(shard)
    assert clock() == shard.at
    assert settled(clock) < -3_649 * DAY
    assert clock.wall() == machine.wall()
    machine.ticks += MINUTE
    assert clock() == shard.at + MINUTE


def test_a_known_skew_lasts_over_a_restart_of_the_machine() -> None:
    """What was ahead by a day stays so, and the time that it was down counts."""
    machine = Machine(boot="two")
    skews = Skews().jumped(NOW, DAY).anchored(NOW, "one", 1)
    clock = machine.starts(Shard(at=NOW + DAY - HOUR, skews=skews))
    assert clock.seen() is None
    assert (clock(), clock.wall()) == (machine.wall() + DAY, machine.wall())


def test_small_steps_are_noted_before_they_add_up_to_a_jump() -> None:
    """Else a restart would take them for one."""
    machine = Machine()
    clock, noted = machine.starts(), 0
    for _ in range(100):
        machine.ticks += MINUTE
        machine.off += 1_000
        clock()
        seen = clock.seen()
        if seen is not None:
            assert (seen.by_ms, seen.skew_ms) == (0, 0)
            clock.believe(seen)
            noted += 1
    assert noted == 3
