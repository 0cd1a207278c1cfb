"""Who is paged: the people whose incident it is, whoever else's service joins it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace
from tests.unit.rules.test_news import (
    BEGIN,
    POLICY,
    TEAM,
    TILLS,
    ack,
    alert,
    deliver,
    routed,
    rules,
)
from tests.unit.shifts import Shift

from midwatch.core.decide import decide
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.effects import UpdatePage
from midwatch.core.values.clock import SECOND
from midwatch.core.values.schedules import simple
from midwatch.core.values.teams import Person, Policy, Route, Step
from midwatch.errors import StateError


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


def test_what_is_worse_of_other_people_takes_over_no_page() -> None:
    """Though the incident is called by it from then on."""
    on = routed()
    on.rules = replace(on.rules, routes=(Route("tills", ("shop",)),))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    deliver(on, BEGIN + 100, alert("shop", BEGIN + 100, same=True))
    assert on.incident().speaks_of == "shop"
    ack(on, BEGIN + 120, "cyd")
    on.give(inputs.Unacknowledge("INC-1", "ada"), BEGIN + 200)
    assert paged(on, BEGIN + 100) == [(BEGIN + 200, "ada")]


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
        on,
        BEGIN + 2_400,
        alert("cart", BEGIN, over=BEGIN + 2_400, same=True),
        alert("till", BEGIN, over=BEGIN + 2_400, same=True),
    )
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
    assert recovered.reason.says == "no SLI: its one alert resolved"
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
        on,
        over,
        alert("db", BEGIN, over=over, same=True),
        alert("db", BEGIN, *slow, over=over, same=True),
    )
    deliver(on, over + 60, alert("db", over + 60, *slow, same=True))
    on.wake(BEGIN + 5_000)
    assert paged(on) == [(BEGIN, "ada")]


# --- other people besides -----------------------------------------------------------------------


def by_rota(on: Shift) -> None:
    """Let the till's people be a rota that has nobody before the year 2000, with a last resort."""
    rota = simple("tills", ("cyd",), "UTC", "2000-01-01T00:00")
    team = replace(TEAM, schedules={"tills": rota}, last_resort=("ben",))
    tills = Policy("tills", (Step(("tills",), 300),), 0, team)
    main = Policy("p", (Step(("ada",), 300),), 1, team)
    on.rules = replace(on.rules, policy=main, policies={"p": main, "tills": tills})


@pytest.mark.parametrize("answered", [False, True])
def test_where_nobody_besides_can_be_reached_whoever_has_the_incident_is_paged(
    answered: bool,
) -> None:
    """And the last resort: news of a service without people is nobody's else."""
    on = routed()
    by_rota(on)
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    if answered:
        ack(on, BEGIN + 60)
    deliver(on, BEGIN + 200, alert("till", BEGIN + 200, same=True))
    assert sorted(paged(on, BEGIN)) == [(BEGIN + 200, "ada"), (BEGIN + 200, "ben")]
    (grew,) = [x.reason.says for _, x in on.told if isinstance(x, e.IncidentGrew)]
    assert "Down on till (critical)" in grew
    assert "nobody in policy 'tills' can be reached" in grew
    ack(on, BEGIN + 260, "ada")
    ack(on, BEGIN + 260, "ben")
    on.wake(BEGIN + 5_000)
    assert len(paged(on, BEGIN)) == 2


@pytest.mark.parametrize("now", ["shops", "p"])
def test_a_policy_besides_that_is_gone_hands_over_by_the_routes_as_they_are(now: str) -> None:
    """A reload that renames it loses no page: whoever has the service now is asked."""
    on = routed()
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    deliver(on, BEGIN + 200, alert("till", BEGIN + 200, same=True))
    shops = replace(TILLS, name="shops")
    policies, routes = {"p": POLICY, "shops": shops}, (Route(now, ("till",)),)
    on.rules = replace(on.rules, policies=policies, routes=routes)
    on.wake(BEGIN + 500)
    assert paged(on, BEGIN + 200) == [(BEGIN + 500, "cyd" if now == "shops" else "ada")]
    ack(on, BEGIN + 510, "cyd" if now == "shops" else "ada")
    on.wake(BEGIN + 4_000)
    assert len(paged(on, BEGIN + 200)) == 1


