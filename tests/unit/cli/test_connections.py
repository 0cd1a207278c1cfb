"""What comes over a connection, byte for byte: a real listener around an app that says what it saw.

The app is a few lines here; `serve`, `agent serve` and `proxy` are around the same listener.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from midwatch.cli import heads
from midwatch.cli.door import Door, Files
from midwatch.cli.listening import bind, server_of

HOST = b"Host: m\r\n"
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST /x HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
Talk = Callable[["Line"], Awaitable[None]]


class Line:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer with a length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        size = int(headers.get("content-length", "0"))
        return int(first.split()[1]), headers, await self._reader.readexactly(size)

    async def ends(self) -> bool:
        """Say whether nothing more comes."""
        try:
            return await self._reader.read(1) == b""
        except ConnectionResetError:
            return True


class Seen:
    """The app: it reads the body and tells what it was given; `/wait` waits to be let on."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/wait":
            await self.go_on.wait()
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.bodies.append(b"gone")
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        told = json.dumps(
            {
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "body": body.decode(),
                "headers": [[k.decode(), v.decode("latin-1")] for k, v in scope["headers"]],
            }
        ).encode()
        length = [(b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": told})


def over(talk: Callable[[Line, Seen], Awaitable[None]], files: Files | None = None) -> Door:
    """Talk to the listener over one connection; gives its door."""
    door = Door(files or Files(16, 16))

    async def run() -> None:
        app, bound = Seen(), bind("127.0.0.1", 0)
        server = server_of(app, 1, door)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([bound])  # without its signals and its sleeps
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            await talk(Line(reader, writer), app)
            writer.close()
        app.go_on.set()
        for one in server.servers:
            one.close()

    asyncio.run(run())
    return door


GOOD = {
    "a path": (b"GET /x?y=1 HTTP/1.1\r\n" + HOST + b"\r\n", "/x", "y=1"),
    "HTTP/1.0": (b"GET /x HTTP/1.0\r\n\r\n", "/x", ""),
    "a whole URL": (b"GET http://m/x?y=1 HTTP/1.1\r\n" + HOST + b"\r\n", "/x", "y=1"),
    "a whole URL without a path": (b"GET http://M HTTP/1.1\r\n" + HOST + b"\r\n", "/", ""),
    "an address as a host": (b"GET /x HTTP/1.1\r\nHost: [::1]:8600\r\n\r\n", "/x", ""),
    "an empty host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", "/x", ""),
    "options of a connection": (
        b"GET /x HTTP/1.1\r\nConnection: Keep-Alive, TE\r\n" + HOST + b"\r\n",
        "/x",
        "",
    ),
    "as many fields as may be": (
        b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * (heads.MAX_FIELDS - 1) + HOST + b"\r\n",
        "/x",
        "",
    ),
    "a large head": (
        b"GET /x HTTP/1.1\r\nA: " + b"b" * 31_000 + b"\r\n" + HOST + b"\r\n",
        "/x",
        "",
    ),
    "empty lines first": (b"\r\n\r\nGET /x HTTP/1.1\r\n" + HOST + b"\r\n", "/x", ""),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("packets", [1, 20])
def test_a_good_head_is_a_request_however_it_is_cut(name: str, packets: int) -> None:
    """In one packet or in many."""
    sent, path, query = GOOD[name]
    cut = -(-len(sent) // packets)

    async def talk(line: Line, app: Seen) -> None:
        for at in range(0, len(sent), cut):
            await line.say(sent[at : at + cut])
            await asyncio.sleep(0)
        status, _, body = await line.answer()
        told = json.loads(body)
        assert (status, told["path"], told["query"]) == (200, path, query)

    assert not +over(talk).turned_away


BAD = {
    "two hosts": GET + HOST * 2 + b"\r\n",
    "two hosts that differ": GET + HOST + b"Host: n\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a host of two words": GET + b"Host: m n\r\n\r\n",
    "a host with a path": GET + b"Host: m/n\r\n\r\n",
    "a host with a user": GET + b"Host: u@m\r\n\r\n",
    "a list of hosts": GET + b"Host: m, n\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a URL of another host": b"GET http://n/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a URL that is none": b"GET http://[::1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a URL of no web": b"GET ftp://m/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT m:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "Connection: host": GET + b"Connection: close, Host\r\n" + HOST + b"\r\n",
    "Connection: length": POST + b"Connection: content-length\r\nContent-Length: 2\r\n\r\n{}",
    "Connection: authorization": GET + b"Connection: Authorization\r\n" + HOST + b"\r\n",
    "a Connection of two words": GET + b"Connection: a b\r\n" + HOST + b"\r\n",
    "bytes in a path": b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a length beyond all": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a length below nothing": POST + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "a chunk beyond all": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    "a chunk that is none": CHUNKED + b"xyz\r\n",
    "a space before a colon": GET + b"Host : m\r\n\r\n",
    "a folded field": GET + HOST + b"A: b\r\n c\r\n\r\n",
}
LARGE = {
    "a target": b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that never ends": b"GET /" + b"x" * 400_000,
    "a field": GET + HOST + b"A: " + b"x" * 40_000 + b"\r\n\r\n",
    "a field that never ends": GET + HOST + b"A: " + b"x" * 400_000,
    "a name that never ends": GET + HOST + b"A" * 400_000,
    "many fields": GET + b"A: b\r\n" * heads.MAX_FIELDS + HOST + b"\r\n",
    "many trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * (heads.MAX_FIELDS + 1) + b"\r\n",
    "large trailers": CHUNKED + b"0\r\nA: " + b"x" * 40_000 + b"\r\n\r\n",
    "nothing but empty lines": b"\r\n" * 40_000,
}


@pytest.mark.parametrize("name", [*BAD, *LARGE])
def test_what_is_no_request_is_told_so_and_ends(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """400, or 431 for what is too large; no traceback, nothing of it reaches the app whole."""

    async def talk(line: Line, app: Seen) -> None:
        await line.say({**BAD, **LARGE}[name])
        status, headers, body = await line.answer()
        assert status == (431 if name in LARGE else 400)
        assert body
        assert headers["connection"] == "close"
        assert await line.ends()
        assert [body for body in app.bodies if body != b"gone"] == []

    door = over(talk)
    assert dict(+door.turned_away) == {"large" if name in LARGE else "bad": 1}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_field_after_the_body_is_none_of_the_request() -> None:
    """Neither beside the others nor in their place, and the next request has its own."""

    async def talk(line: Line, app: Seen) -> None:
        await line.say(CHUNKED + b"0\r\nAuthorization: Bearer mw\r\nHost: other\r\n\r\n")
        told = json.loads((await line.answer())[2])
        assert told["body"] == "{}"
        assert told["headers"] == [["host", "m"], ["transfer-encoding", "chunked"]]
        await line.say(POST + b"Authorization: own\r\nContent-Length: 0\r\n\r\n")
        told = json.loads((await line.answer())[2])
        assert ["authorization", "own"] in told["headers"]

    assert not +over(talk).turned_away


def test_what_is_owed_is_answered_before_what_is_no_request() -> None:
    """A bad head behind a good one: the good one's answer is its own, and then the line ends."""

    async def talk(line: Line, app: Seen) -> None:
        good = b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n"
        await line.say(good + good.replace(b"wait", b"then") + b"GET / HTTP/1.1\r\n\r\n")
        while not app.scopes:
            await asyncio.sleep(0.001)
        app.go_on.set()
        for path in ("/wait", "/then"):
            status, _, body = await line.answer()
            assert (status, json.loads(body)["path"]) == (200, path)
        assert await line.ends()

    assert +over(talk).turned_away == {"bad": 1}


def test_a_body_that_goes_wrong_behind_another_request_is_no_answer_to_that() -> None:
    """The one that waits has not begun, and never does."""

    async def talk(line: Line, app: Seen) -> None:
        await line.say(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + CHUNKED + b"xyz\r\n")
        while not app.scopes:
            await asyncio.sleep(0.001)
        app.go_on.set()
        assert (await line.answer())[0] == 200
        assert await line.ends()
        assert len(app.scopes) == 1

    over(talk)


def test_requests_that_wait_behind_one_have_a_number() -> None:
    """A thousand in one packet: some of them are answered, and the line ends."""

    async def talk(line: Line, app: Seen) -> None:
        one = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"
        await line.say(one.replace(b"/x", b"/wait") + one * 1_000)
        while not app.scopes:
            await asyncio.sleep(0.001)
        app.go_on.set()
        answered = 0
        try:
            while (await line.answer())[0] == 200:
                answered += 1
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        assert 0 < answered <= 101

    assert +over(talk).turned_away == {"bad": 1}


def test_one_more_than_may_be_open_is_told_to_come_back() -> None:
    """While the only one that may be open waits for its answer."""

    async def talk(line: Line, app: Seen) -> None:
        await line.say(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        while not app.scopes:
            await asyncio.sleep(0.001)
        address = app.scopes[0]["server"]
        reader, writer = await asyncio.open_connection(*address)
        status, headers, _ = await Line(reader, writer).answer()
        assert (status, headers["retry-after"]) == (503, "1")
        writer.close()
        app.go_on.set()
        assert (await line.answer())[0] == 200

    assert +over(talk, Files(1, 16)).turned_away == {"full": 1}
