"""Which incidents leave the shard: those that nothing can be decided on any more.

Law: a closed incident leaves at the fact that closes it, and what was merged into it goes with it;
so the shard holds what is open, and what is still owed work. It stays as long as an objective burns
on from it, or something that it began is under way. What leaves is kept as a row of the archive, to
the last fact of its stream.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from midwatch.core.state.incidents import Incident


class Archived(Struct):
    """An incident that has left: as it is now, and how many facts its stream has."""

    incident: Incident
    version: int


def root_of(incidents: dict[str, Incident], name: str) -> str:
    """Follow merges to the incident that another one is part of."""
    while (one := incidents.get(name)) is not None and one.merged_into:
        name = one.merged_into
    return name


def group(incidents: dict[str, Incident], name: str) -> list[str]:
    """List an incident and all that was merged into it, in the order of their opening."""
    parts: dict[str, list[str]] = {}
    for one in incidents.values():
        if one.state == "merged":
            parts.setdefault(one.merged_into, []).append(one.id)
    found = [name]
    for part in found:  # it grows
        found += parts.get(part, [])
    return [one for one in incidents if one in set(found)] if len(found) > 1 else found


def leaving(incidents: dict[str, Incident], name: str, burning: Iterable[str]) -> list[str]:
    """Say who leaves now that something changed about an incident: nobody, or it and its parts.

    >>> leaving({"INC-1": Incident("INC-1", "shop", "", "slow", 0, state="closed")}, "INC-1", [])
    ['INC-1']
    """
    root = root_of(incidents, name)
    one = incidents.get(root)
    if one is None or one.state != "closed":
        return []
    names = group(incidents, root)
    if any(incidents[part].operation for part in names) or not set(names).isdisjoint(burning):
        return []
    return names
