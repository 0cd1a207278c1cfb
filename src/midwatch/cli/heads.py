"""What the head of a request may be before anybody reads it.

Law: a head that two readers could take for two requests is refused (RFC 9112, 3.2, and RFC 9110,
7.6.1): one Host in HTTP/1.1 and a valid one, a target that is a path, no end-to-end field called a
connection's own. All of it is decided here, by bytes alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

MAX_BYTES = 32 * 1024  # of a whole head: its line, its fields; and so much of trailers
MAX_FIELDS = 100

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~!$&'()*+,;=%-]{0,255})(:[0-9]{0,5})?")
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Fields that frame a message, or say who asks and for what: never one connection's own.
END_TO_END = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"host",
        b"origin",
        b"transfer-encoding",
    )
)


def fault(version: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Say what is wrong with a head's fields; names are in lower case. Empty when nothing is.

    >>> fault("1.1", [(b"host", b"a"), (b"host", b"a")])
    'more than one Host header'
    >>> fault("1.1", [(b"host", b"a.example:8600"), (b"connection", b"keep-alive, TE")])
    ''
    """
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts and version != "1.0":
        return "missing Host header"
    if len(hosts) > 1:
        return "more than one Host header"
    if hosts and not HOST.fullmatch(hosts[0]):
        return "invalid Host header"
    for name, value in headers:
        if name == b"connection":
            for option in value.split(b","):
                token = option.strip(b" \t").lower()
                if token in END_TO_END or (token and not TOKEN.fullmatch(token)):
                    return "invalid Connection header"
    return ""


def path_of(target: bytes, host: bytes) -> bytes | None:
    """Give the path and query that a target names; None for one that this server does not take.

    A target may be a whole URL (RFC 9112, 3.2.2), but of the host that Host names.

    >>> path_of(b"/x?y=1", b"a"), path_of(b"http://a/x", b"a"), path_of(b"http://a", b"a")
    (b'/x?y=1', b'/x', b'/')
    >>> path_of(b"*", b"a"), path_of(b"http://b/x", b"a"), path_of(b"ftp://a/x", b"a")
    (None, None, None)
    """
    if target.startswith(b"/"):
        return target
    try:
        parts = urlsplit(target.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return None
    if (
        parts.scheme not in ("http", "https")
        or parts.netloc.lower() != host.decode("latin-1").lower()
    ):
        return None
    path = parts.path or "/"
    return (f"{path}?{parts.query}" if parts.query else path).encode()
