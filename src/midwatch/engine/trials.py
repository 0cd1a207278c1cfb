"""What is counted of a canary, and what routers really serve, become inputs.

Law: nothing is decided here. A block of time is read for candidate and baseline at once; a guard
whose source breaks is named as missed, never filled in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from msgspec import Struct, structs

from midwatch.core.state.inputs import CanaryRead, Envelope, ReleaseChecked, ReleaseSeen
from midwatch.core.state.releases import Pointer, rollback_target
from midwatch.core.state.shard import Shard
from midwatch.core.values.canary import RELEASE, CanaryPlan, Guard, Sides
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts
from midwatch.core.values.slo import Slo
from midwatch.engine import sound
from midwatch.engine.question import Question
from midwatch.errors import told
from midwatch.ports import Metrics, Router

log = logging.getLogger("midwatch.engine")

CHECK_EVERY_S = 60
MAX_BLOCKS = 60  # in one answer
PERIOD_S = 600  # a block is the longest window that is asked for


class _Trial(Struct, frozen=True):
    service: str
    operation: str
    candidate: str
    baseline: str
    plan: CanaryPlan
    since: int


class Trials:
    """Reads the canaries under way, and looks at what is served."""

    def __init__(self, metrics: Mapping[str, Metrics], router: Router | None) -> None:
        self._metrics = metrics
        self._router = router
        self._checked_at: dict[str, int] = {}

    def questions(self, shard: Shard, now: int) -> list[Question]:
        """Say what has to be read or looked at now, for each service."""
        found: list[Question] = []
        for pointer in shard.pointers.values():
            trial = _trial(pointer)
            if trial is not None:
                found.append(Question(f"canary/{pointer.service}", partial(self._ask, trial, now)))
            if self._router is not None and self._is_due(pointer.service, now):
                names = {rollback_target(pointer)[0], pointer.candidate} - {""}
                look = partial(
                    self._look, self._router, pointer.service, pointer.epoch, sorted(names)
                )
                found.append(Question(f"router/{pointer.service}", look))
        return found

    def _is_due(self, service: str, now: int) -> bool:
        last = self._checked_at.get(service)
        if last is not None and now - last < CHECK_EVERY_S * SECOND:
            return False
        self._checked_at[service] = now
        return True

    def _look(
        self, router: Router, service: str, epoch: int, releases: list[str]
    ) -> list[Envelope]:
        """Look at what is served, and at the releases that may have to be; what breaks says it."""
        found: list[Envelope] = []
        try:
            seen = sound.traffic(router.observe(service))
            given = ReleaseSeen(
                service, seen.release, seen.epoch, seen.candidate, seen.weight, epoch
            )
            found.append(Envelope("", given))
        except Exception as error:  # not seen: nothing is decided, and the next look is near
            log.warning(
                "router not observed", extra={"fields": {"msg": f"{service}: {told(error)}"}}
            )
        for name in releases:
            try:
                health = sound.health(router.check(service, name))
            except Exception as error:  # who cannot be asked may be well
                says = sound.text(f"cannot be checked: {told(error)}")
                given = ReleaseChecked(service, name, says)
            else:
                given = ReleaseChecked(service, name, health.trouble, health.digest)
            found.append(Envelope("", given))
        return found

    def _ask(self, trial: _Trial, now: int) -> list[Envelope]:
        width = trial.plan.every_s * SECOND
        newest = (now - trial.plan.lag_s * SECOND) // width * width
        first = -(-trial.since // width) * width + width
        ends = list(range(first, newest + 1, width))[-MAX_BLOCKS:]
        if not ends:
            self._read(trial, newest)  # counters are looked at from the beginning
            return []
        return [Envelope("", self._read(trial, end)) for end in ends]

    def _read(self, trial: _Trial, end: int) -> CanaryRead:
        block: dict[str, Sides] = {}
        missed: list[str] = []
        for guard in trial.plan.guards:
            mine = self._counts(guard, trial, trial.candidate, end)
            theirs = self._counts(guard, trial, trial.baseline, end)
            if mine is None or theirs is None:
                missed.append(guard.name)
            else:
                block[guard.name] = Sides(mine.good, mine.total, theirs.good, theirs.total)
        return CanaryRead(trial.service, trial.operation, end, block, tuple(missed))

    def _counts(self, guard: Guard, trial: _Trial, release: str, end: int) -> Counts | None:
        """Count one release; None when its source breaks, leaves it out, or counts nothing."""
        window_s = trial.plan.every_s
        try:
            metrics = self._metrics[guard.indicator.source]
            found = metrics.counts(objective_of(guard, trial.service, release), (window_s,), end)
        except Exception:  # however it breaks, nothing was read
            return None
        counts = found.get(window_s)
        return counts if counts is not None and sound.is_counts(counts) else None


def _trial(pointer: Pointer) -> _Trial | None:
    trial = pointer.canary
    if trial is None or trial.step < 0 or pointer.pending:
        return None
    since = max(trial.counts_from, trial.until)
    return _Trial(
        pointer.service, trial.operation, trial.release, trial.baseline, trial.plan, since
    )


def objective_of(guard: Guard, service: str, release: str) -> Slo:
    """Ask a guard's question for one release.

    >>> from midwatch.core.values.sli import Indicator
    >>> asked = Indicator("counter", "", good='ok{r="{{.release}}"}', total="all")
    >>> one = objective_of(Guard("errors", 0.01, asked), "shop", "v2")
    >>> one.id, one.indicator.good
    ('canary/shop/errors@v2', 'ok{r="v2"}')
    """
    asked = structs.replace(
        guard.indicator,
        good=guard.indicator.good.replace(RELEASE, release),
        bad=guard.indicator.bad.replace(RELEASE, release),
        total=guard.indicator.total.replace(RELEASE, release),
    )
    name = guard.slo or f"canary/{service}/{guard.name}"
    return Slo(f"{name}@{release}", service, "0.5", period_s=PERIOD_S, indicator=asked)
