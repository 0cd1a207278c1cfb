"""What comes in beside incidents: alerts and their silences, changes, and reports by people.

Law: a silence and a change are answered with the list that they are on.
"""

from __future__ import annotations

from midwatch.adapters.sources.changes import change_of
from midwatch.core.state import inputs
from midwatch.engine import placement, queries
from midwatch.web import bodies
from midwatch.web.api import Api
from midwatch.web.calls import Call
from midwatch.web.rows import command, handler, parts, read


def _silence(call: Call, given: bodies.Silence) -> inputs.AddSilence:
    start = call.at(given.starts_at, "starts_at") or call.now
    end = call.at(given.ends_at, "ends_at")
    return inputs.AddSilence(tuple(given.matchers), start, end, call.by.name, given.why.strip())


def _change(call: Call, given: bodies.Change) -> inputs.ChangesArrived:
    service, kind = given.service.strip(), given.kind.strip()
    at, by = call.at(given.at, "at") or call.now, given.by or call.by.name
    change = change_of(service, kind, given.id, at, by, given.from_release, given.to_release)
    return inputs.ChangesArrived(call.by.name, (change,))


ROWS = (
    read(
        "alert",
        "/api/v1/alerts/{id}/explain",
        "Explain which incident an alert is in, and why.",
        placement.AlertPlace,
        Api.alert,
    ),
    parts(
        "silences",
        "/api/v1/silences",
        "List active and future silences.",
        list[queries.SilenceView],
        Api.silences,
    ),
    command(
        "silence",
        "/api/v1/silences",
        "Silence matching alerts for a while.",
        bodies.Silence,
        _silence,
        list[queries.SilenceView],
        Api.silences,
    ),
    command(
        "end_silence",
        "/api/v1/silences/{id}/end",
        "End a silence.",
        bodies.EndSilence,
        lambda call, _: inputs.EndSilence(call.id, call.by.name),
        list[queries.SilenceView],
        Api.silences,
    ),
    parts(
        "changes",
        "/api/v1/changes",
        "List changes, newest first.",
        list[queries.ChangeView],
        Api.changes,
    ),
    command(
        "change",
        "/api/v1/changes",
        "Record a change.",
        bodies.Change,
        _change,
        list[queries.ChangeView],
        Api.changes,
    ),
    parts(
        "tickets",
        "/api/v1/tickets",
        "List triaged reports, newest first.",
        list[queries.TicketView],
        Api.tickets,
    ),
    handler(
        "ticket",
        "/api/v1/tickets",
        "File a report.",
        bodies.Ticket,
        Api.ticket,
        list[queries.TicketView],
    ),
)
