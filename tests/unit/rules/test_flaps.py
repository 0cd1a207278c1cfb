"""What comes and goes again and again: quiet for a while, never for ever, and it hides nothing."""

from __future__ import annotations

import pytest
from tests.unit.rules.test_news import BEGIN, ack, alert, deliver, judged, rules, rung
from tests.unit.shifts import Shift

from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.values.clock import SECOND

DAY = 86_400
ROUND = 2_500


def flap(
    on: Shift, service: str, count: int, *, every: int = ROUND, up: int = 600, first: int = 0
) -> int:
    """Let a service break so many times, taken by somebody each time; gives when it last began."""
    at = BEGIN
    for number in range(first, first + count):
        at = BEGIN + number * every
        deliver(on, at, alert(service, at))
        on.wake(at + 60)
        one = on.shard.incidents[on.shard.firing[alert(service, at).fingerprint]]
        if one.state == "open" and not one.waits:
            ack(on, at + 60, incident=one.id)
        if number < first + count - 1:
            deliver(on, at + up, alert(service, at, over=at + up))
    return at


@pytest.mark.parametrize("service", ["shop", "mail"])
@pytest.mark.parametrize("every", [DAY, 3_700 + 600])
def test_what_comes_back_after_an_hour_does_not_flap(service: str, every: int) -> None:
    """A warning that fires all week keeps one incident open; what breaks once a day is news."""
    on = Shift(rules())
    deliver(on, BEGIN - 5, alert(service, BEGIN - 5, "DiskHigh", "warning", same=True))
    flap(on, service, 8, every=every, up=700)
    assert judged(on) == [True] * 8
    pages = rung(on)
    assert [at for at in pages if not (at - BEGIN) % every] == [BEGIN + every * n for n in range(8)]


@pytest.mark.parametrize(("service", "pages"), [("shop", 6), ("cart", 3)])
def test_a_sev1_is_never_held_for_its_habit(service: str, pages: int) -> None:
    """Whatever else flaps is quiet after three rounds."""
    on = Shift(rules())
    last = flap(on, service, 6)
    on.wake(last + 61)
    assert len(rung(on)) == pages


@pytest.mark.parametrize("ticket", [False, True], ids=["nobody has it", "somebody has it"])
def test_why_a_flap_is_held_is_recorded(ticket: bool) -> None:
    """In the timeline, whoever has the incident."""
    on = Shift(rules())
    if ticket:
        deliver(on, BEGIN - 5, alert("db", BEGIN - 5, "Lag", "warning", same=True))
    flap(on, "db", 4)
    held = [x.reason.says for _, x in on.told if isinstance(x, e.PageWaits | e.GrowthHeld)]
    assert len(held) == 1
    assert "Down on db flaps, round 4: no page until it is stable for 15 min" in held[0]


@pytest.mark.parametrize("service", ["mail", "cart", "db"])
@pytest.mark.parametrize("ticket", [False, True], ids=["nobody has it", "somebody has it"])
def test_a_flap_that_nobody_was_told_of_covers_nothing(service: str, ticket: bool) -> None:
    """Neither what is apart nor what calls it, nor another trouble of the very service."""
    on = Shift(rules())
    if ticket:
        deliver(on, BEGIN - 5, alert("db", BEGIN - 5, "Lag", "warning", same=True))
    flap(on, "db", 3)
    on.wake(BEGIN + 2 * ROUND + 600)
    ended = BEGIN + 2 * ROUND + 600
    deliver(on, ended, alert("db", BEGIN, over=ended))
    last = flap(on, "db", 1, first=3)
    deliver(on, last + 120, alert(service, last + 120, "Gone"))
    assert judged(on)[3:] == [True, True]
    assert last + 120 in rung(on)


def test_a_flap_that_held_and_was_told_covers_again() -> None:
    """Whoever was paged for it knows."""
    on = Shift(rules())
    last = flap(on, "db", 4)
    on.wake(last + 900)
    assert last + 900 in rung(on)
    deliver(on, last + 960, alert("db", last + 960, "Gone"))
    assert judged(on)[-1] is False


def test_a_flap_that_ended_is_not_told_because_something_else_fires() -> None:
    """Whoever has the rest is paged for what holds."""
    on = Shift(rules())
    deliver(on, BEGIN - 5, alert("mail", BEGIN - 5, same=True))
    ack(on, BEGIN - 1)
    for number in range(7):
        at = BEGIN + 1_000 + number * ROUND
        deliver(on, at, alert("db", at, same=True))
        if on.incident().state == "open":
            ack(on, at + 60)
        if number < 6:
            deliver(on, at + 600, alert("db", at, over=at + 600, same=True))
    last = BEGIN + 1_000 + 6 * ROUND
    assert [at for at in rung(on) if at >= BEGIN + 1_000 + 3 * ROUND] == []
    on.wake(last + 900)
    assert rung(on)[-1] == last + 900


# --- what comes back alone ----------------------------------------------------------------------


@pytest.mark.parametrize("since", [300, 1_500, 3_000])
@pytest.mark.parametrize("name", ["Slow", "Warm"])
def test_a_warning_that_comes_back_alone_wakes_nobody(name: str, since: int) -> None:
    """Whatever it stood beside is over, and that it is not muted is no news."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("shop", BEGIN), alert("cart", BEGIN, name, "warning"))
    ack(on, BEGIN + 60)
    at = BEGIN + 600
    ends = alert("cart", BEGIN, name, "warning", over=at)
    deliver(on, at, alert("shop", BEGIN, over=at), ends)
    deliver(on, at + since, alert("cart", at + since, name, "warning"))
    on.wake(at + since + 7_000)
    assert rung(on) == [BEGIN]
    assert on.incident(on.shard.firing[ends.fingerprint]).state == "open"
    worse = at + since + 7_010
    deliver(on, worse, alert("shop", worse))
    assert worse in rung(on)


def test_what_is_muted_no_longer_still_pages() -> None:
    """When it would have, had it come then."""
    on = Shift(rules())
    quiet = inputs.AddSilence(("service=shop",), 0, (BEGIN + 900) * SECOND, "ben", "known")
    on.give(quiet, BEGIN - 10)
    deliver(on, BEGIN, alert("shop", BEGIN), alert("cart", BEGIN, "Slow", "warning"))
    on.wake(BEGIN + 900)
    assert rung(on) == [BEGIN + 900]
