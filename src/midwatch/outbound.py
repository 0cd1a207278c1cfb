"""The one outgoing HTTP client, with its guards.

Law: a name is resolved once, every address of it is judged, and the connection goes to the judged
address. What people wrote into the config is listed and may be on their own network; what comes
from data (an alert's link, a redirect) may not. A link-local address, where clouds keep their
secrets, is reached only when the config holds that very address. A call ends in time, whatever the
other side does, and its answer has a limit. An error names the server and never the path, which may
be a secret. Who answers is told the call's secrets and may send them back: they are taken out here,
out of answers and of errors, so that nobody behind this file can show one.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import httpcore2
import httpx2
from httpcore2 import NetworkBackend, NetworkStream
from msgspec import Struct

from midwatch.core.values.clock import SECOND
from midwatch.errors import HarnessError, NeverSent
from midwatch.hiding import hidden, hidden_in, secrets_of

TIMEOUT_S = 10.0
MAX_BYTES = 1024 * 1024
MAX_REDIRECTS = 3
MAX_WAIT_S = 86_400.0
WRITE_BYTES = 16 * 1024
SHOWN = 200
PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# All of IANA's registries of special purposes, also what they call reachable: nobody's page is
# sent to a relay or a sink of the internet's own. What of IPv6 is not in 2000::/3 is closed anyway.
SPECIAL = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], list[str]]


class Refused(HarnessError):
    """The call was not made: it would have gone where it must not go."""


class Answer(Struct, frozen=True):
    """What came back, without the call's secrets; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def says(self) -> str:
        """The beginning of the body, for an error."""
        return self.body.decode("utf-8", "replace")[:SHOWN]

    def retry_after_s(self, now: int) -> float | None:
        """Say how long the other side asks to be left alone; it may name seconds or a date.

        >>> Answer(429, {"retry-after": "30"}, b"").retry_after_s(0)
        30.0
        >>> Answer(429, {"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, b"").retry_after_s(0)
        60.0
        """
        text = self.headers.get("retry-after", "")
        if text.isascii() and text.isdecimal():
            wait_s = float(text)
        else:
            try:
                moment = parsedate_to_datetime(text)
            except (ValueError, OverflowError):
                return None
            # One of the three forms of a date names no zone: it is GMT all the same.
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            wait_s = moment.timestamp() - now / SECOND
        return min(max(wait_s, 0.0), MAX_WAIT_S)


def is_open(address: str) -> bool:
    """Say whether an address is on the open internet, however it is written.

    >>> is_open("93.184.216.34"), is_open("10.0.0.1"), is_open("169.254.169.254")
    (True, False, False)
    >>> is_open("::ffff:127.0.0.1"), is_open("64:ff9b::7f00:1"), is_open("2002:7f00:1::")
    (False, False, False)
    """
    seen = _bare(address)
    if isinstance(seen, ipaddress.IPv6Address) and seen not in GLOBAL_UNICAST:
        return False
    special = any(seen in block for block in SPECIAL)
    return not special and seen.is_global and not seen.is_multicast


