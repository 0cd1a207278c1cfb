"""Secrets are planted wherever any is taken, everything is made to fail, and all of it is read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.acceptance.hostile import ENDS, MARK, MARKS, WAYS, Hostile, hostile, hostile_mail
from tests.acceptance.serving import MIDWATCH, Serving, alert, midwatch, until
from tests.acceptance.test_agent import ask
from tests.acceptance.test_runbook import detail, kinds, typed

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PLANTED = {
    "HOOK": "whsec_cGxhbnRlZC1pbi1ob29rLXBsYW50ZWQtaW4taG9vay0x",
    "DUTY": f"{MARK}-in-duty{ENDS}",
    "SLACK": f"{{url}}/services/T0/{MARK}-in-slack",
    "SLACK_SECRET": f"{MARK}-in-slack-secret",
    "MAIL": f"{MARK}-in-mail{ENDS}",
    "APPRISE": f"json://127.0.0.1:{{port}}/{MARK}-in-apprise",
    "PROMETHEUS": f"{MARK}-in-prometheus{ENDS}",
    "TENANT": f"{MARK}-in-tenant{ENDS}",
    "LOGIN": f"{MARK}-in-login{ENDS}",
    "COUNTS": f"{MARK}-in-counts",
    "ROUTER": f"{MARK}-in-router",
    "APPLY": f"{MARK}-in-apply{ENDS}",
    "OBSERVE": f"{MARK}-in-observe",
    "STEP": f"{MARK}-in-step",
    "HEADER": f"{MARK}-in-header{ENDS}",
    "MIDWATCH_TOKEN": f"{MARK}-in-cli",
    "MIDWATCH_PUSH_TOKEN": f"{MARK}-in-push",
    "MIDWATCH_MODEL_KEY": f"{MARK}-in-model{ENDS}",
    "MIDWATCH_JUDGE_KEY": f"{MARK}-in-judge",
    "MIDWATCH_PROXY_TOKEN": f"{MARK}-in-proxy",
    "MIDWATCH_PROXY_PIN_TOKEN": f"{MARK}-in-pin",
    "AGENT_TOKEN": f"{MARK}-in-agent",
}
CONFIG = """
sources: {{alertmanager: {{type: alertmanager}}}}
pagers:
  hook: {{type: webhook, url: "{url}/hook", secret_env: HOOK}}
  duty: {{type: pagerduty, url: "{url}/enqueue", routing_key_env: DUTY}}
  slack: {{type: slack, url_env: SLACK, signing_secret_env: SLACK_SECRET}}
  mail:
    type: email
    smtp: 127.0.0.1:{smtp}
    from: midwatch@example.org
    to: ada@example.org
    tls: none
    username: ada
    password_env: MAIL
  apprise: {{type: apprise, url_env: APPRISE}}
people: {{ada: {{pagers: [hook, duty, slack, mail, apprise], email: ada@example.org}}}}
escalation: {{steps: [{{to: ada, delay: 5m}}], digest: off}}
correlation: {{threshold: 0.95}}
metrics:
  prometheus:
    {{type: prometheus, url: "{url}", token_env: PROMETHEUS, headers_env: {{X-Api-Key: TENANT}}}}
  thanos: {{type: prometheus, url: "{url}/t", username: midwatch, password_env: LOGIN}}
  users: {{type: proxy, url: "{url}", token_env: COUNTS}}
routers:
  edge: {{type: split, services: [shop], url: "{url}", token_env: ROUTER}}
  calm:
    type: command
    services: [other]
    apply: [sh, serve.sh, "{{release}}", "{{epoch}}", "{{candidate}}", "{{weight}}"]
    observe: [cat, served]
canaries:
  other:
    guards: {{errors: {{source: users, bad: errors, total: requests}}}}
actions:
  cache.purge:
    apply: {{http: {{url: "{url}/purge", method: POST, token_env: APPLY}}}}
    observe: {{http: {{url: "{url}/state", expect: {{cached: 0}}, token_env: OBSERVE}}}}
