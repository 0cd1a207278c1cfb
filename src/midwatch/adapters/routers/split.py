"""The embedded reverse proxy: every new request goes to the release that the pointer names.

Law: the pointer is one value in one process; a request reads it once, when it begins, and what
begins after a move was answered goes to the new release. An older epoch is refused. What is already
under way is finished, or cut when that is asked for, and counted. Nothing is buffered: bodies
stream both ways. A WebSocket is refused, never half carried.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from midwatch.errors import HarnessError
from midwatch.ports import Observed

if TYPE_CHECKING:
    import httpx2

    from midwatch.outbound import Outbound

MAX_OPEN = 1_000
CONNECT_S, ANSWER_S = 5.0, 300.0
MAX_BODY = 64 * 1024
# What is about one connection and never passed on (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]


class SplitOptions(Struct, frozen=True, tag="split"):
    """Where `midwatch proxy` listens for commands, and which variable holds its token."""

    url: str
    token_env: str
    services: tuple[str, ...] = ()


class Served(Struct, frozen=True):
    """What the proxy serves, and how many requests are open for each release."""

    release: str
    epoch: int
    open: dict[str, int] = field(default_factory=dict[str, int])
    cut: int = 0


class SplitRouter:
    """Moves the proxy's pointer over its control address."""

    def __init__(self, options: SplitOptions, token: str, outbound: Outbound) -> None:
        self._url = f"{options.url.rstrip('/')}/pointer"
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._outbound = outbound

    def apply(self, service: str, release: str, epoch: int, operation: str) -> None:
        """Serve a release. Raises HarnessError when the proxy refuses."""
        del service, operation
        body = msgspec.json.encode(Observed(release, epoch))
        answer = self._outbound.post(self._url, body, self._headers)
        if answer.status != 200:
            says = answer.body[:200].decode("utf-8", "replace")
            raise HarnessError(f"the proxy answered {answer.status}: {says}")

    def observe(self, service: str) -> Observed:
        """Look at what is served. Raises HarnessError when that cannot be seen."""
        del service
        answer = self._outbound.get(self._url, self._headers)
        try:
            if answer.status != 200:
                raise HarnessError(f"the proxy answered {answer.status}")
            served = msgspec.json.decode(answer.body, type=Served)
        except msgspec.MsgspecError as error:
            raise HarnessError(f"the proxy's answer: {error}") from None
        return Observed(served.release, served.epoch)


