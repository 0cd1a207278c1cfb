"""News that something was committed, carried from the engine's thread to whoever looks.

Law: it says that there is something new, never what: each reader looks for itself, so nothing is
kept for slow readers, and nothing is lost by one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from midwatch.ports import Row


class News:
    """Counts commits that appended something.

    A commit is counted before whoever waits for its answer goes on.
    """

    def __init__(self) -> None:
        self.count = 0
        self._over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def note(self, rows: Sequence[Row]) -> None:
        """Tell of a commit; from any thread."""
        if rows and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """End every wait; from the event loop."""
        self._over.set()
        self._wake()

    @property
    def is_over(self) -> bool:
        """Whether the server stops."""
        return self._over.is_set()

    def _wake(self) -> None:
        self.count += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def after(self, seen: int) -> None:
        """Wait until more were counted than `seen`, or it is over."""
        while self.count <= seen and not self.is_over:
            await self._news.wait()

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until it is over."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), seconds)
