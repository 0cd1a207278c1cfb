"""What is installed decides what `--help` offers, and what is missing is said by its name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from midwatch.cli.main import COMMANDS, EXTRAS

SERVER = (
    "starlette",
    "uvicorn",
    "uvloop",
    "httpx2",
    "sse_starlette",
    "itsdangerous",
    "standardwebhooks",
    "prometheus_client",
    "icalendar",
)
# Hides packages as if they had never been installed.
HIDING = """
import importlib.abc, sys
hidden = set({hidden!r})
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None
class Finder:
    pass
import importlib.util
real = importlib.util.find_spec
def find_spec(name, package=None):
    return None if name.partition(".")[0] in hidden else real(name, package)
importlib.util.find_spec = find_spec
sys.meta_path.insert(0, Hidden())
sys.argv = ["midwatch", *{args!r}]
from midwatch.cli.main import main
main()
"""


def without(
    hidden: Sequence[str], *args: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Type a command on a machine that lacks some packages."""
    text = HIDING.format(hidden=list(hidden), args=list(args))
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_help_lists_what_works_and_below_what_would() -> None:
    """With its extra's name; with the extra there is no such section."""
    done = without(SERVER, "--help")
    listed, _, rest = done.stdout.partition("Needs pip install 'midwatch[server]':")
    assert done.returncode == 0
    for name in COMMANDS:
        where = rest if EXTRAS.get(name) == "server" else listed
        assert f"\n  {name} " in where, name
    whole = without([], "--help").stdout
    assert "pip install" not in whole
    assert "\n  serve " in whole
    done = without(SERVER, "agent", "--help")
    listed, _, rest = done.stdout.partition("Needs pip install 'midwatch[server]':")
    assert "  serve" in rest
    assert "  serve" not in listed


@pytest.mark.parametrize("args", [["serve"], ["agent", "serve"], ["proxy", "--listen", "x:1"]])
def test_what_is_called_all_the_same_says_its_extra(args: list[str], tmp_path: Path) -> None:
    """One line and exit 2."""
    if args == ["serve"]:
        assert without(SERVER, "init", cwd=tmp_path).returncode == 0
    done = without(SERVER, *args, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    if args[0] != "proxy":
        assert "pip install 'midwatch[server]'" in done.stderr


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(EXTRAS)))
def test_every_other_command_is_there_without_the_server(name: str) -> None:
    """Its help needs nothing of it."""
    done = without(SERVER, name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: midwatch")


def test_the_drill_the_gate_and_a_config_need_no_server(tmp_path: Path) -> None:
    """The base install plays a shift, judges a candidate, and checks what init wrote."""
    assert without(SERVER, "drill").returncode == 0
    assert without(SERVER, "init", cwd=tmp_path).returncode == 0
    assert without(SERVER, "check", cwd=tmp_path).returncode == 0
    (tmp_path / "bot.py").write_text("def answer(question):\n    return 'yes'\n")
    (tmp_path / "suite.jsonl").write_text('{"id":"a","question":"is it","expect":"yes"}\n')
    done = without(
        SERVER,
        "gate",
        "--suite",
        "suite.jsonl",
        "--candidate",
        "python:bot:answer",
        "--baseline",
        "python:bot:answer",
        cwd=tmp_path,
    )
    assert "GATE:" in done.stdout, done.stderr
