"""Who is on call: layers of people who take turns, and what stands over them for a while.

Law: at each moment one person of a schedule is on call, or nobody, and never two. Before a layer
starts it has nobody, so that a change of rota can be written down ahead. What stands higher wins:
an override, the newest first, then the last layer that has somebody. A hand-off is at the same
local time whatever the clocks did, so a shift may be an hour shorter or longer. A local time that a
clock skips is taken as long after the gap as it was meant; of one that comes twice it is the first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from whenever import Date, PlainDateTime

MINUTE_MS = 60_000
DAY_MIN = 24 * 60
WEEK_MIN = 7 * DAY_MIN
KEEP_MS = 30 * DAY_MIN * MINUTE_MS  # an override is remembered so long after its end
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


class Hours(Struct, frozen=True):
    """When a layer is heard: on these days (1 is Monday), from minute to minute of the day.

    One that ends no later than it begins goes on into the next day.
    """

    days: tuple[int, ...] = EVERY_DAY
    from_min: int = 0
    to_min: int = DAY_MIN


class Layer(Struct, frozen=True):
    """People in turn, from a local time on.

    They hand off every so many minutes of local time, or at each of the `handoffs`, minutes of the
    week from Monday's midnight. Without `hours` the layer is always heard.
    """

    name: str
    people: tuple[str, ...]
    starts: str
    every_min: int = WEEK_MIN
    handoffs: tuple[int, ...] = ()
    hours: tuple[Hours, ...] = ()


class Override(Struct, frozen=True):
    """Somebody stands in for [starts_at, ends_at), whoever's turn it is."""

    id: str
    person: str
    starts_at: int
    ends_at: int
    by: str = ""


class Shift(Struct, frozen=True):
    """Who is on call for [starts_at, ends_at) in milliseconds; None is nobody."""

    person: str | None
    starts_at: int
    ends_at: int


class Schedule(Struct, frozen=True):
    """Layers in a time zone, the later above the earlier.

    >>> weekly = simple("primary", ("ada", "ben"), "Europe/Berlin", "2026-01-05T09:00")
    >>> weekly.on_call(1_768_204_799_000), weekly.on_call(1_768_204_800_000)
    ('ada', 'ben')
    """

    name: str
    time_zone: str
    layers: tuple[Layer, ...]

    @property
    def people(self) -> frozenset[str]:
        """Everybody who has a turn."""
        return frozenset(name for layer in self.layers for name in layer.people)

    def on_call(self, at: int, overrides: Iterable[Override] = ()) -> str | None:
        """Name who is on call at a moment (milliseconds); None when nobody is."""
        for one in reversed(list(overrides)):
            if one.starts_at <= at < one.ends_at:
                return one.person
        layer = self._layer(at)
        return layer.people[self._turn(layer, at) % len(layer.people)] if layer else None

    def _layer(self, at: int) -> Layer | None:
        """Find the layer that says who is on call at a moment."""
        heard = (layer for layer in reversed(self.layers) if self._is_heard(layer, at))
        return next(heard, None)

    def shifts(self, start: int, end: int, overrides: Sequence[Override] = ()) -> list[Shift]:
        """List who is on call from `start` to `end`, in order and without holes.

        >>> shop = simple("shop", ("ada", "ben"), "UTC", "1970-01-01T00:00", DAY_MIN)
        >>> [(s.person, s.ends_at // 3_600_000) for s in shop.shifts(0, 48 * 3_600_000)]
        [('ada', 24), ('ben', 48)]
        """
        return _joined(self._cut(start, end, overrides), lambda one, _: one)

    def turns(self, start: int, end: int, overrides: Sequence[Override] = ()) -> list[Shift]:
        """List the same, cut at each hand-off: also where the next turn is the same person's.

        >>> shop = simple("shop", ("ada", "ada", "ben"), "UTC", "1970-01-01T00:00", DAY_MIN)
        >>> [(s.person, s.ends_at // 3_600_000) for s in shop.turns(0, 72 * 3_600_000)]
        [('ada', 24), ('ada', 48), ('ben', 72)]
        """

        def turn(person: str | None, at: int) -> object:
            stands_in = (o.id for o in reversed(overrides) if o.starts_at <= at < o.ends_at)
            override, layer = next(stands_in, None), self._layer(at)
            if override is not None or layer is None:
                return person, override
            return person, layer.name, self._turn(layer, at)

        return _joined(self._cut(start, end, overrides), turn)

    def _cut(self, start: int, end: int, overrides: Sequence[Override]) -> Iterable[Shift]:
        """Cut a time wherever who is on call may change."""
        edges = {start, end}
        for one in overrides:
            edges |= {one.starts_at, one.ends_at}
        for layer in self.layers:
            edges.update(self._edges(layer, start, end))
        inside = sorted(edge for edge in edges if start <= edge < end)
        for begin, finish in zip(inside, [*inside[1:], end], strict=True):
            yield Shift(self.on_call(begin, overrides), begin, finish)

    # --- turns ---

    def _turn(self, layer: Layer, at: int) -> int:
        """Count the hand-offs since the layer's start."""
        turn = _guess(layer, _local(at, self.time_zone))
        # Two equal local times, or one that was skipped: the moment itself decides.
        while at < self._handoff(layer, turn):
            turn -= 1
        while at >= self._handoff(layer, turn + 1):
            turn += 1
        return max(turn, 0)

    def _handoff(self, layer: Layer, turn: int) -> int:
        return _moment(_handoff_local(layer, turn), self.time_zone)

    def _edges(self, layer: Layer, start: int, end: int) -> Iterable[int]:
        """List the moments at which a layer may change."""
        yield self._begins(layer)
        turn = self._turn(layer, start)
        while (edge := self._handoff(layer, turn)) < end:
            yield edge
            turn += 1
        first = _local(start, self.time_zone).date()
        last = _local(end, self.time_zone).date()
        for hours in layer.hours:
            day = first.subtract(days=1)
            while day <= last:
                if day.day_of_week().value in hours.days:
                    yield from self._window(hours, day)
                day = day.add(days=1)

    # --- hours ---

    def _begins(self, layer: Layer) -> int:
        return _moment(_begin(layer), self.time_zone)

    def _is_heard(self, layer: Layer, at: int) -> bool:
        if at < self._begins(layer):
            return False
        if not layer.hours:
            return True
        today = _local(at, self.time_zone).date()
        for day in (today, today.subtract(days=1)):
            for hours in layer.hours:
                if day.day_of_week().value in hours.days:
                    begin, finish = self._window(hours, day)
                    if begin <= at < finish:
                        return True
        return False

    def _window(self, hours: Hours, day: Date) -> tuple[int, int]:
        to_min = hours.to_min if hours.to_min > hours.from_min else hours.to_min + DAY_MIN
        midnight = day.at(_midnight())
        return (
            _moment(_plus(midnight, hours.from_min), self.time_zone),
            _moment(_plus(midnight, to_min), self.time_zone),
        )


