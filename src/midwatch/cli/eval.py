"""`midwatch eval`: run, list, convert and compare eval cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from midwatch.adapters.suites import files
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
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.exact import sign_test
from midwatch.engine.evaluating import END, Job, Limits, Runner, Written
from midwatch.errors import BadFile, InputError

SHOWN = 20
_FILE = click.argument("file", type=click.Path(path_type=Path))
_FILTER = click.option(
    "--filter",
    "wanted",
    multiple=True,
    metavar="TEXT",
    help="Only cases whose id or slice contains TEXT.",
)


@click.group("eval")
def command() -> None:
    """Run, list, convert and compare eval cases in any supported format."""


class CaseResult(Struct, frozen=True):
    """One case: its valid runs that passed and failed, its errors, and what went wrong last."""

    case: str
    passed: int
    failed: int
    errors: int
    status: str
    why: str
    got: str


class RunResult(Struct, frozen=True):
    """What a target did with a suite."""

    target: str
    cases: int
    passed: int
    failed: int
    errors: int
    unsupported: int
    results: list[CaseResult]


@command.command("run")
@_FILE
@click.option("--target", required=True, metavar="TARGET", help=f"{SPELLED}.")
@_FILTER
@click.option(
    "--epochs",
    type=click.IntRange(1, 1_000),
    default=1,
    show_default=True,
    help="Number of runs per case.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Store each result here; an interrupted run resumes from it.",
)
@click.option(
    "--digest", default="", help="Digest of the target; results of the same digest are reused."
)
@click.option(
    "--judge-url", default="", help="Model server for checks of kind judge: https://HOST/v1."
)
@click.option(
    "--judge-model", default="default", show_default=True, help="Name of the judge model."
)
@json_option(RunResult)
@suite_options
@target_options
def run_command(
    file: Path,
    target: str,
    wanted: Sequence[str],
    epochs: int,
    results: Path | None,
    digest: str,
    judge_url: str,
    judge_model: str,
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
) -> int:
    """Run the cases of FILE against a target.

    Exit 0 when all pass, 1 when one fails, 2 when none could be run, 3 when some could not.

    Example: midwatch eval run cases.yaml --target python:bot:answer
    """
    cases = chosen(files.read(file, kind or "", pairs(fields, "--map"), match), wanted)
    request, answer = asked_as([file], request, answer)
    asked = make_target(target, timeout, request, answer, headers, variables)
    opinion = make_opinion(judge_url, judge_model, timeout)
    runner = Runner(
        {target: asked},
        {target: digest or target},
        Limits(concurrency, timeout, retries),
        results=results,
        opinion=opinion,
        judge=judge_named(judge_url, judge_model),
        reuse=bool(digest),
    )
    counts: dict[str, Counter[str]] = {case.id: Counter() for case in cases}
    last: dict[str, Outcome] = {}
    total = len(cases) * epochs
    try:
        with shown_progress() as progress:
            for done, (job, outcome) in enumerate(runner.run(_jobs(cases, target, epochs)), 1):
                counts[job.case.id][outcome.status] += 1
                if outcome.status != "passed":
                    last[job.case.id] = outcome
                progress(done, total)
        runner.finish()
    finally:
        runner.close()
    found = _summed(target, counts, last)
    if as_json:
        print_json(found)
    else:
        _print_run(found)
    return _code(found)


def _jobs(cases: Sequence[Case], target: str, epochs: int) -> Iterator[Job]:
    for epoch in range(epochs):
        for case in cases:
            yield Job(target, case, epoch)


def _summed(target: str, counts: dict[str, Counter[str]], last: dict[str, Outcome]) -> RunResult:
    results: list[CaseResult] = []
    for name, count in counts.items():
        status = "passed"
        if count["failed"]:
            status = "failed"
        elif count["unsupported"]:
            status = "unsupported"
        elif count["error"]:
            status = "error"
        one = last.get(name)
        results.append(
            CaseResult(
                name,
                count["passed"],
                count["failed"],
                count["error"],
                status,
                one.why or one.got if one else "",
                one.got if one else "",
            )
        )
    by = Counter(one.status for one in results)
    return RunResult(
        target, len(results), by["passed"], by["failed"], by["error"], by["unsupported"], results
    )


def _code(found: RunResult) -> int:
    if found.errors + found.unsupported == found.cases:
        return 2
    if found.failed:
        return 1
    return 3 if found.errors or found.unsupported else 0


def _print_run(found: RunResult) -> None:
    bad = [one for one in found.results if one.status != "passed"]
    for one in bad[:SHOWN]:
        click.echo(f"[{one.status}] {one.case}: {on_one_line(one.why)}")
        if one.got and one.got != one.why:
            click.echo(f"    got {on_one_line(one.got)!r}")
    if len(bad) > SHOWN:
        click.echo(f"and {len(bad) - SHOWN} more")
    rest = {"failed": found.failed, "errors": found.errors, "unsupported": found.unsupported}
    told = "".join(f", {count} {name}" for name, count in rest.items() if count)
    click.echo(f"{found.passed} of {counted(found.cases, 'case')} passed on {found.target}{told}")


@command.command("list")
@_FILE
@_FILTER
@json_option(list[Case])
@suite_options
def list_command(
    file: Path,
    wanted: Sequence[str],
    as_json: bool,
    kind: str | None,
    fields: Sequence[str],
    match: str,
) -> int:
    """List the cases of FILE, and what midwatch does not support."""
    cases = chosen(files.read(file, kind or "", pairs(fields, "--map"), match), wanted)
    if as_json:
        print_json(cases)
        return 0
    for case in cases:
        kinds = ", ".join(f"{'not ' * one.negate}{one.kind}" for one in case.wanted)
        more = f"  of {case.incident}" if case.incident else ""
        more += f"  NOT SUPPORTED: {', '.join(case.unsupported)}" if case.unsupported else ""
        click.echo(f"{case.id:<32} {kinds}{more}")
    odd = sum(bool(case.unsupported) for case in cases)
    click.echo(counted(len(cases), "case") + (f", {odd} not supported" if odd else ""))
    return 0


@command.command("show")
@_FILE
@click.argument("case")
@json_option(Case)
@suite_options
def show_command(
    file: Path, case: str, as_json: bool, kind: str | None, fields: Sequence[str], match: str
) -> int:
    """Show one case of FILE as midwatch would write it."""
    for one in files.read(file, kind or "", pairs(fields, "--map"), match):
        if one.id == case:
            if as_json:
                print_json(one)
            elif one.unsupported:
                click.echo(f"# not supported: {', '.join(one.unsupported)}")
                click.echo(f"# asks: {one.question}")
            else:
                click.echo(files.write([one], "midwatch", file.stem), nl=False)
            return 0
    raise InputError(f"no case is named {case!r}", place=str(file), remedy="run midwatch eval list")


def _converted(file: Path, kind: str | None, fields: Sequence[str], match: str, to: str) -> str:
    # They keep a gate from being green, so nothing that loses them may look like the same suite.
    for word in files.header(file):
        remedy = "export its cases without it, or use the file as it is"
        raise BadFile(
            f"{word} is a field of the suite, not of its cases", place=file.name, remedy=remedy
        )
    return files.write(files.read(file, kind or "", pairs(fields, "--map"), match), to, file.stem)


def _put(text: str, out: Path | None) -> int:
    if out is None:
        click.echo(text, nl=False)
        return 0
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError("already exists", place=str(out), remedy="choose another file") from None
    except OSError as error:
        says = f"cannot be written: {error.strerror or error}"
        raise InputError(says, place=str(out), remedy="choose another file") from None
    click.echo(f"{out} written", err=True)
    return 0


_OUT = click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Output file (default: stdout)."
)


@command.command("import")
@_FILE
@_OUT
@suite_options
def import_command(
    file: Path, out: Path | None, kind: str | None, fields: Sequence[str], match: str
) -> int:
    """Write the cases of FILE as midwatch's own YAML.

    An unsupported case is an error: nothing is dropped silently.
    """
    return _put(_converted(file, kind, fields, match, "midwatch"), out)


@command.command("export")
@_FILE
@click.option("--to", type=click.Choice(files.FORMATS), required=True, help="Format to export to.")
@_OUT
@suite_options
def export_command(
    file: Path, to: str, out: Path | None, kind: str | None, fields: Sequence[str], match: str
) -> int:
    """Write the cases of FILE in another tool's format.

    What that format cannot express is an error with the case and the field; the written file
    is read back as the same cases.
    """
    return _put(_converted(file, kind, fields, match, to), out)


class Difference(Struct, frozen=True):
    """Two files of results over the same cases; `chance` is McNemar's, exact and two-sided."""

    cases: int
    better: list[str]
    worse: list[str]
    only_before: list[str]
    only_after: list[str]
    chance: float


