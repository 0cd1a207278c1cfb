"""Programs that are run for somebody: a router's, a target's, a runbook's.

Law: an argument list, never a shell; nothing on the standard input that was not handed in. A
program has ended when it has exited itself, whoever still holds its pipes: what it left running is
never ended, and somebody goes on reading what that writes, so that it lives on. One that takes too
long is ended with its process group, and the answer comes then, whatever keeps a pipe open. Of what
is written KEPT bytes are held, the last ones, and the rest is counted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, cast

from msgspec import Struct

from midwatch.adapters import leftovers
from midwatch.errors import HarnessError, Interrupted, NeverSent

MAX_SHOWN = 300
PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")  # of the environment
KEPT = 64 * 1024  # bytes of each of its two outputs
READ = 64 * 1024
MOST_IN_PIPE = 1024 * 1024  # bytes that a program may have left in a pipe when it exited
TURN_S = 0.1  # between two looks whether midwatch stops
LOOK_S = 0.01  # between two looks whether it has exited, where the system does not say so
DRAIN_S = 0.25  # for what it started to write its last line
REAP_S = 0.5  # for one that was ended to be gone

leaving = threading.Event()  # set when midwatch stops, for good


class Ended(Struct, frozen=True):
    """How a program ended: its exit code, and the end of what it wrote.

    `lost` counts the bytes before that, `left` says what it left running, "" for nothing known.
    """

    code: int
    said: str
    complained: str
    lost: int = 0
    left: str = ""

    @property
    def last(self) -> str:
        """The end of what it wrote, its complaints before all."""
        return (self.complained or self.said).strip()[-MAX_SHOWN:]

    @property
    def output(self) -> str:
        """All that is held of what it wrote, its complaints last."""
        parts = [part for part in (self.said.strip(), self.complained.strip()) if part]
        return "\n".join(parts)


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Keep of an environment what every program needs, and no secret."""
    return {name: environment[name] for name in PASSED if name in environment}


def leave() -> None:
    """Wait for no program any more, now and for good: midwatch stops. What runs lives on."""
    leaving.set()


def pause(seconds: float) -> None:
    """Wait. Raises Interrupted when midwatch stops meanwhile."""
    if leaving.wait(seconds):
        raise Interrupted


