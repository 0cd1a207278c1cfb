"""What a trial run says about real pages: each verdict with its evidence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rules.test_correlation import Bench, alert

from midwatch import config
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.values.alerts import identify
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Reason
from midwatch.core.values.teams import Policy, Route, Step
from midwatch.core.values.topology import Service, Topology
from midwatch.engine.queries import Fact
from midwatch.engine.shadow import Known, RealPage, Recorded, Report, compare, pages_of, recorded

MINUTE = 60_000
DAY = 1_440 * MINUTE
WHY = Reason("test/1", "because")


def page(at_min: float, *services: str, key: str = "k") -> RealPage:
    """Somebody was paged."""
    return RealPage(int(at_min * MINUTE), services, key)


def incident(name: str, opened_min: int, *services: str, paged_min: int | None = None) -> Recorded:
    """An incident; with `paged_min` midwatch pages for it."""
    paged_at = None if paged_min is None else paged_min * MINUTE
    return Recorded(
        name,
        "Down",
        opened_min * MINUTE,
        dict.fromkeys(services, opened_min * MINUTE),
        alerts=3,
        severity="sev1" if paged_at is not None else "sev3",
        why="because",
        paged_at=paged_at,
        over_at=(opened_min + 60) * MINUTE,
    )


@pytest.mark.parametrize(
    ("real", "verdict", "why"),
    [
        (page(11, "shop"), "covered", "sev1: because"),
        (page(4, "shop"), "covered", "sev1: because"),
        (page(30, "db"), "ticket", "sev3, a ticket: because"),
        (page(11, "mail"), "missed", "no incident of mail"),
        (page(11), "missed", "no incident of no service"),
        (page(100, "shop"), "missed", "no incident of shop"),
        (page(-10, "shop"), "missed", "no incident of shop"),
        (page(60, "slow"), "missed", "30 min later"),
    ],
    ids=["after", "before", "ticket", "service", "nameless", "over", "early", "late"],
)
def test_each_verdict(real: RealPage, verdict: str, why: str) -> None:
    """Covered, a ticket, or missed; and why."""
    known = [
        incident("INC-1", 10, "shop", "cart", paged_min=10),
        incident("INC-2", 20, "db"),
        incident("INC-3", 60, "slow", paged_min=90),
    ]
    report = compare(known, [real], since=-DAY, until=DAY)
    (judged,) = report.judged
    assert (judged.verdict, why in judged.why) == (verdict, True), judged
    assert report.real_pages == 1
    assert {x.incident for x in report.extra} == {"INC-1", "INC-3"} - {
        judged.incident if verdict == "covered" else ""
    }


def test_repeats_are_saved_and_say_of_what() -> None:
    """Three real pages of one incident are one page of midwatch's."""
    known = [incident("INC-1", 10, "shop", "cart", paged_min=10)]
    pages = [page(20, "shop", key="c"), page(11, "shop", key="a"), page(15, "cart", key="b")]
    report = compare(known, pages, since=0, until=DAY)
    assert [j.verdict for j in report.judged] == ["covered", "saved", "saved"]
    assert report.judged[2].why.startswith("real page 3 of INC-1")
    assert (report.saved, report.keys, report.missed, report.extra) == (2, 3, 0, [])


def test_a_page_for_another_service_is_told_apart() -> None:
    """It is covered, and counted apart, for nobody would have been told of this service at once."""
    started = identify({"service": "billing"}).alert("firing", 0)
    gateway = identify({"service": "gateway"}).alert("firing", 0)
    told = [
        e.IncidentOpened(
            incident="INC-1",
            service="billing",
            namespace="",
            title="Odd on billing",
            started_at=0,
            reason=WHY,
        ),
        e.AlertsAttached(incident="INC-1", attached=(e.Attachment(started),), reasons=(WHY,)),
        e.SeverityDeclared(incident="INC-1", severity="sev3", urgency="ticket", reason=WHY),
        e.AlertsAttached(incident="INC-1", attached=(e.Attachment(gateway),), reasons=(WHY,)),
        e.SeverityDeclared(
            incident="INC-1",
            severity="sev2",
            urgency="page",
            reason=WHY,
            title="Down on gateway",
            service="gateway",
        ),
        e.PagePlanned(incident="INC-1", key="page/INC-1/1", to="ada", step=0, reason=WHY),
    ]
    facts: list[Fact[e.Event]] = [Fact(n, n * MINUTE, event) for n, event in enumerate(told)]
    known = recorded(facts)
    for service, apart in (("billing", 1), ("gateway", 0)):
        report = compare(known, [page(1, service)], since=0, until=DAY)
        assert (report.covered, report.by_another) == (1, apart)
        assert report.judged[0].paged_for == "gateway"


