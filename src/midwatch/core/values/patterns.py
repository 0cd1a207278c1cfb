r"""Regular expressions that people write: of silences, inhibitions, maintenance and parameters.

Law: RE2 decides what a pattern means and whether it is one, as it does for Alertmanager. Its time
grows with the text and never explodes, so no pattern can hold the engine up, whatever text comes
from outside. A pattern matches the whole value; `.` matches no line break; \d, \w and \s are ASCII.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Protocol

LONGEST = 1_000  # characters of a pattern


class _Compiled(Protocol):
    def fullmatch(self, text: str) -> object | None: ...


class BadPattern(ValueError):
    """A text that RE2 refuses as a pattern, and why."""


def check(pattern: str) -> None:
    r"""Find out whether a text is a pattern. Raises BadPattern.

    >>> check("shop|cart")
    >>> check(r"(?=shop).*")
    Traceback (most recent call last):
        ...
    midwatch.core.values.patterns.BadPattern: invalid perl operator: (?=
    """
    _compiled(pattern)


def refusal(pattern: str) -> str:
    """Say why a text is not a pattern; empty when it is one."""
    try:
        check(pattern)
    except BadPattern as error:
        return str(error)
    return ""


def fits(pattern: str, value: str) -> bool:
    """Say whether a pattern matches a whole value. Raises BadPattern.

    >>> fits("shop|cart", "cart"), fits("shop|cart", "carts"), fits("(a+)+b", "a" * 10_000)
    (True, False, False)
    """
    if not value.isascii():  # a lone surrogate cannot be written as UTF-8
        value = value.encode("utf-8", "replace").decode()
    return _compiled(pattern).fullmatch(value) is not None


@lru_cache(1024)
def _compiled(pattern: str) -> _Compiled:
    if len(pattern) > LONGEST:
        raise BadPattern(f"{len(pattern)} characters are more than {LONGEST}")
    # Imported with the first pattern: most commands compile none, and start-up is a promise.
    re2 = import_module("re2")
    options = re2.Options()
    options.log_errors = False  # it would write to stderr itself
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise BadPattern(_said(error)) from None
    except UnicodeEncodeError:
        raise BadPattern("has a character that UTF-8 cannot write") from None


def _said(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)
