"""Incidents: who has them, their plans, their postmortems, and the report over them.

Law: whatever is said of an incident is answered with the incident as it is then.
"""

from __future__ import annotations

from midwatch.core.state import inputs
from midwatch.core.values.clock import SECOND
from midwatch.core.values.judgements import Added, Whole, plain
from midwatch.core.values.postmortems import Postmortem
from midwatch.engine import plans, queries, reporting
from midwatch.web import bodies
from midwatch.web.api import Api
from midwatch.web.rows import command, handler, parts, read

AT = "/api/v1/incidents"
ONE = f"{AT}/{{id}}"

ROWS = (
    parts(
        "incidents",
        AT,
        "List incidents, worst first; owed=true: resolved but not closed; all=true: "
        "closed ones too, newest first.",
        list[queries.Summary],
        Api.incidents,
        flags=("all", "owed"),
    ),
    parts(
        "incident",
        ONE,
        "Show one incident; limit and after page through its timeline.",
        queries.Detail,
        Api.incident,
    ),
    command(
        "ack",
        f"{ONE}/ack",
        "Take it.",
        bodies.Ack,
        lambda call, _: inputs.Acknowledge(call.id, call.by.name),
        queries.Detail,
        Api.incident,
    ),
    command(
        "snooze",
        f"{ONE}/snooze",
        "Snooze an incident.",
        bodies.Snooze,
        lambda call, given: inputs.Snooze(
            call.id, call.by.name, call.now + int(given.minutes * 60 * SECOND)
        ),
        queries.Detail,
        Api.incident,
    ),
    command(
        "resolve",
        f"{ONE}/resolve",
        "Resolve an incident.",
        bodies.Resolve,
        lambda call, given: inputs.ResolveIncident(call.id, call.by.name, given.why.strip()),
        queries.Detail,
        Api.incident,
    ),
    command(
        "unack",
        f"{ONE}/unack",
        "Take back an acknowledgement; people are paged again.",
        bodies.Unack,
        lambda call, _: inputs.Unacknowledge(call.id, call.by.name),
        queries.Detail,
        Api.incident,
    ),
    command(
        "reassign",
        f"{ONE}/reassign",
        "Reassign an incident and page the new holder.",
        bodies.Reassign,
        lambda call, given: inputs.Reassign(call.id, given.to.strip(), call.by.name),
        queries.Detail,
        Api.incident,
    ),
    command(
        "merge",
        f"{ONE}/merge",
        "Merge an incident into another one.",
        bodies.Merge,
        lambda call, given: inputs.MergeIncident(call.id, given.into.strip(), call.by.name),
        queries.Detail,
        Api.incident,
    ),
    command(
        "split",
        f"{ONE}/split",
        "Split some alerts off into a new incident.",
        bodies.Split,
        lambda call, given: inputs.SplitIncident(
            call.id, tuple(given.services), tuple(given.alerts), call.by.name
        ),
        queries.Detail,
        Api.incident,
    ),
    command(
        "undo",
        f"{ONE}/undo",
        "Undo the last merge or split.",
        bodies.Undo,
        lambda call, _: inputs.UndoMove(call.id, call.by.name),
        queries.Detail,
        Api.incident,
    ),
    handler(
        "plan",
        f"{ONE}/plan",
        "Show the plan of a runbook, or propose it.",
        bodies.Choose,
        Api.plan,
        plans.PlanView,
    ),
    handler(
        "approve",
        f"{ONE}/approve",
        "Carry out the plan with this hash.",
        bodies.Approve,
        Api.approve,
        queries.Detail,
    ),
    command(
        "refuse",
        f"{ONE}/refuse",
        "Drop the plan with this hash.",
        bodies.Refuse,
        lambda call, given: inputs.RefusePlan(call.id, given.hash, call.by.name, given.why.strip()),
        queries.Detail,
        Api.incident,
    ),
    command(
        "stop",
        f"{ONE}/stop",
        "End a plan at its next safe point.",
        bodies.Stop,
        lambda call, given: inputs.StopPlan(call.id, call.by.name, given.why.strip(), given.hash),
        queries.Detail,
        Api.incident,
    ),
    command(
        "close",
        f"{ONE}/close",
        "Close an incident, or list what is missing.",
        bodies.Close,
        lambda call, _: inputs.CloseIncident(call.id, call.by.name),
        queries.Detail,
        Api.incident,
    ),
    command(
        "waive",
        f"{ONE}/waive",
        "Waive the regression case of an incident until a date.",
        bodies.Waive,
        lambda call, given: inputs.GrantWaiver(
            call.id, given.why.strip(), given.owner.strip(), call.at(given.ends_at, "ends_at")
        ),
        queries.Detail,
        Api.incident,
    ),
    read(
        "postmortem",
        f"{ONE}/postmortem",
        "Show the postmortem of an incident.",
        Postmortem,
        Api.postmortem,
    ),
    command(
        "judge",
        f"{ONE}/postmortem",
        "Replace the human part of a postmortem.",
        Whole,
        lambda call, given: inputs.EditPostmortem(
            call.id, plain(given), call.by.name, given.version
        ),
        Postmortem,
        Api.postmortem,
    ),
    command(
        "add",
        f"{ONE}/postmortem/add",
        "Add to the human part of a postmortem.",
        Added,
        lambda call, given: inputs.AddToPostmortem(call.id, given, call.by.name),
        Postmortem,
        Api.postmortem,
    ),
    command(
        "draft",
        f"{ONE}/draft",
        "Draft the postmortem now.",
        bodies.DraftFacts,
        lambda call, _: inputs.DraftPostmortem(call.id, call.by.name),
        Postmortem,
        Api.postmortem,
    ),
    parts(
        "report",
        "/api/v1/report",
        "Summarise a period (milliseconds since 1970; default: the last 7 days). "
        "Sums cover all incidents.",
        reporting.Report,
        Api.report,
        numbers=("start", "end"),
    ),
)
