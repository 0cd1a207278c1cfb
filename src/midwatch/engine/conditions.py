"""What the service says about itself beside ready and not ready: named conditions, and figures.

Law: a condition is a text in /readyz's answer and changes no status code; empty means
that all is well. Whoever watches something adds it here, and neither /readyz nor /metrics is edited
for it. One that breaks says so, and breaks nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

Says = Callable[[], str]


class Figure(Struct, frozen=True):
    """A figure for /metrics: one value by each value of `label`, or one by "" without a label.

    A counter's name has no `_total`, which the format adds.
    """

    name: str
    says: str
    kind: Literal["gauge", "counter"]
    label: str
    values: Callable[[], Mapping[str, float]]


class Conditions:
    """The conditions and figures of one service; added at the start, read by any thread.

    >>> conditions = Conditions()
    >>> conditions.add("clock", lambda: "the wall clock jumped by 3,600 s")
    >>> conditions.add("disk", lambda: "")
    >>> conditions.found()
    {'clock': 'the wall clock jumped by 3,600 s', 'disk': ''}
    """

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self._ahead: dict[str, Callable[[], float | None]] = {}
        self._says: dict[str, Says] = {}

    def add(self, name: str, says: Says) -> None:
        """Add a condition; `says` must return at once, and gives "" while all is well."""
        self._says[name] = says

    def gauge(self, name: str, says: str, value: Callable[[], float]) -> None:
        """Add a figure that rises and falls."""
        self.figures.append(Figure(name, says, "gauge", "", lambda: {"": value()}))

    def counter(self, name: str, says: str, value: Callable[[], float]) -> None:
        """Add a figure that only rises; its name goes without `_total`."""
        self.figures.append(Figure(name, says, "counter", "", lambda: {"": value()}))

    def off(self, peer: str, ahead_s: Callable[[], float | None]) -> None:
        """Tell how far a peer's clock is ahead of ours, once that is known.

        >>> conditions = Conditions()
        >>> conditions.off("metrics/shop", lambda: -3.0), conditions.off("new", lambda: None)
        (None, None)
        >>> conditions.figures[0].values()
        {'metrics/shop': -3.0}
        """
        if not self._ahead:
            says = "How far the clock of another host is ahead, from its Date header."
            name = "midwatch_peer_clock_ahead_seconds"
            self.figures.append(Figure(name, says, "gauge", "peer", self._known))
        self._ahead[peer] = ahead_s

    def _known(self) -> dict[str, float]:
        found = {peer: ahead_s() for peer, ahead_s in list(self._ahead.items())}
        return {peer: ahead_s for peer, ahead_s in found.items() if ahead_s is not None}

    def counters(
        self, name: str, says: str, label: str, values: Callable[[], Mapping[str, float]]
    ) -> None:
        """Add a figure that only rises, one for each value of a label."""
        self.figures.append(Figure(name, says, "counter", label, values))

    def found(self) -> dict[str, str]:
        """Say each condition by its name; empty is well."""
        return {name: _said(says) for name, says in self._says.items()}


def _said(says: Says) -> str:
    try:
        return says()
    except Exception as error:  # a watcher that is broken must not break what it watches
        return f"could not be read: {type(error).__name__}"
