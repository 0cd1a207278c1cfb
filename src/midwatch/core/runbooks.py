"""Runbooks: which one fits, the plan it makes, and carrying that plan out.

Law: midwatch proposes and a person approves; an approval binds to the hash of the plan that was
shown, so a world that moved on needs a new plan. One remediation at a time, one rollback an
incident: whatever needs a second one pages a human. A rollback pre-empts a fix under way.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Struct, field

from midwatch.core import escalation, events, pointers, releases
from midwatch.core.clock import SECOND, show_duration
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident
from midwatch.core.inputs import ReleaseAnswered, Timer
from midwatch.core.reasons import Reason
from midwatch.core.releases import Pointer
from midwatch.core.slo import Verify
from midwatch.core.teams import Policy
from midwatch.core.traffic import Traffic
from midwatch.errors import StateError

RULE = "runbooks/1"
ACTIONS = ("release.rollback",)
MAX_ATTEMPTS = 3
RETRY_S = 5


class Step(Struct, frozen=True):
    """One action of a runbook, as it is written."""

    id: str
    action: str
    risk: str = "destructive"


class Runbook(Struct, frozen=True):
    """Ordered, versioned steps for one objective, and what proves that they helped."""

    id: str
    version: int
    slo: str
    steps: tuple[Step, ...]
    verify: Verify = field(default_factory=Verify)


class Plan(Struct, frozen=True):
    """A runbook with every value filled in, and the hash that an approval binds to."""

    runbook: str
    version: int
    steps: tuple[str, ...]
    hash: str


def match(runbooks: tuple[Runbook, ...], slo: str) -> Runbook | None:
    """Find the runbook of an objective."""
    return next((r for r in runbooks if r.slo == slo), None)


def make_plan(runbook: Runbook, pointer: Pointer) -> Plan:
    """Fill a runbook in for what is live now.

    >>> book = Runbook("roll", 1, "shop/answers", (Step("back", "release.rollback"),))
    >>> known = {"v1": releases.Release("v1", "digest", "good")}
    >>> make_plan(book, Pointer("shop", "v2", "v1", epoch=3, releases=known)).steps
    ('back: release.rollback shop v2 -> v1 at epoch 4',)
    """
    target = releases.rollback_target(pointer)[0]
    steps = tuple(
        f"{s.id}: {s.action} {pointer.service} {pointer.live} -> {target}"
        f" at epoch {pointer.epoch + 1}"
        for s in runbook.steps
    )
    body = msgspec.json.encode((runbook.id, runbook.version, steps))
    return Plan(runbook.id, runbook.version, steps, blake2b(body, digest_size=8).hexdigest())


def propose(d: Decision, runbooks: tuple[Runbook, ...], incident: Incident, slo: str) -> None:
    """Propose the plan that fits a burning objective, or say that nothing fits."""
    if incident.plan_hash or incident.rollbacks:
        return
    runbook = match(runbooks, slo)
    pointer = d.shard.pointers.get(slo.split("/", maxsplit=1)[0])
    if runbook is None or pointer is None:
        says = "no runbook matches" if runbook is None else "no release is registered"
        d.emit(events.NoRunbook(incident.id, Reason(RULE, f"{says} {slo}", {"slo": slo})))
        return
    target, reason = releases.rollback_target(pointer)
    since = (d.now - pointer.rolled_back_at) // SECOND
    if target and pointer.rolled_back_at and since < pointers.COOL_DOWN_S:
        says = f"{pointer.service} was rolled back {show_duration(since)} ago: a person has to look"
        target, reason = "", Reason(RULE, says, {"cool_down_s": pointers.COOL_DOWN_S})
    if not target:
        d.emit(events.NoRunbook(incident.id, reason))
        return
    plan = make_plan(runbook, pointer)
    says = f"{runbook.id} v{runbook.version} matches {slo}: {reason.says}"
    d.emit(
        events.PlanProposed(
            incident.id,
            plan.runbook,
            plan.version,
            plan.hash,
            plan.steps,
            Reason(RULE, says, reason.terms),
        )
    )


def approve(
    d: Decision,
    runbooks: tuple[Runbook, ...],
    policy: Policy,
    incident: Incident,
    plan_hash: str,
    by: str,
) -> None:
    """Carry out the approved plan; raises StateError when it is not the present one."""
    if incident.rollbacks:
        raise StateError(f"{incident.id} was rolled back already", remedy="a person has to look")
    runbook = next((r for r in runbooks if r.id == incident.runbook), None)
    pointer = d.shard.pointers.get(incident.service_of_plan)
    if runbook is None or pointer is None or incident.state not in ("open", "acknowledged"):
        raise StateError(
            f"{incident.id} has no plan to approve", remedy="look at the incident first"
        )
    if make_plan(runbook, pointer).hash != plan_hash:
        raise StateError(
            f"plan {plan_hash} of {incident.id} no longer describes what is live",
            remedy="look at the new plan and approve that",
        )
    d.emit(events.PlanApproved(incident.id, plan_hash, by))
    if incident.fix_state in ("proposed", "trial", "promoting"):
        says = "a rollback goes before a fix"
        d.emit(events.FixWithdrawn(incident.id, incident.fix, Reason(RULE, says)))
    target, reason = releases.rollback_target(pointer)
    if not target:
        d.emit(events.RollbackRefused(incident.id, pointer.service, reason))
        escalation.page_again(d, policy, incident, reason)
        return
    operation, epoch = f"rollback/{incident.id}/{incident.rollbacks + 1}", pointer.epoch + 1
    d.emit(
        events.RollbackStarted(
            incident.id, pointer.service, operation, pointer.live, target, epoch, reason
        )
    )
    pointers.withdraw(d, pointer, "a rollback goes before a canary")
    traffic = Traffic(target, pointer.epoch)
    pointers.begin(d, pointer, operation, traffic, "rollback", incident=incident.id)


def on_rollback_answer(
    d: Decision, verify: Verify, policy: Policy, incident: Incident, answer: ReleaseAnswered
) -> None:
    """Take what was seen after the rollback: done, try again, or a person has to look."""
    if incident.operation != answer.key:
        return
    pointer = d.shard.pointers[incident.service_of_plan]
    if answer.state == "applied":
        bad, to = incident.bad_release, incident.good_release
        pointers.done(d, pointer, answer.key, condemned=bad)
        d.emit(
            events.RollbackCompleted(incident.id, pointer.service, answer.key, bad, to, answer.seen)
        )
        due_at = d.now + verify.deadline_s * SECOND
        d.set_timer(Timer(f"verify/{incident.id}", due_at, "verify", incident.id))
        return
    if answer.state == "not-applied" and answer.attempt < MAX_ATTEMPTS:
        d.retry_effect(answer.key, d.now + RETRY_S * SECOND)
        return
    if pointer.pending == answer.key:
        d.emit(events.PointerAbandoned(pointer.service, answer.key, pointer.epoch))
    d.emit(events.RollbackFailed(incident.id, answer.key, answer.state, answer.seen))
    says = f"rollback {answer.state}: {answer.seen}"
    escalation.page_again(d, policy, incident, Reason(RULE, says, {"attempts": answer.attempt}))


def on_verify_timer(d: Decision, verify: Verify, policy: Policy, incident: Incident) -> None:
    """Page when the time for recovery is over and users are not known to be well."""
    if incident.state not in ("open", "acknowledged"):
        return
    waited = show_duration(verify.deadline_s)
    says = f"not known to be well {waited} after the rollback"
    reason = Reason(RULE, says, {"deadline_s": verify.deadline_s})
    d.emit(events.RecoveryMissed(incident.id, reason))
    escalation.page_again(d, policy, incident, reason)
