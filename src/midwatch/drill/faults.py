"""Faults on purpose: one named break for `--break`, and those that a fuzz run draws from its seed.

Law: a fault changes the world or what the world answers, never the engine. `correlation` is the one
exception that has to be: it hands the engine a threshold that nothing reaches, as a config could.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from midwatch.core.state.effects import SendPage
from midwatch.core.values.clock import SECOND
from midwatch.core.values.plans import ROLLBACK, Step
from midwatch.drill.machine import Jump, Restart, WrongClock
from midwatch.drill.meddling import KINDS, Fault
from midwatch.drill.scenarios import Lull, ReleasePlan, Scenario, ServicePlan, Ticket
from midwatch.drill.world import TICK_S, Troubles
from midwatch.errors import HarnessError, InputError


class Broken(Struct, frozen=True):
    """A scenario that was changed, and troubles and faults of ports to go with it."""

    scenario: Scenario
    troubles: Troubles
    ports: tuple[Fault, ...] = ()


class PagerDown(Troubles):
    """The pager's provider takes nothing."""

    def on_page(self, page: SendPage, now: int) -> None:
        raise HarnessError("503 from the pager's provider")


class FailuresLost(Troubles):
    """The bad answers are counted but were not kept."""

    def hides_failures(self) -> bool:
        return True


def _releases(
    scenario: Scenario, change: Callable[[ReleasePlan, ReleasePlan | None], ReleasePlan]
) -> Scenario:
    """Change each release, by itself and by the bad one of its service."""
    services = tuple(
        replace(plan, releases=tuple(change(one, _bad_release(plan)) for one in plan.releases))
        for plan in scenario.services
    )
    return replace(scenario, services=services)


def _bad_release(plan: ServicePlan) -> ReleasePlan | None:
    return next((one for one in plan.releases if one.wrong is not None), None)


def _break_fix(scenario: Scenario) -> Broken:
    def change(release: ReleasePlan, bad: ReleasePlan | None) -> ReleasePlan:
        if bad is None or release.proposed_s is None:
            return release
        return replace(release, wrong=bad.wrong)

    return Broken(_releases(scenario, change), Troubles())


def _break_correlation(scenario: Scenario) -> Broken:
    rules = replace(scenario.config.rules, threshold=2.0)
    config = replace(scenario.config, rules=rules)
    return Broken(replace(scenario, config=config), Troubles())


def _break_ticket(scenario: Scenario) -> Broken:
    tickets = tuple(
        Ticket(t.at, "The printer on the third floor is out of paper again.", t.by)
        for t in scenario.tickets
    )
    return Broken(replace(scenario, tickets=tickets), Troubles())


def _break_page(scenario: Scenario) -> Broken:
    return Broken(scenario, PagerDown())


def _break_rollback(scenario: Scenario) -> Broken:
    """What broke the new release hits the old one too, from the same moment on."""

    def change(release: ReleasePlan, bad: ReleasePlan | None) -> ReleasePlan:
        if not release.good or bad is None or bad.wrong is None:
            return release
        since = max(bad.live_at or 0, bad.wrong.from_at)
        return replace(release, wrong=replace(bad.wrong, from_at=since))

    return Broken(_releases(scenario, change), Troubles())


def _break_regression_case(scenario: Scenario) -> Broken:
    return Broken(scenario, FailuresLost())


def _break_always_rollback(scenario: Scenario) -> Broken:
    """Whatever burns is rolled back, as if that were the only mitigation there is."""
    roll_back = Step("rollback", ROLLBACK)
    books = scenario.config.rules.books
    runbooks = tuple(
        replace(book, steps=(roll_back,), params={}, resolves=False) for book in books.runbooks
    )
    rules = replace(scenario.config.rules, books=replace(books, runbooks=runbooks))
    return Broken(replace(scenario, config=replace(scenario.config, rules=rules)), Troubles())


def _break_router(scenario: Scenario) -> Broken:
    """The router refuses every move."""
    return Broken(scenario, Troubles(), (Fault("router", "refuse", 0, ALWAYS_S),))


def _break_metrics(scenario: Scenario) -> Broken:
    """The metrics backend answers with numbers that count nothing."""
    return Broken(scenario, Troubles(), (Fault("metrics", "absurd", 0, ALWAYS_S),))


