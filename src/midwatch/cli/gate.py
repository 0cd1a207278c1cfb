"""`midwatch gate`: whether a candidate may be shipped, beside a baseline of the same job."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from midwatch.cli import joblog
from midwatch.cli.output import counted, json_option, on_one_line, print_json
from midwatch.cli.progress import shown_progress
from midwatch.cli.targets import (
    SPELLED,
    asked_as,
    chosen,
    judge_named,
    make_opinion,
    make_target,
    pairs,
    suite_options,
    target_options,
)
from midwatch.core.values.clock import parse_time
from midwatch.core.values.evals import Case
from midwatch.core.values.gate import MARGIN, Gate, Settings
from midwatch.core.values.gate_report import Report, report
from midwatch.engine.evaluating import Limits, Runner
from midwatch.engine.gating import (
    HISTORY_DAYS,
    Quarantined,
    keep_history,
    members,
    play,
    read_history,
)
from midwatch.errors import BadFile, InputError
from midwatch.yaml_nodes import Problems, read_yaml

SHOWN = 20


@click.command("gate")
@click.option(
    "--suite",
    "suites",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Cases in any supported format (repeatable).",
)
@click.option("--candidate", default="", metavar="TARGET", help=f"{SPELLED}.")
@click.option("--baseline", default="", metavar="TARGET", help="The release that users have now.")
@click.option(
    "--filter",
    "wanted",
    multiple=True,
    metavar="TEXT",
    help="Only cases whose id or slice contains TEXT.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=MARGIN,
    show_default=True,
    help="Allowed drop of the mean pass rate.",
)
@click.option("--budget", type=click.IntRange(0), default=0, help="Maximum number of calls.")
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Past results of the baseline; used for screening, and extended by this run.",
)
@click.option(
    "--history-days",
    type=click.IntRange(1, 3_650),
    default=HISTORY_DAYS,
    show_default=True,
    help="How many days of history count.",
)
@click.option(
    "--quarantine",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="YAML list of quarantined cases: case, owner, until, why.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Store each result here; an interrupted run resumes from it.",
)
@click.option(
    "--candidate-digest",
    default="",
    help="Digest of the candidate; results of the same digest are reused.",
)
@click.option(
    "--baseline-digest",
    default="",
    help="Digest of the baseline; results of the same digest are reused.",
)
@click.option(
    "--inconclusive",
    type=click.Choice(("fail", "warn")),
    default="fail",
    show_default=True,
    help="Exit code for an inconclusive result: 3 for fail, 0 for pass.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a JUnit XML report."
)
@click.option(
    "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a Markdown report."
)
@click.option(
    "--judge-url", default="", help="Model server for checks of kind judge: https://HOST/v1."
)
@click.option(
    "--judge-model", default="default", show_default=True, help="Name of the judge model."
)
@click.option(
    "--shift",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Score the --report of a drill instead of cases.",
)
@json_option(Report)
@suite_options
@target_options
def command(as_json: bool, shift: Path | None, **given: Any) -> int:
    """Check whether a candidate may ship.

    Runs the cases on candidate and baseline: pass 0, regression 1, config or harness error 2,
    inconclusive 3. The case of an incident is never averaged; other cases are repeated until
    noise and regression can be separated. The last line has the verdict and the exit code.

    Example: midwatch gate --suite cases.yaml --candidate http://127.0.0.1:8702/ask
    --baseline http://127.0.0.1:8701/ask
    """
    found = _shift(shift) if shift is not None else _gate(**given)
    _write(found, given["junit"], given["markdown"])
    if as_json:
        print_json(found)
    else:
        _print(found)
    return found.code


def _gate(
    *,
    suites: Sequence[Path],
    candidate: str,
    baseline: str,
    wanted: Sequence[str],
    margin: float,
    budget: int,
    history: Path | None,
    history_days: int,
    quarantine: Path | None,
    results: Path | None,
    candidate_digest: str,
    baseline_digest: str,
    inconclusive: str,
    judge_url: str,
    judge_model: str,
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
    **_: Any,
) -> Report:
    for name, value in (("--suite", suites), ("--candidate", candidate), ("--baseline", baseline)):
        if not value:
            raise InputError(
                "this option is required", place=name, remedy="see midwatch gate --help"
            )
    cases = chosen(_read(suites, kind, fields, match), wanted)
    now = int(time.time() * 1_000)
    unproven = _unproven(suites, now)
    by_id = {case.id: case for case in cases}
    held = [*_held(suites, {case.id for case in cases}), *_quarantined(quarantine)]
    told = members(cases, held, now)
    before = read_history(history, cases, now, history_days) if history else {}
    gate = Gate(told, before, Settings(margin, budget), unproven)
    request, answer = asked_as(suites, request, answer)
    ask = (timeout, request, answer, headers, variables)
    targets = {
        "candidate": make_target(candidate, *ask),
        "baseline": make_target(baseline, *ask),
    }
    digests = {
        "candidate": candidate_digest or f"{candidate}@{now if results is None else 'run'}",
        "baseline": baseline_digest or f"{baseline}@{now if results is None else 'run'}",
    }
    opinion = make_opinion(judge_url, judge_model, timeout)
    limits = Limits(concurrency, timeout, retries)
    reuse = bool(candidate_digest and baseline_digest)
    runner = Runner(
        targets,
        digests,
        limits,
        results=results,
        opinion=opinion,
        judge=judge_named(judge_url, judge_model),
        reuse=reuse,
    )
    try:
        with shown_progress() as progress:
            verdict, examples = play(gate, by_id, runner, progress)
        runner.finish()
    finally:
        runner.close()
    if history is not None:
        keep_history(history, gate, by_id, now)
    names = (candidate, baseline)
    links = _links(suites)
    return report(gate, verdict, by_id, examples, names, links, warn=inconclusive == "warn")


def _read(
    suites: Sequence[Path], kind: str | None, fields: Sequence[str], match: str
) -> list[Case]:
    from midwatch.adapters.suites import files

    found: dict[str, Case] = {}
    for file in suites:
        for case in files.read(file, kind or "", pairs(fields, "--map"), match):
            known = found.get(case.id)
            if known is not None and not _is_kept(known, case):
                remedy = "give each case a unique id across all suites"
                raise BadFile(f"{case.id!r} is in two suites", place=str(file), remedy=remedy)
            if known is None or case.incident:
                found[case.id] = case
    return list(found.values())


def _is_kept(one: Case, other: Case) -> bool:
    """Say whether one is the other as an incident keeps it: the same question, the same answer."""

    def asks(case: Case) -> Case:
        same = {"incident": "", "slices": (), "runs": 1, "least": 1, "expect": ""}
        return replace(case, **same, checks=case.wanted)

    return bool(one.incident) != bool(other.incident) and asks(one) == asks(other)


def _links(suites: Sequence[Path]) -> dict[str, str]:
    """Read where the suites say that their incidents are shown."""
    from midwatch.adapters.suites import files

    return {name: link for file in suites for name, link in files.links(file).items()}


def _unproven(suites: Sequence[Path], now: int) -> list[str]:
    """List the incidents without a proven case: those whose waiver is over are among them."""
    from midwatch.adapters.suites import files

    found = [one for file in suites for one in files.unproven(file)]
    for file in suites:
        for incident, until, _ in files.waived(file):
            if _moment(until, f"waiver of {incident}", file) <= now:
                found.append(f"{incident} (its waiver is over)")
    return found


def _moment(text: str, what: str, file: Path) -> int:
    try:
        return parse_time(text)
    except ValueError:
        says = f"{what}: {text!r} is not a time"
        raise BadFile(says, place=str(file), remedy="write 2026-12-31T00:00:00Z") from None


def _held(suites: Sequence[Path], kept: set[str]) -> list[Quarantined]:
    """Read the quarantines that stand in the suites themselves."""
    from midwatch.adapters.suites import files

    found: list[Quarantined] = []
    for file in suites:
        for case, owner, until, why in files.quarantined(file):
            ends_at = _moment(until, f"quarantine of {case}", file)
            if case in kept:
                found.append(Quarantined(case, owner, ends_at, why))
    return found


def _quarantined(file: Path | None) -> list[Quarantined]:
    if file is None:
        return []
    problems = Problems()
    found: list[Quarantined] = []
    for node in read_yaml(file, problems).items():
        words = ("case", "owner", "until", "why")
        node.keys(*words, required=words)
        text = {word: node.child(word).text() for word in words}
        until = 0
        try:
            until = parse_time(text["until"])
        except ValueError:
            node.child("until").error(f"got {text['until']!r}", "write 2026-12-31T00:00:00Z")
        found.append(Quarantined(text["case"], text["owner"], until, text["why"]))
    if problems.found:
        raise problems.in_order()[0]
    return found


class _Check(msgspec.Struct):
    name: str
    passed: bool
    why: str = ""


class _Drill(msgspec.Struct):
    checks: list[_Check]
    scenario: str = ""


def _shift(file: Path) -> Report:
    """Score a drill's report: each check blocks."""
    try:
        drill = msgspec.json.decode(file.read_bytes(), type=_Drill)
    except OSError as error:
        says = f"cannot be read: {error.strerror or error}"
        remedy = "create it with midwatch drill --report FILE"
        raise InputError(says, place=str(file), remedy=remedy) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "create it with midwatch drill --report FILE"
        raise BadFile(f"not a valid report: {error}", place=str(file), remedy=remedy) from None
    from midwatch.core.values.gate_report import CaseLine

    failed = [one for one in drill.checks if not one.passed]
    verdict, code = ("regression", 1) if failed else ("pass", 0)
    says = f"{len(drill.checks) - len(failed)} of {len(drill.checks)} checks passed"
    if not drill.checks:
        verdict, code, says = "error", 2, "the report has no checks"
    lines = [
        CaseLine(
            one.name,
            "passed" if one.passed else "failed",
            int(one.passed),
            int(not one.passed),
            0,
            0,
            0,
            why=one.why,
        )
        for one in sorted(drill.checks, key=lambda one: one.passed)
    ]
    blamed = [f"{one.name}: {one.why}" for one in failed]
    return Report(
        verdict,
        code,
        says,
        drill.scenario or file.name,
        "what should come of it",
        len(drill.checks),
        0,
        0.0,
        None,
        None,
        blamed,
        [],
        lines,
    )


