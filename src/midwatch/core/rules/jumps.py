"""A wall clock that jumps is an event, with an incident of its own.

Law: nothing is decided by another wall clock before its jump is a fact. Waits are in the journal's
time, which no jump moves. One incident tells of all jumps until somebody is done with it.
"""

from __future__ import annotations

from midwatch.core.rules.correlation import Symptom, open_incident
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.keys import PREFIX
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.severity import Severity
from midwatch.core.values.skews import JUMP_MS

RULE = "clock/1"
SERVICE = "midwatch"
SEVERITY: Severity = "sev2"
ADVICE = (
    "waits go on, schedules and silences follow the wall clock: check the machine's time service"
    " (timedatectl, chronyc tracking)"
)


def see(d: Decision, given: inputs.ClockSeen) -> events.ClockJumped | None:
    """Note how the clocks stand; gives the jump when the wall clock is another one from now on."""
    before, here = d.wall, _open(d)
    if given.skew_ms == d.shard.skew:
        if given.boot:
            d.emit(events.ClockAnchored(boot=given.boot, ticks_ms=given.ticks_ms))
        return None
    pages = abs(given.by_ms) >= JUMP_MS
    name = d.shard.clock_incident
    if pages and here is None:
        name = f"{PREFIX}{d.shard.next_incident}"
    right = d.shard.skews.returns(given.skew_ms)
    reason = _reason(given, before, d.now - given.skew_ms, right=right)
    event = events.ClockJumped(
        by_ms=given.by_ms,
        skew_ms=given.skew_ms,
        reason=reason,
        right=right,
        incident=name,
        boot=given.boot,
        ticks_ms=given.ticks_ms,
    )
    d.emit(event)
    if pages and here is None:
        way = "ahead" if given.by_ms > 0 else "back"
        title = f"The clock went {way} by {show_duration(abs(given.by_ms) / SECOND)}"
        open_incident(d, Symptom(SERVICE, "", d.wall), title, reason)
    return event


def _open(d: Decision) -> Incident | None:
    """Find the incident about the clock that somebody still has to answer, or has answered."""
    incident = d.incident(d.shard.clock_incident)
    return incident if incident and incident.state in ("open", "acknowledged") else None


def _reason(given: inputs.ClockSeen, before: int, after: int, *, right: bool) -> Reason:
    terms: dict[str, Term] = {"by_ms": given.by_ms, "skew_ms": given.skew_ms, "right": right}
    if abs(given.by_ms) < JUMP_MS:
        says = (
            f"the event log's time, {show_time(after + given.skew_ms)}, is the wall clock's again"
        )
        return Reason(RULE, says, terms)
    way = "ahead" if given.by_ms > 0 else "back"
    by = show_duration(abs(given.by_ms) / SECOND)
    as_before = ", as it was before" if right else ""
    says = f"the wall clock went {way} by {by}: {show_time(before)} became {show_time(after)}"
    return Reason(RULE, says + as_before, terms)


def advised(reason: Reason) -> Reason:
    """Say in a page what goes on and what to do."""
    return Reason(RULE, f"{reason.says}; {ADVICE}", reason.terms)


def condition(shard: Shard) -> str:
    """Say that the clock has jumped, as long as its incident is open; "" when all is well.

    >>> condition(Shard())
    ''
    """
    incident = shard.incidents.get(shard.clock_incident)
    if incident is None or incident.state not in ("open", "acknowledged"):
        return ""
    now = "is right again" if shard.clock_right else "is followed for dates, not for waits"
    return f"{incident.title}, and {now} ({incident.id})"
