"""Seven kinds of trouble played to their end, and the documents that they leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, midwatch, until
from tests.acceptance.test_runbook import detail, kinds, typed
from tests.acceptance.truth import untrue

from midwatch.drill.scenarios import folder

pytestmark = pytest.mark.slow

CONFIG = str(folder() / "tideline-agent")
SHOP = str(folder() / "shop")
# What ends it, and whether a rollback would have, too.
TROUBLES = {
    "date-rule": False,
    "index-part-missing": False,
    "invented-policy": True,
    "prompt-regression": True,
    "provider-outage": False,
    "retry-storm": True,
    "stale-cache": False,
}


def test_the_seven_stand_beside_the_labs_story() -> None:
    """In the list, each with a sentence."""
    done = midwatch("drill", "list", "--json")
    listed = {one["name"]: one["says"] for one in json.loads(done.stdout)}
    assert {"shift", *TROUBLES} <= set(listed)
    assert all(listed.values())


@pytest.mark.parametrize("name", TROUBLES)
def test_each_trouble_is_closed_by_its_own_mitigation(name: str, tmp_path: Path) -> None:
    """The right runbook, proven, closed; and its postmortem may be sent out."""
    db = str(tmp_path / "drill.db")
    done = midwatch("drill", "run", name, "--db", db)
    assert done.returncode == 0, done.stdout
    where = ("INC-1", "--db", db, "--config", CONFIG)
    assert midwatch("postmortem", "check", *where).returncode == 1  # nobody wrote anything
    done = midwatch("postmortem", "check", *where, "--none", "a drill")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("INC-1: good\n")
    assert untrue(Path(db), Path(CONFIG)) == []


@pytest.mark.parametrize("name", TROUBLES)
def test_a_rollback_alone_fails_four_of_seven(name: str) -> None:
    """Where no release is to blame, or what it left behind outlives it."""
    done = midwatch("drill", "run", name, "--break", "always-rollback")
    assert done.returncode == (0 if TROUBLES[name] else 1), done.stdout
    assert ("[FAIL] 1 mitigated: 0 mitigated" in done.stdout) is not TROUBLES[name]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lab's shift, on file."""
    db = str(tmp_path_factory.mktemp("shift") / "shift.db")
    assert midwatch("drill", "--db", db).returncode == 0
    return db


def on(journal: str, *args: str) -> tuple[int, str, str]:
    """Type a command about the shift."""
    done = midwatch(*args, "--db", journal, "--config", SHOP, USER="ada")
    return done.returncode, done.stdout, done.stderr


def test_the_shifts_postmortem_is_exported_in_three_forms(journal: str, tmp_path: Path) -> None:
    """Markdown with its curve beside it, HTML with it inside, JSON that is checked again."""
    for ending in ("md", "html", "json"):
        code, out, err = on(
            journal, "postmortem", "export", "INC-1", "--out", f"{tmp_path}/one.{ending}"
        )
        assert code == 0, out + err
    marked = (tmp_path / "one.md").read_text("utf-8")
    assert "![Burn rate and response](one.svg)" in marked
    assert "20 times too fast: 3475 of 17375 events were bad, 2.15 % of the error budget." in marked
    assert "SLI recovered from 80% to 100%" in marked
    assert "Failed 3 of 3 on v2-regressed, passed 3 of 3 on v1-stable." in marked
    assert (tmp_path / "one.svg").read_text("utf-8").startswith("<svg ")
    page = (tmp_path / "one.html").read_text("utf-8")
    assert "<polyline" in page
    assert "<script" not in page
    done = midwatch("postmortem", "check", str(tmp_path / "one.json"), "--whole")
    assert (done.returncode, done.stdout) == (0, "INC-1: good\n")
    code, _, err = on(journal, "postmortem", "export", "INC-1", "--out", f"{tmp_path}/one.pdf")
    assert code == 2
    assert "use one of .md, .html, .htm, .json" in err