def find(host: str, port: int) -> list[str]:
    """Resolve a name to its addresses, in the order of preference. Raises NeverSent."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        says = getattr(error, "strerror", None) or error
        raise NeverSent(f"cannot resolve {host!r}: {says}") from None
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Outbound:
    """Calls other servers.

    Args:
        listed: URLs that stand in the config; their hosts and ports may be private.
        timeout_s: seconds for a whole call, from its first look-up to the answer's last byte.
        max_bytes: how much of an answer is read.
        lookup: resolves a name; tests hand in their own.
        ca: a file with the certificates to trust instead of the usual ones.
        cert: the files of a client certificate and of its key.

    """

    def __init__(
        self,
        listed: Iterable[str] = (),
        *,
        timeout_s: float = TIMEOUT_S,
        max_bytes: int = MAX_BYTES,
        lookup: Lookup = find,
        ca: str = "",
        cert: tuple[str, str] | None = None,
    ) -> None:
        self._listed = frozenset(_host_and_port(url) for url in listed)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._lookup = lookup
        self._ca = ca
        self._cert = cert
        self._tls: ssl.SSLContext | None = None
        self.ahead_s: float | None = None  # how far the other side's clock is ahead of ours

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], secrets: Iterable[str] = ()
    ) -> Answer:
        """Send a body. Raises HarnessError when no whole answer came, Refused when it was not sent.

        NeverSent when there was no connection. An answer of any status is an answer; a redirect to
        another host is not followed. `secrets` are those that stand neither in a header nor in the
        query: in the body or in the path.
        """
        return self._call("POST", url, headers, body, secrets)

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """Call by any method. Raises HarnessError or Refused, as the others do."""
        return self._call(method, url, headers, body)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch. Raises HarnessError when no whole answer came, Refused when it was not asked."""
        return self._call("GET", url, headers or {}, b"")

    def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        secrets: Iterable[str] = (),
    ) -> Answer:
        """Call, and keep to ourselves what the call showed."""
        kept = [*secrets_of(url, headers), *secrets]
        try:
            answer = self._follow(method, url, headers, body)
        except HarnessError as error:
            says = hidden(error.message, [*kept, _target(url)])
            raise type(error)(says, place=error.place, remedy=error.remedy) from None
        said = {name: hidden(value, kept) for name, value in answer.headers.items()}
        return Answer(answer.status, said, hidden_in(answer.body, kept))

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        ends_at = time.monotonic() + self._timeout_s
        home = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._once(method, url, headers, body, ends_at)
            if answer.status not in _followed(method) or "location" not in answer.headers:
                return answer
            url = _joined(url, answer.headers["location"])
            there = _origin(url, f"a redirect from {_shown(home)}")
            if there != home:
                raise Refused(f"the server redirects from {_shown(home)} to {_shown(there)}")
        raise Refused(f"redirected more than {MAX_REDIRECTS} times", place=_shown(home))

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, ends_at: float
    ) -> Answer:
        place = _shown(_origin(url))
        network = _Network(self._listed, self._lookup, ends_at)
        context = self._context() if place.startswith("https:") else None
        try:
            with (
                httpcore2.ConnectionPool(context, network_backend=network) as pool,
                pool.stream(
                    method, url, headers={**headers, "connection": "close"}, content=body or None
                ) as answer,
            ):
                parts: list[bytes] = []
                size = 0
                for part in answer.iter_stream():
                    size += len(part)
                    if size > self._max_bytes:
                        raise HarnessError(f"the response is larger than {self._max_bytes} bytes")
                    parts.append(part)
                headers = _read(answer.headers)
                self.ahead_s = ahead_s(headers.get("date", ""), time.time(), self.ahead_s)
                return Answer(answer.status, headers, b"".join(parts))
        except HarnessError as error:
            error.place = error.place or place
            raise
        except httpcore2.ConnectError as error:
            says = str(error) or type(error).__name__
            raise NeverSent(f"no response: {says}", place=place) from None
        except httpcore2.ConnectTimeout:
            raise NeverSent(f"no response within {self._timeout_s:g} s", place=place) from None
        except (httpcore2.TimeoutException, TimeoutError):
            says = f"no response within {self._timeout_s:g} s"
            raise HarnessError(says, place=place) from None
        except (
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as error:
            says = str(error) or type(error).__name__
            raise HarnessError(f"no response: {says}", place=place) from None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            if self._ca:
                self._tls = ssl.create_default_context(cafile=self._ca)
            else:
                self._tls = httpx2.create_ssl_context()
            if self._cert:
                self._tls.load_cert_chain(*self._cert)
        return self._tls


class _Network(NetworkBackend):
    """Connects to judged addresses only, and until a moment only."""

    def __init__(self, listed: frozenset[tuple[str, int]], lookup: Lookup, ends_at: float) -> None:
        self._inner = httpcore2.SyncBackend()
        self._listed = listed
        self._lookup = lookup
        self._ends_at = ends_at

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> NetworkStream:
        addresses = _find_in_time(self._lookup, host, port, self._ends_at)
        for address in addresses:
            self._judge(host, port, address)
        said: Exception | None = None
        for tried, address in enumerate(addresses):
            # One that swallows everything must leave time for those after it.
            share_s = _left(self._ends_at) / (len(addresses) - tried)
            try:
                stream = self._inner.connect_tcp(address, port, share_s)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                said = error
            else:
                return _Stream(stream, self._ends_at)
        raise said or NeverSent(f"cannot resolve {host!r}")

    def _judge(self, host: str, port: int, address: str) -> None:
        """Raise Refused unless this address may be called for this name."""
        if is_open(address):
            return
        bare = _bare(address)
        if (host, port) in self._listed and (not bare.is_link_local or _is_address(host)):
            return
        kind = "link-local" if bare.is_link_local else "not public"
        raise Refused(
            f"{host!r} is {bare}, which is {kind}",
            remedy="write the URL into the config if this is intended",
        )


class _Stream(NetworkStream):
    """A connection that ends in time, even when bytes drip in."""

    def __init__(self, inner: NetworkStream, ends_at: float) -> None:
        self._inner = inner
        self._ends_at = ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._ends_at))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # The backend grants its time anew for each part that the other side takes.
        for start in range(0, len(buffer), WRITE_BYTES):
            self._inner.write(buffer[start : start + WRITE_BYTES], _left(self._ends_at))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _left(self._ends_at))
        return _Stream(inner, self._ends_at)

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _find_in_time(lookup: Lookup, host: str, port: int, ends_at: float) -> list[str]:
    """Resolve a name on a thread of its own: the system's resolver cannot be told to hurry."""
    found: Future[list[str]] = Future()

    def find_it() -> None:
        try:
            found.set_result(lookup(host, port))
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=find_it, name="lookup", daemon=True).start()
    return found.result(_left(ends_at))


