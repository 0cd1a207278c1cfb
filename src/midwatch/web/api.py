"""What people and programs ask and say, answered: one method for each row of the table of routes.

Law: a command is answered after its commit, with what is true then.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from msgspec import Struct
from starlette.requests import Request

from midwatch.adapters.sources import changes as change_bodies
from midwatch.adapters.sources import tickets as ticket_bodies
from midwatch.bootstrap import Service
from midwatch.core import inputs
from midwatch.core.clock import SECOND
from midwatch.core.judgements import Judgement
from midwatch.core.moments import moment
from midwatch.core.postmortems import Postmortem
from midwatch.core.shard import Shard
from midwatch.engine import (
    archive,
    cases,
    explain,
    jobs,
    oncall,
    perform,
    placement,
    plans,
    queries,
    reporting,
    served,
)
from midwatch.engine.cases import ALL
from midwatch.engine.retelling import retell, subject
from midwatch.errors import InputError, StateError
from midwatch.ports import Audit, Token
from midwatch.web import bodies, guards

T = TypeVar("T")

DAY_MS = 86_400_000
MAX_DAYS = 400


class Call(Struct):
    """One request, past its guards."""

    request: Request
    by: Token
    given: Any
    flags: dict[str, bool]
    numbers: dict[str, int]
    key: str  # of the input that follows, empty when it may be done again


class NotThere(InputError):
    """What is asked for does not exist."""


class Api:
    """Answers the routes, over one running service."""

    def __init__(self, service: Service, audit: Audit) -> None:
        self._service = service
        self._loop = service.loop
        self._rules = service.rules
        self._timers = service.timers
        self._audit = audit

    async def incidents(self, call: Call) -> list[queries.Summary]:
        """List incidents."""
        if not call.flags["all"]:
            return await self._look(queries.summaries)
        left = await self._read(lambda audit: archive.past(audit, 0, 2**62))
        return await self._look(
            lambda shard: queries.listed(shard, archive.joined(shard, left).values())
        )

    async def incident(self, call: Call) -> queries.Detail:
        """Tell one incident."""
        name = call.request.path_params["id"]
        look = self._loop.view(lambda shard: self._detail(shard, name))
        return _there(await asyncio.wrap_future(look), name)

    def _detail(self, shard: Shard, name: str) -> queries.Detail | None:
        return queries.detail(shard, self._audit, name, self._rules.topology)

    async def merge(self, call: Call) -> queries.Detail:
        """Say that it is the same as another incident."""
        given: bodies.Merge = call.given
        await self._tell(call, inputs.MergeIncident(_id(call), given.into.strip(), call.by.name))
        return await self.incident(call)

    async def split(self, call: Call) -> queries.Detail:
        """Make an incident of its own out of some of its alerts."""
        given: bodies.Split = call.given
        services, alerts = tuple(given.services), tuple(given.alerts)
        command = inputs.SplitIncident(_id(call), services, alerts, call.by.name)
        return await self._tell(call, command)

    async def undo(self, call: Call) -> queries.Detail:
        """Take back the last merge or split."""
        return await self._tell(call, inputs.UndoMove(_id(call), call.by.name))

    async def plan(self, call: Call) -> plans.PlanView:
        """Look at a plan, or propose it."""
        given: bodies.Choose = call.given
        detail = await self.incident(call)
        if given.dry_run:
            now = self._service.clock()
            return await self._look(
                lambda shard: plans.draft(
                    self._rules,
                    shard,
                    _there(archive.find(shard, self._audit, _id(call)), _id(call)),
                    given.runbook,
                    given.given,
                    now,
                )
            )
        name = given.runbook or (detail.plan.runbook if detail.plan else "")
        command = inputs.ProposePlan(_id(call), name, given.given, call.by.name)
        found = (await self._tell(call, command)).plan
        if found is None:
            raise StateError("no plan is there any more", place=_id(call), remedy="look again")
        return found

    async def approve(self, call: Call) -> queries.Detail:
        """Carry out a plan."""
        given: bodies.Approve = call.given
        if self._service.shadow:
            raise StateError("shadow mode changes nothing", place=_id(call))
        command = inputs.ApprovePlan(_id(call), given.hash, call.by.name, call.by.role)
        return await self._tell(call, command)

    async def refuse(self, call: Call) -> queries.Detail:
        """Drop a plan."""
        given: bodies.Refuse = call.given
        return await self._tell(
            call, inputs.RefusePlan(_id(call), given.hash, call.by.name, given.why.strip())
        )

    async def close(self, call: Call) -> queries.Detail:
        """Close it, or say what it lacks."""
        return await self._tell(call, inputs.CloseIncident(_id(call), call.by.name))

    async def waive(self, call: Call) -> queries.Detail:
        """Let it close without a case, for a time."""
        given: bodies.Waive = call.given
        command = inputs.GrantWaiver(
            _id(call), given.why.strip(), given.owner.strip(), self._at(given.ends_at, "ends_at")
        )
        return await self._tell(call, command)

    async def postmortem(self, call: Call) -> Postmortem:
        """Write its postmortem."""
        name = _id(call)
        found = _there(await self._look(lambda shard: subject(shard, self._audit, name)), name)
        return await self._read(lambda audit: retell(*found, audit))

    async def draft(self, call: Call) -> Postmortem:
        """Write its facts down now."""
        await self._tell(call, inputs.DraftPostmortem(_id(call), call.by.name))
        return await self.postmortem(call)

    async def judge(self, call: Call) -> Postmortem:
        """Keep what a person makes of it."""
        given: Judgement = call.given
        await self._tell(call, inputs.EditPostmortem(_id(call), given, call.by.name))
        return await self.postmortem(call)

    async def report(self, call: Call) -> reporting.Report:
        """Tell a period; without its times the last seven days."""
        end = call.numbers["end"] or self._service.wall()
        start = call.numbers["start"] or max(end - 7 * DAY_MS, 0)
        gathered = await self._read(lambda audit: reporting.gather(audit, start, end))
        left = await self._read(lambda audit: archive.past(audit, start, end))
        return await self._look(
            lambda shard: reporting.report(shard, archive.joined(shard, left), gathered, start, end)
        )

    async def silences(self, call: Call) -> list[queries.SilenceView]:
        """List silences."""
        return await self._look(queries.silences)

    async def silence(self, call: Call) -> list[queries.SilenceView]:
        """Ask for quiet."""
        given: bodies.Silence = call.given
        start = self._at(given.starts_at, "starts_at") or self._service.wall()
        end = self._at(given.ends_at, "ends_at")
        matchers = tuple(given.matchers)
        command = inputs.AddSilence(matchers, start, end, call.by.name, given.why.strip())
        await self._give(call, command, "")
        return await self._look(queries.silences)

    async def end_silence(self, call: Call) -> list[queries.SilenceView]:
        """End a silence before its time."""
        await self._give(call, inputs.EndSilence(_id(call), call.by.name), _id(call))
        return await self._look(queries.silences)

    async def changes(self, call: Call) -> list[queries.ChangeView]:
        """List changes."""
        return await self._look(queries.changes)

    async def change(self, call: Call) -> list[queries.ChangeView]:
        """Note a change."""
        given: bodies.Change = call.given
        change = change_bodies.change_of(
            given.service.strip(), given.kind.strip(), given.id,
            self._at(given.at, "at") or self._service.wall(), given.by or call.by.name,
            given.from_release, given.to_release,
        )  # fmt: skip
        await self._give(call, inputs.ChangesArrived(call.by.name, (change,)), "")
        return await self._look(queries.changes)

    async def tickets(self, call: Call) -> list[queries.TicketView]:
        """List reports."""
        return await self._look(queries.tickets)

    async def ticket(self, call: Call) -> list[queries.TicketView]:
        """File a report."""
        given: bodies.Ticket = call.given
        name = given.id or ticket_bodies.new_id(given.by, given.text, self._service.wall())
        filed = inputs.FileTicket(
            name, given.text, given.by or call.by.name, given.service, given.category,
            int(given.affected),
        )  # fmt: skip
        await self._give(call, filed, "")
        return await self._look(lambda shard: queries.tickets(shard, filed.ticket))

    async def services(self, call: Call) -> list[served.ServiceView]:
        """List what services run."""
        return await self._look(served.services)

    async def register(self, call: Call) -> list[served.ServiceView]:
        """Make a release known."""
        given: bodies.Register = call.given
        command = inputs.RegisterRelease(
            given.service.strip(), given.release.strip(), given.digest.strip(), given.good,
            given.live,
        )  # fmt: skip
        await self._give(call, command, given.service)
        return await self._look(served.services)

    async def history(self, call: Call) -> list[queries.Moment]:
        """Tell what happened to a service's releases."""
        return await self._look(lambda shard: served.history(self._audit, _id(call)))

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
            raise StateError("nothing is configured that moves traffic", remedy=remedy)

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

    async def cases(self, call: Call) -> list[cases.CaseView]:
        """List regression cases."""
        return await self._look(cases.cases)

    async def case(self, call: Call) -> cases.CaseStory:
        """Tell one case."""
        name = _id(call)
        facts = await self._read(queries.facts)
        found = await self._look(lambda shard: cases.story(shard, self._audit, facts, name))
        if found is None:
            raise NotThere(f"no case is called {name!r}", remedy="midwatch cases list")
        return found

    async def kept(self, call: Call) -> cases.Kept:
        """Give what guards a service; `all` is all of them."""
        service = "" if _id(call) == ALL else _id(call)
        at = self._service.public_url
        left = await self._read(lambda audit: audit.lasting())
        return await self._look(lambda shard: cases.kept(shard, self._audit, left, service, at))

    async def offer(self, call: Call) -> list[cases.CaseView]:
        """Admit a case with its evidence."""
        given: bodies.Offer = call.given
        command = inputs.OfferCase(
            given.incident.strip(), given.case, given.bad, given.good, tuple(given.outcomes),
            call.by.name, given.bad_digest, given.good_digest, given.replaces,
        )  # fmt: skip
        await self._give(call, command, given.incident)
        return await self._look(cases.cases)

    async def quarantine(self, call: Call) -> list[cases.CaseView]:
        """Take a flaky case out of the count."""
        given: bodies.Quarantine = call.given
        until = self._service.wall() + int(given.hours * 3_600_000)
        command = inputs.QuarantineCase(_id(call), given.owner, until, given.why, call.by.name)
        await self._give(call, command, _id(call))
        return await self._look(cases.cases)

    async def retire(self, call: Call) -> list[cases.CaseView]:
        """Take a case out for good."""
        given: bodies.Retire = call.given
        await self._give(call, inputs.RetireCase(_id(call), given.why, call.by.name), _id(call))
        return await self._look(cases.cases)

    async def alert(self, call: Call) -> placement.AlertPlace:
        """Say where an alert is, and why."""
        name = _id(call)
        found = await self._look(lambda shard: placement.find(shard, self._audit, name))
        if found is None:
            raise NotThere(f"no alert is called {name!r}", remedy=placement.NAMED)
        return found

    async def ack(self, call: Call) -> queries.Detail:
        """Take an incident."""
        return await self._tell(call, inputs.Acknowledge(_id(call), call.by.name))

    async def snooze(self, call: Call) -> queries.Detail:
        """Take an incident for a while."""
        given: bodies.Snooze = call.given
        until = self._service.wall() + int(given.minutes * 60 * SECOND)
        return await self._tell(call, inputs.Snooze(_id(call), call.by.name, until))

    async def resolve(self, call: Call) -> queries.Detail:
        """Say that it is over."""
        given: bodies.Resolve = call.given
        command = inputs.ResolveIncident(_id(call), call.by.name, given.why.strip())
        return await self._tell(call, command)

    async def slos(self, call: Call) -> list[explain.StandingView]:
        """Say how each objective stands."""
        newest = self._service.engine.watcher.newest()
        look = self._loop.view(lambda shard: explain.standings(shard, newest))
        return await asyncio.wrap_future(look)

    async def unack(self, call: Call) -> queries.Detail:
        """Give an incident back."""
        return await self._tell(call, inputs.Unacknowledge(_id(call), call.by.name))

    async def reassign(self, call: Call) -> queries.Detail:
        """Hand an incident to somebody else."""
        given: bodies.Reassign = call.given
        return await self._tell(call, inputs.Reassign(_id(call), given.to.strip(), call.by.name))

    async def oncall(self, call: Call) -> list[oncall.OnCall]:
        """Say who is on call."""
        at = call.numbers["at"] or self._service.wall()
        return await self._look(lambda shard: oncall.who(self._rules, shard, at))

    async def shifts(self, call: Call) -> list[oncall.ShiftView]:
        """List the shifts of some days."""
        start, end = self._span(call)
        return await self._look(lambda shard: oncall.shifts(self._rules, shard, "", start, end))

    async def gaps(self, call: Call) -> list[oncall.Gap]:
        """Say when nobody can be reached."""
        start, end = self._span(call)
        return await self._look(lambda shard: oncall.gaps(self._rules, shard, start, end))

    async def handoff(self, call: Call) -> oncall.Handoff:
        """Gather what the next person has to know."""
        now = self._service.wall()
        since = now - min(call.numbers["hours"] or 24, 1_440) * 3_600 * SECOND
        return await self._look(
            lambda shard: oncall.handoff(
                self._rules, shard, self._audit, queries.facts(self._audit), now, since
            )
        )

    async def overrides(self, call: Call) -> list[oncall.OverrideView]:
        """List overrides."""
        return await self._look(oncall.overrides)

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

    async def _read(self, read: Callable[[Audit], T]) -> T:
        """Read the journal on a thread of its own: neither alerts nor pages wait for it."""

        def work() -> T:
            with self._audit.beside() as audit:
                return read(audit)

        return await asyncio.to_thread(work)

    async def _look(self, look: Callable[[Shard], T]) -> T:
        return await asyncio.wrap_future(self._loop.view(look))

    def _span(self, call: Call) -> tuple[int, int]:
        """Read a moment and for how many days from it; without them, two weeks from now."""
        start = call.numbers["start"] or self._service.wall()
        days = call.numbers["days"] or 14
        return start, start + min(days, MAX_DAYS) * DAY_MS

    async def jobs(self, call: Call) -> list[jobs.JobView]:
        """List watched jobs."""
        return await self._look(lambda shard: jobs.jobs(self._rules, shard, self._timers))

    async def rejected(self, call: Call) -> list[queries.Rejected]:
        """List what could not be taken."""
        look = self._loop.view(lambda _: queries.rejected(self._audit))
        return await asyncio.wrap_future(look)

    async def test_page(self, call: Call) -> list[perform.Tested]:
        """Send a test page and say how it went."""
        given: bodies.PageTest = call.given
        if self._service.shadow:
            raise StateError("nothing is sent in shadow mode", remedy="serve without --shadow")
        pagers = self._service.pagers
        if given.via and given.via not in pagers:
            known = ", ".join(pagers)
            raise NotThere(f"no pager is called {given.via!r}", remedy=f"known are {known}")
        return await asyncio.to_thread(
            perform.test_page, pagers, given.via, call.by.name, self._service.wall()
        )

    async def _tell(self, call: Call, command: inputs.Input) -> queries.Detail:
        """Give a person's command to the engine and show the incident after it."""
        await self.incident(call)
        await self._give(call, command, _id(call))
        return await self.incident(call)

    async def _give(self, call: Call, command: inputs.Input, place: str) -> None:
        """Hand a command to the engine, once. Raises StateError when it was refused."""
        envelope = inputs.Envelope(call.key, command, actor=guards.actor(call.by))
        (handled,) = await asyncio.wrap_future(self._loop.submit([envelope], call.by.id))
        again = handled.status == "duplicate"
        why = await self._refusal(call.key) if again else handled.why
        if why:
            raise StateError(why, place=place, remedy="look at what there is")

    async def _refusal(self, key: str) -> str:
        """Say why a request was refused when it came first; empty when it was done."""
        look = self._loop.view(lambda _: self._audit.why_dead(key))
        return await asyncio.wrap_future(look)


def _there(found: T | None, name: str) -> T:
    if found is None:
        raise NotThere(f"no incident is called {name!r}", remedy="look at the list")
    return found


def _id(call: Call) -> str:
    return call.request.path_params["id"]
