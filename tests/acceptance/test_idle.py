"""Connections that keep others out: 1,100 of them, at a server that may have 1,024 descriptors.

A real process with a real limit, and no token needed by whoever holds them. What is counted is
whether the alert is taken and its page arrives while they are held; how fast is in
`python -m benchmarks.idle`.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import MIDWATCH, Serving, alert, reconfigure, until
from tests.servers import clocked, free_port, lacking

pytestmark = [pytest.mark.slow, pytest.mark.soak]

LIMIT = 1_024
COUNT = 15_000 if os.environ.get("MIDWATCH_SOAK") else 1_100
AT_ONCE = 50
HALF = b"GET / HTTP/1.1\r\nHost: midwatch\r\nX-A: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: midwatch\r\n\r\n"
STALLED = b"POST /login HTTP/1.1\r\nHost: midwatch\r\nContent-Length: 100\r\n\r\ntoken="


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[None]:
    """This side needs as many as it opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = COUNT + 1_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        lacking(f"{wanted} descriptors are needed here, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def configured(folder: Path, receiver: Receiver) -> Serving:
    """A server whose pages go to a receiver, not started."""
    serving = Serving(folder)
    reconfigure(
        folder / "midwatch",
        "sources: {alertmanager: {type: alertmanager}}\n"
        f'pagers: {{hook: {{type: webhook, url: "{receiver.url}", secret_env: HOOK}}}}\n'
        "escalation: {digest: off, steps: [{to: ada}]}\n",
    )
    return serving


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Serving]:
    """A server that may have 1,024 descriptors and no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", SECRET)
        serving = configured(tmp_path_factory.mktemp("idle"), receiver)
        serving.start("sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh")
        yield serving
        assert serving.stop() == 0


@contextmanager
def held(port: int, text: bytes, count: int = COUNT) -> Iterator[list[socket.socket]]:
    """Connections that have sent something and wait."""
    with ExitStack() as stack:
        opened: list[socket.socket] = []
        for number in range(count):
            if number % AT_ONCE == 0:
                asked(port, WHOLE)  # more than the system holds back would be told to try again
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
            try:
                one.sendall(text)
            except OSError:  # closed already
                continue
            opened.append(one)
        yield opened


def figure(serving: Serving, name: str) -> float:
    """One figure of /metrics."""
    text = serving.ask("GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def pages_of(receiver: Receiver, name: str) -> list[str]:
    """The titles of the pages for an alert."""
    pages = list(receiver.pages.values())
    return [page["title"] for page in pages if page["title"].startswith(f"{name} ")]


def takes_and_pages(serving: Serving, receiver: Receiver, name: str) -> None:
    """An alert gets its 202, and its page arrives."""
    assert serving.deliver(alert(name, namespace=name)).status == 202
    until(lambda: pages_of(receiver, name))


@contextmanager
def dripping(opened: list[socket.socket]) -> Iterator[None]:
    """All of them go on, a byte at a time."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.1):
            for one in opened:
                try:
                    one.send(b"x")
                except OSError:
                    continue

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("name", "text"),
    [("Half", HALF), ("Silent", b""), ("Dripping", HALF), ("Kept", WHOLE), ("Stalled", STALLED)],
    ids=["half a head", "nothing", "a drip", "kept alive", "half a body"],
)
def test_whoever_sends_nothing_keeps_nobody_out(
    small: Serving, receiver: Receiver, name: str, text: bytes
) -> None:
    """More connections than descriptors: an alert is taken and paged, and the texts say so."""
    with held(small.port, text) as opened, ExitStack() as stack:
        if name == "Dripping":
            stack.enter_context(dripping(opened))
        takes_and_pages(small, receiver, name)
        ready = small.ask("GET", "/readyz")
        assert ready.status == 200
        assert "closed to make room" in ready.document["notes"]["connections"]
        most = figure(small, "midwatch_connections_limit")
        assert LIMIT / 4 < most < LIMIT * 3 / 4
        assert figure(small, "midwatch_connections") <= most
        assert len(list(Path(f"/proc/{small.pid}/fd").iterdir())) < LIMIT * 3 / 4
        why = "body" if name == "Stalled" else "idle"
        turned = figure(small, f'midwatch_connections_turned_away_total{{why="{why}"}}')
        assert turned >= COUNT - most - 1
    lines = [line for line in small.out.read_text().splitlines() if "turned away" in line]
    began, now = (datetime.fromisoformat(json.loads(lines[at])["at"]) for at in (0, -1))
    # Once a minute, however many they are; and one more for the clock's own seconds.
    assert len(lines) <= (now - began).total_seconds() / 60 + 2
    assert json.loads(lines[0])["logger"] == "midwatch.listener"


def test_those_who_follow_the_page_keep_nobody_out(small: Serving, receiver: Receiver) -> None:
    """Whole requests of a person whose answers never end: the oldest of them has to come again."""
    form = urlencode({"token": small.person}).encode()
    with socket.create_connection(("127.0.0.1", small.port), 20) as line:
        line.sendall(
            b"POST /login HTTP/1.1\r\nHost: m\r\nContent-Type: application/x-www-form-urlencoded"
            b"\r\nContent-Length: %d\r\n\r\n%s" % (len(form), form)
        )
        cookie = re.search(rb"set-cookie: ([^;]+)", line.recv(65_536))
    assert cookie
    follow = b"GET /changes HTTP/1.1\r\nHost: m\r\nCookie: %s\r\n\r\n" % cookie[1]
    with held(small.port, follow) as opened:
        takes_and_pages(small, receiver, "Followed")
        newest = opened[-1]
        newest.settimeout(20)
        assert newest.recv(64).startswith(b"HTTP/1.1 200")


