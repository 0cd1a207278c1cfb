"""How long an alert and its page take beside connections that send nothing: `midwatch serve`.

Law: the server may have 1,024 descriptors, as systemd gives by default, and 1,100 connections have
sent half a head each and wait. The peer is the same server without them, in the same run. What is
told is the slowest of several alerts.

    python -m benchmarks.idle
"""

from __future__ import annotations

import json
import os
import resource
import socket
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

from msgspec import Struct
from tests.acceptance.receiver import SECRET, Receiver
from tests.servers import free_port, running

from benchmarks import intake

LIMIT, COUNT = 1_024, 1_100
ALERTS = 5
AT_ONCE = 50
HALF = b"GET / HTTP/1.1\r\nHost: midwatch\r\nX-A: "
WAIT_S = 60.0
CONFIG = """
sources: {{alertmanager: {{type: alertmanager}}}}
pagers: {{hook: {{type: webhook, url: "{url}", secret_env: HOOK}}}}
people: {{ada: {{pagers: [hook]}}}}
escalation: {{digest: off, steps: [{{to: ada}}]}}
"""


class Waits(Struct):
    """Milliseconds from the alert until its 202, and until its page has arrived."""

    answer_ms: float
    page_ms: float


def measure() -> tuple[Waits, Waits]:
    """Give the slowest alert beside idle connections, and the slowest without them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * COUNT + 500), hard))
    with tempfile.TemporaryDirectory() as folder, Receiver() as receiver:
        here = Path(folder)
        intake.type_in(here, "init")
        for name in ("slos/availability.yaml", "runbooks/rollback.md", "schedules/primary.yaml"):
            (here / "midwatch" / name).unlink()
        (here / "midwatch" / "midwatch.yaml").write_text(CONFIG.format(url=receiver.url))
        token = intake.type_in(here, "token", "create", "--source", "alertmanager").strip()
        port = free_port()
        serve = [
            intake.MIDWATCH,
            "serve",
            "--listen",
            f"127.0.0.1:{port}",
            "--config",
            str(here / "midwatch"),
            "--log-level",
            "error",
        ]
        command = ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *serve]
        os.environ["HOOK"] = SECRET
        with running(command, f"http://127.0.0.1:{port}/readyz", here / "log"):
            calm = _slowest(port, token, receiver, "calm")
            with ExitStack() as stack:
                for number in range(COUNT):
                    if number % AT_ONCE == 0:
                        _asked(port)
                    line = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                    line.sendall(HALF)
                beside = _slowest(port, token, receiver, "beside")
    return beside, calm


def _slowest(port: int, token: str, receiver: Receiver, name: str) -> Waits:
    waits = [_one(port, token, receiver, f"{name}{number}") for number in range(ALERTS)]
    return Waits(max(one.answer_ms for one in waits), max(one.page_ms for one in waits))


def _one(port: int, token: str, receiver: Receiver, name: str) -> Waits:
    labels = {"alertname": "Down", "service": name, "namespace": name, "severity": "critical"}
    since = datetime.fromtimestamp(time.time(), UTC).isoformat()
    one = {"status": "firing", "labels": labels, "startsAt": since, "endsAt": ""}
    body = json.dumps(intake.webhook([one]))
    known = len(receiver.pages)
    start = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("POST", "/intake/alertmanager", body, {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 202:
        raise RuntimeError(f"an alert was answered {answer.status}")
    answered = time.perf_counter()
    while len(receiver.pages) == known:
        if time.perf_counter() - start > WAIT_S:
            raise RuntimeError("its page never arrived")
        time.sleep(0.001)
    return Waits(1_000 * (answered - start), 1_000 * (time.perf_counter() - start))


def _asked(port: int) -> None:
    """Wait until what was opened has been seen: the system holds no more back than so many."""
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    for name, waits in zip(("beside 1,100 idle connections", "without"), measure(), strict=True):
        print(f"{name:<30} 202 after {waits.answer_ms:.0f} ms, page after {waits.page_ms:.0f} ms")
