"""`midwatch cases`: what an incident leaves behind, from its proof to its end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, midwatch

BOT = """
def fixed(question):
    return "30 days" if "refund" in question else "?"
def unfixed(question):
    return "7 days"
COUNT = [3]  # each side is a process of its own: an early answer flakes on both
def often(question):
    COUNT[0] += 1
    return "30 days" if COUNT[0] % 5 else "eh"
GOOD = [0]
def mostly(question):
    GOOD[0] += 1
    return "eh" if GOOD[0] in (2, 9) else "30 days"
def seldom(question):
    COUNT[0] += 1
    return "eh" if COUNT[0] % 5 else "30 days"
"""
MORE = """
suite: more
cases:
  - id: long
    question: "Hi there. I am Ada. What of my refund? Thanks a lot!"
    turns: ["Hello.", "I bought shoes. They are red."]
    checks: [{contains: 30 days}]
  - {id: again, question: refund window please, expect: 30 days}
  - {id: fresh, question: refund, checks: [{icontains: 30 DAYS}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The journal of a shift whose incident left its case, and a bot."""
    assert midwatch("init", cwd=tmp_path).returncode == 0
    assert midwatch("drill", "--db", "s.db", cwd=tmp_path).returncode == 0
    (tmp_path / "bot.py").write_text(BOT, "utf-8")
    (tmp_path / "more.yaml").write_text(MORE, "utf-8")
    return tmp_path


def run(folder: Path, *args: str) -> tuple[int, str, str]:
    """Type a command on the journal."""
    done = midwatch("cases", *args, "--db", "s.db", cwd=folder)
    return done.returncode, done.stdout, done.stderr


def test_an_incident_leaves_a_case_with_both_sides_evidence(folder: Path) -> None:
    """And its whole way is told: incident, releases, fix."""
    assert run(folder, "list")[1].split()[:5] == [
        "inc-1-refund-window",
        "INC-1",
        "v2-regressed",
        "/",
        "v1-stable",
    ]
    found = json.loads(run(folder, "show", "inc-1-refund-window", "--json")[1])
    assert len(found["case"]["bad_digest"]) == len(found["case"]["good_digest"]) == 32
    assert [one["status"] for one in found["evidence"]] == ["failed"] * 3 + ["passed"] * 3
    told = run(folder, "blame", "inc-1-refund-window")[1]
    for says in ("rolled back v2-regressed -> v1-stable", "fix v3-fix is live", "fix: v3-fix"):
        assert says in told


def test_taking_the_fix_out_turns_the_gate_red_by_the_cases_name(folder: Path) -> None:
    """The exported case is what blocks."""
    assert run(folder, "export", "--out", "kept.yaml")[0] == 0
    for candidate, code in (("fixed", 0), ("unfixed", 1)):
        done = midwatch(
            "gate",
            "--suite",
            "kept.yaml",
            "--candidate",
            f"python:bot:{candidate}",
            "--baseline",
            "python:bot:fixed",
            cwd=folder,
        )
        assert done.returncode == code, done.stdout + done.stderr
    assert "case inc-1-refund-window of an incident fails 3 of 3" in done.stdout


def test_an_exported_case_leads_back_to_its_incident(folder: Path) -> None:
    """Where midwatch.yaml says where people reach it, the gate's reports say it, too."""
    assert "links" not in run(folder, "export")[1]
    config = folder / "midwatch" / "midwatch.yaml"
    config.write_text(config.read_text("utf-8") + "\npublic_url: https://oncall.example.org/\n")
    assert run(folder, "export", "--out", "kept.yaml")[0] == 0
    done = midwatch(
        "gate",
        "--suite",
        "kept.yaml",
        "--candidate",
        "python:bot:unfixed",
        "--baseline",
        "python:bot:fixed",
        "--junit",
        "junit.xml",
        cwd=folder,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = r'<property name="incident" value="https://oncall.example.org/incidents/INC-1-\w{8}"/>'
    assert re.search(said, (folder / "junit.xml").read_text("utf-8"))


def test_a_case_is_admitted_on_both_sides_and_made_smaller(folder: Path) -> None:
    """The original is kept; what proves nothing is refused with its reason."""
    code, out, err = run(
        folder,
        "admit",
        "more.yaml",
        "long",
        "--incident",
        "INC-1",
        "--bad",
        "python:bot:unfixed",
        "--good",
        "python:bot:fixed",
        "--minimise",
        "--bad-digest",
        "b1",
        "--good-digest",
        "g1",
    )
    assert code == 0, err
    assert "long: kept, fails on bad, passes on good" in out
    assert "question  What of my refund?" in out
    told = run(folder, "show", "long")[1]
    assert "was     Hello. / I bought shoes. They are red. / Hi there. I am Ada." in told
    assert "bad     python:bot:unfixed b1: 3 failed" in told
    for side, says in (("fixed", "also passes on bad"), ("unfixed", "also fails on good")):
        args = (
            "admit",
            "more.yaml",
            "fresh",
            "--incident",
            "INC-1",
            "--bad",
            f"python:bot:{side}",
            "--good",
            f"python:bot:{side}",
        )
        code, out, _ = run(folder, *args)
        assert (code, out.strip()) == (1, f"refused: {says}")
        code, out, _ = run(folder, *args, "--json")
        document = json.loads(out)
        assert (code, document["state"], document["why"]) == (1, "refused", says)
    assert midwatch("db", "verify", "s.db", cwd=folder).returncode == 0


def test_what_flakes_is_admitted_by_proof_and_kept_with_its_runs(folder: Path) -> None:
    """Sixteen runs a side, Fisher's test, and from then on so many of five have to pass."""
    code, out, err = run(
        folder,
        "admit",
        "more.yaml",
        "fresh",
        "--incident",
        "INC-1",
        "--concurrency",
        "1",
        "--bad",
        "python:bot:seldom",
        "--good",
        "python:bot:often",
        "--json",
    )
    assert code == 0, out + err
    found = json.loads(out)
    assert (found["runs"], found["least"]) == (5, 3)


def test_a_good_side_that_flakes_gets_more_runs_as_well(folder: Path) -> None:
    """The bad one fails always; two of sixteen failures of the good one are chance."""
    code, out, err = run(
        folder,
        "admit",
        "more.yaml",
        "fresh",
        "--incident",
        "INC-1",
        "--concurrency",
        "1",
        "--bad",
        "python:bot:unfixed",
        "--good",
        "python:bot:mostly",
        "--json",
    )
    assert code == 0, out + err
    assert json.loads(out)["runs"] == 5


def test_what_behaves_and_asks_alike_is_a_duplicate(folder: Path) -> None:
    """It is recorded, and guards nothing twice."""
    both = ("--bad", "python:bot:unfixed", "--good", "python:bot:fixed", "--incident", "INC-1")
    (folder / "two.yaml").write_text(
        "suite: x\ncases:\n  - {id: one, question: and what of my refund, expect: 30 days}\n"
        "  - {id: two, question: what of my refund, expect: 30 days}\n",
        "utf-8",
    )
    assert "one: kept" in run(folder, "admit", "two.yaml", "one", *both)[1]
    assert "two: duplicate (of one)" in run(folder, "admit", "two.yaml", "two", *both)[1]
    assert "two" not in run(folder, "list")[1].split()
    assert "id: two" not in run(folder, "export")[1]


def test_quarantine_and_retirement_are_recorded_and_reach_the_gate(folder: Path) -> None:
    """With an owner and an end, or a reason."""
    name = "inc-1-refund-window"
    code, out, _ = run(
        folder, "quarantine", name, "--owner", "ada", "--hours", "24", "--why", "flaky"
    )
    assert (code, out.startswith(f"{name}: quarantined ada, until ")) == (0, True)
    run(folder, "export", "--out", "kept.yaml")
    done = midwatch(
        "gate",
        "--suite",
        "kept.yaml",
        "--candidate",
        "python:bot:unfixed",
        "--baseline",
        "python:bot:fixed",
        cwd=folder,
    )
    assert f"[quarantined] {name}" in done.stdout
    assert done.returncode in (0, 2, 3)
    assert run(folder, "retire", name, "--why", "policy changed")[0] == 0
    assert run(folder, "list")[1] == "no regression cases\n"
    assert "retired policy changed" in run(folder, "list", "--all")[1]
    code, _, err = run(folder, "retire", name, "--why", "again")
    assert code == 2
    assert "is retired: policy changed" in err


def test_over_a_server_it_is_the_same(tmp_path: Path) -> None:
    """List, offer, show, quarantine and retire over the API."""
    serving = Serving(tmp_path)
    serving.start()
    try:
        serving.deliver(
            {
                "status": "firing",
                "labels": {"alertname": "Down", "service": "shop", "severity": "critical"},
                "startsAt": "2026-11-24T02:00:00Z",
            }
        )
        (tmp_path / "bot.py").write_text(BOT, "utf-8")
        (tmp_path / "more.yaml").write_text(MORE, "utf-8")
        where = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        (incident,) = serving.incidents()
        done = serving.type(
            "cases",
            "admit",
            "more.yaml",
            "fresh",
            "--incident",
            incident["id"],
            "--bad",
            "python:bot:unfixed",
            "--good",
            "python:bot:fixed",
            **where,
        )
        assert done.returncode == 0, done.stderr
        assert "fresh" in serving.type("cases", "list", **where).stdout
        assert "id: fresh" in serving.type("cases", "export", **where).stdout
        assert "3 failed" in serving.type("cases", "show", "fresh", **where).stdout
        held = ("--owner", "ada", "--hours", "1", "--why", "flaky")
        assert serving.type("cases", "quarantine", "fresh", *held, **where).returncode == 0
        assert serving.type("cases", "retire", "fresh", "--why", "x", **where).returncode == 0
        nobody = serving.type("cases", "show", "nothing", **where)
        assert nobody.returncode == 2
        assert "no case is named" in nobody.stderr
    finally:
        serving.stop()
