"""Whether a phone rings: what covers what, and that worse news always gets through."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.shifts import Shift

from midwatch.core.decide import decide
from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.effects import SendPage
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.core.values.plans import Match, Runbook
from midwatch.core.values.plans import Step as BookStep
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.sli import Counts, SliReading
from midwatch.core.values.slo import Slo
from midwatch.core.values.teams import Person, Policy, Route, Step, Team
from midwatch.core.values.topology import Service, Topology

# shop -> cart -> db, and mail -> queue apart from them; nobody knows who calls paper or till.
CALLS = [("shop", "cart"), ("cart", "db"), ("mail", "queue")]
TIERS = [Service("shop", 1), *(Service(name, 2) for name in ("cart", "db", "mail", "queue"))]
TEAM = Team(people={name: Person(name, ("sms",)) for name in ("ada", "ben", "cyd")}, digest_s=0)
POLICY = Policy("p", (Step(("ada",), 300), Step(("ben",), 300)), 1, TEAM)


def rules(calls: list[tuple[str, str]] = CALLS, threshold: float = 0.35) -> Rules:
    """A team of two steps over these services."""
    graph = Topology(TIERS, calls)
    return Rules(topology=graph, policy=POLICY, policies={"p": POLICY}, threshold=threshold)


def alert(
    service: str,
    at: int,
    name: str = "Down",
    level: str = "critical",
    over: int | None = None,
    *,
    same: bool = False,
    **labels: str,
) -> Alert:
    """An alert that fires since a time, or one that is `over`.

    Those that are the `same` name one trace, and so are in one incident, whatever else.
    """
    full = {"alertname": name, "service": service, "severity": level, **labels}
    if same:
        full["trace_id"] = "t-1"
    ends_at = None if over is None else over * SECOND
    return identify(full).alert("resolved" if ends_at else "firing", at * SECOND, ends_at)


def deliver(on: Shift, at: int, *alerts: Alert) -> None:
    """Let alerts arrive, after whatever came due before."""
    on.wake(at)
    on.give(inputs.AlertsArrived("test", alerts), at)


def rung(on: Shift, since: int = -1) -> list[int]:
    """When a page was planned, whatever the incident, at that very time."""
    return [at for at, x in on.told if isinstance(x, e.PagePlanned) and at > since]


def judged(on: Shift) -> list[bool]:
    """Of each piece of news whether it pages."""
    return [x.pages for _, x in on.told if isinstance(x, e.NewsJudged)]


def ack(on: Shift, at: int, by: str = "ada", incident: str = "INC-1") -> None:
    """Somebody takes an incident."""
    on.wake(at)
    on.give(inputs.Acknowledge(incident, by), at)


# --- what covers what ---------------------------------------------------------------------------

BEGIN = 10_000


@pytest.mark.parametrize(
    ("first", "second", "gap", "pages"),
    [
        ("db", "db", 3_600, False),
        ("db", "db", 3_601, True),
        ("db", "cart", 900, False),
        ("db", "cart", 901, True),
        ("db", "shop", 900, True),  # worse: a sev1 is not covered by a sev2
        ("shop", "db", 900, False),
        ("shop", "db", 901, True),
        ("db", "mail", 900, False),
        ("db", "mail", 901, True),  # another part: by time alone
        ("paper", "till", 900, False),
        ("paper", "till", 901, True),
    ],
)
@pytest.mark.parametrize("answered", [False, True])
def test_news_is_covered_for_its_time(
    first: str, second: str, gap: int, pages: bool, answered: bool
) -> None:
    """Its own service an hour, connected ones a quarter, others until somebody has answered."""
    on = Shift(rules())
    deliver(on, BEGIN, alert(first, BEGIN))
    if answered:
        ack(on, BEGIN + 60)
    deliver(on, BEGIN + gap, alert(second, BEGIN + gap, "Other"))
    connected = first == second or {first, second} <= {"shop", "cart", "db"}
    assert judged(on) == [True, pages or (answered and not connected)]


@pytest.mark.parametrize(
    ("second", "quiet", "pages"),
    [("db", 1_799, False), ("db", 1_800, True), ("cart", 1, True)],
)
def test_what_has_ended_covers_its_own_service_for_a_while(
    second: str, quiet: int, pages: bool
) -> None:
    """A flap of the same service is no news; for any other service it is over."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    deliver(on, BEGIN + 60, alert("db", BEGIN, over=BEGIN + 60))
    again = BEGIN + 60 + quiet
    deliver(on, again, alert(second, again))
    assert judged(on) == [True, pages]


