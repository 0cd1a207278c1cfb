"""The first day: a real server, and the config that `midwatch init` writes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, until

from midwatch.core.values.clock import show_time

BOOK = """---
id: restart-{service}
match: {{labels: [service={service}]}}
steps:
  - id: restart
    action: command.run
    with: {{command: [restart, "{{service}}"]}}
    risk: reversible
---
# Restart
"""
CALLS = """services:
  - {name: shop, tier: 1}
  - {name: cart, tier: 2}
edges: [[shop, cart]]
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server that is not started yet."""
    serving = Serving(tmp_path, together=True)
    yield serving
    serving.stop()


def now(name: str, service: str, severity: str = "critical", says: str = "") -> dict[str, Any]:
    """An alert that fires since this moment."""
    at = show_time(int(time.time() * 1_000))
    one = {**alert(name, service, severity=severity), "startsAt": at}
    return {**one, "annotations": {"summary": says}} if says else one


def typed(serving: Serving, *args: str) -> str:
    """Type a command against the server; gives what it printed."""
    done = serving.type(*args, MIDWATCH_SERVER=serving.url, MIDWATCH_TOKEN=serving.person)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(serving: Serving, text: str) -> None:
    """Wait until a page with a text was printed."""
    until(lambda: text in serving.out.read_text("utf-8"))


def test_an_incident_speaks_of_what_makes_it_so_bad(serving: Serving) -> None:
    """A slow cart came first, and the shop is down: all of it speaks of the shop."""
    (serving.folder / "midwatch" / "topology.yaml").write_text(CALLS, "utf-8")
    for service in ("cart", "shop"):
        file = serving.folder / "midwatch" / "runbooks" / f"{service}.md"
        file.write_text(BOOK.format(service=service), "utf-8")
    serving.start()
    serving.deliver(now("CartSlow", "cart", "warning"))
    serving.deliver(now("CartDown", "cart"))
    printed(serving, "CartDown on cart")
    serving.deliver(now("ShopErrorRateHigh", "shop"))
    printed(serving, "ShopErrorRateHigh on shop")
    (one,) = serving.incidents()
    assert (one["title"], one["service"]) == ("ShopErrorRateHigh on shop", "shop")
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    assert shown["plan"]["runbook"] == "restart-shop"
    assert "restart shop" in shown["plan"]["steps"][0]["says"]
    typed(serving, "incidents", "resolve", "INC-1", "--why", "a bad node was drained")
    told = json.loads(typed(serving, "postmortem", "show", "INC-1", "--json"))
    assert told["service"] == "shop"
    assert told["summary"][0]["says"].startswith("ShopErrorRateHigh on shop")


def test_no_runbook_is_missed_for_the_service_that_came_first(serving: Serving) -> None:
    """It says what the incident is about."""
    (serving.folder / "midwatch" / "topology.yaml").write_text(CALLS, "utf-8")
    file = serving.folder / "midwatch" / "runbooks" / "other.md"
    file.write_text(BOOK.format(service="other"), "utf-8")
    serving.start()
    serving.deliver(now("CartDown", "cart"))
    serving.deliver(now("ShopDown", "shop"))
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    assert shown["no_runbook"] == "no runbook matches shop"


def test_a_full_queue_is_closed_without_ceremony(serving: Serving) -> None:
    """Whoever has emptied it says so, and closes it; no case, no waiver, and no list hides it."""
    serving.start()
    serving.deliver(now("QueueFull", "queue"))
    printed(serving, "QueueFull on queue")
    typed(serving, "incidents", "ack", "INC-1")
    typed(serving, "incidents", "resolve", "INC-1", "--why", "consumers run again")
    listed = typed(serving, "incidents", "list").splitlines()
    assert listed == [
        "no open incidents",
        "resolved and not closed: 1 (INC-1); --owed lists them",
    ]
    (owed,) = json.loads(typed(serving, "incidents", "list", "--owed", "--json"))
    assert (owed["id"], owed["state"]) == ("INC-1", "resolved")
    assert "  nothing missing: closes within an hour" in typed(
        serving, "incidents", "show", "INC-1"
    )
    assert " closed " in typed(serving, "incidents", "close", "INC-1").splitlines()[0]
    assert typed(serving, "incidents", "list").splitlines() == ["no open incidents"]
    assert typed(serving, "incidents", "list", "--owed").splitlines() == [
        "no incidents are waiting to be closed"
    ]
    serving.stop()  # and on the file as through the server
    assert (
        serving.type("incidents", "list", "--owed").stdout
        == "no incidents are waiting to be closed\n"
    )


def test_what_alerts_say_is_what_they_say_now(serving: Serving) -> None:
    """A count is no part of a value, and the newest value is shown."""
    serving.start()
    serving.deliver(now("QueueLong", "queue", "warning", "queue is at 900"))
    for number, rate in enumerate(("2.1", "5.1")):
        one = now("Errors", "queue", "warning", f"errors at {rate}/s")
        one["labels"]["pod"] = f"q-{number}"
        serving.deliver(one)
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    assert shown["texts"] == ["queue is at 900", "errors at 5.1/s (the newest of 2 alike)"]


ROUTE = "\ncorrelation: {routes: [{matchers: [team=network], as: alertmanager}]}\n"


def test_the_groups_of_an_alertmanager_are_kept_where_the_config_says_so(serving: Serving) -> None:
    """Its own group_by decides, also after an ack; what no route takes is placed as ever."""
    config = serving.folder / "midwatch" / "midwatch.yaml"
    config.write_text(config.read_text("utf-8") + ROUTE, "utf-8")
    serving.start()
    sent = [
        ("r1", "eu", "router"),
        ("r1", "us", "router"),
        ("r1", "eu", "switch"),
        ("r2", "eu", "dns"),
    ]
    for number, (route, site, service) in enumerate(sent):
        one = now("LinkDown", service)
        one["labels"] |= {"team": "network" if service != "dns" else "shop", "port": str(number)}
        one["labels"]["namespace"] = "names" if service == "dns" else "links"
        body = {
            "version": "4",
            "alerts": [one],
            "groupLabels": {"site": site},
            "groupKey": f'{{}}/{{route="{route}"}}:{{site="{site}"}}',
        }
        took = serving.ask(
            "POST", "/intake/alertmanager", json.dumps(body).encode(), serving.sender
        )
        assert took.status == 202
        if number == 1:
            typed(serving, "incidents", "ack", "INC-1")
            typed(serving, "incidents", "ack", "INC-2")
    found = {one["id"]: one["services"] for one in serving.incidents()}
    assert found == {"INC-1": ["router", "switch"], "INC-2": ["router"], "INC-3": ["dns"]}
    why = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))["timeline"][0]["says"]
    assert why.startswith('the first of sender\'s group site="eu" ')


def test_cases_are_owed_of_every_incident_where_the_config_says_so(serving: Serving) -> None:
    """A full queue then closes with a waiver, or with a case."""
    config = serving.folder / "midwatch" / "midwatch.yaml"
    config.write_text(config.read_text("utf-8") + "\ncases: always\n", "utf-8")
    serving.start()
    serving.deliver(now("QueueFull", "queue"))
    printed(serving, "QueueFull on queue")
    typed(serving, "incidents", "resolve", "INC-1", "--why", "consumers run again")
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    assert shown["lacks"] == ["a proven regression case or a waiver"]
    until_day = show_time(int((time.time() + 30 * 86_400) * 1_000))
    waiver = ["--why", "no case", "--owner", "me", "--until", until_day]
    assert " closed " in typed(serving, "incidents", "waive", "INC-1", *waiver).splitlines()[0]


def test_one_trouble_is_one_incident_and_one_page(serving: Serving) -> None:
    """Disks of one cluster, a flap, a later start without an end, a call across namespaces."""
    (serving.folder / "midwatch" / "topology.yaml").write_text(CALLS, "utf-8")
    serving.start()

    def send(one: dict[str, Any], **more: str) -> dict[str, Any]:
        one["labels"].update(more)
        assert serving.deliver(one).status == 202
        return one

    first = send(now("DiskFull", "kafka"), namespace="k", disk="0")
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    assert shown["causes"] == []  # a lone alert has no cause but itself
    for number in range(1, 4):
        send(now("DiskFull", "kafka"), namespace="k", disk=str(number))
    send({**first, "startsAt": now("DiskFull", "kafka")["startsAt"]})
    flap = now("Lag", "mq")
    for _ in range(3):
        at = now("Lag", "mq")["startsAt"]
        send({**flap, "startsAt": at}, namespace="m")
        over = now("Lag", "mq")["startsAt"]
        send({**flap, "status": "resolved", "startsAt": at, "endsAt": over}, namespace="m")
    send(now("CartSlow", "cart", "warning"), namespace="eu")
    send(now("ShopDown", "shop"), namespace="us")
    found = {one["id"]: one for one in serving.incidents(all="true")}
    assert {name: one["services"] for name, one in found.items()} == {
        "INC-1": ["kafka"],
        "INC-2": ["mq"],
        "INC-3": ["cart", "shop"],
    }
    assert [found[f"INC-{n}"]["pages"] for n in (1, 2, 3)] == [1, 1, 1]
    assert (found["INC-1"]["firing"], found["INC-1"]["state"]) == (4, "open")
    told = typed(serving, "incidents", "show", "INC-1")
    assert "AlertsResolved" not in told
    assert "AlertsChanged" in told


def test_an_escalated_page_says_why(serving: Serving) -> None:
    """Whoever is asked next gets what the first one got, and what happened since."""
    config = serving.folder / "midwatch" / "midwatch.yaml"
    text = config.read_text("utf-8").replace("delay: 5m", "delay: 2s")
    config.write_text(text, "utf-8")
    serving.start()
    one = now("QueueFull", "queue", says="queue is at 900")
    one["annotations"]["runbook_url"] = "https://wiki.example.org/queue"
    serving.deliver(one)
    printed(serving, "no ack from me within 2 s; why: critical QueueFull on queue")
    last = serving.out.read_text("utf-8").partition("no ack from me within 2 s")[2]
    assert "https://wiki.example.org/queue" in last


def test_nobody_is_silenced_by_a_safe_looking_config(serving: Serving) -> None:
    """No tier pages, a name that is nobody is refused, a rota begins when it says."""
    folder = serving.folder
    (folder / "alert.json").write_text(json.dumps([now("Down", "checkout")]), "utf-8")
    graph = "services: [{name: checkout}]\nedges: []\n"
    for text in ("services: []\nedges: []\n", graph):
        (folder / "midwatch" / "topology.yaml").write_text(text, "utf-8")
        assert "pages me by" in serving.type("route", "test", "alert.json").stdout
    refused = serving.type(
        "oncall", "override", "add", "primary", "adda", "--until", "2090-01-01T00:00:00Z"
    )
    assert refused.returncode == 2
    assert "unknown person 'adda'" in refused.stderr
    rota = folder / "midwatch" / "schedules" / "primary.yaml"
    later = show_time(int((time.time() + 35 * 86_400) * 1_000))[:16]
    text = rota.read_text("utf-8").replace("2026-01-05T09:00", later)
    rota.write_text(text, "utf-8")
    gaps = serving.type("oncall", "gaps")
    assert gaps.returncode == 1
    assert "a page to primary would reach nobody" in gaps.stdout
    (folder / "midwatch" / "schedule").mkdir()
    (folder / "midwatch" / "schedule" / "x.yaml").write_text("people: [me]\n", "utf-8")
    told = serving.type("check", "midwatch")
    assert told.returncode == 2
    assert "schedule" in told.stdout + told.stderr


def test_whoever_approves_a_plan_has_it(serving: Serving) -> None:
    """The next step of the policy is due in seconds, and asks nobody any more."""
    config = serving.folder / "midwatch" / "midwatch.yaml"
    text = config.read_text("utf-8").replace("delay: 5m", "delay: 4s")
    config.write_text(text, "utf-8")
    book = BOOK.format(service="queue").replace('[restart, "queue"]', '[sh, -c, "sleep 1"]')
    file = serving.folder / "midwatch" / "runbooks" / "queue.md"
    file.write_text(book.replace('[restart, "{service}"]', '[sh, -c, "sleep 1"]'), "utf-8")
    serving.start()
    serving.deliver(now("QueueFull", "queue"))
    printed(serving, "QueueFull on queue")
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    plan_hash = shown["plan"]["hash"]
    typed(serving, "runbook", "approve", "INC-1", plan_hash, "--no-wait")
    (one,) = serving.incidents()
    assert one["state"] == "acknowledged"
    time.sleep(6)
    assert "no ack from" not in serving.out.read_text("utf-8")


def test_services_that_nothing_connects_are_no_causes_of_each_other(serving: Serving) -> None:
    """Time joins them; being in trouble, too, is no evidence."""
    serving.start()
    serving.deliver(now("CartDown", "cart"), now("ShopDown", "shop"))
    printed(serving, "on shop")
    until(lambda: len(serving.incidents()) == 1)
    shown = json.loads(typed(serving, "incidents", "show", "INC-1", "--json"))
    assert [one["why"] for one in shown["causes"]] in ([], ["the first to fire"])
