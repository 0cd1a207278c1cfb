"""A postmortem as Markdown and as a page of its own.

Law: both are made of the same document, and say the same. What came from outside is text: it can
open no link, close no table and run nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined

from midwatch import texts
from midwatch.adapters.reports import curve
from midwatch.core.values import budget
from midwatch.core.values.clock import SECOND, parse_time, show_duration, show_time
from midwatch.core.values.postmortems import Impact, Lost, Point, Postmortem

TABLE_ROWS = 60
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {one: f"&#{ord(one)};" for one in "\\`*[]|~"}
_SPECIAL = re.compile(f"[{re.escape(''.join(ENTITIES))}]")


def markdown(document: Postmortem, pictures: Sequence[str] = (), zone: str = "UTC") -> str:
    """Write it as Markdown; `pictures` are the addresses of its curves, none where there are none.

    Times are those of a time zone, with UTC beside them.
    """
    return _render("postmortem.md.j2", document, pictures=pictures, zone=zone)


def html(document: Postmortem, base: str = "", zone: str = "UTC") -> str:
    """Write it as a whole page without a script, its curve inside; `base` leads back."""
    style = resources.files("midwatch.adapters.reports") / "templates" / "postmortem.css"
    return _render(
        "postmortem.html.j2",
        document,
        pictures=[curve.draw(document, x) for x in document.drawn],
        style=style.read_text("utf-8"),
        base=base,
        zone=zone,
    )


def _render(template: str, document: Postmortem, **more: object) -> str:
    environment = _environment(autoescape=template.endswith(".html.j2"))
    return environment.get_template(template).render(p=document, rows=TABLE_ROWS, **more)


@cache
def _environment(*, autoescape: bool) -> Environment:
    found = Environment(
        loader=PackageLoader("midwatch.adapters.reports"),
        autoescape=autoescape,  # noqa: S701  off for Markdown alone, which has `plain`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = cast("dict[str, Any]", found.filters)
    for one in (about, changes, cited, clock, hour, lasted, moment, plain, spent, users):
        filters[one.__name__] = one
    return found


def changes(points: list[Point]) -> list[Point]:
    """Keep the points at which something changed, and the last.

    >>> times = ("2026-03-02T00:51:00.000Z", "2026-03-02T00:52:00.000Z", "2026-03-02T00:53:00.000Z")
    >>> len(changes([Point(at, 9, 10, 1.0, 1) for at in times]))
    2
    """
    kept = [
        one
        for number, one in enumerate(points)
        if not number
        or (one.good, one.total) != (points[number - 1].good, points[number - 1].total)
    ]
    return kept if not points or kept[-1] is points[-1] else [*kept, points[-1]]


def plain(text: object) -> str:
    """Write a text so that Markdown shows it as it is, in one line.

    >>> print(plain("1 < 2, a_b [x](y)"))
    1 &lt; 2, a_b &#91;x&#93;(y)
    """
    one = texts.unlinked(texts.plain(" ".join(str(text).split())))
    return _SPECIAL.sub(lambda found: ENTITIES[found[0]], one)


def clock(at: str | None, zone: str = "UTC", missing: str = "not yet") -> str:
    """Write a time for people, or that it is missing.

    >>> clock("2026-03-02T00:51:00.000Z"), clock(None), clock("2026-03-02T00:45:19.996Z")
    ('2026-03-02 00:51:00 UTC', 'not yet', '2026-03-02 00:45:20 UTC')
    >>> clock("2026-03-01T23:51:00.000Z", "Europe/Berlin")
    '2026-03-02 00:51:00 Europe/Berlin (23:51:00 UTC)'
    """
    if not at:
        return missing
    local = _local(at, zone)
    if zone == "UTC":
        return f"{local} UTC"
    return f"{local} {zone} ({hour(at)} UTC)"


def moment(at: str, zone: str = "UTC") -> str:
    """Write a time in a table whose head names the zone.

    >>> moment("2026-03-01T23:51:00.000Z", "Europe/Berlin")
    '2026-03-02 00:51:00, 23:51:00'
    """
    return _local(at, zone) if zone == "UTC" else f"{_local(at, zone)}, {hour(at)}"


def hour(at: str, zone: str = "UTC") -> str:
    """Write the time of day."""
    return _local(at, zone)[11:]


def _local(at: str, zone: str) -> str:
    """Give the date and the time of day in a zone, to the nearest second.

    So a time and a duration beside it add up, whatever their milliseconds.
    """
    at = show_time((parse_time(at) + SECOND // 2) // SECOND * SECOND)
    if zone == "UTC":
        return f"{at[:10]} {at[11:19]}"
    from whenever import Instant  # a page in UTC needs no zones

    found = Instant.parse_iso(at).to_tz(zone).to_plain()  # pyright: ignore[reportUnknownMemberType]
    text = found.format_iso()
    return f"{text[:10]} {text[11:19]}"


def lasted(seconds: float | None) -> str:
    """Write a duration for people."""
    return "-" if seconds is None else show_duration(seconds)


def cited(numbers: list[int]) -> str:
    """Name events.

    >>> cited([3, 7])
    'events 3, 7'
    """
    listed = ", ".join(str(one) for one in numbers[:6]) + (", ..." if len(numbers) > 6 else "")
    return f"event{'' if len(numbers) == 1 else 's'} {listed}"


def users(impact: Impact) -> str:
    """Write how many people reported it.

    >>> users(Impact(*[None] * 7, 3, None, [])), users(Impact(*[None] * 9, []))
    ('at least 3', 'none')
    >>> users(Impact(*[None] * 9, [], reports=2))
    '2 reports so far; the people behind them are counted when it is mitigated'
    """
    if impact.users is not None:
        return f"at least {impact.users}"
    if not impact.reports:
        return "none"
    reports = f"{impact.reports} report{'' if impact.reports == 1 else 's'} so far"
    return f"{reports}; the people behind them are counted when it is mitigated"


def spent(one: Lost, mitigated: str | None = "") -> str:
    """Write what an objective lost of its budget; before it is `mitigated` nobody adds that up."""
    if one.says:
        return one.says
    if mitigated is None and one.budget_spent is None:
        return "not added up before it is mitigated"
    return "unknown" if one.budget_spent is None else budget.of_full(one.budget_spent)


def about(document: Postmortem) -> str:
    """Name the services that it is about: of its alerts, and the one that is in its head.

    >>> listed("service", ["cards"]), listed("service", ["cards", "payments", "checkout"])
    ('service cards', 'services cards, payments and checkout')
    """
    named = dict.fromkeys([*document.alerts.services, document.service])
    return listed("service", [one for one in named if one])


def listed(what: str, names: Sequence[str]) -> str:
    """Write a few names of something."""
    if len(names) < 2:
        return f"{what} {names[0] if names else 'unknown'}"
    return f"{what}s {', '.join(names[:-1])} and {names[-1]}"
