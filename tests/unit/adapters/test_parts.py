"""What was merged into an incident: its harm is told there, once, and goes back with an undo."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from tests.unit.rules.test_core import POLICY, SHOP, alert, resolved

from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.reports import postmortem as pages
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.shard import dump, load
from midwatch.core.values.alerts import Alert
from midwatch.core.values.clock import show_time
from midwatch.core.values.postmortems import Postmortem, problems, unjudged
from midwatch.core.values.sli import Bucket, Counts, Indicator
from midwatch.core.values.teams import Person, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.engine import queries, reporting, retelling
from midwatch.engine.explain import standings

BASE = 1_700_000_000_000
PUSHED = structs.replace(SHOP, indicator=Indicator("counter", "push"))


class Silent:
    """A pager that takes every page."""

    def send(self, page: Any) -> str:
        return "receipt"


class Day:
    """A shop with an objective, and a mail service that no call connects with it."""

    def __init__(self) -> None:
        self.now = 0
        self.store = SqliteStore.memory()
        policy = structs.replace(POLICY, team=Team({n: Person(n, ("p",)) for n in ("ada", "ben")}))
        services = [Service(name, 1) for name in ("shop", "mail", "db")]
        rules = Rules(Topology(services, []), {PUSHED.id: PUSHED}, policy)
        self.metrics = PushedMetrics(rules.slos)
        outside = World({"p": Silent()}, None, {"push": self.metrics}, None, None)
        self.engine = build_engine(
            self.store, rules, outside, lambda: BASE + self.now * 1_000, counted=self.metrics.take
        )

    def give(self, given: inputs.Input, at: int) -> None:
        """Decide at a second, and send what is to be sent."""
        self.now = at
        self.engine.handler.handle([Envelope("", given)])
        while claims := self.engine.performer.claim(BASE + at * 1_000):
            for claim in claims:
                self.engine.handler.handle([self.engine.performer.perform(claim)])

    def alerts(self, at: int, *alerts: Alert) -> None:
        """Deliver alerts that began then, or end."""
        self.give(inputs.AlertsArrived("test", alerts), at)

    def serve(self, since: int, until: int, good: int) -> None:
        """Let ten of the shop's users come every ten seconds, of whom some are served well."""
        for at in range(since + 10, until + 1, 10):
            bucket = Bucket(PUSHED.id, BASE + at * 1_000, good, 10)
            self.give(inputs.SliCounted("push", (bucket,)), at)
            handler, watcher = self.engine.handler, self.engine.watcher
            handler.handle(watcher.readings(handler.shard, BASE + at * 1_000))

    def written(self, name: str) -> Postmortem:
        """The postmortem as it is read from the journal."""
        found = retelling.subject(self.engine.handler.shard, self.store, name)
        assert found is not None
        return retelling.retell(*found, self.store)

    def line(self, name: str) -> reporting.Told:
        """What the report has of it."""
        (found,) = reporting.take(self.engine.handler.shard, [name])
        return found


def at(second: int) -> str:
    """A time of the day as documents have it."""
    return show_time(BASE + second * 1_000)


def firing(service: str, name: str, since: int) -> Alert:
    """An alert that began at a second."""
    return alert(service, name, BASE + since * 1_000)


@pytest.fixture
def day() -> Day:
    """Mail failed at 40 s, two people said so, ada has it; the shop burns from 3,600 s on.

    One of mail's alerts ends again, one still fires.
    """
    found = Day()
    found.serve(-3_600, 20, 10)
    bounced, queued = firing("mail", "Bounces", 40), firing("mail", "Queue", 60)
    found.alerts(50, bounced)
    found.alerts(70, queued)
    for number in range(2):
        ticket = inputs.FileTicket(f"T-{number}", f"no mail {number}", f"u{number}", "mail")
        found.give(ticket, 80)
    found.give(inputs.Acknowledge("INC-1", "ada"), 90)
    found.alerts(100, resolved(bounced))
    found.serve(100, 3_600, 10)
    found.serve(3_600, 4_000, 2)
    incidents = found.engine.handler.shard.incidents
    assert list(incidents) == ["INC-1", "INC-2"]
    assert incidents["INC-2"].slo == PUSHED.id
    return found


def test_the_target_tells_the_harm_of_both_and_the_other_one_points_to_it(day: Day) -> None:
    """Reports, alerts that ended long ago, the page and the ack of the part."""
    apart = day.written("INC-2")
    assert (apart.alerts.count, apart.impact.users) == (0, None)
    day.give(inputs.MergeIncident("INC-1", "INC-2", "ben"), 4_010)
    day.serve(4_010, 4_020, 2)
    day.serve(4_020, 4_500, 10)
    both = day.written("INC-2")
    assert both.state == "mitigated"
    assert (both.alerts.count, both.alerts.services) == (2, ["shop", "mail"])
    assert both.impact.users == 2
    (lost,) = both.impact.objectives
    assert (lost.slo, lost.bad_events) == (PUSHED.id, 41 * 8)
    assert both.times.started == at(3_600)  # an objective was counted
    assert both.times.detected == at(50)
    assert both.times.paged == at(50)
    assert both.times.acknowledged == at(90)
    said = [(one.at, one.says) for one in both.timeline]
    assert (at(50), "INC-1 was opened: Bounces on mail") in said
    assert (at(4_010), "INC-1 was merged into it") in said
    assert [when for when, says in said if says == "somebody reported it"] == [at(80)] * 2
    line = day.line("INC-2")
    assert (line.line.alerts, line.line.to_acknowledge_s, line.unacknowledged) == (2, 40.0, False)
    assert line.waits_s[0] == 40.0
    old = day.written("INC-1")
    assert [one.says for one in old.summary] == [
        "INC-1 is part of INC-2: its harm is in the postmortem of that one."
    ]
    assert (old.impact.objectives, old.impact.users, old.alerts.count) == ([], None, 0)
    assert (old.runs, old.curve, problems(old), unjudged(old)) == ([], [], [], [])
    assert "INC-1 is part of INC-2" in pages.markdown(old) + pages.html(old)
    edit = inputs.EditPostmortem("INC-1", structs.replace(old.judgement, summary="x"), "ada")
    day.give(edit, 4_600)
    assert day.written("INC-1").version == 0