def test_what_has_ended_covers_no_longer_than_three_quarters_of_an_hour() -> None:
    """Counted from when it fired."""
    for over, pages in ((2_600, False), (2_700, True)):
        on = Shift(rules())
        deliver(on, BEGIN, alert("db", BEGIN))
        deliver(on, BEGIN + over, alert("db", BEGIN, over=BEGIN + over))
        deliver(on, BEGIN + over + 60, alert("db", BEGIN + over + 60, "Other"))
        assert judged(on) == [True, pages]


def test_what_does_not_page_covers_nothing() -> None:
    """A warning, a service of tier 3, and what is muted."""
    for level, service in (("warning", "db"), ("critical", "poster")):
        on = Shift(rules())
        on.rules.topology.services["poster"] = Service("poster", 3)
        deliver(on, BEGIN, alert(service, BEGIN, level=level))
        deliver(on, BEGIN + 5, alert("db", BEGIN + 5, "Other"))
        assert judged(on) == [True]
        assert rung(on) == [BEGIN + 5]
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    on.give(inputs.AddSilence(("service=db",), 0, 90_000 * SECOND, "ben", "known"), BEGIN + 5)
    deliver(on, BEGIN + 10, alert("cart", BEGIN + 10))
    assert judged(on) == [True, True]


def test_time_alone_says_nothing_across_namespaces_nor_in_a_large_organisation() -> None:
    """Where two outages begin at once by chance, the second is news."""
    for second in ("till", "paper"):
        on = Shift(rules([]))
        deliver(on, BEGIN, alert("paper", BEGIN, namespace="eu"))
        deliver(on, BEGIN + 5, alert(second, BEGIN + 5, namespace="us"))
        assert judged(on) == [True, True]
    for services, pages in ((40, False), (49, True)):
        on = Shift(rules([(f"s{n}", f"s{n + 1}") for n in range(0, services, 2)]))
        deliver(on, BEGIN, alert("s0", BEGIN))
        deliver(on, BEGIN + 5, alert("s9", BEGIN + 5))
        assert judged(on) == [True, pages]


@pytest.mark.parametrize(
    ("service", "changed", "gap", "pages"),
    [
        ("cart", "cart", 300, True),
        ("cart", "db", 300, True),  # it, or what it calls
        ("cart", "shop", 300, False),  # who calls it
        ("db", "db", 1_800, False),
        ("db", "db", 1_801, True),
    ],
)
def test_a_change_in_between_lifts_the_cover(
    service: str, changed: str, gap: int, pages: bool
) -> None:
    """The same service keeps it for half an hour: a roll-back is a change, too."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    at = BEGIN + gap - 100
    on.give(inputs.ChangesArrived("ci", (Change("d-1", changed, "deploy", at * SECOND),)), at)
    deliver(on, BEGIN + gap, alert(service, BEGIN + gap, "Other"))
    assert judged(on) == [True, pages]


def test_news_that_is_covered_covers_in_turn() -> None:
    """Disks of one cluster, seven minutes apart, wake somebody once."""
    on = Shift(rules())
    for number in range(12):
        at = BEGIN + number * 1_500
        deliver(on, at, alert("db", at, "DiskFull", n=str(number)))
        if not number:
            ack(on, at + 180)
    assert judged(on) == [True] + [False] * 11
    covered = [x.covered_by for _, x in on.told if isinstance(x, e.NewsJudged)]
    assert set(covered[1:]) == {"INC-1"}


SHOP = Slo("cart/answers", "cart", "0.99")


def burn(on: Shift, at: int) -> None:
    """Nobody at the cart gets an answer."""
    windows = sorted({x for t in SHOP.useful_tiers for x in (t.short_s, t.long_s)})
    counts = {window: Counts(0, 10 * window) for window in windows}
    on.wake(at)
    on.give(inputs.SliMeasured(SliReading(SHOP.id, at * SECOND, counts, heard_at=at * SECOND)), at)


def test_what_midwatch_itself_raises_is_covered_by_nothing_else() -> None:
    """A job that is silent is no part of whatever else happens just now."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    for service in ("cart", "paper", "db"):
        silent = replace(alert(service, BEGIN + 60, "HeartbeatSilent"), severity="sev2")
        deliver(on, BEGIN + 60, silent)
    assert judged(on) == [True, True, True, True]


