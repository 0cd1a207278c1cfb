"""Browser tabs as a server sees them: each follows the page and fetches it when it has changed.

They do what web/static/page.js does, on one thread for all.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlencode


def session(port: int, token: str) -> str:
    """Log in; gives the cookie."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login", urlencode({"token": token}), form)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return (answer.getheader("set-cookie") or "").partition(";")[0]


class Tab:
    """One of them: the page that it shows, and how often it asked."""

    def __init__(self) -> None:
        self.tag = ""
        self.body = b""
        self.fetched = 0
        self.unchanged = 0
        self.refused = 0
        self.over = False  # the server ended what it follows

    @property
    def page(self) -> str:
        """What it shows."""
        return gzip.decompress(self.body).decode()


class Tabs:
    """So many tabs of one session, open while the block runs."""

    def __init__(self, port: int, cookie: str, count: int) -> None:
        self.tabs = [Tab() for _ in range(count)]
        self._port = port
        self._head = f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with suppress(RuntimeError):  # the server ended them all, and the loop with them
            self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(20)

    def showing(self, text: str) -> int:
        """How many show this text."""
        return sum(text in tab.page for tab in self.tabs if tab.body)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._tasks = [self._loop.create_task(self._follow(tab)) for tab in self.tabs]
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _follow(self, tab: Tab) -> None:
        page = await asyncio.open_connection("127.0.0.1", self._port)
        news = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            news[1].write(f"GET /changes HTTP/1.1\r\n{self._head}\r\n".encode())
            # An empty chunk is the end: the server keeps the connection a little longer.
            while (line := await news[0].readline()) and line != b"0\r\n":
                name, _, value = line.decode().strip().partition(": ")
                if name == "data" and value != tab.tag.partition(".")[0]:
                    await self._fetch(tab, *page)
            tab.over = True
        finally:
            page[1].close()
            news[1].close()

    async def _fetch(
        self, tab: Tab, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        knows = f'If-None-Match: "{tab.tag}"\r\n' if tab.tag else ""
        writer.write(f"GET / HTTP/1.1\r\n{self._head}{knows}Accept-Encoding: gzip\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (one.partition(": ") for one in head[1:])
        }
        status = int(head[0].split()[1])
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        tab.fetched += 1
        tab.unchanged += status == 304
        tab.refused += status not in (200, 304)
        if status == 200:
            tab.body = body
            tab.tag = headers["etag"].strip('"').removesuffix(".gz")
