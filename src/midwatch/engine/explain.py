"""What an objective would do now, or would have done, and why.

Law: recorded counts go through the same ring and the same judgement as live ones; nothing is
decided here a second time. It is judged at each sample and at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from msgspec import Struct

from midwatch.core import slo
from midwatch.core.clock import show_duration
from midwatch.core.sli import Counts, Sample
from midwatch.core.sli_window import Counter, SliWindow
from midwatch.core.slo import Slo, Tier, Verify, Weighed


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

    @property
    def paged(self) -> bool:
        """Whether any tier that pages fired up to then."""
        return any(change.urgency == "page" for change in self.fired)

    @property
    def budget_left(self) -> Fraction | None:
        """The share of the period's budget that is left, None without events."""
        counts = self.windows.get(self.slo.period_s)
        return slo.budget_left(self.slo, counts) if counts else None


def replay(objective: Slo, samples: Iterable[Sample], until: int | None = None) -> Explained:
    """Feed recorded counts to an objective, up to `until`, else to the last sample.

    >>> shop = Slo("shop/availability", "shop", "0.99")
    >>> samples = [Sample(minute * 60_000, minute * 80, minute * 100) for minute in range(90)]
    >>> found = replay(shop, samples)
    >>> found.paged, found.fired[0].tier, found.cleared
    (True, 'PageQuick', ())
    """
    ring = SliWindow(objective.period_s)
    good, total = Counter(), Counter()
    log = _Log(objective)
    notes: list[str] = []
    now = 0
    for sample in samples:
        if until is not None and sample.at > until:
            break
        if not now and sample.total:
            notes.append(
                f"the first line has {sample.total} events already: they count as if they had just"
                " come; put a line of zeros before it if they are old"
            )
        # Both start anew together: what one of them loses, the other one lost too.
        if sample.good < good.last or sample.total < total.last:
            good.last = total.last = 0
        more_good, more_total = good.more(sample.good), total.more(sample.total)
        now = sample.at
        ring.add(now, min(more_good, more_total), more_total)
        log.judge(ring.counts(log.windows_s, now), now)
    at = until if until is not None else now
    log.judge(ring.counts(log.windows_s, at), at)
    return explain(objective, ring.counts(log.windows_s, at), at, log, tuple(notes))


def explain(
    objective: Slo,
    windows: dict[int, Counts],
    at: int,
    log: _Log | None = None,
    notes: tuple[str, ...] = (),
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
    )


def windows_of(objective: Slo) -> tuple[int, ...]:
    """List the windows that explaining an objective needs, in seconds."""
    return tuple(sorted({*slo.windows_needed(objective, Verify()), objective.period_s}))


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
