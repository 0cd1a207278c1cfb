"""Which incident an alert joins: `core/rules/correlation.py`, by `core/values/windows.py`."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.rules.test_correlation import Bench, S, alert

from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.board import number_of
from midwatch.core.state.shard import is_chronic
from midwatch.core.values import windows
from midwatch.core.values.alerts import Alert, Level, identify
from midwatch.core.values.gathering import Gathering, Until
from midwatch.core.values.reach import reach_of
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.teams import Policy, Step
from midwatch.core.values.topology import Service, Topology

POLICY = Policy("p", (Step(("ada",), 300),), repeat=0)
CHAIN = [("web", "cart"), ("cart", "db"), ("db", "disk"), ("mail", "queue")]
RULES = Rules(topology=Topology([Service("web", 1)], CHAIN), policy=POLICY)
BARE = Rules(policy=POLICY)


def over(one: Alert, at: int) -> Alert:
    """The end of an alert, at seconds."""
    return structs.replace(one, status="resolved", ends_at=at * S)


def placed(rules: Rules, *alerts: Alert) -> list[str]:
    """Where each alert went, one delivery each."""
    bench = Bench(rules)
    found: list[str] = []
    for one in alerts:
        bench.alerts(one, at=(one.ends_at or one.starts_at) // S)
        found.append(bench.state.firing.get(one.fingerprint, ""))
    return found


def how(bench: Bench) -> list[str]:
    """Why each alert is where it is."""
    attached = [x for x, _ in bench.log if isinstance(x, e.AlertsAttached)]
    return [one.reason_of(item).says for one in attached for item in one.attached]


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "after_s", "level", "incident"),
    [
        ("db", 316, "warning", "INC-1"),  # its own service, long before an end of anything
        ("db", 5_300, "warning", "INC-1"),
        ("db", 90_000, "critical", "INC-1"),  # it still fires, and nothing else draws
        ("cart", 890, "warning", "INC-1"),  # one call
        ("cart", 901, "warning", "INC-2"),
        ("disk", 890, "warning", "INC-1"),  # whoever calls whom
        ("web", 690, "warning", "INC-1"),  # two calls
        ("web", 701, "warning", "INC-2"),
        ("paper", 490, "critical", "INC-1"),  # not connected: time, and something critical fires
        ("paper", 490, "warning", "INC-1"),
        ("paper", 501, "critical", "INC-2"),
    ],
)
def test_how_long_what_fires_draws_in(
    service: str, after_s: int, level: Level, incident: str
) -> None:
    later = alert(service, after_s, "Other", level=level)
    assert placed(RULES, alert("db"), later)[1] == incident


def test_a_warning_draws_in_nobody_by_time_alone() -> None:
    """An outage never joins what only warned on a service that it has nothing to do with."""
    late = alert("newsletter", 0, "Late", level="warning")
    for rules in (RULES, BARE):
        assert placed(rules, late, alert("web", 5)) == ["INC-1", "INC-2"]


@pytest.mark.parametrize("rules", [RULES, BARE], ids=["graph", "none"])
@pytest.mark.parametrize("step_s", [10, 20, 40, 60, 120, 300])
def test_a_slow_cascade_is_one_incident(step_s: int, rules: Rules) -> None:
    """Sixteen alerts of one outage, each later than the one before, all still firing."""
    services = ("db", "cart", "web", "disk")
    storm = [alert(services[n % 4], n * step_s, f"Rule{n}") for n in range(16)]
    assert set(placed(rules, *storm)) == {"INC-1"}


def test_disks_that_fill_one_after_the_other_are_one_incident() -> None:
    """Eight nodes of one cluster, seven minutes apart, with and without a call graph."""
    disks = [alert("kafka", n * 420, "DiskAlmostFull", instance=f"k{n}") for n in range(8)]
    for rules in (RULES, BARE):
        assert set(placed(rules, *disks)) == {"INC-1"}


def test_with_what_still_fires_the_strongest_draws() -> None:
    """The nearer of two; and what fires later, of two that are as near."""
    bench = Bench(structs.replace(RULES, wall="zone"))
    bench.alerts(alert("web", 0, zone="a"))
    bench.alerts(alert("disk", 30, zone="b"))
    bench.alerts(alert("db", 60))
    assert bench.home(alert("db", 60)) == "INC-2"
    assert how(bench)[-1] == "one call from disk, 30 s after it"


def test_nothing_draws_once_it_has_ended_but_on_its_own_service() -> None:
    """Ten minutes after its end, while the incident is not over."""
    first, other = alert("db", 0), alert("web", 10, level="warning")
    for service, after_s, incident in (
        ("db", 590, "INC-1"),
        ("cart", 610, "INC-1"),  # by what still fires on web
        ("queue", 610, "INC-2"),
    ):
        later = alert(service, 100 + after_s, "Other", level="warning")
        assert placed(RULES, first, other, over(first, 100), later)[-1] == incident


def test_a_late_alert_with_an_old_start_finds_its_outage() -> None:
    """Alertmanager sends what began minutes ago; the next alert of the service still joins."""
    bench = Bench(BARE)
    bench.alerts(alert("gateway", 1_000, "Errors"))
    bench.alerts(alert("db", 700, "DiskFull"), at=1_001)
    bench.alerts(alert("gateway", 1_020, "Slow"))
    assert list(bench.state.incidents) == ["INC-1"]
    assert bench.state.incidents["INC-1"].first_at == 700 * S


def test_what_names_the_same_id_belongs_together() -> None:
    """Whatever the service, as long as something of it fires."""
    bench = Bench(RULES)
    bench.alerts(alert("cart", trace_id="7f3a", level="warning"))
    late = alert("queue", 3_000, trace_id="7f3a", level="warning")
    bench.alerts(late)
    assert bench.home(late) == "INC-1"
    assert how(bench)[-1] == "same trace 7f3a, 50 min after it"


# --- people, namespaces, size -------------------------------------------------------------------


def test_an_ack_ends_what_time_alone_joins() -> None:
    """Somebody has that incident; what the graph does not connect is another one, and pages."""
    for rules, service, incident in (
        (RULES, "mail", "INC-2"),
        (BARE, "cart", "INC-2"),
        (RULES, "cart", "INC-1"),
    ):
        bench = Bench(rules)
        bench.alerts(alert("db"))
        bench.give(inputs.Acknowledge("INC-1", "ada"), 30)
        later = alert(service, 60, "Down")
        decision = bench.alerts(later)
        assert bench.home(later) == incident
        if incident == "INC-2":
            assert [type(x).__name__ for x in decision.effects] == ["SendPage"]


def test_namespaces_are_evidence_where_the_graph_has_none() -> None:
    """Connected services cross them; unconnected ones of two namespaces stay apart."""
    bench = Bench(RULES)
    bench.alerts(alert("db", namespace="infra"))
    bench.alerts(alert("cart", 10, namespace="shop"))
    bench.alerts(alert("mail", 20, namespace="post"))
    assert bench.sizes == {"INC-1": 2, "INC-2": 1}
    assert "not connected in the call graph" in how(bench)[-1]


@pytest.mark.parametrize("level", ["critical", "warning"])
def test_a_service_behind_a_wall_is_found_in_each_of_its_many_namespaces(level: Level) -> None:
    """One agent in thirty clusters: each has its own incident, and nobody's next is another one."""
    rules = structs.replace(RULES, wall="namespace")
    spaces = [f"eu-{n}" for n in range(30)]
    first = [alert("db", n, "Down", level=level, namespace=one) for n, one in enumerate(spaces)]
    again = [
        alert("db", 60 + n, "Slow", level=level, namespace=one) for n, one in enumerate(spaces)
    ]
    near = [
        alert("cart", 120 + n, "Slow", level=level, namespace=one) for n, one in enumerate(spaces)
    ]
    homes = [f"INC-{n + 1}" for n in range(30)]
    assert placed(rules, *first, *again, *near) == homes * 3


