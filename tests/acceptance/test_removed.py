"""A journal whose files are taken away under its server: no alert is answered 202 into nowhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, alert

SOAK = bool(os.environ.get("MIDWATCH_SOAK"))
ENDS = ("", "-wal", "-shm")


def beside(file: Path, end: str) -> Path:
    """One of SQLite's files, by its ending."""
    return file.with_name(f"{file.name}{end}")


def removed(file: Path) -> None:
    """All of it, as by rm midwatch.db*."""
    for end in (*ENDS, ".lock"):
        beside(file, end).unlink()


def replaced(file: Path) -> None:
    """By another journal that somebody else has open, with its log."""
    for end in ENDS:
        beside(file, end).unlink()
        shutil.copy(beside(file.parents[1] / "other.db", end), beside(file, end))


def renamed(file: Path) -> None:
    """Out of the way, where the server still writes into it."""
    file.rename(file.with_name("old.db"))


def moved(file: Path) -> None:
    """The folder that it is in, which is the server's own, too."""
    file.parents[1].rename(file.parents[1].with_name("elsewhere"))


def unlogged(file: Path) -> None:
    """Only the log: what is committed is there alone until it is put into the file."""
    beside(file, "-wal").unlink()


def unlocked(file: Path) -> None:
    """Only the lock: another server could take the journal."""
    beside(file, ".lock").unlink()


BUSY = (removed, replaced, renamed, moved, unlogged, unlocked) if SOAK else (removed,)
QUIET = (removed, moved) if SOAK else ()
WAYS = [*((one, True) for one in BUSY), *((one, False) for one in QUIET)]


@pytest.mark.soak
@pytest.mark.parametrize(("taken", "busy"), WAYS)
def test_a_journal_that_is_taken_away_ends_the_server(
    tmp_path: Path, taken: Callable[[Path], None], busy: bool
) -> None:
    """With words and exit code 2, also when nobody sends; no alert is answered into nowhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    serving = Serving(folder)
    file = folder / "midwatch" / "midwatch.db"
    held = sqlite3.connect(folder / "other.db")  # of somebody who has it open, with a log
    held.execute("PRAGMA journal_mode = WAL")
    held.execute("CREATE TABLE kept (id)")
    serving.start()
    assert serving.deliver(alert("Before")).status == 202
    taken(file)
    log = beside(file, "-wal")
    kept = log.read_bytes() if log.exists() else b""
    answers: set[int] = set()
    began = time.monotonic()
    while busy and time.monotonic() - began < 10:
        try:
            answers.add(serving.deliver(alert("After", namespace=str(time.time()))).status)
        except (urllib.error.URLError, OSError):
            break
    held.close()
    assert serving.end(40) == 2
    assert 202 not in answers
    out = next(folder.parent.glob("*/out.txt")).read_text("utf-8")
    assert (
        f"while it was {'locked' if taken is unlocked else 'open'}; midwatch accepts nothing more"
        in out
    )
    assert ("midwatch db restore" in out) == (taken is not unlocked), "a whole journal needs none"
    assert "Traceback" not in out
    if taken is replaced:
        assert log.read_bytes() == kept, "the log of another journal"
