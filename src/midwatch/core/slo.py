"""Service level objectives: windows, burn rates, and when a burn is worth a page.

Law: a tier fires when the burn rate is above its factor in its long AND its short window, with
enough events in the long one; across tiers it is OR, and the worst firing tier speaks. Budgets and
factors are exact fractions, so that a burn of 14.4001 pages and one of 14.4 does not. No data never
fires and never recovers.

Source of the windows and shares: Google, The Site Reliability Workbook, chapter 5.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Literal

from msgspec import Struct

from midwatch.core.clock import show_duration
from midwatch.core.reasons import Reason
from midwatch.core.sli import Counts, SliReading

Severity = Literal["sev1", "sev2", "sev3", "sev4"]

RULE_BURN = "slo.burn/1"
RULE_RECOVERY = "slo.recovery/1"
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


class Tier(Struct, frozen=True):
    """One pair of windows and the share of the budget that its long window may spend.

    `speed` is the word people read: a fast burn, a slow burn.
    """

    name: str
    severity: Severity
    long_s: int
    short_s: int
    budget_share: str
    speed: str

    def factor(self, period_s: int) -> Fraction:
        """Give the burn rate above which this tier fires, exactly.

        >>> [float(t.factor(30 * DAY_S)) for t in TIERS]
        [14.4, 6.0, 3.0, 1.0]
        """
        return _factor(self.budget_share, period_s, self.long_s)


TIERS = (
    Tier("page-quick", "sev1", HOUR_S, 5 * MINUTE_S, "2/100", "fast"),
    Tier("page-slow", "sev2", 6 * HOUR_S, 30 * MINUTE_S, "5/100", "slow"),
    Tier("ticket-quick", "sev3", DAY_S, 2 * HOUR_S, "10/100", "steady"),
    Tier("ticket-slow", "sev4", 3 * DAY_S, 6 * HOUR_S, "10/100", "creeping"),
)


class Slo(Struct, frozen=True):
    """An objective over a period for one service.

    `objective` is a decimal fraction as text ("0.999"), so that its budget has no float residue.
    `min_events` is the fewest events that a window must hold before anything is said about it.
    """

    id: str
    service: str
    objective: str
    period_s: int = 30 * DAY_S
    tiers: tuple[Tier, ...] = TIERS
    min_events: int = 30

    @property
    def budget(self) -> Fraction:
        """The share of events that may be bad, exactly.

        >>> Slo("x", "s", "0.999").budget
        Fraction(1, 1000)
        """
        return _budget(self.objective)

    def rank(self, tier: str) -> int:
        """Give a tier's place, 0 for the worst."""
        return next((n for n, t in enumerate(self.tiers) if t.name == tier), len(self.tiers))

    @property
    def objective_percent(self) -> str:
        """The objective for people.

        >>> Slo("x", "s", "0.99").objective_percent
        '99%'
        """
        return f"{float(Fraction(self.objective) * 100):.6g}%"


# The same few texts come with every reading; parsing one costs more than all the rest.
@cache
def _factor(budget_share: str, period_s: int, long_s: int) -> Fraction:
    return Fraction(budget_share) * period_s / long_s


@cache
def _allowed(objective: str, budget_share: str, period_s: int, long_s: int) -> Fraction:
    return _budget(objective) * _factor(budget_share, period_s, long_s)


@cache
def _budget(objective: str) -> Fraction:
    return 1 - Fraction(objective)


class Burning(Struct, frozen=True):
    """A tier that fires: its rates, the counts behind them, and the reason."""

    tier: str
    severity: Severity
    burn: float
    long: Counts
    short: Counts
    reason: Reason


def burn_rate(counts: Counts, budget: Fraction) -> Fraction | None:
    """Divide the bad fraction by the budget; None without data.

    >>> burn_rate(Counts(80, 100), Fraction(1, 100))
    Fraction(20, 1)
    """
    if not counts.total:
        return None
    return Fraction(counts.bad, counts.total) / budget


