"""`midwatch eval`, as it is typed."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.acceptance.serving import midwatch
from tests.acceptance.test_gate import BOT, SUITES

from midwatch.core.values.evals import Case, Check, Reply
from midwatch.core.values.scorers import Nonsense
from midwatch.engine.apart import Apart


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a bot and a suite of each format."""
    (tmp_path / "bot.py").write_text(BOT, "utf-8")
    for name, text in SUITES.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def run(folder: Path, *args: str) -> tuple[int, str, str]:
    """Type a command; gives code, output and errors."""
    done = midwatch("eval", *args, cwd=folder)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("good", 0, "2 of 2 cases passed on python:bot:good"),
        ("bad", 1, "[failed] refund: expected to equal '30 days'"),
        ("half", 3, "[error] ship: RuntimeError: down"),
        ("broken", 2, "0 of 2 cases passed on python:bot:broken, 2 errors"),
    ],
)
def test_a_run_says_what_passed(folder: Path, target: str, code: int, says: str) -> None:
    """And what was expected and came."""
    found = run(folder, "run", "own.yaml", "--target", f"python:bot:{target}", "--retries", "0")
    assert found[0] == code
    assert says in found[1]


HOSTILE = """
suite: hostile
cases:
  - {id: slow, question: is it, checks: [{regex: "^.(a+)+$"}]}
  - id: schema
    question: is it
    checks: [{json-schema: {type: string, pattern: "^(a+)+$"}}]
  - {id: fine, question: is it, checks: [{regex: "!.$"}]}
"""


def test_a_pattern_that_never_ends_is_an_error_and_keeps_nobody(tmp_path: Path) -> None:
    """It is ended, its case is an error, and the next pattern is tried as before."""
    (tmp_path / "suite.yaml").write_text(HOSTILE)
    (tmp_path / "bot.py").write_text(f"def answer(question):\n    return '\"{'a' * 40}!\"'\n")
    code, out, err = run(
        tmp_path, "run", "suite.yaml", "--target", "python:bot:answer", "--results", "r.jsonl"
    )
    assert (code, err) == (3, ""), out
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    outcomes = [json.loads(line)["outcome"] for line in lines]
    found = {one["case"]: one for one in outcomes if one["case"]}
    assert {name: one["status"] for name, one in found.items()} == {
        "slow": "error",
        "schema": "error",
        "fine": "passed",
    }
    assert "the pattern ran longer than 2 s" in found["slow"]["why"]
    assert "the pattern ran longer than 2 s" in found["schema"]["why"]


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        ('[{regex: "(("}]', "checks[0].regex: not a valid regular expression: missing )"),
        ("[{number: abc}]", "checks[0].number: needs a number, got 'abc'"),
        ("[{latency: fast}]", "checks[0].latency: "),
        ("[{token-f1: yes it is, threshold: 3}]", "checks[0].token-f1: got the threshold 3"),
        ("[{refuses: false}]", "checks[0].refuses: got false; write true, and negate: true"),
        ('[{icontains: ""}]', "checks[0].icontains: the text is empty: every answer contains it"),
        ("[]", "checks: the list is empty; write what a correct answer is"),
    ],
)
def test_a_check_that_no_answer_could_be_judged_by_is_told_at_once(
    tmp_path: Path, checks: str, says: str
) -> None:
    """With its line, and before any answer is asked for."""
    suite = f"suite: x\ncases:\n  - {{id: a, question: q, checks: {checks}}}\n"
    (tmp_path / "suite.yaml").write_text(suite, "utf-8")
    code, _, err = run(tmp_path, "run", "suite.yaml", "--target", "cmd:touch asked")
    assert code == 2
    assert err.startswith("error: suite.yaml:3 cases[0].")
    assert says in err
    assert not (tmp_path / "asked").exists()


def test_json_that_has_to_be_false_is_a_check_like_another(tmp_path: Path) -> None:
    """False is a value there, and no switch."""
    suite = "suite: x\ncases:\n  - {id: a, question: q, checks: [{json-equals: false}]}\n"
    (tmp_path / "suite.yaml").write_text(suite, "utf-8")
    (tmp_path / "bot.py").write_text("def answer(question):\n    return 'false'\n", "utf-8")
    code, out, err = run(tmp_path, "run", "suite.yaml", "--target", "python:bot:answer")
    assert code == 0, (out, err)


def test_what_lies_in_the_folder_is_no_module_of_ours(tmp_path: Path) -> None:
    """The process that tries patterns reads its own modules, whatever somebody's are called."""
    suite = "suite: x\ncases:\n  - {id: a, question: q, checks: [{regex: y}]}\n"
    (tmp_path / "suite.yaml").write_text(suite, "utf-8")
    (tmp_path / "bot.sh").write_text("#!/bin/sh\necho yes\n")
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('not this one')\n")
    code, out, _ = run(tmp_path, "run", "suite.yaml", "--target", "cmd:sh bot.sh")
    assert code == 0, out


def test_a_process_that_ends_otherwise_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what took too long is blamed on the pattern."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(Nonsense, match="exited with code 1"), closing(Apart()) as apart:
        apart(Check("regex", "y"), Case("a", "q"), Reply("yes"))


