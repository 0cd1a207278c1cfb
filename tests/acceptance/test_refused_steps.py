"""A router that refuses a step of a canary, under a real server: the canary ends, all else goes on.

The server's clock runs ten times as fast, so that its tries and its blocks of time come soon.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, reconfigure, until
from tests.acceptance.test_release import run, typed
from tests.haproxy import Balancer, Upstream
from tests.servers import clocked

from midwatch.adapters.stores.sqlite import SqliteStore

pytestmark = pytest.mark.slow

FAST = {"FAKETIME": "+0 x10"}
LONG_S = 120  # for a machine that has other things to do
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {metricSourceRef: app}}
        total: {metricSource: {metricSourceRef: app}}
  objectives: [{target: 0.99}]
"""
CONFIG = """
sources: {{alertmanager: {{type: alertmanager}}}}
metrics: {{app: {{type: pushed}}}}
pagers: {{terminal: {{type: terminal}}}}
escalation: {{digest: off, steps: [{{to: ada, delay: 1h}}]}}
routers:
  edge: {router}
canaries:
  shop: {{steps: {steps}, samples: 5, step_time: 1s, warm_up: 1s, lag: 1s,
         guards: {{availability: {{slo: shop/availability, margin: 0.05}}}}}}
"""
# Refuses one weight, or everything, or nothing, as the file `refuses` says.
TOOL = """#!/bin/sh
cd "$(dirname "$0")"
if [ "$1" = apply ]; then
  no=$(cat refuses)
  if [ "$no" = all ] || [ "$no" = "${5:-0}" ]; then echo "the tool refuses" >&2; exit 1; fi
  printf '{"release": "%s", "epoch": %s, "candidate": "%s", "weight": %s}\\n' \\
    "$2" "$3" "$4" "${5:-0}" > served.new
  mv served.new served.json
fi
cat served.json
"""


class Stage:
    """A server with a canary of `shop`, whose users are well on both sides."""

    def __init__(self, folder: Path, router: dict[str, Any], steps: list[int]) -> None:
        self.folder = folder
        self.serving = Serving(folder)
        config = folder / "midwatch"
        (config / "slos" / "availability.yaml").write_text(SLO, "utf-8")
        reconfigure(config, CONFIG.format(router=json.dumps(router), steps=steps))
        self._app = self.serving.token("--source", "app")
        self._over = threading.Event()
        self._pushing = threading.Thread(target=self._push, daemon=True)

    @contextmanager
    def running(self) -> Iterator[Serving]:
        """Serve, and push counts, until the end."""
        self.serving.start(*clocked(**FAST))
        self._pushing.start()
        try:
            yield self.serving
        finally:
            self._over.set()
            self._pushing.join(30)
            self.serving.kill()

    def _push(self) -> None:
        while not self._over.wait(0.1):
            found: dict[str, Any] = {"weight": 0}
            try:
                found = self.service()
                for release, total in (("v1", 100 - found["weight"]), ("v2", found["weight"])):
                    counts = {"good": total, "total": total, "release": release}
                    body = json.dumps({"slo": "shop/availability", **counts}).encode()
                    self.serving.ask("POST", "/intake/app", body, self._app)
            except (OSError, ValueError):
                continue  # the server is killed and started again meanwhile

    def service(self) -> dict[str, Any]:
        """What `shop` runs, by the API."""
        (found,) = self.serving.ask("GET", "/api/v1/services", token=self.serving.person).document
        return found

    def history(self) -> list[str]:
        """What happened to its releases, a line each."""
        return typed(self.serving, "history", "shop").splitlines()

    def pages(self, about: str) -> int:
        """How many pages about something were printed."""
        return sum(
            line.startswith("PAGE") and about in line
            for line in self.serving.out.read_text("utf-8").splitlines()
        )

    def is_well(self, name: str) -> None:
        """Alerts of another service are taken, and page."""
        assert self.serving.ask("GET", "/readyz").status == 200
        assert self.serving.deliver(alert(name, "search", namespace=name.lower())).status == 202
        until(lambda: self.pages(name), LONG_S)

    def check_journal(self) -> None:
        """Nothing that the engine asked itself became a dead letter, and the file is whole."""
        file = self.folder / "midwatch" / "midwatch.db"
        store = SqliteStore.read_only(file)
        try:
            assert store.letters() == []
        finally:
            store.close()
        assert self.serving.type("db", "verify", str(file)).returncode == 0


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """v0 is the release known good, v1 is live, and v2 is to be tried."""
    tool = tmp_path / "tool.sh"
    tool.write_text(TOOL, "utf-8")
    tool.chmod(0o755)
    (tmp_path / "refuses").write_text("nothing")
    (tmp_path / "served.json").write_text('{"release": "v1", "epoch": 1}')
    apply = [str(tool), "apply", "{release}", "{epoch}", "{candidate}", "{weight}"]
    router = {"type": "command", "apply": apply, "observe": [str(tool), "observe"]}
    found = Stage(tmp_path, router, [10, 50])
    with found.running() as serving:
        typed(serving, "register", "shop", "v0", "--digest", "d0", "--known-good")
        typed(serving, "register", "shop", "v1", "--digest", "d1", "--live")
        typed(serving, "register", "shop", "v2", "--digest", "d2")
        yield found


