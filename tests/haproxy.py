"""A real HAProxy between real servers, each of which says which release it is."""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.servers import free_port, need

CONNECTIONS = 4
START_S = 20


class Upstream:
    """Answers with the name of its release, over connections that are kept."""

    def __init__(self, release: str) -> None:
        self.release = release

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes

            def do_GET(self) -> None:
                body = release.encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Say nothing when a connection breaks: balancers cut what they keep."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def __enter__(self) -> Upstream:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Balancer:
    """HAProxy on a free port, with a server for each upstream; the last one gets the traffic."""

    def __init__(self, folder: Path, *upstreams: Upstream) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "haproxy.cfg"
        self.socket = folder / "admin.sock"
        live = upstreams[-1].release
        servers = "".join(
            f"  server {one.release} 127.0.0.1:{one.port}"
            f" weight {100 if one.release == live else 0}\n"
            for one in upstreams
        )
        self.config.write_text(
            f"global\n  stats socket {self.socket} mode 600 level admin\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n"
            "  timeout server 30s\n"
            f"frontend in\n  bind 127.0.0.1:{self.port}\n  default_backend shop\n"
            f"backend shop\n  balance roundrobin\n{servers}",
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def options(self) -> dict[str, str]:
        """The router's config."""
        return {
            "type": "haproxy",
            "socket": str(self.socket),
            "backend": "shop",
            "state": str(self.folder / "served.json"),
            "config": str(self.config),
        }

    def __enter__(self) -> Balancer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait for its socket."""
        command = [need("haproxy"), "-db", "-q", "-f", str(self.config)]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        ends_at = time.monotonic() + START_S
        while True:
            try:
                assert self.ask()
                return
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < ends_at, "HAProxy did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def ask(self) -> str:
        """Which release answers now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            said = answer.read().decode()
            if answer.status != 200:
                raise http.client.HTTPException(f"{answer.status}")
            return said
        finally:
            connection.close()

    def tell(self, command: str) -> None:
        """Give a command over the runtime socket, as an operator would."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.socket))
            line.sendall(command.encode() + b"\n")
            while line.recv(1_000):
                pass

    @staticmethod
    def now() -> float:
        """The clock by which requests are noted."""
        return time.perf_counter()

    def load(self) -> AbstractContextManager[list[tuple[float, str]]]:
        """Ask again and again; gives when each request began and who answered."""
        return asking(f"127.0.0.1:{self.port}")


@contextmanager
def asking(address: str) -> Iterator[list[tuple[float, str]]]:
    """Ask again and again over a few connections; gives when each began and who answered."""
    seen: list[tuple[float, str]] = []
    over = threading.Event()

    def work() -> None:
        connection = http.client.HTTPConnection(address, timeout=10)
        while not over.is_set():
            started = time.perf_counter()
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                said = answer.read().decode()
            except (OSError, http.client.HTTPException):
                connection.close()
                seen.append((started, "cut"))
                continue
            seen.append((started, said if answer.status == 200 else str(answer.status)))
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(15)
