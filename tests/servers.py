"""Real servers for tests: which there are, how they are got, and how a test asks for one.

Law: a test speaks to the real program or is skipped with one line that says what to install; with
CI=true a missing server is a failure. Servers listen on loopback, on a free port, and end with
their test.

    python tests/servers.py install     what `make test-deps` does
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

# program -> Debian package
SERVERS = {
    "chromium": "chromium",
    "faketime": "faketime",
    "haproxy": "haproxy",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "strace": "strace",
}
START_S = 20


def missing() -> list[str]:
    """List the programs that this machine lacks."""
    return [program for program in SERVERS if shutil.which(program) is None]


def need(program: str) -> str:
    """Give the path of a server's program; skip, or fail in CI, when it is not here."""
    found = shutil.which(program)
    if found is None:
        says = f"{program} is not installed: make test-deps, or apt-get install {SERVERS[program]}"
        lacking(says)
    return found


def lacking(says: str) -> NoReturn:
    """End a test that this machine cannot run: a skip with its reason, or a failure in CI."""
    import pytest

    if os.environ.get("CI") == "true":
        pytest.fail(says)
    pytest.skip(says)


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], ready_url: str, log: Path) -> Iterator[int]:
    """Run a server until the block ends; gives its process once the URL answers."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _wait(process, ready_url, log)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def clocked(**settings: str) -> list[str]:
    """Give the words that start a program under a clock of our own: `env` with libfaketime's words.

    The loader fills in $LIB, where this machine keeps its libraries. `env` becomes the program, so
    that a signal reaches the program itself, as it would not behind the command `faketime`.
    """
    need("faketime")
    words = {"LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1", **settings}
    return ["env", *(f"{name}={value}" for name, value in words.items())]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urlopen(url, timeout=1).close()
        except (URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} did not answer: {log.read_text('utf-8')[-2000:]}")


def install() -> int:
    """Install what is missing, with Debian's package manager."""
    packages = [SERVERS[program] for program in missing()]
    if not packages:
        return 0
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(install() if sys.argv[1:] == ["install"] else 2)
