"""Worse news through a real server, with the config that `midwatch init` writes."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import MIDWATCH, Serving, alert, until

from midwatch.core.values.clock import show_time

BEGIN = 1_796_004_000_000


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A running server."""
    serving = Serving(tmp_path, together=True)  # as init writes it
    serving.start()
    yield serving
    serving.stop()


def now(name: str, service: str, severity: str = "critical", **labels: str) -> dict[str, Any]:
    """An alert that fires since this moment."""
    at = show_time(int(time.time() * 1_000))
    return {**alert(name, service, severity=severity, **labels), "startsAt": at}


def acknowledge(serving: Serving, incident: str = "INC-1") -> None:
    """Take an incident, over the API."""
    taken = serving.ask(
        "POST",
        f"/api/v1/incidents/{incident}/ack",
        b"{}",
        serving.person,
        Content_Type="application/json",
    )
    assert taken.status == 200


def test_an_ack_of_a_ticket_hides_no_outage(serving: Serving) -> None:
    """The newsletter is late and somebody has it; seconds later everything is down."""
    serving.deliver(now("NewsletterLate", "newsletter", "warning"))
    until(serving.incidents)
    acknowledge(serving)
    serving.deliver(now("EverythingDown", "shop"))
    until(lambda: "EverythingDown" in serving.out.read_text())
    assert any(one["state"] == "open" for one in serving.incidents())


def test_a_second_outage_pages_after_the_first_was_acknowledged(serving: Serving) -> None:
    """Nothing connects the two but time, and that ends with the ack."""
    serving.deliver(now("QueueFull", "queue"))
    until(lambda: "QueueFull" in serving.out.read_text())
    acknowledge(serving)
    serving.deliver(now("PaymentsDown", "payments"))
    until(lambda: "PaymentsDown" in serving.out.read_text())


def test_a_raise_under_the_same_key_pages(serving: Serving) -> None:
    """As PagerDuty's events have it: one key, one time, first a warning and then critical."""
    config = serving.folder / "midwatch" / "midwatch.yaml"
    text = config.read_text("utf-8")
    config.write_text(
        text.replace("sources:\n", "sources:\n  events: {type: pagerduty}\n"), "utf-8"
    )
    serving.stop()
    token = serving.token("--source", "events")
    serving.start()
    for severity in ("warning", "critical"):
        payload = {
            "summary": "queue is long",
            "source": "q-1",
            "component": "cart",
            "severity": severity,
            "timestamp": "2026-11-30T02:00:00Z",
        }
        event = {"event_action": "trigger", "dedup_key": "k-1", "payload": payload}
        sent = serving.ask("POST", "/intake/events", json.dumps(event).encode(), token)
        assert sent.status == 202, sent.body
    until(lambda: "sev2" in serving.out.read_text())
    assert [one["severity"] for one in serving.incidents()] == ["sev2"]


def test_route_test_says_which_of_several_alerts_would_ring(serving: Serving) -> None:
    """In the order of their times; what is covered says by what."""
    told = [
        {**alert("DiskFull", "kafka", disk=str(n)), "startsAt": show_time(BEGIN + n * 60_000)}
        for n in (0, 7, 100)
    ]
    (serving.folder / "alerts.json").write_text(json.dumps(told), "utf-8")
    found = json.loads(serving.type("route", "test", "alerts.json", "--json").stdout)
    assert [bool(one["pages"]) for one in found] == [True, False, True]
    assert "covered by INC-1: news of kafka 7 min ago" in found[1]["covered"]
    said = serving.type("route", "test", "alerts.json").stdout
    assert said.count("pages nobody: DiskFull on kafka (critical) is covered by INC-1") == 1


TEAMS = """people: {me: {pagers: [terminal]}, cyd: {pagers: [terminal]}, dan: {pagers: [terminal]}}
escalation:
  digest: off
  policies:
    shops: {steps: [{to: primary, delay: 5m}]}
    tills: {steps: [{to: cyd, delay: 2s}, {to: dan, delay: 5m}]}
  routes: [{policy: tills, services: [till]}]
"""


