"""What each router is told by the config.

Law: no more than values, so that a config is read without any router's code.
"""

from __future__ import annotations

from msgspec import Struct, field

TIMEOUT_S = 60  # of a command


class CommandOptions(Struct, frozen=True, tag="command"):
    """What is run, for which services (none named: all), and for how long at the most."""

    apply: tuple[str, ...]
    observe: tuple[str, ...]
    services: tuple[str, ...] = ()
    timeout_s: int = TIMEOUT_S
    check: tuple[str, ...] = ()


class HaproxyOptions(Struct, frozen=True, tag="haproxy"):
    """Where HAProxy listens for commands, and which backend's servers are releases."""

    socket: str
    backend: str
    state: str
    config: str = ""
    servers: dict[str, str] = field(default_factory=dict[str, str])
    services: tuple[str, ...] = ()
    server_state: str = ""


class SplitOptions(Struct, frozen=True, tag="split"):
    """Where `midwatch proxy` listens for commands, and which variable holds its token."""

    url: str
    token_env: str
    services: tuple[str, ...] = ()
