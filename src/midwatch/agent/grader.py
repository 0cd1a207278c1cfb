"""Judges an answer by the facts that it must and must not contain, and by its source.

Law: a question that has no answer is judged good only when it was handed over. A reply that failed
is bad, whatever it says. What is judged is the reply, never how the agent came to it.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.agent.agent import Agent, Reply
from midwatch.agent.questions import Question


class Judgement(Struct, frozen=True):
    """What is wrong with a reply; nothing when it is good."""

    why: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.why


def judge(question: Question, reply: Reply) -> Judgement:
    """Judge the reply to the last turn.

    >>> one = Question("q", ("how long",), ("30 days",), ("14 days",), "a", (), "suite")
    >>> judge(one, Reply("For 14 days.", "a", "answered")).why
    "does not say '30 days'"
    """
    if reply.outcome == "failed":
        return Judgement("failed")
    if not question.source:
        good = reply.outcome == "handed over"
        return Judgement("" if good else f"answers from {reply.source}, and there is none")
    if reply.outcome != "answered":
        return Judgement("handed over")
    said = reply.text.casefold()
    for fact in question.must:
        if fact.casefold() not in said:
            return Judgement(f"does not say {fact!r}")
    for fact in question.must_not:
        if fact.casefold() in said:
            return Judgement(f"says {fact!r}")
    if reply.source != question.source:
        return Judgement(f"from {reply.source}, not {question.source}")
    return Judgement()


def ask(agent: Agent, question: Question) -> Reply:
    """Have the whole talk; gives the reply to its last turn."""
    talk = f"judged-{question.id}" if len(question.turns) > 1 else ""
    replies = [agent.ask(turn, talk) for turn in question.turns]
    return replies[-1]
