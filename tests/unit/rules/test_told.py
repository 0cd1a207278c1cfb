"""What a page says: of what rings, of all that was held for it, and by whom; and who says it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.rules.test_news import BEGIN, TEAM, ack, alert, deliver, judged, rules, rung
from tests.unit.shifts import Shift

from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.incidents import Firing
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.core.values.silences import Inhibition, Muting, read_matcher
from midwatch.core.values.teams import Policy, Route, Step
from midwatch.core.values.topology import Service, Topology
from midwatch.engine.placement import route
from midwatch.engine.placing import place_all


def keyed(labels: dict[str, str], summary: str = "", runbook: str = "") -> Alert:
    """An alert that its sender names by a key, with the same old start whenever it comes."""
    one = identify(labels, key="k")
    return one.alert("firing", BEGIN * SECOND, summary=summary, runbook=runbook)


def said(on: Shift) -> list[str]:
    """Why each page was planned."""
    return [x.reason.says for _, x in on.told if isinstance(x, e.PagePlanned)]


def test_a_page_speaks_of_what_rings_not_of_what_is_silenced() -> None:
    """The cart is known and silenced; then the database dies in the same incident."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    on.give(inputs.AddSilence(("service=cart",), 0, 99_000 * SECOND, "ben", "known"), BEGIN + 5)
    deliver(on, BEGIN + 60, alert("db", BEGIN + 60, same=True))
    assert said(on)[-1] == "Down on db (critical)"
    assert (on.incident().title, on.incident().speaks_of) == ("Down on db", "db")


def test_the_title_stays_while_what_it_names_is_heard() -> None:
    """It is the worst; what else rings is named in the page."""
    on = Shift(rules(threshold=0.0))
    deliver(on, BEGIN, alert("shop", BEGIN, same=True))
    ack(on, BEGIN + 30)
    deliver(on, BEGIN + 1_200, alert("mail", BEGIN + 1_200, same=True))
    assert on.incident().title == "Down on shop"
    assert said(on)[-1].startswith("INC-1 grew: Down on mail (critical)")


def test_a_raise_and_something_worse_in_one_delivery_are_both_told() -> None:
    """A known alert gets worse, and the shop is down: the page is about the shop."""
    on = Shift(rules())
    labels = {"alertname": "q", "service": "db", "severity": "warning", "trace_id": "t-1"}
    on.give(inputs.AlertsArrived("test", (keyed(labels),)), BEGIN)
    raised = keyed({**labels, "severity": "critical"})
    deliver(on, BEGIN + 60, raised, alert("shop", BEGIN + 60, "Gone", same=True))
    assert said(on) == ["critical Gone on shop (tier 1, no SLO)"]
    assert on.incident().severity == "sev1"


def _grows(*services: str) -> Shift:
    """An incident that somebody has, which grew once, and then by these services."""
    graph = [("cart", one) for one in ("db", *services)]
    on = Shift(rules(graph))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    for number, service in enumerate(("db", *services)):
        at = BEGIN + 200 + 2 * number
        change = Change(f"d-{number}", service, "deploy", (at - 1) * SECOND)
        on.give(inputs.ChangesArrived("ci", (change,)), at - 1)
        deliver(on, at, alert(service, at, same=True))
    ack(on, BEGIN + 300)
    assert rung(on) == [BEGIN, BEGIN + 200]
    return on


@pytest.mark.parametrize("what", ["silenced", "ended"])
def test_growth_that_is_over_or_silenced_when_it_is_due_wakes_nobody(what: str) -> None:
    """Mail was down, and is silenced or well before its page is due."""
    on = _grows("mail")
    if what == "silenced":
        quiet = inputs.AddSilence(("service=mail",), 0, 99_000 * SECOND, "ben", "known")
        on.give(quiet, BEGIN + 400)
    else:
        deliver(on, BEGIN + 400, alert("mail", BEGIN + 202, over=BEGIN + 399, same=True))
    on.wake(BEGIN + 2_000)
    assert rung(on, BEGIN + 200) == []