@pytest.mark.parametrize("wall", ["namespace", "zone"])
def test_a_wall_keeps_the_values_of_its_label_apart(wall: str) -> None:
    """Also on one service, in one delivery, and once one side has ended."""
    rules = structs.replace(RULES, wall=wall)
    one = [alert("db", n, f"A{n}", **{wall: ("eu", "us")[n % 2]}) for n in range(6)]
    bench = Bench(rules)
    bench.alerts(*one)
    assert bench.sizes == {"INC-1": 3, "INC-2": 3}
    assert placed(rules, *one) == ["INC-1", "INC-2"] * 3
    bench.alerts(*(over(x, 60) for x in one[1::2]), at=60)
    bench.alerts(alert("db", 90, "B", **{wall: "us"}), alert("db", 90, "C", **{wall: "eu"}))
    assert bench.sizes == {"INC-1": 4, "INC-2": 1}


@pytest.mark.parametrize(
    ("services", "spaces", "incident"),
    [(48, 1, "INC-1"), (49, 1, "INC-2"), (49, 2, "INC-1")],
)
def test_among_many_services_time_alone_says_little(
    services: int, spaces: int, incident: str
) -> None:
    """More than 48 of one namespace: two of them fail within minutes by chance."""
    calls = [(f"s{n}", f"s{n + 1}") for n in range(0, services - 2, 2)]
    named = [Service(f"s{n}", 2) for n in range(services)]
    rules = Rules(topology=Topology(named, calls), policy=POLICY)
    bench = Bench(rules)
    if spaces > 1:
        bench.alerts(alert("s0", namespace="else"), at=0)
        bench.alerts(over(alert("s0", namespace="else"), 1), at=1)
    first = alert("s20", 10_000, namespace="prod")
    soon = alert("s40", 10_030, level="warning", namespace="prod")
    later = alert("s30", 10_300, level="warning", namespace="prod")
    bench.alerts(first)
    bench.alerts(soon)
    bench.alerts(later)
    assert bench.home(soon) == bench.home(first)
    assert (bench.home(later) == bench.home(first)) == (incident == "INC-1")


