"""What an objective would do now, or would have done, and why.

Law: recorded counts go through the same ring and the same judgement as live ones; nothing is
decided here a second time. It is judged at each sample and at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from msgspec import Struct

from midwatch.core.state.shard import Shard
from midwatch.core.values import budget, slo
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.sli import Counts, Sample
from midwatch.core.values.sli_window import SliWindow, Tally
from midwatch.core.values.slo import Slo, Tier, Verify, Weighed
from midwatch.engine.watch import Newest

STATES = ("burning", "held back", "no data", "unread", "calm")


class Change(Struct, frozen=True):
    """A tier began to fire, or stopped."""

    at: int
    tier: str
    urgency: str


class Explained(Struct, frozen=True):
    """How an objective stands at a moment, and what its tiers did up to it."""

    slo: Slo
    at: int
    fired: tuple[Change, ...]
    cleared: tuple[Change, ...]
    tiers: tuple[Weighed, ...]
    windows: dict[int, Counts]
    notes: tuple[str, ...] = ()
    seen_s: int | None = None

    @property
    def paged(self) -> bool:
        """Whether any tier that pages fired up to then."""
        return any(change.urgency == "page" for change in self.fired)

    @property
    def period(self) -> Counts | None:
        """The counts of the whole period, as far as it was seen."""
        return self.windows.get(self.slo.period_s)

    @property
    def burn(self) -> Fraction | None:
        """How fast it burns now: in the short window of the worst tier that fires, else by all."""
        firing = (one.short for one in self.tiers if one.standing == "fires")
        shortest = self.windows[min(self.windows)] if self.windows else None
        counts = next(firing, None) or shortest
        return slo.burn_rate(counts, self.slo.budget) if counts else None


def replay(objective: Slo, samples: Iterable[Sample], until: int | None = None) -> Explained:
    """Feed recorded counts to an objective, up to `until`, else to the last sample.

    >>> shop = Slo("shop/availability", "shop", "0.99")
    >>> samples = [Sample(minute * 60_000, minute * 80, minute * 100) for minute in range(90)]
    >>> found = replay(shop, samples)
    >>> found.paged, found.fired[0].tier, found.cleared
    (True, 'PageQuick', ())
    """
    log = _Log(objective)
    ring, tally = SliWindow(objective.period_s), Tally()
    now, notes = 0, tuple[str, ...]()
    for sample in samples:
        if until is not None and sample.at > until:
            break
        if not now and sample.total:
            says = f"the first line already has {sample.total} events: they are counted as"
            notes = (f"{says} just come; put a line of zeros before it if they are old",)
        now = sample.at
        ring.add(now, *tally.more(sample))
        log.judge(ring.counts(log.windows_s, now), now)
    at = until if until is not None else now
    windows = ring.counts(log.windows_s, at)
    log.judge(windows, at)
    seen_s = None if ring.first_at is None else max(at - ring.first_at, 0) // SECOND
    return explain(objective, windows, at, log, notes, seen_s)


def explain(
    objective: Slo,
    windows: dict[int, Counts],
    at: int,
    log: _Log | None = None,
    notes: tuple[str, ...] = (),
    seen_s: int | None = None,
) -> Explained:
    """Say how an objective stands on the counts of its windows."""
    if log is None:
        log = _Log(objective)
        log.judge(windows, at)
    left_out = [tier for tier in objective.tiers if tier not in objective.useful_tiers]
    return Explained(
        objective,
        at,
        tuple(log.fired),
        tuple(log.cleared),
        slo.weigh(objective, windows),
        windows,
        (*notes, *(_never(objective, tier) for tier in left_out)),
        seen_s,
    )


def windows_of(objective: Slo) -> tuple[int, ...]:
    """List the windows that explaining an objective needs, in seconds."""
    return tuple(sorted({*slo.windows_needed(objective, Verify()), objective.period_s}))


class WindowView(Struct, frozen=True):
    """The counts of one window; without events there is no burn."""

    window_s: int
    good: int
    bad: int
    total: int
    burn: float | None


class TierView(Struct, frozen=True):
    """One tier: how it stands, and on which counts. `chance` is what has to be below `proof`."""

    tier: str
    severity: str
    urgency: str
    factor: float
    standing: str
    says: str
    long: WindowView
    short: WindowView
    chance: float | None
    proof: str


class ChangeView(Struct, frozen=True):
    """When a tier began to fire, or stopped."""

    at: str
    tier: str
    urgency: str


class BudgetView(Struct, frozen=True):
    """How a period's budget stands: `says` writes it for people.

    `left` is the share that is left, and `gone_in_s` for how long at the burn of now; both are null
    until the period is full, since nobody knows how many events it will have. Until then, too:
    `bad` events, of the `allowed` ones for the `events` of the `seen_s` seconds that were seen.
    """

    period_s: int
    left: float | None
    gone_in_s: float | None
    bad: int = 0
    events: int = 0
    allowed: float = 0.0
    seen_s: int | None = None
    full: bool = False
    says: str = ""


class ObjectiveView(Struct, frozen=True):
    """An objective as people and programs read it."""

    slo: str
    service: str
    objective: str
    at: str
    paged: bool
    fired: list[ChangeView]
    cleared: list[ChangeView]
    tiers: list[TierView]
    windows: list[WindowView]
    budget: BudgetView
    notes: list[str]


def view(found: Explained) -> ObjectiveView:
    """Write down what was found."""
    objective = found.slo
    return ObjectiveView(
        objective.id,
        objective.service,
        objective.objective_percent,
        show_time(found.at),
        found.paged,
        [ChangeView(show_time(one.at), one.tier, one.urgency) for one in found.fired],
        [ChangeView(show_time(one.at), one.tier, one.urgency) for one in found.cleared],
        [_tier(found, one) for one in found.tiers],
        [_window(objective, window_s, counts) for window_s, counts in found.windows.items()],
        _budget(found),
        list(found.notes),
    )


class StandingView(Struct, frozen=True):
    """How an objective stands in a running midwatch: what it says, where, and what is in its way.

    `state` is burning, held back, calm, no data, or unread as long as nothing was asked.
    """

    state: str
    incident: str
    trouble: str
    objective: ObjectiveView


def standings(shard: Shard, newest: Iterable[Newest]) -> list[StandingView]:
    """Say how each objective stands, those that burn first."""
    found = [_standing(shard, one) for one in newest]
    return sorted(found, key=lambda one: (STATES.index(one.state), one.objective.slo))


def _standing(shard: Shard, one: Newest) -> StandingView:
    burn = shard.burning.get(one.slo.id)
    at = shard.shown(one.at) if one.at else 0
    shown = view(explain(one.slo, one.windows, at, seen_s=one.seen_s))
    if burn is not None:
        state = "burning"
    elif one.slo.id in shard.held:
        state = "held back"
    elif not one.at:
        state = "unread"
    elif all(tier.standing in ("no data", "left out") for tier in shown.tiers):
        state = "no data"
    else:
        state = "calm"
    return StandingView(state, burn.incident if burn else "", one.trouble, shown)


def _tier(found: Explained, one: Weighed) -> TierView:
    objective, tier = found.slo, one.tier
    return TierView(
        tier.name,
        tier.severity,
        tier.urgency,
        one.factor,
        one.standing,
        _says(found, one),
        _window(objective, tier.long_s, one.long or Counts(0, 0)),
        _window(objective, tier.short_s, one.short or Counts(0, 0)),
        one.chance,
        objective.proof if tier.urgency == "page" else "",
    )


def _window(objective: Slo, window_s: int, counts: Counts) -> WindowView:
    burn = slo.burn_rate(counts, objective.budget)
    shown = None if burn is None else float(burn)
    return WindowView(window_s, counts.good, counts.bad, counts.total, shown)


def _says(found: Explained, one: Weighed) -> str:
    """Say why a tier fires or does not."""
    objective = found.slo
    tier, factor = one.tier, f"{one.factor:.6g}x"
    if one.long is None or one.short is None or one.standing == "no data":
        return "no events in its windows"
    if one.standing == "left out":
        return _never(objective, tier)
    if one.standing != "calm":
        burning = slo.Burning(tier, one.long, one.short, one.chance)
        burn = slo.burn_rate(one.short, objective.budget)
        gone = budget.says(objective, burn, found.period, found.seen_s)
        return slo.reason(objective, burning, held=one.standing == "held back", budget=gone).says
    burns = ((tier.long_s, one.burn_long), (tier.short_s, one.burn_short))
    calm = [
        f"{burn or 0:.3g}x over {show_duration(window_s)}"
        for window_s, burn in burns
        if (burn or 0) < one.factor or ((burn or 0) == one.factor and not tier.inclusive)
    ]
    bound = "below" if tier.inclusive else "not above"
    return f"{' and '.join(calm)}, {bound} {factor}"


def _budget(found: Explained) -> BudgetView:
    objective, period, seen_s = found.slo, found.period or Counts(0, 0), found.seen_s
    left = budget.left(objective, period, seen_s)
    gone_in_s = budget.lasts_s(objective, found.burn, left)
    full = budget.is_full(objective, seen_s)
    if left is None:
        says = budget.spent(objective, period.bad, period, seen_s)
    else:
        says = f"{100 * float(left):,.1f}% left"
        if left <= 0:
            says += ", gone"
        elif gone_in_s:
            says += f", used up in {show_duration(gone_in_s)} at this rate"
    return BudgetView(
        objective.period_s,
        None if left is None else float(left),
        gone_in_s,
        period.bad,
        period.total,
        float(objective.budget * period.total),
        seen_s,
        full,
        says,
    )


def _never(objective: Slo, tier: Tier) -> str:
    share = objective.budget * tier.factor(objective.period_s)
    return (
        f"{tier.name} is left out: it would need {float(share):.4g} bad events for each event"
        f" ({show_duration(tier.long_s)} window, factor"
        f" {float(tier.factor(objective.period_s)):.4g})"
    )


class _Log:
    """What the tiers of an objective did, one judgement after the other."""

    def __init__(self, objective: Slo) -> None:
        self.objective = objective
        self.windows_s = windows_of(objective)
        self.fired: list[Change] = []
        self.cleared: list[Change] = []
        self._firing: set[str] = set()

    def judge(self, windows: dict[int, Counts], now: int) -> None:
        judged = slo.judge_burn(self.objective, windows)
        if judged is slo.CALM and not self._firing:
            return
        for one in slo.weigh(self.objective, windows):
            name = one.tier.name
            if one.standing == "fires" and name not in self._firing:
                self._firing.add(name)
                self.fired.append(Change(now, name, one.tier.urgency))
            elif one.standing in ("calm", "held back") and name in self._firing:
                self._firing.discard(name)
                self.cleared.append(Change(now, name, one.tier.urgency))
