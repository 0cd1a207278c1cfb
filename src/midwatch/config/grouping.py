"""How alerts are grouped where people know better: `correlation`.

Law: what is not said is decided by what fires; a wall is a label, and nothing is a wall by itself.
"""

from __future__ import annotations

from midwatch.config.muting import read_matchers
from midwatch.core.rules.correlation import THRESHOLD
from midwatch.core.values.gathering import Gathering
from midwatch.yaml_nodes import Node

NO_WALL = "none"


def read_threshold(node: Node) -> float:
    """Read how strongly an alert has to be drawn at least, from 0 to 1."""
    return float(node.child("threshold").number(str(THRESHOLD)))


def read_wall(node: Node) -> str:
    """Read which label no incident crosses, "" for none."""
    named = node.child("wall").text() if node.has("wall") else NO_WALL
    return "" if named == NO_WALL else named


def read_gatherings(node: Node) -> tuple[Gathering, ...]:
    """Read which alerts people want together."""
    return tuple(_gathering(item) for item in node.child("routes").items())


def _gathering(node: Node) -> Gathering:
    node.keys("matchers", "group_by", "as", "until", required=("matchers",))
    sent = node.has("as") and bool(node.child("as").choice("alertmanager"))
    if sent == node.has("group_by"):
        node.error("does not say how to group", "write either group_by, or as: alertmanager")
    matchers = read_matchers(node.child("matchers"))
    if node.child("matchers").value == []:
        node.child("matchers").error(
            "at least one label is needed", "write matchers such as [service=shop]"
        )
    labels = tuple(item.text() for item in node.child("group_by").items())
    until = node.child("until").choice("resolved", "quiet", default="resolved")
    return Gathering(matchers, labels, "quiet" if until == "quiet" else "resolved", sent)


def wants_groups(node: Node) -> bool:
    """Say whether a route asks for the groups of the sender."""
    return any(item.has("as") for item in node.child("routes").items())
