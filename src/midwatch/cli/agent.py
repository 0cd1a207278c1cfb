"""`midwatch agent`: the reference support agent, to serve, to ask and to load."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from midwatch.agent.agent import Agent, Model, deploy
from midwatch.agent.index import Index
from midwatch.agent.load import Result
from midwatch.agent.questions import Part, frequent, part
from midwatch.agent.releases import BASELINE, RELEASES, Release, find
from midwatch.agent.surroundings import Surroundings
from midwatch.agent.troubles import TROUBLES
from midwatch.cli.door import Door, files_for, raise_limit
from midwatch.cli.extras import GroupWithExtras
from midwatch.cli.joblog import in_json
from midwatch.cli.listening import address_of, bind, need_extra, server_of, shown
from midwatch.cli.output import json_lines, json_option, print_json
from midwatch.cli.progress import shown_progress
from midwatch.engine.logs import JsonLines, PlainLines
from midwatch.errors import InputError

if TYPE_CHECKING:
    from midwatch.agent.models import Unlocked
    from midwatch.agent.pushing import Pusher
    from midwatch.agent.site import Site

NEEDED = ("prometheus_client", "sse_starlette", "starlette", "uvicorn", "uvloop")
STOP_S = 5

_RELEASE = click.option(
    "--release",
    "release_name",
    default=BASELINE.name,
    show_default=True,
    metavar="NAME",
    help="A release by name or digest.",
)


class _Agent(GroupWithExtras):
    extras = {"serve": "server"}  # noqa: RUF012  nobody changes it


@click.group("agent", cls=_Agent)
def command() -> None:
    """Run the demo support agent, whose releases can regress.

    It answers from the handbook of a fictional shop, without a model, an API key or cost. Its
    releases really differ; docs/agent.md shows how to use your own service instead.
    """


class AgentRelease(Struct, frozen=True):
    """A release of the agent, and what makes it differ."""

    release: str
    digest: str
    says: str


class Answered(Struct, frozen=True):
    """A turn of a talk: what was asked, what was said, and where that stands."""

    question: str
    answer: str
    source: str
    outcome: str


class Asked(Struct, frozen=True):
    """A question of the bank, and the facts that a right answer has."""

    id: str
    turns: tuple[str, ...]
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    source: str
    slices: tuple[str, ...]


class Built(Struct, frozen=True):
    """An index that was built, and how long that took."""

    release: str
    digest: str
    chunks: int
    seconds: float


@command.command("releases")
@json_option(list[AgentRelease])
def releases_command(as_json: bool) -> int:
    """List the releases and their digests."""
    rows = [AgentRelease(one.name, one.digest, one.says) for one in RELEASES.values()]
    if as_json:
        print_json(rows)
        return 0
    for row in rows:
        click.echo(f"{row.release:<14} {row.digest}  {row.says}")
    return 0


@command.command("ask")
@click.argument("turns", nargs=-1, required=True, metavar="QUESTION...")
@_RELEASE
@json_option(list[Answered])
def ask_command(turns: tuple[str, ...], release_name: str, as_json: bool) -> int:
    """Ask a question; several questions are the turns of one conversation.

    Example: midwatch agent ask "I live in Switzerland" "What does a return cost?"
    """
    agent = _agent(find(release_name), Surroundings())
    replies = [(turn, agent.ask(turn, "talk")) for turn in turns]
    if as_json:
        print_json([Answered(turn, r.text, r.source, r.outcome) for turn, r in replies])
        return 0
    for turn, reply in replies:
        if len(replies) > 1:
            click.echo(f"> {turn}")
        click.echo(reply.text)
        click.echo(f"  [{reply.outcome}{', ' + reply.source if reply.source else ''}]")
    return 0


@command.command("questions")
@click.option(
    "--part",
    "name",
    type=click.Choice(["suite", "online"]),
    default="suite",
    show_default=True,
    help="Which questions: the gate suite or the online sample.",
)
@json_lines(Asked)
def questions_command(name: Part) -> int:
    """Print questions and their facts, one JSON object per line."""
    for one in part(name):
        row = Asked(one.id, one.turns, one.must, one.must_not, one.source, one.slices)
        click.echo(in_json(msgspec.json.encode(row)))
    return 0


@command.command("build-index")
@_RELEASE
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the index to this file, for agent serve.",
)
@json_option(Built)
def build_command(release_name: str, out: Path | None, as_json: bool) -> int:
    """Build a release's index and print its digest."""
    release = find(release_name)
    start = time.perf_counter()
    if out is not None:
        out.unlink(missing_ok=True)
    try:
        index = Index(Surroundings().articles, release.index, out)
    except OSError as error:
        raise InputError(str(error), place=str(out), remedy="choose another file") from None
    spent = time.perf_counter() - start
    built = Built(release.name, index.digest, len(index), round(spent, 3))
    index.close()
    if as_json:
        print_json(built)
    else:
        click.echo(f"{built.chunks} chunks, digest {built.digest}, in {spent:.2f} s")
    return 0


@command.command("load")
@click.option(
    "--url", default="http://127.0.0.1:8700", show_default=True, help="The address of the agent."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 5_000, min_open=True),
    default=5.0,
    show_default=True,
    help="Conversations per second.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86_400, min_open=True),
    default=60.0,
    show_default=True,
    help="Duration of the run.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@json_option(Result)
