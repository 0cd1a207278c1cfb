"""`midwatch proxy`: a reverse proxy whose traffic one call moves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from hashlib import blake2b
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midwatch.adapters.routers import split
from midwatch.adapters.routers.split import SplitSettings
from midwatch.cli.door import Door, Files, files_for, raise_limit
from midwatch.cli.listening import address_of, bind, need_extra, server_of, shown
from midwatch.core.state.releases import is_name
from midwatch.engine.logs import JsonLines, PlainLines
from midwatch.errors import InputError

if TYPE_CHECKING:
    import httpx2

NEEDED = ("httpx2", "uvicorn", "uvloop")
STOP_S = 10
CONTROL = Files(open=16, backlog=16)
TOKEN_ENV = "MIDWATCH_PROXY_TOKEN"  # noqa: S105  the name of a variable
PIN_TOKEN_ENV = "MIDWATCH_PROXY_PIN_TOKEN"  # noqa: S105  the name of a variable


@click.command("proxy")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    required=True,
    metavar="RELEASE=URL",
    help="A release and its URL (repeatable). The first one is served initially.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8650",
    show_default=True,
    metavar="HOST:PORT",
    help="Address for user traffic; port 0 picks a free port.",
)
@click.option(
    "--control",
    default="127.0.0.1:8651",
    show_default=True,
    metavar="HOST:PORT",
    help="Control address, where midwatch moves traffic. Token: $MIDWATCH_PROXY_TOKEN.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("proxy.json"),
    show_default=True,
    help="File that stores which release is served.",
)
@click.option(
    "--cut",
    is_flag=True,
    help="After a move, close connections that are still open to other releases.",
)
@click.option(
    "--key",
    default="",
    metavar="KIND:NAME",
    help="How to identify a user: header:NAME or cookie:NAME (default: client address).",
)
@click.option("--health", default="", metavar="PATH", help="Health check path; 2xx means healthy.")
@click.option(
    "--slow",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="A response counts as slow if its first byte takes at least this many seconds.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=split.ANSWER_S,
    show_default=True,
    help="Seconds without data from a release before its request gets a 504.",
)
@click.option(
    "--max-open",
    type=click.IntRange(1),
    default=split.MAX_OPEN,
    show_default=True,
    help="Maximum number of open requests; more get a 503.",
)
def command(
    upstreams: tuple[str, ...],
    listen: str,
    control: str,
    state: Path,
    cut: bool,
    key: str,
    health: str,
    slow: float,
    timeout: float,
    max_open: int,
) -> int:
    """Proxy that serves one release, and switches to another on request.

    During a canary a fixed part of the users gets the candidate.

    Bodies stream both ways, server-sent events too; WebSockets are refused. Every response
    names its release in x-midwatch-release. In midwatch.yaml the router has type split.

    $MIDWATCH_PROXY_TOKEN allows moving traffic. $MIDWATCH_PROXY_PIN_TOKEN only allows choosing the
    release of a single request, as `midwatch gate` does for release:NAME; it is optional.
    """
    need_extra("midwatch proxy", NEEDED)
    token = os.environ.get(TOKEN_ENV, "")
    if len(token) < 16:
        remedy = "set it to 16 characters or more, and put its name into token_env of the router"
        raise InputError("not a valid token", place=TOKEN_ENV, remedy=remedy)
    pin_token = os.environ.get(PIN_TOKEN_ENV, "")
    if pin_token and (len(pin_token) < 16 or pin_token == token):
        remedy = "set it to 16 or more different characters, or unset it"
        raise InputError(
            f"is too short, or the same as ${TOKEN_ENV}", place=f"${PIN_TOKEN_ENV}", remedy=remedy
        )
    kind, _, name = key.partition(":")
    if key and (kind not in ("header", "cookie") or not name):
        raise InputError(
            f"{key!r} is not a valid key", place="--key", remedy="write header:x-user-id"
        )
    if health and not health.startswith("/"):
        raise InputError(f"{health!r} is not a path", place="--health", remedy="write /healthz")
    # Nobody who knows no token can find out which users get a candidate.
    salt = blake2b(token.encode(), digest_size=32).digest()
    settings = SplitSettings(key, salt, health, slow, cut, pin_token, max_open)
    known = dict(_upstream(one) for one in upstreams)
    users, commands = bind(*address_of(listen)), bind(*address_of(control))
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level="ERROR", handlers=[handler], force=True)
    logging.getLogger("midwatch").setLevel("WARNING")
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(known, state, token, users, commands, settings, timeout))


def _upstream(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not is_name(name) or not url.startswith(("http://", "https://")):
        raise InputError(
            f"{text!r} is not RELEASE=URL",
            place="--upstream",
            remedy="write v1=http://127.0.0.1:8701",
        )
    return name, url.rstrip("/")


def _client(max_open: int, timeout_s: float) -> httpx2.AsyncClient:
    """Make a client that adds nothing of its own to what it carries."""
    import httpx2

    client = httpx2.AsyncClient(
        # How many requests are open is the app's to say; health checks go beside them.
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=max_open),
        timeout=httpx2.Timeout(timeout_s, connect=split.CONNECT_S),
        follow_redirects=False,
        # A cookie that was set for one client is not to be sent for the next one.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
    client.headers.clear()
    return client


async def _serve(
    upstreams: dict[str, str],
    state: Path,
    token: str,
    users: socket.socket,
    commands: socket.socket,
    settings: SplitSettings,
    timeout_s: float,
) -> int:
    pointer = split.Pointer(upstreams, next(iter(upstreams)), state)
    served = pointer.traffic
    for name in (served.release, served.candidate):
        if not name or name in upstreams:
            continue
        says = f"serves {name!r}, which no --upstream names"
        raise InputError(
            says, place=str(state), remedy="add it with --upstream, or remove the file"
        )
    async with _client(settings.max_open, timeout_s) as client:
        proxy = split.Split(pointer, client, settings, began=time.time_ns())

        limit = raise_limit()
        # What is carried takes a descriptor on each side, and the control address has its own few.
        doors = (Door(files_for(limit, each=2), lasting=True), Door(CONTROL))
        both = tuple(
            server_of(app, STOP_S, door, level="error", bare=True)
            for app, door in zip((proxy, split.Control(proxy, token)), doors, strict=True)
        )
        loop = asyncio.get_running_loop()
        serving = [
            asyncio.create_task(one.serve([bound]))
            for one, bound in zip(both, (users, commands), strict=True)
        ]

        def stop() -> None:
            for one in both:
                one.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        while not all(one.started for one in both) and not any(one.done() for one in serving):
            await asyncio.sleep(0.005)
        where = ", control on ".join(f"http://{shown(one)}" for one in (users, commands))
        click.echo(f"proxy serves {served.release} on {where}")
        # A server of its own mind about signals takes the other one with it.
        await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        stop()
        await asyncio.gather(*serving)
    return 0
