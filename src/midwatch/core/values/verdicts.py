"""What recorded evidence says of a candidate: promote, reject or inconclusive, and why.

Law: what is missing, broken or told twice never promotes and is no failure. A regression case that
validly fails rejects, whatever the rest says. When both boundaries are reached, reject wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct, structs

from midwatch.core.values.evidence import PairEvidence, clean_pairs_needed
from midwatch.core.values.reasons import Reason, Term

RULE = "verdicts/1"
MARGIN, ALPHA = 0.05, 0.05
MAX_MISSING = 0.05
FAILED_BELOW = 0.5
Word = Literal["promote", "reject", "inconclusive"]


class Pair(Struct, frozen=True):
    """One case on both sides, in [0, 1]; None for an error. `line` is where it was recorded.

    `regression` says that it is an incident's own case.
    """

    case: str
    candidate: float | None
    baseline: float | None
    regression: bool = False
    line: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether both sides could be judged."""
        return self.candidate is not None and self.baseline is not None


class Verdict(Struct, frozen=True):
    """The verdict, its reason, and the line where it was reached; None when none was.

    `eligible` says that too few pairs are all that stands in the way: live traffic may decide.
    """

    verdict: Word
    reason: Reason
    line: int | None = None
    eligible: bool = False


def judge(pairs: Sequence[Pair], margin: float = MARGIN, alpha: float = ALPHA) -> Verdict:
    """Judge pairs in the order in which they were recorded.

    >>> same = [Pair(str(n), 1.0, 1.0, line=n + 1) for n in range(80)]
    >>> judge(same).verdict, judge(same).line, judge(same[:60]).verdict
    ('promote', 75, 'inconclusive')
    >>> judge([Pair(str(n), 0.0, 1.0, line=n + 1) for n in range(80)]).verdict
    'reject'
    """
    missing = sum(not one.is_whole for one in pairs)
    terms: dict[str, Term] = {
        "pairs": len(pairs) - missing,
        "missing": missing,
        "margin": margin,
        "alpha": alpha,
    }

    def say(word: Word, says: str, line: int | None = None) -> Verdict:
        return Verdict(word, Reason(RULE, says, terms), line)

    if not len(pairs) - missing:
        return say("inconclusive", "there is no pair that both sides answered")
    if twice := _twice(pairs):
        return say(
            "inconclusive", f"case {twice.case!r} is reported twice, again on line {twice.line}"
        )
    if missing > MAX_MISSING * len(pairs):
        share = f"{missing} of {len(pairs)} pairs are missing or errors"
        return say("inconclusive", f"{share}, more than {MAX_MISSING:.0%}")
    failed = next((one for one in pairs if _has_failed(one)), None)
    if failed is not None:
        return say("reject", f"regression case {failed.case!r} fails", failed.line)
    broken = next((one for one in pairs if one.regression and not one.is_whole), None)
    if broken is not None:
        return say("inconclusive", f"regression case {broken.case!r} could not be judged")
    return _weigh(pairs, margin, alpha, terms)


def _weigh(pairs: Iterable[Pair], margin: float, alpha: float, terms: dict[str, Term]) -> Verdict:
    evidence = PairEvidence(margin)
    rejected: int | None = None
    promoted: int | None = None
    most = 0.0
    for one in pairs:
        if one.candidate is None or one.baseline is None:
            continue
        evidence.add(one.candidate, one.baseline)
        most = max(most, evidence.reject)
        if rejected is None and evidence.reject >= 1.0 / alpha:
            rejected = one.line
        if promoted is None and evidence.promote >= 1.0 / alpha:
            promoted = one.line
    told: dict[str, Term] = {
        **terms,
        "mean_difference": round(evidence.total / evidence.pairs, 4),
        "evidence_to_reject": round(most, 4),
        "evidence_to_promote": round(evidence.promote, 4),
        "threshold": round(1.0 / alpha, 4),
    }
    mean = f"{evidence.total / evidence.pairs:+.3f} on the mean of {evidence.pairs} pairs"
    if rejected is not None:
        return Verdict("reject", Reason(RULE, f"worse, {mean}", told), rejected)
    if promoted is not None:
        says = f"not worse by {margin:g} or more, {mean}"
        return Verdict("promote", Reason(RULE, says, told), promoted)
    more = _more_clean(evidence, alpha)
    told["clean_pairs_missing"] = more
    says = f"eligible for live traffic: {mean}; {more} more without a difference would promote"
    if evidence.pairs < clean_pairs_needed(margin, alpha):
        says += f", a margin of {margin:g} takes {clean_pairs_needed(margin, alpha)} at least"
    if evidence.total < 0 and -evidence.total / evidence.pairs >= margin:
        says = f"{mean}, too few to say that it is worse"
        return Verdict("inconclusive", Reason(RULE, says, told))
    return Verdict("inconclusive", Reason(RULE, says, told), eligible=True)


def _more_clean(evidence: PairEvidence, alpha: float) -> int:
    """Say how many pairs without a difference are missing to promote."""
    copy = structs.replace(evidence, against=list(evidence.against), favour=list(evidence.favour))
    while copy.promote < 1.0 / alpha:
        copy.add(1.0, 1.0)
    return copy.pairs - evidence.pairs


def _twice(pairs: Iterable[Pair]) -> Pair | None:
    seen: set[str] = set()
    for one in pairs:
        if one.case in seen:
            return one
        seen.add(one.case)
    return None


def _has_failed(one: Pair) -> bool:
    """Say whether an incident's case validly fails: on most reruns, or more than the baseline."""
    if not one.regression or one.candidate is None or one.baseline is None:
        return False
    return one.candidate < FAILED_BELOW or one.candidate < one.baseline
