"""Which runbooks were carried out for an incident, and which of them ended its harm.

Law: a verdict ends a run. A recovery is credited to the newest run and to those that objectives of
their own prove, and only when a step had changed something before users were hurt for the last
time, none failed, and it was neither stopped nor found not to hold. All else is "not by a runbook".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, structs

from midwatch.core import events as e
from midwatch.core.clock import SECOND, show_time
from midwatch.core.postmortems import Run, RunStep
from midwatch.core.sentences import POLICY, Roles
from midwatch.core.sli import Harm

OPEN = "inconclusive"
RECOVERED = "recovered"


class Fact(Struct, frozen=True):
    """An event with its place in the journal, and when it was decided (milliseconds)."""

    seq: int
    at: int
    event: e.Event


class _Begun(Struct):
    """What is known of a run beside what people are shown."""

    proofs: tuple[str, ...] = ()
    began_at: int = 0  # its newest step
    changed_at: int | None = None  # when a step began to change things, the first one

    def note(self, event: e.ActionDone | e.RollbackCompleted) -> None:
        """Take that its newest step is done."""
        changes = isinstance(event, e.RollbackCompleted) or event.changed
        if changes and self.changed_at is None:
            self.changed_at = self.began_at


class Runs:
    """Folds an incident's facts into its runs; `harms` are by objective."""

    def __init__(self, facts: Iterable[Fact], roles: Roles, harms: Mapping[str, Harm]) -> None:
        self.found: list[Run] = []
        self._begun: list[_Begun] = []  # of each of those
        self._roles = roles
        self._ends = {
            slo: [(one.end, one.end_width_s * SECOND) for one in harm.known]
            for slo, harm in harms.items()
        }
        self._proposed: dict[str, e.PlanProposed] = {}
        self._well_at = 0  # when users were last proven well before
        for fact in facts:
            self._take(fact)

    @property
    def helped(self) -> list[Run]:
        """The runs that ended the harm, each of its own objectives; none when none did."""
        return [one for one in self.found if one.verification == RECOVERED]

    def _take(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, e.PlanProposed):
            self._proposed.pop(event.plan_hash, None)
            self._proposed[event.plan_hash] = event
        elif isinstance(event, e.PlanApproved):
            self._approved(event, fact)
        elif isinstance(event, e.IncidentMitigated):
            self._mitigated(event, fact)
        elif isinstance(event, e.IncidentReopened):
            for place, run in enumerate(self.found):
                newest = place == len(self.found) - 1 and run.verification == OPEN
                if newest or run.verification == RECOVERED:
                    self._end(place, "did not hold", event.reason.says, fact.seq)
        elif self.found:
            self._happened(fact)

    def _place_of(self, plan_hash: str) -> int | None:
        """Find the newest run of a plan; without a hash, as in older journals, the newest one."""
        places = range(len(self.found) - 1, -1, -1)
        if not plan_hash:
            return len(self.found) - 1 if self.found else None
        return next((one for one in places if self.found[one].plan == plan_hash), None)

    def _approved(self, event: e.PlanApproved, fact: Fact) -> None:
        place = self._place_of(event.plan_hash)
        if place is not None and self.found[place].verification == OPEN:
            self.found[place].events.append(fact.seq)
            return
        last = next(reversed(self._proposed.values()), None)
        plan = self._proposed.get(event.plan_hash, last)
        if plan is None:
            return
        who = event.by if event.by.startswith(POLICY) else self._roles.of(event.by)
        self.found.append(
            Run(plan.runbook, plan.version, event.plan_hash, who, [], OPEN, "no verdict yet",
                [fact.seq])
        )  # fmt: skip
        self._begun.append(_Begun(plan.plan.proofs if plan.plan else ()))

    def _happened(self, fact: Fact) -> None:
        """Take what an event says about the run that it names."""
        event, at, seq = fact.event, show_time(fact.at), fact.seq
        place = self._place_of(getattr(event, "plan_hash", ""))
        if place is None:
            return  # a plan that nobody approved
        run, begun = self.found[place], self._begun[place]
        match event:
            case e.ActionWaits():
                if event.plan is not None:  # asked again, for other values
                    self.found[place] = structs.replace(run, plan=event.plan.hash)
            case e.ActionStarted():
                begun.began_at = fact.at
                run.steps.append(RunStep(event.step, event.says, "begun", "", at, [seq]))
            case e.RollbackStarted():
                begun.began_at = fact.at
                says = f"release.rollback {event.service} {event.bad} -> {event.to}"
                run.steps.append(RunStep("rollback", says, "begun", "", at, [seq]))
            case e.ActionDone() | e.RollbackCompleted():
                begun.note(event)
                _end_step(run, "done", self._roles.own(_seen(event)), seq)
            case e.ActionFailed() | e.RollbackFailed():
                _end_step(run, f"failed, {event.state}", _seen(event), seq)
                if isinstance(event, e.RollbackFailed) or not event.goes_on:
                    self._verdict(place, "failed", event.seen, seq)
            case e.RecoveryMissed():
                self._verdict(place, "missed", event.reason.says, seq)
            case e.PlanStopped() | e.PlanRefused() | e.PlanStopAsked():
                self._verdict(place, "stopped", self._roles.own(event.reason.says), seq)
            case _:
                pass

    def _mitigated(self, event: e.IncidentMitigated, fact: Fact) -> None:
        """Judge the newest run, and those before it that other objectives prove."""
        says = self._roles.own(event.reason.says)
        newer: set[str] = set()
        for place in range(len(self.found) - 1, -1, -1):
            run, begun = self.found[place], self._begun[place]
            own = set(begun.proofs)
            if place < len(self.found) - 1 and (not own or not newer or own & newer):
                break  # whoever is well may be so by the newer one
            newer |= own
            if run.verification != OPEN:
                continue
            if begun.changed_at is None:
                why = f"it had changed nothing when users were well: {says}"
                self._end(place, "not by it", why, fact.seq)
            elif self._is_late(begun, fact):
                why = "the last harm was counted before it began"
                self._end(place, "not by it", f"{why}: {says}", fact.seq)
            else:
                self._end(place, RECOVERED, says, fact.seq)
        self._well_at = fact.at

    def _is_late(self, begun: _Begun, fact: Fact) -> bool:
        """Say whether the last harm of what proves a run was counted before the run began."""
        mine = [slo for slo in begun.proofs if slo in self._ends] or list(self._ends)
        ended = [
            one for slo in mine for one in self._ends[slo] if self._well_at < one[0] <= fact.at
        ]
        return begun.changed_at is not None and any(
            end == max(ended)[0] and begun.changed_at > end + width for end, width in ended
        )

    def _verdict(self, place: int, verdict: str, says: str, seq: int) -> None:
        """End a run, unless it has its verdict."""
        if self.found[place].verification == OPEN:
            self._end(place, verdict, says, seq)

    def _end(self, place: int, verdict: str, says: str, seq: int) -> None:
        run = self.found[place]
        self.found[place] = structs.replace(
            run, verification=verdict, says=says, events=[*run.events, seq]
        )


def _seen(
    event: e.ActionDone | e.ActionFailed | e.RollbackCompleted | e.RollbackFailed,
) -> str:
    """Say what was seen; what a program wrote only when its step keeps it."""
    if isinstance(event, e.ActionDone | e.ActionFailed) and event.keeps and event.output:
        return f"{event.seen}; it wrote: {event.output}"
    return event.seen


def _end_step(run: Run, state: str, seen: str, seq: int) -> None:
    if run.steps:
        last = run.steps[-1]
        run.steps[-1] = structs.replace(last, state=state, seen=seen, events=[*last.events, seq])


def newest_harms(facts: Sequence[Fact]) -> dict[str, tuple[Fact, Harm]]:
    """Give what each objective lost as it was measured last, with the fact that says it."""
    found: dict[str, tuple[Fact, Harm]] = {}
    for fact in facts:
        if isinstance(fact.event, e.HarmMeasured):
            found[fact.event.slo] = fact, fact.event.harm
    return found