def test_a_critical_alert_that_nothing_explains_is_an_outage_of_its_own() -> None:
    """A warning near by draws it in only when it is strong: what rings is no small print."""
    near = alert("cart", 0, level="warning")
    assert placed(RULES, near, alert("db", 300))[1] == "INC-1"
    assert placed(RULES, near, alert("db", 700))[1] == "INC-2"
    assert placed(RULES, near, alert("db", 700, level="warning"))[1] == "INC-1"
    loud = alert("cart", 0)
    assert placed(RULES, loud, alert("db", 700))[1] == "INC-1"


# --- what people say ----------------------------------------------------------------------------


def gathers(until: Until = "resolved") -> Rules:
    """Disks of a cluster are one incident, whatever the service."""
    route = Gathering((read_matcher("alertname=~Disk.*"),), ("cluster",), until)
    return structs.replace(RULES, gatherings=(route,))


def test_what_people_want_together_is_together() -> None:
    """By the values of its labels alone, until that is over; nothing else is drawn by it more."""
    eu, us = {"cluster": "eu"}, {"cluster": "us"}
    lines = [
        alert("db", 0, "DiskFull", **eu),
        alert("db", 1, "DiskFull", **us),
        alert("mail", 9_000, "DiskSlow", **eu),
        alert("db", 9_001, "Slow", **us),
    ]
    assert placed(gathers(), *lines) == ["INC-1", "INC-2", "INC-1", "INC-2"]
    assert placed(gathers(), *lines[:2], over(lines[1], 60), alert("db", 90, "DiskSlow", **us)) == [
        "INC-1",
        "INC-2",
        "",
        "INC-2",
    ]
    bench = Bench(gathers())
    bench.alerts(*lines[:2])
    assert bench.sizes == {"INC-1": 1, "INC-2": 1}


def test_the_groups_of_a_sender_are_kept_where_a_route_asks_for_them() -> None:
    """What comes without a group is placed like anything else."""
    route = Gathering((read_matcher("alertname=~Disk.*"),), (), sent=True)
    rules = structs.replace(RULES, gatherings=(route,))
    lines = [
        structs.replace(alert(service, at, name), group=group)
        for service, at, name, group in (
            ("db", 0, "DiskFull", "a"),
            ("mail", 9_000, "DiskSlow", "a"),
            ("db", 9_001, "DiskSlow", "b"),
            ("db", 9_002, "Down", "a"),
            ("mail", 40_000, "Disk", ""),
        )
    ]
    assert placed(rules, *lines) == ["INC-1", "INC-1", "INC-2", "INC-2", "INC-1"]


