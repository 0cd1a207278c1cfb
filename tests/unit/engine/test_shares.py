"""What one token may take of what all share: requests, bytes, places in the queue."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest
from starlette.responses import Response

from midwatch.config import Limits
from midwatch.core.state.inputs import AlertsArrived, Envelope
from midwatch.core.values.alerts import identify
from midwatch.engine import waiting
from midwatch.engine.conditions import Conditions
from midwatch.engine.waiting import MAX_GROUP, MAX_WAITING_ALERTS, SHARE, Delivery, Waiting
from midwatch.errors import Busy
from midwatch.ports import Rate, Token
from midwatch.web.shares import MAX_ALL_BYTES, MAX_BYTES, SAID_EVERY_S, Shares

SENDER = Token("t-1", "alertmanager", "", "am", 0)
OTHER = Token("t-2", "grafana", "", "grafana", 0)
ADA = Token("t-3", "", "responder", "ada", 0)
LIMITS = Limits(Rate(4, 2), Rate(2, 2))


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def shares(time: Time) -> Shares:
    return Shares(LIMITS, clock=time)


def refused(shares: Shares, token: Token, count: int) -> list[Response]:
    """Ask so many times; gives the refusals."""
    return [one for _ in range(count) if (one := shares.refuses(token)) is not None]


def test_a_token_has_its_rate_and_no_other_one_pays_for_it(shares: Shares, time: Time) -> None:
    """So many at once, then as many as time brings; it says when to come back."""
    first = refused(shares, SENDER, 100)
    assert len(first) == 96
    assert (first[0].status_code, first[0].headers["retry-after"]) == (503, "1")
    assert refused(shares, OTHER, 4) == []
    assert refused(shares, ADA, 2) == []
    time.now += 0.5
    assert len(refused(shares, SENDER, 2)) == 1
    time.now += 3_600
    assert len(refused(shares, SENDER, 5)) == 1


def test_a_person_is_told_429(shares: Shares) -> None:
    """As programs of people expect it; a sender of alerts would give up at that."""
    (last,) = refused(shares, ADA, 3)
    assert (last.status_code, last.headers["retry-after"]) == (429, "1")
    assert json.loads(bytes(last.body))["detail"].startswith("this token is over its limit")


def test_a_slow_rate_says_how_long(time: Time) -> None:
    """Retry-After is of the rate, in whole seconds."""
    shares = Shares(Limits(Rate(1, 60), Rate(1, 1)), clock=time)
    (last,) = refused(shares, SENDER, 2)
    assert last.headers["retry-after"] == "60"
    time.now += 58.5
    assert refused(shares, SENDER, 1)[0].headers["retry-after"] == "2"


def test_it_is_counted_logged_and_noted(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    """The texts that need no token name none; the log does, once a minute."""
    conditions = Conditions()
    shares = Shares(LIMITS, conditions, time)
    assert conditions.found() == {"limits": ""}
    refused(shares, SENDER, 100)
    assert conditions.found() == {
        "limits": "over their limits: 96 requests of senders since startup; the log names the "
        "tokens"
    }
    assert [dict(one.values()) for one in conditions.figures] == [{"sender": 96, "person": 0}]
    (line,) = caplog.records
    fields: dict[str, Any] = line.__dict__["fields"]
    assert (fields["token"], fields["source"]) == ("t-1", "alertmanager")
    time.now += SAID_EVERY_S + 1
    assert conditions.found() == {"limits": ""}


def broken(shares: Shares, size: int) -> None:
    """A request whose handler breaks."""
    with shares.holding(OTHER) as held:
        held.add(size // 0 if held.add(size) else 1)


def test_bytes_are_held_until_the_request_is_answered(shares: Shares) -> None:
    """One token's share is not another one's; what is held is given back, also by a failure."""
    half = MAX_BYTES // 2
    with shares.holding(SENDER) as first, shares.holding(SENDER) as second:
        assert first.add(half)
        assert second.add(half)
        assert not second.add(1)
        with shares.holding(OTHER) as other:
            assert other.add(half)
    with shares.holding(SENDER) as again:
        assert again.add(MAX_BYTES)
        with pytest.raises(ZeroDivisionError):
            broken(shares, half)
        with shares.holding(OTHER) as other:
            assert other.add(MAX_BYTES)
    assert shares.refused["sender"] == 1


def test_bytes_have_a_bound_in_all(shares: Shares) -> None:
    """However many tokens there are."""
    for number in range(MAX_ALL_BYTES // MAX_BYTES):
        shares.hold(f"t-{number + 10}", MAX_BYTES)
    with shares.holding(SENDER) as held:
        assert not held.add(1)


# --- the queue ------------------------------------------------------------------------------------


def delivery(of: str, count: int = 1) -> Delivery:
    """A delivery of so many alerts."""
    alert = identify({"alertname": "Down", "service": of}).alert("firing", 1)
    arrived = AlertsArrived("alertmanager", (alert,) * count)
    return Delivery([Envelope("", arrived)], Future(), of)


def names(group: list[Delivery]) -> str:
    return "".join(one.of for one in group)


def test_senders_take_turns_and_keep_their_order() -> None:
    """A queue full of one sender's is one delivery long for everybody else."""
    queue = Waiting()
    mine = [delivery("a") for _ in range(5)]
    for one in (*mine, delivery("b"), delivery("c"), delivery("b")):
        queue.put(one)
    group = queue.group()
    assert names(group) == "abcabaaa"
    assert [one for one in group if one.of == "a"] == mine
    assert (len(queue), queue.group()) == (0, [])


def test_a_large_delivery_fills_one_group_and_no_more() -> None:
    """The next group begins with whoever is next."""
    queue = Waiting()
    for one in (delivery("a", MAX_GROUP), delivery("a"), delivery("b"), delivery("c", MAX_GROUP)):
        queue.put(one)
    assert [names(queue.group()) for _ in range(3)] == ["a", "bc", "a"]


def test_one_sender_cannot_fill_the_queue() -> None:
    """It is told so, by what is its own; the others are heard."""
    queue = Waiting(20)
    for _ in range(5):
        queue.put(delivery("a"))
    with pytest.raises(Busy, match="5 deliveries of this token are already waiting"):
        queue.put(delivery("a"))
    for _ in range(5):
        queue.put(delivery("b"))
    for _ in range(10):
        queue.put(delivery(""))  # our own have no share
    with pytest.raises(Busy, match="20 deliveries are waiting"):
        queue.put(delivery("c"))
    queue.group()
    queue.put(delivery("c"))


def test_alerts_count_too_and_one_delivery_always_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery larger than the share is taken when nothing of its sender waits."""
    monkeypatch.setattr(waiting, "MAX_WAITING_ALERTS", 400)
    queue = Waiting()
    queue.put(delivery("a", 150))
    with pytest.raises(Busy, match="1 deliveries of this token"):
        queue.put(delivery("a"))
    queue.put(delivery("b", 250))
    with pytest.raises(Busy, match="2 deliveries are waiting"):
        queue.put(delivery("c"))
    assert queue.clear()
    queue.put(delivery("a", 150))
    assert MAX_WAITING_ALERTS // SHARE == 25_000


def test_what_nobody_waits_for_any_more_is_not_decided_on() -> None:
    """A caller who hung up, before its turn."""
    queue = Waiting()
    gone = delivery("a")
    queue.put(gone)
    queue.put(delivery("b"))
    gone.done.cancel()
    assert names(queue.group()) == "b"
