"""Who is let in, who is closed for it, and what is said of it: without a socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from midwatch.cli.door import SAID_EVERY_S, Door, Files, files_for


@dataclass(eq=False)
class One:
    """A connection that is where it was put."""

    name: str
    state: str = "head"
    late: str = ""
    ended: list[str] = field(default_factory=list)

    def overdue(self, now: float) -> str:
        return self.late

    def end(self, why: str) -> None:
        self.ended.append(why)


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def with_door(most: int, then: Callable[[Door, Time], None], *, lasting: bool = False) -> None:
    """Run something at a door, inside a loop, which its sweeps need."""

    async def run() -> None:
        time = Time()
        then(Door(Files(most, 8), lasting=lasting, clock=time), time)

    asyncio.run(run())


def filled(door: Door, *states: str) -> list[One]:
    """Let connections in, the first one first, and put them where they are."""
    held = [One(f"{number} {state}") for number, state in enumerate(states)]
    for one, state in zip(held, states, strict=True):
        assert door.enter(one)
        if state != "head":
            one.state = state
            door.works(one)
    return held


def test_the_one_that_idles_for_longest_makes_room() -> None:
    """Since when it idles counts, not since when it is there; whoever works stays."""

    def then(door: Door, time: Time) -> None:
        first, works, third = filled(door, "head", "asked", "head")
        door.works(first)
        door.idles(first)  # its answer is there: it idles from now on
        assert door.enter(One("new"))
        assert (first.ended, works.ended, third.ended) == ([], [], ["idle"])
        assert door.enter(One("newer"))
        assert (first.ended, works.ended) == (["idle"], [])
        assert len(door) == 3

    with_door(3, then)


def test_then_a_body_that_does_not_come_then_the_oldest_stream() -> None:
    """And when all wait for an answer of ours, the new one is refused."""

    def then(door: Door, time: Time) -> None:
        old, new, body, asked = filled(door, "stream", "stream", "body", "asked")
        for expected, why in ((body, "body"), (old, "stream"), (new, "stream")):
            late = One("late")
            assert door.enter(late)
            late.state = "asked"
            door.works(late)
            assert expected.ended == [why]
        assert not door.enter(One("refused"))
        assert asked.ended == []
        assert door.turned_away["full"] == 1

    with_door(4, then)


def test_what_must_last_is_never_cut_for_somebody_else() -> None:
    """At the proxy a stream is a user's answer: only idle connections go."""

    def then(door: Door, time: Time) -> None:
        held = filled(door, "stream", "body", "head")
        assert door.enter(One("new"))
        assert [one.ended for one in held] == [[], [], ["idle"]]
        door.works(next(one for one in door._open if one not in held))
        assert not door.enter(One("refused"))

    with_door(3, then, lasting=True)


def test_whoever_is_late_is_ended_and_counted() -> None:
    """Once a sweep; whoever has left is not looked at."""

    def then(door: Door, time: Time) -> None:
        late, gone, fine = filled(door, "head", "head", "head")
        late.late = gone.late = "slow"
        door.leave(gone)
        door._sweep()
        assert (late.ended, gone.ended, fine.ended) == (["slow"], [], [])
        assert door.turned_away["slow"] == 1

    with_door(3, then)


def test_it_is_said_while_it_lasts_and_a_minute_longer() -> None:
    """What nobody has to look at, such as what browsers open for later, is counted alone."""

    def then(door: Door, time: Time) -> None:
        filled(door, "asked")
        for why in ("silent", "bad", "large"):
            door.count(why)
        assert door.says() == ""
        door.enter(One("refused"))
        time.now += SAID_EVERY_S / 2
        door.count("slow")
        assert door.says().startswith("1 of at most 1 open; recently: 1 refused, because all")
        assert "1 closed, because no complete request head arrived within 10 s" in door.says()
        time.now += SAID_EVERY_S - 1
        assert door.says()
        time.now += 2
        assert door.says() == ""
        door.count("slow")
        assert "refused" not in door.says()

    with_door(1, then)


def test_it_is_logged_once_a_minute_and_nothing_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first at once, the others with the next line, however few they are."""

    def told() -> list[dict[str, int]]:
        return [record.__dict__["fields"] for record in caplog.records]

    def then(door: Door, time: Time) -> None:
        filled(door, "head")
        door.count("slow")
        for _ in range(500):
            door.count("idle")
        assert told() == [{"open": 1, "at_most": 9, "slow": 1}]
        time.now += SAID_EVERY_S + 1
        door._sweep()
        door._sweep()
        assert told()[1:] == [{"open": 1, "at_most": 9, "idle": 500}]
        time.now += SAID_EVERY_S + 1
        door._sweep()
        assert len(told()) == 2

    with caplog.at_level(logging.WARNING, "midwatch.listener"):
        with_door(9, then)


@pytest.mark.parametrize("limit", [64, 128, 256, 1_024, 4_096, 65_536, 1_048_576])
@pytest.mark.parametrize("each", [1, 2])
def test_connections_leave_descriptors_for_everything_else(limit: int, each: int) -> None:
    """Also when all that the system holds back is taken at once."""
    files = files_for(limit, each)
    assert files.open >= limit // 4 or files.open * each >= 4_096
    assert limit - files.open * each - files.backlog >= limit // 4
