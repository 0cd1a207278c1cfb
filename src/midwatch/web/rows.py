"""What a row of the table of routes is, and the four kinds of it.

Law: a row is made of parts that fit: the type checker refuses a command or a handler that takes
another body than the row names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from midwatch.adapters.sources.batches import decode
from midwatch.core.state import inputs
from midwatch.web.api import Api
from midwatch.web.calls import Call, Part

REMEDY = "see /api/v1/openapi.json"

B = TypeVar("B", bound=Struct)
D = TypeVar("D")

Answer = Callable[[Api, Call, bytes], Awaitable[object]]


class Row(Struct, frozen=True, kw_only=True):
    """One row of the table; `answer` decodes the body, does what it says, and gives a document.

    `name` is its operation in the OpenAPI document. `flags` are query parameters that are true or
    false, `numbers` are whole ones, `also` further status codes; with `once` a request with an
    idempotency key is done once. One that is `paged` takes `limit` and `after`, and says with Link
    where the next part is.
    """

    name: str
    method: str
    path: str
    says: str
    gives: type[object]
    answer: Answer
    takes: type[Struct] | None = None
    flags: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    once: bool = False
    paged: bool = False


def read(
    name: str,
    path: str,
    says: str,
    gives: type[D],
    ask: Callable[[Api, Call], Awaitable[D]],
    *,
    numbers: tuple[str, ...] = (),
) -> Row:
    """Make the row of a question that is answered whole."""

    async def answer(api: Api, call: Call, _: bytes) -> object:
        return await ask(api, call)

    return Row(
        name=name, method="GET", path=path, says=says, gives=gives, answer=answer, numbers=numbers
    )


def parts(
    name: str,
    path: str,
    says: str,
    gives: type[D],
    ask: Callable[[Api, Call], Awaitable[Part[D]]],
    *,
    flags: tuple[str, ...] = (),
    numbers: tuple[str, ...] = (),
) -> Row:
    """Make the row of a question that is answered in parts."""

    async def answer(api: Api, call: Call, _: bytes) -> object:
        return await ask(api, call)

    return Row(
        name=name,
        method="GET",
        path=path,
        says=says,
        gives=gives,
        answer=answer,
        flags=flags,
        numbers=numbers,
        paged=True,
    )


def command(
    name: str,
    path: str,
    says: str,
    takes: type[B],
    make: Callable[[Call, B], inputs.Input],
    gives: type[D],
    then: Callable[[Api, Call], Awaitable[D | Part[D]]],
    *,
    place: Callable[[B], str] | None = None,
) -> Row:
    """Make the row of a body that is a command, answered `then` with what is true after it.

    A refusal names the `place` that the body means, or else the name in the path. An incident that
    is not there is 404 before the command is given.
    """
    decoder = msgspec.json.Decoder(takes)
    of_incident = path.startswith("/api/v1/incidents/{id}/")

    async def answer(api: Api, call: Call, body: bytes) -> object:
        given = decode(decoder, body or b"{}", REMEDY)
        said = make(call, given)
        if of_incident:
            await api.must_be_there(call)
        await api.give(call, said, place(given) if place else call.id)
        return await then(api, call)

    return Row(
        name=name,
        method="POST",
        path=path,
        says=says,
        gives=gives,
        answer=answer,
        takes=takes,
        once=True,
    )


def handler(
    name: str,
    path: str,
    says: str,
    takes: type[B],
    handle: Callable[[Api, Call, B], Awaitable[D | Part[D]]],
    gives: type[D],
    *,
    also: tuple[int, ...] = (),
    once: bool = True,
) -> Row:
    """Make the row of a body about which something has to be decided first."""
    decoder = msgspec.json.Decoder(takes)

    async def answer(api: Api, call: Call, body: bytes) -> object:
        return await handle(api, call, decode(decoder, body or b"{}", REMEDY))

    return Row(
        name=name,
        method="POST",
        path=path,
        says=says,
        gives=gives,
        answer=answer,
        takes=takes,
        also=also,
        once=once,
    )
