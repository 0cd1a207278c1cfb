"""Errors as the web speaks them: RFC 9457 problem documents.

Law: a problem says what is wrong, where, and what to do, as every error here; it never says more
about the inside than the error itself does.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from starlette.responses import Response

from midwatch.errors import MidwatchError

TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict with the current state",
    413: "Too large",
    422: "Wrong content",
    429: "Too many requests",
    500: "Broken",
    503: "Unavailable",
}
RETRY_AFTER_S = 1


class Problem(Struct, frozen=True):
    """What an error looks like."""

    title: str
    status: int
    detail: str
    place: str = ""
    remedy: str = ""


def problem(
    status: int,
    detail: str,
    *,
    place: str = "",
    remedy: str = "",
    retry_after_s: int = RETRY_AFTER_S,
) -> Response:
    """Answer with a problem document.

    >>> problem(503, "is stopping").headers["retry-after"]
    '1'
    """
    document = Problem(TITLES.get(status, "Error"), status, detail, place, remedy)
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="midwatch", Basic realm="midwatch"'
    if status in (429, 503):
        headers["Retry-After"] = str(retry_after_s)
    return Response(
        msgspec.json.encode(document),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


def problem_of(status: int, error: MidwatchError) -> Response:
    """Answer with what an error says."""
    return problem(status, error.message, place=error.place, remedy=error.remedy)
