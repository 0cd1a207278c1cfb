"""`midwatch release`: what is live, moving it, and what evidence says of a candidate."""

from __future__ import annotations

import math
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
from msgspec import Meta, Struct

from midwatch.cli.asking import ask
from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import dry_run_option, read_file, read_wait
from midwatch.core.values.reasons import Term
from midwatch.core.values.verdicts import ALPHA, MARGIN, Pair, Verdict, Word, judge
from midwatch.engine.queries import Moment
from midwatch.engine.served import ReleaseView, ServiceView
from midwatch.errors import BadFile, InputError

BAR = 30
CODES = {"promote": 0, "reject": 1, "inconclusive": 3}
Share = Annotated[float, Meta(ge=0, le=1)]


class _Line(Struct):
    case: str
    candidate: Share | None
    baseline: Share | None
    regression: bool = False


class Judged(Struct, frozen=True):
    """A verdict over evidence, and the line where it was reached; null when none was."""

    verdict: Word
    reason: str
    line: int | None
    rule: str
    terms: dict[str, Term]


_decode = msgspec.json.Decoder(_Line).decode


@click.group("release")
def command() -> None:
    """Judge, register, list, promote and roll back releases.

    A release is an immutable digest of code, prompt, model, index and config, with a name.
    """


@command.command("register")
@click.argument("service")
@click.argument("release")
@click.option("--digest", required=True, help="Digest of the release; it never changes.")
@click.option("--known-good", "good", is_flag=True, help="A rollback may use this release.")
@click.option("--live", is_flag=True, help="Users get this release now.")
@json_option(list[ServiceView])
@server_options
def register_command(
    service: str, release: str, digest: str, good: bool, live: bool, as_json: bool, **where: Any
) -> int:
    """Register RELEASE of SERVICE.

    Example: midwatch release register shop v2 --digest sha256:4f1e --live
    """
    given = {
        "service": service,
        "release": release,
        "digest": digest,
        "good": good,
        "live": live,
    }
    return _shown(incidents_at(**where).register(given), service, as_json)


@command.command("list")
@click.argument("service", required=False, default="")
@json_option(list[ServiceView])
@server_options
def list_command(service: str, as_json: bool, **where: Any) -> int:
    """List releases, of one service or of all."""
    return _shown(incidents_at(**where).services(), service, as_json)


@command.command("show")
@click.argument("service")
@click.argument("release")
@json_option(ReleaseView)
@server_options
def show_command(service: str, release: str, as_json: bool, **where: Any) -> int:
    """Show one release of SERVICE, and what is wrong with it."""
    found = _one(incidents_at(**where).services(), service)
    for one in found.releases:
        if one.release != release:
            continue
        if as_json:
            print_json(one)
            return 0
        part = f", {found.weight} % of users" if found.candidate == release else ""
        click.echo(f"{service} {release}: {one.standing}{', live' if one.live else part}")
        click.echo(f"  digest  {one.digest}")
        if one.last_good:
            click.echo("  a rollback goes here")
        if one.trouble:
            click.echo(f"  unhealthy: {one.trouble}")
        return 0
    known = ", ".join(one.release for one in found.releases)
    raise InputError(f"{service} has no release {release!r}", remedy=f"the releases are {known}")


@command.command("live")
@click.argument("service")
@json_option(ServiceView)
@server_options
def live_command(service: str, as_json: bool, **where: Any) -> int:
    """Print the live release of SERVICE."""
    found = _one(incidents_at(**where).services(), service)
    if as_json:
        print_json(found)
    else:
        click.echo(found.live)
    return 0


@command.command("history")
@click.argument("service")
@json_option(list[Moment])
@server_options
def history_command(service: str, as_json: bool, **where: Any) -> int:
    """Show the release history of SERVICE."""
    moments = incidents_at(**where).history(service)
    if as_json:
        print_json(moments)
        return 0
    for one in moments:
        click.echo(f"{one.at}  {one.event:<18} {one.says}")
    return 0


