"""Programs that are run for somebody, as real processes: when they have ended, and what is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.acceptance.serving import until

from midwatch.adapters import leftovers, processes
from midwatch.adapters.actions.command import CommandActions
from midwatch.adapters.routers.command import CommandRouter
from midwatch.adapters.routers.options import CommandOptions
from midwatch.adapters.targets.commands import MOST, CommandTarget
from midwatch.core.values.actions import Command
from midwatch.core.values.evals import Case
from midwatch.errors import Declined, HarnessError, Interrupted, NeverSent

PATH = {"PATH": "/usr/bin:/bin"}
LONG_S = 120.0  # no test waits for it
HUGE = 3_000_000_000 if os.environ.get("MIDWATCH_SOAK") else 60_000_000
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Path]:
    """A file into which a script writes the processes that outlive it; they are ended at last."""
    file = tmp_path / "pids"
    file.touch()
    yield file
    for pid in file.read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def lives(pid: str) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def shell(text: str, timeout_s: float = LONG_S) -> processes.Ended:
    """Run a script."""
    return processes.run(["/bin/sh", "-c", text], timeout_s, PATH)


@on_linux
@pytest.mark.parametrize(
    "daemon",
    [
        "sleep 300 &",
        "setsid sleep 300 &",
        "(trap '' TERM HUP; while :; do sleep 0.3; done) &",
        "setsid sleep 300 > /dev/null 2>&1 &",
    ],
)
def test_a_program_has_ended_when_it_has_exited_itself(daemon: str, started: Path) -> None:
    """Whatever it leaves running, which holds its pipes or not, is told, and lives on."""
    ended = CommandActions(PATH).apply(
        Command(("/bin/sh", "-c", f"{daemon} echo $! > {started}; echo restarted")), "op", LONG_S
    )
    (pid,) = started.read_text().split()
    assert ended.output == "restarted"
    assert f"({pid})" in ended.says
    assert "left running: " in ended.says
    assert ("its output is still open" in ended.says) is (">" not in daemon)
    assert lives(pid)


@on_linux
def test_a_service_that_a_step_has_restarted_writes_on(started: Path, tmp_path: Path) -> None:
    """A pipe that nobody reads would end it at its next line, or hold it up for ever."""
    script = tmp_path / "service"
    script.write_text(
        f"#!/bin/sh\ntrap 'echo cut >> {tmp_path}/end; exit' PIPE\ni=0\nwhile [ $i -lt 40 ]; do\n"
        "  head -c 10000 /dev/zero | tr '\\0' x || exit 3\n  sleep 0.02; i=$((i+1))\ndone\n"
        f"echo written > {tmp_path}/end\nsleep 300\n"
    )
    script.chmod(0o755)
    shell(f"sleep 0.2; {script} & echo $! >> {started}")
    end = tmp_path / "end"
    until(end.exists, 60)
    assert end.read_text() == "written\n"
    assert all(map(lives, started.read_text().split()))


def test_a_service_lives_on_when_midwatch_ends(started: Path, tmp_path: Path) -> None:
    """Whoever reads what it writes is no part of the process that ran the step."""
    loop = "while :; do echo beat; echo $$ >> BEATS; sleep 0.05; done".replace(
        "BEATS", f"{tmp_path}/beats"
    )
    code = (
        "from midwatch.adapters import processes\n"
        f"processes.run(['/bin/sh', '-c', '({loop}) & echo $! > {started}'], 60)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    beats = tmp_path / "beats"
    until(beats.exists)
    seen = beats.read_text().count("\n")
    until(lambda: beats.read_text().count("\n") > seen + 10, 60)


@on_linux
@pytest.mark.parametrize("keeper", ["", "setsid sleep 300 & echo $! > PIDS;"])
def test_what_takes_too_long_is_ended_with_its_group_and_answered(
    keeper: str, started: Path
) -> None:
    """Also when it does not listen to signals that ask, or somebody else keeps its pipe open."""
    script = (
        f"{keeper.replace('PIDS', str(started))} trap '' TERM INT HUP; echo begun; sleep 300 & "
        f"echo $! >> {started}.own; echo $$ >> {started}.own; while :; do sleep 1; done"
    )
    began = time.monotonic()
    with pytest.raises(HarnessError, match="/bin/sh ran longer than 1 s") as caught:
        shell(script, 1)
    # It may be slow here; waiting for the pipe it would be 300 s. What it waits for is under 1 s.
    assert processes.TURN_S + processes.REAP_S + processes.DRAIN_S < 1
    assert time.monotonic() - began < 30
    assert caught.value.output == "begun"
    own = Path(f"{started}.own").read_text().split()
    until(lambda: not any(map(lives, own)), 30)
    if keeper:
        assert "left running: sleep" in str(caught.value)
        assert all(map(lives, started.read_text().split()))


def test_gigabytes_are_counted_and_not_kept() -> None:
    """The end of each output is held, and how much there was before it is known."""
    code = (
        "import resource, sys\nfrom midwatch.adapters import processes\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "processes.run(['/bin/true'], 60)\nbefore = peak()\n"
        f"text = 'head -c {HUGE} /dev/zero; echo; echo the end; echo bad >&2'\n"
        f"ended = processes.run(['/bin/sh', '-c', text], {LONG_S})\n"
        "print(len(ended.said), ended.lost, ended.complained.strip(), ended.said[-8:].strip(),"
        " peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=LONG_S, capture_output=True, text=True
    )
    kept, lost, complained, *last, more_kb = done.stdout.split()
    assert (int(kept), complained, last) == (processes.KEPT, "bad", ["the", "end"])
    assert int(lost) == HUGE + len("\nthe end\n") - processes.KEPT
    assert int(more_kb) < 8_000


def test_a_program_that_does_not_want_its_input_holds_nothing_up() -> None:
    """And one that wants it gets all of it, while it answers."""
    given = "x" * 500_000
    kept = 2 * len(given)
    assert processes.run(["/bin/true"], LONG_S, PATH, given).code == 0
    assert processes.run(["/bin/cat"], LONG_S, PATH, given, kept=kept).said == given
    assert processes.run(["/bin/cat"], LONG_S, PATH).said == ""


def test_what_is_written_right_before_the_exit_is_read() -> None:
    """By it, and by what it has just started."""
    ended = shell("head -c 60000 /dev/zero | tr '\\0' y; (sleep 0.05; echo late) & exit 3")
    assert (ended.code, ended.said) == (3, "y" * 60_000 + "late\n")
    assert ended.lost == 0


def test_without_the_systems_help_it_ends_the_same(
    monkeypatch: pytest.MonkeyPatch, started: Path
) -> None:
    """No word of an exit, no table of processes, no cat: the pipe alone says that it is open."""

    def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(processes, "_exit_of", nothing)
    monkeypatch.setattr(leftovers, "TABLE", Path("/nothing/here"))
    monkeypatch.setattr(shutil, "which", nothing)
    ended = shell(f"sleep 300 & echo $! > {started}; echo done")
    assert (ended.said, ended.left) == ("done\n", "its output is still open")


@on_linux
def test_nothing_is_left_of_programs_that_ended() -> None:
    """No process that nobody buries, and no open file."""
    code = (
        "import os, time\nfrom midwatch.adapters import processes\n"
        "def files(): return len(os.listdir('/proc/self/fd'))\n"
        "def mine(): return len(open(f'/proc/self/task/{os.getpid()}/children').read().split())\n"
        "run = lambda text: processes.run(['/bin/sh', '-c', text], 60)\n"
        "run('true')\nbefore = files()\n"
        "for _ in range(4): run('(sleep 0.4; echo x) & echo y'); run('exit 3')\n"
        "opened, until = files() - before, time.monotonic() + 60\n"
        "while mine() and time.monotonic() < until: time.sleep(0.1); run('true')\n"
        "print(opened, mine())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=LONG_S, capture_output=True, text=True
    )
    assert done.stdout.split() == ["0", "0"]


def test_a_program_that_cannot_start_was_never_sent() -> None:
    """Nothing can have come of it; an exit code is an answer, and the end by a signal is none."""
    actions = CommandActions(PATH)
    with pytest.raises(NeverSent, match="No such file"):
        actions.apply(Command(("/no/such/program",)), "op", LONG_S)
    with pytest.raises(Declined, match="sh exited with code 4"):
        actions.apply(Command(("/bin/sh", "-c", "exit 4")), "op", LONG_S)
    with pytest.raises(HarnessError, match="sh was killed by signal 9") as caught:
        actions.apply(Command(("/bin/sh", "-c", "kill -9 $$")), "op", LONG_S)
    assert not isinstance(caught.value, Declined | NeverSent)


def test_a_step_says_how_much_it_wrote_that_nobody_kept() -> None:
    """The rest stands in its record."""
    script = "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo the end"
    said = CommandActions(PATH).apply(Command(("/bin/sh", "-c", script)), "op", LONG_S)
    lost = 1_000_000 + len("\nthe end\n") - processes.KEPT
    assert said.says == f"/bin/sh exited with code 0; {lost:,} bytes of its output were dropped"
    assert said.output.endswith("x\nthe end")


@on_linux
def test_routers_and_targets_are_run_by_the_same(started: Path) -> None:
    """A deploy tool that leaves a daemon behind, and an agent that does."""
    leaves = f"setsid sleep 300 & echo $! >> {started};"
    options = CommandOptions(
        ("/bin/sh", "-c", f"{leaves} exit 0"),
        ("/bin/sh", "-c", f'{leaves} echo \'{{"release": "v1", "epoch": 3}}\''),
        timeout_s=int(LONG_S),
    )
    router = CommandRouter(options, PATH)
    assert router.observe("shop").epoch == 3
    asked = CommandTarget(["/bin/sh", "-c", f"{leaves} cat"], LONG_S, PATH).ask(Case("c", "Why?"))
    assert asked.text == "Why?"
    assert all(map(lives, started.read_text().split()))


def test_an_answer_of_which_only_the_end_is_held_is_no_answer() -> None:
    """It must not be judged as if it was whole."""
    script = f"head -c {MOST + 10} /dev/zero | tr '\\0' x"
    with pytest.raises(HarnessError, match="wrote more than"):
        CommandTarget(["/bin/sh", "-c", script], LONG_S, PATH).ask(Case("c", "Why?"))


@on_linux
def test_midwatch_that_stops_waits_for_no_program(
    monkeypatch: pytest.MonkeyPatch, started: Path
) -> None:
    """The step goes on, and nobody says what came of it."""
    monkeypatch.setattr(processes, "leaving", threading.Event())
    threading.Timer(0.3, processes.leave).start()
    with pytest.raises(Interrupted):
        shell(f"echo $$ > {started}; while :; do echo working; sleep 0.01; done")
    (pid,) = started.read_text().split()
    time.sleep(0.3)
    assert lives(pid)
    with pytest.raises(Interrupted):
        processes.pause(LONG_S)
