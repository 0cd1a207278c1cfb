"""What is covered is looked at again, wherever it is, and pages when nobody has what covers it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.rules.test_news import (
    BEGIN,
    TEAM,
    TIERS,
    TILLS,
    ack,
    alert,
    deliver,
    judged,
    rules,
    rung,
)
from tests.unit.shifts import Shift

from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.values.alerts import identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.teams import Policy, Route, Step
from midwatch.core.values.topology import Service, Topology

LOOK = 900
COVERED = BEGIN + 2_300


def covered_in_a_ticket() -> Shift:
    """cyd has a warning of a; ada has c; a breaks as well, covered by c, two calls away."""
    graph = Topology([*TIERS, *(Service(name, 2) for name in "abc")], [("a", "b"), ("b", "c")])
    on = Shift(replace(rules(), topology=graph))
    deliver(on, BEGIN, alert("a", BEGIN, "Slow", "warning"))
    ack(on, BEGIN + 60, "cyd")
    deliver(on, BEGIN + 2_000, alert("c", BEGIN + 2_000))
    ack(on, BEGIN + 2_060, "ada", "INC-2")
    deliver(on, COVERED, alert("a", COVERED))
    assert judged(on) == [True, False]
    return on


def over(on: Shift, at: int, service: str, since: int, name: str = "Down") -> None:
    """An alert ends."""
    deliver(on, at, alert(service, since, name, over=at))


def test_covered_news_of_what_somebody_has_pages_them_when_its_cover_is_over() -> None:
    """Whoever has the ticket never heard of it, and whoever had the cover is done."""
    on = covered_in_a_ticket()
    over(on, BEGIN + 2_400, "c", BEGIN + 2_000)
    on.wake(COVERED + LOOK)
    pages = [(at, x.to, x.reason.says) for at, x in on.told if isinstance(x, e.PagePlanned)][1:]
    says = "INC-1 grew: Down on a still fires, and nobody has acknowledged what covered it"
    assert pages == [(COVERED + LOOK, "cyd", says)]


def test_it_stands_in_the_pages_of_its_cover() -> None:
    """As what has an incident of its own does."""
    on = covered_in_a_ticket()
    also = [(x.incident, x.other) for _, x in on.told if isinstance(x, e.CoversAlso)]
    assert also == [("INC-2", "INC-1")]


@pytest.mark.parametrize("ends", ["a", ""])
def test_it_wakes_nobody_when_it_is_over_or_its_cover_is_not(ends: str) -> None:
    """One outage wakes somebody once."""
    on = covered_in_a_ticket()
    if ends:
        over(on, COVERED + 600, "a", COVERED)
        over(on, COVERED + 700, "c", BEGIN + 2_000)
    on.wake(COVERED + 3 * LOOK)
    assert rung(on, BEGIN + 2_000) == []
    if not ends:
        over(on, COVERED + 3 * LOOK + 10, "c", BEGIN + 2_000)  # it is looked at for as long
        on.wake(COVERED + 4 * LOOK)
        assert rung(on, BEGIN + 2_000) == [COVERED + 4 * LOOK]


@pytest.mark.parametrize("same", [False, True], ids=["apart", "one incident"])
@pytest.mark.parametrize(("service", "pages"), [("cart", True), ("db", False)])
def test_a_snooze_keeps_no_neighbour_quiet_for_longer_than_a_look(
    service: str, pages: bool, same: bool
) -> None:
    """Three weeks were given for the database, and for nothing that needs it."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN, same=same))
    on.give(inputs.Snooze("INC-1", "ada", (BEGIN + 20 * 86_400) * SECOND), BEGIN + 60)
    at = BEGIN + (850 if same else 890)
    deliver(on, at, alert(service, at, "Other", same=same))
    assert judged(on) == [True, False]
    on.wake(BEGIN + 14_000)
    assert rung(on, BEGIN)[:1] == ([at + LOOK] if pages else [])


def keyed(on: Shift, at: int, level: str) -> None:
    """One key of the database, said to be so bad."""
    one = identify({"alertname": "Lag", "service": "db", "severity": level}, key="k")
    on.wake(at)
    on.give(inputs.AlertsArrived("events", (one.alert("firing", BEGIN * SECOND),)), at)


@pytest.mark.parametrize("level", ["error", "warning", "info"])
def test_what_was_lowered_below_paging_covers_nothing(level: str) -> None:
    """A database of tier 2 pages while it is critical."""
    on = Shift(rules())
    keyed(on, BEGIN, "critical")
    ack(on, BEGIN + 30)
    keyed(on, BEGIN + 60, level)
    deliver(on, BEGIN + 800, alert("cart", BEGIN + 800))
    assert judged(on) == [True, True]


def test_what_is_lowered_while_it_covers_is_waited_for_no_longer() -> None:
    """Somebody has a ticket now, and the cart is down."""
    on = Shift(rules())
    keyed(on, BEGIN, "critical")
    ack(on, BEGIN + 30)
    deliver(on, BEGIN + 890, alert("cart", BEGIN + 890))
    keyed(on, BEGIN + 1_000, "warning")
    on.wake(BEGIN + 890 + LOOK)
    assert rung(on, BEGIN) == [BEGIN + 890 + LOOK]


def test_what_was_lowered_and_pages_still_covers() -> None:
    """An error of tier 1 would wake somebody by itself."""
    graph = Topology([Service("db", 1), Service("cart", 2)], [("cart", "db")])
    on = Shift(replace(rules(), topology=graph))
    keyed(on, BEGIN, "critical")
    ack(on, BEGIN + 30)
    keyed(on, BEGIN + 60, "error")
    deliver(on, BEGIN + 800, alert("cart", BEGIN + 800))
    assert judged(on) == [True, False]


def test_news_of_other_people_pages_them_when_its_cover_is_over() -> None:
    """By their own policy, besides whoever has the incident."""
    own = Policy("p", (Step(("ada",), 300),), 0, TEAM)
    both = {"p": own, "tills": TILLS}
    graph = Topology([*TIERS, Service("till", 2)], [("till", "reader")])
    to_tills = (Route("tills", ("till",)), Route("tills", ("reader",)))
    on = Shift(replace(rules(), policy=own, policies=both, routes=to_tills, topology=graph))
    deliver(on, BEGIN, alert("cart", BEGIN, "Slow", "warning", same=True))
    ack(on, BEGIN + 10)
    deliver(on, BEGIN + 20, alert("reader", BEGIN + 20, namespace="eu"))
    ack(on, BEGIN + 30, "cyd", "INC-2")
    deliver(on, BEGIN + 300, alert("till", BEGIN + 300, same=True))
    assert judged(on) == [True, False]
    deliver(on, BEGIN + 401, alert("reader", BEGIN + 20, over=BEGIN + 401, namespace="eu"))
    on.wake(BEGIN + 300 + LOOK)
    pages = [(at, x.to) for at, x in on.told if isinstance(x, e.PagePlanned) and at > BEGIN + 30]
    assert pages == [(BEGIN + 300 + LOOK, "cyd")]
