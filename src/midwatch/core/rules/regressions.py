"""Regression cases: drafted out of an answer that was observed wrong, admitted on both sides.

Law: a case is admitted only when it told the bad release from the last good one: each of EPOCHS
times or, where answers flake, in so many runs that chance is ruled out. One that fails on both,
passes on both or could not be run is refused, and the reason says which. What is quarantined has an
owner and an end; what is retired has a reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil

from msgspec import structs

from midwatch.core.rules.fixes import retry_evals
from midwatch.core.state import effects, events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import EvalsAnswered
from midwatch.core.state.shard import KeptCase
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.exact import Sample, fisher
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.scorers import token_f1
from midwatch.errors import StateError

RULE_DRAFT = "regressions.draft/1"
RULE_ADMIT = "regressions.admit/2"
EPOCHS, NOISY_EPOCHS = 3, 16
MORE = "/more"
PROOF = 0.01
RUNS = 5  # of a noisy case, from then on
ALIKE = 0.8


def draft(d: Decision, incident: Incident) -> None:
    """Make a case out of the first failing answer that the objective points to, once."""
    # Without the question and what would have been right there is nothing to ask a release.
    usable = (one for one in incident.failures if one.question and one.expected)
    failed = next(usable, None)
    if incident.case is not None or failed is None:
        return
    slug = re.sub(r"[^a-z0-9]+", "-", failed.question.lower()).strip("-")[:40]
    case = Case(f"{incident.id.lower()}-{slug}", failed.question, failed.expected, incident.id)
    says = f"answer {failed.id} to {failed.question!r} was {failed.answer!r}"
    reason = Reason(RULE_DRAFT, says, {"answer_id": failed.id, "expected": failed.expected})
    d.emit(events.RegressionCaseDrafted(incident=incident.id, case=case, reason=reason))


def try_both_sides(d: Decision, incident: Incident) -> None:
    """Ask for the drafted case to be run on the bad and on the last good release."""
    case = incident.case
    if case is None or incident.case_state != "drafted":
        return
    bad, good = _sides(d, incident)
    if good in ("", bad):
        says = f"{bad} was live and is the last good release: nothing to compare it with"
        says = says if bad else "no release is registered, so there is nothing to compare"
        d.emit(
            events.RegressionCaseRefused(
                incident=incident.id, case=case.id, evidence=(), reason=Reason(RULE_ADMIT, says)
            )
        )
        return
    # An incident that opened again is tried again, also while an earlier try is under way: its
    # stream is further by then.
    turn = d.version(f"incident/{incident.id}")
    _try(d, incident, case, EPOCHS, d.key("admission", incident.id, case.id, turn))


def _sides(d: Decision, incident: Incident) -> tuple[str, str]:
    """Name the release that users were hurt by and the last good one, empty when there is none."""
    if incident.bad_release:
        return incident.bad_release, incident.good_release
    pointer = d.shard.pointers.get(incident.service_of_plan)
    return (pointer.live, pointer.last_good) if pointer else ("", "")


def _try(d: Decision, incident: Incident, case: Case, epochs: int, key: str) -> None:
    d.plan(
        effects.RunEvals(
            key=key,
            incident=incident.id,
            service=incident.service_of_plan,
            purpose="admission",
            releases=_sides(d, incident),
            cases=(case,),
            epochs=epochs,
        )
    )


def admit(
    case: Case, outcomes: tuple[Outcome, ...], *, bad: str, good: str
) -> tuple[Case | None, Reason]:
    """Say whether the case tells the bad release from the good one; gives it as it is kept.

    Always failed and always passed is clear. On a noisy target Fisher's exact test has to tell the
    sides apart, and the case is kept with the number of runs that it has to pass.

    >>> case = Case("c", "q", "a")
    >>> rows = (Outcome("c", "v2", "failed"),) * 3 + (Outcome("c", "v1", "passed"),) * 3
    >>> admit(case, rows, bad="v2", good="v1")[0] == case
    True
    """
    on_bad = [o.status for o in outcomes if o.release == bad and o.case == case.id]
    on_good = [o.status for o in outcomes if o.release == good and o.case == case.id]
    failed, passed = on_bad.count("failed"), on_good.count("passed")
    sample = Sample(failed, len(on_bad), on_good.count("failed"), len(on_good))
    terms: dict[str, Term] = {
        "bad": bad,
        "good": good,
        "failed_on_bad": failed,
        "passed_on_good": passed,
        "epochs": min(len(on_bad), len(on_good)),
    }

    def refuse(says: str) -> tuple[Case | None, Reason]:
        return None, Reason(RULE_ADMIT, says, terms)

    if min(len(on_bad), len(on_good)) < EPOCHS or {"error", "unsupported"} & {*on_bad, *on_good}:
        return refuse("could not be run often enough on both sides")
    if failed == len(on_bad) and passed == len(on_good):
        return case, Reason(RULE_ADMIT, f"fails on {bad}, passes on {good}", terms)
    if not failed:
        return refuse(f"also passes on {bad}")
    if not passed:
        return refuse(f"also fails on {good}")
    if min(len(on_bad), len(on_good)) < NOISY_EPOCHS:
        which = f"does not always fail on {bad}"
        return refuse(which if failed < len(on_bad) else f"does not always pass on {good}")
    terms["chance"] = chance = round(fisher(sample), 9)
    if chance > PROOF:
        return refuse(f"the difference between {bad} and {good} may be chance ({chance:.3g})")
    least = _least(passed / len(on_good), 1 - failed / len(on_bad))
    says = f"fails more on {bad} than on {good}, passes {least} of {RUNS} from now on"
    kept = structs.replace(case, runs=RUNS, least=least)
    return kept, Reason(RULE_ADMIT, f"{says} (chance {chance:.3g})", terms)


def _least(good: float, bad: float) -> int:
    """Choose how many of RUNS a release has to pass: half way between the two sides."""
    return min(RUNS, max(1, ceil(RUNS * (good + bad) / 2)))


def duplicate_of(kept: Mapping[str, KeptCase], case: Case, bad: str) -> str:
    """Find a case that was admitted against the same release, wants the same, and asks alike."""
    for name, one in kept.items():
        if one.retired or one.duplicate_of or name == case.id or one.bad != bad:
            continue
        if one.case.wanted == case.wanted and token_f1(one.case.question, case.question) >= ALIKE:
            return name
    return ""


def on_answer(d: Decision, incident: Incident, answer: EvalsAnswered) -> None:
    """Admit or refuse what was run; what flaked is run more often first."""
    case = incident.case
    if case is None or incident.case_state != "drafted" or retry_evals(d, answer):
        return
    # The sides that were asked for: what is live may be another release by now.
    asked = tuple(dict.fromkeys(one.release for one in answer.outcomes))
    bad, good = asked if len(asked) == 2 else _sides(d, incident)
    kept, reason = admit(case, answer.outcomes, bad=bad, good=good)
    if answer.error:
        kept, reason = None, Reason(RULE_ADMIT, answer.error)
    if kept is not None:
        _keep(d, incident, kept, bad, good, answer.outcomes, reason)
    elif flakes(answer.outcomes) and not answer.key.endswith(MORE):
        _try(d, incident, case, NOISY_EPOCHS, answer.key + MORE)
    else:
        d.emit(
            events.RegressionCaseRefused(
                incident=incident.id, case=case.id, evidence=answer.outcomes, reason=reason
            )
        )


def flakes(outcomes: tuple[Outcome, ...]) -> bool:
    """Say whether a side did now this, now that."""
    sides: dict[str, set[str]] = {}
    for one in outcomes:
        sides.setdefault(one.release, set()).add(one.status)
    return any({"passed", "failed"} <= seen for seen in sides.values())


def _keep(
    d: Decision,
    incident: Incident,
    case: Case,
    bad: str,
    good: str,
    outcomes: tuple[Outcome, ...],
    reason: Reason,
    digests: tuple[str, str] = ("", ""),
    by: str = "",
) -> None:
    pointer = d.shard.pointers.get(incident.service_of_plan)
    known = pointer.releases if pointer else {}
    of = [
        digest or (known[name].digest if name in known else "")
        for name, digest in zip((bad, good), digests, strict=True)
    ]
    same = duplicate_of(d.shard.cases, case, bad)
    d.emit(
        events.RegressionCaseAdmitted(
            incident=incident.id,
            case=case,
            bad=bad,
            good=good,
            evidence=outcomes,
            reason=reason,
            bad_digest=of[0],
            good_digest=of[1],
            duplicate_of=same,
            by=by,
        )
    )


def offer(d: Decision, incident: Incident, given: inputs.OfferCase) -> None:
    """Take a person's case with its evidence. Raises StateError when it proves nothing."""
    case = structs.replace(given.case, incident=incident.id)
    known = d.shard.cases.get(case.id)
    if known is not None and known.incident != incident.id:
        raise StateError(
            f"{case.id} is a case of {known.incident}", remedy="give the new case another id"
        )
    kept, reason = admit(case, given.outcomes, bad=given.bad, good=given.good)
    if kept is None:
        raise StateError(f"{case.id} is refused: {reason.says}", remedy="see its runs")
    if given.replaces:
        if known is None:
            raise StateError(f"no case is named {case.id!r}", remedy="see midwatch cases list")
        d.emit(
            events.CaseMinimised(
                case=case.id, question=case.question, turns=case.turns, by=given.by
            )
        )
        return
    digests = (given.bad_digest, given.good_digest)
    _keep(d, incident, kept, given.bad, given.good, given.outcomes, reason, digests, given.by)


def quarantine(d: Decision, given: inputs.QuarantineCase) -> None:
    """Take a flaky case out of the count. Raises StateError."""
    _known(d, given.case)
    if given.until <= d.wall:
        raise StateError("the end is in the past", remedy="give a later time")
    d.emit(
        events.CaseQuarantined(
            case=given.case, owner=given.owner, until=given.until, why=given.why, by=given.by
        )
    )


def retire(d: Decision, given: inputs.RetireCase) -> None:
    """Take a case out for good. Raises StateError."""
    _known(d, given.case)
    d.emit(events.CaseRetired(case=given.case, why=given.why, by=given.by))


def _known(d: Decision, name: str) -> None:
    kept = d.shard.cases.get(name)
    if kept is None:
        raise StateError(f"no case is named {name!r}", remedy="see midwatch cases list")
    if kept.retired:
        raise StateError(f"{name} is retired: {kept.retired}", remedy="no action is needed")
