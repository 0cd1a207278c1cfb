"""What fires where, and which open incidents name a service or an id: a look-up each.

Law: an index and nothing more: it says what the open incidents say, in whatever order they came to
say it, and is never written down. For each service it knows the newest alert, and which services
fired last, so that placing an alert costs the same however much fires.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from msgspec import Struct, field

from midwatch.core.state.incidents import Incident, is_open
from midwatch.core.values.keys import PREFIX, service_of

NEWEST = 8
BURN = "slo "  # a burning objective fires like an alert of this name

# When it began to fire, its fingerprint, and the number of its incident.
Line = tuple[int, str, int]


class Board(Struct):
    """Numbers of open incidents by what they may be found by, oldest first, and all that fires."""

    by_service: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    by_ref: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    lines: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])
    loud: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])  # critical ones
    # Services in the order of their newest line.
    recent: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    recent_loud: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def put(self, incident: str, service: str, refs: Iterable[str] = ()) -> None:
        """Note what an incident names; to note it again changes nothing."""
        number = number_of(incident)
        _put(self.by_service, service, number)
        for ref in refs:
            _put(self.by_ref, ref, number)

    def gather(self, incident: str, group: str) -> None:
        """Note which group of alerts an incident is for."""
        if group:
            _put(self.by_ref, group, number_of(incident))

    def of_group(self, group: str) -> int | None:
        """Give the newest open incident of a group."""
        numbers = self.by_ref.get(group)
        return numbers[-1] if numbers else None

    def fire(self, incident: str, service: str, fingerprint: str, at: int, *, loud: bool) -> None:
        """Note what fires in an incident; to note it again changes nothing."""
        line = at, fingerprint, number_of(incident)
        _fire(self.lines, self.recent, service, line)
        if loud:
            _fire(self.loud, self.recent_loud, service, line)

    def rest(self, incident: str, service: str, fingerprint: str, at: int, *, loud: bool) -> None:
        """Forget what fired in an incident; to forget it again changes nothing."""
        line = at, fingerprint, number_of(incident)
        _rest(self.lines, self.recent, service, line)
        if loud:
            _rest(self.loud, self.recent_loud, service, line)

    def add(self, incident: Incident) -> None:
        """Note all that an incident says, when it is open."""
        if not is_open(incident):
            return
        for service in incident.services:
            self.put(incident.id, service)
        for ref in incident.refs:
            _put(self.by_ref, ref, number_of(incident.id))
        for group in (incident.group, *incident.groups):
            self.gather(incident.id, group)
        for fingerprint, one in incident.firing.items():
            loud = one.level == "critical"
            self.fire(incident.id, one.service, fingerprint, one.starts_at, loud=loud)
        for slo, service, at in _burns(incident):
            self.fire(incident.id, service, slo, at, loud=True)

    def remove(self, incident: Incident) -> None:
        """Forget an incident."""
        number = number_of(incident.id)
        for service in incident.services:
            _remove(self.by_service, service, number)
        for ref in (*incident.refs, incident.group, *incident.groups):
            _remove(self.by_ref, ref, number)
        for fingerprint, one in incident.firing.items():
            loud = one.level == "critical"
            self.rest(incident.id, one.service, fingerprint, one.starts_at, loud=loud)
        for slo, service, at in _burns(incident):
            self.rest(incident.id, service, slo, at, loud=True)

    def take_down(
        self, incident: str, service: str, fingerprint: str, at: int, *, loud: bool
    ) -> None:
        """Take back what `put` and `fire` noted, but for the refs."""
        _remove(self.by_service, service, number_of(incident))
        self.rest(incident, service, fingerprint, at, loud=loud)

    def naming(self, service: str, most: int = NEWEST) -> list[int]:
        """List the newest open incidents that name a service, oldest first, at most so many.

        >>> board = Board()
        >>> board.put("INC-9", "shop"), board.put("INC-10", "shop")
        (None, None)
        >>> board.naming("shop"), board.naming("cart")
        ([9, 10], [])
        """
        return self.by_service.get(service, _NONE)[-most:]

    def of_ref(self, ref: str) -> int | None:
        """Give the oldest open incident that names an id."""
        numbers = self.by_ref.get(ref)
        return numbers[0] if numbers else None


_NONE: list[int] = []


def number_of(incident: str) -> int:
    """Give the number in an incident's name.

    >>> number_of("INC-10")
    10
    """
    return int(incident.removeprefix(PREFIX))


def _burns(incident: Incident) -> Iterable[tuple[str, str, int]]:
    """List the objectives that burn in an incident, as what fires."""
    for slo in incident.slos:
        yield BURN + slo, service_of(slo), incident.burned_at


def _fire(
    lines: dict[str, list[Line]], recent: list[tuple[int, str]], service: str, line: Line
) -> None:
    mine = lines.get(service)
    if mine is None:
        lines[service] = [line]
        _insert(recent, (line[0], service))
        return
    newest = mine[-1]
    if newest < line:
        mine.append(line)
    else:
        at = bisect_left(mine, line)
        if mine[at] == line:
            return
        mine.insert(at, line)
    if mine[-1][0] != newest[0]:
        _drop(recent, (newest[0], service))
        _insert(recent, (mine[-1][0], service))


def _rest(
    lines: dict[str, list[Line]], recent: list[tuple[int, str]], service: str, line: Line
) -> None:
    mine = lines.get(service)
    if mine is None:
        return
    at = bisect_left(mine, line)
    if at == len(mine) or mine[at] != line:
        return
    newest = mine[-1][0]
    del mine[at]
    if not mine:
        del lines[service]
        _drop(recent, (newest, service))
    elif mine[-1][0] != newest:
        _drop(recent, (newest, service))
        _insert(recent, (mine[-1][0], service))


def _insert(recent: list[tuple[int, str]], item: tuple[int, str]) -> None:
    if not recent or recent[-1] < item:
        recent.append(item)
    else:
        recent.insert(bisect_left(recent, item), item)


def _drop(recent: list[tuple[int, str]], item: tuple[int, str]) -> None:
    at = bisect_left(recent, item)
    if at < len(recent) and recent[at] == item:
        del recent[at]


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
