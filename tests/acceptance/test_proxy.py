"""`midwatch proxy` as users and streams see it, and a rollback through it under load."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.error
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, midwatch, until
from tests.echo import PACKED, UNPACKED, Echo
from tests.haproxy import Upstream
from tests.proxying import PIN_TOKEN, TOKEN, Proxy, proxy
from tests.servers import free_port

from midwatch.outbound import Outbound


@pytest.fixture
def echoing(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy before an echo, with a second release to move to."""
    with (
        Echo() as echo,
        Upstream("v2") as other,
        proxy(tmp_path, ("v1", echo.port), ("v2", other.port)) as running,
    ):
        yield running


@contextmanager
def connected(running: Proxy) -> Iterator[http.client.HTTPConnection]:
    """A connection to it."""
    connection = http.client.HTTPConnection(running.users.removeprefix("http://"), timeout=20)
    try:
        yield connection
    finally:
        connection.close()


def move(running: Proxy, release: str, epoch: int) -> dict[str, Any]:
    """Move its pointer; gives what it says then."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    body = json.dumps({"release": release, "epoch": epoch}).encode()
    answer = Outbound([running.control]).post(f"{running.control}/pointer", body, headers)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_paths_headers_and_bodies_are_carried_as_they_are(echoing: Proxy) -> None:
    """What is about one connection stays on it; who asked is told."""
    with connected(echoing) as connection:
        connection.request(
            "POST",
            "/a%2Fb/%C3%A9?x=1&y=%20",
            b"z" * 3_000_000,
            {"x-mine": "yes", "connection": "keep-alive, x-hop", "x-hop": "1", "te": "trailers"},
        )
        answer = connection.getresponse()
        told = json.loads(answer.read())
        assert told["path"] == "/a%2Fb/%C3%A9?x=1&y=%20"
        assert told["size"] == 3_000_000
        assert told["headers"]["x-mine"] == "yes"
        assert "x-hop" not in told["headers"]
        assert "te" not in told["headers"]
        assert told["headers"]["x-forwarded-for"] == "127.0.0.1"
        assert answer.headers["x-midwatch-release"] == "v1"
        assert "x-private" not in answer.headers
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
        # The same connection is used again.
        connection.request("GET", "/again")
        assert json.loads(connection.getresponse().read())["path"] == "/again"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_release_gets_what_the_client_sent_and_who_asked(echoing: Proxy, method: bytes) -> None:
    """Not one header more, and none less."""
    head = method + b" / HTTP/1.1\r\nhost: shop\r\nx-b: 2\r\nX-A: 1\r\nx-b: 3\r\n\r\n"
    with typed(echoing, head) as line:
        told = json.loads(answer_of(line).read())
    assert sorted(told["sent"]) == [
        ["host", "shop"],
        ["x-a", "1"],
        ["x-b", "2"],
        ["x-b", "3"],
        ["x-forwarded-for", "127.0.0.1"],
        ["x-forwarded-host", "shop"],
        ["x-forwarded-proto", "http"],
    ]


def test_a_cookie_that_one_client_gets_is_nobody_elses(echoing: Proxy) -> None:
    """The proxy keeps none of them."""
    for _ in range(2):
        with typed(echoing, b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n") as line:
            answer = answer_of(line)
            assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
            assert "cookie" not in json.loads(answer.read())["headers"]


@pytest.mark.parametrize(
    ("asks", "says", "body"),
    [(b"", None, UNPACKED), (b"accept-encoding: gzip\r\n", "gzip", PACKED)],
)
def test_packed_answers_go_to_who_asked_for_them(
    echoing: Proxy, asks: bytes, says: str | None, body: bytes
) -> None:
    """To the byte as the release gave them."""
    with typed(echoing, b"GET /gzip HTTP/1.1\r\nhost: shop\r\n" + asks + b"\r\n") as line:
        answer = answer_of(line)
        assert (answer.headers["content-encoding"], answer.read()) == (says, body)


def test_streams_come_piece_by_piece_and_are_finished_after_a_move(echoing: Proxy) -> None:
    """Nothing is held back; what is open is counted, and goes on with its own release."""
    with connected(echoing) as connection:
        start = time.monotonic()
        connection.request("GET", "/stream")
        answer = connection.getresponse()
        assert answer.read(9) == b"data: 0\n\n"
        assert time.monotonic() - start < 4
        told = move(echoing, "v2", 1)
        assert told["open"] == {"v1": 1}
        assert b"data: 49" in answer.read()


def test_streams_are_cut_after_a_move_when_that_is_asked_for(tmp_path: Path) -> None:
    """The connection breaks: half an answer does not look like a whole one."""
    with (
        Echo() as echo,
        Upstream("v2") as other,
        proxy(tmp_path, ("v1", echo.port), ("v2", other.port), cut=True) as running,
        connected(running) as connection,
    ):
        connection.request("GET", "/stream")
        answer = connection.getresponse()
        assert answer.read(9) == b"data: 0\n\n"
        assert move(running, "v2", 1)["cut"] == 1
        with pytest.raises((http.client.HTTPException, OSError)):
            answer.read()


def test_half_an_answer_does_not_look_like_a_whole_one(echoing: Proxy) -> None:
    """The service hung up: so does the proxy."""
    with connected(echoing) as connection:
        connection.request("GET", "/half")
        with pytest.raises((http.client.HTTPException, OSError)):
            connection.getresponse().read()


def test_a_websocket_is_refused_and_a_service_that_is_gone_is_told(tmp_path: Path) -> None:
    """With a status that says which."""
    with proxy(tmp_path, ("v1", free_port())) as running, connected(running) as connection:
        connection.request("GET", "/", headers={"connection": "upgrade", "upgrade": "websocket"})
        answer = connection.getresponse()
        assert (answer.status, b"WebSocket" in answer.read()) == (501, True)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, b"is unreachable" in answer.read()) == (502, True)


@contextmanager
def before(folder: Path, *more: str, cut: bool = False) -> Iterator[tuple[Echo, Proxy]]:
    """A proxy with options of its own before an echo, v1, with a second release to move to."""
    with (
        Echo() as echo,
        Upstream("v2") as other,
        proxy(folder, ("v1", echo.port), ("v2", other.port), cut=cut, more=more) as running,
    ):
        yield echo, running


def pointer(running: Proxy) -> dict[str, Any]:
    """What the proxy says of itself."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    return json.loads(Outbound([running.control]).get(f"{running.control}/pointer", headers).body)


