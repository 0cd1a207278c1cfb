"""docs/start.md, done as a newcomer does it: its own lines, typed into bash, in its order.

Law: a line is taken from the page; what is changed is the port, which has to be a free one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.docs.pages import fences, served
from tests.servers import free_port, need

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
        ["bash", "-eu", "-o", "pipefail", "-c", text],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path, **env},
    )


def test_from_nothing_to_a_shadow_report(here: Path) -> None:
    """Install is taken as done; each other line of the page works, and its page is covered."""
    (recorded,) = (text for text in SHELL if "correlate --summary" in text and "cat " in text)
    told = typed(here, recorded)
    assert told.returncode == 0, told.stderr
    assert " -> 1 incident, 1 page\n" in told.stdout

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
        (loop,) = (text for text in SHELL if "\nfor file in" in text)
        sent = typed(here, loop.replace("8600", str(port)))
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.count('"message":"committed"') == 5
        (labels,) = (text for text in SHELL if "--config midwatch" in text)
        assert typed(here, labels).stdout == told.stdout
        time.sleep(1)  # what people need for the next line; `date` knows no part of a second
        (report,) = (text for text in SHELL if text.startswith("printf"))
        server = {"MIDWATCH_SERVER": f"http://127.0.0.1:{port}", "MIDWATCH_TOKEN": tokens[1]}
        for env in (server, {}):
            judged = typed(here, report, **env)
            assert judged.returncode == 0, judged.stderr
            assert re.search(
                r"^covered  \S+  chat-api  burn  INC-1  .* earlier\)$", judged.stdout, re.M
            )


def test_a_label_of_ones_own_names_the_service(here: Path) -> None:
    """Without it `correlate` writes `no service`; in `service_labels` it has a name."""
    alert = '{"labels": {"alertname": "Slow", "part": "cart"}, "startsAt": "2026-11-24T02:00:00Z"}'
    (here / "alerts.jsonl").write_text(alert + "\n", "utf-8")
    ask = "midwatch correlate --config midwatch --summary < alerts.jsonl"
    assert typed(here, "midwatch init").returncode == 0
    assert "on no service;" in typed(here, ask).stdout
    main = here / "midwatch" / "midwatch.yaml"
    named = re.sub(r"^service_labels: .*$", "service_labels: [part]", main.read_text(), flags=re.M)
    main.write_text(named, "utf-8")
    assert "on cart;" in typed(here, ask).stdout


ALERTMANAGER = "start", "serve", "howto/alertmanager"


def test_every_page_has_the_same_lines_for_alertmanager() -> None:
    """Whoever copies from one page gets what another advises: each alert by itself, at once."""
    shown = [
        text
        for page in ALERTMANAGER
        for _, _, text in fences(ROOT / "docs" / f"{page}.md")
        if "webhook_configs" in text
    ]
    assert len(shown) == len(ALERTMANAGER)
    assert len(set(shown)) == 1
    ours = [one for one in routes(shown[0]) if one["receiver"] == "midwatch"]
    assert ours
    for one in ours:
        assert one["group_by"] == ["..."]
        assert one["group_wait"] in ("0s", "1s")
    assert not [page for page in pages() if "webhook_configs" in page.read_text("utf-8")]


def routes(text: str) -> list[dict[str, Any]]:
    """List the routes of an Alertmanager's config."""
    found: list[dict[str, Any]] = YAML(typ="safe").load(text)["route"]["routes"]
    return found


def pages() -> list[Path]:
    """List the pages that show no lines for Alertmanager."""
    shows = {ROOT / "docs" / f"{page}.md" for page in ALERTMANAGER}
    every = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return [page for page in every if page not in shows]


def test_the_receiver_of_the_page_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    """An alert goes to both, as Alertmanager's own tool says."""
    (text,) = (text for kind, text in FENCES if "alertmanager.yml" in kind)
    file = tmp_path / "alertmanager.yml"
    file.write_text(text, "utf-8")
    need("prometheus-alertmanager")  # amtool comes with it
    command = ["amtool", "config", "routes", "test", f"--config.file={file}", "service=shop"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "midwatch,pager"
