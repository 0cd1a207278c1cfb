"""A journal of a released version opens in this one; of a newer version it is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.receiver import Receiver
from tests.acceptance.serving import Serving, alert, midwatch, reconfigure, until

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.state.events import EVENT_VERSION
from midwatch.core.state.shard import STATE_VERSION

JOURNALS = Path(__file__).parents[1] / "fixtures" / "journals"
WAS: dict[str, Any] = json.loads((JOURNALS / "0.1.0-pruned.json").read_text("utf-8"))
NAME = "20ba06c9af99a576"
SENDER = "mw_ef02e7f0_iHfTSmt5Wl3HvqRgkJ6-2PvU8hTSHQR-D5d6mvcQA2c"
PERSON = "mw_24872262_GkazF6GytrkVmedjtgeEc6JM_2gKZo6emGkD_9gMQZQ"
CONFIG = """
sources: {{alertmanager: {{type: alertmanager}}}}
people: {{ada: {{pagers: [duty]}}, ben: {{pagers: [duty]}}}}
pagers:
  duty: {{type: pagerduty, routing_key_env: KEY, url: "{url}/enqueue"}}
escalation: {{digest: off, steps: [{{to: ada, delay: 60m}}, {{to: ben, delay: 60m}}]}}
"""
JSON = {"Content_Type": "application/json"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A pruned journal of 0.1.0 with open incidents, a case, tokens and a page in doubt."""
    file = tmp_path / "old.db"
    with gzip.open(JOURNALS / "0.1.0-pruned.db.gz") as packed:
        file.write_bytes(packed.read())
    return file