def _joined(parts: Iterable[Shift], turn: Callable[[str | None, int], object]) -> list[Shift]:
    """Join what is of one turn."""
    found: list[Shift] = []
    newest: object = None
    for part in parts:
        this = turn(part.person, part.starts_at)
        if found and newest == this:
            found[-1] = Shift(part.person, found[-1].starts_at, part.ends_at)
        else:
            found.append(part)
        newest = this
    return found


def simple(
    name: str, people: tuple[str, ...], time_zone: str, starts: str, every_min: int = WEEK_MIN
) -> Schedule:
    """Make a schedule of one layer that is always heard."""
    return Schedule(name, time_zone, (Layer(name, people, starts, every_min),))


def hidden(layers: Sequence[Layer]) -> dict[str, str]:
    """Name layers that can never be seen, each with the one above that hides it.

    >>> low, high = (Layer(name, ("ada",), "2026-01-05T09:00") for name in ("low", "high"))
    >>> hidden([low, high])
    {'low': 'high'}
    """
    found: dict[str, str] = {}
    for number, layer in enumerate(layers):
        for above in layers[number + 1 :]:
            covered = bool(layer.hours) and set(layer.hours) <= set(above.hours)
            earlier = _begin(layer) < _begin(above)  # until then it is on call
            if not earlier and (not above.hours or covered):
                found[layer.name] = above.name
                break
    return found


def _guess(layer: Layer, local: PlainDateTime) -> int:
    begin = _begin(layer)
    if not layer.handoffs:
        minutes = _minutes_between(begin, local)
        return minutes // layer.every_min
    week = _week_of(begin)
    minutes = _minutes_between(week, local)
    weeks, rest = divmod(minutes, WEEK_MIN)
    return weeks * len(layer.handoffs) + bisect_right(layer.handoffs, rest) - 1 - _first(layer)


def _handoff_local(layer: Layer, turn: int) -> PlainDateTime:
    begin = _begin(layer)
    if not layer.handoffs:
        return _plus(begin, turn * layer.every_min)
    weeks, at = divmod(turn + _first(layer), len(layer.handoffs))
    return _plus(_week_of(begin), weeks * WEEK_MIN + layer.handoffs[at])


def _first(layer: Layer) -> int:
    """Count the hand-offs of the first week that lie before the start: the one in force there."""
    begin = _begin(layer)
    return bisect_right(layer.handoffs, _minutes_between(_week_of(begin), begin)) - 1


# whenever is heavy: whoever has no schedule needs none of it. Its stubs leave some types open.


@lru_cache(256)
def _begin(layer: Layer) -> PlainDateTime:
    from whenever import PlainDateTime

    return PlainDateTime.parse_iso(layer.starts)


def _week_of(local: PlainDateTime) -> PlainDateTime:
    day = local.date()
    return day.subtract(days=day.day_of_week().value - 1).at(_midnight())


def _midnight() -> Any:
    from whenever import Time

    return Time(0)


def _minutes_between(earlier: PlainDateTime, later: PlainDateTime) -> int:
    """Count minutes on the face of a clock that nobody sets."""
    days = int(later.date().since(earlier.date(), total="days"))
    return days * DAY_MIN + _minute(later) - _minute(earlier)


def _minute(local: PlainDateTime) -> int:
    return local.hour * 60 + local.minute


def _plus(local: PlainDateTime, minutes: int) -> PlainDateTime:
    days, rest = divmod(_minute(local) + minutes, DAY_MIN)
    from whenever import Time

    return local.date().add(days=days).at(Time(rest // 60, rest % 60))


def hour_of(at: int, zone: str) -> int:
    """Say which hour of the day a moment (milliseconds) is in a time zone.

    >>> hour_of(0, "UTC"), hour_of(0, "Asia/Tokyo")
    (0, 9)
    """
    return _minute(_local(at, zone)) // 60


@lru_cache(4096)
def _moment(local: PlainDateTime, zone: str) -> int:
    found = local.assume_tz(zone, disambiguation="compatible")  # pyright: ignore[reportUnknownMemberType]
    return int(found.timestamp(unit="millisecond"))


def _local(at: int, zone: str) -> PlainDateTime:
    from whenever import Instant

    moment = Instant.from_timestamp(at, unit="millisecond")
    return moment.to_tz(zone).to_plain()  # pyright: ignore[reportUnknownMemberType]
