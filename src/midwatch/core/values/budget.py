"""How much of an objective's error budget is spent: one sum, for everybody who says it.

Law: a share of the budget is the bad events divided by what the budget allows for the events of the
period. As long as the period is not full nobody knows how many events it will have: then it is said
how many bad events came beside those that the events seen so far allow, and never a percentage of
the period, nor that the budget is gone.
"""

from __future__ import annotations

from fractions import Fraction

from midwatch.core.values.clock import show_duration
from midwatch.core.values.sli import Counts
from midwatch.core.values.slo import Slo


def share(slo: Slo, bad: int, period: Counts | None) -> Fraction | None:
    """Divide bad events by those that the budget allows for a period's events; None without any.

    >>> share(Slo("x", "s", "0.99"), 5, Counts(990, 1000))
    Fraction(1, 2)
    """
    if period is None or not period.total:
        return None
    return bad / (slo.budget * period.total)


def is_full(slo: Slo, seen_s: int | None) -> bool:
    """Say whether events were counted over the whole period."""
    return seen_s is not None and seen_s >= slo.period_s


def spent(slo: Slo, bad: int, period: Counts | None, seen_s: int | None) -> str:
    """Say what bad events spent; empty when nobody knows how many events there were.

    >>> shop = Slo("x", "s", "0.99", period_s=86_400)
    >>> spent(shop, 5, Counts(990, 1000), 86_400)
    '50.00 % of the error budget'
    >>> spent(shop, 5, Counts(990, 1000), 720)
    '5 bad of the 10 that the events seen in 12 min allow'
    """
    found = share(slo, bad, period)
    if found is None or period is None:
        return ""
    if is_full(slo, seen_s):
        return of_full(float(found))
    return of_seen(bad, float(slo.budget * period.total), seen_s)


def of_full(part: float) -> str:
    """Write a share of the budget of a period that is full."""
    return f"{100 * part:.2f} % of the error budget"


def of_seen(bad: int, allowed: float, seen_s: int | None) -> str:
    """Write bad events beside those that are allowed for the events seen so far.

    >>> of_seen(5, 1.234, None)
    '5 bad of the 1.234 that the events seen so far allow'
    """
    seen = f"in {show_duration(seen_s)}" if seen_s is not None else "so far"
    return f"{bad} bad of the {allowed:,.6g} that the events seen {seen} allow"


def left(slo: Slo, period: Counts | None, seen_s: int | None) -> Fraction | None:
    """Say which share of a full period's budget is left, below 0 when it is overspent; else None.

    >>> left(Slo("x", "s", "0.99", 60), Counts(995, 1000), 60)
    Fraction(1, 2)
    """
    if period is None or not is_full(slo, seen_s):
        return None
    found = share(slo, period.bad, period)
    return None if found is None else 1 - found


def lasts_s(slo: Slo, burn: Fraction | None, budget_left: Fraction | None) -> float | None:
    """Say for how long what is left lasts at a burn rate; None while it is unknown, or grows."""
    if budget_left is None or (budget_left > 0 and not burn):
        return None
    if budget_left <= 0 or not burn:
        return 0.0
    return float(budget_left * slo.period_s / burn)


def says(slo: Slo, burn: Fraction | None, period: Counts | None, seen_s: int | None) -> str:
    """Say how the budget stands while it burns; empty when nobody knows.

    >>> shop = Slo("x", "s", "0.99", 86_400)
    >>> says(shop, Fraction(20), Counts(1000, 1000), 86_400)
    'budget gone in 72 min'
    >>> says(shop, Fraction(20), Counts(900, 1000), 86_400)
    'budget gone'
    """
    budget_left = left(slo, period, seen_s)
    if period is None or budget_left is None:
        return spent(slo, period.bad, period, seen_s) if period is not None else ""
    lasts = lasts_s(slo, burn, budget_left)
    if lasts is None:
        return ""
    return f"budget gone in {show_duration(lasts)}" if lasts else "budget gone"
