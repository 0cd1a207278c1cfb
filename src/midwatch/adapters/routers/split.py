"""The embedded reverse proxy: every new request goes where the pointer says.

Law: the pointer is one value in one process; a request reads it once, when it begins, and what
begins after a move was answered goes to the new release. An older epoch is refused. What is already
under way is finished, or cut when that is asked for, and counted; it ends when its client hangs up.
A candidate gets the same keys again and again. Nothing is buffered: bodies stream both ways. A
WebSocket is refused, never half carried.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct, field

from midwatch.adapters.routers.options import SplitOptions
from midwatch.core.values.traffic import Traffic
from midwatch.errors import HarnessError
from midwatch.ports import Health

if TYPE_CHECKING:
    import httpx2

    from midwatch.outbound import Outbound

MAX_OPEN = 1_000
CONNECT_S, ANSWER_S, HEALTH_S = 5.0, 300.0, 3.0
MAX_BODY = 64 * 1024
# What is about one connection and never passed on (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

T = TypeVar("T")

PIN, PIN_TOKEN = b"x-midwatch-pin", b"x-midwatch-pin-token"

Headers = list[tuple[bytes, bytes]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]


class SplitSettings(Struct, frozen=True):
    """How the proxy carries requests.

    `key` is what a request is known by, `header:NAME` or `cookie:NAME`, else its address; `health`
    the path that says how a release is, `cuts` whether what is open is cut by a move. Who knows the
    `pin_token` may name the release that a request goes to: PIN is one, PIN_TOKEN the other header;
    it moves nothing, and without one nobody may.
    `max_open` requests at once are carried, and no more.
    """

    key: str = ""
    salt: bytes = b""
    health: str = ""
    slow_s: float = 1.0
    cuts: bool = False
    pin_token: str = ""
    max_open: int = MAX_OPEN


class Counted(Struct):
    """Answers of one release since the proxy began: all, 5xx or none at all, and slow ones."""

    requests: int = 0
    errors: int = 0
    slow: int = 0


class Served(Struct, frozen=True):
    """What the proxy serves, how many requests are open, and what came of those that are over.

    `began` is another one after each start: then what was counted starts anew.
    """

    traffic: Traffic
    open: dict[str, int] = field(default_factory=dict[str, int])
    cut: int = 0
    counted: dict[str, Counted] = field(default_factory=dict[str, Counted])
    began: int = 0


class SplitRouter:
    """Moves the proxy's pointer over its control address."""

    def __init__(self, options: SplitOptions, token: str, outbound: Outbound) -> None:
        self._base = options.url.rstrip("/")
        self._url = f"{self._base}/pointer"
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._outbound = outbound

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Serve a release. Raises HarnessError when the proxy refuses."""
        del service, operation
        body = msgspec.json.encode(traffic)
        answer = self._outbound.post(self._url, body, self._headers)
        if answer.status != 200:
            raise HarnessError(f"the proxy answered {answer.status}: {answer.says}")

    def observe(self, service: str) -> Traffic:
        """Look at what is served. Raises HarnessError when that cannot be seen."""
        del service
        return told_by(self._outbound, self._url, self._headers, Served).traffic

    def check(self, service: str, release: str) -> Health:
        """Let the proxy ask the release. Raises HarnessError when the proxy does not answer."""
        del service
        url = f"{self._base}/health/{release}"
        return told_by(self._outbound, url, self._headers, Health)


def told_by(outbound: Outbound, url: str, headers: dict[str, str], kind: type[T]) -> T:
    """Ask the proxy. Raises HarnessError when it says nothing known."""
    answer = outbound.get(url, headers)
    if answer.status != 200:
        raise HarnessError(f"the proxy answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as error:
        raise HarnessError(f"the proxy's response: {error}") from None


class _Digest(Struct):
    digest: str = ""


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
        self.traffic = Traffic(first, 0)  # what a request that begins now is shared by
        if file is not None and file.exists():
            self.traffic = msgspec.json.decode(file.read_bytes(), type=Traffic)

    def move(self, to: Traffic) -> None:
        """Serve something else from now on. Raises Refused.

        >>> pointer = Pointer({"v1": "http://a", "v2": "http://b"}, "v2")
        >>> pointer.move(Traffic("v1", 3))
        >>> pointer.traffic.release
        'v1'
        """
        for name in (to.release, *([to.candidate] if to.candidate else [])):
            if name not in self.upstreams:
                raise Refused(404, f"no upstream is named {name!r}")
        if to.epoch < self.traffic.epoch:
            raise Refused(
                409, f"epoch {to.epoch} is older than the current epoch {self.traffic.epoch}"
            )
        if not 0 <= to.weight <= 100 or bool(to.weight) is not bool(to.candidate):
            raise Refused(400, "the weight of a candidate must be 1 to 100")
        if self._file is not None:
            part = self._file.with_name(self._file.name + ".part")
            part.write_bytes(msgspec.json.encode(to))
            part.replace(self._file)
        self.traffic = to


class _Asked:
    """One request: what was asked, and whether its client is still there."""

    def __init__(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers = headers
        self.send = send
        self.gone = False
        names = (b"content-length", b"transfer-encoding")
        self.has_body = any(name in names for name, _ in headers)
        self._receive = receive
        self._heard = asyncio.Event()  # all of its body
        if not self.has_body:
            self._heard.set()

    async def body(self) -> AsyncIterator[bytes]:
        """Give its body. Raises ConnectionResetError when the client hangs up meanwhile."""
        async for part in _body(self._receive):
            yield part
        self._heard.set()

    async def leaves(self) -> None:
        """Wait until its client hangs up."""
        await self._heard.wait()  # two at once cannot receive
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True


class Split:
    """The proxy as an ASGI app."""

    def __init__(
        self,
        pointer: Pointer,
        client: httpx2.AsyncClient,
        options: SplitSettings | None = None,
        *,
        began: int = 0,
    ) -> None:
        self._pointer = pointer
        self._client = client
        self._options = options or SplitSettings()
        self._open: dict[str, set[asyncio.Task[None]]] = {}
        self._pinned: set[asyncio.Task[None]] = set()  # of those that are open
        self._counted: dict[str, Counted] = {name: Counted() for name in pointer.upstreams}
        self._cut = 0
        self._began = began

    @property
    def served(self) -> Served:
        """What is served, what is open, and what was counted."""
        still = {name: len(tasks) for name, tasks in self._open.items() if tasks}
        return Served(self._pointer.traffic, still, self._cut, self._counted, self._began)

    def move(self, to: Traffic) -> None:
        """Move the pointer. Raises Refused."""
        self._pointer.move(to)
        if self._options.cuts:
            for name, tasks in self._open.items():
                if name not in (to.release, to.candidate):
                    sent = tasks - self._pinned  # the pointer did not send those
                    self._cut += len(sent)
                    for task in sent:
                        task.cancel()

    async def health(self, release: str) -> Health | None:
        """Ask a release how it is; None for one that nobody serves."""
        import httpx2

        base = self._pointer.upstreams.get(release)
        if base is None:
            return None
        path = self._options.health
        try:
            answer = await self._client.get(base + (path or "/"), timeout=HEALTH_S)
        except httpx2.HTTPError as error:
            return Health(f"unreachable: {type(error).__name__}")
        if not path:
            return Health()  # it answers, and nobody said what to ask it
        if not 200 <= answer.status_code < 300:
            return Health(f"{path} answered {answer.status_code}")
        try:
            return Health("", msgspec.json.decode(answer.content, type=_Digest).digest)
        except msgspec.MsgspecError:
            return Health()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        headers: Headers = list(scope["headers"])
        if _wants_websocket(headers):
            await _say(send, 501, "WebSockets are not proxied; connect to the service directly")
            return
        most = self._options.max_open
        if sum(map(len, self._open.values())) >= most:
            await _say(send, 503, f"{most} requests are already open; try again later", retry=b"1")
            return
        pinned, headers = _pinned(headers)
        asked = _Asked(scope, headers, receive, send)
        if pinned is not None:
            await self._follow_pinned(pinned, asked)
            return
        traffic = self._pointer.traffic  # once: what begins now stays there
        key = _key(scope, headers, self._options.key) if traffic.candidate else b""
        release = traffic.of(key, self._options.salt)
        carrying = asyncio.ensure_future(self._carry(asked, release, self._counted[release]))
        await self._follow(asked, release, carrying)

    async def _follow_pinned(self, pinned: tuple[str, bytes], asked: _Asked) -> None:
        """Carry a request of somebody who names its release; its answer counts for nothing."""
        import hmac

        release, token = pinned
        known = self._options.pin_token.encode()
        if not known:
            await _say(asked.send, 401, "this proxy was started without MIDWATCH_PROXY_PIN_TOKEN")
        elif not hmac.compare_digest(token, known):
            await _say(asked.send, 401, "a token is needed to name a release")
        elif release not in self._pointer.upstreams:
            await _say(asked.send, 404, f"no upstream is named {release!r}")
        else:
            carrying = asyncio.ensure_future(self._carry(asked, release, Counted()))
            self._pinned.add(carrying)
            carrying.add_done_callback(self._pinned.discard)
            await self._follow(asked, release, carrying)

    async def _follow(self, asked: _Asked, release: str, carrying: asyncio.Task[None]) -> None:
        """Keep a request among the open ones until it is carried, cut, or its client hangs up."""
        leaving = asyncio.ensure_future(asked.leaves())
        leaving.add_done_callback(lambda _: carrying.cancel())
        tasks = self._open.setdefault(release, set())
        tasks.add(carrying)
        try:
            await carrying
        except asyncio.CancelledError:
            if asked.gone:
                return  # nobody is there to be told
            if not carrying.cancelled():
                carrying.cancel()
                raise
            raise ConnectionAbortedError("cut: its release is no longer served") from None
        finally:
            leaving.cancel()
            tasks.discard(carrying)

    async def _carry(self, asked: _Asked, release: str, counted: Counted) -> None:
        import httpx2

        started = time.monotonic()
        begun = answered_well = False
        try:
            request = self._client.build_request(
                asked.scope["method"],
                self._pointer.upstreams[release] + _target(asked.scope),
                headers=[*passed(asked.headers), *_forwarded(asked.scope, asked.headers)],
                content=asked.body() if asked.has_body else None,
            )
            if not asked.has_body:
                request.headers.pop("content-length", None)  # a POST without one is given a 0
            async with contextlib.aclosing(await self._client.send(request, stream=True)) as answer:
                begun = True
                kept = [*passed(answer.headers.raw), (b"x-midwatch-release", release.encode())]
                counted.requests += 1
                answered_well = answer.status_code < 500
                counted.errors += not answered_well
                counted.slow += time.monotonic() - started > self._options.slow_s
                await asked.send(
                    {"type": "http.response.start", "status": answer.status_code, "headers": kept}
                )
                async for part in answer.aiter_raw():
                    await asked.send(
                        {"type": "http.response.body", "body": part, "more_body": True}
                    )
            # The release's connection is given back before the client may take this for the end.
            await asked.send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            if asked.gone and not begun and time.monotonic() - started > self._options.slow_s:
                # Whoever hangs up sooner says nothing of the release.
                counted.requests += 1
                counted.slow += 1
            raise
        except ConnectionResetError:
            return  # half a body: its client hung up
        except httpx2.TimeoutException:
            if begun:
                counted.errors += answered_well
                raise
            _count_none(counted)
            await _say(asked.send, 504, f"{release} did not answer in time")
        except httpx2.HTTPError as error:
            if begun:
                counted.errors += answered_well
                raise  # the connection is cut: half an answer must not look like a whole one
            _count_none(counted)
            await _say(asked.send, 502, f"{release} is unreachable: {type(error).__name__}")


def _wants_websocket(headers: Headers) -> bool:
    """Tell whether an upgrade is to a WebSocket; a server need not make any other one."""
    wanted = (one for name, value in headers if name == b"upgrade" for one in value.split(b","))
    return any(one.strip().lower().partition(b"/")[0] == b"websocket" for one in wanted)


def _count_none(counted: Counted) -> None:
    """Count a request that got no answer; it was too slow for any limit."""
    counted.requests += 1
    counted.errors += 1
    counted.slow += 1


def _pinned(headers: Headers) -> tuple[tuple[str, bytes] | None, Headers]:
    """Take out which release is named, and by what token; both are never passed on."""
    said = dict(headers)
    if PIN not in said:
        return None, headers
    kept = [one for one in headers if one[0] not in (PIN, PIN_TOKEN)]
    return (said[PIN].decode("latin-1"), said.get(PIN_TOKEN, b"")), kept


def _key(scope: Scope, headers: Headers, named: str) -> bytes:
    """Give what a request is known by: a header, a cookie, else the address it comes from."""
    kind, _, name = named.partition(":")
    wanted = name.lower().encode()
    if kind == "header":
        found = next((value for given, value in headers if given == wanted), b"")
    else:
        cookies = b";".join(value for given, value in headers if given == b"cookie")
        pairs = (one.strip().partition(b"=") for one in cookies.split(b";"))
        found = next((value for given, _, value in pairs if named and given == name.encode()), b"")
    client = scope.get("client") or ("", 0)
    return found or str(client[0]).encode()


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
    """The control address as an ASGI app, with a token: /pointer, and /health/RELEASE."""

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
        elif scope["path"].startswith("/health/") and scope["method"] == "GET":
            await self._check(scope["path"].removeprefix("/health/"), send)
        elif scope["path"] != "/pointer" or scope["method"] not in ("GET", "POST"):
            await _say(send, 404, "the paths are /pointer and /health/RELEASE")
        elif scope["method"] == "POST":
            await self._move(receive, send)
        else:
            await _show(send, self._split.served)

    async def _check(self, release: str, send: Send) -> None:
        health = await self._split.health(release)
        if health is None:
            health = Health(f"no upstream is named {release!r}")
        await _show(send, health)

    async def _move(self, receive: Receive, send: Send) -> None:
        body = b""
        with contextlib.suppress(ConnectionResetError):
            async for part in _body(receive):
                body += part
                if len(body) > MAX_BODY:
                    await _say(send, 413, "too large")
                    return
        try:
            self._split.move(msgspec.json.decode(body, type=Traffic))
        except msgspec.MsgspecError as error:
            await _say(send, 400, str(error))
        except Refused as refused:
            await _say(send, refused.status, str(refused))
        except OSError as error:
            await _say(send, 500, f"the pointer's file: {error.strerror or error}")
        else:
            await _show(send, self._split.served)


async def _show(send: Send, document: Served | Health) -> None:
    body = msgspec.json.encode(document)
    headers: Headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