def test_what_midwatch_itself_raises_covers_no_other_service() -> None:
    """A sender whose message could not be read says nothing about what fails meanwhile."""
    on = Shift(rules())
    deliver(on, BEGIN, replace(alert("cart", BEGIN, "HeartbeatSilent"), severity="sev1"))
    for service in ("db", "paper", "cart"):
        deliver(on, BEGIN + 5, alert(service, BEGIN + 5))
    assert judged(on) == [True, True, False, False]


def test_a_burn_is_covered_by_its_own_service_alone() -> None:
    """What a neighbour says is no word of this one's users."""
    on = Shift(replace(rules(), slos={SHOP.id: SHOP}))
    deliver(on, BEGIN, alert("shop", BEGIN))
    burn(on, BEGIN + 60)
    assert judged(on) == [True, True]
    burn(on, BEGIN + 120)
    assert judged(on) == [True, True]
    deliver(on, BEGIN + 180, alert("db", BEGIN + 180))  # which it covers like any other news
    assert judged(on) == [True, True, False]


# --- worse news gets through --------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["ack", "snooze"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (alert("db", BEGIN, "Lag", "warning", same=True), "db"),  # a ticket, then its own service
        (alert("paper", BEGIN, "Late", "warning", same=True), "shop"),  # then another one
        (alert("paper", BEGIN, "Down", "critical", same=True), "shop"),  # a page, then a sev1
        (alert("paper", BEGIN, "Down", "critical", same=True), "till"),  # as bad, not connected
    ],
    ids=["ticket", "elsewhere", "worse", "apart"],
)
def test_an_answer_hides_nothing_that_came_later(answer: str, before: Alert, after: str) -> None:
    """Whoever has it is paged first, and the policy goes on when they say nothing."""
    on = Shift(rules())
    deliver(on, BEGIN, before)
    on.wake(BEGIN + 60)
    until = (BEGIN + 8 * 3_600) * SECOND
    given = inputs.Acknowledge("INC-1", "cyd")
    on.give(given if answer == "ack" else inputs.Snooze("INC-1", "cyd", until), BEGIN + 60)
    deliver(on, BEGIN + 200, alert(after, BEGIN + 200, "Gone", same=True))
    pages = [x for at, x in on.told if isinstance(x, e.PagePlanned) and at == BEGIN + 200]
    assert [(page.incident, page.to) for page in pages] == [("INC-1", "cyd")]
    says = pages[0].reason.says
    assert says.startswith(f"INC-1 grew: Gone on {after} (critical), was: {before.name} on ")
    on.wake(BEGIN + 200 + 601)
    later = [x.to for at, x in on.told if isinstance(x, e.PagePlanned) and at > BEGIN + 200]
    assert later == ["ada", "ben"]
    ack(on, BEGIN + 900)
    count = len(rung(on))
    on.wake(BEGIN + 3 * 3_600)
    assert len(rung(on)) == count


def test_growth_after_an_ack_is_a_further_thread_for_whoever_follows() -> None:
    """PagerDuty rings no more for what it has as acknowledged."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN, same=True))
    ack(on, BEGIN + 60)
    given = inputs.AlertsArrived("test", (alert("shop", BEGIN + 90, same=True),))
    worse = decide(on.shard, given, (BEGIN + 90) * SECOND, on.rules)
    (page,) = [one for one in worse.effects if isinstance(one, SendPage)]
    assert (page.incident, page.thread) == ("INC-1", 1)


def test_a_snooze_keeps_what_it_was_given_for() -> None:
    """The same service, no worse, hours later; and not a worse one."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("cart", BEGIN))
    on.give(inputs.Snooze("INC-1", "ada", (BEGIN + 30_000) * SECOND), BEGIN + 60)
    deliver(on, BEGIN + 9_000, alert("cart", BEGIN + 9_000, "Other", same=True))
    assert judged(on) == [True, False]
    assert rung(on, BEGIN) == []


@pytest.mark.parametrize("state", ["open", "acknowledged", "paged"])
def test_a_raise_of_level_under_the_same_key_is_news(state: str) -> None:
    """One key, one start: warning, then critical. A repeat of that is none, a better level neither.

    As PagerDuty events give it with a timestamp of their own.
    """
    on = Shift(rules())

    def again(at: int, level: str) -> None:
        labels = {"alertname": "queue", "service": "cart", "severity": level}
        on.wake(at)
        one = identify(labels, key="k").alert("firing", BEGIN * SECOND)
        on.give(inputs.AlertsArrived("pagerduty", (one,)), at)

    again(BEGIN, "warning")
    if state == "acknowledged":
        ack(on, BEGIN + 10)
    again(BEGIN + 60, "critical")
    assert rung(on) == [BEGIN + 60]
    assert on.incident().severity == "sev2"
    ack(on, BEGIN + 90)
    for at, level in ((100, "critical"), (3_700, "critical"), (3_800, "warning")):
        again(BEGIN + at, level)
    assert rung(on) == [BEGIN + 60]
    assert on.incident().state == "acknowledged"
    (fires,) = on.incident().firing.values()
    assert fires.level == "warning"