def test_the_page_of_growth_says_what_has_ended_since() -> None:
    """Two held, one of them over: one page names both, and which is which."""
    on = _grows("mail", "queue")
    deliver(on, BEGIN + 400, alert("mail", BEGIN + 202, over=BEGIN + 399, same=True))
    on.wake(BEGIN + 801)
    assert rung(on, BEGIN + 200) == [BEGIN + 800]
    assert said(on)[-1] == (
        "INC-1 grew: Down on queue (critical); Down on mail (critical), ended since"
        ", was: Down on cart (critical)"
    )


def test_the_page_of_growth_counts_what_it_has_no_room_to_name() -> None:
    """Ninety services were held: some by name, and how many more."""
    services = [f"payments-{n}" for n in range(45)]
    on = _grows(*services)
    on.wake(BEGIN + 801)
    (says,) = [text for text in said(on) if "payments" in text]
    named = says.count("Down on payments")
    assert named >= 3
    assert f"; and {45 - named} more, was:" in says


def test_growth_during_a_digest_is_in_the_page_that_was_held() -> None:
    """The paper's page waits for ada's digest; meanwhile the till fails in the same incident."""
    policy = Policy("p", (Step(("ada",), 300),), 1, replace(TEAM, digest_s=30))
    on = Shift(replace(rules(threshold=0.0), policy=policy, policies={"p": policy}))
    deliver(on, BEGIN, alert("db", BEGIN))
    ack(on, BEGIN + 1)
    deliver(on, BEGIN + 5, alert("paper", BEGIN + 5))
    on.give(
        inputs.ChangesArrived("ci", (Change("d", "till", "deploy", (BEGIN + 9) * SECOND),)),
        BEGIN + 9,
    )
    deliver(on, BEGIN + 10, alert("till", BEGIN + 10))
    assert judged(on) == [True, True, True]
    on.wake(BEGIN + 31)
    assert said(on)[-1] == "Down on paper; INC-2 grew: Down on till (critical)"


def test_a_step_names_who_was_asked_by_it() -> None:
    """Other people were paged besides: they are not who did not answer."""
    tills = Policy("tills", (Step(("cyd",), 900),), 1, TEAM)
    base = rules(threshold=0.0)
    both = replace(
        base, policies={**base.policies, "tills": tills}, routes=(Route("tills", ("till",)),)
    )
    on = Shift(both)
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    deliver(on, BEGIN + 5, alert("till", BEGIN + 5, same=True))
    on.wake(BEGIN + 301)
    assert said(on)[-1] == "no ack from ada within 5 min"


def test_the_end_of_a_snooze_names_who_gave_it() -> None:
    """Ada has it, Ben puts it off."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("cart", BEGIN))
    ack(on, BEGIN + 30)
    on.give(inputs.Snooze("INC-1", "ben", (BEGIN + 5_000) * SECOND), BEGIN + 60)
    on.wake(BEGIN + 5_001)
    assert said(on)[-1] == "the snooze by ben ended and it is not resolved"


# --- the same, of alerts in a file --------------------------------------------------------------


def test_a_file_rings_where_a_server_would_after_a_digest() -> None:
    """A page that waited for the digest is out when the next news comes: that rings, too."""
    policy = Policy("p", (Step(("ada",), 300),), 0, replace(TEAM, digest_s=30))
    made = replace(rules(threshold=0.0), policy=policy, policies={"p": policy})
    alerts = [
        alert("db", BEGIN, namespace="a"),
        alert("paper", BEGIN + 10, namespace="b"),
        alert("paper", BEGIN + 5_000, "Lost", namespace="b"),
        alert("paper", BEGIN + 9_000, "Burnt", namespace="b"),
    ]
    assert place_all(alerts, [], made).pages == [True] * 4
    routed = route(Shift(made).shard, made, alerts, BEGIN * SECOND)
    assert [bool(one.pages) for one in routed] == [True] * 4


def test_a_file_counts_the_page_of_what_was_covered_and_fires_still() -> None:
    """What covered it is over: time makes the page, and no line; the sum has it."""
    graph = Topology([Service(name, 2) for name in "abc"], [("a", "b"), ("b", "c")])
    made = replace(rules(threshold=0.0), topology=graph)
    alerts = [
        alert("a", BEGIN, "Slow", "warning"),
        alert("c", BEGIN + 2_000),
        alert("a", BEGIN + 2_300),
        alert("c", BEGIN + 2_000, over=BEGIN + 2_400),
        alert("a", BEGIN + 2_300, over=BEGIN + 9_500),
    ]
    storm = place_all(alerts, [], made)
    assert (storm.pages, storm.later) == ([False, True, False, False, False], {"INC-1": 1})


# --- what an alert says anew --------------------------------------------------------------------


def test_a_runbook_and_a_text_that_come_later_are_kept_and_ring_nobody() -> None:
    """The sender adds a link and says more; then it says the same again."""
    on = Shift(rules())
    labels = {"alertname": "Down", "service": "db", "severity": "critical"}
    on.give(inputs.AlertsArrived("test", (keyed(labels),)), BEGIN)
    more = keyed(labels, "data at risk: lost 3 disks", "https://wiki/db")
    for at in (60, 120, 180):
        on.wake(BEGIN + at)
        on.give(inputs.AlertsArrived("test", (more,)), BEGIN + at)
    incident = on.incident()
    assert list(incident.links) == ["https://wiki/db"]
    assert [one.says for one in incident.texts.values()][-1] == "data at risk: lost 3 disks"
    assert [at for at, x in on.told if isinstance(x, e.AlertsChanged)] == [BEGIN + 60]
    assert rung(on) == [BEGIN]


def test_a_key_that_moves_to_another_service_is_news_of_that_one() -> None:
    """A host's key, first about the paper, then about the shop, of the first tier."""
    on = Shift(rules())
    labels = {"alertname": "host", "service": "paper", "severity": "critical"}
    on.give(inputs.AlertsArrived("test", (keyed(labels),)), BEGIN)
    ack(on, BEGIN + 30)
    deliver(on, BEGIN + 4_000, keyed({**labels, "service": "shop"}))
    assert rung(on, BEGIN) == [BEGIN + 4_000]
    fires = [one.service for x in on.shard.incidents.values() for one in x.firing.values()]
    assert fires == ["shop"]


