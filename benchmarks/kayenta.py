"""Kayenta's judge, as its classifier is described: a Mann-Whitney test with a tolerance.

Law: a peer for the canary's tables and nothing else. After spinnaker/kayenta,
MannWhitneyClassifier.scala and MannWhitney.scala (Apache 2.0), read and written anew: a confidence
interval of the shift between two samples by their ranks, at 95 %; a metric is low when the interval
lies below a quarter of the estimated shift, else it passes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.stats import rankdata

TOLERANCE, CONFIDENCE = 0.25, 0.95


def classify(candidate: Sequence[float], baseline: Sequence[float]) -> str:
    """Say `low` or `pass` for a share of good answers, of which less is worse.

    >>> classify([0.0] * 8 + [1.0] * 30, [1.0] * 38)
    'pass'
    """
    if sorted(candidate) == sorted(baseline):
        return "pass"
    x, y = np.array(candidate, float), np.array(baseline, float)
    if len(set(candidate)) == 1 and len(set(baseline)) == 1:
        return "low" if candidate[0] < baseline[0] else "pass"
    quantile = NormalDist().inv_cdf((1 - CONFIDENCE) / 2)
    upper, estimate = _root(x, y, quantile), _root(x, y, 0.0)
    return "low" if upper < -TOLERANCE * abs(estimate) else "pass"


def _root(x: np.ndarray, y: np.ndarray, quantile: float) -> float:
    """Find the shift at which the rank statistic is the quantile."""
    low, high = float(x.min() - y.max()), float(x.max() - y.min())
    if _statistic(low, quantile, x, y) <= 0:
        return low
    if _statistic(high, quantile, x, y) >= 0:
        return high
    return float(brentq(_statistic, low, high, (quantile, x, y), xtol=1e-4))


def _statistic(shift: float, quantile: float, x: np.ndarray, y: np.ndarray) -> float:
    ranks = rankdata(np.concatenate([x - shift, y]))
    n, m = len(x), len(y)
    centred = ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2
    _, ties = np.unique(ranks, return_counts=True)
    tied = float((ties**3 - ties).sum()) / ((n + m) * (n + m - 1))
    spread = sqrt(max(n * m / 12 * (n + m + 1 - tied), 1e-12))
    return float((centred - np.sign(centred) * 0.5) / spread - quantile)


def detected(base: float, candidate: float, points: int, size: int, runs: int) -> float:
    """Give how often it finds a candidate low, over points in time of so many requests a side."""
    found = 0
    for seed in range(runs):
        draw = random.Random(f"kayenta/{seed}")
        sides = [
            [sum(draw.random() < share for _ in range(size)) / size for _ in range(points)]
            for share in (candidate, base)
        ]
        found += classify(*sides) == "low"
    return found / runs
