"""What a cold `midwatch drill` costs in processor time, beside an interpreter that does nothing.

    python -m benchmarks.starting [RUNS]

The best of several runs, as the sum of user and system time: another process on the machine does
not count, though a crowded cache does.
"""

from __future__ import annotations

import resource
import subprocess
import sys

from benchmarks.__main__ import MIDWATCH


def cpu(*command: str) -> float:
    """Run a command; gives the seconds of processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print both figures and their ratio."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    drill, bare = float("inf"), float("inf")
    for _ in range(runs):
        bare = min(bare, cpu(sys.executable, "-c", "pass"))
        drill = min(drill, cpu(str(MIDWATCH), "drill"))
    print(f"midwatch drill {drill:.3f} s, python -c pass {bare:.4f} s, ratio {drill / bare:.1f}")


if __name__ == "__main__":
    main()
