"""What a failed commit costs with a quarter's journal, beside reading that journal again.

    python -m benchmarks.undo

Law: this process's own CPU time; the journal is in memory, so that no disk is measured. The peer is
what a failed commit did before: fold the newest snapshot and what comes after it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.teams import Policy, Step
from midwatch.core.values.topology import Service, Topology
from midwatch.engine.handle import Handler
from midwatch.errors import CommitFailed

INCIDENTS = 2_656  # of a quarter with 50 services, as it was counted
OPEN = 50
SERVICES = 50
APART_S = 2_900
ALERTS = 20  # of an incident
ROUNDS = 40


class FullDisk(SqliteStore):
    """A journal in memory that takes nothing for a while."""

    full = False

    def before_commit(self) -> None:
        """Refuse while the disk is full."""
        if self.full:
            raise CommitFailed("the disk is full")


class Quarter:
    """An engine with three months behind it."""

    def __init__(self, incidents: int = INCIDENTS) -> None:
        self.now = 0
        self.store = FullDisk.memory()
        services = [Service(f"service-{n}", 1) for n in range(SERVICES)]
        rules = Rules(Topology(services), policy=Policy("p", (Step(("ada",), 300),)))
        self.handler = Handler(self.store, rules, lambda: self.now)
        for number in range(incidents):
            self.now += APART_S * SECOND
            self._incident(number, stays=number >= incidents - OPEN)

    def alerts(self, number: int, status: str = "firing") -> Envelope:
        """A delivery of one incident's alerts."""
        made = (
            identify(
                {
                    "alertname": f"Slow{n}",
                    "service": f"service-{number % SERVICES}",
                    "namespace": f"space-{number}",
                    "severity": "critical",
                }
            ).alert("firing" if status == "firing" else "resolved", self.now, self.now)
            for n in range(ALERTS)
        )
        return Envelope(f"{status}/{number}", inputs.AlertsArrived("bench", tuple(made)))

    def _incident(self, number: int, *, stays: bool) -> None:
        self.handler.handle([self.alerts(number)])
        name = f"INC-{number + 1}"
        for claim in self.store.claim(self.now, 10):
            answer = inputs.PageAnswered(claim.effect.key, claim.effect.incident, 1, "ok")
            self.handler.handle([Envelope("", answer)])
        if stays:
            return
        self.handler.handle([Envelope(f"ack/{number}", inputs.Acknowledge(name, "ada"))])
        self.handler.handle([self.alerts(number, "resolved")])
        for command in (
            inputs.ResolveIncident(name, "ada", "over"),
            inputs.DraftPostmortem(name, "ada"),
            inputs.GrantWaiver(name, "small", "ada", self.now + 10**10),
            inputs.CloseIncident(name, "ada"),
        ):
            key = f"{type(command).__name__}/{number}"
            self.handler.handle([Envelope(key, command)])


def cpu_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of this process's own CPU time."""
    spent: list[float] = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return statistics.median(spent) * 1_000


def measure(incidents: int = INCIDENTS) -> tuple[float, float, float]:
    """Give the CPU milliseconds of a failed commit, of a good one, and of reading all again."""
    quarter = Quarter(incidents)
    handler, number = quarter.handler, incidents

    def fail() -> None:
        with suppress(CommitFailed):
            handler.handle([quarter.alerts(number)])

    def succeed() -> None:
        nonlocal number
        number += 1
        handler.handle([quarter.alerts(number)])

    quarter.store.full = True
    failed = cpu_ms(fail)
    quarter.store.full = False
    good = cpu_ms(succeed)
    return failed, good, cpu_ms(handler.reload, 5)


def main() -> None:
    """Print the figures."""
    failed, good, again = measure()
    print(f"a failed commit of {ALERTS} alerts {failed:.2f} ms, one that succeeds {good:.2f} ms")
    print(f"reading the journal again {again:.1f} ms: {again / failed:.0f} times as much")


if __name__ == "__main__":
    main()
