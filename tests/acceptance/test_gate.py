"""`midwatch gate`, as a pipeline types it."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.acceptance.serving import MIDWATCH, until
from tests.acceptance.test_agent import agent
from tests.proxying import PIN_TOKEN, TOKEN, proxy

from midwatch.agent.questions import bank
from midwatch.cli import gate as gate_command
from midwatch.cli.targets import judge_named
from midwatch.errors import BadFile

BOT = """
import itertools, os, time
FACTS = {"refund": "30 days", "ship": "3 days", "pay": "card"}
COUNT = itertools.count()
def good(question):
    return FACTS.get(question, "?")
def bad(question):
    return "7 days" if question == "refund" else good(question)
def noisy(question):
    return good(question) if next(COUNT) % 3 else "eh"
def broken(question):
    raise RuntimeError("down")
def half(question):
    if question == "ship":
        raise RuntimeError("down")
    return good(question)
def slow(question):
    time.sleep(0.2)
    return good(question)
def hanging(question):
    time.sleep(60)
def talk(question, turns):
    return {"text": " ".join([*turns, question]), "cost": 0.01, "tools": ["search"]}
"""
OWN = """
suite: bot
cases:
  - {id: refund, question: refund, expect: 30 days}
  - {id: ship, question: ship, checks: [{contains: 3 days}]}
