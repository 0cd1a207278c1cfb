"""Writes a postmortem out of the events of its incident.

Law: the same events give the same document. Each kind of event has one sentence, which needs no
knowledge of midwatch; names of people become roles in the order in which they came in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from msgspec import Struct, structs

from midwatch.core import events as e
from midwatch.core.changes import Change
from midwatch.core.clock import SECOND, show_duration, show_time
from midwatch.core.incidents import Incident
from midwatch.core.judgements import Judgement
from midwatch.core.postmortems import (
    SCHEMA,
    Alerts,
    CaseLeft,
    Cause,
    ChangeBefore,
    Durations,
    Fix,
    Impact,
    Marker,
    Moment,
    Point,
    Postmortem,
    Recurrence,
    Run,
    RunStep,
    Sentence,
    Times,
    Waiver,
)

CHANGE_S = 6 * 3_600  # before the start, in which a change counts as the one before it

E = TypeVar("E")


class Fact(Struct, frozen=True):
    """An event with its place in the journal, and when it was decided (milliseconds)."""

    seq: int
    at: int
    event: e.Event


def write(incident: Incident, facts: Sequence[Fact], lacking: Sequence[str] = ()) -> Postmortem:
    """Write the document of an incident out of the events that are about it, in their order."""
    return _Writer(incident, facts).write(list(lacking))


class _Writer:
    """One incident's events, and what is said of them."""

    def __init__(self, incident: Incident, facts: Sequence[Fact]) -> None:
        self.incident = incident
        self.facts = facts
        self.roles = _roles(facts)
        self._kept_back = {one.key for _, one in self.all(e.PageSent) if one.receipt == e.NOT_SENT}
        names = sorted(self.roles, key=len, reverse=True)
        pattern = "|".join(re.escape(name) for name in names)
        self._names = re.compile(rf"(?<![\w@.-])({pattern})(?![\w@-])") if names else None

    # --- looking ---

    def all(self, kind: type[E]) -> list[tuple[Fact, E]]:
        """List the facts of a kind."""
        found = (one for one in self.facts if isinstance(one.event, kind))
        return [(one, cast("E", one.event)) for one in found]

    def first(self, kind: type[E]) -> tuple[Fact, E] | None:
        """Give the first fact of a kind."""
        return next(iter(self.all(kind)), None)

    def last(self, kind: type[E]) -> tuple[Fact, E] | None:
        """Give the last fact of a kind."""
        return next(reversed(self.all(kind)), None)

    def blameless(self, text: str) -> str:
        """Put roles in the place of names."""
        if self._names is None:
            return text
        return self._names.sub(lambda found: self.roles[found[1]], text)

    # --- writing ---

    def write(self, lacking: list[str]) -> Postmortem:
        i = self.incident
        times, durations = self._times()
        impact = self._impact()
        change = self._change()
        runs = self._runs()
        fix = self._fix()
        return Postmortem(
            SCHEMA, i.id, self.blameless(i.title), i.service_of_plan, i.state, i.severity or "",
            self._summary(durations, impact, change, runs, fix),
            list(dict.fromkeys(self.roles.values())), times, durations, impact, self._alerts(),
            change, self._timeline(), runs, self._judgement(), self._cases(), fix, self._waiver(),
            self._recurrence(), self._curve(), self._markers(change), lacking,
        )  # fmt: skip

    def _moment(self, kind: type[Any]) -> int | None:
        found = self.first(kind)
        return found[0].at if found else None

    def _times(self) -> tuple[Times, Durations]:
        i = self.incident
        burning = self._moment(e.BudgetBurning)
        detected = min([at for at in (burning, i.opened_at) if at is not None])
        mitigated = self.last(e.IncidentMitigated) if i.mitigated_at else None
        moments = {
            "detected": detected,
            "acknowledged": self._moment(e.PageAcknowledged),
            "mitigated": mitigated[0].at if mitigated else None,
            "resolved": self._moment(e.IncidentResolved),
            "closed": self._moment(e.IncidentClosed),
        }
        started = i.first_at

        def since(name: str) -> float | None:
            at = moments[name]
            return None if at is None else round((at - started) / SECOND, 3)

        shown = {name: None if at is None else show_time(at) for name, at in moments.items()}
        return (
            Times(show_time(started), **shown),
            Durations(since("detected"), since("acknowledged"), since("mitigated"),
                      since("resolved")),
        )  # fmt: skip

    def _impact(self) -> Impact:
        drafted = self.first(e.PostmortemDrafted)
        document = drafted[1].document if drafted else {}
        burns = [
            (f.event.burn, f.seq)
            for f in self.facts
            if isinstance(f.event, e.BurnSampled | e.BudgetBurning)
        ]
        peak = max(burns, default=None)
        mitigated = self.last(e.IncidentMitigated)
        recovered, cited = None, [drafted[0].seq] if drafted else []
        if mitigated is not None:
            fact, event = mitigated
            if event.before is not None and event.after is not None:
                recovered = f"SLI recovered {event.before.shown()} -> {event.after.shown()}"
                cited.append(fact.seq)
        cited += [peak[1]] if peak else []
        return Impact(
            document.get("slo"), document.get("objective"), document.get("query"),
            document.get("bad_events"), document.get("valid_events"),
            document.get("budget_spent"), round(peak[0], 4) if peak else None,
            document.get("users"), recovered, sorted(set(cited)),
        )  # fmt: skip

    def _alerts(self) -> Alerts:
        drafted = self.first(e.PostmortemDrafted)
        listed = cast("list[Any]", drafted[1].document.get("causes", []) if drafted else [])
        found = [
            # An older journal has names alone.
            Cause(one, "") if isinstance(one, str) else Cause(one["service"], one["why"])
            for one in listed
        ]
        attached = self.all(e.AlertsAttached) or self.all(e.IncidentOpened)
        cited = [fact.seq for fact, _ in attached]
        services = [one for one in self.incident.services if one]
        return Alerts(self.incident.alert_count, services, found, cited)

    def _change(self) -> ChangeBefore | None:
        """Find the newest change before the start; a release that was rolled back goes first."""
        rolled = self.first(e.RollbackStarted)
        bad = rolled[1].bad if rolled else ""
        best: tuple[Fact, Change] | None = None
        for fact, event in self.all(e.ChangeSeen):
            change = event.change
            if bad and change.to_release == bad:
                best = fact, change
                break
            since = self.incident.first_at - CHANGE_S * SECOND
            if since <= change.at <= self.incident.first_at:
                best = fact, change
        if best is not None:
            fact, one = best
            return ChangeBefore(
                one.service, one.kind, one.from_release, one.to_release, show_time(one.at),
                [fact.seq],
            )  # fmt: skip
        if rolled is not None:
            fact, event = rolled
            return ChangeBefore(
                event.service, "release", event.to, event.bad, show_time(fact.at), [fact.seq]
            )
        return None

    def _summary(
        self,
        durations: Durations,
        impact: Impact,
        change: ChangeBefore | None,
        runs: Sequence[Run],
        fix: Fix | None,
    ) -> list[Sentence]:
        i = self.incident
        burned = self.first(e.BudgetBurning)
        if burned is not None and impact.peak_burn is not None:
            says = f"{i.slo} burned its error budget {impact.peak_burn:.3g} times too fast."
            found = [Sentence(says, sorted({burned[0].seq, *impact.events}))]
        else:
            opened = [fact.seq for fact, _ in self.all(e.IncidentOpened)]
            found = [Sentence(f"{i.speaks_of or 'something'}: {self.blameless(i.title)}.", opened)]
        if impact.valid_events and impact.bad_events is not None:
            says = f"{impact.bad_events} of {impact.valid_events} events were bad"
            if impact.budget_spent is not None:
                says += f", {100 * impact.budget_spent:.2f} % of the whole error budget"
            found.append(Sentence(f"{says}.", impact.events))
        found += self._how_long(durations)
        if change is not None:
            named = f" from {change.before}" if change.before else ""
            to = f" to {change.after}" if change.after else ""
            says = f"Before it came the {change.kind} of {change.service}{named}{to}."
            found.append(Sentence(says, change.events))
        helped = next((run for run in reversed(runs) if run.verification == "recovered"), None)
        if helped is not None:
            says = f"Runbook {helped.runbook} ended the harm: {helped.says}."
            found.append(Sentence(says, helped.events))
        if fix is not None and fix.live_at is not None:
            found.append(Sentence(f"The fix {fix.release} is live.", fix.events))
        return found

    def _how_long(self, durations: Durations) -> list[Sentence]:
        steps: list[tuple[str, float | None, type[Any], type[Any]]] = [
            ("was detected", durations.to_detect, e.BudgetBurning, e.IncidentOpened),
            ("was taken", durations.to_acknowledge, e.PageAcknowledged, e.PageAcknowledged),
            ("was mitigated", durations.to_mitigate, e.IncidentMitigated, e.IncidentMitigated),
        ]
        parts: list[str] = []
        cited: list[int] = []
        for says, seconds, *kinds in steps:
            if seconds is not None:
                parts.append(f"{says} after {show_duration(seconds)}")
                known = (self.first(kind) for kind in kinds)
                cited += [one[0].seq for one in known if one is not None][:1]
        return [Sentence(f"It {', '.join(parts)}.", sorted(set(cited)))] if parts else []

    def _timeline(self) -> list[Moment]:
        found: list[Moment] = []
        for fact in self.facts:
            says = self._conditional(fact.event) or _sentence(fact.event)
            if says:
                found.append(Moment(show_time(fact.at), self.blameless(says), [fact.seq]))
        return found

    def _conditional(self, event: e.Event) -> str:
        """Say what a trial run only would have done, empty of what was done."""
        if isinstance(event, e.PagePlanned) and event.key in self._kept_back:
            return f"{event.to} would have been paged: {event.reason.says}"
        if isinstance(event, e.EscalationExhausted) and self._kept_back:
            return "nobody else would have been paged"
        return ""

    def _runs(self) -> list[Run]:
        found: list[Run] = []
        proposed: e.PlanProposed | None = None
        for fact in self.facts:
            event = fact.event
            if isinstance(event, e.PlanProposed):
                proposed = event
            elif isinstance(event, e.PlanApproved) and proposed is not None:
                if found and found[-1].plan == event.plan_hash:
                    found[-1].events.append(fact.seq)
                    continue
                who = event.by if event.by.startswith("policy ") else self.roles.get(event.by, "")
                found.append(
                    Run(proposed.runbook, proposed.version, event.plan_hash, who, [],
                        "inconclusive", "no verdict yet", [fact.seq])
                )  # fmt: skip
            elif isinstance(event, e.ActionWaits) and event.plan is not None and found:
                found[-1] = structs.replace(found[-1], plan=event.plan.hash)
            elif found:
                found[-1] = self._on_run(found[-1], fact)
        return found

    def _on_run(self, run: Run, fact: Fact) -> Run:
        """Take what an event says about the newest run."""
        event, at = fact.event, show_time(fact.at)
        match event:
            case e.ActionStarted():
                run.steps.append(RunStep(event.step, event.says, "begun", "", at, [fact.seq]))
            case e.RollbackStarted():
                says = f"release.rollback {event.service} {event.bad} -> {event.to}"
                run.steps.append(RunStep("rollback", says, "begun", "", at, [fact.seq]))
            case e.ActionDone() | e.RollbackCompleted():
                _end_step(run, "done", self.blameless(_seen(event)), fact.seq)
            case e.ActionFailed() | e.RollbackFailed():
                _end_step(run, f"failed, {event.state}", self.blameless(_seen(event)), fact.seq)
            case e.RecoveryJudged():
                return _verified(run, event.verdict, event.reason.says, fact.seq)
            case e.RecoveryMissed():
                return _verified(run, "missed", event.reason.says, fact.seq)
            case e.IncidentMitigated():
                return _verified(run, "recovered", event.reason.says, fact.seq)
            case e.IncidentReopened():
                return _verified(run, "did not hold", event.reason.says, fact.seq)
            case e.PlanStopped() | e.PlanRefused():
                return _verified(run, "stopped", self.blameless(event.reason.says), fact.seq)
            case _:
                pass
        return run

    def _judgement(self) -> Judgement:
        """Give what a person wrote, last."""
        edited = self.last(e.PostmortemEdited)
        return edited[1].judgement if edited else Judgement()

    def _cases(self) -> list[CaseLeft]:
        found: dict[str, CaseLeft] = {}
        for fact in self.facts:
            event = fact.event
            if isinstance(event, e.RegressionCaseDrafted):
                found[event.case.id] = CaseLeft(
                    event.case.id, "drafted", event.case.question, "", "", 0, 0, 0, 0,
                    event.reason.says, [fact.seq],
                )  # fmt: skip
            elif isinstance(event, e.RegressionCaseAdmitted):
                on = {name: [o.status for o in event.evidence if o.release == name]
                      for name in (event.bad, event.good)}  # fmt: skip
                found[event.case.id] = CaseLeft(
                    event.case.id, "admitted", event.case.question, event.bad, event.good,
                    on[event.bad].count("failed"), len(on[event.bad]),
                    on[event.good].count("passed"), len(on[event.good]), event.reason.says,
                    [fact.seq],
                )  # fmt: skip
            elif isinstance(event, e.RegressionCaseRefused) and event.case in found:
                found[event.case] = structs.replace(
                    found[event.case], state="refused", says=event.reason.says, events=[fact.seq]
                )
        return list(found.values())

    def _fix(self) -> Fix | None:
        judged = self.last(e.CanaryJudged)
        if judged is None:
            return None
        fact, event = judged
        promoted = self.last(e.FixPromoted)
        live = promoted is not None and promoted[1].release == event.release
        cited = [fact.seq] + ([promoted[0].seq] if promoted is not None and live else [])
        live_at = show_time(promoted[0].at) if promoted is not None and live else None
        return Fix(event.release, event.verdict, event.reason.says, live_at, cited)

    def _waiver(self) -> Waiver | None:
        granted = self.last(e.WaiverGranted)
        if granted is None:
            return None
        fact, event = granted
        owner = self.blameless(event.owner)
        return Waiver(self.blameless(event.why), owner, show_time(event.ends_at), [fact.seq])

    def _recurrence(self) -> Recurrence | None:
        recurred = self.last(e.IncidentRecurred)
        if recurred is None:
            return None
        fact, event = recurred
        return Recurrence(event.of, self.blameless(event.reason.says), [fact.seq])

    def _curve(self) -> list[Point]:
        found: list[Point] = []
        for fact in self.facts:
            if isinstance(fact.event, e.BurnSampled):
                one = fact.event
                found.append(
                    Point(show_time(fact.at), one.counts.good, one.counts.total, one.burn, fact.seq)
                )
        return found

    def _markers(self, change: ChangeBefore | None) -> list[Marker]:
        found: list[Marker] = []
        if change is not None:
            after = f" {change.after}" if change.after else ""
            found.append(Marker(change.at, change.kind, f"{change.kind}{after}", change.events[0]))
        kinds: list[tuple[type[Any], str, str]] = [
            (e.PageSent, "page", "no page, in shadow" if self._kept_back else "page"),
            (e.PageAcknowledged, "ack", "taken"),
            (e.RollbackCompleted, "mitigation", "rollback"),
            (e.ActionDone, "mitigation", "step"),
            (e.IncidentMitigated, "recovery", "well again"),
        ]
        for kind, name, says in kinds:
            for fact, event in self.all(kind):
                step = event.step if isinstance(event, e.ActionDone) and event.changed else ""
                if step or kind is not e.ActionDone:
                    found.append(Marker(show_time(fact.at), name, step or says, fact.seq))
        return sorted(found, key=lambda one: one.at)


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


