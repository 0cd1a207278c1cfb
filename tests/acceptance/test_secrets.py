"""Secrets are planted wherever any is taken, everything is made to fail, and all of it is read."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, reconfigure, until
from tests.acceptance.test_runbook import detail, kinds, typed
from tests.servers import free_port

pytestmark = pytest.mark.slow

PLANTED = {
    "PLANTED_HOOK": "whsec_cGxhbnRlZC1pbi1ob29rLXBsYW50ZWQtaW4taG9vay0x",
    "PLANTED_SLACK": "http://127.0.0.1:{dead}/services/planted-in-slack",
    "PLANTED_MAIL": "planted-in-mail",
    "PLANTED_APPRISE": "json://127.0.0.1:{dead}/planted-in-apprise",
    "PLANTED_PROMETHEUS": "planted-in-prometheus",
    "PLANTED_PROXY": "planted-in-proxy",
    "PLANTED_ACTION": "planted-in-action",
}
CONFIG = """
sources: {{alertmanager: {{type: alertmanager}}}}
pagers:
  hook: {{type: webhook, url: "{echo}/hook", secret_env: PLANTED_HOOK}}
  slack: {{type: slack, url_env: PLANTED_SLACK}}
  mail:
    type: email
    smtp: 127.0.0.1:{dead}
    from: midwatch@example.org
    to: ada@example.org
    tls: none
    username: ada
    password_env: PLANTED_MAIL
  apprise: {{type: apprise, url_env: PLANTED_APPRISE}}
people: {{ada: {{pagers: [hook, slack, mail, apprise], email: ada@example.org}}}}
escalation: {{steps: [{{to: ada, delay: 5m}}]}}
metrics:
  prometheus: {{type: prometheus, url: "{echo}", token_env: PLANTED_PROMETHEUS}}
  users: {{type: proxy, url: "{echo}", token_env: PLANTED_PROXY}}
routers: {{edge: {{type: split, url: "{echo}", token_env: PLANTED_PROXY}}}}
actions:
  cache.purge:
    apply: {{http: {{url: "{echo}/purge", method: POST, token_env: PLANTED_ACTION}}}}
    observe: {{http: {{url: "{echo}/state", expect: {{cached: 0}}, token_env: PLANTED_ACTION}}}}
"""
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {name: errors}
spec:
  service: other
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {metricSourceRef: prometheus, spec: {query: good_total}}}
        total: {metricSource: {metricSourceRef: prometheus, spec: {query: all_total}}}
  objectives: [{target: 0.99}]
"""
BOOK = """---
id: purge
match: {labels: [alertname=CacheOld]}
steps: [{id: purge, action: cache.purge, risk: reversible}]
---
# The cache is old
"""


class Echo(BaseHTTPRequestHandler):
    """Refuses everything, and sends back whatever it was shown."""

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = f"{self.path}\n{self.headers}\n".encode() + self.rfile.read(size)
        self.send_response(500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST  # noqa: N815  the library's names

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that is no help."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_secret_stands_in_anything_that_is_written(
    tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs at their loudest, the journal, the API, `--json`, errors, postmortems, the page."""
    dead = free_port()
    secrets = {name: text.format(dead=dead) for name, text in PLANTED.items()}
    for name, text in secrets.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("MIDWATCH_DEBUG", "1")
    serving = Serving(tmp_path)
    config = tmp_path / "midwatch"
    reconfigure(config, CONFIG.format(echo=echo, dead=dead))
    topology = "services: [{name: shop, tier: 1}, {name: other, tier: 1}]\nedges: []\n"
    (config / "topology.yaml").write_text(topology, "utf-8")
    (config / "slos" / "errors.yaml").write_text(SLO, "utf-8")
    (config / "runbooks" / "purge.md").write_text(BOOK, "utf-8")
    assert serving.type("check").returncode == 0, serving.type("check").stdout
    said: list[str] = []

    def say(*args: str) -> tuple[int, str]:
        code, out, err = typed(serving, *args)
        said.append(out + err)
        return code, out

    serving.start()
    try:
        serving.deliver(alert("CacheOld"))
        until(lambda: "PageFailed" in kinds(serving))
        plan = detail(serving)["plan"]["hash"]
        assert say("runbook", "approve", "INC-1", plan)[0] == 1
        until(lambda: "ActionFailed" in kinds(serving))
        say("release", "register", "shop", "v1", "--digest", "a", "--known-good", "--live")
        say("release", "register", "shop", "v2", "--digest", "b", "--live")
        say("release", "rollback", "shop", "--confirm", "shop", "--wait", "3")
        for args in (
            ["incidents", "show", "INC-1"], ["incidents", "show", "INC-1", "--json"],
            ["incidents", "list", "--json"], ["postmortem", "show", "INC-1"],
            ["postmortem", "show", "INC-1", "--json"], ["release", "list", "--json"],
            ["release", "history", "shop"], ["slo", "status", "--json"], ["report", "--json"],
            ["alerts", "rejected"], ["page", "test"], ["runbook", "plan", "INC-1"],
        ):  # fmt: skip
            say(*args)
        for path in ("/", "/metrics", "/readyz", "/api/v1/openapi.json", "/api/v1/services"):
            said.append(serving.ask("GET", path, token=serving.person).body.decode())
        for args in (["runbook", "show", "purge", "--json"], ["check"], ["db", "verify",
                     str(config / "midwatch.db")]):  # fmt: skip
            done = serving.type(*args)
            said.append(done.stdout + done.stderr)
    finally:
        serving.stop()
    assert "answered 500" in json.dumps(said)
    places = {f"output {number}": text.encode() for number, text in enumerate(said)}
    for file in (serving.out, *sorted(config.glob("midwatch.db*"))):
        places[file.name] = file.read_bytes()
    assert len(serving.out.read_bytes()) > 100
    tokens = {"a responder's token": serving.person, "a sender's token": serving.sender}
    for what, text in {**secrets, **tokens}.items():
        part = text.rpartition("/")[2].removeprefix("whsec_")
        for place, bytes_ in places.items():
            assert part.encode() not in bytes_, f"{what} stands in {place}"
    assert os.environ["PLANTED_MAIL"] == "planted-in-mail"
