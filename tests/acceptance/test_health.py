"""How the service itself is: alive, ready, in figures, in its log, and heard of outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, reconfigure, until
from tests.acceptance.tabs import session
from tests.servers import need

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine, build_loop
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.values import patterns
from midwatch.engine import queries
from midwatch.engine.clock import wall_ms
from midwatch.engine.conditions import Conditions
from midwatch.engine.loop import Loop
from midwatch.web.health import STALLED_S, Health

WITHOUT_EXTRA = """
import sys
sys.modules["uvicorn"] = sys.modules["uvloop"] = None
from midwatch.cli.main import main
main()
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Not started."""
    serving = Serving(tmp_path)
    yield serving
    serving.kill()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Where the shared server's pages go."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Serving]:
    """A running server, for tests that each open incidents of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", SECRET)
        serving = Serving(tmp_path_factory.mktemp("health"))
        page_by(serving, receiver)
        serving.start()
        yield serving
        assert serving.stop() == 0


def page_by(serving: Serving, receiver: Receiver) -> None:
    """Configure a server whose pages go to a receiver."""
    reconfigure(
        serving.folder / "midwatch",
        "sources: {alertmanager: {type: alertmanager}}\n"
        f'pagers: {{hook: {{type: webhook, url: "{receiver.url}", secret_env: HOOK}}}}\n'
        "escalation: {digest: off, steps: [{to: ada}]}\n",
    )


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


def test_it_says_that_it_is_well(shared: Serving) -> None:
    """Alive, and ready for a delivery; without a token."""
    assert shared.ask("GET", "/healthz").body == b"ok\n"
    assert shared.ask("GET", "/readyz").document == {"ready": True, "why": ""}


@pytest.mark.parametrize(
    "ill", ["commits are failing", "the engine has stopped", "the engine is stalled"]
)
def test_it_says_why_it_is_not_ready(ill: str) -> None:
    """503 with the reason; it is dead only when the engine has stopped."""
    store = SqliteStore.memory()
    loop = build_loop(store, build_engine(store, Rules(), World({}), lambda: 1), lambda: 1)
    loop.stats.last_tick = time.monotonic()
    match ill:
        case "commits are failing":
            loop.stats.failing_since = loop.stats.last_tick
        case "the engine has stopped":
            loop.error = RuntimeError("boom")
        case _:
            loop.stats.last_tick -= STALLED_S + 1
    assert asked(loop, "ready") == (503, json.dumps({"ready": False, "why": ill}, separators=SHORT))
    assert asked(loop, "alive")[0] == (503 if loop.error else 200)
    store.close()


SHORT = (",", ":")


def test_a_condition_stands_in_the_texts_and_changes_no_status() -> None:
    """Named in /readyz and /metrics while it says something; one that breaks breaks nothing."""
    store = SqliteStore.memory()
    loop = build_loop(store, build_engine(store, Rules(), World({}), lambda: 1), lambda: 1)
    now = {"tide": "the tide is high"}
    conditions = Conditions()
    conditions.add("tide", lambda: now["tide"])
    conditions.add("moon", lambda: "")
    conditions.gauge("midwatch_depth_metres", "Water below the keel.", lambda: 7)
    conditions.counters("midwatch_gulls", "Gulls seen.", "kind", lambda: {"grey": 2, "white": 3})
    status, text = asked(loop, "ready", conditions)
    assert (status, json.loads(text)["notes"]) == (200, {"tide": "the tide is high"})
    loop.error = RuntimeError("boom")  # no engine has to be asked for its incidents
    told = asked(loop, "metrics", conditions)[1]
    for line in (
        'midwatch_condition{name="tide"} 1.0',
        'midwatch_condition{name="moon"} 0.0',
        "midwatch_depth_metres 7.0",
        'midwatch_gulls_total{kind="white"} 3.0',
    ):
        assert line in told
    del now["tide"]
    assert json.loads(asked(loop, "ready", conditions)[1])["notes"] == {
        "tide": "could not be read: KeyError"
    }
    now["tide"] = ""
    assert "notes" not in json.loads(asked(loop, "ready", conditions)[1])
    store.close()


def asked(loop: Loop, what: str, conditions: Conditions | None = None) -> tuple[int, str]:
    """What a probe is told about a loop."""
    answer = asyncio.run(
        getattr(Health(loop, conditions), what)(Request({"type": "http", "headers": []}))
    )
    return answer.status_code, answer.body.decode()


def test_the_figures_move_with_what_happens(shared: Serving) -> None:
    """Alerts, rejected ones, commits, pages by result, incidents by state and severity."""
    before = figures(shared)
    shared.deliver(alert("Down", namespace="f"), alert("Slow", namespace="f"), {"labels": 7})
    until(
        lambda: figures(shared)["midwatch_pages_total sent"] > before["midwatch_pages_total sent"]
    )
    after = figures(shared)
    moved = {name: after[name] - before.get(name, 0) for name in after}
    assert moved["midwatch_alerts_total"] == 2
    assert moved["midwatch_alerts_rejected_total"] == 1
    assert moved["midwatch_incidents sev1 open"] == 1
    assert moved["midwatch_pages_total sent"] == 1
    assert moved["midwatch_commit_seconds_count"] > 0
    assert moved["midwatch_failed_commits_total"] == 0
    for name in ("queue_depth", "outbox_age_seconds", "engine_lag_seconds"):
        assert after[f"midwatch_{name}"] >= 0
    shared.deliver(alert("Down", namespace="f"), alert("Slow", namespace="f"))
    again = figures(shared)
    assert again["midwatch_incidents sev1 open"] == after["midwatch_incidents sev1 open"]


