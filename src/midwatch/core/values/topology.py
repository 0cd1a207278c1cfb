"""Services and who calls whom.

Law: an edge points from caller to callee. A service without any edge is unknown, not alone:
nothing may be concluded from its absence in the graph. A hub, which many call, joins nobody: no
path of two calls runs through it, or everything would be near to everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

HOPS = 2
HUB_EDGES = 40
# In doubt the higher: a critical alert of a service that nobody wrote down still pages.
UNKNOWN_TIER = 2


class Service(Struct, frozen=True):
    """A service, its tier (1 matters most), the team that owns it, and what else it is called."""

    name: str
    tier: int = UNKNOWN_TIER
    owner: str = ""
    aliases: tuple[str, ...] = ()


class Topology:
    """The call graph, with every distance up to `HOPS` looked up in a dictionary.

    >>> t = Topology([Service("shop", 1)], [("shop", "cart"), ("cart", "db"), ("mail", "queue")])
    >>> t.hops("shop", "db"), t.hops("db", "shop"), t.hops("shop", "mail"), t.knows("paper")
    (2, 2, None, False)
    >>> t.part("shop") == t.part("db"), t.part("shop") == t.part("queue"), t.part("paper")
    (True, False, '')
    """

    def __init__(
        self, services: Iterable[Service] = (), edges: Iterable[tuple[str, str]] = ()
    ) -> None:
        self.services = {s.name: s for s in services}
        self.edges = tuple(dict.fromkeys(edges))
        self._callees: dict[str, list[str]] = {}
        self._callers: dict[str, list[str]] = {}
        for caller, callee in self.edges:
            self._callees.setdefault(caller, []).append(callee)
            self._callers.setdefault(callee, []).append(caller)
        names = sorted({*self._callees, *self._callers})
        self.hubs = frozenset(
            name for name in names if len(self.callees(name)) + len(self.callers(name)) > HUB_EDGES
        )
        self._near: dict[str, dict[str, int]] = {}
        self._around: dict[str, tuple[str, ...]] = {}
        for name in names:
            near = _reach(name, self._callees, self.hubs)
            for other, hops in _reach(name, self._callers, self.hubs).items():
                near[other] = min(hops, near.get(other, hops))
            self._near[name] = near
            self._around[name] = (name, *near)
        self._parts = _parts(names, self.edges)

    def knows(self, service: str) -> bool:
        """Say whether the graph has any edge of this service."""
        return service in self._near

    @property
    def size(self) -> int:
        """How many services have an edge."""
        return len(self._near)

    def hops(self, one: str, other: str) -> int | None:
        """Count the calls between two services along one direction, None beyond `HOPS`."""
        if one == other:
            return 0
        return self._near.get(one, {}).get(other)

    def near(self, service: str) -> dict[str, int]:
        """Give the services within `HOPS` calls along one direction, with the number of calls."""
        return self._near.get(service, _NOBODY)

    def around(self, service: str) -> tuple[str, ...]:
        """Give a service and those within `HOPS` calls."""
        return self._around.get(service) or (service,)

    def part(self, service: str) -> str:
        """Name the part of the graph that a service is connected with, "" when it is unknown."""
        return self._parts.get(service, "")

    def callees(self, service: str) -> list[str]:
        """List whom a service calls directly."""
        return self._callees.get(service, [])

    def callers(self, service: str) -> list[str]:
        """List who calls a service directly."""
        return self._callers.get(service, [])

    def tier(self, service: str) -> int:
        """Give the tier of a service; one that config does not name has UNKNOWN_TIER."""
        known = self.services.get(service)
        return known.tier if known else UNKNOWN_TIER

    def owner(self, service: str) -> str:
        """Name the team that owns a service, empty when config does not say."""
        known = self.services.get(service)
        return known.owner if known else ""


_NOBODY: dict[str, int] = {}


def _reach(start: str, following: dict[str, list[str]], hubs: frozenset[str]) -> dict[str, int]:
    """Walk breadth-first, in one direction only, up to HOPS steps and not through a hub."""
    reached = {start: 0}
    edge = [start]
    for distance in range(1, HOPS + 1):
        edge = [n for at in edge for n in following.get(at, ()) if n not in reached]
        for name in edge:
            reached[name] = distance
        edge = [name for name in edge if name not in hubs]
    del reached[start]
    return reached


def _parts(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name the connected part of each service after one of its members."""
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for one, other in edges:
        parent[root(one)] = root(other)
    return {name: root(name) for name in parent}
