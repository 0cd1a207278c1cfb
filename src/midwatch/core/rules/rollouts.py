"""A candidate's way to live traffic: started by a person, raised and ended by its evidence alone.

Law: each weight is a move of its own, written, told and observed. A verdict is acted on at once:
reject and inconclusive take the candidate off, promote makes it live. Whatever else moves the
traffic ends the canary first, and so does a weight that cannot be set: nobody stays on a candidate
that nothing is learned from.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.core.rules import pointers
from midwatch.core.state import events, inputs, releases
from midwatch.core.state.decision import Decision
from midwatch.core.state.releases import Pointer
from midwatch.core.values import canary
from midwatch.core.values.canary import Canary, CanaryPlan
from midwatch.core.values.reasons import Reason
from midwatch.core.values.traffic import Traffic
from midwatch.errors import StateError


def start(
    d: Decision, plans: Mapping[str, CanaryPlan], given: inputs.StartCanary, incident: str = ""
) -> None:
    """Give a candidate its first part. Raises StateError; the same operation begins once."""
    pointer = pointers.known(d, given.service)
    trial, last = pointer.canary, pointer.last_canary
    if given.operation in (trial and trial.operation, last and last.operation):
        return
    pointers.check_epoch(pointer, given.epoch)
    plan = plans.get(given.service)
    if plan is None:
        raise StateError(
            f"no canary is configured for {given.service}",
            remedy=f"add canaries: {{{given.service}: ...}} to midwatch.yaml",
        )
    release = pointers.servable(pointer, given.release)
    if given.release == pointer.live:
        raise StateError(f"{given.release} is live already", remedy="no action is needed")
    if trial is not None or pointer.pending:
        under_way = f"a canary of {trial.release}" if trial else releases.name_of(pointer.pending)
        raise StateError(f"{under_way} is under way", remedy="wait until it ends, or abort it")
    if not pointer.live:
        raise StateError(
            f"{given.service} has no live release to compare with",
            remedy="register the live release with --live",
        )
    d.emit(
        events.CanaryStarted(
            service=given.service,
            operation=given.operation,
            release=given.release,
            digest=release.digest,
            baseline=pointer.live,
            by=given.by,
            plan=plan,
            incident=incident,
            why=given.why,
        )
    )
    _weigh(d, pointer, plan.steps[0], given.by, Reason(canary.RULE, "the first step"))


def abort(d: Decision, given: inputs.AbortCanary) -> None:
    """Take a candidate off, also one whose canary is over. Raises StateError when none is there."""
    pointer = pointers.known(d, given.service)
    reason = Reason(canary.RULE, f"aborted by {given.by}" + (f": {given.why}" if given.why else ""))
    if pointer.canary is not None:
        _end(d, pointer, pointer.canary, "inconclusive", reason)
    elif pointer.pending and pointer.purpose in ("rollback", "abort"):
        return  # that takes any candidate off
    elif not releases.may_serve_candidate(pointer):
        raise StateError(f"no canary of {given.service} is under way", remedy="no action is needed")
    else:
        take_off(d, pointer, f"off/{given.service}", reason, given.by)


def read(d: Decision, given: inputs.CanaryRead) -> Canary | None:
    """Take a block of time in and act on what follows; gives the canary when that ended it."""
    pointer = d.shard.pointers.get(given.service)
    trial = pointer.canary if pointer else None
    if pointer is None or trial is None or trial.operation != given.operation:
        return None
    starts_at = given.at - trial.plan.every_s * 1_000
    if pointer.pending or trial.step < 0 or starts_at < max(trial.counts_from, trial.until):
        return None
    d.emit(
        events.CanaryCounted(
            service=given.service, until=given.at, block=given.block, missed=given.missed
        )
    )
    return _follow(d, pointer, trial)


def _follow(d: Decision, pointer: Pointer, trial: Canary) -> Canary | None:
    evidence = pointer.evidence.get(trial.digest, {})
    name = trial.release
    word, reason = canary.judge(
        trial, evidence, d.now, pointer.changed.get(name, ""), pointer.unfit.get(name, "")
    )
    if word == "hold":
        if not trial.held:
            d.emit(events.CanaryHeld(service=pointer.service, reason=reason))
        return None
    if trial.held:
        d.emit(events.CanaryHeld(service=pointer.service))
    if word == "raise":
        _weigh(d, pointer, trial.plan.steps[trial.step + 1], "", reason)
        return None
    if word == "wait":
        return None
    _end(d, pointer, trial, word, reason)
    return trial


def _weigh(d: Decision, pointer: Pointer, weight: int, by: str, why: Reason) -> None:
    trial = pointer.canary
    if trial is None:
        return
    traffic = Traffic(pointer.live, pointer.epoch, trial.release, weight)
    operation = f"{trial.operation}/{weight}"
    pointers.begin(d, pointer, operation, traffic, "canary", by=by, why=why)


def _end(d: Decision, pointer: Pointer, trial: Canary, verdict: str, reason: Reason) -> None:
    d.emit(
        events.CanaryEnded(
            service=pointer.service, release=trial.release, verdict=verdict, reason=reason
        )
    )
    if verdict == "reject":
        d.emit(
            events.ReleaseCondemned(service=pointer.service, release=trial.release, reason=reason)
        )
    if verdict == "promote":
        if not trial.incident:
            traffic = Traffic(trial.release, pointer.epoch)
            operation = f"{trial.operation}/promote"
            pointers.begin(d, pointer, operation, traffic, "promote", by=trial.by, why=reason)
        return
    take_off(d, pointer, f"{trial.operation}/off", reason)


def take_off(d: Decision, pointer: Pointer, operation: str, why: Reason, by: str = "") -> None:
    """Give all traffic back to what is live."""
    traffic = Traffic(pointer.live, pointer.epoch)
    pointers.begin(d, pointer, operation, traffic, "abort", by=by, why=why)


def on_answer(d: Decision, pointer: Pointer, operation: str) -> Canary | None:
    """End a canary when its `operation` was given up, whatever it had before; gives it then."""
    trial = pointer.canary
    if trial is None or pointer.pending or pointer.done == operation:
        return None
    says = f"{pointer.wanted.says} was not seen"
    _end(d, pointer, trial, "inconclusive", Reason(canary.RULE, says))
    return trial
