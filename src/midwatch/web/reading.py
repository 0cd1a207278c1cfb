"""What people and programs ask, answered: a method for each row of the table of routes that reads.

Law: readers never hold up the writer. What is read of the journal and of its archive is read beside
the engine, by two readers at a time; a look at the engine's state takes at most so many rows, and a
list that may be longer is given in parts, each of which says where the next one begins. The state
is looked at before the archive is read, so that nobody leaves unseen between the two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from urllib.parse import quote

from msgspec.structs import replace

from midwatch.bootstrap import Service
from midwatch.core.state import shard as shards
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.core.values.keys import id_of
from midwatch.core.values.postmortems import Postmortem
from midwatch.core.values.silences import Silence
from midwatch.core.values.skews import Skews
from midwatch.engine import (
    cases,
    explain,
    jobs,
    listing,
    oncall,
    paging,
    placement,
    queries,
    reporting,
    served,
)
from midwatch.engine.cases import ALL
from midwatch.engine.retelling import retell, taken
from midwatch.ports import Audit
from midwatch.web.calls import Call, NotThere, Part

T = TypeVar("T")

DAY_MS = 86_400_000
MAX_DAYS = 400
READERS = 2  # of the journal, at a time: each one takes a share of the engine's processor
A_LOOK = 500  # incidents that one look copies
PLACES = "see the list of incidents"
SILENCE = "S-"  # what the names of silences begin with


class Reading:
    """Answers those who ask, over one running service."""

    def __init__(self, service: Service, audit: Audit) -> None:
        self._service = service
        self._loop = service.loop
        self._rules = service.rules
        self._timers = service.timers
        self._audit = audit
        self._readers = asyncio.Semaphore(READERS)

    def now(self) -> int:
        """The wall clock in milliseconds."""
        return self._service.wall()

    async def incidents(self, call: Call) -> Part[list[queries.Summary]]:
        """List incidents."""
        limit = call.limit
        if call.flags["owed"] and not call.flags["all"]:
            found, after = await self._look(
                lambda shard: listing.owed_part(shard, limit, call.after)
            )
            return Part(found, "/api/v1/incidents?owed=true", after)
        if not call.flags["all"]:
            found, after = await self._look(
                lambda shard: listing.urgent_part(shard, limit, call.after)
            )
            return Part(found, "/api/v1/incidents", after)
        seen = await self._look(lambda shard: listing.look(shard, limit, call.after))
        found, after = await self._read(lambda audit: listing.newest_part(seen, audit, limit))
        return Part(found, "/api/v1/incidents?all=true", after)

    async def incident(self, call: Call) -> Part[queries.Detail]:
        """Tell one incident, and a part of its timeline."""
        begins = call.after_number
        detail, version, skews = await self._outline(call.id)
        stream = f"incident/{detail.incident.id}"
        moments, gone = await self._read(
            lambda audit: listing.told_part(audit, skews, stream, version, call.limit, begins)
        )
        told = max(begins, gone) + len(moments)
        found = replace(detail, timeline=moments, pruned=gone)
        path = f"/api/v1/incidents/{quote(call.id, '')}"
        return Part(found, path, str(told) if told < version else "")

    async def _outline(self, name: str) -> tuple[queries.Detail, int, Skews]:
        """Look at an incident; gives how many events it has, too. Raises NotThere."""

        def look(
            shard: Shard, incident: Incident, version: int
        ) -> tuple[queries.Detail, int, Skews]:
            return queries.outline(shard, incident, self._rules.topology), version, shard.skews

        return await self._about(name, look)

    async def _about(self, name: str, look: Callable[[Shard, Incident, int], T]) -> T:
        """Look at an incident, also at one that has left; it gets how many events that has, too.

        Raises NotThere.
        """

        def here(shard: Shard) -> tuple[T] | None:
            incident = shards.find(shard, name)
            if incident is None:
                return None
            return (look(shard, incident, shard.versions.get(f"incident/{incident.id}", 0)),)

        found = await self._look(here)
        if found is not None:
            return found[0]
        record = await self._read(lambda audit: audit.recall(id_of(name)))
        if record is None or not record.incident.is_called(name):
            raise NotThere(f"no incident is named {name!r}", remedy=PLACES)
        return await self._look(lambda shard: look(shard, record.incident, record.version))

    async def postmortem(self, call: Call) -> Postmortem:
        """Show the postmortem of an incident."""
        found = await self._about(call.id, lambda shard, incident, _: taken(shard, incident))
        return await self._read(lambda audit: retell(*found, audit))

    async def report(self, call: Call) -> Part[reporting.Report]:
        """Tell a period; without its times the last seven days."""
        end = call.numbers["end"] or self._service.wall()
        start = call.numbers["start"] or max(end - 7 * DAY_MS, 0)
        skews = await self._look(lambda shard: shard.skews)
        gathered = await self._read(lambda audit: reporting.gather(audit, skews, start, end))
        names = await self._look(lambda shard: list(shard.incidents))
        told: list[reporting.Told] = []
        for first in range(0, len(names), A_LOOK):
            some = names[first : first + A_LOOK]
            told += await self._look(partial(reporting.take, names=some))

        def write(audit: Audit) -> tuple[reporting.Report, str]:
            known = reporting.known(told, audit, gathered, skews, start, end)
            zones = self._service.rules.policy.team.zones()
            return reporting.report(known, gathered, start, end, call.limit, call.after, zones)

        found, after = await self._read(write)
        return Part(found, f"/api/v1/report?start={start}&end={end}", after)

    async def silences(self, call: Call) -> Part[list[queries.SilenceView]]:
        """List silences."""

        def number(one: Silence) -> int:
            return paging.number(one.id, SILENCE)

        last = paging.number(call.after, SILENCE) if call.after else None

        def look(shard: Shard) -> tuple[list[queries.SilenceView], bool]:
            listed = sorted(shard.silences.values(), key=number)  # one may have come back
            found, more = paging.part(listed, number, call.limit, last)
            return [queries.silence_view(shard, one) for one in found], more

        found, more = await self._look(look)
        return Part(found, "/api/v1/silences", found[-1].silence if more else "")

    async def changes(self, call: Call) -> Part[list[queries.ChangeView]]:
        """List changes."""
        last = _change_place(call.after) if call.after else None

        def look(shard: Shard) -> tuple[list[Change], bool]:
            place = queries.change_place
            return paging.part(sorted(shard.changes, key=place), place, call.limit, last)

        found, more = await self._look(look)
        after = f"{found[-1].at}/{found[-1].service}/{found[-1].id}" if more else ""
        return Part([queries.change_view(one) for one in found], "/api/v1/changes", after)

    async def tickets(self, call: Call) -> Part[list[queries.TicketView]]:
        """List reports."""

        def look(shard: Shard) -> tuple[list[queries.TicketView], bool]:
            found, more = paging.named_part(
                reversed(shard.tickets.items()), lambda one: one[0], call.limit, call.after
            )
            return [queries.ticket_view(*one) for one in found], more

        found, more = await self._look(look)
        return Part(found, "/api/v1/tickets", found[-1].ticket if more else "")

    async def cases(self, call: Call) -> Part[list[cases.CaseView]]:
        """List regression cases."""

        def look(shard: Shard) -> tuple[list[cases.CaseView], bool]:
            found, more = paging.named_part(
                shard.cases.values(), lambda one: one.case.id, call.limit, call.after
            )
            return [cases.case_view(one, shard.wall) for one in found], more

        found, more = await self._look(look)
        return Part(found, "/api/v1/cases", found[-1].id if more else "")

    async def case(self, call: Call) -> cases.CaseStory:
        """Tell one case."""
        name = call.id
        found = await self._look(lambda shard: cases.subject(shard, name))
        if found is None:
            raise NotThere(f"no case is named {name!r}", remedy="run midwatch cases list")
        return await self._read(lambda audit: cases.story(found, audit))

    async def kept(self, call: Call) -> cases.Kept:
        """Give what guards a service; `all` is all of them."""
        service = "" if call.id == ALL else call.id
        at = self._service.public_url
        guards = await self._look(cases.guards)
        return await self._read(lambda audit: cases.kept(guards, audit, service, at))

    async def services(self, call: Call) -> list[served.ServiceView]:
        """List what services run."""
        return await self._look(served.services)

    async def history(self, call: Call) -> Part[list[queries.Moment]]:
        """Show the release history of a service."""
        name, begins = call.id, call.after_number
        stream = f"release/{name}"
        upto, skews = await self._look(lambda shard: (shard.versions.get(stream, 0), shard.skews))
        moments, gone = await self._read(
            lambda audit: listing.told_part(audit, skews, stream, upto, call.limit, begins)
        )
        told = max(begins, gone) + len(moments)
        path = f"/api/v1/services/{quote(name, '')}/history"
        return Part(moments, path, str(told) if told < upto else "")

    async def alert(self, call: Call) -> placement.AlertPlace:
        """Explain which incident an alert is in, and why."""
        name = call.id
        skews = await self._look(lambda shard: shard.skews)
        found = await self._read(lambda audit: placement.find(audit, skews, name))
        if found is None:
            raise NotThere(f"no alert is named {name!r}", remedy=placement.NAMED)
        return await self._look(lambda shard: placement.muted_now(shard, found))

    async def slos(self, call: Call) -> list[explain.StandingView]:
        """Say how each objective stands."""
        newest = self._service.engine.watcher.newest()
        return await self._look(lambda shard: explain.standings(shard, newest))

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
        """Show a handoff summary for the next shift."""
        now = self._service.wall()
        since = now - min(call.numbers["hours"] or 24, 1_440) * 3_600 * SECOND
        skews = await self._look(lambda shard: shard.skews)
        happened = await self._read(lambda audit: oncall.gather(audit, skews, since))
        found = await self._look(lambda shard: oncall.present(self._rules, shard, happened, now))
        return await self._read(lambda audit: oncall.handoff(found, happened, audit))

    async def overrides(self, call: Call) -> list[oncall.OverrideView]:
        """List overrides."""
        return await self._look(oncall.overrides)

    async def jobs(self, call: Call) -> list[jobs.JobView]:
        """List watched jobs."""
        return await self._look(lambda shard: jobs.jobs(self._rules, shard, self._timers))

    async def rejected(self, call: Call) -> Part[list[queries.Rejected]]:
        """List what could not be taken."""
        after, limit = call.after_number, call.limit
        skews = await self._look(lambda shard: shard.skews)
        letters = await self._read(lambda audit: audit.letters(limit + 1, after))
        found = [queries.rejected_view(one, skews) for one in letters[:limit]]
        following = str(letters[limit - 1].id) if len(letters) > limit else ""
        return Part(found, "/api/v1/alerts/rejected", following)

    def _span(self, call: Call) -> tuple[int, int]:
        """Read a moment and for how many days from it; without them, two weeks from now."""
        start = call.numbers["start"] or self._service.wall()
        days = call.numbers["days"] or 14
        return start, start + min(days, MAX_DAYS) * DAY_MS

    async def _read(self, read: Callable[[Audit], T]) -> T:
        """Read the journal on a thread of its own: neither alerts nor pages wait for it."""

        def work() -> T:
            with self._audit.beside() as audit:
                return read(audit)

        async with self._readers:
            return await asyncio.to_thread(work)

    async def _look(self, look: Callable[[Shard], T]) -> T:
        return await asyncio.wrap_future(self._loop.view(look))


def _change_place(after: str) -> tuple[int, str]:
    """Read where a change stands among the others. Raises NoSuchRow."""
    at, _, name = after.partition("/")
    sign = "-" if at.startswith("-") else ""
    try:
        return -int(f"{sign}{paging.number(at.removeprefix('-'))}"), name
    except paging.NoSuchRow:
        raise paging.unknown(after) from None
