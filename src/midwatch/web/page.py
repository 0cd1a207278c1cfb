"""The page: open incidents with their timelines, and a button to take one.

Law: everything works without JavaScript; with it the page follows the server's events. What stands
on it came from outside and is escaped; the browser is told to run nothing but the page's own file.
A session ends with its token, and so does what it follows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from urllib.parse import parse_qs, quote

from msgspec import Struct
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from midwatch.adapters.reports import postmortem as postmortems
from midwatch.bootstrap import Service
from midwatch.core.state import inputs
from midwatch.core.state.shard import Shard
from midwatch.engine import archive
from midwatch.engine.queries import OVER, not_here
from midwatch.engine.retelling import retell, subject
from midwatch.errors import Busy, CommitFailed
from midwatch.ports import Archive, Audit, Token
from midwatch.texts import cut
from midwatch.web import bodies, guards
from midwatch.web.cards import templates
from midwatch.web.logins import MAX_FORM_BYTES, Logins, is_own
from midwatch.web.shell import HEADERS, Shells
from midwatch.web.shown import Shown

PING_S = 15
LONGEST_WHY = 500  # characters of a reason
RETRY_MS = 1_000  # who lost the stream comes again after that

# A document carries its style inside, and runs nothing.
DOCUMENT_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class _Form(Struct, frozen=True):
    """What a person says of a plan."""

    hash: str
    why: str


class Page:
    """Shows incidents to a person with a session."""

    def __init__(self, service: Service, audit: Audit, logins: Logins, shown: Shown) -> None:
        self._loop = service.loop
        self._shadow = service.shadow
        self._zones = service.rules.policy.team.zones()
        self._audit = audit
        self._logins = logins
        self._shown = shown
        self._templates = templates()
        self._shells = Shells(self._templates)

    # --- looking ---

    async def incidents(self, request: Request) -> Response:
        """Show the open incidents."""
        who = self._logins.who(request)
        if who is None:
            return RedirectResponse("/login", 303)
        try:
            view = await self._shown.current()
        except Busy as error:
            return self._render("busy.html", 503, says=str(error))
        return self._shells.answer(request, view, who.name)

    async def link(self, request: Request) -> Response:
        """Lead to the incident that a page's link names, and to no other one of its number."""
        if self._logins.who(request) is None:
            return RedirectResponse("/login", 303)
        name: str = request.path_params["id"]
        try:
            to, says = await asyncio.wrap_future(self._loop.view(partial(_led, self._audit, name)))
        except Busy as error:
            return self._render("busy.html", 503, says=str(error))
        return RedirectResponse(to, 303) if to else self._render("busy.html", 404, says=says)

    async def changes(self, request: Request) -> Response:
        """Tell by server-sent events that there is something new to look at."""
        if self._logins.who(request) is None:
            return Response(status_code=401)

        async def news() -> AsyncIterator[dict[str, str | int]]:
            # At once: what changed between the page and this connection would be missed.
            async for tag in self._shown.follow():
                if self._logins.who(request) is None:
                    return
                yield {"event": "changed", "data": tag, "retry": RETRY_MS}

        return EventSourceResponse(news(), ping=PING_S)

    # --- doing ---

    async def ack(self, request: Request) -> Response:
        """Take an incident, from a form."""
        who = self._logins.who(request)
        if who is None:
            return RedirectResponse("/login", 303)
        if not is_own(request):
            return self._foreign()
        name = request.path_params["id"]
        return await self._do(who, name, inputs.Acknowledge(name, who.name))

    async def postmortem(self, request: Request) -> Response:
        """Show what is known of an incident, and what people make of it."""
        who = self._logins.who(request)
        if who is None:
            return RedirectResponse("/login", 303)
        name, zone = request.path_params["id"], self._zones.get(who.name, "UTC")
        try:
            found = await asyncio.wrap_future(
                self._loop.view(lambda shard: subject(shard, self._audit, name))
            )
        except Busy as error:
            return self._render("busy.html", 503, says=str(error))
        if found is None:
            return self._render("busy.html", 404, says=f"no incident is named {name!r}")
        incident, at = found

        def written() -> str:
            with self._audit.beside() as audit:
                return postmortems.html(retell(incident, at, audit), f"/#{quote(name)}", zone)

        return HTMLResponse(await asyncio.to_thread(written), 200, DOCUMENT_HEADERS)

    async def approve(self, request: Request) -> Response:
        """Carry out, or go on with, the plan that was shown, from a form."""
        return await self._of_plan(
            request,
            lambda name, who, form: inputs.ApprovePlan(name, form.hash, who.name, who.role),
        )

    async def refuse(self, request: Request) -> Response:
        """Drop the plan that was shown, for a reason, from a form."""
        return await self._of_plan(
            request,
            lambda name, who, form: inputs.RefusePlan(name, form.hash, who.name, form.why),
            reasoned=True,
        )

    async def stop(self, request: Request) -> Response:
        """End the plan that was shown at its next safe point, for a reason, from a form."""
        return await self._of_plan(
            request,
            lambda name, who, form: inputs.StopPlan(name, who.name, form.why, form.hash),
            reasoned=True,
        )

    async def _of_plan(
        self,
        request: Request,
        command: Callable[[str, Token, _Form], inputs.Input],
        *,
        reasoned: bool = False,
    ) -> Response:
        """Do what a person's form says of one plan; its hash is always named."""
        who = self._logins.who(request)
        if who is None:
            return RedirectResponse("/login", 303)
        body = await guards.body_of(request, MAX_FORM_BYTES)
        if isinstance(body, Response):
            return body
        if not is_own(request):
            return self._foreign()
        if self._shadow:
            return self._render("busy.html", 409, says="shadow mode changes nothing")
        given = parse_qs(body.decode("utf-8", "replace"))
        form = _Form(
            given.get("hash", [""])[0], cut(given.get("why", [""])[0].strip(), LONGEST_WHY)
        )
        if not form.hash:
            return self._render("busy.html", 422, says="the form names no plan")
        if reasoned and not re.search(bodies.VISIBLE, form.why):
            return self._render("busy.html", 422, says="a reason is needed; the timeline shows it")
        name: str = request.path_params["id"]
        return await self._do(who, name, command(name, who, form))

    async def _do(self, who: Token, name: str, command: inputs.Input) -> Response:
        """Give a person's command to the engine and go back to the incident."""
        try:
            done = self._loop.submit(
                [inputs.Envelope("", command, actor=guards.actor(who))], who.id
            )
            (handled,) = await asyncio.wrap_future(done)
        except (Busy, CommitFailed) as error:
            return self._render("busy.html", 503, says=str(error))
        if handled.status == "rejected":
            return self._render("busy.html", 409, says=handled.why)
        return RedirectResponse(f"/#{quote(name)}", 303)

    # --- inside ---

    def _render(self, name: str, status: int = 200, **values: object) -> Response:
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status, HEADERS)

    def _foreign(self) -> Response:
        return self._render("busy.html", 403, says="this form was sent from another site")


def _led(records: Archive, name: str, shard: Shard) -> tuple[str, str]:
    """Say where a link to an incident leads; else why it leads nowhere."""
    incident = archive.find(shard, records, name)
    if incident is None:
        return "", not_here(name)
    if incident.ref != name:
        there = f"/incidents/{incident.ref}"
        return (
            "",
            f"{name} may belong to another event log; the one in this one is at {there}",
        )
    while incident.merged_into:
        into = archive.find(shard, records, incident.merged_into)
        if into is None:
            return "", not_here(incident.merged_into)
        incident = into
    at = quote(incident.ref)
    return (f"/incidents/{at}/postmortem" if incident.state in OVER else f"/#{at}"), ""
