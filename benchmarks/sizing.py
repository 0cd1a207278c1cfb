"""What a journal grows by, and what that costs: `midwatch serve`, alerts that fire and resolve.

Law: the file, the memory and the times are of the real process: it is stopped, and started again
on what it left. There is no peer; a smaller journal beside the big one says how figures grow.

    python -m benchmarks.sizing
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from tests.servers import free_port, running

from benchmarks import intake

SIZES = (5_000, 50_000)  # alerts that fired and were resolved


class Sized(Struct):
    """One journal: megabytes, and seconds of what is done with it."""

    alerts: int
    file_mb: float
    memory_mb: float
    restart_s: float
    restart_memory_mb: float
    verify_s: float
    backup_s: float
    prune_s: float


def measure(count: int) -> Sized:
    """Send so many alerts, firing and then resolved; stop, start again, look after the file."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        intake.type_in(here, "init")
        (here / "midwatch" / "slos" / "availability.yaml").unlink()
        (here / "midwatch" / "runbooks" / "rollback.md").unlink()
        token = intake.type_in(here, "token", "create", "--source", "alertmanager").strip()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        database = here / "midwatch" / "midwatch.db"
        with served(here) as (pid, port):
            made = intake.alerts(datetime.fromtimestamp(time.time(), UTC).isoformat())[:count]
            for status in ("firing", "resolved"):
                ends = {"endsAt": datetime.fromtimestamp(time.time(), UTC).isoformat()}
                rows = [{**one, **(ends if status == "resolved" else {})} for one in made]
                bodies = intake.batches(rows, intake.webhook)
                intake.send(port, "/intake/alertmanager", headers, bodies)
            memory = intake.memory_mb(pid)
        start = time.perf_counter()
        with served(here) as (pid, _):
            restart, again = time.perf_counter() - start, intake.memory_mb(pid)
        size = sum(one.stat().st_size for one in database.parent.glob("midwatch.db*"))
        verify = _timed(here, "db", "verify", str(database))
        backup = _timed(here, "db", "backup", str(database), str(here / "copy.db"))
        prune = _timed(here, "db", "prune", str(database), "--keep", "0")
        return Sized(count, size / 1e6, memory, restart, again, verify, backup, prune)


@contextmanager
def served(here: Path) -> Iterator[tuple[int, int]]:
    """Serve on a free port until the block ends; gives the process and the port."""
    port = free_port()
    command = [
        intake.MIDWATCH,
        "serve",
        "--listen",
        f"127.0.0.1:{port}",
        "--config",
        str(here / "midwatch"),
        "--log-level",
        "error",
    ]
    with running(command, f"http://127.0.0.1:{port}/readyz", here / "log") as pid:
        yield pid, port


def _timed(here: Path, *words: str) -> float:
    start = time.perf_counter()
    intake.type_in(here, *words)
    return time.perf_counter() - start


if __name__ == "__main__":
    for size in SIZES:
        found = measure(size)
        print(
            f"{found.alerts:,} alerts: {found.file_mb:.1f} MB on disk,"
            f" {found.memory_mb:.0f} MB of memory;"
        )
        print(
            f"  ready again in {found.restart_s:.1f} s with {found.restart_memory_mb:.0f} MB;"
            f" verify {found.verify_s:.1f} s, backup {found.backup_s:.1f} s,"
            f" prune {found.prune_s:.1f} s"
        )
