"""Releases of the support agent, tried on live traffic: real agents, a real proxy, real pushes."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import MIDWATCH, Serving, midwatch, until
from tests.acceptance.test_agent import SLO, agent
from tests.proxying import TOKEN, Proxy, proxy
from tests.servers import free_port, need, running

from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.adapters.metrics.prometheus import PrometheusMetrics
from midwatch.core.state.inputs import CanaryRead
from midwatch.core.state.releases import Pointer
from midwatch.core.state.shard import Shard
from midwatch.core.values.canary import NOTHING, Canary, CanaryPlan, Guard, Sides
from midwatch.core.values.sli import Indicator
from midwatch.engine.trials import Trials
from midwatch.outbound import Outbound

pytestmark = pytest.mark.slow

JUDGE = "  judge: {type: pushed}"
USERS = '  users: {{type: proxy, url: "{control}", token_env: MIDWATCH_PROXY_TOKEN}}'
CONFIG = """
routers:
  edge: {{type: split, url: "{control}", token_env: MIDWATCH_PROXY_TOKEN}}
canaries:
  support-agent:
    steps: [50]
    samples: 200
    step_time: 5s
    warm_up: 1s
    lag: 3s
    deadline: 5m
    guards:
      quality: {{slo: support-agent/answers, margin: 0.05}}
      errors: {{source: users, bad: errors, total: requests, margin: 0.05}}
"""


class Stage:
    """midwatch, the proxy, and agents of three releases behind it."""

    def __init__(self, serving: Serving, running: Proxy) -> None:
        self.serving = serving
        self.proxy = running

    def type(self, *args: str) -> tuple[int, str, str]:
        """Type a release command."""
        where = {"MIDWATCH_SERVER": self.serving.url, "MIDWATCH_TOKEN": self.serving.person}
        # Its verdict may take its time on a machine that has other things to do.
        done = subprocess.run(
            [MIDWATCH, "release", *args],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.serving.folder,
            env={**os.environ, **where},
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    def typed(self, *args: str) -> str:
        """Type one that works."""
        code, out, err = self.type(*args)
        assert code == 0, err
        return out

    def service(self) -> dict[str, Any]:
        """What it runs."""
        (found,) = json.loads(self.typed("list", "--json"))
        return found

    @contextmanager
    def load(self, rate: int = 60) -> Iterator[None]:
        """Users ask, a talk each, by the proxy."""
        command = [
            MIDWATCH,
            "agent",
            "load",
            "--url",
            self.proxy.users,
            "--rate",
            str(rate),
            "--seconds",
            "300",
            "--json",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait(10)


@contextmanager
def stage(folder: Path, monkeypatch: pytest.MonkeyPatch, *releases: str) -> Iterator[Stage]:
    """The first release is live and good; the others are candidates, each with its true digest."""
    monkeypatch.setenv("MIDWATCH_PROXY_TOKEN", TOKEN)
    serving = Serving(folder)
    config = folder / "midwatch"
    (config / "slos" / "answers.yaml").write_text(SLO, "utf-8")
    topology = "services: [{name: support-agent, tier: 1}]\nedges: []\n"
    (config / "topology.yaml").write_text(topology, "utf-8")
    main = config / "midwatch.yaml"
    text = main.read_text("utf-8").replace("  app: {type: pushed}", JUDGE)
    main.write_text(text, "utf-8")
    token = serving.token("--source", "judge")
    serving.port = free_port()
    push = ["--push", f"http://127.0.0.1:{serving.port}/intake/judge"]
    with _agents(releases, push, token) as urls:
        ports = [(name, int(url.rpartition(":")[2])) for name, url in urls.items()]
        more = ["--key", "header:x-user-id", "--health", "/healthz"]
        with proxy(folder, *ports, more=more) as running:
            text = text.replace(JUDGE, f"{JUDGE}\n{USERS.format(control=running.control)}")
            main.write_text(text + CONFIG.format(control=running.control), "utf-8")
            serving.start()
            try:
                found = Stage(serving, running)
                for number, (name, url) in enumerate(urls.items()):
                    with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
                        digest = json.load(answer)["digest"]
                    marks = ["--known-good", "--live"] if number == 0 else []
                    found.typed("register", "support-agent", name, "--digest", digest, *marks)
                yield found
            finally:
                serving.stop()


@contextmanager
def _agents(releases: tuple[str, ...], push: list[str], token: str) -> Iterator[dict[str, str]]:
    if not releases:
        yield {}
        return
    *rest, last = releases
    with _agents(tuple(rest), push, token) as before:
        options = [] if last == "v1-good" else ["--release", last]
        with agent(*options, *push, MIDWATCH_PUSH_TOKEN=token) as url:
            yield {**before, last: url}


def test_a_secretly_broken_fix_is_rejected_and_a_harmless_one_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what users got; then the good one is all that they get, and a rollback is one call."""
    with stage(tmp_path, monkeypatch, "v1-good", "no-titles", "friendly") as found, found.load():
        code, out, err = found.type(
            "canary",
            "start",
            "support-agent",
            "no-titles",
            "--confirm",
            "support-agent",
            "--wait",
            "120",
        )
        assert code == 1, out + err
        assert "no-titles: reject; quality is worse" in out
        assert "no-titles on 50 % compared with v1-good" in err
        until(lambda: found.service()["candidate"] == "")
        code, _, err = found.type(
            "canary", "start", "support-agent", "no-titles", "--confirm", "support-agent"
        )
        assert code == 2
        assert "known bad" in err
        code, out, err = found.type(
            "canary",
            "start",
            "support-agent",
            "friendly",
            "--confirm",
            "support-agent",
            "--wait",
            "240",
        )
        assert code == 0, out + err
        assert "friendly: promote; not worse in quality by 0.05, errors by 0.05" in out
        until(lambda: found.service()["live"] == "friendly")
        assert "quality" in found.typed("history", "support-agent")
        found.typed("rollback", "support-agent", "--confirm", "support-agent")
        assert found.service()["live"] == "v1-good"


