"""Alerts and counts come in.

Law: 202 is said after the commit and never before. Until then it is 503 with Retry-After, and the
sender still has its copy.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b

import msgspec
from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response

from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.sources import changes as change_bodies
from midwatch.adapters.sources import tickets as ticket_bodies
from midwatch.bootstrap import Service
from midwatch.config import INTAKES
from midwatch.core.state.inputs import (
    AlertsArrived,
    ChangesArrived,
    Envelope,
    PagesSeen,
    SliCounted,
    TicketsArrived,
)
from midwatch.core.values.clock import SECOND
from midwatch.engine.clock import wall_ms
from midwatch.errors import BadFile, BadJson, Busy, CommitFailed, Fenced
from midwatch.outbound import ahead_s
from midwatch.ports import Parsed, Source, Token, Tokens
from midwatch.web import guards
from midwatch.web.problems import problem, problem_of
from midwatch.web.shares import Shares

MAX_BYTES = 8 * 1024 * 1024
RETRY_WINDOW_S = 600


class Taken(Struct, frozen=True):
    """What became of a delivery. `status` and `message` are what PagerDuty's senders look for."""

    accepted: int
    rejected: int
    duplicate: bool
    status: str = "success"
    message: str = "committed"


class Intake:
    """`POST /intake/{source}`."""

    def __init__(self, service: Service, tokens: Tokens, shares: Shares) -> None:
        self._wall = service.wall
        self._conditions = service.conditions
        self._ahead_s: dict[str, float | None] = {}  # by sender
        self._loop = service.loop
        self._sources = service.sources
        self._paging = service.paging
        self._pushed = service.pushed
        self._tokens = tokens
        self._shares = shares
        self._beats = {(job.source, job.alert) for job in service.rules.jobs.values()}

    async def take(self, request: Request) -> Response:
        """Take one delivery."""
        name: str = request.path_params["source"]
        token = guards.sender(request, self._tokens, name)
        if isinstance(token, Response):
            return token
        if refused := self._shares.refuses(token):
            return refused
        pushed = self._pushed.get(name)
        source = self._sources.get(name)
        if source is None and pushed is None and name not in INTAKES:
            return problem(
                404, f"no source is named {name!r}", remedy="add the source to midwatch.yaml"
            )
        wanted = guards.idempotency_key(request)
        if isinstance(wanted, Response):
            return wanted
        # Its bytes count until they are committed: what waits in the queue is as large as it came.
        with self._shares.holding(token) as held:
            body = await guards.body_of(request, MAX_BYTES, held.add)
            if isinstance(body, Response):
                return body
            self._compare_clocks(name, request.headers.get("date", ""))
            return await self._read(name, token, body, wanted)

    async def _read(self, name: str, token: Token, body: bytes, wanted: str) -> Response:
        source, pushed = self._sources.get(name), self._pushed.get(name)
        now = self._wall()
        try:
            if source is not None:
                given, good = self._alerts(name, source, body, wanted, now)
            elif pushed is not None:
                given, good = _counts(name, pushed, body, wanted, now)
            else:
                given, good = _told(name, token.name, body, wanted, now)
        except BadJson as error:
            return problem_of(400, error)
        except BadFile as error:
            return problem_of(422, error)
        sent = structs.replace(given, actor=guards.actor(token))
        return await self._submit(sent, good, token)

    def _compare_clocks(self, name: str, date: str) -> None:
        """Note how far a sender's clock is ahead of ours, when it says what time it is."""
        if not date:
            return
        if name not in self._ahead_s:
            self._conditions.off(f"source/{name}", lambda: self._ahead_s[name])
        self._ahead_s[name] = ahead_s(date, wall_ms() / SECOND, self._ahead_s.get(name))

    async def _submit(self, given: Envelope, good: int, token: Token) -> Response:
        try:
            (handled,) = await asyncio.wrap_future(self._loop.submit([given], token.id))
        except (Busy, CommitFailed, Fenced) as error:
            return problem_of(503, error)
        bad = len(given.rejected)
        taken = Taken(good, bad, duplicate=handled.status == "duplicate")
        if handled.status == "rejected":
            taken = Taken(0, good + bad, duplicate=False, message=handled.why)
        return Response(msgspec.json.encode(taken), 202, media_type="application/json")

    def _alerts(
        self, name: str, source: Source, body: bytes, wanted: str, now: int
    ) -> tuple[Envelope, int]:
        """Read alerts; gives the input, and how many are in it.

        A beat of a watched job looks like the one before, to the byte, and is a new one all the
        same.
        """
        parsed = source.parse(body, now)
        beats = any((name, one.name) in self._beats for one in parsed.alerts)
        key = "" if beats and not wanted else _key(name, body, parsed, wanted, now)
        arrived = PagesSeen if name in self._paging else AlertsArrived
        given = Envelope(key, arrived(name, parsed.alerts), parsed.rejected, once=bool(wanted))
        return given, len(parsed.alerts)


def _counts(
    name: str, source: PushedMetrics, body: bytes, wanted: str, now: int
) -> tuple[Envelope, int]:
    """Read counts; only a key of the sender's own says that two pushes are the same."""
    parsed = source.parse(body, now)
    key = f"{name}/key/{wanted}" if wanted else ""
    given = Envelope(key, SliCounted(name, parsed.buckets), parsed.rejected, once=bool(wanted))
    return given, parsed.items


def _told(name: str, sender: str, body: bytes, wanted: str, now: int) -> tuple[Envelope, int]:
    """Read changes or reports: each has its own id, or is another one each time it comes.

    A report keeps which `sender` it came from, by the name of the token.
    """
    key = f"{name}/key/{wanted}" if wanted else ""
    if name == "changes":
        told = change_bodies.parse(body, now)
        arrived = ChangesArrived(name, told.changes)
        return Envelope(key, arrived, told.rejected, once=bool(wanted)), len(told.changes)
    filed = ticket_bodies.parse(body, now)
    given = TicketsArrived(name, tuple(structs.replace(x, source=sender) for x in filed.tickets))
    return Envelope(key, given, filed.rejected, once=bool(wanted)), len(filed.tickets)


def _key(name: str, body: bytes, parsed: Parsed, wanted: str, now: int) -> str:
    """Name a delivery, so that a sender's retry is the same input.

    The same bytes much later are no retry but a reminder that it still fires, which matters when a
    person has resolved it meanwhile.
    """
    if wanted:
        return f"{name}/key/{wanted}"
    if parsed.repeatable:
        hashed = blake2b(body, digest_size=16).hexdigest()
        return f"{name}/{now // (RETRY_WINDOW_S * SECOND)}/{hashed}"
    return ""
