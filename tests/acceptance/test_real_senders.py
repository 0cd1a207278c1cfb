"""Alerts as they really arrive: Prometheus finds them, Alertmanager groups and sends them.

Their clocks are turned up: what takes minutes in production takes a second here.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.acceptance.serving import MIDWATCH, Serving, until
from tests.servers import free_port, need, running

pytestmark = pytest.mark.slow

DOWN_S = 60.0 if os.environ.get("MIDWATCH_SOAK") else 0.0
PROMETHEUS = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: shop, static_configs: [{{targets: ["{metrics}"]}}]}}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
"""
# As burn rate rules are commonly made: the same fault pages when fast, and is a ticket when slow.
RULES = """
groups:
- name: burn
  rules:
  - {alert: ErrorsFast, expr: burn > 10, labels: {severity: critical}}
  - {alert: ErrorsSlow, expr: burn > 1, labels: {severity: warning}}
"""
ALERTMANAGER = """
route:
  receiver: bearer
  group_by: [service]
  group_wait: 300ms
  group_interval: 1s
  repeat_interval: 2s
  routes:
  - {{receiver: basic, matchers: ["door=basic"]}}
  - {{receiver: segment, matchers: ["door=segment"]}}
inhibit_rules:
- {{source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [service]}}
receivers:
- name: bearer
  webhook_configs:
  - {{url: "{url}", http_config: {{authorization: {{credentials: "{token}"}}}}}}
- name: basic
  webhook_configs:
  - {{url: "{url}", http_config: {{basic_auth: {{username: alertmanager, password: "{token}"}}}}}}
- name: segment
  webhook_configs: [{{url: "{url}/{token}"}}]
"""


