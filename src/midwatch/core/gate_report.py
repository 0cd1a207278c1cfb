"""What a gate found, in a form that every report is written from.

Law: read only. A red case shows what was expected and what came.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midwatch.core.evals import Case, Outcome
from midwatch.core.gate import Gate, Member, Verdict

CODES = {"pass": 0, "regression": 1, "error": 2, "inconclusive": 3}


class CaseLine(Struct, frozen=True):
    """One case: its runs on both sides, and an example of what went wrong on the candidate.

    `state` is passed, failed (a red verdict stands on it), failing (as on the baseline), flaky,
    error, unsupported or quarantined.
    """

    case: str
    state: str
    passed: int
    failed: int
    errors: int
    base_passed: int
    base_failed: int
    incident: str = ""
    question: str = ""
    got: str = ""
    why: str = ""


class Report(Struct, frozen=True):
    """The verdict with its code, and a line for each case, the worst first."""

    verdict: str
    code: int
    says: str
    candidate: str
    baseline: str
    cases: int
    calls: int
    margin: float
    drop: float | None
    bound: float | None
    blamed: list[str]
    unresolved: list[str]
    lines: list[CaseLine]

    @property
    def last_line(self) -> str:
        """The line that a log ends with: verdict and code."""
        return f"GATE: {self.verdict} (exit {self.code})"


ORDER = ("failed", "error", "unsupported", "failing", "flaky", "quarantined", "passed")


def report(
    gate: Gate,
    verdict: Verdict,
    cases: Mapping[str, Case],
    examples: Mapping[str, Outcome],
    names: tuple[str, str],
    *,
    warn: bool = False,
) -> Report:
    """Write a verdict down; with `warn` an inconclusive one ends with 0."""
    code = CODES[verdict.verdict]
    if warn and verdict.verdict == "inconclusive":
        code = 0
    red = {one.name for one in verdict.blamed if one.kind in ("incident", "case", "quarantine")}
    lines = [_line(gate, member, cases[member.id], examples, red) for member in gate.members]
    lines.sort(key=lambda one: ORDER.index(one.state))
    return Report(
        verdict.verdict, code, verdict.reason.says, *names, len(gate.members), verdict.calls,
        gate.settings.margin, verdict.drop, verdict.bound,
        [one.says for one in verdict.blamed], list(verdict.unresolved), lines,
    )  # fmt: skip


def _line(
    gate: Gate,
    member: Member,
    case: Case,
    examples: Mapping[str, Outcome],
    red: set[str],
) -> CaseLine:
    mine = gate.counts.get(("candidate", member.id))
    base = gate.counts.get(("baseline", member.id))
    example = examples.get(member.id)
    state = "passed"
    if member.id in red:
        state = "failed"
    elif member.quarantine:
        state = "quarantined"
    elif example is not None and example.status == "unsupported":
        state = "unsupported"
    elif mine is None or not mine.runs:
        state = "error"
    elif mine.failed:
        # One that always fails does so on the baseline, too: no regression, and worth to be seen.
        state = "flaky" if mine.passed else "failing"
    return CaseLine(
        member.id, state,
        mine.passed if mine else 0, mine.failed if mine else 0, mine.errors if mine else 0,
        base.passed if base else 0, base.failed if base else 0, member.incident, case.question,
        example.got if example else "", example.why or example.got if example else "",
    )  # fmt: skip
