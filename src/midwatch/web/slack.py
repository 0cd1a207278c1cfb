"""Buttons that people press in Slack.

Law: only what Slack signed counts, once, and it does what the person could do here: take an
incident. A button of another journal, or of before a restore, does nothing and says so. The answer
comes within Slack's three seconds; what became of it is told in the channel.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response

from midwatch.adapters.pagers.slack import SlackPager
from midwatch.bootstrap import Service
from midwatch.core.state.inputs import Acknowledge, Envelope
from midwatch.engine import archive
from midwatch.engine.queries import not_here
from midwatch.errors import Busy, CommitFailed, HarnessError, InputError, told
from midwatch.ports import Archive
from midwatch.web import guards
from midwatch.web.problems import problem, problem_of

MAX_BYTES = 256 * 1024

log = logging.getLogger("midwatch.web")


class SlackButtons:
    """`POST /slack/{pager}`."""

    def __init__(self, service: Service, records: Archive) -> None:
        self._loop = service.loop
        self._records = records
        self._pagers = {
            name: pager
            for name, pager in service.pagers.items()
            if isinstance(pager, SlackPager) and pager.has_button
        }

    async def press(self, request: Request) -> Response:
        """Take the incident whose button was pressed."""
        name: str = request.path_params["pager"]
        pager = self._pagers.get(name)
        if pager is None:
            return problem(404, "no Slack pager with a signing secret has this name")
        body = await guards.body_of(request, MAX_BYTES)
        if isinstance(body, Response):
            return body
        try:
            pressed = pager.read(request.headers, body)
        except InputError as error:
            return problem_of(401, error)
        if pressed is None:
            return Response(status_code=200)
        given = Acknowledge(pressed.incident, pager.person(pressed))
        ref = pressed.incident
        try:
            found = await asyncio.wrap_future(
                self._loop.view(lambda shard: archive.find(shard, self._records, ref))
            )
        except Busy as error:
            return problem_of(503, error)
        if found is None or found.ref != ref:
            return await self._refuse(pager, ref)
        # Whoever has seen a press may send it again while it is fresh: it is the same input.
        press = Envelope(f"slack/{name}/{pressed.signature}", given, actor=f"slack/{pressed.user}")
        try:
            await asyncio.wrap_future(self._loop.submit([press], f"slack/{name}"))
        except (Busy, CommitFailed) as error:
            return problem_of(503, error)
        return Response(status_code=200)

    async def _refuse(self, pager: SlackPager, ref: str) -> Response:
        """Say in the channel that a button does nothing."""
        try:
            await asyncio.to_thread(pager.say, f"Nothing was done: {not_here(ref)}.")
        except HarnessError as error:
            log.warning("Slack message failed", extra={"fields": {"msg": told(error)}})
        return Response(status_code=200)
