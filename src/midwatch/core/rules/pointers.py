"""Moving a service's traffic: a rollback, a release that goes live, a candidate's part.

Law: every move is written before the router is told, under a key of its own and the next epoch, and
counts only when it was observed. A rollback goes to the release recorded as good and goes before a
promotion or a canary under way; a promotion waits. What went live is recorded as good only after it
has stayed there without its objective burning. What cannot be seen pages a human, once for as long
as nothing moves.
"""

from __future__ import annotations

from msgspec import structs

from midwatch.core.state import effects, events, inputs, releases
from midwatch.core.state.decision import Decision
from midwatch.core.state.releases import Pointer
from midwatch.core.state.runs import doing
from midwatch.core.values.alerts import Alert, Identity, Naming, identify
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.keys import service_of
from midwatch.core.values.reasons import Reason
from midwatch.core.values.severity import Severity
from midwatch.core.values.traffic import Traffic
from midwatch.errors import StateError

RULE = "pointers/2"
MAX_ATTEMPTS = 3
RETRY_S = 5
PROVE_S = 900  # live for so long, and nothing burns: where the next rollback may go
COOL_DOWN_S = 3_600  # no second rollback is proposed so soon after one
ALERT = "ReleaseNotMoved"
UNFIT = "RollbackTargetUnfit"
SEVERITY: Severity = "sev2"
UNFIT_SEVERITY: Severity = "sev3"
_NAMING = Naming(("service",))


def known(d: Decision, service: str) -> Pointer:
    """Give a service's pointer. Raises StateError when no release of it is registered."""
    pointer = d.shard.pointers.get(service)
    if pointer is None:
        remedy = "run midwatch release register SERVICE RELEASE --digest DIGEST --live"
        raise StateError(f"no release of {service!r} is registered", remedy=remedy)
    return pointer


def register(d: Decision, given: inputs.RegisterRelease) -> None:
    """Make a release known, once; it never changes. Raises StateError."""
    for name in (given.service, given.release):
        if not releases.is_name(name):
            raise StateError(
                f"{name!r} is not a valid name",
                remedy="use at most 100 letters, digits and . _ - + @",
            )
    pointer = d.shard.pointers.get(given.service)
    had = pointer.releases.get(given.release) if pointer else None
    if had is not None and had.digest != given.digest:
        raise StateError(
            f"{given.release} of {given.service} is {had.digest}, not {given.digest}",
            remedy="a release never changes; give the new one a new name",
        )
    if had is None:
        d.emit(
            events.ReleaseRegistered(
                service=given.service,
                release=given.release,
                digest=given.digest,
                good=given.good,
                live=given.live,
            )
        )


def check_epoch(pointer: Pointer, epoch: int | None) -> None:
    """Refuse whoever decided on an older state. Raises StateError."""
    if epoch is not None and epoch != pointer.epoch:
        raise StateError(
            f"{pointer.service} is at epoch {pointer.epoch}, not {epoch}: somebody else moved it",
            remedy="check what is live, and decide again",
        )


def begin(
    d: Decision,
    pointer: Pointer,
    operation: str,
    traffic: Traffic,
    purpose: effects.Purpose,
    *,
    incident: str = "",
    by: str = "",
    why: Reason | None = None,
) -> None:
    """Write the intent to serve something else, under the next epoch, and wish for it.

    `operation` is what it is called. An incident's own is its key as it stands, for the incident
    counts it; any other gets a key with the epoch in it, so that no name can make two the same.
    """
    if pointer.pending:
        d.cancel_effect(pointer.pending)
        overtaken = pointer.pending
        d.emit(
            events.PointerAbandoned(
                service=pointer.service, operation=overtaken, epoch=pointer.epoch
            )
        )
        _tell_incident(d, overtaken, f"{operation} went before it")
    epoch = max(pointer.epoch, traffic.epoch) + 1
    if not incident:
        operation = d.key(releases.key_of_move(pointer.service, epoch, operation))
    d.emit(
        events.PointerIntended(
            service=pointer.service,
            operation=operation,
            release=traffic.release,
            epoch=epoch,
            purpose=purpose,
            by=by,
            reason=why,
            candidate=traffic.candidate,
            weight=traffic.weight,
        )
    )
    wish = effects.SetRelease(
        operation,
        incident,
        pointer.service,
        traffic.release,
        epoch,
        purpose,
        traffic.candidate,
        traffic.weight,
    )
    checked = pointer.releases.get(wish.checked)
    d.plan(structs.replace(wish, digest=checked.digest if checked else ""))


def _tell_incident(d: Decision, operation: str, says: str) -> None:
    """End an operation in the incident that waits for it: no answer of it counts any more."""
    for incident in [d.shard.incidents[name] for name in d.shard.open]:
        if incident.promotion == operation:
            d.emit(
                events.PromotionFailed(
                    incident=incident.id, operation=operation, state="not-applied", seen=says
                )
            )
        elif (run := doing(incident.plans, operation)) is not None:
            d.emit(
                events.RollbackFailed(
                    incident=incident.id,
                    operation=operation,
                    state="not-applied",
                    seen=says,
                    plan_hash=run.hash,
                )
            )


