"""When a storm begins and ends, and what is different in one.

Law: in a storm pages to the same person become digests, at most DIGEST_S apart, whatever config
says of digests; the first page of a person is never held back, and a second service in trouble that
nothing covers still pages within that time. Nothing is dropped.
"""

from __future__ import annotations

from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.values.clock import SECOND
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.storm import LASTS_S

RULE = "storm/1"
TIMER = "storm"


def judge(d: Decision) -> None:
    """Say that a storm rages, when the rate says so."""
    storm = d.shard.storm
    if not storm.is_high:
        return
    if not storm.raging:
        newest = max(storm.now, storm.before)
        says = f"{newest} new alerts a minute, {storm.usual:.1f} are usual"
        terms: dict[str, Term] = {"alerts": newest, "usual": round(storm.usual, 1)}
        d.emit(events.StormBegan(reason=Reason(RULE, says, terms)))
    d.set_timer(inputs.Timer(TIMER, d.now + LASTS_S * SECOND, "storm", ""))


def on_timer(d: Decision) -> None:
    """End a storm: for LASTS_S the rate was not high."""
    if d.shard.storm.raging:
        d.emit(events.StormEnded(reason=Reason(RULE, f"for {LASTS_S} s the rate was not high")))