def served(stage: Stage) -> dict[str, Any]:
    """What the tool serves."""
    return json.loads((stage.folder / "served.json").read_text())


def test_a_refused_step_ends_its_canary_and_a_rollback_is_taken_at_every_moment(
    stage: Stage,
) -> None:
    """First 50 % is refused, then everything, with a SIGKILL in between; then the tool works."""
    serving = stage.serving
    (stage.folder / "refuses").write_text("50")
    typed(serving, "canary", "start", "shop", "v2", "--confirm", "shop")
    until(lambda: served(stage).get("candidate") == "v2", LONG_S)
    until(lambda: stage.service()["last_canary"] is not None, LONG_S)
    until(lambda: served(stage)["candidate"] == "", LONG_S)
    last = stage.service()["last_canary"]
    assert (last["verdict"], last["says"].split(" at")[0]) == ("inconclusive", "v1, 50 % v2,")
    assert stage.pages("ReleaseNotMoved") == 1
    stage.is_well("First")
    until(lambda: not stage.service()["pending"], LONG_S)
    typed(serving, "canary", "start", "shop", "v2", "--confirm", "shop")
    until(lambda: served(stage)["candidate"] == "v2", LONG_S)
    (stage.folder / "refuses").write_text("all")
    typed(serving, "abort", "shop", "--confirm", "shop")
    until(lambda: not stage.service()["pending"], LONG_S)  # it was refused three times
    typed(serving, "abort", "shop", "--confirm", "shop")
    code, out, _ = run(serving, "rollback", "shop", "--confirm", "shop", "--operation", "back")
    assert (code, "back continues" in out or "had no effect" in out) == (1, True)
    stage.is_well("Second")
    serving.kill()
    serving.start(*clocked(**FAST))
    stage.is_well("Third")
    (stage.folder / "refuses").write_text("nothing")
    typed(serving, "rollback", "shop", "--confirm", "shop", "--wait", str(LONG_S))
    found = served(stage)
    assert (found["release"], found["candidate"], found["weight"]) == ("v0", "", 0)
    assert stage.service()["live"] == "v0"
    assert serving.stop() == 0
    stage.check_journal()


@pytest.mark.skipif(not os.environ.get("MIDWATCH_SOAK"), reason="waits for HAProxy's own checks")
def test_a_baseline_that_dies_under_a_canary_stops_nobody_else(tmp_path: Path) -> None:
    """A real HAProxy with checks, at 5 %: the raise is refused, and a rollback is taken."""
    with Upstream("v2") as two, Upstream("v1") as one:
        balancer = Balancer(tmp_path, two, one)
        text = balancer.config.read_text("utf-8")
        balancer.config.write_text(text.replace(" weight", " check inter 100ms weight"), "utf-8")
        with balancer:
            stage = Stage(tmp_path, balancer.options(), [5, 50])
            with stage.running() as serving:
                typed(serving, "register", "shop", "v1", "--digest", "d1", "--known-good", "--live")
                typed(serving, "register", "shop", "v2", "--digest", "d2")
                typed(serving, "canary", "start", "shop", "v2", "--confirm", "shop")
                until(lambda: stage.service()["weight"] == 5, LONG_S)
                one.__exit__()
                until(lambda: stage.service()["last_canary"] is not None, LONG_S)
                assert stage.service()["last_canary"]["verdict"] == "inconclusive"
                stage.is_well("First")
                run(serving, "rollback", "shop", "--confirm", "shop")
                run(serving, "abort", "shop", "--confirm", "shop")
                stage.is_well("Second")
                serving.kill()
                serving.start(*clocked(**FAST))
                stage.is_well("Third")
                assert stage.pages("ReleaseNotMoved") == 1
                assert serving.stop() == 0
            stage.check_journal()
