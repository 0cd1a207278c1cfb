"""What covers news, and what does not: news that nobody was told of hides nothing."""

from __future__ import annotations

import pytest
from tests.unit.shifts import Shift
from tests.unit.test_news import BEGIN, ack, alert, deliver, judged, rules, rung


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