ALWAYS_S = 86_400
ALWAYS_ROLLBACK = "always-rollback"
BREAKS: dict[str, Callable[[Scenario], Broken]] = {
    "fix": _break_fix,
    "correlation": _break_correlation,
    "ticket": _break_ticket,
    "page": _break_page,
    "rollback": _break_rollback,
    "regression-case": _break_regression_case,
    "router": _break_router,
    "metrics": _break_metrics,
    ALWAYS_ROLLBACK: _break_always_rollback,
}


def break_on_purpose(scenario: Scenario, names: str) -> Broken:
    """Break one thing of a scenario, or several with commas between.

    Raises InputError for a name that is not in BREAKS.
    """
    broken = Broken(scenario, Troubles())
    for name in names.split(","):
        change = BREAKS.get(name)
        if change is None:
            known = ", ".join(BREAKS)
            raise InputError(f"no failure is named {name!r} to break", remedy=f"use one of {known}")
        if not scenario.seven_checks and name != ALWAYS_ROLLBACK:
            raise InputError(
                f"{scenario.name} does not support {name}",
                remedy=f"use the scenario shift, or {ALWAYS_ROLLBACK}",
            )
        one = change(broken.scenario)
        quiet = type(one.troubles) is Troubles
        troubles = broken.troubles if quiet else one.troubles
        broken = Broken(one.scenario, troubles, broken.ports + one.ports)
    return broken


STOPS_AT_S = 5_400
JUMPS_FOR_S = (20, 20, 300, 1_200, 3_600)
JUMPS_MS = tuple(
    sign * one * SECOND for one in (75, 3_600, 86_400, 10 * 365 * 86_400) for sign in (1, -1)
)
TYPED: tuple[Literal["rollback", "abort"], ...] = ("rollback", "rollback", "abort")


class Typed(Struct, frozen=True):
    """Somebody types a rollback or an abort, `at_s` into the shift."""

    at_s: int
    what: Literal["rollback", "abort"]
    service: int  # of the scenario's, by number


class Away(Struct, frozen=True):
    """Nearly all users of a service stay away, from `from_s` to `to_s` of the shift."""

    service: int  # of the scenario's, by number
    from_s: int
    to_s: int
    every_s: int  # between two questions that are asked all the same; 0 when none is


class Drawn(Struct, frozen=True):
    """The faults of one fuzzed shift; written down so that a failure says what was drawn."""

    duplicates: float = 0.0
    late: float = 0.0
    crash_share: float = 0.0
    pager_fails: int = 0
    evals_fail: int = 0
    noise_share: float = 0.0
    bad_fix: bool = False
    bad_target: bool = False
    failures_lost: bool = False
    stops_at_s: int = STOPS_AT_S
    ports: tuple[Fault, ...] = ()
    typed: tuple[Typed, ...] = ()
    clock: WrongClock = WrongClock()
    away: tuple[Away, ...] = ()


