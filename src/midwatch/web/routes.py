"""The table of routes: what may be asked and said, where, and who answers it.

Law: the table makes the handlers, the guards and the OpenAPI document; nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from midwatch.adapters.sources.batches import decode
from midwatch.core.judgements import Added, Whole
from midwatch.core.postmortems import Postmortem
from midwatch.engine import (
    cases,
    explain,
    jobs,
    oncall,
    paging,
    perform,
    placement,
    plans,
    queries,
    reporting,
    served,
)
from midwatch.errors import (
    BadJson,
    Busy,
    CommitFailed,
    HarnessError,
    InputError,
    MidwatchError,
    StateError,
)
from midwatch.ports import Token, Tokens
from midwatch.web import bodies, guards
from midwatch.web.api import Api
from midwatch.web.problems import problem_of
from midwatch.web.reading import Call, NotThere, Part
from midwatch.web.shares import Shares

MAX_BYTES = 64 * 1024
REMEDY = "see /api/v1/openapi.json"

Handle = Callable[[Api, Call], Awaitable[Any]]


class Route(Struct, frozen=True):
    """One row of the table.

    `flags` are query parameters that are true or false, `numbers` are whole ones, `also` further
    status codes; with `once` a request with an idempotency key is done once. One that is `paged`
    takes `limit` and `after`, and says with Link where the next part is.
    """

    method: str
    path: str
    says: str
    handle: Handle
    gives: Any
    takes: type[Struct] | None = None
    flags: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    once: bool = False
    paged: bool = False


# The first class that fits says how an error is answered.
STATUS: dict[type[MidwatchError], int] = {
    BadJson: 400,
    NotThere: 404,
    paging.NoSuchRow: 404,
    InputError: 422,
    StateError: 409,
    HarnessError: 503,
}

ROUTES = (
    Route(
        "GET", "/api/v1/incidents",
        "List incidents, worst first; owed=true: those that are resolved and not closed;"
        " all=true: also what is over, newest first.",
        Api.incidents, list[queries.Summary], flags=("all", "owed"), paged=True,
    ),
    Route(
        "GET", "/api/v1/incidents/{id}", "Tell one incident; limit and after count its timeline.",
        Api.incident, queries.Detail, paged=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/ack", "Take it.",
        Api.ack, queries.Detail, bodies.Ack, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/snooze", "Take it for a while.",
        Api.snooze, queries.Detail, bodies.Snooze, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/resolve", "Say that it is over.",
        Api.resolve, queries.Detail, bodies.Resolve, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/unack", "Give it back: people are paged anew.",
        Api.unack, queries.Detail, bodies.Unack, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/reassign", "Hand it to somebody else, who is paged.",
        Api.reassign, queries.Detail, bodies.Reassign, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/merge", "Say that it is the same as another one.",
        Api.merge, queries.Detail, bodies.Merge, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/split", "Make another incident out of some of its alerts.",
        Api.split, queries.Detail, bodies.Split, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/undo", "Take back its last merge or split.",
        Api.undo, queries.Detail, bodies.Undo, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/plan", "Look at a runbook's plan, or propose it.",
        Api.plan, plans.PlanView, bodies.Choose, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/approve", "Carry out the plan with this hash.",
        Api.approve, queries.Detail, bodies.Approve, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/refuse", "Drop the plan with this hash.",
        Api.refuse, queries.Detail, bodies.Refuse, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/stop", "End a plan at its next safe point.",
        Api.stop, queries.Detail, bodies.Stop, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/close", "Close it, or say what it lacks.",
        Api.close, queries.Detail, bodies.Close, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/waive", "Let it close without a case, for a time.",
        Api.waive, queries.Detail, bodies.Waive, once=True,
    ),
    Route(
        "GET", "/api/v1/incidents/{id}/postmortem", "Write its postmortem.",
        Api.postmortem, Postmortem,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/postmortem", "Say what you make of it; replaces it whole.",
        Api.judge, Postmortem, Whole, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/postmortem/add", "Add to what people make of it.",
        Api.add, Postmortem, Added, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/draft", "Write its facts down now.",
        Api.draft, Postmortem, bodies.DraftFacts, once=True,
    ),
    Route(
        "GET", "/api/v1/report",
        "Tell a period, in milliseconds since 1970; else seven days. Sums are of all incidents.",
        Api.report, reporting.Report, numbers=("start", "end"), paged=True,
    ),
    Route(
        "GET", "/api/v1/alerts/{id}/explain", "Say where an alert is, and why.",
        Api.alert, placement.AlertPlace,
    ),
    Route(
        "GET", "/api/v1/silences", "List silences that are not over.",
        Api.silences, list[queries.SilenceView], paged=True,
    ),
    Route(
        "POST", "/api/v1/silences", "Page nobody for what matches, for a while.",
        Api.silence, list[queries.SilenceView], bodies.Silence, once=True,
    ),
    Route(
        "POST", "/api/v1/silences/{id}/end", "End a silence.",
        Api.end_silence, list[queries.SilenceView], bodies.EndSilence, once=True,
    ),
    Route(
        "GET", "/api/v1/changes", "List what was changed, the newest first.",
        Api.changes, list[queries.ChangeView], paged=True,
    ),
    Route(
        "POST", "/api/v1/changes", "Note what was changed.",
        Api.change, list[queries.ChangeView], bodies.Change, once=True,
    ),
    Route(
        "GET", "/api/v1/tickets", "List reports as they were triaged, the newest first.",
        Api.tickets, list[queries.TicketView], paged=True,
    ),
    Route(
        "POST", "/api/v1/tickets", "File a report.",
        Api.ticket, list[queries.TicketView], bodies.Ticket, once=True,
    ),
    Route(
        "GET", "/api/v1/oncall", "Say who is on call, at a moment in milliseconds or now.",
        Api.oncall, list[oncall.OnCall], numbers=("at",),
    ),
    Route(
        "GET", "/api/v1/oncall/shifts", "List the shifts of so many days, at most 400.",
        Api.shifts, list[oncall.ShiftView], numbers=("start", "days"),
    ),
    Route(
        "GET", "/api/v1/oncall/gaps", "Say when a page would reach nobody.",
        Api.gaps, list[oncall.Gap], numbers=("start", "days"),
    ),
    Route(
        "GET", "/api/v1/oncall/handoff", "Gather what the next person has to know.",
        Api.handoff, oncall.Handoff, numbers=("hours",),
    ),
    Route(
        "GET", "/api/v1/oncall/overrides", "List who stands in for a while.",
        Api.overrides, list[oncall.OverrideView],
    ),
    Route(
        "POST", "/api/v1/oncall/{schedule}/override", "Put a person on call for a while.",
        Api.override, list[oncall.OverrideView], bodies.Override, once=True,
    ),
    Route(
        "POST", "/api/v1/oncall/{schedule}/remove-override", "Take an override back.",
        Api.remove_override, list[oncall.OverrideView], bodies.RemoveOverride, once=True,
    ),
    Route(
        "POST", "/api/v1/oncall/{schedule}/swap", "Let two people take each other's shift.",
        Api.swap, list[oncall.OverrideView], bodies.Swap, once=True,
    ),
    Route(
        "GET", "/api/v1/services", "List what services run, and their releases.",
        Api.services, list[served.ServiceView],
    ),
    Route(
        "POST", "/api/v1/services", "Make a release known.",
        Api.register, list[served.ServiceView], bodies.Register, once=True,
    ),
    Route(
        "GET", "/api/v1/services/{id}/history", "Tell what happened to a service's releases.",
        Api.history, list[queries.Moment], paged=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/rollback", "Move traffic back to the last good release.",
        Api.rollback, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/promote", "Move traffic on to another release.",
        Api.promote, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/canary", "Give a candidate a part of live traffic.",
        Api.canary, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/abort", "Take a candidate off live traffic.",
        Api.abort, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "GET", "/api/v1/cases", "List regression cases.",
        Api.cases, list[cases.CaseView], paged=True,
    ),
    Route(
        "POST", "/api/v1/cases", "Admit a case of an incident, with its evidence.",
        Api.offer, list[cases.CaseView], bodies.Offer, once=True,
    ),
    Route(
        "GET", "/api/v1/cases/{id}", "Tell one case: its evidence, and what became of it.",
        Api.case, cases.CaseStory,
    ),
    Route(
        "POST", "/api/v1/cases/{id}/quarantine", "Take a flaky case out of the count.",
        Api.quarantine, list[cases.CaseView], bodies.Quarantine, once=True,
    ),
    Route(
        "POST", "/api/v1/cases/{id}/retire", "Take a case out for good.",
        Api.retire, list[cases.CaseView], bodies.Retire, once=True,
    ),
    Route(
        "GET", "/api/v1/services/{id}/cases", "Give the cases that guard a service, or all.",
        Api.kept, cases.Kept,
    ),
    Route(
        "GET", "/api/v1/heartbeats", "List watched jobs, those that are silent first.",
        Api.jobs, list[jobs.JobView],
    ),
    Route(
        "GET", "/api/v1/slos", "Say how each objective stands: windows, tiers, budget.",
        Api.slos, list[explain.StandingView],
    ),
    Route(
        "GET", "/api/v1/alerts/rejected", "List what could not be taken, and why.",
        Api.rejected, list[queries.Rejected], paged=True,
    ),
    Route(
        "POST", "/api/v1/pages/test", "Send a test page by one pager, or by each.",
        Api.test_page, list[perform.Tested], bodies.PageTest, also=(404,),
    ),
)  # fmt: skip


def endpoint(
    route: Route, api: Api, tokens: Tokens, shares: Shares
) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of a row: guard, decode, do, encode."""

    async def answer(request: Request) -> Response:
        token = guards.person(request, tokens)
        if isinstance(token, Response):
            return token
        if refused := shares.refuses(token):
            return refused
        try:
            call = await _call(route, request, token)
            if isinstance(call, Response):
                return call
            found = await route.handle(api, call)
        except (InputError, StateError, Busy, CommitFailed) as error:
            status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
            return problem_of(status, error)
        headers: dict[str, str] = {}
        if isinstance(found, Part):
            if found.after:
                headers["Link"] = f'<{_next(found, call.limit)}>; rel="next"'
            found = found.document
        return Response(msgspec.json.encode(found), headers=headers, media_type="application/json")

    return answer


