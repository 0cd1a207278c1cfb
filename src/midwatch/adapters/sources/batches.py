"""What the sources share: JSON in, and one bad item never costs its neighbours.

Law: bytes that are no JSON raise BadJson with their position; an envelope that is not of the format
raises BadFile with its path; an item that is not right is handed back as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from midwatch.core.alerts import Alert
from midwatch.core.inputs import Rejected
from midwatch.errors import BadFile, BadJson
from midwatch.ports import Parsed

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
        raise BadJson(f"is no JSON: {error}", remedy=remedy) from None


def _must_be_json(body: bytes, remedy: str) -> None:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(f"is no JSON: {error}", remedy=remedy) from None


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
