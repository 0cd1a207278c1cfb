"""Which run of a runbook ended the harm of which objective: `core/rules/carried_out.py`."""

from __future__ import annotations

from midwatch.core.rules.carried_out import Fact, Runs
from midwatch.core.rules.sentences import Roles
from midwatch.core.state import events as e
from midwatch.core.values.plans import Plan
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Counts, Harm, Stretch

WHY = Reason("r", "why")
NONE = Counts(0, 0)
BEGUN: tuple[e.Event, ...] = (
    e.PlanProposed(
        incident="INC-1", runbook="book", version=1, plan_hash="a1", steps=(), reason=WHY
    ),
    e.PlanApproved(incident="INC-1", plan_hash="a1", by="ada"),
    e.ActionStarted(
        incident="INC-1", operation="op", step="shed", action="http.request", says="POST /shed"
    ),
)
DONE = e.ActionDone(
    incident="INC-1", operation="op", step="shed", seen="answered 200", changed=True
)
OTHER = e.PlanRefused(
    incident="INC-1", plan_hash="b2", by="ben", reason=Reason("r", "ben: not now")
)
WELL = e.IncidentMitigated(incident="INC-1", reason=Reason("slo", "SLI 100% over 5 min"))
AGAIN = e.IncidentReopened(incident="INC-1", reason=Reason("slo", "SLI 40% over 5 min"))
SHOP, DB = "shop/answers", "db/writes"
BURN = tuple(
    e.BurnAttached(incident="INC-1", slo=slo, service=slo.split("/")[0], counts=NONE, reason=WHY)
    for slo in (SHOP, DB)
)


def fold(*events: e.Event, harms: dict[str, Harm] | None = None) -> Runs:
    """Fold events, a second apart: the first is at 1 s."""
    facts = [Fact(n, n * 1_000, one) for n, one in enumerate(events, 1)]
    return Runs(facts, Roles(one.event for one in facts), harms or {})


def runs(*events: e.Event) -> Runs:
    """Fold a run of which a step was begun, and more."""
    return fold(*BEGUN, *events)


def done(book: str, *proofs: str) -> tuple[e.Event, ...]:
    """Carry out a plan that objectives prove."""
    plan = Plan(book, 1, (), book, proofs=proofs)
    return (
        e.PlanProposed(
            incident="INC-1",
            runbook=book,
            version=1,
            plan_hash=book,
            steps=(),
            reason=WHY,
            plan=plan,
        ),
        e.PlanApproved(incident="INC-1", plan_hash=book, by="ada"),
        e.ActionStarted(
            incident="INC-1", operation=book, step="do", action="http.request", says="POST /do"
        ),
        e.ActionDone(
            incident="INC-1", operation=book, step="do", seen="answered 200", changed=True
        ),
    )


def judged(slo: str, verdict: str) -> e.ObjectiveJudged:
    """One of several objectives is seen well, or not."""
    return e.ObjectiveJudged(
        incident="INC-1", slo=slo, verdict=verdict, reason=Reason("slo", f"{slo} {verdict}")
    )


def hurt(*ends: int) -> Harm:
    """Harm that was counted until these seconds, to the second."""
    return Harm(0, tuple(Stretch(0, end * 1_000, 1, 1, 5, 10) for end in ends))


def names(found: Runs) -> dict[str, str]:
    """The runbook that is credited, by objective; empty for none."""
    ended = {slo: found.ended(slo) for slo in found.credits}
    return {slo: run.runbook if run else "" for slo, run in ended.items()}


def test_a_run_that_went_before_the_recovery_is_credited() -> None:
    """Also when another proposal was refused meanwhile."""
    for found in (runs(DONE, WELL), runs(DONE, OTHER, WELL)):
        assert names(found) == {"": "book"}
        assert found.found[-1].verification == "recovered"


def test_a_run_that_a_person_stopped_is_not_credited() -> None:
    """Its step under way ends, and users get well by something else."""
    asked = e.PlanStopAsked(
        incident="INC-1", plan_hash="a1", by="ada", reason=Reason("r", "ada: wrong cluster")
    )
    found = runs(asked, DONE, WELL)
    assert found.found[-1].verification == "stopped"
    assert names(found) == {"": ""}


# --- an incident of two objectives --------------------------------------------------------------


