"""Plans in real time: proposed on a page, approved by their hash, carried out, and proven."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import MIDWATCH, Serving, alert, midwatch, until
from tests.acceptance.test_agent import SLO, agent
from tests.acceptance.test_real_senders import ALERTMANAGER, Alertmanager
from tests.servers import free_port

pytestmark = pytest.mark.slow

SECRET = "nobody-guesses-this"
CONFIG = """
slo_defaults:
  tiers:
    Fast: long=20s short=5s budget=0.0014% severity=sev1
metrics:
  judge: {{type: pushed}}
actions:
  cache.purge:
    apply: {{http: {{url: "{url}/remedies/cache.purge", method: POST, token_env: AGENT_TOKEN}}}}
    observe: {{http: {{url: "{url}/remedies", expect: {{cached: 0}}, token_env: AGENT_TOKEN}}}}
    within: 5s
"""
STALE = """---
id: stale-answer-cache
version: 2
match: {slo: support-agent/answers, labels: [alertname=AnswersOutdated]}
steps:
  - id: purge
    action: cache.purge
    risk: reversible
    approval: {role: responder, ttl: 10m}
verify: {slo: support-agent/answers, window: 10s, burn_below: 1, min_events: 200, deadline: 3m}
resolves: true
---
# The answer cache is stale

## Meaning
Answers come from an old handbook.
"""


def typed(serving: Serving, *args: str) -> tuple[int, str, str]:
    """Type a command against the running server."""
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    done = serving.type(*args, **env)
    return done.returncode, done.stdout, done.stderr


def detail(serving: Serving, name: str = "INC-1") -> Any:
    """One incident, over the API."""
    return serving.ask("GET", f"/api/v1/incidents/{name}", token=serving.person).document


def kinds(serving: Serving, name: str = "INC-1") -> list[str]:
    """What happened to it."""
    return [moment["event"] for moment in detail(serving, name)["timeline"]]


@contextmanager
def asking(url: str, rate: int = 80) -> Iterator[None]:
    """Users ask the agent."""
    command = [MIDWATCH, "agent", "load", "--url", url, "--rate", str(rate), "--seconds", "300"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def test_a_real_page_gets_a_plan_that_is_carried_out_and_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alertmanager's page, a stale cache: proposed, approved by hash, purged, users well again."""
    monkeypatch.setenv("AGENT_TOKEN", SECRET)
    serving = Serving(tmp_path)
    config = tmp_path / "midwatch"
    (config / "slos" / "answers.yaml").write_text(SLO, "utf-8")
    (config / "runbooks").mkdir(exist_ok=True)
    (config / "runbooks" / "stale.md").write_text(STALE, "utf-8")
    topology = "services: [{name: support-agent, tier: 1}]\nedges: []\n"
    (config / "topology.yaml").write_text(topology, "utf-8")
    port, serving.port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    main = config / "midwatch.yaml"
    text = main.read_text("utf-8").replace("metrics:\n  app: {type: pushed}\n", "")
    main.write_text(text + CONFIG.format(url=url), "utf-8")
    token = serving.token("--source", "judge")
    push = ["--push", f"http://127.0.0.1:{serving.port}/intake/judge"]
    with ExitStack() as stack:
        options = ["--release", "stale-cache", "--remedies", "--port", str(port), *push]
        stack.enter_context(agent(*options, MIDWATCH_PUSH_TOKEN=token))
        serving.start()
        stack.callback(serving.stop)
        at = f"{serving.url}/intake/alertmanager"
        alertmanager = Alertmanager(tmp_path, ALERTMANAGER.format(url=at, token=serving.sender))
        alertmanager.start()
        stack.callback(alertmanager.stop)
        now = datetime.fromtimestamp(time.time(), UTC)
        labels = {
            "alertname": "AnswersOutdated",
            "service": "support-agent",
            "severity": "warning",
        }
        times = {
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
        }
        alertmanager.ask("/api/v2/alerts", [{"labels": labels, **times}])
        stack.enter_context(asking(url))
        until(lambda: serving.incidents() and "PlanProposed" in kinds(serving), 60)
        until(lambda: "PageSent" in kinds(serving), 20)

        code, out, err = typed(serving, "runbook", "plan", "INC-1")
        assert code == 0, err
        assert f"1. purge: cache.purge by POST {url}/remedies/cache.purge" in out
        assert "reversible; a responder approves, for 10 min" in out
        assert "needs approval: no automation policy covers support-agent at sev1" in out
        plan = detail(serving)["plan"]
        assert plan["hash"] in out
        assert state(url)["cached"] > 0

        code, _, err = typed(serving, "runbook", "approve", "INC-1", "0" * 16)
        assert code == 2
        assert "no longer describes what is live" in err
        assert state(url)["cached"] > 0

        code, out, err = typed(serving, "runbook", "approve", "INC-1", plan["hash"])
        assert code == 0, out + err
        assert out.startswith("done: purge\nall steps are done; INC-1 is mitigated when ")
        assert state(url)["cached"] == 0
        until(lambda: "IncidentMitigated" in kinds(serving), 90)
        seen = detail(serving)
        (mitigated,) = [m for m in seen["timeline"] if m["event"] == "IncidentMitigated"]
        assert mitigated["says"].startswith("SLI 9")
        (approved,) = [m for m in seen["timeline"] if m["event"] == "PlanApproved"]
        assert approved["says"] == f"{plan['hash']} for support-agent by ada"
        assert SECRET not in json.dumps(seen)


