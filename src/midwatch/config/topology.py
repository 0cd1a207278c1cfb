"""Services, and who calls whom: topology.yaml and topology.json.

Law: an edge of the YAML file joins two services that it names; what a mesh wrote down is taken
as it is.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from midwatch.core.values.topology import UNKNOWN_TIER, Service, Topology
from midwatch.errors import BadFile
from midwatch.yaml_nodes import Node, Problems, read_yaml


def read_topology(folder: Path, problems: Problems) -> Topology:
    """Read services, and who calls whom."""
    edges = _known_edges(folder / "topology.json", problems)
    file = folder / "topology.yaml"
    if not file.is_file():
        return Topology((), edges)
    root = read_yaml(file, problems)
    root.keys("services", "edges")
    services: dict[str, Service] = {}
    for item in root.child("services").items():
        item.keys("name", "tier", "owner", "aliases", required=("name",))
        name = item.child("name").text()
        if name in services:
            item.error(f"{name!r} is listed twice", "list each service once")
        tier = item.child("tier").integer(UNKNOWN_TIER, at_least=1, at_most=3)
        owner = item.child("owner").text(default="")
        aliases = tuple(alias.text() for alias in item.child("aliases").items())
        services[name] = Service(name, tier, owner, aliases)
    _check_aliases(root, services)
    for item in root.child("edges").items():
        ends = list(item.items())
        if len(ends) != 2:
            item.error("not an edge", "write [caller, callee]")
            continue
        for end in ends:
            if isinstance(end.value, str) and end.value not in services:
                end.error(f"unknown service {end.value!r}", "add it to services")
        edges.append((ends[0].text(), ends[1].text()))
    return Topology(services.values(), edges)


def _check_aliases(root: Node, services: Collection[str]) -> None:
    """Note an alias that two services have, or that another one is called."""
    owners: dict[str, str] = {}
    for item in root.child("services").items():
        name = item.child("name").value
        for alias in item.child("aliases").items():
            other = owners.setdefault(str(alias.value), name)
            if other != name or (alias.value in services and alias.value != name):
                says = f"{alias.value!r} is also {'a service' if other == name else other}"
                alias.error(says, "give each name to one service")


class _Edges(Struct):
    edges: list[tuple[str, str]]


_edges = msgspec.json.Decoder(_Edges)


def read_edges(file: Path) -> list[tuple[str, str]]:
    """Read a JSON file of calls, {"edges": [[caller, callee], ...]}. Raises BadFile."""
    remedy = 'write {"edges": [["caller", "callee"]]}'
    try:
        return _edges.decode(file.read_bytes()).edges
    except OSError as error:
        raise BadFile(error.strerror or "cannot be read", place=str(file), remedy=remedy) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadFile(f"not a list of edges: {error}", place=str(file), remedy=remedy) from None


def _known_edges(file: Path, problems: Problems) -> list[tuple[str, str]]:
    """Read the calls that a mesh or a tracing system has written down, when there are any."""
    if not file.is_file():
        return []
    try:
        return read_edges(file)
    except BadFile as error:
        problems.add(error.place, error.message, error.remedy)
        return []
