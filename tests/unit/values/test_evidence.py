"""Evidence for and against a candidate: how often chance decides wrongly, and which rules win."""

from __future__ import annotations

import json
import random
from math import exp, log

import pytest
from benchmarks import canary
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import beta
from tests.acceptance.serving import midwatch

from midwatch.core.values.evidence import (
    PairEvidence,
    TrafficEvidence,
    _nearest,
    clean_pairs_needed,
)
from midwatch.core.values.verdicts import Pair, judge

RUNS = 1_500
BOUND = log(20)


def upper(count: int, runs: int) -> float:
    """The lower end of the 99.9 % interval of a share: what it must be above to break a law."""
    return float(beta.ppf(0.001, count, runs - count + 1)) if count else 0.0


# --- chance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_no_change_is_rejected_by_chance_at_most_as_often_as_allowed(share: float) -> None:
    """Looked at after every pair and every block, to the end."""
    one = canary.pairs(share, share, 0.05, runs=RUNS, longest=300)
    assert upper(round(one.rejected * RUNS), RUNS) <= 0.05
    two = canary.traffic(share, share, 0.05, 1, runs=RUNS, longest=200)
    assert upper(round(two.rejected * RUNS), RUNS) <= 0.05


@pytest.mark.parametrize(("share", "ratio"), [(0.99, 1), (0.9, 1), (0.95, 9)])
def test_worse_by_the_margin_is_promoted_at_most_as_often_as_allowed(
    share: float, ratio: int
) -> None:
    """The hardest case: exactly on the edge."""
    one = canary.pairs(share, share - 0.05, 0.05, runs=RUNS, longest=300)
    assert upper(round(one.promoted * RUNS), RUNS) <= 0.05
    two = canary.traffic(share, share - 0.05, 0.05, ratio, runs=RUNS, longest=150)
    assert upper(round(two.promoted * RUNS), RUNS) <= 0.05


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.02, 0.98),
    st.floats(0, 0.3),
    st.integers(1, 9),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_a_bet_is_fair_on_the_edge_of_what_it_bets_against(
    base: float, margin: float, ratio: int, good: int, bad: int
) -> None:
    """Whatever was seen before, the next block multiplies the wealth by one at the most."""
    evidence = TrafficEvidence(margin)
    evidence.good, evidence.total = good, good + bad
    evidence.base_good, evidence.base_total = good, good + bad
    for mine, which in ((base, "log_reject"), (base - margin, "log_promote")):
        if not 0 <= mine <= 1:
            continue
        expected = 0.0
        for theirs in range(ratio + 1):
            ways = _choose(ratio, theirs) * base**theirs * (1 - base) ** (ratio - theirs)
            for ours in (0, 1):
                after = TrafficEvidence(margin)
                after.good, after.total = evidence.good, evidence.total
                after.base_good, after.base_total = evidence.base_good, evidence.base_total
                after.add(ours, 1, theirs, ratio)
                expected += ways * (mine if ours else 1 - mine) * exp(getattr(after, which))
        assert expected <= 1 + 1e-6


def _choose(n: int, k: int) -> int:
    found = 1
    for step in range(k):
        found = found * (n - step) // (step + 1)
    return found


@settings(max_examples=80, deadline=None)
@given(st.floats(0.05, 0.99), st.floats(0.05, 0.99), st.integers(1, 20), st.floats(0.005, 0.3))
def test_the_nearest_null_is_scipys(mine: float, theirs: float, ratio: int, margin: float) -> None:
    """The least divergence of a block along the edge."""

    def divergence(share: float) -> float:
        less = share - margin
        return -(
            mine * log(less)
            + (1 - mine) * log(1 - less)
            + ratio * (theirs * log(share) + (1 - theirs) * log(1 - share))
        )

    found = minimize_scalar(
        divergence, bounds=(margin + 1e-9, 1 - 1e-9), method="bounded", options={"xatol": 1e-10}
    )
    ours = _nearest(mine, theirs, 1, ratio, margin)
    assert divergence(ours) <= float(found.fun) + 1e-7


def test_it_takes_as_many_clean_pairs_as_is_said() -> None:
    """No method can do with fewer than 59 and 299; this one needs 75 and 383."""
    assert clean_pairs_needed(0.05, 0.05) == 75
    assert clean_pairs_needed(0.01, 0.05) == 383


def test_samples_to_a_verdict_are_within_reach() -> None:
    """A small run of the table that benchmarks/canary.py prints whole."""
    bad = canary.pairs(1.0, 0.8, 0.05, runs=300, longest=400)
    assert (bad.median, bad.p95) <= (30, 54)
    live = canary.traffic(1.0, 0.8, 0.05, 9, runs=300, longest=400)
    assert live.median <= 12
    assert live.p95 <= 30


