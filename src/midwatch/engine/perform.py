"""Claim an effect, call one port, turn the answer into an input.

Law: pages and actions crash in opposite ways. A page in doubt is sent again under its own key,
unless it has been acknowledged meanwhile. An action in doubt is never repeated blindly: the router,
or whatever a runbook's step is about, is observed first. Evals change nothing and are simply run
again. In shadow no pager, no router and no action is called, and the answer says so. No text that
came from outside is too long for a page to arrive: the journal keeps it whole, the page cuts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from midwatch.core.state import effects
from midwatch.core.state.events import NOT_SENT
from midwatch.core.state.incidents import Incident, asks_by
from midwatch.core.state.inputs import (
    ActionAnswered,
    Envelope,
    EvalsAnswered,
    PageAnswered,
    ReleaseAnswered,
)
from midwatch.core.state.shard import Shard
from midwatch.core.values.evals import Case, Outcome, Reply, Suite, broken
from midwatch.core.values.scorers import judge
from midwatch.engine import sound, steps
from midwatch.engine.apart import Apart
from midwatch.errors import HarnessError, InputError, Throttled, told
from midwatch.ports import Actor, Claim, Follower, Outbox, Pager, Router, Target
from midwatch.texts import cut

CLAIM_LIMIT = 16
# Characters of a page; a chat takes 2,000 or so in all, and refuses what is longer.
LONGEST_NAME = 200
LONGEST_TEXT = 1_200
STILL_IN_DOUBT = "in doubt after a crash, not sent again: acknowledged"

P = TypeVar("P")


class Performer:
    """Does effects, one at a time, and hands back what came of each."""

    def __init__(
        self,
        outbox: Outbox,
        suites: dict[str, Suite],
        pagers: Mapping[str, Pager],
        router: Router | None,
        target: Target | None,
        actor: Actor | None = None,
        *,
        shadow: bool = False,
    ) -> None:
        self._outbox = outbox
        self._suites = suites
        self._pagers = pagers
        self._router = router
        self._target = target
        self._actor = actor
        self._shadow = shadow
        self._apart = Apart()

    def claim(
        self, now: int, limit: int = CLAIM_LIMIT, room: Callable[[str], int] | None = None
    ) -> list[Claim]:
        """Take what is due, as far as its lane has room."""
        return self._outbox.claim(now, limit, room)

    def perform(self, claim: Claim) -> Envelope:
        """Do one claimed effect for the first time in this process."""
        match claim.effect:
            case effects.SendPage() as page:
                return self._send(page, claim.attempt)
            case effects.UpdatePage() as update:
                return self._follow(update, claim.attempt)
            case effects.SetRelease() as wish:
                return self._set_release(wish, claim.attempt)
            case effects.RunAction() as action:
                return self._run_action(action, claim.attempt)
            case effects.RunEvals() as run:
                return self._run_evals(run, claim.attempt)

    def recover(self, shard: Shard) -> list[Callable[[], Envelope]]:
        """List what a crash left between claim and end, as calls that finish it.

        Ask once, before anything is claimed; the calls may run on any thread.
        """
        return [self._doubt(claim, shard) for claim in self._outbox.in_doubt()]

    def _doubt(self, claim: Claim, shard: Shard) -> Callable[[], Envelope]:
        match claim.effect:
            case effects.SendPage() as page:
                if any(asks_by(one, page.key) for one in _told(page, shard)):
                    return partial(self._send, page, claim.attempt)
                answer = PageAnswered(
                    page.key, page.incident, claim.attempt, receipt=STILL_IN_DOUBT
                )
                return partial(_answer, answer)
            case effects.UpdatePage() as update:
                return partial(self._follow, update, claim.attempt)
            case effects.SetRelease() as wish:
                return partial(self._observe, wish, claim.attempt, "after a crash")
            case effects.RunAction() as action:
                if not action.changes:
                    return partial(self._run_action, action, claim.attempt)
                return partial(self._look_at, action, claim.attempt)
            case effects.RunEvals() as run:
                return partial(self._run_evals, run, claim.attempt)

    def _send(self, page: effects.SendPage, attempt: int) -> Envelope:
        if self._shadow:
            answer = PageAnswered(page.key, page.incident, attempt, receipt=NOT_SENT)
            return _answer(answer)
        try:
            receipt = self._pager(page.via).send(_brief(page))
        except Exception as error:  # however a pager breaks, the page was not seen to arrive
            wait_s = error.retry_after_s if isinstance(error, Throttled) else None
            return _answer(
                PageAnswered(
                    page.key, page.incident, attempt, error=told(error), retry_after_s=wait_s
                )
            )
        return _answer(PageAnswered(page.key, page.incident, attempt, receipt=receipt))

    def _follow(self, update: effects.UpdatePage, attempt: int) -> Envelope:
        """Tell a pager what became of an incident, if it wants to hear it."""
        key, incident = update.key, update.incident
        pager = self._pager(update.via)
        update = replace(update, title=cut(update.title, LONGEST_NAME))
        if self._shadow or not isinstance(pager, Follower):
            return _answer(PageAnswered(key, incident, attempt, receipt="not told"))
        try:
            return _answer(PageAnswered(key, incident, attempt, receipt=pager.follow(update)))
        except Exception as error:  # however it breaks, it did not hear
            wait_s = error.retry_after_s if isinstance(error, Throttled) else None
            return _answer(
                PageAnswered(key, incident, attempt, error=told(error), retry_after_s=wait_s)
            )

    def _pager(self, via: str) -> Pager:
        """Give the pager of this name, or the first: the config may have changed meanwhile."""
        return self._pagers.get(via) or next(iter(self._pagers.values()))

    def _set_release(self, wish: effects.SetRelease, attempt: int) -> Envelope:
        if self._shadow:
            says = "not applied: shadow mode changes nothing"
            answer = ReleaseAnswered(wish.key, wish.incident, attempt, "not-applied", says)
            return _answer(answer)
        said = ""
        if unfit := self._unfit(wish):
            return _answer(ReleaseAnswered(wish.key, wish.incident, attempt, "not-applied", unfit))
        try:
            _there(self._router, "router").apply(wish.service, wish.traffic, wish.key)
        except Exception as error:  # what counts is what is observed next
            said = f"; {told(error)}"
        return self._observe(wish, attempt, f"after applying{said}")

    def _unfit(self, wish: effects.SetRelease) -> str:
        """Say why what would get traffic is not fit; empty when it is, or nobody can tell."""
        name = wish.checked
        if not name:
            return ""
        try:
            health = sound.health(_there(self._router, "router").check(wish.service, name))
        except Exception as error:  # what cannot be asked gets no traffic
            return f"{name} cannot be checked: {told(error)}"
        if health.trouble:
            return f"{name} is unhealthy: {health.trouble}"
        if wish.digest and health.digest not in ("", wish.digest):
            return f"{name} serves digest {health.digest}, {wish.digest} is registered"
        return ""

    def _observe(self, wish: effects.SetRelease, attempt: int, when: str) -> Envelope:
        """Only what is seen counts, whatever the call before it said."""
        try:
            seen = sound.traffic(_there(self._router, "router").observe(wish.service))
        except Exception as error:  # not seen is unknown, whatever the cause
            says = f"{told(error)} ({when})"
            return _answer(ReleaseAnswered(wish.key, wish.incident, attempt, "unknown", says))
        says = f"{seen.says} ({when})"
        applied = seen.is_like(wish.traffic) and seen.epoch >= wish.epoch
        state = "applied" if applied else "not-applied"
        return _answer(ReleaseAnswered(wish.key, wish.incident, attempt, state, says))

    def _run_action(self, action: effects.RunAction, attempt: int) -> Envelope:
        """Do a step of an approved plan, and look whether it is done."""
        key, incident = action.key, action.incident
        if self._shadow:
            says = "not done: shadow mode changes nothing"
            return _answer(ActionAnswered(key, incident, attempt, "not-applied", says))
        return _answer(steps.carry_out(self._actor, action, attempt))

    def _look_at(self, action: effects.RunAction, attempt: int) -> Envelope:
        """See what came of a step of a process that is gone; it is not done again."""
        if self._shadow:
            return self._run_action(action, attempt)
        return _answer(steps.look_after_crash(self._actor, action, attempt))

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
            answer = _there(self._target, "target").answer(service, release, case.question)
        except Exception as error:  # an errored sample is an error, never a verdict
            return broken(case, release, told(error))
        return judge(case, release, Reply(answer), apart=self._apart)


def _told(page: effects.SendPage, shard: Shard) -> list[Incident]:
    """List the incidents that a page tells of."""
    first = shard.incidents.get(page.incident)
    return [*([first] if first else ()), *shard.told_by(page.key, page.incident)]


class Tested(Struct, frozen=True):
    """How a test page went by one pager: a receipt or an error."""

    via: str
    receipt: str
    error: str


def test_page(pagers: Mapping[str, Pager], via: str, by: str, now: int) -> list[Tested]:
    """Send a page that is about nothing by one pager, or by each when `via` is empty.

    Raises InputError when no pager is called `via`.
    """
    if via and via not in pagers:
        known = ", ".join(pagers)
        raise InputError(f"no pager is named {via!r}", place="via", remedy=f"use one of {known}")
    found: list[Tested] = []
    for name in [via] if via else pagers:
        page = effects.SendPage(
            f"page/test/{now}/{name}",
            "TEST",
            by,
            "sev4",
            "This is a test page",
            "nothing is wrong: somebody requested it",
            "",
            name,
        )
        try:
            found.append(Tested(name, pagers[name].send(page), ""))
        except Exception as error:  # however it breaks, that is the answer
            found.append(Tested(name, "", told(error)))
    return found


def _brief(page: effects.SendPage) -> effects.SendPage:
    """Cut what came from outside, such as a service's name out of a label."""
    return replace(
        page,
        title=cut(page.title, LONGEST_NAME),
        summary=cut(page.summary, LONGEST_TEXT),
        service=cut(page.service, LONGEST_NAME),
        also=tuple(cut(line, LONGEST_NAME) for line in page.also),
    )


