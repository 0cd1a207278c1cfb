"""The table of every figure in docs/benchmarks.md, out of results.json.

Law: nothing in the table is typed by hand; what missed its mark says so in its row.

    python -m benchmarks.page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- every figure: python -m benchmarks.page -->\n", "<!-- until here -->\n"


def number(value: float) -> str:
    """Write a number with as many digits as mean something.

    >>> number(17693.9264), number(0.0417), number(28), number(1.0772)
    ('17,694', '0.0417', '28', '1.08')
    """
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{float(text):,.0f}" if "e" in text else text


def table(results: dict[str, dict[str, Any]]) -> str:
    """Make a row of each figure: what it is, its peer, the ratio, and whether it is in reach."""
    lines = [
        "| figure | midwatch | compared with, in the same run | ratio | target | |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in results.items():
        # A peer without a number is a name of what was measured, or the word none.
        beside = f"{number(one['peer_value'])}, {one['peer']}" if one["peer_value"] else one["peer"]
        ratio = "" if one["ratio"] is None else number(one["ratio"])
        judged = (
            "" if one["reach"] in ("-", "none") else "reached" if one["ok"] else "**not reached**"
        )
        reach = "" if one["reach"] in ("-", "none") else one["reach"]
        cells = (f"`{name}`", f"{number(one['value'])} {one['unit']}", beside, ratio, reach, judged)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write() -> None:
    """Put the table into its page."""
    results = json.loads(RESULTS.read_text("utf-8"))
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    write()
