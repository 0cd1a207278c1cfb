"""The simulated outside: users who ask, releases that answer, a pager, a router, people.

Law: the world remembers what was done to it even when midwatch's process dies: sent pages and moved
traffic are written to `log` before the call returns, as a real provider would. All that happens by
itself is a function of scenario, seed and that log, so a world made anew from them is the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct, field

from midwatch.agent import remedies
from midwatch.agent.surroundings import Surroundings
from midwatch.core.state.effects import RunAction, SendPage
from midwatch.core.values.actions import Request
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts, Edge, FailedAnswer, Trace
from midwatch.core.values.slo import Slo
from midwatch.core.values.traffic import Traffic
from midwatch.drill.agents import ASKED, EvaluatedAgent, LiveAgent
from midwatch.drill.scenarios import Lull, ReleasePlan, Scenario, ServicePlan
from midwatch.errors import HarnessError, InputError, StateError
from midwatch.ports import Health, Observed, StepSaid

TICK_S = 20
SALT = b"drill"
MAX_FAILURES = 3
UNSAID = 20  # good events a tick of what a scenario says nothing about: enough to be seen as well


class Sent(Struct, frozen=True, tag=True):
    """The pager took a page."""

    at: int
    key: str
    incident: str
    to: str
    summary: str


class Moved(Struct, frozen=True, tag=True):
    """The router moved the traffic of a service."""

    at: int
    service: str
    release: str
    epoch: int
    operation: str
    candidate: str = ""
    weight: int = 0

    @property
    def traffic(self) -> Traffic:
        """What is served from then on."""
        return Traffic(self.release, self.epoch, self.candidate, self.weight)


class Remedied(Struct, frozen=True, tag=True):
    """Something around a service was set right."""

    at: int
    service: str
    action: str
    given: dict[str, Any]
    operation: str


class Begun(Struct, frozen=True, tag=True):
    """Which shift this log is of; a journal of another one cannot be gone on with."""

    scenario: str
    seed: int
    broken: str


class Log:
    """What was done to the world, in a file when the world has to outlive a process."""

    def __init__(self, file: Path | None = None) -> None:
        self.entries: list[Begun | Sent | Moved | Remedied] = []
        self._file: IO[bytes] | None = None
        if file is not None:
            if file.exists():
                decode = msgspec.json.Decoder(Begun | Sent | Moved | Remedied).decode
                self.entries = [decode(line) for line in file.read_bytes().splitlines()]
            self._file = file.open("ab")
        self._moves: dict[str, list[Moved]] = {}
        for move in self.moved():
            self._moves.setdefault(move.service, []).append(move)

    def begin(self, begun: Begun) -> None:
        """Say which shift this is; raises StateError when the log is of another one."""
        first = self.entries[0] if self.entries else None
        if first is None:
            self.add(begun)
        elif first != begun:
            raise StateError(
                f"the event log belongs to another shift: {first}",
                remedy="use the same scenario, --seed and --break, or another --db",
            )

    def add(self, entry: Begun | Sent | Moved | Remedied) -> None:
        """Remember; it is with the OS before this returns, so a SIGKILL cannot undo it."""
        self.entries.append(entry)
        if isinstance(entry, Moved):
            self._moves.setdefault(entry.service, []).append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()

    def sent(self) -> Iterator[Sent]:
        """Go through the pages that arrived."""
        return (entry for entry in self.entries if isinstance(entry, Sent))

    def moved(self) -> Iterator[Moved]:
        """Go through the moves of traffic."""
        return (entry for entry in self.entries if isinstance(entry, Moved))

    def remedied(self) -> Iterator[Remedied]:
        """Go through what was set right."""
        return (entry for entry in self.entries if isinstance(entry, Remedied))

    def moves_of(self, service: str) -> list[Moved]:
        """List the moves of one service's traffic; asked at every tick, so kept by service."""
        return self._moves.get(service, [])


class Troubles:
    """What goes wrong on purpose; this one does nothing. `drill.faults` has the others."""

    def on_page(self, page: SendPage, now: int) -> None:
        """May raise HarnessError before a page is taken."""

    def on_answer(self, release: str, question: str) -> None:
        """May raise HarnessError instead of an answer."""

    def noise(self, service: str, tick: int) -> int:
        """Give the number of good answers that are counted as bad in this tick."""
        return 0

    def hides_failures(self) -> bool:
        """Say whether the backend lost the bad answers, though not their count."""
        return False


