"""Eval cases and what became of them.

Law: a case that failed, one that could not be run, one that asks for what is not supported and one
that passed are different values. An error is never a failure and never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

Status = Literal["passed", "failed", "error", "unsupported"]


class Check(Struct, frozen=True, omit_defaults=True):
    """What an answer has to be: a kind of `midwatch.core.values.scorers`, its value, and its knobs.

    With `negate` it must not be that. A kind that nobody knows is unsupported.
    """

    kind: str
    value: Any = None
    negate: bool = False
    threshold: float | None = None
    knobs: dict[str, Any] = {}


class Case(Struct, frozen=True, omit_defaults=True):
    """One question with the answer that counts as right; `incident` names where it came from.

    Without `checks` an answer is right when it equals `expect`. One of an incident passes at least
    `least` of `runs`. What could not be read of its source is named in `unsupported`.
    """

    id: str
    question: str
    expect: str = ""
    incident: str = ""
    checks: tuple[Check, ...] = ()
    turns: tuple[str, ...] = ()  # before the question
    slices: tuple[str, ...] = ()
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    runs: int = 1
    least: int = 1
    unsupported: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[Check, ...]:
        """All that an answer has to be."""
        return self.checks or (Check("equals", self.expect),)


class Suite(Struct, frozen=True):
    """A named list of cases for one service."""

    name: str
    service: str
    cases: tuple[Case, ...]


class Reply(Struct, frozen=True, omit_defaults=True):
    """What a target answered: its text, how long it took, and what else it told."""

    text: str
    seconds: float = 0.0
    cost: float | None = None
    tools: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What one release did with one case. `got` is the answer, or what went wrong.

    `why` says what was expected of an answer that failed.
    """

    case: str
    release: str
    status: Status
    got: str = ""
    why: str = ""
    seconds: float = 0.0


def broken(case: Case, release: str, why: str) -> Outcome:
    """Record that a case could not be run."""
    return Outcome(case.id, release, "error", why)


def hash_of(case: Case) -> str:
    """Name what a case asks and wants: another text is another case, whatever its id is.

    >>> hash_of(Case("a", "q", "x")) == hash_of(Case("b", "q", "x"))
    True
    """
    body = msgspec.json.encode(
        (case.question, case.turns, case.expect, case.checks, case.variables), order="sorted"
    )
    return blake2b(body, digest_size=8).hexdigest()


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
    counts = {"passed": 0, "failed": 0, "error": 0, "unsupported": 0}
    for outcome in outcomes:
        if outcome.release == release:
            counts[outcome.status] += 1
    return Tally(counts["passed"], counts["failed"], counts["error"] + counts["unsupported"])
