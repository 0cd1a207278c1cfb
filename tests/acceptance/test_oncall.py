"""Who is on call, as people ask: on the file, and through a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from icalendar import Calendar
from tests.acceptance.serving import Serving, alert, until

CONFIG = """
service_labels: [service]
sources: {alertmanager: {type: alertmanager}}
people:
  ada: {pagers: [terminal]}
  ben: {pagers: [terminal]}
pagers: {terminal: {type: terminal}}
escalation: {steps: [{to: primary, delay: 1h}, {to: ben}]}
"""
SCHEDULE = """
time_zone: Europe/Berlin
layers:
  - {name: office, people: [ada, ben], starts: 2026-01-05T09:00, every: 7d,
     hours: [{days: [mon, tue, wed, thu, fri], from: "09:00", to: "17:00"}]}
"""
MONDAY = "2026-01-05T08:30:00Z"
NIGHT = "2026-01-05T22:00:00Z"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A config with office hours alone, and no server yet."""
    serving = Serving(tmp_path)
    (tmp_path / "midwatch" / "midwatch.yaml").write_text(CONFIG, "utf-8")
    (tmp_path / "midwatch" / "schedules" / "primary.yaml").write_text(SCHEDULE, "utf-8")
    yield serving
    serving.stop()


def test_who_is_on_call_is_told_without_a_server(serving: Serving) -> None:
    """In office hours somebody, at night nobody; a schedule that is not there is an error."""
    assert "ada until 2026-01-05T16:00" in serving.type("oncall", "who", "--at", MONDAY).stdout
    assert "nobody until" in serving.type("oncall", "who", "--at", NIGHT).stdout
    wrong = serving.type("oncall", "who", "secondary")
    assert wrong.returncode == 2
    assert "no schedule is named 'secondary'" in wrong.stderr


def test_a_gap_is_told_as_what_follows_from_it(serving: Serving) -> None:
    """Exit 1, and whom the policy goes on to; without gaps exit 0."""
    told = serving.type("oncall", "gaps", "--days", "2", "--at", MONDAY)
    assert told.returncode == 1
    assert "a page to primary would reach nobody; policy default escalates to ben" in told.stdout
    whole = SCHEDULE.partition("hours")[0].rstrip().rstrip(",") + "}\n"
    (serving.folder / "midwatch" / "schedules" / "primary.yaml").write_text(whole, "utf-8")
    calm = serving.type("oncall", "gaps", "--days", "2")
    assert (calm.returncode, calm.stdout.startswith("no gaps: someone can be reached")) == (0, True)


UNREACHABLE = {
    "says": "zed is on call and has no pager; policy default escalates to ben immediately",
    "schedule": "primary",
}


NIGHTS = """
time_zone: Asia/Tokyo
layers:
  - {name: day, people: [ben], starts: 2026-01-05T04:00,
     hours: [{from: "04:00", to: "16:00"}]}
"""


def test_a_step_of_two_schedules_has_a_gap_where_neither_has_anybody(serving: Serving) -> None:
    """They follow the sun: what one leaves open is the other's."""
    folder = serving.folder / "midwatch"
    days = 'hours: [{from: "08:00", to: "20:00"}]}\n'
    (folder / "schedules" / "primary.yaml").write_text(SCHEDULE.partition("hours")[0] + days)
    (folder / "schedules" / "tokyo.yaml").write_text(NIGHTS)
    both = CONFIG.replace("{to: primary, delay: 1h}, {to: ben}", "{to: [primary, tokyo]}")
    (folder / "midwatch.yaml").write_text(both, "utf-8")
    covered = serving.type("oncall", "gaps", "--at", MONDAY, "--days", "14")
    assert (covered.returncode, covered.stdout.count("\n")) == (0, 1), covered.stdout
    (folder / "schedules" / "tokyo.yaml").write_text(NIGHTS.replace("16:00", "15:00"))
    told = serving.type("oncall", "gaps", "--at", MONDAY, "--days", "1")
    assert told.returncode == 1
    assert told.stdout.startswith("2026-01-06T06:00:00.000Z to 2026-01-06T07:00:00.000Z: ")
    assert (
        "a page to primary would reach nobody, a page to tokyo would reach nobody; " in told.stdout
    )


def test_whoever_cannot_be_reached_is_a_gap(serving: Serving) -> None:
    """An override of somebody who left the team meanwhile: on call, and nobody to page."""
    where = ("--db", "midwatch/midwatch.db")
    config = serving.folder / "midwatch" / "midwatch.yaml"
    known = CONFIG.replace("people:\n", "people:\n  zed: {pagers: [terminal]}\n")
    config.write_text(known, "utf-8")
    added = serving.type(
        "oncall", "override", "add", "primary", "zed", "--until", "2099-01-01T00:00:00Z", *where
    )
    assert added.returncode == 0, added.stderr
    config.write_text(CONFIG, "utf-8")
    told = serving.type("oncall", "gaps", "--days", "1", "--json", *where)
    assert told.returncode == 1
    (gap,) = json.loads(told.stdout)
    assert {name: gap[name] for name in UNREACHABLE} == UNREACHABLE


