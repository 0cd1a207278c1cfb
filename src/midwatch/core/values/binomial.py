"""How surprising a count of bad events is: the exact upper tail of the binomial distribution.

Law: no normal approximation and no continuity correction; every term is summed until it no longer
changes the sum. Checked against scipy.
"""

from __future__ import annotations

from math import exp, lgamma, log, log1p


def tail(bad: int, total: int, share: float) -> float:
    """Give the probability of `bad` or more bad events out of `total` when each is bad by `share`.

    Raises ValueError when `share` is no probability between 0 and 1.

    >>> tail(0, 10, 0.5), tail(10, 10, 0.5) == 0.5**10
    (1.0, True)
    >>> round(tail(3, 60, 0.001) * 1e5, 2)
    3.28
    """
    if not 0 < share < 1:
        raise ValueError(f"{share} is not a probability between 0 and 1")
    if bad <= 0:
        return 1.0
    if bad > total:
        return 0.0
    # The shorter way down: terms shrink away from the mean on both of its sides.
    if bad > total * share:
        return _sum(bad, total, share)
    return 1.0 - _sum(total - bad + 1, total, 1 - share)


def _sum(start: int, total: int, share: float) -> float:
    """Sum the terms from `start`, which lies above the mean, upwards."""
    odds = share / (1 - share)
    term = exp(
        lgamma(total + 1)
        - lgamma(start + 1)
        - lgamma(total - start + 1)
        + start * log(share)
        + (total - start) * log1p(-share)
    )
    found, at = 0.0, start
    while at <= total and found + term != found:
        found += term
        term *= (total - at) / (at + 1) * odds
        at += 1
    return min(found, 1.0)
