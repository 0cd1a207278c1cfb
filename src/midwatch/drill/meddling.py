"""Ports that refuse, hang and lie: what may stand between the engine and the simulated world.

Law: how a port misbehaves is a function of seed, fault, moment and what is asked, so that a seed
replays. The world behind it remembers what was really done. Every fault has an end, after which all
works again: what is not well by then is the engine's doing.

    router   refuse, lost, after    not done; not done, said to be; done, said not to be
             blind, stale, absurd   what is served is not said; is of a while ago; is nonsense
             sick                   a release that is well is said not to be
    action   refuse, lost, after, blind, stale
    pager    refuse, after          not taken; taken and said not to be
             receipt                taken, with a receipt that is nonsense
    metrics  refuse, missing        no answer; some windows are left out
             stale, absurd          counts of a while ago; numbers that count nothing
    all      late                   done at once, and the answer comes a while later
             later                  done, and answered, a while later
             never                  done, and the answer comes never, until a restart
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal, cast

from msgspec import Struct

from midwatch.bootstrap import World
from midwatch.core.state import effects
from midwatch.core.state.effects import RunAction, SendPage
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts, FailedAnswer, Trace
from midwatch.core.values.slo import Slo
from midwatch.core.values.traffic import Traffic
from midwatch.errors import Declined, HarnessError
from midwatch.ports import Actor, Health, Metrics, Observed, Pager, Router, StepSaid

AGO_S = 600  # how old a stale answer is
LONGEST_S, SHORTEST_S = 900, 20  # a hang
HANGS = ("late", "later", "never")
KINDS: dict[str, tuple[str, ...]] = {
    "router": ("refuse", "lost", "after", "blind", "stale", "absurd", "sick", *HANGS),
    "action": ("refuse", "lost", "after", "blind", "stale", *HANGS),
    "pager": ("refuse", "after", "receipt", *HANGS),
    "metrics": ("refuse", "missing", "stale", "absurd", "late"),
}
Hang = Literal["late", "later", "never"]


class Fault(Struct, frozen=True):
    """How a port misbehaves, in a `share` of its calls, from one second of a shift to another."""

    port: str
    kind: str
    from_s: int
    to_s: int
    share: float = 1.0


class Meddler:
    """Says what goes wrong now; `spared` are pagers that never do, so that others can be seen."""

    def __init__(
        self,
        faults: Sequence[Fault],
        *,
        starts_at: int,
        seed: int = 0,
        spared: Sequence[str] = (),
    ) -> None:
        self.faults = tuple(faults)
        self.spared = frozenset(spared)
        self.starts_at = starts_at
        self.lied: set[str] = set()  # operations that were done, and were said not to be
        self._seed = seed

    @property
    def ends_at(self) -> int:
        """When the last fault is over."""
        return self.starts_at + max((one.to_s for one in self.faults), default=0) * SECOND

    @property
    def keeps_answers(self) -> bool:
        """Whether some answers come only by a restart."""
        return any(one.kind == "never" for one in self.faults)

    def kind(self, port: str, kinds: Sequence[str], what: str, now: int) -> str:
        """Say in which of these ways a call goes wrong; empty when it does not."""
        since_s = (now - self.starts_at) / SECOND
        for number, fault in enumerate(self.faults):
            if fault.port != port or fault.kind not in kinds:
                continue
            if fault.from_s <= since_s < fault.to_s and (
                self.chance(f"{number}/{what}", now).random() < fault.share
            ):
                return fault.kind
        return ""

    def chance(self, what: str, now: int) -> Random:
        """Give the dice of one call."""
        return Random(f"meddle/{self._seed}/{what}/{now}")

    def hangs(self, effect: effects.Effect, now: int) -> tuple[Hang, int] | None:
        """Say whether a call hangs, and for how many milliseconds."""
        port = _port_of(effect, self.spared)
        kind = self.kind(port, HANGS, f"hang/{effect.key}", now) if port else ""
        return (cast("Hang", kind), self.wait(effect.key, now)) if kind else None

    def hangs_question(self, source: str, now: int) -> int:
        """Say for how long the answer to a question is under way; 0 when it is not."""
        if source.startswith("router/"):
            return 0
        late = self.kind("metrics", ("late",), f"hang/{source}", now)
        return self.wait(source, now) if late else 0

    def wait(self, what: str, now: int) -> int:
        """Draw how long something takes, in milliseconds."""
        return self.chance(f"wait/{what}", now).randrange(SHORTEST_S, LONGEST_S) * SECOND

    def around(
        self, world: World, clock: Callable[[], int], served_at: Callable[[str, int], Traffic]
    ) -> World:
        """Stand around the ports of a world; `served_at` says what a service served when."""
        if not self.faults:
            return world
        pagers = {
            name: pager if name in self.spared else _Pager(pager, self, clock)
            for name, pager in world.pagers.items()
        }
        return World(
            pagers,
            _Router(world.router, self, clock, served_at) if world.router else None,
            {name: _Metrics(one, self, clock) for name, one in world.metrics.items()},
            world.target,
            _Actor(world.actor, self, clock) if world.actor else None,
        )


def _port_of(effect: effects.Effect, spared: frozenset[str]) -> str:
    match effect:
        case effects.SendPage() | effects.UpdatePage():
            return "" if effect.via in spared else "pager"
        case effects.SetRelease():
            return "router"
        case effects.RunAction():
            return "action"
        case _:
            return ""


class _Pager:
    """Receipts are whatever a provider's answer may hold, of the wrong type too."""

    def __init__(self, pager: Pager, meddler: Meddler, clock: Callable[[], int]) -> None:
        self._pager = pager
        self._meddler = meddler
        self._clock = clock

    def send(self, page: SendPage) -> str:
        now = self._clock()
        kind = self._meddler.kind("pager", ("refuse", "after", "receipt"), page.key, now)
        if kind == "refuse":
            raise HarnessError("503 from the pager's provider \udcff\x1b[2J" + "." * 9_999)
        receipt = self._pager.send(page)
        if kind == "after":
            raise HarnessError("the connection was cut after the page was taken")
        if kind == "receipt":
            odd: list[Any] = ["", "\ud800\x00\x1b[2J", "x" * 100_000, None, {"id": 7}, b"\xff"]
            return self._meddler.chance(page.key, now).choice(odd)
        return receipt


