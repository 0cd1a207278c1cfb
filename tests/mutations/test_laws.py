"""The suite goes red for each law that is broken: all in `make soak`, a few in `make test`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutations import consent, harm, laws, ports, times, trials
from tests.mutations.laws import Mutation

ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "scenarios", "benchmarks", "docs", "lab", "examples")
FILES = ("pyproject.toml", "README.md", "Makefile")
LONGEST_S = 900
MUTATIONS = (
    *laws.MUTATIONS,
    *ports.MUTATIONS,
    *times.MUTATIONS,
    *trials.MUTATIONS,
    *consent.MUTATIONS,
    *harm.MUTATIONS,
)
FEW = ("the core reads a clock", "any hash approves a plan", "a canary promotes on no data")
TRIED = [one for one in MUTATIONS if os.environ.get("MIDWATCH_SOAK") or one.name in FEW]


@pytest.mark.parametrize("one", MUTATIONS, ids=lambda one: one.name)
def test_what_is_to_be_broken_is_there(one: Mutation) -> None:
    """Once in its file, so that the mutation is the one that is meant; its tests exist."""
    assert (ROOT / one.file).read_text("utf-8").count(one.old) == 1
    assert all((ROOT / name).exists() for name in one.tests)


def test_each_law_is_broken_at_least_once() -> None:
    """All nine of the first release; those of 0.2 as they are enforced."""
    assert {one.law for one in MUTATIONS} >= set(range(1, 10))


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("one", TRIED, ids=lambda one: one.name)
def test_a_broken_law_turns_the_suite_red(one: Mutation, tmp_path: Path) -> None:
    """Its tests fail in a copy in which nothing else was changed."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    file = tmp_path / one.file
    file.write_text(file.read_text("utf-8").replace(one.old, one.new), "utf-8")
    here = Path(sys.executable)
    if one.lint:
        command = [str(here.with_name("lint-imports")), "--no-cache"]
    else:
        command = [str(here), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *one.tests]
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("MIDWATCH_SOAK", None)
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=LONGEST_S,
    )
    assert done.returncode == 1, f"{one.name} survived:\n{done.stdout[-2_000:]}{done.stderr[-500:]}"