def test_another_objective_that_gets_well_by_itself_is_nobody_s() -> None:
    """The shop's run ended the shop's harm; the database was mended by a person, later."""
    found = fold(
        *BURN,
        *done("purge", SHOP),
        judged(SHOP, "recovered"),
        judged(DB, "recovered"),
        WELL,
        harms={SHOP: hurt(6), DB: hurt(7)},
    )
    assert names(found) == {SHOP: "purge", DB: ""}
    (run,) = found.found
    assert (run.verification, run.ended) == ("recovered", [SHOP])
    assert run.says == "shop/answers: shop/answers recovered"


def test_each_objective_has_its_own_run() -> None:
    """Two plans one after the other; the first is not forgotten for the second."""
    found = fold(
        *BURN,
        *done("purge", SHOP),
        judged(SHOP, "recovered"),
        e.RecoveryJudged(incident="INC-1", verdict="recovered", reason=WHY),
        *done("failover", DB),
        judged(DB, "recovered"),
        WELL,
        harms={SHOP: hurt(6), DB: hurt(12)},
    )
    assert names(found) == {SHOP: "purge", DB: "failover"}
    assert [run.verification for run in found.found] == ["recovered", "recovered"]


def test_a_run_that_all_objectives_prove_is_credited_with_each_that_it_went_before() -> None:
    """It began at 5 s: the shop was hurt until then, the database only until 2 s."""
    for ends, credited in (((9, 9), "shed"), ((9, 2), "")):
        found = fold(
            *BURN, *done("shed", SHOP, DB), WELL, harms={SHOP: hurt(ends[0]), DB: hurt(ends[1])}
        )
        assert names(found) == {SHOP: "shed", DB: credited}


def test_a_run_that_came_too_late_takes_no_credit_from_the_one_before() -> None:
    """Harm ended at 6 s; the first run began at 4 s, the second one at 8 s."""
    found = fold(
        *BURN[:1], *done("purge", SHOP), *done("restart", SHOP), WELL, harms={SHOP: hurt(6)}
    )
    assert names(found) == {SHOP: "purge"}
    assert [run.verification for run in found.found] == ["recovered", "not by it"]


def test_an_objective_that_is_hurt_again_before_all_are_well_was_not_ended() -> None:
    """The purge helped for a while; the shop burned on until somebody else ended it."""
    found = fold(
        *BURN,
        *done("purge", SHOP),
        judged(SHOP, "recovered"),
        judged(SHOP, "burning"),
        judged(DB, "recovered"),
        judged(SHOP, "recovered"),
        WELL,
        harms={SHOP: hurt(10), DB: hurt(9)},
    )
    assert names(found) == {SHOP: "", DB: ""}
    assert [run.verification for run in found.found] == ["did not hold"]


def test_a_run_for_both_is_credited_with_the_one_that_stayed_well() -> None:
    """The shop was hurt again while the database was still being proven."""
    found = fold(
        *BURN,
        *done("shed", SHOP, DB),
        judged(SHOP, "recovered"),
        judged(SHOP, "burning"),
        judged(DB, "recovered"),
        judged(SHOP, "recovered"),
        WELL,
        harms={SHOP: hurt(9), DB: hurt(7)},
    )
    assert names(found) == {SHOP: "", DB: "shed"}


def test_who_burns_again_takes_back_its_own_credit_alone() -> None:
    """The database comes back after both were well: the shop's run did hold."""
    began = e.HarmBegan(incident="INC-1", slo=DB, since=0, seen_at=12_000)
    both = (*done("purge", SHOP), *done("failover", DB), WELL, AGAIN, began)
    for more, db in (((), ""), (done("restart", DB), "restart")):
        harms = {SHOP: hurt(9), DB: hurt(10, 20)}
        later = (judged(DB, "recovered"),) * 9  # some seconds go by
        found = fold(*BURN, *both, *more, *later, WELL, harms=harms)
        assert names(found) == {SHOP: "purge", DB: db}
        verdicts = [run.verification for run in found.found[:2]]
        assert verdicts == ["recovered", "did not hold"]
        assert [run.ended for run in found.found[:2]] == [[SHOP], []]


def test_where_nobody_says_what_is_hurt_again_nothing_held() -> None:
    """Without an objective, and in journals of midwatch 0.1."""
    found = fold(*BURN, *done("purge", SHOP), *done("failover", DB), WELL, AGAIN, WELL)
    assert names(found) == {SHOP: "", DB: ""}
    assert [run.verification for run in found.found] == ["did not hold", "did not hold"]
