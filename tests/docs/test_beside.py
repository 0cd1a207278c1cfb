"""Pages whose lines need a server, a proxy or an agent are typed beside them, whole.

Law: each line is typed as it stands, in the page's order, and prints what is said here; only ports,
hashes, dates and how long a load lasts become those of this run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.acceptance.receiver import Receiver
from tests.acceptance.serving import MIDWATCH, Serving, alert, until
from tests.docs.pages import Done, commands, fences, put, run, served
from tests.docs.test_howto import prometheus
from tests.haproxy import Upstream
from tests.servers import free_port, need, running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BOT = """
import sys
def answer(question):
    return "30 days" if "refund" in question else "yes"
if __name__ == "__main__":
    print(answer(sys.stdin.read()))
"""
CASES = """
suite: bot
cases:
  - {id: refund, question: How long for a refund?, checks: [{equals: 30 days}]}
  - {id: open, question: Are you open?, checks: [{equals: "yes"}]}
"""
PROMPTFOO = """
prompts: ["{{question}}"]
tests:
  - description: refund
    vars: {question: How long for a refund?}
    assert: [{type: contains, value: 30 days}]
"""
MORE = """
suite: more
cases:
  - id: refund-window
    question: "Hi. I am Ada. What is the refund window? Thanks!"
    checks: [{contains: 30 days}]
"""


def moved(text: str, at: dict[str, str]) -> str:
    """Put what is here in place of what stands there."""
    for stands, is_here in at.items():
        text = text.replace(stands, is_here)
    return text


def here(line: str, at: dict[str, str]) -> str:
    """Give what is typed of a line: without what follows to say what it is for."""
    return re.split(r"\s{3,}(?=[a-z#])", moved(line, at))[0]


def well(done: Done, says: dict[str, str], code: int = 0) -> str:
    """Check how a line ended, and that it printed what the longest beginning of it tells."""
    assert done.code == code, f"{done.command}\n{done.output}"
    begins = max((one for one in says if done.command.startswith(one)), key=len, default="")
    assert begins, f"nothing is said of what {done.command} prints"
    assert re.search(says[begins], done.output), f"{done.command}\n{done.output}"
    return begins


def answers(_: str, body: bytes) -> bytes:
    """Answer as the bot of test_pages does, over HTTP."""
    question = json.loads(body)["question"]
    return json.dumps({"answer": "30 days" if "refund" in question else "yes"}).encode()


def bots(folder: Path) -> dict[str, str]:
    """A bot as a function and as a program, its cases, and the results of another run."""
    (folder / "bot.py").write_text(BOT, "utf-8")
    (folder / "cases.yaml").write_text(CASES, "utf-8")
    (folder / "promptfooconfig.yaml").write_text(PROMPTFOO, "utf-8")
    program = folder / "old-bot"
    program.write_text("#!/bin/sh\nexec python bot.py\n", "utf-8")
    program.chmod(0o755)
    done = run(
        folder, "midwatch eval run cases.yaml --target python:bot:answer --results after.jsonl"
    )
    assert done.code == 0, done.output
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


GATE = {
    "midwatch gate": r"GATE: pass \(exit 0\)$",
    "midwatch eval run": "^2 of 2 cases passed",
    "midwatch eval diff": "^0 worse, 0 better of 2",
    "midwatch eval list": "^refund .*contains",
    "midwatch eval show": "contains: 30 days",
    "midwatch eval import": "imported.yaml written",
    "midwatch eval export": "prompts",
    "midwatch cases admit": "refund-window: kept, fails on bad, passes on good",
    "midwatch cases list": "refund-window +INC-7",
    "midwatch cases show": "3 failed",
    "midwatch cases blame": "INC-7",
    "midwatch cases quarantine": "refund-window: quarantined ada, until ",
    "midwatch cases retire": "refund-window is retired",
    "midwatch cases export": "0 cases written to regressions.yaml",  # it was retired above
}


def test_the_gate_of_the_page_asks_bots_and_keeps_the_case_of_an_incident(tmp_path: Path) -> None:
    """docs/gate.md: two bots over HTTP, and a server on which the seventh incident is open."""
    serving = Serving(tmp_path)
    own = bots(tmp_path)
    (tmp_path / "more.yaml").write_text(MORE, "utf-8")
    for name, says in (("bot1", "30 days"), ("bot2", "7 days")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ncat > /dev/null\necho {says}\n", "utf-8")
        program.chmod(0o755)
    services = [*(f"s{n}" for n in range(6)), "support-agent"]
    listed = "".join(f"  - {{name: {name}, tier: 1}}\n" for name in services)
    text = f"services:\n{listed}edges: []\n"
    (tmp_path / "midwatch" / "topology.yaml").write_text(text, "utf-8")
    serving.start()
    said = set[str]()
    try:
        for n, service in enumerate(services):
            serving.deliver(alert(f"Alert{n}", service, namespace=f"n{n}"))
        own |= {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        with Receiver() as bad, Receiver() as good:
            bad.answer = good.answer = answers
            ports = {":8702/": f":{bad.port}/", ":8701/": f":{good.port}/"}
            for line in commands(DOCS / "gate.md"):
                said.add(well(run(tmp_path, here(line, ports), **own), GATE))
            assert bad.requests
            assert good.requests
    finally:
        serving.stop()
    assert said == set(GATE)


ANSWERS = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: SERVICE
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {metricSourceRef: judge}}
        total: {metricSource: {metricSourceRef: judge}}
  objectives: [{target: 0.95}]
"""
RELEASES = {
    "midwatch release register": "sha256:",
    "midwatch release list": "v1 .*\n.*v2 ",
    "midwatch release live": "^v2$",
    "midwatch release show": "sha256:bb",
    "midwatch release rollback shop --dry-run": "^rollback shop: v2 -> v1 at epoch 2$",
    "midwatch release rollback shop --confirm": "^shop serves v1 at epoch 2$",
    "midwatch release canary start": "inconclusive",
    "midwatch release canary status": "v3",
    "midwatch release abort": "v3: inconclusive; aborted by ada",
    "midwatch release promote": "^shop serves v3 at epoch",
    "midwatch release history": "wrong answers(.*\n)*.*the canary cannot see this",
    "midwatch release judge": "^promote",
}