def typed(running: Proxy, text: bytes) -> socket.socket:
    """Send just these bytes, over a connection of their own."""
    host, _, port = running.users.removeprefix("http://").rpartition(":")
    line = socket.create_connection((host, int(port)), timeout=20)
    line.sendall(text)
    return line


def answer_of(line: socket.socket) -> http.client.HTTPResponse:
    """Read the head of an answer."""
    answer = http.client.HTTPResponse(line)
    answer.begin()
    return answer


def reading(running: Proxy, path: str = "/endless") -> socket.socket:
    """Ask for a stream and read the first of it."""
    line = typed(running, b"GET %s HTTP/1.1\r\nhost: shop\r\n\r\n" % path.encode())
    assert line.recv(64).startswith(b"HTTP/1.1 200")
    return line


@pytest.mark.parametrize("body", [b"", b"a body"])
def test_an_upgrade_that_is_no_websocket_is_not_made_and_the_request_served(
    echoing: Proxy, body: bytes
) -> None:
    """As `curl --http2` and Java's HttpClient ask, over a connection that is kept."""
    head = b"%s HTTP/1.1\r\nhost: shop\r\ncontent-length: %d\r\n"
    plain = head % (b"POST /", len(body)) + b"\r\n" + body
    h2c = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    asking = head % (b"POST /", len(body)) + h2c + b"\r\n" + body
    with typed(echoing, asking) as line:
        for again in (plain, asking, b""):
            answer = answer_of(line)
            told = json.loads(answer.read())
            assert (answer.status, told["size"]) == (200, len(body))
            assert not {"upgrade", "http2-settings", "connection"} & set(told["headers"])
            line.sendall(again)


@pytest.mark.parametrize("upgrade", ["WebSocket", "h2c, websocket/13"])
def test_a_websocket_is_refused_however_it_is_asked_for(echoing: Proxy, upgrade: str) -> None:
    """Among others, and in any case."""
    with connected(echoing) as connection:
        connection.request("GET", "/", headers={"connection": "upgrade", "upgrade": upgrade})
        assert connection.getresponse().status == 501


def test_more_open_requests_than_it_may_have_are_turned_away(tmp_path: Path) -> None:
    """They are told when to come back; how releases are is still asked."""
    with before(tmp_path, "--max-open", "3") as (_, running), ExitStack() as lines:
        for _ in range(3):
            lines.enter_context(reading(running))
        assert pointer(running)["open"] == {"v1": 3}
        with connected(running) as connection:
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert b"3 requests are already open" in answer.read()
        headers = {"authorization": f"Bearer {TOKEN}"}
        health = Outbound([running.control]).get(f"{running.control}/health/v1", headers)
        assert json.loads(health.body)["trouble"] == ""


def test_clients_that_hang_up_free_their_places(tmp_path: Path) -> None:
    """The release sees its connections closed, and others are served in their place."""
    with before(tmp_path, "--max-open", "3") as (echo, running):
        for line in [reading(running) for _ in range(3)]:
            line.close()
        until(lambda: pointer(running)["open"] == {})
        until(lambda: echo.left == ["/endless"] * 3)
        with reading(running) as line:
            assert pointer(running)["open"] == {"v1": 1}
            line.recv(64)


def test_a_client_that_hangs_up_before_its_answer_frees_its_place(tmp_path: Path) -> None:
    """It counts as slow where it had waited for longer than that, and else for nothing."""
    with before(tmp_path, "--slow", "0.5") as (echo, running):
        for number, waits in enumerate((0.0, 0.6), 1):
            with typed(running, b"GET /silent HTTP/1.1\r\nhost: shop\r\n\r\n"):
                until(lambda: len(echo.asked) == number)  # noqa: B023  it is asked at once
                assert pointer(running)["open"] == {"v1": 1}
                time.sleep(waits)  # the proxy's clock is its own
            until(lambda: pointer(running)["open"] == {})
        until(lambda: echo.left == ["/silent"] * 2)
        assert pointer(running)["counted"]["v1"] == {"requests": 1, "errors": 0, "slow": 1}