def done(d: Decision, pointer: Pointer, operation: str, condemned: str = "") -> None:
    """Record that the newest intent is what is served."""
    wanted = pointer.wanted
    d.emit(
        events.PointerMoved(
            service=pointer.service,
            operation=operation,
            release=wanted.release,
            epoch=wanted.epoch,
            condemned=condemned,
            candidate=wanted.candidate,
            weight=wanted.weight,
        )
    )


def withdraw(d: Decision, pointer: Pointer, says: str) -> None:
    """End a canary under way without a verdict; whoever calls this moves the traffic."""
    if pointer.canary is not None:
        reason = Reason(RULE, says)
        d.emit(
            events.CanaryEnded(
                service=pointer.service,
                release=pointer.canary.release,
                verdict="inconclusive",
                reason=reason,
            )
        )


def move(d: Decision, given: inputs.MoveRelease) -> None:
    """Begin a move. Raises StateError when it must not be done; the same operation begins once."""
    pointer = known(d, given.service)
    if given.operation in (releases.name_of(pointer.pending), releases.name_of(pointer.done)):
        return
    if given.operation in pointer.overtaken:
        raise StateError(
            f"{given.operation} was started, and another move went before it",
            remedy="use another operation name if it is still needed",
        )
    check_epoch(pointer, given.epoch)
    target, why = _target(pointer, given)
    if pointer.pending and given.purpose == "promote":
        under_way = releases.name_of(pointer.pending)
        raise StateError(f"{under_way} is under way", remedy="wait until it ends")
    if given.purpose == "rollback":
        withdraw(d, pointer, "a rollback takes precedence over a canary")
    elif pointer.canary is not None:
        withdraw(d, pointer, f"overridden by {given.by}: {given.why}")
    traffic = Traffic(target, pointer.epoch)
    # To take a candidate off, what is live gets no check: it serves nearly everybody already.
    takes_off = given.purpose == "rollback" and target == pointer.live
    purpose = "abort" if takes_off else given.purpose
    begin(d, pointer, given.operation, traffic, purpose, by=given.by, why=why)


def _target(pointer: Pointer, given: inputs.MoveRelease) -> tuple[str, Reason]:
    """Find where to, and say why. Raises StateError."""
    service = pointer.service
    if given.purpose == "rollback":
        target, reason = releases.rollback_target(pointer)
        if not target and pointer.live and releases.is_unsettled(pointer):
            # What is live is good already: it is what may be served beside it that has to go.
            target, reason = pointer.live, Reason(RULE, f"everybody gets {pointer.live} again")
        if not target:
            remedy = "register a release that is good, or promote one"
            raise StateError(f"{service} cannot be rolled back: {reason.says}", remedy=remedy)
        return target, Reason(RULE, f"{given.by}: {given.why or reason.says}", reason.terms)
    release = servable(pointer, given.release)
    if given.release == pointer.live and not pointer.pending:
        raise StateError(f"{given.release} is live already", remedy="no action is needed")
    trial = pointer.canary
    if trial is not None and trial.release != given.release:
        raise StateError(
            f"a canary of {trial.release} is under way",
            remedy=f"run midwatch release abort {service}",
        )
    if release.standing != "good" and not given.why:
        raise StateError(
            f"{given.release} of {service} is not proven",
            remedy=f"midwatch release canary start {service} {given.release}, or say by --why what"
            " makes you go without",
        )
    return given.release, Reason(RULE, f"{given.by}: {given.why or 'promoted by hand'}")


def servable(pointer: Pointer, name: str) -> releases.Release:
    """Give a release that may get traffic. Raises StateError."""
    found = pointer.releases.get(name)
    if found is None:
        raise StateError(
            f"{pointer.service} has no release {name!r}", remedy="see midwatch release list"
        )
    if found.standing == "bad":
        was = pointer.bad.get(found.digest, name)
        same = "" if was == name else f": it is {was} under another name"
        raise StateError(
            f"{name} of {pointer.service} is known bad and gets no traffic{same}",
            remedy="give the fix a new name and digest",
        )
    return found


def reconcile(d: Decision, given: inputs.ReleaseSeen) -> bool:
    """Serve what the pointer says again, when the router was found with something else.

    A move that could not be seen, and was given up for that, may have happened all the same: then
    it is what counts, and this is True. Nothing is set back to a bad release.
    """
    pointer = d.shard.pointers.get(given.service)
    seen = Traffic(given.release, given.epoch, given.candidate, given.weight)
    if pointer is None or pointer.pending or not pointer.live:
        return False
    if given.asked_at not in (-1, pointer.epoch):
        return False  # it was moved since somebody looked
    service, live = given.service, pointer.live
    happened = seen == pointer.wanted and not seen.candidate
    if happened and (pointer.unseen or not pointer.traffic.is_like(seen)):
        condemned = live if pointer.purpose == "rollback" and live != seen.release else ""
        done(d, pointer, f"seen/{service}/{given.epoch}", condemned)
        if pointer.purpose in ("rollback", "promote"):
            _prove_later(d, service)
        return True
    if pointer.candidate and pointer.canary is None:
        # What tried it is over, and taking it off did not succeed: again, until it does.
        why = Reason(RULE, f"no canary of {pointer.candidate} is under way")
        operation = f"off/{service}/{pointer.epoch + 1}"
        begin(d, pointer, operation, Traffic(live, pointer.epoch), "abort", why=why)
        return False
    if pointer.traffic.is_like(seen) or pointer.releases[live].standing == "bad":
        return False
    traffic = structs.replace(pointer.traffic, epoch=max(pointer.epoch, given.epoch))
    operation = f"reconcile/{service}/{traffic.epoch + 1}"
    says = f"the router serves {seen.says}, the pointer says {pointer.traffic.says}"
    why = Reason(RULE, says, {"seen": given.release, "live": pointer.live})
    begin(d, pointer, operation, traffic, "reconcile", why=why)
    return False


