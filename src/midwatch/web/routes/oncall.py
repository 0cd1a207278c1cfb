"""On-call: who it is, the shifts, the gaps, and overrides.

Law: whatever is said of a schedule is answered with its overrides as they are then.
"""

from __future__ import annotations

from midwatch.core.state import inputs
from midwatch.engine import oncall
from midwatch.web import bodies
from midwatch.web.api import Api
from midwatch.web.calls import Call
from midwatch.web.rows import command, read

AT = "/api/v1/oncall"


def _override(call: Call, given: bodies.Override) -> inputs.AddOverride:
    start, end = call.at(given.starts_at, "starts_at"), call.at(given.ends_at, "ends_at")
    return inputs.AddOverride(call.id, given.person.strip(), start, end, call.by.name)


def _swap(call: Call, given: bodies.Swap) -> inputs.SwapShifts:
    one_at, other_at = call.at(given.one_at, "one_at"), call.at(given.other_at, "other_at")
    return inputs.SwapShifts(call.id, one_at, other_at, call.by.name)


ROWS = (
    read(
        "oncall",
        AT,
        "Show who is on call now, or at a time in milliseconds since 1970.",
        list[oncall.OnCall],
        Api.oncall,
        numbers=("at",),
    ),
    read(
        "shifts",
        f"{AT}/shifts",
        "List the shifts of the given number of days, at most 400.",
        list[oncall.ShiftView],
        Api.shifts,
        numbers=("start", "days"),
    ),
    read(
        "gaps",
        f"{AT}/gaps",
        "List gaps: times when a page would reach nobody.",
        list[oncall.Gap],
        Api.gaps,
        numbers=("start", "days"),
    ),
    read(
        "handoff",
        f"{AT}/handoff",
        "Show a handoff summary for the next shift.",
        oncall.Handoff,
        Api.handoff,
        numbers=("hours",),
    ),
    read(
        "overrides",
        f"{AT}/overrides",
        "List overrides.",
        list[oncall.OverrideView],
        Api.overrides,
    ),
    command(
        "override",
        f"{AT}/{{schedule}}/override",
        "Add an override.",
        bodies.Override,
        _override,
        list[oncall.OverrideView],
        Api.overrides,
    ),
    command(
        "remove_override",
        f"{AT}/{{schedule}}/remove-override",
        "End an override.",
        bodies.RemoveOverride,
        lambda call, given: inputs.RemoveOverride(call.id, given.override, call.by.name),
        list[oncall.OverrideView],
        Api.overrides,
    ),
    command(
        "swap",
        f"{AT}/{{schedule}}/swap",
        "Swap two shifts.",
        bodies.Swap,
        _swap,
        list[oncall.OverrideView],
        Api.overrides,
    ),
)
