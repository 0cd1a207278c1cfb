"""Shell completion: what a shell is given asks this very program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIDWATCH = Path(sys.executable).with_name("midwatch")


def offered(*words: str) -> list[str]:
    """Ask as bash asks when Tab is pressed behind the words."""
    env = {
        **os.environ,
        "_MIDWATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("midwatch", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([MIDWATCH], env=env, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_and_flags_are_completed() -> None:
    """Of groups too."""
    assert offered("inc") == ["incidents"]
    assert {"list", "show", "ack"} <= set(offered("incidents", ""))
    assert "--shadow" in offered("serve", "--s")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    """It names the program and the variable that the program listens to."""
    done = subprocess.run(
        [MIDWATCH, "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_MIDWATCH_COMPLETE" in done.stdout
