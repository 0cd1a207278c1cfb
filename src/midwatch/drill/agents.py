"""The support agent inside a drill: the same code, asked in process, under virtual time.

Law: an answer is bad because the agent gave a bad answer, never because a scenario says so. What is
asked when is a function of the time alone, so that a world made anew is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from midwatch.agent import remedies
from midwatch.agent.agent import Agent, deploy
from midwatch.agent.grader import ask, judge
from midwatch.agent.questions import Question, bank, frequent, part
from midwatch.agent.releases import find
from midwatch.agent.surroundings import Surroundings
from midwatch.agent.troubles import TROUBLES
from midwatch.core.values.clock import SECOND
from midwatch.core.values.evals import Case
from midwatch.core.values.sli import Counts, FailedAnswer
from midwatch.core.values.traffic import Traffic
from midwatch.errors import InputError

ASKED = 12  # talks in a tick
KEPT = 200  # bad answers that are remembered
STEP = 37  # through the questions, so that no tick asks one topic alone; prime to their number
HANDED_OVER = "handed over to a person"


def question_of(question: Question) -> str:
    """Write a talk as one line."""
    return " > ".join(question.turns)


def case_of(question: Question) -> Case:
    """Make a case out of a question: what is expected are its facts.

    >>> one = Question("q", ("hi", "how long"), ("30 days",), (), "returns-window", (), "suite")
    >>> case_of(one).question, case_of(one).expect
    ('hi > how long', '30 days (returns-window)')
    """
    facts = "; ".join(question.must)
    expect = f"{facts} ({question.source})" if question.source else HANDED_OVER
    return Case(question.id, question_of(question), expect)


class Trouble(Struct, frozen=True):
    """Something around the agent that breaks at a moment, whatever is released."""

    at: int
    what: str


def asked_by(popular: Mapping[str, int]) -> tuple[Question, ...]:
    """List what users ask, each as often as it is asked in a round.

    `popular` gives how often for a slice, for the article that answers, or for a question's words.
    Raises InputError for one that fits nothing.

    >>> len(asked_by({"topic=payment": 2})) - len(asked_by({}))
    30
    """
    found: list[Question] = []
    unused = set(popular)
    for one in part("online"):
        names = {*one.slices, one.source, question_of(one)} & set(popular)
        unused -= names
        found.extend([one] * max((popular[name] for name in names), default=1))
    if unused:
        raise InputError(f"nobody asks {unused.pop()!r}", remedy="midwatch agent questions")
    while len(found) % STEP == 0:
        found.append(found[0])  # prime to the step, so that each is reached
    return tuple(found)


class LiveAgent:
    """What users get: whichever release is served, in surroundings that outlive it."""

    def __init__(
        self,
        releases: dict[str, str],
        asked: Sequence[Question],
        troubles: Sequence[Trouble] = (),
        remedied: Callable[[], Sequence[tuple[int, str, dict[str, Any]]]] = tuple,
    ) -> None:
        """`releases` gives the agent's release for each name that the router may serve.

        `remedied` lists what was done about the surroundings so far: when, its name, its values.
        """
        self._releases = releases
        self._asked = asked
        self._troubles = sorted(troubles, key=lambda one: one.at)
        self._remedied = remedied
        self._done = 0
        self._around = Surroundings()
        self._now_s = 0.0
        self._agents: dict[str, Agent] = {}
        self._served: set[str] = set()
        self._number = 0
        self._failed: list[tuple[int, FailedAnswer]] = []

    def ask_some(self, served: Traffic, at: int, over_s: int) -> dict[str, Counts]:
        """Let users ask ASKED questions, spread over the seconds that end at a moment.

        Gives what each release made of its part.
        """
        self._now_s = at / SECOND - over_s
        names = {served.release, served.candidate} - {""}
        for release in sorted(names - self._served):
            found = find(self._releases[release])
            deploy(found, self._around, frequent(part("online")))
            self._agents[release] = Agent(found, self._around, lambda: self._now_s)
        self._served = names
        self._happen(at)
        asked = self._asked
        came = {name: Counts(0, 0) for name in names}
        for _ in range(ASKED):
            self._now_s += over_s / ASKED
            question = asked[self._number * STEP % len(asked)]
            self._number += 1
            release = served.of(str(self._number).encode(), b"drill")
            reply = ask(self._agents[release], question)
            good = judge(question, reply).good
            came[release] = Counts(came[release].good + good, came[release].total + 1)
            if not good:
                case = case_of(question)
                name = f"{release}/{question.id}"
                answer = FailedAnswer(name, case.question, reply.text, case.expect)
                self._failed.append((at, answer))
        del self._failed[:-KEPT]
        return came

    def _happen(self, at: int) -> None:
        """Let break, and let be remedied, what was due by then."""
        while self._troubles and self._troubles[0].at <= at:
            trouble = self._troubles.pop(0)
            TROUBLES[trouble.what](self._around, trouble.at / SECOND)
        remedied = self._remedied()
        while self._done < len(remedied) and remedied[self._done][0] <= at:
            _, name, given = remedied[self._done]
            remedies.apply(self._around, name, given)
            self._done += 1

    def failed_since(self, since: int, now: int) -> Iterable[FailedAnswer]:
        """Give bad answers of a window, the newest first, each question once."""
        found: dict[str, FailedAnswer] = {}
        for at, answer in reversed(self._failed):
            if since < at <= now:
                found.setdefault(answer.id, answer)
        return found.values()


class EvaluatedAgent:
    """Releases under test: each in surroundings of its own, as it would be deployed."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._agents: dict[str, Agent] = {}
        self._questions = {question_of(one): one for one in bank()}

    def answer(self, release: str, question: str) -> str:
        """Answer a case: with what it expects when the reply is judged good, else with the reply.

        A question that is not of the bank is answered as it is.
        """
        agent = self._agents.get(release)
        if agent is None:
            found, around = find(release), Surroundings()
            deploy(found, around, frequent(part("online")))
            agent = Agent(found, around, lambda: self._clock() / SECOND)
            self._agents[release] = agent
        known = self._questions.get(question)
        if known is None:
            return agent.ask(question).text
        reply = ask(agent, known)
        return case_of(known).expect if judge(known, reply).good else reply.text
