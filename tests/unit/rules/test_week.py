"""The report of a week, with values that were worked out by hand: `engine/reporting.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs
from tests.unit.rules.test_postmortems import Told, told, written
from tests.unit.rules.test_runbooks import PURGES, burn

from midwatch.adapters.reports import postmortem as pages
from midwatch.cli import report as command
from midwatch.core.rules.drafts import people
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.incidents import Incident, Paged
from midwatch.core.state.shard import Shard, Ticket
from midwatch.core.values.reasons import Reason
from midwatch.core.values.skews import Skews
from midwatch.engine import reporting

WHY = Reason("test/1", "because")
START = int(datetime(2026, 10, 19, tzinfo=UTC).timestamp() * 1_000)
WEEK_MS = 7 * 86_400_000
MINUTE = 60_000


def paged(*sent: tuple[str, str]) -> reporting.Gathered:
    """Pages of people, each at a time in UTC."""
    found = reporting.Gathered()
    for number, (who, at) in enumerate(sent):
        found.take(0, e.PagePlanned(incident="INC-1", key=f"p{number}", to=who, step=0, reason=WHY))
        moment = int(datetime.fromisoformat(f"{at}+00:00").timestamp() * 1_000)
        found.take(
            moment, e.PageSent(incident="INC-1", key=f"p{number}", receipt="receipt", attempt=1)
        )
    return found


def hours(**counts: int) -> list[int]:
    """A day of 24 hours, of which some have pages: `h2=1` is one between two and three."""
    found = [0] * 24
    for name, count in counts.items():
        found[int(name[1:])] = count
    return found


# --- whose night it was -------------------------------------------------------------------------


def test_hours_are_those_of_each_persons_zone_over_a_change_of_the_clocks() -> None:
    """The hour from two to three comes twice in October in Berlin, and not at all in March."""
    gathered = paged(
        ("ada", "2026-10-24T23:30:00"),
        ("ada", "2026-10-25T00:30:00"),  # 01:30, 02:30 summer
        ("ada", "2026-10-25T01:30:00"),
        ("ada", "2026-10-25T02:30:00"),  # 02:30 again, 03:30
        ("ada", "2026-03-29T00:59:00"),
        ("ada", "2026-03-29T01:01:00"),  # 01:59, then 03:01
    )
    zones = {"ada": "Europe/Berlin"}
    assert gathered.local_hours(zones) == {"ada": hours(h1=2, h2=2, h3=2)}
    assert gathered.hours == hours(h23=1, h0=2, h1=2, h2=1)


def test_hours_of_a_zone_that_is_half_an_hour_off_and_of_nobody_s_zone() -> None:
    """Half past five before Greenwich in Kolkata; three quarters in Kathmandu; else UTC."""
    gathered = paged(
        ("ben", "2026-10-20T18:29:00"),
        ("ben", "2026-10-20T18:30:00"),  # 23:59, 00:00
        ("cyd", "2026-10-20T18:14:00"),
        ("cyd", "2026-10-20T18:15:00"),  # 23:59, 00:00
        ("dan", "2026-10-20T18:30:00"),
    )
    zones = {"ben": "Asia/Kolkata", "cyd": "Asia/Kathmandu"}
    found, _ = reporting.report([], gathered, START, START + WEEK_MS, zones=zones)
    assert found.hours_by_person == {
        "ben": hours(h23=1, h0=1),
        "cyd": hours(h23=1, h0=1),
        "dan": hours(h18=1),
    }
    assert found.zones == {**zones, "dan": "UTC"}
    assert found.pages_by_person == {"ben": 2, "cyd": 2, "dan": 1}


# --- how fast it was ----------------------------------------------------------------------------


def incident(number: int, *acks_s: int, state: str = "mitigated", **more: Any) -> Incident:
    """One that hurt since ten minutes before it was noticed; pages, and seconds until each ack."""
    at = START + number * 3_600_000
    sent = [Paged(f"p{number}/{n}", "ada", "sent", at=at) for n in range(max(len(acks_s), 1))]
    found = Incident(
        f"INC-{number}",
        "shop",
        "",
        "slow",
        at,
        first_at=at - 10 * MINUTE,
        pages=sent,
        paged_at=at,
        waits_ms=[1_000 * one for one in acks_s],
        acknowledged_at=at + 1_000 * acks_s[0] if acks_s else 0,
        mitigated_at=at + number * MINUTE,
        **more,
    )
    found.state = state  # pyright: ignore[reportAttributeAccessIssue]
    return found


def week(*incidents: Incident) -> reporting.Report:
    """Tell a week of these."""
    shard = Shard(incidents={one.id: one for one in incidents})
    taken = reporting.take(shard, list(shard.incidents))
    assert Skews() == shard.skews
    return reporting.report(taken, reporting.Gathered(), START, START + WEEK_MS)[0]


def test_the_median_of_an_even_count_lies_between_the_two_in_the_middle() -> None:
    """Of 60 s and an hour it is 1,830 s; of four that of the second and the third."""
    two = week(incident(1, 60), incident(2, 3_600)).to_acknowledge
    assert (two.count, two.median_s, two.worst_s) == (2, 1_830.0, 3_600.0)
    four = week(*(incident(n, wait) for n, wait in enumerate((40, 10, 30, 100), 1)))
    assert four.to_acknowledge == reporting.Spread(4, 35.0, 100.0, 100.0)
    three = week(*(incident(n, wait) for n, wait in enumerate((40, 10, 30), 1)))
    assert three.to_acknowledge.median_s == 30.0
    # Ten minutes until it was noticed, and then a minute more each.
    assert four.to_detect == reporting.Spread(4, 600.0, 600.0, 600.0)
    assert four.to_mitigate == reporting.Spread(4, 600 + 150.0, 840.0, 840.0)


def test_time_to_acknowledge_runs_from_each_page_not_from_the_harm() -> None:
    """Opened again it is asked for again: both answers count, of one incident."""
    found = week(incident(1, 45, 195))
    assert found.to_acknowledge == reporting.Spread(2, 120.0, 195.0, 195.0)
    assert found.incidents[0].to_acknowledge_s == 45.0


def test_an_incident_that_nobody_acknowledged_is_shown_and_counted() -> None:
    """It is not fast, and it is not left out: its name stands beside the distribution."""
    found = week(incident(1, 30), incident(2), incident(3), incident(4, state="merged"))
    assert found.unacknowledged == ["INC-2", "INC-3"]
    assert found.to_acknowledge.count == 1
    assert [line.id for line in found.incidents] == ["INC-1", "INC-2", "INC-3"]
    lines = list(command._told(found))
    assert "UNACKNOWLEDGED  2 incidents: INC-2, INC-3" in lines
    quiet = structs.replace(incident(1), pages=[Paged("p", "ada", "not sent", at=START)])
    assert week(quiet).unacknowledged == []  # a trial has asked nobody


# --- how many people it was ---------------------------------------------------------------------


def report(by: str = "", affected: int = 1, **more: Any) -> Ticket:
    """A report as it was read."""
    return Ticket("", "", "", "", affected=affected, by=by, **more)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], None),
        ([report("ada")] * 5, 1),
        ([report("ada"), report(" Ada "), report("ben")], 2),
        ([report("ada", 40), report("ben", 40), report("cyd", 3)], 40),  # never 83
        ([report(name, 2) for name in "abcde"], 5),
        ([report("ada", 400, doubted=True), report("ben")], 2),
        ([report(source="web"), report(source="web"), report(source="mail")], 2),
    ],
)
def test_reporters_are_distinct_people(reports: list[Ticket], expected: int | None) -> None:
    """Or as many as one report speaks for; the same people may stand behind two of them."""
    assert people(reports) == expected


def test_the_postmortem_says_at_least_how_many() -> None:
    """Forty of one report, and two who wrote besides."""
    found: Told = told(PURGES)
    burn(found)
    for number, many in enumerate((40, 1, 3)):
        ticket = inputs.FileTicket(
            f"T-{number}", f"broken {number}", f"u{number}", "shop", "", many
        )
        found.give(ticket, 2_000)
    found.read(9_990, 10_000, 400_000)
    one = written(found)
    assert one.impact.users == 40
    assert "at least 40" in pages.markdown(one)
    assert "at least 40" in pages.html(one)
