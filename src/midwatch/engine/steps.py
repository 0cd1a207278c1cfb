"""Doing a step of an approved plan, and saying what came of it.

Law: a step is repeated only when nothing can have come of it: nothing of it left us, or it was
answered with an error and is not seen to be done in its time. "Yes" and not seen is unknown, and
so is whatever a crash left behind: not seen is no proof. Who is idempotent may always be repeated.
What programs write goes into the step's own record and nowhere else, without what looks like a
secret.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from midwatch.core.state.effects import RunAction
from midwatch.core.state.inputs import ActionAnswered
from midwatch.core.values.clock import show_duration
from midwatch.errors import Declined, HarnessError, InputError, NeverSent, told
from midwatch.hiding import masked
from midwatch.ports import Actor, Observed, StepSaid

RECORDED = 2_000  # characters of what a program wrote, the last ones

# What is known of a call: it said yes, said no, cannot have begun, or may have done anything.
Came = Literal["yes", "declined", "never sent", "in doubt"]


def carry_out(actor: Actor | None, action: RunAction, attempt: int) -> ActionAnswered:
    """Do it, and look whether it is done."""
    came: Came = "yes"
    try:
        did = _there(actor).apply(action)
    except (NeverSent, InputError) as error:
        came, did = "never sent", StepSaid(told(error))
    except Declined as error:
        came, did = "declined", StepSaid(told(error), error.output)
    except Exception as error:  # what counts is what is observed next
        came, did = "in doubt", StepSaid(told(error), _output_of(error))
    if action.observe is not None:
        return _observed(actor, action, attempt, came, did)
    if came == "yes":
        return _answer(action, attempt, "applied", did.says, did.output)
    # Without an eye on it nobody knows how far it came; who only reads may simply ask again.
    state = "unknown" if action.changes and came != "never sent" else "not-applied"
    return _answer(action, attempt, state, did.says, did.output)


def look_after_crash(actor: Actor | None, action: RunAction, attempt: int) -> ActionAnswered:
    """Look whether it was done by a process that did not live to say so."""
    return _observed(actor, action, attempt, "in doubt", StepSaid("after a crash"))


def _observed(
    actor: Actor | None, action: RunAction, attempt: int, came: Came, did: StepSaid
) -> ActionAnswered:
    # What was not sent need not be waited for; who did it before is seen at once.
    wanted = replace(action, within_s=0) if came == "never sent" else action
    try:
        seen = _there(actor).observe(wanted)
        blind = False
    except Exception as error:  # not seen is unknown, whatever the cause
        seen, blind = Observed(done=False, says=told(error), output=_output_of(error)), True
    output = "\n".join(part for part in (did.output, seen.output) if part)
    if seen.done and not blind:
        return _answer(action, attempt, "applied", f"{seen.says} ({did.says})", output)
    if came == "never sent" or (not blind and (came == "declined" or not action.changes)):
        return _answer(action, attempt, "not-applied", f"{seen.says} ({did.says})", output)
    within = f" within {show_duration(wanted.within_s)}" if wanted.within_s else ""
    says = f"{seen.says} ({did.says}; not verified{within})"
    return _answer(action, attempt, "unknown", says, output)


def _answer(
    action: RunAction,
    attempt: int,
    state: Literal["applied", "not-applied", "unknown"],
    says: str,
    output: str,
) -> ActionAnswered:
    return ActionAnswered(
        action.key,
        action.incident,
        attempt,
        state,
        masked(f"{says}"),
        action.idempotent,
        masked(output).strip()[-RECORDED:],
    )


def _output_of(error: Exception) -> str:
    return error.output if isinstance(error, HarnessError) else ""


def _there(actor: Actor | None) -> Actor:
    """Give who does it. Raises NeverSent when nobody is configured."""
    if actor is None:
        raise NeverSent("no action is configured", remedy="add one to midwatch.yaml")
    return actor
