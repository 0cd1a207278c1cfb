"""Who is on call at each moment, against a calendar of its own that walks from day to day."""

from __future__ import annotations

import random
from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from midwatch.core.values.schedules import (
    DAY_MIN,
    WEEK_MIN,
    Hours,
    Layer,
    Override,
    Schedule,
    hidden,
    simple,
)

PEOPLE = ("ada", "ben", "cyd")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "UTC",
)
DAYS = 400
BEGIN = datetime(2027, 10, 1, 9, 0)  # noqa: DTZ001 - a local time; 400 days with a leap day


def moment(local: datetime, zone: str) -> datetime:
    """Place a local time: fold=0 is the first of two, and after a gap as before it."""
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def ms(at: datetime) -> int:
    """Give milliseconds since the epoch."""
    return int(at.timestamp() * 1_000)


class Calendar:
    """What the schedule should say, by writing every shift of 400 days down."""

    def __init__(self, layer: Layer, zone: str) -> None:
        begin = datetime.fromisoformat(layer.starts)
        if layer.handoffs:
            monday = begin.date() - timedelta(days=begin.weekday())
            local = [
                datetime.combine(monday, time()) + timedelta(days=7 * week, minutes=minute)
                for week in range(DAYS // 7 + 10)
                for minute in layer.handoffs
            ]
            late = [one for one in local if one > begin]
            local = [max((one for one in local if one <= begin), default=begin), *late]
        else:
            step = timedelta(minutes=layer.every_min)
            local = [begin + step * n for n in range(int(timedelta(days=DAYS + 20) / step))]
        self.people = layer.people
        self.handed = [moment(one, zone) for one in local]
        self.windows: list[tuple[datetime, datetime]] = []
        day = begin.date() - timedelta(days=2)
        while day < begin.date() + timedelta(days=DAYS + 2):
            for hours in layer.hours:
                if day.isoweekday() in hours.days:
                    self.windows.append(window(day, hours, zone))
            day += timedelta(days=1)
        self.always = not layer.hours

    def who(self, at: datetime) -> str | None:
        """Name the person, None outside of the hours."""
        if not self.always and not any(begin <= at < end for begin, end in self.near(at)):
            return None
        turn = bisect_right(self.handed, at) - 1
        return self.people[max(turn, 0) % len(self.people)]

    def near(self, at: datetime) -> list[tuple[datetime, datetime]]:
        """The windows that may hold a moment; there are few a day."""
        found = bisect_right(self.windows, (at, at))
        return self.windows[max(found - 6, 0) : found + 1]


def window(day: date, hours: Hours, zone: str) -> tuple[datetime, datetime]:
    """Give the moments between which a layer is heard on a day."""
    midnight = datetime.combine(day, time())
    to_min = hours.to_min + (DAY_MIN if hours.to_min <= hours.from_min else 0)
    begin, end = (midnight + timedelta(minutes=one) for one in (hours.from_min, to_min))
    return moment(begin, zone), moment(end, zone)


def sweep(schedule: Schedule, overrides: list[Override], step: timedelta) -> None:
    """Ask at every step of 400 days, and around every change of who is on call."""
    calendars = [Calendar(layer, schedule.time_zone) for layer in schedule.layers]
    start = moment(BEGIN, schedule.time_zone)
    end = start + timedelta(days=DAYS)

    def expected(at: datetime) -> str | None:
        for one in reversed(overrides):
            if one.starts_at <= ms(at) < one.ends_at:
                return one.person
        found = (calendar.who(at) for calendar in reversed(calendars))
        return next((who for who in found if who is not None), None)

    shifts = schedule.shifts(ms(start), ms(end), overrides)
    assert [s.ends_at for s in shifts[:-1]] == [s.starts_at for s in shifts[1:]]
    edges = [s.starts_at for s in shifts]
    moments = [start + step * n for n in range(int((end - start) / step))]
    close = [datetime.fromtimestamp(e / 1_000, UTC) for e in edges]
    moments += [at + timedelta(seconds=s) for at in close for s in (-1, 0, 1) if start < at]
    for at in moments:
        who = expected(at)
        assert schedule.on_call(ms(at), overrides) == who, at
        assert shifts[bisect_right(edges, ms(at)) - 1].person == who, at


OFFICE = Hours((1, 2, 3, 4, 5), 9 * 60, 17 * 60)
NIGHT = Hours((5, 6), 22 * 60, 2 * 60 + 30)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("every", [DAY_MIN, WEEK_MIN])
@pytest.mark.parametrize("at", ["09:00", "02:30", "00:00"])
def test_shifts_change_at_the_same_local_time(zone: str, at: str, every: int) -> None:
    """Through every change of the clocks and a leap day, each moment has its one person."""
    starts = f"{BEGIN.date()}T{at}"
    sweep(simple("primary", PEOPLE, zone, starts, every), [], timedelta(hours=5))


@pytest.mark.parametrize("zone", ZONES)
def test_layers_hours_and_overrides_agree_with_the_calendar(zone: str) -> None:
    """Office hours above nights above a weekly rotation, twelve-hour turns, and people who swap."""
    rng = random.Random(zone)
    begin = BEGIN.isoformat()[:16]
    layers = (
        Layer("base", PEOPLE, begin, handoffs=(0 * DAY_MIN + 540, 4 * DAY_MIN + 150)),
        Layer("night", ("eve", "fay"), begin, 12 * 60, hours=(NIGHT,)),
        Layer("office", ("gus", "hal"), begin, DAY_MIN, hours=(OFFICE,)),
    )
    start = ms(moment(BEGIN, zone))
    overrides: list[Override] = []
    for number in range(60):
        at = start + rng.randrange(DAYS * 24 * 60) * 60_000
        person = rng.choice(("ivy", "jon"))
        overrides.append(Override(f"O-{number}", person, at, at + rng.randrange(1, 4_000) * 60_000))
    sweep(Schedule("all", zone, layers), overrides, timedelta(hours=7))


def test_a_layer_with_hours_leaves_the_rest_to_nobody() -> None:
    """At night nobody is on call, and the list of shifts says so."""
    layer = Layer("office", ("ada",), "2026-01-05T09:00", hours=(OFFICE,))
    schedule = Schedule("office", "UTC", (layer,))
    day = ms(datetime(2026, 1, 5, tzinfo=UTC))
    hour = 3_600_000
    assert schedule.on_call(day + 10 * hour) == "ada"
    assert schedule.on_call(day + 20 * hour) is None
    assert [s.person for s in schedule.shifts(day, day + 24 * hour)] == [None, "ada", None]


def test_the_newest_override_wins() -> None:
    """Whoever said it last, until it ends."""
    schedule = simple("primary", PEOPLE, "UTC", "2026-01-05T09:00")
    both = [Override("O-1", "ben", 0, 10), Override("O-2", "cyd", 5, 20)]
    assert [schedule.on_call(at, both) for at in (4, 5, 19, 20)] == ["ben", "cyd", "cyd", None]


def test_before_the_start_nobody_is_on_call() -> None:
    """Of a rotation with hand-offs, too; and the list of shifts begins there."""
    day = DAY_MIN * 60_000
    for layer in (
        Layer("a", PEOPLE, "1970-01-08T12:00"),
        Layer("a", PEOPLE, "1970-01-08T12:00", handoffs=(540, 3 * DAY_MIN)),
    ):
        schedule = Schedule("primary", "UTC", (layer,))
        start = 7 * day + day // 2
        assert schedule.on_call(start - 1) is None
        assert schedule.on_call(start) == "ada"
        first, second, *_ = schedule.shifts(0, 30 * day)
        assert (first.person, second.person, second.starts_at) == (None, "ada", start)


def test_a_change_of_rota_is_written_down_ahead() -> None:
    """The layer that takes over later leaves the one below alone until then, and hides none."""
    old = Layer("old", ("ada",), "1970-01-01T00:00")
    new = Layer("new", ("ben",), "1970-02-01T00:00")
    schedule = Schedule("primary", "UTC", (old, new))
    takes_over = 31 * DAY_MIN * 60_000
    assert [schedule.on_call(at) for at in (takes_over - 1, takes_over)] == ["ada", "ben"]
    assert hidden([old, new]) == {}
    assert hidden([new, old]) == {"new": "old"}


def test_hand_offs_cut_turns() -> None:
    """Also between two turns of one person, and around whoever stands in."""
    weekly = simple("primary", ("ada", "ada", "ben"), "UTC", "1970-01-01T00:00")
    week = WEEK_MIN * 60_000
    turns = weekly.turns(0, 3 * week, [Override("O-1", "cyd", week + 10, week + 20)])
    assert [(one.person, one.starts_at) for one in turns] == [
        ("ada", 0),
        ("ada", week),
        ("cyd", week + 10),
        ("ada", week + 20),
        ("ben", 2 * week),
    ]
    assert len(weekly.shifts(0, 3 * week)) == 2


def test_a_layer_that_can_never_be_seen_is_named() -> None:
    """Under one that always has somebody, or under the same hours."""
    low = Layer("low", PEOPLE, "2026-01-05T09:00", hours=(OFFICE,))
    same = Layer("same", PEOPLE, "2026-01-05T09:00", hours=(OFFICE, NIGHT))
    assert hidden([low, same]) == {"low": "same"}
    assert hidden([same, low]) == {}
