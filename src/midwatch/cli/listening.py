"""What commands need that listen: an address, a socket, and the libraries of a server."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from importlib.util import find_spec

from midwatch.errors import InputError


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
            f"{listen!r} is no address", place="--listen", remedy="write 127.0.0.1:8600"
        )
    return host, int(port)


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
            remedy="name another address, or stop what listens there",
        ) from None
    return bound