def test_a_raise_that_no_silence_meant_is_heard() -> None:
    """A silence of warnings covers what was a warning when it was given."""
    on = Shift(rules())
    labels = {"alertname": "queue", "service": "cart", "severity": "warning"}
    quiet = inputs.AddSilence(("severity=warning",), 0, 90_000 * SECOND, "ben", "known")
    on.give(quiet, BEGIN - 10)
    one = identify(labels, key="k").alert("firing", BEGIN * SECOND)
    on.give(inputs.AlertsArrived("events", (one,)), BEGIN)
    worse = identify({**labels, "severity": "critical"}, key="k").alert("firing", BEGIN * SECOND)
    on.give(inputs.AlertsArrived("events", (worse,)), BEGIN + 60)
    assert rung(on) == [BEGIN + 60]


def test_a_mute_that_ends_inside_an_acknowledged_incident_is_news() -> None:
    """Whoever acknowledged the rest never saw it."""
    on = Shift(rules())
    on.give(inputs.AddSilence(("service=cart",), 0, 12_000 * SECOND, "ben", "known"), BEGIN - 10)
    deliver(
        on, BEGIN, alert("cart", BEGIN, same=True), alert("db", BEGIN, level="error", same=True)
    )
    ack(on, BEGIN + 60)
    on.wake(11_999)
    assert rung(on) == []
    on.wake(12_000)
    assert rung(on) == [12_000]


def test_a_silence_that_ends_after_an_ack_of_the_same_is_news() -> None:
    """Whoever silenced it took it out of what they had; it still fires, and they are asked."""
    on = Shift(rules())
    deliver(
        on, BEGIN, alert("cart", BEGIN, same=True), alert("db", BEGIN, "Lag", "error", same=True)
    )
    ack(on, BEGIN + 60)
    ends_at = (BEGIN + 1_900) * SECOND
    on.give(inputs.AddSilence(("service=cart",), 0, ends_at, "ben", "known"), BEGIN + 100)
    seen = on.incident().seen
    assert seen is not None
    assert (seen.kind, seen.by, seen.services) == ("mute", "silence S-1", ("db", "cart"))
    on.wake(BEGIN + 1_899)
    assert rung(on) == [BEGIN]
    on.wake(BEGIN + 1_900)
    assert rung(on) == [BEGIN, BEGIN + 1_900]


