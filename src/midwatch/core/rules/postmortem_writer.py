"""Writes a postmortem out of the events of its incident.

Law: the same events give the same document, and what comes after the incident was closed changes no
figure. A sentence names the events that say it: those of the moments, the title and the change that
it tells. People become roles in the order in which they came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from msgspec import structs

from midwatch.core.rules.carried_out import Fact, Runs, newest_harms, proof, whole
from midwatch.core.rules.sentences import Roles
from midwatch.core.rules.timeline import Pages, Timeline
from midwatch.core.state import events as e
from midwatch.core.state.incidents import Incident, began, distinct_alerts
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.keys import service_of
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
    "slo": "",
    "objective": None,
    "query": None,
    "started": None,
    "ended": None,
    "start_width_s": None,
    "end_width_s": None,
    "outages": 1,
    "bad_events": None,
    "valid_events": None,
    "share": None,
    "budget_spent": None,
    "says": "",
    "allowed": None,
    "seen_s": None,
}

# What is told of an incident that was merged into another one, in that one's postmortem.
_OF_A_PART = (
    e.IncidentOpened,
    e.AlertsAttached,
    e.AlertsResolved,
    e.TicketLinked,
    e.SeverityDeclared,
    e.PagePlanned,
    e.PageSent,
    e.PageFailed,
    e.EscalationExhausted,
    e.PageAcknowledged,
    e.AckWithdrawn,
    e.PageSnoozed,
    e.IncidentMerged,
)

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
        self.pages = Pages(self.facts)
        self.moments = self._moments()

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
            SCHEMA,
            i.id,
            i.title,
            i.service_of_plan,
            i.state,
            i.severity or "",
            self._summary(durations, impact, change, runs, fix),
            self.roles.listed,
            times,
            durations,
            impact,
            self._alerts(),
            change,
            self._timeline(),
            [whole(one, self.facts) for one in runs.found],
            self._judgement(),
            self._cases(),
            fix,
            self._waiver(),
            self._recurrence(),
            first,
            self._markers(change),
            lacking,
            i.edits,
            curves[:MOST_CURVES],
            max(len(curves) - MOST_CURVES, 0),
        )

    def write_pointer(self) -> Postmortem:
        """Point to the incident that it goes on in: its harm is told there, and there alone."""
        i, facts = self.incident, self.all(e.IncidentMerged)[-1:]
        nothing = Impact(None, None, None, None, None, None, None, None, None, [])
        times, durations = self._times(nothing)
        says = f"{i.id} is part of {i.merged_into}: its harm is in the postmortem of that one."
        cited = [fact.seq for fact, _ in facts]
        return Postmortem(
            SCHEMA,
            i.id,
            i.title,
            i.service_of_plan,
            i.state,
            i.severity or "",
            [Sentence(says, cited)],
            self.roles.listed,
            times,
            durations,
            nothing,
            Alerts(0, [], [], cited),
            None,
            [
                Moment(show_time(one.at), f"it was merged into {i.merged_into}", [one.seq])
                for one, _ in facts
            ],
            [],
            self._judgement(),
            [],
            None,
            None,
            None,
            [],
            [],
            [],
            i.edits,
        )

    def _moments(self) -> dict[str, Fact | None]:
        """Find what says when it was what; None for what did not happen."""
        mitigated = self.last(e.IncidentMitigated) if self.incident.mitigated_at else None
        resolved, closed = self.last(e.IncidentResolved), self.first(e.IncidentClosed)
        taken = self.first(e.PageAcknowledged)
        seen = [one for kind in (e.BudgetBurning, e.IncidentOpened) for one in self.all(kind)[:1]]
        return {
            "detected": min((fact for fact, _ in seen), key=lambda one: one.seq, default=None),
            "paged": self.pages.first(self.facts),
            "acknowledged": taken and taken[0],
            "mitigated": mitigated and mitigated[0],
            "resolved": resolved and resolved[0],
            "closed": closed and closed[0],
        }

    def _times(self, impact: Impact) -> tuple[Times, Durations]:
        i = self.incident
        started = began(i)
        moments = {name: None if one is None else one.at for name, one in self.moments.items()}
        # Its part may have been opened before it, and the beginning of its journal may be gone.
        detected = moments["detected"]
        moments["detected"] = i.opened_at if detected is None else min(detected, i.opened_at)

        def since(name: str, from_: int | None = started) -> float | None:
            at = moments[name]
            if at is None or from_ is None:
                return None
            return round(max(at - from_, 0) / SECOND, 3)

        shown = {name: None if at is None else show_time(at) for name, at in moments.items()}
        return (
            Times(show_time(started), **shown),
            Durations(
                since("detected"),
                since("acknowledged", moments["paged"]),
                since("mitigated"),
                since("resolved"),
                since("paged"),
            ),
        )

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
                recovered = f"SLI recovered from {event.before.shown()} to {event.after.shown()}"
                cited = [*cited, fact.seq]
        first = lost[0] if lost else None
        cited += [seq for one in lost for seq in one.events]
        return Impact(
            first and first.slo,
            first and first.objective,
            first and first.query,
            first and first.bad_events,
            first and first.valid_events,
            first and first.budget_spent,
            first and first.peak_burn,
            document.get("users"),
            recovered,
            sorted(set(cited)),
            lost,
            len({one.ticket for _, one in self.all(e.TicketLinked)}),
        )

    def _lost(self, one: dict[str, Any], cited: list[int]) -> Lost:
        """Read what a draft says of an objective."""
        told: dict[str, Any] = {name: one.get(name) for name in _UNKNOWN}
        for name in ("started", "ended"):
            told[name] = show_time(told[name]) if told[name] is not None else None
        peak, peaks = self._peak(one["slo"])
        run = self._runs.ended(one["slo"])
        return Lost(
            **told,
            peak_burn=peak,
            events=sorted({*cited, *peaks}),
            ended_by=run.runbook if run else "",
        )

    def _so_far(self, name: str) -> Lost:
        found = self.harms.get(name)
        known = found[1].known if found else []
        counts = found[1].counts if found and known else None
        more = {"slo": name, "outages": len(self.incident.outages.get(name, ()))}
        if found and counts:
            more |= {
                "started": known[0].start,
                "start_width_s": known[0].start_width_s,
                "bad_events": counts.bad,
                "valid_events": counts.total,
            }
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
        number, (opener, opened) = self._number(), self._opener()
        attached = [fact.seq for fact, _ in self.all(e.AlertsAttached)]
        cited = attached if number and attached else opened
        i, parts = self.incident, self.incident.parts.values()
        named = (*i.services, *(service for one in parts for service in one.services))
        services = [one for one in dict.fromkeys(named) if one]
        return Alerts(number, services, found, cited, "" if number else opener)

    def _opener(self) -> tuple[str, list[int]]:
        """Say what opened it, besides alerts; and the events of that."""
        opened = [fact.seq for fact, _ in self.all(e.IncidentOpened)]
        for fact in self.facts:
            if isinstance(fact.event, e.BudgetBurning):
                return f"{fact.event.slo} burned its error budget", [*opened, fact.seq]
            if isinstance(fact.event, e.TicketLinked):
                return "somebody reported it", [*opened, fact.seq]
        return "", opened

    def _number(self) -> int:
        """Count its alerts and those of its parts, each once however often it fired."""
        i = self.incident
        own = distinct_alerts(i) if i.alert_count else 0
        return own + sum(one.alerts for one in i.parts.values())

    def _change(self) -> ChangeBefore | None:
        """Find the newest change before the start; a release that was rolled back goes first."""
        rolled = self.first(e.RollbackStarted)
        bad = (rolled[1].service, rolled[1].bad) if rolled else None
        start = began(self.incident)
        # Harm began some time within the width of its edge: where no change came before the edge,
        # one of the service that it hurt may be of that time.
        widths = {
            service_of(slo): one.start_width_s
            for slo, (_, harm) in self.harms.items()
            for one in harm.known
            if one.start == start
        }
        seen = [(fact, event.change) for fact, event in self.all(e.ChangeSeen)]
        undone = [one for one in seen if (one[1].service, one[1].to_release) == bad]
        before = [one for one in seen if start - CHANGE_S * SECOND <= one[1].at <= start]
        about = [
            one
            for one in seen
            if start < one[1].at <= start + widths.get(one[1].service, 0) * SECOND
        ]
        best = undone[0] if undone else None
        if best is None and (before or about):
            best = max(before or about[:1], key=lambda one: (one[1].at, one[0].seq))
        if best is not None:
            fact, one = best
            return ChangeBefore(
                one.service,
                one.kind,
                one.from_release,
                one.to_release,
                show_time(one.at),
                [fact.seq],
            )
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
                    far = "" if self.last(e.PostmortemDrafted) else " so far"
                    says += f": {one.bad_events} of {one.valid_events} events were bad{far}"
                    says += f", {one.says}" if one.says else ""
                found.append(Sentence(f"{says}.", sorted({burned, *one.events})))
        if not found:
            found = [self._titled()]
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
        first = next(iter(by.values()), None)
        if all(run is first for run in by.values()):
            if first is None:
                why = self.roles.own(proof(event))
                yield Sentence(f"It ended, not by a runbook: {why}.", [seq])
            elif list(by) == [""]:  # nobody measured that there was any harm
                says = f"After runbook {first.runbook} it was mitigated: {first.says}."
                yield Sentence(says, first.events)
            else:
                says = f"Runbook {first.runbook} ended the harm: {first.says}."
                yield Sentence(says, first.events)
            return
        for slo, run in by.items():
            if run is not None:
                says = f"Runbook {run.runbook} ended the harm of {slo}."
                yield Sentence(says, run.events)
            else:
                yield Sentence(f"The harm of {slo} ended, not by a runbook.", [seq])

    def _titled(self) -> Sentence:
        """Say what it is called, where nothing burned, by what called it so."""
        i = self.incident
        named = [fact.seq for fact, one in self.all(e.SeverityDeclared) if one.title == i.title]
        opened = [fact.seq for fact, one in self.all(e.IncidentOpened) if one.incident == i.id]
        of = "" if i.speaks_of and i.speaks_of in i.title else f"{i.speaks_of or 'something'}: "
        return Sentence(f"{of}{i.title}.", named[-1:] or opened)

    def _how_long(self, durations: Durations) -> list[Sentence]:
        again = [fact.seq for fact, _ in self.all(e.IncidentReopened)]
        times = "once" if len(again) == 1 else f"{len(again)} times"
        last, held = (" for the last time", f", having not held {times}") if again else ("", "")
        steps = [
            ("detected", durations.to_detect, "it was detected after {}"),
            ("paged", durations.to_page, "somebody was paged after {}"),
            ("acknowledged", durations.to_acknowledge, "it was acknowledged {} after the page"),
            ("mitigated", durations.to_mitigate, f"it was mitigated{last} after {{}}{held}"),
        ]
        parts: list[str] = []
        cited: list[int] = []
        unreached = self.pages.unreached
        for name, seconds, says in steps:
            fact = self.moments[name]
            if name == "paged" and fact is None and unreached is not None:
                parts.append("nobody could be reached by a page")
                cited.append(unreached.seq)
            if seconds is not None and fact is not None:
                parts.append(says.format(show_duration(seconds)))
                cited += [fact.seq, *(again if name == "mitigated" else ())]
        if again and durations.to_mitigate is None:
            parts.append(f"it was mitigated and did not hold {times}")
            cited += again
        if not parts:
            return []
        between = " and " if len(parts) < 3 else ", and "
        says = between.join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        return [Sentence(f"{says[0].upper()}{says[1:]}.", sorted(set(cited)))]

    def _timeline(self) -> list[Moment]:
        """Tell what happened in the order in which it did."""
        i = self.incident
        return Timeline(
            i.id,
            self.all_facts,
            len(self.facts),
            self.roles,
            self.harms,
            mitigated=bool(i.mitigated_at),
        ).moments()

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
                    event.case.id,
                    "drafted",
                    event.case.question,
                    "",
                    "",
                    0,
                    0,
                    0,
                    0,
                    event.reason.says,
                    [fact.seq],
                )
            elif isinstance(event, e.RegressionCaseAdmitted):
                on = {
                    name: [o.status for o in event.evidence if o.release == name]
                    for name in (event.bad, event.good)
                }
                found[event.case.id] = CaseLeft(
                    event.case.id,
                    "admitted",
                    event.case.question,
                    event.bad,
                    event.good,
                    on[event.bad].count("failed"),
                    len(on[event.bad]),
                    on[event.good].count("passed"),
                    len(on[event.good]),
                    event.reason.says,
                    [fact.seq],
                )
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
            (e.PageSent, "page", "no page, in shadow" if self.pages.kept_back else "page"),
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
