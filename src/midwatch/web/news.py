"""News that something was committed, carried from the engine's thread to whoever looks.

Law: it says that there is something new, never what: each reader looks for itself, so nothing is
kept for slow readers, and nothing is lost by one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from midwatch.ports import Row

PAUSE_S = 1.0  # each reader looks at everything anew, and a storm commits many times a second


class News:
    """Counts commits that appended something."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._count = 0
        self._over = asyncio.Event()

    def note(self, rows: Sequence[Row]) -> None:
        """Tell of a commit; from any thread."""
        if rows and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """End every reader; from the event loop."""
        self._over.set()
        self._wake()

    def _wake(self) -> None:
        self._count += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def read(self) -> AsyncIterator[int]:
        """Give a growing number each time there is news, at most once in PAUSE_S."""
        seen = self._count
        while not self._over.is_set():
            if self._count == seen:
                await self._news.wait()
                continue
            seen = self._count
            yield seen
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), PAUSE_S)
