"""The fuzzer's laws of time and keys: they hold, and each of them can be broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from midwatch.core.rules import escalation, muting
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Timer
from midwatch.core.values.clock import SECOND
from midwatch.core.values.skews import JUMP_MS, Skews
from midwatch.drill import faults, fuzz, machine, scenarios
from midwatch.drill.machine import Jump, Machine, VirtualClock, WrongClock
from midwatch.engine.clock import SteadyClock

HOUR = 3_600_000
THREE = scenarios.load(scenarios.find("three-services"))
FIRST = 8  # of the seeds with a wrong clock
CLOCKS = [seed for seed in range(200) if faults.draw(seed).clock.jumps]


def test_every_way_to_be_wrong_is_drawn() -> None:
    """Jumps of each size, for each time, with restarts in them; drift; and right clocks."""
    drawn = [faults.draw(seed).clock for seed in range(400)]
    jumps = [jump for one in drawn for jump in one.jumps]
    assert {jump.by_ms for jump in jumps if jump.is_big} == set(faults.JUMPS_MS)
    assert {jump.for_s for jump in jumps if jump.is_big} == set(faults.JUMPS_FOR_S)
    assert {one.drift_ppm for one in drawn} == {0, 20, -200, 1_800, -1_800}
    assert 150 < sum(not one for one in drawn) < 250
    restarted = [
        one
        for one in drawn
        for restart in one.restarts
        for jump in one.jumps
        if jump.is_big and jump.at_s < restart.at_s <= jump.at_s + jump.for_s
    ]
    assert len(restarted) > 50
    assert all(one.small_ms < JUMP_MS / 2 for one in drawn)
    ends = [jump.at_s + jump.for_s for jump in jumps]
    assert max(ends) <= faults.STOPS_AT_S


def test_a_machine_is_wrong_for_a_while() -> None:
    """Its wall clock jumps there and back, and the journal's time does not."""
    right = VirtualClock(0)
    wrong = WrongClock((Jump(60, HOUR, 20), Jump(80, -HOUR, 20)), 1_000, (), 200)
    assert wrong.edges() == [(60_000, HOUR), (80_000, -2 * HOUR), (100_000, HOUR)]
    one = Machine(right, wrong, 0)
    seen: list[tuple[int, int]] = []
    for now in (0, 59_000, 60_000, 80_000, 100_000, 300_000):
        right.now = now
        seen.append((one.wall() - now, one.journal() - now))
    assert [off for off, _ in seen] == [0, 59, HOUR + 60, -HOUR + 80, 100, 0]
    assert all(abs(off) <= wrong.small_ms == 200 for _, off in seen)


def test_clocks_that_are_wrong_break_no_law() -> None:
    """Nor do crashes, ports that lie and people who type meanwhile."""
    for seed in CLOCKS[:FIRST]:
        failure = fuzz.play(THREE, seed)
        assert failure is None, failure.shown()


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("shift", 5_175),  # the answer to a retry comes an hour after the try
        ("shift", 122_228_845),  # what was acknowledged was sent again when the incident grew
        ("shift", 254_538_779),  # what was held and then silenced is not what is paged later
        ("flapping", 700_115),  # the policy begins again at the time that was announced
        ("recorded-alertmanager", 810_003),  # a window of maintenance begins within a minute
    ],
)
def test_a_seed_that_broke_a_law_once_holds(name: str, seed: int) -> None:
    """Each found a mistake of the engine or of a checker."""
    failure = fuzz.play(scenarios.load(scenarios.find(name)), seed)
    assert failure is None, failure.shown()


def test_a_wrong_clock_replays_to_the_byte() -> None:
    """The same seed, the same journal."""
    heads: list[str] = []
    for _ in range(2):
        fuzz.play(THREE, CLOCKS[0], lambda shift, story: heads.append(story.head))
    assert heads[0] == heads[1]


def _follows_the_wall(clock: SteadyClock) -> int:
    look: Any = clock
    look._at = float(look._wall() + look._skew)
    return int(look._at)


def _waits_by_the_wall(d: Decision, incident: Incident, delay_s: int) -> None:
    due_at = max(d.wall + delay_s * SECOND, d.now)
    d.set_timer(Timer(f"escalate/{incident.id}", due_at, "escalate", incident.id))


def _forgets_by_the_wall(d: Decision, timer: Timer) -> None:
    off = d.shard.skew if timer.purpose == "forgotten" else 0
    d.timers[timer.key] = replace(timer, due_at=max(timer.due_at - off, d.now))


BROKEN: list[tuple[str, object, str, object]] = [
    ("the event log's time", SteadyClock, "_go_on", _follows_the_wall),
    ("each jump of the clock is told", machine, "settle", lambda clock, handle: None),
    ("a jump pages once", escalation, "page_again", lambda d, policy, incident, reason: None),
    ("whoever is on call is paged", Decision, "wall", property(lambda d: d.now)),
    ("a step waits its time", escalation, "wait_for_ack", _waits_by_the_wall),
    ("an ack holds its time", Decision, "set_timer", _forgets_by_the_wall),
    (
        "a retry waits its time",
        Decision,
        "retry_effect",
        lambda d, key, at: d.retries.update({key: d.now}),
    ),
    ("dates hold while the clock is right", muting, "keep_dates", lambda d, rules: []),
    ("a snooze ends at its date", escalation, "_wake_snoozed", lambda d, incident: None),
    ("a clock that is right again is right", Skews, "returns", lambda skews, skew: False),
    (
        "no key is drawn twice",
        escalation,
        "_page_key",
        lambda d, incident: d.key("page", incident.id),
    ),
    (
        "every key carries its term's salt",
        Decision,
        "key",
        lambda d, *parts: "/".join(map(str, parts)),
    ),
]


@pytest.mark.parametrize(
    ("law", "where", "name", "instead"), BROKEN, ids=[law for law, *_ in BROKEN]
)
def test_each_law_of_time_and_keys_can_be_broken(
    monkeypatch: pytest.MonkeyPatch, law: str, where: object, name: str, instead: Callable[..., Any]
) -> None:
    """An engine that does otherwise is caught within a few shifts."""
    monkeypatch.setattr(where, name, instead)
    told: list[str] = []
    for seed in CLOCKS[:60]:
        failure = fuzz.play(THREE, seed)
        told += failure.broken if failure else []
        if any(law in one for one in told):
            return
    pytest.fail(f"nothing said {law!r}: {sorted(set(told))[:9]}")
