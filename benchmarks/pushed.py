"""What pushed counts cost at a start: objectives that were pushed to for months, beside none.

Law: the file and the CPU time are of the real server. Counts of ten seconds each go in as the
server keeps them, rolled up by its own code.

    python -m benchmarks.pushed
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from benchmarks import intake, sizing
from midwatch.adapters.stores import sli_buckets

OBJECTIVES, DAYS = 50, 100
_EVERY_MS = 10_000
_SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {{name: ok}}
spec:
  service: svc{number}
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 30d, isRolling: true}}]
  indicator:
    spec:
      ratioMetric:
        counter: false
        good: {{metricSource: {{metricSourceRef: app}}}}
        total: {{metricSource: {{metricSourceRef: app}}}}
  objectives: [{{target: 0.99}}]
"""


class Pushed(Struct):
    """A start on so many objectives: CPU seconds, over those on an empty journal; megabytes."""

    objectives: int
    start_cpu_s: float
    over_s: float
    file_mb: float


def measure(objectives: int = OBJECTIVES, days: int = DAYS) -> Pushed:
    """Fill the journal of a server that was stopped, and start it again."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        intake.type_in(here, "init")
        config = here / "midwatch"
        (config / "slos" / "availability.yaml").unlink()
        (config / "runbooks" / "rollback.md").unlink()
        services = "".join(f"  - {{name: svc{n}, tier: 1}}\n" for n in range(objectives))
        (config / "topology.yaml").write_text(f"services:\n{services}edges: []\n", "utf-8")
        for number in range(objectives):
            slo = config / "slos" / f"{number}.yaml"
            slo.write_text(_SLO.format(number=number), "utf-8")
        empty = min(_start_cpu_s(here) for _ in range(3))
        database = config / "midwatch.db"
        _fill(database, [f"svc{n}/ok" for n in range(objectives)], days)
        full = min(_start_cpu_s(here) for _ in range(3))
        size = sum(one.stat().st_size for one in config.glob("midwatch.db*"))
        return Pushed(objectives, full, full - empty, size / 1e6)


def _start_cpu_s(here: Path) -> float:
    with sizing.served(here) as (pid, _):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fill(database: Path, slos: list[str], days: int) -> None:
    """Put counts of ten seconds in, a day at a time, rolled up as the server does it."""
    db = sqlite3.connect(database, isolation_level=None)
    now = int(time.time()) * 1_000 // _EVERY_MS * _EVERY_MS
    per_day = 86_400_000 // _EVERY_MS
    for day in range(days, 0, -1):
        db.execute("BEGIN")
        for slo in slos:
            db.execute(
                "WITH RECURSIVE k (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < ?)"
                " INSERT INTO sli_bucket SELECT ?, ? + n * 10000, 99, 100 FROM k",
                (per_day - 1, slo, now - day * 86_400_000 + _EVERY_MS),
            )
        while sli_buckets.roll_up(db, dict.fromkeys(slos, ""), now - (day - 1) * 86_400_000):
            pass
        db.execute("COMMIT")
    db.close()


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    found = measure(*given)
    print(
        f"{found.objectives} objectives, {DAYS if len(given) < 2 else given[1]} days of counts of"
        f" 10 s: a start takes {found.start_cpu_s:.2f} s of CPU, {found.over_s:.2f} s over an"
        f" empty journal's; {found.file_mb:.1f} MB on disk"
    )
