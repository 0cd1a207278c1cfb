"""What people and programs say, done: the commands about which something has to be decided first.

Law: a command is answered after its commit, with what is true then.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Literal

from midwatch.adapters.sources import tickets as ticket_bodies
from midwatch.core.state import inputs
from midwatch.engine import perform, plans, queries, served
from midwatch.errors import StateError
from midwatch.web import bodies, guards
from midwatch.web.calls import Call, NotThere, Part
from midwatch.web.reading import Reading


class Api(Reading):
    """Answers the routes, over one running service."""

    async def plan(self, call: Call, given: bodies.Choose) -> plans.PlanView:
        """Look at a plan, or propose it."""
        if given.dry_run:
            now = self._service.clock()
            return await self._about(
                call.id,
                lambda shard, incident, _: plans.draft(
                    self._rules, shard, incident, given.runbook, given.given, now, given.service
                ),
            )
        detail, _, _ = await self._outline(call.id)
        name = given.runbook or (detail.plan.runbook if detail.plan else "")
        command = inputs.ProposePlan(call.id, name, given.given, call.by.name, given.service)
        await self.give(call, command, call.id)
        plans_now = (await self._outline(call.id))[0].plans
        chosen = [one for one in plans_now if one.state == "proposed" and one.runbook == name]
        mine = [one for one in chosen if given.service in ("", one.service)]
        found = next(iter((*mine, *chosen)), None)
        if found is None:
            raise StateError(
                "the plan no longer exists", place=call.id, remedy="reload the incident"
            )
        return found

    async def approve(self, call: Call, given: bodies.Approve) -> Part[queries.Detail]:
        """Carry out a plan."""
        if self._service.shadow:
            raise StateError("shadow mode changes nothing", place=call.id)
        await self.must_be_there(call)
        command = inputs.ApprovePlan(call.id, given.hash, call.by.name, call.by.role)
        await self.give(call, command, call.id)
        return await self.incident(call)

    async def ticket(self, call: Call, given: bodies.Ticket) -> list[queries.TicketView]:
        """File a report, and show that one alone."""
        name = given.id or ticket_bodies.new_id(given.by, given.text, call.now)
        filed = inputs.FileTicket(
            name,
            given.text,
            given.by or call.by.name,
            given.service,
            given.category,
            int(given.affected),
            signed=True,
        )
        await self.give(call, filed, "")
        return await self._look(lambda shard: queries.tickets(shard, filed.ticket))

    async def rollback(self, call: Call, given: bodies.Move) -> list[served.ServiceView]:
        """Move traffic back to the last release known good."""
        return await self._move(call, given, "rollback")

    async def promote(self, call: Call, given: bodies.Move) -> list[served.ServiceView]:
        """Promote a release."""
        return await self._move(call, given, "promote")

    async def canary(self, call: Call, given: bodies.Move) -> list[served.ServiceView]:
        """Give a candidate a small part of live traffic."""
        self._need_router(call)
        operation = given.operation or f"canary/by-hand/{secrets.token_hex(6)}"
        epoch, why = _epoch(given), given.why.strip()
        command = inputs.StartCanary(call.id, given.release, operation, call.by.name, epoch, why)
        await self.give(call, command, call.id)
        return await self.services(call)

    async def abort(self, call: Call, given: bodies.Move) -> list[served.ServiceView]:
        """Abort a canary."""
        self._need_router(call)
        await self.give(call, inputs.AbortCanary(call.id, call.by.name, given.why.strip()), "")
        return await self.services(call)

    async def _move(
        self, call: Call, given: bodies.Move, purpose: Literal["rollback", "promote"]
    ) -> list[served.ServiceView]:
        self._need_router(call)
        operation = given.operation or f"{purpose}/by-hand/{secrets.token_hex(6)}"
        epoch, why = _epoch(given), given.why.strip()
        command = inputs.MoveRelease(
            call.id, purpose, operation, call.by.name, given.release, epoch, why
        )
        await self.give(call, command, call.id)
        return await self.services(call)

    def _need_router(self, call: Call) -> None:
        """Raise StateError when nothing moves traffic."""
        if self._service.shadow:
            raise StateError("shadow mode changes nothing", place=call.id)
        if not self._service.moves:
            remedy = "add routers to midwatch.yaml"
            raise StateError("no router is configured", remedy=remedy)

    async def test_page(self, call: Call, given: bodies.PageTest) -> list[perform.Tested]:
        """Send a test page and say how it went."""
        if self._service.shadow:
            raise StateError(
                "shadow mode sends nothing", remedy="run midwatch serve without --shadow"
            )
        pagers = self._service.pagers
        if given.via and given.via not in pagers:
            known = ", ".join(pagers)
            raise NotThere(f"no pager is named {given.via!r}", remedy=f"use one of {known}")
        return await asyncio.to_thread(perform.test_page, pagers, given.via, call.by.name, call.now)

    async def must_be_there(self, call: Call) -> None:
        """Raise NotThere when the path names no incident."""
        await self._outline(call.id)

    async def give(self, call: Call, command: inputs.Input, place: str) -> None:
        """Hand a command to the engine, once. Raises StateError when it was refused."""
        envelope = inputs.Envelope(call.key, command, actor=guards.actor(call.by))
        (handled,) = await asyncio.wrap_future(self._loop.submit([envelope], call.by.id))
        again = handled.status == "duplicate"
        why = await self._refusal(call.key) if again else handled.why
        if why:
            raise StateError(why, place=place)

    async def _refusal(self, key: str) -> str:
        """Say why a request was refused when it came first; empty when it was done."""
        return await self._read(lambda audit: audit.why_dead(key))


def _epoch(given: bodies.Move) -> int | None:
    return None if given.epoch is None else int(given.epoch)
