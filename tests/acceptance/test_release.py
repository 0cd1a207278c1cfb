"""`midwatch release` over a real server that moves a real agent's traffic."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, until
from tests.haproxy import Balancer, Upstream, asking
from tests.proxying import TOKEN, proxy

pytestmark = pytest.mark.slow

TOOL = """
import json, pathlib, sys
verb, file, *rest = sys.argv[1:]
file = pathlib.Path(file)
now = json.loads(file.read_text())
if verb == "apply":
    if int(rest[1]) < now["epoch"] or pathlib.Path("stuck").exists():
        sys.exit("refused")
    whole = file.with_suffix(".new")  # the test may be reading
    whole.write_text(json.dumps({"release": rest[0], "epoch": int(rest[1])}))
    whole.replace(file)
print(json.dumps(json.loads(file.read_text())))
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server whose router is a script, with v1 good and v2 live."""
    serving = Serving(tmp_path)
    (tmp_path / "tool.py").write_text(TOOL, "utf-8")
    (tmp_path / "state.json").write_text('{"release": "v2", "epoch": 1}', "utf-8")
    main = tmp_path / "midwatch" / "midwatch.yaml"
    command = f"{sys.executable}, tool.py"
    router = (
        "routers:\n  edge:\n    type: command\n"
        f"    apply: [{command}, apply, state.json, '{{release}}', '{{epoch}}']\n"
        f"    observe: [{command}, observe, state.json]\n"
    )
    main.write_text(main.read_text("utf-8") + router, "utf-8")
    serving.start()
    typed(serving, "register", "shop", "v1", "--digest", "d1", "--known-good")
    typed(serving, "register", "shop", "v2", "--digest", "d2", "--live")
    yield serving
    serving.stop()


def run(serving: Serving, *args: str) -> tuple[int, str, str]:
    """Type a release command; gives code, output and errors."""
    where = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    done = serving.type("release", *args, **where)
    return done.returncode, done.stdout, done.stderr


def typed(serving: Serving, *args: str) -> str:
    """Type one that works."""
    code, out, err = run(serving, *args)
    assert code == 0, err
    return out


def served(serving: Serving) -> str:
    """What the router really serves."""
    return json.loads((serving.folder / "state.json").read_text())["release"]


def test_a_rollback_is_one_call_and_is_seen(serving: Serving) -> None:
    """It says what would be done, does it, and tells the history with who did it."""
    plan = typed(serving, "rollback", "shop", "--dry-run")
    assert plan == "rollback shop: v2 -> v1 at epoch 2\n"
    assert served(serving) == "v2"
    out = typed(serving, "rollback", "shop", "--confirm", "shop", "--why", "wrong answers")
    assert out == "shop serves v1 at epoch 2\n"
    assert served(serving) == "v1"
    assert typed(serving, "live", "shop") == "v1\n"
    listed = typed(serving, "list", "shop")
    assert "v2" in listed
    assert "bad" in listed
    history = typed(serving, "history", "shop")
    assert "wrong answers" in history
    assert "PointerMoved" in history
    again = run(serving, "promote", "shop", "v2", "--confirm", "shop")
    assert again[0] == 2
    assert "known bad" in again[2]


def test_the_same_operation_is_done_once_and_a_stale_epoch_is_refused(serving: Serving) -> None:
    """Also when it comes again after it was done."""
    typed(serving, "register", "shop", "v3", "--digest", "d3")
    args = (
        "promote",
        "shop",
        "v3",
        "--confirm=shop",
        "--operation=deploy-7",
        "--json",
        "--why=now",
    )
    first, second = json.loads(typed(serving, *args)), json.loads(typed(serving, *args))
    assert (first["live"], first["epoch"]) == ("v3", 2)
    assert second["epoch"] == 2
    code, _, err = run(serving, "rollback", "shop", "--confirm", "shop", "--epoch", "1")
    assert code == 2
    assert "epoch" in err


def test_what_is_not_seen_fails_and_pages(serving: Serving) -> None:
    """The router refuses: tried again, then a person is paged; the pointer stays."""
    (serving.folder / "stuck").touch()
    code, out, _ = run(serving, "rollback", "shop", "--confirm", "shop", "--wait", "40")
    assert code == 1
    assert "had no effect; " in out
    assert "release history" not in out
    until(lambda: "PAGE sev2" in serving.out.read_text())
    assert served(serving) == "v2"
    assert typed(serving, "live", "shop") == "v2\n"


@pytest.mark.parametrize("how", ["haproxy", "split"])
def test_under_load_no_request_after_the_rollback_gets_the_bad_release(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10,000 requests over kept connections: what began after the answer is right."""
    monkeypatch.setenv("MIDWATCH_PROXY_TOKEN", TOKEN)
    with ExitStack() as stack:
        good, bad = (stack.enter_context(Upstream(name)) for name in ("v1", "v2"))
        if how == "haproxy":
            balancer = stack.enter_context(Balancer(tmp_path, good, bad))
            router, address = balancer.options(), f"127.0.0.1:{balancer.port}"
        else:
            running = stack.enter_context(proxy(tmp_path, ("v2", bad.port), ("v1", good.port)))
            address = running.users.removeprefix("http://")
            router = {"type": "split", "url": running.control, "token_env": "MIDWATCH_PROXY_TOKEN"}
        serving = Serving(tmp_path)
        main = tmp_path / "midwatch" / "midwatch.yaml"
        text = f"routers: {{edge: {json.dumps(router)}}}\n"
        main.write_text(main.read_text("utf-8") + text, "utf-8")
        serving.start()
        try:
            typed(serving, "register", "shop", "v1", "--digest", "d1", "--known-good")
            typed(serving, "register", "shop", "v2", "--digest", "d2", "--live")
            with asking(address) as seen:
                until(lambda: len(seen) > 500)
                typed(serving, "rollback", "shop", "--confirm", "shop")
                acknowledged = time.perf_counter()
                count = len(seen)
                until(lambda: len(seen) > count + 10_000, 60)
            after = [release for started, release in seen if started > acknowledged]
            assert len(after) > 9_900
            assert set(after) == {"v1"}
            assert {release for _, release in seen} == {"v1", "v2"}
        finally:
            serving.stop()


