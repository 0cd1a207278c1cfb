"""Lab and engine agree where they overlap, and the engine never dares more on less evidence."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.core.rules import fixes
from midwatch.core.state import releases
from midwatch.core.state.releases import Pointer, Release
from midwatch.core.values import slo
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.sli import Counts, SliReading
from midwatch.core.values.slo import Slo, Verify

LAB = Path(__file__).parents[3] / "lab" / "solution" / "parts.py"


def load_parts() -> ModuleType:
    """Load the lab's toolkit as it stands."""
    spec = importlib.util.spec_from_file_location("lab_parts", LAB)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


parts = load_parts()

COUNTS = st.integers(0, 5_000).flatmap(
    lambda total: st.builds(Counts, st.integers(0, total), st.just(total))
)
OBJECTIVES = st.sampled_from(["0.9", "0.95", "0.99", "0.995", "0.999", "0.9999"])


def reading(counts: Counts, at: int = 10**9) -> SliReading:
    """The same counts in every window."""
    windows = slo.windows_needed(Slo("s/x", "s", "0.99"), Verify())
    return SliReading("s/x", at, dict.fromkeys(windows, counts))


@given(COUNTS.filter(lambda c: c.total > 0), OBJECTIVES)
def test_burn_and_sli_are_equal(counts: Counts, objective: str) -> None:
    """The same good and total give the same SLI and the same burn."""
    measured = parts.sli(counts.good, counts.total)
    assert counts.percent == pytest.approx(100 * measured)
    engine = slo.burn_rate(counts, Slo("s/x", "s", objective).budget)
    assert engine is not None
    assert float(engine) == pytest.approx(parts.burn_rate(measured, float(objective)), abs=1e-5)


@given(COUNTS, OBJECTIVES)
def test_the_engine_pages_only_when_the_lab_does(counts: Counts, objective: str) -> None:
    """With the same evidence in all windows a sev1 of the engine is a sev1 of the lab."""
    unproven = Slo("s/x", "s", objective, proof="")
    burning = slo.judge_burn(unproven, reading(counts).windows).burning
    if counts.total == 0:
        assert burning is None
        return
    call = parts.page(parts.sli(counts.good, counts.total), float(objective))
    # The lab rounds dust off at six places; within it the two may differ.
    exact = Fraction(counts.bad, counts.total) / (1 - Fraction(objective))
    near = min(abs(exact - Fraction("14.4")), abs(exact - 6)) < Fraction(1, 10**5)
    if burning is not None and burning.tier.severity in ("sev1", "sev2") and not near:
        assert call["paged"]
        assert call["severity"] == burning.tier.severity
    if call["paged"] and counts.total >= 30 and not near:
        assert burning is not None
        assert burning.tier.severity == call["severity"]


@given(COUNTS, OBJECTIVES)
def test_the_engine_recovers_on_no_less_than_the_lab(counts: Counts, objective: str) -> None:
    """What the engine calls well, the lab calls within the objective; without data nobody does."""
    verdict, _ = slo.judge_recovery(Slo("s/x", "s", objective), Verify(), reading(counts), since=0)
    if verdict == "recovered":
        assert counts.total >= 30
        # Strictly within the budget; the lab's own line is "at least the objective".
        assert Fraction(counts.good, counts.total) > Fraction(objective)


NAMES = st.lists(st.sampled_from(["v1", "v2", "v3", "v4", "v5"]), unique=True, min_size=1)


@given(NAMES, st.data())
def test_the_rollback_target_is_equal(names: list[str], data: st.DataObject) -> None:
    """The newest good release that is neither bad nor live: the same for both, or none."""
    good = [n for n in names if data.draw(st.booleans())]
    live = data.draw(st.sampled_from(names))
    registry = parts.Registry()
    registry.live = live
    # The engine records one last good release; the lab keeps the list that it is the end of.
    registry.good = good[-1:]
    registry.bad = [n for n in names if data.draw(st.integers(0, 3)) == 0]
    pointer = Pointer("s", live=live, last_good=good[-1] if good else "")
    for name in names:
        standing = "bad" if name in registry.bad else "good" if name in good else "unproven"
        pointer.releases[name] = Release(name, name, standing)
    target, _ = releases.rollback_target(pointer)
    try:
        expected = registry.last_good()
    except parts.NotDone:
        expected = ""
    assert target == expected


ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30).flatmap(
    lambda rows: st.sampled_from((0, 150)).map(lambda clean: rows + [(True, True)] * clean)
)
STATUS = {True: "passed", False: "failed"}


@given(ANSWERS, st.booleans(), st.booleans())
def test_the_engine_is_the_lab_with_proof(
    answers: list[tuple[bool, bool]], fixed: bool, base: bool
) -> None:
    """It rejects only what the lab does, and whatever fails its incident's case; it wants proof."""
    rows = [*answers, (fixed, base)]
    cases = [{"question": f"q{n}", "expected": True} for n in range(len(rows))]
    call = parts.canary(
        cases,
        cases[-1],
        lambda q: rows[int(q[1:])][0],
        lambda q: rows[int(q[1:])][1],
    )
    outcomes = tuple(
        Outcome(f"q{n}", name, STATUS[row[side]])
        for n, row in enumerate(rows)
        for side, name in enumerate(("new", "old"))
    )
    case = Case(f"q{len(rows) - 1}", "", "", "INC-1")
    verdict = fixes.judge(outcomes, candidate="new", baseline="old", case=case).verdict
    lost = sum(old - new for new, old in rows)
    if verdict == "promote":
        assert lost < 0.05 * len(rows)
        assert len(rows) >= 75 or any(new > old for new, old in rows)
    elif verdict == "reject":
        # By losses alone; a run of them may reject before later gains make up for it.
        assert sum(old > new for new, old in rows) >= (2 if fixed else 0)
        assert call["verdict"] == "reject" or lost <= 0
    if not fixed:
        assert (verdict, call["verdict"]) == ("reject", "reject")
    if all(new >= old for new, old in rows) and fixed and len(rows) > 120:
        assert (verdict, call["verdict"]) == ("promote", "promote")
