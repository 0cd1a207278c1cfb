"""`midwatch db`: what is damaged is found and named, what is not ours is left as it was."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore, seal
from midwatch.adapters.stores.sqlite_file import migrations
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import Status, identify
from midwatch.core.values.teams import Policy, Step
from midwatch.engine.handle import Handler
from midwatch.engine.prune import find_cut
from midwatch.engine.verify import verify
from midwatch.errors import Owned

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
RULES = Rules(policy=Policy("p", (Step(("ada",)),)))


def fire(service: str, status: Status = "firing", namespace: str = "") -> Envelope:
    """An alert that pages."""
    labels = {"service": service, "severity": "critical", "namespace": namespace}
    alert = identify(labels).alert(status, 0)
    return Envelope(f"{status}/{service}", inputs.AlertsArrived("test", (alert,)))


def over(service: str) -> Envelope:
    """Its end."""
    return fire(service, "resolved")


def midwatch(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    return subprocess.run(
        [MIDWATCH, *map(str, args)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a whole shift."""
    file = tmp_path_factory.mktemp("journal") / "shift.db"
    assert midwatch("drill", "run", "shift", "--db", file).returncode == 0
    return file


@pytest.fixture
def copy(journal: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copy(journal, tmp_path / "copy.db"))


def test_a_whole_journal_verifies(journal: Path) -> None:
    """Exit 0, and it says how many events."""
    done = midwatch("db", "verify", journal)
    assert done.returncode == 0
    assert done.stdout.startswith("ok: ")
    assert done.stdout.endswith(" events, 0 findings\n")


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        (
            "UPDATE event SET body = replace(body, 'v2-regressed', 'v2-regresseD') WHERE seq = 6",
            "event 6 (release/support-agent v3)",
        ),
        ("UPDATE event SET at = at + 1 WHERE seq = 9", "event 9 ("),
        ("UPDATE event SET cause = 'x' WHERE seq = 4", "event 4 ("),
        ("UPDATE event SET link = zeroblob(16) WHERE seq = 12", "event 12 ("),
        ("DELETE FROM event WHERE seq = 20", "event 20: missing"),
        ("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", "head: the shard ends"),
        ("UPDATE snapshot SET body = replace(body, 'next_silence', 'next_salience')", "snapshot "),
        ("UPDATE outbox SET body = replace(body, 'ada', 'adb')", "outbox 'page/INC-1/1/"),
        ("UPDATE outbox SET attempt = attempt + 1", "outbox 'page/INC-1/1/"),
        ("UPDATE inbox SET at = at + 1 WHERE key = 'ticket/T-1'", "inbox 'ticket/T-1'"),
        ("UPDATE shard SET head = zeroblob(16)", "head: "),
    ],
)
def test_a_change_behind_its_back_is_named(copy: Path, sql: str, names: str) -> None:
    """Whoever edits a row is found, and the row is named."""
    with sqlite3.connect(copy) as connection:
        assert connection.execute(sql).rowcount > 0
    connection.close()
    done = midwatch("db", "verify", copy)
    assert done.returncode == 1
    assert names in done.stdout
    assert done.stdout.splitlines()[-1].startswith("DAMAGED: ")


def test_a_state_that_is_not_the_fold_is_found(copy: Path) -> None:
    """A snapshot with a right seal and a wrong content is no fold of the events."""
    with sqlite3.connect(copy) as connection:
        seq, version, body, head = connection.execute(
            "SELECT seq, state_version, body, head FROM snapshot"
        ).fetchone()
        forged = body.replace(b'"next_incident":', b'"next_incident":1')
        connection.execute(
            "UPDATE snapshot SET body = ?, seal = ?", (forged, seal((seq, version, forged, head)))
        )
    connection.close()
    done = midwatch("db", "verify", copy)
    assert done.returncode == 1
    assert f"snapshot {seq}: folding the events gives another state" in done.stdout


def test_a_flipped_byte_in_an_event_is_found_and_named(copy: Path) -> None:
    """Forty random bytes, one at a time, anywhere in stored event bodies of the file itself."""
    whole = copy.read_bytes()
    with sqlite3.connect(copy) as connection:
        bodies = [
            (seq, body)
            for seq, body in connection.execute("SELECT seq, body FROM event")
            if whole.count(body) == 1
        ]
    connection.close()
    rng = random.Random(1)
    for seq, body in rng.sample(bodies, 40):
        at = whole.index(body) + rng.randrange(len(body))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.randrange(8)
        copy.write_bytes(damaged)
        done = midwatch("db", "verify", copy)
        assert done.returncode == 1
        assert f"event {seq} (" in done.stdout