def test_two_runs_are_compared(folder: Path) -> None:
    """Case by case, with the chance that it means nothing."""
    for name in ("good", "bad"):
        target = f"python:bot:{name}"
        run(
            folder,
            "run",
            "own.yaml",
            "--target",
            target,
            "--results",
            f"{name}.jsonl",
            "--epochs",
            "2",
        )
    code, out, _ = run(folder, "diff", "good.jsonl", "bad.jsonl")
    assert (code, out.splitlines()) == (
        1,
        ["worse   refund: 100% -> 0%", "1 worse, 0 better of 2 (chance 1)"],
    )
    assert run(folder, "diff", "bad.jsonl", "good.jsonl")[0] == 0
    code, out, _ = run(
        folder,
        "run",
        "own.yaml",
        "--target",
        "python:bot:good",
        "--results",
        "good.jsonl",
        "--epochs",
        "2",
        "--json",
    )
    assert json.loads(out)["passed"] == 2


@pytest.mark.parametrize("name", SUITES)
def test_each_format_is_listed_shown_and_imported(folder: Path, name: str) -> None:
    """And what was imported is the same suite."""
    code, out, _ = run(folder, "list", name)
    assert (code, out.splitlines()[-1]) == (0, "2 cases")
    first = out.split()[0]
    assert "30 days" in run(folder, "show", name, first)[1]
    assert run(folder, "import", name, "--out", "imported.yaml")[0] == 0
    assert run(folder, "run", "imported.yaml", "--target", "python:bot:good")[0] == 0
    assert "already exists" in run(folder, "import", name, "--out", "imported.yaml")[2]


def test_what_is_not_understood_is_never_left_out(folder: Path) -> None:
    """It is listed, it is no pass, and it is not converted away."""
    text = SUITES["promptfooconfig.yaml"].replace("type: icontains", "type: javascript")
    (folder / "odd.yaml").write_text(text, "utf-8")
    assert "NOT SUPPORTED: assertion javascript" in run(folder, "list", "odd.yaml")[1]
    code, out, _ = run(folder, "run", "odd.yaml", "--target", "python:bot:good")
    assert code == 3
    assert "1 unsupported" in out
    code, _, err = run(folder, "import", "odd.yaml")
    assert code == 2
    assert "not supported: assertion javascript" in err


def test_exports_are_read_again_or_refused(folder: Path) -> None:
    """A check that another format has no word for names its case."""
    for to in ("promptfoo", "pydantic", "midwatch"):
        code, out, err = run(folder, "export", "own.yaml", "--to", to)
        assert code == 0, err
        (folder / f"{to}.yaml").write_text(out, "utf-8")
        assert run(folder, "run", f"{to}.yaml", "--target", "python:bot:good")[0] == 0
    for to, says in (
        (
            "inspect",
            "refund: this format cannot express the check equals; remove it, or export to midwatch",
        ),
        (
            "openai",
            "refund: this format cannot express the check equals; remove it, or export to midwatch",
        ),
    ):
        code, out, err = run(folder, "export", "own.yaml", "--to", to)
        assert (code, out) == (2, "")
        assert says in err


def test_an_exported_incident_blocks_as_before(folder: Path) -> None:
    """With its slices and runs; what no format can say of a suite is not left out."""
    one = (
        "suite: bot\ncases:\n  - {id: refund, question: refund, incident: INC-7, slices: [a],"
        " runs: 5, least: 4,\n     checks: [{KIND: 30 days}]}\n"
    )
    for to, kind in (
        ("promptfoo", "equals"),
        ("openai", "contains"),
        ("inspect", "icontains"),
        ("pydantic", "contains"),
    ):
        (folder / "one.yaml").write_text(one.replace("KIND", kind), "utf-8")
        name = f"{to}.jsonl" if to in ("openai", "inspect") else f"{to}.yaml"
        assert run(folder, "export", "one.yaml", "--to", to, "--out", name)[0] == 0
        before, after = (
            json.loads(run(folder, "list", file, "--json")[1]) for file in ("one.yaml", name)
        )
        assert [{**one, "variables": {}} for one in after] == before
        judged = midwatch(
            "gate",
            "--suite",
            name,
            "--candidate",
            "python:bot:bad",
            "--baseline",
            "python:bot:good",
            cwd=folder,
        )
        assert judged.returncode == 1
        assert "case refund of an incident fails 5 of 5" in judged.stdout
    (folder / "one.yaml").write_text(one.replace("KIND", "equals") + "unproven: [INC-8]\n", "utf-8")
    code, out, err = run(folder, "export", "one.yaml", "--to", "promptfoo")
    assert (code, out) == (2, "")
    assert "one.yaml: unproven is a field of the suite, not of its cases" in err


def test_mistakes_are_one_line(folder: Path) -> None:
    """Exit 2."""
    for args, says in (
        (("show", "own.yaml", "nothing"), "no case is named 'nothing'"),
        (("list", "bot.py"), "bot.py"),
        (("diff", "own.yaml", "own.yaml"), "own.yaml:1: not a valid result"),
        (("run", "own.yaml", "--target", "bot"), "is not a target"),
    ):
        code, _, err = run(folder, *args)
        assert code == 2
        assert says in err
        assert len(err.strip().splitlines()) == 1
