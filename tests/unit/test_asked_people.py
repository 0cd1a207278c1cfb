"""Who is paged: the people whose incident it is, whoever else's service joins it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace
from tests.unit.shifts import Shift
from tests.unit.test_news import BEGIN, POLICY, ack, alert, deliver, routed, rules

from midwatch.core import events as e
from midwatch.core import inputs
from midwatch.core.clock import SECOND


def paged(on: Shift, since: int = BEGIN - 1) -> list[tuple[int, str]]:
    """Who was paged after a time, and when."""
    found = ((at, x) for at, x in on.told if isinstance(x, e.PagePlanned))
    return [(at, x.to) for at, x in found if at > since]


# --- the incident's own -------------------------------------------------------------------------


def held(on: Shift) -> None:
    """The cart's people have it; then a mere warning of the till joins."""
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    deliver(on, BEGIN + 100, alert("till", BEGIN + 100, "Slow", "warning", same=True))


@pytest.mark.parametrize(
    ("answer", "since", "people"),
    [
        (inputs.Unacknowledge("INC-1", "ada"), 199, ["ada", "ben"]),
        (inputs.Snooze("INC-1", "ada", (BEGIN + 4_000) * SECOND), 3_999, ["ada", "ben"]),
        (inputs.Reassign("INC-1", "ben", "ada"), 199, ["ben", "ada"]),
        (None, 4 * 3_600, ["ada", "ben"]),  # the ack's own time-out
    ],
    ids=["un-ack", "snooze", "reassign", "forgotten"],
)
def test_a_warning_of_other_people_takes_over_no_page(
    answer: inputs.Input | None, since: int, people: list[str]
) -> None:
    """Whoever was paged for an incident is paged for it as long as it lasts."""
    on = routed()
    held(on)
    if answer is not None:
        on.give(answer, BEGIN + 200)
    on.wake(BEGIN + since + 601)
    assert [to for _, to in paged(on, BEGIN + since)][:2] == people


def test_what_fires_again_pages_the_people_of_its_service() -> None:
    """Also in an incident that other people's warning was part of."""
    on = routed()
    held(on)
    over = BEGIN + 2_400
    deliver(on, over, alert("cart", BEGIN, over=over, same=True))
    late = alert("till", BEGIN + 100, "Slow", "warning", over=over, same=True)
    deliver(on, over, late)
    deliver(on, over + 500, alert("cart", over + 500, same=True))
    assert paged(on, over) == [(over + 500, "ada")]


def test_what_fires_again_on_both_sides_pages_both() -> None:
    """Each by their own policy."""
    on = routed()
    both = alert("cart", BEGIN, same=True), alert("till", BEGIN, same=True)
    deliver(on, BEGIN, *both)
    ack(on, BEGIN + 60, "ada")
    ack(on, BEGIN + 60, "cyd")
    deliver(
        on, BEGIN + 2_400,
        alert("cart", BEGIN, over=BEGIN + 2_400, same=True),
        alert("till", BEGIN, over=BEGIN + 2_400, same=True),
    )  # fmt: skip
    again = BEGIN + 2_900
    deliver(on, again, alert("cart", again, same=True), alert("till", again, same=True))
    assert sorted(paged(on, again - 1)) == [(again, "ada"), (again, "cyd")]


def test_a_policy_that_is_gone_from_the_config_hands_over_to_the_one_of_the_service() -> None:
    """The service that the incident speaks of, not any that is part of it."""
    on = routed()
    held(on)
    on.rules = replace(on.rules, policies={"tills": on.rules.policies["tills"], "q": POLICY})
    on.give(inputs.Unacknowledge("INC-1", "ada"), BEGIN + 200)
    assert paged(on, BEGIN + 100) == [(BEGIN + 200, "ada")]


# --- what nobody has answered -------------------------------------------------------------------


@pytest.mark.parametrize("up", [120, 240, 900])
@pytest.mark.parametrize("down", [60, 240, 900])
def test_a_flap_that_nobody_answers_goes_on_ringing(up: int, down: int) -> None:
    """By its policy, as if it had not been over for a moment; an answer ends that."""
    on = Shift(rules())
    number, last = 0, BEGIN
    while last < BEGIN + 5_000:
        deliver(on, last, alert("shop", last))
        deliver(on, last + up, alert("shop", last, over=last + up))
        number, last = number + 1, last + up + down
    rang = paged(on)
    assert [to for _, to in rang[:4]] == ["ada", "ben", "ada", "ben"]
    for (before, _), (after, _) in pairwise(rang[:4]):
        assert 300 <= after - before <= 300 + up + down
    assert any(at > BEGIN + 3_000 for at, _ in rang)
    recovered = next(x for _, x in on.told if isinstance(x, e.IncidentMitigated))
    assert recovered.reason.says == "no SLI: all 1 alerts resolved"
    deliver(on, last, alert("shop", last))
    ack(on, last + 10)
    quiet = len(paged(on))
    for _ in range(3):
        deliver(on, last + 20, alert("shop", last, over=last + 20))
        last += 40
        deliver(on, last, alert("shop", last))
        on.wake(last + 10)
    assert len(paged(on)) == quiet


def test_a_warning_that_fires_again_goes_on_with_no_page() -> None:
    """Nobody is woken for it alone."""
    on = Shift(rules())
    slow = "Slow", "warning"
    deliver(on, BEGIN, alert("db", BEGIN, same=True), alert("db", BEGIN, *slow, same=True))
    over = BEGIN + 120
    deliver(
        on, over, alert("db", BEGIN, over=over, same=True),
        alert("db", BEGIN, *slow, over=over, same=True),
    )  # fmt: skip
    deliver(on, over + 60, alert("db", over + 60, *slow, same=True))
    on.wake(BEGIN + 5_000)
    assert paged(on) == [(BEGIN, "ada")]
