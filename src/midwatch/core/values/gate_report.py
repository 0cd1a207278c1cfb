"""What a gate found, in a form that every report is written from.

Law: read only. A red case shows what was expected and what came. What is said of a case is so
however early the gate broke off: only what failed on the baseline, too, is as on the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.gate import Count, Gate, Member, Verdict

CODES = {"pass": 0, "regression": 1, "error": 2, "inconclusive": 3}


class CaseLine(Struct, frozen=True):
    """One case: its runs on both sides, and an example of what went wrong on the candidate.

    `state` is passed, failed (a red verdict stands on it, or it always fails and is not known to
    do so on the baseline), worse (the same, of a gate that is green: too little for red), failing
    (always, as on the baseline), flaky, error, unsupported or quarantined.
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
    link: str = ""  # where its incident is shown


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


ORDER = ("failed", "error", "unsupported", "worse", "failing", "flaky", "quarantined", "passed")
NO_BASELINE = "the baseline could not be run"


def report(
    gate: Gate,
    verdict: Verdict,
    cases: Mapping[str, Case],
    examples: Mapping[str, Outcome],
    names: tuple[str, str],
    links: Mapping[str, str],
    *,
    warn: bool = False,
) -> Report:
    """Write a verdict down; with `warn` an inconclusive one ends with 0.

    `links` says where incidents are shown.
    """
    code = CODES[verdict.verdict]
    if warn and verdict.verdict == "inconclusive":
        code = 0
    red = {one.name for one in verdict.blamed if one.kind in ("incident", "case", "quarantine")}
    worse = "worse" if verdict.verdict == "pass" else "failed"
    lines = [
        _line(gate, one, cases[one.id], examples, red, worse, links.get(one.incident, ""))
        for one in gate.members
    ]
    lines.sort(key=lambda one: ORDER.index(one.state))
    return Report(
        verdict.verdict,
        code,
        verdict.reason.says,
        *names,
        len(gate.members),
        verdict.calls,
        gate.settings.margin,
        verdict.drop,
        verdict.bound,
        [one.says for one in verdict.blamed],
        list(verdict.unresolved),
        lines,
    )


def _line(
    gate: Gate,
    member: Member,
    case: Case,
    examples: Mapping[str, Outcome],
    red: set[str],
    worse: str,
    link: str,
) -> CaseLine:
    mine = gate.counts.get(("candidate", member.id), Count())
    base = gate.counts.get(("baseline", member.id), Count())
    example = examples.get(member.id)
    got, why = (example.got, example.why or example.got) if example else ("", "")
    state = "passed"
    if member.id in red:
        state = "failed"
    elif member.quarantine:
        state = "quarantined"
    elif example is not None and example.status == "unsupported":
        state = "unsupported"
    elif gate.is_lost("candidate", member.id):
        state, why = "error", why or "was not run"
    elif not mine.passed:
        # One that fails on the baseline, too, is no regression, and worth to be seen.
        state = "failing" if base.failed and not base.passed else worse
    elif gate.is_lost("baseline", member.id):
        state, why = "error", NO_BASELINE
    elif mine.failed:
        state = "flaky"
    return CaseLine(
        member.id,
        state,
        mine.passed,
        mine.failed,
        mine.errors,
        base.passed,
        base.failed,
        member.incident,
        case.question,
        got,
        why,
        link,
    )