def test_a_server_without_descriptors_goes_on_when_it_has_some(
    small: Serving, receiver: Receiver
) -> None:
    """EMFILE at every accept: nobody gets in meanwhile, and nothing has ended by it."""
    taken = len(list(Path(f"/proc/{small.pid}/fd").iterdir()))
    was = resource.prlimit(small.pid, resource.RLIMIT_NOFILE, (taken, LIMIT))
    try:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", small.port), 20) as line:
                line.sendall(WHOLE)
    finally:
        resource.prlimit(small.pid, resource.RLIMIT_NOFILE, was)
    takes_and_pages(small, receiver, "Again")


# --- time -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Serving]:
    """A server whose clock runs twenty times as fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", SECRET)
        serving = configured(tmp_path_factory.mktemp("hasty"), receiver)
        serving.start("sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *clocked(FAKETIME="+0 x20"))
        yield serving
        serving.kill()


def test_the_soft_limit_is_raised_to_the_hard_one(hasty: Serving) -> None:
    """What a shell or systemd gives by default is no bound where more is allowed."""
    soft, hard = resource.prlimit(hasty.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, 65_536) or hard == resource.RLIM_INFINITY
    assert figure(hasty, "midwatch_connections_limit") == min(soft // 2, 4_096)


@pytest.mark.parametrize(
    ("text", "more", "answer"),
    [
        (HALF, b"", b"HTTP/1.1 408 "),
        (HALF, b"x", b"HTTP/1.1 408 "),
        (b"", b"", b""),
        (b"", b"\r\n", b"HTTP/1.1 408 "),
        (WHOLE, b"", b"HTTP/1.1 200 "),
        (WHOLE + HALF, b"x", b"HTTP/1.1 200 "),
        (STALLED.replace(b"/login", b"/healthz"), b"x", b"HTTP/1.1 405 "),
    ],
    ids=[
        "half a head",
        "a drip",
        "nothing",
        "empty lines",
        "kept alive",
        "a second head",
        "a body that nobody wants",
    ],
)
def test_a_head_has_its_time(hasty: Serving, text: bytes, more: bytes, answer: bytes) -> None:
    """However steadily it drips; what was begun is told so, and each connection ends."""
    with socket.create_connection(("127.0.0.1", hasty.port), 20) as line:
        line.settimeout(0.02)
        line.sendall(text)
        got = b""

        def ended() -> bool:
            nonlocal got
            try:
                if more:
                    line.send(more)
                part = line.recv(65_536)
            except TimeoutError:
                return False
            except OSError:
                return True
            got += part
            return not part

        until(ended)
        assert got.startswith(answer)


def test_an_answer_that_nobody_reads_ends(hasty: Serving) -> None:
    """A caller who asks for more and more and takes none of it is gone after a while."""

    def others() -> float:
        return figure(hasty, "midwatch_connections") - 1

    until(lambda: others() == 0)
    ask = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: m\r\n\r\n"
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.connect(("127.0.0.1", hasty.port))
        line.sendall(ask * 90)
        until(lambda: others() == 0)
        assert figure(hasty, 'midwatch_connections_turned_away_total{why="unread"}') >= 1


# --- the others behind the same listener ----------------------------------------------------------


@contextmanager
def started(command: list[str], ready: str, limit: int, **env: str) -> Iterator[str]:
    """Run a server of ours that may have so many descriptors; gives its first line."""
    wrap = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", MIDWATCH]
    with subprocess.Popen(
        [*wrap, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    ) as process:
        timer = threading.Timer(20, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            timer.cancel()
            assert ready in line
            yield line
        finally:
            process.terminate()
            process.wait(20)


def asked(port: int, request: bytes) -> bytes:
    """Send one request as it is; gives the first line of its answer."""
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.sendall(request)
        return line.recv(65_536).split(b"\r\n")[0]


def test_an_agent_answers_beside_them() -> None:
    """A question gets its answer, and a trailer opens no door there either."""
    env = {"AGENT_TOKEN": "a-token-of-the-agent"}
    with started(["agent", "serve", "--remedies", "--port", "0"], "is ready", 256, **env) as line:
        port = int(line.split("127.0.0.1:")[1].split(",")[0])
        with held(port, HALF, 300):
            assert asked(port, WHOLE) == b"HTTP/1.1 200 OK"
        trailer = (
            b"POST /remedies/purge HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\n{}\r\n0\r\nAuthorization: Bearer a-token-of-the-agent\r\n\r\n"
        )
        assert asked(port, trailer) == b"HTTP/1.1 401 Unauthorized"


def test_a_rollback_goes_through_the_proxy_beside_them(tmp_path: Path) -> None:
    """Idle connections at the users' address and at the control address: the pointer moves."""
    token = "0123456789abcdef"
    users, control = free_port(), free_port()
    command = ["proxy", "--state", str(tmp_path / "proxy.json")]
    for name in ("v1", "v2"):
        command += ["--upstream", f"{name}=http://127.0.0.1:1"]
    command += ["--listen", f"127.0.0.1:{users}", "--control", f"127.0.0.1:{control}"]
    body = json.dumps({"release": "v2", "epoch": 1}).encode()
    move = (
        b"POST /pointer HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\nContent-Length: %d"
        b"\r\n\r\n%s" % (token.encode(), len(body), body)
    )
    with (
        started(command, "proxy serves", 256, MIDWATCH_PROXY_TOKEN=token),
        held(users, HALF, 300),
        held(control, HALF, 100),
    ):
        assert asked(control, move) == b"HTTP/1.1 200 OK"
        assert asked(users, b"GET / HTTP/1.1\r\nHost: m\r\n\r\n") == b"HTTP/1.1 502 Bad Gateway"
