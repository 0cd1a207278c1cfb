"""A webhook receiver on loopback: it verifies, drops repeats as vendors do, and may misbehave."""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Keeps what it was sent. `plan` holds a behaviour for each coming request, then all is well.

    A behaviour is a status, `(status, headers)`, "hang", "drip", or "accept and hang up".
    """

    def __init__(self, *plan: Any) -> None:
        self.plan = list(plan)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.pages: dict[str, dict[str, Any]] = {}
        self.refused: list[str] = []
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.take(self, b"")

            def do_POST(self) -> None:
                receiver.take(self, self.rfile.read(int(self.headers["content-length"])))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request."""
        headers = {k.lower(): v for k, v in handler.headers.items()}
        self.requests.append((handler.path, headers, body))
        behaviour = self.plan.pop(0) if self.plan else 200
        if body and behaviour in (200, "accept and hang up"):
            self._keep(headers, body)
        if behaviour == "accept and hang up":
            handler.connection.close()
            handler.close_connection = True
            return
        if behaviour == "hang":
            self.over.wait(60)
            return
        status, extra = behaviour if isinstance(behaviour, tuple) else (behaviour, {})
        if behaviour == "drip":
            handler.send_response(200)
            handler.end_headers()
            while not self.over.wait(0.05):
                try:
                    handler.wfile.write(b".")
                    handler.wfile.flush()
                except OSError:
                    return
            return
        handler.send_response(status)
        for name, value in extra.items():
            handler.send_header(name, value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    def _keep(self, headers: dict[str, str], body: bytes) -> None:
        try:
            Webhook(SECRET).verify(body, headers)
        except Exception as error:
            self.refused.append(str(error))
        else:
            self.pages.setdefault(headers["webhook-id"], json.loads(body))

    def now(self) -> int:
        """What its clock says, in milliseconds."""
        return time.time_ns() // 1_000_000

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def wait(self, count: int, timeout_s: float = 20) -> None:
        """Wait for so many different pages."""
        ends_at = time.monotonic() + timeout_s
        while len(self.pages) < count:
            assert time.monotonic() < ends_at, f"{len(self.pages)} of {count}: {self.refused}"
            time.sleep(0.02)
