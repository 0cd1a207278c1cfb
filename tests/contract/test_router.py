"""What every router does: apply, observe, once, fenced, and honest when it fails."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from midwatch.adapters.routers.command import CommandOptions, CommandRouter
from midwatch.errors import HarnessError
from midwatch.ports import Observed, Router

# A team's own tool: it keeps what it serves in a file and refuses older epochs.
TOOL = """
import json, pathlib, sys, time
verb, file, *rest = sys.argv[1:]
file = pathlib.Path(file)
now = json.loads(file.read_text()) if file.exists() else {"release": "v0", "epoch": 0}
if verb == "apply":
    release, epoch = rest[0], int(rest[1])
    if release == "broken":
        sys.exit("the balancer said no")
    if release == "slow":
        time.sleep(60)
    if epoch < now["epoch"]:
        sys.exit("older than what is served")
    file.write_text(json.dumps({"release": release, "epoch": epoch}))
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
            (sys.executable, str(tool), "apply", state, "{release}", "{epoch}"),
            (sys.executable, str(tool), "observe", state),
            timeout_s=2,
        ),
        os.environ,
    )


def test_what_is_applied_is_observed_and_again_changes_nothing(router: Router) -> None:
    """The same wish twice is one."""
    assert router.observe("shop") == Observed("v0", 0)
    for _ in range(2):
        router.apply("shop", "v1", 3, "op-1")
        assert router.observe("shop") == Observed("v1", 3)


def test_an_older_epoch_does_nothing(router: Router) -> None:
    """A wish that was overtaken comes too late."""
    router.apply("shop", "v2", 5, "op-2")
    with pytest.raises(HarnessError, match="older"):
        router.apply("shop", "v1", 4, "op-1")
    assert router.observe("shop") == Observed("v2", 5)


def test_a_failure_is_told_and_what_is_served_is_still_seen(router: Router) -> None:
    """With the last words of whoever failed."""
    router.apply("shop", "v1", 1, "op-1")
    with pytest.raises(HarnessError, match="the balancer said no"):
        router.apply("shop", "broken", 2, "op-2")
    assert router.observe("shop") == Observed("v1", 1)


def test_what_hangs_is_ended(router: Router) -> None:
    """With its children, in time."""
    start = time.monotonic()
    with pytest.raises(HarnessError, match="took more than 2 s"):
        router.apply("shop", "slow", 2, "op-2")
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("said", ["", "nothing", '{"release": 7}', '{"release": "v1"}'])
def test_an_observation_that_is_none_is_an_error(said: str) -> None:
    """Not seen is unknown, never "as wished"."""
    options = CommandOptions(("true", "{release}"), ("printf", "%s", said))
    with pytest.raises(HarnessError, match="said nothing known"):
        CommandRouter(options, os.environ).observe("shop")


def test_values_stay_arguments_and_secrets_stay_outside(tmp_path: Path) -> None:
    """No shell reads them; of the environment only a few names are passed on."""
    out = tmp_path / "out"
    script = (
        f"import os,sys; open({str(out)!r},'w').write(repr((sys.argv[1:], sorted(os.environ))))"
    )
    options = CommandOptions((sys.executable, "-c", script, "{release}"), ("true",))
    hostile = "$(touch pwned); v1 && x"
    CommandRouter(options, {**os.environ, "SECRET_TOKEN": "x"}).apply("shop", hostile, 1, "op")
    told = out.read_text("utf-8")
    assert hostile in told
    assert "SECRET_TOKEN" not in told
