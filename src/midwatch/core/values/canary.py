"""A candidate on a part of live traffic: what was counted beside the baseline, and its verdict.

Law: what is missing, mismatched or unhealthy holds the weight and never promotes. Evidence is of a
digest: trying it again goes on where it stopped. A guard that is worse rejects, whatever the others
say; the candidate is promoted when every guard has ruled out its margin and every step had its
minimum. All that a verdict follows from stands in the events.

    blocks of time  ->  evidence of each guard  ->  hold | reject | inconclusive | promote | raise
"""

from __future__ import annotations

from math import exp, lgamma, log
from typing import Literal

from msgspec import Struct, field

from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.evidence import TrafficEvidence
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.sli import Indicator

RULE = "canary/2"
RELEASE = "{{.release}}"  # in a guard's question: which release it is about
STEPS = (1, 5, 25, 50)
MAX_MISSED = 0.05
# The split is a mismatch when its share is provably this much more or less than its weight: a busy
# user is no mismatch. Looked at always, so the proof is a bet as well.
SPLIT_SLACK, SPLIT_PROOF, SPLIT_PRIOR = 0.25, 1_000.0, 10.0
Next = Literal["promote", "reject", "inconclusive", "hold", "raise", "wait"]


class Guard(Struct, frozen=True):
    """An indicator that must not get worse by `margin`, of answers that are good or bad.

    With `slo` it is that objective's, counted by the release that a push names; else `indicator`
    asks for one release, which `{{.release}}` in it stands for. A baseline whose share of good is
    below `floor` is no measure for anything.
    """

    name: str
    margin: float
    indicator: Indicator
    slo: str = ""
    floor: float = 0.8


class CanaryPlan(Struct, frozen=True):
    """How candidates of a service are tried: per cent, seconds, and what is guarded."""

    guards: tuple[Guard, ...]
    steps: tuple[int, ...] = STEPS
    samples: int = 20  # of the candidate, of each guard, at each step
    step_s: int = 60
    warm_up_s: int = 30
    deadline_s: int = 4 * 3_600
    every_s: int = 10
    lag_s: int = 10
    alpha: float = 0.05
    margin: float = 0.05  # of eval cases, before live traffic


class Sides(Struct, frozen=True):
    """Answers of one guard in a block of time: good and all, of candidate and baseline."""

    good: int
    total: int
    base_good: int
    base_total: int

    def plus(self, other: Sides) -> Sides:
        """Add up."""
        return Sides(
            self.good + other.good,
            self.total + other.total,
            self.base_good + other.base_good,
            self.base_total + other.base_total,
        )


NOTHING = Sides(0, 0, 0, 0)


class GuardEvidence(Struct):
    """What one digest has shown of one guard, in whatever canaries; when a bound was reached."""

    traffic: TrafficEvidence
    worse_at: int = 0
    cleared_at: int = 0


class Canary(Struct):
    """A canary under way. `step` is the place in the plan's steps, -1 before the first is seen."""

    operation: str
    release: str
    digest: str
    baseline: str
    by: str
    plan: CanaryPlan
    started_at: int
    incident: str = ""
    step: int = -1
    step_at: int = 0
    until: int = 0  # the end of the newest block
    blocks: int = 0
    missed: int = 0
    newest_missed: tuple[str, ...] = ()
    at_step: dict[str, Sides] = field(default_factory=dict[str, Sides])
    held: str = ""

    @property
    def weight(self) -> int:
        """The candidate's per cent at this step."""
        return self.plan.steps[self.step] if self.step >= 0 else 0

    @property
    def counts_from(self) -> int:
        """When the first block of this step may begin: what warms up counts on neither side."""
        return self.step_at + self.plan.warm_up_s * SECOND


class Ended(Struct, frozen=True):
    """How the newest canary of a service ended."""

    operation: str
    release: str
    verdict: str
    reason: Reason
    at: int


def key_of(guard: Guard) -> str:
    """Name a guard's evidence: another margin is another question."""
    return f"{guard.name}/{guard.margin:g}"


def count(
    canary: Canary,
    evidence: dict[str, GuardEvidence],
    block: dict[str, Sides],
    missed: tuple[str, ...],
    at: int,
) -> None:
    """Take a block of time in, that ends at `at`; `missed` are guards that could not be read."""
    canary.until = at
    canary.blocks += 1
    canary.missed += bool(missed)
    canary.newest_missed = missed
    plan = canary.plan
    for guard in plan.guards:
        seen = block.get(guard.name)
        if seen is None:
            continue
        canary.at_step[guard.name] = canary.at_step.get(guard.name, NOTHING).plus(seen)
        one = evidence.get(key_of(guard))
        if one is None:
            one = evidence[key_of(guard)] = GuardEvidence(TrafficEvidence(guard.margin))
        if not seen.total or not seen.base_total:
            continue
        one.traffic.add(seen.good, seen.total, seen.base_good, seen.base_total)
        # Either of several guards may reject, so each gets its part of alpha; all must clear.
        if not one.worse_at and one.traffic.log_reject >= log(len(plan.guards) / plan.alpha):
            one.worse_at = at
        if not one.cleared_at and one.traffic.log_promote >= log(1.0 / plan.alpha):
            one.cleared_at = at


