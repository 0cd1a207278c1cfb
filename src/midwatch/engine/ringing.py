"""Whether a decision makes a phone ring, now or as part of a page that is held for a moment.

Law: told from the events of the production decision, and of nothing else: `correlate`, `route
test` and the shadow report count alike. What is covered, or flaps, rings nowhere. A page that is
held for a digest, and growth that is held, count where they were asked for; growth that goes along
with what is held already is one page with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.core.state import events as e

_NOW = (e.PagePlanned, e.PageHeld, e.IncidentGrew, e.EscalationExhausted)


def rings(events: Iterable[e.Event], held: Iterable[str] = ()) -> bool:
    """Say whether events make a phone ring; `held` names incidents whose growth was held before.

    >>> from midwatch.core.values.reasons import Reason
    >>> why = Reason("news/1", "INC-1 grew")
    >>> rings([e.IncidentGrew(incident="INC-1", reason=why)])
    True
    >>> rings([e.PageWaits(incident="INC-1", until=900_000, reason=why)])
    False
    >>> grown = e.GrowthHeld(incident="INC-1", until=1, reason=why)
    >>> rings([grown]), rings([grown], ["INC-1"])
    (True, False)
    """
    known = set(held)
    for event in events:
        if isinstance(event, _NOW) or (isinstance(event, e.OthersAsked) and event.step >= 0):
            return True
        if isinstance(event, e.GrowthHeld) and not event.flaps and event.incident not in known:
            return True
    return False
