"""A target behind HTTP: a question is posted as JSON, and the answer looked up in what comes back.

Law: what is sent is the template with whole values put in, never text pasted into text. A status of
400 or more is no answer. Turns are asked one after the other, in one conversation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Struct, field

from midwatch.core.values.evals import Case, Reply
from midwatch.core.values.scorers import Nonsense, look_up
from midwatch.errors import HarnessError

if TYPE_CHECKING:
    from midwatch.outbound import Outbound

QUESTION, CONVERSATION = "{question}", "{conversation}"


class HttpOptions(Struct, frozen=True):
    """What is sent, and where the answer stands; without `answer` a few usual places are tried."""

    request: dict[str, Any] = field(default_factory=lambda: {"question": QUESTION})
    answer: str = ""
    conversation: str = "$.conversation"
    sources: str = "$.sources"
    tools: str = "$.tools"
    cost: str = "$.cost"


USUAL = ("$.answer", "$.text", "$.output", "$.choices[0].message.content")


class HttpTarget:
    """Asks one address."""

    def __init__(
        self, url: str, options: HttpOptions, outbound: Outbound, headers: Mapping[str, str]
    ) -> None:
        self._url = url
        self._options = options
        self._outbound = outbound
        self._headers = {"content-type": "application/json", **headers}

    def ask(self, case: Case) -> Reply:
        """Ask a case's turns and its question. Raises HarnessError when there is no answer."""
        talk = ""
        for text in case.turns:
            talk = _text(self._post(text, talk), self._options.conversation)
        started = time.perf_counter()
        document = self._post(case.question, talk)
        seconds = time.perf_counter() - started
        cost = _found(document, self._options.cost)
        return Reply(
            self._answer(document),
            seconds,
            float(cost[0]) if cost and isinstance(cost[0], (int, float)) else None,
            _texts(document, self._options.tools),
            _texts(document, self._options.sources),
        )

    def _post(self, question: str, talk: str) -> Any:
        values = {QUESTION: question, CONVERSATION: talk}
        body = filled(self._options.request, values)
        if talk and CONVERSATION not in str(self._options.request):
            body = {**body, "conversation": talk}
        answer = self._outbound.post(self._url, msgspec.json.encode(body), self._headers)
        if answer.status >= 400:
            raise HarnessError(f"answered {answer.status}: {answer.says}")
        try:
            return msgspec.json.decode(answer.body)
        except msgspec.DecodeError:
            return answer.body.decode("utf-8", "replace")

    def _answer(self, document: Any) -> str:
        if isinstance(document, str):
            return document
        for path in (self._options.answer,) if self._options.answer else USUAL:
            for found in _found(document, path):
                return found if isinstance(found, str) else msgspec.json.encode(found).decode()
        where = self._options.answer or ", ".join(USUAL)
        raise HarnessError(
            f"the response has no answer at {where}", remedy="set its path with --answer"
        )


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """Put values where a text of the template is a placeholder, or has one in it.

    >>> filled({"messages": [{"role": "user", "content": "{question}"}]}, {"{question}": "hi"})
    {'messages': [{'role': 'user', 'content': 'hi'}]}
    """
    if isinstance(template, dict):
        mapping = cast("dict[str, Any]", template)
        return {key: filled(value, values) for key, value in mapping.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in cast("list[Any]", template)]
    if isinstance(template, str):
        for name, value in values.items():
            if name in template:
                return template.replace(name, value)
    return template


def _found(document: Any, path: str) -> list[Any]:
    try:
        return look_up(document, path) if path else []
    except Nonsense:
        return []


def _text(document: Any, path: str) -> str:
    return next((one for one in _found(document, path) if isinstance(one, str)), "")


def _texts(document: Any, path: str) -> tuple[str, ...] | None:
    for found in _found(document, path):
        if isinstance(found, list):
            return tuple(str(one) for one in cast("list[Any]", found))
    return None