def test_a_kill_in_between_ends_with_what_is_served(serving: Serving) -> None:
    """After a restart it observes first; the pointer is what the router serves."""
    typed(serving, "rollback", "shop", "--confirm", "shop")
    serving.kill()
    serving.start()
    assert typed(serving, "live", "shop").strip() == served(serving) == "v1"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("rollback", "cart", "--confirm", "cart"), "no release of 'cart'"),
        (("rollback", "shop", "--confirm", "cart"), "is not 'shop'"),
        (("register", "shop", "--", "-v", "x"), ""),
        (("register", "shop", "v1", "--digest", "other"), "a release never changes"),
    ],
)
def test_mistakes_are_one_line(serving: Serving, args: tuple[str, ...], says: str) -> None:
    """Exit 2, and nothing moves."""
    code, _, err = run(serving, *args)
    assert code == 2
    assert says in err
    assert served(serving) == "v2"


def test_a_balancer_that_came_back_with_the_wrong_release_is_set_right(serving: Serving) -> None:
    """On start what is served is looked at, and the pointer is the truth."""
    typed(serving, "rollback", "shop", "--confirm", "shop")
    assert serving.stop() == 0
    (serving.folder / "state.json").write_text('{"release": "v2", "epoch": 0}', "utf-8")
    serving.start()
    until(lambda: served(serving) == "v1")
    until(lambda: "reconcile/shop/3" in typed(serving, "list", "shop", "--json"))


def test_without_a_server_or_a_router_nothing_is_begun(tmp_path: Path) -> None:
    """Nobody would carry it out."""
    serving = Serving(tmp_path)
    assert (
        serving.type(
            "release", "register", "shop", "v1", "--digest", "d", "--known-good"
        ).returncode
        == 0
    )
    assert (
        serving.type("release", "register", "shop", "v2", "--digest", "e", "--live").returncode == 0
    )
    done = serving.type("release", "rollback", "shop", "--confirm", "shop")
    assert done.returncode == 2
    assert "midwatch serve" in done.stderr
    serving.start()
    try:
        code, _, err = run(serving, "rollback", "shop", "--confirm", "shop")
        assert code == 2
        assert "routers" in err
    finally:
        serving.stop()


def test_config_errors_of_routers_are_told(tmp_path: Path) -> None:
    """Each with its place."""
    serving = Serving(tmp_path)
    main = tmp_path / "midwatch" / "midwatch.yaml"
    bad = "routers: {a: {type: command, apply: [x], observe: []}, b: {type: haproxy, socket: x}}\n"
    main.write_text(main.read_text("utf-8") + bad, "utf-8")
    told = serving.type("check", "midwatch")
    said = told.stdout + told.stderr
    assert told.returncode == 2
    assert "routers.a.apply" in said
    assert "routers.a.observe" in said
    assert "routers.b" in said


CANARIES = """
metrics:
  own: {type: pushed}
  users: {type: proxy, url: "http://127.0.0.1:1", token_env: X}
  prom: {type: prometheus, url: "http://127.0.0.1:2"}
canaries:
  shopp: {guards: {a: {source: users, bad: errors, total: requests}}}
  shop:
    steps: [50, 5]
    every: 15s
    guards:
      b: {source: prom, good: 'a', total: 'b{r="{{.release}}"}'}
      c: {source: users, bad: mistakes, total: requests, margin: 2}
      d: {source: own, good: x, total: y}
      e: {slo: shop/nothing}
      f: {source: users, total: requests}
"""


def test_config_errors_of_canaries_are_told(tmp_path: Path) -> None:
    """All in one run, each with its place and a remedy."""
    serving = Serving(tmp_path)
    main = tmp_path / "midwatch" / "midwatch.yaml"
    text = main.read_text("utf-8").replace("metrics:\n  app: {type: pushed}\n", "")
    main.write_text(text + CANARIES, "utf-8")
    done = serving.type("check", "midwatch")
    said = done.stdout + done.stderr
    assert done.returncode == 2
    for told in (
        "canaries.shopp: unknown service 'shopp'",
        "steps: the percentages must rise from 1 to 100",
        "every: not a multiple of 10s",
        "b.good: the query does not contain {{.release}}",
        "c.bad: got 'mistakes'",
        "c.margin: got 2",
        "d: this source cannot separate releases",
        "e.slo: unknown objective 'shop/nothing'",
        "f: got total",
    ):
        assert told in said, said