class SimulatedPager:
    """Takes pages and knows when each came."""

    def __init__(self, log: Log, clock: Callable[[], int], troubles: Troubles) -> None:
        self._log = log
        self._clock = clock
        self._troubles = troubles

    def send(self, page: SendPage) -> str:
        """Take a page; the receipt says that it arrived."""
        now = self._clock()
        self._troubles.on_page(page, now)
        number = len(self._log.entries) + 1
        self._log.add(Sent(now, page.key, page.incident, page.to, page.summary))
        return f"delivered-{number}"


class SimulatedRouter:
    """Serves what the pointer says; fences older epochs."""

    def __init__(self, scenario: Scenario, log: Log, clock: Callable[[], int]) -> None:
        self._log = log
        self._clock = clock
        self._deploys: dict[str, list[tuple[int, Traffic]]] = {}
        for plan in scenario.services:
            live = [r for r in plan.releases if r.live_at is not None]
            self._deploys[plan.name] = [
                (release.live_at or 0, Traffic(release.name, epoch))
                for epoch, release in enumerate(live, start=1)
            ]

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Move the traffic, unless a newer epoch is served already."""
        if traffic.epoch > self.observe(service).epoch:
            self._log.add(
                Moved(
                    self._clock(),
                    service,
                    traffic.release,
                    traffic.epoch,
                    operation,
                    traffic.candidate,
                    traffic.weight,
                )
            )

    def observe(self, service: str) -> Traffic:
        """Say what is served now."""
        return self.served_at(service, self._clock())

    def check(self, service: str, release: str) -> Health:
        """Say that a release lives; in this world all do."""
        return Health()

    def served_at(self, service: str, at: int) -> Traffic:
        """Say what was served at a moment: the last move or deploy by then."""
        deploys = self._deploys.get(service)
        if deploys is None:
            raise HarnessError(f"the router knows no service {service!r}")
        seen = Traffic("", 0)
        for live_at, deployed in deploys:
            if live_at <= at:
                seen = deployed
        # `apply` lets epochs only grow, so the newest move by then has the highest one.
        for move in reversed(self._log.moves_of(service)):
            if move.at <= at:
                return move.traffic if move.epoch > seen.epoch else seen
        return seen


class SimulatedActor:
    """Sets right what is around a service, as often as it is asked to."""

    def __init__(self, scenario: Scenario, log: Log, clock: Callable[[], int]) -> None:
        self._agents = {plan.name for plan in scenario.services if plan.is_agent}
        self._log = log
        self._clock = clock

    def apply(self, action: RunAction) -> StepSaid:
        """Do what the request asks. Raises HarnessError for what an agent does not know."""
        deed = action.apply
        if not isinstance(deed, Request):
            raise HarnessError("only requests are done in a drill")
        try:
            if action.service in self._agents:
                remedies.apply(Surroundings(), action.action, deed.body or {})
        except InputError as error:
            raise HarnessError(error.message, remedy=error.remedy) from None
        done = Remedied(self._clock(), action.service, action.action, deed.body or {}, action.key)
        self._log.add(done)
        return StepSaid("answered 200")

    def observe(self, action: RunAction) -> Observed:
        """Say whether it was done."""
        done = any(one.operation == action.key for one in self._log.remedied())
        return Observed(done, f"{action.action} is {'done' if done else 'not done'}")


class SimulatedTarget:
    """Asks one release one question."""

    def __init__(self, scenario: Scenario, clock: Callable[[], int], troubles: Troubles) -> None:
        self._clock = clock
        self._troubles = troubles
        self._right = {
            s.name: {case.question: case.expect for case in s.bank} for s in scenario.services
        }
        self._releases = {
            (s.name, r.name): (r, frozenset(r.wrong.questions if r.wrong else ()))
            for s in scenario.services
            for r in s.releases
        }
        self._agents = {s.name: EvaluatedAgent(clock) for s in scenario.services if s.is_agent}

    def answer(self, service: str, release: str, question: str) -> str:
        """Answer as this release would."""
        self._troubles.on_answer(release, question)
        found = self._releases.get((service, release))
        if found is None:
            raise HarnessError(f"{service} has no release {release!r}")
        plan, wrong = found
        if plan.agent:
            return self._agents[service].answer(plan.agent, question)
        if plan.wrong and question in wrong and self._clock() >= plan.wrong.from_at:
            return plan.wrong.answer
        try:
            return self._right[service][question]
        except KeyError:
            return "I do not know"


class _Row(Struct):
    """Cumulative counts at the end of each tick in which it was asked.

    Before `starts_at` it was well, `asked` questions a tick, for as long as anybody asks back.
    """

    starts_at: int = 0
    asked: int = 0
    ends: list[int] = field(default_factory=list[int])
    good: list[int] = field(default_factory=lambda: [0])
    total: list[int] = field(default_factory=lambda: [0])

    def edges(self, since: int, now: int) -> tuple[Edge, ...]:
        """List the ends of ticks from the last at or before `since` to `now`, from the start on."""
        first = max(bisect_right(self.ends, since) - 1, -1)
        begin = () if first >= 0 else (Edge(self.starts_at, 0, 0),)
        ends = range(max(first, 0), bisect_right(self.ends, now))
        return (*begin, *(Edge(self.ends[n], self.good[n + 1], self.total[n + 1]) for n in ends))

    def add(self, end: int, good: int, total: int) -> None:
        self.ends.append(end)
        self.good.append(self.good[-1] + good)
        self.total.append(self.total[-1] + total)

    def counts(self, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count, for each window, the ticks that ended in (now - window, now]."""
        ends, good, total = self.ends, self.good, self.total
        last = bisect_right(ends, now)
        found: dict[int, Counts] = {}
        for window_s in windows_s:
            start, first, before = now - window_s * SECOND, 0, 0
            if start < self.starts_at:
                before = (min(now, self.starts_at) - start) // (TICK_S * SECOND) * self.asked
            else:
                first = bisect_right(ends, start)
            found[window_s] = Counts(
                good[last] - good[first] + before, total[last] - total[first] + before
            )
        return found


