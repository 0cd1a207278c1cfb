"""What commands need that listen: an address, a socket, a server, and its libraries."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from midwatch.cli.door import Door
from midwatch.config.limits import LOOPBACK
from midwatch.errors import InputError

if TYPE_CHECKING:
    import uvicorn


def need_extra(what: str, names: Iterable[str]) -> None:
    """Say which extra is missing. Raises InputError."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        says = f"{what} needs {', '.join(missing)}"
        raise InputError(says, remedy="pip install 'midwatch[server]'")


def address_of(listen: str) -> tuple[str, int]:
    """Read HOST:PORT. Raises InputError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not listen.isascii() or not port.isdigit() or int(port) > 65_535 or not host:
        raise InputError(
            f"{listen!r} is not a valid address", place="--listen", remedy="write 127.0.0.1:8600"
        )
    return host, int(port)


def shown(bound: socket.socket) -> str:
    """Write HOST:PORT of a bound socket, as a URL has it."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def server_of(
    app: Any,
    stop_s: int,
    door: Door,
    *,
    trust: Iterable[str] = LOOPBACK,
    level: str = "warning",
    bare: bool = False,
) -> uvicorn.Server:
    """Make a server of HTTP/1.1; `bare` adds no header of its own to what an app answers.

    What a proxy says of its client counts when the proxy is in `trust`. It logs no addresses, for a
    token or a question may be in them.
    """
    import uvicorn

    from midwatch.cli.connections import connection_of
    from midwatch.web.peers import Peers

    return uvicorn.Server(
        uvicorn.Config(
            Peers(app, trust),
            proxy_headers=False,
            log_config=None,
            log_level=level,
            access_log=False,
            lifespan="off",
            http=connection_of(door),
            backlog=door.backlog,
            ws="none",
            server_header=not bare,
            date_header=not bare,
            timeout_graceful_shutdown=stop_s,
        )
    )


def bind(host: str, port: int) -> socket.socket:
    """Take an address, before anything else is begun. Raises InputError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            place="--listen",
            remedy="choose another address, or stop the process that listens there",
        ) from None
    return bound
