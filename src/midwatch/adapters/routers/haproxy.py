"""Traffic moved by HAProxy, over its runtime socket: a server of a backend for each release.

Law: the good server is raised before the other ones are drained, so that at no moment nobody
answers. What gets traffic is read from HAProxy, never remembered; only the epoch is kept in a file,
beside what it was served as. The config file's weights follow what is live, never a candidate, so
that a HAProxy that was killed comes back with the release that is known.

    routers:
      edge: {type: haproxy, socket: /run/haproxy/admin.sock, backend: shop,
             state: /var/lib/midwatch/shop.json, config: /etc/haproxy/haproxy.cfg,
             server_state: /var/lib/haproxy/state}

`server_state` is what HAProxy's own `server-state-file` names, so that a reload keeps the weights.
A server has the release's name, or the one that `servers` gives it. Sessions that stick to a server
by a cookie stay there: a backend whose releases are moved has none.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

import msgspec
from msgspec import Struct

from midwatch.adapters.routers.options import HaproxyOptions
from midwatch.core.values.traffic import Traffic
from midwatch.errors import HarnessError
from midwatch.ports import Health

TIMEOUT_S = 5.0
WEIGHT = 100
MAX_BYTES = 1024 * 1024
RUNNING = ("1", "2")  # srv_op_state: starting slowly, and running
STOPPED = 1 | 2 | 8 | 16 | 32 | 64  # srv_admin_state: forced or inherited maintenance and drain


class _Server(Struct, frozen=True):
    name: str
    up: bool
    weight: int  # 0 when it gets no new requests


class HaproxyRouter:
    """Moves traffic between the servers of one backend."""

    def __init__(self, options: HaproxyOptions) -> None:
        self._options = options

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Serve a release. Raises HarnessError when HAProxy refuses, or serves a newer epoch."""
        del operation
        known = self._remembered()
        if known is not None and known.epoch > traffic.epoch:
            raise HarnessError(
                f"{service} is already at epoch {known.epoch}; epoch {traffic.epoch} is older"
            )
        backend = self._options.backend
        wanted = {self._server(traffic.release): WEIGHT - traffic.weight}
        if traffic.candidate:
            wanted[self._server(traffic.candidate)] = traffic.weight
        servers = {one.name for one in self._servers()}
        for name in wanted:
            if name not in servers:
                raise HarnessError(f"backend {backend} has no server {name!r}")
        # Before the first command: who is killed in between must not come back with an old epoch.
        self._remember(traffic)
        for name, weight in wanted.items():
            self._tell(f"set server {backend}/{name} state ready")
            self._tell(f"set server {backend}/{name} weight {weight}")
        for name in servers - set(wanted):
            self._tell(f"set server {backend}/{name} state drain")
        if self._options.config:
            self._write_weights(self._server(traffic.release))
        if self._options.server_state:
            said = self._tell("show servers state")
            _replace(Path(self._options.server_state), said.encode())

    def observe(self, service: str) -> Traffic:
        """Look at which servers get traffic, one or two. Raises HarnessError when it is another."""
        names = {server: release for release, server in self._options.servers.items()}
        serving = {
            names.get(one.name, one.name): one.weight
            for one in self._servers()
            if one.up and one.weight
        }
        known = self._remembered() or Traffic("", 0)
        if not 1 <= len(serving) <= 2:
            told = ", ".join(serving) or "no server"
            raise HarnessError(f"{service}: {told} of {self._options.backend} receives its traffic")
        live = known.release if known.release in serving else max(serving, key=serving.__getitem__)
        candidate = next((one for one in serving if one != live), "")
        part = round(WEIGHT * serving.get(candidate, 0) / sum(serving.values()))
        seen = Traffic(live, 0, candidate, part)
        return known if seen.is_like(known) else seen

    def check(self, service: str, release: str) -> Health:
        """Say whether HAProxy's own check sees the server up; one without a check counts as up."""
        del service
        wanted = self._server(release)
        for one in self._servers():
            if one.name == wanted:
                return Health("" if one.up else f"HAProxy reports server {wanted} as down")
        return Health(f"backend {self._options.backend} has no server {wanted!r}")

    def _server(self, release: str) -> str:
        return self._options.servers.get(release, release)

    # --- the socket ---

    def _servers(self) -> list[_Server]:
        said = self._tell(f"show servers state {self._options.backend}")
        lines = said.splitlines()
        heads = [line for line in lines if line.startswith("# ")]
        if not heads:
            raise HarnessError(f"HAProxy: {said.strip()[:200] or 'no answer'}")
        columns = heads[-1][2:].split()
        found: list[_Server] = []
        for line in lines[lines.index(heads[-1]) + 1 :]:
            row = dict(zip(columns, line.split(), strict=False))
            if "srv_name" in row:
                stopped = int(row["srv_admin_state"]) & STOPPED
                weight = 0 if stopped else int(row["srv_uweight"])
                up = row["srv_op_state"] in RUNNING
                found.append(_Server(row["srv_name"], up, weight))
        return found

    def _tell(self, command: str) -> str:
        """Give HAProxy one command. Raises HarnessError when it says anything but yes."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(TIMEOUT_S)
                line.connect(self._options.socket)
                line.sendall(command.encode() + b"\n")
                said = b""
                while len(said) < MAX_BYTES and (part := line.recv(65_536)):
                    said += part
        except OSError as error:
            raise HarnessError(f"HAProxy's socket: {error.strerror or error}") from None
        text = said.decode("utf-8", "replace")
        if command.startswith("set ") and text.strip():
            raise HarnessError(f"HAProxy: {text.strip()[:200]}")
        return text

    # --- what is kept ---

    def _remembered(self) -> Traffic | None:
        file = Path(self._options.state)
        try:
            return msgspec.json.decode(file.read_bytes(), type=Traffic)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise HarnessError(f"{file.name}: {error}") from None

    def _remember(self, served: Traffic) -> None:
        _replace(Path(self._options.state), msgspec.json.encode(served))

    def _write_weights(self, wanted: str) -> None:
        file = Path(self._options.config)
        try:
            text = file.read_text("utf-8")
        except OSError as error:
            raise HarnessError(f"{file.name}: {error.strerror or error}") from None
        _replace(file, weighted(text, self._options.backend, wanted).encode())


def weighted(text: str, backend: str, wanted: str) -> str:
    r"""Give a config in which one server of a backend has the weight, and the others none.

    >>> text = "backend shop\n  server v1 a:1 check weight 5\n  server v2 b:1"
    >>> print(weighted(text, "shop", "v1"))
    backend shop
      server v1 a:1 check weight 100
      server v2 b:1 weight 0
    """
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if re.match(r"\S", line) and not line.startswith("#"):
            inside = line.split()[:2] == ["backend", backend]
        words = line.split()
        if inside and words[:1] == ["server"] and len(words) > 1:
            weight = WEIGHT if words[1] == wanted else 0
            line = re.sub(r"\s+weight\s+\d+", "", line.rstrip()) + f" weight {weight}"  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines)


def _replace(file: Path, body: bytes) -> None:
    """Write a file whole or not at all."""
    part = file.with_name(file.name + ".part")
    try:
        part.write_bytes(body)
        if file.exists():
            part.chmod(file.stat().st_mode)
        part.replace(file)
    except OSError as error:
        raise HarnessError(f"{file.name}: {error.strerror or error}") from None
