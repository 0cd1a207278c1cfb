"""Changes, tickets, silences, merges and explanations, through a real server and on its file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, until

TOPOLOGY = """services:
  - {name: shop, tier: 1}
  - {name: cart, tier: 2}
  - {name: docs, tier: 2}
edges: [[shop, cart]]
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A running server that knows three services."""
    serving = Serving(tmp_path)
    (tmp_path / "midwatch" / "topology.yaml").write_text(TOPOLOGY, "utf-8")
    with (tmp_path / "midwatch" / "midwatch.yaml").open("a", encoding="utf-8") as main:
        main.write("tickets: {trusted: [desk]}\n")
    serving.start()
    yield serving
    serving.stop()


def typed(serving: Serving, *args: str) -> str:
    """Type a command against the server; gives what it printed."""
    done = serving.type(*args, MIDWATCH_SERVER=serving.url, MIDWATCH_TOKEN=serving.person)
    assert done.returncode == 0, done.stderr
    return done.stdout


def now_alert(name: str, service: str = "shop", **labels: str) -> dict[str, Any]:
    """An alert that begins now."""
    starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {**alert(name, service, **labels), "startsAt": starts}


def pages(serving: Serving) -> list[str]:
    """The incidents of all pages that were printed."""
    lines = serving.out.read_text("utf-8").splitlines()
    return [line.split()[2] for line in lines if line.startswith("PAGE ")]


def test_a_change_that_a_pipeline_tells_is_the_likely_cause(serving: Serving) -> None:
    """It is told before, raises no alert itself, and stands first; a bad one costs no neighbour."""
    token = serving.token("--source", "changes")
    body = json.dumps(
        [
            {"service": "cart", "kind": "deploy", "id": "d-12", "from": "v2", "to": "v3"},
            {"kind": "deploy"},
        ]
    ).encode()
    answer = serving.ask("POST", "/intake/changes", body, token)
    assert answer.status == 202
    assert (answer.document["accepted"], answer.document["rejected"]) == (1, 1)
    assert serving.ask("POST", "/intake/changes", body, serving.sender).status == 403
    serving.deliver(now_alert("Slow"))
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    first = shown["causes"][0]
    assert first["service"] == "cart"
    assert "deploy d-12 (v2 to v3)" in first["why"]
    typed(serving, "changes", "add", "docs", "--kind", "index", "--id", "i-1", "--by", "ci/7")
    listed = json.loads(typed(serving, "changes", "list", "--json"))
    assert {one["id"] for one in listed} == {"d-12", "i-1"}
    html = serving.ask("GET", "/api/v1/changes", token=serving.person).document
    assert html == listed


def test_many_people_open_an_incident_that_pages(serving: Serving) -> None:
    """Two reports wake nobody; the same told twice is linked; with five people it pages."""
    first = typed(serving, "tickets", "file", "the shop shows no prices", "--service", "shop")
    assert "INC-1" in first
    token = serving.token("--source", "tickets")
    text = {"text": "no prices the shop shows", "service": "shop", "id": "ZD-1"}
    for _ in range(2):
        assert (
            serving.ask("POST", "/intake/tickets", json.dumps(text).encode(), token).status == 202
        )
    listed = json.loads(typed(serving, "tickets", "list", "--json"))
    assert [one["incident"] for one in listed] == ["INC-1", "INC-1"]
    assert listed[0]["duplicate_of"] == listed[1]["ticket"]
    assert pages(serving) == []
    more = {"text": "nothing has a price", "service": "shop", "affected": 7}
    lines = json.dumps(more).encode() + b"\nnothing\n"
    file = serving.folder / "reports.jsonl"
    file.write_bytes(lines)
    refused = serving.type(
        "tickets",
        "import",
        "reports.jsonl",
        MIDWATCH_SERVER=serving.url,
        MIDWATCH_TOKEN=serving.person,
    )
    assert refused.returncode == 2
    assert "reports.jsonl:2" in refused.stderr
    file.write_bytes(lines.splitlines()[0])
    typed(serving, "tickets", "import", "reports.jsonl")
    until(lambda: pages(serving) == ["INC-1"])


def test_nobody_knows_the_service_and_many_people_page(serving: Serving) -> None:
    """A form on the web is not believed, five who write are, and so is a desk that is trusted."""
    form = serving.token("--source", "tickets", "--name", "form")
    desk = serving.token("--source", "tickets", "--name", "desk")
    everybody = {"text": "the whole site is down for everyone", "affected": 400}

    def send(token: str, *reports: dict[str, Any]) -> None:
        body = json.dumps(reports).encode()
        assert serving.ask("POST", "/intake/tickets", body, token).status == 202

    def listed() -> list[Any]:
        return json.loads(typed(serving, "tickets", "list", "--json"))

    send(form, *[{**everybody, "id": f"F-{n}"} for n in range(9)])
    send(form, *[{"text": f"no page loads, case {n}", "by": f"u{n}"} for n in range(3)])
    assert {one["incident"] for one in listed()} == {""}
    send(form, {"text": "what is wrong with you today?", "by": "u9"})
    until(lambda: pages(serving) == ["INC-1"])
    assert len([one for one in listed() if one["incident"] == "INC-1"]) == 5
    shown = typed(serving, "incidents", "show", "INC-1")
    assert "no service named: what is wrong with you today?" in shown
    # Somebody ends it: what is believed opens the next one at once.
    for opened, last in ((2, (desk,)), (3, ())):
        before = f"INC-{opened - 1}"
        typed(serving, "incidents", "ack", before)
        typed(serving, "incidents", "resolve", before, "--why", "seen to")
        if last:
            send(desk, everybody)
        else:
            typed(serving, "tickets", "file", "nothing works here", "--affected", "30")
        until(lambda opened=opened: pages(serving)[-1:] == [f"INC-{opened}"])


def test_a_silence_records_and_its_end_pages(serving: Serving) -> None:
    """While it lasts nobody is woken; what still fires at its end pages then."""
    said = typed(
        serving, "silences", "add", "service=shop", "alertname=~Disk.*", "--why", "disks swapped"
    )
    assert "S-1" in said
    serving.deliver(now_alert("DiskFull", namespace="shop"))
    serving.deliver(now_alert("Down", "docs", namespace="docs"))
    until(lambda: "INC-2" in pages(serving))
    assert {one["id"]: one["firing"] for one in serving.incidents()} == {"INC-1": 1, "INC-2": 1}
    assert "INC-1" not in pages(serving)
    (listed,) = json.loads(typed(serving, "silences", "list", "--json"))
    assert (listed["silence"], listed["mutes"]) == ("S-1", 1)
    typed(serving, "silences", "end", "S-1")
    until(lambda: "INC-1" in pages(serving))
    bad = serving.type(
        "silences",
        "add",
        "service=~[",
        "--why",
        "x",
        MIDWATCH_SERVER=serving.url,
        MIDWATCH_TOKEN=serving.person,
    )
    assert bad.returncode == 2
    assert "regular expression" in bad.stderr


def test_incidents_are_merged_split_and_put_back(serving: Serving) -> None:
    """Each is in the timeline with who did it, and an undo takes it back."""
    serving.deliver(now_alert("Slow", namespace="shop"))
    serving.deliver(now_alert("Down", "docs", namespace="docs"))
    typed(serving, "incidents", "merge", "INC-2", "INC-1")
    assert {one["id"]: one["firing"] for one in serving.incidents()} == {"INC-1": 2}
    shown = typed(serving, "incidents", "show", "INC-2").splitlines()[0]
    assert "merged " in shown
    assert shown.endswith("into INC-1")
    why = json.loads(typed(serving, "incidents", "explain", "Down", "--json"))
    assert why["incident"] == "INC-1"
    typed(serving, "incidents", "undo", "INC-1")
    assert {one["id"]: one["firing"] for one in serving.incidents()} == {"INC-1": 1, "INC-2": 1}
    serving.deliver(now_alert("Slow", "cart", namespace="shop"))
    assert "one call" in typed(serving, "incidents", "explain", "Slow")
    typed(serving, "incidents", "split", "INC-1", "--service", "cart")
    assert len(serving.incidents()) == 3
    told = typed(serving, "incidents", "show", "INC-1")
    assert "IncidentsMerged" in told or "merge" in told
    assert "ada" in told


def test_an_alert_is_found_by_whatever_name_it_has(serving: Serving) -> None:
    """Quotes and all; what is an incident's name is told from an alert's."""
    name = 'Disk "/var" \\ é'
    serving.deliver(now_alert(name))
    assert typed(serving, "incidents", "explain", name).startswith(f"{name} on shop, ")
    where = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    wrong = serving.type("incidents", "explain", "INC-1", **where)
    assert wrong.returncode == 2
    assert "midwatch incidents show INC-1" in wrong.stderr


def test_route_test_says_whom_an_alert_would_page_and_does_not(tmp_path: Path) -> None:
    """Through the production code, with what is open; the journal stays as it was."""
    serving = Serving(tmp_path)
    file = tmp_path / "alert.json"
    file.write_text(json.dumps([now_alert("Slow")]), "utf-8")
    (found,) = json.loads(serving.type("route", "test", "alert.json", "--json").stdout)
    assert found["incident"] == "INC-1"
    assert found["severity"] in ("sev1", "sev2")
    assert found["pages"]
    assert "INC-1" not in serving.type("incidents", "list").stdout
    said = serving.type("route", "test", "alert.json").stdout
    assert "pages me by the first pager, now (policy default)" in said


CONFIG_ERRORS = [
    ("inhibit: {a: {source: ['x=1']}}", "inhibit.a"),
    ("inhibit: {a: {source: ['x'], target: ['y=1']}}", "inhibit.a.source"),
    ("maintenance: {a: {matchers: ['x=1'], hours: []}}", "maintenance.a.hours"),
    ("maintenance: {a: {matchers: ['x=~['], hours: [{from: '02:00', to: '03:00'}]}}", "matchers"),
    ("levels: {P1: huge}", "levels.P1"),
    ("correlation: {routes: [{matchers: [a=b]}]}", "correlation.routes"),
    ("correlation: {routes: [{matchers: [a=b], as: alertmanager, group_by: [c]}]}", "routes"),
    ("correlation: {routes: [{matchers: [a=b], as: grafana}]}", "as"),
]


@pytest.mark.parametrize(("line", "place"), CONFIG_ERRORS)
def test_config_errors_name_their_place(tmp_path: Path, line: str, place: str) -> None:
    """Each with file, line and what to write."""
    serving = Serving(tmp_path, together=True)
    main = tmp_path / "midwatch" / "midwatch.yaml"
    main.write_text(main.read_text("utf-8") + line + "\n", "utf-8")
    told = serving.type("check", "midwatch")
    assert told.returncode == 2
    assert place in told.stdout + told.stderr
    assert "midwatch.yaml" in told.stdout + told.stderr


def test_no_source_takes_the_name_of_an_intake(tmp_path: Path) -> None:
    """A source called `changes` would hide the deploys."""
    serving = Serving(tmp_path)
    main = tmp_path / "midwatch" / "midwatch.yaml"
    text = main.read_text("utf-8")
    main.write_text(text.replace("sources:\n", "sources:\n  changes: {type: generic}\n"), "utf-8")
    told = serving.type("check", "midwatch")
    assert told.returncode == 2
    assert "sources.changes" in told.stdout + told.stderr


def test_a_planned_window_mutes_and_says_so(tmp_path: Path) -> None:
    """All day here; the alert is recorded, and nobody is paged."""
    serving = Serving(tmp_path)
    main = tmp_path / "midwatch" / "midwatch.yaml"
    window = (
        "maintenance: {works: {matchers: ['service=shop'], "
        "hours: [{from: '00:00', to: '24:00'}], time_zone: Etc/UTC}}\n"
    )
    main.write_text(main.read_text("utf-8") + window, "utf-8")
    (tmp_path / "alert.json").write_text(json.dumps([now_alert("Slow")]), "utf-8")
    said = serving.type("route", "test", "alert.json")
    assert "maintenance works" in said.stdout, said.stderr
    assert "pages nobody" in said.stdout or "nobody" in said.stdout
