"""Runbooks as they are written, and the plan that one makes of an incident.

Law: a plan says exactly what would be done, with every value filled in, and what proves that it
helped; its hash covers all of that and the incident. Nothing of it is looked up again later.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from midwatch.core.values.actions import Deed, Risk
from midwatch.core.values.silences import Matcher
from midwatch.core.values.slo import Verify

ROLLBACK, ABORT = "release.rollback", "release.abort_canary"
PAGE, WAIT, ASK = "page.person", "wait", "ask"
REQUEST, COMMAND = "http.request", "command.run"
BUILT_IN = (ROLLBACK, ABORT, PAGE, WAIT, ASK, REQUEST, COMMAND)
# What these do is known; the others say by themselves how much they may break.
RISKS: dict[str, Risk] = {ABORT: "reversible", PAGE: "read", WAIT: "read", ASK: "read"}
ROLE, TTL_S, TIMEOUT_S = "responder", 900, 60
WITHIN_S = 30  # until what changes something is seen, where nobody says how long it takes
HASH_BYTES = 8

RunState = Literal["none", "proposed", "running", "waiting", "verifying", "ended"]


class Match(Struct, frozen=True):
    """When a runbook fits: everything that is said has to hold."""

    slo: str = ""
    labels: tuple[Matcher, ...] = ()
    cause: str = ""

    @property
    def conditions(self) -> int:
        """How much is asked for; of two that fit, the one that asks for more knows more."""
        return bool(self.slo) + len(self.labels) + bool(self.cause)

    @property
    def asks_for_alerts(self) -> bool:
        """Whether alerts alone decide which service it is about."""
        return bool(self.labels) and not self.slo and not self.cause


class Param(Struct, frozen=True):
    """A value from outside: the pattern it has to fit, and where it comes from.

    `label` names a label of the alerts, `default` stands in; else a person gives it.
    """

    pattern: str
    label: str = ""
    default: str = ""


class Step(Struct, frozen=True):
    """One action of a runbook, as it is written.

    `deed`, `observe`, `within_s` and `idempotent` are those of an `http.request` or `command.run`;
    `given` are the values of any other action. What a program writes is shown in postmortems when
    the step `keeps` it.
    """

    id: str
    action: str
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    risk: Risk = "destructive"
    role: str = ROLE
    ttl_s: int = TTL_S
    timeout_s: int = TIMEOUT_S
    deed: Deed | None = None
    observe: Deed | None = None
    within_s: int = 0  # 0 for what is not said
    idempotent: bool = False
    keeps: bool = False
    undoes: str = ""  # the earlier step that it takes back


class Runbook(Struct, frozen=True):
    """Ordered, versioned steps, when they fit, and what proves that they helped.

    With `resolves` they remove the cause too, so that the incident needs no fix.
    """

    id: str
    version: int
    match: Match
    steps: tuple[Step, ...]
    verify: Verify = field(default_factory=Verify)
    params: dict[str, Param] = field(default_factory=dict[str, Param])
    resolves: bool = False
    title: str = ""
    text: str = ""


class PlannedStep(Struct, frozen=True, omit_defaults=True):
    """One step with every value filled in; `says` is what people read, `role` who may approve.

    Without `role` nobody has to. `given` are the values of what midwatch does by itself.
    """

    id: str
    action: str
    says: str
    risk: Risk
    role: str = ""
    ttl_s: int = 0
    timeout_s: int = TIMEOUT_S
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    apply: Deed | None = None
    observe: Deed | None = None
    within_s: int = 0
    idempotent: bool = False
    keeps: bool = False
    undoes: str = ""

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.risk != "read"

    @property
    def line(self) -> str:
        """What would be done, in one line."""
        return f"{self.id}: {self.says}"


class Plan(Struct, frozen=True, omit_defaults=True):
    """What would be done for one incident, and the hash that an approval binds to.

    `service` is the one that it acts on, None in a journal of midwatch 0.1; `proofs` are the
    objectives that have to be well afterwards, `values` what was put in.
    """

    runbook: str
    version: int
    steps: tuple[PlannedStep, ...]
    hash: str = ""
    verify: Verify = field(default_factory=Verify)
    resolves: bool = False
    service: str | None = None
    proofs: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict[str, str])
    takes_back: bool = False  # what a plan that was stopped has left done

    @property
    def lines(self) -> tuple[str, ...]:
        """What would be done, one line a step."""
        return tuple(step.line for step in self.steps)

    @property
    def changes(self) -> bool:
        """Whether anything would be changed."""
        return any(step.changes for step in self.steps)


def sealed(plan: Plan, incident: str) -> Plan:
    """Put the hash on a plan for an incident, which is called by its ref.

    >>> one = sealed(Plan("book", 1, ()), "INC-1")
    >>> one.hash == sealed(one, "INC-1").hash, one.hash == sealed(one, "INC-2").hash
    (True, False)
    """
    bare = msgspec.structs.replace(plan, hash="")
    body = msgspec.json.encode((incident, bare), order="sorted")
    digest = blake2b(body, digest_size=HASH_BYTES).hexdigest()
    return msgspec.structs.replace(plan, hash=digest)


def best_first(runbooks: tuple[Runbook, ...]) -> list[Runbook]:
    """Order runbooks by how much they ask for; among equals the one that was written first."""
    return sorted(runbooks, key=lambda one: -one.match.conditions)
