"""The support agent as it is typed and served: real processes, real HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import MIDWATCH, Serving, midwatch, until
from tests.acceptance.truth import untrue

from midwatch.agent.questions import part
from midwatch.agent.troubles import TROUBLES
from midwatch.drill import scenarios
from midwatch.drill.agents import case_of

SCENARIOS = scenarios.folder()


@contextmanager
def agent(*options: str, **env: str) -> Iterator[str]:
    """Serve a release; gives its address."""
    process = subprocess.Popen(
        [MIDWATCH, "agent", "serve", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://[^,]+", process.stdout.readline())
        assert found
        yield found[0]
    finally:
        process.terminate()
        assert process.wait(15) == 0
        if process.stdout:
            process.stdout.close()


@contextmanager
def modelled(say: Callable[[Any], str | None]) -> Iterator[str]:
    """Serve a model that says so to what it is asked, nothing for None; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = say(asked)
            choices = [] if said is None else [{"message": {"content": said}}]
            body = json.dumps({"choices": choices}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def post(url: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Send a body to /ask."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{url}/ask", body, named)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def ask(url: str, question: str, **more: Any) -> dict[str, Any]:
    """Ask one question."""
    status, body = post(url, json.dumps({"question": question, **more}).encode())
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The baseline, served."""
    with agent() as url:
        yield url


def test_two_releases_run_side_by_side(served: str) -> None:
    """Each says which it is, and answers in its own way."""
    with agent("--release", "short-answers") as other:
        question = "my parcel seems lost, what do you do"
        long, short = ask(served, question), ask(other, question)
        assert (long["release"], short["release"]) == ("v1-good", "short-answers")
        assert len(short["answer"]) < len(long["answer"])
        with urllib.request.urlopen(f"{other}/healthz", timeout=20) as answer:
            assert json.loads(answer.read())["release"] == "short-answers"


def test_a_talk_goes_on_under_its_own_id_alone(served: str) -> None:
    """An id that nobody was given is refused; talks know nothing of each other."""
    first = ask(served, "I live in Switzerland")
    second = ask(served, "What does a return cost?", conversation=first["conversation"])
    assert second["source"] == "returns-cost-ch"
    assert ask(served, "What does a return cost?")["source"] == "returns-cost"
    body = json.dumps({"question": "x", "conversation": "talk-1"}).encode()
    assert post(served, body)[0] == 404


def test_nobody_waits_while_a_model_thinks() -> None:
    """Questions to a slow model go side by side, and the health check is answered at once."""
    thinking, go_on = threading.Semaphore(0), threading.Event()

    def think(_: Any) -> str | None:
        thinking.release()
        go_on.wait(20)
        return "Four years."

    with (
        modelled(think) as address,
        agent("--model", address) as url,
        ThreadPoolExecutor(3) as pool,
    ):
        asked = [pool.submit(ask, url, "how long is a gift card valid") for _ in range(3)]
        assert all(thinking.acquire(timeout=20) for _ in asked)
        assert b'"status":"ok"' in urllib.request.urlopen(f"{url}/healthz", timeout=10).read()
        assert not any(one.done() for one in asked)
        go_on.set()
        assert {one.result()["answer"][:11] for one in asked} == {"Four years."}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_no_release_is_to_blame_for_can_be_had(trouble: str) -> None:
    """Each trouble fails what it is about, and nothing else."""
    about = "where is my order 41733" if trouble.startswith("orders") else "what is a gift card"
    other = "what is a gift card" if trouble.startswith("orders") else "where is my order 41733"
    with agent("--trouble", trouble) as url:
        assert ask(url, about)["outcome"] == "failed"
        assert ask(url, other)["outcome"] != "failed"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"nothing", 400),
        (b'{"question": 7}', 400),
        (b'{"question": ""}', 422),
        (b'{"question": "   "}', 422),
        (b"\xff\xfe\x00", 400),
        (b'{"question": "' + b"a" * 1_000_000 + b'"}', 413),
        (b'{"question": "' + b"a" * 3_000 + b'"}', 413),
        (b'{"question": "\\u0000\\u202e \\" OR 1=1 --"}', 200),
        ('{"question": "מה המחיר"}'.encode(), 200),
    ],
)
def test_bad_input_is_answered_or_refused(served: str, body: bytes, status: int) -> None:
    """Never a 5xx; and the agent lives."""
    assert post(served, body, content_type="application/json")[0] == status
    assert ask(served, "What does a return cost?")["outcome"] == "answered"


def test_the_form_works_and_escapes(served: str) -> None:
    """Without JavaScript, with what was asked shown as text."""
    with urllib.request.urlopen(served, timeout=20) as answer:
        assert b"<form" in answer.read()
    status, page = post(
        served,
        b"question=%3Cscript%3Ealert(1)%3C%2Fscript%3E+return+cost",
        content_type="application/x-www-form-urlencoded",
    )
    assert status == 200
    assert b"<script>" not in page
    assert b"&lt;script&gt;" in page


def test_a_stream_ends_with_the_whole_answer(served: str) -> None:
    """Its parts are the answer, and the time to the first one is counted."""
    _, body = post(served, b'{"question": "how long is a gift card valid", "stream": true}')
    assert body.count(b"event: part") >= 2
    assert b"event: answer" in body
    with urllib.request.urlopen(f"{served}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    assert re.search(r"time_to_first_chunk_seconds_count\{.*\} [1-9]", text)
    assert "gen_ai_client_operation_duration_seconds_bucket" in text
    assert 'support_agent_release{digest="' in text


def test_load_is_bounded_and_told(served: str) -> None:
    """So many talks and no more, with what became of them."""
    done = midwatch("agent", "load", "--url", served, "--rate", "100", "--seconds", "1", "--json")
    told = json.loads(done.stdout)
    assert told["asked"] == 100
    assert sum(told["outcomes"].values()) == 100
    assert set(told["outcomes"]) <= {"answered", "handed over"}
    nobody = midwatch("agent", "load", "--url", "http://127.0.0.1:9", "--seconds", "0.1")
    assert nobody.returncode == 2
    assert "no agent answers" in nobody.stderr


@pytest.mark.parametrize("share", ["0", "0.5", "1"])
def test_a_share_of_the_answers_is_judged(share: str) -> None:
    """Which ones is seen by their ids, so any number of processes judge the same; 0 is none."""
    questions = [one.turns[0] for one in part("online") if len(one.turns) == 1][:60]
    with agent("--judge", share) as url:
        names = [ask(url, question)["id"] for question in questions]
        with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
            text = answer.read().decode()
    counted = re.findall(r"^support_agent_judged_total\{.*\} (\S+)$", text, re.M)
    expected = [name for name in names if int(name[-4:], 16) < float(share) * 0x10000]
    assert sum(map(float, counted)) == len(expected)
    assert len(expected) in {"0": range(1), "0.5": range(1, 60), "1": [60]}[share]


@pytest.mark.slow
def test_a_bad_release_burns_the_objective_and_a_harmless_one_does_not(tmp_path: Path) -> None:
    """Judged answers reach midwatch as evaluation events, and the page names answers."""
    serving = Serving(tmp_path)
    folder = tmp_path / "midwatch"
    main = folder / "midwatch.yaml"
    text = main.read_text("utf-8").replace("  app: {type: pushed}", "  judge: {type: pushed}")
    tiers = "slo_defaults: {tiers: {Fast: long=1h short=5m budget=0.28% severity=sev1}}\n"
    main.write_text(text + tiers, "utf-8")
    (folder / "slos" / "answers.yaml").write_text(SLO, "utf-8")
    topology = "services: [{name: support-agent, tier: 1}]\nedges: []\n"
    (folder / "topology.yaml").write_text(topology, "utf-8")
    token = serving.token("--source", "judge")
    serving.start()
    try:
        push = ["--push", f"{serving.url}/intake/judge"]
        with agent("--release", "friendly", *push, MIDWATCH_PUSH_TOKEN=token) as url:
            load(url)
        assert judged(serving) > 200
        assert serving.incidents() == []
        with agent("--release", "small-chunks", *push, MIDWATCH_PUSH_TOKEN=token) as url:
            load(url)
        until(serving.incidents, 40)
        (found,) = serving.incidents()
        assert (found["slo"], found["severity"]) == ("support-agent/answers", "sev1")
        shown = serving.ask("GET", f"/api/v1/incidents/{found['id']}", token=serving.person)
        assert shown.document["failures"][0]["id"].startswith("resp-")
    finally:
        serving.stop()


SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: support-agent
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {metricSourceRef: judge, spec: {evaluation: answer-quality}}}
        total: {metricSource: {metricSourceRef: judge, spec: {evaluation: answer-quality}}}
  objectives: [{target: 0.95}]
"""


def load(url: str) -> None:
    """Ask for some seconds, and let what was judged be told."""
    done = midwatch("agent", "load", "--url", url, "--rate", "100", "--seconds", "4", "--json")
    assert done.returncode == 0, done.stderr


def judged(serving: Serving) -> int:
    """How many judged answers midwatch knows."""
    until(lambda: _total(serving) > 200, 30)
    return _total(serving)


def _total(serving: Serving) -> int:
    done = serving.type(
        "slo", "status", "--json", "--server", serving.url, "--token", serving.person
    )
    numbers = re.findall(r'"total": (\d+)', done.stdout)
    return max(map(int, numbers), default=0)


def test_a_model_behind_it_phrases_and_its_silence_is_told() -> None:
    """Any server of OpenAI's API; without an answer the question is handed over."""
    asked: list[dict[str, Any]] = []

    def once(question: Any) -> str | None:
        asked.append(question)
        return "Four years, from the model." if len(asked) == 1 else None

    with modelled(once) as address, agent("--model", address, "--model-name", "small") as url:
        said = ask(url, "how long is a gift card valid")
        assert said["answer"].startswith("Four years, from the model.")
        assert asked[0]["model"] == "small"
        assert "4 years" in asked[0]["messages"][0]["content"]
        assert ask(url, "how long is a gift card valid")["outcome"] == "failed"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("ask", "x", "--release", "v99"), "no release 'v99'"),
        (("serve", "--port", "0", "--index", "nowhere.db"), "build-index"),
        (("serve", "--port", "0", "--push", "http://127.0.0.1:1/x"), "MIDWATCH_PUSH_TOKEN"),
    ],
)
def test_errors_say_what_to_do(args: tuple[str, ...], says: str) -> None:
    """One line, exit 2."""
    done = midwatch("agent", *args, MIDWATCH_PUSH_TOKEN="")
    assert done.returncode == 2
    assert says in done.stderr


