"""`midwatch release`: what evidence says of a release."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import click
import msgspec
from msgspec import Meta, Struct

from midwatch.cli.output import print_json
from midwatch.core.verdicts import ALPHA, MARGIN, Pair, Verdict, judge
from midwatch.errors import BadFile, InputError

CODES = {"promote": 0, "reject": 1, "inconclusive": 3}
Share = Annotated[float, Meta(ge=0, le=1)]


class _Line(Struct):
    case: str
    candidate: Share | None
    baseline: Share | None
    regression: bool = False


_decode = msgspec.json.Decoder(_Line).decode


@click.group("release")
def command() -> None:
    """Judge a release by recorded evidence."""


@command.command("judge")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.jsonl")
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=MARGIN,
    show_default=True,
    help="What a candidate may be worse by.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=ALPHA,
    show_default=True,
    help="How often chance may decide wrongly.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def judge_command(file: Path, margin: float, alpha: float, as_json: bool) -> int:
    """Judge a candidate over the same cases on both sides.

    Says promote, reject or inconclusive. FILE has a line for each case, in the order in which they
    ran; - is standard input:
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


def _document(verdict: Verdict) -> dict[str, object]:
    return {
        "verdict": verdict.verdict,
        "reason": verdict.reason.says,
        "line": verdict.line,
        "rule": verdict.reason.rule,
        "terms": verdict.reason.terms,
    }


def _read(file: Path) -> list[Pair]:
    name = "<stdin>" if str(file) == "-" else str(file)
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        says = error.strerror or "cannot be read"
        raise InputError(says, place=name, remedy="name a file of evidence") from None
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
