"""What can be done about the agent's surroundings, by name, and how they stand.

Law: a remedy says what is to be, never what is to be changed: doing it twice is doing it once. It
cures its own trouble and no other. The state that is shown is all that anybody needs to see that it
was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from midwatch.agent.surroundings import PROVIDERS, Surroundings
from midwatch.errors import InputError

MAX_SEASON = 9_999


def _purge(around: Surroundings, given: Mapping[str, Any]) -> None:
    around.purge_cache()


def _restore(around: Surroundings, given: Mapping[str, Any]) -> None:
    around.restore_indexes()


def _fail_over(around: Surroundings, given: Mapping[str, Any]) -> None:
    to = given.get("to")
    if to not in PROVIDERS:
        raise InputError(f"to is {to!r}", remedy=f"write one of {', '.join(PROVIDERS)}")
    around.provider = to


def _disable(around: Surroundings, given: Mapping[str, Any]) -> None:
    topic = given.get("topic")
    known = {one.topic for one in around.articles} | {one.id for one in around.articles}
    if topic not in known:
        raise InputError(f"topic is {topic!r}", remedy="name a topic or an article")
    around.disable([topic])


def _enable(around: Surroundings, given: Mapping[str, Any]) -> None:
    around.off.discard(str(given.get("topic")))


def _set(around: Surroundings, given: Mapping[str, Any]) -> None:
    season = given.get("season")
    if not isinstance(season, int) or isinstance(season, bool) or not 2000 <= season <= MAX_SEASON:
        raise InputError(f"season is {season!r}", remedy="write a year")
    around.season = season


def _shed(around: Surroundings, given: Mapping[str, Any]) -> None:
    on = given.get("on")
    if not isinstance(on, bool):
        raise InputError(f"on is {on!r}", remedy="write true or false")
    around.orders.shed = on


REMEDIES: dict[str, Callable[[Surroundings, Mapping[str, Any]], None]] = {
    "cache.purge": _purge,
    "config.set": _set,
    "feature.disable": _disable,
    "feature.enable": _enable,
    "index.restore": _restore,
    "load.shed": _shed,
    "traffic.failover": _fail_over,
}


def apply(around: Surroundings, name: str, given: Mapping[str, Any]) -> None:
    """Do a remedy. Raises InputError for one that is not known, or a value that makes no sense.

    >>> here = Surroundings()
    >>> apply(here, "traffic.failover", {"to": "second"})
    >>> state(here)["provider"]
    'second'
    """
    remedy = REMEDIES.get(name)
    if remedy is None:
        raise InputError(
            f"no mitigation is named {name!r}", remedy=f"use one of {', '.join(REMEDIES)}"
        )
    remedy(around, given)


def state(around: Surroundings) -> dict[str, Any]:
    """Say how the surroundings stand.

    >>> sorted(state(Surroundings()))
    ['cached', 'index_whole', 'off', 'provider', 'season', 'shed']
    """
    return {
        "cached": len(around.cache),
        "index_whole": all(index.is_whole for index in around.indexes.values()),
        "off": sorted(around.off),
        "provider": around.provider,
        "season": around.season,
        "shed": around.orders.shed,
    }
