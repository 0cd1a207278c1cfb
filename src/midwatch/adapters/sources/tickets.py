"""What people and ticket systems report: one JSON object, an array of them, or one a line.

    {"text": "The assistant told me 7 days", "id": "ZD-4711", "by": "ada", "service": "assistant",
     "category": "answers", "affected": 3}

Law: `text` is required and is read as text, never as anything else. A report without an id is a new
one each time. A bad report costs no neighbour.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from midwatch.adapters.sources import batches
from midwatch.core.state.inputs import FileTicket, Rejected
from midwatch.core.values.confusions import NONE, Labelled
from midwatch.errors import BadFile

REMEDY = 'send reports like {"text": "what is wrong, in your words"}'
LABEL = 'write {"text": "my card is declined", "category": "payment", "language": "en"}'
MAX_TEXT = 10_000
MAX_AFFECTED = 10_000_000


class _Ticket(Struct):
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    id: Annotated[str, Meta(max_length=100)] = ""
    by: Annotated[str, Meta(max_length=200)] = ""
    service: Annotated[str, Meta(max_length=200)] = ""
    category: Annotated[str, Meta(max_length=200)] = ""
    affected: Annotated[int, Meta(ge=1, le=MAX_AFFECTED)] = 1


class _Labelled(Struct):
    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    category: Annotated[str, Meta(max_length=200)]
    language: Annotated[str, Meta(max_length=200)] = ""
    lang: Annotated[str, Meta(max_length=200)] = ""  # many corpora call it so


class ParsedTickets(Struct, frozen=True):
    """What a delivery held."""

    tickets: tuple[FileTicket, ...]
    rejected: tuple[Rejected, ...] = ()


_one = msgspec.json.Decoder(_Ticket)
_label = msgspec.json.Decoder(_Labelled)
_many = msgspec.json.Decoder(list[msgspec.Raw])


def parse(body: bytes, now: int) -> ParsedTickets:
    r"""Read one delivery. Raises BadFile or BadJson.

    >>> parse(b'{"text": "no answers", "id": "ZD-1"}', 0).tickets[0].ticket
    'ZD-1'
    >>> parse(b'[{"text": "no answers"}, {"id": "x"}]', 0).rejected[0].place
    '$[1]'
    """
    text = body.strip()
    if not text.startswith(b"["):
        return ParsedTickets((_read(text, now, 0),))
    tickets: list[FileTicket] = []
    rejected: list[Rejected] = []
    for number, item in enumerate(batches.decode(_many, text, REMEDY)):
        try:
            tickets.append(_read(bytes(item), now, number))
        except BadFile as error:
            place = f"$[{number}]{error.place.removeprefix('$')}"
            rejected.append(Rejected(place, error.message, bytes(item)))
    return ParsedTickets(tuple(tickets), tuple(rejected))


def parse_file(body: bytes, name: str) -> list[FileTicket]:
    """Read a file of reports, one a line; what has no id is told by its line and its text."""
    tickets: list[FileTicket] = []
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            try:
                tickets.append(_read(line, 0, number))
            except BadFile as error:
                place = f"{name}:{number}{error.place.removeprefix('$')}"
                raise BadFile(error.message, place=place, remedy=error.remedy) from None
    return tickets


def parse_labelled(body: bytes, name: str, categories: Collection[str]) -> list[Labelled]:
    r"""Read a file of reports that people labelled, one a line. Raises BadFile with the line.

    An empty category, or "none", is of a report that belongs to none; `lang` is `language`, too.

    >>> parse_labelled(b'{"text": "where is my parcel?", "category": ""}', "f", ["pay"])[0].category
    'none'
    """
    found: list[Labelled] = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            one = batches.decode(_label, line, LABEL)
        except BadFile as error:
            where = f"{place}{error.place.removeprefix('$')}"
            raise BadFile(error.message, place=where, remedy=LABEL) from None
        label = one.category or NONE
        if label != NONE and label not in categories:
            says = f"unknown category {label!r}"
            known = ", ".join(categories) or "none yet; define them under tickets in midwatch.yaml"
            raise BadFile(says, place=place, remedy=f'use "" for none, or one of {known}')
        found.append(Labelled(place, one.text, label, one.language or one.lang))
    return found


def new_id(by: str, text: str, now: int, number: int = 0) -> str:
    """Name a report that has no id of its own."""
    said = f"{now}/{number}/{by}/{text}".encode("utf-8", "surrogatepass")
    return f"T-{blake2b(said, digest_size=5).hexdigest()}"


def _read(body: bytes, now: int, number: int) -> FileTicket:
    raw = batches.decode(_one, body, REMEDY)
    if not raw.text.strip():
        raise BadFile("the text is empty", place="$.text", remedy=REMEDY)
    name = raw.id or new_id(raw.by, raw.text, now, number)
    return FileTicket(name, raw.text, raw.by, raw.service, raw.category, raw.affected)
