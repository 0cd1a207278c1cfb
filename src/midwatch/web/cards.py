"""How incidents look: an overview becomes the bytes of the page's middle, the same for everybody.

Law: what did not change is not drawn again. A card is drawn when its incident, the day or the way
it stands changed, an event once; ages are put in by the minute. What is in it came from outside
and is escaped. It is used on one thread at a time, never the engine's.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup
from msgspec import Struct

from midwatch import __version__
from midwatch.core.values.clock import SECOND, parse_time, show_time
from midwatch.core.values.skews import Skews
from midwatch.engine import queries
from midwatch.engine.overview import Card, Overview
from midwatch.ports import Audit
from midwatch.texts import cut

HERE = Path(str(resources.files("midwatch.web")))
TOLD = 100  # events of an incident
# Characters of a name and of another text: no label may push the other incidents out of sight.
LONGEST_NAME = 200
LONGEST_TEXT = 500
DAY = 10  # characters of a time that name its day


class _Timeline(Struct):
    """The newest events of an incident, drawn, each with its day; `version` is the last one's."""

    version: int
    lines: deque[tuple[str, str]]


class _Drawn(Struct):
    """A card as it was drawn, before and after its age, and what it was drawn for."""

    card: Card
    day: str
    is_open: bool
    before: str
    after: str


class Cards:
    """Draws overviews, and remembers what it drew."""

    def __init__(self, templates: Environment, audit: Audit, *, shadow: bool) -> None:
        self._audit = audit
        self._shadow = shadow
        # No text from outside can hold it: it is drawn again at each start.
        self._mark = f"age-{secrets.token_hex(12)}"
        module = cast("Any", templates.get_template("card.html").module)
        self._card: Callable[..., Markup] = module.card
        self._line: Callable[[queries.Moment], Markup] = module.line
        self._day: Callable[[str], Markup] = module.day
        self._main = templates.get_template("main.html")
        self._timelines: dict[str, _Timeline] = {}
        self._drawn: dict[str, _Drawn] = {}
        self._shows = Skews().shows

    def draw(self, overview: Overview, now: int) -> bytes:
        """Draw the middle of the page, as it is `now` (milliseconds)."""
        if overview.skews.shows != self._shows:
            self._shows = overview.skews.shows
            self._timelines, self._drawn = {}, {}
        self._read([*overview.harm, *overview.well], overview.skews)
        alone, drawn = overview.open == 1, self._drawn
        self._drawn = {}
        harm = [self._placed(drawn, card, now, is_open=alone) for card in overview.harm]
        well = [self._placed(drawn, card, now, is_open=False) for card in overview.well]
        shown = {
            "open": overview.open,
            "more": overview.more,
            "shadow": self._shadow,
            "harm": _whole(harm),
            "well": _whole(well),
            "notes": overview.notes,
        }
        return self._main.render(shown).encode()

    def _read(self, cards: list[Card], skews: Skews) -> None:
        """Draw what happened since the last time; only that is read."""
        before, self._timelines = self._timelines, {}
        behind: list[tuple[Card, _Timeline]] = []
        for card in cards:
            name = card.detail.incident.id
            found = before.get(name) or _Timeline(0, deque(maxlen=TOLD))
            self._timelines[name] = found
            if found.version < card.version:
                behind.append((card, found))
        if behind:
            with self._audit.beside() as audit:
                for card, timeline in behind:
                    self._extend(card, timeline, audit, skews)

    def _extend(self, card: Card, timeline: _Timeline, audit: Audit, skews: Skews) -> None:
        after = max(timeline.version, card.version - TOLD)
        if after > timeline.version:
            timeline.lines.clear()  # what lies between is left out
        stream = f"incident/{card.detail.incident.id}"
        for row in audit.stretch(stream, after, card.version - after):
            if row.version <= card.version:  # what came after the look is of the next one
                moment = queries.moment_of(row, skews)
                timeline.lines.append((moment.at[:DAY], str(self._line(moment))))
        timeline.version = card.version

    def _placed(self, drawn: dict[str, _Drawn], card: Card, now: int, *, is_open: bool) -> str:
        """Give a card with its age, drawn again when it has to be."""
        incident = card.detail.incident
        day = show_time(now)[:DAY]
        known = drawn.get(incident.id)
        if known is None or (known.card, known.day, known.is_open) != (card, day, is_open):
            lines = self._timelines[incident.id].lines
            text = self._card(
                card.detail,
                self._told(lines),
                card.version - len(lines),
                is_open,
                self._shadow,
                now,
                self._mark,
            )
            before, _, after = str(text).partition(self._mark)
            known = _Drawn(card, day, is_open, before, after)
        self._drawn[incident.id] = known
        return known.before + age(incident.opened_at, now) + known.after

    def _told(self, lines: deque[tuple[str, str]]) -> Markup:
        told: list[str] = []
        last = ""
        for day, line in lines:
            if day != last:
                told.append(str(self._day(day)))
            told.append(line)
            last = day
        return _whole(told)


def _whole(drawn: list[str]) -> Markup:
    """Join what was drawn, and so escaped, without looking at each character of it again."""
    return Markup("".join(drawn))  # noqa: S704  each piece came out of a template


@cache
def words(event: str) -> str:
    """Say an event's name in words.

    >>> words("RegressionCaseAdmitted")
    'Regression case admitted'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", " ", event).capitalize()


def age(since: str, now: int) -> str:
    """Say how long ago a time was, in whole units: it must not change while one reads.

    >>> [age("1970-01-01T00:00:00Z", s * SECOND) for s in (59, 7_199, 7_200, 172_800)]
    ['0 min', '119 min', '2 h', '2 d']
    """
    minutes = max(now - parse_time(since), 0) // (60 * SECOND)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2_880 else f"{minutes // 1_440} d"


def moment(at: str, now: int) -> str:
    """Say a time to the minute, with its day unless that is today.

    >>> moment("1970-01-01T09:30:00.000Z", 0), moment("1970-01-02T09:30:00.000Z", 0)
    ('09:30 UTC', '1970-01-02 09:30 UTC')
    """
    day, clock = at[:DAY], at[11:16]
    return f"{clock} UTC" if day == show_time(now)[:DAY] else f"{day} {clock} UTC"


def templates() -> Environment:
    """Load the page's templates."""
    found = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape())
    found.filters["name"] = partial(cut, limit=LONGEST_NAME)
    found.filters["text"] = partial(cut, limit=LONGEST_TEXT)
    names = cast("dict[str, Any]", found.globals)
    names.update(version=__version__, words=words, moment=moment)
    return found