def _moving(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(
        (
            click.option("--why", default="", help="Reason, recorded in the history."),
            click.option(
                "--epoch",
                type=click.IntRange(0),
                help="Fail if traffic has moved since this epoch.",
            ),
            click.option(
                "--operation", default="", help="Idempotency key: the same key is executed once."
            ),
            click.option(
                "--confirm", default="", metavar="SERVICE", help="Confirm without asking."
            ),
            dry_run_option,
            click.option(
                "--wait",
                callback=read_wait,
                default="60s",
                show_default=True,
                metavar="TIME",
                help="How long to wait for the result, such as 30s or 5m.",
            ),
            json_option(ServiceView),
        )
    ):
        function = option(function)
    return server_options(function)


@command.command("rollback")
@click.argument("service")
@_moving
def rollback_command(service: str, **given: Any) -> int:
    """Roll SERVICE back to its last known good release.

    Waits until that release is served: exit 0 when it is, 1 when it is not.
    """
    return _move(service, "rollback", "", **given)


@command.command("promote")
@click.argument("service")
@click.argument("release")
@_moving
def promote_command(service: str, release: str, **given: Any) -> int:
    """Promote RELEASE of SERVICE.

    There is no canary, so --why is required. Waits until RELEASE is served: exit 0 when it is,
    1 when it is not. It is recorded as good after 15 minutes without its SLO burning.
    """
    return _move(service, "promote", release, **given)


@command.group("canary")
def canary_command() -> None:
    """Run a release on a part of live traffic."""


@canary_command.command("start", short_help="Start a canary of a release.")
@click.argument("service")
@click.argument("release")
@click.option("--why", default="", help="Reason, recorded in the history.")
@click.option("--epoch", type=click.IntRange(0), help="Fail if traffic has moved since this epoch.")
@click.option("--operation", default="", help="Idempotency key: the same key is executed once.")
@click.option("--confirm", default="", metavar="SERVICE", help="Confirm without asking.")
@dry_run_option
@click.option(
    "--wait",
    callback=read_wait,
    default="0s",
    show_default=True,
    metavar="TIME",
    help="How long to wait for the verdict, such as 30s or 5m.",
)
@json_option(ServiceView)
@server_options
def start_command(
    service: str,
    release: str,
    why: str,
    epoch: int | None,
    operation: str,
    confirm: str,
    dry_run: bool,
    wait: float,
    as_json: bool,
    **where: Any,
) -> int:
    """Start a canary: give RELEASE a first small share of the traffic of SERVICE.

    The evidence decides what follows: more traffic step by step, all of it, or none. With --wait
    exit 0 promote, 1 reject, 3 inconclusive or not decided yet.
    """
    at = incidents_at(**where)
    before = _one(at.services(), service)
    plan = f"canary {service}: a share of traffic for {release}; the rest stays on {before.live}"
    if dry_run:
        return _only_said(plan, before, as_json)
    _ask(plan, service, confirm)
    number = operation or f"canary/by-hand/{secrets.token_hex(6)}"
    given: dict[str, Any] = {"operation": number, "why": why, "release": release}
    if epoch is not None:
        given["epoch"] = epoch
    after = _one(at.move(service, "canary", given), service)
    ends_at = time.monotonic() + wait
    told = ""
    while _runs(after, number) and time.monotonic() < ends_at:
        time.sleep(0.5)
        after = _one(at.services(), service)
        says = _line(after)
        if says != told and not as_json:
            click.echo(says, err=True)
        told = says
    if as_json:
        print_json(after)
    else:
        _draw(after)
    if not wait:
        return 0
    last = after.last_canary
    return CODES[last.verdict] if last and last.operation == number else 3


@canary_command.command("status")
@click.argument("service")
@json_option(ServiceView)
@server_options
def status_command(service: str, as_json: bool, **where: Any) -> int:
    """Show the evidence of a canary against its thresholds.

    Exit 0 when the newest canary promoted or is running, 1 when it rejected, 3 when it was
    inconclusive.
    """
    found = _one(incidents_at(**where).services(), service)
    if as_json:
        print_json(found)
    else:
        _draw(found)
    last = found.last_canary
    return 0 if found.canary or last is None else CODES[last.verdict]


@command.command("abort")
@click.argument("service")
@click.option("--why", default="", help="Reason, recorded in the history.")
@click.option("--confirm", default="", metavar="SERVICE", help="Confirm without asking.")
@dry_run_option
@json_option(ServiceView)
@server_options
def abort_command(
    service: str, why: str, confirm: str, dry_run: bool, as_json: bool, **where: Any
) -> int:
    """Abort the canary of SERVICE.

    Its evidence is kept: a new canary of the same digest resumes from it. A candidate
    whose canary is over and that still gets traffic is removed as well.
    """
    at = incidents_at(**where)
    before = _one(at.services(), service)
    candidate = before.canary.release if before.canary else before.candidate
    plan = f"abort {service}: {candidate or 'any candidate'} off, all to {before.live}"
    if dry_run:
        return _only_said(plan, before, as_json)
    _ask(plan, service, confirm)
    after = _one(at.move(service, "abort", {"why": why}), service)
    if as_json:
        print_json(after)
    else:
        _draw(after)
    return 0


def _runs(found: ServiceView, operation: str) -> bool:
    return found.canary is not None and found.canary.operation == operation


def _line(found: ServiceView) -> str:
    one = found.canary
    if one is None:
        return f"{found.service}: no canary is running"
    share = f"{one.release} on {one.weight} % compared with {one.baseline}"
    return f"{found.service}: {share}, step {one.step} of {len(one.steps)}; {one.next}: {one.says}"


def _draw(found: ServiceView) -> None:
    click.echo(_line(found))
    last = found.last_canary
    if found.canary is None:
        if last is not None:
            click.echo(f"  {last.at}  {last.release}: {last.verdict}; {last.says}")
            for name, value in last.terms.items():
                click.echo(f"    {name:<28} {value}")
        return
    for one in found.canary.guards:
        mine, theirs = _share(one.good, one.total), _share(one.base_good, one.base_total)
        click.echo(f"  {one.guard}: {mine} good, baseline {theirs}, margin {one.margin:g}")
        _bar("reject", one.to_reject, one.rejects_at)
        _bar("promote", one.to_promote, one.promotes_at, done=one.cleared)
    trial = found.canary
    if trial.missed:
        click.echo(f"  {trial.missed} of {trial.blocks} blocks of time could not be read")


def _share(good: int, total: int) -> str:
    return f"{100 * good / total:.4g} % of {total}" if total else "none of 0"


def _bar(name: str, wealth: float, threshold: float, *, done: bool = False) -> None:
    """Draw a wealth from 1 to its threshold, by logarithm: what is below 1 is an empty bar."""
    part = min(max(math.log(max(wealth, 1e-9)) / math.log(threshold), 0.0), 1.0)
    filled = BAR if done else round(BAR * part)
    reached = "  reached" if done or wealth >= threshold else ""
    bar = "#" * filled + "." * (BAR - filled)
    click.echo(f"    {name:<8} [{bar}] {wealth:.4g} of {threshold:g}{reached}")


def _only_said(plan: str, now: ServiceView, as_json: bool) -> int:
    """End a dry run: the plan, and as a document what is served now."""
    click.echo(plan, err=as_json)
    if as_json:
        print_json(now)
    return 0


def _ask(plan: str, service: str, confirm: str) -> None:
    """Go on only with a person's word for this service."""
    if confirm and confirm != service:
        raise InputError(f"{confirm!r} is not {service!r}", place="--confirm", remedy=service)
    if not confirm:
        ask(f"{plan}?", f"confirm with --confirm {service}")


def _move(
    service: str,
    purpose: str,
    release: str,
    *,
    why: str,
    epoch: int | None,
    operation: str,
    confirm: str,
    dry_run: bool,
    wait: float,
    as_json: bool,
    **where: Any,
) -> int:
    at = incidents_at(**where)
    before = _one(at.services(), service)
    target = release or before.rollback_to
    if not target:
        target = f"{before.live}, for no other release is recorded as good,"
    plan = f"{purpose} {service}: {before.live} -> {target} at epoch {before.epoch + 1}"
    if dry_run:
        return _only_said(plan, before, as_json)
    _ask(plan, service, confirm)
    number = operation or f"{purpose}/by-hand/{secrets.token_hex(6)}"
    given: dict[str, Any] = {"operation": number, "why": why, "release": release}
    if epoch is not None:
        given["epoch"] = epoch
    after = _one(at.move(service, purpose, given), service)
    ends_at = time.monotonic() + wait
    while after.pending == number and time.monotonic() < ends_at:
        time.sleep(0.1)
        after = _one(at.services(), service)
    if as_json:
        print_json(after)
    elif after.done == number:
        click.echo(f"{service} serves {after.live} at epoch {after.epoch}")
    elif after.pending == number:
        click.echo(f"{service}: not confirmed after {wait:g} s; {number} continues")
    else:
        ends = (one.says for one in at.history(service) if one.event == "PointerAbandoned")
        why = ["see midwatch release history", *ends][-1]
        click.echo(f"{service} serves {after.live}: {number} had no effect; {why}")
    return 0 if after.done == number else 1


def _one(found: Sequence[ServiceView], service: str) -> ServiceView:
    for one in found:
        if one.service == service:
            return one
    remedy = "midwatch release register SERVICE RELEASE --digest DIGEST --live"
    raise InputError(f"no release of {service!r} is registered", remedy=remedy)


def _shown(found: Sequence[ServiceView], service: str, as_json: bool) -> int:
    wanted = [one for one in found if service in ("", one.service)]
    if as_json:
        print_json(wanted)
        return 0
    for one in wanted:
        moving = f", {one.pending} to {one.intended} under way" if one.pending else ""
        part = f", {one.weight} % {one.candidate}" if one.candidate else ""
        click.echo(f"{one.service}: {one.live or 'nothing'}{part} at epoch {one.epoch}{moving}")
        for release in one.releases:
            marks = ["live"] * release.live + ["last good"] * release.last_good
            marks += ["canary"] * (release.release == one.candidate)
            marks += [f"unhealthy: {release.trouble}"] * bool(release.trouble)
            told = f"  ({', '.join(marks)})" if marks else ""
            click.echo(f"  {release.release:<20} {release.standing:<9} {release.digest}{told}")
    if not wanted:
        click.echo("no releases registered")
    return 0


@command.command("judge")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.jsonl")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=MARGIN,
    show_default=True,
    help="How much worse a candidate may be.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=ALPHA,
    show_default=True,
    help="Probability of a wrong decision by chance.",
)
@json_option(Judged)
def judge_command(file: Path, margin: float, alpha: float, as_json: bool) -> int:
    """Judge a candidate against the baseline on the same cases.

    Prints promote, reject or inconclusive. FILE has a line for each case, in the order in which
    they ran; - is standard input:
    {"case": ID, "candidate": X, "baseline": X}, X in [0, 1] or null for an error, and
    "regression": true on an incident's case. Exit 0 promote, 1 reject, 3 inconclusive.

    Example: midwatch release judge evidence.jsonl --margin 0.02
    """
    verdict = judge(_read(file), margin, alpha)
    if as_json:
        print_json(_document(verdict))
    else:
        where = f" (line {verdict.line})" if verdict.line is not None else ""
        click.echo(f"{verdict.verdict}: {verdict.reason.says}{where}")
    return CODES[verdict.verdict]


def _document(verdict: Verdict) -> Judged:
    why = verdict.reason
    return Judged(verdict.verdict, why.says, verdict.line, why.rule, why.terms)


def _read(file: Path) -> list[Pair]:
    name = "<stdin>" if str(file) == "-" else str(file)
    remedy = "give a file of evidence"
    body = sys.stdin.buffer.read() if str(file) == "-" else read_file(file, remedy)
    pairs: list[Pair] = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            one = _decode(line)
        except msgspec.MsgspecError as error:
            remedy = 'write {"case": "refund-1", "candidate": 1, "baseline": 1}'
            raise BadFile(str(error), place=f"{name}:{number}", remedy=remedy) from None
        pairs.append(Pair(one.case, one.candidate, one.baseline, one.regression, number))
    return pairs
