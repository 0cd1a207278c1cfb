"""A midwatch database as a file: whether it is one, whose it is, and how it is made.

Law: what is no midwatch database, or not whole, is refused before a single byte of it changes. One
process owns a file, by an OS lock that dies with it. A new file gets its name when it is whole.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

from midwatch.errors import BadDatabase, Owned

APPLICATION_ID = 0x6D696477  # "midw"
MAGIC = b"SQLite format 3\x00"


@cache
def migrations() -> list[tuple[int, str]]:
    """List the numbered migrations with their SQL, in order."""
    folder = Path(__file__).parent / "migrations"
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(int(name[:4]), (folder / name).read_text("utf-8")) for name in files]


def schema(connection: sqlite3.Connection) -> int:
    """Say by which migration a database was brought to what it is."""
    return connection.execute("PRAGMA user_version").fetchone()[0]


# Files that this process has open through SQLite. POSIX drops all locks of a process on a file when
# it closes any descriptor of it, so such a file must never be opened past SQLite: another process
# would take itself for the last user, and delete the log under the owner's feet.
_open_here: Counter[Path] = Counter()
_counting = Lock()


def note_open(path: Path) -> None:
    """Remember that SQLite has a file open in this process."""
    with _counting:  # readers come and go on threads of their own
        _open_here[path.absolute()] += 1


def note_closed(path: Path) -> None:
    """Forget one opening."""
    with _counting:
        _open_here[path.absolute()] -= 1


def inspect_header(path: Path) -> int:
    """Give the schema version of a midwatch file, read from its bytes alone.

    Raises BadDatabase, with the file left as it was, for anything else. A file that this process
    has open was inspected then.
    """
    if _open_here[path.absolute()] > 0:
        return migrations()[-1][0]
    place = str(path)
    remedy = "check the path, or restore the file from a backup"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise BadDatabase(f"cannot be read: {error.strerror}", place=place, remedy=remedy) from None
    if len(header) < 100 or not header.startswith(MAGIC):
        raise BadDatabase("not an SQLite database", place=place, remedy=remedy)
    if int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise BadDatabase("the database belongs to another program", place=place, remedy=remedy)
    page_size = int.from_bytes(header[16:18])
    page_size = 65_536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32])
    # With a write-ahead log beside it the file may lag behind its own header.
    log = path.with_name(f"{path.name}-wal")
    logged = log.exists() and log.stat().st_size > 0
    if not logged and (size % page_size or size < pages * page_size):
        says = f"the file is truncated: {size} bytes of {pages * page_size}"
        raise BadDatabase(says, place=place, remedy=remedy)
    version = int.from_bytes(header[60:64])
    newest = migrations()[-1][0]
    if version > newest:
        says = (
            f"the file was written by a newer midwatch (schema {version}, this one knows {newest})"
        )
        raise BadDatabase(says, place=place, remedy="upgrade midwatch")
    return version


def take_lock(path: Path) -> IO[bytes]:
    """Take the lock beside a file; it is let go when the process ends, however it ends."""
    path = path.resolve()  # by whatever link it is named, it is the same file
    beside = path.with_name(f"{path.name}.lock")
    try:
        file = beside.open("a+b")
        hand_over(beside, path)
    except OSError as error:
        raise BadDatabase(
            f"the lock file cannot be used: {beside.name}: {error.strerror}",
            place=str(path),
            remedy="make the directory writable for the user of the server, or choose another",
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read(32).decode("ascii", "replace") or "unknown"
        file.close()
        raise Owned(
            f"in use by another midwatch (pid {owner})",
            place=str(path),
            remedy="use --server URL with $MIDWATCH_TOKEN, or stop that process",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file


def hand_over(made: Path, path: Path) -> None:
    """Give what root made beside a journal to whom the journal belongs, else its folder.

    Else a server that runs as another user could not open what an operator left behind.
    """
    if os.geteuid() == 0:
        whose = (path if path.exists() else path.absolute().parent).stat()
        with suppress(OSError):  # a container may not let root do that, and has no other user
            os.chown(made, whose.st_uid, whose.st_gid)


def create_file(path: Path) -> None:
    """Make an empty journal; it gets its name only when it is whole and on disk."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(0o600)  # whoever reads it sees all that happened; SQLite's own files follow it
    connection = sqlite3.connect(part, isolation_level=None)
    try:
        apply_migrations(connection, 0)
    finally:
        connection.close()
    hand_over(part, path)
    part.replace(path)


def apply_migrations(connection: sqlite3.Connection, version: int) -> None:
    """Apply what is newer than `version`, each migration whole or not at all."""
    if version == 0:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for number, sql in migrations():
        if number > version:
            script = f"BEGIN IMMEDIATE;{sql};PRAGMA user_version = {number};COMMIT;"
            connection.executescript(script)
