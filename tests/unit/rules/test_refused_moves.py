"""Routers that refuse: a move that comes to nothing ends well, and no effect has another's key."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs, releases, shard
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.state.releases import Pointer
from midwatch.core.state.shard import Shard
from midwatch.core.values.canary import CanaryPlan, Guard, Sides
from midwatch.core.values.sli import Indicator
from midwatch.core.values.teams import Policy, Step
from midwatch.errors import StateError

S = 1_000
PLAN = CanaryPlan(
    (Guard("errors", 0.05, Indicator("counter")),), (10, 50), samples=5, step_s=5, warm_up_s=0
)
SERVICES = ("shop", "cart")


class Bench:
    """Two services, each with v1 live and good and v2 as candidate; nothing moves by itself."""

    def __init__(self) -> None:
        self.state = Shard()
        self.rules = Rules(
            canaries=dict.fromkeys(SERVICES, PLAN), policy=Policy("p", (Step(("ada",)),))
        )
        self.keys: list[str] = []
        self.wishes: dict[str, effects.SetRelease] = {}  # the newest of each service
        self.pages: list[e.PagePlanned] = []
        self.now = 0
        for service in SERVICES:
            self.give(inputs.RegisterRelease(service, "v1", f"{service}1", good=True, live=True))
            self.give(inputs.RegisterRelease(service, "v2", f"{service}2"))

    def give(self, given: inputs.Input) -> Decision:
        decision = decide(self.state, given, self.now, self.rules)
        for effect in decision.effects:
            assert effect.key not in self.keys, f"{effect.key} was planned twice"
            self.keys.append(effect.key)
            if isinstance(effect, effects.SetRelease):
                self.wishes[effect.service] = effect
        self.pages += [event for event in decision.events if isinstance(event, e.PagePlanned)]
        return decision

    def answer(self, service: str, state: str, attempt: int = 3) -> Decision:
        wish = self.wishes[service]
        return self.give(
            inputs.ReleaseAnswered(wish.key, wish.incident, attempt, state, "seen")  # type: ignore[arg-type]
        )

    def block(self, service: str = "shop") -> Decision:
        """Ten seconds in which both sides were well, each with its part of 200 requests."""
        self.now += 10 * S
        pointer = self.state.pointers[service]
        trial, part = pointer.canary, 2 * pointer.weight
        block = {"errors": Sides(part, part, 200 - part, 200 - part)}
        operation = trial.operation if trial else "none"
        return self.give(inputs.CanaryRead(service, operation, self.now, block, ()))

    def look(self, service: str = "shop") -> Decision:
        """The router is seen to serve what the pointer says."""
        self.now += 60 * S
        seen = self.state.pointers[service].traffic
        return self.give(
            inputs.ReleaseSeen(service, seen.release, seen.epoch, seen.candidate, seen.weight)
        )

    @property
    def pointer(self) -> Pointer:
        return self.state.pointers["shop"]


@pytest.fixture
def refused() -> Bench:
    """v2 has 10 %, and the router refused to raise it to 50 % three times."""
    bench = Bench()
    bench.give(inputs.StartCanary("shop", "v2", "c1", "ada"))
    bench.answer("shop", "applied", 1)
    bench.block()
    assert bench.pointer.wanted.weight == 50
    bench.answer("shop", "not-applied", 1)
    bench.answer("shop", "not-applied", 2)
    assert bench.pointer.canary is not None
    bench.answer("shop", "not-applied")
    return bench


def test_a_step_that_is_refused_ends_the_canary_and_takes_the_candidate_off(refused: Bench) -> None:
    """Inconclusive, with its reason; the next block, and a restart, plan nothing of it."""
    last = refused.pointer.last_canary
    assert last is not None
    assert (refused.pointer.canary, last.verdict) == (None, "inconclusive")
    assert last.reason.says == "v1, 50 % v2, at epoch 3 was not seen"
    off = refused.wishes["shop"]
    assert (off.purpose, off.traffic.says) == ("abort", "v1 at epoch 4")
    assert refused.block().is_empty
    refused.state = shard.load(shard.dump(refused.state))
    assert refused.block().is_empty
    refused.answer("shop", "applied", 1)
    assert (refused.pointer.candidate, refused.pointer.live) == ("", "v1")


def test_a_move_by_hand_carries_its_term_and_is_begun_once_in_any(refused: Bench) -> None:
    """Its name stays what its operator calls it."""
    for salt in ("aa" * 8, "bb" * 8):
        refused.give(inputs.BeginTerm(salt))
        refused.give(inputs.MoveRelease("shop", "rollback", "night/1", "ada"))
        assert refused.wishes["shop"].key == f"move/shop/5/night/1/{'aa' * 8}"
    assert releases.name_of(refused.pointer.pending) == "night/1"
    refused.answer("shop", "applied", 1)
    assert refused.give(inputs.MoveRelease("shop", "rollback", "night/1", "ada")).is_empty


def test_people_are_paged_once_while_nothing_moves_and_it_ends_with_the_first_move(
    refused: Bench,
) -> None:
    """An hour of refusals: off again and again, under new keys, without another page."""
    for _ in range(60):
        refused.answer("shop", "not-applied")
        assert refused.pointer.pending == ""
        refused.look()
        assert refused.wishes["shop"].purpose == "abort"
    assert len(refused.pages) == 1
    assert list(refused.state.open) == ["INC-1"]
    happened = [type(event) for event in refused.answer("shop", "applied", 1).events]
    assert {e.PointerMoved, e.AlertsResolved, e.IncidentMitigated} <= set(happened)
    assert refused.pointer.candidate == ""
    assert refused.look().is_empty


@pytest.mark.parametrize("state", ["not-applied", "unknown"])
def test_rollback_and_abort_are_taken_at_every_moment(refused: Bench, state: str) -> None:
    """While taking off is under way, when that was given up, and when it is tried again."""
    for number in range(3):
        refused.answer("shop", state)
        taken = refused.give(inputs.MoveRelease("shop", "rollback", f"r{number}", "ada"))
        assert [type(event) for event in taken.events] == [e.PointerIntended]
        assert refused.wishes["shop"].traffic.release == "v1"
        refused.answer("shop", state)
        taken = refused.give(inputs.AbortCanary("shop", "ada"))
        assert [type(event) for event in taken.events] == [e.PointerIntended]
        # Once more while it is under way is what is done already.
        assert refused.give(inputs.AbortCanary("shop", "ada")).is_empty
        refused.give(inputs.MoveRelease("shop", "rollback", f"s{number}", "ada"))
    refused.answer("shop", "applied", 1)
    assert refused.pointer.traffic.says.startswith("v1 at epoch")
    with pytest.raises(StateError, match="v1 is live already"):
        refused.give(inputs.MoveRelease("shop", "rollback", "r9", "ada"))
    with pytest.raises(StateError, match="no canary of shop"):
        refused.give(inputs.AbortCanary("shop", "ada"))


def test_the_first_step_that_is_not_seen_may_be_served_and_can_be_rolled_back() -> None:
    """The router may have taken it: until something was seen, there is a way back."""
    bench = Bench()
    bench.give(inputs.StartCanary("shop", "v2", "c1", "ada"))
    bench.answer("shop", "unknown")
    bench.answer("shop", "unknown")  # nor is taking it off
    assert (bench.pointer.candidate, bench.pointer.pending) == ("", "")
    bench.give(inputs.MoveRelease("shop", "rollback", "r1", "ada"))
    assert bench.wishes["shop"].traffic.says == "v1 at epoch 4"
    bench.answer("shop", "applied", 1)
    assert not releases.is_unsettled(bench.pointer)


def test_a_promotion_that_is_not_seen_can_be_rolled_back_and_an_abort_is_no_way_to_it() -> None:
    """What is live by the pointer is served again; an abort takes off candidates alone."""
    bench = Bench()
    bench.give(inputs.MoveRelease("shop", "promote", "p1", "ada", "v2", why="a test"))
    with pytest.raises(StateError, match="no canary"):
        bench.give(inputs.AbortCanary("shop", "ada"))
    bench.answer("shop", "unknown")
    with pytest.raises(StateError, match="no canary"):
        bench.give(inputs.AbortCanary("shop", "ada"))
    bench.give(inputs.MoveRelease("shop", "rollback", "r1", "ada"))
    assert bench.wishes["shop"].traffic.says == "v1 at epoch 3"


def test_an_abort_does_not_go_before_a_rollback() -> None:
    """The rollback takes the candidate off, too, and leaves what is bad besides."""
    bench = Bench()
    bench.give(inputs.RegisterRelease("shop", "v3", "shop3", live=True))
    bench.give(inputs.StartCanary("shop", "v2", "c1", "ada"))
    bench.answer("shop", "applied", 1)
    bench.give(inputs.MoveRelease("shop", "rollback", "r1", "ada"))
    assert bench.give(inputs.AbortCanary("shop", "ada")).is_empty
    assert bench.wishes["shop"].traffic.release == "v1"


def test_an_abort_is_taken_when_a_rollback_overtook_a_step_that_nobody_saw() -> None:
    """The candidate may be served, and the rollback under way takes it off."""
    bench = Bench()
    bench.give(inputs.RegisterRelease("shop", "v3", "shop3", live=True))
    bench.give(inputs.StartCanary("shop", "v2", "c1", "ada"))
    bench.give(inputs.MoveRelease("shop", "rollback", "r1", "ada"))
    assert (bench.pointer.candidate, bench.pointer.purpose) == ("", "rollback")
    assert bench.give(inputs.AbortCanary("shop", "ada")).is_empty


def test_an_abort_stops_a_promotion_that_evidence_began(refused: Bench) -> None:
    """The candidate has a part still, so it can be taken off."""
    refused.answer("shop", "applied", 1)
    refused.give(inputs.StartCanary("shop", "v2", "c2", "ada"))
    for _ in range(50):
        if refused.pointer.purpose == "promote":
            break
        if refused.pointer.pending:
            refused.answer("shop", "applied", 1)
        refused.block()
    refused.give(inputs.AbortCanary("shop", "ada", "not today"))
    assert refused.wishes["shop"].traffic.release == "v1"
    refused.answer("shop", "applied", 1)
    assert (refused.pointer.live, refused.pointer.candidate) == ("v1", "")


def test_the_same_operation_again_is_tried_again_only_when_nothing_overtook_it() -> None:
    """Under its own name and a new key; a sender that repeats itself undoes no rollback."""
    bench = Bench()
    up = inputs.MoveRelease("shop", "promote", "deploy-7", "ci", "v2", why="a test")
    bench.give(up)
    bench.answer("shop", "not-applied")
    assert [type(event) for event in bench.give(up).events] == [e.PointerIntended]
    bench.give(inputs.MoveRelease("shop", "rollback", "page/INC-1/1", "ada"))
    with pytest.raises(StateError, match="another move went before it"):
        bench.give(up)
    # What it is called is its own, whatever other effects are called.
    other = inputs.MoveRelease("cart", "promote", "page/INC-1/1", "ada", "v2", why="a test")
    assert bench.give(other).effects[0].key == "move/cart/2/page/INC-1/1"


# --- whatever routers and people do -------------------------------------------------------------

NAMES = st.sampled_from(("x", "c1/50", "move/shop/3/x", "page/INC-1/1", "off/shop/4"))
SERVICE = st.sampled_from(SERVICES)
INPUTS = st.one_of(
    st.builds(inputs.MoveRelease, SERVICE, st.just("rollback"), NAMES, st.just("ada"), st.just("")),
    st.builds(
        inputs.MoveRelease,
        SERVICE,
        st.just("promote"),
        NAMES,
        st.just("ada"),
        st.sampled_from(("v1", "v2")),
        st.none(),
        st.just("meant"),
    ),
    st.builds(inputs.StartCanary, SERVICE, st.just("v2"), NAMES, st.just("ada")),
    st.builds(inputs.AbortCanary, SERVICE, st.just("ada")),
)
WORLD = st.one_of(
    st.tuples(st.just("answer"), SERVICE, st.sampled_from(("applied", "not-applied", "unknown"))),
    st.tuples(st.just("block"), SERVICE, st.just("")),
    st.tuples(st.just("look"), SERVICE, st.just("")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(INPUTS, WORLD), max_size=40))
def test_no_key_is_planned_twice_and_a_rollback_is_taken_while_anything_is_unsettled(
    happens: list[inputs.Input | tuple[str, str, str]],
) -> None:
    """By whatever names; and a candidate that nobody tries is taken off at the next look."""
    bench = Bench()
    for one in happens:
        if isinstance(one, tuple):
            kind, service, state = one
            if kind == "answer" and service in bench.wishes:
                bench.answer(service, state)
            elif kind == "block":
                bench.block(service)
            elif kind == "look":
                bench.look(service)
            continue
        refusal = ""
        try:
            bench.give(one)
        except StateError as error:
            refusal = error.message
        if refusal and isinstance(one, inputs.MoveRelease) and one.purpose == "rollback":
            settled = not releases.is_unsettled(bench.state.pointers[one.service])
            assert settled or "another move went before it" in refusal
    for service in SERVICES:
        pointer = bench.state.pointers[service]
        if pointer.candidate and pointer.canary is None and not pointer.pending:
            bench.look(service)
            assert pointer.purpose == "abort"
            assert pointer.pending
    assert shard.load(shard.dump(bench.state)) == bench.state
