"""What each release of the support agent does to its answers, beside the baseline.

    python -m benchmarks.agent_releases [--write]

Law: every figure is measured by asking the whole bank anew, in the agent's own code; a release is
put in place, asked, and rolled back in the same surroundings, so that what a roll-back leaves
behind is seen. The clock stands in March 2026 and moves on a fifth of a second with each question.
With --write the table in docs/agent.md is replaced.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from scipy.stats import binomtest

from midwatch.agent.agent import Agent, Reply, deploy
from midwatch.agent.grader import ask, judge
from midwatch.agent.questions import Question, bank, frequent, part, slices_of
from midwatch.agent.releases import BASELINE, RELEASES, Release
from midwatch.agent.surroundings import Surroundings

MARCH = 1_772_400_000.0
DECEMBER = 1_796_600_000.0  # 2026: the holidays that no release knows yet
STEP_S = 0.2
SEED = 6
MIN_SLICE = 5  # questions; in a smaller one a share says little
PAGE = Path(__file__).parents[1] / "docs" / "agent.md"
HEAD = (
    "| release or fault | what it is | good | broken / fixed | McNemar's p | answers changed |"
    " hardest hit | good after rolling back the code |"
)
BEGIN, END = "<!-- releases: begin -->\n", "<!-- releases: end -->\n"


class Row(Struct, frozen=True):
    """One release or fault beside the baseline; `after` is what is good after a rollback."""

    name: str
    says: str
    good: float
    broken: int
    fixed: int
    p: float
    changed: int
    slice: str
    slice_change: float
    after: float


class Run(Struct, frozen=True):
    """Who answered well, and what was said."""

    good: dict[str, bool]
    said: dict[str, str]

    @property
    def share(self) -> float:
        """The share of good answers."""
        return sum(self.good.values()) / len(self.good)


class Clock:
    """Time that moves with the questions."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Give the time, in seconds since the epoch."""
        return self.now


def play(release: Release, around: Surroundings, clock: Clock) -> Run:
    """Put a release in place and ask the whole bank."""
    deploy(release, around, frequent(part("online")))
    agent = Agent(release, around, clock)
    good: dict[str, bool] = {}
    said: dict[str, str] = {}
    # Users do not ask in the bank's order: all about orders at once would be a storm by itself.
    for question in random.Random(SEED).sample(bank(), len(bank())):
        clock.now += STEP_S
        reply: Reply = ask(agent, question)
        good[question.id], said[question.id] = judge(question, reply).good, reply.text
    return Run(good, said)


def row(name: str, says: str, before: Run, bad: Run, after: Run) -> Row:
    """Compare; McNemar's p is exact, of the questions that differ."""
    broken = sum(before.good[one] and not bad.good[one] for one in bad.good)
    fixed = sum(bad.good[one] and not before.good[one] for one in bad.good)
    p = binomtest(broken, broken + fixed).pvalue if broken + fixed else 1.0
    changes = {
        name: _share(bad, members) - _share(before, members)
        for name, members in slices_of(bank()).items()
        if len(members) >= MIN_SLICE
    }
    worst = min(changes, key=lambda one: changes[one])
    changed = sum(bad.said[one] != before.said[one] for one in bad.said)
    return Row(name, says, bad.share, broken, fixed, p, changed, worst, changes[worst], after.share)


def _share(run: Run, members: Sequence[Question]) -> float:
    return sum(run.good[one.id] for one in members) / len(members)


def _slow(around: Surroundings) -> None:
    """A stall of eight seconds, after which each look-up takes longer than usual."""
    around.orders.work_s = 0.8
    around.orders.backlog_s, around.orders.at_s = 8.0, MARCH


def _primary_down(around: Surroundings) -> None:
    around.providers_down.add("first")


def _orders_down(around: Surroundings) -> None:
    around.orders.down = True


def _nothing(around: Surroundings) -> None:
    del around


def rows() -> list[Row]:
    """Measure every release, and every fault that belongs to none."""
    found: list[Row] = []
    for release in RELEASES.values():
        if release is BASELINE:
            continue
        slow = release.name == "retry-storm"
        says = f"{release.says}, while the back end is slow" if slow else release.says
        found.append(_one(release.name, says, release, _slow if slow else _nothing, MARCH))
    for name, says, harm, now in (
        ("provider down", "no release: what phrases answers is down", _primary_down, MARCH),
        ("back end down", "no release: orders cannot be looked up", _orders_down, MARCH),
        ("date rule", "every release: the holidays of 2026 are unknown", _nothing, DECEMBER),
    ):
        found.append(_one(name, says, BASELINE, harm, now))
    return found


def _one(
    name: str, says: str, release: Release, harm: Callable[[Surroundings], None], now: float
) -> Row:
    around, clock = Surroundings(), Clock(now)
    if now == DECEMBER:
        around.season = 2026
        before = play(BASELINE, around, clock)
        around.season = 2025
    elif release is BASELINE:
        before = play(BASELINE, around, clock)
    else:
        # A release is compared with the baseline in the same weather.
        weather = Surroundings()
        harm(weather)
        before = play(BASELINE, weather, Clock(now))
    harm(around)
    bad = play(release, around, clock)
    return row(name, says, before, bad, play(BASELINE, around, clock))


def table(found: Sequence[Row]) -> list[str]:
    """Write the rows as Markdown."""
    start = play(BASELINE, Surroundings(), Clock(MARCH))
    lines = [
        f"The baseline answers {start.share:.1%} of {len(start.good)} questions well.",
        "",
        HEAD,
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{one.name}` | {one.says} | {one.good:.1%} | {one.broken} / {one.fixed} | {_p(one.p)} |"
        f" {one.changed} | {one.slice} {100 * one.slice_change:+.0f} points | {one.after:.1%} |"
        for one in found
    ]
    return lines


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 1e-4"


def main() -> None:
    """Print the table, and put it into its page when asked to."""
    told = argparse.ArgumentParser(prog="python -m benchmarks.agent_releases")
    told.add_argument("--write", action="store_true", help=f"replace the table in docs/{PAGE.name}")
    lines = table(rows())
    print("\n".join(lines))
    if told.parse_args().write:
        text = PAGE.read_text("utf-8")
        before, rest = text.split(BEGIN)
        PAGE.write_text(
            before + BEGIN + "\n".join(lines) + "\n" + END + rest.split(END)[1], "utf-8"
        )


if __name__ == "__main__":
    main()
