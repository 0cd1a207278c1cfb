"""Alerts in: `midwatch serve` beside Alertmanager, the same alerts, the same core, in turn.

Law: both are real processes on one core, loaded from the other one over HTTP by the same code, with
the same labels in batches of the same size. What differs is said: Alertmanager keeps alerts in
memory alone, midwatch has them on disk and in an incident before its 202.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

from msgspec import Struct
from tests.servers import free_port, need, running

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
DISTINCT = 50_000
SERVICES = 200
BATCH = 1_000
CONNECTIONS = 4
ROUNDS = 3
SERVER_CORE, LOADER_CORE = 0, 1
CLUSTER = 10  # services that call each other


class Run(Struct):
    """One process under load: alerts a second, the slowest batches, memory in megabytes."""

    new: float
    refreshed: float
    p99_ms: float
    memory_mb: float


def alerts(started: str) -> list[dict[str, object]]:
    """Make the distinct alerts; each service has as many as any other."""
    return [
        {
            "labels": {
                "alertname": f"HighErrorRate{number % 50}",
                "service": f"service-{number % SERVICES}",
                "namespace": "production",
                "severity": "warning",
                "pod": f"pod-{number}",
                "instance": f"10.0.{number // 250}.{number % 250}:9090",
            },
            "annotations": {"summary": "More than 5 % of the requests fail"},
            "startsAt": started,
        }
        for number in range(DISTINCT)
    ]


def batches(made: list[dict[str, object]], wrap: Callable[[list[object]], object]) -> list[bytes]:
    """Cut the alerts into bodies."""
    return [
        json.dumps(wrap(list(made[at : at + BATCH]))).encode() for at in range(0, len(made), BATCH)
    ]


def send(port: int, path: str, headers: dict[str, str], bodies: list[bytes]) -> list[float]:
    """Send bodies over a few connections; gives how long each took, in seconds."""
    rest = iter(bodies)
    lock = threading.Lock()
    took: list[float] = []

    def work() -> None:
        os.sched_setaffinity(0, {LOADER_CORE})
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                body = next(rest, None)
            if body is None:
                break
            start = time.perf_counter()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            took.append(time.perf_counter() - start)
            if answer.status not in (200, 202):
                raise RuntimeError(f"{path} answered {answer.status}")
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(took) != len(bodies):
        raise RuntimeError(f"{len(took)} of {len(bodies)} batches were taken")
    return took


def load(
    pid: int, port: int, path: str, headers: dict[str, str], wrap: Callable[..., object]
) -> Run:
    """Send everything new, then everything again with another value in its annotation."""
    started = datetime.fromtimestamp(time.time(), UTC).isoformat()
    made = alerts(started)
    first = batches(made, wrap)
    for one in made:
        one["annotations"] = {"summary": "More than 6 % of the requests fail"}
    again = batches(made, wrap)
    start = time.perf_counter()
    took = send(port, path, headers, first)
    new = DISTINCT / (time.perf_counter() - start)
    start = time.perf_counter()
    took += send(port, path, headers, again)
    refreshed = DISTINCT / (time.perf_counter() - start)
    p99 = statistics.quantiles(took, n=100)[-1]
    return Run(new, refreshed, 1_000 * p99, memory_mb(pid))


def memory_mb(pid: int) -> float:
    """Read how much memory a process has had at the most."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM")


def alertmanager() -> Run:
    """Load Alertmanager; it groups by service and notifies nobody."""
    program = need("prometheus-alertmanager")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "alertmanager.yml"
        config.write_text(
            "route: {receiver: none, group_by: [service], group_wait: 1h}\n"
            "receivers: [{name: none}]\n"
        )
        port = free_port()
        command = [
            *pinned(),
            program,
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=error",
        ]
        ready = f"http://127.0.0.1:{port}/-/ready"
        with running(command, ready, Path(folder) / "log") as pid:
            headers = {"Content-Type": "application/json"}
            return load(pid, port, "/api/v2/alerts", headers, lambda batch: batch)


def midwatch(topology: str) -> Run:
    """Load `midwatch serve`, with its correlation and its disk."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        type_in(here, "init")
        (here / "midwatch" / "slos" / "availability.yaml").unlink()
        (here / "midwatch" / "runbooks" / "rollback.md").unlink()
        (here / "midwatch" / "topology.yaml").write_text(topology)
        token = type_in(here, "token", "create", "--source", "alertmanager").strip()
        port = free_port()
        command = [
            *pinned(),
            MIDWATCH,
            "serve",
            "--listen",
            f"127.0.0.1:{port}",
            "--config",
            str(here / "midwatch"),
            "--log-level",
            "warning",
        ]
        with running(command, f"http://127.0.0.1:{port}/readyz", here / "log") as pid:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
            return load(pid, port, "/intake/alertmanager", headers, webhook)


def webhook(batch: list[object]) -> dict[str, object]:
    """Wrap alerts as Alertmanager sends them."""
    return {"version": "4", "status": "firing", "alerts": batch}


def pinned() -> list[str]:
    """Keep a program on its core."""
    return ["taskset", "-c", str(SERVER_CORE)]


def type_in(folder: Path, *words: str) -> str:
    """Type a command."""
    done = subprocess.run(
        [MIDWATCH, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def topologies() -> dict[str, str]:
    """Give the shapes that the call graph may have: not known, and clusters that do not call."""
    names = [f"service-{n}" for n in range(SERVICES)]
    services = "".join(f"  - {{name: {name}, tier: 2}}\n" for name in names)
    edges = "".join(
        f"  - [{names[n]}, {names[n + 1]}]\n" for n in range(SERVICES - 1) if (n + 1) % CLUSTER
    )
    return {
        "graph": f"services:\n{services}edges:\n{edges}",
        "no graph": "services: []\nedges: []\n",
    }


if __name__ == "__main__":
    for _ in range(ROUNDS):
        print("alertmanager  ", alertmanager())
        for name, topology in topologies().items():
            print(f"midwatch, {name}", midwatch(topology))
