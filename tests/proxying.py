"""A real `midwatch proxy` before real servers."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.serving import MIDWATCH

TOKEN = "a-token-of-the-tests-0123456789"
PIN_TOKEN = "a-pin-token-of-the-tests-0123456789"


class Proxy:
    """A running proxy: where users come in, and where it is moved."""

    def __init__(
        self, process: subprocess.Popen[str], users: str, control: str, errors: Path
    ) -> None:
        self.process = process
        self.users = users
        self.control = control
        self.errors = errors

    def said(self) -> str:
        """What it has written into its log."""
        return self.errors.read_text("utf-8")

    def ask(self) -> str:
        """Which release answers now."""
        with urllib.request.urlopen(self.users, timeout=10) as answer:
            return answer.read().decode()


@contextmanager
def proxy(
    folder: Path,
    *upstreams: tuple[str, int],
    cut: bool = False,
    more: Sequence[str] = (),
    control: str = "0",
) -> Iterator[Proxy]:
    """Start one; the first upstream is served at first."""
    options = [f"--upstream={name}=http://127.0.0.1:{port}" for name, port in upstreams]
    command = [
        MIDWATCH,
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--control",
        f"127.0.0.1:{control}",
        "--state",
        str(folder / "proxy.json"),
        *options,
        *(["--cut"] if cut else []),
        *more,
    ]
    env = {**os.environ, "MIDWATCH_PROXY_TOKEN": TOKEN, "MIDWATCH_PROXY_PIN_TOKEN": PIN_TOKEN}
    log = folder / "proxy.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env
        )
    timer = threading.Timer(20, process.kill)
    timer.start()
    assert process.stdout is not None
    line = process.stdout.readline()
    timer.cancel()
    found = re.findall(r"http://[\d.:]+", line)
    try:
        assert len(found) == 2, line + log.read_text("utf-8")
        yield Proxy(process, found[0], found[1], log)
    finally:
        process.terminate()
        code = process.wait(20)
        process.stdout.close()
        assert code in (0, -9)
