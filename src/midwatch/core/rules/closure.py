"""Whether an incident may close, and what a person says instead of a proof.

Law: one that was paged or spent error budget closes with a postmortem and an admitted case, or with
a waiver that has a reason, an owner and an end. Where no case can be made,
and the config does not say that one is owed all the same, it closes with its postmortem when it
paged at sev1 or sev2, else with a recorded reason, like all others. What is
missing is always said. What an incident has to have before it closes stands in
`evolving.GUARDS`, and no event gets past it.
"""

from __future__ import annotations

from collections.abc import Collection

from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, lacks
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.reasons import Reason
from midwatch.errors import StateError

RULE = "closure/2"
MAX_WAIVER_S = 366 * 86_400


def close_if_done(d: Decision, incident: Incident) -> None:
    """Close a resolved incident when nothing is missing."""
    if incident.state != "resolved" or lacks(incident, d.wall):
        return
    if not incident.hurt:
        says = "nobody was paged and no budget was spent"
    elif is_plain(incident):
        says = f"{'postmortem; ' if incident.has_postmortem else ''}{incident.no_case}"
    elif incident.case_state == "admitted" and incident.case:
        says = f"postmortem and {incident.case.id}"
    else:
        says = f"waiver: {incident.waiver}, until {show_time(incident.waived_until)}"
    d.emit(events.IncidentClosed(incident=incident.id, reason=Reason(RULE, says)))


def no_case(incident: Incident, suites: Collection[str], releases: Collection[str]) -> str:
    """Say why an incident owes no regression case, "" when it does.

    One is owed where it can be made: a service has a suite, releases, or answers that were judged.

    >>> queue = Incident("INC-1", "queue", "", "", 0, services={"queue": 0})
    >>> no_case(queue, {"agent"}, {})
    'queue has no suite, no releases and no judged answers'
    >>> no_case(queue, {"agent"}, {"queue"})
    ''
    """
    services = dict.fromkeys((*incident.services, incident.service_of_plan))
    can = any(one in suites or one in releases for one in services)
    if can or incident.failures or incident.case is not None or incident.fix:
        return ""
    name = incident.speaks_of or "it"
    return f"{name} has no suite, no releases and no judged answers"


def is_plain(incident: Incident) -> bool:
    """Say whether it hurt and owes no regression case."""
    owes = incident.case is not None or bool(incident.fix) or bool(incident.waiver)
    return incident.hurt and bool(incident.no_case) and not owes


def close(d: Decision, incident: Incident) -> None:
    """Close an incident for a person. Raises StateError with what is missing."""
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed", remedy="no action is needed")
    missing = lacks(incident, d.wall)
    if incident.state != "resolved":
        missing = [f"its resolution (it is {incident.state})", *missing]
    if missing:
        raise StateError(
            f"{incident.id} cannot be closed yet, missing: {', '.join(missing)}",
            remedy="see midwatch postmortem, cases admit, and incidents waive",
        )
    close_if_done(d, incident)


def waive(d: Decision, incident: Incident, given: inputs.GrantWaiver) -> None:
    """Let an incident close without a case, for a time. Raises StateError."""
    if not given.why.strip() or not given.owner.strip():
        raise StateError("a waiver needs a reason and an owner", remedy="give both")
    if incident.state in ("closed", "merged"):
        raise StateError(
            f"{incident.id} is {incident.state}",
            remedy="a closed or merged incident needs no waiver",
        )
    if given.ends_at <= d.wall:
        raise StateError("the end of the waiver is in the past", remedy="give a later time")
    if given.ends_at - d.wall > MAX_WAIVER_S * SECOND:
        most = show_duration(MAX_WAIVER_S)
        raise StateError(
            f"a waiver lasts at most {most}", remedy="give an earlier time, and renew it then"
        )
    d.emit(
        events.WaiverGranted(
            incident=incident.id, why=given.why, owner=given.owner, ends_at=given.ends_at
        )
    )
    close_if_done(d, incident)