def _there(port: P | None, name: str) -> P:
    """Give a port that may not be configured. Raises HarnessError when it is not."""
    if port is None:
        raise HarnessError(f"no {name} is configured", remedy="add one to midwatch.yaml")
    return port


def _answer(
    given: PageAnswered | ReleaseAnswered | ActionAnswered | EvalsAnswered,
) -> Envelope:
    return Envelope(f"answer/{given.key}/{given.attempt}", _sound(given))


def _sound(
    given: PageAnswered | ReleaseAnswered | ActionAnswered | EvalsAnswered,
) -> PageAnswered | ReleaseAnswered | ActionAnswered | EvalsAnswered:
    """Give an answer of which every text and number can be written down."""
    match given:
        case PageAnswered():
            error = None if given.error is None else sound.text(given.error)
            receipt, wait_s = sound.text(given.receipt), sound.wait_s(given.retry_after_s)
            return replace(given, error=error, receipt=receipt, retry_after_s=wait_s)
        case ReleaseAnswered():
            return replace(given, seen=sound.text(given.seen))
        case ActionAnswered():
            return replace(given, seen=sound.text(given.seen), output=sound.text(given.output))
        case EvalsAnswered():
            rows = tuple(replace(one, got=sound.text(one.got)) for one in given.outcomes)
            return replace(given, outcomes=rows, error=sound.text(given.error))