def test_the_order_of_wealth_is_what_was_seen() -> None:
    """The product of bets is the same however it is grouped, and never negative."""
    draw = random.Random(5)
    evidence = PairEvidence(0.05)
    for _ in range(500):
        evidence.add(draw.random(), draw.random())
        assert evidence.reject >= 0
        assert evidence.promote >= 0


# --- the rules ----------------------------------------------------------------------------------


def pairs(count: int, candidate: float | None = 1.0, baseline: float | None = 1.0) -> list[Pair]:
    """So many pairs."""
    return [Pair(f"c{n}", candidate, baseline, line=n + 1) for n in range(count)]


def test_clean_pairs_promote_where_they_are_enough() -> None:
    """The verdict says on which line."""
    assert (judge(pairs(100)).verdict, judge(pairs(100)).line) == ("promote", 75)
    found = judge(pairs(74))
    assert found.verdict == "inconclusive"
    assert "eligible for live traffic" in found.reason.says
    assert found.reason.terms["clean_pairs_missing"] == 1
    assert judge(pairs(50), margin=0.1).verdict == "promote"


def test_a_drop_rejects_and_reject_wins() -> None:
    """Also when the boundary to promote was reached before it."""
    assert judge(pairs(40, 0.0)).verdict == "reject"
    late = [*pairs(100), *(Pair(f"d{n}", 0.0, 1.0, line=101 + n) for n in range(60))]
    assert judge(late).verdict == "reject"
    better = [Pair(f"c{n}", 1.0, 0.0, line=n + 1) for n in range(40)]
    assert judge(better).verdict == "promote"


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "no pair"),
        (pairs(10, None, None), "no pair"),
        ([*pairs(90), *(Pair(f"x{n}", None, 1.0) for n in range(6))], "missing or errors"),
        ([*pairs(100), Pair("c3", 1.0, 1.0, line=101)], "'c3' is reported twice"),
        ([*pairs(100), Pair("inc", None, 1.0, regression=True)], "could not be judged"),
    ],
)
def test_what_is_missing_never_promotes(found: list[Pair], says: str) -> None:
    """No data is never good news."""
    verdict = judge(found)
    assert verdict.verdict == "inconclusive"
    assert says in verdict.reason.says


def test_a_few_missing_pairs_are_left_out() -> None:
    """Up to one in twenty."""
    found = [*(Pair(f"x{n}", 1.0, None) for n in range(5)), *pairs(95)]
    assert judge(found).verdict == "promote"
    assert judge(found).reason.terms["missing"] == 5


def test_a_regression_case_that_fails_rejects() -> None:
    """Whatever the others say; passing like the baseline is no failure."""
    bad = [*pairs(200), Pair("inc-1", 0.0, 1.0, regression=True, line=201)]
    assert (judge(bad).verdict, judge(bad).line) == ("reject", 201)
    assert "inc-1" in judge(bad).reason.says
    good = [*pairs(200), Pair("inc-1", 1.0, 1.0, regression=True, line=201)]
    assert judge(good).verdict == "promote"


# --- as it is typed -----------------------------------------------------------------------------


def test_the_command_says_it_and_its_code_agrees(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """0, 1 and 3; --json has verdict, reason and line."""
    file = tmp_path / "evidence.jsonl"
    for candidate, count, verdict, code in (
        (1, 80, "promote", 0),
        (0, 80, "reject", 1),
        (1, 20, "inconclusive", 3),
    ):
        lines = [{"case": f"c{n}", "candidate": candidate, "baseline": 1} for n in range(count)]
        file.write_text("\n".join(map(json.dumps, lines)), "utf-8")
        done = midwatch("release", "judge", str(file), "--json")
        told = json.loads(done.stdout)
        assert (told["verdict"], done.returncode) == (verdict, code)
        assert told["reason"]
        assert (told["line"] is None) == (verdict == "inconclusive")
        plain = midwatch("release", "judge", str(file))
        assert plain.stdout.startswith(f"{verdict}: ")
        assert plain.returncode == code


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nothing", "evidence.jsonl:2"),
        ('{"case": "a", "candidate": 2, "baseline": 1}', "evidence.jsonl:2"),
        ('{"case": "a", "candidate": 1}', "baseline"),
        ('{"case": 7, "candidate": 1, "baseline": 1}', "case"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line: str, says: str) -> None:  # type: ignore[no-untyped-def]
    """With its place; it is no verdict."""
    file = tmp_path / "evidence.jsonl"
    file.write_text('{"case": "z", "candidate": 1, "baseline": 1}\n' + line, "utf-8")
    done = midwatch("release", "judge", str(file))
    assert done.returncode == 2
    assert says in done.stderr
