"""`midwatch incidents`: look at incidents and answer them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import read_incident, read_number, read_time
from midwatch.cli.runbook import shown
from midwatch.core.state.inputs import MAX_SNOOZE_MIN
from midwatch.core.values.sli import FailedAnswer
from midwatch.engine.placement import AlertPlace
from midwatch.engine.queries import Detail, Summary
from midwatch.texts import cut

SHOWN = 5  # things that its alerts say
LONGEST_TITLE = 200
LONGEST = 500  # characters of a line; --json has them whole
_ID = click.argument("incident", callback=read_incident)


def _said(_: click.Context, option: click.Parameter, given: str) -> str:
    """Refuse a reason that says nothing."""
    if not given.strip():
        raise click.BadParameter("the reason is empty; write what ended the incident")
    return given.strip()


@click.group("incidents")
def command() -> None:
    """List, acknowledge, snooze, reassign, merge, split, resolve and close incidents.

    With --server via the API of a running `midwatch serve`; otherwise on the file, if no server
    has it open.
    """


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Include incidents that are over.")
@click.option("--owed", is_flag=True, help="Only resolved incidents that are not closed.")
@json_option(list[Summary])
@server_options
def list_command(everything: bool, owed: bool, as_json: bool, **where: Any) -> int:
    """List incidents, worst first."""
    incidents = incidents_at(**where)
    found = incidents.owed() if owed else incidents.all(everything=everything)
    if as_json:
        print_json(found)
        return 0
    if not found:
        click.echo(
            "no incidents are waiting to be closed"
            if owed
            else f"no {'' if everything else 'open '}incidents"
        )
    for one in found:
        click.echo(_line(one))
    left = [] if owed or everything else incidents.owed()
    if left:
        named = ", ".join(one.id for one in left[:SHOWN]) + (", ..." if left[SHOWN:] else "")
        click.echo(f"resolved and not closed: {len(left)} ({named}); --owed lists them")
    return 0


@command.command("show")
@_ID
@json_option(Detail)
@server_options
def show_command(incident: str, as_json: bool, **where: Any) -> int:
    """Show one incident: what happened, when, and why."""
    return _told(incidents_at(**where).show(incident), as_json)


@command.command("ack")
@_ID
@json_option(Detail)
@server_options
def ack_command(incident: str, as_json: bool, **where: Any) -> int:
    """Acknowledge an incident: paging for it stops."""
    return _told(incidents_at(**where).tell(incident, "ack", {}), as_json)


@command.command("unack")
@_ID
@json_option(Detail)
@server_options
def unack_command(incident: str, as_json: bool, **where: Any) -> int:
    """Take back an acknowledgement: people are paged again."""
    return _told(incidents_at(**where).tell(incident, "unack", {}), as_json)


@command.command("reassign")
@_ID
@click.option("--to", required=True, metavar="NAME", help="Person or schedule to page.")
@json_option(Detail)
@server_options
def reassign_command(incident: str, to: str, as_json: bool, **where: Any) -> int:
    """Reassign an incident to someone else, who is paged."""
    return _told(incidents_at(**where).tell(incident, "reassign", {"to": to}), as_json)


@command.command("snooze", short_help="Snooze an incident.")
@_ID
@click.option(
    "--minutes",
    type=click.FloatRange(0, MAX_SNOOZE_MIN, min_open=True),
    callback=read_number,
    default=30.0,
    show_default=True,
    help="Duration in minutes, at most 30 days.",
)
@json_option(Detail)
@server_options
def snooze_command(incident: str, minutes: float, as_json: bool, **where: Any) -> int:
    """Acknowledge an incident for a while; people are paged again if it is not over by then."""
    return _told(incidents_at(**where).tell(incident, "snooze", {"minutes": minutes}), as_json)


@command.command("resolve")
@_ID
@click.option("--why", required=True, callback=_said, help="What ended it, for the timeline.")
@json_option(Detail)
@server_options
def resolve_command(incident: str, why: str, as_json: bool, **where: Any) -> int:
    """Resolve an incident. If its SLO is measured, only the SLI can do that."""
    return _told(incidents_at(**where).tell(incident, "resolve", {"why": why}), as_json)


@command.command("close")
@_ID
@json_option(Detail)
@server_options
def close_command(incident: str, as_json: bool, **where: Any) -> int:
    """Close a resolved incident, or list what is missing."""
    return _told(incidents_at(**where).tell(incident, "close", {}), as_json)


@command.command("waive", short_help="Waive the regression case until a date.")
@_ID
@click.option("--why", required=True, callback=_said, help="Why there can be no regression case.")
@click.option("--owner", required=True, help="The person responsible for the waiver.")
@click.option(
    "--until",
    required=True,
    callback=read_time,
    metavar="TIME",
    help="End of the waiver: 2026-12-31T00:00:00Z.",
)
@json_option(Detail)
@server_options
def waive_command(
    incident: str, why: str, owner: str, until: int, as_json: bool, **where: Any
) -> int:
    """Waive the regression case of an incident until a date.

    The gate accepts the waiver until it ends, and fails after that.
    """
    given = {"why": why, "owner": owner, "ends_at": until}
    return _told(incidents_at(**where).tell(incident, "waive", given), as_json)


@command.command("merge")
@_ID
@click.argument("into", callback=read_incident)
@json_option(Detail)
@server_options
def merge_command(incident: str, into: str, as_json: bool, **where: Any) -> int:
    """Merge an incident into another one.

    INTO gets its alerts and tickets; `midwatch incidents undo` reverses it.
    """
    return _told(incidents_at(**where).tell(incident, "merge", {"into": into}), as_json)


@command.command("split")
@_ID
@click.option(
    "--service",
    "services",
    multiple=True,
    help="Split off the alerts of this service (repeatable).",
)
@click.option(
    "--alert",
    "alerts",
    multiple=True,
    metavar="FINGERPRINT",
    help="Split off this alert (repeatable).",
)
@json_option(Detail)
@server_options
def split_command(
    incident: str, services: tuple[str, ...], alerts: tuple[str, ...], as_json: bool, **where: Any
) -> int:
    """Split some alerts off into a new incident."""
    if not services and not alerts:
        raise click.UsageError("choose what to split off with --service or --alert")
    given = {"services": list(services), "alerts": list(alerts)}
    return _told(incidents_at(**where).tell(incident, "split", given), as_json)


@command.command("undo")
@_ID
@json_option(Detail)
@server_options
def undo_command(incident: str, as_json: bool, **where: Any) -> int:
    """Undo the last merge or split of an incident."""
    return _told(incidents_at(**where).tell(incident, "undo", {}), as_json)


@command.command("explain")
@click.argument("alert")
@json_option(AlertPlace)
@server_options
def explain_command(alert: str, as_json: bool, **where: Any) -> int:
    """Explain why an alert is in its incident.

    ALERT is a fingerprint or a name; of several alerts with that name the newest is shown.
    """
    found = incidents_at(**where).alert(alert)
    if as_json:
        print_json(found)
        return 0
    for line in _explained(found):
        click.echo(line)
    return 0


def _explained(one: AlertPlace) -> Iterable[str]:
    why, terms = one.why, one.why.terms
    yield f"{one.name or 'alert'} on {one.service or 'unknown service'}, {one.level}"
    yield f"  {one.fingerprint}, firing since {one.started_at}; received at {one.at}"
    yield f"  is in {one.incident}: {why.says}"
    if "score" in terms:
        yield (
            f"  score {terms['score']} against a threshold of {terms.get('threshold')}:"
            f" {terms.get('relation_value')} ({terms.get('relation')}) x {terms.get('freshness')}"
            f" fresh at {terms.get('age_s')} s + {terms.get('same_moment')} same moment"
            f" + {terms.get('crowd')} crowd"
        )
    if why.runner_up:
        margin = f", {terms['margin']} behind" if "margin" in terms else ""
        yield f"  next best was {why.runner_up}{margin}"
    for moved in one.moved:
        yield f"  moved {moved}"
    if one.muted:
        yield f"  pages nobody: {one.muted}"
    yield f"  rule {why.rule}"


def _told(detail: Detail, as_json: bool) -> int:
    if as_json:
        print_json(detail)
        return 0
    click.echo(_line(detail.incident))
    for line in (*_what(detail), *_so_far(detail)):
        click.echo(f"  {cut(line, LONGEST)}")
    return 0


def _what(detail: Detail) -> Iterator[str]:
    """Tell what is wrong, and why."""
    yield from (f"firing: {name}" for name in detail.firing)
    yield from (f"summary: {text}" for text in detail.texts[:SHOWN])
    if len(detail.texts) > SHOWN:
        yield f"summary: {len(detail.texts) - SHOWN} more"
    yield from (f"runbook: {link}" for link in detail.links)
    for cause in detail.causes[:3]:
        yield f"cause: {cause.service or 'unknown service'}, {cause.why}"
    if detail.again:
        yield f"AGAIN: {detail.again}"
    yield from (f"failed: {_failed(one)}" for one in detail.failures)


def _so_far(detail: Detail) -> Iterator[str]:
    """Tell what was done about it, what is left to do, and everything that happened."""
    for plan in detail.plans:
        yield from shown(plan)
    if not detail.plans and detail.no_runbook:
        yield f"no plan: {detail.no_runbook}"
    if detail.waits:
        yield detail.waits
    yield from (f"missing: {one}" for one in detail.lacks)
    if detail.incident.state == "resolved" and not detail.lacks:
        name = detail.incident.id
        yield f"nothing missing: closes within an hour, or now with midwatch incidents close {name}"
    if detail.pruned:
        yield f"{counted(detail.pruned, 'earlier event')} pruned"
    for moment in detail.timeline:
        says = f"  {moment.says}" if moment.says else ""
        yield f"{moment.at}  {moment.event:<22}{says}"


def _failed(one: FailedAnswer) -> str:
    asked = f" to {one.question!r}" if one.question else ""
    answered = f": {one.answer!r}" if one.answer else ""
    wanted = f", not {one.expected!r}" if one.expected else ""
    return f"{one.id}{asked}{answered}{wanted}"


def _line(one: Summary) -> str:
    taken = f"  acknowledged by {one.acknowledged_by}" if one.acknowledged_by else ""
    until = f" until {one.snoozed_until}" if one.snoozed_until else ""
    if one.exhausted:
        paged = "NO PAGER ACCEPTED A PAGE" if one.unreached else "EVERYONE WAS PAGED"
        taken = f"  {paged}, NO ONE ACKNOWLEDGED"
    severity = one.severity or "-"
    asks = one.asks if one.state in ("open", "acknowledged") else 0
    waits = "PLAN AWAITING APPROVAL" if asks == 1 else f"{asks} PLANS AWAITING APPROVAL"
    plan = f"  {waits}" if asks else ""
    taken = f"  into {one.merged_into}" if one.merged_into else taken
    fire = f"{one.firing} of {counted(one.alerts, 'alert')} firing"
    fire = fire if one.alerts or not one.slo else f"{one.slo} burned, no alert"
    title = cut(one.title, LONGEST_TITLE)
    return f"{one.id:<8} {severity:<5} {one.state:<13} {title}  ({fire}){taken}{until}{plan}"
