"""uvicorn's HTTP/1.1, for a server that makes no upgrade.

Law: a request that would also go on in another protocol is read as one that would not (RFC 9110,
7.8). httptools takes what follows its head for the other protocol, and so its body for the next
request: here the head is read again without the wish, and then the body. The app still sees
`upgrade`.
"""

from __future__ import annotations

from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class NoUpgrades(HttpToolsProtocol):
    """A connection over which HTTP/1.1 is spoken to the end."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.parser = _Parser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def on_headers_complete(self) -> None:
        """Begin a request, unless its head is to be read again."""
        if not _proposes(self.parser):
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request's body, unless its head is to be read again."""
        if not _proposes(self.parser):
            super().on_message_complete()

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


class _Parser(httptools.HttpRequestParser):
    def __init__(self, protocol: NoUpgrades) -> None:
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
    # CONNECT is no proposal; uvicorn refuses it. Nor is what goes on in no protocol at all: whoever
    # closes behind the request is answered, but what follows such a head is not read.
    lasts = parser.should_keep_alive() and parser.get_method() != b"CONNECT"
    return parser.should_upgrade() and lasts
