"""What the embedded proxy costs, beside HAProxy, and how long a rollback takes through each.

    python -m benchmarks.proxy

Law: the same upstream, the same loader, in turn; direct calls, HAProxy and `midwatch proxy` answer
the same request. A rollback is timed from the call over the API to the answer that it was seen,
under load, and answers of the bad release to requests that began afterwards are counted. nginx has
no such call: its file is rewritten and it is told to reload; what counts is when that returned.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from tests.acceptance.serving import Serving
from tests.haproxy import Balancer, Upstream, asking
from tests.proxying import TOKEN, proxy
from tests.servers import free_port

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.engine.handle import Handler

ASKED = 2_000
CONNECTIONS = 8
ROUNDS = 5
UPSTREAM = """
import sys, uvicorn
async def app(scope, receive, send):
    body = b"v1"
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", lifespan="off", access_log=False)
"""


class Cost(Struct, frozen=True):
    """One way to the service: milliseconds at p50 and p99 one by one, requests a second at once."""

    p50_ms: float
    p99_ms: float
    per_s: float


class Rollback(Struct, frozen=True):
    """Milliseconds from the call to the acknowledgement, median; wrong answers after it."""

    median_ms: float
    wrong: int
    asked: int


class Fast:
    """A small ASGI server, which is faster than what stands before it."""

    release = "v1"

    def __init__(self) -> None:
        self.port = free_port()
        command = [sys.executable, "-c", UPSTREAM, str(self.port)]
        self._process = subprocess.Popen(command)
        _answers(f"127.0.0.1:{self.port}")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


def _once(address: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def cost(address: str) -> Cost:
    """Ask over one connection for times, over several for the rate."""
    connection = http.client.HTTPConnection(address, timeout=10)
    took: list[float] = []
    for _ in range(ASKED):
        start = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        took.append(time.perf_counter() - start)
    connection.close()
    took.sort()

    def many() -> None:
        own = http.client.HTTPConnection(address, timeout=10)
        for _ in range(ASKED // CONNECTIONS):
            own.request("GET", "/")
            own.getresponse().read()
        own.close()

    threads = [threading.Thread(target=many) for _ in range(CONNECTIONS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = ASKED / (time.perf_counter() - start)
    return Cost(1e3 * took[ASKED // 2], 1e3 * took[int(ASKED * 0.99)], rate)


def costs() -> dict[str, Cost]:
    """Measure each way, in turn."""
    fast = Fast()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = {"direct": cost(f"127.0.0.1:{fast.port}")}
            with Balancer(Path(folder), fast) as balancer:  # type: ignore[arg-type]
                found["HAProxy"] = cost(f"127.0.0.1:{balancer.port}")
            with proxy(Path(folder), ("v1", fast.port)) as running:
                found["midwatch proxy"] = cost(running.users.removeprefix("http://"))
        return found
    finally:
        fast.close()


def rollback(how: str) -> Rollback:
    """Roll back under load through `HAProxy` or `midwatch proxy`, each time with a new server."""
    took: list[float] = []
    wrong = asked = 0
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory() as folder,
            Upstream("v1") as good,
            Upstream("v2") as bad,
            _standing(how, Path(folder), good, bad) as (router, address),
        ):
            spent, answers = _rolled(Path(folder), router, address)
        took.append(spent)
        wrong, asked = wrong + sum(one != "v1" for one in answers), asked + len(answers)
    return Rollback(statistics.median(took), wrong, asked)


def nginx_reload() -> Rollback | None:
    """Switch nginx from v2 to v1 under load by a reload; None when it is not installed."""
    program = shutil.which("nginx")
    if program is None:
        return None
    took: list[float] = []
    wrong = asked = 0
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory() as name,
            Upstream("v1") as good,
            Upstream("v2") as bad,
        ):
            folder, port = Path(name), free_port()
            _nginx_file(folder, port, bad.port)
            call = [program, "-p", name, "-c", "nginx.conf", "-e", "error.log"]
            process = subprocess.Popen(call, stderr=subprocess.DEVNULL)
            try:
                _answers(f"127.0.0.1:{port}")
                with asking(f"127.0.0.1:{port}") as seen:
                    time.sleep(0.5)
                    start = time.perf_counter()
                    _nginx_file(folder, port, good.port)
                    subprocess.run([*call, "-s", "reload"], check=True, capture_output=True)
                    ended = time.perf_counter()
                    time.sleep(1.0)
            finally:
                process.terminate()
                process.wait(10)
            after = [release for at, release in seen if at > ended]
        took.append(1e3 * (ended - start))
        wrong, asked = wrong + sum(one != "v1" for one in after), asked + len(after)
    return Rollback(statistics.median(took), wrong, asked)


def _nginx_file(folder: Path, port: int, upstream: int) -> None:
    (folder / "nginx.conf").write_text(
        "daemon off; pid nginx.pid; worker_processes 1; events {}\n"
        "http { access_log off; keepalive_requests 1000000;\n"
        "  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;"
        " scgi_temp_path s;\n"
        f"  upstream shop {{ server 127.0.0.1:{upstream}; keepalive 16; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop;"
        " proxy_http_version 1.1; proxy_set_header Connection ''; } } }\n",
        "utf-8",
    )


def _answers(address: str) -> None:
    """Wait until somebody answers."""
    ends_at = time.monotonic() + 20
    while True:
        try:
            _once(address)
            return
        except OSError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.05)


def commit_us(moves: int = 300) -> float:
    """Give the median microseconds to decide on a move and have it on disk, with full sync."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore.own(Path(folder) / "midwatch.db")
        now = 0
        handler = Handler(store, Rules(), lambda: now)
        for name in ("v1", "v2"):
            known = inputs.RegisterRelease("shop", name, name, good=True, live=name == "v1")
            handler.handle([inputs.Envelope("", known)])
        took: list[float] = []
        for number in range(moves):
            to = "v2" if number % 2 == 0 else "v1"
            wish = inputs.MoveRelease("shop", "promote", f"op-{number}", "ada", to)
            start = time.perf_counter()
            handler.handle([inputs.Envelope("", wish)])
            took.append(time.perf_counter() - start)
            seen = inputs.ReleaseAnswered(f"op-{number}", "", 1, "applied", "seen")
            handler.handle([inputs.Envelope("", seen)])
        store.close()
    return 1e6 * statistics.median(took)


