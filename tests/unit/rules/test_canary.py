"""A candidate on live traffic: raised, held, rejected or promoted by its evidence alone."""

from __future__ import annotations

import random

import pytest

from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.adapters.metrics.prometheus import PrometheusMetrics
from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs, releases, shard
from midwatch.core.state.decision import Decision
from midwatch.core.state.releases import Pointer
from midwatch.core.state.shard import Burn, Shard
from midwatch.core.values import canary
from midwatch.core.values.canary import CanaryPlan, Guard, Sides
from midwatch.core.values.evidence import TrafficEvidence
from midwatch.core.values.sli import Indicator
from midwatch.engine.trials import Trials
from midwatch.errors import StateError
from midwatch.outbound import Answer

S = 1_000
GUARD = Guard("quality", 0.05, Indicator("counter"))
ERRORS = Guard("errors", 0.02, Indicator("counter"))
PLAN = CanaryPlan((GUARD, ERRORS), (5, 50), samples=10, step_s=30, warm_up_s=20, deadline_s=3_600)


class Says:
    """A way out that always gets the same answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def post(self, *_: object) -> Answer:
        return Answer(200, {}, self._body)


class Bench:
    """A service with v1 live and good, and v2 as candidate; the router does what it is told."""

    def __init__(self, plan: CanaryPlan = PLAN) -> None:
        self.state = Shard()
        self.rules = Rules(canaries={"shop": plan})
        self.wishes: list[effects.SetRelease] = []
        self.now = 0
        self.give(inputs.RegisterRelease("shop", "v1", "d1", good=True, live=True))
        self.give(inputs.RegisterRelease("shop", "v2", "d2"))

    def give(self, given: inputs.Input) -> Decision:
        decision = decide(self.state, given, self.now, self.rules)
        self.wishes += [e for e in decision.effects if isinstance(e, effects.SetRelease)]
        return decision

    def start(self, release: str = "v2", operation: str = "c1", **more: int) -> Decision:
        return self.give(inputs.StartCanary("shop", release, operation, "ada", **more))

    def apply(self, state: str = "applied", attempt: int = 3) -> Decision:
        """Let the router answer the newest wish."""
        wish = self.wishes[-1]
        return self.give(
            inputs.ReleaseAnswered(wish.key, wish.incident, attempt, state, "seen")  # type: ignore[arg-type]
        )

    def block(self, missed: tuple[str, ...] = (), **sides: tuple[int, int, int, int]) -> Decision:
        """Ten seconds pass, in which this was counted."""
        self.now += 10 * S
        trial = self.pointer.canary
        operation = trial.operation if trial else "c1"
        block = {name: Sides(*one) for name, one in sides.items()}
        return self.give(inputs.CanaryRead("shop", operation, self.now, block, missed))

    def even(self, blocks: int, size: int = 20) -> list[str]:
        """So many blocks in which both sides are alike, in the shares that are wanted."""
        found: list[str] = []
        for _ in range(blocks):
            weight = self.pointer.weight or 1
            base = size * (100 - weight) // weight
            one = (size, size, base, base)
            found += kinds(self.block(quality=one, errors=one))
            if self.pointer.pending:
                found += kinds(self.apply())
            if self.pointer.canary is None:
                break
        return found

    @property
    def pointer(self) -> Pointer:
        return self.state.pointers["shop"]

    @property
    def held(self) -> str:
        assert self.pointer.canary is not None
        return self.pointer.canary.held


@pytest.fixture
def bench() -> Bench:
    """A canary whose first step is seen."""
    bench = Bench()
    bench.start()
    bench.apply()
    return bench


def kinds(decision: Decision) -> list[str]:
    """The names of the events."""
    return [type(event).__name__ for event in decision.events]


def test_each_weight_is_a_move_that_is_written_and_seen() -> None:
    """The plan is in the event; traffic is shared only when the router was seen to do it."""
    bench = Bench()
    assert kinds(bench.start()) == ["CanaryStarted", "PointerIntended"]
    (wish,) = bench.wishes
    assert (wish.traffic.says, wish.purpose, wish.digest) == (
        "v1, 5 % v2, at epoch 2",
        "canary",
        "d2",
    )
    assert bench.pointer.weight == 0
    bench.apply()
    assert (bench.pointer.live, bench.pointer.candidate, bench.pointer.weight) == ("v1", "v2", 5)
    assert bench.start().is_empty  # the same operation begins once
    with pytest.raises(StateError, match="a canary of v2 is under way"):
        bench.start(operation="c2")


def test_a_candidate_that_is_no_worse_is_raised_and_promoted(bench: Bench) -> None:
    """Step by step, each with its minimum; live in the end, and good only later."""
    happened = bench.even(100)
    assert happened.count("PointerMoved") == 2
    assert "CanaryEnded" in happened
    last = bench.pointer.last_canary
    assert last is not None
    assert (last.verdict, last.reason.says) == (
        "promote",
        "not worse in quality by 0.05, errors by 0.02 or more",
    )
    assert (bench.pointer.live, bench.pointer.candidate, bench.pointer.weight) == ("v2", "", 0)
    assert bench.pointer.last_good == "v1"
    assert shard.load(shard.dump(bench.state)) == bench.state


def test_a_candidate_that_is_worse_is_taken_off_and_its_digest_never_served_again(
    bench: Bench,
) -> None:
    """Also under another name."""
    for _ in range(100):
        if bench.pointer.canary is None:
            break
        bench.block(quality=(0, 1, 19, 19), errors=(1, 1, 19, 19))
    last = bench.pointer.last_canary
    assert last is not None
    assert last.verdict == "reject"
    assert last.reason.says.startswith("quality is worse: 0.0 % of ")
    assert (bench.wishes[-1].traffic.release, bench.wishes[-1].purpose) == ("v1", "abort")
    bench.apply()
    assert (bench.pointer.candidate, bench.pointer.weight) == ("", 0)
    with pytest.raises(StateError, match="known bad"):
        bench.start(operation="c2")
    bench.give(inputs.RegisterRelease("shop", "v2-again", "d2"))
    with pytest.raises(StateError, match="it is v2 under another name"):
        bench.start("v2-again", "c3")


def test_warm_up_counts_on_neither_side(bench: Bench) -> None:
    """What begins before its end is left out, whatever it says."""
    for _ in range(2):
        assert bench.block(quality=(0, 50, 950, 950)).is_empty
    assert kinds(bench.block(quality=(1, 1, 19, 19))) == ["CanaryCounted"]


def test_a_block_is_counted_once(bench: Bench) -> None:
    """The same time again, and a time before it, are nothing."""
    bench.now += 20 * S
    bench.block(quality=(1, 1, 19, 19))
    read = inputs.CanaryRead("shop", "c1", bench.now, {"quality": Sides(0, 9, 9, 9)})
    assert bench.give(read).is_empty


@pytest.mark.parametrize(
    ("sides", "missed", "says"),
    [
        ({"errors": (1, 1, 19, 19)}, ("quality",), "quality cannot be read"),
        ({"quality": (5, 5, 60, 95)}, (), "the baseline is not well: quality 60 of 95 good"),
        ({"quality": (0, 0, 4_000, 4_000)}, (), "the candidate got 0 of 4000 requests"),
        ({"quality": (1_500, 1_500, 1_500, 1_500)}, (), "got 1500 of 3000 requests"),
    ],
)
def test_what_is_missing_or_mismatched_holds_the_weight(
    bench: Bench, sides: dict[str, tuple[int, int, int, int]], missed: tuple[str, ...], says: str
) -> None:
    """With its reason, told once; nothing is raised or promoted meanwhile."""
    bench.now += 20 * S
    assert kinds(bench.block(missed, **sides)) == ["CanaryCounted", "CanaryHeld"]
    assert says in bench.held
    before = len(bench.wishes)
    assert kinds(bench.block(missed, **sides)) == ["CanaryCounted"]
    assert len(bench.wishes) == before


def test_more_than_a_twentieth_of_blocks_missing_holds_until_it_is_less(bench: Bench) -> None:
    """Also when the newest one is there."""
    bench.now += 20 * S
    for _ in range(2):
        bench.block(("errors",), quality=(1, 1, 19, 19))
    bench.block(quality=(1, 1, 19, 19), errors=(1, 1, 19, 19))
    assert bench.held == "errors cannot be read"
    assert canary.judge(bench.pointer.canary, bench.pointer.evidence["d2"], bench.now)[1].says == (  # type: ignore[arg-type]
        "2 of 3 blocks of time could not be read"
    )
    for _ in range(40):
        bench.block(quality=(1, 1, 19, 19), errors=(1, 1, 19, 19))
        if bench.pointer.pending:
            bench.apply()
    assert bench.held == ""


def test_a_digest_that_changed_holds_and_a_sick_candidate_is_taken_off(bench: Bench) -> None:
    """Nobody knows what was judged; and no evidence is waited for while users are hurt."""
    bench.give(inputs.ReleaseChecked("shop", "v2", "", "d3"))
    bench.now += 20 * S
    bench.block(quality=(1, 1, 19, 19), errors=(1, 1, 19, 19))
    assert bench.held == "serves digest d3, d2 is registered"
    bench.give(inputs.ReleaseChecked("shop", "v2", "", "d2"))
    bench.block(quality=(1, 1, 19, 19), errors=(1, 1, 19, 19))
    assert bench.held == ""
    bench.give(inputs.ReleaseChecked("shop", "v2", "answered 503"))
    assert "CanaryEnded" in kinds(bench.block(quality=(1, 1, 19, 19), errors=(1, 1, 19, 19)))
    last = bench.pointer.last_canary
    assert last is not None
    assert (last.verdict, last.reason.says) == (
        "inconclusive",
        "v2 is not healthy: answered 503",
    )


def test_at_the_deadline_it_is_inconclusive_and_taken_off(bench: Bench) -> None:
    """Too little was seen; trying the same digest again goes on with what was."""
    bench.even(8, 5)
    before = bench.pointer.evidence["d2"]["quality/0.05"].traffic.total
    bench.now = PLAN.deadline_s * S
    bench.block(quality=(1, 1, 1, 1))
    last = bench.pointer.last_canary
    assert last is not None
    assert last.verdict == "inconclusive"
    assert last.reason.says.startswith("not decided in 60 min: quality, errors not ruled out")
    bench.apply()
    bench.start(operation="c2")
    bench.apply()
    bench.now += 20 * S
    bench.block(quality=(1, 1, 19, 19))
    assert bench.pointer.evidence["d2"]["quality/0.05"].traffic.total == before + 2


def test_a_person_overrides_only_with_a_reason(bench: Bench) -> None:
    """It is on record, with the canary that it ended."""
    with pytest.raises(StateError, match="not proven"):
        bench.give(inputs.MoveRelease("shop", "promote", "op", "ada", "v2"))
    given = inputs.MoveRelease("shop", "promote", "op", "ada", "v2", why="the fix is urgent")
    assert kinds(bench.give(given)) == ["CanaryEnded", "PointerIntended"]
    bench.apply()
    assert bench.pointer.live == "v2"
    last = bench.pointer.last_canary
    assert last is not None
    assert last.reason.says == "overridden by ada: the fix is urgent"


def test_a_rollback_goes_before_a_canary(bench: Bench) -> None:
    """To the good release; when that is live already, the candidate alone has to go."""
    given = inputs.MoveRelease("shop", "rollback", "op", "ada")
    assert kinds(bench.give(given)) == ["CanaryEnded", "PointerIntended"]
    assert bench.wishes[-1].traffic.says == "v1 at epoch 3"
    assert bench.wishes[-1].checked == ""  # v1 may be ill: the candidate goes all the same
    bench.apply()
    assert releases.name_of(bench.pointer.done) == "op"
    assert (bench.pointer.candidate, bench.pointer.releases["v1"].standing) == ("", "good")


def test_an_abort_takes_it_off_and_again_until_it_is_seen(bench: Bench) -> None:
    """A candidate that nobody tries any more gets no traffic."""
    bench.give(inputs.AbortCanary("shop", "ada", "lunch"))
    bench.apply("unknown")
    assert (bench.pointer.canary, bench.pointer.candidate, bench.pointer.pending) == (
        None,
        "v2",
        "",
    )
    bench.give(inputs.ReleaseSeen("shop", "v1", 3, "v2", 5))
    assert bench.wishes[-1].purpose == "abort"
    bench.apply()
    assert bench.pointer.candidate == ""
    with pytest.raises(StateError, match="no canary of shop is under way"):
        bench.give(inputs.AbortCanary("shop", "ada"))


def test_a_weight_that_is_not_seen_ends_the_canary(bench: Bench) -> None:
    """And pages, as every move that nobody can see."""
    fresh = Bench()
    fresh.start()
    happened = kinds(fresh.apply("unknown"))
    assert {"PointerAbandoned", "CanaryEnded", "IncidentOpened"} <= set(happened)
    assert fresh.wishes[-1].purpose == "abort"


def test_what_somebody_else_shared_is_put_right(bench: Bench) -> None:
    """A balancer that came back without the candidate gets its weight again."""
    assert bench.give(inputs.ReleaseSeen("shop", "v1", 2, "v2", 5)).is_empty
    bench.give(inputs.ReleaseSeen("shop", "v1", 0))
    assert bench.wishes[-1].traffic.says == "v1, 5 % v2, at epoch 3"
    stale = inputs.ReleaseSeen("shop", "v1", 0, asked_at=1)
    bench.apply()
    assert bench.give(stale).is_empty


@pytest.mark.parametrize(
    ("release", "says"), [("v1", "live already"), ("v9", "no release"), ("v3", "known bad")]
)
def test_what_cannot_be_tried_is_refused(release: str, says: str) -> None:
    """With the reason; and nothing is tried where nobody said how."""
    bench = Bench()
    bench.give(inputs.RegisterRelease("shop", "v3", "d3", live=True))
    bench.give(inputs.MoveRelease("shop", "rollback", "op", "ada"))
    bench.apply()
    with pytest.raises(StateError, match=says):
        bench.start(release)
    bench.rules = Rules()
    with pytest.raises(StateError, match="no canary is configured"):
        bench.start("v2")


def test_the_way_back_is_watched(bench: Bench) -> None:
    """A rollback target that is not healthy is an alert before it is needed; then it is over."""
    bench.give(inputs.MoveRelease("shop", "promote", "op", "ada", "v2", why="a test"))
    bench.apply()
    sick = inputs.ReleaseChecked("shop", "v1", "answered 500")
    assert {"ReleaseFoundUnfit", "IncidentOpened"} <= set(kinds(bench.give(sick)))
    assert bench.give(sick).is_empty
    assert bench.state.incidents["INC-1"].severity == "sev3"
    assert {"ReleaseFoundFit", "AlertsResolved"} <= set(
        kinds(bench.give(inputs.ReleaseChecked("shop", "v1")))
    )


def test_what_was_good_before_is_where_to_go_when_the_newest_good_one_is_live() -> None:
    """A release may burn long after it was recorded as good."""
    bench = Bench()
    bench.give(inputs.MoveRelease("shop", "promote", "op", "ada", "v2", why="a test"))
    bench.apply()
    timer = inputs.Timer("prove/shop", 0, "prove", "")
    bench.state.burning["cart/answers"] = Burn("PageQuick", "INC-1")
    bench.give(inputs.TimerCameDue(timer))
    assert bench.pointer.last_good == "v2"
    bench.give(inputs.MoveRelease("shop", "rollback", "back", "ada"))
    assert bench.wishes[-1].release == "v1"


class Judged:
    """A canary on its last step whose evidence has cleared everything, but for what is broken."""

    def __init__(self) -> None:
        self.trial = canary.Canary("c", "v2", "d2", "v1", "ada", PLAN, 0, step=1)
        self.evidence: dict[str, canary.GuardEvidence] = {}

    def count(self, block: dict[str, Sides], missed: tuple[str, ...] = ()) -> None:
        canary.count(self.trial, self.evidence, block, missed, 10 * S)

    def says(self, at: int = 60) -> tuple[str, str]:
        word, reason = canary.judge(self.trial, self.evidence, at * S)
        return word, reason.says


def test_a_number_that_is_none_is_not_replaced_and_passed() -> None:
    """Kayenta replaces NaN by 0 and passes what then is the same; here it is missing."""
    series = b'{"metric":{"midwatch":"%s/10"},"value":[1,"%s"]}'
    both = b",".join((series % (b"bad", b"NaN"), series % (b"total", b"40")))
    answer = b'{"status":"success","data":{"resultType":"vector","result":[%s]}}' % both
    metrics = PrometheusMetrics(PrometheusOptions("http://p"), Says(answer))  # type: ignore[arg-type]
    guard = Guard("errors", 0.02, Indicator("increase", "p", bad="b[{{.window}}]", total="t"))
    state = Bench(CanaryPlan((guard,), (50,))).state
    pointer = state.pointers["shop"]
    pointer.canary = canary.Canary(
        "c1", "v2", "d2", "v1", "ada", CanaryPlan((guard,), (50,)), 0, step=0
    )
    (question, *_) = Trials({"p": metrics}, None).questions(state, 60 * S)
    reads = [one.input for one in question.ask()]
    assert reads
    assert all(isinstance(one, inputs.CanaryRead) and one.missed == ("errors",) for one in reads)
    metrics = PrometheusMetrics(PrometheusOptions("http://p"), Says(answer.replace(b"NaN", b"2")))  # type: ignore[arg-type]
    (question, *_) = Trials({"p": metrics}, None).questions(state, 60 * S)
    reads = [one.input for one in question.ask()]
    assert all(
        isinstance(one, inputs.CanaryRead) and one.block == {"errors": Sides(38, 40, 38, 40)}
        for one in reads
    )


def test_all_guards_in_error_are_no_score() -> None:
    """Kayenta gives 100 points when every metric was in error; here the weight is held."""
    judged = Judged()
    for _ in range(50):
        judged.count({}, ("quality", "errors"))
    assert judged.says() == ("hold", "quality, errors cannot be read")
    assert judged.says(PLAN.deadline_s)[0] == "inconclusive"


def test_an_end_without_a_measurement_is_not_successful() -> None:
    """Argo's analysis that was ended before it measured is successful; here it is inconclusive."""
    word, says = Judged().says(PLAN.deadline_s)
    assert (word, says) == (
        "inconclusive",
        "not decided in 60 min: quality, errors not ruled out",
    )