def judge(
    canary: Canary, evidence: dict[str, GuardEvidence], now: int, changed: str = "", sick: str = ""
) -> tuple[Next, Reason]:
    """Say what follows from all that was counted.

    `changed` says that the candidate is no longer what it was, `sick` that it is not healthy.

    >>> from midwatch.core.values.sli import Indicator
    >>> guard = Guard("errors", 0.05, Indicator("counter"))
    >>> canary, found = Canary("c", "v2", "d", "v1", "ada", CanaryPlan((guard,)), 0, step=3), {}
    >>> for n in range(10):
    ...     count(canary, found, {"errors": Sides(0, 2, 2, 2)}, (), n * 10_000)
    >>> judge(canary, found, 100_000)[0]
    'reject'
    """
    terms = _terms(canary, evidence)

    def say(word: Next, says: str) -> tuple[Next, Reason]:
        return word, Reason(RULE, says, terms)

    guards = canary.plan.guards
    over = now - canary.started_at >= canary.plan.deadline_s * SECOND
    if held := changed or _held(canary):
        if over:
            says = f"not decided in {show_duration(canary.plan.deadline_s)}: {held}"
            return say("inconclusive", says)
        return say("hold", held)
    for guard in guards:
        one = evidence.get(key_of(guard))
        if one is not None and one.worse_at:
            return say("reject", f"{guard.name} is worse: {_shares(one.traffic)}")
    if sick:
        return say("inconclusive", f"{canary.release} is not healthy: {sick}")
    open_ = [guard.name for guard in guards if not _is_cleared(evidence, guard)]
    at_last = canary.step == len(canary.plan.steps) - 1
    lacks = _lacks(canary, now)
    if not open_ and at_last and not lacks:
        margins = ", ".join(f"{one.name} by {one.margin:g}" for one in guards)
        return say("promote", f"not worse in {margins} or more")
    if over:
        what = f"{', '.join(open_)} not ruled out" if open_ else lacks
        says = f"not decided in {show_duration(canary.plan.deadline_s)}: {what}"
        return say("inconclusive", says)
    if lacks or at_last:
        return say("wait", lacks or f"{', '.join(open_)}: not ruled out yet")
    return say("raise", f"{canary.weight} % reached its minimum")


def _is_cleared(evidence: dict[str, GuardEvidence], guard: Guard) -> bool:
    one = evidence.get(key_of(guard))
    return one is not None and bool(one.cleared_at)


def _shares(seen: TrafficEvidence) -> str:
    mine, theirs = seen.good / seen.total, seen.base_good / seen.base_total
    return (
        f"{mine:.1%} of {seen.total} good, the baseline {theirs:.1%} of {seen.base_total}"
    ).replace("%", " %")


def _held(canary: Canary) -> str:
    """Say why the weight is held; empty when nothing speaks against going on."""
    if canary.newest_missed:
        return f"{', '.join(canary.newest_missed)} cannot be read"
    if canary.missed > MAX_MISSED * canary.blocks:
        return f"{canary.missed} of {canary.blocks} blocks of time could not be read"
    for guard in canary.plan.guards:
        seen = canary.at_step.get(guard.name, NOTHING)
        least = canary.plan.samples
        if seen.base_total >= least and seen.base_good < guard.floor * seen.base_total:
            share = f"{seen.base_good} of {seen.base_total} good"
            return f"the baseline is not well: {guard.name} {share}"
    total, share = _split(canary)
    if total and mismatch(share, total, canary.weight / 100) >= SPLIT_PROOF:
        return f"the candidate got {share} of {total} requests, its share is {canary.weight} %"
    return ""


def _split(canary: Canary) -> tuple[int, int]:
    """Give all requests of this step, and those of the candidate, by the guard that saw most."""
    sides = max(
        canary.at_step.values(), key=lambda one: one.total + one.base_total, default=NOTHING
    )
    return sides.total + sides.base_total, sides.total


def mismatch(share: int, total: int, weight: float) -> float:
    """Give the evidence against a split near its weight: a bet that may be looked at always.

    A beta mixture over all shares, against the share within SPLIT_SLACK that fits best.

    >>> mismatch(50, 1_000, 0.05) < 1.0, mismatch(0, 1_000, 0.05) > 1_000.0
    (True, True)
    """
    if not 0.0 < weight < 1.0:
        return 1.0
    low, high = weight * (1.0 - SPLIT_SLACK), min(weight * (1.0 + SPLIT_SLACK), 1.0 - 1e-9)
    null = min(max(share / total, low), high)
    one, other = SPLIT_PRIOR * weight, SPLIT_PRIOR * (1.0 - weight)
    rest = total - share
    gained = (
        lgamma(one + share)
        + lgamma(other + rest)
        - lgamma(one + other + total)
        - lgamma(one)
        - lgamma(other)
        + lgamma(one + other)
    )
    return exp(min(gained - share * log(null) - rest * log(1.0 - null), 700.0))


def _lacks(canary: Canary, now: int) -> str:
    """Say what this step lacks before more follows; empty when it had its minimum."""
    for guard in canary.plan.guards:
        seen = canary.at_step.get(guard.name, NOTHING).total
        if seen < canary.plan.samples:
            return f"{guard.name}: {seen} of {canary.plan.samples} samples at {canary.weight} %"
    left_s = canary.plan.step_s - (now - canary.step_at) // SECOND
    return f"{canary.weight} % for {show_duration(left_s)} more" if left_s > 0 else ""


def _terms(canary: Canary, evidence: dict[str, GuardEvidence]) -> dict[str, Term]:
    plan = canary.plan
    terms: dict[str, Term] = {
        "weight": canary.weight,
        "blocks": canary.blocks,
        "missed": canary.missed,
        "alpha": plan.alpha,
    }
    for guard in plan.guards:
        one = evidence.get(key_of(guard))
        if one is not None:
            seen = one.traffic
            terms[f"{guard.name}_candidate"] = f"{seen.good}/{seen.total}"
            terms[f"{guard.name}_baseline"] = f"{seen.base_good}/{seen.base_total}"
            terms[f"{guard.name}_to_reject"] = round(exp(min(seen.log_reject, 700.0)), 4)
            terms[f"{guard.name}_to_promote"] = round(exp(min(seen.log_promote, 700.0)), 4)
    return terms
