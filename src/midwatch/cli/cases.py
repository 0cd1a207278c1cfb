"""`midwatch cases`: regression cases of incidents, from their admission to their end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import structs

from midwatch.adapters.suites import files
from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import read_incident, write_anew
from midwatch.cli.progress import shown_progress
from midwatch.cli.targets import (
    SPELLED,
    asked_as,
    make_target,
    pairs,
    suite_options,
    target_options,
)
from midwatch.core.rules.regressions import EPOCHS, NOISY_EPOCHS, admit, flakes
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.minimise import minimise
from midwatch.engine.cases import CaseStory, CaseView
from midwatch.engine.evaluating import Job, Limits, Runner
from midwatch.errors import InputError

_CASE = click.argument("case")


@click.group("cases")
def command() -> None:
    """Admit, list, export, quarantine and retire regression cases.

    With --server via the API of a running `midwatch serve`; otherwise on the file, if no server
    has it open.
    """


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Include retired and duplicate cases.")
@json_option(list[CaseView])
@server_options
def list_command(everything: bool, as_json: bool, **where: Any) -> int:
    """List the cases that guard your services."""
    found = incidents_at(**where).cases()
    wanted = [one for one in found if everything or one.state not in ("retired", "duplicate")]
    if as_json:
        print_json(wanted)
        return 0
    for one in wanted:
        runs = f", {one.least} of {counted(one.runs, 'run')}" if one.runs > 1 else ""
        state = f"{one.state}{' ' + one.why if one.why else ''}"
        click.echo(f"{one.id:<36} {one.incident:<8} {one.bad} / {one.good}{runs}  {state}")
    if not wanted:
        click.echo("no regression cases")
    return 0


@command.command("show")
@_CASE
@json_option(CaseStory)
@server_options
def show_command(case: str, as_json: bool, **where: Any) -> int:
    """Show one case: question, expectation and evidence."""
    found = incidents_at(**where).case(case)
    if as_json:
        print_json(found)
        return 0
    one = found.case
    click.echo(f"{one.id} of {one.incident}: {one.state}{' ' + one.why if one.why else ''}")
    for turn in one.case.turns:
        click.echo(f"  turn    {turn}")
    click.echo(f"  question  {one.case.question}")
    if found.original:
        click.echo(f"  was     {' / '.join(found.original.splitlines())}")
    for check in one.case.wanted:
        value = "" if check.value is None else f" {check.value!r}"
        click.echo(f"  expects {'not ' * check.negate}{check.kind}{value}")
    for side, name, digest in (
        ("bad", one.bad, one.bad_digest),
        ("good", one.good, one.good_digest),
    ):
        seen = [o.status for o in found.evidence if o.release == name]
        counts = ", ".join(f"{seen.count(s)} {s}" for s in dict.fromkeys(seen))
        click.echo(f"  {side:<7} {name} {digest}: {counts or 'no run'}")
    return 0


@command.command("blame", short_help="Show the history of one case, up to its fix.")
@_CASE
@json_option(CaseStory)
@server_options
def blame_command(case: str, as_json: bool, **where: Any) -> int:
    """Show the history of one case: incident, releases, admission, fix."""
    found = incidents_at(**where).case(case)
    if as_json:
        print_json(found)
        return 0
    for line in found.moments:
        click.echo(line)
    fix = f"{found.fix} ({found.fix_state})" if found.fix else "none"
    click.echo(f"{case}: {found.case.incident}, bad {found.case.bad}, good {found.case.good}")
    click.echo(f"fix: {fix}")
    return 0


@command.command("quarantine")
@_CASE
@click.option("--owner", required=True, help="The person who fixes the case.")
@click.option(
    "--hours",
    type=click.FloatRange(0, 24 * 366, min_open=True),
    required=True,
    help="Hours until it counts again.",
)
@click.option("--why", required=True, help="Reason, recorded in the history of the case.")
@json_option(CaseView)
@server_options
def quarantine_command(
    case: str, owner: str, hours: float, why: str, as_json: bool, **where: Any
) -> int:
    """Quarantine a flaky case: it does not count for a while.

    It still runs and is reported; when the quarantine ends the gate fails.
    """
    given = {"owner": owner, "hours": hours, "why": why}
    found = incidents_at(**where).change_case(case, "quarantine", given)
    one = _named(found, case)
    if as_json:
        print_json(one)
    else:
        click.echo(f"{one.id}: {one.state} {one.why}")
    return 0


@command.command("retire", short_help="Retire a case for good.")
@_CASE
@click.option("--why", required=True, help="Which requirement no longer applies.")
@json_option(CaseView)
@server_options
def retire_command(case: str, why: str, as_json: bool, **where: Any) -> int:
    """Retire a case for good: its requirement no longer applies."""
    found = incidents_at(**where).change_case(case, "retire", {"why": why})
    if as_json:
        print_json(_named(found, case))
    else:
        click.echo(f"{case} is retired")
    return 0


def _named(found: Sequence[CaseView], case: str) -> CaseView:
    return next(one for one in found if one.id == case)


@command.command("export", short_help="Export the cases as a suite for the gate.")
@click.option("--service", default="", help="Only cases of this service (default: all).")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Output file (default: stdout)."
)
@server_options
def export_command(service: str, out: Path | None, **where: Any) -> int:
    """Export the admitted cases as a suite for `midwatch gate`.

    The suite also lists incidents that closed without a proven case; the gate fails until they have
    one. With public_url in midwatch.yaml it has a link to each incident, for the gate's reports.
    """
    kept = incidents_at(**where).kept(service)
    waived = [{"incident": w.incident, "until": w.until, "why": w.why} for w in kept.waived]
    name = service or "regressions"
    text = files.write_kept(kept.cases, kept.held, kept.unproven, waived, kept.links, name)
    if out is None:
        click.echo(text, nl=False)
        return 0
    write_anew(out, text.encode())
    click.echo(f"{counted(len(kept.cases), 'case')} written to {out}")
    return 0


@command.command("admit", short_help="Admit a case that proves the regression.")
@click.argument("file", type=click.Path(path_type=Path))
@_CASE
@click.option(
    "--incident",
    required=True,
    metavar="INC",
    callback=read_incident,
    help="The incident that the case belongs to.",
)
@click.option("--bad", required=True, metavar="TARGET", help=f"The bad release: {SPELLED}.")
@click.option("--good", required=True, metavar="TARGET", help="The last good release.")
@click.option("--bad-digest", default="", help="Digest of the bad release.")
@click.option("--good-digest", default="", help="Digest of the good release.")
@click.option("--minimise", "smaller", is_flag=True, help="Also minimise the input.")
@json_option(CaseView)
@suite_options
@target_options
@server_options
def admit_command(
    file: Path,
    case: str,
    incident: str,
    bad: str,
    good: str,
    bad_digest: str,
    good_digest: str,
    smaller: bool,
    as_json: bool,
    kind: str | None,
    fields: Sequence[str],
    match: str,
    request: str,
    answer: str,
    headers: Sequence[str],
    variables: Sequence[str],
    concurrency: int,
    timeout: float,
    retries: int,
    **where: Any,
) -> int:
    """Admit CASE of FILE if it fails on the bad release and passes on the good one.

    Three runs per side; 16 if answers are flaky, compared with Fisher's exact test. Exit 1 when
    the case is refused.
    """
    found = [
        one for one in files.read(file, kind or "", pairs(fields, "--map"), match) if one.id == case
    ]
    if not found:
        remedy = f"midwatch eval list {file}"
        raise InputError(f"no case is named {case!r}", place=str(file), remedy=remedy)
    request, answer = asked_as([file], request, answer)
    targets = {
        side: make_target(spelled, timeout, request, answer, headers, variables)
        for side, spelled in (("bad", bad), ("good", good))
    }
    names = {"bad": bad, "good": good}
    runner = Runner(targets, names, Limits(concurrency, timeout, retries))
    click.get_current_context().call_on_close(runner.close)
    one = structs.replace(found[0], incident=incident)
    outcomes = _both(runner, one, EPOCHS)
    kept, reason = admit(one, outcomes, bad="bad", good="good")
    if kept is None and flakes(outcomes):
        outcomes = _both(runner, one, NOISY_EPOCHS)
        kept, reason = admit(one, outcomes, bad="bad", good="good")
    if kept is None:
        if as_json:
            digests = (bad_digest, good_digest)
            print_json(
                CaseView(
                    one.id,
                    "refused",
                    one.question,
                    incident,
                    bad,
                    good,
                    *digests,
                    one.runs,
                    one.least,
                    reason.says,
                    one,
                )
            )
        else:
            click.echo(f"refused: {reason.says}")
        return 1
    at = incidents_at(**where)
    offer = _offer(incident, one, outcomes, names, (bad_digest, good_digest))
    listed = at.change_case("", "", offer)
    if smaller and kept.runs == 1:
        least, proof = _smallest(runner, one)
        if least != one:
            small = _offer(incident, least, proof, names, (bad_digest, good_digest))
            listed = at.change_case("", "", {**small, "replaces": True})
    view = _named(listed, case)
    if as_json:
        print_json(view)
    else:
        more = f" ({view.why})" if view.why else ""
        click.echo(f"{view.id}: {view.state}{more}, {reason.says}")
        click.echo(f"  question  {view.case.question}")
    return 0


def _both(runner: Runner, case: Case, epochs: int) -> tuple[Outcome, ...]:
    jobs = [Job(side, case, n) for n in range(epochs) for side in ("bad", "good")]
    with shown_progress() as progress:
        found: list[Outcome] = []
        for _, outcome in runner.run(jobs):
            found.append(outcome)
            progress(len(found), len(jobs))
    return tuple(found)


def _smallest(runner: Runner, case: Case) -> tuple[Case, tuple[Outcome, ...]]:
    """Search for a smaller input that still fails on the bad side and passes on the good one."""
    search = minimise(case)
    proof: tuple[Outcome, ...] = ()
    try:
        proposed = next(search)
        while True:
            outcomes = _both(runner, proposed, EPOCHS)
            holds = admit(proposed, outcomes, bad="bad", good="good")[0] is not None
            if holds:
                proof = outcomes
            proposed = search.send(holds)
    except StopIteration as stopped:
        return stopped.value, proof


def _offer(
    incident: str,
    case: Case,
    outcomes: tuple[Outcome, ...],
    names: dict[str, str],
    digests: tuple[str, str],
) -> dict[str, Any]:
    told = [structs.replace(one, release=names[one.release]) for one in outcomes]
    return {
        "incident": incident,
        "case": msgspec.to_builtins(case),
        "bad": names["bad"],
        "good": names["good"],
        "outcomes": msgspec.to_builtins(told),
        "bad_digest": digests[0],
        "good_digest": digests[1],
    }