def snoozed(on: Shift) -> None:
    """The cart's people put it off; the till's are asked besides."""
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    on.give(inputs.Snooze("INC-1", "ada", (BEGIN + 9_000) * SECOND), BEGIN + 60)
    deliver(on, BEGIN + 300, alert("till", BEGIN + 300, same=True))


def test_the_answer_of_other_people_ends_no_snooze() -> None:
    """It goes on until its date, and whoever snoozed has it."""
    on = routed()
    snoozed(on)
    ack(on, BEGIN + 330, "cyd")
    incident = on.incident()
    assert not incident.besides
    assert (incident.acknowledged_by, incident.snoozed_until) == ("ada", (BEGIN + 9_000) * SECOND)
    on.wake(BEGIN + 8_999)
    assert paged(on, BEGIN + 300) == []
    on.wake(BEGIN + 9_000)
    assert paged(on, BEGIN + 300) == [(BEGIN + 9_000, "ada")]


def test_who_is_asked_besides_puts_off_no_incident() -> None:
    """It is other people's; their own answer is an acknowledgement."""
    on = routed()
    deliver(on, BEGIN, alert("cart", BEGIN, same=True), alert("till", BEGIN, same=True))
    with pytest.raises(StateError, match="was paged only for policy 'tills'"):
        on.give(inputs.Snooze("INC-1", "cyd", (BEGIN + 9_000) * SECOND), BEGIN + 60)


@pytest.mark.parametrize("people", [True, False])
@pytest.mark.parametrize(
    ("by", "left"), [("ada", ["cyd"]), ("cyd", ["ada"]), ("ben", []), ("stranger", [])]
)
def test_each_answers_for_their_own(people: bool, by: str, left: list[str]) -> None:
    """Also without a list of people; who is in both policies, and who is in none, for all."""
    on = routed()
    if not people:
        team = replace(TEAM, people={})
        both = {"p": replace(POLICY, team=team), "tills": replace(TILLS, team=team)}
        on.rules = replace(on.rules, policy=both["p"], policies=both)
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    deliver(on, BEGIN + 5, alert("till", BEGIN + 5, same=True))
    ack(on, BEGIN + 60, by)
    on.wake(BEGIN + 2_500)
    assert [to for _, to in paged(on, BEGIN + 60) if to != "ben"][:1] == left


@pytest.mark.parametrize(
    "given", [inputs.Unacknowledge("INC-1", "ada"), inputs.Reassign("INC-1", "ben", "ada")]
)
def test_who_gives_an_incident_away_answers_for_no_other_people(given: inputs.Input) -> None:
    """They go on being paged."""
    on = routed()
    deliver(on, BEGIN, alert("cart", BEGIN, same=True), alert("till", BEGIN, same=True))
    ack(on, BEGIN + 60)
    on.give(given, BEGIN + 70)
    on.wake(BEGIN + 300)
    beside = [x.to for at, x in on.told if isinstance(x, e.PagePlanned) and x.beside]
    assert beside == ["cyd", "ben"]


def both_over(on: Shift) -> int:
    """Two sides were paged, and it was over before the till's people had answered."""
    both = alert("cart", BEGIN, same=True), alert("till", BEGIN, same=True)
    deliver(on, BEGIN, *both)
    over = BEGIN + 120
    done = [alert(one.service, BEGIN, over=over, same=True) for one in both]
    ack(on, BEGIN + 30, "ada")
    deliver(on, over, *done)
    return over


def test_other_people_who_had_not_answered_are_asked_on() -> None:
    """Where they were, when their own service fires again; who answered is left alone."""
    on = routed()
    over = both_over(on)
    deliver(on, over + 60, alert("till", over + 60, same=True))
    on.wake(BEGIN + 1_500)
    assert paged(on, BEGIN) == [(BEGIN + 300, "ben")]
    ack(on, BEGIN + 1_510, "cyd")
    assert on.incident().acknowledged_by == "cyd"


