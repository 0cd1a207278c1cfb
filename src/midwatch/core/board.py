"""Where to look for the incident of an alert: a few names each, however many incidents are open.

Law: an index and nothing more: it says what the open incidents say, in whatever order they came to
say it, and is never written down. An alert looks at the NEWEST incidents of its service, of the
services near it and of its namespace, and at what names the same trace or change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from msgspec import Struct, field

from midwatch.core.incidents import Incident, is_crowd, is_open

NEWEST = 8
ANYWHERE = "*"  # no namespace of Kubernetes may be called so


class Board(Struct):
    """Names of open incidents by what they may be found by, oldest first."""

    by_service: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    by_space: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    crowds: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    by_ref: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def put(
        self,
        incident: str,
        service: str,
        namespace: str,
        refs: Iterable[str] = (),
        *,
        crowd: bool = False,
    ) -> None:
        """Note an alert of an incident; to note it again changes nothing."""
        _put(self.by_service, service, incident)
        for lists in (self.by_space, self.crowds) if crowd else (self.by_space,):
            _put(lists, namespace, incident)
            _put(lists, ANYWHERE, incident)
        for ref in refs:
            _put(self.by_ref, ref, incident)

    def add(self, incident: Incident) -> None:
        """Note all that an incident says, when it is open."""
        if is_open(incident):
            for service in incident.services:
                self.put(incident.id, service, incident.namespace, crowd=is_crowd(incident))
            for ref in incident.refs:
                _put(self.by_ref, ref, incident.id)

    def remove(self, incident: Incident) -> None:
        """Forget an incident."""
        for service in incident.services:
            _remove(self.by_service, service, incident.id)
        for ref in incident.refs:
            _remove(self.by_ref, ref, incident.id)
        for lists in (self.by_space, self.crowds):
            for place in (incident.namespace, "", ANYWHERE):
                _remove(lists, place, incident.id)

    def look(
        self, services: Iterable[str], namespace: str, refs: Iterable[str] = ()
    ) -> Iterable[str]:
        """List the incidents that something of these services may belong to, oldest first.

        >>> board = Board()
        >>> board.put("INC-9", "shop", "eu"), board.put("INC-10", "cart", "us")
        (None, None)
        >>> board.look(["shop"], "us")
        ['INC-9', 'INC-10']
        """
        found: dict[str, None] = {}
        for service in services:
            if names := self.by_service.get(service):
                found.update(dict.fromkeys(names[-NEWEST:]))
        for place in (namespace, "") if namespace else (ANYWHERE,):
            if names := self.by_space.get(place):
                found.update(dict.fromkeys(names[-NEWEST:]))
            if names := self.crowds.get(place):
                found.update(dict.fromkeys(names[-NEWEST:]))
        for ref in refs:
            if names := self.by_ref.get(ref):
                found[names[0]] = None
        return sorted(found, key=_order) if len(found) > 1 else found


def _order(incident: str) -> tuple[int, str]:
    """Sort by number: INC-9 stands before INC-10."""
    return len(incident), incident


def _put(lists: dict[str, list[str]], place: str, incident: str) -> None:
    names = lists.get(place)
    if names is None:
        lists[place] = [incident]
    elif names[-1] != incident:
        at = bisect_left(names, _order(incident), key=_order)
        if at == len(names) or names[at] != incident:
            names.insert(at, incident)


def _remove(lists: dict[str, list[str]], place: str, incident: str) -> None:
    names = lists.get(place)
    if names and incident in names:
        names.remove(incident)
        if not names:
            del lists[place]