def test_the_moves_of_the_page_are_seen_at_the_proxy_of_the_page(tmp_path: Path) -> None:
    """docs/releases.md: rolled back, tried as a canary in another terminal, aborted, promoted."""
    page = DOCS / "releases.md"
    _, split, canaries = (text for kind, _, text in fences(page) if kind == "yaml")
    exported, proxied = (
        one for one in commands(page) if re.match("export MIDWATCH_PROXY|midwatch proxy", one)
    )
    serving = Serving(tmp_path)
    rows = [{"case": f"c{n}", "candidate": 1, "baseline": n % 2} for n in range(100)]
    (tmp_path / "evidence.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    at = {f":{port}": f":{free_port()}" for port in (8650, 8651, 9090)}
    with ExitStack() as stack:
        for n in (1, 2, 3):
            at[f":870{n}"] = f":{stack.enter_context(Upstream(f'v{n}')).port}"
        put(tmp_path, "midwatch.yaml", moved(split, at))
        put(tmp_path, "midwatch.yaml", moved(canaries, at))
        put(tmp_path, "slos/answers.yaml", ANSWERS.replace("SERVICE", "shop"))
        name, _, secret = exported.removeprefix("export ").partition("=")
        listen = ["--listen", "127.0.0.1" + at[":8650"], "--control", "127.0.0.1" + at[":8651"]]
        state = ["--state", str(tmp_path / "proxy.json")]
        command = [MIDWATCH, *shlex.split(here(proxied, at))[1:], *listen, *state]
        users = "http://127.0.0.1" + at[":8650"]
        stack.enter_context(running(["env", f"{name}={secret}", *command], users, tmp_path / "log"))
        serving.start("env", f"{name}={secret}")
        stack.callback(serving.stop)
        own = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        pool = stack.enter_context(ThreadPoolExecutor(1))
        said, waits = set[str](), list[Future[Done]]()
        status = "midwatch release canary status shop"
        for line in commands(page):
            if line in (exported, proxied):
                continue
            if "canary start" in line:
                waits.append(pool.submit(run, tmp_path, line, **own))
                until(lambda: "v3 on 1 %" in run(tmp_path, status, **own).output)
                continue
            said.add(well(run(tmp_path, here(line, at), **own), RELEASES))
        (start,) = waits
        said.add(well(start.result(), RELEASES, 3))
        assert start.result().wanted == 3
        with urllib.request.urlopen(users, timeout=10) as answer:
            assert answer.read() == b"v3"
    assert said == set(RELEASES)


RUNBOOKS = {
    "midwatch runbook plan": r"purge: cache.purge by POST http://",
    "midwatch runbook approve": r"^done: purge\n",
    "midwatch runbook refuse": "^[0-9a-f]{16} is refused",
    "midwatch runbook run": r"stale-answer-cache v1(.*\n)*.*\{\"topic\":\"returns\"\}",
}


def test_the_plan_of_the_page_is_approved_and_in_another_world_refused(tmp_path: Path) -> None:
    """docs/runbooks.md: its runbook purges a real cache; refused is what a copy proposed."""
    page = DOCS / "runbooks.md"
    (book,) = (text for kind, _, text in fences(page) if kind == "markdown")
    actions, _ = (text for kind, _, text in fences(page) if kind == "yaml")
    serving = Serving(tmp_path)
    put(tmp_path, "runbooks/shown.md", book)
    put(tmp_path, "slos/answers.yaml", ANSWERS.replace("SERVICE", "support-agent"))
    put(tmp_path, "topology.yaml", "services: [{name: support-agent, tier: 1}]\nedges: []\n")
    put(tmp_path, "midwatch.yaml", "metrics: {judge: {type: pushed}}\n")
    with Receiver() as cache, ExitStack() as stack:
        cache.answer = lambda path, _: b'{"cached": 0}'
        put(tmp_path, "midwatch.yaml", moved(actions, {"http://cache:8080": cache.url}))
        judge = serving.token("--source", "judge")
        stack.callback(serving.stop)
        serving.start("env", "CACHE_TOKEN=secret")
        own = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        outdated = alert("AnswersOutdated", "support-agent", topic="returns")
        outdated["startsAt"] = datetime.fromtimestamp(time.time(), UTC).isoformat()
        bad = b'{"slo": "support-agent/answers", "good": 0, "total": 1000}'
        assert serving.deliver(outdated).status == 202
        assert serving.ask("POST", "/intake/judge", bad, judge).status == 202
        serving.stop()
        config, before = tmp_path / "midwatch", tmp_path / "before"
        shutil.copytree(config, before)
        serving.start("env", "CACHE_TOKEN=secret")  # it looks at its objectives first
        until(lambda: run(tmp_path, "midwatch runbook plan INC-1", **own).code == 0)
        said, proposed = set[str](), ""
        for line in commands(page):
            if "runbook refuse" in line:  # either or: what was approved is another world's
                serving.stop()
                shutil.rmtree(config)
                shutil.copytree(before, config)
                serving.start("env", "CACHE_TOKEN=secret")
                until(lambda: run(tmp_path, "midwatch runbook plan INC-1", **own).code == 0)
            done = run(tmp_path, here(line, {"4f1e0c2a9b7d3355": proposed}), **own)
            said.add(well(done, RUNBOOKS))
            proposed = proposed or re.findall(r"\b[0-9a-f]{16}\b", done.output)[0]
        assert [path for path, _, _ in cache.requests] == ["/purge", "/state"]
    assert said == set(RUNBOOKS)


AGENT = {
    "midwatch agent ask": "return",
    "midwatch agent releases": "no-titles",
    "midwatch agent questions": "returns",
    "midwatch agent build-index": "103 chunks, digest ",
    "midwatch agent load": "^40 conversations, ",
}


def test_the_agents_of_the_page_are_asked_and_judged(tmp_path: Path) -> None:
    """docs/agent.md: two releases side by side, one under load; a third tells midwatch verdicts."""
    page = DOCS / "agent.md"
    assert run(tmp_path, "midwatch init").code == 0
    put(tmp_path, "topology.yaml", "services: [{name: support-agent, tier: 1}]\nedges: []\n")
    (tmp_path / "midwatch" / "slos" / "availability.yaml").unlink()
    (tmp_path / "midwatch" / "runbooks" / "rollback.md").unlink()
    for kind, _, text in fences(page):
        if kind == "yaml":
            name, _, rest = text.removeprefix("# ").partition("\n")
            put(tmp_path, name, rest)
    port, last, said, own = free_port(), "", set[str](), dict[str, str]()
    at = {":8600": f":{port}", ":8701": f":{free_port()}", "--seconds 60": "--seconds 2"}
    at["--port 8701"] = f"--port {at[':8701'][1:]}"
    with ExitStack() as stack:
        for stands in commands(page):
            line = here(stands, at)
            if line.startswith("export"):
                name = line.removeprefix("export ").partition("=")[0]
                own[name] = run(tmp_path, f'{line}\nprintf %s "${name}"').output
            elif line == "midwatch serve":
                stack.enter_context(served(tmp_path, line, port))
            elif line.startswith("midwatch agent serve"):
                words = shlex.split(line, comments=True)[1:]
                if "--port" not in words:
                    words += ["--port", str(free_port())]
                last = f"http://127.0.0.1:{words[words.index('--port') + 1]}"
                command = ["env", *(f"{n}={v}" for n, v in own.items()), MIDWATCH, *words]
                stack.enter_context(running(command, f"{last}/healthz", tmp_path / "agent.log"))
            else:
                said.add(well(run(tmp_path, line), AGENT))
        assert run(tmp_path, f"midwatch agent load --url {last} --rate 40 --seconds 1").code == 0
    judged = run(tmp_path, "midwatch slo status").output
    assert re.search("^support-agent/answers +(calm|burning)", judged), judged
    assert said == set(AGENT)


OBJECTIVES = {
    "midwatch slo explain examples/slos/availability.yaml": "PageQuick",
    "midwatch slo explain examples/slos/sloth.yaml": "requests",
    "midwatch slo status": "shop/availability",
    "midwatch slo budget": "shop/availability",
    "midwatch slo rules": "",
}


def test_the_objectives_of_the_page_are_explained_beside_a_prometheus(tmp_path: Path) -> None:
    """docs/slo.md: counts of an hour, a Prometheus, and rules that promtool takes."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    rows = [{"at": f"2026-03-02T00:{m:02}:00Z", "good": 99, "total": 100} for m in range(60)]
    (tmp_path / "counts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    for line in ("midwatch init", "midwatch token create --source app"):
        assert run(tmp_path, line).code == 0
    said = set[str]()
    with prometheus(tmp_path / "prometheus") as address:
        for line in commands(DOCS / "slo.md"):
            done = run(tmp_path, here(line, {"localhost:9090": address}))
            said.add(well(done, OBJECTIVES))
    assert said == set(OBJECTIVES)
    assert run(tmp_path, f"{need('promtool')} check rules rules.yaml").code == 0


POSTMORTEMS = {
    "midwatch postmortem show": "peak burn",
    "midwatch postmortem edit": "INC-1",
    "midwatch postmortem export": "INC-1.html",
    "midwatch postmortem check": "^INC-1: good$",
    "midwatch incidents waive": "IncidentClosed +waiver: an outage of the provider",
}


def test_the_postmortem_of_the_page_is_written_and_its_case_waived(tmp_path: Path) -> None:
    """docs/postmortems.md: the journal of a shift in which the incident left no case."""
    shift = run(tmp_path, "midwatch drill --db journal.db --break regression-case")
    assert shift.code == 1, shift.output
    config, journal = ROOT / "scenarios" / "shop", tmp_path / "journal.db"
    own = {"MIDWATCH_CONFIG": str(config), "MIDWATCH_DB": str(journal)}
    ahead = datetime.fromtimestamp(time.time(), UTC) + timedelta(days=30)
    said = set[str]()
    for line in commands(DOCS / "postmortems.md"):
        done = run(tmp_path, here(line, {"2026-12-31T": f"{ahead:%Y-%m-%dT}"}), **own)
        said.add(well(done, POSTMORTEMS))
    assert said == set(POSTMORTEMS)
    assert "Test the index job" in (tmp_path / "INC-1.html").read_text("utf-8")


def test_the_storm_of_the_readme_is_grouped_out_of_an_alertmanager(tmp_path: Path) -> None:
    """README.md: the answer of `/api/v2/alerts` goes through the pipe."""
    (line,) = (one for one in commands(ROOT / "README.md") if "midwatch correlate" in one)
    with Receiver() as alertmanager:
        storm = [alert("Slow", "shop"), alert("Slow", "cart")]
        alertmanager.answer = lambda _path, _body: json.dumps(storm).encode()
        at = {"http://localhost:9093": alertmanager.url, ".venv/bin/": ""}
        well(run(tmp_path, here(line, at)), {"curl": "2 alerts"})
        assert [path for path, _, _ in alertmanager.requests] == ["/api/v2/alerts"]
