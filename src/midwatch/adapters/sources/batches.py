"""What the sources share: JSON in, and one bad item never costs its neighbours.

Law: bytes that are no JSON raise BadJson with their position; an envelope that is not of the format
raises BadFile with its path; an item that is not right is handed back as it came. A time that
`start` cannot read costs no alert, for in doubt something is wrong: it is handed back, and the
alert counts as of its arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from midwatch.core.state.inputs import Rejected
from midwatch.core.values.alerts import Alert
from midwatch.core.values.moments import moment
from midwatch.errors import BadFile, BadJson
from midwatch.ports import Parsed

NO_TIME = "0001-01-01T"  # how Go writes that there is none
T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes, remedy: str, path: str = "$") -> T:
    """Decode a body that stands at `path`; raises BadJson or BadFile.

    >>> decode(msgspec.json.Decoder(dict[str, int]), b'{"n": "x"}', "send numbers")
    Traceback (most recent call last):
    ...
    midwatch.errors.BadFile: $[...]: Expected `int`, got `str`; send numbers
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # A type may be wrong before the bytes stop being JSON; the second is the worse news.
        _must_be_json(body, remedy)
        says, _, within = str(error).partition(" - at ")
        place = path + within.strip("`").removeprefix("$")
        raise BadFile(says, place=place, remedy=remedy) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(f"not valid JSON: {error}", remedy=remedy) from None


def _must_be_json(body: bytes, remedy: str) -> None:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(f"not valid JSON: {error}", remedy=remedy) from None


def start(given: Any, now: int, place: str, item: Any) -> tuple[int, tuple[Rejected, ...]]:
    """Read the time of an item; when it is none, it is `now`, and what was wrong is handed back.

    >>> start("2026-11-30 11:22:29", 5, "$.at", {})[0]
    5
    """
    if given is None or given == "":
        return now, ()
    try:
        return moment(given, now), ()
    except ValueError as error:
        why = f"invalid time, so its arrival time is used: {error}"
        return now, (Rejected(place, why, msgspec.json.encode(item)),)


def period(start: str, end: str, now: int) -> tuple[int, int | None]:
    """Read when an alert of Alertmanager or Grafana began and ended. Raises ValueError.

    >>> period("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 7)
    (7, None)
    """
    starts_at = now if start.startswith(NO_TIME) else moment(start, now)
    no_end = not end or end.startswith(NO_TIME)
    return starts_at, None if no_end else moment(end, now)


def each(
    items: list[msgspec.Raw], read: Callable[[bytes], Alert], path: str = "$.alerts"
) -> Parsed:
    """Read items one by one, and keep apart those that are wrong; `read` sees `$` as its item."""
    alerts: list[Alert] = []
    rejected: list[Rejected] = []
    for number, item in enumerate(items):
        body = bytes(item)
        try:
            alerts.append(read(body))
        except BadFile as error:
            place = error.place.removeprefix("$")
            rejected.append(Rejected(f"{path}[{number}]{place}", error.message, body))
    return Parsed(tuple(alerts), tuple(rejected))