@pytest.mark.parametrize("deed", ["merge", "mute", "nothing"])
def test_a_merge_or_a_silence_ends_what_time_alone_covers(deed: str) -> None:
    """A person has looked at it: what comes then of another service is news, as after an ack."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("paper", BEGIN, namespace="x"), alert("db", BEGIN, "Lag", "error"))
    if deed == "merge":
        on.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), BEGIN + 60)
        seen = on.incident("INC-1").seen
        assert seen is not None
        assert (seen.kind, seen.by, set(seen.services)) == ("merge", "ada", {"paper", "db"})
    if deed == "mute":
        deliver(on, BEGIN + 1, alert("paper", BEGIN + 1, "Low", "warning", namespace="x"))
        quiet = inputs.AddSilence(("alertname=Low",), 0, 90_000 * SECOND, "ben", "known")
        on.give(quiet, BEGIN + 60)
    deliver(on, BEGIN + 100, alert("till", BEGIN + 100, namespace="x"))
    assert judged(on) == [True, deed != "nothing"]


def test_growth_pages_at_most_every_ten_minutes_and_drops_nothing() -> None:
    """Held growth of connected services becomes one page that names all; worse rings at once."""
    on = Shift(rules([("cart", "db"), ("cart", "mail"), ("cart", "queue"), ("cart", "paper")]))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    deploys = ("db", "mail", "queue")
    for number, service in enumerate(deploys):  # a change of each lifts the cover
        at = BEGIN + 200 + 60 * number
        change = Change(f"d-{number}", service, "deploy", (at - 10) * SECOND)
        on.give(inputs.ChangesArrived("ci", (change,)), at - 10)
        deliver(on, at, alert(service, at, same=True))
    ack(on, BEGIN + 400)
    assert judged(on) == [True] * 4
    assert rung(on) == [BEGIN, BEGIN + 200]
    on.wake(BEGIN + 200 + 600)
    assert rung(on, BEGIN + 200) == [BEGIN + 800]
    told = on.incident().pages[-1]
    (page,) = [x for _, x in on.told if isinstance(x, e.PagePlanned) and x.key == told.key]
    assert "Down on mail (critical)" in page.reason.says
    assert "Down on queue (critical)" in page.reason.says
    deliver(on, BEGIN + 820, alert("shop", BEGIN + 820, same=True))  # sev1 waits for nothing
    assert rung(on, BEGIN + 800) == [BEGIN + 820]


# --- other people -------------------------------------------------------------------------------

TILLS = Policy("tills", (Step(("cyd",), 300), Step(("ben",), 300)), 0, TEAM)


def routed() -> Shift:
    """Two teams: the till has people of its own."""
    both = {"p": POLICY, "tills": TILLS}
    return Shift(replace(rules(), policies=both, routes=(Route("tills", ("till",)),)))


def test_the_people_of_another_service_are_paged_besides() -> None:
    """By their own policy, whoever has the incident; each side answers for itself."""
    on = routed()
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    deliver(on, BEGIN + 5, alert("till", BEGIN + 5, same=True))
    paged = [(at, x.to) for at, x in on.told if isinstance(x, e.PagePlanned)]
    assert paged == [(BEGIN, "ada"), (BEGIN + 5, "cyd")]
    ack(on, BEGIN + 60, "ada")
    assert on.incident().state == "acknowledged"
    on.wake(BEGIN + 310)
    assert rung(on, BEGIN + 60) == [BEGIN + 305]  # nobody of the till has said a word
    ack(on, BEGIN + 320, "ben")
    on.wake(BEGIN + 4_000)
    assert rung(on, BEGIN + 305) == []


def test_the_answer_of_other_people_is_theirs_alone() -> None:
    """Those who are paged for the rest go on being paged."""
    on = routed()
    deliver(on, BEGIN, alert("cart", BEGIN, same=True), alert("till", BEGIN, same=True))
    ack(on, BEGIN + 60, "cyd")
    assert on.incident().awaits_ack
    assert not on.incident().besides
    on.wake(BEGIN + 301)
    assert [x.to for at, x in on.told if isinstance(x, e.PagePlanned) and at > BEGIN] == ["ben"]


# --- what is covered is not forgotten -----------------------------------------------------------


def apart(on: Shift) -> None:
    """Two incidents of one service: the second one is covered by the page of the first."""
    deliver(on, BEGIN, alert("db", BEGIN))
    deliver(on, BEGIN + 890, alert("cart", BEGIN + 890))
    assert [one.id for one in on.shard.incidents.values()] == ["INC-1", "INC-2"]
    assert judged(on) == [True, False]


def test_what_is_covered_stands_in_the_pages_of_what_covers_it() -> None:
    """And in its timeline."""
    on = Shift(rules())
    apart(on)
    also = [x.reason.says for _, x in on.told if isinstance(x, e.CoversAlso)]
    assert also == ["also: INC-2 sev2: Down on cart"]
    again = decide(
        on.shard, inputs.TimerCameDue(on.timers["escalate/INC-1"]), (BEGIN + 900) * SECOND, on.rules
    )
    (page,) = [one for one in again.effects if isinstance(one, SendPage)]
    assert page.also == ("INC-2 sev2: Down on cart",)


@pytest.mark.parametrize("over", [False, True])
def test_what_is_covered_pages_when_nobody_has_what_covers_it(over: bool) -> None:
    """As long as somebody has, it waits."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    ack(on, BEGIN + 60)
    deliver(on, BEGIN + 890, alert("cart", BEGIN + 890))
    if over:
        deliver(on, BEGIN + 1_000, alert("db", BEGIN, over=BEGIN + 1_000))
    on.wake(BEGIN + 4_000)
    assert on.pages("INC-2")[:1] == ([BEGIN + 890 + 900] if over else [])


def test_a_fast_flap_is_one_page() -> None:
    """Five minutes up and five down, for four hours."""
    on = Shift(rules())
    for number in range(24):
        at = BEGIN + number * 600
        deliver(on, at, alert("db", at))
        if not number:
            ack(on, at + 60)
        deliver(on, at + 300, alert("db", at, over=at + 300))
    assert rung(on) == [BEGIN]


