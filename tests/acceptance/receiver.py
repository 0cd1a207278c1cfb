"""A webhook receiver on loopback: it verifies, drops repeats as vendors do, and may misbehave."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# How long it misbehaves before it answers after all: longer than any caller should wait.
PATIENCE_S = 20


class Receiver:
    """Keeps what it was sent. `plan` holds a behaviour for each coming request, then all is well.

    A behaviour is a status, `(status, headers)`, a body, "hang", "drip" (the body), "drip headers",
    or "accept and hang up". With `tls` it speaks https.
    """

    def __init__(
        self, *plan: Any, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.plan = list(plan)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.pages: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self.over = threading.Event()
        self.late_s = 0.0  # before each answer
        self.usual = 200  # what it answers when all is well
        self.answer: Callable[[str, bytes], bytes] | None = None  # and with which body
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.take(self, b"")

            def do_POST(self) -> None:
                receiver.take(self, self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True
            request_queue_size = 64

        self._server = Server((host, 0), Handler)
        self.port = self._server.server_port
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if tls else ''}://{shown}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.005,), daemon=True
        )

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone; a second time changes nothing."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request."""
        headers = {k.lower(): v for k, v in handler.headers.items()}
        self.requests.append((handler.path, headers, body))
        behaviour = self.plan.pop(0) if self.plan else self.usual
        if self.answer is not None and behaviour == 200:
            behaviour = self.answer(handler.path, body)
        if body and "webhook-id" in headers and behaviour in (200, "accept and hang up"):
            self._keep(headers, body)
        if behaviour == "accept and hang up":
            handler.connection.close()
            handler.close_connection = True
            return
        if behaviour == "hang":
            self.over.wait(PATIENCE_S)
            return
        self.over.wait(self.late_s)
        if behaviour in ("drip", "drip headers"):
            self._drip(handler, behaviour)
            return
        status, extra = behaviour if isinstance(behaviour, tuple) else (behaviour, {})
        said = behaviour if isinstance(behaviour, bytes) else b""
        handler.send_response(200 if said else status)
        for name, value in extra.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    def _drip(self, handler: BaseHTTPRequestHandler, what: str) -> None:
        """Begin an answer and never come to its end while anybody would wait for it."""
        end = time.monotonic() + PATIENCE_S
        handler.send_response(200)
        handler.flush_headers()
        if what == "drip":
            handler.end_headers()
        try:
            while not self.over.wait(0.05) and time.monotonic() < end:
                handler.wfile.write(b"." if what == "drip" else b"x: y\r\n")
                handler.wfile.flush()
            if what != "drip":
                handler.wfile.write(b"content-length: 0\r\n\r\n")
        except OSError:
            handler.close_connection = True

    def _keep(self, headers: dict[str, str], body: bytes) -> None:
        try:
            Webhook(SECRET).verify(body, headers)
        except Exception as error:
            self.refused.append(str(error))
        else:
            self.pages.setdefault(headers["webhook-id"], json.loads(body))

    def wait(self, count: int, timeout_s: float = 20) -> None:
        """Wait for so many different pages."""
        ends_at = time.monotonic() + timeout_s
        while len(self.pages) < count:
            assert time.monotonic() < ends_at, f"{len(self.pages)} of {count}: {self.refused}"
            time.sleep(0.02)
