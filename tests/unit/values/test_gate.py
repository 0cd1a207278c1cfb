"""The gate: neither red by noise nor green by luck, and nothing passes on nothing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
from benchmarks import gate as bench
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact

from midwatch.core.values.exact import Sample, broad, fisher, one_sided, sign_test
from midwatch.core.values.gate import Count, Gate, Member, Settings, Side, Verdict

TRIALS = 1_000 if os.environ.get("MIDWATCH_SOAK") else 150
ROOM = 0.0 if TRIALS >= 1_000 else 0.03  # for the chance of the small simulation
Answers = Callable[[Side, str, int], str]


def play(members: list[Member], answers: Answers, **more: object) -> Verdict:
    """Run a gate whose runs come out as `answers` says: p, f or e."""
    gate = Gate(members, **more)  # type: ignore[arg-type]
    while gate.wants:
        came: dict[tuple[Side, str], Count] = {}
        for want in gate.wants:
            said = "".join(answers(want.side, want.case, n) for n in range(want.times))
            key = (want.side, want.case)
            came[key] = Count(said.count("p"), said.count("f"), said.count("e"))
        gate.take(came)
    assert gate.verdict is not None
    return gate.verdict


def cases(count: int = 4, **more: object) -> list[Member]:
    """So many plain cases."""
    return [Member(f"c{n}", **more) for n in range(count)]  # type: ignore[arg-type]


def failing(*names: str, side: str = "candidate") -> Answers:
    """These cases always fail on one side."""
    return lambda at, case, n: "f" if at == side and case in names else "p"


@pytest.mark.parametrize(
    ("scene", "word", "least", "most"),
    [
        ("no change", "red", 0.0, 0.01),
        ("no change", "inconclusive", 0.0, 0.02),
        ("no change, stale history", "red", 0.0, 0.02),
        ("no change, history far better", "red", 0.0, 0.02),
        ("no change, no history", "red", 0.0, 0.01),
        ("no change, no history", "inconclusive", 0.0, 0.02),
        ("one case broken", "red", 0.99, 1.0),
        ("one case broken, no history", "red", 0.99, 1.0),
        ("an eight-case slice to 0.5", "red", 1.0, 1.0),
        ("broad -3 points", "red", 0.95, 1.0),
        ("broad -3 points", "green", 0.0, 0.05),
        ("broad -3 points, no history", "green", 0.0, 0.05),
        ("broad -3 points, history too", "red", 0.95, 1.0),
        ("broad -3 points, history too", "green", 0.0, 0.05),
        ("broad -1 point", "red", 0.2, 1.0),
        (".93 -> .30", "red", 0.75, 1.0),
        (".93 -> .30, no history", "red", 0.5, 1.0),
    ],
)
@pytest.mark.slow
@pytest.mark.soak
def test_the_table_of_simulated_suites(scene: str, word: str, least: float, most: float) -> None:
    """200 cases; the same figures that python -m benchmarks.gate prints."""
    found = getattr(shares(scene), word)
    assert least - ROOM <= found <= most + ROOM


SEEN: dict[str, bench.Shares] = {}


def shares(scene: str) -> bench.Shares:
    """Play a scene once for all tests."""
    if scene not in SEEN:
        SEEN[scene] = bench.shares(next(s for s in bench.SCENES if s.name == scene), TRIALS)
    return SEEN[scene]


@pytest.mark.slow
def test_without_a_change_few_calls_are_spent() -> None:
    """On average 500 beyond two epochs of the candidate, for 200 cases with history."""
    assert shares("no change").extra <= 500 * (1 + ROOM)


def test_deterministic_cases_that_pass_on_both_sides_are_green() -> None:
    """Four are enough: without noise the drop is exact."""
    verdict = play(cases(4), failing())
    assert (verdict.verdict, verdict.drop, verdict.bound) == ("pass", 0.0, 0.0)
    assert verdict.calls == 24


def test_one_that_broke_is_red_by_its_name() -> None:
    """Without noise at once; with noise elsewhere after fresh runs of both sides."""
    verdict = play(cases(4), failing("c2"))
    assert verdict.verdict == "regression"
    assert [one.name for one in verdict.blamed] == ["c2"]
    assert "case c2 fails 3 of 3, the baseline 0 of 3, each time" in verdict.reason.says

    def flaky(side: Side, case: str, n: int) -> str:
        return "f" if (side, case) == ("candidate", "c2") or (case == "c3" and n % 3 == 0) else "p"

    verdict = play(cases(60), flaky)
    assert verdict.verdict == "regression"
    assert "case c2 fails 16 of 16, the baseline 0 of 16" in verdict.reason.says


@pytest.mark.parametrize(
    ("count", "worse", "better", "word"),
    [
        (574, 2, 0, "pass"),
        (3_000, 18, 12, "pass"),
        (100, 1, 0, "pass"),
        (99, 1, 0, "regression"),
        (1_000, 9, 0, "regression"),
        (1_000, 12, 12, "regression"),
    ],
)
def test_what_turns_without_noise_is_counted(
    count: int, worse: int, better: int, word: str
) -> None:
    """A harmless change turns few cases, this way and that; they are named all the same."""

    def answers(side: Side, case: str, n: int) -> str:
        number = int(case[1:])
        if number < worse:
            return "f" if side == "candidate" else "p"
        return "f" if side == "baseline" and number < worse + better else "p"

    verdict = play(cases(count), answers)
    assert verdict.verdict == word
    if word == "pass":
        assert f"{worse} of {count} got worse: c0" in verdict.reason.says


def test_what_fails_on_both_sides_is_no_regression() -> None:
    """It was so before."""
    assert play(cases(4), lambda side, case, n: "f" if case == "c1" else "p").verdict == "pass"


def test_an_incidents_case_is_never_averaged() -> None:
    """One valid failure of 201 blocks; a noisy one by the k of m that it was admitted with."""
    many = [*cases(200), Member("own", incident="INC-1")]
    verdict = play(many, lambda side, case, n: "f" if case == "own" and n == 1 else "p")
    assert (verdict.verdict, verdict.blamed[0].kind) == ("regression", "incident")
    noisy = [*cases(4), Member("own", incident="INC-1", runs=5, least=4)]
    once = play(noisy, lambda side, case, n: "f" if case == "own" and n == 0 else "p")
    assert once.verdict == "pass"
    twice = play(noisy, lambda side, case, n: "f" if case == "own" and n < 2 else "p")
    assert twice.verdict == "regression"


@pytest.mark.parametrize(
    ("members", "answers", "word", "says"),
    [
        ([], failing(), "error", "there are no cases"),
        (cases(3), lambda side, case, n: "e" if side == "candidate" else "p", "error", "no case"),
        (
            cases(3),
            lambda side, case, n: "e" if side == "baseline" else "p",
            "inconclusive",
            "there is no baseline",
        ),
        (
            cases(3),
            lambda side, case, n: "e" if case == "c1" else "p",
            "inconclusive",
            "1 of 3 cases could not be run: c1",
        ),
        (
            [*cases(2), Member("own", incident="INC-1")],
            lambda side, case, n: {"own": "f", "c1": "e"}.get(case, "p"),
            "regression",
            "own",
        ),
        (
            [Member("own", incident="INC-1")],
            lambda side, case, n: "e",
            "error",
            "no case",
        ),
    ],
)
def test_nothing_passes_on_nothing(
    members: list[Member], answers: Answers, word: str, says: str
) -> None:
    """No cases, all errors, no baseline, some errors; a valid failure goes before errors."""
    verdict = play(members, answers)
    assert verdict.verdict == word
    assert says in verdict.reason.says


ERRORS = {"c1": "e"}


@pytest.mark.parametrize("at", ["candidate", "baseline"])
@pytest.mark.parametrize("runs", [0, 30])
def test_a_valid_failure_is_red_beside_what_could_not_be_run(at: str, runs: int) -> None:
    """Whichever side broke, with history or without: what could be run is judged first."""
    history = {f"c{n}": Count(runs) for n in range(4)} if runs else {}

    def answers(side: Side, case: str, n: int) -> str:
        if side == at and case in ERRORS:
            return "e"
        return "f" if side == "candidate" and case == "c0" else "p"

    verdict = play(cases(4), answers, history=history)
    assert verdict.verdict == "regression"
    assert [one.name for one in verdict.blamed if one.kind == "case"] == ["c0"]


def test_a_valid_failure_is_red_beside_an_incident_without_its_case() -> None:
    """What is not known of one incident hides nothing of the cases that are there."""
    verdict = play(cases(4), failing("c0"), unproven=("INC-7",))
    assert (verdict.verdict, verdict.blamed[-1].name) == ("regression", "c0")


@pytest.mark.parametrize("runs", [0, 30])
def test_what_could_not_be_run_makes_the_others_neither_red_nor_green(runs: int) -> None:
    """Sixty cases that flake, three in error: red by noise hardly ever, and by a broken one."""
    import random

    history = {f"c{n}": Count(runs * 19 // 20, runs - runs * 19 // 20) for n in range(60)}
    words: dict[str, list[str]] = {"none": [], "c9": []}
    for (broken, found), seed in itertools.product(words.items(), range(25)):
        draw = random.Random(f"{broken}/{seed}")

        def answers(
            side: Side, case: str, n: int, broken: str = broken, draw: random.Random = draw
        ) -> str:
            if case in ("c1", "c2", "c3"):
                return "e"
            bad = side == "candidate" and case == broken
            return "f" if bad or draw.random() < 0.05 else "p"

        found.append(play(cases(60), answers, history=history if runs else None).verdict)
    assert set(words["none"]) <= {"inconclusive", "regression"}
    assert words["none"].count("regression") <= 1
    assert set(words["c9"]) == {"regression"}


def test_nothing_counts_where_every_case_is_quarantined() -> None:
    """It says that, for all could be run."""
    verdict = play(cases(3, quarantine="active"), failing())
    assert (verdict.verdict, verdict.reason.says) == (
        "error",
        "every case is quarantined: none counts",
    )


def test_an_incident_without_its_case_is_not_green() -> None:
    """It was closed, and nobody knows whether its bug is back."""
    verdict = play(cases(4), failing(), unproven=("INC-7",))
    assert verdict.verdict == "inconclusive"
    assert "INC-7 closed without a proven case" in verdict.reason.says


def test_quarantine_counts_for_nothing_until_it_is_over() -> None:
    """Red or green; an expired one is red."""
    held = [*cases(3), Member("flaky", quarantine="active")]
    assert play(held, failing("flaky")).verdict == "pass"
    over = [*cases(3), Member("flaky", quarantine="expired")]
    verdict = play(over, failing())
    assert verdict.verdict == "regression"
    assert "the quarantine of case flaky is over" in verdict.reason.says


def test_a_slice_that_drops_is_named() -> None:
    """A ninth of all cases passes half as often; over everything that is little."""
    members = [Member(f"c{n}", ("returns",) if n < 10 else ("other",)) for n in range(90)]

    def answers(side: Side, case: str, n: int) -> str:
        return "f" if side == "candidate" and int(case[1:]) < 10 and n % 2 else "p"

    verdict = play(members, answers)
    assert verdict.verdict == "regression"


def test_the_budget_ends_it() -> None:
    """What cannot be told apart by then is inconclusive, and not one call more is made."""
    import random

    over = 0
    for seed in range(20):
        draw = random.Random(seed)
        coin: Answers = lambda side, case, n: "pf"[draw.random() < 0.5]  # noqa: B023, E731
        verdict = play(cases(6), coin, settings=Settings(budget=60))
        assert verdict.calls <= 60
        over += verdict.verdict == "inconclusive"
    assert over >= 15
    few = play(cases(6), failing("c1"), settings=Settings(budget=10))
    assert (few.verdict, few.calls) == ("inconclusive", 0)
    assert "the budget of 10 calls is not enough" in few.reason.says


@given(st.integers(1, 30), st.integers(1, 30), st.data())
@settings(max_examples=100, deadline=None)
def test_fishers_test_is_scipys(runs: int, base_runs: int, data: st.DataObject) -> None:
    """One-sided, for any table; and a single case is weighed alike."""
    failed = data.draw(st.integers(0, runs))
    base = data.draw(st.integers(0, base_runs))
    table = [[failed, runs - failed], [base, base_runs - base]]
    expected = fisher_exact(table, alternative="greater").pvalue
    one = Sample(failed, runs, base, base_runs)
    assert fisher(one) == pytest.approx(expected, abs=1e-9)
    if failed + base:
        assert broad([one]) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 200), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_mcnemars_test_is_scipys(better: int, worse: int) -> None:
    """Of those that turn each turns either way alike: two-sided, and for the worse alone."""
    total = better + worse
    both = binomtest(worse, total).pvalue if total else 1.0
    more = binomtest(worse, total, alternative="greater").pvalue if total else 1.0
    assert sign_test(better, worse) == pytest.approx(both, rel=1e-9)
    assert one_sided(better, worse) == pytest.approx(more, rel=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_the_test_over_many_cases_is_exact(pairs: list[tuple[int, int]]) -> None:
    """The convolution gives what counting every way gives."""
    from itertools import product
    from math import comb

    samples = [Sample(a, 3, b, 3, weight=n + 1) for n, (a, b) in enumerate(pairs)]
    seen = sum((n + 1) * a for n, (a, _) in enumerate(pairs))
    total = hits = 0
    for ways in product(*(range(4) for _ in pairs)):
        chance = 1
        for k, (a, b) in zip(ways, pairs, strict=True):
            rest = a + b - k
            chance *= comb(3, k) * comb(3, rest) if 0 <= rest <= 3 else 0
        total += chance
        if sum((n + 1) * k for n, k in enumerate(ways)) >= seen:
            hits += chance
    assert broad(samples) == pytest.approx(hits / total, abs=1e-9)


def test_what_flakes_on_both_sides_alike_is_not_called_broken() -> None:
    """Twenty coins, hundreds of suspects: fresh runs of both sides decide."""
    import random

    red = 0
    for seed in range(60):
        draw = random.Random(seed)
        coins: Answers = lambda side, case, n: "pf"[draw.random() < 0.5]  # noqa: B023, E731
        red += play(cases(20), coins).verdict == "regression"
    assert red <= 4


def intents(broken: str, noise: float, seed: int) -> Verdict:
    """77 intents of five cases each; one of them is relabelled on the candidate."""
    import random

    draw = random.Random(seed)
    members = [Member(f"i{n}/{k}", (f"i{n}",)) for n in range(77) for k in range(5)]

    def answers(side: Side, case: str, n: int) -> str:
        if side == "candidate" and broken and case.startswith(f"{broken}/"):
            return "f"
        return "f" if draw.random() < noise else "p"

    return play(members, answers)


@pytest.mark.slow
def test_concentrated_damage_is_caught_and_a_harmless_change_passes() -> None:
    """One intent of 77, with answers that flake in 2 of 100; no change is green."""
    for seed in range(12):
        verdict = intents("i7", 0.02, seed)
        assert verdict.verdict == "regression"
        assert all(one.name.startswith("i7") for one in verdict.blamed)
        assert intents("", 0.02, seed).verdict == "pass"


@pytest.mark.slow
def test_the_support_agents_releases_are_told_apart() -> None:
    """k-9 turns 2 of 574 and passes; no-titles is red, and says in which slices."""
    from midwatch.agent.questions import bank
    from midwatch.drill.agents import EvaluatedAgent, case_of

    agent = EvaluatedAgent(lambda: 1_772_409_600_000)
    questions = {one.id: one for one in bank()}
    known = {name: case_of(one) for name, one in questions.items()}
    members = [Member(name, one.slices) for name, one in questions.items()]
    said: dict[tuple[str, str], str] = {}

    def of(release: str) -> Answers:
        names = {"candidate": release, "baseline": "v1-good"}

        def answers(side: Side, case: str, n: int) -> str:
            one, key = known[case], (names[side], case)
            if key not in said:
                said[key] = agent.answer(names[side], one.question)
            return "p" if said[key] == one.expect else "f"

        return answers

    assert play(members, of("k-9")).verdict == "pass"
    verdict = play(members, of("no-titles"))
    assert verdict.verdict == "regression"
    assert {one.kind for one in verdict.blamed} == {"broad", "slice", "case"}