def _next(part: Part, limit: int) -> str:
    """Say where the part after this one is."""
    joint = "&" if "?" in part.path else "?"
    return f"{part.path}{joint}limit={limit}&after={quote(part.after, '')}"


async def _call(route: Route, request: Request, token: Token) -> Call | Response:
    """Read a request past its guards, or refuse it. Raises InputError."""
    flags = {name: _flag(request, name) for name in route.flags}
    numbers = {name: _number(request, name) for name in route.numbers}
    if route.takes is None:
        call = Call(request, token, None, flags, numbers, "")
        if route.paged:
            call.limit, call.after = _limit(request), request.query_params.get("after", "")
        return call
    wanted = guards.idempotency_key(request) if route.once else ""
    if isinstance(wanted, Response):
        return wanted
    body = await guards.body_of(request, MAX_BYTES)
    if isinstance(body, Response):
        return body
    given = decode(msgspec.json.Decoder(route.takes), body or b"{}", REMEDY)
    return Call(request, token, given, flags, numbers, _key(token, request, wanted, body))


def _key(token: Token, request: Request, wanted: str, body: bytes) -> str:
    """Name a request: another one under the same idempotency key is another request."""
    if not wanted:
        return ""
    hashed = blake2b(request.url.path.encode() + b"\0" + body, digest_size=8).hexdigest()
    return f"api/{token.id}/{wanted}/{hashed}"


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (
        text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= bodies.MAX_NUMBER
    ):
        raise InputError(f"is {text!r}", place=f"?{name}", remedy="write a whole number")
    return int(text)


def _limit(request: Request) -> int:
    """Read how many rows are wanted. Raises InputError."""
    if "limit" not in request.query_params:
        return paging.LIMIT
    limit = _number(request, "limit")
    if not 1 <= limit <= paging.MOST:
        remedy = f"write 1 to {paging.MOST}, and follow Link"
        raise InputError(f"is {limit}", place="?limit", remedy=remedy)
    return limit


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InputError(f"is {text!r}", place=f"?{name}", remedy="write true or false")
    return text == "true"