class Exporter:
    """Metrics on loopback: how fast each service burns its budget, and which door tells it."""

    def __init__(self) -> None:
        self.burn: dict[str, int] = {}
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = [f"burn{{{k}}} {v}\n" for k, v in sorted(exporter.burn.items())]
                body = "".join(lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Exporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def set(self, service: str, burn: int, door: str = "bearer") -> None:
        """Change one figure. Each service has a namespace of its own, and so its own incident."""
        self.burn[f'service="{service}",namespace="{service}",door="{door}"'] = burn


class Alertmanager:
    """A real one, which may be killed and started again over its own storage."""

    def __init__(self, folder: Path, config: str) -> None:
        self._folder = folder
        self._config = folder / "alertmanager.yml"
        self._config.write_text(config, "utf-8")
        self._stack = ExitStack()
        self._pid = 0
        self.address = f"127.0.0.1:{free_port()}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = [
            need("prometheus-alertmanager"),
            f"--config.file={self._config}",
            f"--storage.path={self._folder}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
            "--log.level=debug",
        ]
        log = self._folder / "alertmanager.log"
        ready = f"http://{self.address}/-/ready"
        self._pid = self._stack.enter_context(running(command, ready, log))

    def kill(self) -> None:
        """As a power cut does."""
        os.kill(self._pid, signal.SIGKILL)
        self._stack.close()

    def stop(self) -> None:
        """As an operator does."""
        self._stack.close()

    def ask(self, path: str, body: Any = None) -> bytes:
        """Ask its API, or post to it."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"http://{self.address}{path}", data, headers), timeout=5) as answer:
            return answer.read()

    def count(self, name: str) -> int:
        """Read a figure about its webhooks: `notifications`, or `notification_requests_failed`."""
        line = rf'^alertmanager_{name}_total{{integration="webhook"}} (\d+)$'
        found = re.search(line, self.ask("/metrics").decode(), re.MULTILINE)
        assert found
        return int(found[1])


class Senders:
    """A running server, and before it Alertmanager, Prometheus and services to put in trouble."""

    def __init__(self, serving: Serving, alertmanager: Alertmanager, exporter: Exporter) -> None:
        self.serving = serving
        self.alertmanager = alertmanager
        self.burn = exporter.set
        self._exporter = exporter

    def calm(self) -> None:
        """End all trouble, and wait until it has come through."""
        for labels in self._exporter.burn:
            self._exporter.burn[labels] = 0
        until(lambda: not any(one["firing"] for one in self.serving.incidents()))

    def incidents(self, service: str) -> list[Any]:
        """The incidents about a service, each with its timeline."""
        return [
            self.serving.ask(
                "GET", f"/api/v1/incidents/{one['id']}", token=self.serving.person
            ).document
            for one in self.serving.incidents()
            if one["service"] == service
        ]

    def is_paged(self, service: str) -> bool:
        """Whether a page of its one incident has arrived."""
        found = self.incidents(service)
        return len(found) == 1 and bool(told(found[0], "PageSent"))

    def is_mitigated(self, service: str) -> bool:
        """Whether it counts as over."""
        return self.incidents(service)[0]["incident"]["state"] == "mitigated"


def told(incident: Any, event: str) -> list[Any]:
    """What the timeline has of one kind."""
    return [moment for moment in incident["timeline"] if moment["event"] == event]


@pytest.fixture(scope="module")
def running_senders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Senders]:
    """All of them, started once: Prometheus takes its time until it looks for the first time."""
    tmp_path = tmp_path_factory.mktemp("senders")
    serving = Serving(tmp_path)
    serving.start()
    with ExitStack() as stack, Exporter() as exporter:
        stack.callback(serving.kill)
        url = f"{serving.url}/intake/alertmanager"
        config = ALERTMANAGER.format(url=url, token=serving.sender)
        alertmanager = Alertmanager(tmp_path, config)
        alertmanager.start()
        stack.callback(alertmanager.stop)
        (tmp_path / "rules.yml").write_text(RULES, "utf-8")
        main = tmp_path / "prometheus.yml"
        places = {"metrics": exporter.address, "alertmanager": alertmanager.address}
        main.write_text(PROMETHEUS.format(**places), "utf-8")
        at = f"127.0.0.1:{free_port()}"
        command = [
            need("prometheus"),
            f"--config.file={main}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address={at}",
            "--rules.alert.resend-delay=1s",
        ]
        stack.enter_context(running(command, f"http://{at}/-/ready", tmp_path / "prometheus.log"))
        yield Senders(serving, alertmanager, exporter)
        assert serving.stop() == 0
        assert serving.type("db", "verify", "midwatch/midwatch.db").returncode == 0


@pytest.fixture
def senders(running_senders: Senders) -> Iterator[Senders]:
    """The same, and at peace again afterwards; each test puts its own services in trouble."""
    yield running_senders
    running_senders.calm()


@pytest.mark.parametrize("door", ["bearer", "basic", "segment"])
def test_a_rule_that_fires_opens_an_incident_and_pages(senders: Senders, door: str) -> None:
    """By each way in which a token may be shown: one incident, one page, and its alert."""
    senders.burn(door, 20, door)
    until(lambda: senders.is_paged(door))
    (incident,) = senders.incidents(door)
    assert incident["firing"] == [f"ErrorsFast on {door}"]
    assert len(told(incident, "PagePlanned")) == 1


def test_an_alert_that_ends_mitigates_and_says_what_was_not_measured(senders: Senders) -> None:
    """The reason names that no SLI has shown it."""
    senders.burn("ending", 20)
    until(lambda: senders.is_paged("ending"))
    senders.burn("ending", 0)
    until(lambda: senders.is_mitigated("ending"))
    (mitigated,) = told(senders.incidents("ending")[0], "IncidentMitigated")
    assert "no SLI" in mitigated["reason"]["says"]


def test_an_incident_is_not_over_while_what_was_inhibited_fires_on(senders: Senders) -> None:
    """The page ends and the ticket that it hid comes in the same delivery: recorded, still open."""
    senders.burn("hiding", 20)
    until(lambda: senders.is_paged("hiding"))
    assert senders.incidents("hiding")[0]["incident"]["alerts"] == 1
    senders.burn("hiding", 5)
    until(lambda: told(senders.incidents("hiding")[0], "AlertsResolved"))
    (incident,) = senders.incidents("hiding")
    assert incident["firing"] == ["ErrorsSlow on hiding"]
    assert incident["incident"]["state"] == "open"
    assert told(incident, "IncidentMitigated") == []
    together = told(incident, "AlertsAttached")[-1], told(incident, "AlertsResolved")[0]
    assert together[0]["at"] == together[1]["at"]
    senders.burn("hiding", 0)
    until(lambda: senders.is_mitigated("hiding"))


@pytest.mark.parametrize("end", [Alertmanager.kill, Alertmanager.stop], ids=["kill", "stop"])
def test_an_alertmanager_that_starts_anew_says_nothing_new(
    senders: Senders, end: Callable[[Alertmanager], None]
) -> None:
    """With its storage kept it tells of the same firing again: no alert and no page comes of it."""
    service = f"again-{end.__name__}"
    senders.burn(service, 20)
    until(lambda: senders.is_paged(service))
    end(senders.alertmanager)
    senders.alertmanager.start()
    until(lambda: senders.alertmanager.count("notifications") > 1)
    (incident,) = senders.incidents(service)
    assert incident["incident"]["alerts"] == 1
    assert len(told(incident, "PagePlanned")) == 1
    assert incident["incident"]["state"] == "open"


@pytest.mark.soak
def test_what_fires_and_ends_while_the_server_is_down_is_not_lost(senders: Senders) -> None:
    """Killed, and started again over its own journal: Alertmanager tries until it has told all."""
    names = [f"shop-{number}" for number in range(10)]
    senders.burn("before", 20)
    until(lambda: senders.is_paged("before"))
    senders.serving.kill()
    senders.burn("before", 0)
    for name in names:
        senders.burn(name, 20)
    until(lambda: senders.alertmanager.count("notification_requests_failed") > len(names))
    threading.Event().wait(DOWN_S)
    senders.serving.start()
    until(lambda: all(senders.is_paged(name) for name in names), 60)
    until(lambda: senders.is_mitigated("before"), 60)


def test_the_api_answer_of_a_running_alertmanager_is_correlated(tmp_path: Path) -> None:
    """Two services in trouble hours apart, posted to a real Alertmanager, are two incidents."""
    alertmanager = Alertmanager(tmp_path, "route: {receiver: none}\nreceivers: [{name: none}]\n")
    now = datetime.fromtimestamp(1_800_000_000, UTC)
    posted = [
        {
            "labels": {"alertname": name, "service": service, "severity": "critical"},
            "startsAt": (now - timedelta(hours=hours)).isoformat(),
            "endsAt": (now + timedelta(days=3650)).isoformat(),
        }
        for service, hours in (("checkout", 5), ("search", 1))
        for name in ("ErrorsHigh", "LatencyHigh", "SaturationHigh")
    ]
    alertmanager.start()
    try:
        alertmanager.ask("/api/v2/alerts", posted)
        body = alertmanager.ask("/api/v2/alerts")
    finally:
        alertmanager.stop()
    alerts = json.loads(body)
    done = subprocess.run(
        [MIDWATCH, "correlate"], input=body, capture_output=True, check=True, timeout=30
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(alerts) == 6
    by_service = {
        alert["labels"]["service"]: row["incident"] for alert, row in zip(alerts, rows, strict=True)
    }
    assert sorted(by_service.values()) == ["INC-1", "INC-2"]
    assert [row["causes"] for row in rows] == [[a["labels"]["service"]] for a in alerts]