@pytest.mark.parametrize(("gap_s", "incident"), [(600, "INC-1"), (601, "INC-2")])
def test_a_group_may_end_when_it_is_quiet(gap_s: int, incident: str) -> None:
    """Ten minutes after its newest alert, whatever still fires; the next begins another one."""
    lines = [alert("db", n * gap_s, f"Disk{n}", cluster="eu") for n in range(2)]
    assert placed(gathers("quiet"), *lines)[1] == incident


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"job": "kube-state-metrics", "deployment": "shop"}, "shop"),
        ({"service": "monitoring-kube-state-metrics", "statefulset": "db", "pod": "db-0"}, "db"),
        ({"job": "kubelet", "container": "cart", "node": "n1"}, "cart"),
        ({"job": "node-exporter", "node": "n1"}, "n1"),
        ({"job": "kube-state-metrics", "pod": "x"}, "kube-state-metrics"),
        ({"service": "shop", "deployment": "shop-v2"}, "shop"),
        ({"job": "my-kubelet-proxy", "container": "c"}, "my-kubelet-proxy"),
    ],
)
def test_what_tells_of_others_is_about_them(labels: dict[str, str], service: str) -> None:
    """Every alert of a cluster would be on one service else."""
    assert identify({"alertname": "Restarts", **labels}).service == service


# --- noise and flaps ----------------------------------------------------------------------------


def noisy(rules: Rules = RULES) -> Bench:
    """A bench on which one warning of `cart` has fired twice for nothing."""
    bench = Bench(rules)
    for round_ in range(2):
        one = alert("cart", round_ * 8_000, "Flaky", level="warning")
        bench.alerts(one)
        bench.alerts(over(one, round_ * 8_000 + 400), at=round_ * 8_000 + 400)
        timer = bench.timers.get(f"settle/INC-{round_ + 1}")
        if timer:
            bench.fire(timer.key)
    return bench


def test_what_fires_alone_again_and_again_draws_in_its_own_service_only() -> None:
    """And joins others only when they are near and it is soon."""
    flaky = alert("cart", 20_000, "Flaky", level="warning")
    bench = noisy()
    bench.alerts(flaky)
    bench.alerts(alert("db", 20_010, level="warning"))
    assert bench.home(flaky) != bench.home(alert("db", 20_010, level="warning"))
    for after_s, joins in ((60, True), (700, False)):
        bench = noisy()
        bench.alerts(alert("db", 20_000 - after_s), alert("disk", 20_001 - after_s))
        bench.alerts(flaky)
        assert (bench.home(flaky) == bench.home(alert("db"))) == joins
    once = Bench(RULES)
    once.alerts(flaky)
    once.alerts(alert("db", 20_010, level="warning"))
    assert once.sizes == {"INC-1": 2}


@pytest.mark.parametrize("up_s", [300, 1_200])
def test_a_flapping_alert_stays_in_its_incident(up_s: int) -> None:
    """Up and down for hours: open, mitigated or resolved by itself, it is the same incident."""
    bench = Bench(RULES)
    at = 0
    for _ in range(12):
        one = alert("db", at)
        bench.alerts(one)
        at += 300
        bench.alerts(over(one, at), at=at)
        for key in [k for k in bench.timers if k.startswith("settle/")]:
            if bench.timers[key].due_at <= (at + up_s) * S:
                bench.fire(key)
        at += up_s
    assert list(bench.state.incidents) == ["INC-1"]
    assert bench.state.rested[alert("db").fingerprint].rounds == 12


def test_after_a_merge_what_joined_the_one_joins_the_other() -> None:
    """A person has said once that they are the same."""
    bench = Bench(structs.replace(RULES, wall="zone"))
    mine, theirs = alert("db", zone="a"), alert("db", 1, "Other", zone="b")
    bench.alerts(mine)
    bench.alerts(theirs)
    assert len(bench.state.open) == 2
    bench.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), 5)
    bench.alerts(alert("cart", 60, zone="b", level="warning"))
    assert list(bench.state.open) == ["INC-1"]
    bench.alerts(over(theirs, 90), at=90)
    again = alert("db", 120, "Other", zone="b")
    bench.alerts(again)
    assert bench.home(again) == "INC-1"


# --- any history --------------------------------------------------------------------------------

LEVELS: list[Level] = ["critical", "warning"]
LINES = st.lists(
    st.tuples(
        st.sampled_from(["web", "cart", "db", "disk", "mail", "queue", "lone"]),
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from(LEVELS),
        st.sampled_from(["", "eu"]),
        st.integers(1, 400),
        st.booleans(),
    ),
    max_size=40,
)


