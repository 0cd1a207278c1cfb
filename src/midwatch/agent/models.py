"""A language model behind the agent: any server that speaks OpenAI's chat completions.

Law: the model only phrases a passage that was found; it is asked for nothing else. What it does not
answer in time is a failure that says so. The agent needs none.
"""

from __future__ import annotations

import threading

import msgspec
from msgspec import Struct

from midwatch.agent.agent import Model
from midwatch.agent.orders import Unavailable
from midwatch.errors import HarnessError
from midwatch.outbound import Outbound

TASK = "Answer the customer's question from the passage alone, in one or two sentences."


class Unlocked:
    """Lets others be answered while a model thinks: the agent itself answers one at a time."""

    def __init__(self, lock: threading.Lock, model: Model) -> None:
        """`lock` is held by whoever asks the agent."""
        self._lock = lock
        self._model = model

    def phrase(self, question: str, passage: str) -> str:
        """Say the passage as an answer. Raises Unavailable."""
        self._lock.release()
        try:
            return self._model.phrase(question, passage)
        finally:
            self._lock.acquire()


class _Message(Struct):
    content: str = ""


class _Choice(Struct):
    message: _Message


class _Completion(Struct):
    choices: list[_Choice]


class ChatModel:
    """Phrases passages by `POST URL/chat/completions`."""

    def __init__(self, outbound: Outbound, url: str, name: str, key: str = "") -> None:
        self._outbound = outbound
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._name = name
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    def phrase(self, question: str, passage: str) -> str:
        """Say the passage as an answer. Raises Unavailable."""
        messages = [
            {"role": "system", "content": f"{TASK}\n\nPassage: {passage}"},
            {"role": "user", "content": question},
        ]
        body = msgspec.json.encode({"model": self._name, "messages": messages, "temperature": 0})
        try:
            answer = self._outbound.post(self._url, body, self._headers)
            if answer.status != 200:
                raise Unavailable(f"the model answered {answer.status}")
            found = msgspec.json.decode(answer.body, type=_Completion)
        except (HarnessError, msgspec.MsgspecError) as error:
            raise Unavailable(str(error)) from None
        if not found.choices or not found.choices[0].message.content.strip():
            raise Unavailable("the model said nothing")
        return found.choices[0].message.content.strip()
