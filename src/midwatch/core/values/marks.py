"""What people were told and have answered: the news that pages, and the marks of their answers.

Law: an answer covers what was known when it was given, never what came later. A mark says what that
was; `Loud` is one piece of news that would wake somebody, with what whoever was woken was told.
Both are facts, and judge nothing: `covers` and `news` do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

KEPT_SERVICES = 64  # named in a mark; of more it says how many
KEPT_FINGERPRINTS = 16  # of one piece of news; of more alerts it counts how many
KEPT_OF_SERVICE = 4  # the newest pieces of news of one service
KEPT_LOUD = 1_024  # services with such news; of more the oldest are forgotten, and so page again

Answer = Literal["ack", "snooze", "merge", "mute"]


class Held(Struct, frozen=True):
    """Growth that the next page tells of: what it says, and of which alerts.

    What flaps is told only if it fires then.
    """

    says: str
    fingerprints: tuple[str, ...] = ()
    flaps: bool = False


class Loud(Struct, frozen=True, gc=False):
    """News of one service that pages, or would have but for earlier news.

    `severity` is the worst that whoever was paged was told with it; `at` and `ended_at` are times
    of the journal, the latter 0 while it fires. A burn has its objective in `slo`. `paged_in` is
    the incident whose page covers it, when it has none of its own, and `rung_at` when that page was
    asked for. `own` when midwatch raised it, `apart` when it
    covers its own alerts alone. `fingerprints` are those that fire, `gone` those that have ended,
    and `more` counts what fires of its `level` beside them. Without a service `names` are those of
    its alerts. `said` is the worst severity that was said of this very service. While it is `held`
    nobody was told, and it covers nothing.
    """

    at: int
    incident: str
    severity: str
    policy: str
    namespace: str = ""
    fingerprints: tuple[str, ...] = ()
    slo: str = ""
    ended_at: int = 0
    paged_in: str = ""
    own: bool = False
    rung_at: int = 0
    apart: bool = False
    names: tuple[str, ...] = ()
    level: str = ""
    more: int = 0
    gone: tuple[str, ...] = ()
    said: str = ""
    held: bool = False

    @property
    def thread(self) -> str:
        """The incident whose pages tell of it."""
        return self.paged_in or self.incident


class Mark(Struct, frozen=True):
    """What was known of an incident when somebody answered for it last, merged or muted.

    `services` are those of its alerts, `policy` and `people` who was paged, `alerts` how many. A
    snooze has the very news that it was given for in `news`.
    """

    at: int
    kind: Answer
    by: str
    severity: str
    title: str
    services: tuple[str, ...]
    policy: str = ""
    people: tuple[str, ...] = ()
    alerts: int = 0
    level: str = ""
    news: dict[str, tuple[Loud, ...]] = field(default_factory=dict[str, tuple[Loud, ...]])


Table = dict[str, tuple[Loud, ...]]  # by service; whoever was heard last stands last


def keep(table: Table, service: str, one: Loud) -> None:
    """Note news of a service, in place.

    >>> table = {}
    >>> for at, service in enumerate(("db", "shop", "db")):
    ...     keep(table, service, Loud(at, "INC-1", "sev2", "p"))
    >>> list(table), len(table["db"])
    (['shop', 'db'], 2)
    """
    before = table.pop(service, ())
    if not before and len(table) >= KEPT_LOUD:
        del table[next(iter(table))]
    table[service] = (*before[-KEPT_OF_SERVICE + 1 :], one)


def end(table: Table, service: str, fingerprint: str, level: str, at: int) -> None:
    """Note that an alert of a service has ended, in place: news has when all of its alerts have."""
    known = table.get(service)
    if known is not None:
        table[service] = _without(known, fingerprint, level, at)


def _without(known: tuple[Loud, ...], fingerprint: str, level: str, at: int) -> tuple[Loud, ...]:
    """Take an alert out of the news that names it, else of the newest that may be about it."""
    if any(fingerprint in one.fingerprints for one in known):
        return tuple(
            _less(one, fingerprint, at) if fingerprint in one.fingerprints else one for one in known
        )
    for number in reversed(range(len(known))):
        one = known[number]
        if one.more and one.level == level and fingerprint not in one.gone:
            less = _ended(replace(one, more=one.more - 1), at)
            return (*known[:number], less, *known[number + 1 :])
    return known


def _less(one: Loud, fingerprint: str, at: int) -> Loud:
    left = tuple(name for name in one.fingerprints if name != fingerprint)
    return _ended(replace(one, fingerprints=left, gone=(*one.gone, fingerprint)), at)


def _ended(one: Loud, at: int) -> Loud:
    return one if one.fingerprints or one.more or one.ended_at else replace(one, ended_at=at)


def end_burn(table: Table, slo: str, at: int) -> None:
    """Note that an objective no longer burns, in place."""
    for service, known in table.items():
        if any(one.slo == slo and not one.ended_at for one in known):
            table[service] = tuple(
                replace(one, ended_at=one.ended_at or at) if one.slo == slo else one
                for one in known
            )


def forget(table: Table, service: str, fingerprint: str, level: str) -> None:
    """Take out what is muted now, in place: nobody is looked for because of it."""
    known = table.get(service)
    if known is not None:
        left = _without(known, fingerprint, level, -1)
        _put(table, service, tuple(one for one in left if one.ended_at >= 0))


def go_along(
    table: Table, services: Iterable[str], old: str, new: str, fingerprints: Iterable[str] | None
) -> None:
    """Let news of an incident be that of another one, in place.

    All of it, and what its pages cover, without `fingerprints`; else what names one of them.
    """
    moved = None if fingerprints is None else set(fingerprints)

    def along(one: Loud) -> Loud:
        if moved is not None:
            goes = one.incident == old and not moved.isdisjoint(one.fingerprints)
            return replace(one, incident=new) if goes else one
        return replace(
            one,
            incident=new if one.incident == old else one.incident,
            paged_in=new if one.paged_in == old else one.paged_in,
        )

    for service in services:
        known = table.get(service, ())
        if any(old in (one.incident, one.paged_in) for one in known):
            table[service] = tuple(along(one) for one in known)


def forget_incident(table: Table, services: Iterable[str], incident: str) -> None:
    """Take out all news of an incident, in place: a person has said that it is over."""
    for service in services:
        known = table.get(service, ())
        if any(one.incident == incident for one in known):
            _put(table, service, tuple(one for one in known if one.incident != incident))


def tell(table: Table, services: Iterable[str], incident: str, at: int, *, all_: bool) -> None:
    """Note that people are told of news of an incident that was held, in place.

    With `all_` also of what other incidents covered, of whose pages it is no part any more.
    """
    for service in services:
        known = table.get(service, ())
        if any(one.incident == incident and (one.held or one.paged_in) for one in known):
            table[service] = tuple(
                replace(one, paged_in="" if all_ else one.paged_in, rung_at=at, held=False)
                if one.incident == incident and (all_ or one.held)
                else one
                for one in known
            )


def of_incident(table: Table, services: Iterable[str], incident: str) -> Table:
    """Give the news of an incident by service, of the first KEPT_SERVICES that have any."""
    found: Table = {}
    for service in services:
        known = tuple(one for one in table.get(service, ()) if one.incident == incident)
        if known and len(found) < KEPT_SERVICES:
            found[service] = known
    return found


def _put(table: Table, service: str, known: tuple[Loud, ...]) -> None:
    if known:
        table[service] = known
    else:
        del table[service]
