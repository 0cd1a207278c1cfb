"""How strongly a candidate's results speak against it, or for it: betting, valid at every look.

Law: evidence is a wealth that grows on average under no truth of the hypothesis that it bets
against, so it may be looked at after every sample, and exceeds 1 / alpha by chance with at most the
probability alpha, ever. The same data in the same order gives the same evidence.

    pairs       d = candidate - baseline of one case, in [-1, 1]
      reject    against "no worse", E[d] >= 0: each bet multiplies by 1 - lambda d
      promote   against "worse by the margin m or more", E[d] <= -m: by 1 + lambda (d + m)
    traffic     blocks of one candidate request and its r concurrent baseline requests, good or bad:
                the likelihood of what was learned so far, over that of the nearest null

After Waudby-Smith and Ramdas (2020, betting) and Turner, Ly and Gruenwald (2021, blocks). The
fixed bets, their weights and the priors were chosen on the simulations of
benchmarks/canary.py, which prints what they reach.
"""

from __future__ import annotations

from math import log

from msgspec import Struct, field

REJECT_BETS = ((1.0, 0.32), (0.6, 0.35), (0.35, 0.22), (0.1, 0.11))
PROMOTE_BETS = ((1.0, 0.3), (0.7, 0.3), (0.4, 0.3), (0.15, 0.1))
# What traffic is thought to have been like before the first request: the baseline, and how firmly a
# candidate is thought to be worse by twice the margin, or the same, as so many bad answers.
PRIOR_GOOD, PRIOR_BAD = 150.0, 1.5
WORSE_BAD, SAME_BAD = 12.0, 16.0
TINY = 1e-9
STEPS, PRECISION = 60, 1e-10


class PairEvidence(Struct):
    """What paired cases say so far. `reject` and `promote` are wealths, 1 at the start."""

    margin: float
    against: list[float] = field(default_factory=lambda: [weight for _, weight in REJECT_BETS])
    favour: list[float] = field(default_factory=lambda: [weight for _, weight in PROMOTE_BETS])
    pairs: int = 0
    total: float = 0.0  # of the differences

    def add(self, candidate: float, baseline: float) -> None:
        """Take one pair in, both in [0, 1].

        >>> evidence = PairEvidence(0.05)
        >>> for _ in range(75):
        ...     evidence.add(1.0, 1.0)
        >>> evidence.promote > 20 > evidence.reject
        True
        """
        difference = candidate - baseline
        self.pairs += 1
        self.total += difference
        for n, (bet, _) in enumerate(REJECT_BETS):
            self.against[n] *= max(1.0 - bet * difference, 0.0)
        for n, (bet, _) in enumerate(PROMOTE_BETS):
            factor = 1.0 + bet / (1.0 - self.margin) * (difference + self.margin)
            self.favour[n] *= max(factor, 0.0)

    @property
    def reject(self) -> float:
        """The wealth against "no worse"."""
        return sum(self.against)

    @property
    def promote(self) -> float:
        """The wealth against "worse by the margin or more"."""
        return sum(self.favour)


def clean_pairs_needed(margin: float, alpha: float) -> int:
    """Say how many pairs without any difference it takes to promote.

    >>> clean_pairs_needed(0.05, 0.05), clean_pairs_needed(0.01, 0.05)
    (75, 383)
    """
    evidence = PairEvidence(margin)
    while evidence.promote < 1.0 / alpha:
        evidence.add(1.0, 1.0)
    return evidence.pairs


class TrafficEvidence(Struct):
    """What live traffic says so far, in blocks; wealths as logarithms, 0 at the start."""

    margin: float
    log_reject: float = 0.0
    log_promote: float = 0.0
    good: int = 0
    total: int = 0
    base_good: int = 0
    base_total: int = 0
    blocks: int = 0

    def add(self, good: int, total: int, base_good: int, base_total: int) -> None:
        """Take a block in: so many good of all, of the candidate and of the baseline.

        >>> evidence = TrafficEvidence(0.02)
        >>> for _ in range(30):
        ...     evidence.add(0, 1, 9, 9)
        >>> evidence.log_reject > 3 > evidence.log_promote
        True
        """
        if total < 1 or base_total < 1:
            raise ValueError("a block has requests of both sides")
        counts = (good, total, base_good, base_total)
        self.log_reject += _gain(self._if_worse(), counts, 0.0)
        self.log_promote += _gain(self._if_same(), counts, self.margin)
        self.good += good
        self.total += total
        self.base_good += base_good
        self.base_total += base_total
        self.blocks += 1

    def _if_worse(self) -> tuple[float, float]:
        """Estimate both shares for a candidate that may be worse by twice the margin."""
        theirs = (self.base_good + PRIOR_GOOD) / (self.base_total + PRIOR_GOOD + PRIOR_BAD)
        expected = min(1.0 - theirs + 2.0 * self.margin, 0.9)
        bad = self.total - self.good
        mine = 1.0 - (bad + WORSE_BAD) / (self.total + WORSE_BAD / expected)
        return min(mine, theirs), theirs

    def _if_same(self) -> tuple[float, float]:
        """Estimate both shares from the past, for a candidate like its baseline."""
        good, total = self.good + self.base_good, self.total + self.base_total
        expected = 1.0 - (good + PRIOR_GOOD) / (total + PRIOR_GOOD + PRIOR_BAD)
        seen = SAME_BAD / expected
        bad, base_bad = self.total - self.good, self.base_total - self.base_good
        mine = 1.0 - (bad + SAME_BAD) / (self.total + seen)
        theirs = 1.0 - (base_bad + SAME_BAD) / (self.base_total + seen)
        return max(mine, theirs - self.margin), theirs


def _gain(shares: tuple[float, float], counts: tuple[int, int, int, int], margin: float) -> float:
    """Give the logarithm of a block's likelihood ratio against the nearest null."""
    mine, theirs = shares
    good, total, base_good, base_total = counts
    null = _nearest(mine, theirs, total, base_total, margin)
    return _ratio(good, total - good, mine, null - margin) + _ratio(
        base_good, base_total - base_good, theirs, null
    )


def _ratio(good: int, bad: int, share: float, null: float) -> float:
    """Give the logarithm of the likelihood of a share over that of another one."""
    share, null = min(max(share, TINY), 1.0 - TINY), min(max(null, TINY), 1.0 - TINY)
    found = good * log(share / null) if good else 0.0
    return found + bad * log((1.0 - share) / (1.0 - null)) if bad else found


def _nearest(mine: float, theirs: float, total: int, base_total: int, margin: float) -> float:
    """Find the baseline's share on the null's edge that is nearest to what was learned.

    On the edge the candidate's share is the baseline's less the margin; nearest is the least
    Kullback-Leibler divergence of a whole block. Without a margin that is the pooled share.
    Newton's steps, kept between bounds that halve when one would leave them.
    """
    share = (total * (mine + margin) + base_total * theirs) / (total + base_total)
    if not margin:
        return share
    low, high = margin + TINY, 1.0 - TINY
    share = min(max(share, low), high)
    good, bad = total * mine, total * (1.0 - mine)
    base_good, base_bad = base_total * theirs, base_total * (1.0 - theirs)
    for _ in range(STEPS):
        less = max(share - margin, TINY)
        more, rest = 1.0 - share + margin, max(1.0 - share, TINY)
        one, two, three, four = good / less, bad / more, base_good / share, base_bad / rest
        slope = one - two + three - four
        if slope > 0:
            low = share
        else:
            high = share
        following = share + slope / (one / less + two / more + three / share + four / rest)
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - share) < PRECISION:
            return following
        share = following
    return share