def test_other_people_who_had_not_answered_are_asked_on_besides() -> None:
    """As soon as their part fires again, in an incident that is open for something else."""
    on = routed()
    over = both_over(on)
    deliver(on, over + 60, alert("cart", over + 60, same=True))
    ack(on, over + 70, "ada")
    on.wake(BEGIN + 310)
    assert paged(on, BEGIN) == []  # what is the till's is well
    deliver(on, BEGIN + 320, alert("till", BEGIN + 320, same=True))
    on.wake(BEGIN + 330)
    assert paged(on, BEGIN) == [(BEGIN + 320, "ben")]


def test_who_answered_late_is_asked_no_more() -> None:
    """Also when it was over by then."""
    on = routed()
    over = both_over(on)
    ack(on, over + 5, "cyd")
    assert on.incident().acknowledged_by == "ada"
    deliver(on, over + 60, alert("till", over + 60, same=True))
    on.wake(over + 60 + 899)
    assert paged(on, BEGIN) == []
    on.wake(over + 60 + 900)  # it holds, and nobody has this round
    assert paged(on, BEGIN) == [(over + 60 + 900, "cyd")]


def test_what_got_worse_pages_the_holder_and_whom_the_route_names() -> None:
    """A route by severity takes nobody's service from them."""
    on = Shift(rules())
    major = Policy("major", (Step(("cyd",), 300),), 0, TEAM)
    both = {"p": POLICY, "major": major}
    on.rules = replace(on.rules, policies=both, routes=(Route("major", (), ("sev1",)),))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    deliver(on, BEGIN + 300, alert("shop", BEGIN + 300, same=True))
    assert sorted(paged(on, BEGIN)) == [(BEGIN + 300, "ada"), (BEGIN + 300, "cyd")]


def test_news_of_other_people_holds_up_no_step_of_theirs() -> None:
    """Whoever is asked hears of each; who comes next is asked in time."""
    names = tuple(f"till{number}" for number in range(6))
    on = routed()
    on.rules = replace(on.rules, routes=(Route("tills", names),))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 30)
    for number, name in enumerate(names[:2]):
        at = BEGIN + 100 + 240 * number
        deliver(on, at, alert(name, at, namespace=f"n{number}", same=True))
    on.wake(BEGIN + 400)
    later = [(100, "cyd"), (340, "cyd"), (400, "ben")]
    assert paged(on, BEGIN) == [(BEGIN + at, to) for at, to in later]


@pytest.mark.parametrize("shared", [False, True])
def test_the_answer_of_other_people_is_told_to_their_follower(shared: bool) -> None:
    """Not to one by which somebody else is still asked: that may ring as one thing for all."""
    pagers = {"ada": ("duty",), "ben": ("duty",), "cyd": ("duty" if shared else "tills-duty",)}
    people = {name: Person(name, ways) for name, ways in pagers.items()}
    team = replace(TEAM, people=people, followers=frozenset({"duty", "tills-duty"}))
    on = routed()
    both = {"p": replace(POLICY, team=team), "tills": replace(TILLS, team=team)}
    on.rules = replace(on.rules, policy=both["p"], policies=both)
    deliver(on, BEGIN, alert("cart", BEGIN, same=True), alert("till", BEGIN, same=True))

    def told(by: str, at: int) -> list[tuple[str, str]]:
        given = inputs.Acknowledge("INC-1", by)
        answer = decide(on.shard, given, at * SECOND, on.rules)
        return [(x.to, x.became) for x in answer.effects if isinstance(x, UpdatePage)]

    theirs = [] if shared else [("cyd", "acknowledged")]
    assert told("cyd", BEGIN + 60) == theirs
    assert told("ada", BEGIN + 90) == [("ada", "acknowledged"), ("cyd", "acknowledged")]