def test_a_document_that_was_tampered_with_is_not_good(journal: str, tmp_path: Path) -> None:
    """A sentence without its events, another version, and no JSON at all."""
    file = tmp_path / "one.json"
    assert on(journal, "postmortem", "export", "INC-1", "--out", str(file))[0] == 0
    whole = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**whole, "summary": [{"says": "all was well", "events": []}]}))
    done = midwatch("postmortem", "check", str(file), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["wrong"][0].startswith("says without an event")
    file.write_text(json.dumps({**whole, "schema": "midwatch.postmortem/9"}))
    assert "schema is 'midwatch.postmortem/9'" in midwatch("postmortem", "check", str(file)).stdout
    file.write_text("{")
    done = midwatch("postmortem", "check", str(file))
    assert done.returncode == 2
    assert "not a valid postmortem" in done.stderr


def test_a_week_is_told(journal: str) -> None:
    """What hurt, how fast, who was woken, what is left, which cases came."""
    code, out, err = on(journal, "report", "--month", "--until", "2026-03-20T00:00:00Z")
    assert code == 0, err
    assert "5 incidents, 1 page" in out
    assert "pages by person ada 1" in out
    assert "support-agent/answers: incidents spent 2.15 % of the error budget" in out
    assert "case added      inc-1-refund-window of INC-1" in out
    assert "Page for judged answers within five minutes (on-call-team, 2026-03-16 OVERDUE)" in out
    code, out, _ = on(journal, "report", "--until", "2026-03-03T00:00:00Z", "--json")
    found = json.loads(out)
    assert sum(found["pages_by_hour"]) == found["pages"] == 1
    assert found["to_mitigate"]["count"] == 1
    code, out, _ = on(journal, "report", "--until", "2026-02-03T00:00:00Z")
    assert "0 incidents, 0 pages" in out


def test_what_people_write_stays_and_is_added_to(tmp_path: Path) -> None:
    """By options, by a file; an action item without its owner or its day is refused."""
    db = str(tmp_path / "drill.db")
    assert midwatch("drill", "--db", db).returncode == 0
    item = ["--item", "Test it", "--owner", "on-call", "--due", "2026-04-01"]
    code, out, err = on(db, "postmortem", "edit", "INC-1", "--lucky", "it was Monday", *item)
    assert code == 0, err
    assert out == "INC-1: written; whole\n"
    code, out, _ = on(db, "postmortem", "show", "INC-1")
    assert "- A customer wrote who knew the policy" in out
    assert "- it was Monday" in out
    assert "| Test it | on-call | 2026-04-01 | open |" in out
    for args, says in (
        (["--item", "x", "--owner", "me"], "belong together"),
        (["--item", "x", "--owner", " ", "--due", "2026-04-01"], "has no owner"),
        (["--item", "x", "--owner", "me", "--due", "tomorrow"], "is due 'tomorrow'"),
        (["--done", "9"], "no action item 9"),
        (["--lucky", " "], "an entry is empty"),
    ):
        code, _, err = on(db, "postmortem", "edit", "INC-1", *args)
        assert code == 2
        assert says in err
    file = tmp_path / "notes.yaml"
    file.write_text(
        "went_well: [fast]\naction_items:\n"
        "  - {what: Do it, owner: ben, due: '2026-04-01', state: done}\n"
    )
    code, out, err = on(db, "postmortem", "edit", "INC-1", "--file", str(file), "--json")
    assert code == 0, err
    judgement = json.loads(out)["judgement"]
    assert judgement["went_well"] == ["fast"]
    assert "lucky" not in judgement
    file.write_text("went_wel: [typo]\n")
    code, _, err = on(db, "postmortem", "edit", "INC-1", "--file", str(file))
    assert code == 2
    assert "notes.yaml: Object contains unknown field `went_wel`" in err
    code, out, _ = on(db, "postmortem", "check", "INC-1", "--whole")
    assert code == 1
    assert "not written yet: where we were lucky" in out


# --- over a running server ----------------------------------------------------------------------


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server without an objective; its service has a suite, so that a case is owed."""
    found = Serving(tmp_path)
    suite = tmp_path / "midwatch" / "suites" / "shop.jsonl"
    suite.parent.mkdir(exist_ok=True)
    suite.write_text('{"id":"a","question":"is it","expect":"yes"}\n', "utf-8")
    found.start()
    yield found
    found.kill()


def document(serving: Serving, name: str = "INC-1") -> Any:
    """The postmortem, over the API."""
    return serving.ask("GET", f"/api/v1/incidents/{name}/postmortem", token=serving.person).document


def test_an_incident_closes_with_its_evidence_or_a_waiver(serving: Serving) -> None:
    """`close` says what is missing; a waiver has an end; the gate accepts it until then."""
    serving.deliver(alert("Down"))
    until(lambda: "PageSent" in kinds(serving))
    code, _, err = typed(serving, "incidents", "close", "INC-1")
    assert code == 2
    missing = "its resolution (it is open), a postmortem, a proven regression case"
    assert f"INC-1 cannot be closed yet, missing: {missing}" in err
    code, _, err = typed(serving, "postmortem", "draft", "INC-1")
    assert code == 2
    assert "mitigate it first" in err
    serving.deliver(alert("Down", status="resolved"))
    until(lambda: "IncidentMitigated" in kinds(serving))
    assert typed(serving, "incidents", "resolve", "INC-1", "--why", "the disk was full")[0] == 0
    code, out, _ = typed(serving, "incidents", "show", "INC-1")
    assert "missing: a proven regression case or a waiver" in out
    code, _, err = typed(
        serving,
        "incidents",
        "waive",
        "INC-1",
        "--why",
        "no answer was wrong",
        "--owner",
        "team",
        "--until",
        "2020-01-01T00:00:00Z",
    )
    assert code == 2
    assert "the end of the waiver is in the past" in err
    code, out, err = typed(
        serving,
        "incidents",
        "waive",
        "INC-1",
        "--why",
        "no answer was wrong",
        "--owner",
        "team",
        "--until",
        "2027-01-01T00:00:00Z",
    )
    assert code == 0, err
    assert "closed" in out
    one = document(serving)
    assert one["state"] == "closed"
    assert one["waiver"]["until"] == "2027-01-01T00:00:00.000Z"
    assert "ada" not in json.dumps(one)
    kept = serving.folder / "kept.yaml"
    assert typed(serving, "cases", "export", "--out", str(kept))[0] == 0
    text = kept.read_text("utf-8")
    assert "waived:" in text
    bot = serving.folder / "bot.py"
    bot.write_text("def answer(question):\n    return 'yes'\n")
    suite = serving.folder / "suite.jsonl"
    suite.write_text('{"id":"a","question":"is it","expect":"yes"}\n')
    gate = [
        "gate",
        "--suite",
        "suite.jsonl",
        "--suite",
        "kept.yaml",
        "--candidate",
        "python:bot:answer",
        "--baseline",
        "python:bot:answer",
    ]
    done = serving.type(*gate)
    assert "closed without a proven case" not in done.stdout
    kept.write_text(text.replace("2027-01-01", "2026-01-01"), "utf-8")
    done = serving.type(*gate)
    assert done.returncode == 3
    assert "INC-1 (its waiver is over) closed without a proven case" in done.stdout


def test_what_comes_again_is_said_loudly(serving: Serving) -> None:
    """In the list of what is open, in its document, and in the report."""
    for status in ("firing", "resolved"):
        serving.deliver(alert("Down", status=status), alert("Errors", status=status))
    until(lambda: "IncidentMitigated" in kinds(serving))
    typed(serving, "incidents", "resolve", "INC-1", "--why", "restarted")
    typed(
        serving,
        "incidents",
        "waive",
        "INC-1",
        "--why",
        "nothing to test",
        "--owner",
        "team",
        "--until",
        "2027-01-01T00:00:00Z",
    )
    serving.deliver(alert("Down", pod="2"), alert("Errors", pod="2"))
    until(lambda: len(serving.incidents()) == 1)
    assert "IncidentRecurred" in kinds(serving, "INC-2")
    assert detail(serving, "INC-2")["again"].startswith("INC-2 is INC-1 again: the same alerts")
    _, out, _ = typed(serving, "incidents", "show", "INC-2")
    assert "AGAIN: INC-2 is INC-1 again" in out
    assert document(serving, "INC-2")["recurrence"]["of"] == "INC-1"
    _, out, _ = typed(serving, "report")
    assert "RECURRED        INC-2 is INC-1 again" in out


def test_what_people_write_goes_over_the_api_too(serving: Serving) -> None:
    """And what is refused is refused there."""
    serving.deliver(alert("Down"))
    until(lambda: "PageSent" in kinds(serving))
    code, out, err = typed(serving, "postmortem", "edit", "INC-1", "--factor", "one disk for all")
    assert code == 0, err
    assert "still open: what went well" in out
    assert document(serving)["judgement"]["contributing_factors"] == ["one disk for all"]
    body = b'{"action_items": [{"what": "x", "owner": "", "due": "2026-01-01"}]}'
    answer = serving.ask("POST", "/api/v1/incidents/INC-1/postmortem", body, serving.person)
    assert answer.status == 409
    assert "has no owner" in answer.document["detail"]
    assert (
        serving.ask("GET", "/api/v1/incidents/INC-9/postmortem", token=serving.person).status == 404
    )
