"""Releases, and the fenced pointer that says which one is live.

Law: one pointer a service is the truth; each move raises the epoch, and a wish with an older epoch
does nothing. A rollback goes to the release recorded as good, never to one known bad, and never to
what is live already. What is known bad is a digest: another name does not make it good.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct, field

from midwatch.core.state import events as e
from midwatch.core.values import canary
from midwatch.core.values.canary import Canary, Ended, GuardEvidence
from midwatch.core.values.keys import without_salt
from midwatch.core.values.reasons import Reason
from midwatch.core.values.traffic import Traffic

RULE = "releases.rollback/2"
KEPT_GOOD, KEPT_OVERTAKEN = 8, 16
MOVE = "move/"  # what the key of every move begins with, but for those that an incident counts
Standing = Literal["unproven", "good", "bad"]


class Release(Struct):
    """An immutable digest with a name, and what is known of it."""

    name: str
    digest: str
    standing: Standing = "unproven"


class Pointer(Struct):
    """What a service runs.

    `pending` is an intent that is written but not yet observed, to `intended` for `purpose`; `done`
    the last operation that was. `unseen` is set when the newest intent was given up; `overtaken`
    are the last ones that something else went before. `weight` per cent go to the `candidate`, that
    `canary` tries. `bad` are digests that are never served again, `evidence` is what each digest
    has shown so far, `unfit` and `changed` what the last check of a release found wrong.
    """

    service: str
    live: str = ""
    last_good: str = ""
    older_good: list[str] = field(default_factory=list[str])  # the newest last
    candidate: str = ""
    weight: int = 0
    epoch: int = 0
    pending: str = ""
    intended: str = ""
    intended_candidate: str = ""
    intended_weight: int = 0
    purpose: str = ""
    done: str = ""
    unseen: bool = False
    overtaken: list[str] = field(default_factory=list[str])
    rolled_back_at: int = 0
    releases: dict[str, Release] = field(default_factory=dict[str, Release])
    bad: dict[str, str] = field(default_factory=dict[str, str])  # digest -> the name it had
    unfit: dict[str, str] = field(default_factory=dict[str, str])
    changed: dict[str, str] = field(default_factory=dict[str, str])
    canary: Canary | None = None
    last_canary: Ended | None = None
    evidence: dict[str, dict[str, GuardEvidence]] = field(
        default_factory=dict[str, dict[str, GuardEvidence]]
    )

    @property
    def traffic(self) -> Traffic:
        """What should be served now."""
        return Traffic(self.live, self.epoch, self.candidate, self.weight)

    @property
    def wanted(self) -> Traffic:
        """What the newest intent is to serve."""
        return Traffic(self.intended, self.epoch, self.intended_candidate, self.intended_weight)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}")


def is_name(text: str) -> bool:
    """Say whether this may name a service or a release: it becomes an argument of commands.

    >>> is_name("v1.2-rc_3"), is_name("--force"), is_name("../v1"), is_name("")
    (True, False, False, False)
    """
    return _NAME.fullmatch(text) is not None


def key_of_move(service: str, epoch: int, name: str) -> str:
    """Say what the key of a move is drawn of: each has an epoch of its own, so no two are the same.

    >>> key_of_move("shop", 7, "c1/50")
    'move/shop/7/c1/50'
    """
    return f"{MOVE}{service}/{epoch}/{name}"


def name_of(operation: str) -> str:
    """Say what a move is called, by whoever asked for it.

    >>> name_of("move/shop/7/c1/50/00112233445566aa"), name_of("rollback/INC-1/1"), name_of("")
    ('c1/50', 'rollback/INC-1/1', '')
    """
    if not operation.startswith(MOVE):
        return operation
    return without_salt(operation).split("/", 3)[-1]


def is_unsettled(pointer: Pointer) -> bool:
    """Say whether the router may serve something beside what is live, or instead of it.

    A move is under way, a candidate has a part, or the newest move was given up unseen.
    """
    return bool(pointer.pending or pointer.candidate or pointer.canary or pointer.unseen)


def may_serve_candidate(pointer: Pointer) -> bool:
    """Say whether a candidate was seen to have a part, or may have one unseen."""
    trying = pointer.purpose in ("canary", "abort") and (pointer.pending or pointer.unseen)
    return bool(pointer.candidate or trying)


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
    says = "no release is recorded as good"
    for number, name in enumerate((pointer.last_good, *reversed(pointer.older_good))):
        target = pointer.releases.get(name)
        if target is None:
            continue
        if target.standing == "bad":
            says = f"{name} is known bad" if not number else says
        elif name == pointer.live:
            says = f"{name} is live already" if not number else says
        else:
            before = " before it" if number else ""
            return name, Reason(RULE, f"{name} is the last release known good{before}", terms)
    return "", Reason(RULE, says, terms)


def evolve(pointer: Pointer, event: e.ReleaseEvent, at: int) -> None:
    """Apply one fact in place; `at` is when it was decided."""
    match event:
        case e.ReleaseRegistered():
            standing: Standing = "good" if event.good else "unproven"
            if event.digest in pointer.bad:
                standing = "bad"
            pointer.releases[event.release] = Release(event.release, event.digest, standing)
            if standing == "good":
                _recommend(pointer, event.release)
            if event.live:
                pointer.live, pointer.epoch = event.release, pointer.epoch + 1
        case e.PointerIntended():
            pointer.pending, pointer.epoch = event.operation, event.epoch
            pointer.intended, pointer.purpose = event.release, event.purpose
            pointer.intended_candidate = event.candidate
            pointer.intended_weight = event.weight
        case e.PointerMoved():
            _move(pointer, event, at)
        case e.PointerAbandoned():
            _abandon(pointer, event)
        case e.ReleaseCondemned():
            _condemn(pointer, event.release)
        case e.ReleaseProven():
            _recommend(pointer, event.release)
            if event.release in pointer.releases:
                pointer.releases[event.release].standing = "good"
        case e.ReleaseFoundUnfit() | e.ReleaseFoundFit():
            _check(pointer, event)
        case _:
            _try(pointer, event, at)


def _check(pointer: Pointer, event: e.ReleaseFoundUnfit | e.ReleaseFoundFit) -> None:
    pointer.unfit.pop(event.release, None)
    pointer.changed.pop(event.release, None)
    if isinstance(event, e.ReleaseFoundUnfit):
        found = pointer.changed if event.changed else pointer.unfit
        found[event.release] = event.says


def _move(pointer: Pointer, event: e.PointerMoved, at: int) -> None:
    pointer.pending, pointer.live = "", event.release
    pointer.candidate, pointer.weight = event.candidate, event.weight
    pointer.done, pointer.unseen = event.operation, False
    if pointer.purpose == "rollback":
        pointer.rolled_back_at = at
    _condemn(pointer, event.condemned)
    trial = pointer.canary
    if trial is not None and trial.release == event.candidate:
        trial.step = trial.plan.steps.index(event.weight)
        trial.step_at = at
        trial.at_step = {}


def _abandon(pointer: Pointer, event: e.PointerAbandoned) -> None:
    pointer.pending, pointer.unseen = "", True
    if event.reason is None:  # something else went before it
        pointer.overtaken = [*pointer.overtaken, name_of(event.operation)][-KEPT_OVERTAKEN:]


def _recommend(pointer: Pointer, release: str) -> None:
    """Record a release as the last good one."""
    if pointer.last_good not in ("", release):
        kept = [one for one in pointer.older_good if one not in (release, pointer.last_good)]
        pointer.older_good = [*kept, pointer.last_good][-KEPT_GOOD:]
    pointer.last_good = release


def _condemn(pointer: Pointer, release: str) -> None:
    known = pointer.releases.get(release)
    if known is None:
        return
    pointer.bad[known.digest] = release
    for one in pointer.releases.values():
        if one.digest == known.digest:
            one.standing = "bad"


def _try(pointer: Pointer, event: e.ReleaseEvent, at: int) -> None:
    """Apply what is about a candidate on live traffic."""
    trial = pointer.canary
    match event:
        case e.CanaryStarted():
            pointer.canary = Canary(
                event.operation,
                event.release,
                event.digest,
                event.baseline,
                event.by,
                event.plan,
                at,
                event.incident,
            )
        case e.CanaryCounted() if trial is not None:
            evidence = pointer.evidence.setdefault(trial.digest, {})
            canary.count(trial, evidence, event.block, event.missed, event.until)
        case e.CanaryHeld() if trial is not None:
            trial.held = event.reason.says if event.reason else ""
        case e.CanaryEnded() if trial is not None:
            pointer.last_canary = Ended(
                trial.operation, trial.release, event.verdict, event.reason, at
            )
            pointer.canary = None
        case _:
            pass
