"""SIGKILL at each step of a move, with each router: what is served afterwards is the pointer's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, until
from tests.acceptance.test_release import TOOL, run, typed
from tests.haproxy import Balancer, Upstream
from tests.proxying import TOKEN, proxy

pytestmark = pytest.mark.slow

CHILD = str(Path(__file__).with_name("router_kill_child.py"))
ROUTERS = ("command", "haproxy", "split")
POINTS = ("before-apply", "after-apply", "after-observe")
CASES = [
    (router, point, purpose)
    for purpose in ("rollback", "promote")
    for router in ROUTERS
    for point in (*POINTS, *(("in-apply",) if router == "haproxy" else ()))
]


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Serving, Callable[[], str]]]:
    """A server with this router, v1 good and v2 served; gives who really answers."""
    serving = Serving(tmp_path)
    with ExitStack() as stack:
        one, two = (stack.enter_context(Upstream(name)) for name in ("v1", "v2"))
        if request.param == "command":
            (tmp_path / "tool.py").write_text(TOOL, "utf-8")
            state = tmp_path / "state.json"
            state.write_text('{"release": "v2", "epoch": 1}', "utf-8")
            tool = [sys.executable, "tool.py"]
            options: dict[str, object] = {
                "type": "command",
                "apply": [*tool, "apply", "state.json", "{release}", "{epoch}"],
                "observe": [*tool, "observe", "state.json"],
            }
            served: Callable[[], str] = partial(_kept, state)
        elif request.param == "haproxy":
            balancer = stack.enter_context(Balancer(tmp_path, one, two))
            options, served = dict(balancer.options()), balancer.ask
        else:
            monkeypatch.setenv("MIDWATCH_PROXY_TOKEN", TOKEN)
            running = stack.enter_context(proxy(tmp_path, ("v2", two.port), ("v1", one.port)))
            options = {
                "type": "split",
                "url": running.control,
                "token_env": "MIDWATCH_PROXY_TOKEN",
            }
            served = running.ask
        main = tmp_path / "midwatch" / "midwatch.yaml"
        routers = json.dumps({"edge": options})
        main.write_text(main.read_text("utf-8") + f"routers: {routers}\n", "utf-8")
        serving.start()
        typed(serving, "register", "shop", "v1", "--digest", "d1", "--known-good")
        typed(serving, "register", "shop", "v2", "--digest", "d2", "--live")
        serving.stop()
        yield serving, served
        serving.stop()


@pytest.mark.parametrize(("world", "point", "purpose"), CASES, indirect=["world"])
def test_after_a_kill_the_served_release_is_the_pointers(
    world: tuple[Serving, Callable[[], str]],
    point: str,
    purpose: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the move is done in the end: what was provably not applied is tried again."""
    serving, served = world
    monkeypatch.setenv("KILL_AT", point)
    serving.start(sys.executable, CHILD)
    args = [purpose, "shop", *(["v1", "--why", "now"] if purpose == "promote" else [])]
    code, _, err = run(serving, *args, "--confirm", "shop", "--wait", "5", "--operation", "op-1")
    assert code in (1, 2), err
    until(lambda: _is_dead(serving.pid))
    serving.kill()
    serving.start()
    until(lambda: not json.loads(typed(serving, "list", "--json"))[0]["pending"], 40)
    (found,) = json.loads(typed(serving, "list", "--json"))
    assert (found["live"], served()) == ("v1", "v1")
    standing = {one["release"]: one["standing"] for one in found["releases"]}
    assert standing["v2"] == ("bad" if purpose == "rollback" else "unproven")


def _kept(state: Path) -> str:
    return json.loads(state.read_text())["release"]


def _is_dead(pid: int) -> bool:
    time.sleep(0.05)
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return not state.stdout.strip() or state.stdout.startswith("Z")
