"""The burn curve of a postmortem as SVG: the line, the objective's threshold, and what was done.

Law: it can be read in black and white, on paper and by somebody who sees no colours; its figures
stand as a table beneath it. It is drawn from the document alone, so the same document gives the
same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from midwatch.core.values.clock import parse_time
from midwatch.core.values.postmortems import Curve, Marker, Postmortem

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 92, 40
LINE_H = 15
MOST_TICKS = 6
STEPS_S = (60, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400)


def draw(document: Postmortem, curve: Curve) -> str:
    """Draw how one objective burned."""
    points = [(parse_time(one.at), one.burn) for one in curve.points]
    marks = _marks(document.markers)
    moments = [at for at, _ in points] + [at for at, _, _ in marks]
    start, end = min(moments), max(moments)
    span = max(end - start, 60_000)
    top = _nice(max([1.0, *(burn for _, burn in points)]) * 1.1)

    def x(at: int) -> float:
        return round(LEFT + (at - start) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(burn: float) -> float:
        return round(HEIGHT - BOTTOM - burn / top * (HEIGHT - TOP - BOTTOM), 1)

    says = f"Burn rate of {curve.slo}, {len(points)} points, at most {top:g}"
    low = HEIGHT - BOTTOM + 18
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"',
        f' height="{HEIGHT}" role="img" aria-label="{escape(says)}"',
        ' font-family="sans-serif" font-size="12">',
        f"<title>{escape(says)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for value in _values(top):
        parts.append(
            f'<line x1="{LEFT}" y1="{y(value)}" x2="{WIDTH - RIGHT}" y2="{y(value)}"'
            f' stroke="#ddd"/><text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end"'
            f' fill="#444">{value:g}x</text>'
        )
    parts += [
        f'<text x="{x(at)}" y="{low}" text-anchor="middle" fill="#444">{text}</text>'
        for at, text in _ticks(start, start + span)
    ]
    parts.append(
        f'<line x1="{LEFT}" y1="{y(1)}" x2="{WIDTH - RIGHT}" y2="{y(1)}" stroke="#444"'
        f' stroke-dasharray="2 3"/><text x="{WIDTH - RIGHT}" y="{y(1) - 4}" text-anchor="end"'
        ' fill="#444">budget lasts exactly</text>'
    )
    parts += _drawn(marks, x)
    line = " ".join(f"{x(at)},{y(burn)}" for at, burn in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#b3121d" stroke-width="2.5"/>')
    parts.append(
        f'<text x="{LEFT}" y="{HEIGHT - 6}" fill="#444">burn rate, times in UTC on'
        f" {curve.points[0].at[:10]}</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _marks(markers: Sequence[Marker]) -> list[tuple[int, str, str]]:
    """Keep the first of each thing that was done, so that labels stay few."""
    seen: dict[str, tuple[int, str, str]] = {}
    for one in markers:
        seen.setdefault(one.says, (parse_time(one.at), one.kind, one.says))
    return sorted(seen.values())[:10]


def _drawn(marks: Sequence[tuple[int, str, str]], x: Callable[[int], float]) -> list[str]:
    """Draw markers; labels that would lie over each other go one line up."""
    parts: list[str] = []
    ends: list[float] = []
    for at, _, says in marks:
        place = x(at)
        text = says if len(says) <= 28 else f"{says[:27]}…"
        width = 6.6 * len(text)
        left = min(max(place - width / 2, 2.0), WIDTH - width - 2)
        row = next((n for n, end in enumerate(ends) if end + 8 < left), len(ends))
        if row == len(ends):
            ends.append(0.0)
        ends[row] = left + width
        base = TOP - 8 - row * LINE_H
        parts.append(
            f'<line x1="{place}" y1="{base + 3}" x2="{place}" y2="{HEIGHT - BOTTOM}"'
            f' stroke="#0b57d0" stroke-dasharray="4 3"/>'
            f'<text x="{left:.1f}" y="{base}" fill="#0b57d0">{escape(text)}</text>'
        )
    return parts


def _nice(value: float) -> float:
    """Give the next round figure.

    >>> [_nice(one) for one in (0.7, 1.3, 14.2, 130)]
    [1, 2, 20, 200]
    """
    size = 1
    while True:
        for step in (1, 2, 5):
            if step * size >= value:
                return step * size
        size *= 10


def _values(top: float) -> list[float]:
    return [top * part / 4 for part in range(5)]


def _ticks(start: int, end: int) -> list[tuple[int, str]]:
    """Give the moments that are written below, round ones in UTC."""
    span_s = (end - start) / 1_000
    step_s = next((one for one in STEPS_S if span_s / one <= MOST_TICKS), STEPS_S[-1])
    first = -(-start // (step_s * 1_000)) * step_s * 1_000
    moments = range(first, end + 1, step_s * 1_000)
    return [(at, _clock(at)) for at in moments]


def _clock(at: int) -> str:
    minutes = at // 60_000 % 1_440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