"""
SERVICES = ("shop", "other")
SERVE = """printf '{"release": "%s", "epoch": %s, "candidate": "%s", "weight": %s}' "$@" > served"""
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {{name: {source}}}
spec:
  service: other
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 30d, isRolling: true}}]
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{metricSourceRef: {source}, spec: {{query: good_total}}}}}}
        total: {{metricSource: {{metricSourceRef: {source}, spec: {{query: all_total}}}}}}
  objectives: [{{target: 0.99}}]
"""
BOOKS = {
    "CacheOld": """---
id: purge
match: {{labels: [alertname=CacheOld]}}
steps: [{{id: purge, action: cache.purge, risk: reversible}}]
---
# The cache is old
""",
    "BookOld": """---
id: reload
match: {{labels: [alertname=BookOld]}}
steps:
  - id: reload
    action: http.request
    with: {{url: "{url}/reload", method: POST, token_env: STEP}}
    observe: {{http: {{url: "{url}/loaded", expect: {{loaded: true}}, token_env: STEP}}}}
    risk: reversible
---
# The book is old
""",
}
SUITE = """suite: bot
cases:
  - {id: a, question: refund, expect: 30 days}
  - {id: b, question: ship, checks: [{judge: It names a time.}]}
"""
BOT = 'def good(question): return "30 days"\n'


def planted(server: Hostile) -> dict[str, str]:
    """What is planted, by the variable that holds it."""
    return {k: v.format(url=server.url, port=server.port) for k, v in PLANTED.items()}


def nothing_of_it_in(places: dict[str, bytes], *more: str) -> None:
    """Fail with the place where a secret stands, and with what is around it."""
    for place, data in places.items():
        for mark in (*MARKS, *(one.encode() for one in more)):
            at = data.find(mark)
            assert at < 0, f"a secret stands in {place}: {data[max(0, at - 90) : at + 60]!r}"


