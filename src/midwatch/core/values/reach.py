"""How two services stand to each other in the call graph, whoever calls whom.

Law: what breaks one service is felt along calls in either direction: callers wait, and neighbours
share what they call. So a path may turn round on its way, has at most MOST_CALLS calls, and never
runs through a hub (HUB_EDGES), which everything is near to. A service without a place in the graph
has no path to any other: whether the two belong together is for others to judge.

A table of one service is drawn up when it is first asked for, and kept; at most MOST_KEPT entries
in all, so that a large graph costs time and not memory.
"""

from __future__ import annotations

from functools import lru_cache

from midwatch.core.values.topology import HUB_EDGES, Topology

MOST_CALLS = 9
MOST_KEPT = 1_000_000


class Reach:
    """Every distance up to MOST_CALLS calls.

    >>> calls = [("shop", "db"), ("mail", "db"), ("paper", "ink")]
    >>> reach = Reach(Topology([], calls))
    >>> reach.hops("shop", "shop"), reach.hops("db", "shop"), reach.hops("shop", "mail")
    (0, 1, 2)
    >>> reach.hops("shop", "paper"), reach.hops("shop", "nobody"), reach.hops("new", "new")
    (None, None, 0)
    >>> reach.part_of("shop") == reach.part_of("mail"), reach.part_of("nobody")
    (True, '')
    """

    def __init__(self, topology: Topology) -> None:
        neighbours: dict[str, dict[str, None]] = {}
        for caller, callee in topology.edges:
            if caller != callee:
                neighbours.setdefault(caller, {})[callee] = None
                neighbours.setdefault(callee, {})[caller] = None
        self._neighbours = neighbours
        self._through = {name for name, near in neighbours.items() if len(near) <= HUB_EDGES}
        self._parts: dict[str, str] = {}
        self._kept: dict[str, dict[str, int]] = {}
        self._entries = 0

    @property
    def count(self) -> int:
        """How many services have a call."""
        return len(self._neighbours)

    def knows(self, service: str) -> bool:
        """Say whether the graph has a call of this service."""
        return service in self._neighbours

    def hops(self, one: str, other: str) -> int | None:
        """Count the calls between two services, whatever their direction, None beyond reach."""
        if one == other:
            return 0
        return self.around(one).get(other)

    def around(self, service: str) -> dict[str, int]:
        """Give every service within reach of one, itself too, with the number of calls."""
        found = self._kept.get(service)
        if found is None:
            found = self._walk(service, MOST_CALLS) if service in self._neighbours else {service: 0}
            if self._entries + len(found) > MOST_KEPT:
                self._kept, self._entries = {}, 0
            self._kept[service] = found
            self._entries += len(found)
        return found

    def part_of(self, service: str) -> str:
        """Name the part that a service is connected with, hubs apart; "" when it is unknown."""
        if service not in self._neighbours:
            return ""
        part = self._parts.get(service)
        if part is None:
            if service not in self._through:
                members = {service: 0}
            else:
                members = self._walk(service, len(self._neighbours))
            part = min((one for one in members if one in self._through), default=service)
            for one in members:
                if one in self._through:
                    self._parts[one] = part
            self._parts.setdefault(service, part)
        return part

    def _walk(self, start: str, calls: int) -> dict[str, int]:
        """Walk breadth-first, and not through a hub."""
        reached = {start: 0}
        edge = [start]
        for distance in range(1, calls + 1):
            found: list[str] = []
            for at in edge:
                if at != start and at not in self._through:
                    continue
                for name in self._neighbours[at]:
                    if name not in reached:
                        reached[name] = distance
                        found.append(name)
            if not found:
                break
            edge = found
        return reached


@lru_cache(maxsize=16)
def reach_of(topology: Topology) -> Reach:
    """Give the distances of a call graph, the same object each time for the same graph."""
    return Reach(topology)
