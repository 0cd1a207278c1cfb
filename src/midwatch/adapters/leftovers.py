"""What a program that has exited left running: it is told, read on, and never ended.

Law: a service that a step has restarted must live, also when midwatch stops after it: whoever
writes into a pipe that nobody reads is ended by the system, so somebody outside this process reads
it. What is left is told where the system shows it: by a mark in its environment, out of Linux's
table of processes, by name and number, never with its arguments, which may hold a secret.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import IO

MARK = "MIDWATCH_RUN"
TABLE = Path("/proc")
SHOWN = 5
STILL_OPEN = "its output is still open"

_lock = threading.Lock()
_ended: set[int] = set()  # processes of ours that were not seen to be gone yet


def of(mark: str, *, is_open: bool) -> str:
    """Say what is left of a run, "" when nothing is known of; `is_open` when a pipe of it is.

    >>> of("no such run", is_open=True)
    'its output is still open'
    """
    found = [
        f"{name} ({pid})" for pid, name in _marked(f"{MARK}={mark}".encode()) if pid != os.getpid()
    ]
    if not found:
        return STILL_OPEN if is_open else ""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    held = f", and {STILL_OPEN}" if is_open else ""
    return f"left running: {', '.join(found[:SHOWN])}{more}{held}"


def _marked(wanted: bytes) -> list[tuple[int, str]]:
    """List the processes with this line in their environment, in the order of their numbers."""
    found: list[tuple[int, str]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(TABLE):
            if not entry.name.isdecimal():
                continue
            try:  # other people's are not shown, and some end meanwhile
                environment = Path(entry.path, "environ").read_bytes()
                if wanted in environment.split(b"\0"):
                    name = Path(entry.path, "comm").read_text("utf-8", "replace").strip()
                    found.append((int(entry.name), name))
            except OSError:
                continue
    return sorted(found)


def read_on(pipe: IO[bytes]) -> None:
    """Let somebody read a pipe to its end who lives longer than this process does.

    Without `cat` it is a thread of this process.
    """
    os.set_blocking(pipe.fileno(), True)
    cat = shutil.which("cat", path=os.defpath) or shutil.which("cat")
    if cat is not None:
        try:
            reader = subprocess.Popen(  # noqa: S603  our own, without a shell
                [cat],
                stdin=pipe,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            pass
        else:
            reap(reader)
            return
    held = os.dup(pipe.fileno())
    threading.Thread(target=_swallow, args=(held,), name="read on", daemon=True).start()


def _swallow(held: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(held, 64 * 1024):
            pass
    os.close(held)


def reap(process: subprocess.Popen[bytes]) -> None:
    """Bury processes that have ended: this one, and those that were handed in before."""
    with _lock:
        if process.returncode is None and process.poll() is None:
            process.returncode = 0  # from here on it is ours to bury
            _ended.add(process.pid)
        for pid in list(_ended):
            try:
                gone, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                gone = pid
            if gone:
                _ended.discard(pid)
