"""What stands before every handler: who calls, and how much they may send.

Law: a token is looked for in the Authorization header, then in the URL's last segment; it never
reaches a log. A body is read up to a limit of bytes and of time, whatever its header claims.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from midwatch.ports import Token, Tokens
from midwatch.web.problems import problem
from midwatch.web.trail import watch_of

BODY_S = 20.0
IDEMPOTENCY_KEY = re.compile("[!-~]{1,255}")
MAX_DRAINED = 64 * 1024 * 1024


def token_text(request: Request, *, basic: bool = True) -> str:
    """Find what the caller shows: a bearer token, a basic-auth password, or the last segment.

    Without `basic` a password is none: a browser sends it along with whatever any page asks for.
    """
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        if not basic:
            return ""
        try:
            pair = base64.b64decode(rest, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return ""
        return pair.partition(":")[2]
    return request.path_params.get("token", "")


def sender(request: Request, tokens: Tokens, source: str) -> Token | Response:
    """Give the token of a sender for this source, or the refusal."""
    token = tokens.find(token_text(request))
    if token is None:
        _refused(request, None, "missing or invalid token")
        remedy = f"midwatch token create --source NAME{_kept(request)}"
        return problem(401, "missing or invalid token", remedy=remedy)
    if token.source != source:
        _refused(request, token, "the token of another source")
        return problem(
            403,
            f"this token does not belong to source {source!r}",
            remedy="use the token of that source",
        )
    watch_of(request).used(token)
    return token


def person(request: Request, tokens: Tokens) -> Token | Response:
    """Give the token of a person, or the refusal. A person's token comes as a bearer alone."""
    token = tokens.find(token_text(request, basic=False))
    if token is None:
        _refused(request, None, "missing or invalid token")
        scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
        if scheme == "basic":
            says = "basic auth is for alert senders only; browsers send it automatically"
            return problem(401, says, remedy="send Authorization: Bearer TOKEN")
        remedy = f"midwatch token create --role responder --name NAME{_kept(request)}"
        return problem(401, "missing or invalid token", remedy=remedy)
    if not token.role:
        _refused(request, token, "a sender token")
        return problem(403, "this is a sender token", remedy="use a responder token")
    watch_of(request).used(token)
    return token


def actor(token: Token) -> str:
    """Name a token beside the events that it causes.

    >>> actor(Token("ab12", "", "responder", "ada", 0))
    'token/ab12'
    """
    return f"token/{token.id}"


def _refused(request: Request, token: Token | None, says: str) -> None:
    route = getattr(request.scope.get("route"), "path", "?")  # a path itself may hold a token
    watch_of(request).refused(request, "call refused", token, f"{request.method} {route}: {says}")


def _kept(request: Request) -> str:
    """Say in which journal a token has to be made: a trial has its own."""
    return " --shadow" if request.app.state.shadow else ""


def idempotency_key(request: Request) -> str | Response:
    """Give the key under which a request is done once, empty without one, or the refusal."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not IDEMPOTENCY_KEY.fullmatch(key):
        says = "must be 1 to 255 printable ASCII characters without spaces"
        return problem(422, says, place="Idempotency-Key", remedy="use a UUID, for example")
    return key


async def body_of(
    request: Request, limit: int, room: Callable[[int], bool] = lambda _: True
) -> bytes | Response:
    """Read a body, or say why not; `room` says of each part whether there is room for it.

    One that is too large is read on for a while and thrown away: a caller that is still writing
    would never see the answer.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                size += len(part)
                if size <= limit:
                    if not room(len(part)):
                        says = "too many bytes sent with this token are waiting"
                        return problem(503, says, remedy="send again in a moment")
                    parts.append(part)
                elif size > limit + MAX_DRAINED:
                    break
    except TimeoutError:
        return problem(
            408, f"the request body did not arrive within {BODY_S:g} s", remedy="send again"
        )
    except ClientDisconnect:
        return problem(400, "the client disconnected", remedy="send again")
    if size > limit:
        return problem(413, f"the body is larger than {limit} bytes", remedy="send smaller batches")
    return b"".join(parts)
