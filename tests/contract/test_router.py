"""What every router does: apply, observe, once, fenced, and honest when it fails."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.haproxy import Balancer, Upstream
from tests.proxying import TOKEN, Proxy, proxy
from tests.servers import free_port

from midwatch.adapters.metrics.options import ProxyOptions
from midwatch.adapters.metrics.proxy import ProxyMetrics
from midwatch.adapters.routers.command import CommandRouter
from midwatch.adapters.routers.haproxy import HaproxyRouter
from midwatch.adapters.routers.options import CommandOptions, HaproxyOptions, SplitOptions
from midwatch.adapters.routers.split import SplitRouter
from midwatch.core.values.sli import Counts, Indicator
from midwatch.core.values.slo import Slo
from midwatch.core.values.traffic import Traffic
from midwatch.errors import HarnessError
from midwatch.outbound import Outbound
from midwatch.ports import Health, Router

# A team's own tool: it keeps what it serves in a file and refuses older epochs.
TOOL = """
import json, pathlib, sys, time
verb, file, *rest = sys.argv[1:]
file = pathlib.Path(file)
now = json.loads(file.read_text()) if file.exists() else {"release": "v0", "epoch": 0}
if verb == "apply":
    release, epoch, candidate, weight = rest[0], int(rest[1]), rest[2], int(rest[3])
    if release == "broken":
        sys.exit("the balancer said no")
    if release == "slow":
        time.sleep(60)
    if epoch < now["epoch"]:
        sys.exit("older than what is served")
    file.write_text(json.dumps(
        {"release": release, "epoch": epoch, "candidate": candidate, "weight": weight}))
elif verb == "check":
    if rest[0] == "sick":
        sys.exit("it answers 503")
    print(json.dumps({"digest": "digest-" + rest[0]}))
else:
    print("looking around")
    print(json.dumps(now))
