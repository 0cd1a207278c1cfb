"""The web application: intake, API, page, health.

Law: a handler that breaks answers 500 as a problem and is logged with its path's pattern, never
with the path itself, which may hold a token; so nobody is redirected to such a path either.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from midwatch.bootstrap import Service
from midwatch.engine.clock import wall_ms
from midwatch.engine.overview import Looker
from midwatch.ports import Access, Audit, Tokens
from midwatch.web.api import Api
from midwatch.web.cards import HERE, Cards, templates
from midwatch.web.endpoint import endpoint
from midwatch.web.health import Health
from midwatch.web.heartbeats import Heartbeats
from midwatch.web.intake import Intake
from midwatch.web.logins import Logins
from midwatch.web.news import News
from midwatch.web.openapi import document
from midwatch.web.page import Page
from midwatch.web.problems import problem
from midwatch.web.routes import ROUTES
from midwatch.web.shares import Shares
from midwatch.web.shown import Shown
from midwatch.web.slack import SlackButtons
from midwatch.web.trail import Watch

SHOWN = 50  # incidents on the page
log = logging.getLogger("midwatch.web")


def build_app(
    service: Service, audit: Audit, tokens: Tokens, access: Access, journal: str, changes: News
) -> Starlette:
    """Wire the application over a service; its loop may start later."""
    watch = Watch(access, wall_ms, service.conditions)
    logins = Logins(
        tokens, access, watch, journal, partial(_newest, audit), wall_ms, shadow=service.shadow
    )
    shares = Shares(service.limits, service.conditions)
    intake = Intake(service, tokens, shares)
    looker = Looker(service.rules.topology, SHOWN)
    cards = Cards(templates(), audit, shadow=service.shadow)
    shown = Shown(service.loop, looker, cards, changes)
    shown.figures.tell(service.conditions)
    api = Api(service, audit)
    health = Health(service.loop, service.conditions, tokens, audit.dropped)
    page = Page(service, audit, logins, shown)
    slack, heartbeats = SlackButtons(service, audit), Heartbeats(service, tokens, shares)
    described = document(ROUTES)

    async def openapi(request: Request) -> Response:
        return Response(described, media_type="application/json")

    routes = [
        Route("/intake/{source}", intake.take, methods=["POST"]),
        Route("/intake/{source}/{token}", intake.take, methods=["POST"]),
        *_api_routes(api, tokens, shares),
        Route("/api/v1/openapi.json", openapi),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        Route("/metrics", health.metrics),
        Route("/", page.incidents),
        Route("/changes", page.changes),
        Route("/login", logins.form),
        Route("/login", logins.login, methods=["POST"]),
        Route("/logout", logins.logout, methods=["POST"]),
        Route("/incidents/{id}", page.link),
        Route("/incidents/{id}/postmortem", page.postmortem),
        Route("/incidents/{id}/ack", page.ack, methods=["POST"]),
        Route("/incidents/{id}/approve", page.approve, methods=["POST"]),
        Route("/incidents/{id}/refuse", page.refuse, methods=["POST"]),
        Route("/incidents/{id}/stop", page.stop, methods=["POST"]),
        Route("/heartbeats/{job}", heartbeats.beat, methods=["POST", "GET"]),
        Route("/heartbeats/{job}/{token}", heartbeats.beat, methods=["POST", "GET"]),
        Route("/slack/{pager}", slack.press, methods=["POST"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: _http_error, Exception: _broken}
    )
    app.router.redirect_slashes = False
    app.state.shadow = service.shadow
    app.state.watch = watch
    return app


def _newest(audit: Audit) -> int:
    """Give the number of the newest event, from any thread."""
    with audit.beside() as reader:
        return reader.head()[0]


def _api_routes(api: Api, tokens: Tokens, shares: Shares) -> Iterable[Route]:
    """Make one route of each address, whatever its methods: a wrong one is told which there are."""
    by_path: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {}
    for row in ROUTES:
        by_path.setdefault(row.path, {})[row.method] = endpoint(row, api, tokens, shares)

    def answer(
        ways: dict[str, Callable[[Request], Awaitable[Response]]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def chosen(request: Request) -> Response:
            return await ways[request.method if request.method != "HEAD" else "GET"](request)

        return chosen

    # A name out of a label may have a slash, which a server reads as one however it was quoted.
    return [
        Route(path.replace("{id}/", "{id:path}/"), answer(ways), methods=list(ways))
        for path, ways in by_path.items()
    ]


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = error.headers or {}
    detail, remedy = error.detail, "see /api/v1/openapi.json"
    if error.status_code == 404:
        detail = "no such address"
    elif error.status_code == 405:
        detail, remedy = f"{request.method} is not allowed here", f"use {headers.get('Allow')}"
    answer = problem(error.status_code, detail, remedy=remedy)
    answer.headers.update(headers)
    return answer


async def _broken(request: Request, error: Exception) -> Response:
    route = request.scope.get("route")
    where = getattr(route, "path", "?")
    log.error("%s %s failed: %s", request.method, where, type(error).__name__, exc_info=error)
    return problem(500, "internal error: a bug in midwatch", remedy="check the log and report it")
