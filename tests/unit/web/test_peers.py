"""Who calls, when proxies say so: only trusted ones are believed, from the right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from midwatch import config
from midwatch.web.peers import Client, Peers, client, client_of, networks_of

INNER = ("10.0.0.0/8", "2001:db8:1::/48")
USER = "198.51.100.7"


def told(peer: str, *said: tuple[str, str], trust: tuple[str, ...] = INNER) -> Client:
    """Who calls, by a peer and what it says."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in said]
    return client(peer, headers, networks_of(trust))


FOR, PROTO = "x-forwarded-for", "x-forwarded-proto"


@pytest.mark.parametrize(
    ("peer", "said", "address", "scheme"),
    [
        ("10.0.0.1", [], "10.0.0.1", "http"),
        ("10.0.0.1", [(FOR, USER), (PROTO, "https")], USER, "https"),
        ("203.0.113.1", [(FOR, USER), (PROTO, "https")], "203.0.113.1", "http"),
        ("10.0.0.1", [(FOR, f"6.6.6.6, {USER}, 10.0.0.9")], USER, "http"),
        ("10.0.0.1", [(FOR, "6.6.6.6"), (FOR, USER)], USER, "http"),
        ("10.0.0.1", [(FOR, "10.0.0.8, 10.0.0.9")], "10.0.0.8", "http"),
        ("10.0.0.1", [(FOR, f"{USER}:4711")], USER, "http"),
        ("10.0.0.1", [(FOR, "[2001:db8:9::1]:4711")], "2001:db8:9::1", "http"),
        ("::ffff:10.0.0.1", [(FOR, USER)], USER, "http"),
        ("2001:db8:1::5", [(FOR, USER), (PROTO, "HTTPS")], USER, "https"),
        ("10.0.0.1", [(FOR, f"{USER}, unknown")], "10.0.0.1", "http"),
        ("10.0.0.1", [(FOR, f"{USER}, <script>, 10.0.0.9")], "10.0.0.9", "http"),
        ("10.0.0.1", [(FOR, "")], "10.0.0.1", "http"),
        ("10.0.0.1", [(FOR, f"{USER}, 10.0.0.9"), (PROTO, "https, http")], USER, "https"),
        ("10.0.0.1", [(FOR, USER), (PROTO, "https, http")], USER, "http"),
        ("10.0.0.1", [(FOR, USER), (PROTO, "gopher")], USER, "http"),
        ("10.0.0.1", [(PROTO, "https")], "10.0.0.1", "https"),
        ("", [(FOR, USER)], "", "http"),
    ],
)
def test_a_proxy_is_believed_when_it_is_trusted(
    peer: str, said: list[tuple[str, str]], address: str, scheme: str
) -> None:
    """And no further to the left than the first who is not."""
    seen = told(peer, *said)
    assert (seen.address, seen.scheme) == (address, scheme)


def test_nobody_is_believed_when_nobody_is_trusted() -> None:
    """An empty list is no default."""
    assert told("127.0.0.1", (FOR, USER), (PROTO, "https"), trust=()).address == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "said", "local"),
    [
        ("127.0.0.1", [], True),
        ("::1", [], True),
        ("127.0.0.1", [(FOR, "127.0.0.1")], False),
        ("127.0.0.1", [("via", "1.1 proxy")], False),
        ("127.0.0.1", [("forwarded", "for=127.0.0.1")], False),
        ("10.0.0.1", [], False),
        ("10.0.0.1", [(FOR, "127.0.0.1")], False),
    ],
)
def test_only_this_machine_itself_is_local(
    peer: str, said: list[tuple[str, str]], local: object
) -> None:
    """What a proxy of this machine passes on is not, nor is who says so."""
    assert told(peer, *said, trust=("127.0.0.0/8", "10.0.0.0/8")).is_local is local


def test_the_app_sees_who_calls() -> None:
    """By the scope, as Starlette reads it, and by the helper."""
    seen: list[Request] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(Request(scope))

    headers = [(b"host", b"m"), (b"x-forwarded-for", USER.encode()), (PROTO.encode(), b"https")]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": headers,
        "client": ("10.0.0.1", 9),
        "scheme": "http",
        "server": ("m", 80),
    }
    asyncio.run(Peers(app, INNER)(scope, None, None))
    (request,) = seen
    assert request.client is not None
    assert (request.client.host, request.url.scheme) == (USER, "https")
    assert client_of(request) == Client(USER, "https", direct=False)
    assert client_of(Request({"type": "http"})).is_local is False


MAIN = "sources: {alertmanager: {type: alertmanager}}\nescalation: {steps: [{to: ada}]}\n"


def checked(tmp_path: Path, more: str) -> tuple[config.Config, list[str]]:
    """A config and its errors."""
    (tmp_path / "midwatch.yaml").write_text(MAIN + more, "utf-8")
    loaded, problems = config.check(tmp_path)
    return loaded, [f"{one.message}; {one.remedy}" for one in problems]


def test_whom_the_config_trusts(tmp_path: Path) -> None:
    """Loopback unless it says otherwise; an address is a network of one; nobody is nobody."""
    assert checked(tmp_path, "")[0].trust == ("127.0.0.0/8", "::1/128")
    assert checked(tmp_path, "trust: [10.1.0.0/16, 10.2.0.1]\n")[0].trust == (
        "10.1.0.0/16",
        "10.2.0.1/32",
    )
    nobody, errors = checked(tmp_path, "trust: []\n")
    assert (nobody.trust, errors) == ((), [])


@pytest.mark.parametrize(
    ("trust", "says"),
    [
        ("[10.1.2.3/16]", "has host bits set"),
        ("[proxy.example.org]", "write it like 10.1.2.0/24 or 10.1.2.3"),
        ("[0.0.0.0/0]", "means every address; write the addresses of your proxies"),
        ('["::/0"]', "means every address"),
        ("loopback", "write a list"),
    ],
)
def test_what_is_no_network_is_told_so(tmp_path: Path, trust: str, says: str) -> None:
    """With its line, and what to write."""
    (error,) = checked(tmp_path, f"trust: {trust}\n")[1]
    assert says in error


def test_limits_are_read(tmp_path: Path) -> None:
    """Each by itself; the others stay as usual."""
    loaded, errors = checked(tmp_path, "limits: {sender: 5/1m}\n")
    assert errors == []
    assert (loaded.limits.sender.count, loaded.limits.sender.per_s) == (5, 60)
    assert loaded.limits.person == config.Limits().person
    assert checked(tmp_path, "limits: {waiting: 5}\n")[1] == ["got 5; it must be at least 10"]
    assert checked(tmp_path, "limits: {sender: 5}\n")[1] == ["got 5; write it like 10/1m"]
    assert "unknown key" in checked(tmp_path, "limits: {senders: 5/1m}\n")[1][0]
