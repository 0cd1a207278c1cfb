"""How often the gate is red, over simulated suites, beside what else is done in CI.

    python -m benchmarks.gate [--trials N] [--seed N]

Law: every trial is seeded. 200 cases that pass as often as those of a suite: 160 nearly always,
30 mostly, 10 on a good day. What is compared is the verdict alone; the calls are counted.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping

from msgspec import Struct
from scipy.stats import binomtest

from midwatch.core.values.gate import Count, Gate, Member, Side, Verdict

SHARES = (0.995,) * 160 + (0.93,) * 30 + (0.6,) * 10
NAMES = tuple(f"case-{n}" for n in range(len(SHARES)))
HISTORY_RUNS = 30
SEED = 8


class Scene(Struct, frozen=True):
    """What the candidate is, and what history knows; shares by case."""

    name: str
    candidate: tuple[float, ...]
    history: tuple[float, ...] | None = SHARES
    slices: Mapping[str, tuple[str, ...]] = {}


def lowered(shares: tuple[float, ...], by: float) -> tuple[float, ...]:
    """Lower each share."""
    return tuple(max(share - by, 0.0) for share in shares)


def broken(cases: range | tuple[int, ...], to: float = 0.0) -> tuple[float, ...]:
    """Break some cases."""
    return tuple(to if n in cases else share for n, share in enumerate(SHARES))


SLICED = {"eight": tuple(NAMES[20:28])}
SCENES = (
    Scene("no change", SHARES),
    Scene("no change, stale history", SHARES, lowered(SHARES, -0.004)),
    Scene("no change, history far better", SHARES, (1.0,) * 200),
    Scene("no change, no history", SHARES, None),
    Scene("one case broken", broken((5,))),
    Scene("one case broken, no history", broken((5,)), None),
    Scene("an eight-case slice to 0.5", broken(range(20, 28), 0.5), slices=SLICED),
    Scene("broad -3 points", lowered(SHARES, 0.03)),
    Scene("broad -3 points, no history", lowered(SHARES, 0.03), None),
    Scene("broad -3 points, history too", lowered(SHARES, 0.03), lowered(SHARES, 0.03)),
    Scene("broad -1 point", lowered(SHARES, 0.01)),
    Scene(".93 -> .30", broken((170,), 0.30)),
    Scene(".93 -> .30, no history", broken((170,), 0.30), None),
)


class Shares(Struct, frozen=True):
    """Verdicts of all trials, and the calls beyond two epochs of the candidate, on average."""

    red: float
    green: float
    inconclusive: float
    extra: float


def play(scene: Scene, seed: str) -> Verdict:
    """Run one gate."""
    draw = random.Random(seed)
    of = {name: tuple(k for k, cases in scene.slices.items() if name in cases) for name in NAMES}
    members = [Member(name, of[name]) for name in NAMES]
    history = None
    if scene.history is not None:
        history = {
            name: _runs(draw, share, HISTORY_RUNS)
            for name, share in zip(NAMES, scene.history, strict=True)
        }
    sides: dict[Side, dict[str, float]] = {
        "candidate": dict(zip(NAMES, scene.candidate, strict=True)),
        "baseline": dict(zip(NAMES, SHARES, strict=True)),
    }
    gate = Gate(members, history)
    while gate.wants:
        came: dict[tuple[Side, str], Count] = {}
        for want in gate.wants:
            came[want.side, want.case] = _runs(draw, sides[want.side][want.case], want.times)
        gate.take(came)
    assert gate.verdict is not None
    return gate.verdict


def _runs(draw: random.Random, share: float, times: int) -> Count:
    passed = sum(draw.random() < share for _ in range(times))
    return Count(passed, times - passed)


def shares(scene: Scene, trials: int, seed: int = SEED) -> Shares:
    """Run many."""
    found = [play(scene, f"{seed}/{scene.name}/{n}") for n in range(trials)]
    by = {word: sum(v.verdict == word for v in found) / trials for word in _WORDS}
    extra = sum(v.calls for v in found) / trials - 2 * len(NAMES)
    return Shares(by["regression"], by["pass"], by["inconclusive"], extra)


_WORDS = ("regression", "pass", "inconclusive", "error")

# What else is done: one run of each side, and a rule.
RULES: dict[str, Callable[[list[bool], list[bool]], bool]] = {
    "any failure": lambda mine, base: not all(mine),
    "below baseline": lambda mine, base: sum(mine) < sum(base),
    "> 2 points": lambda mine, base: sum(base) - sum(mine) > 0.02 * len(mine),
    "McNemar": lambda mine, base: _mcnemar(mine, base) < 0.05,
}


def _mcnemar(mine: list[bool], base: list[bool]) -> float:
    lost = sum(b and not m for m, b in zip(mine, base, strict=True))
    won = sum(m and not b for m, b in zip(mine, base, strict=True))
    return binomtest(lost, lost + won, alternative="greater").pvalue if lost + won else 1.0


def others(scene: Scene, trials: int) -> dict[str, float]:
    """Give how often each rule is red after one run of both sides."""
    red = dict.fromkeys(RULES, 0)
    for n in range(trials):
        draw = random.Random(f"others/{scene.name}/{n}")
        mine = [draw.random() < share for share in scene.candidate]
        base = [draw.random() < share for share in SHARES]
        for name, rule in RULES.items():
            red[name] += rule(mine, base)
    return {name: count / trials for name, count in red.items()}


def main() -> None:
    """Print the table."""
    told = argparse.ArgumentParser(prog="python -m benchmarks.gate")
    told.add_argument("--trials", type=int, default=1_000)
    told.add_argument("--seed", type=int, default=SEED, help="8 is what bounds were chosen on")
    given = told.parse_args()
    trials = given.trials
    for scene in SCENES:
        one = shares(scene, trials, given.seed)
        beside = " / ".join(f"{p:.3f}" for p in others(scene, trials).values())
        print(
            f"{scene.name:<32} red {one.red:.3f} green {one.green:.3f}"
            f" inconclusive {one.inconclusive:.3f} extra calls {one.extra:>6.0f}   {beside}",
            flush=True,
        )


if __name__ == "__main__":
    main()
