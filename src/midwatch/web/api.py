"""What people and programs say, done: a method for each row of the table of routes that changes.

Law: a command is answered after its commit, with what is true then.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Literal

from midwatch.adapters.sources import changes as change_bodies
from midwatch.adapters.sources import tickets as ticket_bodies
from midwatch.core import inputs
from midwatch.core.clock import SECOND
from midwatch.core.judgements import Added, Whole, plain
from midwatch.core.moments import moment
from midwatch.core.postmortems import Postmortem
from midwatch.engine import (
    oncall,
    perform,
    plans,
    queries,
    served,
)
from midwatch.errors import InputError, StateError
from midwatch.web import bodies, guards
from midwatch.web.reading import Call, NotThere, Part, Reading


class Api(Reading):
    """Answers the routes, over one running service."""

    async def merge(self, call: Call) -> Part:
        """Say that it is the same as another incident."""
        given: bodies.Merge = call.given
        await self._tell(call, inputs.MergeIncident(_id(call), given.into.strip(), call.by.name))
        return await self.incident(call)

    async def split(self, call: Call) -> Part:
        """Make an incident of its own out of some of its alerts."""
        given: bodies.Split = call.given
        services, alerts = tuple(given.services), tuple(given.alerts)
        command = inputs.SplitIncident(_id(call), services, alerts, call.by.name)
        return await self._tell(call, command)

    async def undo(self, call: Call) -> Part:
        """Take back the last merge or split."""
        return await self._tell(call, inputs.UndoMove(_id(call), call.by.name))

    async def plan(self, call: Call) -> plans.PlanView:
        """Look at a plan, or propose it."""
        given: bodies.Choose = call.given
        if given.dry_run:
            now = self._service.clock()
            return await self._about(
                _id(call),
                lambda shard, incident, _: plans.draft(
                    self._rules, shard, incident, given.runbook, given.given, now, given.service
                ),
            )
        detail, _, _ = await self._outline(_id(call))
        name = given.runbook or (detail.plan.runbook if detail.plan else "")
        command = inputs.ProposePlan(_id(call), name, given.given, call.by.name, given.service)
        await self._give(call, command, _id(call))
        plans_now = (await self._outline(_id(call)))[0].plans
        chosen = [one for one in plans_now if one.state == "proposed" and one.runbook == name]
        mine = [one for one in chosen if given.service in ("", one.service)]
        found = next(iter((*mine, *chosen)), None)
        if found is None:
            raise StateError(
                "the plan no longer exists", place=_id(call), remedy="reload the incident"
            )
        return found

    async def approve(self, call: Call) -> Part:
        """Carry out a plan."""
        given: bodies.Approve = call.given
        if self._service.shadow:
            raise StateError("shadow mode changes nothing", place=_id(call))
        command = inputs.ApprovePlan(_id(call), given.hash, call.by.name, call.by.role)
        return await self._tell(call, command)

    async def refuse(self, call: Call) -> Part:
        """Drop a plan."""
        given: bodies.Refuse = call.given
        return await self._tell(
            call, inputs.RefusePlan(_id(call), given.hash, call.by.name, given.why.strip())
        )

    async def stop(self, call: Call) -> Part:
        """End a plan that is under way."""
        given: bodies.Stop = call.given
        return await self._tell(
            call, inputs.StopPlan(_id(call), call.by.name, given.why.strip(), given.hash)
        )

    async def close(self, call: Call) -> Part:
        """Close it, or say what it lacks."""
        return await self._tell(call, inputs.CloseIncident(_id(call), call.by.name))

    async def waive(self, call: Call) -> Part:
        """Let it close without a case, for a time."""
        given: bodies.Waive = call.given
        command = inputs.GrantWaiver(
            _id(call), given.why.strip(), given.owner.strip(), self._at(given.ends_at, "ends_at")
        )
        return await self._tell(call, command)

    async def draft(self, call: Call) -> Postmortem:
        """Write its facts down now."""
        await self._tell(call, inputs.DraftPostmortem(_id(call), call.by.name))
        return await self.postmortem(call)

    async def judge(self, call: Call) -> Postmortem:
        """Keep what a person makes of it."""
        given: Whole = call.given
        command = inputs.EditPostmortem(_id(call), plain(given), call.by.name, given.version)
        await self._tell(call, command)
        return await self.postmortem(call)

    async def add(self, call: Call) -> Postmortem:
        """Add to what people make of it."""
        given: Added = call.given
        await self._tell(call, inputs.AddToPostmortem(_id(call), given, call.by.name))
        return await self.postmortem(call)

    async def silence(self, call: Call) -> Part:
        """Ask for quiet."""
        given: bodies.Silence = call.given
        start = self._at(given.starts_at, "starts_at") or self._service.wall()
        end = self._at(given.ends_at, "ends_at")
        matchers = tuple(given.matchers)
        command = inputs.AddSilence(matchers, start, end, call.by.name, given.why.strip())
        await self._give(call, command, "")
        return await self.silences(call)

    async def end_silence(self, call: Call) -> Part:
        """End a silence before its time."""
        await self._give(call, inputs.EndSilence(_id(call), call.by.name), _id(call))
        return await self.silences(call)

    async def change(self, call: Call) -> Part:
        """Note a change."""
        given: bodies.Change = call.given
        change = change_bodies.change_of(
            given.service.strip(), given.kind.strip(), given.id,
            self._at(given.at, "at") or self._service.wall(), given.by or call.by.name,
            given.from_release, given.to_release,
        )  # fmt: skip
        await self._give(call, inputs.ChangesArrived(call.by.name, (change,)), "")
        return await self.changes(call)

    async def ticket(self, call: Call) -> list[queries.TicketView]:
        """File a report."""
        given: bodies.Ticket = call.given
        name = given.id or ticket_bodies.new_id(given.by, given.text, self._service.wall())
        filed = inputs.FileTicket(
            name, given.text, given.by or call.by.name, given.service, given.category,
            int(given.affected), signed=True,
        )  # fmt: skip
        await self._give(call, filed, "")
        return await self._look(lambda shard: queries.tickets(shard, filed.ticket))

    async def register(self, call: Call) -> list[served.ServiceView]:
        """Make a release known."""
        given: bodies.Register = call.given
        command = inputs.RegisterRelease(
            given.service.strip(), given.release.strip(), given.digest.strip(), given.good,
            given.live,
        )  # fmt: skip
        await self._give(call, command, given.service)
        return await self._look(served.services)

    async def rollback(self, call: Call) -> list[served.ServiceView]:
        """Move traffic back to the last release known good."""
        return await self._move(call, "rollback")

    async def promote(self, call: Call) -> list[served.ServiceView]:
        """Move traffic on to another release."""
        return await self._move(call, "promote")

    async def canary(self, call: Call) -> list[served.ServiceView]:
        """Give a candidate a small part of live traffic."""
        given: bodies.Move = call.given
        self._need_router(call)
        command = inputs.StartCanary(
            _id(call), given.release, given.operation or f"canary/by-hand/{secrets.token_hex(6)}",
            call.by.name, None if given.epoch is None else int(given.epoch), given.why.strip(),
        )  # fmt: skip
        await self._give(call, command, _id(call))
        return await self._look(served.services)

    async def abort(self, call: Call) -> list[served.ServiceView]:
        """Take a candidate off live traffic."""
        given: bodies.Move = call.given
        self._need_router(call)
        await self._give(call, inputs.AbortCanary(_id(call), call.by.name, given.why.strip()), "")
        return await self._look(served.services)

    def _need_router(self, call: Call) -> None:
        """Raise StateError when nothing moves traffic."""
        if self._service.shadow:
            raise StateError("shadow mode changes nothing", place=_id(call))
        if not self._service.moves:
            remedy = "add routers to midwatch.yaml"
            raise StateError("no router is configured", remedy=remedy)

    async def _move(
        self, call: Call, purpose: Literal["rollback", "promote"]
    ) -> list[served.ServiceView]:
        given: bodies.Move = call.given
        self._need_router(call)
        number = secrets.token_hex(6)
        command = inputs.MoveRelease(
            _id(call), purpose, given.operation or f"{purpose}/by-hand/{number}", call.by.name,
            given.release, None if given.epoch is None else int(given.epoch), given.why.strip(),
        )  # fmt: skip
        await self._give(call, command, _id(call))
        return await self._look(served.services)

    async def offer(self, call: Call) -> Part:
        """Admit a case with its evidence."""
        given: bodies.Offer = call.given
        command = inputs.OfferCase(
            given.incident.strip(), given.case, given.bad, given.good, tuple(given.outcomes),
            call.by.name, given.bad_digest, given.good_digest, given.replaces,
        )  # fmt: skip
        await self._give(call, command, given.incident)
        return await self.cases(call)

    async def quarantine(self, call: Call) -> Part:
        """Take a flaky case out of the count."""
        given: bodies.Quarantine = call.given
        until = self._service.wall() + int(given.hours * 3_600_000)
        command = inputs.QuarantineCase(_id(call), given.owner, until, given.why, call.by.name)
        await self._give(call, command, _id(call))
        return await self.cases(call)

    async def retire(self, call: Call) -> Part:
        """Take a case out for good."""
        given: bodies.Retire = call.given
        await self._give(call, inputs.RetireCase(_id(call), given.why, call.by.name), _id(call))
        return await self.cases(call)

    async def ack(self, call: Call) -> Part:
        """Take an incident."""
        return await self._tell(call, inputs.Acknowledge(_id(call), call.by.name))

    async def snooze(self, call: Call) -> Part:
        """Take an incident for a while."""
        given: bodies.Snooze = call.given
        until = self._service.wall() + int(given.minutes * 60 * SECOND)
        return await self._tell(call, inputs.Snooze(_id(call), call.by.name, until))

    async def resolve(self, call: Call) -> Part:
        """Say that it is over."""
        given: bodies.Resolve = call.given
        command = inputs.ResolveIncident(_id(call), call.by.name, given.why.strip())
        return await self._tell(call, command)

    async def unack(self, call: Call) -> Part:
        """Give an incident back."""
        return await self._tell(call, inputs.Unacknowledge(_id(call), call.by.name))

    async def reassign(self, call: Call) -> Part:
        """Hand an incident to somebody else."""
        given: bodies.Reassign = call.given
        return await self._tell(call, inputs.Reassign(_id(call), given.to.strip(), call.by.name))

    async def override(self, call: Call) -> list[oncall.OverrideView]:
        """Let somebody stand in."""
        given: bodies.Override = call.given
        start, end = self._at(given.starts_at, "starts_at"), self._at(given.ends_at, "ends_at")
        name = call.request.path_params["schedule"]
        command = inputs.AddOverride(name, given.person.strip(), start, end, call.by.name)
        return await self._command(call, command)

    async def remove_override(self, call: Call) -> list[oncall.OverrideView]:
        """Take an override back."""
        given: bodies.RemoveOverride = call.given
        name = call.request.path_params["schedule"]
        return await self._command(call, inputs.RemoveOverride(name, given.override, call.by.name))

    async def swap(self, call: Call) -> list[oncall.OverrideView]:
        """Let two people take each other's shift."""
        given: bodies.Swap = call.given
        name = call.request.path_params["schedule"]
        one_at, other_at = self._at(given.one_at, "one_at"), self._at(given.other_at, "other_at")
        command = inputs.SwapShifts(name, one_at, other_at, call.by.name)
        return await self._command(call, command)

    def _at(self, given: float, name: str) -> int:
        """Read a moment of a body as milliseconds; 0 is none. Raises InputError."""
        try:
            return moment(int(given), self._service.wall()) if given else 0
        except ValueError as error:
            remedy = "write milliseconds since 1970"
            raise InputError(str(error), place=f"$.{name}", remedy=remedy) from None

    async def _command(self, call: Call, command: inputs.Input) -> list[oncall.OverrideView]:
        await self._give(call, command, call.request.path_params["schedule"])
        return await self._look(oncall.overrides)

    async def test_page(self, call: Call) -> list[perform.Tested]:
        """Send a test page and say how it went."""
        given: bodies.PageTest = call.given
        if self._service.shadow:
            raise StateError(
                "shadow mode sends nothing", remedy="run midwatch serve without --shadow"
            )
        pagers = self._service.pagers
        if given.via and given.via not in pagers:
            known = ", ".join(pagers)
            raise NotThere(f"no pager is named {given.via!r}", remedy=f"use one of {known}")
        return await asyncio.to_thread(
            perform.test_page, pagers, given.via, call.by.name, self._service.wall()
        )

    async def _tell(self, call: Call, command: inputs.Input) -> Part:
        """Give a person's command to the engine and show the incident after it."""
        await self._outline(_id(call))
        await self._give(call, command, _id(call))
        return await self.incident(call)

    async def _give(self, call: Call, command: inputs.Input, place: str) -> None:
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


def _id(call: Call) -> str:
    return call.id