"""
SUITES = {
    "own.yaml": OWN,
    "promptfooconfig.yaml": (
        "prompts: ['{{q}}']\ntests:\n"
        "  - {vars: {q: refund}, assert: [{type: equals, value: 30 days}]}\n"
        "  - {vars: {q: ship}, assert: [{type: icontains, value: 3 DAYS}]}\n"
    ),
    "samples.jsonl": (
        '{"input": [{"role": "user", "content": "refund"}], "ideal": "30 days"}\n'
        '{"input": "ship", "ideal": ["3 days", "4 days"]}\n'
    ),
    "samples.json": (
        '[{"input": "refund", "target": "30 days"}, {"input": "ship", "target": "3 days"}]'
    ),
    "dataset.yaml": (
        "name: bot\ncases:\n"
        "  - {inputs: refund, expected_output: 30 days, evaluators: [EqualsExpected]}\n"
        "  - {inputs: ship, evaluators: [{Contains: 3 days}]}\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bot and a suite of each format."""
    (tmp_path / "bot.py").write_text(BOT, "utf-8")
    for name, text in SUITES.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def gate(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Type it."""
    return subprocess.run(
        [MIDWATCH, "gate", *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **env},
        timeout=120,
    )


def judged(
    folder: Path, candidate: str, *args: str, suite: str = "own.yaml", **env: str
) -> subprocess.CompletedProcess[str]:
    """Judge a candidate beside the good bot."""
    both = ("--candidate", f"python:bot:{candidate}", "--baseline", "python:bot:good")
    return gate(folder, "--suite", suite, *both, "--retries", "0", *args, **env)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(
    ("candidate", "word", "code"),
    [
        ("good", "pass", 0),
        ("bad", "regression", 1),
        ("broken", "error", 2),
        ("half", "inconclusive", 3),
    ],
)
def test_each_format_gives_the_right_verdict(
    folder: Path, suite: str, candidate: str, word: str, code: int
) -> None:
    """On a good, a bad, a broken and a half broken candidate; line and code agree."""
    done = judged(folder, candidate, suite=suite)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"GATE: {word} (exit {code})"
    if candidate == "bad":
        assert "fails 3 of 3, the baseline 0 of 3, each time" in done.stdout
        assert "got '7 days'" in done.stdout


@pytest.mark.parametrize("suite", SUITES)
def test_a_noisy_candidate_is_never_green(folder: Path, suite: str) -> None:
    """Red or inconclusive, and it says how sure it is."""
    done = judged(folder, "noisy", suite=suite)
    assert done.returncode in (1, 3)
    assert done.stdout.splitlines()[-1].startswith("GATE: ")


def test_an_incidents_case_blocks_by_its_name(folder: Path) -> None:
    """Taking the fix out of the candidate turns the gate red because of that case."""
    text = OWN + "  - {id: inc-7-refund, question: refund, expect: 30 days, incident: INC-7}\n"
    (folder / "own.yaml").write_text(text, "utf-8")
    assert judged(folder, "good").returncode == 0
    done = judged(folder, "bad")
    assert done.returncode == 1
    assert "case inc-7-refund of an incident fails 3 of 3" in done.stdout


def test_reports_lead_to_the_incident(folder: Path) -> None:
    """By the address that the suite has for it, or by its name; an address that is none is told."""
    more = "  - {id: one, question: refund, expect: 30 days, incident: INC-7}\n"
    more += "  - {id: two, question: refund, expect: 30 days, incident: INC-8}\n"
    at = "https://oncall.example.org/#INC-7"
    (folder / "own.yaml").write_text(f"{OWN}{more}links: {{INC-7: '{at}'}}\n", "utf-8")
    done = judged(folder, "bad", "--junit", "junit.xml", "--markdown", "gate.md", "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    lines = {one["case"]: one for one in json.loads(done.stdout)["lines"]}
    assert (lines["one"]["link"], lines["two"]["link"]) == (at, "")
    found: dict[str, list[str]] = {}
    for case in ET.parse(folder / "junit.xml").getroot():
        named = [one.get("value", "") for one in case.iter("property")]
        found[case.get("name", "")] = [*named, "".join(case.itertext())]
    assert (found["one"][0], found["two"][0]) == (at, "INC-8")
    assert f"incident: INC-7 {at}" in found["one"][1]
    markdown = (folder / "gate.md").read_text("utf-8")
    assert f"`one` of [INC-7]({at})" in markdown
    assert "`two` of INC-8" in markdown
    assert f"of INC-7 {at}\n" in judged(folder, "bad").stdout
    (folder / "own.yaml").write_text(f"{OWN}{more}links: {{INC-7: 'javascript:x'}}\n", "utf-8")
    done = judged(folder, "good")
    assert done.returncode == 2
    assert "links.INC-7: not an http or https URL" in done.stderr


def test_inconclusive_may_only_warn(folder: Path) -> None:
    """Exit 0, and the last line says inconclusive all the same."""
    done = judged(folder, "half", "--inconclusive", "warn")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "GATE: inconclusive (exit 0)"


FOUR = "suite: bot\ncases:\n" + "".join(
    f"  - {{id: {name}, question: {name}, expect: right}}\n" for name in "abcd"
)
FOUR_BOT = """
def good(question):
    return "right"
def good_but_d(question):
    if question == "d":
        raise RuntimeError("down")
    return "right"
def a_fails_b_raises(question):
    if question == "b":
        raise RuntimeError("down")
    return "wrong" if question == "a" else "right"
"""


def states(folder: Path) -> dict[str, str]:
    """Say what became of each case in the JUnit file: the tag inside, or passed."""
    tree = ET.parse(folder / "junit.xml").getroot()
    found = {
        case.get("name", ""): next((one.tag for one in case if one.tag != "properties"), "passed")
        for case in tree
    }
    for tag, count in (("failure", "failures"), ("error", "errors")):
        assert list(found.values()).count(tag) == int(tree.get(count, ""))
    return found


def test_a_failure_is_red_though_another_case_could_not_be_run(folder: Path) -> None:
    """A warning for what is inconclusive ships no regression; each report tells them apart."""
    (folder / "bot.py").write_text(FOUR_BOT, "utf-8")
    (folder / "own.yaml").write_text(FOUR, "utf-8")
    done = judged(folder, "a_fails_b_raises", "--inconclusive", "warn", "--junit", "junit.xml")
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1] == "GATE: regression (exit 1)"
    assert "[failed] a: passed 0 of 3, baseline 3 of 3" in done.stdout
    assert "[error] b: passed 0 of 0, baseline 3 of 3" in done.stdout
    rest = {"c": "passed", "d": "passed"}
    assert states(folder) == {"gate": "failure", "a": "failure", "b": "error", **rest}


def test_what_cannot_be_judged_is_not_called_as_before(folder: Path) -> None:
    """Without a baseline a failure is one; what passed is in error, for nothing is beside it."""
    (folder / "bot.py").write_text(FOUR_BOT, "utf-8")
    (folder / "own.yaml").write_text(FOUR, "utf-8")
    both = ("--candidate", "python:bot:a_fails_b_raises", "--baseline", "python:bot:good_but_d")
    words = ("--suite", "own.yaml", *both, "--retries", "0", "--junit", "junit.xml")
    done = gate(folder, *words, "--filter", "d", "--filter", "c")
    assert done.returncode == 3, done.stdout
    assert "[error] d: passed 3 of 3, baseline 0 of 0" in done.stdout
    assert "the baseline could not be run" in done.stdout
    assert states(folder) == {"gate": "error", "c": "passed", "d": "error"}
    both = ("--candidate", "python:bot:a_fails_b_raises", "--baseline", "python:bot:nothing")
    (folder / "bot.py").write_text(FOUR_BOT + "def nothing(question): 1 / 0\n", "utf-8")
    words = ("--suite", "own.yaml", *both, "--retries", "0", "--junit", "junit.xml")
    done = gate(folder, *words, "--filter", "a")
    assert done.returncode == 3, done.stdout
    assert "[failed] a: passed 0 of 3, baseline 0 of 0" in done.stdout
    assert states(folder) == {"gate": "error", "a": "failure"}


def test_what_fails_on_both_sides_or_turned_harmlessly_is_skipped_by_that_name(
    folder: Path,
) -> None:
    """Green, so that nothing is a failure: as on the baseline, and worse but too little for red."""
    many = "".join(f"  - {{id: n{n}, question: n, expect: right}}\n" for n in range(98))
    (folder / "own.yaml").write_text(FOUR + many, "utf-8")
    bot = (
        'def good(question):\n    return "wrong" if question == "b" else "right"\n'
        'def two(question):\n    return "wrong" if question in "ab" else "right"\n'
    )
    (folder / "bot.py").write_text(bot, "utf-8")
    done = judged(folder, "two", "--junit", "junit.xml")
    assert done.returncode == 0, done.stdout
    assert "[worse] a: passed 0 of 3, baseline 3 of 3" in done.stdout
    assert "[failing] b: passed 0 of 3, baseline 0 of 3" in done.stdout
    found = states(folder)
    assert (found["gate"], found["a"], found["b"]) == ("passed", "skipped", "skipped")


def test_reports_for_people_and_machines(folder: Path) -> None:
    """JSON, JUnit and Markdown say the same; answers cannot break out of them."""
    said = "</failure>|`*[x](y)\\n::error::pwned"
    evil = f'def evil(q): return "{said}" if q == "refund" else good(q)\n'
    (folder / "bot.py").write_text(BOT + evil, "utf-8")
    summary = folder / "summary.md"
    done = judged(
        folder,
        "evil",
        "--json",
        "--junit",
        "junit.xml",
        "--markdown",
        "gate.md",
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    found = json.loads(done.stdout)
    assert (found["verdict"], found["code"], done.returncode) == ("regression", 1, 1)
    assert found["lines"][0]["case"] == "refund"
    assert "30 days" in found["lines"][0]["why"]
    tree = ET.parse(folder / "junit.xml").getroot()
    failures = {one.get("name") for one in tree.iter("testcase") if one.find("failure") is not None}
    assert failures == {"gate", "refund"}
    markdown = (folder / "gate.md").read_text("utf-8")
    assert markdown == summary.read_text("utf-8")
    assert "&lt;/failure&gt;" in markdown
    (row,) = (line for line in markdown.splitlines() if line.startswith("| `refund`"))
    assert len(row.replace("\\|", "").split("|")) == 8
    assert done.stderr.count("::error") == done.stderr.count("\n::error") + 1
    assert not any(line.startswith("::error::pwned") for line in done.stderr.splitlines())


def test_a_case_that_an_incident_keeps_stands_beside_the_one_it_came_from(folder: Path) -> None:
    """The incident's is asked, under one name; one that wants something else is refused."""
    kept = """suite: kept
cases:
  - {id: refund, question: How long?, incident: INC-1, runs: 3, least: 2, expect: %s}
"""
    suite = "suite: s\ncases:\n  - {id: refund, question: How long?, expect: 14 days}\n"
    (folder / "suite.yaml").write_text(suite, "utf-8")
    for expect, says in (("14 days", ""), ("30 days", "'refund' is in two suites")):
        (folder / "kept.yaml").write_text(kept % expect, "utf-8")
        for files in (("suite.yaml", "kept.yaml"), ("kept.yaml", "suite.yaml")):
            paths = [folder / one for one in files]
            if says:
                with pytest.raises(BadFile, match=says):
                    gate_command._read(paths, None, (), "")
            else:
                (case,) = gate_command._read(paths, None, (), "")
                assert (case.incident, case.runs, case.least) == ("INC-1", 3, 2)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--suite", "own.yaml"), "--candidate: this option is required"),
        (
            ("--candidate", "python:bot:good", "--baseline", "python:bot:good"),
            "--suite: this option is required",
        ),
        (("--suite", "no.yaml"), "no.yaml: cannot be read"),
        (("--suite", "own.yaml", "--filter", "nothing"), "matches none of 2 cases"),
        (("--suite", "own.yaml", "--candidate", "bot"), "is not a target"),
        (("--suite", "own.yaml", "--candidate", "python:bot:nobody"), "cannot be loaded"),
        (("--suite", "own.yaml", "--candidate", "cmd:"), "the program is missing"),
        (("--suite", "own.yaml", "--candidate", "http://[::1]", "--request", "{}"), "{question}"),
        (("--suite", "own.yaml", "--suite", "own.yaml"), "is in two suites"),
        (("--shift", "own.yaml"), "not a valid report"),
    ],
)
def test_mistakes_end_with_two_and_one_line(folder: Path, args: tuple[str, ...], says: str) -> None:
    """Nothing passes on a mistake."""
    usual = {"--candidate": "python:bot:good", "--baseline": "python:bot:good"}
    more = [w for k, v in usual.items() if k not in args for w in (k, v)]
    if says.endswith("is required") or args[0] == "--shift":
        more = []
    done = gate(folder, *args, *more)
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_killed_run_goes_on_where_it_was(folder: Path) -> None:
    """What stands in the file of results is not asked for again, a torn last line is."""
    both = ("--candidate", "python:bot:slow", "--baseline", "python:bot:slow")
    command = [
        MIDWATCH,
        "gate",
        "--suite",
        "own.yaml",
        *both,
        "--results",
        "r.jsonl",
        "--concurrency",
        "1",
    ]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    results = folder / "r.jsonl"
    until(lambda: results.exists() and results.read_bytes().count(b"\n") >= 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = results.read_bytes()
    results.write_bytes(before + b'{"key": "torn')
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert results.read_bytes().startswith(before)
    assert len({one["key"] for one in lines}) == len(lines) == 13
    # It came to its end: the same target may be another program by now, so it is asked anew.
    again = json.loads(
        subprocess.run([*command, "--json"], cwd=folder, capture_output=True, check=False).stdout
    )
    assert again["verdict"] == "pass"
    assert results.read_bytes().count(b"\n") == 26
    digests = ("--candidate-digest", "c1", "--baseline-digest", "b1")
    for _ in range(2):
        subprocess.run([*command, *digests], cwd=folder, capture_output=True, check=True)
    assert results.read_bytes().count(b"\n") == 26 + 13 + 1


def test_history_screens_is_kept_and_expires(folder: Path) -> None:
    """What the baseline did is added; a line that is none is told with its number."""
    judged(folder, "good", "--history", "h.jsonl")
    history = folder / "h.jsonl"
    first = [json.loads(line) for line in history.read_text().splitlines()]
    assert [(one["passed"], one["failed"]) for one in first] == [(3, 0), (3, 0)]
    for _ in range(3):
        judged(folder, "good", "--history", "h.jsonl")
    found = json.loads(judged(folder, "good", "--history", "h.jsonl", "--json").stdout)
    assert found["calls"] < 12 * 2
    history.write_text("{}\n" + history.read_text())
    done = judged(folder, "good", "--history", "h.jsonl")
    assert done.returncode == 2
    assert "h.jsonl:1" in done.stderr


def test_a_quarantined_case_is_told_and_expires(folder: Path) -> None:
    """With an owner and an end; after it the gate is red."""
    held = "- {case: refund, owner: ada, until: '2999-01-01T00:00:00Z', why: flaky}\n"
    (folder / "q.yaml").write_text(held, "utf-8")
    done = judged(folder, "bad", "--quarantine", "q.yaml")
    assert done.returncode == 0
    assert "[quarantined] refund" in done.stdout
    (folder / "q.yaml").write_text(held.replace("2999", "2020"), "utf-8")
    done = judged(folder, "good", "--quarantine", "q.yaml")
    assert done.returncode == 1
    assert "the quarantine of case refund is over" in done.stdout


FAILS = itertools.count()


class Talker(http.server.BaseHTTPRequestHandler):
    """A service behind HTTP, and a model that judges politeness."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/chat/completions":
            asked = json.loads(given["messages"][1]["content"])
            good = given["model"] != "strict" and "please" in asked["answer"]
            verdict = {"good": good, "why": "it says please"}
            text = f"Here: {json.dumps(verdict)}"
            self._say(200, {"choices": [{"message": {"content": text}}]})
        elif self.path == "/flaky" and next(FAILS) % 2 == 0:
            self._say(500, {"error": "try again"})
        else:
            self._say(200, {"out": {"say": f"{given['ask']}, please"}, "conversation": "t1"})

    def _say(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def talker() -> Iterator[str]:
    """Its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Talker)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_service_behind_http_and_a_model_that_judges(folder: Path, talker: str) -> None:
    """A template for the request, a path for the answer; 5xx is tried again, a 4xx is an error."""
    suite = (
        "suite: x\ntarget: {request: {ask: '{question}'}, answer: $.out.say}\n"
        "cases:\n  - {id: a, question: hi, checks: [{contains: 'hi, please'}]}\n"
        "  - {id: b, question: yo, checks: [{judge: is polite}]}\n"
    )
    (folder / "http.yaml").write_text(suite, "utf-8")
    words = (
        "--suite",
        "http.yaml",
        "--judge-url",
        f"{talker}/v1",
    )
    both = ("--candidate", f"{talker}/flaky", "--baseline", f"{talker}/ask")
    done = gate(folder, *words, *both)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "plain.yaml").write_text(
        "suite: x\ncases:\n  - {id: a, question: hi, expect: 'hi, please'}\n", "utf-8"
    )
    by_hand = ("--request", '{"ask": "{question}"}', "--answer", "$.out.say")
    done = gate(folder, "--suite", "plain.yaml", *by_hand, *both)
    assert done.returncode == 0, done.stdout + done.stderr
    nobody = gate(folder, *words, "--candidate", "http://127.0.0.1:9/x", "--baseline", talker)
    assert nobody.returncode == 2
    assert "GATE: error (exit 2)" in nobody.stdout