class Refused(Exception):
    """A move that was not made, with the status that says why."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Pointer:
    """Which release is served; kept in a file, so that a killed proxy comes back with it."""

    def __init__(self, upstreams: dict[str, str], first: str, file: Path | None = None) -> None:
        self.upstreams = upstreams
        self._file = file
        self._served = Observed(first, 0)
        if file is not None and file.exists():
            self._served = msgspec.json.decode(file.read_bytes(), type=Observed)

    @property
    def release(self) -> str:
        """What a request that begins now gets."""
        return self._served.release

    @property
    def epoch(self) -> int:
        """The newest epoch that was served."""
        return self._served.epoch

    def move(self, to: Observed) -> None:
        """Serve another release from now on. Raises Refused.

        >>> pointer = Pointer({"v1": "http://a", "v2": "http://b"}, "v2")
        >>> pointer.move(Observed("v1", 3))
        >>> pointer.release
        'v1'
        """
        if to.release not in self.upstreams:
            raise Refused(404, f"no upstream is called {to.release!r}")
        if to.epoch < self.epoch:
            raise Refused(409, f"epoch {to.epoch} is older than {self.epoch}")
        if self._file is not None:
            part = self._file.with_name(self._file.name + ".part")
            part.write_bytes(msgspec.json.encode(to))
            part.replace(self._file)
        self._served = to


class Split:
    """The proxy as an ASGI app."""

    def __init__(self, pointer: Pointer, client: httpx2.AsyncClient, *, cuts: bool = False) -> None:
        """`cuts`: requests to a release that is no longer served are cut at once."""
        self._pointer = pointer
        self._client = client
        self._cuts = cuts
        self._open: dict[str, set[asyncio.Task[None]]] = {}
        self._cut = 0

    @property
    def served(self) -> Served:
        """What is served, and what is open."""
        still = {name: len(tasks) for name, tasks in self._open.items() if tasks}
        return Served(self._pointer.release, self._pointer.epoch, still, self._cut)

    def move(self, to: Observed) -> None:
        """Move the pointer. Raises Refused."""
        self._pointer.move(to)
        if self._cuts:
            for name, tasks in self._open.items():
                if name != to.release:
                    self._cut += len(tasks)
                    for task in tasks:
                        task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers: Headers = list(scope["headers"])
        if any(name == b"upgrade" for name, _ in headers):
            await _say(send, 501, "a WebSocket is not carried here; connect to the service itself")
            return
        if sum(map(len, self._open.values())) >= MAX_OPEN:
            await _say(send, 503, f"{MAX_OPEN} requests are open; come back", retry=b"1")
            return
        release = self._pointer.release  # once: what begins now stays there
        tasks = self._open.setdefault(release, set())
        task = asyncio.ensure_future(self._carry(scope, headers, receive, send, release))
        tasks.add(task)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            raise ConnectionAbortedError("cut: its release is no longer served") from None
        finally:
            tasks.discard(task)

    async def _carry(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send, release: str
    ) -> None:
        import httpx2

        begun = False
        url = self._pointer.upstreams[release] + _target(scope)
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)
        try:
            async with self._client.stream(
                scope["method"],
                url,
                headers=[*passed(headers), *_forwarded(scope, headers)],
                content=_body(receive) if has_body else None,
            ) as answer:
                kept = [*passed(answer.headers.raw), (b"x-midwatch-release", release.encode())]
                begun = True
                await send(
                    {"type": "http.response.start", "status": answer.status_code, "headers": kept}
                )
                async for part in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except httpx2.TimeoutException:
            if begun:
                raise
            await _say(send, 504, f"{release} did not answer in time")
        except httpx2.HTTPError as error:
            if begun:
                raise  # the connection is cut: half an answer must not look like a whole one
            await _say(send, 502, f"{release} cannot be reached: {type(error).__name__}")


def passed(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Keep the headers that are not about one connection.

    >>> passed([(b"Connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"accept", b"*/*")])
    [(b'accept', b'*/*')]
    """
    found = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in found
        if name == b"connection"
        for token in value.split(b",")
    }
    return [one for one in found if one[0] not in HOP_BY_HOP and one[0] not in named]


def _forwarded(scope: Scope, headers: Headers) -> Headers:
    client = scope.get("client") or ("", 0)
    host = next((value for name, value in headers if name == b"host"), b"")
    return [
        (b"x-forwarded-for", str(client[0]).encode()),
        (b"x-forwarded-proto", str(scope.get("scheme", "http")).encode()),
        (b"x-forwarded-host", host),
    ]


def _target(scope: Scope) -> str:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client went away")
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _say(send: Send, status: int, says: str, retry: bytes = b"") -> None:
    body = msgspec.json.encode({"error": says})
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if retry:
        headers.append((b"retry-after", retry))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Control:
    """The control address as an ASGI app: GET and POST /pointer, with a token."""

    def __init__(self, split: Split, token: str) -> None:
        self._split = split
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        import hmac

        if scope["type"] != "http":
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            await _say(send, 401, "a token is needed")
        elif scope["path"] != "/pointer" or scope["method"] not in ("GET", "POST"):
            await _say(send, 404, "there is /pointer alone")
        elif scope["method"] == "POST":
            await self._move(receive, send)
        else:
            await self._tell(send)

    async def _move(self, receive: Receive, send: Send) -> None:
        body = b""
        with contextlib.suppress(ConnectionResetError):
            async for part in _body(receive):
                body += part
                if len(body) > MAX_BODY:
                    await _say(send, 413, "too large")
                    return
        try:
            self._split.move(msgspec.json.decode(body, type=Observed))
        except msgspec.MsgspecError as error:
            await _say(send, 400, str(error))
        except Refused as refused:
            await _say(send, refused.status, str(refused))
        except OSError as error:
            await _say(send, 500, f"the pointer's file: {error.strerror or error}")
        else:
            await self._tell(send)

    async def _tell(self, send: Send) -> None:
        body = msgspec.json.encode(self._split.served)
        headers: Headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
