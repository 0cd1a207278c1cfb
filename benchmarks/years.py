"""What years of incidents cost: two years of a busy company, beside their own first month.

Law: each input goes through the production engine onto a file, in the order of its time; the clock
is moved. Times are CPU time of one core, for the machine is shared. The restart is one after a
kill: nothing was written at the end, and a fresh process reads what is there.

    python -m benchmarks.years [DAYS]
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.sqlite_file import create_file
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs, shard
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.sli import Counts, Indicator
from midwatch.core.values.sli import SliReading as Reading
from midwatch.core.values.slo import Slo, Verify, windows_needed
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine import queries
from midwatch.engine.handle import Handler
from midwatch.engine.prune import Pruner

DAYS, PER_DAY, SERVICES = 730, 15, 50
WAVES, PER_WAVE = 4, 12  # of an outage, which two incidents have between them
MONTH = 30
DAY, MINUTE = 86_400_000, 60_000
START = 1_750_000_000_000

SLO = Slo("service-0/ok", "service-0", "0.99", indicator=Indicator("counter"))
RULES = Rules(
    policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0, ack_s=0)), slos={SLO.id: SLO}
)


class Opened(Struct):
    """A journal that a fresh process opened after a kill; CPU seconds, megabytes, milliseconds."""

    start_s: float
    memory_mb: float
    open_ms: float
    history_ms: float


class Years(Struct):
    """So many days: p99 of taking a delivery in the first and the last month, and the journal."""

    alerts: int
    incidents: int
    first_ms: float
    last_ms: float
    file_mb: float
    snapshot_mb: float
    opened: Opened


class Life:
    """Days that pass, with what goes wrong on them."""

    def __init__(self, store: SqliteStore, keep_days: int) -> None:
        self.now = START
        self.store = store
        self.handler = Handler(store, RULES, lambda: self.now)
        self.number = self.alerts = self.opened = 0
        self.took: list[float] = []  # ms of CPU of each delivery of alerts, this month
        self.pruner = (
            Pruner(store, lambda: self.handler.shard.incidents, keep_days * DAY // 1_000)
            if keep_days
            else None
        )

    def give(self, *given: inputs.Input) -> None:
        """Hand inputs over as one delivery."""
        self.number += 1
        self.handler.handle([Envelope(f"in/{self.number}/{n}", one) for n, one in enumerate(given)])

    def deliver(self, alerts: list[Alert]) -> None:
        """Take a delivery of alerts, and its time."""
        start = time.process_time()
        self.give(inputs.AlertsArrived("test", tuple(alerts)))
        self.took.append(1_000 * (time.process_time() - start))
        self.alerts += len(alerts)

    def day(self) -> None:
        """Let a day pass: incidents one after another, each closed before the next but one."""
        until = self.now + DAY
        for number in range(PER_DAY):
            self.incident((self.opened + number) % SERVICES, pages=number % 2 == 0)
            self.now += DAY // PER_DAY - 40 * MINUTE
            counts = dict.fromkeys(windows_needed(SLO, Verify()), Counts(999, 1_000))
            self.give(inputs.SliMeasured(Reading(SLO.id, self.now, counts)))
            self.timers()
        self.opened += PER_DAY
        self.now = max(self.now, until)
        while self.pruner is not None and self.pruner.turn(self.now):
            pass

    def timers(self) -> None:
        """Let what is due come."""
        self.give(*(inputs.TimerCameDue(one) for one in self.store.due(self.now)))

    def incident(self, service: int, *, pages: bool) -> None:
        """A wave of alerts, a page, an ack; the end, and what closes it."""
        before = self.handler.shard.next_incident
        made = [
            identify(
                {
                    "alertname": f"Broken{number % 7}",
                    "service": f"service-{service}",
                    "namespace": f"n{service}",
                    "severity": "critical" if pages else "info",
                    "pod": f"pod-{self.opened}-{number}",
                }
            )
            for number in range(WAVES * PER_WAVE)
        ]
        for wave in range(WAVES):
            part = [one.alert("firing", self.now) for one in made[wave * PER_WAVE :][:PER_WAVE]]
            self.deliver(part)
            self.now += 5 * MINUTE
            self.deliver(part)  # a refresh
        names = [f"INC-{n}" for n in range(before, self.handler.shard.next_incident)]
        for claim in self.store.claim(self.now, 64):
            key = claim.effect.key
            self.give(inputs.PageAnswered(key, claim.effect.incident, 1, receipt="ok"))
        for name in names:
            if pages:
                self.give(inputs.Acknowledge(name, "ada"))
        self.now += 10 * MINUTE
        self.deliver([one.alert("resolved", self.now - 1, self.now) for one in made])
        self.now += 10 * MINUTE
        self.timers()
        for name in names:
            self.give(inputs.ResolveIncident(name, "ada", "restarted"))
            self.give(inputs.GrantWaiver(name, "no model", "ada", self.now + 90 * DAY))

    def month(self) -> float:
        """Give the p99 of the deliveries since the last call."""
        took, self.took = sorted(self.took), []
        return took[len(took) * 99 // 100]


def measure(days: int = DAYS, keep_days: int = 0) -> Years:
    """Live through so many days, and be killed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        store = _quick(path)
        life = Life(store, keep_days)
        first = last = 0.0
        for day in range(days):
            life.day()
            if day == min(MONTH, days) - 1:
                first = life.month()
            elif day == days - MONTH - 1:
                life.month()
        last = life.month() if life.took else first
        snapshot = shard.dump(life.handler.shard)
        incidents = life.handler.shard.next_incident - 1
        store.close()
        size = sum(one.stat().st_size for one in Path(folder).glob("journal.db*"))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.years", "open", str(path)],
            check=True,
            capture_output=True,
        )
        opened = msgspec.json.decode(done.stdout, type=Opened)
        return Years(life.alerts, incidents, first, last, size / 1e6, len(snapshot) / 1e6, opened)


