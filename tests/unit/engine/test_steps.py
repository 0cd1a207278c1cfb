"""What came of a runbook's step: when it is done again, and when a person has to look."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from midwatch.core.state.effects import RunAction
from midwatch.core.values.actions import Command
from midwatch.engine import steps
from midwatch.errors import Declined, HarnessError, InputError, Interrupted, NeverSent
from midwatch.ports import Observed, StepSaid

TOOL = Command(("tool",))
STEP = RunAction("op", "INC-1", "shop", "queue.drain", TOOL, TOOL, within_s=20)
BLIND = HarnessError("the queue does not answer")
YES, NO = Observed(done=True, says="empty"), Observed(done=False, says="7 are left")
SAID = StepSaid("answered 202")
CAME: dict[str, Any] = {
    "yes": SAID,
    "declined": Declined("answered 500"),
    "refused": NeverSent("connection refused"),
    "no token": InputError("$TOKEN is not set"),
    "lost": HarnessError("no response within 5 s"),
    "odd": ValueError("a bug of an adapter"),
}


class Doer:
    """Does one step, and sees it; notes how it was asked."""

    def __init__(self, comes: Any, seen: Any = None) -> None:
        self.comes = comes
        self.seen = seen
        self.asked: list[str] = []
        self.within: list[int] = []

    def apply(self, action: RunAction) -> StepSaid:
        self.asked.append("apply")
        return _given(self.comes)

    def observe(self, action: RunAction) -> Observed:
        self.asked.append("observe")
        self.within.append(action.within_s)
        return _given(self.seen)


def _given(one: Any) -> Any:
    if isinstance(one, BaseException):
        raise one
    return one


@pytest.mark.parametrize(
    ("came", "seen", "state"),
    [
        ("yes", YES, "applied"),
        ("declined", YES, "applied"),
        ("lost", YES, "applied"),
        ("refused", YES, "applied"),  # somebody else did it
        ("yes", NO, "unknown"),  # it said yes: it may still come
        ("lost", NO, "unknown"),  # it may have arrived
        ("odd", NO, "unknown"),
        ("declined", NO, "not-applied"),
        ("refused", NO, "not-applied"),
        ("no token", NO, "not-applied"),
        ("yes", BLIND, "unknown"),
        ("declined", BLIND, "unknown"),
        ("lost", BLIND, "unknown"),
        ("refused", BLIND, "not-applied"),
    ],
)
def test_what_was_seen_and_what_was_said_tell_what_came_of_it(
    came: str, seen: Any, state: str
) -> None:
    """Not seen is "not done" only when it was answered with an error, or nothing was sent."""
    doer = Doer(CAME[came], seen)
    answer = steps.carry_out(doer, STEP, 2)
    assert (answer.state, answer.attempt, answer.repeatable) == (state, 2, False)
    assert doer.asked == ["apply", "observe"]
    assert doer.within == [0 if came in ("refused", "no token") else 20]
    if state == "unknown":
        assert "not verified within 20 s" in answer.seen


@pytest.mark.parametrize(
    ("came", "state"),
    [("yes", "applied"), ("declined", "unknown"), ("lost", "unknown"), ("refused", "not-applied")],
)
def test_what_nobody_can_see_is_believed_when_it_says_yes(came: str, state: str) -> None:
    """And is done again only when nothing of it was sent."""
    blind = replace(STEP, observe=None)
    assert steps.carry_out(Doer(CAME[came]), blind, 1).state == state
    reading = replace(blind, changes=False)
    wanted = "applied" if came == "yes" else "not-applied"
    assert steps.carry_out(Doer(CAME[came]), reading, 1).state == wanted


@pytest.mark.parametrize(("seen", "state"), [(YES, "applied"), (NO, "unknown"), (BLIND, "unknown")])
def test_after_a_crash_not_seen_is_no_proof(seen: Any, state: str) -> None:
    """It is looked at for its time, and not done again."""
    doer = Doer(SAID, seen)
    answer = steps.look_after_crash(doer, STEP, 1)
    assert (answer.state, answer.repeatable) == (state, False)
    assert (doer.asked, doer.within) == (["observe"], [20])
    assert steps.look_after_crash(doer, replace(STEP, idempotent=True), 1).repeatable


@given(
    came=st.sampled_from(sorted(CAME)),
    seen=st.sampled_from([YES, NO, BLIND]),
    looks=st.booleans(),
    crashed=st.booleans(),
)
def test_a_side_effect_is_never_repeated_after_it_may_have_happened(
    came: str, seen: Any, looks: bool, crashed: bool
) -> None:
    """Whatever is said and seen: what may have arrived is "not done" for nobody."""
    action = STEP if looks else replace(STEP, observe=None)
    doer = Doer(CAME[came], seen)
    does = steps.look_after_crash if crashed else steps.carry_out
    if crashed and not looks:
        doer.seen = HarnessError("nothing says how it is observed")
    answer = does(doer, action, 1)
    again = answer.state == "not-applied" or answer.repeatable
    provable = not crashed and (
        came in ("refused", "no token") or (came == "declined" and looks and seen is NO)
    )
    assert not again or provable


def test_nobody_answers_for_a_step_that_midwatch_leaves() -> None:
    """It stays in doubt, and the next start looks."""
    for doer in (Doer(Interrupted(), NO), Doer(SAID, Interrupted())):
        with pytest.raises(Interrupted):
            steps.carry_out(doer, STEP, 1)


def test_no_actor_is_nothing_that_was_done() -> None:
    """The config may have changed meanwhile."""
    answer = steps.carry_out(None, STEP, 1)
    assert answer.state == "not-applied"
    assert "no action is configured" in answer.seen


def test_what_a_program_wrote_stands_apart_and_shows_no_secret() -> None:
    """Only its end, and nothing of it in what is said about the step."""
    failed = Declined("tool ended with 4")
    failed.output = "x" * 9_000 + "\nPGPASSWORD=hunter2 glpat-abcdefghijklmnop1234 disk full"
    seen = Observed(done=False, says="tool ended with 1", output="token: tr0ub4dor")
    answer = steps.carry_out(Doer(failed, seen), STEP, 1)
    assert answer.seen == "tool ended with 1 (tool ended with 4)"
    assert answer.output.endswith("\nPGPASSWORD=*** *** disk full\ntoken: ***")
    assert len(answer.output) == steps.RECORDED
