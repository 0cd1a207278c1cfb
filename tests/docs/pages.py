"""What stands in a page: its files, its commands, and a shell to type them into.

Law: a line is run as the page has it, with the programs of this environment first on the path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from tests.acceptance.serving import alert, until, webhook
from tests.servers import running

FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```', re.M | re.S)
# What `midwatch init` writes, and a page adds to, stands in a folder of its own.
CONFIG = re.compile(r"(midwatch|topology)\.yaml|(schedules|slos|runbooks)/")
ENDS = re.compile(r"\s+# .*?\bends with (\d)")


@dataclass(frozen=True)
class Done:
    """A command that was run: what it printed, and how it ended."""

    command: str
    output: str
    code: int
    wanted: int


def fences(page: Path) -> list[tuple[str, str, str]]:
    """Give language, title and text of each fence."""
    return FENCE.findall(page.read_text("utf-8"))


def commands(page: Path) -> list[str]:
    """Give the command lines of a page, with what goes on in the next line joined."""
    bare = (text for kind, title, text in fences(page) if not kind and not title)
    return [line for text in bare for line in text.replace("\\\n", " ").splitlines() if line]


def run(folder: Path, command: str, **own: str) -> Done:
    """Run a line of a page as a shell does, with midwatch and python of this environment."""
    ends = ENDS.search(command)
    env = {name: text for name, text in os.environ.items() if not name.startswith("MIDWATCH_")}
    env |= own
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(command, ran.stdout, ran.returncode, int(ends[1]) if ends else 0)


def put(folder: Path, name: str, text: str) -> None:
    """Write a file that a page shows; keys of midwatch.yaml replace those of the same name."""
    file = folder / "midwatch" / name if CONFIG.match(name) else folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if name == "midwatch.yaml":
        shown = YAML(typ="safe").load(text)
        blocks = re.split(r"^(?=[a-z_]+:)", file.read_text("utf-8"), flags=re.M)
        text += "".join(one for one in blocks if one.partition(":")[0] not in shown)
    file.write_text(text, "utf-8")


@contextmanager
def served(folder: Path, line: str, port: int, **own: str) -> Iterator[None]:
    """Run a page's own `midwatch serve` until the block ends, on this port instead of its own."""
    program, *words = line.split()
    exported = [f"{name}={text}" for name, text in own.items()]
    command = ["env", *exported, str(Path(sys.executable).with_name(program)), *words]
    command += ["--listen", f"127.0.0.1:{port}", "--config", str(folder / "midwatch")]
    with running(command, f"http://127.0.0.1:{port}/readyz", folder / "log"):
        yield


def alarm(folder: Path, server: str) -> None:
    """Send an alert of a service that is listed, as Alertmanager does; somebody has its page."""
    sender, person = (
        run(folder, f"midwatch token create {whose}").output.strip()
        for whose in ("--source alertmanager", "--role responder --name test")
    )
    request = urllib.request.Request(f"{server}/intake/alertmanager", webhook(alert("Down")))
    request.add_header("Authorization", f"Bearer {sender}")
    urllib.request.urlopen(request, timeout=10).close()
    own = {"MIDWATCH_SERVER": server, "MIDWATCH_TOKEN": person}
    until(lambda: "PageSent" in run(folder, "midwatch incidents show INC-1", **own).output)
