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
        "List incidents, worst first; owed=true: resolved but not closed;"
        " all=true: closed ones too, newest first.",
        Api.incidents, list[queries.Summary], flags=("all", "owed"), paged=True,
    ),
    Route(
        "GET", "/api/v1/incidents/{id}", "Show one incident; limit and after page through its "
                                         "timeline.",
        Api.incident, queries.Detail, paged=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/ack", "Acknowledge an incident.",
        Api.ack, queries.Detail, bodies.Ack, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/snooze", "Snooze an incident.",
        Api.snooze, queries.Detail, bodies.Snooze, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/resolve", "Resolve an incident.",
        Api.resolve, queries.Detail, bodies.Resolve, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/unack", "Take back an acknowledgement; people are paged "
                                                "again.",
        Api.unack, queries.Detail, bodies.Unack, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/reassign", "Reassign an incident and page the new holder.",
        Api.reassign, queries.Detail, bodies.Reassign, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/merge", "Merge an incident into another one.",
        Api.merge, queries.Detail, bodies.Merge, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/split", "Split some alerts off into a new incident.",
        Api.split, queries.Detail, bodies.Split, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/undo", "Undo the last merge or split.",
        Api.undo, queries.Detail, bodies.Undo, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/plan", "Show the plan of a runbook, or propose it.",
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
        "POST", "/api/v1/incidents/{id}/close", "Close an incident, or list what is missing.",
        Api.close, queries.Detail, bodies.Close, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/waive", "Waive the regression case of an incident until "
                                                "a date.",
        Api.waive, queries.Detail, bodies.Waive, once=True,
    ),
    Route(
        "GET", "/api/v1/incidents/{id}/postmortem", "Show the postmortem of an incident.",
        Api.postmortem, Postmortem,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/postmortem", "Replace the human part of a postmortem.",
        Api.judge, Postmortem, Whole, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/postmortem/add", "Add to the human part of a postmortem.",
        Api.add, Postmortem, Added, once=True,
    ),
    Route(
        "POST", "/api/v1/incidents/{id}/draft", "Draft the postmortem now.",
        Api.draft, Postmortem, bodies.DraftFacts, once=True,
    ),
    Route(
        "GET", "/api/v1/report",
        "Summarise a period (milliseconds since 1970; default: the last 7 days). Sums cover all "
        "incidents.",
        Api.report, reporting.Report, numbers=("start", "end"), paged=True,
    ),
    Route(
        "GET", "/api/v1/alerts/{id}/explain", "Explain which incident an alert is in, and why.",
        Api.alert, placement.AlertPlace,
    ),
    Route(
        "GET", "/api/v1/silences", "List active and future silences.",
        Api.silences, list[queries.SilenceView], paged=True,
    ),
    Route(
        "POST", "/api/v1/silences", "Silence matching alerts for a while.",
        Api.silence, list[queries.SilenceView], bodies.Silence, once=True,
    ),
    Route(
        "POST", "/api/v1/silences/{id}/end", "End a silence.",
        Api.end_silence, list[queries.SilenceView], bodies.EndSilence, once=True,
    ),
    Route(
        "GET", "/api/v1/changes", "List changes, newest first.",
        Api.changes, list[queries.ChangeView], paged=True,
    ),
    Route(
        "POST", "/api/v1/changes", "Record a change.",
        Api.change, list[queries.ChangeView], bodies.Change, once=True,
    ),
    Route(
        "GET", "/api/v1/tickets", "List triaged reports, newest first.",
        Api.tickets, list[queries.TicketView], paged=True,
    ),
    Route(
        "POST", "/api/v1/tickets", "File a report.",
        Api.ticket, list[queries.TicketView], bodies.Ticket, once=True,
    ),
    Route(
        "GET", "/api/v1/oncall", "Show who is on call now, or at a time in milliseconds since "
                                 "1970.",
        Api.oncall, list[oncall.OnCall], numbers=("at",),
    ),
    Route(
        "GET", "/api/v1/oncall/shifts", "List the shifts of the given number of days, at most 400.",
        Api.shifts, list[oncall.ShiftView], numbers=("start", "days"),
    ),
    Route(
        "GET", "/api/v1/oncall/gaps", "List gaps: times when a page would reach nobody.",
        Api.gaps, list[oncall.Gap], numbers=("start", "days"),
    ),
    Route(
        "GET", "/api/v1/oncall/handoff", "Show a handoff summary for the next shift.",
        Api.handoff, oncall.Handoff, numbers=("hours",),
    ),
    Route(
        "GET", "/api/v1/oncall/overrides", "List overrides.",
        Api.overrides, list[oncall.OverrideView],
    ),
    Route(
        "POST", "/api/v1/oncall/{schedule}/override", "Add an override.",
        Api.override, list[oncall.OverrideView], bodies.Override, once=True,
    ),
    Route(
        "POST", "/api/v1/oncall/{schedule}/remove-override", "End an override.",
        Api.remove_override, list[oncall.OverrideView], bodies.RemoveOverride, once=True,
    ),
    Route(
        "POST", "/api/v1/oncall/{schedule}/swap", "Swap two shifts.",
        Api.swap, list[oncall.OverrideView], bodies.Swap, once=True,
    ),
    Route(
        "GET", "/api/v1/services", "List services with their releases.",
        Api.services, list[served.ServiceView],
    ),
    Route(
        "POST", "/api/v1/services", "Register a release.",
        Api.register, list[served.ServiceView], bodies.Register, once=True,
    ),
    Route(
        "GET", "/api/v1/services/{id}/history", "Show the release history of a service.",
        Api.history, list[queries.Moment], paged=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/rollback", "Roll a service back to its last good release.",
        Api.rollback, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/promote", "Promote a release.",
        Api.promote, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/canary", "Start a canary.",
        Api.canary, list[served.ServiceView], bodies.Move, once=True,
    ),
    Route(
        "POST", "/api/v1/services/{id}/abort", "Abort a canary.",
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
        "GET", "/api/v1/cases/{id}", "Show one case with its evidence and history.",
        Api.case, cases.CaseStory,
    ),
    Route(
        "POST", "/api/v1/cases/{id}/quarantine", "Quarantine a flaky case.",
        Api.quarantine, list[cases.CaseView], bodies.Quarantine, once=True,
    ),
    Route(
        "POST", "/api/v1/cases/{id}/retire", "Retire a case.",
        Api.retire, list[cases.CaseView], bodies.Retire, once=True,
    ),
    Route(
        "GET", "/api/v1/services/{id}/cases", "Export the cases of a service, or all.",
        Api.kept, cases.Kept,
    ),
    Route(
        "GET", "/api/v1/heartbeats", "List heartbeats, silent ones first.",
        Api.jobs, list[jobs.JobView],
    ),
    Route(
        "GET", "/api/v1/slos", "Show the status of each SLO: windows, tiers, budget.",
        Api.slos, list[explain.StandingView],
    ),
    Route(
        "GET", "/api/v1/alerts/rejected", "List rejected input, and why it was rejected.",
        Api.rejected, list[queries.Rejected], paged=True,
    ),
    Route(
        "POST", "/api/v1/pages/test", "Send a test page via one pager, or via each.",
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
        raise InputError(f"got {text!r}", place=f"?{name}", remedy="write a whole number")
    return int(text)


def _limit(request: Request) -> int:
    """Read how many rows are wanted. Raises InputError."""
    if "limit" not in request.query_params:
        return paging.LIMIT
    limit = _number(request, "limit")
    if not 1 <= limit <= paging.MOST:
        remedy = f"write 1 to {paging.MOST}, and follow Link"
        raise InputError(f"got {limit}", place="?limit", remedy=remedy)
    return limit


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InputError(f"got {text!r}", place=f"?{name}", remedy="write true or false")
    return text == "true"
