"""A shift in a process of its own that kills itself, with SIGKILL, at the nth pass of a point.

python kill_child.py DB WORLD POINT N     POINT may be "none"
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

from midwatch.drill import scenarios
from midwatch.drill.crashes import CrashingStore, crashing
from midwatch.drill.shift import Shift
from midwatch.drill.world import Log


def main() -> None:
    db, world, point, nth = sys.argv[1:]
    passed = 0

    def hit(name: str) -> None:
        nonlocal passed
        passed += name == point
        if name == point and passed == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    scenario = scenarios.load(scenarios.find("shift"))
    store = CrashingStore.own(Path(db)).armed(hit)
    log = Log(Path(world))
    shift = Shift(scenario, store, log=log, wrap=partial(crashing, hit=hit))
    shift.run()
    store.close()
    log.close()
    sys.stdout.write(f"{passed}\n")


if __name__ == "__main__":
    main()
