"""What the pages in depth show is typed here, as far as it needs nobody else.

Law: a page's lines are typed in its order, into a folder that has what the page speaks of; each
ends with 0, or as the table below says. Those of serving, operations and correlation are typed
beside a real server; test_beside.py does the same for whole pages.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, alert
from tests.docs.pages import alarm, commands, fences, run, served
from tests.servers import free_port, running

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MIDWATCH = [str(Path(sys.executable).with_name("midwatch"))]
ELSEWHERE = re.compile(r"^midwatch serve")  # it stays, and is typed on other pages

INSTALLS = re.compile(r"python3 -m venv|/opt/midwatch/bin/pip|useradd|export PATH")  # for a machine


def nothing(_: Path) -> dict[str, str]:
    return {}


def trial(folder: Path) -> dict[str, str]:
    """What really paged, as the page writes it down."""
    (pages,) = (text for kind, _, text in fences(DOCS / "shadow.md") if kind == "json")
    (folder / "pages.jsonl").write_text(pages, "utf-8")
    return {}


STAGES: dict[str, Callable[[Path], dict[str, str]]] = {"drill": nothing, "shadow": trial}
# What ends otherwise, and why.
ENDS = {
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
    url, told, own = f"http://127.0.0.1:{free_port()}", list[str](), dict[str, str]()
    with ExitStack() as server:
        for line in commands(DOCS / "serve.md"):
            if line == "midwatch serve":
                server.enter_context(served(tmp_path, line, int(url.rpartition(":")[2])))
                alarm(tmp_path, url)
            elif line.startswith("export"):
                here = line.replace("http://127.0.0.1:8600", url).replace("mw_...", told[2].strip())
                own = dict(one.split("=") for one in here.split()[1:])
                assert own.keys() == {"MIDWATCH_SERVER", "MIDWATCH_TOKEN"}
            else:
                if "db prune" in line:
                    server.close()
                done = run(tmp_path, line, **({} if " db " in line else own))
                assert done.code == 0, f"{line}\n{done.output}"
                told.append(done.output)
    assert len(told) == 11
    assert "acknowledged by ada" in told[5]


def test_the_lines_about_operations_are_typed_from_install_to_upgrade(tmp_path: Path) -> None:
    """docs/operations.md: systemctl starts and stops its unit; the user and pip are left out."""
    page = DOCS / "operations.md"
    (unit,) = (text for kind, _, text in fences(page) if kind == "ini")
    assert set(re.findall(r"^After=(.*)$", unit, re.M)) == set(
        re.findall(r"^Wants=(.*)$", unit, re.M)
    )
    for line in (
        "LimitNOFILE=16384",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "PrivateTmp=yes",
        "CapabilityBoundingSet=",
        "UMask=0077",
        "StateDirectory=midwatch",
    ):
        assert f"\n{line}\n" in unit
    if analyze := shutil.which("systemd-analyze"):
        file = tmp_path / "midwatch.service"
        file.write_text(unit.replace("/opt/midwatch/bin/midwatch", "/bin/true"), "utf-8")
        said = subprocess.run([analyze, "verify", file], capture_output=True, check=False)
        assert (said.returncode, said.stderr) == (0, b"")
    state, config, port = tmp_path / "lib", tmp_path / "etc", free_port()
    state.mkdir()

    def here(text: str) -> str:
        text = text.replace("/var/lib/midwatch", str(state)).replace("/etc/midwatch", str(config))
        return text.replace("/opt/midwatch/bin/", "").replace("runuser -u midwatch -- ", "")

    told: dict[str, str] = {}
    exported: dict[str, str] = {}
    with ExitStack() as running_now:
        for line in commands(page):
            if INSTALLS.match(line):
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
    assert sum("mw_" in output for output in told.values()) == 3
    assert len(told) == 18


def test_the_lines_about_correlation_are_typed_beside_a_server(tmp_path: Path) -> None:
    """docs/correlation.md: alerts, a change, silences, tickets, a merge, a split, and an undo."""
    serving = Serving(tmp_path)
    topology = tmp_path / "midwatch" / "topology.yaml"
    names = "shop", "cart", "db", "mail", "search"
    services = "".join(f"  - {{name: {name}, tier: 1}}\n" for name in names)
    topology.write_text(f"services:\n{services}edges:\n  - [cart, db]\n", "utf-8")
    words = (
        "tickets: {categories: {payment: {sure: [declined], service: shop, route: shop-team}}}\n"
    )
    with (tmp_path / "midwatch" / "midwatch.yaml").open("a", encoding="utf-8") as main:
        main.write(words)
    (tmp_path / "labelled.jsonl").write_text(
        '{"text": "my card is declined", "category": "payment", "language": "en"}\n', "utf-8"
    )
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
            ("HighErrorRate", "shop", "a"),
            ("Slow", "cart", "b"),
            ("Slow", "db", "b"),
            ("Full", "mail", "c"),
            ("Old", "search", "d"),
        ):
            serving.deliver(alert(name, service, namespace=space))
        own = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
        own["TOKEN"] = serving.token("--source", "changes")
        for line in commands(DOCS / "correlation.md"):
            there = line.replace("https://oncall.example.org", serving.url)
            done = run(tmp_path, there, **own)
            assert done.code == 0, f"{line}\n{done.output}"
            assert not line.startswith("curl") or '"accepted":1' in done.output, done.output
    finally:
        serving.stop()
