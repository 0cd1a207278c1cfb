"""Objectives: what holds for each of them, and what they refer to.

Law: an objective counts in a source that is there; where there is only one it need not be named.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from msgspec import structs

from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.adapters.specs.reader import Specs
from midwatch.adapters.specs.settings import Defaults, read_proof, read_tier
from midwatch.core.values.slo import Slo
from midwatch.core.values.topology import Topology
from midwatch.registry import MetricsOptions
from midwatch.yaml_nodes import Node


def read_defaults(node: Node) -> Defaults:
    """Read what holds for every objective that says nothing else."""
    usual = Defaults()
    if node.value is None:
        return usual
    node.keys("period", "tiers", "proof", "quiet_after")
    period_s = node.child("period").duration_s(usual.period_s)
    tiers = [read_tier(name, item, period_s) for name, item in node.child("tiers").entries()]
    return Defaults(
        period_s,
        tuple(tier for tier in tiers if tier) or usual.tiers,
        read_proof(node.child("proof")) if node.has("proof") else usual.proof,
        node.child("quiet_after").duration_s(usual.quiet_s),
    )


def check_slos(
    specs: Specs, topology: Topology, sources: Mapping[str, MetricsOptions]
) -> dict[str, Slo]:
    """Check what objectives refer to, and name the source of those that need not say it."""
    found: dict[str, Slo] = {}
    for name, one in specs.found.items():
        if str(one.service.value) not in specs.services:
            one.service.known("service", topology.services, "topology.yaml")
        found[name] = one.slo
        indicator = one.slo.indicator
        if indicator is None:
            continue
        if not indicator.source and len(sources) == 1:
            indicator = structs.replace(indicator, source=next(iter(sources)))
            found[name] = structs.replace(one.slo, indicator=indicator)
        elif indicator.source not in sources:
            near = difflib.get_close_matches(indicator.source, sources, 1)
            hint = f"did you mean {near[0]}?" if near else "add it to metrics in midwatch.yaml"
            says = f"unknown metrics source {indicator.source!r}"
            if not indicator.source:
                says = "several metrics sources exist, and none is chosen"
                hint = f"write metricSourceRef: {' or '.join(sources)}"
                hint = hint if sources else "add metrics to midwatch.yaml"
            one.name.error(says, hint)
        if isinstance(sources.get(indicator.source), PrometheusOptions):
            for query in one.queries:
                query.check()
    return found
