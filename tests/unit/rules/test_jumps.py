"""A wall clock that jumps: people see it, waits do not, and somebody is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.adapters.metrics.prometheus import PrometheusMetrics
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules import jumps
from midwatch.core.rules.rules import Rules
from midwatch.core.state import effects, inputs
from midwatch.core.state import events as e
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.clock import show_time
from midwatch.core.values.schedules import DAY_MIN, Hours, Layer, Schedule
from midwatch.core.values.silences import Maintenance, Muting, read_matcher
from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import Slo
from midwatch.core.values.teams import Person, Policy, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.engine import queries, verify
from midwatch.engine.clock import SteadyClock, settle
from midwatch.engine.handle import Handler
from midwatch.engine.perform import Performer
from midwatch.engine.retelling import retell, subject
from midwatch.engine.watch import Watcher
from midwatch.outbound import Answer

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
YEAR = 365 * DAY
NOW = 1_796_040_000_000  # 2026-11-30 12:00 UTC, a Monday
DAILY = Schedule("primary", "UTC", (Layer("base", ("ada", "ben"), "2006-01-02T00:00", DAY_MIN),))
PEOPLE = {name: Person(name, ("phone",)) for name in ("ada", "ben", "cyd")}
TEAM = Team(people=PEOPLE, schedules={"primary": DAILY}, digest_s=0)
POLICY = Policy("default", (Step(("primary",), 300), Step(("cyd",), 600)), 1, TEAM)


class Night:
    """An engine in virtual time, with a wall clock that may be set."""

    def __init__(self, **rules: object) -> None:
        self.now, self.skew = NOW, 0
        self.store = SqliteStore.memory()
        services = [Service(name, 2) for name in ("shop", "cart", "docs")]
        self.rules = Rules(
            topology=Topology(services, []),
            policy=POLICY,
            policies={"default": POLICY},
            **rules,  # pyright: ignore[reportArgumentType]  parts of Rules
        )
        self.paged: list[effects.SendPage] = []
        self.sent_at: list[int] = []
        self.start()

    def start(self) -> None:
        """Start a process over the journal, as after a restart."""
        self.handler = Handler(self.store, self.rules, lambda: self.now)
        self.performer = Performer(self.store, {}, {"phone": self}, None, None)
        self.watcher = Watcher(self.store, {}, self.rules)

    def send(self, page: effects.SendPage) -> str:
        """Take a page."""
        self.paged.append(page)
        self.sent_at.append(self.now)
        return "receipt"

    def follow(self, update: effects.UpdatePage) -> str:
        """Take news of one."""
        return "told"

    @property
    def wall(self) -> int:
        """What the wall clock says."""
        return self.now - self.skew

    @property
    def state(self):
        """What is remembered."""
        return self.handler.shard

    def give(self, given: inputs.Input) -> None:
        """Hand an input over, and send what is to be sent."""
        (handled,) = self.handler.handle([Envelope("", given)])
        assert handled.status == "committed", handled.why
        self.perform()

    def perform(self) -> None:
        while claims := self.performer.claim(self.now):
            for claim in claims:
                self.handler.handle([self.performer.perform(claim)])

    def fire(self, name: str, service: str = "shop", status: str = "firing") -> Incident:
        """An alert without a time of its own: it began when it came."""
        labels = {"alertname": name, "service": service, "severity": "critical"}
        found = identify({**labels, "namespace": service})
        alert: Alert = found.alert(
            "firing" if status == "firing" else "resolved",
            self.wall,
            None if status == "firing" else self.wall,
        )
        self.give(inputs.AlertsArrived("test", (alert,)))
        incidents = list(self.state.incidents.values())
        return next((one for one in incidents if found.fingerprint in one.firing), incidents[-1])

    def set_clock(self, by: int) -> None:
        """Set the wall clock ahead, or back when below 0."""
        self.skew -= by
        self.give(inputs.ClockSeen(by, self.skew))

    def pass_time(self, ms: int) -> None:
        """Let time go by; whatever is due is done when it is."""
        end = self.now + ms
        while (due_at := self.store.next_timer_at()) is not None and due_at <= end:
            self.now = max(self.now, due_at)
            self.handler.handle(self.watcher.due_timers(self.now))
            self.perform()
        self.now = end

    def who(self) -> list[str]:
        """Say whom the pages went to."""
        return [page.to for page in self.paged]


JUMPS = [HOUR, -HOUR, DAY, -DAY, 10 * YEAR, -10 * YEAR]


@pytest.mark.parametrize("by", JUMPS)
def test_a_jump_pages_by_itself_and_says_both_times(by: int) -> None:
    """Once, to whoever is on call by the wall clock, with what to do."""
    night = Night()
    night.set_clock(by)
    assert night.who() == [DAILY.on_call(night.wall)]
    (page,) = night.paged
    assert show_time(NOW) in page.summary
    assert show_time(NOW + by) in page.summary
    assert "timedatectl" in page.summary
    assert page.title.startswith("The clock went ahead" if by > 0 else "The clock went back")
    night.set_clock(-by)
    assert len(night.paged) == 1
    assert night.state.skew == 0


@pytest.mark.parametrize("by", JUMPS)
def test_people_see_the_wall_clock_and_waits_do_not(by: int) -> None:
    """Whoever is on call by the wall clock is paged; the next step comes when its wait is over."""
    night = Night()
    night.fire("Down")
    assert night.who() == ["ben"]
    night.pass_time(2 * MINUTE)
    night.set_clock(by)
    night.fire("Slow", "docs")
    assert night.paged[-1].to == DAILY.on_call(night.wall)
    night.pass_time(2 * MINUTE)
    assert [p.to for p in night.paged if p.incident == "INC-1"] == ["ben"]
    night.pass_time(MINUTE + 1_000)
    assert [p.to for p in night.paged if p.incident == "INC-1"] == ["ben", "cyd"]
    night.pass_time(2 * MINUTE)
    assert [p.to for p in night.paged if p.title == "Slow on docs"][1:] == ["cyd"]


@pytest.mark.parametrize("by", JUMPS)
def test_a_clock_that_is_right_again_was_never_wrong(by: int) -> None:
    """Who is paged, and when things happened, as if nothing had been."""
    night = Night()
    night.fire("Down")
    night.set_clock(by)
    night.pass_time(20_000)
    wrong = night.fire("Slow", "docs")
    assert queries.summaries(night.state)[-1].opened_at
    night.set_clock(-by)
    night.pass_time(10 * MINUTE)
    night.fire("Gone", "cart")
    assert [page.to for page in night.paged if page.title == "Gone on cart"] == ["ben"]
    shown = {one.id: one.opened_at for one in queries.summaries(night.state)}
    assert shown["INC-1"] == show_time(NOW)
    assert shown[wrong.id] == show_time(NOW + 20_000)
    assert [fact.at for fact in queries.facts(night.store)] == [
        row.at for row, _ in night.store.rows()
    ]


def test_a_page_that_is_not_out_yet_is_sent_though_the_clock_is_right_again() -> None:
    """The jump was, and somebody has to know."""
    night = Night()
    night.skew = -DAY
    night.handler.handle([Envelope("", inputs.ClockSeen(DAY, -DAY))])
    night.skew = 0
    night.handler.handle([Envelope("", inputs.ClockSeen(-DAY, 0))])
    night.perform()
    assert [page.title for page in night.paged] == ["The clock went ahead by 24 h"]


def test_nobody_has_it_so_it_escalates() -> None:
    """Like any other page."""
    night = Night()
    night.set_clock(HOUR)
    night.pass_time(6 * MINUTE)
    assert night.who() == ["ben", "cyd"]


def test_it_is_over_once_the_clock_is_right_and_somebody_has_it() -> None:
    """In whichever order; until then /readyz tells it."""
    for right_first in (True, False):
        night = Night()
        night.set_clock(DAY)
        assert "is followed for dates" in jumps.condition(night.state)
        if right_first:
            night.set_clock(-DAY)
            assert "is right again (INC-1)" in jumps.condition(night.state)
        night.give(inputs.Acknowledge("INC-1", "ada"))
        if not right_first:
            night.set_clock(-DAY)
        assert night.state.incidents["INC-1"].state == "mitigated"
        assert not jumps.condition(night.state)


def test_while_nobody_has_it_a_clock_that_flaps_pages_once() -> None:
    """And again when it jumps after somebody took it."""
    night = Night()
    for _ in range(5):
        night.set_clock(HOUR)
        night.set_clock(-HOUR)
    assert len(night.paged) == 1
    night.set_clock(HOUR)
    night.give(inputs.Acknowledge("INC-1", "ada"))
    night.set_clock(DAY)
    assert len(night.paged) == 2
    assert night.state.incidents["INC-1"].state == "open"


def test_it_pages_where_such_incidents_are_tickets() -> None:
    """A team that is woken for sev1 alone is woken for this too."""
    urgency = {**TEAM.urgency, "sev2": "ticket"}
    team = Team(people=PEOPLE, schedules={"primary": DAILY}, urgency=urgency)  # pyright: ignore[reportArgumentType]  all four are there
    policy = Policy("default", (Step(("primary",), 300),), 1, team)
    night = Night()
    night.rules = Rules(policy=policy)
    night.start()
    night.set_clock(DAY)
    assert len(night.paged) == 1


def test_no_alert_joins_what_tells_of_a_jump() -> None:
    """It would be hidden in it."""
    night = Night()
    night.set_clock(HOUR)
    night.fire("Down", "")
    night.give(inputs.FileTicket("T-1", "the shop is down", service="shop"))
    assert night.state.incidents["INC-1"].alert_count == 0
    assert not night.state.incidents["INC-1"].tickets
    assert len(night.paged) == 2


@pytest.mark.parametrize("by", JUMPS)
def test_a_snooze_ends_at_its_date_and_never_later_than_was_asked(by: int) -> None:
    """Whichever clock it was set by."""
    night = Night()
    night.fire("Down")
    night.give(inputs.Snooze("INC-1", "ben", night.wall + 30 * MINUTE))
    night.set_clock(by)
    night.pass_time(10_000)
    ended_early = by > 30 * MINUTE
    assert (night.state.incidents["INC-1"].state == "open") is ended_early
    night.set_clock(-by)
    night.pass_time(31 * MINUTE)
    assert night.state.incidents["INC-1"].state == "open"


@pytest.mark.parametrize("by", JUMPS)
def test_a_snooze_that_was_set_under_a_wrong_clock_lasts_as_long_as_was_asked(by: int) -> None:
    """Not for a day, nor for ten years."""
    night = Night()
    night.fire("Down")
    night.set_clock(by)
    night.give(inputs.Snooze("INC-1", "ben", night.wall + 30 * MINUTE))
    night.pass_time(MINUTE)
    night.set_clock(-by)
    shown = next(one for one in queries.summaries(night.state) if one.id == "INC-1")
    assert shown.snoozed_until <= show_time(NOW + 30 * MINUTE)
    night.pass_time(30 * MINUTE)
    assert night.state.incidents["INC-1"].state == "open"


def quiet(night: Night, starts_in: int, ends_in: int) -> None:
    """Silence the shop for a time."""
    wall = night.wall
    night.give(inputs.AddSilence(("service=shop",), wall + starts_in, wall + ends_in, "ada", "x"))


@pytest.mark.parametrize("by", [DAY, 10 * YEAR])
def test_a_silence_that_was_over_too_early_is_there_again(by: int) -> None:
    """What fired meanwhile paged; what comes after does not."""
    night = Night()
    quiet(night, 0, 2 * HOUR)
    night.fire("Down")
    assert not night.paged
    night.set_clock(by)
    night.pass_time(1_000)
    assert [page.title for page in night.paged][1:] == ["Down on shop"]
    night.set_clock(-by)
    night.fire("Slow")
    assert len(night.paged) == 2
    night.pass_time(2 * HOUR)
    assert not night.state.silences
    assert not night.state.lapsed


@pytest.mark.parametrize("by", JUMPS)
def test_a_silence_ends_when_it_would_have_ended(by: int) -> None:
    """After a clock that was wrong for a while, whether it was set before or meanwhile."""
    for meanwhile in (False, True):
        night = Night()
        if meanwhile:
            night.set_clock(by)
        quiet(night, 0, 2 * HOUR)
        if not meanwhile:
            night.set_clock(by)
        night.pass_time(20_000)
        night.set_clock(-by)
        night.pass_time(2 * HOUR)
        before = len(night.paged)
        night.fire("Down")
        assert len(night.paged) == before + 1


def test_a_silence_begins_at_its_date() -> None:
    """By the wall clock, which was set an hour ahead."""
    night = Night()
    quiet(night, 2 * HOUR, 4 * HOUR)
    night.set_clock(HOUR)
    night.pass_time(HOUR + 1_000)
    night.fire("Down")
    assert "Down on shop" not in [page.title for page in night.paged]


def test_a_maintenance_window_is_open_by_the_wall_clock() -> None:
    """What it mutes speaks when the wall clock jumps out of it, and not when it ends later."""
    monday = Hours((1,), 11 * 60, 18 * 60)
    layer = Layer("base", ("on",), "2006-01-02T00:00", DAY_MIN, hours=(monday,))
    window = Schedule("noon", "UTC", (layer,))
    rule = Maintenance("noon", (read_matcher("service=shop"),), window)
    night = Night(muting=Muting(maintenances=(rule,)))
    night.fire("Down")
    assert not night.paged
    night.set_clock(7 * HOUR)
    assert "Down on shop" in [page.title for page in night.paged]


def test_what_began_in_a_window_is_muted_again_when_the_clock_is_right_again() -> None:
    """What began before it is not, as without any jump."""
    monday = Hours((1,), 11 * 60, 18 * 60)
    layer = Layer("base", ("on",), "2026-01-05T00:00", DAY_MIN, hours=(monday,))
    rule = Maintenance(
        "noon", (read_matcher("service=~shop|cart"),), Schedule("noon", "UTC", (layer,))
    )
    night = Night(muting=Muting(maintenances=(rule,)))
    night.now -= 2 * HOUR
    before = night.fire("Before", "cart")
    night.pass_time(2 * HOUR)
    within = night.fire("Within")
    assert [one.muted for one in within.firing.values()] == [rule.key]
    night.set_clock(DAY)
    assert not any(one.muted for one in within.firing.values())
    night.pass_time(20_000)
    night.set_clock(-DAY)
    assert [one.muted for one in within.firing.values()] == [rule.key]
    assert not any(one.muted for one in before.firing.values())
    night.pass_time(7 * HOUR)
    assert not any(one.muted for one in within.firing.values())


@pytest.mark.parametrize("ways", [(DAY, -10 * YEAR), (HOUR, -HOUR), (-HOUR, 10 * YEAR, DAY)])
def test_a_clock_that_was_wrong_in_several_ways_and_is_right_was_never_wrong(
    ways: tuple[int, ...],
) -> None:
    """What was written before is shown as it was, and the next jump is a jump again."""
    night = Night()
    night.fire("Down")
    for off in ways:
        night.set_clock(off + night.skew)
        night.pass_time(20_000)
    night.set_clock(night.skew)
    jumped = [f.event for f in queries.facts(night.store) if isinstance(f.event, e.ClockJumped)]
    assert jumped[-1].right
    assert night.state.skews.shows == (0, ())
    assert night.state.shown(NOW) == NOW
    night.set_clock(ways[0])
    jumped = [f.event for f in queries.facts(night.store) if isinstance(f.event, e.ClockJumped)]
    assert not jumped[-1].right


def test_a_clock_that_is_an_hour_off_after_ten_years_is_not_right() -> None:
    """A tenth of ten years is a year."""
    night = Night()
    night.set_clock(10 * YEAR)
    night.set_clock(-10 * YEAR + HOUR)
    assert not night.state.clock_right


def test_an_end_of_our_own_counts_though_its_start_was_told_by_a_wrong_clock() -> None:
    """A start that lies in the future is no later firing."""
    night = Night()
    night.set_clock(DAY)
    incident = night.fire("Down")
    night.set_clock(-DAY)
    night.fire("Down", status="resolved")
    assert night.state.incidents[incident.id].state == "mitigated"


def test_a_journal_that_an_older_version_wrote_ten_years_ahead_is_right_at_once() -> None:
    """Its waits go on, its snooze is over when it would have been, and people see the clock."""
    night = Night()
    night.now += 10 * YEAR
    night.fire("Down")
    night.give(inputs.Snooze("INC-1", "ben", night.now + 30 * MINUTE))
    night.now += 10 * MINUTE
    night.fire("Slow", "docs")
    clock = SteadyClock(lambda: NOW + 2 * MINUTE, lambda: 1, "new")
    clock.go_on(night.state)
    assert clock() == night.state.at
    night.now = clock()
    settle(clock, night.handler.handle)
    night.perform()
    night.skew = night.state.skew
    assert (clock.wall(), night.state.wall) == (NOW + 2 * MINUTE, NOW + 2 * MINUTE)
    assert night.paged[-1].title.startswith("The clock went back by 3650 d")
    night.fire("Gone", "cart")
    assert night.paged[-1].to == "ben"
    shown = {one.id: one.opened_at for one in queries.summaries(night.state)}
    assert shown["INC-1"] == show_time(NOW - 8 * MINUTE)
    assert shown["INC-2"] == show_time(NOW + 2 * MINUTE)
    night.pass_time(5 * MINUTE)
    assert [p.to for p in night.paged if p.title == "Slow on docs"][1:] == ["cyd"]
    night.pass_time(15 * MINUTE)
    assert night.state.incidents["INC-1"].state == "open"


def test_the_journal_goes_forward_and_folds_to_the_same_state() -> None:
    """Whatever the wall clock does; and verify finds nothing."""
    night = Night()
    quiet(night, 0, HOUR)
    for by in JUMPS:
        night.fire(f"Down{by}", "docs")
        night.set_clock(by)
        night.pass_time(MINUTE)
        night.set_clock(-by)
    times = [row.at for row, _ in night.store.rows()]
    assert times == sorted(times)
    assert verify.verify(night.store)[1] == []
    before = night.state
    night.start()
    assert night.state == before


def test_a_postmortem_tells_a_story_in_one_clock() -> None:
    """Detected, acknowledged and mitigated after it began, by the clock that is right."""
    night = Night()
    incident = night.fire("Down")
    night.pass_time(MINUTE)
    night.set_clock(DAY)
    night.give(inputs.Acknowledge(incident.id, "ben"))
    night.set_clock(-DAY)
    night.pass_time(MINUTE)
    night.fire("Down", status="resolved")
    found = subject(night.state, night.store, incident.id)
    assert found is not None
    told = retell(*found, night.store)
    assert (told.durations_s.to_detect, told.durations_s.to_acknowledge) == (0.0, 60.0)
    assert told.durations_s.to_mitigate == 120.0


def test_what_an_earlier_clock_wrote_keeps_its_time() -> None:
    """A machine that slept without knowing: the clock was right before, and is right after."""
    night = Night()
    night.fire("Down")
    night.pass_time(MINUTE)
    night.set_clock(2 * HOUR)
    night.pass_time(10 * MINUTE)
    after = night.fire("Slow", "docs")
    shown = {one.id: one.opened_at for one in queries.summaries(night.state)}
    assert shown["INC-1"] == show_time(NOW)
    assert shown[after.id] == show_time(NOW + 2 * HOUR + 11 * MINUTE)


class Series:
    """A Prometheus with one counter; it has nothing at a time that is not now."""

    def __init__(self) -> None:
        self.now_s = NOW / 1_000
        self.value = 1e8  # one a second, for years
        self.asked: list[float] = []

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Answer a question."""
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        at = float(given.get("time") or given["end"])
        self.asked.append(at - self.now_s)
        there = -40 * DAY < (at - self.now_s) * 1_000 < 5 * MINUTE
        point = [at, self._at(at)]
        if url.endswith("query_range"):
            start, step = float(given["start"]), float(given["step"])
            times = [start + step * n for n in range(int((at - start) // step) + 1)]
            values = [[one, self._at(one)] for one in times]
            result = [{"metric": {"code": "200"}, "values": values}] if there else []
            data = {"resultType": "matrix", "result": result}
        else:
            result = [{"metric": {"code": "200"}, "value": point}] if there else []
            data = {"resultType": "vector", "result": result}
        return Answer(200, {}, json.dumps({"status": "success", "data": data}).encode())

    def _at(self, at: float) -> str:
        return str(self.value + min(at - self.now_s, 0))


@pytest.mark.parametrize("by", JUMPS)
def test_a_wrong_clock_blinds_no_objective(by: int) -> None:
    """Prometheus is asked by the wall clock, and no count is lost once that is right again."""
    series, skew = Series(), 0
    query = 'sum(requests{code="200"})'
    slo = Slo("shop/a", "shop", "0.99", indicator=Indicator("counter", "", query, "", query))
    asked = PrometheusMetrics(
        PrometheusOptions("http://p"),
        cast("Any", series),
        pause=lambda s: None,
        skew=lambda: skew,
    )

    before = asked.counts(slo, (slo.period_s,), NOW)[slo.period_s].total
    assert before > 0
    now = NOW
    for _ in range(3):  # the journal's time goes on as before, the wall clock is elsewhere
        now += 10_000
        series.now_s, skew = now / 1_000, -by
        series.value += 10
        asked.counts(slo, (300,), now)
        assert by < 0 or abs(series.asked[-1] - by / 1_000) < 1
    now, skew = now + 10_000, 0
    series.now_s = now / 1_000
    series.value += 10
    found = asked.counts(slo, (300, slo.period_s), now)
    assert 300 <= found[300].total <= 360  # one a second; history is in steps of a minute
    assert found[slo.period_s].total == before + 40
    assert abs(series.asked[-1]) < 1


def test_what_was_before_is_asked_for_again_when_the_clock_was_wrong_at_the_start() -> None:
    """Else the budget of a month would be that of minutes."""
    series, skew = Series(), 0
    query = 'sum(requests{code="200"})'
    slo = Slo("shop/a", "shop", "0.99", indicator=Indicator("counter", "", query, "", query))
    asked = PrometheusMetrics(
        PrometheusOptions("http://p"),
        cast("Any", series),
        pause=lambda s: None,
        skew=lambda: skew,
    )
    wrong = asked.counts(slo, (slo.period_s,), NOW + DAY)
    skew = DAY
    right = asked.counts(slo, (slo.period_s,), NOW + DAY + 10_000)
    assert right[slo.period_s].total > wrong[slo.period_s].total


@pytest.mark.parametrize("by", [-YEAR, -10 * YEAR])
def test_a_clock_from_before_every_rota_still_has_somebody_on_call(by: int) -> None:
    """By that clock no rota has begun; then the journal's time says whose turn it is."""
    base = Layer("base", ("ada", "ben"), "2026-11-02T00:00", DAY_MIN)
    rota = Schedule("primary", "UTC", (base,))
    team = Team(people=PEOPLE, schedules={"primary": rota}, digest_s=0)
    alone = Policy("default", (Step(("primary",), 300),), 1, team)
    night = Night()
    night.rules = Rules(policy=alone, policies={"default": alone})
    night.start()
    night.fire("Down")
    right = night.who()
    night.set_clock(by)
    night.fire("Worse", "cart")
    assert set(night.who()) == set(right)
    assert len(night.who()) == 3  # of the first alert, of the jump, of the other one