def test_verify_only_reads(copy: Path) -> None:
    """The file is byte for byte what it was, and nothing new lies beside it."""
    before, beside = digest(copy), sorted(copy.parent.iterdir())
    assert midwatch("db", "verify", copy).returncode == 0
    assert digest(copy) == before
    assert sorted(copy.parent.iterdir()) == beside


def digest(file: Path) -> str:
    """Hash a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def foreign(file: Path) -> None:
    """Write another program's database."""
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()


def newer(file: Path) -> None:
    """Write a journal of a midwatch that does not exist yet."""
    SqliteStore.own(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    (file.parent / f"{file.name}.lock").unlink()


def cut(file: Path) -> None:
    """Write a journal and lose its end."""
    SqliteStore.own(file).close()
    file.write_bytes(file.read_bytes()[:-5000])
    (file.parent / f"{file.name}.lock").unlink()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (foreign, "the database belongs to another program"),
        (newer, "the file was written by a newer midwatch"),
        (cut, "the file is truncated"),
        (lambda f: f.write_bytes(b""), "not an SQLite database"),
        (lambda f: f.write_text("hello\n" * 100), "not an SQLite database"),
        (lambda f: f.mkdir(), "cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["verify", "migrate", "backup", "drill"])
def test_what_is_not_ours_is_refused_and_left(
    tmp_path: Path, make: object, says: str, command: str
) -> None:
    """Exit 2, one line, not a byte changed, nothing beside it."""
    file = tmp_path / "strange.db"
    make(file)
    before = digest(file) if file.is_file() else ""
    target = [tmp_path / "copy.db"] if command == "backup" else []
    args = ["drill", "--db", file] if command == "drill" else ["db", command, file, *target]
    done = midwatch(*args)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert (digest(file) if file.is_file() else "") == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    """No file is made by asking for one."""
    done = midwatch("db", "verify", tmp_path / "none.db")
    assert done.returncode == 2
    assert "cannot be read: No such file" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_whole_and_a_second_one_does_not_overwrite(
    journal: Path, tmp_path: Path
) -> None:
    """The copy verifies by itself; an existing target is refused."""
    target = tmp_path / "copy.db"
    assert midwatch("db", "backup", journal, target).returncode == 0
    assert midwatch("db", "verify", target).returncode == 0
    again = midwatch("db", "backup", journal, target)
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_an_old_schema_is_migrated_whole(tmp_path: Path) -> None:
    """An empty file of ours at schema 0 is refused by its owner and brought up by migrate."""
    file = tmp_path / "old.db"
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA application_id = {0x6D696477}")
    connection.close()
    assert "run midwatch db migrate" in midwatch("drill", "--db", file).stderr
    done = midwatch("db", "migrate", file)
    assert done.stdout == f"schema 0 -> {migrations()[-1][0]}\n"
    assert midwatch("db", "verify", file).returncode == 0
    assert midwatch("db", "migrate", file).stdout == f"schema {migrations()[-1][0]}, up to date\n"


def test_a_file_has_one_owner(tmp_path: Path) -> None:
    """A second owner is refused with the first one's number; the lock dies with its owner."""
    file = tmp_path / "owned.db"
    first = SqliteStore.own(file)
    with pytest.raises(Owned, match="in use by another midwatch"):
        SqliteStore.own(file)
    done = midwatch("drill", "--db", file)
    assert done.returncode == 2
    assert "stop that process" in done.stderr
    first.close()
    SqliteStore.own(file).close()


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    """Its owner keeps it, by whatever name it is asked for."""
    file, link = tmp_path / "owned.db", tmp_path / "link.db"
    link.symlink_to(file)
    first = SqliteStore.own(file)
    with pytest.raises(Owned, match="in use by another midwatch"):
        SqliteStore.own(link)
    first.close()
    second = SqliteStore.own(link)
    with pytest.raises(Owned, match="in use by another midwatch"):
        SqliteStore.own(file)
    second.close()


def test_a_pruned_journal_verifies_and_goes_on(copy: Path) -> None:
    """A snapshot takes the events' place; what is decided and verified afterwards is the same."""
    before = SqliteStore.read_only(copy)
    states, head = before.snapshots(), before.head()
    before.close()
    would = midwatch("db", "prune", copy, "--keep", "0", "--dry-run")
    size = copy.stat().st_size
    done = midwatch("db", "prune", copy, "--keep", "0")
    assert would.stdout.split()[0] == done.stdout.split()[0] != "0"
    assert copy.stat().st_size < size
    after = SqliteStore.read_only(copy)
    assert (after.snapshots()[-1].body, after.head()) == (states[-1].body, head)
    after.close()
    assert midwatch("db", "verify", copy).stdout == "ok: 0 events, 0 findings\n"
    assert midwatch("db", "prune", copy, "--keep", "0").stdout.startswith("0 events")
    store = SqliteStore.own(copy)
    handler = Handler(store, RULES, lambda: 0)
    assert handler.handle([fire("later")])[0].status == "committed"
    store.close()
    assert midwatch("db", "verify", copy).returncode == 0


def test_a_journal_that_is_written_meanwhile_verifies(tmp_path: Path) -> None:
    """A check reads one and the same state from its first look to its last."""
    file = tmp_path / "m.db"
    store = SqliteStore.own(file)
    handler = Handler(store, RULES, lambda: 1_000)
    handler.handle([fire("before")])
    reader = SqliteStore.read_only(file)
    rows = reader.rows

    def slowly(*given: Any) -> Any:
        handler.handle([fire("meanwhile")])
        return rows(*given)

    reader.hold()
    reader.rows = slowly  # pyright: ignore[reportAttributeAccessIssue]
    assert verify(reader)[1] == []
    reader.close()
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE snapshot SET head = zeroblob(16)",
        "UPDATE snapshot SET body = replace(body, 'next_silence', 'next_salience')",
        "DELETE FROM snapshot",
        "DELETE FROM event WHERE seq = (SELECT min(seq) FROM event)",
    ],
)
def test_damage_behind_a_cut_is_found(tmp_path: Path, sql: str) -> None:
    """What stands in for pruned events is checked like them."""
    file = tmp_path / "live.db"
    store = SqliteStore.own(file)
    clock = [0]
    handler = Handler(store, RULES, lambda: clock[0])
    for number in range(4):
        clock[0] = number * 1_000
        handler.handle([fire(f"s{number}"), over(f"s{number}")])
        handler.handle([Envelope("", inputs.ResolveIncident(f"INC-{number + 1}", "ada", "mended"))])
    handler.handle([fire("open")])
    cut = find_cut(store, 2_000, handler.shard.incidents)
    assert cut is not None
    store.cut(cut)
    while store.sweep(2_000, 10_000):
        pass
    store.close()
    assert midwatch("db", "verify", file).returncode == 0
    connection = sqlite3.connect(file)
    connection.execute(sql)
    connection.commit()
    connection.close()
    assert midwatch("db", "verify", file).returncode == 1


def test_a_journal_and_its_copies_are_their_owners_alone(tmp_path: Path) -> None:
    """Whoever reads one sees all that happened, whatever the umask says."""
    before = os.umask(0o022)
    try:
        store = SqliteStore.own(tmp_path / "live.db")
        Handler(store, RULES, lambda: 0).handle([fire("shop")])
        store.backup(tmp_path / "copy.db")
        modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.glob("*.db*")}
        store.close()
    finally:
        os.umask(before)
    assert {"live.db", "live.db-wal", "copy.db"} <= set(modes)
    assert {mode for name, mode in modes.items() if not name.endswith(".lock")} == {0o600}


def test_a_pruned_journal_of_an_unknown_shape_is_refused(copy: Path) -> None:
    """Its events are gone and its snapshot is all there is: it is never folded from nothing."""
    midwatch("db", "prune", copy, "--keep", "0")
    connection = sqlite3.connect(copy)
    connection.execute("UPDATE snapshot SET state_version = 10")
    connection.commit()
    connection.close()
    done = midwatch("drill", "run", "shift", "--db", copy)
    assert done.returncode == 2
    assert "has a snapshot of state 10, this midwatch reads 11 to" in done.stderr