def draw_ports(seed: int) -> tuple[Fault, ...]:
    """Draw how ports misbehave: none in some shifts, several ways at once in others."""
    rng = Random(f"ports/{seed}")
    found: list[Fault] = []
    for port, kinds in KINDS.items():
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            from_s = rng.randrange(-STOPS_AT_S // 2, STOPS_AT_S - 60)
            to_s = min(from_s + rng.choice((60, 900, 2_400, STOPS_AT_S)), STOPS_AT_S)
            found.append(
                Fault(
                    port,
                    rng.choice(kinds),
                    max(from_s, 0),
                    max(to_s, 60),
                    rng.choice((0.3, 0.7, 1.0)),
                )
            )
    return tuple(found)


def draw_typed(seed: int) -> tuple[Typed, ...]:
    """Draw what people type without being asked, in half of the shifts."""
    rng = Random(f"typed/{seed}")
    if rng.random() < 0.5:
        return ()
    return tuple(
        Typed(rng.randrange(60, STOPS_AT_S + 600), rng.choice(TYPED), rng.randrange(3))
        for _ in range(rng.randrange(1, 6))
    )


def draw_clock(seed: int) -> WrongClock:
    """Draw what is wrong with the wall clock, in half of the shifts.

    It jumps, one jump after the other, for seconds or for an hour, is off by seconds, and drifts.
    In half of the jumps the process is restarted meanwhile, and at times once more afterwards.
    """
    rng = Random(f"clock/{seed}")
    if rng.random() < 0.5:
        return WrongClock()
    jumps: list[Jump] = []
    restarts: list[Restart] = []
    at_s = rng.randrange(120, 1_800)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        for_s = rng.choice(JUMPS_FOR_S)
        if at_s + for_s > STOPS_AT_S:
            break
        jumps.append(Jump(at_s, rng.choice(JUMPS_MS), for_s))
        ends_s = at_s + for_s
        if rng.random() < 0.5:
            restarts.append(Restart(rng.randrange(at_s, ends_s) + 1, rng.choice((0, 5, 20))))
        if rng.random() < 0.3:
            restarts.append(Restart(ends_s + rng.randrange(1, 300), 5))
        at_s = ends_s + rng.choice((0, 30, 600, 1_500))
    if rng.random() < 0.5:
        small_s = rng.randrange(STOPS_AT_S - 300)
        jumps.append(Jump(small_s, rng.randrange(-15, 16) * SECOND, rng.choice((60, 300))))
    drift_ppm = rng.choice((0, 0, 20, -200, 1_800, -1_800))
    return WrongClock(tuple(jumps), drift_ppm, tuple(restarts), STOPS_AT_S)


def draw_away(seed: int) -> tuple[Away, ...]:
    """Draw when users of a service stay away, in a third of the shifts."""
    rng = Random(f"away/{seed}")
    if rng.random() < 2 / 3:
        return ()
    from_s = rng.randrange(STOPS_AT_S - 600)
    to_s = min(from_s + rng.choice((600, 2_400, STOPS_AT_S)), STOPS_AT_S)
    return (Away(rng.randrange(3), from_s, to_s, rng.choice((0, 20, 60, 300))),)


def draw(seed: int) -> Drawn:
    """Draw faults: about half of them are absent in any one shift."""
    rng = Random(f"faults/{seed}")

    def maybe(share: float) -> float:
        return round(rng.random() * share, 3) if rng.random() < 0.5 else 0.0

    return Drawn(
        duplicates=maybe(0.6),
        late=maybe(0.5),
        crash_share=maybe(0.2),
        pager_fails=rng.choice((0, 0, 1, 3, 6)),
        evals_fail=rng.choice((0, 0, 1, 2, 5)),
        noise_share=maybe(0.3),
        bad_fix=rng.random() < 0.25,
        bad_target=rng.random() < 0.1,
        failures_lost=rng.random() < 0.1,
        ports=draw_ports(seed),
        typed=draw_typed(seed),
        clock=draw_clock(seed),
        away=draw_away(seed),
    )


class DrawnTroubles(Troubles):
    """A pager that fails first, evals that error, an SLI with noise; all over after a while."""

    def __init__(self, drawn: Drawn, seed: int, spared: str = "") -> None:
        self._drawn = drawn
        self._spared = spared
        self._noise = f"noise/{seed}"
        self._pages_failed = 0
        self._evals_failed = 0

    def on_page(self, page: SendPage, now: int) -> None:
        if page.via == self._spared != "":
            return
        if self._pages_failed < self._drawn.pager_fails:
            self._pages_failed += 1
            raise HarnessError("503 from the pager's provider")

    def on_answer(self, release: str, question: str) -> None:
        if self._evals_failed < self._drawn.evals_fail * 100:
            self._evals_failed += 1
            raise HarnessError("the target timed out")

    def noise(self, service: str, tick: int) -> int:
        """A tenth of a percent of the questions, now and then: below what the budget allows."""
        if not self._drawn.noise_share or tick * TICK_S > self._drawn.stops_at_s:
            return 0
        return int(Random(f"{self._noise}/{service}/{tick}").random() < self._drawn.noise_share)

    def hides_failures(self) -> bool:
        return self._drawn.failures_lost


def apply_drawn(scenario: Scenario, drawn: Drawn) -> Scenario:
    """Change the scenario as drawn."""
    if not any(r.wrong for s in scenario.services for r in s.releases):
        return scenario  # its answers are the agent's own
    if drawn.bad_fix:
        scenario = _break_fix(scenario).scenario
    if drawn.bad_target:
        scenario = _break_rollback(scenario).scenario
    services = list(scenario.services)
    for one in drawn.away:
        plan = services[one.service % len(services)]
        begin = scenario.starts_at
        lull = Lull(begin + one.from_s * SECOND, begin + one.to_s * SECOND, one.every_s)
        services[one.service % len(services)] = replace(plan, lulls=(lull, *plan.lulls))
    return replace(scenario, services=tuple(services))
