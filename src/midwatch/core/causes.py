"""The ranked causes of an incident.

Law: a symptom calls its cause, so a service in trouble whose own callees are well stands before
those that call it; then the earlier onset. With nothing to go by, the answer is empty: unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.core.topology import Topology


def rank(services: Mapping[str, int], topology: Topology) -> list[str]:
    """Rank the services of an incident, best first, by their first trouble in milliseconds.

    >>> t = Topology([], [("shop", "cart"), ("cart", "db")])
    >>> rank({"shop": 1, "cart": 2, "db": 3}, t)
    ['db', 'shop', 'cart']
    """

    def depth(service: str) -> int:
        return sum(callee in services for callee in topology.callees(service))

    named = [s for s in services if s]
    return sorted(named, key=lambda s: (depth(s) > 0, services[s], s))
