"""`midwatch serve`: intake, engine, timers and effects in one process.

Law: it prints one line when it is ready, and not before the first alert would be committed. A stop
finishes the commit under way and lets the file go, within STOP_S, whatever a step or a pager does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from midwatch import config
from midwatch.cli.door import Door, files_for, raise_limit
from midwatch.cli.listening import address_of, bind, need_extra, server_of, shown
from midwatch.cli.places import SHADOW_DATABASE, config_option, database_of, db_option
from midwatch.engine.clock import wall_ms
from midwatch.engine.logs import JsonLines, PlainLines
from midwatch.errors import Gone, HarnessError, told

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from midwatch.adapters.stores.access import SqliteAccess
    from midwatch.adapters.stores.sqlite import SqliteStore
    from midwatch.config import Config
    from midwatch.engine.conditions import Conditions
    from midwatch.engine.loop import Loop
    from midwatch.web.news import News

log = logging.getLogger("midwatch.serve")

STOP_S = 10
DOOR_S = 4  # of them, for connections that are open; the engine has its own FINISH_S after that
LOOK_S = 2.0  # between two looks at the journal's files
NEEDED = (
    "httpx2",
    "itsdangerous",
    "prometheus_client",
    "sse_starlette",
    "standardwebhooks",
    "starlette",
    "uvicorn",
    "uvloop",
)


@click.command("serve")
@config_option
@db_option
@click.option(
    "--listen",
    default="127.0.0.1:8600",
    show_default=True,
    metavar="HOST:PORT",
    help="Address to listen on; port 0 picks a free port.",
)
@click.option(
    "--shadow",
    is_flag=True,
    help=f"Dry run: decide and record everything, send nothing. Event log: {SHADOW_DATABASE}.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Log level on stderr: JSON lines, or plain lines on a terminal.",
)
def command(folder: Path, database: Path | None, listen: str, shadow: bool, log_level: str) -> int:
    """Run the server: accept alerts, open incidents, page people.

    Prints one line when it is ready. SIGTERM and Ctrl-C finish the current commit and stop.
    """
    host, port = address_of(listen)
    need_extra("midwatch serve", NEEDED)
    loaded = config.load(folder)
    file = database_of(folder, database, shadow=shadow)
    _log_to_stderr(log_level)
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(loaded, file, host, port, shadow))
    except KeyboardInterrupt:
        return 0
    except Gone as error:
        # At an orderly exit SQLite deletes the log by its name: it may be another journal's by now.
        click.echo(f"error: {error}", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(2)


async def _serve(loaded: Config, file: Path, host: str, port: int, shadow: bool) -> int:
    from midwatch.adapters import processes
    from midwatch.adapters.stores.sqlite import SqliteStore
    from midwatch.adapters.stores.tokens import SqliteTokens
    from midwatch.bootstrap import build_service
    from midwatch.web.app import build_app
    from midwatch.web.news import News

    bound = bind(host, port)
    store = SqliteStore.own(file)
    tokens = SqliteTokens.open(file)
    try:
        store.keep(shadow=shadow)
        notes = _not_yet(loaded)
        if not any(token.source and not token.revoked_at for token in tokens.all()):
            flag = " --shadow" if shadow else ""
            notes.append(
                f"no source has a token yet: create one with midwatch token create "
                f"--source NAME{flag}"
            )
        for says in notes:
            log.warning("note", extra={"fields": {"msg": says}})
        service = build_service(store, loaded, wall_ms, shadow=shadow)
        changes = News()
        service.loop.on_commit(changes.note)
        service.loop.leave = processes.leave
        door = Door(files_for(raise_limit()))
        _tell_of(door, service.conditions)
        access = _logins(file, store, service.conditions)
        app = build_app(service, store, tokens, access, store.name, changes)
        mode = ", shadow mode: nothing is sent" if shadow else ""
        try:
            says = f"event log {file}{mode}"
            return await _listen(app, service.loop, changes, bound, says, door, loaded.trust, store)
        finally:
            service.loop.stop(STOP_S - DOOR_S)
            access.close()
    finally:
        tokens.close()
        store.close()


def _logins(file: Path, store: SqliteStore, conditions: Conditions) -> SqliteAccess:
    """Open the logins, and end those of another journal; nobody is paged less if they are broken.

    Then they are kept in memory, and /readyz says so.
    """
    from midwatch.adapters.stores.access import SqliteAccess
    from midwatch.bootstrap import begin_logins

    access, broken = None, ""
    try:
        access = SqliteAccess.open(file)
        ended = begin_logins(access, store)
    except HarnessError as error:
        broken = f"logins are kept in memory and end with this process: {told(error)}"
        log.warning("logins", extra={"fields": {"msg": broken}})
        if access is not None:
            access.close()
        access = SqliteAccess.memory()
        ended = begin_logins(access, store)
    conditions.add("logins", lambda: broken)
    if ended:
        says = "the saved logins belong to another event log, or to a later state of this one"
        log.warning("logins ended", extra={"fields": {"msg": says, "logins": ended}})
    return access


async def _listen(
    app: Starlette,
    loop: Loop,
    changes: News,
    bound: socket.socket,
    says: str,
    door: Door,
    trust: tuple[str, ...],
    store: SqliteStore,
) -> int:
    server = server_of(app, DOOR_S, door, trust=trust)
    asyncio_loop = asyncio.get_running_loop()
    serving = asyncio.create_task(server.serve([bound]))

    def stop() -> None:
        server.should_exit = True
        changes.close()  # who follows the page would keep its connection open

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio_loop.add_signal_handler(number, stop)
    while not (server.started or serving.done()):
        await asyncio.sleep(0.005)
    # Deliveries already wait for the loop; its first pages come after this line, not before it.
    click.echo(f"midwatch is ready on http://{shown(bound)}, {says}")
    loop.start()
    watch = asyncio.create_task(_watch(loop, store, stop))
    await serving
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    if loop.error is not None:
        raise loop.error
    _look(store)
    return 0


async def _watch(loop: Loop, store: SqliteStore, stop: Callable[[], None]) -> None:
    """Stop the server when the engine has ended: a process that cannot decide must not linger.

    So it is when the journal's files are gone, also when nobody sends anything meanwhile.
    """
    looked_at = time.monotonic()
    while loop.error is None:
        await asyncio.sleep(0.1)
        if time.monotonic() - looked_at < LOOK_S:
            continue
        looked_at = time.monotonic()
        try:
            _look(store)
        except Gone:
            break
    stop()


def _look(store: SqliteStore) -> None:
    """Look whether the journal's files are there. Raises Gone."""
    if store.presence is not None:
        store.presence.check()


def _tell_of(door: Door, conditions: Conditions) -> None:
    """Let /readyz and /metrics say how many connections there are, and whom they kept out."""
    conditions.add("connections", door.says)
    conditions.gauge("midwatch_connections", "Open connections.", lambda: len(door))
    conditions.gauge(
        "midwatch_connections_limit", "Maximum number of open connections.", lambda: door.most
    )
    conditions.counters(
        "midwatch_connections_turned_away",
        "Connections refused or closed early.",
        "why",
        lambda: door.turned_away,
    )


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(PlainLines() if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Some of them log addresses and answers, and an address may be a secret.
    for noisy in ("apprise", "asyncio", "httpcore2", "httpx2", "requests", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _not_yet(loaded: Config) -> list[str]:
    """Say what the config names and this version does not do in real time."""
    unread = [name for name, slo in loaded.rules.slos.items() if slo.indicator is None]
    if not unread:
        return []
    names = ", ".join(unread)
    return [f"{names}: no indicator is configured, so only alerts decide there"]
