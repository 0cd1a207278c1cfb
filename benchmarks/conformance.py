"""How many SLO files of other tools are read as they are.

    python -m benchmarks.conformance [DIR ...]

Without DIR the shapes in tests/fixtures/specs are counted; each names the public file that it has
the shape of. DIR is a copy of a public repository, or several: each of its files that is an SLO
file is read alone, and counted by its format.

Law: a file is read whole or it is refused; nothing is counted as read that has an error.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from midwatch.adapters.specs.reader import read_specs
from midwatch.yaml_nodes import Problems

SHAPES = Path(__file__).parents[1] / "tests" / "fixtures" / "specs"
FORMATS = {
    "OpenSLO v1": re.compile(r"apiVersion:\s*[\"']?openslo/v1[\"']?\s*$", re.M),
    "OpenSLO, other versions": re.compile(r"apiVersion:\s*[\"']?openslo(\.com)?/v\d?alpha", re.M),
    "Sloth": re.compile(r"version:\s*[\"']?prometheus/v1|apiVersion:\s*sloth\.slok\.dev/v1", re.M),
    "Pyrra": re.compile(r"kind:\s*ServiceLevelObjective\s*$", re.M),
}


def format_of(text: str) -> str | None:
    """Name the format of a file; None for what is no SLO file, such as written rules.

    >>> [format_of(text) for text in ("apiVersion: openslo/v1", "version: prometheus/v1", "a: 1")]
    ['OpenSLO v1', 'Sloth', None]
    """
    if re.search(r"kind:\s*(PrometheusRule|CustomResourceDefinition)|^groups:", text, re.M):
        return None
    return next((name for name, pattern in FORMATS.items() if pattern.search(text)), None)


def count(files: Iterable[Path]) -> tuple[Counter[str], Counter[str], list[str]]:
    """Count files and those that are read, by format; and say of the others why they are not."""
    seen, read, why = Counter[str](), Counter[str](), list[str]()
    for file in files:
        name = format_of(file.read_text("utf-8", errors="replace"))
        if name is None:
            continue
        problems = Problems()
        read_specs([file], problems)
        seen[name] += 1
        read[name] += not problems.found
        if problems.found:
            why.append(str(problems.in_order()[0]))
    return seen, read, why


def main() -> None:
    """Print a line a format, and what is refused."""
    folders = [Path(one) for one in sys.argv[1:]] or [SHAPES]
    files = sorted(file for folder in folders for file in folder.rglob("*.y*ml"))
    seen, read, why = count(files)
    for name in FORMATS:
        if seen[name]:
            share = 100 * read[name] / seen[name]
            print(f"{name:<24} {read[name]:>3} of {seen[name]:>3} files read ({share:.0f} %)")
    for line in why:
        print(f"  refused: {line}")


if __name__ == "__main__":
    main()