def test_a_client_that_hangs_up_amid_its_body_frees_its_place(tmp_path: Path) -> None:
    """The release does not take half a body for a whole one, and nothing is told as an error."""
    head = b"POST / HTTP/1.1\r\nhost: shop\r\ncontent-length: 9\r\n\r\nhalf"
    with before(tmp_path) as (echo, running):
        with typed(running, head):
            until(lambda: echo.asked == ["/"])
            assert pointer(running)["open"] == {"v1": 1}
        until(lambda: pointer(running)["open"] == {})
        until(lambda: echo.left == ["/"])
    assert running.said() == ""


def test_requests_that_name_their_release_are_open_ones_too(tmp_path: Path) -> None:
    """They take a place and give it back; a move does not cut them, as it did not send them."""
    named = f"x-midwatch-pin: v1\r\nx-midwatch-pin-token: {PIN_TOKEN}\r\n".encode()
    with before(tmp_path, "--max-open", "1", cut=True) as (echo, running):
        head = b"GET /endless HTTP/1.1\r\nhost: shop\r\n" + named + b"\r\n"
        with typed(running, head) as line:
            assert answer_of(line).read(9) == b"data: .\n\n"
            told = move(running, "v2", 1)
            assert (told["open"], told["cut"]) == ({"v1": 1}, 0)
            with pytest.raises(urllib.error.HTTPError, match="503"):
                running.ask()
        until(lambda: pointer(running)["open"] == {})
        until(lambda: echo.left == ["/endless"])
        assert running.ask() == "v2"
        assert pointer(running)["counted"]["v1"]["requests"] == 0


def test_a_release_that_hangs_is_told(tmp_path: Path) -> None:
    """It says nothing for longer than it may; it is an error of its release."""
    with before(tmp_path, "--timeout", "0.5") as (_, running), connected(running) as connection:
        connection.request("GET", "/silent")
        answer = connection.getresponse()
        assert (answer.status, b"v1 did not answer in time" in answer.read()) == (504, True)
        # The same connection is used again.
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        assert pointer(running)["counted"]["v1"] == {"requests": 2, "errors": 1, "slow": 1}


def test_a_rollback_under_load_gives_not_one_wrong_answer_afterwards(tmp_path: Path) -> None:
    """`midwatch release rollback` through the proxy, with connections that are kept."""
    with (
        Upstream("v1") as good,
        Upstream("v2") as bad,
        proxy(tmp_path, ("v2", bad.port), ("v1", good.port)) as running,
    ):
        serving = Serving(tmp_path)
        main = tmp_path / "midwatch" / "midwatch.yaml"
        edge = f"{{type: split, url: '{running.control}', token_env: PROXY}}"
        main.write_text(main.read_text("utf-8") + f"routers: {{edge: {edge}}}\n", "utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PROXY", TOKEN)
            serving.start()
        try:
            _rolled_back(serving, running)
        finally:
            serving.stop()


def _rolled_back(serving: Serving, running: Proxy) -> None:
    where = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}

    def typed(*args: str) -> str:
        done = serving.type("release", *args, **where)
        assert done.returncode == 0, done.stderr
        return done.stdout

    typed("register", "shop", "v1", "--digest", "d1", "--known-good")
    typed("register", "shop", "v2", "--digest", "d2", "--live")
    seen: list[tuple[float, str]] = []
    over = threading.Event()

    def work() -> None:
        with connected(running) as connection:
            while not over.is_set():
                started = time.perf_counter()
                connection.request("GET", "/")
                answer = connection.getresponse()
                seen.append((started, answer.read().decode() if answer.status == 200 else "error"))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(seen) > 200)
    assert typed("rollback", "shop", "--confirm", "shop") == "shop serves v1 at epoch 2\n"
    acknowledged, count = time.perf_counter(), len(seen)
    until(lambda: len(seen) > count + 1_500, 60)
    over.set()
    for thread in threads:
        thread.join(15)
    after = [release for started, release in seen if started > acknowledged]
    assert len(after) > 1_000
    assert set(after) == {"v1"}
    assert {release for _, release in seen} == {"v1", "v2"}


@pytest.mark.parametrize(
    ("args", "token", "says"),
    [
        (("--upstream", "v1=http://127.0.0.1:1"), "", "MIDWATCH_PROXY_TOKEN"),
        (("--upstream", "nothing"), TOKEN, "--upstream"),
        (("--upstream", "--x=http://a"), TOKEN, "--upstream"),
    ],
)
def test_mistakes_are_one_line(
    args: tuple[str, ...], token: str, says: str, tmp_path: Path
) -> None:
    """Exit 2, and what to write."""
    done = midwatch("proxy", *args, cwd=tmp_path, MIDWATCH_PROXY_TOKEN=token)
    assert done.returncode == 2
    assert says in done.stderr
