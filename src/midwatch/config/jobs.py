"""Which jobs must say that they live.

Law: a job is an address of its own, or one alert of one source, which no other job waits for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from midwatch.core.rules.heartbeats import Watched
from midwatch.core.values.severity import SEVERITIES, Severity
from midwatch.core.values.topology import Topology
from midwatch.yaml_nodes import Node


def read_jobs(node: Node, topology: Topology, sources: Collection[str]) -> dict[str, Watched]:
    """Read which jobs must say that they live."""
    found: dict[str, Watched] = {}
    for name, item in node.entries():
        item.keys("service", "every", "grace", "severity", "alert", "source", required=("every",))
        if item.has("service"):
            item.child("service").known("service", topology.services, "topology.yaml")
        if item.has("alert") is not item.has("source"):
            item.error("alert and source belong together", "write both")
        elif item.has("source") and item.child("source").text() not in sources:
            remedy = f"the sources are {', '.join(sources) or 'none'}"
            item.child("source").error(f"unknown source {item.child('source').shape}", remedy)
        if name in sources:
            item.error("has the name of a source", "rename it: both names are addresses")
        usual = "sev2" if item.has("alert") else "sev3"
        found[name] = Watched(
            name,
            item.child("every").duration_s(3_600),
            item.child("grace").duration_s(0) if item.has("grace") else 0,
            item.child("service").text(default=""),
            cast("Severity", item.child("severity").choice(*SEVERITIES, default=usual)),
            item.child("alert").text(default=""),
            item.child("source").text(default=""),
        )
    alerts = [(job.source, job.alert) for job in found.values() if job.alert]
    for name, job in found.items():
        if job.alert and alerts.count((job.source, job.alert)) > 1:
            node.child(name).error("another job uses the same alert", "remove one")
    return found
