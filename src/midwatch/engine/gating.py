"""The gate at work: what it wants is run, what came is counted, until it says its verdict.

Law: the gate decides alone; here is only the running. The same results give the same verdict, so a
killed run that goes on with its file ends as it would have. What the baseline did fresh is kept as
history for the next run, and old history expires.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from midwatch.core.values.evals import Case, Outcome, hash_of
from midwatch.core.values.gate import Count, Gate, Member, Side, Verdict, Want
from midwatch.engine.evaluating import Job, Runner
from midwatch.engine.progress import Progress
from midwatch.errors import BadFile, InputError

DAY_MS = 86_400_000
HISTORY_DAYS = 30


class Kept(Struct, frozen=True):
    """How the baseline did with one case in one run of the gate."""

    at: int
    case: str  # its hash: another text is another case
    passed: int
    failed: int


class Quarantined(Struct, frozen=True):
    """A flaky case that counts for nothing until its time is over."""

    case: str
    owner: str
    until: int
    why: str


_decode = msgspec.json.Decoder(Kept).decode


def members(cases: Sequence[Case], quarantined: Sequence[Quarantined], now: int) -> list[Member]:
    """Make the gate's members of cases. Raises InputError for a quarantine of no case."""
    by_case = {one.case: one for one in quarantined}
    known = {case.id for case in cases}
    for name in by_case:
        if name not in known:
            says = f"no case is named {name!r}"
            raise InputError(says, place="--quarantine", remedy="remove it from the list")
    found: list[Member] = []
    for case in cases:
        held = by_case.get(case.id)
        state = "" if held is None else "active" if held.until > now else "expired"
        found.append(Member(case.id, case.slices, case.incident, case.runs, case.least, state))
    return found


def play(
    gate: Gate,
    cases: dict[str, Case],
    runner: Runner,
    progress: Progress,
) -> tuple[Verdict, dict[str, Outcome]]:
    """Run a gate to its verdict; gives it, and an example of what went wrong for each case.

    `progress` hears how many of how many wanted runs are over.
    """
    examples: dict[str, Outcome] = {}
    epochs: dict[tuple[Side, str], int] = {}
    while gate.wants:
        wants = gate.wants
        total = sum(want.times for want in wants)
        came: dict[tuple[Side, str], Count] = {(want.side, want.case): Count() for want in wants}

        for done, (job, outcome) in enumerate(runner.run(_jobs(wants, cases, epochs)), start=1):
            side: Side = "candidate" if job.side == "candidate" else "baseline"
            _count(came[side, job.case.id], outcome)
            progress(done, total)
            if side == "candidate" and outcome.status != "passed":
                before = examples.get(job.case.id)
                if before is None or before.status == "error":
                    examples[job.case.id] = outcome
        for want in wants:
            key = (want.side, want.case)
            epochs[key] = epochs.get(key, 0) + want.times
        gate.take(came)
    if gate.verdict is None:
        raise BadFile("ended without a verdict", place="gate", remedy="report this bug")
    return gate.verdict, examples


def _jobs(
    wants: Sequence[Want], cases: dict[str, Case], epochs: dict[tuple[Side, str], int]
) -> Iterator[Job]:
    """Name each run: the sides take turns, so that both live through the same time."""
    most = max((want.times for want in wants), default=0)
    for number in range(most):
        for want in wants:
            if number < want.times:
                begun = epochs.get((want.side, want.case), 0)
                yield Job(want.side, cases[want.case], begun + number)


def _count(one: Count, outcome: Outcome) -> None:
    if outcome.status == "passed":
        one.passed += 1
    elif outcome.status == "failed":
        one.failed += 1
    else:
        one.errors += 1


# --- history ---


def read_history(file: Path, cases: Sequence[Case], now: int, days: int) -> dict[str, Count]:
    """Read what the baseline did in earlier runs, by case, of the last `days`.

    Raises BadFile with the line that is none.
    """
    by_hash: dict[str, Count] = {}
    try:
        lines = file.read_bytes().splitlines() if file.exists() else []
    except OSError as error:
        raise BadFile(f"cannot be read: {error.strerror}", place=str(file)) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            one = _decode(line)
        except msgspec.MsgspecError as error:
            remedy = "take the line out, or name another file"
            says = f"not a valid history: {error}"
            raise BadFile(says, place=f"{file}:{number}", remedy=remedy) from None
        if one.at > now - days * DAY_MS:
            count = by_hash.setdefault(one.case, Count())
            count.passed += one.passed
            count.failed += one.failed
    return {case.id: by_hash[hash_of(case)] for case in cases if hash_of(case) in by_hash}


def keep_history(file: Path, gate: Gate, cases: dict[str, Case], now: int) -> None:
    """Add what the baseline did in this run."""
    lines: list[bytes] = []
    for (side, name), count in gate.counts.items():
        if side == "baseline" and count.runs:
            kept = Kept(now, hash_of(cases[name]), count.passed, count.failed)
            lines.append(msgspec.json.encode(kept) + b"\n")
    with file.open("ab") as out:
        out.write(b"".join(lines))