def run(
    arguments: Sequence[str],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
    *,
    kept: int = KEPT,
    tells: bool = False,
) -> Ended:
    """Run a program until it exits. Raises HarnessError when it takes too long.

    Raises NeverSent when it cannot be started, Interrupted when midwatch stops meanwhile.

    Args:
        arguments: the program and its arguments.
        timeout_s: seconds until it is ended with its process group.
        environment: what it sees; None for all of ours.
        given: its standard input; None for nothing.
        kept: how many bytes of each of its outputs are held.
        tells: whether what it leaves running is looked for when all its pipes are closed, too.

    >>> run(["/bin/echo", "a b; rm -rf /"], 10).said.strip()
    'a b; rm -rf /'

    """
    ends_at = time.monotonic() + timeout_s
    mark = secrets.token_hex(8)
    seen = {**(os.environ if environment is None else environment), leftovers.MARK: mark}
    try:
        process = subprocess.Popen(  # noqa: S603  a list from the config, without a shell
            arguments,
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=seen,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        says = getattr(error, "strerror", None) or error
        raise NeverSent(f"{arguments[0]}: {says}") from None
    with _Watched(process, (given or "").encode(), kept) as watched:
        try:
            watched.follow(ends_at)
            late = False
        except TimeoutError:
            late = True
            watched.end()
        is_open = watched.drain()
        left = leftovers.of(mark, is_open=is_open) if is_open or late or tells else ""
        ended = watched.ended(left)
    if not late:
        return ended
    then = f"; {left}" if left else ""
    error = HarnessError(f"{arguments[0]} ran longer than {timeout_s:g} s{then}")
    error.output = ended.output
    raise error


class _Tail:
    """The last bytes of a stream, and how many there were before them."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._bytes = bytearray()
        self.lost = 0

    def add(self, part: bytes) -> None:
        self._bytes += part
        if len(self._bytes) > 2 * self._kept:
            self.cut()

    def cut(self) -> None:
        over = max(len(self._bytes) - self._kept, 0)
        self.lost += over
        del self._bytes[:over]

    @property
    def text(self) -> str:
        self.cut()
        # As text is read elsewhere: \r\n is one end of a line.
        return self._bytes.decode("utf-8", "replace").replace("\r\n", "\n")


class _Watched:
    """One program under way, and its pipes."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, kept: int) -> None:
        self._process = process
        self._given = memoryview(given)
        self._waits = selectors.DefaultSelector()
        self._tails: dict[IO[bytes], _Tail] = {}
        self._out, self._err = (cast("IO[bytes]", one) for one in (process.stdout, process.stderr))
        for pipe in (self._out, self._err):
            os.set_blocking(pipe.fileno(), False)
            self._tails[pipe] = _Tail(kept)
            self._waits.register(pipe, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._waits.register(process.stdin, selectors.EVENT_WRITE)
        self._exit = _exit_of(process.pid)
        if self._exit is not None:
            self._waits.register(self._exit, selectors.EVENT_READ)

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what is still open: whoever lives on is read by somebody else from now on."""
        for pipe in (self._out, self._err):
            if not pipe.closed:
                leftovers.read_on(pipe)
                pipe.close()
        self._close_input()
        self._waits.close()
        if self._exit is not None:
            os.close(self._exit)
        leftovers.reap(self._process)

    def follow(self, ends_at: float) -> None:
        """Read and write until it has exited. Raises TimeoutError or Interrupted."""
        turn_s = LOOK_S if self._exit is None else TURN_S
        while self._process.poll() is None:
            left = ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if leaving.is_set():
                raise Interrupted
            self._turn(min(left, turn_s))

    def end(self) -> None:
        """End it with its process group, and wait a moment for it to be gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the system itself
            self._process.wait(REAP_S)

    def drain(self) -> bool:
        """Read what it wrote before it exited; says whether somebody still holds a pipe of it."""
        if self._exit is not None:
            self._waits.unregister(self._exit)
        self._close_input()
        until, read = time.monotonic() + DRAIN_S, 0
        while any(not pipe.closed for pipe in self._tails):
            left = until - time.monotonic()
            got = self._turn(max(left, 0))
            read += got if left <= 0 else 0
            if left <= 0 and (not got or read > MOST_IN_PIPE):
                return True
        return False

    def ended(self, left: str) -> Ended:
        """Say how it ended."""
        out, err = self._tails[self._out], self._tails[self._err]
        code = self._process.returncode
        code = -signal.SIGKILL if code is None else code
        return Ended(code, out.text, err.text, out.lost + err.lost, left)

    def _turn(self, wait_s: float) -> int:
        """Wait for something to read or to write; gives how many bytes were read."""
        read = 0
        for key, _ in self._waits.select(wait_s):
            if key.fileobj is self._process.stdin:
                self._write()
            elif key.fileobj != self._exit:
                read += self._read(cast("IO[bytes]", key.fileobj))
            elif self._process.poll() is None:
                time.sleep(LOOK_S)  # somebody else was told of its end
        return read

    def _read(self, pipe: IO[bytes]) -> int:
        try:
            part = os.read(pipe.fileno(), READ)
        except BlockingIOError:
            return 0
        except OSError:
            part = b""
        if part:
            self._tails[pipe].add(part)
        else:
            self._waits.unregister(pipe)
            pipe.close()
        return len(part)

    def _write(self) -> None:
        pipe = cast("IO[bytes]", self._process.stdin)
        try:
            written = os.write(pipe.fileno(), self._given[:READ]) if self._given else 0
        except BlockingIOError:
            return
        except OSError:  # it does not want to hear more
            self._given = self._given[:0]
        else:
            self._given = self._given[written:]
        if not self._given:
            self._close_input()

    def _close_input(self) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            self._waits.unregister(pipe)
            with contextlib.suppress(OSError):
                pipe.close()


def _exit_of(pid: int) -> int | None:
    """Open what can be waited for until a process has exited; None where there is no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