def test_the_status_is_drawn_and_an_abort_gives_all_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was counted on both sides; a killed midwatch goes on with it."""
    with stage(tmp_path, monkeypatch, "v1-good", "friendly") as found:
        plan = found.typed("canary", "start", "support-agent", "friendly", "--dry-run")
        assert (
            plan
            == "canary support-agent: a share of traffic for friendly; the rest stays on v1-good\n"
        )
        found.typed("canary", "start", "support-agent", "friendly", "--confirm", "support-agent")
        with found.load(20):
            until(lambda: found.service()["weight"] == 50)
            until(lambda: found.service()["canary"]["blocks"], 60)
            found.serving.kill()
        found.serving.start()
        drawn = found.typed("canary", "status", "support-agent")
        assert "friendly on 50 % compared with v1-good, step 1 of 2" in drawn
        assert "errors: 100 % of" in drawn
        assert "promote  [" in drawn
        out = found.typed("abort", "support-agent", "--confirm", "support-agent", "--why", "lunch")
        assert "inconclusive; aborted by ada: lunch" in out
        until(lambda: (found.service()["candidate"], found.service()["pending"]) == ("", ""))
        assert found.type("canary", "status", "support-agent")[0] == 3


def test_what_serves_another_digest_gets_no_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what it is."""
    with stage(tmp_path, monkeypatch, "v1-good", "friendly") as found:
        found.typed("register", "support-agent", "friendly-2", "--digest", "sha256:other")
        code, _, err = found.type(
            "promote",
            "support-agent",
            "friendly-2",
            "--confirm",
            "support-agent",
            "--why",
            "try",
            "--wait",
            "40",
        )
        assert code == 1, err
        assert found.service()["live"] == "v1-good"
        assert "no upstream is named" in found.typed("history", "support-agent")


def test_a_guard_out_of_a_real_prometheus_tells_releases_apart(tmp_path: Path) -> None:
    """By the label that its question names; what both sides did is in the same blocks of time."""
    port = free_port()
    with agent() as good, agent("--release", "no-titles") as bad:
        targets = [url.removeprefix("http://") for url in (good, bad)]
        (tmp_path / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n"
            f"  - {{job_name: agents, static_configs: [{{targets: {targets}}}]}}\n"
        )
        command = [
            need("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        url = f"http://127.0.0.1:{port}"
        with running(command, f"{url}/-/ready", tmp_path / "log"):
            asked = Indicator(
                "counter",
                "prom",
                good='sum(support_agent_judged_total{release="{{.release}}",result="good"})',
                total='sum(support_agent_judged_total{release="{{.release}}"})',
            )
            plan = CanaryPlan((Guard("quality", 0.05, asked),), (50,), warm_up_s=1, lag_s=2)
            state = Shard()
            state.pointers["shop"] = pointer = Pointer("shop", live="v1-good")
            pointer.canary = Canary(
                "c", "no-titles", "d", "v1-good", "ada", plan, _now(), step=0, step_at=_now()
            )
            metrics = PrometheusMetrics(PrometheusOptions(url), Outbound([url]))
            trials = Trials({"prom": metrics}, None)
            seen: dict[int, Sides] = {}

            def look() -> int:
                """Ask users' questions on both, and read what is new."""
                for one in (good, bad):
                    midwatch("agent", "load", "--url", one, "--rate", "40", "--seconds", "1")
                for envelope in trials.questions(state, _now())[0].ask():
                    given = envelope.input
                    assert isinstance(given, CanaryRead)
                    assert given.missed == ()
                    seen[given.at] = given.block["quality"]
                return sum(one.total for one in seen.values())

            until(lambda: look() > 150, 90)
    total = NOTHING
    for one in seen.values():
        total = total.plus(one)
    assert total.base_good / total.base_total > 0.85 > total.good / total.total


def _now() -> int:
    return int(time.time() * 1_000)