def test_the_people_of_another_service_are_paged_besides_by_their_own_policy(
    serving: Serving,
) -> None:
    """Somebody has the incident that the till joins: the till's people are asked, in turn."""
    serving.stop()
    config = serving.folder / "midwatch" / "midwatch.yaml"
    text = config.read_text("utf-8")
    begins, ends = text.index("escalation:\n"), text.index("  repeat: 1\n") + len("  repeat: 1\n")
    config.write_text(text[:begins] + TEAMS + text[ends:], "utf-8")
    graph = "services: [{name: shop, tier: 2}, {name: till, tier: 2}]\nedges: [[shop, till]]\n"
    (serving.folder / "midwatch" / "topology.yaml").write_text(graph, "utf-8")
    serving.start()

    def paged() -> list[str]:
        lines = serving.out.read_text("utf-8").splitlines()
        return [line.partition(" for ")[2].partition(":")[0] for line in lines if "PAGE " in line]

    serving.deliver(now("ShopDown", "shop"))
    until(lambda: paged() == ["me"])
    acknowledge(serving)
    serving.deliver(now("TillDown", "till"))
    until(lambda: paged() == ["me", "cyd", "dan"])  # cyd says nothing
    (one,) = serving.incidents()
    assert (one["id"], one["services"]) == ("INC-1", ["shop", "till"])
    assert (one["state"], one["acknowledged_by"]) == ("acknowledged", "ada")
    assert "INC-1 grew: TillDown on till (critical), was: ShopDown" in serving.out.read_text()


def test_a_server_answers_as_correlate_does(serving: Serving) -> None:
    """The same alerts, one delivery each: the same incidents, and the same of them ring."""
    serving.stop()
    graph = (
        "services: [{name: shop, tier: 1}, {name: cart, tier: 2}, {name: db, tier: 2}]\n"
        "edges: [[shop, cart], [cart, db]]\n"
    )
    (serving.folder / "midwatch" / "topology.yaml").write_text(graph, "utf-8")
    serving.start()
    sent = [
        ("Lag", "db", "warning", "eu"),
        ("Down", "db", "critical", "eu"),
        ("Errors", "cart", "critical", "eu"),
        ("Slow", "cart", "warning", "eu"),
        ("Errors", "shop", "critical", "eu"),
        ("Full", "queue", "critical", "us"),
        ("Late", "newsletter", "warning", "us"),
        ("Down", "paper", "critical", "us"),
        ("DiskFull", "db", "critical", "eu"),
        ("Down", "printer", "critical", "office"),
    ]
    lines: list[dict[str, Any]] = []
    homes: list[str] = []
    pages: list[int] = []
    for name, service, severity, namespace in sent:
        lines.append(now(name, service, severity, namespace=namespace))
        serving.deliver(lines[-1])
        found = serving.incidents()
        pages.append(sum(one["pages"] for one in found))
        why = serving.type(
            "incidents",
            "explain",
            f"{name}",
            "--json",
            MIDWATCH_SERVER=serving.url,
            MIDWATCH_TOKEN=serving.person,
        )
        homes.append(json.loads(why.stdout)["incident"] if why.returncode == 0 else why.stderr)
    (serving.folder / "alerts.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    with (serving.folder / "alerts.jsonl").open() as file:
        done = subprocess.run(
            [MIDWATCH, "correlate", "--config", "midwatch"],
            stdin=file,
            capture_output=True,
            text=True,
            check=True,
            cwd=serving.folder,
        )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    rang = [after > before for before, after in zip([0, *pages], pages, strict=False)]
    assert [one["pages"] for one in rows] == rang
    assert [one["incident"] for one in rows] == homes
    assert 2 < sum(rang) < 7
