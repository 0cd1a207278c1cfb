"""Service level objectives: windows, burn rates, and when a burn is worth a page.

Law: a tier burns when the burn rate is above its factor (or at it, where its spec says so) in its
long AND its short window; across tiers it is OR, and the worst one speaks. Budgets and factors are
exact fractions, so that a burn of 14.4001 pages and one of 14.4 does not. A page also needs proof
that this is no bad luck: were the service meeting its objective, so many bad events in the long
window would come with a probability below `proof`. What is held back for want of it is said, with
its counts. No data never fires and never recovers.

Source of the windows and shares: Google, The Site Reliability Workbook, chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Literal

from msgspec import Struct, structs

from midwatch.core.values import binomial
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.severity import Severity, Urgency
from midwatch.core.values.sli import Counts, Indicator, SliReading

RULE_BURN = "slo.burn/2"
RULE_QUIET = "slo.quiet/1"
RULE_RECOVERY = "slo.recovery/1"
NO_DATA = "SliNoData"
NO_DATA_SEVERITY: Severity = "sev3"
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


# Tiers are what is known of an objective by, with every reading: they are hashed once.
class Tier(Struct, frozen=True, cache_hash=True):
    """One pair of windows and the share of the budget that its long window may spend.

    `speed` is the word people read: a fast burn, a slow burn.
    """

    name: str
    severity: Severity
    urgency: Urgency
    long_s: int
    short_s: int
    budget_share: str
    speed: str
    inclusive: bool = False  # whether it fires at its factor already, not only above it

    def is_met(self, counts: Counts, top: int, bottom: int) -> bool:
        """Say whether counts burn as fast as this tier asks: bad / total against top / bottom.

        >>> half, at_least = Counts(1, 2), structs.replace(TIERS[0], inclusive=True)
        >>> TIERS[0].is_met(half, 1, 2), at_least.is_met(half, 1, 2)
        (False, True)
        """
        # Written without division; no events never meet it.
        bad, allowed = (counts.total - counts.good) * bottom, top * counts.total
        return bad > allowed or (self.inclusive and bad == allowed and counts.total > 0)

    def factor(self, period_s: int) -> Fraction:
        """Give the burn rate above which this tier fires, exactly.

        >>> [float(t.factor(30 * DAY_S)) for t in TIERS]
        [14.4, 6.0, 3.0, 1.0]
        """
        return _factor(self.budget_share, period_s, self.long_s)


TIERS = (
    Tier("PageQuick", "sev1", "page", HOUR_S, 5 * MINUTE_S, "2/100", "fast"),
    Tier("PageSlow", "sev2", "page", 6 * HOUR_S, 30 * MINUTE_S, "5/100", "slow"),
    Tier("TicketQuick", "sev3", "ticket", DAY_S, 2 * HOUR_S, "10/100", "steady"),
    Tier("TicketSlow", "sev4", "ticket", 3 * DAY_S, 6 * HOUR_S, "10/100", "creeping"),
)


class Extras(Struct, frozen=True):
    """What a spec adds to the alerts of its objective, as pairs of name and value.

    `page` and `ticket` hold for alerts of that urgency alone, and win over what holds for both.
    Empty `alert` means that the alerts have names of midwatch's own.
    """

    alert: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    page_labels: tuple[tuple[str, str], ...] = ()
    page_annotations: tuple[tuple[str, str], ...] = ()
    ticket_labels: tuple[tuple[str, str], ...] = ()
    ticket_annotations: tuple[tuple[str, str], ...] = ()

    def labels_of(self, urgency: Urgency) -> dict[str, str]:
        """Give the labels of an alert.

        >>> extras = Extras(labels=(("team", "shop"),), page_labels=(("team", "sre"),))
        >>> extras.labels_of("page"), extras.labels_of("ticket")
        ({'team': 'sre'}, {'team': 'shop'})
        """
        own = self.page_labels if urgency == "page" else self.ticket_labels
        return {**dict(self.labels), **dict(own)}

    def annotations_of(self, urgency: Urgency) -> dict[str, str]:
        """Give the annotations of an alert."""
        own = self.page_annotations if urgency == "page" else self.ticket_annotations
        return {**dict(self.annotations), **dict(own)}


NO_EXTRAS = Extras()


class Slo(Struct, frozen=True):
    """An objective over a period for one service, and where its counts come from.

    `objective` is a decimal fraction as text ("0.999"), so that its budget has no float residue.
    `proof` is the probability below which a burn is no bad luck, as text; empty asks for none.
    After `quiet_s` without an event that is an alert of its own.
    """

    id: str
    service: str
    objective: str
    period_s: int = 30 * DAY_S
    tiers: tuple[Tier, ...] = TIERS
    proof: str = "0.0001"
    quiet_s: int = 30 * MINUTE_S
    indicator: Indicator | None = None
    extras: Extras = NO_EXTRAS

    @property
    def budget(self) -> Fraction:
        """The share of events that may be bad, exactly.

        >>> Slo("x", "s", "0.999").budget
        Fraction(1, 1000)
        """
        return _budget(self.objective)

    @property
    def useful_tiers(self) -> tuple[Tier, ...]:
        """The tiers that can fire: one whose factor times the budget is 1 or more never does.

        >>> [t.name for t in Slo("x", "s", "0.9").useful_tiers]
        ['PageSlow', 'TicketQuick', 'TicketSlow']
        """
        return _useful(self.tiers, self.objective, self.period_s)

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
def _budget(objective: str) -> Fraction:
    return 1 - Fraction(objective)


@cache
def _exact(burn: str) -> Fraction:
    return Fraction(burn)


@cache
def _useful(tiers: tuple[Tier, ...], objective: str, period_s: int) -> tuple[Tier, ...]:
    return tuple(t for t in tiers if t.factor(period_s) * _budget(objective) < 1)


def burn_rate(counts: Counts, budget: Fraction) -> Fraction | None:
    """Divide the bad fraction by the budget; None without data.

    >>> burn_rate(Counts(80, 100), Fraction(1, 100))
    Fraction(20, 1)
    """
    if not counts.total:
        return None
    return Fraction(counts.bad, counts.total) / budget


class Burning(Struct, frozen=True):
    """A tier that burns, and the counts of its windows.

    `chance` is the probability of the long one's were the objective met, None when nobody asked.
    """

    tier: Tier
    long: Counts
    short: Counts
    chance: float | None = None


class Judged(Struct, frozen=True):
    """What a reading says: the worst tier that fires, and the worst that only lacks its proof."""

    burning: Burning | None = None
    held: Burning | None = None


CALM = Judged()


def judge_burn(slo: Slo, windows: Mapping[int, Counts]) -> Judged:
    """Judge the counts of each window, by its length in seconds; one that is missing never burns.

    >>> windows = dict.fromkeys((300, 3600), Counts(160, 200))
    >>> judge_burn(Slo("x", "s", "0.99"), windows).burning.tier.name
    'PageQuick'
    >>> few = dict.fromkeys((300, 3600), Counts(59, 60))
    >>> judge_burn(Slo("x", "s", "0.999"), few).held.chance > 1e-4
    True
    """
    held: Burning | None = None
    for tier, top, bottom in _plan(slo.tiers, slo.objective, slo.period_s):
        short = windows.get(tier.short_s)
        if short is None or not tier.is_met(short, top, bottom):
            continue
        long = windows.get(tier.long_s)
        if long is None or not tier.is_met(long, top, bottom):
            continue
        if tier.urgency != "page" or not slo.proof:
            return Judged(Burning(tier, long, short), held)
        chance = binomial.tail(long.bad, long.total, float(slo.budget))
        burning = Burning(tier, long, short, chance)
        if chance < float(slo.proof):
            return Judged(burning, held)
        held = held or burning
    return Judged(None, held) if held else CALM


@cache
def _plan(
    tiers: tuple[Tier, ...], objective: str, period_s: int
) -> tuple[tuple[Tier, int, int], ...]:
    budget = _budget(objective)
    allowed = ((t, budget * t.factor(period_s)) for t in _useful(tiers, objective, period_s))
    return tuple((tier, share.numerator, share.denominator) for tier, share in allowed)


Standing = Literal["fires", "held back", "calm", "no data", "left out"]


class Weighed(Struct, frozen=True):
    """How one tier stands on a reading; a burn is None where its window has no events."""

    tier: Tier
    standing: Standing
    factor: float
    long: Counts | None
    short: Counts | None
    burn_long: float | None
    burn_short: float | None
    chance: float | None = None


def weigh(slo: Slo, windows: Mapping[int, Counts]) -> tuple[Weighed, ...]:
    """Say how each tier stands, where `judge_burn` stops at the worst that fires.

    >>> windows = {300: Counts(80, 100), 3600: Counts(160, 200), 21600: Counts(0, 0)}
    >>> [one.standing for one in weigh(Slo("x", "s", "0.99"), windows)]
    ['fires', 'no data', 'no data', 'no data']
    """
    return tuple(_weigh(slo, tier, windows) for tier in slo.tiers)


def _weigh(slo: Slo, tier: Tier, windows: Mapping[int, Counts]) -> Weighed:
    long, short = windows.get(tier.long_s), windows.get(tier.short_s)
    burns = [burn_rate(counts, slo.budget) if counts else None for counts in (long, short)]
    judged = judge_burn(structs.replace(slo, tiers=(tier,)), windows)
    burning = judged.burning or judged.held
    standing: Standing = "calm"
    if tier not in slo.useful_tiers:
        standing = "left out"
    elif None in burns:
        standing = "no data"
    elif burning is not None:
        standing = "fires" if judged.burning else "held back"
    shown = [None if burn is None else float(burn) for burn in burns]
    chance = burning.chance if burning else None
    factor = float(tier.factor(slo.period_s))
    return Weighed(tier, standing, factor, long, short, shown[0], shown[1], chance)


def reason(slo: Slo, burning: Burning, *, held: bool = False, budget: str = "") -> Reason:
    """Say why a tier fires, or why it is held back; `budget` says how the period's budget stands.

    >>> burning = Burning(TIERS[0], Counts(160, 200), Counts(80, 100))
    >>> reason(Slo("x", "s", "0.99"), burning, budget="budget gone in 36 h").says
    'fast burn 20x (budget gone in 36 h)'
    >>> few = Burning(TIERS[0], Counts(59, 60), Counts(4, 5), 0.058)
    >>> reason(Slo("x", "s", "0.999"), few, held=True).says
    'fast burn 200x held back: 1 bad of 60 in 60 min comes by chance once in 17 times'
    """
    tier, long, short, chance = burning.tier, burning.long, burning.short, burning.chance
    burn_long = Fraction(long.bad, long.total) / slo.budget
    burn_short = Fraction(short.bad, short.total) / slo.budget
    says = f"{tier.speed} burn {float(burn_short):.3g}x"
    if held and chance is not None:
        counted = f"{long.bad} bad of {long.total} in {show_duration(tier.long_s)}"
        says += f" held back: {counted} comes by chance once in {1 / chance:.2g} times"
    elif budget:
        says += f" ({budget})"
    terms: dict[str, Term] = {
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
    }
    if chance is not None:
        terms |= {"chance": chance, "proof": slo.proof}
    return Reason(RULE_BURN, says, terms)


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
        return "inconclusive", Reason(RULE_RECOVERY, "the window has not ended yet", terms)
    if counts is None or counts.total < max(verify.min_events, 1):
        seen = counts.total if counts else 0
        terms |= {"total": seen, "min_events": verify.min_events}
        return "inconclusive", Reason(RULE_RECOVERY, f"only {seen} events in the window", terms)
    burn = Fraction(counts.bad, counts.total) / slo.budget
    terms |= {"good": counts.good, "total": counts.total, "burn": float(burn)}
    if burn < _exact(verify.burn_below):
        says = f"SLI {counts.shown()} over {show_duration(verify.window_s)}"
        return "recovered", Reason(RULE_RECOVERY, says, terms)
    says = f"SLI still {counts.shown()}, burn {float(burn):.3g}x"
    return "burning", Reason(RULE_RECOVERY, says, terms)


def burns_since(slo: Slo, tier: Tier, verify: Verify, reading: SliReading, *, since: int) -> bool:
    """Say whether a tier that burns would do so by what came after `since` (milliseconds) alone.

    Its short window says it when it lies after that whole. Of a tier that pages the shorter window
    that a recovery is judged by says it before, when it burns as fast as the tier.
    """
    age_ms = reading.at - since
    if age_ms >= tier.short_s * SECOND:
        return True  # it burns, and holds nothing else
    counts = reading.windows.get(verify.window_s)
    if tier.urgency != "page" or counts is None or counts.total < max(verify.min_events, 1):
        return False
    if age_ms < verify.window_s * SECOND:
        return False
    share = slo.budget * tier.factor(slo.period_s)
    return tier.is_met(counts, share.numerator, share.denominator)


def has_data(slo: Slo, reading: SliReading) -> bool:
    """Say whether every short window was answered and holds events."""
    shorts = [reading.windows.get(tier.short_s) for tier in slo.useful_tiers]
    return all(counts is not None and counts.total for counts in shorts)


def has_events(slo: Slo, reading: SliReading) -> bool:
    """Say whether an event came in the time after which silence is an alert."""
    recent = reading.windows.get(slo.quiet_s)
    return recent is not None and recent.total > 0


def judge_quiet(slo: Slo, reading: SliReading) -> Reason | None:
    """Say that nothing was heard of an objective for its time, None as long as something was."""
    if has_events(slo, reading):
        return None
    recent = reading.windows.get(slo.quiet_s)
    # A backend that says "no events" vouches for the whole window; one that says nothing does not.
    since = reading.watched_at if recent is not None else reading.heard_at
    silent_s = (reading.at - since) // SECOND
    if silent_s < slo.quiet_s:
        return None
    what = "no event" if recent is not None else "no answer from its metrics"
    says = f"{slo.id}: {what} for {show_duration(slo.quiet_s)}, so the state of users is unknown"
    return Reason(RULE_QUIET, says, {"slo": slo.id, "quiet_s": slo.quiet_s})


def windows_needed(slo: Slo, *verifies: Verify) -> tuple[int, ...]:
    """List the windows, in seconds, that a reading must hold for these judgements."""
    wanted = {w: None for t in slo.useful_tiers for w in (t.short_s, t.long_s)}
    proofs = dict.fromkeys(one.window_s for one in (Verify(), *verifies))
    return tuple(sorted({**wanted, **proofs, slo.quiet_s: None}))
