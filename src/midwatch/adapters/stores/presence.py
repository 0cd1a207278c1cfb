"""Whether the files of an open journal are still those that have its name.

Law: what is committed into a file that nobody can find again is lost, so nobody is told that it was
kept. Who owns a journal looks before each write and every few seconds; what it finds gone stays
gone for it, whatever is put there later.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from midwatch.errors import Gone

# SQLite's own files beside the journal: it writes into them, and by no other name.
BESIDE = ("", "-wal", "-shm")

_Identity = tuple[int, int]


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


class Presence:
    """The files that an owner has open, by what the file system calls them."""

    def __init__(self, path: Path, lock: IO[bytes]) -> None:
        # By its whole path: a folder that was moved takes a relative one along.
        self._path = path.absolute()
        self._known = {
            file: _identity(file.stat())
            for file in (self._path.with_name(f"{self._path.name}{end}") for end in BESIDE)
            if file.exists()
        }
        self._lock = Path(lock.name)
        self._known[self._lock] = _identity(os.fstat(lock.fileno()))
        self.error: Gone | None = None

    def check(self) -> None:
        """Raises Gone when a file was removed, moved or replaced."""
        if self.error is None:
            self.error = next(filter(None, map(self._missing, self._known)), None)
        if self.error is not None:
            raise self.error

    def _missing(self, file: Path) -> Gone | None:
        try:
            there = _identity(file.stat()) == self._known[file]
            what = "was replaced by another file"
        except OSError:
            there, what = False, "was removed or moved"
        if there:
            return None
        if file == self._lock and self._path.exists():
            return Gone(
                f"{what} while it was locked; midwatch accepts nothing more, because another "
                f"process may use the file",
                place=str(file),
                remedy=f"restart midwatch: {self._path.name} itself is intact",
            )
        return Gone(
            f"{what} while it was open; midwatch accepts nothing more, because it could not be "
            f"found again",
            place=str(file),
            remedy=f"put {self._path.name} back, or restore a backup with midwatch db restore, "
            f"and restart",
        )
