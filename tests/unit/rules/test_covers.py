"""What covers news, and what does not: news that nobody was told of hides nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.rules.test_news import (
    BEGIN,
    SHOP,
    ack,
    alert,
    burn,
    deliver,
    judged,
    rules,
    rung,
)
from tests.unit.shifts import Shift

from midwatch.core.rules.heartbeats import Watched
from midwatch.core.state import inputs
from midwatch.core.values.alerts import identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.silences import read_matcher
from midwatch.core.values.topology import Service, Topology


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


# --- nothing else covers it ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pages"), [("DatacenterOnFire", True), ("BackupFailed", False)], ids=str
)
def test_alerts_without_a_service_are_of_one_only_by_their_name(name: str, pages: bool) -> None:
    """That nobody says where both are makes them no one service."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("", BEGIN, "BackupFailed", host="a"))
    ack(on, BEGIN + 60)
    deliver(on, BEGIN + 3_000, alert("", BEGIN + 3_000, name, host="b"))
    assert judged(on) == [True, pages]
    assert rung(on, BEGIN) == ([BEGIN + 3_000] if pages else [])


def test_several_names_without_a_service_are_covered_together_or_not_at_all() -> None:
    """One that somebody knows brings in none that nobody does."""
    on = Shift(rules())
    known = [alert("", BEGIN, name) for name in ("BackupFailed", "CertExpires")]
    deliver(on, BEGIN, *known)
    ack(on, BEGIN + 60)
    at = BEGIN + 3_000
    deliver(on, at, *(alert("", at, name, host="b") for name in ("CertExpires", "BackupFailed")))
    deliver(on, at, *(alert("", at, name, host="c") for name in ("CertExpires", "DiskFails")))
    assert judged(on) == [True, False, True]


@pytest.mark.parametrize("service", ["", "cart"])
def test_the_silence_of_one_job_hides_no_other(service: str) -> None:
    """Whoever has the nightly job learns that the monitoring itself is gone."""
    jobs = {
        "nightly": Watched("nightly", 3_600, 0, service, "sev2"),
        "watchdog": Watched("watchdog", 300, 0, service, "sev2"),
    }
    on = Shift(replace(rules(), jobs=jobs))
    on.give(inputs.Started({}), BEGIN)
    for at in range(BEGIN, BEGIN + 6_000, 240):
        on.wake(at)
        on.give(inputs.HeartbeatSeen("watchdog"), at)
        if "INC-1" in on.shard.incidents and on.incident().state == "open":
            ack(on, at)
    first = rung(on)
    assert len(first) == 1
    on.wake(BEGIN + 6_200)
    assert len(rung(on)) == 2
    last = rung(on)[-1]
    name = next(reversed(on.shard.incidents))
    ack(on, last + 10, "ada", name)
    on.give(inputs.HeartbeatSeen("watchdog"), last + 60)  # it comes back, and is gone again
    on.wake(last + 700)
    assert judged(on) == [True, True, False]


ALWAYS = (read_matcher('alertname=~"CertificateExpires|LedgerDataLoss"'),)


def always() -> Shift:
    """The cart has an objective that is heard; losses and certificates page whatever it says."""
    on = Shift(replace(rules(), slos={SHOP.id: SHOP}, always_page=(ALWAYS,)))
    on.shard.heard[SHOP.id] = None
    return on


@pytest.mark.parametrize("answer", ["none", "ack", "snooze"])
def test_what_always_pages_is_covered_by_itself_alone(answer: str) -> None:
    """Whoever has the burn of the cart knows nothing of its ledger."""
    on = always()
    burn(on, BEGIN)
    if answer == "ack":
        ack(on, BEGIN + 30)
    if answer == "snooze":
        on.give(inputs.Snooze("INC-1", "ada", (BEGIN + 864_000) * SECOND), BEGIN + 30)
    for at, shard in ((600, "3"), (700, "7")):
        deliver(on, BEGIN + at, alert("cart", BEGIN + at, "LedgerDataLoss", shard=shard))
    ended = alert("cart", BEGIN + 700, "LedgerDataLoss", over=BEGIN + 800, shard="7")
    deliver(on, BEGIN + 800, ended)
    deliver(on, BEGIN + 900, alert("cart", BEGIN + 900, "LedgerDataLoss", shard="7"))
    assert judged(on) == [True, True, True, False]


