"""What pipelines tell of changes: one JSON object, an array of them, or one a line.

    {"service": "shop", "kind": "deploy", "id": "d-12", "at": "2026-01-31T09:00:00Z",
     "by": "ci/412", "from": "v2", "to": "v3"}

Law: `service` is required; what has no id is told by its service, kind, time and releases, so that
the same delivery again is the same change. A bad change costs no neighbour.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Struct, field

from midwatch.adapters.sources import batches
from midwatch.core.state.inputs import Rejected
from midwatch.core.values.changes import Change
from midwatch.core.values.moments import moment
from midwatch.errors import BadFile

REMEDY = 'send changes like {"service": "shop", "kind": "deploy", "id": "d-12"}'


class _Change(Struct):
    service: str
    kind: str = "deploy"
    id: str = ""
    at: str | float | None = None
    by: str = ""
    from_release: str = field(default="", name="from")
    to_release: str = field(default="", name="to")


class ParsedChanges(Struct, frozen=True):
    """What a delivery held."""

    changes: tuple[Change, ...]
    rejected: tuple[Rejected, ...]


_one = msgspec.json.Decoder(_Change)
_many = msgspec.json.Decoder(list[msgspec.Raw])


def parse(body: bytes, now: int) -> ParsedChanges:
    r"""Read one delivery; a change without a time is made now. Raises BadFile or BadJson.

    >>> parse(b'{"service": "shop", "id": "d-12", "at": 1769850000}', 0).changes[0].at
    1769850000000
    >>> parse(b'[{"service": "shop"}, {"kind": "deploy"}]', 0).rejected[0].place
    '$[1]'
    """
    text = body.strip()
    if not text.startswith(b"["):
        return ParsedChanges((_read(text, now),), ())
    changes: list[Change] = []
    rejected: list[Rejected] = []
    for number, item in enumerate(batches.decode(_many, text, REMEDY)):
        try:
            changes.append(_read(bytes(item), now))
        except BadFile as error:
            place = f"$[{number}]{error.place.removeprefix('$')}"
            rejected.append(Rejected(place, error.message, bytes(item)))
    return ParsedChanges(tuple(changes), tuple(rejected))


def parse_file(body: bytes, name: str) -> list[Change]:
    """Read a file of changes, one a line. Raises BadFile with the line."""
    changes: list[Change] = []
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            try:
                changes.append(_read(line, None))
            except BadFile as error:
                place = f"{name}:{number}"
                raise BadFile(error.message, place=place, remedy=error.remedy) from None
    return changes


def _read(body: bytes, now: int | None) -> Change:
    raw = batches.decode(_one, body, REMEDY)
    at = _time(raw.at, now)
    if not raw.service:
        raise BadFile("service is missing", place="$.service", remedy=REMEDY)
    return change_of(raw.service, raw.kind, raw.id, at, raw.by, raw.from_release, raw.to_release)


def change_of(
    service: str, kind: str, name: str, at: int, by: str, before: str, after: str
) -> Change:
    """Make a change; without an id it is named by what it says."""
    said = "\0".join((service, kind, str(at), before, after)).encode("utf-8", "surrogatepass")
    key = name or blake2b(said, digest_size=6).hexdigest()
    return Change(key, service, kind, at, by, before, after)


def _time(given: str | float | None, now: int | None) -> int:
    remedy = "write times like 2026-01-31T09:00:00Z, or seconds since 1970"
    if given is None:
        if now is None:
            raise BadFile("the time is missing", place="$.at", remedy=remedy)
        return now
    try:
        return moment(given, now or 0)
    except ValueError as error:
        raise BadFile(f"invalid time: {error}", place="$.at", remedy=remedy) from None
