"""A server whose core cannot decide on some alerts, and draws a key twice for others.

python poison_child.py MIDWATCH serve ...     an alert called Raises, or Repeats
"""

from __future__ import annotations

import sys

from midwatch.cli.main import main
from midwatch.core import decide
from midwatch.core.state import effects, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.shard import Shard
from midwatch.engine import handle


def poisoned(state: Shard, given: inputs.Input, *args: object) -> Decision:
    """Decide, and let some alerts be the death of it."""
    done = decide.decide(state, given, *args)  # pyright: ignore[reportArgumentType]
    names = {one.name for one in given.alerts} if isinstance(given, inputs.AlertsArrived) else set()
    if "Raises" in names:
        raise LookupError("a bug of the core")
    if "Repeats" in names:
        done.plan(effects.UpdatePage("again", "INC-1", "ada", "resolved", "ben", "it", "none"))
    return done


if __name__ == "__main__":
    handle.decide = poisoned  # pyright: ignore[reportPrivateImportUsage]
    sys.argv = sys.argv[1:]
    main()
