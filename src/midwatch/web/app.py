"""The web application: intake, API, health.

Law: a handler that breaks answers 500 as a problem and is logged with its path's pattern, never
with the path itself, which may hold a token.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from midwatch.engine.loop import Loop
from midwatch.ports import Audit, Source, Tokens
from midwatch.web.api import ROUTES, Api
from midwatch.web.intake import Intake
from midwatch.web.problems import problem

log = logging.getLogger("midwatch.web")

STALLED_S = 15.0


class Ready(msgspec.Struct, frozen=True):
    """Whether it can take alerts, and if not, why."""

    ready: bool
    why: str = ""


class Health:
    """`/healthz` and `/readyz`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    async def alive(self, request: Request) -> Response:
        """Say that the process answers and its engine runs."""
        if self._loop.error is not None:
            return PlainTextResponse("the engine has stopped\n", 503)
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """Say whether a delivery would be committed now."""
        stats = self._loop.stats
        why = ""
        if self._loop.error is not None:
            why = "the engine has stopped"
        elif stats.failing_since is not None:
            why = "commits fail"
        elif stats.last_tick and time.monotonic() - stats.last_tick > STALLED_S:
            why = "the engine is stalled"
        body = msgspec.json.encode(Ready(not why, why))
        return Response(body, 503 if why else 200, media_type="application/json")


def build_app(loop: Loop, audit: Audit, sources: Mapping[str, Source], tokens: Tokens) -> Starlette:
    """Wire the application over a running loop."""
    intake, api, health = Intake(loop, sources, tokens), Api(loop, audit, tokens), Health(loop)
    routes = [
        Route("/intake/{source}", intake.take, methods=["POST"]),
        Route("/intake/{source}/{token}", intake.take, methods=["POST"]),
        Route("/healthz", health.alive),
        Route("/readyz", health.ready),
        *(Route(r.path, api.endpoint(r), methods=[r.method]) for r in ROUTES),
    ]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: _http_error, Exception: _broken}
    )


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "error"
    return problem(status, detail)


async def _broken(request: Request, error: Exception) -> Response:
    route = request.scope.get("route")
    where = getattr(route, "path", "?")
    log.error("%s %s broke: %s", request.method, where, type(error).__name__, exc_info=error)
    return problem(500, "midwatch has a bug here", remedy="look at the log, and report it")