def test_a_guard_that_is_worse_rejects_whatever_the_others_say() -> None:
    """Each of several guards gets its part of alpha; when both bounds are reached, reject wins."""
    trial = canary.Canary("c", "v2", "d2", "v1", "ada", PLAN, 0, step=1)
    evidence = {
        "quality/0.05": canary.GuardEvidence(TrafficEvidence(0.05, good=1, total=2, base_total=2)),
        "errors/0.02": canary.GuardEvidence(TrafficEvidence(0.02)),
    }
    for one in evidence.values():
        one.cleared_at = 1
    assert canary.judge(trial, evidence, 60 * S)[0] == "wait"
    evidence["quality/0.05"].worse_at = 2
    assert canary.judge(trial, evidence, 60 * S)[0] == "reject"


@pytest.mark.parametrize(("share", "most"), [(0.05, 0.02), (0.3, 0.02)])
def test_a_fair_split_is_hardly_ever_called_a_mismatch(share: float, most: float) -> None:
    """Looked at after every 20 requests, 2,000 of them; a share 20 % off is none either."""
    wrong = 0
    for seed in range(400):
        chance = random.Random(seed)
        real = share * chance.choice((1.0, 0.8, 1.2))
        got = 0
        for n in range(1, 101):
            got += sum(chance.random() < real for _ in range(20))
            if canary.mismatch(got, n * 20, share) >= canary.SPLIT_PROOF:
                wrong += 1
                break
    assert wrong <= most * 400


