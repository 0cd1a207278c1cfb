"""What the pages in depth show is typed here, as far as it needs nobody else.

Law: a page's lines are typed in its order, into a folder that has what the page speaks of; each
ends with 0, or as the table below says. What is left out is in ELSEWHERE, and docs/limits.md names
the pages that it leaves out of. Those of serving, operations and correlation are typed beside a
real server.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, alert
from tests.docs.pages import commands, fences, run
from tests.servers import free_port, running

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MIDWATCH = [str(Path(sys.executable).with_name("midwatch"))]
# What stays running, what moves traffic, and what is asked of somebody else: it is looked up in
# --help alone here, and what it does is tested in tests/acceptance.
ELSEWHERE = re.compile(
    r"^midwatch (serve|proxy|agent (serve|load)|release (canary|abort|promote))|back shop --conf"
    r"|http://|https://|^curl|^export|^midwatch (runbook (approve|refuse)|incidents waive|cases)"
)


def nothing(_: Path) -> dict[str, str]:
    return {}


def objectives(folder: Path) -> dict[str, str]:
    """The examples, and counts of an hour."""
    (folder / "examples").symlink_to(ROOT / "examples")
    rows = [{"at": f"2026-03-02T00:{m:02}:00Z", "good": 99, "total": 100} for m in range(60)]
    (folder / "counts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    for line in ("midwatch init", "midwatch token create --source app"):
        assert run(folder, line).code == 0
    return {}


def shift(folder: Path) -> dict[str, str]:
    """The journal of a shift with the real agent."""
    done = run(folder, "midwatch drill run stale-cache --db journal.db")
    assert done.code == 0, done.output
    config = ROOT / "scenarios" / "tideline-agent"
    return {"MIDWATCH_CONFIG": str(config), "MIDWATCH_DB": str(folder / "journal.db")}


def shown(folder: Path) -> dict[str, str]:
    """The same, with the runbook, the actions and the policies of docs/runbooks.md."""
    page = (DOCS / "runbooks.md").read_text("utf-8")
    parts = re.findall(r"^```(markdown|yaml)\n(.*?)^```", page, re.M | re.S)
    config = folder / "config"
    shutil.copytree(ROOT / "scenarios" / "tideline-agent", config)
    for file in (config / "runbooks").glob("*.md"):
        if "release.rollback" not in file.read_text("utf-8"):
            file.unlink()
    main = config / "midwatch.yaml"
    kept = main.read_text("utf-8").partition("\n# What runbooks may do")[0]
    main.write_text("\n".join([kept, *(t for kind, t in parts if kind == "yaml")]), "utf-8")
    (config / "runbooks" / "shown.md").write_text(parts[0][1], "utf-8")
    return {**shift(folder), "MIDWATCH_CONFIG": str(config)}


def trial(folder: Path) -> dict[str, str]:
    """What really paged, as the page writes it down."""
    (pages,) = (text for kind, _, text in fences(DOCS / "shadow.md") if kind == "json")
    (folder / "pages.jsonl").write_text(pages, "utf-8")
    return {}


STAGES: dict[str, Callable[[Path], dict[str, str]]] = {
    "agent": nothing, "drill": nothing, "postmortems": shift,
    "runbooks": shown, "shadow": trial, "slo": objectives,
}  # fmt: skip
# What ends otherwise, and why.
ENDS = {
    "midwatch postmortem check INC-1 --whole": 1,  # not all questions were answered
    "midwatch shadow report --pages pages.jsonl": 3,  # nothing was recorded when that page went out
}


@pytest.mark.parametrize("name", STAGES)
def test_the_lines_of_a_page_do_what_it_says(name: str, tmp_path: Path) -> None:
    """Typed as they stand, in their order."""
    own = STAGES[name](tmp_path)
    typed = 0
    for line in commands(DOCS / f"{name}.md"):
        if ELSEWHERE.search(line):
            continue
        command = re.split(r"\s{3,}(?=[a-z])", line)[0]  # what follows says what it is for
        done = run(tmp_path, command, **own)
        assert done.code == ENDS.get(command, 0), f"{command}\n{done.output}"
        typed += 1
    assert typed


def test_the_lines_about_serving_are_typed_beside_a_server(tmp_path: Path) -> None:
    """docs/serve.md: an alert comes, a person takes it, the file is kept."""
    serving = Serving(tmp_path)
    serving.start()
    try:
        serving.deliver(alert("Down"))
        own = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        lines = [
            one for one in commands(DOCS / "serve.md") if re.search(r"incidents |db b|db v", one)
        ]
        assert len(lines) == 7
        for line in lines:
            done = run(tmp_path, line, **({} if " db " in line else own))
            assert done.code == 0, f"{line}\n{done.output}"
    finally:
        serving.stop()
    (prune,) = (one for one in commands(DOCS / "serve.md") if "db prune" in one)
    assert run(tmp_path, prune).code == 0


def test_the_lines_about_operations_are_typed_from_install_to_upgrade(tmp_path: Path) -> None:
    """docs/operations.md: systemctl starts and stops its unit; the user and pip are left out."""
    page = DOCS / "operations.md"
    (unit,) = (text for kind, _, text in fences(page) if kind == "ini")
    assert set(re.findall(r"^After=(.*)$", unit, re.M)) == set(
        re.findall(r"^Wants=(.*)$", unit, re.M)
    )
    state, config, port = tmp_path / "lib", tmp_path / "etc", free_port()
    state.mkdir()

    def here(text: str) -> str:
        text = text.replace("/var/lib/midwatch", str(state)).replace("/etc/midwatch", str(config))
        return text.replace("/opt/midwatch/bin/", "").replace("runuser -u midwatch -- ", "")

    told: dict[str, str] = {}
    exported: dict[str, str] = {}
    with ExitStack() as running_now:
        for line in commands(page):
            if re.match(r"python3 -m venv|/opt/midwatch/bin/pip|useradd|export PATH", line):
                continue
            if line.startswith("export"):
                name, _, value = here(line).removeprefix("export ").partition("=")
                exported[name] = value
            elif line.startswith("systemctl stop"):
                running_now.close()
            elif line.startswith("systemctl"):
                (check,), (start,) = (
                    re.findall(rf"^{key}=(.*)$", here(unit), re.M)
                    for key in ("ExecStartPre", "ExecStart")
                )
                assert run(tmp_path, check).code == 0
                command = [*MIDWATCH, *start.split()[1:], "--listen", f"127.0.0.1:{port}"]
                ready = f"http://127.0.0.1:{port}/readyz"
                running_now.enter_context(running(command, ready, tmp_path / "log"))
            else:
                done = run(tmp_path, here(line), **exported)
                assert done.code == 0, f"{line}\n{done.output}"
                told[line] = done.output
    assert sum("mw_" in output for output in told.values()) == 2
    assert len(told) == 11


def test_the_lines_about_correlation_are_typed_beside_a_server(tmp_path: Path) -> None:
    """docs/correlation.md: alerts, a change, silences, tickets, a merge, a split, and an undo."""
    serving = Serving(tmp_path)
    topology = tmp_path / "midwatch" / "topology.yaml"
    names = "shop", "cart", "db", "mail", "search"
    services = "".join(f"  - {{name: {name}, tier: 1}}\n" for name in names)
    topology.write_text(f"services:\n{services}edges:\n  - [cart, db]\n", "utf-8")
    (tmp_path / "calls.json").write_text('{"edges": [["cart", "db"]]}', "utf-8")
    (tmp_path / "changes.jsonl").write_text(
        '{"at": "2026-03-02T00:00:00Z", "service": "db", "kind": "deploy", "id": "d-1"}\n', "utf-8"
    )
    for name in ("alert.json", "alerts.jsonl"):
        (tmp_path / name).write_text(json.dumps(alert("Slow", "cart")) + "\n", "utf-8")
    (tmp_path / "reports.jsonl").write_text(
        '{"at": "2026-03-02T00:00:00Z", "text": "it is slow"}\n', "utf-8"
    )
    serving.start()
    try:
        for name, service, space in (
            ("HighErrorRate", "shop", "a"), ("Slow", "cart", "b"), ("Slow", "db", "b"),
            ("Full", "mail", "c"), ("Old", "search", "d"),
        ):  # fmt: skip
            serving.deliver(alert(name, service, namespace=space))
        own = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        for line in commands(DOCS / "correlation.md"):
            if line.startswith("curl"):
                continue
            done = run(tmp_path, line, **own)
            assert done.code == 0, f"{line}\n{done.output}"
    finally:
        serving.stop()
