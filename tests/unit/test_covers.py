"""What covers news, and what does not: news that nobody was told of hides nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.shifts import Shift
from tests.unit.test_news import BEGIN, ack, alert, deliver, judged, rules, rung

from midwatch.core import inputs
from midwatch.core.clock import SECOND


@pytest.mark.parametrize("same", [False, True], ids=["apart", "one incident"])
@pytest.mark.parametrize("between", [("db",), ("cart",), ("db", "cart", "db")], ids=str)
def test_an_answer_ends_a_cover_by_time_alone_whatever_was_covered_since(
    between: tuple[str, ...], same: bool
) -> None:
    """What joins the outage that somebody has is no page that they have not answered."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN, same=same))
    ack(on, BEGIN + 60)
    for number, service in enumerate(between):
        at = BEGIN + 300 + number
        deliver(on, at, alert(service, at, f"Other{number}"))
    deliver(on, BEGIN + 310, alert("mail", BEGIN + 310, same=same))
    assert judged(on) == [True, *(False for _ in between), True]
    assert rung(on, BEGIN + 60) == [BEGIN + 310]


def test_what_came_before_an_answer_goes_on_covering_what_is_connected() -> None:
    """A cascade that somebody has wakes nobody again, however long the chain."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("shop", BEGIN))
    ack(on, BEGIN + 60)
    for number, service in enumerate(("cart", "db", "cart")):
        at = BEGIN + 600 * (number + 1)
        deliver(on, at, alert(service, at, f"Other{number}"))
    assert judged(on) == [True, False, False, False]


@pytest.mark.parametrize("every", [3_700, 4_000])
def test_a_snooze_keeps_what_it_was_given_for_as_long_as_it_lasts(every: int) -> None:
    """However often it comes and goes meanwhile, and nothing worse."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("cart", BEGIN))
    deliver(on, BEGIN + 1, alert("cart", BEGIN + 1, "Lag", "warning"))
    on.give(inputs.Snooze("INC-1", "ada", (BEGIN + 60_000) * SECOND), BEGIN + 60)
    deliver(on, BEGIN + 600, alert("cart", BEGIN, over=BEGIN + 600))
    for number in range(1, 12):
        at = BEGIN + every * number
        deliver(on, at, alert("cart", at))
        deliver(on, at + 600, alert("cart", at, over=at + 600))
    assert judged(on) == [True] + [False] * 11
    at = BEGIN + every * 12
    worse = replace(alert("cart", at, "NoData"), severity="sev1")
    deliver(on, at, worse)
    assert judged(on)[-1]
