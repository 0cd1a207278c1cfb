"""Claim an effect, call one port, turn the answer into an input.

Law: pages and actions crash in opposite ways. A page in doubt is sent again under its own key,
unless it has been acknowledged meanwhile. An action in doubt is never repeated blindly: the router
is observed first. Evals change nothing and are simply run again.
"""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.core import effects
from midwatch.core.evals import Case, Outcome, Suite, broken, score
from midwatch.core.incidents import is_waiting_for_ack
from midwatch.core.inputs import Envelope, EvalsAnswered, PageAnswered, ReleaseAnswered
from midwatch.core.shard import Shard
from midwatch.errors import HarnessError
from midwatch.ports import Claim, Outbox, Pager, Router, Target

CLAIM_LIMIT = 16


class Performer:
    """Does effects, one at a time, and hands back what came of each."""

    def __init__(
        self, outbox: Outbox, suites: dict[str, Suite], pager: Pager, router: Router, target: Target
    ) -> None:
        self._outbox = outbox
        self._suites = suites
        self._pager = pager
        self._router = router
        self._target = target

    def claim(self, now: int) -> list[Claim]:
        """Take what is due."""
        return self._outbox.claim(now, CLAIM_LIMIT)

    def perform(self, claim: Claim) -> Envelope:
        """Do one claimed effect for the first time in this process."""
        match claim.effect:
            case effects.SendPage() as page:
                return self._send(page, claim.attempt)
            case effects.SetRelease() as wish:
                return self._set_release(wish, claim.attempt)
            case effects.RunEvals() as run:
                return self._run_evals(run, claim.attempt)

    def recover(self, shard: Shard) -> Iterable[Envelope]:
        """Finish what a crash left between claim and end. Call once, before anything is claimed."""
        for claim in self._outbox.in_doubt():
            match claim.effect:
                case effects.SendPage() as page:
                    incident = shard.incidents.get(page.incident)
                    if incident is None or not is_waiting_for_ack(incident):
                        yield _answer(
                            PageAnswered(
                                page.key,
                                page.incident,
                                claim.attempt,
                                receipt="in doubt after a crash, not sent again: acknowledged",
                            )
                        )
                    else:
                        yield self._send(page, claim.attempt)
                case effects.SetRelease() as wish:
                    yield self._observe(wish, claim.attempt, "after a crash")
                case effects.RunEvals() as run:
                    yield self._run_evals(run, claim.attempt)

    def _send(self, page: effects.SendPage, attempt: int) -> Envelope:
        try:
            receipt = self._pager.send(page)
        except HarnessError as error:
            wait_s = getattr(error, "retry_after_s", None)
            return _answer(
                PageAnswered(
                    page.key, page.incident, attempt, error=str(error), retry_after_s=wait_s
                )
            )
        return _answer(PageAnswered(page.key, page.incident, attempt, receipt=receipt))

    def _set_release(self, wish: effects.SetRelease, attempt: int) -> Envelope:
        said = ""
        try:
            self._router.apply(wish.service, wish.release, wish.epoch, wish.key)
        except HarnessError as error:
            said = f"; {error}"
        return self._observe(wish, attempt, f"after applying{said}")

    def _observe(self, wish: effects.SetRelease, attempt: int, when: str) -> Envelope:
        """Only what is seen counts, whatever the call before it said."""
        try:
            seen = self._router.observe(wish.service)
        except HarnessError as error:
            return _answer(
                ReleaseAnswered(wish.key, wish.incident, attempt, "unknown", f"{error} ({when})")
            )
        says = f"{seen.release} at epoch {seen.epoch} ({when})"
        applied = seen.release == wish.release and seen.epoch >= wish.epoch
        state = "applied" if applied else "not-applied"
        return _answer(ReleaseAnswered(wish.key, wish.incident, attempt, state, says))

    def _run_evals(self, run: effects.RunEvals, attempt: int) -> Envelope:
        cases = list(run.cases)
        if run.suite:
            suite = self._suites.get(run.service)
            if suite is None:
                error = f"no suite for {run.service}; write suites/{run.service}.jsonl"
                return _answer(EvalsAnswered(run.key, run.incident, attempt, (), error))
            cases.extend(suite.cases)
        outcomes = tuple(
            self._run_case(case, run.service, release)
            for case in cases
            for release in run.releases
            for _ in range(run.epochs)
        )
        error = ""
        if outcomes and all(o.status == "error" for o in outcomes):
            error = f"no case could be run: {outcomes[0].got}"
        return _answer(EvalsAnswered(run.key, run.incident, attempt, outcomes, error))

    def _run_case(self, case: Case, service: str, release: str) -> Outcome:
        try:
            return score(case, release, self._target.answer(service, release, case.question))
        except HarnessError as error:
            return broken(case, release, str(error))


def _answer(given: PageAnswered | ReleaseAnswered | EvalsAnswered) -> Envelope:
    return Envelope(f"answer/{given.key}/{given.attempt}", given)
