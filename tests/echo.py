"""A server that tells what it was asked, and behaves badly on paths of their own.

Law: /stream is slow, /half hangs up half-way, /gzip is packed for who asks for that; /endless
streams and /silent says nothing until the other side hangs up. Paths are noted in `asked`, and in
`left` when that happened.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UNPACKED = b"an answer, packed " * 9
PACKED = gzip.compress(UNPACKED, mtime=0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.over = threading.Event()
        self.asked: list[str] = []
        self.left: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        ways = {
            "/half": self.half,
            "/stream": self.stream,
            "/endless": self.endless,
            "/silent": self.silent,
            "/gzip": self.packed,
        }
        ways.get(self.path, self.tell)()

    def half(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"half")
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def stream(self) -> None:
        self.begin_stream()
        for number in range(50):
            try:
                self.part(f"data: {number}\n\n".encode())
            except OSError:
                return
            if self.server.over.wait(0.1):
                break
        self.part(b"")

    def endless(self) -> None:
        self.begin_stream()
        self.until_left(lambda: self.part(b"data: .\n\n"))

    def silent(self) -> None:
        self.until_left(lambda: None)

    def packed(self) -> None:
        wants = "gzip" in self.headers.get("accept-encoding", "")
        body = PACKED if wants else UNPACKED
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        if wants:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def part(self, body: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        self.wfile.flush()

    def until_left(self, work: Any) -> None:
        self.close_connection = True
        self.connection.settimeout(0.05)
        while not self.server.over.is_set():
            try:
                work()
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.server.left.append(self.path)

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = b""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if len(body) < int(self.headers.get("content-length", 0)):
            self.server.left.append(self.path)
            self.close_connection = True
            return
        self.tell(body)

    def tell(self, body: bytes = b"") -> None:
        sent = [(name.lower(), value) for name, value in self.headers.items()]
        told = {"path": self.path, "headers": dict(sent), "sent": sent, "size": len(body)}
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


class Echo:
    """The server, on a port of its own until the block ends."""

    def __init__(self) -> None:
        self._server = _Server()
        self.port = self._server.server_port
        self.asked = self._server.asked
        self.left = self._server.left

    def __enter__(self) -> Echo:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()
