"""Exact tests of two sides: Fisher's for one case, a weighted one over many.

Law: conditional on how often each case failed on both sides together, which side a failure fell on
is a draw without replacement when the sides are alike. Sums are exact; weights are whole numbers
and functions of those totals alone, so they cannot favour a side. Checked against scipy.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

from msgspec import Struct

TOP = 16  # the weight of a case that nearly always passes
STABLE = 1 / 66  # its variance: no failure in 32 runs, with half a failure added


class Sample(Struct, frozen=True):
    """Failures of one case: so many of so many runs, on the candidate and on what it is held to.

    `weight` is what was known of the case before these runs; 0 takes it from their totals.
    """

    failed: int
    runs: int
    base_failed: int
    base_runs: int
    weight: int = 0


def fisher(one: Sample) -> float:
    """Give the probability that chance alone lets the candidate fail so often, or more often.

    >>> round(fisher(Sample(5, 8, 0, 8)), 4)
    0.0128
    """
    failed, total = one.failed + one.base_failed, one.runs + one.base_runs
    ways = comb(total, failed)
    most = min(failed, one.runs)
    tail = sum(
        comb(one.runs, k) * comb(one.base_runs, failed - k)
        for k in range(one.failed, most + 1)
        if failed - k <= one.base_runs
    )
    return tail / ways


def sign_test(better: int, worse: int) -> float:
    """Give McNemar's exact, two-sided chance that cases change so unevenly.

    >>> sign_test(0, 6), sign_test(3, 3)
    (0.03125, 1.0)
    """
    total, few = better + worse, min(better, worse)
    return min(1.0, 2 * sum(comb(total, k) for k in range(few + 1)) / 2**total)


def one_sided(better: int, worse: int) -> float:
    """Give the chance that so many or more of those that turn, turn worse.

    >>> one_sided(0, 2), one_sided(0, 0), one_sided(1, 3)
    (0.25, 1.0, 0.3125)
    """
    total = better + worse
    return sum(comb(total, k) for k in range(worse, total + 1)) / 2**total


def weight(failed: int, runs: int) -> int:
    """Say how much a failure of a case tells: the less it usually fails, the more.

    >>> weight(0, 32), weight(1, 32), weight(14, 32)
    (16, 6, 1)
    """
    share = (failed + 0.5) / (runs + 1)
    return max(1, round(TOP * min(1.0, STABLE / (share * (1.0 - share)))))


def broad(cases: Iterable[Sample]) -> float:
    """Give the probability that chance alone puts so much weight of failures on the candidate.

    >>> alike = [Sample(1, 3, 1, 3)] * 4
    >>> round(broad(alike), 3), broad([Sample(3, 3, 0, 3)] * 4) < 0.001
    (0.656, True)
    """
    dist, seen = [1.0], 0
    for one in cases:
        failed = one.failed + one.base_failed
        if not failed or not one.runs or not one.base_runs:
            continue
        by = one.weight or weight(failed, one.runs + one.base_runs)
        seen += by * one.failed
        ways = comb(one.runs + one.base_runs, failed)
        shares = [
            comb(one.runs, k) * comb(one.base_runs, failed - k) / ways
            if 0 <= failed - k <= one.base_runs
            else 0.0
            for k in range(min(failed, one.runs) + 1)
        ]
        following = [0.0] * (len(dist) + by * (len(shares) - 1))
        for at, chance in enumerate(dist):
            if chance:
                for k, share in enumerate(shares):
                    following[at + by * k] += chance * share
        dist = following
    return min(1.0, sum(dist[seen:]))