@pytest.mark.parametrize(
    ("worse", "least", "most"), [(0.0, 0.0, 0.05), (0.05, 0.0, 0.05), (0.3, 0.95, 1.0)]
)
def test_decisions_are_wrong_as_seldom_as_promised(worse: float, least: float, most: float) -> None:
    """Blocks of any size, looked at after each: rejected without a change, promoted at the margin.

    200 canaries; beside the promise there is room for the chance of the simulation, 2.5 %.
    """
    plan = CanaryPlan((GUARD,), (50,), samples=1, step_s=1, warm_up_s=1, deadline_s=10**6)
    rejected = promoted = 0
    for seed in range(200):
        chance = random.Random(seed)
        trial = canary.Canary("c", "v2", "d", "v1", "ada", plan, 0, step=0)
        evidence: dict[str, canary.GuardEvidence] = {}
        for n in range(60):
            size, base = chance.randint(1, 12), chance.randint(1, 12)
            good = sum(chance.random() < 0.95 - worse for _ in range(size))
            base_good = sum(chance.random() < 0.95 for _ in range(base))
            block = {"quality": Sides(good, size, base_good, base)}
            canary.count(trial, evidence, block, (), n * S)
        one = evidence["quality/0.05"]
        rejected += bool(one.worse_at)
        promoted += bool(one.cleared_at) and not one.worse_at
    if worse == 0.0:
        assert rejected <= (most + 0.025) * 200
    elif worse == 0.05:
        assert promoted <= (most + 0.025) * 200
    else:
        assert rejected >= least * 200