def state(url: str) -> dict[str, Any]:
    """How the agent's surroundings stand."""
    request = urllib.request.Request(f"{url}/remedies")
    request.add_header("Authorization", f"Bearer {SECRET}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


# --- commands, crashes ---------------------------------------------------------------------------

# A tool that says when it was called, waits for leave, and then does it; what it says of itself is
# in a file.
TOOL = """#!/bin/sh
cd {folder}
echo "$1 $MIDWATCH_OPERATION $SECRET" >> calls
if [ "$1" = apply ]; then
  [ -e blocked ] && while [ ! -e go ]; do sleep 0.05; done
  [ -e broken ] && exit 5
  touch done
  exit 0
fi
[ -e blind ] && exit 3
[ -e done ]
"""
COMMANDS = """
actions:
  index.restore:
    apply: {{command: ["{tool}", apply, "{{part}}"]}}
    observe: {{command: ["{tool}", observe]}}
    within: 1s
"""
RESTORE = """---
id: restore
match: {labels: [alertname=IndexDocumentsMissing]}
params: {part: {pattern: "[a-z]{1,20}", label: part}}
steps:
  - id: restore
    action: index.restore
    with: {part: "{part}"}
    risk: reversible
---
# Documents are missing
"""


@pytest.fixture
def tooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A server with one runbook, whose action is a tool that can be held up."""
    monkeypatch.setenv("SECRET", SECRET)
    serving = Serving(tmp_path)
    tool = tmp_path / "tool"
    tool.write_text(TOOL.format(folder=tmp_path), "utf-8")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "midwatch"
    (config / "runbooks" / "restore.md").write_text(RESTORE, "utf-8")
    with (config / "midwatch.yaml").open("a") as main:
        main.write(COMMANDS.format(tool=tool))
    serving.start()
    try:
        yield serving
    finally:
        serving.kill()


def burn(serving: Serving, **labels: str) -> str:
    """Let the alert come; gives the plan's hash."""
    labels = {"part": "warranty", **labels}
    assert serving.deliver(alert("IndexDocumentsMissing", **labels)).status == 202
    until(lambda: detail(serving)["plan"])
    return detail(serving)["plan"]["hash"]


def calls(serving: Serving) -> list[str]:
    """How the tool was called."""
    file = serving.folder / "calls"
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_an_approved_command_is_run_once_in_a_clean_environment(tooled: Serving) -> None:
    """With its operation and without our secrets; seen to be done, and recovery by its alert."""
    code, out, err = typed(tooled, "runbook", "approve", "INC-1", burn(tooled))
    assert code == 0, out + err
    assert out.startswith("done: restore\n")
    key = r"action/INC-1/1/restore/[0-9a-f]{16} "
    applied, observed = calls(tooled)
    assert re.fullmatch(f"apply {key}", applied)
    assert observed == applied.replace("apply", "observe")
    assert detail(tooled)["plan"]["state"] == "verifying"
    tooled.deliver(alert("IndexDocumentsMissing", status="resolved", part="warranty"))
    until(lambda: "IncidentMitigated" in kinds(tooled))


@pytest.mark.parametrize("how", ["after", "before", "blind", "idempotent"])
def test_a_killed_server_looks_before_it_acts_again(tooled: Serving, how: str) -> None:
    """Done means done. Not seen proves nothing: a human is woken, unless it may be done twice."""
    folder = tooled.folder
    if how == "idempotent":
        main = folder / "midwatch" / "midwatch.yaml"
        text = main.read_text("utf-8")
        main.write_text(text.replace("within: 1s", "within: 1s\n    idempotent: true"), "utf-8")
        tooled.stop()
        tooled.start()
    (folder / "blocked").touch()
    plan = burn(tooled)
    code, _, err = typed(tooled, "runbook", "approve", "INC-1", plan, "--no-wait")
    assert code == 0, err
    until(lambda: len(calls(tooled)) == 1)
    tooled.kill()
    tool = [int(pid) for pid in _tools(folder)]
    if how == "after":
        (folder / "go").touch()
        until((folder / "done").exists)
    else:
        for pid in tool:
            os.kill(pid, signal.SIGKILL)
        (folder / "blocked").unlink()
        if how == "blind":
            (folder / "blind").touch()
    tooled.start()
    if how in ("before", "blind"):
        until(lambda: "ActionFailed" in kinds(tooled))
        until(lambda: kinds(tooled).count("PagePlanned") == 2)
        applied = [one for one in calls(tooled) if one.startswith("apply")]
        assert len(applied) == 1
        return
    until(lambda: "ActionDone" in kinds(tooled))
    applied = [one for one in calls(tooled) if one.startswith("apply")]
    assert len(applied) == (1 if how == "after" else 2)
    assert kinds(tooled).count("ActionStarted") == 1


def test_a_stop_waits_for_no_step_and_the_next_start_looks(tooled: Serving) -> None:
    """The step goes on meanwhile; it is seen to be done, and not done again."""
    (tooled.folder / "blocked").touch()
    plan = burn(tooled)
    code, out, err = typed(tooled, "runbook", "approve", "INC-1", plan, "--wait", "1s")
    assert code == 3, out + err
    assert "restore is running" in out
    until(lambda: len(calls(tooled)) == 1)
    began = time.monotonic()
    assert tooled.stop() == 0
    took = time.monotonic() - began
    assert took < 40  # the step has 60 s; here it is under 10
    assert len(_tools(tooled.folder)) == 1
    (tooled.folder / "go").touch()
    until((tooled.folder / "done").exists)
    tooled.start()
    until(lambda: "ActionDone" in kinds(tooled))
    assert [one.split()[0] for one in calls(tooled)] == ["apply", "observe"]


def _tools(folder: Path) -> list[str]:
    done = subprocess.run(
        ["pgrep", "-f", f"{folder}/tool apply"], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


def test_a_step_that_fails_pages_and_says_so(tooled: Serving) -> None:
    """Provably not done three times: a human, and no claim of success."""
    (tooled.folder / "broken").touch()
    plan = burn(tooled)
    code, out, _ = typed(tooled, "runbook", "approve", "INC-1", plan, "--wait", "5m")
    assert code == 1
    assert "failed: restore not-applied: " in out
    assert "was tried, and nothing else matches shop" in out
    failed = next(m for m in detail(tooled)["timeline"] if m["event"] == "ActionFailed")
    assert "restore not-applied" in failed["says"]
    assert "exited with code 5" in failed["says"]
    assert kinds(tooled).count("PagePlanned") == 2


def test_a_person_stops_a_plan_whose_step_is_under_way(tooled: Serving) -> None:
    """The step ends first and is not tried again; till then the incident is not resolved."""
    folder = tooled.folder
    (folder / "blocked").touch()
    code, _, err = typed(tooled, "runbook", "approve", "INC-1", burn(tooled), "--no-wait")
    assert code == 0, err
    until(lambda: len(calls(tooled)) == 1)
    code, _, err = typed(tooled, "incidents", "resolve", "INC-1", "--why", "a false alarm")
    assert code == 2
    assert "stop it before its next step: midwatch runbook stop INC-1" in err
    code, _, err = typed(tooled, "runbook", "stop", "INC-1", "0" * 16, "--why", "wrong part")
    assert (code, f"no plan {'0' * 16} under way" in err) == (2, True)
    code, out, err = typed(tooled, "runbook", "stop", "INC-1", "--why", "wrong part")
    assert (code, err) == (0, "")
    assert out == "restore is running and finishes first; no further step starts\n"
    (folder / "broken").touch()
    (folder / "go").touch()
    until(lambda: "ActionFailed" in kinds(tooled))
    applied = [one for one in calls(tooled) if one.startswith("apply")]
    assert len(applied) == 1
    assert detail(tooled)["plan"] is None or detail(tooled)["plan"]["state"] == "ended"
    code, _, err = typed(tooled, "incidents", "resolve", "INC-1", "--why", "a false alarm")
    assert code == 0, err


@pytest.mark.parametrize("part", ["a; rm -rf /", "../../etc", "--force", "wärranty", "x" * 4_000])
def test_a_hostile_label_reaches_no_command(tooled: Serving, part: str) -> None:
    """No plan is made of it, and the reason says which value."""
    tooled.deliver(alert("IndexDocumentsMissing", part=part))
    until(lambda: detail(tooled)["no_runbook"])
    assert "cannot be done" in detail(tooled)["no_runbook"]
    code, _, err = typed(
        tooled, "runbook", "run", "INC-1", "restore", "--param", f"part={part}", "--yes"
    )
    assert code == 2
    assert "part" in err
    assert calls(tooled) == []


def test_a_person_runs_another_value_or_refuses(tooled: Serving) -> None:
    """What was shown is what is approved; a refused plan is not proposed again."""
    plan = burn(tooled)
    code, out, err = typed(
        tooled, "runbook", "run", "INC-1", "restore", "--param", "part=extras", "--dry-run"
    )
    assert code == 0, err
    assert "tool apply extras" in out
    assert detail(tooled)["plan"]["hash"] == plan
    code, out, err = typed(tooled, "runbook", "refuse", "INC-1", plan, "--why", "I look first")
    assert code == 0, err
    assert "was tried, and nothing else matches" in out
    code, out, err = typed(
        tooled, "runbook", "run", "INC-1", "restore", "--param", "part=extras", "--yes", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["plan"]["state"] == "verifying"
    assert [one.split()[0] for one in calls(tooled)] == ["apply", "observe"]


def test_without_a_server_nothing_is_carried_out(tmp_path: Path) -> None:
    """A plan may be looked at on the file; approving it there would do nothing."""
    serving = Serving(tmp_path)
    (tmp_path / "midwatch" / "runbooks" / "restore.md").write_text(
        RESTORE.replace("index.restore", "page.person")
        .replace('with: {part: "{part}"}', "with: {to: primary, says: look}")
        .replace("    risk: reversible\n", ""),
        "utf-8",
    )
    found = midwatch("runbook", "list", cwd=tmp_path)
    assert found.returncode == 2
    assert "the steps only wait, ask and page" in found.stderr
    (tmp_path / "midwatch" / "runbooks" / "restore.md").write_text(
        RESTORE.replace("index.restore", "command.run").replace(
            'with: {part: "{part}"}', 'with: {command: [echo, "{part}"]}'
        ),
        "utf-8",
    )
    serving.start()
    plan = burn(serving)
    serving.stop()
    done = serving.type("runbook", "plan", "INC-1")
    assert done.returncode == 0, done.stderr
    assert plan in done.stdout
    done = serving.type("runbook", "approve", "INC-1", plan)
    assert done.returncode == 2
    assert "no server is running on this event log" in done.stderr
    done = serving.type("runbook", "lint")
    assert done.returncode == 1
    assert "restore: no heading for Meaning, Impact, Diagnosis, Mitigation" in done.stdout
    assert "midwatch cannot check restore" in done.stdout
