"""Services and who calls whom.

Law: an edge points from caller to callee. A service without any edge is unknown, not alone:
nothing may be concluded from its absence in the graph.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

HOPS = 2
# In doubt the higher: a critical alert of a service that nobody wrote down still pages.
UNKNOWN_TIER = 2


class Service(Struct, frozen=True):
    """A service, its tier (1 matters most) and the team that owns it."""

    name: str
    tier: int = 3
    owner: str = ""


class Topology:
    """The call graph, with every distance up to `HOPS` looked up in a dictionary.

    >>> t = Topology([Service("shop", 1)], [("shop", "cart"), ("cart", "db")])
    >>> t.hops("shop", "db"), t.hops("db", "shop"), t.hops("shop", "mail"), t.knows("mail")
    (2, 2, None, False)
    """

    def __init__(
        self, services: Iterable[Service] = (), edges: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.services = {s.name: s for s in services}
        self.edges = tuple(edges)
        self._callees: dict[str, list[str]] = {}
        callers: dict[str, list[str]] = {}
        for caller, callee in self.edges:
            self._callees.setdefault(caller, []).append(callee)
            callers.setdefault(callee, []).append(caller)
        self._near: dict[str, dict[str, int]] = {}
        for name in sorted({*self._callees, *callers}):
            near = _reach(name, self._callees)
            for other, hops in _reach(name, callers).items():
                near[other] = min(hops, near.get(other, hops))
            self._near[name] = near

    def knows(self, service: str) -> bool:
        """Say whether the graph has any edge of this service."""
        return service in self._near

    def hops(self, one: str, other: str) -> int | None:
        """Count the calls between two services along one direction, None beyond `HOPS`."""
        if one == other:
            return 0
        return self._near.get(one, {}).get(other)

    def near(self, service: str) -> Iterable[str]:
        """List the services within `HOPS` calls along one direction."""
        return self._near.get(service, ())

    def callees(self, service: str) -> list[str]:
        """List whom a service calls directly."""
        return self._callees.get(service, [])

    def tier(self, service: str) -> int:
        """Give the tier of a service; one that config does not name has UNKNOWN_TIER."""
        known = self.services.get(service)
        return known.tier if known else UNKNOWN_TIER

    def owner(self, service: str) -> str:
        """Name the team that owns a service, empty when config does not say."""
        known = self.services.get(service)
        return known.owner if known else ""


def _reach(start: str, following: dict[str, list[str]]) -> dict[str, int]:
    """Walk breadth-first, in one direction only, up to HOPS steps."""
    reached = {start: 0}
    edge = [start]
    for distance in range(1, HOPS + 1):
        edge = [n for at in edge for n in following.get(at, ()) if n not in reached]
        for name in edge:
            reached[name] = distance
    del reached[start]
    return reached