def test_a_service_that_joined_later_is_no_sign_of_the_same_trouble() -> None:
    """An incident may last for hours; what joins it in the end was not there at the beginning."""
    one = incident("INC-1", 0, "shop", paged_min=0)
    one.services["mail"] = 50 * MINUTE
    report = compare([one], [page(20, "mail"), page(40, "mail")], since=0, until=DAY)
    assert [j.verdict for j in report.judged] == ["missed", "covered"]


def test_what_lies_outside_is_shown_and_not_counted() -> None:
    """A page before the recording began says nothing about midwatch."""
    report = compare([], [page(1, "shop"), page(9, "shop")], since=5 * MINUTE, until=DAY)
    assert (report.real_pages, report.missed) == (1, 1)
    assert [j.at[11:16] for j in report.not_judged] == ["00:01"]


def test_an_incident_that_opens_again_is_not_over() -> None:
    """A page long after the first mitigation belongs to it while it is open again."""
    attached = e.Attachment(identify({"service": "shop"}).alert("firing", 0))
    told = [
        e.IncidentOpened(
            incident="INC-1", service="shop", namespace="", title="Down", started_at=0, reason=WHY
        ),
        e.AlertsAttached(incident="INC-1", attached=(attached,), reasons=(WHY,)),
        e.SeverityDeclared(incident="INC-1", severity="sev1", urgency="page", reason=WHY),
        e.PagePlanned(incident="INC-1", key="page/INC-1/1", to="ada", step=0, reason=WHY),
        e.IncidentMitigated(incident="INC-1", reason=WHY),
        e.IncidentReopened(incident="INC-1", reason=WHY),
        e.PagePlanned(incident="INC-1", key="page/INC-1/2", to="ada", step=0, reason=WHY),
        e.RealPageSeen(source="paged", at=90 * MINUTE, services=("shop",), key="k", title="Down"),
    ]
    facts: list[Fact[e.Event]] = [Fact(n, n * MINUTE, event) for n, event in enumerate(told)]
    (one,) = recorded(facts)
    assert (one.paged_at, one.pages, one.alerts, one.over_at) == (3 * MINUTE, 2, 1, None)
    report = compare([one], pages_of(facts), since=0, until=DAY)
    assert [j.verdict for j in report.judged] == ["covered"]
    assert report.judged[0].source == "paged"


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["a", "b", "c", ""]))),
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["a", "b"]), st.booleans())),
)
def test_every_real_page_has_one_verdict(
    pages: list[tuple[int, str]], incidents: list[tuple[int, str, bool]]
) -> None:
    """Nothing is lost, counts add up, and what is saved came after a page of midwatch's."""
    known = [
        incident(f"INC-{n}", at, service, paged_min=at if pages_too else None)
        for n, (at, service, pages_too) in enumerate(incidents)
    ]
    real = [page(at, service) for at, service in pages]
    report = compare(known, real, since=20 * MINUTE, until=180 * MINUTE)
    assert len(report.judged) + len(report.not_judged) == len(pages)
    counts = report.covered, report.saved, report.tickets, report.missed
    assert sum(counts) == report.real_pages == len(report.judged)
    covering = {j.incident for j in report.judged if j.verdict == "covered"}
    assert len(covering) + len(report.extra) == report.would_page
    paged_at = {one.id: one.paged_at for one in known}
    for one in report.judged:
        if one.verdict == "saved":
            at = paged_at[one.incident]
            assert at is not None
            assert show_time(at) <= one.at
            assert one.incident in covering


# --- what midwatch decides, beside what paged -----------------------------------------------------

WEB = Policy("web", (Step(("ada",), 300),), repeat=0)
DATA = Policy("data", (Step(("dba",), 300),), repeat=0)
WORLD = Topology(
    [Service(name, 1) for name in ("shop", "db", "cart", "index")],
    [("shop", "cart"), ("db", "index")],
)
ONE = Rules(topology=WORLD, policy=WEB, policies={"web": WEB})
TWO = Rules(
    topology=WORLD,
    policy=WEB,
    policies={"web": WEB, "data": DATA},
    routes=(Route("data", ("db",)),),
)


def tried(rules: Rules, fired: list[tuple[str, int]], real: list[tuple[str, int]]) -> Report:
    """What is said of real pages, beside alerts of services at seconds; the engine decides."""
    bench = Bench(rules)
    for service, at_s in fired:
        bench.alerts(alert(service, at_s, f"{service}Down"))
    facts = [Fact(n, at, event) for n, (event, at) in enumerate(bench.log)]
    pages = [RealPage(at_s * 1_000, (service,), service) for service, at_s in real]
    return compare(recorded(facts), pages, since=-DAY, until=DAY)


