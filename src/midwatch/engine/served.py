"""What services run: their releases, a canary under way with its evidence, and what happened.

Law: read only.
"""

from __future__ import annotations

from math import exp

from msgspec import Struct

from midwatch.core.state.releases import Pointer, name_of, rollback_target
from midwatch.core.state.shard import Shard
from midwatch.core.values import canary
from midwatch.core.values.canary import GuardEvidence
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Term
from midwatch.engine.queries import Moment, moment_of, skews_of
from midwatch.ports import Audit

MOST = 1e9  # evidence that is more than this is shown as this


class ReleaseView(Struct, frozen=True):
    """One release: good, bad or unproven; `live` when users get it.

    `trouble` is what the newest check found wrong.
    """

    release: str
    digest: str
    standing: str
    live: bool
    last_good: bool
    trouble: str = ""


class GuardView(Struct, frozen=True):
    """What was counted of a guard on both sides, and its evidence beside what it takes."""

    guard: str
    margin: float
    good: int
    total: int
    base_good: int
    base_total: int
    to_reject: float
    rejects_at: float
    to_promote: float
    promotes_at: float
    cleared: bool


class CanaryView(Struct, frozen=True):
    """A canary under way; `next` is what follows from its evidence now, `says` why."""

    operation: str
    release: str
    baseline: str
    by: str
    incident: str
    started_at: str
    weight: int
    step: int
    steps: list[int]
    blocks: int
    missed: int
    next: str
    says: str
    guards: list[GuardView]


class EndedView(Struct, frozen=True):
    """How the newest canary ended; `terms` are the counts and the evidence."""

    operation: str
    release: str
    verdict: str
    says: str
    at: str
    terms: dict[str, Term]


class ServiceView(Struct, frozen=True):
    """What a service runs; `pending` is a move under way, to `intended`.

    `rollback_to` is where a rollback would go, empty when there is nowhere. `weight` per cent of
    its traffic go to the `candidate`.
    """

    service: str
    live: str
    last_good: str
    rollback_to: str
    candidate: str
    weight: int
    epoch: int
    pending: str
    intended: str
    done: str
    releases: list[ReleaseView]
    canary: CanaryView | None = None
    last_canary: EndedView | None = None


def services(shard: Shard) -> list[ServiceView]:
    """List what services run."""
    return [_service(pointer, shard) for _, pointer in sorted(shard.pointers.items())]


def history(audit: Audit, service: str) -> list[Moment]:
    """List what happened to a service's releases, oldest first."""
    skews = skews_of(audit)
    return [moment_of(row, skews) for row, _ in audit.rows(f"release/{service}")]


def _service(p: Pointer, shard: Shard) -> ServiceView:
    last = p.last_canary
    return ServiceView(
        p.service,
        p.live,
        p.last_good,
        rollback_target(p)[0],
        p.candidate,
        p.weight,
        p.epoch,
        name_of(p.pending),
        p.wanted.says if p.pending else "",
        name_of(p.done),
        [
            ReleaseView(
                r.name,
                r.digest,
                r.standing,
                r.name == p.live,
                r.name == p.last_good,
                p.unfit.get(r.name) or p.changed.get(r.name, ""),
            )
            for r in p.releases.values()
        ],
        _canary(p, shard),
        last
        and EndedView(
            last.operation,
            last.release,
            last.verdict,
            last.reason.says,
            show_time(shard.shown(last.at)),
            last.reason.terms,
        ),
    )


def _canary(p: Pointer, shard: Shard) -> CanaryView | None:
    trial = p.canary
    if trial is None:
        return None
    evidence = p.evidence.get(trial.digest, {})
    name = trial.release
    word, reason = canary.judge(
        trial, evidence, shard.at, p.changed.get(name, ""), p.unfit.get(name, "")
    )
    if p.pending or trial.step < 0:
        word, says = "wait", f"{p.wanted.says} is not seen yet"
    else:
        says = reason.says
    plan = trial.plan
    return CanaryView(
        trial.operation,
        name,
        trial.baseline,
        trial.by,
        trial.incident,
        show_time(shard.shown(trial.started_at)),
        trial.weight,
        trial.step + 1,
        [*plan.steps, 100],
        trial.blocks,
        trial.missed,
        word,
        says,
        [
            _guard(one, evidence.get(canary.key_of(one)), plan.alpha, len(plan.guards))
            for one in plan.guards
        ],
    )


def _guard(
    guard: canary.Guard, found: GuardEvidence | None, alpha: float, guards: int
) -> GuardView:
    if found is None:
        return GuardView(
            guard.name, guard.margin, 0, 0, 0, 0, 1.0, guards / alpha, 1.0, 1 / alpha, cleared=False
        )
    seen = found.traffic
    return GuardView(
        guard.name,
        guard.margin,
        seen.good,
        seen.total,
        seen.base_good,
        seen.base_total,
        _wealth(seen.log_reject),
        guards / alpha,
        _wealth(seen.log_promote),
        1 / alpha,
        cleared=bool(found.cleared_at),
    )


def _wealth(logarithm: float) -> float:
    return round(min(exp(min(logarithm, 700.0)), MOST), 4)
