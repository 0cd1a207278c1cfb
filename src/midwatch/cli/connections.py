"""One connection over which HTTP/1.1 is spoken, on uvicorn's way of doing so.

Law: a head has its time and its size, and is one that every reader takes for the same request
(heads.py). What is no request gets one answer and the end of its connection, never a traceback; an
answer that is still owed to an earlier request goes before it. Trailers are no fields of the
request (RFC 9110, 6.5.1). A request that would also go on in another protocol is read as one that
would not (7.8): httptools takes what follows its head for the other protocol, and so its body for
the next request; here the head is read again without the wish, and then the body. The app still
sees `upgrade`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from midwatch.cli import heads
from midwatch.cli.door import CLOSING_S, HEAD_S, UNREAD_S, Door

PIECE_BYTES = 8 * 1024  # read at once of a head
MAX_PIPELINED = 100  # requests that wait behind one
TOO_LARGE = "the request head is too large: at most 32 KB and 100 header fields"


class Connection(HttpToolsProtocol):
    """A connection with its door."""

    def __init__(self, door: Door, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._door = door
        self.parser = _Parser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._over = False  # nothing more is read of it
        self._fault = (400, "not a valid HTTP/1.1 request")
        self._in_head = True  # the next bytes belong to a head, or to none
        self._read = 0  # bytes of this head as they came
        self._size = self._fields = 0  # of what is in it
        self._head_by = 0.0
        self._unread_by: float | None = None
        self._closed_by: float | None = None
        self._running: Any = None  # the cycle that is being answered; the others are in pipeline

    # --- the door's side ---

    @property
    def state(self) -> str:
        """Where it stands: `head`, `body`, `asked` or `stream`."""
        cycle = self._running
        if cycle is None or cycle.response_complete:
            return "head"
        if cycle.more_body:
            return "body"
        return "stream" if cycle.response_started else "asked"

    def overdue(self, now: float) -> str:
        """Say why its time is over; empty while it is not."""
        if self.transport.is_closing():
            self._closed_by = self._closed_by or now + CLOSING_S
            return "unread" if now > self._closed_by else ""
        if self._unread_by is not None and now > self._unread_by:
            return "unread"
        if self.state != "head" or now <= self._head_by:
            return ""
        return "slow" if self._read else "silent"

    def end(self, why: str) -> None:
        """End it: a head that is late gets its 408, all else is cut."""
        self._over = True
        if why == "slow" and not self.transport.is_closing():
            self._answer(408, "the request head did not arrive in time")
        else:
            self.transport.abort()

    # --- the transport's side ---

    def connection_made(self, transport: Any) -> None:
        """Begin, or refuse to."""
        super().connection_made(transport)
        self._head_by = self._door.clock() + HEAD_S
        if not self._door.enter(self):
            self._over = True
            self._answer(503, "too many connections are open", "retry-after: 1\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._door.leave(self)
        super().connection_lost(exc)
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Read what came, of a head in small pieces, so that none grows beyond its size."""
        self._unset_keepalive_if_required()
        at = 0
        while at < len(data) and not self._over:
            was_head = self._in_head
            piece = data[at : at + PIECE_BYTES] if was_head else data[at:] if at else data
            at += len(piece)
            if was_head:
                self._read += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                self._over, self.cycle.keep_alive = True, False  # what follows is not read
            except httptools.HttpParserError:
                self._refuse(*self._fault)
            if was_head and self._in_head and self._read > heads.MAX_BYTES and not self._over:
                self._refuse(431, TOO_LARGE)

    def pause_writing(self) -> None:
        """Hear that its peer does not read what it was told."""
        super().pause_writing()
        self._unread_by = self._door.clock() + UNREAD_S

    def resume_writing(self) -> None:
        """Hear that it reads again."""
        super().resume_writing()
        self._unread_by = None

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        if self._running is not None and self.state == "head":
            self._await_head()  # on a kept connection the time of a head begins with its first byte
        self._in_head = True
        self._size = self._fields = 0

    def on_url(self, url: bytes) -> None:
        """Read a part of the target."""
        self._measure(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a field; of trailers nothing is kept."""
        self._fields += 1
        self._measure(len(name) + len(value) + 4)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, unless its head is wrong or to be read again."""
        if _proposes(self.parser):
            return
        version = self.parser.get_http_version()
        wrong = heads.fault(version, self.headers)
        host = next((value for name, value in self.headers if name == b"host"), b"")
        path = heads.path_of(self.url, host)
        if wrong or path is None or len(self.pipeline) >= MAX_PIPELINED:
            self._fail(
                400, wrong or ("too many requests at once" if path else "invalid request target")
            )
        else:
            self.url = path
            self._in_head, self._read = False, 0
            super().on_headers_complete()
            self._door.works(self)

    def on_message_complete(self) -> None:
        """End a request's body, unless its head is to be read again."""
        if _proposes(self.parser):
            return
        self._in_head = True
        self._read = self._size = self._fields = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what waits, or wait for a head."""
        super().on_response_complete()
        if self.state == "head":
            self._await_head()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def head(self) -> bytes:
        """Give the head that was read, without the wish for another protocol."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = (one.strip() for one in value.split(b","))
                value = b", ".join(one for one in tokens if one.lower() != b"upgrade")  # noqa: PLW2901
            lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join(lines) + b"\r\n\r\n"

    # --- inside ---

    def _await_head(self) -> None:
        self._head_by = self._door.clock() + HEAD_S
        self._door.idles(self)

    def _measure(self, size: int) -> None:
        self._size += size
        if self._size > heads.MAX_BYTES or self._fields > heads.MAX_FIELDS:
            self._fail(431, TOO_LARGE)

    def _fail(self, status: int, says: str) -> None:
        """Stop the parser, which wraps what its callbacks raise."""
        self._fault = (status, says)
        raise ValueError(says)

    def _refuse(self, status: int, says: str) -> None:
        """Answer what is no request, after what is still owed to earlier ones, and end."""
        self._over = True
        self._door.count("large" if status == 431 else "bad")
        if not self._in_head and self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()  # its body will never be whole, and it has not begun
        elif not self._in_head:
            self._cut(status, says)
            return
        owed = self.pipeline[0][0] if self.pipeline else self._running
        if owed is None or owed.response_complete:
            self._answer(status, says)
        else:
            owed.keep_alive = False

    def _cut(self, status: int, says: str) -> None:
        """End a request whose body went wrong: its app sees a caller who hung up."""
        cycle = self._running
        begun = cycle.response_started
        if cycle.response_complete or begun:
            self.transport.close()
            return
        cycle.disconnected = True
        cycle.message_event.set()
        self._answer(status, says)

    def _answer(self, status: int, says: str, more: str = "") -> None:
        body = f"{says}\n".encode()
        fields = (
            f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(body)}\r\n"
            f"connection: close\r\n{more}\r\n"
        )
        self.transport.write(STATUS_LINE[status] + fields.encode() + body)
        self.transport.close()


def connection_of(door: Door) -> type[asyncio.Protocol]:
    """Give the class of the connections behind a door."""

    class Known(Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(door, *args, **named)

    return Known


class _Parser(httptools.HttpRequestParser):
    def __init__(self, protocol: Connection) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                if not _proposes(self):
                    raise
                data = self._protocol.head() + data[stopped.args[0] :]
            else:
                return


def _proposes(parser: httptools.HttpRequestParser) -> bool:
    # CONNECT is no proposal, and is refused. Nor is what goes on in no protocol at all: whoever
    # closes behind the request is answered, but what follows such a head is not read.
    lasts = parser.should_keep_alive() and parser.get_method() != b"CONNECT"
    return parser.should_upgrade() and lasts
