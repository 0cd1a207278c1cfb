"""Servers that are no help, and send back whatever they were shown: over HTTP and over SMTP.

Law: what is planted as a secret begins with MARK. A server keeps which of them reached it, so that
a test knows that each call was really made, and then says them in as many spellings as it can.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

MARK = "planted"
# As it is, and as base64 has it, wherever it begins there.
MARKS = (MARK.encode(), b"cGxhbnRlZ", b"BsYW50ZW", b"wbGFudGVk")
# What some end with: it is written in another way in a URL, in JSON and in HTML.
ENDS = '/+="&7'
FOUND = re.compile(rf"({MARK}-[a-z-]*[a-z])(/\+=\\?\"&7)?")
WORD = re.compile(r"[A-Za-z0-9+/]{12,}={0,2}")
# How it answers: by a refusal, by what is no answer, by sending on, by what is no HTTP.
WAYS = ("refuses", "answers", "sends on", "garbles")


def seen_in(text: str) -> dict[str, str]:
    """Find what was planted and stands in a text, in base64 too: its name, and all of it."""
    texts = [text]
    for word in WORD.findall(text):
        try:
            texts.append(base64.b64decode(word, validate=True).decode())
        except (binascii.Error, ValueError):
            continue
    return {
        name: f"{name}{ENDS if ends else ''}" for one in texts for name, ends in FOUND.findall(one)
    }


class Hostile:
    """An HTTP server in one of WAYS; `arrived` names the secrets that came, with how."""

    def __init__(self, way: str) -> None:
        self.arrived: dict[str, set[str]] = {}
        hostile = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                given = self.rfile.read(size).decode("utf-8", "replace")
                shown = [self.path, *(f"{k}: {v}" for k, v in self.headers.items()), given]
                for name in seen_in("\n".join(shown)):
                    hostile.arrived.setdefault(name, set()).add(f"{self.command} {self.path}")
                if self.path.startswith("/health/"):
                    return self.answer(200, b"{}")  # so that traffic is moved there at all
                # What is secret first, so that no limit of length hides it by chance.
                shown.sort(key=lambda line: not seen_in(line))
                return hostile.say(self, way, "\n".join(shown))

            do_GET = do_PUT = do_POST  # noqa: N815  the library's names

            def answer(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    @staticmethod
    def say(handler: Any, way: str, text: str) -> None:
        """Answer with what was shown."""
        flat = " ".join(text.split())
        whole = seen_in(text)
        login = " ".join(whole.values())
        host = next((one for one in whole.values() if ENDS not in one), "nobody")
        if way == "refuses":
            if handler.path.startswith("/api/"):  # as midwatch says what is wrong
                handler.answer(500, json.dumps({"detail": text, "remedy": login}).encode())
            else:
                handler.answer(500, f"{login} {text} {quote(text)}".encode())
        elif way == "answers":
            verdict = json.dumps({"good": False, "why": text})
            document = {
                "answer": text,
                "status": "error",
                "error": text,
                "warnings": [text],
                "data": 7,
                "choices": [{"message": {"content": verdict}}],
                "trouble": text,
                "cached": text,
                "traffic": {"release": text, "epoch": 1},
                "counted": {"v1": {"errors": text}},
                "conversation": text,
                "sources": [text],
                login: login,
            }
            handler.answer(200, json.dumps(document).encode())
        elif way == "sends on":
            handler.answer(307, b"", Location=f"http://{host}.example/{quote(flat)}")
        else:
            handler.wfile.write(f"HTTP/1.1 {flat} {login}\r\n\r\n".encode())
            handler.close_connection = True


@contextmanager
def hostile(way: str) -> Iterator[Hostile]:
    """Run one until the block ends."""
    found = Hostile(way)
    thread = threading.Thread(target=found.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()


@contextmanager
def hostile_mail(way: str) -> Iterator[tuple[int, set[str]]]:
    """Run an SMTP server that repeats how somebody logged in; gives its port, and what arrived."""
    arrived: set[str] = set()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            said = ""
            for line in self.rfile:
                word = line.decode("utf-8", "replace").strip()
                if word.upper().startswith("EHLO"):
                    self.wfile.write(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")
                    continue
                names = seen_in(word)
                arrived.update(names)
                if names:
                    said = f"{word} {' '.join(names.values())}"
                if way == "answers" and names:
                    self.wfile.write(b"235 welcome\r\n")
                elif way == "garbles" and names:
                    self.wfile.write(f"{said}\r\n".encode())
                elif "AUTH LOGIN" in word.upper() or not said:
                    self.wfile.write(b"334 VXNlcm5hbWU6\r\n")
                else:
                    self.wfile.write(f"535 no: {said}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1], arrived
        server.shutdown()
