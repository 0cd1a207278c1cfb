"""What a CI runner gets to see: texts from outside, and no command to it.

Law: runners obey what a job's log says. GitHub and Azure read `##[command]` and `##vso[...]`
anywhere in a line and `::command::` at its beginning; TeamCity reads `##teamcity[...]`. An answer,
a label or the id of a case may hold any of these. In a CI job they are broken by one space in all
that is written to the log, whoever writes it; only `command` writes one on purpose. A JSON document
says the same by an escape, so that it stays the same document.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

# What names a job: GitHub, GitLab, Buildkite and others say CI; Azure and TeamCity do not.
JOBS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")
_INLINE = re.compile(r"(##[A-Za-z]{0,32})\[")  # no runner has a longer name
_SPACED = r"\1 ["
_LEADING = re.compile(r"^(\s*):(?=:)")
_IN_JSON = re.compile(rb"##(?=[A-Za-z]*\[)")
_LONGEST_START = 64  # characters of a line's end that can be the beginning of a command


def harmless(text: str) -> str:
    r"""Break what a runner would obey.

    >>> harmless("nope ##[add-mask]x ##vso[task.setvariable]y\n ::set-output name=a::b")
    'nope ## [add-mask]x ##vso [task.setvariable]y\n : :set-output name=a::b'
    """
    return "".join(_line(one) for one in text.splitlines(keepends=True))


def _line(text: str) -> str:
    return _LEADING.sub(r"\1: ", _INLINE.sub(_SPACED, text))


def in_json(document: bytes) -> str:
    r"""Write a JSON document so that no runner obeys it; it reads back as the same.

    >>> in_json(b'["a ##[group]b"]')
    '["a #\\u0023[group]b"]'
    """
    return _IN_JSON.sub(rb"#\\u0023", document).decode("utf-8", "replace")


class _Log(io.TextIOWrapper):
    """A stream that a runner reads. What is written in pieces is looked at as a whole line."""

    _begun = ""  # of the present line, as it was written

    def write(self, s: str, /) -> int:
        """Write a text, harmless; bytes raise TypeError, by which click knows a text stream."""
        for part in ("" + s).splitlines(keepends=True):
            whole = _line(self._begun + part)
            super().write(whole[len(self._begun) :])
            whole = whole.lstrip()  # runners do so, too
            # Of a beginning that is longer than any command's, only its end can be one's.
            kept = whole if len(whole) <= _LONGEST_START else "." + whole[-_LONGEST_START:]
            self._begun = "" if part.endswith(("\n", "\r")) else kept
        return len(s)

    def close(self) -> None:
        """Write what waits. What is behind it belongs to whoever opened it, and stays open."""
        self.flush()

    def plainly(self, s: str) -> None:
        """Write a command that is meant, on a line of its own."""
        super().write(s if not self._begun else f"\n{s}")
        self._begun = ""


def is_job(environment: Mapping[str, str]) -> bool:
    """Say whether this runs in a CI job."""
    return any(environment.get(name, "").lower() not in ("", "false", "0") for name in JOBS)


def careful(stream: TextIO, environment: Mapping[str, str]) -> TextIO:
    """Give the stream to write to instead: the same, unless it is the log of a CI job.

    A file that the shell made with `>` is data, and stays as it is.
    """
    buffer = getattr(stream, "buffer", None)
    if buffer is None or not is_job(environment) or _is_file(stream) or stream.isatty():
        return stream
    return _Log(buffer, stream.encoding, stream.errors, line_buffering=True, write_through=True)


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


@contextmanager
def guarded() -> Generator[None]:
    """Let nothing from outside command the runner; afterwards the streams are what they were."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (careful(one, os.environ) for one in before)
    try:
        yield
    finally:
        for one in (sys.stdout, sys.stderr):
            if isinstance(one, _Log):
                with suppress(OSError, ValueError):
                    one.flush()
        sys.stdout, sys.stderr = before


def command(line: str) -> None:
    """Write a line that the runner is to obey, such as a note at code."""
    if isinstance(sys.stderr, _Log):
        sys.stderr.plainly(f"{_INLINE.sub(_SPACED, line)}\n")
    else:
        sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
