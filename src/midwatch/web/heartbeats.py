"""Jobs that say that they live.

Law: 202 is said after the commit, as for an alert. A job needs its own token.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from midwatch.bootstrap import Service
from midwatch.core.state.inputs import Envelope, HeartbeatSeen
from midwatch.errors import Busy, CommitFailed
from midwatch.ports import Tokens
from midwatch.web import guards
from midwatch.web.problems import problem, problem_of
from midwatch.web.shares import Shares


class Heartbeats:
    """`POST /heartbeats/{job}`, and GET, as a cron line has nothing but a URL."""

    def __init__(self, service: Service, tokens: Tokens, shares: Shares) -> None:
        self._loop = service.loop
        self._jobs = service.rules.jobs
        self._tokens = tokens
        self._shares = shares

    async def beat(self, request: Request) -> Response:
        """Take one beat."""
        name: str = request.path_params["job"]
        token = guards.sender(request, self._tokens, name)
        if isinstance(token, Response):
            return token
        if refused := self._shares.refuses(token):
            return refused
        job = self._jobs.get(name)
        if job is None or job.alert:
            remedy = "add it to watched_jobs in midwatch.yaml"
            return problem(404, f"no heartbeat is named {name!r}", remedy=remedy)
        try:
            given = Envelope("", HeartbeatSeen(name), actor=guards.actor(token))
            await asyncio.wrap_future(self._loop.submit([given], token.id))
        except (Busy, CommitFailed) as error:
            return problem_of(503, error)
        return Response(b"heard\n", 202, media_type="text/plain")