@command.command("diff")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@json_option(Difference)
def diff_command(before: Path, after: Path, as_json: bool) -> int:
    """Compare two files of --results, case by case.

    Exit 1 when a case is worse, 0 when none is.
    """
    old, new = _shares(before), _shares(after)
    both = [name for name in old if name in new]
    if not both:
        raise InputError("have no case in common", place=f"{before}, {after}")
    better = [name for name in both if new[name] > old[name]]
    worse = [name for name in both if new[name] < old[name]]
    gone, came = [n for n in old if n not in new], [n for n in new if n not in old]
    chance = sign_test(len(better), len(worse))
    found = Difference(len(both), better, worse, gone, came, chance)
    if as_json:
        print_json(found)
    else:
        for name in worse:
            click.echo(f"worse   {name}: {old[name]:.0%} -> {new[name]:.0%}")
        for name in better:
            click.echo(f"better  {name}: {old[name]:.0%} -> {new[name]:.0%}")
        click.echo(
            f"{len(worse)} worse, {len(better)} better of {len(both)} (chance {found.chance:.3g})"
        )
    return 1 if worse else 0


_decode = msgspec.json.Decoder(Written).decode


def _shares(file: Path) -> dict[str, float]:
    """Give the share of valid runs that passed, by case."""
    counts: dict[str, Counter[str]] = {}
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        says = f"cannot be read: {error.strerror or error}"
        raise InputError(
            says, place=str(file), remedy="create it with midwatch eval run --results FILE"
        ) from None
    for number, line in enumerate(lines, start=1):
        try:
            one = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            place, remedy = (
                f"{file.name}:{number}",
                "create it with midwatch eval run --results FILE",
            )
            raise BadFile(f"not a valid result: {error}", place=place, remedy=remedy) from None
        if one.key == END:
            continue
        counts.setdefault(one.outcome.case, Counter())[one.outcome.status] += 1
    return {
        name: count["passed"] / (count["passed"] + count["failed"])
        for name, count in counts.items()
        if count["passed"] + count["failed"]
    }