def test_what_one_model_judged_is_not_taken_for_the_word_of_another(
    folder: Path, talker: str
) -> None:
    """Results of a digest are reused for its own judge alone; other checks know no judge."""
    suite = (
        "suite: x\ntarget: {request: {ask: '{question}'}, answer: $.out.say}\n"
        "cases:\n  - {id: plain, question: hi, checks: [{contains: 'hi, please'}]}\n"
        "  - {id: judged, question: yo, checks: [{judge: is polite}]}\n"
    )
    (folder / "http.yaml").write_text(suite, "utf-8")
    judge = ("--results", "r.jsonl", "--judge-url", f"{talker}/v1", "--judge-model")
    lines: list[int] = []

    def ran(*words: str) -> int:
        command = [MIDWATCH, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        lines.append((folder / "r.jsonl").read_bytes().count(b"\n"))
        return done.returncode

    run = ("eval", "run", "http.yaml", "--target", f"{talker}/ask", "--digest", "D1", *judge)
    assert [ran(*run, model) for model in ("kind", "strict", "kind", "strict")] == [0, 1, 0, 1]
    assert lines == [3, 5, 6, 7]  # each run writes its end, too
    both = ("--candidate", f"{talker}/ask", "--baseline", f"{talker}/ask")
    digests = ("--candidate-digest", "D1", "--baseline-digest", "D1")
    (folder / "r.jsonl").unlink()
    gated = ("gate", "--suite", "http.yaml", *both, *digests, *judge)
    assert [ran(*gated, model) for model in ("kind", "kind", "strict")] == [0, 0, 0]
    assert lines[4:] == [13, 14, 21]


@pytest.mark.parametrize(
    ("url", "other", "alike"),
    [
        ("https://h.example/v1", "https://me:secret@h.example/v1/?key=secret", True),
        ("https://h.example/v1", "https://h.example/v2", False),
        ("https://h.example/v1", "https://h.example:8443/v1", False),
    ],
)
def test_a_judge_is_named_by_its_place_and_not_by_its_secret(
    url: str, other: str, alike: bool
) -> None:
    """A new key is the same judge; and no secret stands in a file of results."""
    assert (judge_named(url, "m") == judge_named(other, "m")) is alike
    assert judge_named(url, "m") != judge_named(url, "n")
    assert "secret" not in judge_named(other, "m")
    assert judge_named("", "m") == ""


def test_a_command_and_a_function_with_turns(folder: Path) -> None:
    """The question on standard input; turns before it; what else a target tells."""
    (folder / "cmd.py").write_text("print(input().upper())", "utf-8")
    suite = "suite: x\ncases:\n  - {id: a, question: hi, expect: HI}\n"
    (folder / "cmd.yaml").write_text(suite, "utf-8")
    command = f"cmd:{sys.executable} cmd.py"
    done = gate(folder, "--suite", "cmd.yaml", "--candidate", command, "--baseline", command)
    assert done.returncode == 0, done.stdout + done.stderr
    suite = (
        "suite: x\ncases:\n  - {id: a, question: two, turns: [one],"
        " checks: [{equals: one two}, {tools: [search]}, {cost: 0.02}]}\n"
    )
    (folder / "talk.yaml").write_text(suite, "utf-8")
    both = ("--candidate", "python:bot:talk", "--baseline", "python:bot:talk")
    assert gate(folder, "--suite", "talk.yaml", *both).returncode == 0


def test_what_hangs_is_given_up(folder: Path) -> None:
    """An error in time, never a verdict."""
    started = time.monotonic()
    done = judged(folder, "hanging", "--timeout", "1")
    assert done.returncode == 2
    assert "ran longer than 1 s" in done.stdout
    assert time.monotonic() - started < 60


def test_a_shift_is_scored(folder: Path) -> None:
    """A drill can gate CI as well."""
    subprocess.run(
        [MIDWATCH, "drill", "--report", "s.json"], cwd=folder, check=True, capture_output=True
    )
    done = gate(folder, "--shift", "s.json")
    assert done.returncode == 0, done.stderr
    assert "7 of 7 checks passed" in done.stdout
    subprocess.run(
        [MIDWATCH, "drill", "--break", "fix", "--report", "b.json"],
        cwd=folder,
        check=False,
        capture_output=True,
    )
    done = gate(folder, "--shift", "b.json")
    assert done.returncode == 1
    assert "fix canaried & promoted to live" in done.stdout
    assert done.stdout.splitlines()[-1] == "GATE: regression (exit 1)"


def test_releases_behind_the_proxy_are_judged_whatever_users_get(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real agents: the baseline is live, a broken one is named, and a token is needed for that."""
    bad = next(one for one in bank() if one.id == "6bcfe78d")
    cases = [
        {
            "id": one.id,
            "question": one.turns[-1],
            "turns": one.turns[:-1],
            "checks": [{"icontains-all": list(one.must)}],
        }
        for one in (bad, *[q for q in bank() if q.must and q.id != bad.id][:3])
    ]
    (folder / "agent.yaml").write_text(json.dumps({"suite": "agent", "cases": cases}), "utf-8")
    monkeypatch.setenv("MIDWATCH_PROXY_PIN_TOKEN", PIN_TOKEN)
    with agent() as good_url, agent("--release", "no-titles") as bad_url:
        ports = [int(url.rpartition(":")[2]) for url in (good_url, bad_url)]
        both = (("v1-good", ports[0]), ("no-titles", ports[1]))
        with proxy(folder, *both) as running:
            where = {"MIDWATCH_PROXY_URL": f"{running.users}/ask"}
            words = ("--suite", "agent.yaml", "--baseline", "release:v1-good", "--filter", bad.id)
            done = gate(folder, *words, "--candidate", "release:no-titles", **where)
            assert done.returncode == 1, done.stdout + done.stderr
            assert f"case {bad.id} fails" in done.stdout
            done = gate(folder, *words, "--candidate", "release:v1-good", **where)
            assert done.returncode == 0, done.stdout + done.stderr
            for guessed in ("another-token-0123456789", TOKEN):  # the one that moves does not name
                guess = {**where, "MIDWATCH_PROXY_PIN_TOKEN": guessed}
                assert (
                    gate(folder, *words, "--candidate", "release:v1-good", **guess).returncode == 2
                )
    assert "is not set" in gate(folder, *words, "--candidate", "release:v1-good").stderr


SPY = """
import os, sys
print("a word on stdout", flush=True)
SECRETS = ("GITHUB_TOKEN", "MIDWATCH_JUDGE_KEY", "MIDWATCH_PROXY_TOKEN", "AWS_SECRET_ACCESS_KEY")
def seen(question):
    print("##[error]from the bot")
    os.write(1, b"::error::from the bot\\n")
    return ",".join(name for name in (*SECRETS, "WANTED") if os.environ.get(name))
def dies(question):
    sys.stderr.write("out of memory")
    sys.stderr.flush()
    os._exit(9)
def odd(question):
    return "\\ud800"
"""
NAMES = ("GITHUB_TOKEN", "MIDWATCH_JUDGE_KEY", "MIDWATCH_PROXY_TOKEN", "AWS_SECRET_ACCESS_KEY")
PLANTED = dict.fromkeys((*NAMES, "WANTED"), "x" * 20)


def typed(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    return subprocess.run(
        [MIDWATCH, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **env},
        timeout=120,
    )


@pytest.mark.parametrize("target", ["python:spy:seen", "cmd:sh spy.sh"])
def test_code_of_a_pull_request_sees_no_secret_of_the_job(folder: Path, target: str) -> None:
    """Only what is named; what it prints is neither an answer nor a command of the runner."""
    (folder / "spy.py").write_text(SPY, "utf-8")
    names = " ".join(PLANTED)
    (folder / "spy.sh").write_text(
        f'for one in {names}; do eval v=\\$$one; [ -z "$v" ] || printf %s, $one; done\n', "utf-8"
    )
    for more, seen in (((), ""), (("--env", "WANTED"), "WANTED")):
        suite = f"suite: s\ncases: [{{id: a, question: q, expect: '{seen}'}}]\n"
        text = (
            suite
            if target.startswith("python")
            else suite.replace(seen, f"{seen}," if seen else "")
        )
        (folder / "spy.yaml").write_text(text, "utf-8")
        done = typed(
            folder, "eval", "run", "spy.yaml", "--target", target, *more, **PLANTED, CI="true"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "from the bot" not in done.stdout + done.stderr
    done = typed(folder, "eval", "run", "spy.yaml", "--target", target, "--env", "NOT_THERE")
    assert done.returncode == 2
    assert "$NOT_THERE: the environment variable is not set" in done.stderr


@pytest.mark.parametrize(
    ("function", "says"),
    [("dies", "exited with code 9"), ("odd", "cannot be written")],
)
def test_a_function_that_gives_nothing_is_an_error(folder: Path, function: str, says: str) -> None:
    """Its process ends, or its answer is not text: nobody waits, and nothing is judged."""
    (folder / "spy.py").write_text(SPY, "utf-8")
    target = f"python:spy:{function}"
    done = typed(folder, "eval", "run", "own.yaml", "--target", target, "--retries", "0")
    assert done.returncode == 2
    assert says in done.stdout, done.stdout + done.stderr


def test_nothing_from_outside_commands_the_runner(folder: Path) -> None:
    """Neither an answer nor an id, a file's name or a target's; the notes at code are meant."""
    evil = "nope ##[add-mask]regression ##vso[task.setvariable variable=X]y"
    bot = "def fine(q): return '30 days'\n"
    bot += f'def evil(q): return {evil!r} + "\\n::set-output name=a::b"\n'
    (folder / "bot.py").write_text(BOT + bot, "utf-8")
    suite = "suite: 's ##[group]x'\ncases:\n" + "".join(
        f"  - {{id: {one!r}, question: {one!r}, expect: 30 days}}\n"
        for one in ("refund ##[set-output name=passed]true", "::stop-commands::x", "##vso[a]b")
    )
    (folder / "evil.yaml").write_text(suite, "utf-8")
    both = ("--candidate", "python:bot:evil", "--baseline", "python:bot:fine")
    for args in (
        ("gate", "--suite", "evil.yaml", *both, "--retries", "0"),
        ("gate", "--suite", "evil.yaml", *both, "--retries", "0", "--json"),
        ("eval", "run", "evil.yaml", "--target", "python:bot:evil", "--json"),
        ("eval", "list", "evil.yaml"),
        ("eval", "show", "evil.yaml", "##vso[a]b"),
        ("eval", "list", "##[error]no-such-file"),
    ):
        done = typed(folder, *args, GITHUB_ACTIONS="true")
        assert not re.search(r"##[A-Za-z]*\[", done.stdout + done.stderr), (args, done.stdout)
        assert not [one for one in done.stdout.splitlines() if one.lstrip().startswith("::")]
        noted = [one for one in done.stderr.splitlines() if one.lstrip().startswith("::")]
        assert bool(noted) is (args[0] == "gate")
        assert all(one.startswith("::error title=") for one in noted)
        if "--json" in args:
            assert "##[" in json.dumps(json.loads(done.stdout))