def history(drawn: list[tuple[str, str, Level, str, int, bool]]) -> list[tuple[int, Alert]]:
    """What fires and ends, in the order of time."""
    at, found = 0, list[tuple[int, Alert]]()
    fires: dict[str, Alert] = {}
    for service, name, level, space, gap, ends in drawn:
        at += gap
        one = alert(service, at, name, level=level, namespace=space)
        if ends and one.fingerprint in fires:
            found.append((at, over(fires.pop(one.fingerprint), at)))
        elif one.fingerprint not in fires:
            fires[one.fingerprint] = one
            found.append((at, one))
    return found


@settings(max_examples=100)
@given(LINES)
def test_an_alert_finds_what_a_look_at_all_that_fires_finds(
    drawn: list[tuple[str, str, Level, str, int, bool]],
) -> None:
    """The look-ups name few; the strongest of all is among them."""
    bench = Bench(RULES)
    for at, one in history(drawn):
        best = strongest(bench, one) if one.status == "firing" else None
        rested = one.fingerprint in bench.state.rested
        bench.alerts(one, at=at)
        if best is None or rested:
            continue
        event = [x for x, _ in bench.log if isinstance(x, e.AlertsAttached)][-1]
        score = event.reasons[0].terms.get("score")
        if score is None:
            opened = [x for x, _ in bench.log if isinstance(x, e.IncidentOpened)][-1]
            score = opened.reason.terms.get("score", 0.0)
        assert score == pytest.approx(best, abs=1e-4)


def strongest(bench: Bench, one: Alert) -> float:
    """Look at everything that fires, and at what has ended on the same service."""
    best, reach, shard = 0.0, reach_of(RULES.topology), bench.state
    for name in shard.open:
        incident = shard.incidents[name]
        alone = len(incident.troubles) == 1 and len(incident.kinds) == 1
        for fingerprint, line in incident.firing.items():
            ms = one.starts_at - line.starts_at
            hops = reach.hops(one.service, line.service)
            loud = line.level == "critical"
            if hops == 0:
                best = max(best, windows.SAME.strength(ms), windows.LEAST)
            elif alone and not loud and is_chronic(shard, fingerprint):
                continue
            elif hops:
                best = max(best, windows.near(hops).strength(ms))
            elif loud and line.labels.get("namespace", "") == one.namespace:
                best = max(best, windows.BY_TIME.strength(ms))
        trouble = incident.troubles.get(one.service)
        if trouble and not trouble.firing:
            chronic = one.level != "critical" and is_chronic(shard, one.fingerprint)
            if not chronic or alone:
                ended = one.starts_at - incident.ended[one.service]
                best = max(best, windows.ENDED.strength(ended))
    return best


@settings(max_examples=60)
@given(LINES, st.integers(0, 40))
def test_an_answer_depends_on_what_came_before_alone(
    drawn: list[tuple[str, str, Level, str, int, bool]], cut: int
) -> None:
    """Cut anywhere, and what was answered until then stays."""
    whole, part = Bench(RULES), Bench(RULES)
    found: list[list[str]] = [[], []]
    lines = history(drawn)
    for bench, told, some in ((whole, found[0], lines), (part, found[1], lines[:cut])):
        for at, one in some:
            bench.alerts(one, at=at)
            told.append(bench.state.firing.get(one.fingerprint, ""))
    assert found[0][: len(found[1])] == found[1]


@settings(max_examples=60)
@given(LINES)
def test_the_look_ups_say_what_the_incidents_say(
    drawn: list[tuple[str, str, Level, str, int, bool]],
) -> None:
    """Whatever fires, ends, is merged and split, they hold no more and no less."""
    bench, rng = Bench(RULES), Random(len(drawn))
    for at, one in history(drawn):
        bench.alerts(one, at=at)
        names = list(bench.state.open)
        if len(names) > 1 and rng.random() < 0.2:
            bench.give(inputs.MergeIncident(names[-1], names[0], "ada"), at)
    board, shard = bench.state.board, bench.state
    lines = {
        (one.starts_at, fingerprint, number_of(name))
        for name in shard.open
        for fingerprint, one in shard.incidents[name].firing.items()
    }
    assert {line for found in board.lines.values() for line in found} == lines
    for lists, recent in ((board.lines, board.recent), (board.loud, board.recent_loud)):
        assert recent == sorted((found[-1][0], service) for service, found in lists.items())
        assert all(found == sorted(found) for found in lists.values())
