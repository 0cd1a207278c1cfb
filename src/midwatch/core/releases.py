"""Releases, and the fenced pointer that says which one is live.

Law: one pointer a service is the truth; each move raises the epoch, and a wish with an older epoch
does nothing. A rollback goes to the release recorded as good, never to one known bad, and never to
what is live already.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct, field

from midwatch.core import events as e
from midwatch.core.reasons import Reason

RULE = "releases.rollback/1"
Standing = Literal["unproven", "good", "bad"]


class Release(Struct):
    """An immutable digest with a name, and what is known of it."""

    name: str
    digest: str
    standing: Standing = "unproven"


class Pointer(Struct):
    """What a service runs.

    `pending` is an intent that is written but not yet observed, to `intended` for `purpose`; `done`
    the last operation that was.
    """

    service: str
    live: str = ""
    last_good: str = ""
    epoch: int = 0
    pending: str = ""
    intended: str = ""
    purpose: str = ""
    done: str = ""
    releases: dict[str, Release] = field(default_factory=dict[str, Release])


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}")


def is_name(text: str) -> bool:
    """Say whether this may name a service or a release: it becomes an argument of commands.

    >>> is_name("v1.2-rc_3"), is_name("--force"), is_name("../v1"), is_name("")
    (True, False, False, False)
    """
    return _NAME.fullmatch(text) is not None


def rollback_target(pointer: Pointer) -> tuple[str, Reason]:
    """Name the release to go back to, empty when there is none, and say why.

    >>> p = Pointer("shop", live="v2", last_good="v1", releases={
    ...     "v1": Release("v1", "a", "good"), "v2": Release("v2", "b")})
    >>> rollback_target(p)[0]
    'v1'
    """
    terms: dict[str, bool | int | float | str] = {
        "live": pointer.live,
        "last_good": pointer.last_good,
        "epoch": pointer.epoch,
    }
    target = pointer.releases.get(pointer.last_good)
    if target is None:
        return "", Reason(RULE, "no release is recorded as good", terms)
    if target.standing == "bad":
        return "", Reason(RULE, f"{target.name} is known bad", terms)
    if target.name == pointer.live:
        return "", Reason(RULE, f"{target.name} is live already", terms)
    return target.name, Reason(RULE, f"{target.name} is the last release known good", terms)


def evolve(pointer: Pointer, event: e.ReleaseEvent) -> None:
    """Apply one fact in place."""
    match event:
        case e.ReleaseRegistered():
            standing: Standing = "good" if event.good else "unproven"
            pointer.releases[event.release] = Release(event.release, event.digest, standing)
            if event.good:
                pointer.last_good = event.release
            if event.live:
                pointer.live, pointer.epoch = event.release, pointer.epoch + 1
        case e.PointerIntended():
            pointer.pending, pointer.epoch = event.operation, event.epoch
            pointer.intended, pointer.purpose = event.release, event.purpose
        case e.PointerMoved():
            pointer.pending, pointer.live = "", event.release
            pointer.done = event.operation
            if event.condemned in pointer.releases:
                pointer.releases[event.condemned].standing = "bad"
        case e.PointerAbandoned():
            pointer.pending = ""
        case e.ReleaseCondemned():
            if event.release in pointer.releases:
                pointer.releases[event.release].standing = "bad"
        case e.ReleaseProven():
            pointer.last_good = event.release
            if event.release in pointer.releases:
                pointer.releases[event.release].standing = "good"
        case _:
            pass