def _write(found: Report, junit: Path | None, markdown: Path | None) -> None:
    from midwatch.adapters.reports import junit as xml
    from midwatch.adapters.reports import markdown as text

    outputs = [(junit, xml.write, "w"), (markdown, text.write, "w")]
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        outputs.append((Path(summary), text.write, "a"))
    for file, write, mode in outputs:
        if file is None:
            continue
        try:
            with file.open(mode, encoding="utf-8") as out:
                out.write(write(found))
        except OSError as error:
            says = f"cannot be written: {error.strerror or error}"
            raise InputError(says, place=str(file), remedy="choose another file") from None
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in text.notes(found):
            joblog.command(line)


def _print(found: Report) -> None:
    click.echo(f"{found.candidate} compared with {found.baseline}")
    click.echo(f"  {counted(found.cases, 'case')}, {counted(found.calls, 'call')}: {found.says}")
    if found.drop is not None and found.bound is not None:
        says = f"  the mean pass rate drops by {found.drop:.4f}, at most {found.bound:.4f}"
        click.echo(f"{says} (margin {found.margin:g})")
    for one in found.blamed:
        click.echo(f"  - {one}")
    rest = [one for one in found.lines if one.state != "passed"]
    for one in rest[:SHOWN]:
        runs, base = one.passed + one.failed, one.base_passed + one.base_failed
        counts = f"{one.passed} of {runs}, baseline {one.base_passed} of {base}"
        click.echo(f"  [{one.state}] {one.case}: passed {counts}")
        if one.incident:
            click.echo(f"      of {on_one_line(f'{one.incident} {one.link}'.strip())}")
        if one.why:
            click.echo(f"      {on_one_line(one.why)}")
        if one.got and one.got != one.why:
            click.echo(f"      got {on_one_line(one.got)!r}")
    if len(rest) > SHOWN:
        click.echo(f"  and {len(rest) - SHOWN} more that did not always pass")
    click.echo(found.last_line)
