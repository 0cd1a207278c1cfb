"""Eval cases and what became of them.

Law: a case that failed, a case that could not be run and a case that passed are three different
values. An error is never a failure and never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

Status = Literal["passed", "failed", "error"]


class Case(Struct, frozen=True, omit_defaults=True):
    """One question with the answer that counts as right; `incident` names where it came from."""

    id: str
    question: str
    expect: str
    incident: str = ""


class Suite(Struct, frozen=True):
    """A named list of cases for one service."""

    name: str
    service: str
    cases: tuple[Case, ...]


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What one release did with one case. `got` is the answer, or what went wrong."""

    case: str
    release: str
    status: Status
    got: str = ""


def score(case: Case, release: str, answer: str) -> Outcome:
    """Judge an answer: it is right when it equals the expected one.

    >>> score(Case("refund", "refund window", "30 days"), "v2", "7 days").status
    'failed'
    """
    if answer == case.expect:
        return Outcome(case.id, release, "passed")
    return Outcome(case.id, release, "failed", answer)


def broken(case: Case, release: str, why: str) -> Outcome:
    """Record that a case could not be run."""
    return Outcome(case.id, release, "error", why)


class Tally(Struct, frozen=True):
    """How many cases passed, failed and could not be run."""

    passed: int
    failed: int
    errors: int

    @property
    def total(self) -> int:
        """All cases, run or not."""
        return self.passed + self.failed + self.errors


def tally(outcomes: Iterable[Outcome], release: str) -> Tally:
    """Count one release's outcomes.

    >>> tally([Outcome("a", "v1", "passed"), Outcome("a", "v2", "failed")], "v2")
    Tally(passed=0, failed=1, errors=0)
    """
    counts = {"passed": 0, "failed": 0, "error": 0}
    for outcome in outcomes:
        if outcome.release == release:
            counts[outcome.status] += 1
    return Tally(counts["passed"], counts["failed"], counts["error"])