def told(file: Path, *args: str) -> Any:
    """What a command says of a journal."""
    done = midwatch(*args, "--json", "--db", str(file), cwd=file.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def as_before(now: list[dict[str, Any]], was: list[dict[str, Any]]) -> bool:
    """Whether every field that there was is what it was; fields may be added."""
    return [{name: new[name] for name in one} for one, new in zip(was, now, strict=True)] == was


def test_a_pruned_journal_of_0_1_0_has_all_that_it_had(old: Path) -> None:
    """It verifies before and after its migration, and lists the same."""
    for schema in (4, None):
        done = midwatch("db", "verify", str(old))
        assert (done.returncode, done.stdout) == (0, "ok: 16 events, 0 findings\n")
        if schema is not None:
            done = midwatch("db", "migrate", str(old))
            assert done.stdout.startswith(f"schema {schema} -> "), done.stderr
    assert midwatch("init", cwd=old.parent).returncode == 0
    for kind, command in (
        ("incidents", ("incidents", "list", "--all")),
        ("cases", ("cases", "list")),
        ("tokens", ("token", "list")),
        ("silences", ("silences", "list")),
    ):
        assert as_before(told(old, *command), WAS[kind]), kind


def test_a_pruned_journal_of_0_1_0_goes_on_paging(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in doubt and what ends keeps the keys of 0.1.0; what is new has a salt."""
    monkeypatch.setenv("KEY", "R" * 32)
    with Receiver() as duty:
        duty.usual = 202

        def events() -> list[tuple[str, str]]:
            found = [json.loads(body) for _, _, body in duty.requests]
            return [(one["event_action"], one["dedup_key"]) for one in found]

        serving = Serving(tmp_path)
        file = tmp_path / "midwatch" / "midwatch.db"
        shutil.copy(old, file)
        assert midwatch("db", "migrate", str(file)).returncode == 0
        reconfigure(tmp_path / "midwatch", CONFIG.format(url=duty.url))
        serving.sender, serving.person = SENDER, PERSON
        serving.start()
        try:
            until(lambda: ("trigger", f"midwatch/{NAME}/INC-9") in events())
            path = "/api/v1/incidents/INC-7/resolve"
            given = serving.ask("POST", path, b'{"why": "there is room"}', PERSON, **JSON)
            assert given.status == 200
            until(lambda: ("resolve", f"midwatch/{NAME}/INC-7") in events())
            assert serving.deliver(alert("Fresh", service="cart", namespace="q")).status == 202
            until(lambda: any(f"midwatch/{NAME}/INC-10-" in key for _, key in events()))
        finally:
            serving.stop()
        done = midwatch("db", "verify", str(file))
        assert done.returncode == 0, done.stdout


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A journal that names newer state or events than this midwatch knows."""
    assert midwatch("init", cwd=tmp_path).returncode == 0
    file = tmp_path / "midwatch" / "midwatch.db"
    SqliteStore.own(file).close()
    return file


@pytest.mark.parametrize("column", ["state_version", "event_version"])
def test_what_a_newer_midwatch_wrote_is_refused(newer: Path, column: str) -> None:
    """By each command, with what to do, and with no byte of it changed."""
    with sqlite3.connect(newer) as db:
        (noted,) = db.execute("SELECT state_version, event_version FROM journal").fetchall()
        assert noted == (STATE_VERSION, EVENT_VERSION)
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(f"UPDATE journal SET {column} = {column} + 1")
    db.close()
    before = hashlib.sha256(newer.read_bytes()).digest()
    folder = newer.parents[1]
    for command in (
        ("db", "verify", str(newer)),
        ("db", "prune", str(newer)),
        ("db", "backup", str(newer), str(folder / "copy.db")),
        ("incidents", "list"),
        ("serve", "--listen", "127.0.0.1:0"),
    ):
        done = midwatch(*command, cwd=folder)
        assert done.returncode == 2, command
        assert "the file was written by a newer midwatch (state " in done.stderr, command
        assert "upgrade midwatch" in done.stderr
        assert "Traceback" not in done.stderr
    assert hashlib.sha256(newer.read_bytes()).digest() == before


def test_a_copy_of_0_1_0_that_is_put_back_is_whole(old: Path, tmp_path: Path) -> None:
    """Its closed incidents are in the archive before any server has started."""
    file = tmp_path / "m.db"
    done = midwatch("db", "restore", str(old), str(file))
    assert done.returncode == 0, done.stderr
    done = midwatch("db", "verify", str(file))
    assert done.returncode == 0, done.stdout


def test_a_plan_that_was_under_way_ends_as_it_would_have(tmp_path: Path) -> None:
    """Its approval holds: what was done is not done again, the rest is, and users are well."""
    journal = tmp_path / "old.db"
    journal.write_bytes(gzip.decompress((JOURNALS / "0.1.0-under-way.db.gz").read_bytes()))
    world = tmp_path / "old.db.world"
    world.write_bytes((JOURNALS / "0.1.0-under-way.world").read_bytes())
    done = midwatch("db", "migrate", str(journal))
    assert done.returncode == 0, done.stderr
    done = midwatch("drill", "run", "retry-storm", "--db", str(journal), "--trace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[FAIL]" not in done.stdout
    assert done.stdout.count("  PlanApproved  ") == 1
    steps = [json.loads(line) for line in world.read_text("utf-8").splitlines()]
    remedied = [one["given"] for one in steps if one["type"] == "Remedied"]
    assert remedied == [{"on": True}, {"on": False}]
    done = midwatch("db", "verify", str(journal))
    assert (done.returncode, "0 findings" in done.stdout) == (0, True), done.stdout


def test_a_plan_that_was_proposed_is_approved_by_the_hash_that_was_shown(tmp_path: Path) -> None:
    """The page of 0.1 has its button still, and what it does is the same."""
    journal = tmp_path / "old.db"
    journal.write_bytes(gzip.decompress((JOURNALS / "0.1.0-proposed.db.gz").read_bytes()))
    world = (JOURNALS / "0.1.0-proposed.world").read_bytes()
    (tmp_path / "old.db.world").write_bytes(world)
    done = midwatch("db", "migrate", str(journal))
    assert done.returncode == 0, done.stderr
    done = midwatch("drill", "run", "two-at-once", "--db", str(journal), "--trace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[FAIL]" not in done.stdout
    assert "it was proposed by midwatch 0.1, and its steps are the same" in done.stdout
    done = midwatch("db", "verify", str(journal))
    assert (done.returncode, "0 findings" in done.stdout) == (0, True), done.stdout
