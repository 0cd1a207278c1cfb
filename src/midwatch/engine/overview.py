"""What the page shows, taken between two decisions: the worst incidents that are not over.

Law: a look costs the engine little. It copies only what an incident's events changed since the
last look; timelines are read from the journal, beside the engine, by whoever draws them. What a
look from memory gives is what one from nothing would give, but for the causes: they are ranked
again after an event of the incident, a change, and an incident that opens, not by habits alone.
"""

from __future__ import annotations

from heapq import nsmallest

from msgspec import Struct

from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.changes import Change
from midwatch.core.values.silences import refused
from midwatch.core.values.skews import Skews
from midwatch.core.values.topology import Topology
from midwatch.engine import queries
from midwatch.engine.queries import Detail

WELL = ("mitigated",)  # nobody is harmed any more


class Card(Struct, frozen=True):
    """One incident without its timeline, and how many events its stream has."""

    detail: Detail
    version: int


class Overview(Struct, frozen=True):
    """Those that harm users, those that no longer do, each worst first; `more` do not fit.

    `open` counts all that harm users; `notes` say what else somebody should look at. A card that
    did not change is the same object as before.
    """

    open: int
    harm: list[Card]
    well: list[Card]
    more: int
    skews: Skews = Skews()
    notes: list[str] = []  # what somebody should look at beside the incidents


# What changes with every change of a card. An incident may get alerts by an event of another one's
# stream, and failures by one of an objective's.
_Stamp = tuple[int, int, bool]


class Looker:
    """Makes overviews of at most `most` incidents; used on the engine's thread alone."""

    def __init__(self, topology: Topology, most: int) -> None:
        self._topology = topology
        self._most = most
        self._cards: dict[str, tuple[_Stamp, Card]] = {}
        self._opened: int = 0
        self._changes: list[Change] = []
        self._shows = Skews().shows

    def look(self, shard: Shard) -> Overview:
        """Take what is shown now."""
        incidents = [shard.incidents[name] for name in shard.open]
        shown = nsmallest(self._most, incidents, key=_harmful_first)
        known = self._known(shard)
        self._cards = {one.id: self._card(shard, one, known) for one in shown}
        harm = [self._cards[one.id][1] for one in shown if one.state not in WELL]
        well = [self._cards[one.id][1] for one in shown if one.state in WELL]
        harmed = sum(one.state not in WELL for one in incidents)
        notes = refused(shard.silences.values())
        return Overview(harmed, harm, well, len(incidents) - len(shown), shard.skews, notes)

    def _known(self, shard: Shard) -> dict[str, tuple[_Stamp, Card]]:
        """Give the cards that may be shown again; none when causes have to be ranked again.

        Nor any when times are shown by another clock.
        """
        same_clock = shard.skews.shows == self._shows
        if same_clock and shard.next_incident == self._opened and shard.changes == self._changes:
            return self._cards
        self._opened, self._changes = shard.next_incident, list(shard.changes)
        self._shows = shard.skews.shows
        return {}

    def _card(
        self, shard: Shard, one: Incident, known: dict[str, tuple[_Stamp, Card]]
    ) -> tuple[_Stamp, Card]:
        version = shard.versions.get(f"incident/{one.id}", 0)
        stamp = (version, one.alert_count, bool(one.failures))
        before = self._cards.get(one.id)
        if before is not None and before[0] == stamp and one.id in known:
            return before
        card = Card(queries.outline(shard, one, self._topology), version)
        return (stamp, before[1] if before is not None and before[1] == card else card)


def _harmful_first(incident: Incident) -> tuple[object, ...]:
    return incident.state in WELL, *queries.urgent_first(incident)
