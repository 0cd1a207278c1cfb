"""The agent over HTTP: a plain form, `POST /ask`, `/healthz`, `/metrics` and `/remedies`.

Law: whatever is sent gets an answer or a clear 4xx. A talk goes on only under the id that this
server gave out, which nobody can guess; an unknown one is refused, never begun. What users wrote is
escaped wherever it is shown. Its surroundings are nobody's business who has not their token.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from midwatch.agent import remedies
from midwatch.agent.agent import MAX_QUESTION, Agent, Reply
from midwatch.agent.grader import judge
from midwatch.agent.questions import Question
from midwatch.agent.surroundings import Surroundings
from midwatch.agent.telemetry import Telemetry, evaluation
from midwatch.errors import InputError

MAX_BODY = 64 * 1024
JUDGED_AS = "answer-quality"
FORM = "application/x-www-form-urlencoded"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
STYLE = (Path(__file__).parent / "form.css").read_text("utf-8")
Tell = Callable[[dict[str, Any]], None]


class _Asked(Struct):
    question: str
    conversation: str = ""
    stream: bool = False


class Answer(Struct, frozen=True):
    """What `POST /ask` answers; `outcome` is answered, handed over or failed."""

    id: str
    answer: str
    source: str
    outcome: str
    conversation: str
    release: str


class _Refused(Exception):
    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class Site:
    """One release behind HTTP."""

    def __init__(
        self,
        agent: Agent,
        telemetry: Telemetry,
        known: dict[tuple[str, ...], Question],
        share: float,
        tell: Tell,
        around: Surroundings | None = None,
        token: str = "",
        alone: threading.Lock | None = None,
    ) -> None:
        """`known` are questions that can be judged, of which `share` are; `tell` hears of each.

        With `around` and a `token` its surroundings can be looked at and set right. An agent that
        may take long to answer is asked on threads, under `alone`, which it lets go meanwhile.
        """
        self._agent = agent
        self._telemetry = telemetry
        self._known = known
        self._share = share
        self._tell = tell
        self._talks: dict[str, list[str]] = {}
        self._around = around
        self._token = token
        self._alone = alone

    def app(self) -> Starlette:
        """Give the routes."""
        routes = [
            Route("/", self.form),
            Route("/ask", self.ask, methods=["POST"]),
            Route("/healthz", self.health),
            Route("/metrics", self.metrics),
        ]
        if self._around is not None and self._token:
            routes.append(Route("/remedies", self.surroundings))
            routes.append(Route("/remedies/{name}", self.remedy, methods=["POST"]))
        return Starlette(routes=routes)

    async def surroundings(self, request: Request) -> Response:
        """Say how the surroundings stand."""
        if refused := self._refuses(request):
            return refused
        return _json(200, remedies.state(self._around or Surroundings()))

    async def remedy(self, request: Request) -> Response:
        """Set something right around the agent."""
        if refused := self._refuses(request):
            return refused
        around = self._around or Surroundings()
        try:
            body = await _body(request)
            given = msgspec.json.decode(body or b"{}", type=dict[str, Any])
            remedies.apply(around, request.path_params["name"], given)
        except _Refused as refusal:
            return _json(refusal.status, {"error": str(refusal)})
        except (msgspec.MsgspecError, UnicodeDecodeError, InputError) as error:
            return _json(400, {"error": str(error)})
        return _json(200, remedies.state(around))

    def _refuses(self, request: Request) -> Response | None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if secrets.compare_digest(shown, self._token.encode()):
            return None
        return _json(401, {"error": "missing or invalid token"})

    async def form(self, request: Request) -> Response:
        """Show a plain form."""
        del request
        return self._page("", "")

    async def health(self, request: Request) -> Response:
        """Say that it lives, and which release it is."""
        del request
        release = self._agent.release
        body = {"status": "ok", "release": release.name, "digest": release.digest}
        return _json(200, body)

    async def metrics(self, request: Request) -> Response:
        """Give what is counted."""
        del request
        return Response(self._telemetry.text(), media_type="text/plain; version=0.0.4")

    async def ask(self, request: Request) -> Response:
        """Answer one question, from JSON or from the form."""
        is_form = request.headers.get("content-type", "").startswith(FORM)
        started = time.perf_counter()
        try:
            body = await _body(request)
            is_form = is_form and not body.lstrip().startswith(b"{")  # curl -d says so of JSON, too
            asked = _read(body, is_form=is_form)
            talk = self._talk_of(asked.conversation)
        except _Refused as refused:
            if is_form:
                return self._page("", str(refused), refused.status)
            return _json(refused.status, {"error": str(refused)})
        reply = await self._answered(asked.question, talk)
        if reply.seconds > 0:
            await asyncio.sleep(reply.seconds)  # what the back end took, in this agent's own time
        name = f"resp-{secrets.token_hex(8)}"
        self._telemetry.count(reply, time.perf_counter() - started)
        self._judge(name, asked, talk, reply)
        answer = Answer(
            name, reply.text, reply.source, reply.outcome, talk, self._agent.release.name
        )
        if is_form:
            return self._page(asked.question, "", answer=answer)
        if asked.stream:
            return EventSourceResponse(self._stream(answer, started))
        return _json(200, answer)

    async def _answered(self, question: str, talk: str) -> Reply:
        """Ask the agent, beside everything else when a model behind it thinks for seconds."""
        alone = self._alone
        if alone is None:
            return self._agent.ask(question, talk)

        def ask() -> Reply:
            with alone:
                return self._agent.ask(question, talk)

        return await asyncio.to_thread(ask)

    async def _stream(self, answer: Answer, started: float) -> AsyncIterator[dict[str, str]]:
        for number, part in enumerate(re.split(r"(?<=[.!?]) ", answer.answer)):
            if not number:
                self._telemetry.first_chunk(time.perf_counter() - started)
            yield {"event": "part", "data": part}
        yield {"event": "answer", "data": msgspec.json.encode(answer).decode()}

    def _talk_of(self, name: str) -> str:
        """Go on with a talk, or begin one. Raises _Refused for one that is not known here."""
        if not name:
            return secrets.token_urlsafe(18)
        if not self._agent.knows(name):
            raise _Refused(404, "no such conversation; omit it to start a new one")
        return name

    def _judge(self, name: str, asked: _Asked, talk: str, reply: Reply) -> None:
        """Judge a share of what can be judged: the same answers whichever process does it."""
        if not self._share:
            return
        turns = (*self._talks.pop(talk, []), asked.question)
        question = self._known.get(turns)
        if question is None:
            self._talks[talk] = list(turns[-4:])
            while len(self._talks) > 1_000:
                del self._talks[next(iter(self._talks))]
            return
        if int(name[-4:], 16) / 0x10000 >= self._share:
            return
        judged = judge(question, reply)
        self._telemetry.judged(good=judged.good)
        event = evaluation(name, JUDGED_AS, self._agent.release.name, judged.why, good=judged.good)
        self._tell(event)

    def _page(
        self, question: str, error: str, status: int = 200, answer: Answer | None = None
    ) -> Response:
        told = ""
        if error:
            told = f'<p role="alert">{escape(error)}</p>'
        elif answer is not None:
            source = f"Source: {answer.source}. " if answer.source else ""
            told = (
                f"<p><b>{escape(question)}</b></p>"
                f'<p class="answer">{escape(answer.answer)}</p>'
                f'<p class="small">{escape(source)}{escape(answer.outcome)}, {answer.id}</p>'
            )
        talk = escape(answer.conversation, quote=True) if answer else ""
        text = (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>Tideline support</title><style>{STYLE}</style><h1>Tideline support</h1>{told}"
            '<form method="post" action="/ask">'
            f'<input type="hidden" name="conversation" value="{talk}">'
            '<input name="question" aria-label="Your question"'
            ' placeholder="What does a return cost?"'
            f' required maxlength="{MAX_QUESTION}" autofocus><button>Ask</button></form>'
            f'<p class="small">Release {escape(self._agent.release.name)}. Answers come from the'
            " handbook of a made-up shop.</p></html>"
        )
        return HTMLResponse(text, status, HEADERS)


async def _body(request: Request) -> bytes:
    """Read a body up to its limit. Raises _Refused."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise _Refused(413, f"a question has at most {MAX_QUESTION} characters")
        parts.append(part)
    return b"".join(parts)


def _read(body: bytes, *, is_form: bool) -> _Asked:
    try:
        if is_form:
            found = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=10)
            fields = {name: values[-1] for name, values in found.items()}
            asked = _Asked(fields.get("question", ""), fields.get("conversation", ""))
        else:
            asked = msgspec.json.decode(body, type=_Asked)
    except (msgspec.MsgspecError, ValueError) as error:
        says = f'send {{"question": "..."}}: {error}'
        raise _Refused(400, says) from None
    if not asked.question.strip():
        raise _Refused(422, "the question is empty")
    if len(asked.question) > MAX_QUESTION:
        raise _Refused(413, f"a question has at most {MAX_QUESTION} characters")
    return asked


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
