"""What SQLite says when it refuses: the data's own fault, or the file's.

Law: what would be refused however often it is tried is never told apart by words alone, but by the
class and code of the error. A constraint on the events says something else again: then memory and
file have parted, and memory is what goes.
"""

from __future__ import annotations

import sqlite3

from midwatch.errors import CommitFailed, Diverged, Unstorable

# Of these only the input can be the reason: another one may be written.
UNFIT = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeError,
)
_TABLES_OF_THE_FOLD = ("event.", "snapshot.", "shard.")

_SAYS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free disk space"),
    sqlite3.SQLITE_IOERR: ("the disk has an error", "check the disk and the system log"),
    sqlite3.SQLITE_READONLY: ("the file is read-only", "make it writable"),
    sqlite3.SQLITE_BUSY: ("another process is writing to the file", "stop that process"),
    sqlite3.SQLITE_LOCKED: ("another process is writing to the file", "stop that process"),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", "run midwatch db verify"),
    sqlite3.SQLITE_NOTADB: ("the file is damaged", "run midwatch db verify"),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", "check its directory"),
}


def unstorable(error: Exception) -> Unstorable | Diverged:
    """Say that what was to be written does not fit.

    >>> str(unstorable(OverflowError("int too large")))
    'cannot be stored: OverflowError: int too large'
    """
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError) and any(t in text for t in _TABLES_OF_THE_FOLD):
        return Diverged(
            f"memory and the event log have parted: {text}", remedy="send again in a moment"
        )
    return Unstorable(f"cannot be stored: {type(error).__name__}: {text}")


def commit_failed(failed: str, error: sqlite3.Error) -> CommitFailed:
    """Say why the file takes nothing, and what to do; `failed` says what was tried.

    >>> error = sqlite3.OperationalError("database or disk is full")
    >>> error.sqlite_errorcode = sqlite3.SQLITE_FULL
    >>> str(commit_failed("nothing done", error))
    'nothing done: the disk is full (database or disk is full); free disk space, then try again'
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    found = _SAYS.get(code)
    if found is None:
        return CommitFailed(f"{failed}: {error}", remedy="check the file, then try again")
    return CommitFailed(f"{failed}: {found[0]} ({error})", remedy=f"{found[1]}, then try again")