@contextmanager
def _standing(
    how: str, folder: Path, good: Upstream, bad: Upstream
) -> Iterator[tuple[dict[str, str], str]]:
    if how == "HAProxy":
        with Balancer(folder, good, bad) as balancer:
            yield balancer.options(), f"127.0.0.1:{balancer.port}"
    else:
        with proxy(folder, ("v2", bad.port), ("v1", good.port)) as running:
            router = {"type": "split", "url": running.control, "token_env": "PROXY"}
            yield router, running.users.removeprefix("http://")


def _rolled(folder: Path, router: dict[str, str], address: str) -> tuple[float, list[str]]:
    """Give the milliseconds to the acknowledgement, and what was answered afterwards."""
    os.environ["PROXY"] = TOKEN
    serving = Serving(folder)
    config = folder / "midwatch" / "midwatch.yaml"
    text = f"routers: {{edge: {json.dumps(router)}}}\n"
    config.write_text(config.read_text("utf-8") + text, "utf-8")
    serving.start()
    try:
        for name, good in (("v1", True), ("v2", False)):
            body = {"service": "shop", "release": name, "digest": name, "good": good}
            body["live"] = not good
            serving.ask("POST", "/api/v1/services", json.dumps(body).encode(), serving.person)
        with asking(address) as seen:
            time.sleep(0.5)
            start = time.perf_counter()
            serving.ask("POST", "/api/v1/services/shop/rollback", b"{}", serving.person)
            while _pending(serving):
                time.sleep(0.001)
            ended = time.perf_counter()
            time.sleep(1.0)
        return 1e3 * (ended - start), [release for at, release in seen if at > ended]
    finally:
        serving.stop()


def _pending(serving: Serving) -> bool:
    (found,) = serving.ask("GET", "/api/v1/services", token=serving.person).document
    return found["live"] != "v1"


def main() -> None:
    """Print the tables."""
    for name, one in costs().items():
        print(f"{name:<16} p50 {one.p50_ms:.2f} ms  p99 {one.p99_ms:.2f} ms  {one.per_s:,.0f}/s")
    for how in ("HAProxy", "midwatch proxy"):
        found = rollback(how)
        print(
            f"rollback through {how}: {found.median_ms:.0f} ms to the acknowledgement,"
            f" {found.wrong} of {found.asked:,} answers after it were wrong"
        )
    reload = nginx_reload()
    if reload is None:
        print("nginx is not installed: apt-get install nginx-light")
    else:
        print(
            f"nginx -s reload: returned after {reload.median_ms:.0f} ms,"
            f" {reload.wrong} of {reload.asked:,} answers after it were wrong"
        )
    print(f"a move decided on and on disk: {commit_us():.0f} us")


if __name__ == "__main__":
    main()
