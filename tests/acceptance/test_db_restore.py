"""`midwatch db restore`: a copy takes the place of a journal, and what is lost is told."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, midwatch

from midwatch.adapters.stores.putting_back import put_back
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.sqlite_file import take_lock
from midwatch.core.rules.rules import Rules
from midwatch.core.state.inputs import BeginTerm, Envelope, RegisterRelease
from midwatch.engine.handle import Handler

JSON = {"Content_Type": "application/json"}
SALT = "00112233445566aa"


def give(file: Path, *given: Envelope) -> None:
    """Decide on inputs as an owner does, and close."""
    store = SqliteStore.own(file)
    Handler(store, Rules(), lambda: 1_000).handle(list(given))
    store.close()


def release(name: str) -> Envelope:
    """Something small that people do."""
    return Envelope(name, RegisterRelease("shop", name, f"sha256:{name}", good=False, live=False))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A journal with a term and a release."""
    found = tmp_path / "m.db"
    give(found, Envelope("", BeginTerm(SALT)), release("v1"))
    return found


@pytest.fixture
def copy(file: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    found = tmp_path / "copy.db"
    assert midwatch("db", "backup", str(file), str(found)).returncode == 0
    return found


def restore(copy: Path, file: Path, *args: str) -> tuple[int, Any]:
    """Type the command; its exit code and document."""
    done = midwatch("db", "restore", str(copy), str(file), "--json", *args)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def bytes_of(file: Path) -> dict[str, bytes]:
    """A journal with its log and whatever else is kept beside it."""
    return {
        one.name: one.read_bytes()
        for one in file.parent.iterdir()
        if one.name.startswith(file.name) and not one.name.endswith((".lock", "-shm"))
    }


def test_what_is_lost_is_told_and_the_old_file_is_kept(tmp_path: Path) -> None:
    """After a kill, with its log beside it: acks, silences, tokens, and incidents that paged."""
    serving = Serving(tmp_path)
    file, copy = tmp_path / "midwatch" / "midwatch.db", tmp_path / "copy.db"
    serving.start()
    serving.deliver(alert("DiskFull", namespace="a"))
    assert serving.type("db", "backup", str(file), str(copy)).returncode == 0
    serving.deliver(alert("PaymentsDown", namespace="b"))
    path = "/api/v1/incidents/INC-1/ack"
    assert serving.ask("POST", path, b"{}", serving.person, **JSON).status == 200
    assert serving.type("token", "revoke", serving.sender.split("_")[1]).returncode == 0
    made = serving.token("--source", "alertmanager")
    live = serving.type("db", "restore", str(copy), str(file))
    assert live.returncode == 2
    assert "in use by another midwatch" in live.stderr
    serving.kill()
    before = bytes_of(file)
    tried = serving.type("db", "restore", str(copy), str(file), "--dry-run")
    assert (tried.returncode, bytes_of(file)) == (0, before), tried.stderr
    done = serving.type("db", "restore", str(copy), str(file))
    assert done.returncode == 0, done.stderr
    for says in (
        "copy.db, ",
        "verified",
        "lost: ",
        "1 incident, whose pages were sent and not resolved: resolve them in the pager",
        "INC-2 incident: PaymentsDown on shop",
        "INC-1 acknowledgement: ada acknowledged it",
        "1 token made since",
        "1 token revoked since are valid again",
        f"kept: {file}.before-",
    ):
        assert says in done.stdout, (says, done.stdout)
    (aside,) = file.parent.glob("midwatch.db.before-*")
    old = sqlite3.connect(aside)
    assert old.execute("SELECT count(*) FROM event WHERE type = 'PageAcknowledged'").fetchone()[0]
    old.close()
    left = {one.name for one in file.parent.glob("midwatch.db*") if ".access" not in one.name}
    assert left == {"midwatch.db", aside.name, "midwatch.db.lock"}
    assert serving.type("db", "verify", str(file)).returncode == 0
    serving.start()
    try:
        assert [one["id"] for one in serving.incidents()] == ["INC-1"]
        assert serving.deliver(alert("Fresh", namespace="c")).status == 202
        serving.sender = made
        assert serving.deliver(alert("Fresh", namespace="c")).status == 401
    finally:
        serving.stop()


def test_a_damaged_copy_replaces_nothing(copy: Path, file: Path) -> None:
    """Exit 1, each finding named; the journal is what it was."""
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE event SET at = at + 1 WHERE seq = 2")
    db.close()
    before = bytes_of(file)
    code, found = restore(copy, file)
    assert (code, found["ok"], len(found["findings"])) == (1, False, 1)
    assert bytes_of(file) == before


def test_two_that_parted_are_compared_from_where_they_did(copy: Path, file: Path) -> None:
    """The copy lived on, too: what each has alone is counted, by the chain and not by numbers."""
    give(copy, Envelope("", BeginTerm("ffeeddccbbaa9988")))
    give(file, release("v2"), release("v3"))
    code, found = restore(copy, file, "--dry-run")
    lost = found["lost"]
    assert (code, lost["events"], lost["behind"]) == (0, 2, 1)
    assert [(one["kind"], one["says"]) for one in lost["done"]] == [
        ("release", "v2 sha256:v2"),
        ("release", "v3 sha256:v3"),
    ]


@pytest.mark.parametrize("state", ["gone", "junk", "cut", "pruned"])
def test_what_cannot_be_compared_is_said(copy: Path, file: Path, state: str) -> None:
    """The copy is put in its place all the same: that is when a backup is needed."""
    give(file, release("v2"))
    if state == "gone":
        file.unlink()
    elif state == "junk":
        file.write_bytes(b"junk" * 1_000)
    elif state == "cut":
        os.truncate(file, file.stat().st_size // 2)
    else:
        assert midwatch("db", "prune", str(file), "--keep", "0").returncode == 0
    code, found = restore(copy, file)
    assert code == 0
    assert bool(found["unknown"]) == (state != "pruned")
    assert bool(found["kept_aside"]) == (state != "gone")
    assert midwatch("db", "verify", str(file)).stdout == "ok: 2 events, 0 findings\n"


def test_a_link_to_a_journal_stays_one(copy: Path, file: Path) -> None:
    """What it names is replaced, and kept beside itself."""
    (file.parent / "data").mkdir()
    real = file.rename(file.parent / "data" / "m.db")
    file.symlink_to(real)
    give(real, release("v2"))
    code, found = restore(copy, file)
    assert code == 0
    assert file.is_symlink()
    assert Path(found["kept_aside"]).parent == real.parent
    assert not Path(found["kept_aside"]).is_symlink()
    assert midwatch("db", "verify", str(real)).stdout.startswith("ok: 2 events")


def test_a_copy_from_before_what_was_pruned_is_no_stranger(copy: Path, file: Path) -> None:
    """What was pruned cannot be listed; that the two parted is not said."""
    give(file, release("v2"), release("v3"))
    assert midwatch("db", "prune", str(file), "--keep", "0").returncode == 0
    give(file, release("v4"))
    code, found = restore(copy, file, "--dry-run")
    assert code == 0
    assert (found["lost"]["behind"], found["lost"]["events"], found["lost"]["pruned"]) == (0, 3, 2)


def test_a_folder_is_no_journal(copy: Path, tmp_path: Path) -> None:
    """One line, not a bug."""
    done = midwatch("db", "restore", str(copy), str(tmp_path))
    assert done.returncode == 2
    assert "this is a directory" in done.stderr
    done = midwatch("db", "backup", str(copy), str(tmp_path / "no" / "copy.db"))
    assert done.returncode == 2
    assert "the directory does not exist" in done.stderr


def test_what_root_makes_is_the_services(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the server, which runs as another user, could not open its own journal."""
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        os, "chown", lambda path, uid, gid: given.setdefault(Path(path).name, (uid, gid))
    )
    home = tmp_path / "home"
    home.mkdir()
    owner = home.stat().st_uid, home.stat().st_gid
    with take_lock(home / "m.db"):
        put_back(copy, home / "m.db", home / "m.db")
    assert given == {"m.db.lock": owner, "m.db.restore": owner}
    (tmp_path / "new").mkdir()
    SqliteStore.own(tmp_path / "new" / "n.db").close()
    assert {"n.db.lock", "n.db.part"} <= given.keys()


def test_a_journal_of_another_name_is_left_alone(file: Path, tmp_path: Path) -> None:
    """Somebody named the wrong file."""
    other = tmp_path / "other.db"
    give(other, release("v9"))
    before = bytes_of(file)
    done = midwatch("db", "restore", str(other), str(file))
    assert done.returncode == 2
    assert "not the event log that" in done.stderr
    assert midwatch("db", "restore", str(file), str(file)).returncode == 2
    assert bytes_of(file) == before