def judge_burn(slo: Slo, reading: SliReading) -> Burning | None:
    """Find the worst tier that fires on this reading, None when none does."""
    budget = slo.budget
    for tier in slo.tiers:
        long, short = reading.windows.get(tier.long_s), reading.windows.get(tier.short_s)
        if long is None or short is None or long.total < slo.min_events:
            continue
        if not long.bad or not short.bad:
            continue
        # burn > factor, written without division: bad / total / budget > share * period / window
        allowed = _allowed(slo.objective, tier.budget_share, slo.period_s, tier.long_s)
        top, bottom = allowed.numerator, allowed.denominator
        if long.bad * bottom > top * long.total and short.bad * bottom > top * short.total:
            return _burning(slo, tier, long, short, budget)
    return None


def _burning(
    slo: Slo,
    tier: Tier,
    long: Counts,
    short: Counts,
    budget: Fraction,
) -> Burning:
    burn_long = Fraction(long.bad, long.total) / budget
    burn_short = Fraction(short.bad, short.total) / budget
    gone = show_duration(float(slo.period_s / burn_short))
    reason = Reason(
        RULE_BURN,
        f"{tier.speed} burn {float(burn_short):.3g}x (budget gone in {gone})",
        {
            "slo": slo.id,
            "objective": slo.objective_percent,
            "tier": tier.name,
            "factor": float(tier.factor(slo.period_s)),
            "burn_long": float(burn_long),
            "burn_short": float(burn_short),
            "long_s": tier.long_s,
            "short_s": tier.short_s,
            "bad_long": long.bad,
            "total_long": long.total,
            "bad_short": short.bad,
            "total_short": short.total,
        },
    )
    return Burning(tier.name, tier.severity, float(burn_short), long, short, reason)


class Verify(Struct, frozen=True):
    """What has to be true before users count as well again."""

    window_s: int = 5 * MINUTE_S
    burn_below: str = "1"
    min_events: int = 30
    deadline_s: int = 30 * MINUTE_S


RecoveryVerdict = Literal["recovered", "burning", "inconclusive"]


def judge_recovery(
    slo: Slo, verify: Verify, reading: SliReading, *, since: int
) -> tuple[RecoveryVerdict, Reason]:
    """Say whether users are well again: a whole window after `since`, enough events, low burn.

    Missing, too few or too young samples are `inconclusive`, never a recovery.
    """
    counts = reading.windows.get(verify.window_s)
    terms: dict[str, bool | int | float | str] = {
        "slo": slo.id,
        "window_s": verify.window_s,
        "burn_below": verify.burn_below,
    }
    if reading.at - since < verify.window_s * 1000:
        return "inconclusive", Reason(RULE_RECOVERY, "the window is not over yet", terms)
    if counts is None or counts.total < max(verify.min_events, 1):
        seen = counts.total if counts else 0
        terms |= {"total": seen, "min_events": verify.min_events}
        return "inconclusive", Reason(RULE_RECOVERY, f"only {seen} events in the window", terms)
    burn = Fraction(counts.bad, counts.total) / slo.budget
    terms |= {"good": counts.good, "total": counts.total, "burn": float(burn)}
    if burn < Fraction(verify.burn_below):
        says = f"SLI {counts.shown()} over {show_duration(verify.window_s)}"
        return "recovered", Reason(RULE_RECOVERY, says, terms)
    says = f"SLI still {counts.shown()}, burn {float(burn):.3g}x"
    return "burning", Reason(RULE_RECOVERY, says, terms)


def has_data(slo: Slo, reading: SliReading) -> bool:
    """Say whether every short window was answered with enough events to believe it."""
    shorts = [reading.windows.get(tier.short_s) for tier in slo.tiers]
    return all(c is not None and c.total >= max(slo.min_events, 1) for c in shorts)


def windows_needed(slo: Slo, verify: Verify) -> tuple[int, ...]:
    """List the windows, in seconds, that a reading must hold for these judgements."""
    wanted = {w: None for t in slo.tiers for w in (t.short_s, t.long_s)}
    return tuple(sorted({**wanted, verify.window_s: None}))
