"""How fast decided alerts find their incident, in the core alone, and what they take in memory.

    python -m benchmarks.placing

Law: decoded alerts in, events out, one core, this process's own CPU time; no disk, no HTTP. How it
grows is told as a ratio, which no machine changes: ten times the alerts, ten times the open
incidents.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks import days, intake
from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state.inputs import AlertsArrived
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.topology import Topology

BATCH = 1_000
ALERTS = 20_000
SERVICES = 200
CLUSTER = 10
ROUNDS = 5
EVERY_S = 15  # Prometheus gives every alert of a rule group the time of its evaluation


def rules() -> Rules:
    """Twenty chains of ten services."""
    names = [f"service-{n}" for n in range(SERVICES)]
    calls = [(names[n], names[n + 1]) for n in range(SERVICES - 1) if (n + 1) % CLUSTER]
    return Rules(topology=Topology((), calls))


def alerts(count: int, spread_s: int = 600) -> list[Alert]:
    """Make distinct alerts of many services, at the evaluations of EVERY_S of a spread of time."""
    return [
        identify(
            {
                "alertname": f"HighErrorRate{n % 50}",
                "service": f"service-{n % SERVICES}",
                "namespace": f"space-{n % SERVICES // CLUSTER}",
                "severity": "warning",
                "pod": f"pod-{n}",
            }
        ).alert("firing", _evaluation(n * spread_s // count), summary="More than 5 % fail")
        for n in range(count)
    ]


def _evaluation(at_s: int) -> int:
    return at_s // EVERY_S * EVERY_S * SECOND


def spent_s(shard: Shard, batches: Sequence[Sequence[Alert]], known: Rules) -> float:
    """Give the CPU time of deciding on batches."""
    start = time.process_time()
    for batch in batches:
        decide(shard, AlertsArrived("bench", tuple(batch)), batch[-1].starts_at, known)
    return time.process_time() - start


def cut(made: Sequence[Alert]) -> list[Sequence[Alert]]:
    """Cut alerts into deliveries."""
    return [made[at : at + BATCH] for at in range(0, len(made), BATCH)]


def new_per_s(count: int = ALERTS) -> float:
    """New alerts a second with correlation on."""
    made = cut(alerts(count))
    return statistics.median(count / spent_s(Shard(), made, rules()) for _ in range(ROUNDS))


def mixed_per_s() -> float:
    """Alerts a second of a stream of which nine in ten are refreshes."""
    made = alerts(ALERTS)
    stream: list[Alert] = []
    for at in range(0, ALERTS, 100):
        stream += made[at : at + 100]
        stream += [made[(at * 7 + n) % (at + 100)] for n in range(900)]
    rates = [len(stream) / spent_s(Shard(), cut(stream), rules()) for _ in range(ROUNDS)]
    return statistics.median(rates)


def growth() -> float:
    """Say how many times longer ten times the alerts take."""
    known, few, many = rules(), cut(alerts(ALERTS // 2)), cut(alerts(ALERTS * 5))
    return statistics.median(
        spent_s(Shard(), many, known) / spent_s(Shard(), few, known) for _ in range(3)
    )


def cost_of_open() -> float:
    """Say how many times more an alert costs with ten times the open incidents."""
    known = Rules()

    def filled(count: int) -> Shard:
        shard = Shard()
        for n in range(count):
            labels = {"alertname": "Old", "service": f"old-{n}", "namespace": f"space-{n}"}
            old = identify(labels).alert("firing", n)
            decide(shard, AlertsArrived("bench", (old,)), n, known)
        return shard

    later = [
        identify(
            {"alertname": "New", "service": f"new-{n}", "namespace": f"space-{n % 300}"}
        ).alert("firing", 60_000 + n)
        for n in range(3_000)
    ]
    one_by_one = [[alert] for alert in later]
    found: list[float] = []
    for _ in range(ROUNDS):
        few = spent_s(filled(300), one_by_one, known)
        found.append(spent_s(filled(3_000), one_by_one, known) / few)
    return statistics.median(found)


def line_us(lines: int = 3_000, others: int = 100) -> float:
    """Microseconds a line of four organisations' busy days as one: 96 services, others open."""
    day = days.merge([days.make(9_600 + n, busy=True) for n in range(4)], spaces=True)
    known, begins = Rules(topology=day.topology), day.lines[0].starts_at - 3_600 * SECOND
    found: list[float] = []
    for _ in range(ROUNDS):
        shard = Shard()
        for n in range(others):
            labels = {"alertname": "Old", "service": f"old-{n}", "namespace": f"space-{n}"}
            old = identify(labels).alert("firing", begins + n)
            decide(shard, AlertsArrived("bench", (old,)), begins + n, known)
        start = time.process_time()
        for line in day.lines[:lines]:
            decide(shard, AlertsArrived("bench", (line,)), days.news_at(line), known)
        found.append((time.process_time() - start) / lines * 1e6)
    return statistics.median(found)


def memory_mb(count: int = 50_000) -> float:
    """Give what a process takes at the most that holds so many live alerts in 200 groups."""
    program = f"from benchmarks.placing import fill; fill({count})"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def fill(count: int) -> None:
    """Take alerts in and print the most memory that this process had, in megabytes."""
    shard, known = Shard(), rules()
    for at in range(0, count, BATCH):
        made = alerts(count)[at : at + BATCH]
        decide(shard, AlertsArrived("bench", tuple(made)), made[-1].starts_at, known)
    print(intake.memory_mb(os.getpid()))


def main() -> None:
    """Print every figure."""
    print(f"new alerts, correlation on: {new_per_s():,.0f}/s")
    print(f"nine in ten refreshes:      {mixed_per_s():,.0f}/s")
    print(f"ten times the alerts:       {growth():.1f} x the time")
    print(f"ten times the incidents:    {cost_of_open():.2f} x the cost of an alert")
    print(f"96 services, 100 open:      {line_us():.0f} us a line")
    print(f"50,000 live alerts:         {memory_mb():.0f} MB")


if __name__ == "__main__":
    main()