class _Traffic:
    """Counts of one service and of each of its releases; every question once a tick."""

    def __init__(self, plan: ServicePlan, starts_at: int, troubles: Troubles, log: Log) -> None:
        self.plan = plan
        self._troubles = troubles
        self._releases = {r.name: r for r in plan.releases}
        self._rows = {name: _Row() for name in self._releases}
        self.wrong = {r.name: _wrong_cases(plan, r) for r in plan.releases}
        self._wrong = {n: {one.question for one in found} for n, found in self.wrong.items()}
        self._ids = [(f"/{case.id}".encode(), case.question) for case in plan.bank]
        self._log = log
        self._live: LiveAgent | None = None
        if plan.is_agent:
            names = {r.name: r.agent for r in plan.releases}

            def remedied() -> list[tuple[int, str, dict[str, Any]]]:
                found = (one for one in log.remedied() if one.service == plan.name)
                return [(one.at, one.action, one.given) for one in found]

            self._live = LiveAgent(names, plan.asked, plan.troubles, remedied)
        self._asked = ASKED if plan.is_agent else len(plan.bank)
        self._next_end = starts_at + TICK_S * SECOND
        self._all = _Row(starts_at, self._asked)

    def fill(self, now: int, served_at: Callable[[str, int], Traffic]) -> None:
        """Let users ask until now."""
        end = self._next_end
        while end <= now:
            seen = served_at(self.plan.name, end - 1)
            lull = self._lull(end - 1)
            came = self._ask(seen, end - 1) if lull is None else self._ask_one(seen, end, lull)
            asked = self._asked if lull is None else sum(one.total for one in came.values())
            noise = self._troubles.noise(self.plan.name, len(self._all.ends))
            bad = noise
            for name, one in came.items():
                bad += one.bad
                row = self._rows.get(name)
                if row is not None:
                    good = max(one.good - noise, 0) if name == seen.release else one.good
                    row.add(end, good, one.total)
            self._all.add(end, asked - min(asked, bad), asked)
            end += TICK_S * SECOND
        self._next_end = end

    def _ask(self, served: Traffic, at: int) -> dict[str, Counts]:
        """Let every question be asked once; gives what each release made of its part."""
        if self._live is not None:
            return self._live.ask_some(served, at, TICK_S)
        if not served.candidate:
            bad = len(self._wrong_now(served.release, at))
            return {served.release: Counts(self._asked - bad, self._asked)}
        total = dict.fromkeys((served.release, served.candidate), 0)
        bad = dict.fromkeys(total, 0)
        wrong = {name: self._wrong_now(name, at) for name in total}
        tick = b"%d" % at
        for case, question in self._ids:
            name = served.of(tick + case, SALT)
            total[name] += 1
            if question in wrong[name]:
                bad[name] += 1
        return {name: Counts(total[name] - bad[name], total[name]) for name in total}

    def _lull(self, at: int) -> Lull | None:
        """Give the stretch without many users that a moment is in."""
        return next((one for one in self.plan.lulls if one.from_at <= at < one.until_at), None)

    def _ask_one(self, served: Traffic, end: int, lull: Lull) -> dict[str, Counts]:
        """Let one question be asked when its time is in the tick that ends, else none."""
        if not lull.every_s:
            return {}
        before, number = (
            max(at - lull.from_at, 0) // (lull.every_s * SECOND)
            for at in (end - TICK_S * SECOND, end)
        )
        if number == before:
            return {}
        case, question = self._ids[number % len(self._ids)]
        name = served.of(b"%d" % (end - 1) + case, SALT)
        return {name: Counts(int(question not in self._wrong_now(name, end - 1)), 1)}

    def _wrong_now(self, release: str, at: int) -> Collection[str]:
        """Give the questions that a release answers wrong at a moment."""
        plan = self._releases.get(release)
        if plan is None or plan.wrong is None or at < plan.wrong.from_at:
            return ()
        if plan.wrong.until and self._was_done(plan.wrong.until, at):
            return ()
        return self._wrong[release]

    def _was_done(self, action: str, at: int) -> bool:
        """Say whether an action was done for this service by then."""
        return any(
            one.action == action and one.service == self.plan.name and one.at <= at
            for one in self._log.remedied()
        )

    def counts(self, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count windows of all that was asked."""
        return self._all.counts(windows_s, now)

    def trace(self, since: int, now: int, period_s: int) -> Trace:
        """Give the ticks since a moment; users have asked for as long as anybody asks back."""
        period = self._all.counts((period_s,), now)[period_s]
        return Trace(self._all.edges(since, now), 0, period)

    def counts_of(self, release: str, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count windows of what one release answered."""
        return self._rows.get(release, _Row()).counts(windows_s, now)

    def failures(self, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give a few bad answers of the agent."""
        if self._live is None:
            return ()
        found = self._live.failed_since(now - window_s * SECOND, now)
        return tuple(islice(found, MAX_FAILURES))


def _wrong_cases(plan: ServicePlan, release: ReleasePlan) -> tuple[FailedAnswer, ...]:
    if release.wrong is None:
        return ()
    asked = frozenset(release.wrong.questions)
    return tuple(
        FailedAnswer(f"{release.name}/{case.id}", case.question, release.wrong.answer, case.expect)
        for case in plan.bank
        if case.question in asked and case.expect != release.wrong.answer
    )


class SimulatedMetrics:
    """Counts what users got."""

    def __init__(
        self,
        scenario: Scenario,
        router: SimulatedRouter,
        clock: Callable[[], int],
        troubles: Troubles,
        log: Log,
    ) -> None:
        self._router = router
        self._clock = clock
        self._troubles = troubles
        self._traffic = {
            s.slo: _Traffic(s, scenario.starts_at, troubles, log) for s in scenario.services
        }

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count windows; a service that the scenario says nothing about is well."""
        base, _, release = slo.id.partition("@")
        traffic = self._traffic.get(base)
        if traffic is None:
            ticks = {w: w // TICK_S * UNSAID for w in windows_s}
            return {w: Counts(events, events) for w, events in ticks.items()}
        # Who asks by a clock that is ahead asks for what is not there yet.
        traffic.fill(min(now, self._clock()), self._router.served_at)
        if release:
            return traffic.counts_of(release, windows_s, now)
        return traffic.counts(windows_s, now)

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        """Give the ticks since a moment; what the scenario says nothing about has none."""
        traffic = self._traffic.get(slo.id)
        if traffic is None:
            return Trace()
        traffic.fill(min(now, self._clock()), self._router.served_at)
        return traffic.trace(since, now, slo.period_s)

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give a few answers that are wrong now."""
        if self._troubles.hides_failures():
            return ()
        traffic = self._traffic[slo.id]
        if traffic.plan.is_agent:
            return traffic.failures(window_s, now)
        served = self._router.served_at(traffic.plan.name, now)
        release = next(r for r in traffic.plan.releases if r.name == served.release)
        if release.wrong is None or now < release.wrong.from_at:
            return ()
        return traffic.wrong[release.name][:MAX_FAILURES]
