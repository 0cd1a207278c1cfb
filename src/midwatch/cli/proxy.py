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
from midwatch.core.releases import is_name
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
    help="A release and where it is served; may stand again. The first one is served at first.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8650",
    show_default=True,
    metavar="HOST:PORT",
    help="Where users come in; port 0 takes a free one.",
)
@click.option(
    "--control",
    default="127.0.0.1:8651",
    show_default=True,
    metavar="HOST:PORT",
    help="Where midwatch moves the traffic. Token: $MIDWATCH_PROXY_TOKEN.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("proxy.json"),
    show_default=True,
    help="Where it is kept what is served.",
)
@click.option("--cut", is_flag=True, help="After a move cut what is still open elsewhere.")
@click.option(
    "--key",
    default="",
    metavar="KIND:NAME",
    help="What a user is known by: header:NAME or cookie:NAME. Default: the address.",
)
@click.option("--health", default="", metavar="PATH", help="Says by 2xx that a release is well.")
@click.option(
    "--slow",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds to an answer's first byte from which on it counts as slow.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=split.ANSWER_S,
    show_default=True,
    help="Seconds that a release may say nothing; then its request gets a 504.",
)
@click.option(
    "--max-open",
    type=click.IntRange(1),
    default=split.MAX_OPEN,
    show_default=True,
    help="How many requests may be open at once; one more gets a 503.",
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
    """Serve one of several releases, and another one from one call on.

    A candidate beside it gets its part of the users, the same ones again and again.

    Bodies stream both ways, server-sent events too; a WebSocket is refused. Every answer says by
    x-midwatch-release which release gave it. Its router in midwatch.yaml is of type split.

    $MIDWATCH_PROXY_TOKEN moves traffic. $MIDWATCH_PROXY_PIN_TOKEN only names the release that one
    request goes to, as `midwatch gate` does for release:NAME; without it nobody can.
    """
    need_extra("midwatch proxy", NEEDED)
    token = os.environ.get(TOKEN_ENV, "")
    if len(token) < 16:
        remedy = "put 16 characters or more into it, and its name into the router's token_env"
        raise InputError("is no token", place=TOKEN_ENV, remedy=remedy)
    pin_token = os.environ.get(PIN_TOKEN_ENV, "")
    if pin_token and (len(pin_token) < 16 or pin_token == token):
        remedy = "put 16 characters or more of its own into it, or unset it"
        raise InputError(
            f"is too short, or the same as ${TOKEN_ENV}", place=f"${PIN_TOKEN_ENV}", remedy=remedy
        )
    kind, _, name = key.partition(":")
    if key and (kind not in ("header", "cookie") or not name):
        raise InputError(f"{key!r} is none", place="--key", remedy="write header:x-user-id")
    if health and not health.startswith("/"):
        raise InputError(f"{health!r} is no path", place="--health", remedy="write /healthz")
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
            f"{text!r} is none", place="--upstream", remedy="write v1=http://127.0.0.1:8701"
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
        raise InputError(says, place=str(state), remedy="name it, or remove the file")
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
