"""SIGKILL at each point of a decision and of an effect, once and twice; then the shift goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.state import shard
from midwatch.drill import checkers, scenarios
from midwatch.drill.crashes import POINTS
from midwatch.drill.reports import Story
from midwatch.drill.storm import Storm
from midwatch.drill.world import Log
from midwatch.engine.verify import verify

CHILD = Path(__file__).with_name("kill_child.py")
SOAK = bool(os.environ.get("MIDWATCH_SOAK"))


def play(folder: Path, point: str, nth: int) -> int:
    """Run the child; gives its exit status, or minus the signal that ended it."""
    command = [sys.executable, str(CHILD), str(folder / "shift.db"), str(folder / "world.jsonl")]
    done = subprocess.run([*command, point, str(nth)], capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    return done.returncode


def _bare(key: str) -> str:
    """Leave out the salts of a key: a shift with crashes has more terms than a calm one."""
    return re.sub(r"/[0-9a-f]{16}(?=/|$)", "", key)


def outcome(folder: Path) -> dict[str, object]:
    """Read what became of a shift that ended, out of its files."""
    scenario = scenarios.load(scenarios.find("shift"))
    store = SqliteStore.read_only(folder / "shift.db")
    log = Log(folder / "world.jsonl")
    snapshot, tail = store.load()
    assert snapshot is not None
    assert tail == []
    state = shard.load(snapshot.body)
    story = Story(store, state)
    storm = Storm(scenario, 0)
    result = {
        "findings": verify(store)[1],
        "dead": [(one.key, one.reason) for one in store.letters()],
        "laws": checkers.broken_laws(story, storm, scenario, log),
        "checks": checkers.seven(story, storm),
        "pages": sorted({_bare(page.key) for page in log.sent()}),
        "resent": Counter(page.key for page in log.sent()).most_common(1)[0][1],
        "moves": [(m.service, m.release, m.epoch, _bare(m.operation)) for m in log.moved()],
        "states": {i.id: (i.state, i.severity, i.alert_count) for i in state.incidents.values()},
        # A kill may leave one fact more in a stream, by whose length an admission is named.
        "outbox": [
            (re.sub(r"^(admission/.*)/\d+$", r"\1", _bare(key)), kind, ended)
            for key, kind, ended, _ in store.outbox()
        ],
    }
    store.close()
    log.close()
    return result


@cache
def undisturbed(folder: Path) -> dict[str, object]:
    """The same shift without any crash."""
    assert play(folder, "none", 0) == 0
    return outcome(folder)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the shift comes to when nobody pulls the plug."""
    return undisturbed(tmp_path_factory.mktemp("calm"))


def same_end(one: dict[str, object], other: dict[str, object]) -> None:
    """Compare two ends; how often a page was sent again is bounded apart from that."""
    for name in ("findings", "dead", "laws", "checks", "pages", "moves", "states", "outbox"):
        assert one[name] == other[name], name


def test_the_undisturbed_shift_is_whole(calm: dict[str, object]) -> None:
    """Nothing found, nothing lost, seven checks pass: what the others are compared with."""
    assert calm["findings"] == calm["dead"] == calm["laws"] == []
    assert all(passed for _, passed, _ in calm["checks"])
    assert calm["resent"] == 1
    assert len(calm["moves"]) == 4  # back, the fix's two parts, and on


# How often each point is passed in the shift: the small run takes the early, middle and late ones.
WHEN = {
    "before-commit": (1, 2, 5, 9, 20, 30),
    "after-commit": (1, 2, 5, 9, 20, 30),
    "after-claim": (1, 2, 3, 4, 5),
    "after-call": (1, 2, 3),
    "before-done": (1, 2, 3, 4, 5),
}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(
    ("point", "nth"),
    [
        (point, nth)
        for point in POINTS
        for nth in (range(1, max(WHEN[point]) + 1) if SOAK else WHEN[point])
    ],
)
def test_a_kill_changes_nothing_in_the_end(
    tmp_path: Path, calm: dict[str, object], point: str, nth: int
) -> None:
    """Killed at one point and started again, the shift ends as if nothing had happened."""
    assert play(tmp_path, point, nth) == -signal.SIGKILL
    assert play(tmp_path, "none", 0) == 0
    end = outcome(tmp_path)
    same_end(end, calm)
    assert end["resent"] in (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_second_kill_at_the_same_point_changes_nothing_either(
    tmp_path: Path, calm: dict[str, object], point: str
) -> None:
    """Killed again at the same point right after the start, and only then left alone."""
    assert play(tmp_path, point, 1) == -signal.SIGKILL
    assert play(tmp_path, point, 1) == -signal.SIGKILL
    assert play(tmp_path, "none", 0) == 0
    same_end(outcome(tmp_path), calm)


def test_the_command_goes_on_with_a_journal(tmp_path: Path) -> None:
    """`midwatch drill run shift --db FILE` killed half-way ends well when it is run again."""
    assert play(tmp_path, "after-call", 1) == -signal.SIGKILL
    begun = b'{"type":"Begun","scenario":"shift","seed":0,"broken":""}\n'
    world = begun + (tmp_path / "world.jsonl").read_bytes()
    (tmp_path / "shift.db.world").write_bytes(world)
    command = [Path(sys.executable).with_name("midwatch"), "drill", "run", "shift"]
    done = subprocess.run(
        [*command, "--db", str(tmp_path / "shift.db")], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.endswith("(exit 0) - the whole shift behaved correctly\n")
    again = [*command, "--db", str(tmp_path / "shift.db"), "--seed", "1"]
    other = subprocess.run(again, capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "the event log belongs to another shift" in other.stderr