def _verified(run: Run, verdict: str, says: str, seq: int) -> Run:
    return structs.replace(run, verification=verdict, says=says, events=[*run.events, seq])


def _roles(facts: Iterable[Fact]) -> dict[str, str]:
    """Name a role for each person who had to do with it, in the order of their coming in."""
    names: dict[str, None] = {}
    for fact in facts:
        event = fact.event
        told = getattr(event, "reason", None)
        spoke = str(told.terms.get("by", "")) if told is not None else ""
        for name in (getattr(event, "to", ""), getattr(event, "by", ""), spoke):
            is_release = isinstance(event, e.RollbackStarted | e.RollbackCompleted)
            moved = isinstance(event, e.AlertsMoved)
            if name and not is_release and not moved and not name.startswith("policy "):
                names[name] = None
    listed = list(names)
    if len(listed) == 1:
        return {listed[0]: "the responder"}
    return {name: f"responder {number}" for number, name in enumerate(listed, start=1)}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_SAY: dict[type, Callable[[Any], str]] = {
    e.IncidentOpened: lambda x: f"{x.incident} was opened: {x.title}",
    e.AlertsAttached: lambda x: (
        f"{_count(len(x.attached), 'alert')} joined, such as {x.attached[0].alert.name or 'one'}"
        f" on {x.attached[0].alert.service or 'an unknown service'}"
    ),
    e.AlertsResolved: lambda x: f"{_count(len(x.fingerprints), 'alert')} ended",
    e.AlertsMoved: lambda x: f"{_count(len(x.fingerprints), 'alert')} moved to {x.to}",
    e.IncidentMerged: lambda x: f"it was merged into {x.into}",
    e.MergeUndone: lambda x: "the merge was undone",
    e.TicketLinked: lambda x: "somebody reported it",
    e.BudgetBurning: lambda x: f"{x.slo}: {x.reason.says}",
    e.BudgetCalm: lambda x: f"{x.slo} burns no longer",
    e.SeverityDeclared: lambda x: f"declared {x.severity}: {x.reason.says}",
    e.PagePlanned: lambda x: f"{x.to} was paged: {x.reason.says}",
    e.PageFailed: lambda x: f"a page failed, try {x.attempt}: {x.error}",
    e.EscalationExhausted: lambda x: "everybody was paged and nobody answered",
    e.IncidentReassigned: lambda x: f"handed to {x.to}",
    e.PageAcknowledged: lambda x: f"{x.by} took it",
    e.AckWithdrawn: lambda x: f"people were wanted again: {x.reason.says}",
    e.PageSnoozed: lambda x: f"{x.by} has it until {show_time(x.until)}",
    e.NoRunbook: lambda x: f"no plan: {x.reason.says}",
    e.PlanProposed: lambda x: f"runbook {x.runbook} v{x.version} was proposed, plan {x.plan_hash}",
    e.PlanApproved: lambda x: f"{x.by} approved plan {x.plan_hash}",
    e.PlanRefused: lambda x: f"plan {x.plan_hash} was refused: {x.reason.says}",
    e.PlanStopped: lambda x: f"plan {x.plan_hash} was stopped: {x.reason.says}",
    e.PlanStopAsked: lambda x: f"{x.by} stops plan {x.plan_hash}: {x.reason.says}",
    e.ActionStarted: lambda x: f"step {x.step} began: {x.says}",
    e.ActionDone: lambda x: f"step {x.step} was done: {x.seen}",
    e.ActionFailed: lambda x: f"step {x.step} failed ({x.state}): {x.seen}",
    e.ActionWaits: lambda x: f"a person was asked: {x.reason.says}",
    e.RollbackStarted: lambda x: f"the rollback of {x.service} from {x.bad} to {x.to} began",
    e.RollbackRefused: lambda x: f"no rollback: {x.reason.says}",
    e.RollbackCompleted: lambda x: f"{x.service} serves {x.to} again: {x.seen}",
    e.RollbackFailed: lambda x: f"the rollback failed ({x.state}): {x.seen}",
    e.RecoveryJudged: lambda x: f"recovery {x.verdict}: {x.reason.says}",
    e.ObjectiveJudged: lambda x: f"{x.slo} {x.verdict}: {x.reason.says}",
    e.WaitTold: lambda x: f"who had it was told: {x.reason.says}",
    e.RecoveryMissed: lambda x: f"no recovery in time: {x.reason.says}",
    e.IncidentMitigated: lambda x: f"users were well again: {x.reason.says}",
    e.IncidentReopened: lambda x: f"it did not hold: {x.reason.says}",
    e.PostmortemDrafted: lambda x: "the facts were written down",
    e.PostmortemEdited: lambda x: "somebody wrote what they make of it",
    e.IncidentRecurred: lambda x: x.reason.says,
    e.RegressionCaseDrafted: lambda x: f"case {x.case.id} was drafted: {x.reason.says}",
    e.RegressionCaseAdmitted: lambda x: f"case {x.case.id} was admitted: {x.reason.says}",
    e.RegressionCaseRefused: lambda x: f"case {x.case} was refused: {x.reason.says}",
    e.WaiverGranted: lambda x: f"a waiver by {x.owner} until {show_time(x.ends_at)}: {x.why}",
    e.FixProposed: lambda x: f"fix {x.release} was proposed, beside {x.baseline}",
    e.FixRefused: lambda x: f"fix {x.release} was not tried: {x.reason.says}",
    e.FixEligible: lambda x: f"fix {x.release} went on to live traffic: {x.reason.says}",
    e.FixWithdrawn: lambda x: f"fix {x.release} was withdrawn: {x.reason.says}",
    e.CanaryJudged: lambda x: f"fix {x.release}: {x.verdict}, {x.reason.says}",
    e.FixPromoted: lambda x: f"fix {x.release} is live: {x.seen}",
    e.PromotionFailed: lambda x: f"the promotion failed ({x.state}): {x.seen}",
    e.GateJudged: lambda x: f"gate {x.verdict} on {x.release}: {x.reason.says}",
    e.IncidentResolved: lambda x: f"resolved: {x.reason.says}",
    e.IncidentClosed: lambda x: f"closed: {x.reason.says}",
    e.ChangeSeen: lambda x: (
        f"{x.change.kind} of {x.change.service}"
        + (f" from {x.change.from_release}" if x.change.from_release else "")
        + (f" to {x.change.to_release}" if x.change.to_release else "")
    ),
}


def _sentence(event: e.Event) -> str:
    """Say an event in words that need no knowledge of midwatch; empty for what is no news."""
    say = _SAY.get(type(event))
    return say(event) if say else ""
