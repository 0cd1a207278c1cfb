"""Outages of an hour and slow cascades, each of which is one: how many incidents and pages.

    python -m benchmarks.timelines

Law: what fires goes on firing, nobody answers, and each is placed with its call graph and without
one. A person wants one incident and one page of each.
"""

from __future__ import annotations

from midwatch.core.rules.rules import Rules
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.topology import Topology
from midwatch.engine.placing import place_all

BEGIN = 1_800_000_000_000
CALLS = [
    ("web", "api"),
    ("api", "orders"),
    ("orders", "pg"),
    ("jobs", "pg"),
    ("hooks", "jobs"),
    ("search", "pg"),
]
CASCADES_S = (10, 20, 40, 60, 120, 300)


def _at(second: int, service: str, name: str, level: str = "critical", of: str = "") -> Alert:
    labels = {"alertname": name, "service": service, "severity": level, "namespace": "prod"}
    at = BEGIN + second * SECOND
    return identify({**labels, "instance": of} if of else labels).alert("firing", at)


def outages() -> dict[str, list[Alert]]:
    """Make them: a database whose replicas lag, a deploy, disks that fill, and slow cascades."""
    services = ("pg", "orders", "api", "web", "search", "jobs")
    found = {
        "a database fails over, its replicas lag for an hour": [
            _at(0, "pg", "PrimaryGone"),
            _at(75, "orders", "ErrorsHigh"),
            _at(130, "api", "Slow"),
            _at(310, "pg", "ReplicaLags", "warning", "pg-2"),
            _at(620, "pg", "ReplicaLagsBadly", of="pg-2"),
            _at(680, "pg", "ReplicaLagsBadly", of="pg-3"),
            _at(910, "jobs", "QueueGrows"),
            _at(1_250, "hooks", "DeliveryLate"),
            _at(1_830, "jobs", "JobsLate"),
            _at(2_450, "pg", "LogDiskFills", "warning", "pg-1"),
            _at(3_050, "pg", "ReplicaLagsBadly", of="pg-4"),
            _at(3_620, "api", "Budget", "warning"),
        ],
        "a bad deploy, whose rules wait for 1, 10 and 15 minutes": [
            _at(65, "api", "ErrorsHigh"),
            _at(305, "api", "Crashes", "warning", "api-1"),
            _at(610, "api", "TailSlow"),
            _at(670, "api", "Crashes", "warning", "api-2"),
            _at(905, "api", "ReplicasMissing", "warning"),
            _at(960, "api", "RolloutStuck"),
            _at(1_510, "api", "ScaledOut"),
            _at(1_810, "api", "OrdersFew"),
        ],
        "eight disks fill, seven minutes apart": [
            _at(n * 420, "kafka", "DiskFills", of=f"kafka-{n}") for n in range(8)
        ],
    }
    for step in CASCADES_S:
        found[f"a cascade, an alert every {step} s"] = [
            _at(n * step, services[n % len(services)], f"Rule{n}") for n in range(16)
        ]
    return found


def played(lines: list[Alert], *, graph: bool) -> tuple[int, int]:
    """Count the incidents and the pages of one."""
    told = place_all(lines, [], Rules(topology=Topology((), CALLS) if graph else Topology()))
    return len({one.incident for one in told.placed}), sum(told.pages)


def worst() -> tuple[int, int]:
    """Give the most incidents and the most pages of any of them, with a call graph or without."""
    found = [played(lines, graph=graph) for lines in outages().values() for graph in (True, False)]
    return max(count for count, _ in found), max(pages for _, pages in found)


def main() -> None:
    """Print each."""
    for name, lines in outages().items():
        (count, pages), (bare, bare_pages) = (played(lines, graph=one) for one in (True, False))
        print(f"{name:56} {count} incidents, {pages} pages; no graph {bare}, {bare_pages}")


if __name__ == "__main__":
    main()
