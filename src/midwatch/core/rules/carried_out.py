"""Which runbooks were carried out for an incident, and which of them ended its harm.

Law: a verdict ends a run. Each objective has its own credit: it goes to the newest run that this
objective proves, alone or with others, and only when one of its steps had changed something before
users of that objective were hurt for the last time, none of its steps failed, and it was neither
stopped nor found not to hold. All else is "not by a runbook". An incident without objectives has
one credit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field, structs

from midwatch.core.rules.sentences import POLICY, Roles
from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND, show_time
from midwatch.core.values.plans import ROLLBACK, PlannedStep
from midwatch.core.values.postmortems import Run, RunStep
from midwatch.core.values.sli import Harm

OPEN = "inconclusive"
RECOVERED = "recovered"
LAPSED = "did not hold"


class Fact(Struct, frozen=True):
    """An event with its place in the journal, and when it was decided (milliseconds)."""

    seq: int
    at: int
    event: e.Event


class _Carried(Struct):
    """A run so far; `changed_at` is when a step that changed something began, the first one."""

    run: Run
    proofs: tuple[str, ...] = ()  # none in a journal of midwatch 0.1: then all prove it
    began_at: int = 0  # its newest step
    changed_at: int | None = None
    lapsed: dict[str, None] = field(default_factory=dict[str, None])  # objectives hurt again

    def is_proven_by(self, slo: str) -> bool:
        """Say whether an objective has a say in whether it helped."""
        return not self.proofs or not slo or slo in self.proofs


class Runs:
    """Folds an incident's facts into its runs; `harms` says what each objective lost.

    `credits` has each objective that burned, "" where none did, once users were well, with the
    number of the run that ended its harm, None when none did.
    """

    def __init__(self, facts: Sequence[Fact], roles: Roles, harms: Mapping[str, Harm]) -> None:
        self.credits: dict[str, int | None] = {}
        self._carried: list[_Carried] = []
        self._roles = roles
        self._harms = harms
        self._proposed: dict[str, e.PlanProposed] = {}  # by hash, the newest one last
        self._well_at = 0  # when users were last proven well before
        self._known: dict[str, None] = {}  # objectives that burned, ever and since then
        self._burning: dict[str, None] = {}
        self._judged: dict[str, tuple[int, str]] = {}  # which of them were well meanwhile, and why
        self._named = _named(facts)
        self._again = ""  # why it was opened again, when that is said of an objective
        for fact in facts:
            self._take(fact)

    @property
    def found(self) -> list[Run]:
        """The runs, in the order in which they were approved."""
        return [one.run for one in self._carried]

    def ended(self, slo: str) -> Run | None:
        """Give the run that ended the harm of an objective, None when none did."""
        number = self.credits.get(slo)
        return None if number is None else self._carried[number].run

    def _take(self, fact: Fact) -> None:
        event = fact.event
        match event:
            case e.PlanProposed():
                self._proposed.pop(event.plan_hash, None)
                self._proposed[event.plan_hash] = event
            case e.PlanApproved():
                self._approved(event, fact)
            case e.BurnAttached() | e.HarmBegan():
                self._burns(event.slo, fact, is_measured=isinstance(event, e.HarmBegan))
            case e.ObjectiveJudged():
                self._on_objective(event, fact)
            case e.IncidentMitigated():
                self._mitigated(event, fact)
            case e.IncidentReopened():
                self._again = event.reason.says
                if fact.seq not in self._named:
                    self._reopened(fact.seq)
            case _:
                one = self._newest_of(getattr(event, "plan_hash", ""))
                if one is not None:  # else it is about a plan that nobody approved
                    self._happened(one, fact)

    def _newest_of(self, plan_hash: str) -> _Carried | None:
        """Find the newest run of a plan; without a hash, as in older journals, the newest one."""
        if not plan_hash:
            return self._carried[-1] if self._carried else None
        newest_first = reversed(self._carried)
        return next((one for one in newest_first if one.run.plan == plan_hash), None)

    def _approved(self, event: e.PlanApproved, fact: Fact) -> None:
        known = self._newest_of(event.plan_hash)
        if known is not None and known.run.verification == OPEN:
            known.run.events.append(fact.seq)
            return
        newest = next(reversed(self._proposed.values()), None)
        plan = self._proposed.get(event.plan_hash, newest)
        if plan is None:
            return
        who = event.by if event.by.startswith(POLICY) else self._roles.of(event.by)
        run = Run(
            plan.runbook,
            plan.version,
            event.plan_hash,
            who,
            [],
            OPEN,
            "no verdict yet",
            [fact.seq],
        )
        self._carried.append(_Carried(run, plan.plan.proofs if plan.plan else ()))

    def _happened(self, one: _Carried, fact: Fact) -> None:
        """Take what an event says about a run."""
        event, at, seq, run = fact.event, show_time(fact.at), fact.seq, one.run
        match event:
            case e.ActionWaits():
                if event.plan is not None:  # asked again, for other values
                    one.run = structs.replace(run, plan=event.plan.hash)
            case e.ActionStarted():
                one.began_at = fact.at
                run.steps.append(RunStep(event.step, event.says, "begun", "", at, [seq]))
            case e.RollbackStarted():
                one.began_at = fact.at
                says = f"release.rollback {event.service} from {event.bad} to {event.to}"
                run.steps.append(RunStep("rollback", says, "begun", "", at, [seq]))
            case e.ActionDone() | e.RollbackCompleted():
                if isinstance(event, e.RollbackCompleted) or event.changed:
                    one.changed_at = one.began_at if one.changed_at is None else one.changed_at
                _end_step(run, "done", self._roles.own(_seen(event)), seq)
            case e.ActionFailed() | e.RollbackFailed():
                _end_step(run, f"failed, {event.state}", _seen(event), seq)
                if isinstance(event, e.RollbackFailed) or not event.goes_on:
                    _verdict(one, "failed", event.seen, seq)
            case e.RecoveryMissed():
                _verdict(one, "missed", event.reason.says, seq)
            case e.PlanStopped() | e.PlanRefused() | e.PlanStopAsked():
                _verdict(one, "stopped", self._roles.own(event.reason.says), seq)
            case _:
                pass

    # --- harm that comes, goes and comes again ---

    def _burns(self, slo: str, fact: Fact, *, is_measured: bool) -> None:
        """Take that an objective burns; what ended its harm before did not hold."""
        self._known[slo] = self._burning[slo] = None
        number = self.credits.get(slo)
        if is_measured and number is not None:
            self._lapse(number, self._again or f"{slo} burned again", fact.seq)

    def _reopened(self, seq: int) -> None:
        """Take that it was opened again, and nobody says by which objective."""
        for number in {one for one in self.credits.values() if one is not None}:
            self._lapse(number, self._again, seq)

    def _lapse(self, number: int, says: str, seq: int) -> None:
        one = self._carried[number]
        one.run = structs.replace(one.run, ended=[])
        _end(one, LAPSED, says, seq)
        self.credits = {slo: None if by == number else by for slo, by in self.credits.items()}

    def _on_objective(self, event: e.ObjectiveJudged, fact: Fact) -> None:
        """Take what one of several objectives says while another one still burns."""
        if event.verdict == RECOVERED:
            self._judged[event.slo] = fact.at, self._roles.own(event.reason.says)
            return
        well_at, _ = self._judged.pop(event.slo, (0, ""))
        for one in self._carried:
            held = one.changed_at is not None and one.changed_at <= well_at
            if held and one.is_proven_by(event.slo):
                one.lapsed[event.slo] = None
                if one.proofs == (event.slo,):
                    _verdict(one, LAPSED, event.reason.says, fact.seq)

    def _mitigated(self, event: e.IncidentMitigated, fact: Fact) -> None:
        says = self._roles.own(proof(event))
        objectives = list(self._burning or self._known) or [""]
        ended: dict[int, list[str]] = {}
        for slo in objectives:
            self.credits[slo] = number = self._newest_before(slo, fact.at)
            if number is not None:
                ended.setdefault(number, []).append(slo)
        for number, one in enumerate(self._carried):
            mine = ended.get(number, [])
            if not mine:
                _verdict(one, "not by it", self._why_not(one, objectives, fact.at, says), fact.seq)
                continue
            if len(mine) < len(objectives):
                says_mine = [f"{slo}: {self._judged.get(slo, (0, says))[1]}" for slo in mine]
                _verdict(one, RECOVERED, "; ".join(says_mine), fact.seq)
            else:
                _verdict(one, RECOVERED, says, fact.seq)
            one.run = structs.replace(one.run, ended=[slo for slo in mine if slo])
        self._well_at, self._burning, self._judged, self._again = fact.at, {}, {}, ""

    def _newest_before(self, slo: str, now: int) -> int | None:
        """Name the newest run that went before the last harm of an objective."""
        for number in reversed(range(len(self._carried))):
            one = self._carried[number]
            begun = one.changed_at is not None and one.changed_at > self._well_at
            open_ = one.run.verification == OPEN and slo not in one.lapsed
            if open_ and begun and one.is_proven_by(slo) and not self._is_late(one, slo, now):
                return number
        return None

    def _is_late(self, one: _Carried, slo: str, now: int) -> bool:
        """Say whether a run began when the last harm of an objective had been counted."""
        harm = self._harms.get(slo)
        known = harm.known if harm is not None else []
        ends = [x.end + x.end_width_s * SECOND for x in known if self._well_at < x.end <= now]
        return one.changed_at is not None and bool(ends) and one.changed_at > max(ends)

    def _why_not(self, one: _Carried, objectives: Sequence[str], now: int, says: str) -> str:
        if one.changed_at is None:
            return f"it had changed nothing when users recovered: {says}"
        mine = [slo for slo in objectives if one.is_proven_by(slo)]
        if not mine:
            return f"the SLO that verifies it did not burn: {says}"
        if any(slo in one.lapsed for slo in mine):
            return f"users were hurt again in between: {says}"
        if all(self._is_late(one, slo, now) for slo in mine):
            return f"the last harm was counted before it began: {says}"
        return f"another one was carried out after it: {says}"


def proof(event: e.IncidentMitigated) -> str:
    """Say what proved that it was mitigated, with the objective that did.

    >>> from midwatch.core.values.reasons import Reason
    >>> why = Reason("r/1", "SLI 100%", {"slo": "shop/answers"})
    >>> proof(e.IncidentMitigated(incident="INC-1", reason=why))
    'shop/answers: SLI 100%'
    """
    slo = event.reason.terms.get("slo")
    return f"{slo}: {event.reason.says}" if slo else event.reason.says


def whole(run: Run, facts: Sequence[Fact]) -> Run:
    """Put a run beside its plan: what was begun and not answered, and what was never begun."""
    is_over = run.verification != OPEN
    steps = [structs.replace(one, state=_state(one.state, is_over=is_over)) for one in run.steps]
    begun = {one.step for one in steps}
    for fact in reversed(facts):
        event = fact.event
        if not isinstance(event, e.PlanProposed | e.ActionWaits) or event.plan is None:
            continue
        if event.plan.hash == run.plan:
            steps += [
                RunStep(one.id, _of(one), "not begun", "", show_time(fact.at), [fact.seq])
                for one in event.plan.steps
                if one.id not in begun and not (one.action == ROLLBACK and "rollback" in begun)
            ]
            break
    return structs.replace(run, steps=steps)


def _state(state: str, *, is_over: bool) -> str:
    """Say what became of a step.

    >>> _state("failed, not-applied", is_over=True), _state("failed, unknown", is_over=True)
    ('failed, not-applied', 'unknown')
    >>> _state("begun", is_over=True), _state("begun", is_over=False)
    ('unknown', 'begun')
    """
    if state == "failed, unknown" or (is_over and state == "begun"):
        return "unknown"
    return state


def _of(step: PlannedStep) -> str:
    """Say a step that was never begun, as one that was begun is said."""
    given = step.given
    if step.action == ROLLBACK and {"service", "live", "target"} <= set(given):
        return f"{ROLLBACK} {given['service']} from {given['live']} to {given['target']}"
    return step.says


def _named(facts: Sequence[Fact]) -> set[int]:
    """List the reopenings after which it is said which objective is hurt."""
    found: set[int] = set()
    measured = False
    for fact in reversed(facts):
        if isinstance(fact.event, e.HarmBegan):
            measured = True
        elif isinstance(fact.event, e.IncidentMitigated):
            measured = False
        elif isinstance(fact.event, e.IncidentReopened):
            if measured:
                found.add(fact.seq)
            measured = False
    return found


def _verdict(one: _Carried, verdict: str, says: str, seq: int) -> None:
    """End a run, unless it has its verdict."""
    if one.run.verification == OPEN:
        _end(one, verdict, says, seq)


def _end(one: _Carried, verdict: str, says: str, seq: int) -> None:
    events = [*one.run.events, seq]
    one.run = structs.replace(one.run, verification=verdict, says=says, events=events)


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
