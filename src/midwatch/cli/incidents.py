"""`midwatch incidents`: look at incidents and answer them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import read_incident, read_number, read_time
from midwatch.cli.runbook import shown
from midwatch.core.inputs import MAX_SNOOZE_MIN
from midwatch.core.sli import FailedAnswer
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
        raise click.BadParameter("it is blank; say what ended it")
    return given.strip()


@click.group("incidents")
def command() -> None:
    """List, show, take, hand over, put off, merge, split, explain, resolve and close incidents.

    With --server over the API of a running `midwatch serve`; else on the file, when nobody owns it.
    """


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@click.option("--owed", is_flag=True, help="Those that are resolved and not closed.")
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
        click.echo("nothing is owed" if owed else f"no {'' if everything else 'open '}incidents")
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
    """Tell one incident: what happened, when, and why."""
    return _told(incidents_at(**where).show(incident), as_json)


@command.command("ack")
@_ID
@json_option(Detail)
@server_options
def ack_command(incident: str, as_json: bool, **where: Any) -> int:
    """Take an incident: all paging of it stops."""
    return _told(incidents_at(**where).tell(incident, "ack", {}), as_json)


@command.command("unack")
@_ID
@json_option(Detail)
@server_options
def unack_command(incident: str, as_json: bool, **where: Any) -> int:
    """Give an incident back: people are paged anew."""
    return _told(incidents_at(**where).tell(incident, "unack", {}), as_json)


@command.command("reassign")
@_ID
@click.option("--to", required=True, metavar="NAME", help="A person, or a schedule.")
@json_option(Detail)
@server_options
def reassign_command(incident: str, to: str, as_json: bool, **where: Any) -> int:
    """Hand an incident to somebody else, who is paged."""
    return _told(incidents_at(**where).tell(incident, "reassign", {"to": to}), as_json)


@command.command("snooze", short_help="Take an incident for a while.")
@_ID
@click.option(
    "--minutes",
    type=click.FloatRange(0, MAX_SNOOZE_MIN, min_open=True),
    callback=read_number,
    default=30.0,
    show_default=True,
    help="For how long, at most 30 days.",
)
@json_option(Detail)
@server_options
def snooze_command(incident: str, minutes: float, as_json: bool, **where: Any) -> int:
    """Take an incident for a while; if it is not over then, people are paged anew."""
    return _told(incidents_at(**where).tell(incident, "snooze", {"minutes": minutes}), as_json)


@command.command("resolve")
@_ID
@click.option(
    "--why", required=True, callback=_said, help="What ended it; it stands in the timeline."
)
@json_option(Detail)
@server_options
def resolve_command(incident: str, why: str, as_json: bool, **where: Any) -> int:
    """Say that an incident is over. Where an objective is measured, only its SLI can say so."""
    return _told(incidents_at(**where).tell(incident, "resolve", {"why": why}), as_json)


@command.command("close")
@_ID
@json_option(Detail)
@server_options
def close_command(incident: str, as_json: bool, **where: Any) -> int:
    """Close a resolved incident, or say what it lacks."""
    return _told(incidents_at(**where).tell(incident, "close", {}), as_json)


@command.command("waive", short_help="Let an incident close without a case, for a time.")
@_ID
@click.option("--why", required=True, callback=_said, help="Why no case can be made of it.")
@click.option("--owner", required=True, help="Whose word that is.")
@click.option(
    "--until", required=True, callback=read_time, metavar="TIME",
    help="When it ends: 2026-12-31T00:00:00Z.",
)  # fmt: skip
@json_option(Detail)
@server_options
def waive_command(
    incident: str, why: str, owner: str, until: int, as_json: bool, **where: Any
) -> int:
    """Let an incident close without a regression case, for a time.

    The gate accepts it until it ends, and is red from then on.
    """
    given = {"why": why, "owner": owner, "ends_at": until}
    return _told(incidents_at(**where).tell(incident, "waive", given), as_json)


@command.command("merge")
@_ID
@click.argument("into", callback=read_incident)
@json_option(Detail)
@server_options
def merge_command(incident: str, into: str, as_json: bool, **where: Any) -> int:
    """Say that an incident is the same as another.

    INTO goes on with its alerts and tickets; midwatch incidents undo takes it back.
    """
    return _told(incidents_at(**where).tell(incident, "merge", {"into": into}), as_json)


@command.command("split")
@_ID
@click.option("--service", "services", multiple=True, help="Its alerts; may stand again.")
@click.option("--alert", "alerts", multiple=True, metavar="FINGERPRINT", help="This alert.")
@json_option(Detail)
@server_options
def split_command(
    incident: str, services: tuple[str, ...], alerts: tuple[str, ...], as_json: bool, **where: Any
) -> int:
    """Make a second incident out of some of its alerts."""
    if not services and not alerts:
        raise click.UsageError("say what is another problem: --service or --alert")
    given = {"services": list(services), "alerts": list(alerts)}
    return _told(incidents_at(**where).tell(incident, "split", given), as_json)


@command.command("undo")
@_ID
@json_option(Detail)
@server_options
def undo_command(incident: str, as_json: bool, **where: Any) -> int:
    """Take back the last merge or split of an incident."""
    return _told(incidents_at(**where).tell(incident, "undo", {}), as_json)


@command.command("explain")
@click.argument("alert")
@json_option(AlertPlace)
@server_options
def explain_command(alert: str, as_json: bool, **where: Any) -> int:
    """Say why an alert is in its incident.

    ALERT is its fingerprint, or its name: then the newest one of that name is told.
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
    yield f"  {one.fingerprint}, fires since {one.started_at}; came at {one.at}"
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
        yield f"  nobody is paged for it: {one.muted}"
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
    yield from (f"fires: {name}" for name in detail.firing)
    yield from (f"says: {text}" for text in detail.texts[:SHOWN])
    if len(detail.texts) > SHOWN:
        yield f"says: {counted(len(detail.texts) - SHOWN, 'thing')} more"
    yield from (f"see: {link}" for link in detail.links)
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
    yield from (f"lacks: {one}" for one in detail.lacks)
    if detail.incident.state == "resolved" and not detail.lacks:
        name = detail.incident.id
        yield f"lacks nothing: closes within an hour, or now by midwatch incidents close {name}"
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
    taken = f"  {one.acknowledged_by} has it" if one.acknowledged_by else ""
    until = f" until {one.snoozed_until}" if one.snoozed_until else ""
    taken = "  EVERYBODY WAS PAGED, NOBODY ANSWERED" if one.exhausted else taken
    severity = one.severity or "-"
    asks = one.asks if one.state in ("open", "acknowledged") else 0
    plan = "  A PLAN WAITS FOR YOU" if asks == 1 else f"  {asks} PLANS WAIT FOR YOU" if asks else ""
    taken = f"  into {one.merged_into}" if one.merged_into else taken
    fire = (
        f"{one.firing} of {counted(one.alerts, 'alert')} {'fires' if one.alerts == 1 else 'fire'}"
    )
    fire = fire if one.alerts or not one.slo else f"{one.slo} burned, no alert"
    title = cut(one.title, LONGEST_TITLE)
    return f"{one.id:<8} {severity:<5} {one.state:<13} {title}  ({fire}){taken}{until}{plan}"