def test_a_page_that_failed_is_counted_as_failed(shared: Serving, receiver: Receiver) -> None:
    """By result; the state of its incident moves with the acknowledgement."""
    before = figures(shared)
    receiver.plan = [500]
    shared.deliver(alert("Fails", namespace="fails"))
    name = "midwatch_pages_total failed"
    until(lambda: figures(shared)[name] == before[name] + 1)
    (found,) = (i["id"] for i in shared.incidents() if i["title"].startswith("Fails"))
    path = f"/api/v1/incidents/{found}/ack"
    assert shared.ask("POST", path, b"", shared.person).status == 200
    after = figures(shared)
    acknowledged = "midwatch_incidents sev1 acknowledged"
    assert after[acknowledged] == before.get(acknowledged, 0) + 1


def test_what_waits_too_long_to_be_sent_is_seen(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outbox gets old when a pager hangs and more pages are due than it sends at once."""
    monkeypatch.setenv("HOOK", SECRET)
    with Receiver(*["hang"] * 50) as bad:
        page_by(serving, bad)
        serving.start()
        assert figures(serving)["midwatch_outbox_age_seconds"] == 0
        for number in range(12):
            serving.deliver(alert("Down", namespace=f"n{number}"))
        until(lambda: figures(serving)["midwatch_outbox_age_seconds"] > 0)
        serving.kill()


def test_prometheus_finds_no_fault_with_the_figures(shared: Serving) -> None:
    """Its own linter."""
    need("prometheus")
    text = shared.ask("GET", "/metrics").body
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_log_tells_each_incident_and_page(shared: Serving) -> None:
    """One JSON object a line, in which an incident's story is found by its id."""
    shared.deliver(alert("Told", namespace="a"), alert("Told", "cart", namespace="b"))
    opened = [i["id"] for i in shared.incidents() if i["title"].startswith("Told")]
    assert len(opened) == 2

    def story(name: str) -> list[str]:
        return [r["event"] for r in records(shared) if r.get("incident") == name]

    until(lambda: all("PageSent" in story(name) for name in opened))
    for name in opened:
        assert story(name) == [
            "IncidentOpened",
            "SeverityDeclared",
            "NewsJudged",
            "PagePlanned",
            "PageSent",
        ]
    for line in shared.out.read_text("utf-8").splitlines():
        record = json.loads(line)
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
        assert "/ping" not in failed["msg"]
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
        (["--listen", "nonsense"], "is not a valid address; write 127.0.0.1:8600"),
        (["--listen", "127.0.0.1:99999"], "is not a valid address"),
        (["--listen", "127.0.0.1:\u00b2"], "is not a valid address"),
        (
            ["--listen", "127.0.0.1:{port}"],
            "choose another address, or stop the process that listens there",
        ),
        (["--listen", "127.0.0.1:0"], "in use by another midwatch (pid "),
        (["--config", "nowhere"], "not found; create it with midwatch init nowhere, or choose"),
        (["--config", "wrong"], "wrong/midwatch.yaml:1 escalation: got 6; write"),
        (["--config", "wrong"], "; midwatch check lists 1 more"),
    ],
)
def test_a_start_that_cannot_be_says_why(shared: Serving, args: list[str], says: str) -> None:
    """Exit 2, one line, and what to do."""
    wrong = shared.folder / "wrong"
    wrong.mkdir(exist_ok=True)
    (wrong / "midwatch.yaml").write_text("escalation: 6\npagers: 7\n", "utf-8")
    done = shared.type("serve", *(arg.format(port=shared.port) for arg in args))
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_a_start_without_the_extra_says_what_to_install(shared: Serving) -> None:
    """As after a plain install, which has no server in it."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA, "serve"],
        capture_output=True,
        text=True,
        check=False,
        cwd=shared.folder,
        env=os.environ,
    )
    assert done.returncode == 2
    says = "midwatch serve needs uvicorn, uvloop; pip install 'midwatch[server]'"
    assert done.stderr == f"error: {says}\n"


def test_a_silence_of_before_that_mutes_nothing_is_told_everywhere(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pattern was Python's; whoever relies on it reads so before it lets a page through."""
    file = serving.folder / "midwatch" / "midwatch.db"
    store = SqliteStore.own(file)
    with monkeypatch.context() as patch:
        patch.setattr(patterns, "check", lambda _: None)
        engine = build_engine(store, Rules(), World({}), wall_ms)
        now, matchers = wall_ms(), ("service=shop", "job=~(?=x)<b>")
        asked = inputs.AddSilence(matchers, now, now + 86_400_000, "ada", "the move")
        (handled,) = engine.handler.handle([inputs.Envelope("", asked)])
    store.close()
    assert handled.status == "committed", handled.why
    checked = serving.type("check")
    assert checked.returncode == 0
    assert "silence S-1 mutes nothing: job=~" in checked.stderr
    serving.start()
    assert (
        "silence S-1 mutes nothing" in serving.ask("GET", "/readyz").document["notes"]["silences"]
    )
    cookie = session(serving.port, serving.person)
    page = serving.ask("GET", "/", Cookie=cookie).body.decode()
    assert "silence S-1 mutes nothing: job=~" in page
    assert "<b>" not in page.split("mutes nothing")[1].split("</p>")[0]
