"""`midwatch runbook`: what is written, what it would do, and carrying it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from midwatch import config
from midwatch.cli.asking import ask
from midwatch.cli.client import Incidents, incidents_at, server_options
from midwatch.cli.following import outcome_of
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import config_option, dry_run_option, read_incident, read_wait
from midwatch.config.runbooks import lint
from midwatch.core.values.plans import Match, Runbook, Step
from midwatch.engine.plans import PlanView, proves
from midwatch.engine.queries import Detail
from midwatch.errors import InputError, StateError

POLL_S = 0.5
_INCIDENT = click.argument("incident", callback=read_incident)
_PARAMS = click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of a parameter (repeatable).",
)
_SERVICE = click.option("--service", default="", help="Service to act on, if there are several.")


def _waiting(function: Callable[..., int]) -> Callable[..., int]:
    """Say for how long a plan is followed."""
    no_wait = click.option("--no-wait", is_flag=True, help="Do not wait for the result; exit 0.")
    wait = click.option(
        "--wait",
        callback=read_wait,
        default="30s",
        show_default=True,
        metavar="TIME",
        help="How long to wait for the result, such as 30s or 5m.",
    )
    return wait(no_wait(function))


class Weakness(Struct, frozen=True):
    """What is weak in a runbook, and what to do."""

    runbook: str
    says: str
    remedy: str


@click.group("runbook")
def command() -> None:
    """List, check, plan, approve and run runbooks.

    midwatch proposes a plan and a person approves it by its hash, unless a policy allows it.
    """


@command.command("list")
@json_option(list[Runbook])
@config_option
def list_command(folder: Path, as_json: bool) -> int:
    """List the configured runbooks, and what each matches."""
    books = config.load(folder).rules.books
    if as_json:
        print_json(books.runbooks)
        return 0
    for one in books.runbooks:
        click.echo(f"{one.id:<28} v{one.version:<3} {_match(one.match)}  ({_actions(one)})")
    if not books.runbooks:
        click.echo("no runbooks; add one to runbooks/")
    return 0


@command.command("show", short_help="Show one runbook and its text.")
@click.argument("runbook")
@json_option(Runbook)
@config_option
def show_command(runbook: str, folder: Path, as_json: bool) -> int:
    """Show one runbook: its steps, its proof of recovery, and its text."""
    books = config.load(folder).rules.books
    found = next((one for one in books.runbooks if one.id == runbook), None)
    if found is None:
        known = ", ".join(one.id for one in books.runbooks) or "none"
        raise InputError(f"no runbook is named {runbook!r}", remedy=f"use one of {known}")
    if as_json:
        print_json(found)
        return 0
    click.echo(f"{found.id} v{found.version}: {found.title}")
    click.echo(f"  matches {_match(found.match)}")
    for name, param in found.params.items():
        click.echo(f"  param   {name}, matches {param.pattern}")
    for step in found.steps:
        click.echo(f"  step    {_step(step)}")
    click.echo(f"  proves  {proves(found.verify, found.match.slo)}")
    click.echo(f"\n{found.text}")
    return 0


@command.command("lint", short_help="Check runbooks for weaknesses.")
@json_option(list[Weakness])
@config_option
def lint_command(folder: Path, as_json: bool) -> int:
    """Check the configured runbooks for weaknesses. Exit 1 when there is one.

    Errors are reported by `midwatch check`.
    """
    rules = config.load(folder).rules
    found = lint(rules.books, rules.slos)
    if as_json:
        print_json([Weakness(one.place, one.message, one.remedy) for one in found])
    else:
        for one in found:
            click.echo(str(one))
        count = len(rules.books.runbooks)
        click.echo(f"{count} runbook{'' if count == 1 else 's'}, {len(found) or 'none'} weak")
    return 1 if found else 0


@command.command("plan", short_help="Show exactly what would be done.")
@_INCIDENT
@click.option("--runbook", default="", help="Runbook to use (default: the best match).")
@_PARAMS
@_SERVICE
@json_option(PlanView)
@server_options
def plan_command(
    incident: str, runbook: str, params: Sequence[str], service: str, as_json: bool, **where: Any
) -> int:
    """Show exactly what would be done for INCIDENT now. Nothing is proposed or changed."""
    given = {"runbook": runbook, "given": _pairs(params), "dry_run": True, "service": service}
    found = incidents_at(**where).plan(incident, given)
    if as_json:
        print_json(found)
        return 0
    for line in shown(found):
        click.echo(line)
    return 0


@command.command("approve", short_help="Approve the plan with this hash.")
@_INCIDENT
@click.argument("plan_hash", metavar="[HASH]", default="")
@_waiting
@json_option(Detail)
@server_options
def approve_command(
    incident: str, plan_hash: str, wait: float, no_wait: bool, as_json: bool, **where: Any
) -> int:
    """Approve the plan with this HASH, or continue it.

    Without HASH it shows the plan that awaits approval and asks; if there are several, it lists
    their hashes.
    Waits until every step is verified: exit 0. Exit 1 when a step failed or the plan was stopped,
    3 when the result of a step is unknown, or the plan is still running.
    """
    at = incidents_at(**where)
    if not plan_hash:
        plan = _only(at.show(incident), "awaits approval", lambda one: one.asks)
        for line in shown(plan):
            click.echo(line, err=as_json)
        ask("Carry it out?", "name its hash")
        plan_hash = plan.hash
    detail = at.tell(incident, "approve", {"hash": plan_hash})
    return _follow(at, detail, plan_hash, as_json=as_json, wait_s=0 if no_wait else wait)


@command.command("refuse", short_help="Refuse the plan with this hash.")
@_INCIDENT
@click.argument("plan_hash", metavar="[HASH]", default="")
@click.option("--why", required=True, help="Reason, for the timeline.")
@json_option(Detail)
@server_options
def refuse_command(incident: str, plan_hash: str, why: str, as_json: bool, **where: Any) -> int:
    """Refuse the plan with this HASH, without it the only one that awaits approval.

    The next matching runbook is proposed.
    """
    if not why.strip():
        raise click.BadParameter("the reason is empty", param_hint="--why")
    at = incidents_at(**where)
    if not plan_hash:
        plan_hash = _only(at.show(incident), "awaits approval", lambda one: one.asks).hash
    detail = at.tell(incident, "refuse", {"hash": plan_hash, "why": why.strip()})
    if as_json:
        print_json(detail)
        return 0
    click.echo(f"{plan_hash} is refused; " + _next(detail))
    return 0


@command.command("stop", short_help="Stop a running plan.")
@_INCIDENT
@click.argument("plan_hash", metavar="[HASH]", default="")
@click.option("--why", required=True, help="Reason, for the timeline.")
@json_option(Detail)
@server_options
def stop_command(incident: str, plan_hash: str, why: str, as_json: bool, **where: Any) -> int:
    """Stop the running plan of INCIDENT; with HASH only that one.

    The current step finishes first; no further step starts. Then it prints what was done.
    """
    if not why.strip():
        raise click.BadParameter("the reason is empty", param_hint="--why")
    at = incidents_at(**where)
    if not plan_hash:
        plan_hash = _only(at.show(incident), "is in progress", lambda one: one.is_under_way).hash
    detail = at.tell(incident, "stop", {"hash": plan_hash, "why": why.strip()})
    if as_json:
        print_json(detail)
        return 0
    plan = next((one for one in detail.plans if one.hash == plan_hash), None)
    under_way = next((s.step for s in plan.steps if s.state == "under way"), "") if plan else ""
    if under_way:
        click.echo(f"{under_way} is running and finishes first; no further step starts")
        return 0
    stops = [m for m in detail.timeline if m.event == "PlanStopped"]
    says = (m.says for m in reversed(stops) if m.plan == plan_hash)
    click.echo(f"{next(says, 'the plan is stopped')}; " + _next(detail))
    return 0


@command.command("run", short_help="Plan a runbook for an incident, and run it.")
@_INCIDENT
@click.argument("runbook")
@_PARAMS
@_SERVICE
@dry_run_option
@click.option("--yes", is_flag=True, help="Confirm without asking.")
@_waiting
@json_option(Detail)
@server_options
def run_command(
    incident: str,
    runbook: str,
    params: Sequence[str],
    service: str,
    dry_run: bool,
    yes: bool,
    wait: float,
    no_wait: bool,
    as_json: bool,
    **where: Any,
) -> int:
    """Plan RUNBOOK for INCIDENT, show the plan, ask, and run it.

    Only the plan that was shown is run: its hash is approved. Exit codes are those of `approve`.
    """
    given = {"runbook": runbook, "given": _pairs(params), "service": service}
    at = incidents_at(**where)
    found = at.plan(incident, {**given, "dry_run": True})
    for line in shown(found):
        click.echo(line, err=as_json)
    if dry_run:
        if as_json:
            print_json(at.show(incident))
        return 0
    if not yes:
        ask("Run this plan?", "confirm with --yes")
    at.plan(incident, given)
    detail = at.tell(incident, "approve", {"hash": found.hash})
    return _follow(at, detail, found.hash, as_json=as_json, wait_s=0 if no_wait else wait)


def _only(detail: Detail, what: str, fits: Callable[[PlanView], bool]) -> PlanView:
    """Give the only plan that fits. Raises StateError that names each of several."""
    found, name = [one for one in detail.plans if fits(one)], detail.incident.id
    if len(found) == 1:
        return found[0]
    if not found:
        remedy = f"see midwatch incidents show {name}"
        raise StateError(f"no plan of {name} {what}", remedy=remedy)
    names = ", ".join(f"{one.hash} ({one.runbook} for {one.service})" for one in found)
    says = f"{len(found)} plans of {name} {what.replace('awaits', 'await').replace('is ', 'are ')}"
    raise StateError(f"{says}: {names}", remedy="name one by its hash")


def shown(plan: PlanView) -> Iterable[str]:
    """Tell a plan."""
    about = f" for {plan.service}" if plan.service else ""
    yield f"{plan.incident}: {plan.runbook} v{plan.version}{about}, plan {plan.hash}, {plan.state}"
    for number, step in enumerate(plan.steps, start=1):
        state = "" if step.state == "open" else f"  [{step.state}]"
        yield f"  {number}. {step.step}: {step.says}{state}"
        yield f"     {step.risk}; {step.approval}"
    yield f"  recovery is proven when: {plan.proves}"
    if plan.approved_by:
        yield f"  approved by {plan.approved_by}"
    if plan.recovery:
        yield f"  recovery: {plan.recovery}"
    if plan.automatic:
        yield f"  {plan.automatic}"


def _follow(at: Incidents, detail: Detail, plan_hash: str, *, as_json: bool, wait_s: float) -> int:
    """Follow a run until no step is under way, or for a while, and tell each as it is over."""
    told, until = 0, time.monotonic() + wait_s
    while True:
        run = outcome_of(detail, plan_hash)
        if not as_json:
            for step in run.done[told:]:
                click.echo(f"done: {step}")
            told = len(run.done)
        if run.is_over or time.monotonic() >= until:
            break
        time.sleep(min(POLL_S, max(until - time.monotonic(), 0)))
        detail = at.show(detail.incident.id)
    if as_json:
        print_json(detail)
    else:
        if run.failed:
            click.echo(f"failed: {run.failed}")
        click.echo(_next(detail))
    return run.code if wait_s else 0


def _next(detail: Detail) -> str:
    """Say what is waited for now."""
    plan, name = detail.plan, detail.incident.id
    if plan is None:
        return detail.no_runbook or f"{name} is {detail.incident.state}"
    match plan.state:
        case "verifying":
            return f"all steps are done; {name} is mitigated when {plan.proves}"
        case "proposed":
            about = f" for {plan.service}" if plan.service else ""
            return f"{plan.runbook}{about} is proposed: midwatch runbook approve {name} {plan.hash}"
        case "waiting":
            says = next((s.says for s in plan.steps if s.state == "waiting"), "a question")
            return f"waiting for a person: {says}; midwatch runbook approve {name} {plan.hash}"
        case "running":
            return f"{plan.runbook} is running: midwatch incidents show {name}"
        case _:
            says = detail.no_runbook or f"{name} is {detail.incident.state}"
            return f"{plan.runbook} ended; {says}"


def _match(match: Match) -> str:
    parts = [match.slo, *(one.says for one in match.labels)]
    if match.cause:
        parts.append(f"cause {match.cause}")
    return ", ".join(part for part in parts if part)


def _actions(book: Runbook) -> str:
    return ", ".join(dict.fromkeys(step.action for step in book.steps))


def _step(step: Step) -> str:
    given = ", ".join(f"{name}={value}" for name, value in step.given.items())
    return f"{step.id}: {step.action}{' ' + given if given else ''} ({step.risk})"


def _pairs(params: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in params:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
        found[name] = value
    return found