def _inhibited() -> Rules:
    source = (read_matcher("severity=critical"), read_matcher("alertname=Cluster"))
    rule = Inhibition("dc", source, (read_matcher("alertname=Down"),), ("cluster",))
    return replace(rules(), muting=Muting(inhibitions=(rule,)))


def test_what_is_lowered_inhibits_no_more_and_what_is_raised_does() -> None:
    """A cluster goes from critical to a warning: what it explained speaks, and is quiet again."""
    on = Shift(_inhibited())
    labels = {"alertname": "Cluster", "service": "queue", "cluster": "eu"}

    def cluster(at: int, level: str) -> None:
        on.wake(at)
        on.give(inputs.AlertsArrived("test", (keyed({**labels, "severity": level}),)), at)

    cluster(BEGIN, "critical")
    ack(on, BEGIN + 10)
    deliver(on, BEGIN + 60, alert("shop", BEGIN + 60, cluster="eu"))
    assert rung(on) == [BEGIN]
    cluster(BEGIN + 600, "warning")
    assert rung(on, BEGIN) == [BEGIN + 600]
    deliver(on, BEGIN + 4_000, alert("mail", BEGIN + 4_000, cluster="eu"))
    assert rung(on, BEGIN + 3_999) == [BEGIN + 4_000]
    cluster(BEGIN + 4_100, "critical")
    fires = [one for x in on.shard.incidents.values() for one in x.firing.values()]
    assert {one.service for one in fires if one.muted} == {"shop", "mail"}


def test_many_alerts_that_speak_again_are_judged_in_one_go() -> None:
    """A silence over many services ends: what fires is walked through as often as for a few."""
    walks = {many: _walks(many) for many in (10, 100)}
    assert walks[100] == walks[10]


def _walks(many: int) -> int:
    """How often all that fires is walked through when a silence over so many services ends."""
    on = Shift(rules())
    quiet = inputs.AddSilence(("cluster=eu",), 0, 99_000 * SECOND, "ben", "known")
    on.give(quiet, BEGIN - 10)
    deliver(on, BEGIN, *(alert(f"s{n}", BEGIN, cluster="eu", same=True) for n in range(many)))
    incident, seen = on.incident(), 0

    class Counted(dict[str, Firing]):
        def items(self):
            nonlocal seen
            seen += 1
            return super().items()

    incident.firing = Counted(incident.firing)
    on.give(inputs.EndSilence("S-1", "ben"), BEGIN + 100)
    return seen