"""


@pytest.fixture
def router(tmp_path: Path) -> Router:
    """A command router over a file."""
    tool = tmp_path / "tool.py"
    tool.write_text(TOOL, "utf-8")
    state = str(tmp_path / "state.json")
    return CommandRouter(
        CommandOptions(
            (
                sys.executable,
                str(tool),
                "apply",
                state,
                "{release}",
                "{epoch}",
                "{candidate}",
                "{weight}",
            ),
            (sys.executable, str(tool), "observe", state),
            timeout_s=2,
            check=(sys.executable, str(tool), "check", state, "{release}"),
        ),
        os.environ,
    )


def test_what_is_applied_is_observed_and_again_changes_nothing(router: Router) -> None:
    """The same wish twice is one."""
    assert router.observe("shop") == Traffic("v0", 0)
    for _ in range(2):
        router.apply("shop", Traffic("v1", 3), "op-1")
        assert router.observe("shop") == Traffic("v1", 3)


def test_an_older_epoch_does_nothing(router: Router) -> None:
    """A wish that was overtaken comes too late."""
    router.apply("shop", Traffic("v2", 5), "op-2")
    with pytest.raises(HarnessError, match="older"):
        router.apply("shop", Traffic("v1", 4), "op-1")
    assert router.observe("shop") == Traffic("v2", 5)


def test_a_failure_is_told_and_what_is_served_is_still_seen(router: Router) -> None:
    """With the last words of whoever failed."""
    router.apply("shop", Traffic("v1", 1), "op-1")
    with pytest.raises(HarnessError, match="the balancer said no"):
        router.apply("shop", Traffic("broken", 2), "op-2")
    assert router.observe("shop") == Traffic("v1", 1)


def test_what_hangs_is_ended(router: Router) -> None:
    """With its children, in time."""
    start = time.monotonic()
    with pytest.raises(HarnessError, match="ran longer than 2 s"):
        router.apply("shop", Traffic("slow", 2), "op-2")
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("said", ["", "nothing", '{"release": 7}', '{"release": "v1"}'])
def test_an_observation_that_is_none_is_an_error(said: str) -> None:
    """Not seen is unknown, never "as wished"."""
    options = CommandOptions(("true", "{release}"), ("printf", "%s", said))
    with pytest.raises(HarnessError, match="printed no valid result"):
        CommandRouter(options, os.environ).observe("shop")


def test_values_stay_arguments_and_secrets_stay_outside(tmp_path: Path) -> None:
    """No shell reads them; of the environment only a few names are passed on."""
    out = tmp_path / "out"
    script = (
        f"import os,sys; open({str(out)!r},'w').write(repr((sys.argv[1:], sorted(os.environ))))"
    )
    options = CommandOptions((sys.executable, "-c", script, "{release}"), ("true",))
    hostile = "$(touch pwned); v1 && x"
    router = CommandRouter(options, {**os.environ, "SECRET_TOKEN": "x"})
    router.apply("shop", Traffic(hostile, 1), "op")
    told = out.read_text("utf-8")
    assert hostile in told
    assert "SECRET_TOKEN" not in told


def test_a_part_for_a_candidate_is_applied_and_observed(router: Router) -> None:
    """And given back by the next epoch."""
    part = Traffic("v1", 3, "v2", 5)
    router.apply("shop", part, "op-1")
    assert router.observe("shop") == part
    router.apply("shop", Traffic("v1", 4), "op-2")
    assert router.observe("shop") == Traffic("v1", 4)


def test_a_tool_that_cannot_share_says_so(tmp_path: Path) -> None:
    """Nothing is run."""
    options = CommandOptions(("touch", str(tmp_path / "ran"), "{release}"), ("true",))
    with pytest.raises(HarnessError, match="cannot split traffic"):
        CommandRouter(options, os.environ).apply("shop", Traffic("v1", 3, "v2", 5), "op")
    assert not (tmp_path / "ran").exists()


def test_a_release_is_checked_by_the_tool(router: Router) -> None:
    """What it says when it fails is the trouble; who has no such tool says nothing."""
    assert router.check("shop", "v1") == Health("", "digest-v1")
    assert "it answers 503" in router.check("shop", "sick").trouble
    assert CommandRouter(CommandOptions(("a",), ("b",)), os.environ).check("x", "v1") == Health()


# --- HAProxy ------------------------------------------------------------------------------------


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[tuple[Balancer, HaproxyRouter]]:
    """A real HAProxy before v1 and v2; v2 gets the traffic."""
    with Upstream("v1") as one, Upstream("v2") as two, Balancer(tmp_path, one, two) as balancer:
        told = {name: value for name, value in balancer.options().items() if name != "type"}
        yield balancer, HaproxyRouter(HaproxyOptions(**told))


def test_haproxy_serves_what_was_applied(balanced: tuple[Balancer, HaproxyRouter]) -> None:
    """At once, for new requests; twice is once; what is observed is what answers."""
    balancer, router = balanced
    assert router.observe("shop") == Traffic("v2", 0)
    for _ in range(2):
        router.apply("shop", Traffic("v1", 3), "op-1")
        assert router.observe("shop") == Traffic("v1", 3)
        assert {balancer.ask() for _ in range(20)} == {"v1"}
    router.apply("shop", Traffic("v2", 4), "op-2")
    assert {balancer.ask() for _ in range(20)} == {"v2"}


def test_haproxy_refuses_what_is_older_or_unknown(
    balanced: tuple[Balancer, HaproxyRouter],
) -> None:
    """And goes on serving what it served."""
    balancer, router = balanced
    router.apply("shop", Traffic("v1", 5), "op-1")
    with pytest.raises(HarnessError, match="older"):
        router.apply("shop", Traffic("v2", 4), "op-0")
    with pytest.raises(HarnessError, match="no server 'v9'"):
        router.apply("shop", Traffic("v9", 6), "op-2")
    assert (router.observe("shop"), balancer.ask()) == (Traffic("v1", 5), "v1")


def test_a_killed_haproxy_comes_back_with_what_was_served(
    balanced: tuple[Balancer, HaproxyRouter],
) -> None:
    """Its file's weights were kept; while it is gone nothing is known."""
    balancer, router = balanced
    router.apply("shop", Traffic("v1", 7), "op-1")
    balancer.kill()
    with pytest.raises(HarnessError, match="socket"):
        router.observe("shop")
    with pytest.raises(HarnessError, match="socket"):
        router.apply("shop", Traffic("v2", 8), "op-2")
    balancer.start()
    assert {balancer.ask() for _ in range(20)} == {"v1"}
    assert router.observe("shop") == Traffic("v1", 7)


