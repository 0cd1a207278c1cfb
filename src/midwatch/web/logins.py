"""Logging in and out of the web UI.

Law: the cookie is random and says nothing; what it opens is kept on this machine alone, and ends by
logout, by its own age, with its token, and when a journal is restored. A form that changes anything
else is taken only with proof that one of our own pages sent it. Where the way is https the cookie's
name starts with `__Host-`, so that no other host and no plain connection can plant one. Each
journal has a name of its own, for cookies know no ports.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from midwatch.errors import CommitFailed
from midwatch.ports import Sessions, Token, Tokens
from midwatch.web import guards
from midwatch.web.cards import templates
from midwatch.web.shell import HEADERS
from midwatch.web.trail import Watch

MAX_FORM_BYTES = 4096
COOKIE_S = 7 * 86_400  # no login lives longer


class Logins:
    """Knows who looks."""

    def __init__(
        self,
        tokens: Tokens,
        sessions: Sessions,
        watch: Watch,
        journal: str,
        seq: Callable[[], int],
        clock: Callable[[], int],
        *,
        shadow: bool,
    ) -> None:
        """Make it for a journal; `seq` gives its newest event, `clock` wall time in ms."""
        self._tokens = tokens
        self._sessions = sessions
        self._watch = watch
        self._name = f"midwatch_{journal[:8]}"
        self._seq = seq
        self._clock = clock
        self._shadow = shadow
        self._templates = templates()

    def who(self, request: Request) -> Token | None:
        """Give the token behind a login, as long as both live."""
        text = request.cookies.get(self._cookie(request), "")
        session = self._sessions.find(text, self._clock(), self._seq) if text else None
        token = self._tokens.get(session.token) if session else None
        if token is not None:
            self._watch.used(token)
        elif session is not None:  # else a copy of the journal that knows the token would open it
            with suppress(CommitFailed):
                self._sessions.end_of(session.token)
        return token

    async def form(self, request: Request) -> Response:
        """Ask for a token."""
        return self._render("login.html", wrong=False, shadow=self._shadow)

    async def login(self, request: Request) -> Response:
        """Open a session for a responder's token."""
        body = await guards.body_of(request, MAX_FORM_BYTES)
        if isinstance(body, Response):
            return body
        if _is_foreign(request):  # a program says nothing, and logs in or out all the same
            return self._foreign()
        text = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        token = self._tokens.find(text)
        if token is None or not token.role:
            says = "a sender token" if token else "missing or invalid token"
            self._watch.refused(request, "login refused", token, says)
            return self._render("login.html", 401, wrong=True, shadow=self._shadow)
        try:
            made = await run_in_threadpool(self._create, token)
        except CommitFailed as error:
            return self._render("busy.html", 503, says=str(error))
        self._watch.did(request, "login", token)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._cookie(request),
            made,
            max_age=COOKIE_S,
            path="/",
            httponly=True,
            samesite="lax",
            secure=_is_https(request),
        )
        return answer

    async def logout(self, request: Request) -> Response:
        """End a session, here and in the browser."""
        if _is_foreign(request):  # a program says nothing, and logs in or out all the same
            return self._foreign()
        name = self._cookie(request)
        text = request.cookies.get(name, "")
        who = self.who(request)
        try:
            await run_in_threadpool(self._sessions.end, text)
        except CommitFailed as error:
            return self._render("busy.html", 503, says=str(error))
        if who is not None:
            self._watch.did(request, "logout", who)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(
            name, path="/", httponly=True, samesite="lax", secure=_is_https(request)
        )
        return answer

    def _create(self, token: Token) -> str:
        return self._sessions.create(token.id, self._seq(), self._clock())

    def _cookie(self, request: Request) -> str:
        return f"__Host-{self._name}" if _is_https(request) else self._name

    def _foreign(self) -> Response:
        return self._render("busy.html", 403, says="this form was sent from another site")

    def _render(self, name: str, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status, HEADERS)


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"


def is_own(request: Request) -> bool:
    """Say whether a form was sent from a page of ours; without any proof it was not.

    Every browser of today says with a form where it comes from.
    """
    said = (request.headers.get("origin"), request.headers.get("sec-fetch-site"))
    return said != (None, None) and not _is_foreign(request)


def _is_foreign(request: Request) -> bool:
    """Say whether another site's page sent a form."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc != request.headers.get("host")
    return request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
