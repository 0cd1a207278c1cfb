"""Moving traffic by hand: fenced, observed; nothing twice, nothing to a bad release."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs, releases, shard
from midwatch.core.state.decision import Decision
from midwatch.core.state.releases import Pointer
from midwatch.core.state.shard import Burn, Shard
from midwatch.errors import StateError

S = 1_000


class Bench:
    """A shard that is decided on; effects wait in `wishes` for what the world says."""

    def __init__(self) -> None:
        self.state = Shard()
        self.wishes: list[effects.SetRelease] = []
        self.timers: list[inputs.Timer] = []

    def give(self, given: inputs.Input, at: int = 0) -> Decision:
        decision = decide(self.state, given, at * S, Rules())
        self.wishes += [e for e in decision.effects if isinstance(e, effects.SetRelease)]
        self.timers += [t for t in decision.timers.values() if t is not None]
        return decision

    def register(self, name: str, *, good: bool = False, live: bool = False) -> None:
        self.give(inputs.RegisterRelease("shop", name, f"digest-{name}", good, live))

    def move(self, purpose: str, operation: str, release: str = "", **more: int) -> Decision:
        return self.give(
            inputs.MoveRelease("shop", purpose, operation, "ada", release, why="by hand", **more)  # type: ignore[arg-type]
        )

    def answer(
        self, wish: effects.SetRelease, state: str = "applied", attempt: int = 1
    ) -> Decision:
        return self.give(
            inputs.ReleaseAnswered(wish.key, "", attempt, state, "seen")  # type: ignore[arg-type]
        )

    @property
    def pointer(self) -> Pointer:
        return self.state.pointers["shop"]


@pytest.fixture
def bench() -> Bench:
    """v1 is good, v2 is live."""
    bench = Bench()
    bench.register("v1", good=True)
    bench.register("v2", live=True)
    return bench


def kinds(decision: Decision) -> list[str]:
    """The names of the events."""
    return [type(event).__name__ for event in decision.events]


def test_a_rollback_is_written_before_it_is_told_and_counts_when_it_is_seen(bench: Bench) -> None:
    """One intent, one wish with the next epoch; the pointer moves with the observation."""
    assert kinds(bench.move("rollback", "op-1")) == ["PointerIntended"]
    (wish,) = bench.wishes
    assert (wish.release, wish.epoch, wish.key) == ("v1", 2, "move/shop/2/op-1")
    assert bench.pointer.live == "v2"
    bench.answer(wish)
    assert (bench.pointer.live, bench.pointer.epoch, bench.pointer.done) == ("v1", 2, wish.key)
    assert bench.pointer.releases["v2"].standing == "bad"


def test_the_same_operation_is_done_once_and_eight_at_once_do_one_thing(bench: Bench) -> None:
    """Before and after it is seen."""
    for _ in range(8):
        bench.move("rollback", "op-1")
    assert len(bench.wishes) == 1
    bench.answer(bench.wishes[0])
    assert bench.move("rollback", "op-1").is_empty
    with pytest.raises(StateError, match="live already"):
        bench.move("rollback", "op-2")


def test_a_stale_epoch_is_refused(bench: Bench) -> None:
    """Who decided on an older state decides anew."""
    with pytest.raises(StateError, match="at epoch 1, not 7"):
        bench.move("rollback", "op-1", epoch=7)
    assert bench.move("rollback", "op-1", epoch=1).events


def test_a_rollback_goes_before_a_promotion_and_not_the_other_way(bench: Bench) -> None:
    """The earlier one's answer changes nothing any more."""
    bench.register("v3")
    bench.move("promote", "up", "v3")
    decision = bench.move("rollback", "down")
    assert kinds(decision) == ["PointerAbandoned", "PointerIntended"]
    first, second = bench.wishes
    assert decision.cancelled_effects == [first.key]
    assert bench.answer(first).is_empty
    bench.answer(second)
    assert bench.pointer.live == "v1"
    bench.move("promote", "up-2", "v3")
    with pytest.raises(StateError, match="under way"):
        bench.move("promote", "up-3", "v3")


@pytest.mark.parametrize(
    ("purpose", "release", "says"),
    [("promote", "v9", "no release"), ("promote", "v2", "live already")],
)
def test_what_must_not_be_done_is_refused(
    bench: Bench, purpose: str, release: str, says: str
) -> None:
    """With the reason."""
    with pytest.raises(StateError, match=says):
        bench.move(purpose, "op", release)
    with pytest.raises(StateError, match="no release of 'cart'"):
        bench.give(inputs.MoveRelease("cart", "rollback", "op", "ada"))


def test_nothing_goes_back_to_a_bad_release(bench: Bench) -> None:
    """What was rolled back from is never promoted again."""
    bench.move("rollback", "op-1")
    bench.answer(bench.wishes[0])
    with pytest.raises(StateError, match="known bad"):
        bench.move("promote", "op-2", "v2")


