"""Who is on call at each moment, against a calendar that walks from hand-off to hand-off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from midwatch.core.schedules import Schedule

PEOPLE = ("ada", "ben", "cyd")
DAYS = 400


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]
)
@pytest.mark.parametrize("starts", ["2025-12-01T09:00", "2025-12-01T02:30", "2025-12-01T00:00"])
@pytest.mark.parametrize("every", [1, 7])
def test_shifts_change_at_the_same_local_time(zone: str, starts: str, every: int) -> None:
    """Through both changes of the clocks and a leap day's year, each hour has its one person."""
    schedule = Schedule("primary", PEOPLE, zone, starts, every)
    begin = datetime.fromisoformat(starts)
    local = [begin + timedelta(days=every * n) for n in range(DAYS // every + 2)]
    # fold=0 takes the first of two equal local times, and the time after a gap as before it.
    handed_off = [one.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for one in local]
    moment, turn = handed_off[0], 0
    while moment < handed_off[0] + timedelta(days=DAYS):
        while moment >= handed_off[turn + 1]:
            turn += 1
        at = int(moment.timestamp() * 1_000)
        assert schedule.on_call(at) == PEOPLE[turn % 3], moment
        moment += timedelta(minutes=30)


def test_before_the_start_it_is_the_first() -> None:
    """A schedule that begins tomorrow leaves nobody out tonight."""
    assert Schedule("primary", PEOPLE, "UTC", "2030-01-01T00:00").on_call(0) == "ada"
