"""What a decision wishes the world to do.

Law: each effect has one key for its whole life, and its class says how it crashes:

    SendPage     at-least-once   after a crash it is sent again under the same key, unless acked
    UpdatePage   at-least-once   after a crash it is sent again under the same key
    SetRelease   at-most-once    after a crash the router is observed first, then decided
    RunAction    at-most-once    after a crash it is observed first, unless it only reads
    RunEvals     repeatable      it changes nothing, so it is simply run again

Effects of one lane wait for each other when too many are under way; no lane waits for another.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from midwatch.core.values.actions import Deed
from midwatch.core.values.evals import Case
from midwatch.core.values.traffic import Traffic

# Why traffic is moved: back, on, to what the pointer says, a candidate's part, or none for it.
Purpose = Literal["rollback", "promote", "reconcile", "canary", "abort"]
Became = Literal["acknowledged", "resolved"]
EvalPurpose = Literal["admission", "canary", "gate"]


class SendPage(Struct, frozen=True, tag=True):
    """Demand one human's attention, by the pager that is called `via`; else by the first one.

    `also` are lines about further incidents of the same digest, such as `INC-2 sev2: Slow on shop`.
    `ref` is what the incident is called in links and keys; midwatch 0.1.0 wrote none. `thread`
    counts how often somebody had it and it needed somebody again.
    """

    key: str
    incident: str
    to: str
    severity: str
    title: str
    summary: str
    service: str
    via: str = ""
    also: tuple[str, ...] = ()
    ref: str = ""
    thread: int = 0

    @property
    def outside(self) -> str:
        """What the incident is called in links and keys."""
        return self.ref or self.incident

    @property
    def lane(self) -> str:
        """What it may hold up when it hangs: pages by the same pager."""
        return f"page/{self.via}"


class UpdatePage(Struct, frozen=True, tag=True):
    """Tell the pager called `via` what became of an incident that it paged `to` for."""

    key: str
    incident: str
    to: str
    became: Became
    by: str
    title: str
    via: str = ""
    ref: str = ""
    thread: int = 0

    @property
    def outside(self) -> str:
        """What the incident is called in links and keys."""
        return self.ref or self.incident

    @property
    def lane(self) -> str:
        """What it may hold up when it hangs: pages by the same pager."""
        return f"page/{self.via}"


class SetRelease(Struct, frozen=True, tag=True):
    """Serve this release; `epoch` fences every older wish, `key` is the operation id.

    `weight` per cent go to the `candidate`. What gets new traffic by it is checked before, and its
    `digest` compared when the router can tell it.
    """

    key: str
    incident: str
    service: str
    release: str
    epoch: int
    purpose: Purpose
    candidate: str = ""
    weight: int = 0
    digest: str = ""

    @property
    def traffic(self) -> Traffic:
        """What is to be served."""
        return Traffic(self.release, self.epoch, self.candidate, self.weight)

    @property
    def checked(self) -> str:
        """Name the release that has to be fit before it gets traffic; empty when none has."""
        if self.purpose in ("rollback", "promote"):
            return self.release
        return self.candidate if self.purpose == "canary" else ""

    @property
    def lane(self) -> str:
        """What it may hold up when it hangs: releases of the same service."""
        return f"release/{self.service}"


class RunAction(Struct, frozen=True, tag=True):
    """Do one step of an approved plan, at most once; `observe` sees whether it is done.

    One that `changes` nothing may be repeated, and so may one that is `idempotent`. `timeout_s` is
    for a call, `within_s` is how long it may take until it is seen.
    """

    key: str
    incident: str
    service: str
    action: str
    apply: Deed
    observe: Deed | None = None
    changes: bool = True
    timeout_s: int = 60
    within_s: int = 0
    idempotent: bool = False

    @property
    def lane(self) -> str:
        """What it may hold up when it hangs: actions on the same service."""
        return f"action/{self.service}"


class RunEvals(Struct, frozen=True, tag=True):
    """Run the extra `cases` on releases, and the suite of the service when `suite` is set."""

    key: str
    incident: str
    service: str
    purpose: EvalPurpose
    releases: tuple[str, ...]
    cases: tuple[Case, ...] = ()
    suite: bool = False
    epochs: int = 1

    @property
    def lane(self) -> str:
        """What it may hold up when it hangs: evals of the same service."""
        return f"evals/{self.service}"


Effect = SendPage | UpdatePage | SetRelease | RunAction | RunEvals