def test_an_index_that_was_built_is_served(tmp_path: Path) -> None:
    """Its digest is told, and the server starts from the file."""
    file = tmp_path / "index.db"
    built = json.loads(midwatch("agent", "build-index", "--out", str(file), "--json").stdout)
    assert built["chunks"] > 80
    with agent("--index", str(file)) as url:
        assert ask(url, "What does a return cost?")["source"] == "returns-cost"


def test_questions_are_printed_with_their_facts() -> None:
    """One JSON object a line; the two parts differ."""
    suite, online = (
        [
            json.loads(line)
            for line in midwatch("agent", "questions", "--part", name).stdout.splitlines()
        ]
        for name in ("suite", "online")
    )
    assert len(suite) + len(online) >= 400
    assert not {tuple(q["turns"]) for q in suite} & {tuple(q["turns"]) for q in online}


def test_the_suite_of_the_drill_is_the_banks() -> None:
    """What stands in the scenario's config was written from the bank, and still is the same."""
    written = (SCENARIOS / "tideline-agent" / "suites" / "support-agent.jsonl").read_bytes()
    cases = [json.loads(line) for line in written.splitlines()]
    wanted = [case_of(question) for question in part("suite")]
    assert [(c["id"], c["question"], c["expect"]) for c in cases] == [
        (c.id, c.question, c.expect) for c in wanted
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agent-no-titles", "agent-friendly", "agent-part-missing"])
def test_a_drill_of_the_agent_regresses_for_real_reasons(name: str, tmp_path: Path) -> None:
    """Through the agent's own code: rolled back and closed, harmless, or not cured."""
    done = midwatch("drill", "run", name, "--db", str(tmp_path / "drill.db"))
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("the whole shift behaved correctly")
    assert untrue(tmp_path / "drill.db", SCENARIOS / "shop") == []


def test_remedies_need_their_token() -> None:
    """They are set right with it, and are not even there when nobody asked for them."""
    with agent("--release", "stale-cache", "--remedies", AGENT_TOKEN="planted") as url:
        for token, status in (("", 401), ("wrong", 401), ("planted", 200)):
            assert remedy(url, "", token=token)[0] == status
            assert remedy(url, "/cache.purge", b"{}", token)[0] == status
        assert json.loads(remedy(url, "", token="planted")[1])["cached"] == 0
        for name, body in (
            ("no.such", b"{}"),
            ("traffic.failover", b'{"to": "third"}'),
            ("config.set", b"[]"),
            ("load.shed", b"{"),
        ):
            status, said = remedy(url, f"/{name}", body, "planted")
            assert status == 400
            assert json.loads(said)["error"]
    with agent() as url:
        assert remedy(url, "", token="planted")[0] == 404
    done = midwatch("agent", "serve", "--remedies", AGENT_TOKEN="")
    assert (
        done.returncode,
        "$AGENT_TOKEN: the environment variable is not set" in done.stderr,
    ) == (2, True)


def remedy(url: str, path: str, body: bytes | None = None, token: str = "") -> tuple[int, bytes]:
    """Look at the agent's surroundings, or set something right."""
    request = urllib.request.Request(f"{url}/remedies{path}", body)
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
