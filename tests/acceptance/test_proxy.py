"""`midwatch proxy` as users and streams see it, and a rollback through it under load."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, midwatch, until
from tests.haproxy import Upstream
from tests.proxying import TOKEN, Proxy, proxy
from tests.servers import free_port

from midwatch.adapters.routers.split import MAX_OPEN
from midwatch.outbound import Outbound


class Echo:
    """Tells what it was asked, streams slowly at /stream, and hangs up half-way at /half."""

    def __init__(self) -> None:
        self.over = threading.Event()
        echo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/half":
                    self.send_response(200)
                    self.send_header("content-length", "100")
                    self.end_headers()
                    self.wfile.write(b"half")
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                if self.path != "/stream":
                    self.tell(b"")
                    return
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for number in range(50):
                    part = f"data: {number}\n\n".encode()
                    try:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
                    except OSError:
                        return
                    if echo.over.wait(0.1):
                        break
                self.wfile.write(b"0\r\n\r\n")

            def do_POST(self) -> None:
                if "chunked" in self.headers.get("transfer-encoding", ""):
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers["content-length"]))
                self.tell(body)

            def tell(self, body: bytes) -> None:
                told = {
                    "path": self.path,
                    "headers": {k.lower(): v for k, v in self.headers.items()},
                    "size": len(body),
                }
                text = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.send_header("connection", "x-private")
                self.send_header("x-private", "1")
                self.send_header("set-cookie", "a=1")
                self.send_header("set-cookie", "b=2")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def __enter__(self) -> Echo:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


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
            "POST", "/a%2Fb/%C3%A9?x=1&y=%20", b"z" * 3_000_000,
            {"x-mine": "yes", "connection": "keep-alive, x-hop", "x-hop": "1", "te": "trailers"},
        )  # fmt: skip
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
        assert (answer.status, b"cannot be reached" in answer.read()) == (502, True)


def test_more_open_requests_than_it_may_have_are_turned_away(tmp_path: Path) -> None:
    """In the app itself, with as many as there may be."""
    from midwatch.adapters.routers.split import Pointer, Split

    async def full() -> int:
        split = Split(Pointer({"v1": "http://127.0.0.1:9"}, "v1"), None)  # type: ignore[arg-type]
        never = asyncio.get_running_loop().create_future()
        tasks = {asyncio.ensure_future(asyncio.shield(never)) for _ in range(MAX_OPEN)}
        split._open["v1"] = tasks  # type: ignore[assignment]
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        await split({"type": "http", "headers": []}, None, send)  # type: ignore[arg-type]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return said[0]["status"]

    assert asyncio.run(full()) == 503


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
