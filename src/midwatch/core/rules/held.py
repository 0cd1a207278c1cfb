"""Growth that was held for a while, as the page that tells of it says it.

Law: one page names all, or says how many more there are. What was silenced meanwhile is left out;
what has ended is said to have ended, and wakes nobody by itself.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.core.state.incidents import Incident
from midwatch.core.values.marks import KEPT_FINGERPRINTS

ROOM = 200  # characters of what is named, so that it is not cut


class Told(Struct, frozen=True):
    """What a page says of growth, and whether any of it fires still."""

    says: str
    fires: bool


def tell(incident: Incident) -> Told:
    """Say what has grown since the last page, the newest state of each.

    >>> from midwatch.core.values.marks import Held
    >>> held = Held("Down on db (critical)", ("f",))
    >>> tell(Incident("INC-1", "shop", "", "slow", 0, growth=[held]))
    Told(says='Down on db (critical), ended since', fires=False)
    """
    firing: list[str] = []
    over: list[str] = []
    for one in incident.growth:
        known = [incident.firing[name] for name in one.fingerprints if name in incident.firing]
        if not one.fingerprints or len(known) < len(one.fingerprints) == KEPT_FINGERPRINTS:
            firing.append(one.says)  # a burn, or more alerts than are kept by name
        elif any(not alert.muted for alert in known):
            firing.append(one.says)
        elif not known and not one.flaps:
            over.append(f"{one.says}, ended since")
    more = incident.growth_more
    return Told(_named([*firing, *over], more), bool(firing or more))


def _named(texts: list[str], more: int) -> str:
    """Name as many as there is room for, and count the others."""
    texts = list(dict.fromkeys(texts))
    shown: list[str] = []
    for text in texts:
        if shown and len("; ".join((*shown, text))) > ROOM:
            break
        shown.append(text)
    left = len(texts) - len(shown) + more
    return "; ".join(shown) + (f"; and {left} more" if left else "")