def test_shifts_go_into_a_calendar(serving: Serving) -> None:
    """As an iCalendar file that a library reads back, without the hours of nobody."""
    told = serving.type(
        "oncall", "schedule", "--days", "13", "--at", MONDAY, "--ical", "shifts.ics"
    )
    assert told.returncode == 0, told.stderr
    calendar = Calendar.from_ical((serving.folder / "shifts.ics").read_bytes())
    events = list(calendar.walk("VEVENT"))
    assert len(events) == 10
    assert str(events[0]["SUMMARY"]) == "ada is on call: primary"
    assert "ben" in str(events[5]["SUMMARY"])


def test_a_calendar_that_is_read_again_knows_the_shift_that_goes_on(serving: Serving) -> None:
    """It begins when it began, whenever the calendar is written."""
    found: list[tuple[str, str]] = []
    for at in (MONDAY, "2026-01-05T11:11:11Z"):
        serving.type("oncall", "schedule", "--days", "1", "--at", at, "--ical", "shifts.ics")
        calendar = Calendar.from_ical((serving.folder / "shifts.ics").read_bytes())
        first = calendar.walk("VEVENT")[0]
        found.append((str(first["UID"]), first["DTSTART"].dt.isoformat()))
    assert found[0] == found[1]
    assert found[0][1] == "2026-01-05T08:00:00+00:00"


def test_an_override_and_a_swap_change_who_is_paged(serving: Serving) -> None:
    """Said through the server, they hold at once; taken back, they do not."""
    serving.start()
    where = ("--server", serving.url, "--token", serving.person)
    until_ = "2099-01-01T00:00:00Z"

    def on_call(at: str) -> str:
        (found,) = json.loads(serving.type("oncall", "who", "--at", at, "--json", *where).stdout)
        return found["person"]

    serving.type("oncall", "override", "add", "primary", "ben", "--until", until_, *where)
    serving.deliver(alert("Down"))
    until(lambda: "for ben: Down" in serving.out.read_text())
    (listed,) = json.loads(serving.type("oncall", "override", "list", "--json", *where).stdout)
    assert (listed["person"], listed["by"]) == ("ben", "ada")
    gone = serving.type("oncall", "override", "remove", "primary", listed["id"], *where)
    assert "no overrides" in gone.stdout
    weeks = ("--one", "2099-01-05T10:00:00Z", "--other", "2099-01-12T10:00:00Z")
    usual = [on_call(at) for at in (weeks[1], weeks[3])]
    assert sorted(usual) == ["ada", "ben"]
    swapped = serving.type("oncall", "swap", "primary", *weeks, *where)
    assert len(swapped.stdout.splitlines()) == 2, swapped.stderr
    assert [on_call(at) for at in (weeks[1], weeks[3])] == usual[::-1]
    refused = serving.type("oncall", "override", "add", "primary", "zed", "--until", until_, *where)
    assert refused.returncode == 2
    assert "unknown person 'zed'" in refused.stderr


def test_a_handoff_tells_what_the_next_person_has_to_know(serving: Serving) -> None:
    """What is open and who has it, what is put off, what changed, what is noisy."""
    serving.start()
    where = ("--server", serving.url, "--token", serving.person)
    for number in range(3):
        serving.deliver(alert("Flaps", start=str(number)))
    name = serving.ask("GET", "/api/v1/incidents", token=serving.person).document[0]["id"]
    serving.type("incidents", "snooze", name, "--minutes", "30", *where)
    later = ("--until", "2099-01-01T00:00:00Z")
    serving.type("oncall", "override", "add", "primary", "ben", *later, *where)
    found = json.loads(serving.type("oncall", "handoff", "--json", *where).stdout)
    assert [one["id"] for one in found["snoozed"]] == [name]
    assert "OverrideAdded primary" in found["changed"][0]
    assert found["noisy"] == [f"Flaps on shop: fired 3 times, first in {name}, which ada took"]


def test_an_incident_is_given_back_and_handed_over(serving: Serving) -> None:
    """The next page goes to whoever is asked for."""
    serving.start()
    where = ("--server", serving.url, "--token", serving.person)
    serving.deliver(alert("Down"))
    until(lambda: "PAGE" in serving.out.read_text())
    serving.type("incidents", "ack", "INC-1", *where)
    told = serving.type("incidents", "reassign", "INC-1", "--to", "ada", *where)
    assert "ada reassigned it to ada" in told.stdout
    until(lambda: "for ada: Down" in serving.out.read_text())
    serving.type("incidents", "ack", "INC-1", *where)
    assert "ada gave it back" in serving.type("incidents", "unack", "INC-1", *where).stdout
    refused = serving.type("incidents", "reassign", "INC-1", "--to", "zed", *where)
    assert refused.returncode == 2
