"""A copy takes the place of a journal's file.

Law: under the file's own name there is the old journal or the new one, whole, at each moment; the
old one is kept beside it. No log of the old one is left for the new one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from msgspec import Struct

from midwatch.adapters.stores.names import Tokens
from midwatch.adapters.stores.sqlite import SqliteStore, named
from midwatch.adapters.stores.sqlite_file import apply_migrations, hand_over, inspect_header
from midwatch.errors import BadDatabase

LOGS = ("-wal", "-shm")


def put_back(copy: Path, file: Path, aside: Path) -> None:
    """Put a copy in the place of a file, whose lock the caller holds; the old one goes `aside`.

    Raises BadDatabase; then the file is what it was.
    """
    part = file.with_name(f"{file.name}.restore")
    reader = SqliteStore.read_only(copy)
    try:
        reader.backup(part)
    finally:
        reader.close()
    try:
        _migrate(part)
        hand_over(part, file)
        if file.exists():
            _fold_log(file, aside)
            _keep(file, aside)
            hand_over(aside, file)
        part.replace(file)
    except OSError as error:
        raise BadDatabase(
            f"could not be replaced: {error.strerror}", place=str(file), remedy="check the disk"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    _sync(file.parent)


class Held(Struct, frozen=True):
    """A token in a file: whose it is, and whether it was revoked."""

    whose: str
    revoked: bool


def tokens_of(file: Path) -> dict[str, Held]:
    """List the tokens in a file by their ids."""
    db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    try:
        held = named(db).all(Tokens.holders)
    except sqlite3.Error:
        return {}
    finally:
        db.close()
    return {
        one.id: Held(f"{one.source or one.role} {one.name}".strip(), bool(one.revoked_at))
        for one in held
    }


def _migrate(part: Path) -> None:
    db = sqlite3.connect(part, isolation_level=None)
    try:
        apply_migrations(db, inspect_header(part))
    except sqlite3.Error as error:
        raise BadDatabase(f"cannot be migrated: {error}", place=str(part)) from error
    finally:
        db.close()
    with part.open("rb") as written:
        os.fsync(written.fileno())


def _fold_log(file: Path, aside: Path) -> None:
    """Put what is in the log into the file; when that cannot be, keep the log beside it."""
    try:
        db = sqlite3.connect(file, isolation_level=None)
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode = DELETE")
        finally:
            db.close()
    except sqlite3.Error:
        pass  # it is damaged; what there is of it is kept
    for end in LOGS:
        log = file.with_name(f"{file.name}{end}")
        if log.exists():
            log.replace(aside.with_name(f"{aside.name}{end}"))


def _keep(file: Path, aside: Path) -> None:
    try:
        os.link(file, aside)
    except OSError:  # not every file system has links
        shutil.copy2(file, aside)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
