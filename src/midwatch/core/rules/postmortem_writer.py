"""Writes a postmortem out of the events of its incident.

Law: the same events give the same document, and what comes after the incident was closed changes no
figure. The timeline has the order in which things happened, not that in which they were noticed.
Each kind of event has one sentence; people become roles in the order in which they came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from msgspec import structs

from midwatch.core.rules.carried_out import Fact, Runs, newest_harms
from midwatch.core.rules.sentences import Roles, sentence
from midwatch.core.state import events as e
from midwatch.core.state.incidents import Incident, began, title_of
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.postmortems import (
    SCHEMA,
    Alerts,
    CaseLeft,
    Cause,
    ChangeBefore,
    Curve,
    Durations,
    Fix,
    Impact,
    Lost,
    Marker,
    Moment,
    Point,
    Postmortem,
    Recurrence,
    Sentence,
    Times,
    Waiver,
)

MOST_CURVES = 4
CHANGE_S = 6 * 3_600  # before the start, in which a change counts as the one before it

_UNKNOWN: dict[str, Any] = {
    "slo": "", "objective": None, "query": None, "started": None, "ended": None,
    "start_width_s": None, "end_width_s": None, "outages": 1, "bad_events": None,
    "valid_events": None, "share": None, "budget_spent": None, "says": "", "allowed": None,
    "seen_s": None,
}  # fmt: skip

# What is told of an incident that was merged into another one, in that one's postmortem.
_OF_A_PART = (
    e.IncidentOpened, e.AlertsAttached, e.AlertsResolved, e.TicketLinked, e.SeverityDeclared,
    e.PagePlanned, e.PageSent, e.PageFailed, e.EscalationExhausted, e.PageAcknowledged,
    e.AckWithdrawn, e.PageSnoozed, e.IncidentMerged,
)  # fmt: skip

E = TypeVar("E")


def part_of(facts: Sequence[Fact]) -> list[Fact]:
    """Choose what is told of a part elsewhere: how it came, until it was merged."""
    merged = [n for n, one in enumerate(facts) if isinstance(one.event, e.IncidentMerged)]
    until = merged[-1] + 1 if merged else 0
    return [one for one in facts[:until] if isinstance(one.event, _OF_A_PART)]


def write(incident: Incident, facts: Sequence[Fact], lacking: Sequence[str] = ()) -> Postmortem:
    """Write the document of an incident out of the events that are about it, in their order."""
    writer = _Writer(incident, facts)
    if incident.state == "merged":
        return writer.write_pointer()
    return writer.write(list(lacking))


class _Writer:
    """One incident's events, and what is said of them."""

    def __init__(self, incident: Incident, facts: Sequence[Fact]) -> None:
        self.incident = incident
        self.all_facts = facts
        closed = [n for n, one in enumerate(facts) if isinstance(one.event, e.IncidentClosed)]
        # What comes after closing is told, and changes no figure.
        self.facts = facts[: closed[0] + 1] if closed else facts
        self.roles = Roles(one.event for one in facts)
        self.harms = newest_harms(self.facts)
        harms = {slo: harm for slo, (_, harm) in self.harms.items()}
        self._runs = Runs(self.facts, self.roles, harms)
        self._kept_back = {one.key for _, one in self.all(e.PageSent) if one.receipt == e.NOT_SENT}

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

    # --- writing ---

    def write(self, lacking: list[str]) -> Postmortem:
        i = self.incident
        runs = self._runs
        impact = self._impact()
        times, durations = self._times(impact)
        change = self._change()
        fix = self._fix()
        curves = self._curves()
        first = next((one.points for one in curves if one.slo == i.slo), list[Point]())
        return Postmortem(
            SCHEMA, i.id, i.title, i.service_of_plan, i.state, i.severity or "",
            self._summary(durations, impact, change, runs, fix),
            self.roles.listed, times, durations, impact, self._alerts(),
            change, self._timeline(), runs.found, self._judgement(), self._cases(), fix,
            self._waiver(), self._recurrence(), first, self._markers(change), lacking, i.edits,
            curves[:MOST_CURVES], max(len(curves) - MOST_CURVES, 0),
        )  # fmt: skip

    def write_pointer(self) -> Postmortem:
        """Point to the incident that it goes on in: its harm is told there, and there alone."""
        i, facts = self.incident, self.all(e.IncidentMerged)[-1:]
        nothing = Impact(None, None, None, None, None, None, None, None, None, [])
        times, durations = self._times(nothing)
        says = f"{i.id} is part of {i.merged_into}: its harm is told in the postmortem of that."
        cited = [fact.seq for fact, _ in facts]
        return Postmortem(
            SCHEMA, i.id, i.title, i.service_of_plan, i.state, i.severity or "",
            [Sentence(says, cited)], self.roles.listed, times, durations, nothing,
            Alerts(0, [], [], cited), None,
            [Moment(show_time(one.at), f"it was merged into {i.merged_into}", [one.seq])
             for one, _ in facts],
            [], self._judgement(), [], None, None, None, [], [], [], i.edits,
        )  # fmt: skip

    def _moment(self, kind: type[Any]) -> int | None:
        found = self.first(kind)
        return found[0].at if found else None

    def _times(self, impact: Impact) -> tuple[Times, Durations]:
        i = self.incident
        started = began(i)
        burning = self._moment(e.BudgetBurning)
        opened = [fact.at for fact, _ in self.all(e.IncidentOpened)]
        detected = min([at for at in (burning, i.opened_at, *opened) if at is not None])
        mitigated = self.last(e.IncidentMitigated) if i.mitigated_at else None
        resolved = self.last(e.IncidentResolved)
        paged = [fact.at for fact, one in self.all(e.PageSent) if one.receipt != e.NOT_SENT]
        planned = self._moment(e.PagePlanned) if not self._kept_back else None
        moments = {
            "detected": detected,
            "paged": paged[0] if paged else planned,
            "acknowledged": self._moment(e.PageAcknowledged),
            "mitigated": mitigated[0].at if mitigated else None,
            "resolved": resolved[0].at if resolved else None,
            "closed": self._moment(e.IncidentClosed),
        }

        def since(name: str, from_: int | None = started) -> float | None:
            at = moments[name]
            if at is None or from_ is None:
                return None
            return round(max(at - from_, 0) / SECOND, 3)

        shown = {name: None if at is None else show_time(at) for name, at in moments.items()}
        return (
            Times(show_time(started), **shown),
            Durations(
                since("detected"), since("acknowledged", moments["paged"]), since("mitigated"),
                since("resolved"), since("paged"),
            ),
        )  # fmt: skip

    def _impact(self) -> Impact:
        drafted = self.last(e.PostmortemDrafted)
        document = drafted[1].document if drafted else {}
        cited = [drafted[0].seq] if drafted else []
        lost = [self._lost(one, cited) for one in document.get("objectives", [])]
        if not document:  # it is not mitigated yet: what is known so far
            lost = [self._so_far(name) for name in self.incident.slos]
        elif not lost and document.get("slo"):  # a journal of midwatch 0.1.0
            lost = [self._lost({**_UNKNOWN, **document}, cited)]
        mitigated = self.last(e.IncidentMitigated)
        recovered = None
        if mitigated is not None and len(lost) < 2:
            fact, event = mitigated
            if event.before is not None and event.after is not None:
                recovered = f"SLI recovered {event.before.shown()} -> {event.after.shown()}"
                cited = [*cited, fact.seq]
        first = lost[0] if lost else None
        cited += [seq for one in lost for seq in one.events]
        return Impact(
            first and first.slo, first and first.objective, first and first.query,
            first and first.bad_events, first and first.valid_events,
            first and first.budget_spent, first and first.peak_burn,
            document.get("users"), recovered, sorted(set(cited)), lost,
        )  # fmt: skip

    def _lost(self, one: dict[str, Any], cited: list[int]) -> Lost:
        """Read what a draft says of an objective."""
        told: dict[str, Any] = {name: one.get(name) for name in _UNKNOWN}
        for name in ("started", "ended"):
            told[name] = show_time(told[name]) if told[name] is not None else None
        peak, peaks = self._peak(one["slo"])
        run = self._runs.ended(one["slo"])
        return Lost(
            **told, peak_burn=peak, events=sorted({*cited, *peaks}),
            ended_by=run.runbook if run else "",
        )  # fmt: skip

    def _so_far(self, name: str) -> Lost:
        found = self.harms.get(name)
        known = found[1].known if found else []
        counts = found[1].counts if found and known else None
        more = {"slo": name, "outages": len(self.incident.outages.get(name, ()))}
        if found and counts:
            more |= {
                "started": known[0].start, "start_width_s": known[0].start_width_s,
                "bad_events": counts.bad, "valid_events": counts.total,
            }  # fmt: skip
        return self._lost({**_UNKNOWN, **more}, [found[0].seq] if found else [])

    def _peak(self, slo: str) -> tuple[float | None, list[int]]:
        """Give the fastest burn of an objective, and what says it."""
        burns = [
            (f.event.burn, f.seq)
            for f in self.facts
            if isinstance(f.event, e.BurnSampled | e.BudgetBurning)
            and (f.event.slo or self.incident.slo) == slo
        ]
        peak = max(burns, default=None)
        return (round(peak[0], 4), [peak[1]]) if peak else (None, [])

    def _alerts(self) -> Alerts:
        drafted = self.last(e.PostmortemDrafted)
        listed = cast("list[Any]", drafted[1].document.get("causes", []) if drafted else [])
        found = [
            # An older journal has names alone.
            Cause(one, "") if isinstance(one, str) else Cause(one["service"], one["why"])
            for one in listed
        ]
        attached = self.all(e.AlertsAttached) or self.all(e.IncidentOpened)
        cited = [fact.seq for fact, _ in attached]
        i, parts = self.incident, self.incident.parts.values()
        named = (*i.services, *(service for one in parts for service in one.services))
        services = [one for one in dict.fromkeys(named) if one]
        count = i.alert_count + sum(one.alerts for one in parts)
        return Alerts(count, services, found, cited)

    def _change(self) -> ChangeBefore | None:
        """Find the newest change before the start; a release that was rolled back goes first."""
        rolled = self.first(e.RollbackStarted)
        bad = (rolled[1].service, rolled[1].bad) if rolled else None
        best: tuple[Fact, Change] | None = None
        for fact, event in self.all(e.ChangeSeen):
            change = event.change
            if (change.service, change.to_release) == bad:
                best = fact, change
                break
            start, newest = began(self.incident), best[1].at if best else change.at
            if start - CHANGE_S * SECOND <= change.at <= start and change.at >= newest:
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
        runs: Runs,
        fix: Fix | None,
    ) -> list[Sentence]:
        i = self.incident
        found: list[Sentence] = []
        for one in impact.objectives:
            burned = next((f.seq for f, x in self.all(e.BudgetBurning) if x.slo == one.slo), None)
            if one.peak_burn is not None and burned is not None:
                says = f"{one.slo} burned its error budget {one.peak_burn:.3g} times too fast"
                if one.valid_events and one.bad_events is not None:
                    says += f": {one.bad_events} of {one.valid_events} events were bad"
                    says += f", {one.says}" if one.says else ""
                found.append(Sentence(f"{says}.", sorted({burned, *one.events})))
        if not found:
            opened = [fact.seq for fact, _ in self.all(e.IncidentOpened)]
            says = f"{i.speaks_of or 'something'}: {i.title}."
            found = [Sentence(says, opened)]
        found += self._how_long(durations)
        if change is not None:
            named = f" from {change.before}" if change.before else ""
            to = f" to {change.after}" if change.after else ""
            says = f"Before it came the {change.kind} of {change.service}{named}{to}."
            found.append(Sentence(says, change.events))
        mitigated = self.last(e.IncidentMitigated)
        if mitigated is not None and i.mitigated_at:
            found += self._ended(runs, mitigated[0].seq, mitigated[1])
        if fix is not None and fix.live_at is not None:
            found.append(Sentence(f"The fix {fix.release} is live.", fix.events))
        return found

    def _ended(self, runs: Runs, seq: int, event: e.IncidentMitigated) -> Iterator[Sentence]:
        """Say what ended the harm: one sentence when all ended alike, else of each objective."""
        by = {slo: runs.ended(slo) for slo in runs.credits}
        why = self.roles.own(event.reason.says)
        first = next(iter(by.values()), None)
        if all(run is first for run in by.values()):
            if first is not None:
                yield Sentence(
                    f"Runbook {first.runbook} ended the harm: {first.says}.", first.events
                )
            else:
                yield Sentence(f"It ended, not by a runbook: {why}.", [seq])
            return
        for slo, run in by.items():
            if run is not None:
                says = f"Runbook {run.runbook} ended the harm of {slo}."
                yield Sentence(says, run.events)
            else:
                yield Sentence(f"The harm of {slo} ended, not by a runbook.", [seq])

    def _how_long(self, durations: Durations) -> list[Sentence]:
        steps: list[tuple[str, float | None, type[Any], type[Any]]] = [
            ("was detected", durations.to_detect, e.BudgetBurning, e.IncidentOpened),
            ("was paged", durations.to_page, e.PageSent, e.PagePlanned),
            ("was mitigated", durations.to_mitigate, e.IncidentMitigated, e.IncidentMitigated),
        ]
        taken, waited = self.first(e.PageAcknowledged), durations.to_acknowledge
        parts: list[str] = []
        cited: list[int] = []
        for says, seconds, *kinds in steps:
            if seconds is not None:
                parts.append(f"{says} after {show_duration(seconds)}")
                known = (self.first(kind) for kind in kinds)
                cited += [one[0].seq for one in known if one is not None][:1]
            if says == "was paged" and taken is not None and waited is not None:
                parts.append(f"was acknowledged {show_duration(waited)} after the page")
                cited.append(taken[0].seq)
        return [Sentence(f"It {', '.join(parts)}.", sorted(set(cited)))] if parts else []

    def _timeline(self) -> list[Moment]:
        """Tell what happened in the order in which it did: each thing at its own time."""
        found = [*self._begins()]
        reported: set[str] = set()
        for number, fact in enumerate(self.all_facts):
            if isinstance(fact.event, e.TicketLinked):
                if fact.event.ticket in reported:  # a merge links it again
                    continue
                reported.add(fact.event.ticket)
            says = self._conditional(fact.event) or sentence(fact.event, self.roles)
            if says:
                late = "after closing: " if number >= len(self.facts) else ""
                at = fact.event.change.at if isinstance(fact.event, e.ChangeSeen) else fact.at
                found.append((at, fact.seq, f"{late}{says}"))
        found.sort(key=lambda one: one[:2])
        return [Moment(show_time(at), says, [seq]) for at, seq, says in found]

    def _begins(self) -> Iterator[tuple[int, int, str]]:
        """Tell what nobody noticed when it happened: the first alert, and each harm's edges."""
        alerts = [
            (one.alert.starts_at, fact.seq, title_of(one.alert.name, one.alert.service))
            for fact, event in self.all(e.AlertsAttached)
            for one in event.attached
        ]
        if alerts:
            at, seq, title = min(alerts)
            yield at, seq, f"the first alert began: {title}"
        for slo, (fact, harm) in self.harms.items():
            for one in harm.known:
                if one.total > one.good:
                    width = show_duration(one.start_width_s)
                    yield one.start, fact.seq, f"{slo}: users began to be hurt, within {width}"
                    if one.end < fact.at:
                        yield one.end, fact.seq, f"{slo}: the last harm that was counted"

    def _conditional(self, event: e.Event) -> str:
        """Say what a trial run only would have done, empty of what was done."""
        if isinstance(event, e.PagePlanned) and event.key in self._kept_back:
            to = self.roles.of(event.to)
            return f"{to} would have been paged: {self.roles.own(event.reason.says)}"
        if isinstance(event, e.IncidentMerged) and event.incident != self.incident.id:
            return f"{event.incident} was merged into it"
        if isinstance(event, e.EscalationExhausted) and self._kept_back:
            return "nobody else would have been paged"
        return ""

    def _judgement(self) -> Judgement:
        """Give what a person wrote, last."""
        edited = [one.event for one in self.all_facts if isinstance(one.event, e.PostmortemEdited)]
        return edited[-1].judgement if edited else Judgement()

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
        owner = self.roles.of(event.owner)
        return Waiver(event.why, owner, show_time(event.ends_at), [fact.seq])

    def _recurrence(self) -> Recurrence | None:
        recurred = self.last(e.IncidentRecurred)
        if recurred is None:
            return None
        fact, event = recurred
        return Recurrence(event.of, event.reason.says, [fact.seq])

    def _curves(self) -> list[Curve]:
        """List how each objective burned, in the order in which they did."""
        found: dict[str, list[Point]] = {slo: [] for slo in self.incident.slos}
        for fact in self.facts:
            one = fact.event
            if isinstance(one, e.BurnSampled):
                slo = one.slo or self.incident.slo
                point = Point(
                    show_time(fact.at), one.counts.good, one.counts.total, one.burn, fact.seq
                )
                found.setdefault(slo, []).append(point)
        return [Curve(slo, points) for slo, points in found.items() if points]

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
