"""Running cases: many at once, in time, each result on disk before the next is waited for.

Law: a case that raises, hangs or gives nothing is tried again, then an error, never a failure. A
killed run goes on where it was; what one that came to its end has written counts for the next only
where both are known to be of the same digest, and what a model judged for that model alone. What
waits is bounded: a hundred thousand cases take no more memory than a hundred.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol

import msgspec
from msgspec import Struct

from midwatch.core.values.evals import Case, Outcome, Reply, broken, hash_of
from midwatch.core.values.scorers import JUDGE, VERSION, Judged, judge
from midwatch.engine.apart import Apart
from midwatch.errors import BadFile, InputError, told

WORKERS, TIMEOUT_S, RETRIES = 8, 60.0, 2
PAUSES_S = (0.1, 0.5, 2.0)
LOOK_S = 0.25
KEPT_TEXT = 4_000
END = "end"  # the key of the line that ends a run


class Asked(Protocol):
    """What a case is run against."""

    def ask(self, case: Case) -> Reply:
        """Answer a case. Raises when it does not."""
        ...


class Job(Struct, frozen=True):
    """One run of one case on one side."""

    side: str
    case: Case
    epoch: int


class Written(Struct, frozen=True, omit_defaults=True):
    """A result as it stands in a file: its key, and what came."""

    key: str
    side: str
    epoch: int
    outcome: Outcome


class Limits(Struct, frozen=True):
    """How many at once, how long each, how often again."""

    workers: int = WORKERS
    timeout_s: float = TIMEOUT_S
    retries: int = RETRIES


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Written).decode


class Runner:
    """Runs jobs against the target of their side."""

    def __init__(
        self,
        targets: Mapping[str, Asked],
        digests: Mapping[str, str],
        limits: Limits = Limits(),  # noqa: B008  it is frozen
        *,
        results: Path | None = None,
        opinion: Judged | None = None,
        judge: str = "",
        reuse: bool = False,
    ) -> None:
        """`digests` say what each side is made of: a result is of that alone.

        `judge` names whose `opinion` it is: what it judged is no word of another.

        With `reuse` they are known to be true, so that results of finished runs count.

        Raises InputError or BadFile when `results` cannot be read.
        """
        self._targets = targets
        self._digests = digests
        self._limits = limits
        self._opinion = opinion
        self._apart = Apart()
        self._judge = judge
        self._reuse = reuse
        self._known: dict[str, Outcome] = {}
        self._file: IO[bytes] | None = None
        self.reused = 0
        if results is not None:
            self._open(results)

    def finish(self) -> None:
        """Write that the run came to its end: the next one asks anew."""
        if self._file is not None:
            self._file.write(_encode(Written(END, "", 0, Outcome("", "", "passed"))) + b"\n")

    def close(self) -> None:
        """Let the file go, and end what tries patterns."""
        self._apart.close()
        if self._file is not None:
            self._file.close()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Run jobs; gives each with its outcome as it comes."""
        ready: deque[tuple[Job, Outcome]] = deque()

        def fresh() -> Iterator[Job]:
            for job in jobs:
                known = self._known.get(self._key(job)) if self._known else None
                if known is None:
                    yield job
                else:
                    ready.append((job, known))

        for job, outcome in _Pool(fresh(), self._one, self._limits).results():
            self._write(job, outcome)
            yield job, outcome
        self.reused += len(ready)
        yield from ready

    def _one(self, job: Job) -> Outcome:
        """Ask one case, again when it does not answer."""
        target, why = self._targets[job.side], ""
        for attempt in range(self._limits.retries + 1):
            if attempt:
                time.sleep(PAUSES_S[min(attempt, len(PAUSES_S)) - 1])
            try:
                reply = target.ask(job.case)
            except Exception as error:  # however it breaks, it did not answer
                why = told(error)
                continue
            return judge(job.case, job.side, reply, self._opinion, self._apart)
        return broken(job.case, job.side, why)

    # --- the file ---

    def _key(self, job: Job) -> str:
        # The side stands in it: what one side did is never taken for the other's fresh run.
        made_of = self._digests[job.side]
        key = f"{job.side}/{made_of}/{hash_of(job.case)}/{job.epoch}/{VERSION}"
        is_judged = any(check.kind == JUDGE for check in job.case.wanted)
        return f"{key}/{self._judge}" if is_judged else key

    def _open(self, file: Path) -> None:
        try:
            whole = 0
            if file.exists():
                body = file.read_bytes()
                whole = body.rfind(b"\n") + 1  # a line that a kill cut off is written anew
                for number, line in enumerate(body[:whole].splitlines(), start=1):
                    self._known_line(file, number, line)
            self._file = file.open("r+b" if file.exists() else "wb")
            self._file.truncate(whole)
            self._file.seek(whole)
        except OSError as error:
            says = f"cannot be written: {error.strerror or error}"
            raise InputError(says, place=str(file), remedy="name another file") from None

    def _known_line(self, file: Path, number: int, line: bytes) -> None:
        try:
            one = _decode(line)
        except msgspec.MsgspecError as error:
            remedy = "name another file for --results"
            says = f"not a valid result: {error}"
            raise BadFile(says, place=f"{file}:{number}", remedy=remedy) from None
        if one.key == END:
            if not self._reuse:
                self._known.clear()
        elif one.outcome.status != "error":
            self._known[one.key] = one.outcome

    def _write(self, job: Job, outcome: Outcome) -> None:
        if self._file is None:
            return
        kept = msgspec.structs.replace(outcome, got=outcome.got[:KEPT_TEXT])
        self._file.write(_encode(Written(self._key(job), job.side, job.epoch, kept)) + b"\n")
        self._file.flush()


