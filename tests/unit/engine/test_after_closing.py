"""What comes after an incident was closed is a line of its postmortem, and changes no figure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs
from tests.unit.adapters.test_parts import BASE, Day, firing, resolved

from midwatch.adapters.reports import postmortem as pages
from midwatch.core.state import inputs
from midwatch.core.values.postmortems import Postmortem

CLOSED = 4_310  # an hour after it was resolved


@pytest.fixture
def day() -> Day:
    """Mail failed from 40 s to 100 s, one person said so, and it is closed."""
    found = Day()
    bounced, queued = firing("mail", "Bounces", 40), firing("mail", "Queue", 60)
    found.alerts(50, bounced, queued)
    found.give(inputs.FileTicket("T-1", "no mail since noon", "u1", "mail"), 80)
    found.give(inputs.Acknowledge("INC-1", "ada"), 90)
    found.alerts(100, resolved(bounced), resolved(queued))
    pass_time(found, 110, CLOSED + 10)
    assert found.written("INC-1").times.closed is not None
    return found


def pass_time(day: Day, since: int, until: int) -> None:
    """Let timers come due, every ten seconds."""
    for at in range(since, until, 10):
        day.now = at
        for envelope in day.engine.watcher.due_timers(BASE + at * 1_000):
            day.engine.handler.handle([envelope])


def late(one: Postmortem) -> list[str]:
    """The lines that say so."""
    return [x.says for x in one.timeline if x.says.startswith("after closing: ")]


def told_late(day: Day, *things: Callable[[], object]) -> list[str]:
    """The lines that come of it; nothing else of the document is another than before."""
    before = day.written("INC-1")
    assert late(before) == []
    for one in things:
        one()
    after = day.written("INC-1")
    assert structs.replace(after, timeline=[]) == structs.replace(before, timeline=[])
    lines = late(after)
    assert [one for one in after.timeline if one.says not in lines] == before.timeline
    for text in (pages.markdown(after), pages.html(after)):
        assert all(pages.plain(one) in text or one in text for one in lines)
    return lines


def test_a_late_report_is_a_line(day: Day) -> None:
    """It belongs to the incident that it opens, and the one that is closed says so."""
    report = inputs.FileTicket("T-2", "no mail since noon", "u2", "mail", affected=40)
    assert told_late(day, lambda: day.give(report, CLOSED + 60)) == [
        "after closing: T-2 reported mail; it belongs to INC-2"
    ]


def test_a_late_alert_is_a_line(day: Day) -> None:
    """It began while the incident was open, and its delivery came after it was closed."""
    slow = firing("mail", "Queue", 70)
    lines = told_late(day, lambda: day.alerts(CLOSED + 60, slow))
    assert "after closing: 1 alert that began before it came late: Queue on mail; " in lines[0]
    assert lines[0].endswith("it belongs to INC-2")
    assert any("INC-2 is INC-1 again" in one for one in lines[1:])


def test_what_has_nothing_to_do_with_it_is_no_line(day: Day) -> None:
    """A report about another service, an alert of another one, and what comes hours later."""
    other = inputs.FileTicket("T-3", "the shop is slow", "u3", "shop")
    much_later = inputs.FileTicket("T-4", "no mail since noon", "u4", "mail")
    assert (
        told_late(
            day,
            lambda: day.give(other, CLOSED + 60),
            lambda: day.alerts(CLOSED + 70, firing("db", "Slow", CLOSED + 65)),
            lambda: day.give(much_later, CLOSED + 3_700),
        )
        == []
    )
