"""What ports answer: nonsense is left out and reported, and nothing is raised on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.releases import Pointer, Release
from midwatch.core.state.shard import Shard
from midwatch.core.values.canary import CanaryPlan, Guard
from midwatch.core.values.sli import Counts, FailedAnswer, Indicator
from midwatch.core.values.slo import Slo
from midwatch.core.values.traffic import Traffic
from midwatch.engine.handle import Handler
from midwatch.engine.perform import Performer
from midwatch.engine.trials import Trials
from midwatch.engine.watch import Watcher
from midwatch.errors import HarnessError, Throttled
from midwatch.ports import Claim, Health

ODD_NUMBERS: list[tuple[Any, Any]] = [
    (float("nan"), float("nan")),
    (float("inf"), 10),
    (-1, 10),
    (11, 10),
    (5, -10),
    (8.0, 10),
    (10**400, 10**400),
    (None, 10),
    ("8", "10"),
    (True, 10),
]
ODD_TEXTS: list[Any] = [None, {"id": 7}, b"\xff", "\ud800 in \udfff", "x" * 1_000_000, 7.5]
NAN: Any = float("nan")
HALF: Any = 5.5
NONE: Any = None
ODD_TRAFFIC: list[Any] = [
    Traffic("v1", 2**70),
    Traffic("v1", -1),
    Traffic("v1", 3, "v2", 101),
    Traffic("v1", 3, "", 5),
    Traffic("v1", 3, "v2", -1),
    Traffic("\udcff", 3),
    Traffic("v" * 999, 3),
    Traffic("v1", NAN, "v2", 5),
    Traffic("v1", 3, "v2", HALF),
    Traffic(NONE, 3),
]
PAGE = effects.SendPage("page/INC-1/1", "INC-1", "ada", "sev1", "t", "s", "shop")
MOVE = effects.SetRelease("move/shop/3/x", "", "shop", "v1", 3, "abort")


class Port:
    """A pager and a router that answer what they are told to, or raise it."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def send(self, page: effects.SendPage) -> Any:
        return self._say()

    def observe(self, service: str) -> Any:
        return self._say()

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Do nothing."""

    def check(self, service: str, release: str) -> Any:
        return Health("broken \ud800", "d" * 9_999)

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> Any:
        return dict.fromkeys(windows_s, self._say())

    def trace(self, slo: Slo, since: int, now: int) -> Any:
        return self._say()

    def failures(self, slo: Slo, window_s: int, now: int) -> Any:
        return (FailedAnswer("\ud800", "q", NONE, "e"),)

    def _say(self) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def performed(port: Port, effect: effects.Effect) -> Any:
    """What comes of an effect, and that a journal can hold it."""
    store = SqliteStore.memory()
    performer = Performer(store, {}, {"p": port}, port, None)
    answer = performer.perform(Claim(effect, 1))
    Handler(store, Rules(), lambda: 0).handle(
        [answer, Envelope("", inputs.FileTicket("T-1", "it is slow", "ada"))]
    )
    assert len(store.letters()) == (1 if isinstance(effect, effects.SendPage) else 0)
    store.close()
    return answer.input


@pytest.mark.parametrize("said", ODD_TEXTS, ids=lambda one: type(one).__name__)
def test_a_receipt_is_a_text_that_can_be_written_down(said: Any) -> None:
    """Whatever a provider answers; the page counts as sent."""
    given = performed(Port(said), PAGE)
    assert given.error is None
    assert isinstance(given.receipt, str)
    assert len(given.receipt.encode()) < 16_000


def test_an_error_and_its_wait_are_a_text_and_a_time() -> None:
    """Also when the provider says NaN seconds, or a text that is none."""
    for asked, wait_s in ((float("nan"), None), (-3.0, None), (1e300, 86_400.0), (30.0, 30.0)):
        given = performed(Port(Throttled("429 \udcff", retry_after_s=asked)), PAGE)
        assert (given.error, given.retry_after_s) == ("429 ?", wait_s)


@pytest.mark.parametrize("seen", ODD_TRAFFIC)
def test_a_router_that_says_nonsense_was_not_seen(seen: Any) -> None:
    """The move is unknown, not done and not refused; and a look at it decides nothing."""
    given = performed(Port(seen), MOVE)
    assert given.state == "unknown"
    assert "that cannot be" in given.seen
    good = {"v0": Release("v0", "d0", "good")}
    shard = Shard(pointers={"shop": Pointer("shop", "v1", "v0", releases=good)})
    (question,) = Trials({}, Port(seen)).questions(shard, 0)
    (checked,) = question.ask()
    assert checked.input == inputs.ReleaseChecked("shop", "v0", "broken ?", "d" * 199 + "\u2026")


def test_a_candidate_without_a_part_is_seen_as_it_is() -> None:
    """Some tools go on naming the last candidate at 0 %."""
    given = performed(Port(Traffic("v1", 3, "v2", 0)), MOVE)
    assert given.state == "not-applied"


@pytest.mark.parametrize("odd", ODD_NUMBERS)
def test_counts_that_count_nothing_are_missing_and_told_of(odd: tuple[Any, Any]) -> None:
    """For an objective and for a canary's guard."""
    port = Port(Counts(*odd))
    slo = Slo("shop/answers", "shop", "0.99", indicator=Indicator("counter", "m"))
    watcher = Watcher(SqliteStore.memory(), {"m": port}, Rules(slos={slo.id: slo}))
    (read,) = watcher.readings(Shard(), 60_000)
    assert isinstance(read.input, inputs.SliMeasured)
    assert read.input.reading.windows == {}
    assert "which is ignored" in watcher.newest()[0].trouble
    plan = CanaryPlan((Guard("errors", 0.05, Indicator("counter", "m")),), (10,), warm_up_s=0)
    bench = Handler(SqliteStore.memory(), Rules(canaries={"shop": plan}), lambda: 0)
    for given in (
        inputs.RegisterRelease("shop", "v1", "d1", good=True, live=True),
        inputs.RegisterRelease("shop", "v2", "d2"),
        inputs.StartCanary("shop", "v2", "c1", "ada"),
        inputs.ReleaseAnswered("move/shop/2/c1/10", "", 1, "applied", "seen"),
    ):
        bench.handle([Envelope("", given)])
    (question,) = Trials({"m": port}, None).questions(bench.shard, 60_000)
    blocks = [one.input for one in question.ask() if isinstance(one.input, inputs.CanaryRead)]
    assert blocks
    assert {(tuple(one.block), one.missed) for one in blocks} == {((), ("errors",))}


def test_a_bad_answer_is_kept_as_texts() -> None:
    """What a backend says of it may be anything."""
    port = Port(Counts(5, 10))
    slo = Slo("shop/answers", "shop", "0.99", indicator=Indicator("counter", "m"))
    watcher = Watcher(SqliteStore.memory(), {"m": port}, Rules(slos={slo.id: slo}))
    (read,) = watcher.readings(Shard(), 60_000)
    assert isinstance(read.input, inputs.SliMeasured)
    assert read.input.reading.failures == (FailedAnswer("?", "q", "", "e"),)


def test_a_router_that_cannot_be_asked_is_unknown() -> None:
    """As before: what is not seen is unknown."""
    given = performed(Port(HarnessError("no \ud800")), MOVE)
    assert (given.state, given.seen) == ("unknown", "no ? (after applying)")
