"""A target that is a Python function: the question goes in, the answer comes out.

Law: `python:module:function`, found from the folder that the command runs in. It takes the
question, and the turns before it when it has a second parameter; it gives a text, or a mapping with
`text`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from midwatch.core.values.evals import Case, Reply
from midwatch.errors import HarnessError, InputError


class CallableTarget:
    """Calls one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._takes_turns = _parameters(function) > 1

    def ask(self, case: Case) -> Reply:
        """Call it. Raises HarnessError when it gives no answer; what it raises passes."""
        started = time.perf_counter()
        if self._takes_turns:
            found: object = self._function(case.question, list(case.turns))
        else:
            found = self._function("\n".join((*case.turns, case.question)))
        seconds = time.perf_counter() - started
        if isinstance(found, str):
            return Reply(found, seconds)
        said = cast("dict[str, Any]", found if isinstance(found, dict) else {})
        if not isinstance(said.get("text"), str):
            kind = type(cast("object", found)).__name__
            raise HarnessError(f"returned {kind}", remedy="return text")
        tools, sources = said.get("tools"), said.get("sources")
        return Reply(
            said["text"],
            float(said.get("seconds", seconds)),
            said.get("cost"),
            tuple(map(str, tools)) if tools is not None else None,
            tuple(map(str, sources)) if sources is not None else None,
        )


def load(spelled: str) -> CallableTarget:
    """Find `module:function`. Raises InputError when it is not there."""
    module, _, name = spelled.partition(":")
    place = f"python:{spelled}"
    if not module or not name:
        raise InputError(
            "the function name is missing", place=place, remedy="write python:module:function"
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever its code does when it is imported
        says = f"cannot be loaded: {type(error).__name__}: {error}"
        raise InputError(
            says, place=place, remedy="run midwatch in the directory of the module"
        ) from None
    if not callable(found):
        raise InputError("not a function", place=place, remedy="write python:module:function")
    return CallableTarget(found)


def _parameters(function: Callable[..., Any]) -> int:
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is one.empty for one in found)
