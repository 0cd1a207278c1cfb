"""Commands on a journal that no server owns at the moment.

Law: the file is owned for the length of one command; what only looks, looks beside its owner. What
would need somebody who acts is refused.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from midwatch import config
from midwatch.adapters.sources import changes as change_bodies
from midwatch.adapters.sources import tickets as ticket_bodies
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import acting, begin_term, build_pagers, measured, read_objectives
from midwatch.cli.places import need_database
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.shard import Shard
from midwatch.core.values.judgements import Added, Whole, plain
from midwatch.core.values.postmortems import Postmortem
from midwatch.engine import (
    archive,
    cases,
    explain,
    jobs,
    oncall,
    placement,
    plans,
    queries,
    reporting,
    served,
)
from midwatch.engine.clock import SteadyClock, boot_id, settle, wall_ms
from midwatch.engine.handle import Handler
from midwatch.engine.perform import Tested, test_page
from midwatch.engine.plans import PlanView
from midwatch.engine.reporting import Report
from midwatch.engine.retelling import retell, subject
from midwatch.errors import InputError, StateError

_T = TypeVar("_T")


class OnFile:
    """On a journal that no server owns at the moment."""

    def __init__(self, folder: Path, file: Path) -> None:
        self._folder = folder
        self._file = file

    def all(self, *, everything: bool) -> list[queries.Summary]:
        """List incidents."""
        with _Open(self._folder, self._file) as (store, handler):
            return queries.summaries(handler.shard, store if everything else None)

    def owed(self) -> list[queries.Summary]:
        """List incidents that are resolved and not closed."""
        with _Open(self._folder, self._file) as (_, handler):
            return queries.owed(handler.shard)

    def show(self, incident: str) -> queries.Detail:
        """Tell one."""
        with _Open(self._folder, self._file) as (store, handler):
            return self._detail(store, handler, incident)

    def tell(self, incident: str, verb: str, given: dict[str, Any]) -> queries.Detail:
        """Acknowledge, snooze or resolve."""
        opened = _Open(self._folder, self._file)
        with opened as (store, handler):
            self._detail(store, handler, incident)
            opened.decide(handler, _command(incident, verb, given))
            return self._detail(store, handler, incident)

    def _detail(self, store: SqliteStore, handler: Handler, incident: str) -> queries.Detail:
        topology = config.load(self._folder).rules.topology
        found = queries.detail(handler.shard, store, incident, topology)
        return _found(found, incident)

    def plan(self, incident: str, given: dict[str, Any]) -> PlanView:
        """Look at a plan; nobody would carry it out."""
        if not given.get("dry_run"):
            raise _nobody(f"carry out a plan for {incident}")
        loaded = config.load(self._folder)
        rules = acting(measured(loaded.rules), loaded, shadow=False)
        with _Open(self._folder, self._file) as (store, handler):
            one = _found(archive.find(handler.shard, store, incident), incident)
            values = given.get("given", {})
            now = wall_ms() + handler.shard.skew
            service = given.get("service", "")
            return plans.draft(rules, handler.shard, one, given["runbook"], values, now, service)

    def postmortem(self, incident: str) -> Postmortem:
        """Write the postmortem of an incident. Raises StateError when there is none."""
        with _Open(self._folder, self._file) as (store, handler):
            found = subject(handler.shard, store, incident)
            if found is None:
                raise StateError(
                    f"no incident is named {incident!r}", remedy="see midwatch incidents list"
                )
            return retell(*found, store)

    def draft(self, incident: str) -> Postmortem:
        """Write its facts down now."""
        self._give(inputs.DraftPostmortem(incident, _user()))
        return self.postmortem(incident)

    def judge(self, incident: str, whole: Whole) -> Postmortem:
        """Keep what a person makes of it."""
        self._give(inputs.EditPostmortem(incident, plain(whole), _user(), whole.version))
        return self.postmortem(incident)

    def add(self, incident: str, added: Added) -> Postmortem:
        """Add to what people make of it."""
        self._give(inputs.AddToPostmortem(incident, added, _user()))
        return self.postmortem(incident)

    def report(self, start: int, end: int) -> Report:
        """Tell a period."""
        known = (self._folder / "midwatch.yaml").is_file()
        zones = config.load(self._folder).rules.policy.team.zones() if known else {}
        with _Open(self._folder, self._file) as (store, handler):
            shard = handler.shard
            gathered = reporting.gather(store, shard.skews, start, end)
            taken = reporting.take(shard, shard.incidents)
            told = reporting.known(taken, store, gathered, shard.skews, start, end)
            return reporting.report(told, gathered, start, end, zones=zones)[0]

    def rejected(self) -> list[queries.Rejected]:
        """List what could not be taken."""
        with _Open(self._folder, self._file) as (store, _):
            return queries.rejected(store)

    def alert(self, wanted: str) -> placement.AlertPlace:
        """Say where an alert is and why."""
        with _Open(self._folder, self._file) as (store, handler):
            found = placement.find(store, handler.shard.skews, wanted)
            if found is None:
                raise StateError(f"no alert is named {wanted!r}", remedy=placement.NAMED)
            return placement.muted_now(handler.shard, found)

    def silences(self) -> list[queries.SilenceView]:
        """List silences."""
        return queries.silences(self._known()[1])

    def silence(self, given: dict[str, Any]) -> list[queries.SilenceView]:
        """Ask for quiet."""
        return queries.silences(
            self._give(
                inputs.AddSilence(
                    tuple(given["matchers"]),
                    given["starts_at"],
                    given["ends_at"],
                    _user(),
                    given["why"],
                )
            )
        )

    def end_silence(self, silence: str) -> list[queries.SilenceView]:
        """End a silence."""
        return queries.silences(self._give(inputs.EndSilence(silence, _user())))

    def changes(self) -> list[queries.ChangeView]:
        """List changes."""
        return queries.changes(self._known()[1])

    def change(self, given: dict[str, Any]) -> list[queries.ChangeView]:
        """Note a change."""
        change = change_bodies.change_of(
            given["service"],
            given["kind"],
            given["id"],
            given.get("at") or wall_ms(),
            given["by"] or _user(),
            given["from"],
            given["to"],
        )
        return queries.changes(self._give(inputs.ChangesArrived(_user(), (change,))))

    def services(self) -> list[served.ServiceView]:
        """List what services run."""
        return served.services(self._known()[1])

    def register(self, given: dict[str, Any]) -> list[served.ServiceView]:
        """Make a release known."""
        return served.services(self._give(inputs.RegisterRelease(**given)))

    def history(self, service: str) -> list[queries.Moment]:
        """Tell what happened to a service's releases."""
        with _Open(self._folder, self._file) as (store, _):
            return served.history(store, service)

    def move(self, service: str, purpose: str, given: dict[str, Any]) -> list[served.ServiceView]:
        """Refuse: nobody would carry it out."""
        raise _nobody(f"{purpose} {service}")

    def cases(self) -> list[cases.CaseView]:
        """List regression cases."""
        return cases.cases(self._known()[1])

    def case(self, name: str) -> cases.CaseStory:
        """Tell one case. Raises InputError when there is none of that name."""
        with _Open(self._folder, self._file) as (store, handler):
            found = cases.subject(handler.shard, name)
            if found is None:
                remedy = "see midwatch cases list"
                raise InputError(f"no case is named {name!r}", place="cases", remedy=remedy)
            return cases.story(found, store)

    def kept(self, service: str) -> cases.Kept:
        """Give what guards a service, or all of them."""
        at = config.load(self._folder).public_url
        with _Open(self._folder, self._file) as (store, handler):
            return cases.kept(cases.guards(handler.shard), store, service, at)

    def change_case(self, name: str, what: str, given: dict[str, Any]) -> list[cases.CaseView]:
        """Admit a case, or quarantine or retire the one of this name. Raises StateError."""
        by = _user()
        if what == "quarantine":
            until = wall_ms() + int(given["hours"] * 3_600_000)
            command: inputs.Input = inputs.QuarantineCase(
                name, given["owner"], until, given["why"], by
            )
        elif what == "retire":
            command = inputs.RetireCase(name, given["why"], by)
        else:
            command = msgspec.convert({**given, "by": by}, inputs.OfferCase)
        return cases.cases(self._give(command))

    def tickets(self) -> list[queries.TicketView]:
        """List reports."""
        return queries.tickets(self._known()[1])

    def ticket(self, given: dict[str, Any]) -> list[queries.TicketView]:
        """File a report."""
        (filed,) = ticket_bodies.parse(msgspec.json.encode(given), wall_ms()).tickets
        filed = structs.replace(filed, by=filed.by or _user(), signed=True)
        return queries.tickets(self._give(filed), filed.ticket)

    def _give(self, command: inputs.Input) -> Shard:
        """Hand a command to the journal; gives the state after it. Raises StateError."""
        opened = _Open(self._folder, self._file)
        with opened as (_, handler):
            opened.decide(handler, command)
            return handler.shard

    def slos(self) -> list[explain.StandingView]:
        """Say how objectives stand: their sources are asked now."""
        with _Open(self._folder, self._file, may_lack=True) as (store, handler):
            loaded = config.load(self._folder)
            newest = read_objectives(store, handler.shard, loaded, wall_ms())
            return explain.standings(handler.shard, newest)

    def jobs(self) -> list[jobs.JobView]:
        """List watched jobs."""
        with _Open(self._folder, self._file) as (store, handler):
            return jobs.jobs(config.load(self._folder).rules, handler.shard, store)

    def oncall(self, at: int) -> list[oncall.OnCall]:
        """Say who is on call."""
        rules, shard = self._known()
        return oncall.who(rules, shard, at)

    def shifts(self, schedule: str, start: int, end: int) -> list[oncall.ShiftView]:
        """List shifts."""
        rules, shard = self._known()
        return oncall.shifts(rules, shard, schedule, start, end)

    def gaps(self, start: int, end: int) -> list[oncall.Gap]:
        """Say when nobody can be reached."""
        rules, shard = self._known()
        return oncall.gaps(rules, shard, start, end)

    def handoff(self, hours: int) -> oncall.Handoff:
        """Gather what the next person has to know."""
        with _Open(self._folder, self._file) as (store, handler):
            rules = config.load(self._folder).rules
            since = wall_ms() - hours * 3_600_000
            happened = oncall.gather(store, handler.shard.skews, since)
            found = oncall.present(rules, handler.shard, happened, wall_ms())
            return oncall.handoff(found, happened, store)

    def overrides(self) -> list[oncall.OverrideView]:
        """List overrides."""
        return oncall.overrides(self._known()[1])

    def override(self, schedule: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        """Let somebody stand in."""
        return self._oncall(
            inputs.AddOverride(
                schedule, given["person"], given["starts_at"], given["ends_at"], _user()
            )
        )

    def remove_override(self, schedule: str, override: str) -> list[oncall.OverrideView]:
        """Take an override back."""
        return self._oncall(inputs.RemoveOverride(schedule, override, _user()))

    def swap(self, schedule: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        """Let two people take each other's shift."""
        moments = given["one_at"], given["other_at"]
        return self._oncall(inputs.SwapShifts(schedule, *moments, _user()))

    def _oncall(self, command: inputs.Input) -> list[oncall.OverrideView]:
        return oncall.overrides(self._give(command))

    def _known(self) -> tuple[Rules, Shard]:
        """Give the config, and what the journal knows, beside its owner."""
        rules = config.load(self._folder).rules
        if not self._file.exists():
            return rules, Shard()
        store = SqliteStore.read_only(self._file)
        try:
            return rules, Handler(store, rules, wall_ms).shard
        finally:
            store.close()

    def test_page(self, via: str) -> list[Tested]:
        """Send a test page by one pager, or by each."""
        # What a pager prints is no part of the answer.
        with _Open(self._folder, self._file) as (store, _), contextlib.redirect_stdout(sys.stderr):
            if store.is_shadow:
                remedy = "choose a live event log with --db"
                raise StateError("shadow mode sends nothing", place=store.name, remedy=remedy)
            pagers = build_pagers(config.load(self._folder), store.name, wall_ms)
            return test_page(pagers, via, _user(), wall_ms())


class _Open:
    """Owns a file for the length of one command; one that `may_lack` is an empty journal."""

    def __init__(self, folder: Path, file: Path, *, may_lack: bool = False) -> None:
        if not may_lack:
            remedy = "run midwatch serve first, or use --db or --server"
            need_database(file, remedy, "use it with --db, or use --server")
        there = file.exists()
        self._rules = measured(config.load(folder).rules)
        self._store = SqliteStore.own(file) if there else SqliteStore.memory()
        self.clock = SteadyClock(wall_ms, boot=boot_id())

    def __enter__(self) -> tuple[SqliteStore, Handler]:
        handler = Handler(self._store, self._rules, self.clock)
        archive.complete(self._store, handler.shard)
        return self._store, handler

    def decide(self, handler: Handler, command: inputs.Input) -> None:
        """Commit a command in the last server's term, or in a first one. Raises StateError.

        Time goes on in the journal's, and a jump of the wall clock is known first.
        """
        self.clock.go_on(handler.shard)
        if not handler.shard.term_salt:
            begin_term(handler, self.clock)
        settle(self.clock, handler.handle)
        (handled,) = handler.handle([inputs.Envelope("", command)])
        if handled.status == "rejected":
            raise StateError(handled.why)

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _command(incident: str, verb: str, given: dict[str, Any]) -> inputs.Input:
    by = _user()
    match verb:
        case "ack":
            return inputs.Acknowledge(incident, by)
        case "unack":
            return inputs.Unacknowledge(incident, by)
        case "reassign":
            return inputs.Reassign(incident, given["to"], by)
        case "merge":
            return inputs.MergeIncident(incident, given["into"], by)
        case "split":
            services, alerts = tuple(given["services"]), tuple(given["alerts"])
            return inputs.SplitIncident(incident, services, alerts, by)
        case "undo":
            return inputs.UndoMove(incident, by)
        case "snooze":
            return inputs.Snooze(incident, by, wall_ms() + int(given["minutes"] * 60_000))
        case _:
            return _ending(incident, verb, given, by)


def _ending(incident: str, verb: str, given: dict[str, Any], by: str) -> inputs.Input:
    """Give a command that is about an incident's mitigation or its end."""
    match verb:
        case "approve":
            raise _nobody(f"carry out a plan for {incident}")
        case "refuse":
            return inputs.RefusePlan(incident, given["hash"], by, given["why"])
        case "stop":
            return inputs.StopPlan(incident, by, given["why"], given["hash"])
        case "close":
            return inputs.CloseIncident(incident, by)
        case "waive":
            return inputs.GrantWaiver(incident, given["why"], given["owner"], given["ends_at"])
        case _:
            return inputs.ResolveIncident(incident, by, given["why"])


def _nobody(would: str) -> StateError:
    return StateError(
        f"no server is running on this event log, so nothing would {would}",
        remedy="start midwatch serve, and set --server to its URL",
    )


def _found(one: _T | None, incident: str) -> _T:
    if one is None:
        raise StateError(f"no incident is named {incident!r}", remedy="see midwatch incidents list")
    return one


def _user() -> str:
    return os.environ.get("USER") or "somebody"
