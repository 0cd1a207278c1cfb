"""A row of the table of routes, as the handler of its address: guard, decode, do, encode.

Law: each row is guarded alike; an error is answered by its class alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TypeGuard
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from midwatch.engine import paging
from midwatch.errors import (
    BadJson,
    Busy,
    CommitFailed,
    HarnessError,
    InputError,
    MidwatchError,
    StateError,
)
from midwatch.ports import Token, Tokens
from midwatch.web import bodies, guards
from midwatch.web.api import Api
from midwatch.web.calls import Call, NotThere, Part
from midwatch.web.problems import problem_of
from midwatch.web.rows import Row
from midwatch.web.shares import Shares

MAX_BYTES = 64 * 1024

# The first class that fits says how an error is answered.
STATUS: dict[type[MidwatchError], int] = {
    BadJson: 400,
    NotThere: 404,
    paging.NoSuchRow: 404,
    InputError: 422,
    StateError: 409,
    HarnessError: 503,
}


def endpoint(
    row: Row, api: Api, tokens: Tokens, shares: Shares
) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of a row: guard, decode, do, encode."""

    async def answer(request: Request) -> Response:
        token = guards.person(request, tokens)
        if isinstance(token, Response):
            return token
        if refused := shares.refuses(token):
            return refused
        try:
            come = await _call(row, request, token, api)
            if isinstance(come, Response):
                return come
            call, body = come
            found = await row.answer(api, call, body)
        except (InputError, StateError, Busy, CommitFailed) as error:
            status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
            return problem_of(status, error)
        headers: dict[str, str] = {}
        if _is_part(found):
            if found.after:
                headers["Link"] = f'<{_next(found, call.limit)}>; rel="next"'
            return _json(found.document, headers)
        return _json(found, headers)

    return answer


def _is_part(found: object) -> TypeGuard[Part[object]]:
    return isinstance(found, Part)


def _json(document: object, headers: dict[str, str]) -> Response:
    body = msgspec.json.encode(document)
    return Response(body, headers=headers, media_type="application/json")


def _next(part: Part[object], limit: int) -> str:
    """Say where the part after this one is."""
    joint = "&" if "?" in part.path else "?"
    return f"{part.path}{joint}limit={limit}&after={quote(part.after, '')}"


async def _call(
    row: Row, request: Request, token: Token, api: Api
) -> tuple[Call, bytes] | Response:
    """Read a request past its guards, or refuse it. Raises InputError."""
    flags = {name: _flag(request, name) for name in row.flags}
    numbers = {name: _number(request, name) for name in row.numbers}
    if row.takes is None:
        limit = _limit(request) if row.paged else paging.LIMIT
        after = request.query_params.get("after", "") if row.paged else ""
        call = Call(
            request=request,
            by=token,
            now=api.now(),
            flags=flags,
            numbers=numbers,
            limit=limit,
            after=after,
        )
        return call, b""
    wanted = guards.idempotency_key(request) if row.once else ""
    if isinstance(wanted, Response):
        return wanted
    body = await guards.body_of(request, MAX_BYTES)
    if isinstance(body, Response):
        return body
    key = _key(token, request, wanted, body)
    call = Call(request=request, by=token, now=api.now(), flags=flags, numbers=numbers, key=key)
    return call, body


def _key(token: Token, request: Request, wanted: str, body: bytes) -> str:
    """Name a request: another one under the same idempotency key is another request."""
    if not wanted:
        return ""
    hashed = blake2b(request.url.path.encode() + b"\0" + body, digest_size=8).hexdigest()
    return f"api/{token.id}/{wanted}/{hashed}"


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (
        text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= bodies.MAX_NUMBER
    ):
        raise InputError(f"got {text!r}", place=f"?{name}", remedy="write a whole number")
    return int(text)


def _limit(request: Request) -> int:
    """Read how many rows are wanted. Raises InputError."""
    if "limit" not in request.query_params:
        return paging.LIMIT
    limit = _number(request, "limit")
    if not 1 <= limit <= paging.MOST:
        remedy = f"write 1 to {paging.MOST}, and follow Link"
        raise InputError(f"got {limit}", place="?limit", remedy=remedy)
    return limit


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InputError(f"got {text!r}", place=f"?{name}", remedy="write true or false")
    return text == "true"