def _bare(address: str) -> Address:
    """Take an IPv4 address out of the IPv6 forms that carry one."""
    seen = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(seen, ipaddress.IPv4Address):
        return seen
    carried = seen.ipv4_mapped or seen.sixtofour or (seen.teredo and seen.teredo[1])
    if seen in NAT64 or (seen in IPV4_COMPATIBLE and int(seen) > 1):
        carried = ipaddress.IPv4Address(int(seen) & 0xFFFFFFFF)
    return carried or seen


def ahead_s(date: str, now_s: float, before: float | None = None) -> float | None:
    """Say how far the clock behind a `Date` is ahead of ours, in seconds; without one as before.

    A date has whole seconds: what is less than one is nothing.

    >>> ahead_s("Thu, 01 Jan 1970 00:01:00 GMT", 30.2), ahead_s("", 30.2), ahead_s("x", 1.0, 2.0)
    (30.0, None, 2.0)
    """
    try:
        said = parsedate_to_datetime(date)
        off = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp() - int(now_s)
    except (ValueError, OverflowError):
        return before
    return 0.0 if abs(off) <= 1 else off


def _read(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _followed(method: str) -> tuple[int, ...]:
    """Say which redirects keep the method: the others would turn a page into a look."""
    return (307, 308) if method == "POST" else (301, 302, 303, 307, 308)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _origin(url: str, place: str = "the URL") -> tuple[str, str, int]:
    """Tell the server that a URL names. Raises Refused when it names none, or says who calls."""
    try:
        # What two parsers could read in two ways must not be judged by one and called by the other.
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError
        parts = urlsplit(url)
        usual = PORTS[parts.scheme]
        port = parts.port or usual
    except (KeyError, ValueError):
        raise Refused("not an http or https URL", place=place) from None
    if not parts.hostname or parts.username is not None:
        raise Refused("needs a host and no user name", place=place)
    return parts.scheme, parts.hostname, port


def _target(url: str) -> str:
    """Give the path and what follows it, which no error has to name."""
    return "/" + url.partition("://")[2].partition("/")[2]


def _host_and_port(url: str) -> tuple[str, int]:
    _, host, port = _origin(url)
    return host, port


def _shown(origin: tuple[str, str, int]) -> str:
    """Name a server; never its path, which may hold a secret."""
    scheme, host, port = origin
    return f"{scheme}://{host}" + ("" if PORTS[scheme] == port else f":{port}")