def checked(d: Decision, given: inputs.ReleaseChecked) -> Alert | None:
    """Take what a check of a release found; an alert when the way back is closed, or open again."""
    pointer = d.shard.pointers.get(given.service)
    release = pointer.releases.get(given.release) if pointer else None
    if pointer is None or release is None:
        return None
    changed = bool(given.digest) and given.digest != release.digest
    says = given.trouble
    if changed:
        says = f"serves digest {given.digest}, {release.digest} is registered"
    name = release.name
    if says:
        if says not in (pointer.unfit.get(name), pointer.changed.get(name)):
            d.emit(
                events.ReleaseFoundUnfit(
                    service=given.service, release=name, says=says, changed=changed
                )
            )
            return _unfit(d, pointer, name, says)
    elif name in pointer.unfit or name in pointer.changed:
        d.emit(events.ReleaseFoundFit(service=given.service, release=name))
        return _unfit(d, pointer, name, "")
    return None


def _unfit(d: Decision, pointer: Pointer, name: str, says: str) -> Alert | None:
    if name != releases.rollback_target(pointer)[0] and says:
        return None
    labels = {"alertname": UNFIT, "service": pointer.service, "release": name}
    found = identify(labels, _NAMING)
    if not says and found.fingerprint not in d.shard.firing:
        return None
    summary = f"a rollback would go to {name}, which is not fit: {says}"
    alert = found.alert("firing", d.wall, summary=summary) if says else d.end_of(found)
    return structs.replace(alert, severity=UNFIT_SEVERITY)


def on_answer(d: Decision, given: inputs.ReleaseAnswered) -> Alert | None:
    """Take what was seen: done, try again, or an alert, for a person has to look."""
    pointer = next((p for p in d.shard.pointers.values() if p.pending == given.key), None)
    if pointer is None:
        return None
    service = pointer.service
    if given.state == "applied":
        # Who rolls back says that what was live is bad; who promotes does not.
        leaves = pointer.purpose == "rollback" and pointer.live != pointer.intended
        done(d, pointer, given.key, pointer.live if leaves else "")
        if pointer.purpose in ("rollback", "promote"):
            _prove_later(d, service)
        return None
    if given.state == "not-applied" and given.attempt < MAX_ATTEMPTS:
        d.retry_effect(given.key, d.now + RETRY_S * SECOND)
        return None
    says = f"{pointer.purpose} to {pointer.wanted.says} {given.state}: {given.seen}"
    d.emit(
        events.PointerAbandoned(
            service=service, operation=given.key, epoch=pointer.epoch, reason=Reason(RULE, says)
        )
    )
    found = _not_moved(service)
    if pointer.purpose != "rollback" and found.fingerprint in d.shard.firing:
        return None  # people know that nothing moves; that a way back is closed, they are told
    alert = found.alert("firing", d.wall, summary=says)
    return structs.replace(alert, severity=SEVERITY)


def _not_moved(service: str) -> Identity:
    return identify({"alertname": ALERT, "service": service}, _NAMING)


def moves_again(d: Decision, service: str) -> Alert | None:
    """End the alert that nothing moves, once something was seen to."""
    found = _not_moved(service)
    if found.fingerprint not in d.shard.firing:
        return None
    return structs.replace(d.end_of(found), severity=SEVERITY)


def _prove_later(d: Decision, service: str) -> None:
    due_at = d.now + PROVE_S * SECOND
    d.set_timer(inputs.Timer(f"prove/{service}", due_at, "prove", ""))


def on_prove_timer(d: Decision, service: str) -> None:
    """Record what is live as good, when it has stayed so and its objective is calm."""
    pointer = d.shard.pointers.get(service)
    if pointer is None or pointer.live == pointer.last_good:
        return
    if pointer.releases[pointer.live].standing == "bad":
        return
    if pointer.pending or is_burning(d, service):
        _prove_later(d, service)
        return
    says = f"live for {show_duration(PROVE_S)}, and no objective of it burns"
    d.emit(events.ReleaseProven(service=service, release=pointer.live, reason=Reason(RULE, says)))


def is_burning(d: Decision, service: str) -> bool:
    """Say whether an objective of the service burns."""
    return any(service_of(one) == service for one in d.shard.burning)