class _Router:
    def __init__(
        self,
        router: Router,
        meddler: Meddler,
        clock: Callable[[], int],
        served_at: Callable[[str, int], Traffic],
    ) -> None:
        self._router = router
        self._meddler = meddler
        self._clock = clock
        self._served_at = served_at

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        kind = self._meddler.kind("router", ("refuse", "lost", "after"), operation, self._clock())
        if kind == "refuse":
            raise HarnessError("the tool refuses this request")
        if kind != "lost":
            self._router.apply(service, traffic, operation)
        if kind == "after":
            raise HarnessError("500 after it was done")

    def observe(self, service: str) -> Traffic:
        now = self._clock()
        kind = self._meddler.kind("router", ("blind", "stale", "absurd"), service, now)
        if kind == "blind":
            raise HarnessError("the tool does not answer")
        if kind == "stale":
            return self._served_at(service, now - AGO_S * SECOND)
        seen = self._router.observe(service)
        return self._nonsense(seen, now) if kind == "absurd" else seen

    def check(self, service: str, release: str) -> Health:
        now = self._clock()
        if not self._meddler.kind("router", ("sick",), f"{service}/{release}", now):
            return self._router.check(service, release)
        odd = (Health("answers 500 \udcff"), Health("", "sha256:of-another"))
        return self._meddler.chance(release, now).choice(odd)

    def _nonsense(self, seen: Traffic, now: int) -> Traffic:
        release, epoch = seen.release, seen.epoch
        odd: list[Any] = [
            Traffic("", 0),
            Traffic("\udcff nobody", 3),
            Traffic(release, 2**70),
            Traffic(release, -(10**400)),
            Traffic(release, epoch, "nobody", 1_000),
            Traffic(release, epoch, "nobody", -1),
            Traffic(release, cast("int", float("nan")), "", cast("int", 0.5)),
        ]
        return self._meddler.chance(release, now).choice(odd)


class _Actor:
    def __init__(self, actor: Actor, meddler: Meddler, clock: Callable[[], int]) -> None:
        self._actor = actor
        self._meddler = meddler
        self._clock = clock

    def apply(self, action: RunAction) -> StepSaid:
        kinds = ("refuse", "lost", "after")
        kind = self._meddler.kind("action", kinds, action.key, self._clock())
        if kind == "refuse":
            raise Declined("403 from the tool")
        if kind == "lost":
            return StepSaid("answered 200")
        said = self._actor.apply(action)
        if kind == "after":
            raise HarnessError("the connection was cut after it was done")
        return said

    def observe(self, action: RunAction) -> Observed:
        kind = self._meddler.kind("action", ("blind", "stale"), action.key, self._clock())
        if kind == "blind":
            raise HarnessError("the tool does not answer")
        seen = self._actor.observe(action)
        if kind == "stale" and seen.done:
            self._meddler.lied.add(action.key)
            return Observed(done=False, says=f"{action.action} is not done")
        return seen


class _Metrics:
    def __init__(self, metrics: Metrics, meddler: Meddler, clock: Callable[[], int]) -> None:
        self._metrics = metrics
        self._meddler = meddler
        self._clock = clock

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        kinds = ("refuse", "missing", "stale", "absurd")
        kind = self._meddler.kind("metrics", kinds, slo.id, self._clock())
        if kind == "refuse":
            raise HarnessError("502 from the metrics backend")
        if kind == "stale":
            return self._metrics.counts(slo, windows_s, now - AGO_S * SECOND)
        found = dict(self._metrics.counts(slo, windows_s, now))
        if not kind:
            return found
        dice = self._meddler.chance(slo.id, now)
        for window_s in list(found):
            if kind == "missing" and dice.random() < 0.5:
                del found[window_s]
            elif kind == "absurd":
                found[window_s] = _no_counts(found[window_s], dice)
        return found

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        return self._metrics.trace(slo, since, now)

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        return self._metrics.failures(slo, window_s, now)


def _no_counts(seen: Counts, dice: Random) -> Counts:
    odd: list[tuple[Any, Any]] = [
        (float("nan"), float("nan")),
        (float("inf"), seen.total),
        (-5, seen.total),
        (seen.good, -seen.total),
        (seen.total + 7, seen.total),
        (10**400, 10**400),
        (seen.good, float(seen.total) + 0.5),
        (None, seen.total),
        ("8", "9"),
        (True, 2),
    ]
    return Counts(*dice.choice(odd))
