"""How the service itself is: alive, ready, in figures, in its log, and heard of outside."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.acceptance.receiver import Receiver
from tests.acceptance.serving import Serving, alert, until
from tests.servers import free_port, need

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core import events as e
from midwatch.engine import queries


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Not started."""
    serving = Serving(tmp_path)
    yield serving
    serving.kill()


def figures(serving: Serving) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = serving.ask("GET", "/metrics").body.decode()
    return {
        "".join([sample.name, *(f" {v}" for _, v in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def records(serving: Serving) -> list[dict[str, Any]]:
    """The log, without what pages print."""
    lines = serving.out.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_the_figures_move_with_what_happens(serving: Serving) -> None:
    """Alerts, rejected ones, commits, pages by result, incidents by state and severity."""
    serving.start()
    assert serving.ask("GET", "/healthz").body == b"ok\n"
    assert serving.ask("GET", "/readyz").document == {"ready": True, "why": ""}
    before = figures(serving)
    serving.deliver(alert("Down"), alert("Slow"), {"labels": 7})
    until(lambda: figures(serving)["midwatch_pages_total sent"] == 1)
    after = figures(serving)
    assert before["midwatch_alerts_total"] == 0
    assert after["midwatch_alerts_total"] == 2
    assert after["midwatch_alerts_rejected_total"] == 1
    assert after["midwatch_incidents sev1 open"] == 1
    assert after["midwatch_commit_seconds_count"] > before["midwatch_commit_seconds_count"]
    assert after["midwatch_failed_commits_total"] == 0
    for name in ("queue_depth", "outbox_age_seconds", "engine_lag_seconds"):
        assert f"midwatch_{name}" in after
    serving.deliver(alert("Down"), alert("Slow"))
    assert figures(serving)["midwatch_incidents sev1 open"] == 1


def test_prometheus_finds_no_fault_with_the_figures(serving: Serving) -> None:
    """Its own linter."""
    need("prometheus")
    serving.start()
    text = serving.ask("GET", "/metrics").body
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_log_tells_each_incident_and_page(serving: Serving) -> None:
    """One JSON object a line, in which an incident's story is found by its id."""
    serving.start()
    serving.deliver(alert("Down", namespace="a"), alert("Down", "cart", namespace="b"))
    until(lambda: sum(r["event"] == "PageSent" for r in records(serving)) == 2)
    for name in ("INC-1", "INC-2"):
        story = [r["event"] for r in records(serving) if r.get("incident") == name]
        assert story == ["IncidentOpened", "SeverityDeclared", "PagePlanned", "PageSent"]
    for record in records(serving):
        assert record["at"].endswith("Z")
        assert record["level"] in ("info", "warning")


def test_a_heartbeat_is_heard_outside_and_its_failure_breaks_nothing(serving: Serving) -> None:
    """Who pages for the pager: a URL that is called while the engine turns and commits."""
    with Receiver(500) as receiver:
        config = serving.folder / "midwatch" / "midwatch.yaml"
        beat = f'heartbeat: {{url: "{receiver.url}/ping", every: 1s}}\n'
        config.write_text(config.read_text("utf-8") + beat, "utf-8")
        serving.start()
        until(lambda: len(receiver.requests) >= 3)
        assert {path for path, _, _ in receiver.requests} == {"/ping"}
        seen = figures(serving)
        assert seen["midwatch_heartbeats_total failed"] == 1
        assert seen["midwatch_heartbeats_total sent"] >= 1
        (failed,) = (r for r in records(serving) if r["event"] == "heartbeat failed")
        assert "/ping" not in failed["says"]
        assert serving.deliver(alert("Down")).status == 202


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["term", "ctrl-c"])
def test_a_stop_under_load_loses_nothing(serving: Serving, how: signal.Signals) -> None:
    """What got its 202 is in the file; the process ends by itself with 0."""
    serving.start()
    taken: list[str] = []
    over = threading.Event()

    def send() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                if serving.deliver(alert(f"A{number}", namespace=f"n{number}")).status == 202:
                    taken.append(f"A{number}")
            except OSError:
                return

    sender = threading.Thread(target=send)
    sender.start()
    until(lambda: len(taken) > 20)
    code = serving._end(how)
    over.set()
    sender.join(20)
    assert code == 0
    assert serving.type("db", "verify", "midwatch/midwatch.db").returncode == 0
    store = SqliteStore.read_only(serving.folder / "midwatch" / "midwatch.db")
    kept = {
        item.alert.name
        for fact in queries.facts(store)
        if isinstance(fact.event, e.AlertsAttached)
        for item in fact.event.attached
    }
    store.close()
    assert set(taken) <= kept


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--listen", "nonsense"], "is no address; write 127.0.0.1:8600"),
        (["--listen", "127.0.0.1:99999"], "is no address"),
        (["--listen", "127.0.0.1:{port}"], "cannot listen on"),
        (["--config", "nowhere"], "is not there; name a directory with --config"),
    ],
)
def test_a_start_that_cannot_be_says_why(serving: Serving, args: list[str], says: str) -> None:
    """Exit 2, one line, and what to do."""
    port = free_port()
    serving.port = port
    serving.start()
    done = serving.type("serve", *(arg.format(port=port) for arg in args))
    assert done.returncode == 2
    (line,) = (x for x in done.stderr.splitlines() if not x.startswith("note:"))
    assert line.startswith("error: ")
    assert says in line