def test_a_slow_flap_is_quiet_after_three_rounds_until_it_holds() -> None:
    """Ten minutes up, more than half an hour down: what is no news by the clock is by its habit."""
    on = Shift(rules(threshold=0.001))  # so that all of it is one incident
    deliver(on, BEGIN, alert("db", BEGIN, "Lag", "warning", same=True))
    ack(on, BEGIN + 1)
    for number in range(6):
        at = BEGIN + 60 + number * 2_500
        deliver(on, at, alert("db", at, same=True))
        on.wake(at + 60)
        if on.incident().state == "open":
            ack(on, at + 60)
        if number < 5:
            deliver(on, at + 600, alert("db", at, over=at + 600, same=True))
    first = [BEGIN + 60 + number * 2_500 for number in range(3)]
    assert rung(on) == first
    on.wake(BEGIN + 60 + 5 * 2_500 + 900)
    assert rung(on) == [*first, BEGIN + 60 + 5 * 2_500 + 900]


def test_what_a_person_resolved_pages_when_it_comes_back() -> None:
    """Their word was that it is over."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    ack(on, BEGIN + 60)
    on.give(inputs.ResolveIncident("INC-1", "ada", "swapped"), BEGIN + 120)
    deliver(on, BEGIN + 200, alert("db", BEGIN + 200))
    assert judged(on) == [True, True]


# --- what a page says ---------------------------------------------------------------------------


def test_an_escalated_page_says_all_that_the_first_one_did() -> None:
    """Why, and where its runbook is; not only who was silent."""
    on = Shift(rules())
    one = identify({"alertname": "Down", "service": "db", "severity": "critical"})
    link = "https://wiki/db#down"
    on.give(inputs.AlertsArrived("t", (one.alert("firing", BEGIN * SECOND, runbook=link),)), BEGIN)
    timer = on.timers["escalate/INC-1"]
    later = decide(on.shard, inputs.TimerCameDue(timer), timer.due_at, on.rules)
    (page,) = [one for one in later.effects if isinstance(one, SendPage)]
    assert page.summary.startswith("no ack from ada within 5 min; why: critical Down on db")
    assert link in page.summary


def test_what_no_objective_speaks_for_always_pages() -> None:
    """Data that is lost burns no budget."""
    lost = (read_matcher('alertname=~".*DataLoss"'),)
    for always, pages in (((), []), ((lost,), [BEGIN])):
        on = Shift(replace(rules(), slos={SHOP.id: SHOP}, always_page=always))
        on.shard.heard[SHOP.id] = None
        deliver(on, BEGIN, alert("cart", BEGIN, "LedgerDataLoss"))
        assert rung(on) == pages


# --- approvals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("also", "taken"), [(False, True), (True, False)])
def test_an_approval_answers_for_the_service_of_its_plan_alone(also: bool, taken: bool) -> None:
    """Whoever approves has it; news of another service still looks for somebody."""
    only = Match(labels=(read_matcher("service=cart"),))
    book = Runbook("warm", 1, only, (BookStep("w", "wait", {"for_s": 60}, "read"),))
    on = Shift(replace(rules(), books=Books((book,))))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    if also:
        at = BEGIN + 2_000
        deliver(on, at, alert("cart", at, "Slow", same=True), alert("db", at, same=True))
    incident = on.incident()
    assert incident.run == "proposed"
    on.give(inputs.ApprovePlan("INC-1", incident.plan_hash, "ada"), BEGIN + 2_010)
    assert (incident.acknowledged_by == "ada") == taken


def test_a_plan_that_is_under_way_stays_with_its_service() -> None:
    """Whatever is worse joins meanwhile; the next plan is for what is worst then."""
    book = Runbook("warm", 1, Match(), (BookStep("w", "wait", {"for_s": 60}, "read"),))
    on = Shift(replace(rules(), books=Books((book,))))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    incident = on.incident()
    on.give(inputs.ApprovePlan("INC-1", incident.plan_hash, "ada"), BEGIN + 10)
    deliver(on, BEGIN + 20, alert("shop", BEGIN + 20, same=True))
    assert (incident.run, incident.speaks_of) == ("running", "shop")
    assert incident.service_of_plan == "cart"
    on.wake(BEGIN + 70)
    assert (incident.run, incident.planned_for) == ("proposed", "shop")