def test_haproxy_gives_a_candidate_its_part(balanced: tuple[Balancer, HaproxyRouter]) -> None:
    """Nobody goes unanswered; the file keeps what is live, so a kill takes the candidate off."""
    balancer, router = balanced
    part = Traffic("v2", 3, "v1", 25)
    router.apply("shop", part, "op-1")
    assert router.observe("shop") == part
    answers = [balancer.ask() for _ in range(200)]
    assert 40 <= answers.count("v1") <= 60
    balancer.kill()
    balancer.start()
    assert {balancer.ask() for _ in range(20)} == {"v2"}
    assert router.observe("shop") == Traffic("v2", 0)
    router.apply("shop", part, "op-1")
    router.apply("shop", Traffic("v2", 4), "op-2")
    assert {balancer.ask() for _ in range(20)} == {"v2"}


def test_haproxys_own_state_file_is_kept(balanced: tuple[Balancer, HaproxyRouter]) -> None:
    """With it a HAProxy that starts anew has the weights that were served."""
    balancer, _ = balanced
    told = {name: value for name, value in balancer.options().items() if name != "type"}
    saved = balancer.folder / "servers.state"
    router = HaproxyRouter(HaproxyOptions(**told, server_state=str(saved)))
    part = Traffic("v2", 3, "v1", 25)
    router.apply("shop", part, "op-1")
    text = balancer.config.read_text("utf-8")
    text = text.replace("global\n", f"global\n  server-state-file {saved}\n")
    text = text.replace("  mode http\n", "  mode http\n  load-server-state-from-file global\n")
    balancer.config.write_text(text, "utf-8")
    balancer.kill()
    balancer.start()
    assert router.observe("shop") == part


def test_haproxy_knows_which_server_is_down(balanced: tuple[Balancer, HaproxyRouter]) -> None:
    """By its own check, or by an operator's word."""
    balancer, router = balanced
    assert router.check("shop", "v1") == Health()
    balancer.tell("set server shop/v1 state maint")
    assert "down" in router.check("shop", "v1").trouble
    assert "no server 'v9'" in router.check("shop", "v9").trouble


def test_what_somebody_else_shared_is_seen_as_it_is(
    balanced: tuple[Balancer, HaproxyRouter],
) -> None:
    """Provably not what was wanted, so it is put right; three are unknown, never a guess."""
    balancer, router = balanced
    router.apply("shop", Traffic("v1", 1), "op-1")
    balancer.tell("set server shop/v2 state ready; set server shop/v2 weight 50")
    assert router.observe("shop") == Traffic("v1", 0, "v2", 33)
    router.apply("shop", Traffic("v1", 2), "op-2")
    assert router.observe("shop") == Traffic("v1", 2)


# --- the embedded proxy -------------------------------------------------------------------------


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Proxy, SplitRouter]]:
    """A real proxy before v2 and v1; v2 is served at first."""
    with (
        Upstream("v1") as one,
        Upstream("v2") as two,
        proxy(tmp_path, ("v2", two.port), ("v1", one.port)) as running,
    ):
        options = SplitOptions(running.control, "X")
        yield running, SplitRouter(options, TOKEN, Outbound([running.control]))


def ask(running: Proxy) -> str:
    """Which release answers now."""
    with urllib.request.urlopen(running.users, timeout=10) as answer:
        said = answer.read().decode()
        assert answer.headers["x-midwatch-release"] == said
        return said


def test_the_proxy_serves_what_was_applied(proxied: tuple[Proxy, SplitRouter]) -> None:
    """At once; twice is once; what is observed is what answers."""
    running, router = proxied
    assert (router.observe("shop"), ask(running)) == (Traffic("v2", 0), "v2")
    for _ in range(2):
        router.apply("shop", Traffic("v1", 3), "op-1")
        assert (router.observe("shop"), ask(running)) == (Traffic("v1", 3), "v1")


def test_the_proxy_refuses_what_is_older_or_unknown(proxied: tuple[Proxy, SplitRouter]) -> None:
    """And goes on serving what it served; without its token it says nothing."""
    running, router = proxied
    router.apply("shop", Traffic("v1", 5), "op-1")
    with pytest.raises(HarnessError, match="409"):
        router.apply("shop", Traffic("v2", 4), "op-0")
    with pytest.raises(HarnessError, match="no upstream"):
        router.apply("shop", Traffic("v9", 6), "op-2")
    stranger = SplitRouter(SplitOptions(running.control, "X"), "guess", Outbound([running.control]))
    with pytest.raises(HarnessError, match="401"):
        stranger.observe("shop")
    with pytest.raises(HarnessError, match="401"):
        stranger.apply("shop", Traffic("v2", 9), "op-3")
    assert (router.observe("shop"), ask(running)) == (Traffic("v1", 5), "v1")


