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

BODY_S = 20.0
IDEMPOTENCY_KEY = re.compile("[!-~]{1,255}")
MAX_DRAINED = 64 * 1024 * 1024


def token_text(request: Request) -> str:
    """Find what the caller shows: a bearer token, a basic-auth password, or the last segment."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
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
        remedy = f"midwatch token create --source NAME{_kept(request)}"
        return problem(401, "no valid token came along", remedy=remedy)
    if token.source != source:
        return problem(403, f"this token is not for source {source!r}", remedy="use its own")
    return token


def person(request: Request, tokens: Tokens) -> Token | Response:
    """Give the token of a person, or the refusal."""
    token = tokens.find(token_text(request))
    if token is None:
        remedy = f"midwatch token create --role responder --name NAME{_kept(request)}"
        return problem(401, "no valid token came along", remedy=remedy)
    if not token.role:
        return problem(403, "this token is a sender's", remedy="use a responder's")
    return token


def _kept(request: Request) -> str:
    """Say in which journal a token has to be made: a trial has its own."""
    return " --shadow" if request.app.state.shadow else ""


def idempotency_key(request: Request) -> str | Response:
    """Give the key under which a request is done once, empty without one, or the refusal."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return ""
    if not IDEMPOTENCY_KEY.fullmatch(key):
        says = "is not 1 to 255 printable ASCII characters without a space"
        return problem(422, says, place="Idempotency-Key", remedy="a UUID will do")
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
                        says = "too many bytes of this token wait"
                        return problem(503, says, remedy="send again in a moment")
                    parts.append(part)
                elif size > limit + MAX_DRAINED:
                    break
    except TimeoutError:
        return problem(408, f"the body did not come within {BODY_S:g} s", remedy="send again")
    except ClientDisconnect:
        return problem(400, "the caller hung up", remedy="send again")
    if size > limit:
        return problem(413, f"more than {limit} bytes came", remedy="send smaller batches")
    return b"".join(parts)
