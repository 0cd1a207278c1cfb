"""How many samples a canary's verdict takes, and how often chance decides wrongly.

    python -m benchmarks.canary [--runs N]

Law: every run is seeded; what is simulated is good or bad answers with known shares. Beside it
stands what others do: Kayenta's judge over the same answers, or the naive z-test that is looked at
after every sample.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from math import log, sqrt

from msgspec import Struct

from benchmarks import kayenta
from midwatch.core.values.evidence import PairEvidence, TrafficEvidence

ALPHA = 0.05
SEED = 33
KAYENTA = ((60, 20), (20, 60))  # points in time, and requests in each


class Sizes(Struct, frozen=True):
    """Samples to a verdict: half and 95 % of the runs; the shares that ended in each."""

    median: float
    p95: float
    rejected: float
    promoted: float


def pairs(
    base: float,
    candidate: float,
    margin: float,
    *,
    runs: int,
    longest: int,
    alike: float = 0.0,
    wanted: str = "reject",
) -> Sizes:
    """Play paired cases; `alike` is the share of pairs in which both sides do the same."""

    def play(draw: random.Random) -> tuple[int, str]:
        evidence = PairEvidence(margin)
        for n in range(1, longest + 1):
            theirs = draw.random() < base
            mine = theirs if draw.random() < alike else draw.random() < candidate
            evidence.add(float(mine), float(theirs))
            if evidence.reject >= 1 / ALPHA:
                return n, "reject"
            if evidence.promote >= 1 / ALPHA:
                return n, "promote"
        return longest, ""

    return _sizes(play, runs, wanted)


def traffic(
    base: float,
    candidate: float,
    margin: float,
    ratio: int,
    *,
    runs: int,
    longest: int,
    wanted: str = "reject",
) -> Sizes:
    """Play live traffic: blocks of one candidate request and `ratio` of the baseline."""
    bound = log(1 / ALPHA)

    def play(draw: random.Random) -> tuple[int, str]:
        evidence = TrafficEvidence(margin)
        for n in range(1, longest + 1):
            theirs = sum(draw.random() < base for _ in range(ratio))
            evidence.add(int(draw.random() < candidate), 1, theirs, ratio)
            if evidence.log_reject >= bound:
                return n, "reject"
            if evidence.log_promote >= bound:
                return n, "promote"
        return longest, ""

    return _sizes(play, runs, wanted)


def _sizes(play: Callable[[random.Random], tuple[int, str]], runs: int, wanted: str) -> Sizes:
    ended = [play(random.Random(f"{SEED}/{n}")) for n in range(runs)]
    reached = sorted(n if how == wanted else float("inf") for n, how in ended)
    return Sizes(
        reached[len(reached) // 2],
        reached[int(0.95 * len(reached))],
        sum(how == "reject" for _, how in ended) / runs,
        sum(how == "promote" for _, how in ended) / runs,
    )


def peeking_z(base: float, *, runs: int, longest: int) -> float:
    """Give how often a z-test at 5 % that is looked at always rejects what is the same."""

    def rejects(draw: random.Random) -> bool:
        mine = theirs = 0
        for n in range(1, longest + 1):
            mine += draw.random() < base
            theirs += draw.random() < base
            pooled = (mine + theirs) / (2 * n)
            spread = sqrt(max(2 * pooled * (1 - pooled) / n, 1e-12))
            if n >= 30 and (theirs - mine) / n / spread > 1.645:
                return True
        return False

    return sum(rejects(random.Random(f"z/{SEED}/{n}")) for n in range(runs)) / runs


def sample_us() -> float:
    """Give the microseconds of one traffic block, own CPU time."""
    evidence = TrafficEvidence(0.01)
    count = 20_000
    start = time.process_time()
    for n in range(count):
        evidence.add(0 if n % 50 == 0 else 1, 1, 9, 9)
    return 1e6 * (time.process_time() - start) / count


def found_within(samples: int, runs: int = 400) -> float:
    """Give how often 99 -> 97 % is rejected within so many samples a side."""
    return traffic(0.99, 0.97, 0.01, 1, runs=runs, longest=samples).rejected


Line = tuple[str, Sizes, str]
# The scenarios of the table below, in its order, as results.json names them.
NAMES = ("paired", "even", "tenth", "tenth_close", "same", "same_paired")


def table(runs: int) -> Sequence[Line]:
    """Play every scenario."""
    return (
        (
            "paired 100 -> 80 %",
            pairs(1.0, 0.8, 0.05, runs=runs, longest=400),
            "<= 30 / 52",
        ),
        (
            "50/50 traffic 99 -> 97 %, margin 1 %",
            traffic(0.99, 0.97, 0.01, 1, runs=runs, longest=4_000),
            "<= 560 / 1,800",
        ),
        (
            "10/90 traffic 100 -> 80 %",
            traffic(1.0, 0.8, 0.05, 9, runs=runs, longest=400),
            "<= 12 / 30",
        ),
        (
            "10/90 traffic 99 -> 97 %",
            traffic(0.99, 0.97, 0.01, 9, runs=runs, longest=3_000),
            "<= 330 / 1,100",
        ),
        (
            "no change at 99 %, margin 2 %, to promote",
            traffic(0.99, 0.99, 0.02, 1, runs=runs, longest=3_000, wanted="promote"),
            "<= 380 / 1,000",
        ),
        (
            "the same, pairs alike in .8, margin 1 %",
            pairs(0.99, 0.99, 0.01, runs=runs, longest=4_000, alike=0.8, wanted="promote"),
            "<= 400 / 1,200",
        ),
    )


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(prog="python -m benchmarks.canary")
    told.add_argument("--runs", type=int, default=400)
    runs = told.parse_args().runs
    for name, one, reach in table(runs):
        print(
            f"{name:<42} {one.median:>6g} / {one.p95:<6g} reach {reach:<16}"
            f" rejected {one.rejected:.3f} promoted {one.promoted:.3f}"
        )
    same = traffic(0.99, 0.99, 0.01, 1, runs=2 * runs, longest=1_500)
    edge = traffic(0.99, 0.97, 0.02, 1, runs=2 * runs, longest=1_500)
    naive = peeking_z(0.99, runs=2 * runs, longest=1_500)
    print(f"no change, looked at always: rejected {same.rejected:.3f} (naive z-test {naive:.3f})")
    print(f"worse by just the margin: promoted {edge.promoted:.3f}, reach <= {ALPHA}")
    broken = [random.Random(f"k/{n}").choices((1.0, 0.0), (0.8, 0.2), k=38) for n in range(runs)]
    low = sum(kayenta.classify(one, [1.0] * 38) == "low" for one in broken) / runs
    print(f"Kayenta's judge on 38 pairs, 100 -> 80 %: found in {low:.2f}")
    for points, size in KAYENTA:
        found = kayenta.detected(0.99, 0.97, points, size, runs // 2)
        told = f"{points} points of {size} requests"
        print(f"Kayenta's judge on 1,200 an arm, 99 -> 97 %, {told}: found in {found:.2f}")
    print(f"the same, by betting, within 1,200 an arm: found in {found_within(1_200, runs):.2f}")
    print(f"one sample costs {sample_us():.1f} us")


if __name__ == "__main__":
    main()