def test_a_killed_proxy_comes_back_with_what_was_served(tmp_path: Path) -> None:
    """While it is gone nothing is known."""
    with Upstream("v1") as one, Upstream("v2") as two:
        both = (("v2", two.port), ("v1", one.port))
        with proxy(tmp_path, *both) as running:
            router = SplitRouter(
                SplitOptions(running.control, "X"), TOKEN, Outbound([running.control])
            )
            router.apply("shop", Traffic("v1", 7), "op-1")
            running.process.kill()
            running.process.wait(10)
            with pytest.raises(HarnessError):
                router.observe("shop")
        with proxy(tmp_path, *both) as running:
            assert ask(running) == "v1"


def ask_as(running: Proxy, user: str) -> str:
    """Which release answers this user."""
    request = urllib.request.Request(running.users, headers={"cookie": f"a=b; sid={user}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def test_a_user_keeps_their_release_and_more_weight_moves_nobody_back(tmp_path: Path) -> None:
    """A candidate's part are the same users again and again, also after a restart."""
    users = [f"user-{n}" for n in range(400)]
    with Upstream("v1") as one, Upstream("v2") as two:
        both = (("v1", one.port), ("v2", two.port))
        with proxy(tmp_path, *both, more=["--key", "cookie:sid"]) as running:
            router = SplitRouter(
                SplitOptions(running.control, "X"), TOKEN, Outbound([running.control])
            )
            parts: list[set[str]] = []
            for epoch, weight in enumerate((10, 25, 50), start=1):
                router.apply("shop", Traffic("v1", epoch, "v2", weight), "op")
                got = {user for user in users if ask_as(running, user) == "v2"}
                assert abs(len(got) - 4 * weight) < 35
                assert not parts or parts[-1] < got
                parts.append(got)
            running.process.kill()
            running.process.wait(10)
        with proxy(tmp_path, *both, more=["--key", "cookie:sid"]) as running:
            assert {user for user in users if ask_as(running, user) == "v2"} == parts[-1]


def test_the_proxy_checks_releases_and_counts_what_they_answer(tmp_path: Path) -> None:
    """Who is gone cannot be reached; a request that got no answer counts as an error."""
    with Upstream("v1") as one:
        both = (("v1", one.port), ("gone", free_port()))
        with proxy(tmp_path, *both, more=["--health", "/healthz"]) as running:
            outbound = Outbound([running.control])
            router = SplitRouter(SplitOptions(running.control, "X"), TOKEN, outbound)
            assert router.check("shop", "v1") == Health()
            assert "no upstream" in router.check("shop", "v9").trouble
            assert "unreachable" in router.check("shop", "gone").trouble
            options = ProxyOptions(running.control, "X")
            metrics = ProxyMetrics(options, TOKEN, outbound)
            good, bad = _counted("v1"), _counted("gone")
            metrics.counts(good, (10,), 1_000_000)
            metrics.counts(bad, (10,), 1_000_000)
            for _ in range(3):
                ask(running)
            router.apply("shop", Traffic("gone", 1), "op")
            with pytest.raises(urllib.error.HTTPError):
                ask(running)
            assert metrics.counts(good, (10,), 1_010_000) == {10: Counts(3, 3)}
            assert metrics.counts(bad, (10,), 1_010_000) == {10: Counts(0, 1)}
            running.process.kill()
            running.process.wait(10)
            slow = ["--health", "/healthz", "--slow", "0.000001"]
            control = running.control.rpartition(":")[2]
        with proxy(tmp_path, *both, more=slow, control=control) as running:
            router.apply("shop", Traffic("v1", 2), "op")
            for _ in range(5):
                ask(running)
            # More than before the kill, and it began anew: 5 came, not 2.
            assert metrics.counts(good, (10,), 1_020_000) == {10: Counts(5, 5)}
            late = _counted("v1", "slow")
            metrics.counts(late, (10,), 1_020_000)
            ask(running)
            assert metrics.counts(late, (10,), 1_030_000) == {10: Counts(0, 1)}
            with pytest.raises(HarnessError, match="401"):
                ProxyMetrics(options, "guess", outbound).counts(good, (10,), 1_030_000)


def _counted(release: str, bad: str = "errors") -> Slo:
    asked = Indicator("counter", "users", bad=f"{release}/{bad}", total=f"{release}/requests")
    return Slo(f"canary/shop/{bad}@{release}", "shop", "0.5", period_s=600, indicator=asked)
