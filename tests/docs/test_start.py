"""docs/start.md, done as a newcomer does it: its own lines, typed into bash, in its order.

Law: a line is taken from the page; what is changed is the port, which has to be a free one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import free_port, need, running

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "start.md").read_text("utf-8")
FENCES = re.findall(r"^```([^\n]*)\n(.*?)^```", PAGE, re.M | re.S)
SHELL = [text for kind, text in FENCES if not kind]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A checkout, as far as the page needs one."""
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    return tmp_path


def typed(here: Path, text: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Type lines into bash, with midwatch on the path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", text], cwd=here, capture_output=True, text=True,
        check=False, env={**os.environ, "PATH": path, **env},
    )  # fmt: skip


@contextmanager
def served(here: Path, line: str, port: int) -> Iterator[None]:
    """Run the page's own line until the block ends, on a free port."""
    program, *words = line.split()
    command = [str(Path(sys.executable).with_name(program)), *words]
    command += ["--listen", f"127.0.0.1:{port}", "--config", str(here / "midwatch")]
    with running(command, f"http://127.0.0.1:{port}/readyz", here / "log"):
        yield


def test_from_nothing_to_a_shadow_report(here: Path) -> None:
    """Install is taken as done; each other line of the page works, and the report judges a page."""
    (recorded,) = (text for text in SHELL if text.startswith("cat scenarios/"))
    told = typed(here, recorded)
    assert told.returncode == 0, told.stderr
    assert "1 incident" in told.stdout

    (start,) = (text for text in SHELL if text.startswith("midwatch init"))
    *first, serve = start.splitlines()
    tokens: list[str] = []
    for line in first:
        done = typed(here, line)
        assert done.returncode == 0, done.stderr
        tokens += re.findall(r"mw_\S+", done.stdout)
    assert len(tokens) == 2

    port = free_port()
    with served(here, serve, port):
        (loop,) = (text for text in SHELL if text.startswith("for file in"))
        sent = typed(here, loop.replace("8600", str(port)), TOKEN=tokens[0])
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.count('"message":"committed"') == 5
        (page,) = (text for kind, text in FENCES if kind == "json")
        (here / "pages.jsonl").write_text(page, "utf-8")
        (report,) = (text for text in SHELL if text.startswith("midwatch shadow report"))
        server = {"MIDWATCH_SERVER": f"http://127.0.0.1:{port}", "MIDWATCH_TOKEN": tokens[1]}
        for env in (server, {}):
            judged = typed(here, report, **env)
            assert judged.returncode in (0, 1, 3), judged.stderr
            assert judged.stdout.strip()


def test_the_receiver_of_the_page_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    """An alert goes to both, as Alertmanager's own tool says."""
    (text,) = (text for kind, text in FENCES if "alertmanager.yml" in kind)
    file = tmp_path / "alertmanager.yml"
    file.write_text(text, "utf-8")
    need("prometheus-alertmanager")  # amtool comes with it
    command = ["amtool", "config", "routes", "test", f"--config.file={file}", "service=shop"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "midwatch,team"
