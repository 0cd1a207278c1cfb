"""What keeps alerts from paging: inhibitions and maintenance windows.

Law: a matcher names a label; one that names nothing would mute everything.
"""

from __future__ import annotations

from midwatch.config.paging import read_hours, read_zone
from midwatch.core.values.schedules import Layer, Schedule
from midwatch.core.values.silences import Inhibition, Maintenance, Matcher, Muting, read_matcher
from midwatch.yaml_nodes import Node


def read_muting(main: Node) -> Muting:
    """Read what keeps alerts from paging."""
    return Muting(
        tuple(_inhibition(name, item) for name, item in main.child("inhibit").entries()),
        tuple(_maintenance(name, item) for name, item in main.child("maintenance").entries()),
    )


def _inhibition(name: str, node: Node) -> Inhibition:
    node.keys("source", "target", "equal", required=("source", "target"))
    return Inhibition(
        name,
        _named(node.child("source")),
        _named(node.child("target")),
        tuple(item.text() for item in node.child("equal").items()),
    )


def _maintenance(name: str, node: Node) -> Maintenance:
    node.keys("matchers", "hours", "time_zone", required=("matchers", "hours"))
    hours = tuple(read_hours(item) for item in node.child("hours").items())
    zone = read_zone(node.child("time_zone"))
    layer = Layer("window", (name,), "1970-01-01T00:00", hours=hours)
    if not hours:
        node.child("hours").error(
            "at least one range of hours is needed", "write [{from: '02:00', to: '03:00'}]"
        )
    return Maintenance(name, _named(node.child("matchers")), Schedule(name, zone, (layer,)))


def read_matchers(node: Node) -> tuple[Matcher, ...]:
    """Read what labels must be, such as [service=shop]."""
    found: list[Matcher] = []
    for item in node.items():
        try:
            found.append(read_matcher(item.text()))
        except ValueError as error:
            item.error(str(error), "see docs/correlation.md")
    return tuple(found)


def read_always(node: Node) -> tuple[tuple[Matcher, ...], ...]:
    """Read which alerts page though an objective of their service is heard.

    Each entry is one matcher, or a list of those that have to fit together.
    """
    found: list[tuple[Matcher, ...]] = []
    for item in node.items():
        if isinstance(item.value, list):
            found.append(_named(item))
        else:
            try:
                found.append((read_matcher(item.text()),))
            except ValueError as error:
                item.error(str(error), "see docs/correlation.md")
    return tuple(one for one in found if one)


def _named(node: Node) -> tuple[Matcher, ...]:
    found = read_matchers(node)
    if node.value == []:
        node.error("at least one label is needed", "write matchers such as [service=shop]")
    return found
