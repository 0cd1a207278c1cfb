"""Services: their releases and traffic, and the regression cases that guard them.

Law: what moves traffic is decided by a handler; the rest is a command, answered with its list.
"""

from __future__ import annotations

from midwatch.core.state import inputs
from midwatch.engine import cases, queries, served
from midwatch.web import bodies
from midwatch.web.api import Api
from midwatch.web.calls import Call
from midwatch.web.rows import command, handler, parts, read

AT = "/api/v1/services"
ONE = f"{AT}/{{id}}"
CASES = "/api/v1/cases"
CASE = f"{CASES}/{{id}}"


def _register(_: Call, given: bodies.Register) -> inputs.RegisterRelease:
    service, release, digest = given.service.strip(), given.release.strip(), given.digest.strip()
    return inputs.RegisterRelease(service, release, digest, given.good, given.live)


def _offer(call: Call, given: bodies.Offer) -> inputs.OfferCase:
    return inputs.OfferCase(
        given.incident.strip(),
        given.case,
        given.bad,
        given.good,
        tuple(given.outcomes),
        call.by.name,
        given.bad_digest,
        given.good_digest,
        given.replaces,
    )


def _quarantine(call: Call, given: bodies.Quarantine) -> inputs.QuarantineCase:
    until = call.now + int(given.hours * 3_600_000)
    return inputs.QuarantineCase(call.id, given.owner, until, given.why, call.by.name)


ROWS = (
    read(
        "services",
        AT,
        "List services with their releases.",
        list[served.ServiceView],
        Api.services,
    ),
    command(
        "register",
        AT,
        "Register a release.",
        bodies.Register,
        _register,
        list[served.ServiceView],
        Api.services,
        place=lambda given: given.service,
    ),
    parts(
        "history",
        f"{ONE}/history",
        "Show the release history of a service.",
        list[queries.Moment],
        Api.history,
    ),
    handler(
        "rollback",
        f"{ONE}/rollback",
        "Roll a service back to its last good release.",
        bodies.Move,
        Api.rollback,
        list[served.ServiceView],
    ),
    handler(
        "promote",
        f"{ONE}/promote",
        "Promote a release.",
        bodies.Move,
        Api.promote,
        list[served.ServiceView],
    ),
    handler(
        "canary",
        f"{ONE}/canary",
        "Start a canary.",
        bodies.Move,
        Api.canary,
        list[served.ServiceView],
    ),
    handler(
        "abort",
        f"{ONE}/abort",
        "Abort a canary.",
        bodies.Move,
        Api.abort,
        list[served.ServiceView],
    ),
    parts("cases", CASES, "List regression cases.", list[cases.CaseView], Api.cases),
    command(
        "offer",
        CASES,
        "Admit a case of an incident, with its evidence.",
        bodies.Offer,
        _offer,
        list[cases.CaseView],
        Api.cases,
        place=lambda given: given.incident,
    ),
    read(
        "case",
        CASE,
        "Show one case with its evidence and history.",
        cases.CaseStory,
        Api.case,
    ),
    command(
        "quarantine",
        f"{CASE}/quarantine",
        "Quarantine a flaky case.",
        bodies.Quarantine,
        _quarantine,
        list[cases.CaseView],
        Api.cases,
    ),
    command(
        "retire",
        f"{CASE}/retire",
        "Retire a case.",
        bodies.Retire,
        lambda call, given: inputs.RetireCase(call.id, given.why, call.by.name),
        list[cases.CaseView],
        Api.cases,
    ),
    read("kept", f"{ONE}/cases", "Export the cases of a service, or all.", cases.Kept, Api.kept),
)