def test_after_an_undo_each_has_its_own_again(day: Day) -> None:
    """Also the figures that were written down, and what the report says."""
    before = {name: day.written(name) for name in ("INC-1", "INC-2")}
    lines = {name: day.line(name).line for name in before}
    day.give(inputs.MergeIncident("INC-1", "INC-2", "ben"), 4_010)
    assert day.written("INC-2").impact.users is None  # not drafted yet
    day.give(inputs.UndoMove("INC-2", "ben"), 4_020)
    shard = day.engine.handler.shard
    assert shard.incidents["INC-2"].parts == {}
    assert shard.incidents["INC-2"].tickets == []
    assert shard.incidents["INC-1"].tickets == ["T-0", "T-1"]
    for name, one in before.items():
        after = day.written(name)
        assert (after.alerts, after.times.detected) == (one.alerts, one.times.detected)
        assert after.times.started == one.times.started
        again = day.line(name).line
        assert (again.alerts, again.to_detect_s) == (lines[name].alerts, lines[name].to_detect_s)
    assert load(dump(shard)) == shard


def test_figures_of_one_that_is_over_are_made_again(day: Day) -> None:
    """It gains the reports of what is merged into it, and loses them with the undo."""
    day.serve(4_000, 4_500, 10)
    assert day.written("INC-2").state == "mitigated"
    assert day.written("INC-2").impact.users is None
    day.give(inputs.MergeIncident("INC-1", "INC-2", "ben"), 4_510)
    assert day.written("INC-2").impact.users == 2
    day.give(inputs.UndoMove("INC-2", "ben"), 4_520)
    assert day.written("INC-2").impact.users is None


def test_without_an_objective_it_began_with_the_first_alert_of_either() -> None:
    """The first one's alert ended before the merge."""
    day = Day()
    first = firing("mail", "Bounces", 5)
    day.alerts(10, first, firing("mail", "Queue", 8))
    day.alerts(20, resolved(first))
    day.give(inputs.Acknowledge("INC-1", "ada"), 30)
    day.alerts(2_000, firing("db", "Slow", 1_990))
    day.give(inputs.MergeIncident("INC-1", "INC-2", "ben"), 2_010)
    assert day.written("INC-2").times.started == at(5)
    day.give(inputs.UndoMove("INC-2", "ben"), 2_020)
    assert day.written("INC-2").times.started == at(1_990)
    assert day.written("INC-1").times.started == at(5)


def test_parts_of_a_part_come_along_and_go_back_with_it() -> None:
    """Three incidents become one, and the last merge is undone."""
    day = Day()
    for number, service in enumerate(("mail", "db", "shop")):
        day.alerts(number * 4_000, firing(service, "Slow", number * 4_000 - 10))
        day.give(inputs.Acknowledge(f"INC-{number + 1}", "ada"), number * 4_000 + 20)
    day.give(inputs.MergeIncident("INC-1", "INC-2", "ben"), 9_000)
    day.give(inputs.MergeIncident("INC-2", "INC-3", "ben"), 9_010)
    shard = day.engine.handler.shard
    assert list(shard.incidents["INC-3"].parts) == ["INC-1", "INC-2"]
    assert day.written("INC-3").alerts.count == 3
    assert day.written("INC-3").times.started == at(-10)
    day.give(inputs.UndoMove("INC-3", "ben"), 9_020)
    assert shard.incidents["INC-3"].parts == {}
    assert list(shard.incidents["INC-2"].parts) == ["INC-1"]
    folded = [fact.event for fact in queries.facts(day.store)]
    assert sum(isinstance(one, e.IncidentMerged) for one in folded) == 2


def test_slo_status_says_the_share_of_the_postmortem_whenever_harm_is_measured() -> None:
    """Though the period is asked for every five minutes only, while all is calm."""
    day = Day()
    day.serve(-3_600, 0, 10)
    compared = 0
    for now in range(0, 1_500, 10):
        day.serve(now, now + 10, 2 if now < 900 else 10)
        incident = day.engine.handler.shard.incidents.get("INC-1")
        harm = incident.harms.get(PUSHED.id) if incident else None
        if harm is not None and harm.at == BASE + (now + 10) * 1_000:
            (standing,) = standings(day.engine.handler.shard, day.engine.watcher.newest())
            shown = standing.objective.budget
            assert (harm.period, harm.seen_s) == (
                Counts(shown.events - shown.bad, shown.events),
                shown.seen_s,
            )
            assert harm.counts.bad == shown.bad
            compared += 1
    assert compared > 5


def test_events_and_the_time_in_which_they_were_seen_are_of_one_moment() -> None:
    """Ten events come every ten seconds, so in 1,000 s there are as many, whenever one looks."""
    day = Day()
    for now in range(0, 1_000, 10):
        day.serve(now, now + 10, 10)
        (standing,) = standings(day.engine.handler.shard, day.engine.watcher.newest())
        shown = standing.objective.budget
        assert shown.events == (shown.seen_s or 0) + 10