class _Pool:
    """Threads that take jobs in turn; one that hangs is given up, and another takes its place."""

    def __init__(self, jobs: Iterator[Job], do: Callable[[Job], Outcome], limits: Limits) -> None:
        self._jobs = jobs
        self._do = do
        self._limits = limits
        self._lock = threading.Lock()
        self._done: queue.Queue[tuple[int, Job, Outcome] | BaseException | None] = queue.Queue(
            limits.workers * 4
        )
        self._begun: dict[int, tuple[Job, float]] = {}
        self._given_up: set[int] = set()
        self._number = 0
        self._alive = 0

    def results(self) -> Iterator[tuple[Job, Outcome]]:
        for _ in range(self._limits.workers):
            self._start()
        # A target ends its own calls in time; this is for what cannot be ended.
        patience = self._limits.timeout_s * (self._limits.retries + 1) + sum(PAUSES_S)
        while self._alive:
            try:
                found = self._done.get(timeout=LOOK_S)
            except queue.Empty:
                yield from self._give_up(patience)
                continue
            if found is None:
                self._alive -= 1
            elif isinstance(found, BaseException):
                raise found
            else:
                number, job, outcome = found
                if number not in self._given_up:
                    yield job, outcome

    def _start(self) -> None:
        self._alive += 1
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            while True:
                with self._lock:
                    job = next(self._jobs, None)
                    if job is None:
                        break
                    self._number += 1
                    number = self._number
                    self._begun[number] = (job, time.monotonic())
                outcome = self._do(job)
                with self._lock:
                    self._begun.pop(number, None)
                    if number in self._given_up:
                        return  # another one works in its place
                self._done.put((number, job, outcome))
            self._done.put(None)
        except (
            BaseException
        ) as error:  # a bug, or a source of jobs that breaks: whoever waits hears
            self._done.put(error)

    def _give_up(self, patience: float) -> Iterator[tuple[Job, Outcome]]:
        now = time.monotonic()
        with self._lock:
            late = {n: job for n, (job, at) in self._begun.items() if now - at > patience}
            for number in late:
                del self._begun[number]
                self._given_up.add(number)
        for job in late.values():
            self._alive -= 1
            self._start()
            yield job, broken(job.case, job.side, f"ran longer than {self._limits.timeout_s:g} s")
