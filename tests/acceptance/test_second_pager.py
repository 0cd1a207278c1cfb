"""Somebody whose first pager is broken is reached by the second one soon, however it is broken."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, reconfigure
from tests.servers import free_port

SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
REACH_S = 20
# What each first pager says to a page. One that hangs is given up after 10 s, so it is of the long
# run; in virtual time it is in tests/unit/rules/test_escalation.py.
SAYS = {
    "4xx": b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n",
    "5xx": b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
    "garbage": b"\x16\x03\x01 I speak something else\r\n\r\n",
    "reset": b"",
    **({"hanging": None} if SOAK else {}),
}


@contextmanager
def broken(says: bytes | None) -> Iterator[str]:
    """A server that answers so, or resets the connection, or hangs; gives its URL."""
    over = threading.Event()

    def answer(one: socket.socket) -> None:
        with one:
            one.recv(65_536)
            if says is None:
                over.wait()
            elif says:
                one.sendall(says)
            else:  # a reset, not an orderly end
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def accept() -> None:
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(one,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/page"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


def config(first: dict[str, str], second: str) -> str:
    """Each kind has a person, whose first pager is broken so, and a service that pages them."""
    lines = ["service_labels: [service]", "sources: {alertmanager: {type: alertmanager}}"]
    lines += ["pagers:", f"  good: {{type: webhook, url: '{second}', secret_env: HOOK}}"]
    lines += [
        f"  {kind}: {{type: webhook, url: '{url}', secret_env: HOOK}}"
        for kind, url in first.items()
    ]
    lines += ["people:", *(f"  {kind}: {{pagers: [{kind}, good]}}" for kind in first)]
    lines += ["escalation:", "  digest: off", "  policies:"]
    lines += [f"    {kind}: {{steps: [{{to: {kind}, delay: 10m}}]}}" for kind in first]
    lines += ["  routes:", *(f"    - {{policy: {kind}, services: [{kind}]}}" for kind in first)]
    return "\n".join(lines) + "\n"


def test_a_second_pager_is_asked_soon_however_the_first_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, reset, 4xx, 429, 5xx, garbage and a name without an address, side by side."""
    monkeypatch.setenv("HOOK", SECRET)
    with ExitStack() as stack:
        good = stack.enter_context(Receiver())
        first = {kind: stack.enter_context(broken(says)) for kind, says in SAYS.items()}
        first["refused"] = f"http://127.0.0.1:{free_port()}/page"
        # No resolver is asked for a name that cannot be one.
        first["dns"] = f"http://{'a' * 64}.invalid/page"
        serving = Serving(tmp_path)
        reconfigure(tmp_path / "midwatch", config(first, good.url))
        serving.start()
        try:
            began = time.monotonic()
            sent = [alert("Down", kind, namespace=kind) for kind in first]
            assert serving.deliver(*sent).status == 202
            good.wait(len(first), REACH_S)
            assert time.monotonic() - began < REACH_S
            assert sorted(page["to"] for page in good.pages.values()) == sorted(first)
            assert good.refused == []
        finally:
            serving.stop()