@pytest.mark.parametrize("service", ["cart", "db", "mail"])
def test_what_always_pages_covers_nothing_else(service: str) -> None:
    """A certificate that expires next week hides no cart that is down."""
    on = always()
    on.shard.heard.clear()
    deliver(on, BEGIN, alert("cart", BEGIN, "CertificateExpires"))
    deliver(on, BEGIN + 60, alert(service, BEGIN + 60))
    assert judged(on) == [True, True]


@pytest.mark.parametrize("level", ["critical", "error", "warning", "info"])
def test_what_always_pages_does_at_any_level(level: str) -> None:
    """Rules for certificates warn, and say so at level warning."""
    on = always()
    deliver(on, BEGIN, alert("cart", BEGIN, "CertificateExpires", level))
    assert rung(on) == [BEGIN]
    assert on.incident().severity == "sev2"


# --- how long it fires --------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False], ids=["those that are named", "the others"])
def test_news_of_many_alerts_covers_until_the_last_has_ended(first: bool) -> None:
    """Its mark names sixteen of forty, and counts the rest."""
    on = Shift(rules())
    deliver(on, BEGIN, *(alert("db", BEGIN, n=str(k)) for k in range(40)))
    deliver(on, BEGIN, *(alert("db", BEGIN, "Lag", "warning", n=str(k)) for k in range(40)))
    ack(on, BEGIN + 30)
    named = on.shard.loud["db"][-1].fingerprints
    ends = [alert("db", BEGIN, over=BEGIN + 60, n=str(k)) for k in range(40)]
    ends.sort(key=lambda one: (one.fingerprint in named) != first)
    lag = [alert("db", BEGIN, "Lag", "warning", over=BEGIN + 60, n=str(k)) for k in range(40)]
    deliver(on, BEGIN + 60, *ends[:39], *lag)
    deliver(on, BEGIN + 120, alert("cart", BEGIN + 120))
    deliver(on, BEGIN + 180, ends[39])
    assert judged(on)[:2] == [True, False]
    assert on.shard.loud["db"][0].ended_at


# --- how bad it was said to be ------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "pages"), [(300, False), (2_000, True)])
def test_a_raise_is_no_repeat_because_a_neighbour_was_worse(gap: int, pages: bool) -> None:
    """That the shop was down says nothing of the database, once that is over."""
    graph = Topology([Service("shop", 1), Service("db", 1)], [("shop", "db")])
    on = Shift(replace(rules(), topology=graph))
    deliver(on, BEGIN, alert("shop", BEGIN))
    ack(on, BEGIN + 60)
    at = BEGIN + 300
    for later, level in ((0, "error"), (200, "error"), (gap, "critical")):
        if later > 200 and gap > 900:
            deliver(on, at + 300, alert("shop", BEGIN, over=at + 300))
        one = identify({"alertname": "Lag", "service": "db", "severity": level}, key="k")
        deliver(on, at + later, one.alert("firing", at * SECOND))
    assert judged(on) == [True, False, pages]


def test_what_was_said_of_a_service_itself_covers_what_is_milder_later() -> None:
    """A critical, then an error, then the critical again: all of it is known."""
    graph = Topology([Service("db", 1)], [])
    on = Shift(replace(rules(), topology=graph))
    for number, level in enumerate(("critical", "error", "critical")):
        at = BEGIN + number * 3_000
        deliver(on, at, alert("db", at, f"Lag{number}", level))
    assert judged(on) == [True, False, False]


# --- a person's word ----------------------------------------------------------------------------


@pytest.mark.parametrize("merged", ["before", "over", "undone", "never"])
def test_what_a_person_resolved_covers_nothing_in_whichever_incident_it_was(merged: str) -> None:
    """Also what was merged into it, whether it still fired then or not."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("db", BEGIN))
    ack(on, BEGIN + 30)
    deliver(on, BEGIN + 60, alert("paper", BEGIN + 60, namespace="z"))
    ack(on, BEGIN + 70, "ada", "INC-2")
    resolved = "INC-1" if merged in ("before", "over") else "INC-2"
    over = alert("paper", BEGIN + 60, over=BEGIN + 75, namespace="z")
    if merged == "over":
        deliver(on, BEGIN + 75, over)
    if merged != "never":
        on.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), BEGIN + 80)
    if merged == "undone":
        on.give(inputs.UndoMove("INC-1", "ada"), BEGIN + 90)
    on.give(inputs.ResolveIncident(resolved, "ada", "fixed"), BEGIN + 100)
    rings = len(rung(on))
    deliver(on, BEGIN + 400, alert("paper", BEGIN + 400, namespace="z"))
    assert judged(on)[-1]
    assert rung(on)[rings:] == [BEGIN + 400]
