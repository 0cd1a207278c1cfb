"""Give a journal that was just migrated its archive, where no server does it at its start."""

from __future__ import annotations

import contextlib
from pathlib import Path

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.engine import archive
from midwatch.engine.handle import fold
from midwatch.errors import BadDatabase


def fill_archive(file: Path) -> None:
    """Write a row for each incident that is closed, where there was no archive before."""
    store = SqliteStore.own(file)
    try:
        with contextlib.suppress(BadDatabase):  # its first start says what is to be done
            archive.complete(store, fold(store))
    finally:
        store.close()
