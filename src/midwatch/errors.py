"""Every error that midwatch raises on purpose, as one tree.

    MidwatchError
    +-- InputError          they erred: a file, a config, a command line; exit 2
    |   +-- BadFile         a file that does not hold what it should
    |   |   +-- BadJson     it is no JSON at all
    |   +-- BadDatabase     a database file that is not ours, not whole or not intact
    |   +-- Unstorable      what follows from an input fits into no journal; the input is at fault
    +-- StateError          the request does not fit the present state; exit 2
    |   +-- Fenced          somebody newer owns this shard or this release
    |   |   +-- Gone        the journal's files are not those any more that its owner opened
    |   +-- Owned           another process holds the database file
    +-- HarnessError        the world did not answer: a store, a pager, a router, an eval target
    |   +-- Busy            it takes nothing more at the moment; send the input again
    |   +-- Throttled       it asks to be left alone for a while
    |   +-- NeverSent       nothing of it left us: no connection, or the program did not start
    |   +-- Declined        it answered with an error: a status, or an exit code
    |   +-- CommitFailed    nothing of the transaction happened; send the input again
    |       +-- Diverged    memory is not what the journal holds: it is folded from it again
    +-- BugError            we erred: the code broke one of its own laws

    Interrupted             no error: midwatch stops, and nobody waits for the end of a call

Law: a message says what is wrong, where, and what to do about it. `place` is the file with its
line or key; `remedy` is an instruction, never a guess at the cause.
"""

from __future__ import annotations


class MidwatchError(Exception):
    """The root: whatever midwatch raises on purpose."""

    def __init__(self, message: str, *, place: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        """One line: place, what is wrong, what to do.

        >>> str(InputError("no alerts in it", place="storm.json", remedy="send at least one"))
        'storm.json: no alerts in it; send at least one'
        """
        where = f"{self.place}: " if self.place else ""
        then = f"; {self.remedy}" if self.remedy else ""
        return f"{where}{self.message}{then}"


class InputError(MidwatchError):
    """They erred: what came in is not what was asked for."""


class BadFile(InputError):
    """A file does not hold what it should."""


class BadJson(BadFile):
    """The bytes are no JSON; the place is where they stop being it."""


class BadDatabase(InputError):
    """A database file is not ours, not whole or not intact; it was left as it was."""


class Unstorable(InputError):
    """What follows from an input cannot be written, however often it is tried; nothing was."""


class StateError(MidwatchError):
    """The request is well-formed but does not fit the present state."""


class Fenced(StateError):
    """A newer owner or a newer epoch exists; the older one may not write."""


class Gone(Fenced):
    """The files of a journal are not those any more that its owner opened."""


class Owned(StateError):
    """Another process holds the database file."""


class HarnessError(MidwatchError):
    """The world outside did not do its part; says nothing about what was being judged.

    `output` is what a program wrote before it failed, as it wrote it.
    """

    output: str = ""


class Busy(HarnessError):
    """Nothing more is taken at the moment; the same input may be sent again."""


class Throttled(HarnessError):
    """The other side takes nothing more for `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NeverSent(HarnessError):
    """Nothing of a call left us, so nothing can have come of it."""


class Declined(HarnessError):
    """The other side answered, with an error."""


class CommitFailed(HarnessError):
    """The transaction did not happen at all; the same input may be sent again."""


class Diverged(CommitFailed):
    """What is in memory does not follow on what the journal holds; memory is thrown away."""


class BugError(MidwatchError):
    """The code broke one of its own laws; the input is kept as a dead letter."""


class Interrupted(BaseException):
    """Midwatch stops while a call is under way: what comes of it is seen at the next start.

    Whoever answers every exception of a call must not answer this one, as it is with
    KeyboardInterrupt.
    """


def told(error: Exception) -> str:
    """Tell any exception in one line; ours speak for themselves.

    >>> told(ValueError("no"))
    'ValueError: no'
    """
    return str(error) if isinstance(error, MidwatchError) else f"{type(error).__name__}: {error}"
