"""The page: open incidents with their timelines, and a button to take one.

Law: everything works without JavaScript; with it the page follows the server's events. What stands
on it came from outside and is escaped; the browser is told to run nothing but the page's own file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from itsdangerous import BadSignature, TimestampSigner
from jinja2 import Environment, FileSystemLoader, select_autoescape
from msgspec import Struct
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from midwatch.bootstrap import Service
from midwatch.core import inputs
from midwatch.core.shard import Shard
from midwatch.engine import queries
from midwatch.errors import Busy, CommitFailed
from midwatch.ports import Audit, Token, Tokens
from midwatch.web import guards
from midwatch.web.changes import Changes

HERE = Path(str(resources.files("midwatch.web")))
COOKIE = "midwatch_session"
SESSION_S = 14 * 86_400
MAX_FORM_BYTES = 4096
SHOWN = 50
PING_S = 15
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Shown(Struct):
    """What the page shows: details of the worst incidents, and how many more there are."""

    details: list[queries.Detail]
    more: int


class Page:
    """Shows incidents to a person with a session."""

    def __init__(self, service: Service, audit: Audit, tokens: Tokens, changes: Changes) -> None:
        self._loop = service.loop
        self._shadow = service.shadow
        self._audit = audit
        self._tokens = tokens
        self._changes = changes
        self._signer = TimestampSigner(tokens.session_key())
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape()
        )

    # --- looking ---

    async def incidents(self, request: Request) -> Response:
        """Show the open incidents."""
        who = self._who(request)
        if who is None:
            return RedirectResponse("/login", 303)
        try:
            shown = await asyncio.wrap_future(self._loop.view(self._look))
        except Busy as error:
            return self._render("busy.html", 503, says=str(error))
        return self._render("page.html", shown=shown, who=who, shadow=self._shadow)

    def _look(self, shard: Shard) -> _Shown:
        listed = queries.summaries(shard)
        found = (queries.detail(shard, self._audit, one.id) for one in listed[:SHOWN])
        return _Shown([one for one in found if one is not None], max(len(listed) - SHOWN, 0))

    async def changes(self, request: Request) -> Response:
        """Tell by server-sent events that there is something new to look at."""
        if self._who(request) is None:
            return Response(status_code=401)

        async def news() -> AsyncIterator[dict[str, str]]:
            # At once: what changed between the page and this connection would be missed.
            yield {"event": "changed", "data": "0"}
            async for number in self._changes.read():
                yield {"event": "changed", "data": str(number)}

        return EventSourceResponse(news(), ping=PING_S)

    # --- doing ---

    async def ack(self, request: Request) -> Response:
        """Take an incident, from a form."""
        who = self._who(request)
        if who is None:
            return RedirectResponse("/login", 303)
        if not _is_own(request):
            return self._render("busy.html", 403, says="this form came from another site")
        command = inputs.Acknowledge(request.path_params["id"], who.name)
        try:
            done = self._loop.submit([inputs.Envelope("", command)])
            await asyncio.wrap_future(done)
        except (Busy, CommitFailed) as error:
            return self._render("busy.html", 503, says=str(error))
        return RedirectResponse("/", 303)

    async def login_form(self, request: Request) -> Response:
        """Ask for a token."""
        return self._render("login.html", wrong=False)

    async def login(self, request: Request) -> Response:
        """Open a session for a responder's token."""
        body = await guards.body_of(request, MAX_FORM_BYTES)
        if isinstance(body, Response):
            return body
        if not _is_own(request):
            return self._render("busy.html", 403, says="this form came from another site")
        text = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        token = self._tokens.find(text)
        if token is None or not token.role:
            return self._render("login.html", 401, wrong=True)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._signer.sign(token.id).decode(),
            max_age=SESSION_S,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return answer

    async def logout(self, request: Request) -> Response:
        """End a session."""
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    # --- inside ---

    def _who(self, request: Request) -> Token | None:
        """Give the token behind a session, as long as it lives."""
        try:
            signed = self._signer.unsign(request.cookies.get(COOKIE, ""), max_age=SESSION_S)
        except BadSignature:
            return None
        return self._tokens.get(signed.decode())

    def _render(self, name: str, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status, HEADERS)


def _is_own(request: Request) -> bool:
    """Say whether a form was sent from a page of ours; browsers name its origin."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")
