"""Moving a service's traffic by a person's word: a rollback, or a release that goes live.

Law: every move is written before the router is told, under one operation id and the next epoch, and
counts only when it was observed. A rollback goes to the release recorded as good and goes before a
promotion under way; a promotion waits. What went live is recorded as good only after it has stayed
there without its objective burning. What cannot be seen pages a human.
"""

from __future__ import annotations

from msgspec import structs

from midwatch.core import effects, events, inputs, releases
from midwatch.core.alerts import Alert, Naming, identify
from midwatch.core.clock import SECOND, show_duration
from midwatch.core.decision import Decision
from midwatch.core.reasons import Reason
from midwatch.core.releases import Pointer
from midwatch.core.severity import Severity
from midwatch.errors import StateError

RULE = "pointers/1"
MAX_ATTEMPTS = 3
RETRY_S = 5
PROVE_S = 900  # live for so long, and nothing burns: where the next rollback may go
ALERT = "ReleaseNotMoved"
SEVERITY: Severity = "sev2"
_NAMING = Naming(("service",))


def move(d: Decision, given: inputs.MoveRelease) -> None:
    """Begin a move. Raises StateError when it must not be done; the same operation begins once."""
    pointer = d.shard.pointers.get(given.service)
    if pointer is None:
        remedy = "midwatch release register SERVICE RELEASE --digest DIGEST --live"
        raise StateError(f"no release of {given.service!r} is registered", remedy=remedy)
    if given.operation in (pointer.pending, pointer.done):
        return
    if given.epoch is not None and given.epoch != pointer.epoch:
        raise StateError(
            f"{given.service} is at epoch {pointer.epoch}, not {given.epoch}: somebody else was"
            " faster",
            remedy="look at what is live, and decide anew",
        )
    target, why = _target(pointer, given)
    if pointer.pending:
        if given.purpose == "promote":
            raise StateError(f"{pointer.pending} is under way", remedy="wait for its end")
        d.cancel_effect(pointer.pending)
        d.emit(events.PointerAbandoned(given.service, pointer.pending, pointer.epoch))
    epoch = pointer.epoch + 1
    d.emit(
        events.PointerIntended(
            given.service, given.operation, target, epoch, given.purpose, given.by, why
        )
    )
    d.plan(effects.SetRelease(given.operation, "", given.service, target, epoch, given.purpose))


def reconcile(d: Decision, given: inputs.ReleaseSeen) -> None:
    """Serve what the pointer says again, when the router was found with something else.

    A move that could not be seen, and was given up for that, may have happened all the same: then
    it is what counts. Nothing is set back to a bad release.
    """
    pointer = d.shard.pointers.get(given.service)
    if pointer is None or pointer.pending or not pointer.live or given.release == pointer.live:
        return
    service, live = given.service, pointer.live
    if (given.release, given.epoch) == (pointer.intended, pointer.epoch):
        condemned = live if pointer.purpose == "rollback" else ""
        seen = f"seen/{service}/{given.epoch}"
        d.emit(events.PointerMoved(service, seen, given.release, given.epoch, condemned))
        _prove_later(d, service)
        return
    if pointer.releases[live].standing == "bad":
        return
    epoch = max(pointer.epoch, given.epoch) + 1
    operation = f"reconcile/{given.service}/{epoch}"
    says = f"the router serves {given.release}, the pointer says {pointer.live}"
    why = Reason(RULE, says, {"seen": given.release, "live": pointer.live})
    purpose = "reconcile"
    d.emit(events.PointerIntended(given.service, operation, pointer.live, epoch, purpose, "", why))
    d.plan(effects.SetRelease(operation, "", given.service, pointer.live, epoch, purpose))


def _target(pointer: Pointer, given: inputs.MoveRelease) -> tuple[str, Reason]:
    """Find where to, and say why. Raises StateError."""
    if given.purpose == "rollback":
        target, reason = releases.rollback_target(pointer)
        if not target:
            remedy = "register a release that is good, or promote one"
            raise StateError(f"{given.service} cannot be rolled back: {reason.says}", remedy=remedy)
        return target, Reason(RULE, f"{given.by}: {given.why or reason.says}", reason.terms)
    known = pointer.releases.get(given.release)
    if known is None:
        raise StateError(
            f"{given.service} has no release {given.release!r}", remedy="midwatch release list"
        )
    if known.standing == "bad":
        raise StateError(
            f"{given.release} of {given.service} is known bad and goes nowhere",
            remedy="give the fix a new name and digest",
        )
    if given.release == pointer.live and not pointer.pending:
        raise StateError(f"{given.release} is live already", remedy="nothing is to be done")
    return given.release, Reason(RULE, f"{given.by}: {given.why or 'promoted by hand'}")


def on_answer(d: Decision, given: inputs.ReleaseAnswered) -> Alert | None:
    """Take what was seen: done, try again, or an alert, for a person has to look."""
    pointer = next((p for p in d.shard.pointers.values() if p.pending == given.key), None)
    if pointer is None:
        return None
    service = pointer.service
    if given.state == "applied":
        # Who rolls back says that what was live is bad; who promotes does not.
        condemned = pointer.live if pointer.purpose == "rollback" else ""
        d.emit(events.PointerMoved(service, given.key, pointer.intended, pointer.epoch, condemned))
        _prove_later(d, service)
        return None
    if given.state == "not-applied" and given.attempt < MAX_ATTEMPTS:
        d.retry_effect(given.key, d.now + RETRY_S * SECOND)
        return None
    says = f"{pointer.purpose} to {pointer.intended} {given.state}: {given.seen}"
    d.emit(events.PointerAbandoned(service, given.key, pointer.epoch, Reason(RULE, says)))
    labels = {"alertname": ALERT, "service": service, "operation": given.key}
    alert = identify(labels, _NAMING).alert("firing", d.now, summary=says)
    return structs.replace(alert, severity=SEVERITY)


def _prove_later(d: Decision, service: str) -> None:
    due_at = d.now + PROVE_S * SECOND
    d.set_timer(inputs.Timer(f"prove/{service}", due_at, "prove", ""))


def on_prove_timer(d: Decision, service: str) -> None:
    """Record what is live as good, when it has stayed so and its objective is calm."""
    pointer = d.shard.pointers.get(service)
    if pointer is None or pointer.pending or pointer.live == pointer.last_good:
        return
    if pointer.releases[pointer.live].standing == "bad":
        return
    if any(one.split("/", maxsplit=1)[0] == service for one in d.shard.burning):
        _prove_later(d, service)
        return
    says = f"live for {show_duration(PROVE_S)}, and no objective of it burns"
    d.emit(events.ReleaseProven(service, pointer.live, Reason(RULE, says)))
