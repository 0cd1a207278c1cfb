"""Where to look for the incident of an alert: a few names each, however many incidents are open.

Law: an index and nothing more: it says what the open incidents say, in whatever order they came to
say it, and is never written down. An alert looks at the NEWEST incidents of its service, of the
services near it and of its namespace, and at what names the same trace or change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from msgspec import Struct, field

from midwatch.core.incidents import PREFIX, Incident, is_crowd, is_open

NEWEST = 8
ANYWHERE = "*"  # no namespace of Kubernetes may be called so


class Board(Struct):
    """Numbers of open incidents by what they may be found by, oldest first."""

    by_service: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    by_space: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    crowds: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    by_ref: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

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
        number = number_of(incident)
        _put(self.by_service, service, number)
        for lists in (self.by_space, self.crowds) if crowd else (self.by_space,):
            _put(lists, namespace, number)
            _put(lists, ANYWHERE, number)
        for ref in refs:
            _put(self.by_ref, ref, number)

    def add(self, incident: Incident) -> None:
        """Note all that an incident says, when it is open."""
        if is_open(incident):
            for service in incident.services:
                self.put(incident.id, service, incident.namespace, crowd=is_crowd(incident))
            for ref in incident.refs:
                _put(self.by_ref, ref, number_of(incident.id))

    def remove(self, incident: Incident) -> None:
        """Forget an incident."""
        number = number_of(incident.id)
        for service in incident.services:
            _remove(self.by_service, service, number)
        for ref in incident.refs:
            _remove(self.by_ref, ref, number)
        self._leave(number, incident.namespace)

    def take_down(self, incident: str, service: str, namespace: str) -> None:
        """Take back what `put` noted, but for the refs."""
        number = number_of(incident)
        _remove(self.by_service, service, number)
        self._leave(number, namespace)

    def _leave(self, number: int, namespace: str) -> None:
        for lists in (self.by_space, self.crowds):
            for place in (namespace, "", ANYWHERE):
                _remove(lists, place, number)

    def look(
        self, services: Iterable[str], namespace: str, refs: Iterable[str] = ()
    ) -> Iterable[int]:
        """List the incidents that something of these services may belong to, oldest first.

        >>> board = Board()
        >>> board.put("INC-9", "shop", "eu"), board.put("INC-10", "cart", "us")
        (None, None)
        >>> board.look(["shop"], "us")
        [9, 10]
        """
        found: set[int] = set()
        by_service = self.by_service
        for service in services:
            if service in by_service:
                found.update(by_service[service][-NEWEST:])
        for place in (namespace, "") if namespace else (ANYWHERE,):
            for lists in (self.by_space, self.crowds):
                if place in lists:
                    found.update(lists[place][-NEWEST:])
        for ref in refs:
            if ref in self.by_ref:
                found.add(self.by_ref[ref][0])
        return sorted(found)


def number_of(incident: str) -> int:
    """Give the number in an incident's name.

    >>> number_of("INC-10")
    10
    """
    return int(incident[len(PREFIX) :])


def _put(lists: dict[str, list[int]], place: str, number: int) -> None:
    numbers = lists.get(place)
    if numbers is None:
        lists[place] = [number]
    elif numbers[-1] < number:
        numbers.append(number)
    elif numbers[-1] != number:
        at = bisect_left(numbers, number)
        if numbers[at] != number:
            numbers.insert(at, number)


def _remove(lists: dict[str, list[int]], place: str, number: int) -> None:
    numbers = lists.get(place)
    if numbers and number in numbers:
        numbers.remove(number)
        if not numbers:
            del lists[place]