def test_a_rollback_passes_over_what_is_bad(bench: Bench) -> None:
    """When the last good release turned out bad, the one before it is next; else there is none."""
    pointer = bench.pointer
    bench.register("v0", good=True)
    pointer.last_good, pointer.older_good = "v1", ["v0"]
    assert releases.rollback_target(pointer)[0] == "v1"
    pointer.releases["v1"].standing = "bad"
    assert releases.rollback_target(pointer)[0] == "v0"
    pointer.releases["v0"].standing = "bad"
    target, reason = releases.rollback_target(pointer)
    assert (target, reason.says) == ("", "v1 is known bad")


def test_not_applied_is_tried_again_then_a_person_is_paged(bench: Bench) -> None:
    """Unknown pages at once; the pointer stays where it was."""
    bench.move("rollback", "op-1")
    (wish,) = bench.wishes
    assert bench.answer(wish, "not-applied", 1).retries
    assert bench.answer(wish, "not-applied", 2).retries
    decision = bench.answer(wish, "not-applied", 3)
    assert "PointerAbandoned" in kinds(decision)
    assert "IncidentOpened" in kinds(decision)
    assert (bench.pointer.live, bench.pointer.pending) == ("v2", "")
    bench.move("rollback", "op-2")
    assert "PointerAbandoned" in kinds(bench.answer(bench.wishes[1], "unknown"))
    assert bench.state.incidents["INC-1"].severity == "sev2"


def test_what_went_live_is_good_only_after_it_has_stayed(bench: Bench) -> None:
    """Not at once; not while its objective burns; and then rollbacks go there."""
    bench.register("v3")
    bench.move("promote", "op-1", "v3")
    bench.answer(bench.wishes[0])
    assert bench.pointer.last_good == "v1"
    (timer,) = bench.timers
    assert (timer.key, timer.purpose) == ("prove/shop", "prove")
    bench.state.burning["shop/answers"] = Burn("PageQuick", "INC-1")
    bench.give(inputs.TimerCameDue(timer))
    assert bench.pointer.last_good == "v1"
    assert len(bench.timers) == 2  # it is looked at again
    bench.state.burning.clear()
    bench.give(inputs.TimerCameDue(timer))
    assert bench.pointer.last_good == "v3"


def test_a_rollback_that_happened_unseen_is_not_undone(bench: Bench) -> None:
    """It was given up because nobody could look; what is found at the next start is what counts."""
    bench.move("rollback", "op-1")
    bench.answer(bench.wishes[0], "unknown")
    assert bench.pointer.live == "v2"
    happened = kinds(bench.give(inputs.ReleaseSeen("shop", "v1", 2)))
    assert happened == ["PointerMoved", "AlertsResolved", "IncidentMitigated"]
    assert bench.pointer.live == "v1"
    assert bench.pointer.releases["v2"].standing == "bad"
    assert len(bench.wishes) == 1


def test_what_is_found_served_by_somebody_else_is_set_right(bench: Bench) -> None:
    """With an epoch above both; what is right, or under way, is left alone."""
    assert bench.give(inputs.ReleaseSeen("shop", "v2", 0)).is_empty
    assert bench.give(inputs.ReleaseSeen("cart", "v2", 0)).is_empty
    decision = bench.give(inputs.ReleaseSeen("shop", "v1", 9))
    assert kinds(decision) == ["PointerIntended"]
    (wish,) = bench.wishes
    assert (wish.release, wish.epoch) == ("v2", 10)
    assert bench.give(inputs.ReleaseSeen("shop", "v1", 9)).is_empty
    bench.answer(wish)
    assert bench.pointer.live == "v2"
    assert bench.pointer.releases["v1"].standing == "good"


@pytest.mark.parametrize(
    "name", ["--force", "../v1", "v 1", "", "v1;rm", "v\u0435rsion", "a" * 101]
)
def test_hostile_names_are_no_names(name: str) -> None:
    """They would become arguments of commands."""
    assert not releases.is_name(name)
    with pytest.raises(StateError, match="is not a valid name"):
        Bench().give(inputs.RegisterRelease("shop", name, "digest"))


ANSWERS = ("applied", "not-applied", "unknown")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rollback"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("promote"), st.sampled_from("de"), st.sampled_from(("v1", "v2", "v3"))),
        st.tuples(st.just("answer"), st.sampled_from(ANSWERS), st.just("")),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_epochs_only_rise_and_a_bad_release_is_never_wished_for(
    steps: list[tuple[str, str, str]],
) -> None:
    """Whatever people and routers do; and the fold of the state is the same after a dump."""
    bench = Bench()
    bench.register("v1", good=True)
    bench.register("v2", live=True)
    bench.register("v3")
    for kind, name, release in steps:
        epoch = bench.pointer.epoch
        bad = {r.name for r in bench.pointer.releases.values() if r.standing == "bad"}
        before = len(bench.wishes)
        try:
            if kind == "answer":
                if bench.wishes:
                    bench.answer(bench.wishes[-1], name, 3)
            else:
                bench.move(kind, name, release)
        except StateError:
            continue
        assert bench.pointer.epoch >= epoch
        for wish in bench.wishes[before:]:
            assert wish.release not in bad
            assert wish.epoch == epoch + 1
    assert shard.load(shard.dump(bench.state)) == bench.state
