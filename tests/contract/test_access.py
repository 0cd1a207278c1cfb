"""Logins and the trail in their own file: hashed, bounded, ended by age and by a restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from midwatch.adapters.stores import access as store
from midwatch.adapters.stores.access import IDLE_MS, LONGEST_MS, SqliteAccess, beside
from midwatch.errors import CommitFailed, HarnessError
from midwatch.ports import Attempt

MINUTE = 60_000


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "midwatch.db"


@pytest.fixture
def access(journal: Path) -> Iterator[SqliteAccess]:
    """Its logins."""
    with closing(SqliteAccess.open(journal)) as found:
        found.begin("j", "", "salt-1", 5)
        yield found


def test_a_login_is_found_by_its_text_alone(access: SqliteAccess, journal: Path) -> None:
    """It is kept by its hash, for its owner alone."""
    text = access.create("tok", 5, 0)
    assert access.create("tok", 5, 0) != text
    found = access.find(text, 1, lambda: 0)
    assert found is not None
    assert (found.token, found.began_at) == ("tok", 0)
    for wrong in ("", text[:-1], text + "x", found.id, "tok"):
        assert access.find(wrong, 1, lambda: 0) is None
    for file in journal.parent.iterdir():
        assert text.encode() not in file.read_bytes()
    assert beside(journal).stat().st_mode & 0o777 == 0o600


def test_a_login_ends_idle_and_old(access: SqliteAccess) -> None:
    """Use keeps it, but not for ever; the use is written once a minute at most."""
    idle, used = access.create("a", 5, 0), access.create("b", 5, 0)
    assert access.find(idle, IDLE_MS - 1, lambda: 0) is not None, (
        "a use: it begins again to be idle"
    )
    now = 0
    while now < LONGEST_MS - IDLE_MS // 2:
        now += IDLE_MS // 2
        assert access.find(used, now, lambda: 0) is not None
    assert access.find(idle, now, lambda: 0) is None
    assert access.find(used, LONGEST_MS - 1, lambda: 0) is not None
    assert access.find(used, LONGEST_MS, lambda: 0) is None
    assert access.sessions(LONGEST_MS) == []


def test_logins_are_bounded(access: SqliteAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was used least goes."""
    monkeypatch.setattr(store, "MOST_SESSIONS", 3)
    texts = [access.create("a", 5, at) for at in range(5)]
    assert [access.find(one, 5, lambda: 0) is not None for one in texts] == [
        False,
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("journal_name", "before", "seq", "kept"),
    [
        ("j", "salt-1", 9, True),  # the next start
        ("j", "salt-1", 8, True),  # nothing was written meanwhile
        ("j", "salt-1", 7, False),  # a copy of this term, older than the newest login
        ("j", "salt-0", 9, False),  # a copy of an earlier term
        ("other", "salt-1", 9, False),
    ],
)
def test_logins_of_another_state_of_the_journal_end(
    access: SqliteAccess, journal_name: str, before: str, seq: int, *, kept: bool
) -> None:
    """Whatever tool put it there."""
    text = access.create("a", 8, 0)
    assert access.begin(journal_name, before, "salt-2", seq) == (0 if kept else 1)
    assert (access.find(text, 1, lambda: 0) is not None) is kept


def test_the_trail_is_bounded_and_paged(
    access: SqliteAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest first; the oldest lines go."""
    monkeypatch.setattr(store, "KEPT_LINES", 10)
    for number in range(25):
        access.note(Attempt(number, "call refused", says=str(number)))
    first = access.trail(6)
    rest = access.trail(6, first[-1].number)
    assert [one.says for one in (*first, *rest)] == [str(n) for n in range(24, 14, -1)]


def test_a_use_is_written_once_a_minute(access: SqliteAccess) -> None:
    """By token."""
    for at in (0, 1, MINUTE - 1):
        access.use("a", MINUTE + at)
    access.use("b", MINUTE + 7)
    assert access.used() == {"a": MINUTE, "b": MINUTE + 7}
    access.use("a", 2 * MINUTE)
    assert access.used()["a"] == 2 * MINUTE


def test_what_cannot_be_written_stops_nobody(access: SqliteAccess, journal: Path) -> None:
    """A login fails and says so; a line of the trail is lost and counted; a login still opens."""
    text = access.create("a", 5, 0)
    access._db.execute("PRAGMA query_only = ON")  # what a full disk does to every write
    with pytest.raises(CommitFailed):
        access.create("a", 5, 0)
    access.note(Attempt(0, "login"))
    access.use("a", MINUTE)
    assert access.lost == 1
    assert access.find(text, MINUTE, lambda: 0) is not None
    with pytest.raises(HarnessError, match="remove it"):
        SqliteAccess.open(journal.parent / "no" / "folder.db")
