"""Recorded counts: a file of JSON lines that grows at its end.

Law: a line is cumulative, `{"at": TIME, "good": N, "total": N}`; one that is not is an error with
its number. What falls is a counter that started anew. The first line counts whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from midwatch.adapters.metrics.meter import Meter
from midwatch.adapters.metrics.options import FileOptions
from midwatch.core.values.moments import moment
from midwatch.core.values.sli import Counts, FailedAnswer, Sample, Trace
from midwatch.core.values.sli_window import Tally
from midwatch.core.values.slo import Slo
from midwatch.errors import BadFile, HarnessError

REMEDY = 'write {"at": "2026-01-31T09:00:00Z", "good": 99, "total": 100}'
Count = Annotated[int, Meta(ge=0, le=2**62)]


class _Line(Struct):
    at: str | int | float
    good: Count
    total: Count


_decode = msgspec.json.Decoder(_Line).decode


def samples(lines: Iterable[bytes], place: str, first: int = 1) -> Iterator[Sample]:
    """Read lines, in the order of time. Raises BadFile with the line that is wrong.

    >>> list(samples([b'{"at": 60, "good": 1, "total": 2}'], "counts.jsonl"))
    [Sample(at=60000, good=1, total=2)]
    """
    before = 0
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        where = f"{place}:{number}"
        try:
            found = _decode(line)
            at = time_of(found.at)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError) as error:
            raise BadFile(f"not a valid count: {error}", place=where, remedy=REMEDY) from None
        if found.good > found.total:
            says = f"{found.good} good of {found.total} events"
            raise BadFile(says, place=f"{where} good", remedy="good must not exceed total")
        if at < before:
            raise BadFile(
                "older than the previous line", place=where, remedy="sort the lines by at"
            )
        before = at
        yield Sample(at, found.good, found.total)


def time_of(given: str | float) -> int:
    """Read RFC 3339, or seconds since 1970, as milliseconds. Raises ValueError.

    A file may be of a made-up day, so that its time may begin in 1970.
    """
    return moment(given, 0)


class FileMetrics:
    """Follows one file; every objective of this source counts the same."""

    def __init__(self, options: FileOptions) -> None:
        self._path = Path(options.path)
        self._meters: dict[str, Meter] = {}
        self._tallies: dict[str, Tally] = {}
        self._read: dict[str, tuple[int, int]] = {}  # bytes and lines

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Read what is new in the file, then count. Raises HarnessError when it cannot be read."""
        if slo.id not in self._meters:
            self._start(slo)
        meter, tally = self._meters[slo.id], self._tallies[slo.id]
        at, lines = self._read[slo.id]
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < at:
                    raise HarnessError(
                        "the file got shorter", place=str(self._path), remedy="append"
                    )
                file.seek(at)
                new = file.read()
        except OSError as error:
            says = f"cannot be read: {error.strerror}"
            raise HarnessError(says, place=str(self._path)) from None
        whole = new[: new.rfind(b"\n") + 1]  # a line that is still being written waits
        found = list(samples(whole.splitlines(), self._path.name, lines + 1))
        for sample in found:
            meter.add(sample.at, *tally.more(sample))
        self._read[slo.id] = (at + len(whole), lines + whole.count(b"\n"))
        return meter.counts(windows_s, now)

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        """Give what was counted since a moment, edge by edge."""
        meter = self._meters.get(slo.id)
        return meter.trace(since, now) if meter else Trace()

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give none: counts are all there is."""
        return ()

    def _start(self, slo: Slo) -> None:
        self._meters[slo.id], self._tallies[slo.id] = Meter(slo), Tally()
        self._read[slo.id] = (0, 0)
