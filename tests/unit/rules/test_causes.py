"""What most likely caused an incident: `core/rules/causes.py`."""

from __future__ import annotations

from msgspec import structs
from tests.unit.rules.test_correlation import TOPOLOGY, Bench, S, alert

from midwatch.core.rules import causes
from midwatch.core.state.incidents import Incident, Trouble
from midwatch.core.values.changes import Change
from midwatch.core.values.topology import Topology


def storm(**onsets: int) -> Incident:
    """An incident with these services, by onset in seconds."""
    at = {name: s * S for name, s in onsets.items()}
    found = Incident("INC-1", "", "", "", 0, services=at, first_at=min(at.values()))
    found.troubles = {name: Trouble(1, 1, {"Slow": "critical"}) for name in at}
    return found


def names(incident: Incident, *changes: Change) -> list[str]:
    """The causes that are named, best first."""
    return [one.service for one in evident(incident, *changes)]


def evident(incident: Incident, *changes: Change) -> list[causes.Cause]:
    """What is named, with why."""
    return causes.evident(incident, causes.rank(incident, TOPOLOGY, changes))


def test_a_lone_alert_has_no_cause_but_itself_and_none_is_named() -> None:
    """It is the first all the same; a caller that is silent is none."""
    lone = storm(db=0)
    assert evident(lone) == []
    assert [one.service for one in causes.rank(lone, TOPOLOGY)] == ["db"]
    lone.troubles = {"db": Trouble(1, 1, {"DiskLatency": "critical"})}
    assert evident(lone) == []
    assert names(lone, Change("d-1", "db", "deploy", -60 * S)) == ["db"]


def test_a_symptom_calls_its_cause() -> None:
    """The deepest in trouble stands first, though it was seen last."""
    found = evident(storm(web=0, cart=5, db=9))
    assert [one.service for one in found] == ["db", "web", "cart"]
    assert found[0].why == "in trouble, called by cart; its own callees are healthy"
    assert found[1].why == "the first to fire"


def test_without_a_call_between_them_only_the_first_is_named() -> None:
    """That another one is in trouble too says nothing of why."""
    assert names(storm(shop=0, newsletter=3)) == ["shop"]


def test_a_change_before_is_named_where_it_can_have_hurt() -> None:
    """On a service of the incident, or on one that it calls; not above it, nor long before."""
    hurt = storm(cart=2_000, web=2_001)
    told = Change("d-1", "db", "deploy", 1_600 * S)
    found = evident(hurt, told)
    assert [one.service for one in found][:2] == ["db", "cart"]
    assert found[0].why == "deploy d-1, 400 s before the first alert; called by cart"
    assert names(storm(web=2_000), Change("d-1", "cart", "deploy", 1_600 * S)) == ["cart"]
    for service, at in (("queue", 1_900), ("db", 1_000), ("db", 2_100), ("index", 1_900)):
        assert service not in names(hurt, Change("d-2", service, "deploy", at * S))
    only = storm(db=2_000)
    assert names(only, Change("d-3", "cart", "deploy", 1_900 * S)) == []


def test_a_change_above_is_named_when_two_of_its_callees_are_in_trouble() -> None:
    """What it asks of them may be too much; of one callee that says nothing."""
    calls = Topology([], [("front", "store"), ("front", "mail"), ("back", "mail")])
    for caller, is_named in (("front", True), ("back", False)):
        hurt = storm(store=2_000, mail=2_005)
        told = Change("d-4", caller, "deploy", 1_900 * S)
        found = causes.evident(hurt, causes.rank(hurt, calls, [told]))
        named = [one.why for one in found if one.service == caller]
        says = "deploy d-4, 100 s before the first alert; calls store, mail"
        assert named == ([says] if is_named else [])


def test_a_service_that_is_silent_is_named_when_two_call_it() -> None:
    """One caller in trouble may well be the cause itself."""
    assert "db" not in names(storm(cart=0))
    calls = Topology([], [("cart", "store"), ("search", "store")])
    two = storm(cart=0, search=1)
    ranked = causes.evident(two, causes.rank(two, calls))
    assert "silent, called by cart, search" in {one.why for one in ranked}


def test_a_signal_from_inside_speaks_for_its_own_service() -> None:
    """A full disk is no symptom of another one."""
    hurt = storm(web=0, search=5)
    before = [one.score for one in causes.rank(hurt, TOPOLOGY) if one.service == "search"]
    hurt.troubles["search"] = Trouble(1, 1, {"DiskFillingUp": "critical"})
    (after,) = (one for one in causes.rank(hurt, TOPOLOGY) if one.service == "search")
    assert after.score == before[0] + causes.INSIDE
    assert "DiskFillingUp is about itself" in after.why


def test_what_fires_again_and_again_for_no_cause_explains_none() -> None:
    """Neither as the first, nor as a callee in trouble."""
    bench = Bench()
    for round_ in range(2):
        one = alert("db", round_ * 8_000, "Flaky", level="warning")
        bench.alerts(one)
        end = round_ * 8_000 + 400
        bench.alerts(structs.replace(one, status="resolved", ends_at=end * S), at=end)
        for key in [k for k in bench.timers if k.startswith("settle/")]:
            bench.fire(key)
    bench.alerts(alert("db", 20_000, "Flaky", level="warning"))
    bench.alerts(alert("cart", 20_050))
    bench.alerts(alert("cart", 20_055, "Errors"), alert("web", 20_060))
    hurt = bench.state.incidents[bench.home(alert("cart", 20_050))]
    hurt.services["db"], hurt.noise["db"] = 20_000 * S, 1
    hurt.troubles["db"] = Trouble(1, 1, {"Flaky": "warning"})
    ranked = causes.rank(hurt, TOPOLOGY)
    assert ranked[0].service == "cart"
    assert ranked[0].why.startswith("the first to fire")


def test_unknown_is_an_answer() -> None:
    """An alert without a service, and no change: nothing is made up."""
    assert causes.rank(Incident("INC-1", "", "", "", 0), TOPOLOGY) == []


def test_nobody_is_the_first_to_fire_when_two_were() -> None:
    """Two services that nothing connects, at the same millisecond: nothing speaks for either."""
    assert evident(storm(paper=5, till=5)) == []
    (cause,) = evident(storm(paper=4, till=5))
    assert (cause.service, cause.why) == ("paper", "the first to fire")
