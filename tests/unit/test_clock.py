"""Time in production: it follows the wall clock forward, and never stands still or goes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midwatch.engine.clock import SteadyClock


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-7_200_000, 7_200_000)), max_size=40))
def test_time_goes_on_whatever_the_wall_clock_does(steps: list[tuple[float, int]]) -> None:
    """At nine tenths of its pace at the least, at most to where the wall clock was ever set."""
    passed_s, wall, furthest = 0.0, 1_000_000_000, 1_000_000_000
    clock = SteadyClock(lambda: wall, lambda: passed_s)
    before = clock()
    for step_s, jump in steps:
        passed_s += step_s
        wall += int(step_s * 1_000) + jump
        furthest = max(furthest + int(step_s * 1_000) + 1, wall)
        now = clock()
        assert now >= max(before + int(step_s * 900) - 1, wall)
        assert now <= furthest
        before = now


def test_many_looks_lose_no_time() -> None:
    """Parts of a millisecond are kept."""
    passed_s = 0.0
    clock = SteadyClock(lambda: 0, lambda: passed_s)
    for _ in range(100_000):
        passed_s += 0.000_01
        clock()
    assert abs(clock() - 900) <= 1


def test_it_goes_on_from_a_journals_time() -> None:
    """Started with a wall clock that is behind."""
    passed_s = 0.0
    clock = SteadyClock(lambda: 5_000, lambda: passed_s)
    clock.start_at(3_600_000)
    passed_s = 2.0
    assert clock() == 3_601_800


def test_it_comes_back_to_the_wall_clock() -> None:
    """An hour ahead by mistake: within ten hours it is right again, and was never wrong by more."""
    passed_s, lead = 0.0, 3_600_000
    clock = SteadyClock(lambda: int(passed_s * 1_000), lambda: passed_s)
    clock.start_at(lead)
    for _ in range(10 * 60 + 1):
        passed_s += 60.0
        ahead = clock() - int(passed_s * 1_000)
        assert 0 <= ahead <= lead
        lead = ahead
    assert lead == 0