def _quick(path: Path) -> SqliteStore:
    """Own a file that does not wait for the disk: it is the CPU that is measured."""
    create_file(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    store = SqliteStore(connection, None, path)
    store.take_ownership()
    return store


def open_again(path: Path) -> Opened:
    """Open a journal in a fresh process."""
    start = time.process_time()
    store = SqliteStore.own(path)
    handler = Handler(store, RULES, lambda: 0)
    took = time.process_time() - start
    memory = next(
        int(line.split()[1]) / 1_000
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )

    def ms(times: int, look: Callable[[], object]) -> float:
        begun = time.process_time()
        for _ in range(times):
            look()
        return 1_000 * (time.process_time() - begun) / times

    listed = ms(20, lambda: queries.summaries(handler.shard))
    history = ms(20, lambda: queries.listed(handler.shard, store.closed(50)))
    store.close()
    return Opened(took, memory, listed, history)


def main() -> None:
    """Print what was measured."""
    if sys.argv[1:2] == ["open"]:
        sys.stdout.buffer.write(msgspec.json.encode(open_again(Path(sys.argv[2]))))
        return
    numbers = [int(one) for one in sys.argv[1:]]
    found = measure(*numbers)
    one = found.opened
    print(
        f"{found.alerts:,} alerts, {found.incidents:,} incidents: p99 of a delivery"
        f" {found.first_ms:.2f} ms in the first month, {found.last_ms:.2f} ms in the last;"
        f" {found.file_mb:.0f} MB on disk, snapshot {found.snapshot_mb:.2f} MB;\n"
        f"  after a kill read again in {one.start_s:.2f} s with {one.memory_mb:.0f} MB;"
        f" list of open {one.open_ms:.2f} ms, a page of history {one.history_ms:.2f} ms"
    )


if __name__ == "__main__":
    main()