def load_command(url: str, rate: float, seconds: float, seed: int, as_json: bool) -> int:
    """Ask the questions of the online sample at a fixed rate."""
    from midwatch.agent import load

    talks = load.plan(part("online"), rate, seconds, seed)
    with shown_progress("talks") as progress:
        result = load.run(url, talks, rate, progress)
    if as_json:
        print_json(result)
        return 0
    click.echo(f"{result.asked} conversations, {result.per_s:g} answers a second")
    for outcome, count in result.outcomes.items():
        click.echo(f"  {outcome}: {count}")
    click.echo(f"  half within {result.p50_ms:g} ms, 99 % within {result.p99_ms:g} ms")
    return 0


@command.command("serve")
@_RELEASE
@click.option(
    "--listen",
    default="127.0.0.1:8700",
    show_default=True,
    metavar="HOST:PORT",
    help="Address to listen on; port 0 picks a free port.",
)
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on, on 127.0.0.1.")
@click.option(
    "--index", type=click.Path(path_type=Path), help="Index file written by agent build-index."
)
@click.option(
    "--judge",
    "share",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Share of known questions whose answers are judged.",
)
@click.option(
    "--push",
    metavar="URL",
    help="Push judged answers to midwatch's /intake/NAME. Token: $MIDWATCH_PUSH_TOKEN.",
)
@click.option(
    "--model",
    metavar="URL",
    help="OpenAI-compatible server that phrases the answers. Key: $MIDWATCH_MODEL_KEY.",
)
@click.option("--model-name", default="default", show_default=True, help="Model name.")
@click.option(
    "--remedies",
    "remediable",
    is_flag=True,
    help="Allow mitigations over HTTP. Token: $AGENT_TOKEN.",
)
@click.option(
    "--trouble", type=click.Choice([*TROUBLES]), help="Inject a failure around the agent."
)
def serve_command(
    release_name: str,
    listen: str,
    port: int | None,
    index: Path | None,
    share: float,
    push: str | None,
    model: str | None,
    model_name: str,
    remediable: bool,
    trouble: str | None,
) -> int:
    """Serve a release: GET /, POST /ask, /healthz, /metrics.

    Prints one line when it is ready. To run two releases side by side, use two ports.
    """
    need_extra("midwatch agent serve", NEEDED)
    host, number = ("127.0.0.1", port) if port is not None else address_of(listen)
    release = find(release_name)
    around = Surroundings()
    if index is not None:
        if not index.is_file():
            raise InputError(
                "not a file", place=str(index), remedy="create it with midwatch agent build-index"
            )
        around.indexes[release.index] = Index(around.articles, release.index, index)
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    import uvloop

    pusher = _pusher(push) if push else None
    alone = threading.Lock()
    chat = _model(model, model_name, alone) if model else None
    agent = _agent(release, around, chat)
    if trouble is not None:
        TROUBLES[trouble](around, time.time())
    remedies_token = _remedies_token() if remediable else ""
    site = _site(agent, share, pusher, around, remedies_token, alone if chat else None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_listen(site, bind(host, number), release))
        finally:
            if pusher is not None:
                pusher.stop()


def _agent(release: Release, around: Surroundings, model: Model | None = None) -> Agent:
    deploy(release, around, frequent(part("online")))
    return Agent(release, around, time.time, model)


def _remedies_token() -> str:
    token = os.environ.get("AGENT_TOKEN", "")
    if not token:
        raise InputError(
            "the environment variable is not set",
            place="$AGENT_TOKEN",
            remedy="export a token that nobody can guess",
        )
    return token


def _pusher(url: str) -> Pusher:
    from midwatch.agent.pushing import Pusher
    from midwatch.outbound import Outbound

    token = os.environ.get("MIDWATCH_PUSH_TOKEN", "")
    if not token:
        remedy = "create one with midwatch token create --source NAME, and export it"
        raise InputError(
            "the environment variable is not set", place="MIDWATCH_PUSH_TOKEN", remedy=remedy
        )
    return Pusher(Outbound([url]), url, token)


def _model(url: str, name: str, alone: threading.Lock) -> Unlocked:
    from midwatch.agent.models import ChatModel, Unlocked
    from midwatch.outbound import Outbound

    key = os.environ.get("MIDWATCH_MODEL_KEY", "")
    return Unlocked(alone, ChatModel(Outbound([url]), url, name, key))


def _site(
    agent: Agent,
    share: float,
    pusher: Pusher | None,
    around: Surroundings,
    token: str,
    alone: threading.Lock | None,
) -> Site:
    from midwatch.agent.site import Site
    from midwatch.agent.telemetry import Telemetry

    known = {one.turns: one for one in part("online")}
    if pusher is not None:
        pusher.start()
    tell = pusher.add if pusher is not None else _untold
    return Site(agent, Telemetry(agent.release), known, share, tell, around, token, alone)


def _untold(event: dict[str, Any]) -> None:
    del event


async def _listen(site: Site, bound: socket.socket, release: Release) -> int:
    server = server_of(site.app(), STOP_S, Door(files_for(raise_limit())))
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(server.serve([bound]))

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    while not (server.started or serving.done()):
        await asyncio.sleep(0.005)
    click.echo(f"agent {release.name} is ready on http://{shown(bound)}, digest {release.digest}")
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    return 0
