"""What everybody sees of the page: one view for a commit at most, its bytes shared.

Law: readers never hold up the writer. However many look, the engine is asked at most twice a
second, more rarely when a look costs it much, and never when nobody looks; drawing happens on
another thread. Nobody gets a view that is older than the question: who has to wait for a newer one
waits for the same one as everybody else. Nothing in it depends on who looks.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

from msgspec import Struct

from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND
from midwatch.engine.clock import wall_ms
from midwatch.engine.conditions import Conditions
from midwatch.engine.loop import Loop
from midwatch.engine.overview import Looker, Overview
from midwatch.errors import Busy
from midwatch.web.cards import Cards
from midwatch.web.news import News

MINUTE_MS = 60 * SECOND
A_SECOND = 2  # views
ENGINE_SHARE = 0.02  # of its time that looking may take
FOLLOW_S = 1.0  # between two wakings of one who follows
WAKES_A_SECOND = 100  # of all who follow together
PACKED = 1  # zlib's level: the fastest already makes it a tenth


class View(Struct, frozen=True):
    """The middle of the page, as bytes and packed; `tag` changes when and only when they do.

    `packed` is raw deflate without an end: what stands before and after it is packed alone.
    """

    after: int  # commits that it knows
    minute: int
    open: int
    tag: str
    main: bytes
    packed: bytes


class Figures(Struct):
    """What was done for those who look; read by /metrics."""

    looks: int = 0  # at the engine's state
    drawn: int = 0
    draw_s: float = 0.0  # CPU
    followers: int = 0

    def tell(self, conditions: Conditions) -> None:
        """Put them into /metrics."""
        for name, says, value in (
            ("looks", "Reads of the state for the web UI.", lambda: self.looks),
            ("views", "Renderings of the web UI.", lambda: self.drawn),
            ("view_seconds", "CPU time of rendering the web UI.", lambda: self.draw_s),
        ):
            conditions.counter(f"midwatch_page_{name}", says, value)
        says = "Browsers connected to the web UI."
        conditions.gauge("midwatch_page_followers", says, lambda: self.followers)


class _Follower:
    def __init__(self) -> None:
        self.news = asyncio.Event()


class Shown:
    """Gives the view of now, and says when it changes; used on the event loop's thread."""

    def __init__(self, loop: Loop, looker: Looker, cards: Cards, news: News) -> None:
        self.figures = Figures()
        self._loop = loop
        self._looker = looker
        self._cards = cards
        self._news = news
        self._view: View | None = None
        self._making: asyncio.Task[None] | None = None
        self._begun: deque[float] = deque(maxlen=A_SECOND)
        self._not_before = 0.0
        self._followers: dict[_Follower, None] = {}
        self._driver: asyncio.Task[None] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="draw")

    async def current(self) -> View:
        """Give a view that knows every commit up to now. Raises Busy when the engine has ended."""
        wanted = self._news.count
        while True:
            view, minute = self._view, wall_ms() // MINUTE_MS
            if view is not None and view.after >= wanted and view.minute == minute:
                return view
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(self._make())
            # One who leaves takes the view from nobody else.
            await asyncio.shield(self._making)

    async def follow(self) -> AsyncGenerator[str]:
        """Give the view's tag, now and each time it has changed, until the server stops."""
        one = _Follower()
        self._followers[one] = None
        self.figures.followers = len(self._followers)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        try:
            yield (await self.current()).tag
            while not self._news.is_over:
                await one.news.wait()
                one.news.clear()
                if self._view is not None and not self._news.is_over:
                    yield self._view.tag
        except Busy:
            return
        finally:
            del self._followers[one]
            self.figures.followers = len(self._followers)

    async def _drive(self) -> None:
        """Have a view made when something was committed, and wake those who follow, a few a time.

        They all look then, so that all at once would be a crowd at the door.
        """
        told = ""
        while self._followers and not self._news.is_over:
            seen = self._news.count
            try:
                view = await self.current()
            except Busy:
                await self._news.pause(FOLLOW_S)
                continue
            if view.tag != told:
                told = view.tag
                rest = time.monotonic() + FOLLOW_S
                for one in list(self._followers):
                    one.news.set()
                    await self._news.pause(1 / WAKES_A_SECOND)
                await self._news.pause(rest - time.monotonic())
            await self._news.after(seen)
        for one in self._followers:
            one.news.set()

    async def _make(self) -> None:
        """Make a view: look on the engine's thread, draw on another one."""
        await self._slot()
        after, now = self._news.count, wall_ms()
        overview, cost_s = await asyncio.wrap_future(self._loop.view(self._look))
        self._not_before = time.monotonic() + cost_s / ENGINE_SHARE
        self.figures.looks += 1
        minute = now // MINUTE_MS

        def draw() -> tuple[View, float]:
            began = time.thread_time()
            tag, main, packed = drawn(self._cards, overview, minute * MINUTE_MS)
            view = View(after, minute, overview.open, tag, main, packed)
            return view, time.thread_time() - began

        self._view, spent = await asyncio.get_running_loop().run_in_executor(self._pool, draw)
        self.figures.drawn += 1
        self.figures.draw_s += spent

    async def _slot(self) -> None:
        """Wait until another view may be made."""
        free_at = self._not_before
        if len(self._begun) == A_SECOND:
            free_at = max(free_at, self._begun[0] + 1.0)
        wait_s = free_at - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._begun.append(time.monotonic())

    def _look(self, shard: Shard) -> tuple[Overview, float]:
        """Look, and say what it cost; on the engine's thread."""
        began = time.thread_time()
        return self._looker.look(shard), time.thread_time() - began


def drawn(cards: Cards, overview: Overview, now: int) -> tuple[str, bytes, bytes]:
    """Draw an overview as it is `now` (milliseconds); gives its tag, its bytes, the same packed."""
    main = cards.draw(overview, now)
    tag = blake2b(main, digest_size=12).hexdigest()
    main = main.replace(b"<main>", b'<main data-tag="%s">' % tag.encode(), 1)
    packer = zlib.compressobj(PACKED, wbits=-zlib.MAX_WBITS)
    return tag, main, packer.compress(main) + packer.flush(zlib.Z_FULL_FLUSH)
