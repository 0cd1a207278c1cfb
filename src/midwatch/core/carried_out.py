"""Which runbooks were carried out for an incident, and which of them ended its harm.

Law: a verdict ends a run. A recovery is credited to the newest run alone, and only when one of its
steps had changed something before users were hurt for the last time, none of its steps failed, and
it was neither stopped nor found not to hold. All else is "not by a runbook".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


class Runs:
    """Folds an incident's facts into its runs."""

    def __init__(self, facts: Iterable[Fact], roles: Roles, harms: Iterable[Harm]) -> None:
        self.found: list[Run] = []
        self._roles = roles
        self._ends = [(one.end, one.end_width_s * SECOND) for harm in harms for one in harm.known]
        self._changed_at: int | None = None  # when a step of the newest run began to change things
        self._began_at = 0
        self._proposed: e.PlanProposed | None = None
        self._well_at = 0  # when users were last proven well before
        for fact in facts:
            self._take(fact)

    @property
    def helped(self) -> Run | None:
        """The run that ended the harm, None when none did."""
        last = self.found[-1] if self.found else None
        return last if last is not None and last.verification == RECOVERED else None

    def _take(self, fact: Fact) -> None:
        event = fact.event
        if isinstance(event, e.PlanProposed):
            self._proposed = event
        elif isinstance(event, e.PlanApproved):
            if self._proposed is not None:
                self._approved(self._proposed, event, fact)
        elif isinstance(event, e.ActionWaits) and self.found:
            if event.plan is not None:  # asked again, for other values
                self.found[-1] = structs.replace(self.found[-1], plan=event.plan.hash)
        elif self.found:
            self._happened(self.found[-1], fact)

    def _approved(self, plan: e.PlanProposed, event: e.PlanApproved, fact: Fact) -> None:
        last = self.found[-1] if self.found else None
        if last is not None and last.plan == event.plan_hash and last.verification == OPEN:
            last.events.append(fact.seq)
            return
        who = event.by if event.by.startswith(POLICY) else self._roles.of(event.by)
        self.found.append(
            Run(plan.runbook, plan.version, event.plan_hash, who, [], OPEN, "no verdict yet",
                [fact.seq])
        )  # fmt: skip
        self._changed_at = None

    def _happened(self, run: Run, fact: Fact) -> None:
        """Take what an event says about the newest run."""
        event, at, seq = fact.event, show_time(fact.at), fact.seq
        match event:
            case e.ActionStarted():
                self._began_at = fact.at
                run.steps.append(RunStep(event.step, event.says, "begun", "", at, [seq]))
            case e.RollbackStarted():
                self._began_at = fact.at
                says = f"release.rollback {event.service} {event.bad} -> {event.to}"
                run.steps.append(RunStep("rollback", says, "begun", "", at, [seq]))
            case e.ActionDone() | e.RollbackCompleted():
                if (isinstance(event, e.RollbackCompleted) or event.changed) and (
                    self._changed_at is None
                ):
                    self._changed_at = self._began_at
                _end_step(run, "done", self._roles.own(_seen(event)), seq)
            case e.ActionFailed() | e.RollbackFailed():
                _end_step(run, f"failed, {event.state}", _seen(event), seq)
                if isinstance(event, e.RollbackFailed) or not event.goes_on:
                    self._verdict("failed", event.seen, seq)
            case e.RecoveryMissed():
                self._verdict("missed", event.reason.says, seq)
            case e.PlanStopped() | e.PlanRefused() | e.PlanStopAsked():
                self._stopped(run, event, seq)
            case e.IncidentMitigated():
                self._mitigated(event, fact)
            case e.IncidentReopened():
                if run.verification in (OPEN, RECOVERED):
                    self._end("did not hold", event.reason.says, seq)
            case _:
                pass

    def _stopped(
        self, run: Run, event: e.PlanStopped | e.PlanRefused | e.PlanStopAsked, seq: int
    ) -> None:
        if event.plan_hash == run.plan:  # else it is another one that was refused
            self._verdict("stopped", self._roles.own(event.reason.says), seq)

    def _mitigated(self, event: e.IncidentMitigated, fact: Fact) -> None:
        says = self._roles.own(event.reason.says)
        ended = [one for one in self._ends if self._well_at < one[0] <= fact.at]
        late = self._changed_at is not None and any(
            end == max(ended)[0] and self._changed_at > end + width for end, width in ended
        )
        self._well_at = fact.at
        if self._changed_at is None:
            self._verdict(
                "not by it", f"it had changed nothing when users were well: {says}", fact.seq
            )
        elif late:
            why = "the last harm was counted before it began"
            self._verdict("not by it", f"{why}: {says}", fact.seq)
        else:
            self._verdict(RECOVERED, says, fact.seq)

    def _verdict(self, verdict: str, says: str, seq: int) -> None:
        """End the newest run, unless it has its verdict."""
        if self.found[-1].verification == OPEN:
            self._end(verdict, says, seq)

    def _end(self, verdict: str, says: str, seq: int) -> None:
        run = self.found[-1]
        self.found[-1] = structs.replace(
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