@contextmanager
def served(folder: Path, server: Hostile, smtp: int) -> Iterator[Serving]:
    """A midwatch whose whole world is hostile, with its log at the loudest."""
    serving = Serving(folder)
    config = folder / "midwatch"
    text = CONFIG.format(url=server.url, smtp=smtp)
    (config / "midwatch.yaml").write_text(text, "utf-8")
    (config / "schedules" / "primary.yaml").unlink()
    topology = "services: [{name: shop, tier: 1}, {name: other, tier: 1}]\nedges: []\n"
    (config / "topology.yaml").write_text(topology, "utf-8")
    for source in ("prometheus", "thanos"):
        (config / "slos" / f"{source}.yaml").write_text(SLO.format(source=source), "utf-8")
    for name, book in BOOKS.items():
        (config / "runbooks" / f"{name}.md").write_text(book.format(url=server.url), "utf-8")
    (folder / "serve.sh").write_text(SERVE, "utf-8")
    (folder / "served").write_text('{"release": "v1", "epoch": 0}', "utf-8")
    checked = serving.type("check")
    assert checked.returncode == 0, checked.stderr
    serving.start(options=["--log-level", "debug"])
    try:
        yield serving
    finally:
        serving.stop()


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_of_the_service_stands_in_anything_that_is_written(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs, the journal, the API, `--json`, errors, postmortems, the page: whatever is answered."""
    with hostile(way) as server, hostile_mail(way) as (smtp, mailed):
        for name, text in planted(server).items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("MIDWATCH_DEBUG", "1")
        with served(tmp_path, server, smtp) as serving:
            said = everything_said(serving, server)
        arrived = {name for name, paths in server.arrived.items() if paths} | mailed
    for place in (
        "duty",
        "slack",
        "mail",
        "apprise",
        "prometheus",
        "login",
        "counts",
        "router",
        "apply",
        "observe",
        "step",
    ):
        assert f"{MARK}-in-{place}" in arrived, f"nothing came to {place}: {arrived}"
    assert "POST /pointer" in server.arrived[f"{MARK}-in-router"]
    places = {f"output {number}": text.encode() for number, text in enumerate(said)}
    for file in (serving.out, *sorted((tmp_path / "midwatch").glob("midwatch.db*"))):
        places[file.name] = file.read_bytes()
    assert len(serving.out.read_bytes()) > 100
    tokens = (serving.person, serving.sender)
    signing = PLANTED["HOOK"].removeprefix("whsec_")
    nothing_of_it_in(places, *tokens, signing)
    assert os.environ["MAIL"] == PLANTED["MAIL"]


def was_tried(serving: Serving, incident: str) -> bool:
    """Whether the step of its plan came to an end."""
    return bool({"ActionDone", "ActionFailed"} & set(kinds(serving, incident)))


def everything_said(serving: Serving, server: Hostile) -> list[str]:
    """Let everything be called, and read all that is told of it."""
    said: list[str] = []

    def say(*args: str) -> int:
        code, out, err = typed(serving, *args)
        said.append(out + err)
        return code

    def is_over(name: str) -> bool:
        """Whether everybody was told of an incident, and a plan is ready."""
        return (
            name in {one["id"] for one in serving.incidents()}
            and bool({"PageSent", "PageFailed"} & set(kinds(serving, name)))
            and bool(detail(serving, name)["plan"])
        )

    for number, alertname in enumerate(BOOKS, start=1):
        incident = f"INC-{number}"
        serving.deliver(alert(alertname, service=SERVICES[number - 1]))
        until(partial(is_over, incident))
        say("runbook", "approve", incident, detail(serving, incident)["plan"]["hash"])
        until(partial(was_tried, serving, incident), 60)
    for service in SERVICES:
        say("release", "register", service, "v1", "--digest", "a", "--known-good", "--live")
        say("release", "register", service, "v2", "--digest", "b")
    say("release", "promote", "shop", "v2", "--confirm", "shop", "--why", "x", "--wait", "3")
    say("release", "canary", "start", "other", "v2", "--confirm", "other")
    say("page", "test")
    until(lambda: "GET /pointer" in server.arrived.get(f"{MARK}-in-counts", ()), 40)
    for args in (
        ["incidents", "show", "INC-1"],
        ["incidents", "show", "INC-1", "--json"],
        ["incidents", "show", "INC-2", "--json"],
        ["incidents", "list", "--json"],
        ["postmortem", "show", "INC-1"],
        ["postmortem", "show", "INC-2", "--json"],
        ["release", "list", "--json"],
        ["release", "history", "shop"],
        ["release", "history", "other"],
        ["release", "canary", "status", "other", "--json"],
        ["slo", "status", "--json"],
        ["slo", "status"],
        ["report", "--json"],
        ["report"],
        ["alerts", "rejected"],
        ["runbook", "plan", "INC-1"],
        ["runbook", "plan", "INC-2"],
        ["runbook", "show", "purge", "--json"],
        ["check"],
    ):
        say(*args)
    for path in ("/", "/metrics", "/readyz", "/api/v1/openapi.json", "/api/v1/services"):
        said.append(serving.ask("GET", path, token=serving.person).body.decode())
    verified = serving.type("db", "verify", "midwatch/midwatch.db")
    return [*said, verified.stdout + verified.stderr]


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_of_an_eval_stands_in_its_results(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a header, of a release's pin, of the judge: on the screen, in JSON, JUnit and Markdown."""
    (tmp_path / "suite.yaml").write_text(SUITE, "utf-8")
    (tmp_path / "bot.py").write_text(BOT, "utf-8")
    said: dict[str, bytes] = {}
    with hostile(way) as server:
        for name, text in planted(server).items():
            monkeypatch.setenv(name, text)
        monkeypatch.setenv("MIDWATCH_PROXY_URL", f"{server.url}/pinned")
        monkeypatch.setenv("MIDWATCH_DEBUG", "1")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        judge = ["--judge-url", f"{server.url}/v1", "--retries", "0", "--header", "x-extra=HEADER"]
        targets = (f"{server.url}/asked", "release:v2", "python:bot:good")
        for number, target in enumerate(targets):
            both = ["--candidate", target, "--baseline", "python:bot:good"]
            for args in (
                ["eval", "run", "suite.yaml", "--target", target, "--results", f"e{number}.jsonl"],
                ["eval", "run", "suite.yaml", "--target", target, "--json"],
                [
                    "gate",
                    "--suite",
                    "suite.yaml",
                    *both,
                    "--results",
                    f"g{number}.jsonl",
                    "--junit",
                    f"{number}.xml",
                    "--markdown",
                    f"{number}.md",
                ],
                ["gate", "--suite", "suite.yaml", *both, "--json"],
            ):
                done = midwatch(*args, *judge, cwd=tmp_path)
                said[" ".join(args)] = (done.stdout + done.stderr).encode()
                assert done.returncode in (0, 1, 2, 3)
                assert "Traceback" not in done.stderr, done.stderr
        assert "POST /asked" in server.arrived[f"{MARK}-in-header"]
        assert "POST /pinned" in server.arrived[f"{MARK}-in-pin"]
        assert "POST /v1/chat/completions" in server.arrived[f"{MARK}-in-judge"]
    files = [one for one in tmp_path.iterdir() if one.suffix in (".jsonl", ".xml", ".md")]
    assert len(files) == 13
    nothing_of_it_in({**said, **{one.name: one.read_bytes() for one in files}})


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_of_the_agent_stands_in_its_log_or_its_answers(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its model, of where it pushes to, and of its own remedies."""
    log = tmp_path / "log"
    with hostile(way) as server, log.open("wb") as out:
        for name, text in planted(server).items():
            monkeypatch.setenv(name, text)
        process = subprocess.Popen(
            [
                MIDWATCH,
                "agent",
                "serve",
                "--port",
                "0",
                "--remedies",
                "--judge",
                "1",
                "--model",
                f"{server.url}/v1",
                "--push",
                f"{server.url}/intake/judge",
            ],
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
        )
        try:
            assert process.stdout is not None
            found = re.search(r"http://[^,]+", process.stdout.readline())
            assert found
            answers = [ask(found[0], "how long is a gift card valid") for _ in range(3)]
            loaded = midwatch("agent", "load", "--url", found[0], "--seconds", "1", "--json")
            until(lambda: f"{MARK}-in-push" in server.arrived)
        finally:
            process.terminate()
            assert process.wait(20) == 0
            process.stdout.close()
        assert "POST /v1/chat/completions" in server.arrived[f"{MARK}-in-model"]
    places = {"answers": json.dumps(answers).encode(), "load": loaded.stdout.encode()}
    nothing_of_it_in({**places, "the log": log.read_bytes()})


@pytest.mark.parametrize("way", WAYS)
def test_no_token_of_a_command_stands_in_what_it_prints(tmp_path: Path, way: str) -> None:
    """Of the server that was named."""
    said: dict[str, bytes] = {}
    with hostile(way) as server:
        env = {"MIDWATCH_TOKEN": PLANTED["MIDWATCH_TOKEN"], "MIDWATCH_SERVER": server.url}
        for args in (
            ["incidents", "list"],
            ["incidents", "show", "INC-1", "--json"],
            ["page", "test"],
            ["slo", "status"],
            ["report"],
        ):
            done = midwatch(*args, cwd=tmp_path, **env)
            said[" ".join(args)] = (done.stdout + done.stderr).encode()
            assert done.returncode == 2, done.stdout
        assert server.arrived[f"{MARK}-in-cli"]
    nothing_of_it_in(said)


def test_each_place_that_takes_a_secret_has_one_planted() -> None:
    """A new key of the config, or a new variable, is planted here as well."""
    source = ROOT / "src" / "midwatch"
    config = "".join(file.read_text("utf-8") for file in (source / "config").glob("*.py"))
    keys = set(re.findall(r'"(\w+_env)"', config))
    assert len(keys) >= 6
    for key in keys:
        assert f"{key}: " in CONFIG + "".join(BOOKS.values()), f"{key} is planted nowhere"
    cli = "".join(file.read_text("utf-8") for file in (source / "cli").glob("*.py"))
    for name in set(re.findall(r"\b(?:MIDWATCH|AGENT)_(?:\w+_)?(?:TOKEN|KEY|SECRET)\b", cli)):
        assert name in PLANTED, f"{name} is planted nowhere"
