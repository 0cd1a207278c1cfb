"""Who calls: an address and a scheme, also behind proxies, if those are trusted.

Law: what a caller says of itself counts for nothing. X-Forwarded-For and X-Forwarded-Proto are
heard from a peer that the config trusts, and walked from the right, where that peer wrote: whoever
stands left of the first address that is not trusted could have written anything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from midwatch.config.limits import LOOPBACK

if TYPE_CHECKING:
    from starlette.requests import Request

SCOPE = "midwatch.client"

Scope = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


class Client(Struct, frozen=True):
    """Who calls.

    `address` is "" when it is not known; `direct` when no proxy stands between, as far as anybody
    says.
    """

    address: str
    scheme: str
    direct: bool = True

    @property
    def is_local(self) -> bool:
        """Whether it is a process of this machine itself, and not what a proxy here passes on."""
        seen = _address(self.address)
        return self.direct and seen is not None and seen.is_loopback


def client_of(request: Request) -> Client:
    """Say who calls: for limits, for the audit, and for whether a cookie may be Secure."""
    known = request.scope.get(SCOPE)
    return known if isinstance(known, Client) else Client("", "http", direct=False)


def networks_of(texts: Iterable[str]) -> Networks:
    """Read networks or single addresses. Raises ValueError for what is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


class Peers:
    """Puts who calls into each request's scope: `client`, `scheme`, and what `client_of` gives."""

    def __init__(self, app: App, trust: Iterable[str] = LOOPBACK) -> None:
        self._app = app
        self._trust = networks_of(trust)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            peer = scope.get("client") or ("", 0)
            found = client(str(peer[0]), scope["headers"], self._trust, scope.get("scheme", "http"))
            scope[SCOPE], scope["scheme"] = found, found.scheme
            if found.address and found.address != peer[0]:
                scope["client"] = (found.address, 0)  # its port is not known
        await self._app(scope, receive, send)


def client(
    peer: str, headers: Iterable[tuple[bytes, bytes]], trust: Networks, scheme: str = "http"
) -> Client:
    """Say who calls, by a peer's address and a request's headers, whose names are in lower case.

    >>> trust = networks_of(["10.0.0.0/8"])
    >>> said = [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.7, 10.0.0.9")]
    >>> client("10.0.0.1", said, trust).address, client("203.0.113.1", said, trust).address
    ('198.51.100.7', '203.0.113.1')
    """
    said = _said(headers)
    direct = not any(said.values())
    at = _address(peer)
    if at is None or not _is_trusted(at, trust):
        return Client(str(at) if at else peer, scheme, direct)
    hops = 0
    for text in reversed(said[b"x-forwarded-for"]):
        hop = _address(text)
        if hop is None:
            break  # this is not an address, and what is left of it is anybody's
        at, hops = hop, hops + 1
        if not _is_trusted(hop, trust):
            break
    protos = said[b"x-forwarded-proto"]
    # Each proxy may have added its own: the one beside the client's address is of the client.
    proto = protos[-min(max(hops, 1), len(protos))].lower() if protos else ""
    return Client(str(at), proto if proto in ("http", "https") else scheme, direct)


def _said(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    """Gather what proxies say, in order; Forwarded and Via only show that there is one."""
    said: dict[bytes, list[str]] = {
        name: [] for name in (b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"via")
    }
    for name, value in headers:
        if name in said:
            parts = (part.strip() for part in value.decode("latin-1").split(","))
            said[name] += [part for part in parts if part]
    return said


def _is_trusted(at: Address, trust: Networks) -> bool:
    return any(at.version == net.version and at in net for net in trust)


def _address(text: str) -> Address | None:
    """Read an address, with or without a port.

    >>> [str(_address(one)) for one in ("1.2.3.4:80", "[::1]:80", "::ffff:1.2.3.4", "me", "")]
    ['1.2.3.4', '::1', '1.2.3.4', 'None', 'None']
    """
    bare = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