def test_a_page_of_what_only_broke_at_the_same_time_is_missed() -> None:
    """One person, no calls between: shop pages, db joins by time, and nobody hears of db."""
    report = tried(ONE, [("shop", 0), ("db", 3)], [("shop", 1), ("db", 4)])
    assert [one.verdict for one in report.judged] == ["covered", "missed"]
    says = "joined INC-1 by time only, which pages for something else: no call connects them"
    assert report.judged[1].why == says
    assert (report.saved, report.missed) == (0, 1)


def test_what_joins_through_it_is_no_better() -> None:
    """The index is called by db, which joined by time only."""
    report = tried(ONE, [("shop", 0), ("db", 3), ("index", 5)], [("shop", 1), ("index", 6)])
    assert [one.verdict for one in report.judged] == ["covered", "missed"]


def test_a_page_of_other_people_is_covered_when_they_are_paged() -> None:
    """Where db has a policy of its own, midwatch pages its people, too."""
    report = tried(TWO, [("shop", 0), ("db", 3)], [("shop", 1), ("db", 4)])
    assert [one.verdict for one in report.judged] == ["covered", "covered"]
    assert (report.saved, report.by_another) == (0, 0)
    assert report.judged[1].why == "sev1: dbDown on db (critical) is news"


def test_people_who_are_not_paged_are_missed() -> None:
    """They would have been woken for it, and midwatch wakes others."""
    known = incident("INC-1", 10, "shop", "db", paged_min=10)
    known.people, known.asked = {"web": 10 * MINUTE}, {"shop": "web", "db": "data"}
    (one,) = compare([known], [page(11, "db")], since=0, until=DAY).judged
    assert (one.verdict, one.why) == (
        "missed",
        "INC-1 pages policy web, not policy data, whose it is",
    )


def test_a_page_of_what_is_called_is_saved() -> None:
    """The cart's people are the shop's, who were woken a moment ago, and calls connect them."""
    report = tried(ONE, [("shop", 0), ("cart", 3)], [("shop", 1), ("cart", 4), ("shop", 5)])
    assert [one.verdict for one in report.judged] == ["covered", "saved", "saved"]


@pytest.mark.parametrize(
    ("service", "at_s", "verdict", "why"),
    [
        ("shop", -12, "covered", ""),
        ("cart", 88, "covered", ""),
        ("cart", -900, "missed", "no incident of cart at that time"),
        ("cart", 105, "saved", "real page 2 of INC-1"),
    ],
)
def test_a_real_page_that_comes_first_is_never_saved(
    service: str, at_s: int, verdict: str, why: str
) -> None:
    """Midwatch's own page of that service comes so many seconds later, or too late."""
    report = tried(ONE, [("shop", 0), ("cart", 100)], [("shop", 1), (service, at_s)])
    one = next(x for x in report.judged if x.key == service)
    assert (one.verdict, why in one.why) == (verdict, True), one
    if verdict == "covered":
        assert one.delay_s == (0 if service == "shop" else 100) - at_s


@pytest.mark.parametrize("name", ["Shop", "SHOP ", "Online-Shop (EU)", "online shop eu", "shop"])
def test_names_match_as_people_write_them(name: str) -> None:
    """In any case, and by the aliases of topology.yaml; the report shows what was written."""
    known = Known({"Online Shop (EU)": "shop"})
    report = compare(
        [incident("INC-1", 10, "shop", paged_min=10)],
        [page(11, name)],
        since=0,
        until=DAY,
        known=known,
    )
    assert [(one.verdict, one.services) for one in report.judged] == [("covered", (name,))]
    other = compare(
        [incident("INC-1", 10, "shop-db", paged_min=10)], [page(11, "shop")], since=0, until=DAY
    )
    assert other.missed == 1


def test_a_name_belongs_to_one_service(tmp_path: Path) -> None:
    """Of two that are called the same nobody could say which one a page is about."""
    (tmp_path / "midwatch.yaml").write_text(
        "sources: {a: {type: alertmanager}}\nescalation: {steps: [{to: ada}]}\n", "utf-8"
    )
    topology = """services:
  - {name: shop, aliases: [Online Shop, shop]}
  - {name: cart, aliases: [Online Shop]}
  - {name: mail, aliases: [cart]}
"""
    (tmp_path / "topology.yaml").write_text(topology, "utf-8")
    errors = [str(one).partition("topology.yaml:")[2] for one in config.check(tmp_path)[1]]
    assert errors == [
        "3 services[1].aliases[0]: 'Online Shop' is also shop; give each name to one service",
        "4 services[2].aliases[0]: 'cart' is also a service; give each name to one service",
    ]
