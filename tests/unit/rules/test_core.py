"""The core's laws, one behaviour a test."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from midwatch.core import decide
from midwatch.core.rules import correlation, fixes, rechecks, regressions
from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import chain, inputs, shard
from midwatch.core.state import events as e
from midwatch.core.state.board import Board
from midwatch.core.state.effects import RunEvals, SendPage
from midwatch.core.state.evolving import TRANSITIONS, evolve
from midwatch.core.state.incidents import Incident, lacks
from midwatch.core.state.inputs import AlertsArrived, SliMeasured
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import Shard
from midwatch.core.values import slo
from midwatch.core.values.alerts import Alert, fingerprint, identify
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.plans import Match, Runbook
from midwatch.core.values.plans import Step as BookStep
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Counts, FailedAnswer, SliReading
from midwatch.core.values.slo import DAY_S, Slo, Verify
from midwatch.core.values.teams import Policy, Step
from midwatch.core.values.topology import Service, Topology
from midwatch.errors import BugError, StateError

WHY = Reason("test/1", "because")
POLICY = Policy("p", (Step(("ada",), 300), Step(("ben",), 600)), repeat=0)
SHOP = Slo("shop/answers", "shop", "0.99")
RULES = Rules(
    topology=Topology(
        [Service("shop", 1), Service("cart", 1), Service("db", 2), Service("mail", 3)],
        [("shop", "cart"), ("cart", "db"), ("news", "mail")],
    ),
    policy=POLICY,
)
WITH_SLO = Rules(topology=RULES.topology, policy=POLICY, slos={SHOP.id: SHOP})


def alert(service: str, name: str = "Slow", at: int = 0, **labels: str) -> Alert:
    """A firing alert."""
    full = {"alertname": name, "service": service, "severity": "critical", **labels}
    return identify(full).alert("firing", at)


def resolved(one: Alert) -> Alert:
    """The same alert, over."""
    return identify(one.labels).alert("resolved", one.starts_at, 1)


def heard() -> Shard:
    """A shard that has heard of the shop's objective."""
    return Shard(heard={SHOP.id: None})


@dataclass
class Bench:
    """A shard to decide on."""

    rules: Rules
    state: Shard
    left: dict[str, Archived] = field(default_factory=dict[str, Archived])

    def give(self, given: inputs.Input, now: int = 0) -> decide.Decision:
        """Decide on one input."""
        decision = decide.decide(self.state, given, now, self.rules, recalled=self.left)
        self.left.update(decision.left)
        return decision

    def alerts(self, *alerts: Alert, now: int = 0) -> decide.Decision:
        """Deliver a batch."""
        return self.give(AlertsArrived("test", alerts), now)

    def read(self, good: int, total: int, now: int, short: Counts | None = None) -> decide.Decision:
        """Read the SLI: the same counts in every window, or others in the short ones."""
        counts = Counts(good, total)
        windows = dict.fromkeys(slo.windows_needed(SHOP, Verify()), counts)
        if short is not None:
            windows |= {300: short, 1_800: short}
        failures = (FailedAnswer("a1", "refund window", "7 days", "30 days"),)
        return self.give(SliMeasured(SliReading(SHOP.id, now, windows, failures)), now)

    @property
    def only(self) -> Incident:
        """The one incident there is."""
        (incident,) = [
            *self.state.incidents.values(),
            *(one.incident for one in self.left.values()),
        ]
        return incident


@pytest.fixture
def bench() -> Bench:
    """Without an objective."""
    return Bench(RULES, Shard())


@pytest.fixture
def burning() -> Bench:
    """With an objective that has just paged."""
    bench = Bench(WITH_SLO, heard())
    bench.read(8_000, 10_000, 1_000)
    return bench


def kinds(decision: decide.Decision) -> list[str]:
    """The types of a decision's events."""
    return [type(event).__name__ for event in decision.events]


# --- alerts and incidents -----------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=5), st.randoms())
def test_fingerprints_ignore_order(labels: dict[str, str], rng: object) -> None:
    """The same labels in another order are the same alert."""
    items = list(labels.items())
    rng.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(labels)


def test_each_alert_is_in_exactly_one_incident_whatever_the_order() -> None:
    """Shuffling a batch changes nothing, and no alert is lost or doubled."""
    batch = [
        alert(s, n, at)
        for at, (s, n) in enumerate(
            (s, n) for s in ("shop", "cart", "db", "mail", "") for n in ("A", "B")
        )
    ]
    one, other = Bench(RULES, Shard()), Bench(RULES, Shard())
    one.alerts(*batch)
    other.alerts(*reversed(batch))
    assert one.state == other.state
    assert sorted(one.state.firing) == sorted(a.fingerprint for a in batch)


PLACES = st.tuples(
    st.sampled_from(["shop", "cart", "db", "mail", "news", "lone", ""]),
    st.sampled_from(["", "eu", "us"]),
    st.integers(0, 900),
)


def test_a_refresh_writes_nothing(bench: Bench) -> None:
    """An alert that fires already is no news."""
    bench.alerts(alert("shop"))
    assert bench.alerts(alert("shop"), now=60_000).is_empty


def test_a_wall_is_a_label_that_config_names(bench: Bench) -> None:
    """The same service in another namespace is the same incident, unless people want it apart."""
    both = alert("shop", namespace="eu"), alert("shop", namespace="us")
    bench.alerts(*both)
    assert len(bench.state.incidents) == 1
    walled = Bench(structs.replace(RULES, wall="namespace"), Shard())
    walled.alerts(*both)
    assert len(walled.state.incidents) == 2


def test_a_warning_draws_nobody_in_whom_the_graph_does_not_connect(bench: Bench) -> None:
    """Time alone joins by what is critical; in another namespace it joins nothing."""
    bench.alerts(alert("db", severity="warning"), alert("mail", at=1))
    assert len(bench.state.incidents) == 2
    loud = Bench(RULES, Shard())
    loud.alerts(alert("db"), alert("mail", at=1), alert("news", at=2, namespace="else"))
    assert loud.state.incidents["INC-1"].services == {"db": 0, "mail": 1, "news": 2}
    apart = Bench(RULES, Shard())
    apart.alerts(alert("db"), alert("mail", at=1, namespace="else"))
    assert len(apart.state.incidents) == 2


def test_an_old_incident_does_not_swallow_a_neighbour(bench: Bench) -> None:
    """Freshness decays: an hour later the caller's alert is another incident."""
    bench.alerts(alert("db"))
    bench.alerts(alert("cart", at=3_600_000), now=3_600_000)
    assert len(bench.state.incidents) == 2


def test_what_is_resolved_takes_only_the_very_same_alert_again(bench: Bench) -> None:
    """Within an hour; another one is a new incident, linked as a recurrence."""
    first = alert("shop")
    bench.alerts(first)
    bench.alerts(resolved(first), now=1_000)
    timer = inputs.Timer("settle/INC-1", 601_000, "settle", "INC-1")
    bench.give(inputs.TimerCameDue(timer), 601_000)
    bench.alerts(alert("shop", "Other", at=602_000), now=602_000)
    assert bench.state.incidents["INC-1"].state == "resolved"
    assert bench.state.incidents["INC-2"].recurrence_of == "INC-1"
    decision = bench.alerts(alert("shop", at=3_600_000), now=3_600_000)
    assert kinds(decision)[:2] == ["IncidentReopened", "AlertsAttached"]
    assert bench.state.incidents["INC-1"].state == "open"
    assert list(bench.state.open) == ["INC-2", "INC-1"]


@pytest.mark.parametrize("later_s", [3_602, 7_200])
def test_after_an_hour_the_same_alert_is_another_incident(bench: Bench, later_s: int) -> None:
    """It is linked, and no more is claimed."""
    first = alert("shop")
    bench.alerts(first)
    bench.alerts(resolved(first), now=1_000)
    timer = inputs.Timer("settle/INC-1", 601_000, "settle", "INC-1")
    bench.give(inputs.TimerCameDue(timer), 601_000)
    bench.alerts(alert("shop", at=later_s * 1_000), now=later_s * 1_000)
    assert bench.state.incidents["INC-2"].recurrence_of == "INC-1"


def closes(bench: Bench, severity: str = "critical", **more: inputs.Input) -> list[str]:
    """Let an alert of `queue` come and go, and two hours pass; gives what was told."""
    one = alert("queue", severity=severity)
    bench.alerts(one)
    for one_more in more.values():
        bench.give(one_more, 500)
    told = kinds(bench.alerts(resolved(one), now=1_000))
    for at in (601_000, 4_300_000):
        timer = inputs.Timer("settle/INC-1", at, "settle", "INC-1")
        told += kinds(bench.give(inputs.TimerCameDue(timer), at))
    return told


def test_a_plain_incident_closes_with_its_postmortem_an_hour_after_it_is_over() -> None:
    """Nothing can be asked of a queue again: no suite, no releases, no judged answers."""
    bench = Bench(RULES, Shard())
    told = closes(bench)
    assert told.index("IncidentClosed") > told.index("IncidentResolved") > 0
    assert "PostmortemDrafted" in told
    closed = bench.left["INC-1"].incident
    assert closed.no_case == "queue has no suite, no releases and no judged answers"


def test_where_a_case_can_be_made_it_is_owed() -> None:
    """A service that has releases closes with a case, or with a waiver."""
    bench = Bench(RULES, Shard())
    told = closes(bench, release=inputs.RegisterRelease("queue", "v1", "d-1", good=True))
    assert "IncidentClosed" not in told
    assert lacks(bench.only, 0) == ["a proven regression case or a waiver"]


def test_what_a_person_has_resolved_stays_so(bench: Bench) -> None:
    """The same alert a minute later opens another incident, and pages."""
    first = alert("shop")
    bench.alerts(first)
    bench.give(inputs.ResolveIncident("INC-1", "ada", "it was me"), 1_000)
    assert bench.only.state == "resolved"
    decision = bench.alerts(alert("shop", at=60_000), now=60_000)
    assert "IncidentOpened" in kinds(decision)
    assert "PagePlanned" in kinds(decision)
    assert bench.state.incidents["INC-2"].recurrence_of == "INC-1"


def test_firing_goes_before_resolved_in_a_batch(bench: Bench) -> None:
    """A page that resolves while its ticket newly fires leaves the incident open."""
    first = alert("shop", "Page")
    bench.alerts(first)
    bench.alerts(resolved(first), alert("shop", "Ticket", at=1_000), now=1_000)
    assert bench.only.state == "open"


def test_the_runner_up_and_the_margin_are_recorded(bench: Bench) -> None:
    """A placement says what it nearly was."""
    bench.rules = structs.replace(RULES, wall="zone")
    bench.alerts(alert("db", zone="eu"), alert("shop", zone="us", at=1))
    assert len(bench.state.incidents) == 2
    decision = bench.alerts(alert("db", "Other"))
    (event,) = (x for x in decision.events if isinstance(x, e.AlertsAttached))
    reason = event.reasons[0]
    assert (event.incident, reason.runner_up) == ("INC-1", "INC-2")
    assert reason.terms["margin"] == pytest.approx(0.25, abs=0.001)


@pytest.mark.parametrize("state", ["resolved", "closed"])
def test_no_event_reopens_what_is_over(state: str) -> None:
    """Every event that moves or fills an incident is refused when it is resolved or closed."""
    for event in (
        e.AlertsAttached(incident="INC-1", attached=(), reasons=()),
        e.IncidentMitigated(incident="INC-1", reason=WHY),
        *((e.IncidentReopened(incident="INC-1", reason=WHY),) if state == "closed" else ()),
    ):
        incident = Incident("INC-1", "shop", "", "slow", 0, state=state)
        with pytest.raises(BugError):
            evolve(incident, event, 1)


def test_every_state_can_be_left_but_closed() -> None:
    """The table has no dead end but the end."""
    left = {"open", "acknowledged", "mitigated", "resolved", "merged"}
    assert {state for state, _ in TRANSITIONS} == left


# --- severity, page, ack ------------------------------------------------------------------------


def test_a_critical_alert_without_an_objective_pages(bench: Bench) -> None:
    """The table over level and tier decides, and the page is planned with a timer behind it."""
    decision = bench.alerts(alert("shop"))
    assert kinds(decision)[-3:] == ["SeverityDeclared", "NewsJudged", "PagePlanned"]
    assert [effect.key for effect in decision.effects] == ["page/INC-1/1"]
    assert decision.timers["escalate/INC-1"] is not None


def test_a_page_is_titled_by_what_is_so_bad(bench: Bench) -> None:
    """Not by what came first: a warning opened the incident, another service's alert pages."""
    bench.alerts(alert("cart", "CacheWarm", severity="info"))
    assert bench.only.title == "CacheWarm on cart"
    decision = bench.alerts(alert("cart", "Odd", severity="info"), alert("shop", "Down"))
    (page,) = decision.effects
    assert isinstance(page, SendPage)
    assert (page.title, page.service) == ("Down on shop", "shop")
    assert (bench.only.title, bench.only.service) == ("Down on shop", "cart")
    assert bench.alerts(alert("shop", "AlsoDown")).effects == []
    assert bench.only.title == "Down on shop"


def test_a_burn_titles_the_incident_that_it_joins() -> None:
    """Alerts opened it and paged nobody; whoever is paged reads of the objective."""
    bench = Bench(WITH_SLO, heard())
    bench.alerts(alert("shop", "Odd", severity="info"))
    assert bench.only.title == "Odd on shop"
    (page,) = bench.read(8_000, 10_000, 1_000).effects
    assert isinstance(page, SendPage)
    assert page.title == bench.only.title
    assert page.title.startswith("shop/answers: ")


def test_a_page_about_answers_names_a_few_that_failed() -> None:
    """Whoever is woken looks at these first; how many more there are is said."""
    bench = Bench(WITH_SLO, heard())
    (page,) = bench.read(8_000, 10_000, 1_000).effects
    assert isinstance(page, SendPage)
    assert "; failed: a1" in page.summary
    many = tuple(FailedAnswer(f"resp-{n}", "q", "a", "b") for n in range(9))
    windows = dict.fromkeys(slo.windows_needed(SHOP, Verify()), Counts(8_000, 10_000))
    other = Bench(WITH_SLO, heard())
    (page,) = other.give(SliMeasured(SliReading(SHOP.id, 1_000, windows, many)), 1_000).effects
    assert isinstance(page, SendPage)
    assert "; failed: resp-0, resp-1, resp-2 and 6 more" in page.summary


def test_severity_only_rises(bench: Bench) -> None:
    """A milder alert later changes nothing; a worse one declares and pages once."""
    bench.alerts(alert("mail"))
    assert bench.only.severity == "sev3"
    assert bench.only.pages == []
    bench.alerts(alert("mail", "Other", severity="info"))
    assert bench.only.severity == "sev3"


def test_an_objective_decides_alone(burning: Bench) -> None:
    """Critical alerts of a service with an objective page nobody; its burn does."""
    calm = Bench(WITH_SLO, heard())
    calm.alerts(alert("shop"))
    assert calm.only.severity == "sev4"
    assert calm.only.pages == []
    assert burning.only.severity == "sev1"
    assert [page.to for page in burning.only.pages] == ["ada"]


def test_no_ack_goes_to_the_next_step_and_then_is_exhausted(burning: Bench) -> None:
    """Every escalation is a page, and the end of the policy is an event of its own."""
    timer = inputs.Timer("escalate/INC-1", 0, "escalate", "INC-1")
    burning.give(inputs.TimerCameDue(timer), 301_000)
    assert [page.to for page in burning.only.pages] == ["ada", "ben"]
    decision = burning.give(inputs.TimerCameDue(timer), 901_000)
    assert kinds(decision) == ["EscalationExhausted"]


def test_an_ack_takes_pages_and_timer_back(burning: Bench) -> None:
    """Nothing is planned, claimed or escalated after it."""
    decision = burning.give(inputs.Acknowledge("INC-1", "ada"), 2_000)
    assert decision.cancelled_effects == ["page/INC-1/1"]
    assert decision.timers["escalate/INC-1"] is None
    assert {timer.purpose for timer in decision.timers.values() if timer} == {"forgotten"}
    timer = inputs.Timer("escalate/INC-1", 0, "escalate", "INC-1")
    assert burning.give(inputs.TimerCameDue(timer), 301_000).is_empty


def test_a_failed_page_is_tried_again_under_its_key_then_given_to_the_next(burning: Bench) -> None:
    """Five tries with growing gaps, then the next step at once."""
    for attempt in range(1, 5):
        answer = inputs.PageAnswered("page/INC-1/1", "INC-1", attempt, error="503")
        decision = burning.give(answer, 10_000 * attempt)
        assert list(decision.retries) == ["page/INC-1/1"]
    decision = burning.give(inputs.PageAnswered("page/INC-1/1", "INC-1", 5, error="503"), 90_000)
    assert kinds(decision) == ["PageFailed", "PagePlanned"]
    assert burning.only.pages[-1].to == "ben"


# --- burn and recovery --------------------------------------------------------------------------


def test_a_burn_at_the_factor_does_not_page_and_one_above_does() -> None:
    """14.4 is not above 14.4; nothing is rounded."""

    def tier(bad: int, total: int) -> str | None:
        windows = dict.fromkeys(slo.windows_needed(SHOP, Verify()), Counts(total - bad, total))
        found = slo.judge_burn(SHOP, windows).burning
        return found.tier.name if found else None

    assert tier(144, 1_000) == "PageSlow"
    assert tier(1_440_001, 10_000_000) == "PageQuick"


def test_the_factors_are_the_published_ones() -> None:
    """14.4, 6, 3, 1 at 30 days and 13.44, 5.6, 2.8, 0.9333 at 28."""
    assert [float(t.factor(30 * DAY_S)) for t in slo.TIERS] == [14.4, 6, 3, 1]
    found = [float(t.factor(28 * DAY_S)) for t in slo.TIERS]
    assert found == pytest.approx([13.44, 5.6, 2.8, 28 / 30])


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ((8_000, 10_000), (1_000, 1_000)),
        ((8_000, 10_000), (990, 1_000)),
        ((9_900, 10_000), (800, 1_000)),
        ((8_560, 10_000), (800, 1_000)),
        ((800, 1_000), (856, 1_000)),
    ],
)
def test_both_windows_must_burn_faster_than_the_factor(
    long: tuple[int, int], short: tuple[int, int]
) -> None:
    """One window below or exactly at 14.4 is no PageQuick, whatever the other says."""
    windows = dict.fromkeys(slo.windows_needed(SHOP, Verify()), Counts(*long))
    windows[300] = Counts(*short)
    found = slo.judge_burn(SHOP, windows).burning
    assert found is None or found.tier.name != "PageQuick"


def test_no_events_page_nobody() -> None:
    """Windows without events say nothing, neither good nor bad."""
    calm = Bench(WITH_SLO, heard())
    assert calm.read(0, 0, 1_000).is_empty


def test_a_burn_drafts_a_case_from_what_was_seen(burning: Bench) -> None:
    """The failing answer that the SLI points to becomes the case."""
    case = burning.only.case
    assert case == Case("inc-1-refund-window", "refund window", "30 days", "INC-1")


def test_silence_is_no_recovery(burning: Bench) -> None:
    """No data, too few, or too early: the incident stays open; enough good events end it."""
    burning.read(0, 0, 400_000)
    burning.read(29, 29, 800_000)
    assert burning.only.state == "open"
    burning.read(1_000, 1_000, 1_000 + 299_000)
    assert burning.only.state == "open"
    burning.read(1_000, 1_000, 1_000 + 300_000)
    assert burning.only.state == "mitigated"


def test_alerts_that_end_do_not_end_a_burn(burning: Bench) -> None:
    """With an objective only the SLI says that users are well."""
    one = alert("shop", at=1_000)
    burning.alerts(one, now=1_000)
    burning.alerts(resolved(one), now=2_000)
    assert burning.only.state == "open"


def test_with_an_objective_that_does_not_burn_the_sli_still_decides() -> None:
    """Alerts of a watched service that resolve are no recovery until the SLI says so."""
    calm = Bench(WITH_SLO, heard())
    one = alert("shop", at=1_000)
    calm.alerts(one, now=1_000)
    calm.alerts(resolved(one), now=2_000)
    assert calm.only.state == "open"
    calm.read(1_000, 1_000, 301_000)
    assert calm.only.state == "mitigated"


def test_the_same_alert_with_a_later_start_is_the_same_firing(bench: Bench) -> None:
    """Its sender was started again: nothing has ended, nothing began, and nobody is woken."""
    bench.alerts(alert("shop"))
    later = bench.alerts(alert("shop", at=7_200_000), now=7_200_000)
    assert kinds(later) == ["AlertsChanged"]
    assert (bench.only.state, bench.only.alert_count, len(bench.only.firing)) == ("open", 1, 1)
    assert bench.alerts(alert("shop", at=7_200_000), now=7_260_000).is_empty
    late = identify(alert("shop").labels).alert("resolved", 0, 60_000)
    assert bench.alerts(late, now=7_270_000).is_empty  # the end of what came before the restart


def test_an_alert_that_comes_back_opens_a_mitigated_incident_again(bench: Bench) -> None:
    """Without an objective the alerts speak; who had it is paged when it holds."""
    one = alert("shop")
    bench.alerts(one)
    bench.give(inputs.Acknowledge("INC-1", "ada"), 500)
    bench.alerts(resolved(one), now=1_000)
    assert bench.only.state == "mitigated"
    decision = bench.alerts(alert("shop", at=60_000), now=60_000)
    assert kinds(decision) == ["AlertsAttached", "NewsJudged", "IncidentReopened", "PageWaits"]
    assert (bench.only.state, bench.only.awaits_ack) == ("open", True)
    timer = decision.timers["escalate/INC-1"]
    assert timer is not None
    assert timer.due_at == 60_000 + 900_000
    assert "PagePlanned" in kinds(bench.give(inputs.TimerCameDue(timer), timer.due_at))


def test_a_page_for_a_mitigated_incident_escalates_too(proposed: Bench) -> None:
    """A promotion that nobody can see pages, and the page waits for its ack like any other."""
    approve(proposed)
    answer(proposed, "applied")
    proposed.give(inputs.RegisterRelease("shop", "v3", "c"))
    proposed.read(1_000, 1_000, 400_000)
    assert proposed.only.state == "mitigated"
    proposed.give(inputs.ProposeFix("INC-1", "v3", "ada"), 500_000)
    rows = tuple(
        Outcome(case, name, "passed")
        for case in (proposed.only.case.id, *(f"d{n}" for n in range(100)))
        for name in ("v3", "v1")
    )
    proposed.give(inputs.EvalsAnswered("canary/INC-1/1", "INC-1", 1, rows), 500_000)
    unseen = inputs.ReleaseAnswered("promote/INC-1/1", "INC-1", 1, "unknown", "no answer")
    assert "PagePlanned" in kinds(proposed.give(unseen, 500_000))
    timer = inputs.Timer("escalate/INC-1", 0, "escalate", "INC-1")
    assert "PagePlanned" in kinds(proposed.give(inputs.TimerCameDue(timer), 900_000))
    assert proposed.only.fix_state == "refused"


def test_a_rollback_goes_before_a_fix(proposed: Bench) -> None:
    """A canary under way is withdrawn, and its late answer promotes nothing."""
    proposed.give(inputs.RegisterRelease("shop", "v3", "c"))
    proposed.give(inputs.ProposeFix("INC-1", "v3", "ada"), 2_500)
    assert "FixWithdrawn" in kinds(approve(proposed))
    rows = outcomes(
        ("inc-1-refund-window", "v3", "passed"), ("inc-1-refund-window", "v2", "failed")
    )
    late = inputs.EvalsAnswered("canary/INC-1/1", "INC-1", 1, rows)
    assert proposed.give(late, 3_500).is_empty


def test_a_mitigation_that_did_not_hold_opens_again_and_pages(burning: Bench) -> None:
    """Old bad events in long windows do not; new harm does."""
    burning.read(1_000, 1_000, 400_000)
    assert burning.only.state == "mitigated"
    burning.read(8_000, 10_000, 500_000, short=Counts(1_000, 1_000))
    assert burning.only.state == "mitigated"
    decision = burning.read(800, 1_000, 800_000)
    assert "IncidentReopened" in kinds(decision)
    assert "PagePlanned" in kinds(decision)


# --- rollback, case, canary, gate ---------------------------------------------------------------


def release_rules() -> Rules:
    book = Runbook("book", 1, Match(SHOP.id), (BookStep("r", "release.rollback"),))
    return Rules(RULES.topology, {SHOP.id: SHOP}, POLICY, Books((book,)))


@pytest.fixture
def proposed() -> Bench:
    """A burn with a plan waiting for approval."""
    bench = Bench(release_rules(), Shard())
    bench.give(inputs.RegisterRelease("shop", "v1", "a", good=True, live=True))
    bench.give(inputs.RegisterRelease("shop", "v2", "b", live=True))
    bench.read(8_000, 10_000, 1_000)
    bench.give(inputs.Acknowledge("INC-1", "ada"), 2_000)
    return bench


def approve(bench: Bench) -> decide.Decision:
    """Approve the plan that was shown."""
    return bench.give(inputs.ApprovePlan("INC-1", bench.only.plan_hash, "ada"), 3_000)


def answer(bench: Bench, state: str, attempt: int = 1) -> decide.Decision:
    """Let the router answer."""
    given = inputs.ReleaseAnswered("rollback/INC-1/1", "INC-1", attempt, state, "seen")
    return bench.give(given, 4_000)


def test_nothing_is_done_without_an_approval(proposed: Bench) -> None:
    """The plan is proposed; no action is planned before a person approves that very plan."""
    assert proposed.only.plan_hash
    with pytest.raises(StateError, match="no longer describes"):
        proposed.give(inputs.ApprovePlan("INC-1", "another", "ada"), 3_000)
    decision = approve(proposed)
    assert [effect.key for effect in decision.effects] == ["rollback/INC-1/1"]


def test_an_approval_of_a_plan_that_is_stale_is_refused(proposed: Bench) -> None:
    """When something else went live meanwhile, the hash no longer fits; the plan is shown again."""
    old = proposed.only.plan_hash
    proposed.give(inputs.RegisterRelease("shop", "v2b", "c", live=True))
    with pytest.raises(StateError, match="no longer describes"):
        proposed.give(inputs.ApprovePlan("INC-1", old, "ada"), 3_000)
    assert "RollbackStarted" in kinds(approve(proposed))


def test_a_second_rollback_is_a_persons(proposed: Bench) -> None:
    """At most one an incident."""
    approve(proposed)
    answer(proposed, "applied")
    with pytest.raises(StateError, match="rolled back already"):
        approve(proposed)


def test_a_second_need_within_the_cool_down_is_a_persons(proposed: Bench) -> None:
    """No plan is proposed for another incident of the same service so soon after a rollback."""
    approve(proposed)
    answer(proposed, "applied")
    pointer = proposed.state.pointers["shop"]
    proposed.give(inputs.RegisterRelease("shop", "v3", "c", live=True))
    proposed.only.state = "resolved"
    proposed.state.open.clear()
    proposed.state.board = Board()
    proposed.state.burning.clear()
    decision = proposed.read(8_000, 10_000, 600_000)
    assert "NoRunbook" in kinds(decision)
    assert "PlanProposed" not in kinds(decision)
    pointer.rolled_back_at -= 3_600_000
    proposed.state.incidents["INC-2"].state = "resolved"
    proposed.state.open.clear()
    proposed.state.board = Board()
    proposed.state.burning.clear()
    assert "PlanProposed" in kinds(proposed.read(8_000, 10_000, 700_000))


def test_a_rollback_that_cannot_be_seen_pages(proposed: Bench) -> None:
    """Unknowable means a human, at once; provably not applied is tried again first."""
    approve(proposed)
    assert answer(proposed, "not-applied").retries
    decision = answer(proposed, "unknown", 2)
    assert kinds(decision)[:3] == ["PointerAbandoned", "RollbackFailed", "AckWithdrawn"]
    assert "PagePlanned" in kinds(decision)


def test_a_rollback_marks_the_bad_release_and_moves_the_pointer(proposed: Bench) -> None:
    """Only once it was seen."""
    approve(proposed)
    pointer = proposed.state.pointers["shop"]
    assert (pointer.live, pointer.pending) == ("v2", "rollback/INC-1/1")
    answer(proposed, "applied")
    assert (pointer.live, pointer.pending) == ("v1", "")
    assert pointer.releases["v2"].standing == "bad"


def test_a_release_never_changes(proposed: Bench) -> None:
    """The same name with another digest is refused."""
    with pytest.raises(StateError, match="a release never changes"):
        proposed.give(inputs.RegisterRelease("shop", "v1", "other"))


CASE = Case("c", "refund window", "30 days", "INC-1")


def test_a_case_is_tried_again_under_another_key_when_its_incident_is_mitigated_again(
    proposed: Bench,
) -> None:
    """The first try is still under way; whichever answers first is taken."""
    approve(proposed)
    answer(proposed, "applied")
    keys: list[str] = []
    for at in (400_000, 1_300_000):
        done = proposed.read(1_000, 1_000, at)
        assert "IncidentMitigated" in kinds(done)
        keys += [x.key for x in done.effects if isinstance(x, RunEvals)]
        assert "IncidentReopened" in kinds(proposed.read(8_000, 10_000, at + 400_000))
    assert len({*keys}) == 2
    case = proposed.only.case
    assert case is not None
    rows = tuple(
        Outcome(case.id, release, word)
        for release, word in (("v2", "failed"), ("v1", "passed"))
        for _ in range(3)
    )
    for key, event in zip(keys, ("RegressionCaseAdmitted", None), strict=True):
        found = kinds(proposed.give(inputs.EvalsAnswered(key, "INC-1", 1, rows), 2_000_000))
        assert (found[:1] or [None])[0] == event


def outcomes(*rows: tuple[str, str, str]) -> tuple[Outcome, ...]:
    """Case, release, status."""
    return tuple(Outcome(case, release, status) for case, release, status in rows)


CLEAN = tuple((f"x{n}", name, "passed") for n in range(100) for name in ("new", "old"))
PASSING = (
    ("c", "new", "passed"),
    ("c", "old", "passed"),
    ("d", "new", "passed"),
    ("d", "old", "passed"),
)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ((*PASSING, *CLEAN), "promote"),
        (PASSING, "inconclusive"),
        ((("c", "new", "failed"), *PASSING[1:], *CLEAN), "reject"),
        ((("c", "new", "error"), *PASSING[1:], *CLEAN), "inconclusive"),
        ((*PASSING[:2], *((f"d{n}", "new", "failed") for n in range(9)), *CLEAN), "inconclusive"),
        ((*PASSING[:2], ("d", "new", "failed"), PASSING[3]), "inconclusive"),
        ((*PASSING[:2], ("d", "new", "error"), PASSING[3]), "inconclusive"),
        ((*PASSING[:2], PASSING[2], ("d", "old", "error")), "inconclusive"),
        ((("c", "new", "failed"), ("c", "old", "failed"), *PASSING[2:]), "reject"),
        (PASSING[:3], "inconclusive"),
        (PASSING[:2], "inconclusive"),
        ((), "inconclusive"),
    ],
)
def test_a_canary_promotes_on_evidence_alone(
    rows: tuple[tuple[str, str, str], ...], verdict: str
) -> None:
    """Missing, errored, unpaired or too few never promote; a failed case always rejects."""
    judged = fixes.judge(outcomes(*rows), candidate="new", baseline="old", case=CASE)
    assert judged.verdict == verdict
    assert judged.reason.says


@pytest.mark.parametrize(
    ("bad", "good", "admitted"),
    [
        (["failed"] * 3, ["passed"] * 3, True),
        (["failed"] * 3, ["failed"] * 3, False),
        (["passed"] * 3, ["passed"] * 3, False),
        (["failed", "passed", "failed"], ["passed"] * 3, False),
        (["failed"] * 3, ["passed", "passed", "error"], False),
        (["failed"] * 2, ["passed"] * 3, False),
        ([], [], False),
    ],
)
def test_a_case_is_admitted_only_when_it_tells_the_sides_apart(
    bad: list[str], good: list[str], admitted: bool
) -> None:
    """Failed on the bad release and passed on the good one, every time."""
    rows = [("c", "v2", status) for status in bad] + [("c", "v1", status) for status in good]
    kept, reason = regressions.admit(CASE, outcomes(*rows), bad="v2", good="v1")
    assert (kept is not None) is admitted
    assert reason.says


@pytest.mark.parametrize(
    ("failed", "passed", "admitted"),
    [(14, 15, True), (16, 12, True), (9, 9, False), (3, 16, False), (0, 16, False), (16, 0, False)],
)
def test_a_flaky_case_needs_more_runs_and_proof(failed: int, passed: int, admitted: bool) -> None:
    """Fisher has to tell the sides apart; it is kept with how many runs have to pass."""
    rows = [("c", "v2", "failed")] * failed + [("c", "v2", "passed")] * (16 - failed)
    rows += [("c", "v1", "passed")] * passed + [("c", "v1", "failed")] * (16 - passed)
    kept, _ = regressions.admit(CASE, outcomes(*rows), bad="v2", good="v1")
    assert (kept is not None) is admitted
    if kept is not None:
        assert kept.runs == regressions.RUNS
        assert 1 <= kept.least <= kept.runs
        # The good side passes that more often than not, the bad one hardly ever.
        assert 16 * kept.least <= kept.runs * passed + 16
        assert 16 * kept.least > kept.runs * (16 - failed)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (PASSING, "pass"),
        ((("c", "new", "failed"), *PASSING[1:]), "regression"),
        ((*PASSING[:2], ("d", "new", "failed"), PASSING[3]), "regression"),
        ((*PASSING[:2], ("d", "new", "error"), PASSING[3]), "inconclusive"),
        ((PASSING[0],), "inconclusive"),
        ((), "inconclusive"),
    ],
)
def test_a_gate_never_passes_on_nothing(
    rows: tuple[tuple[str, str, str], ...], verdict: str
) -> None:
    """One valid failure of the incident's case blocks; no evidence is no pass."""
    found, reason = rechecks.judge(
        outcomes(*rows), release="new", baseline="old", incident_cases=frozenset({"c"})
    )
    assert found == verdict
    assert reason.says


def test_a_hurt_incident_does_not_close_without_case_or_waiver(bench: Bench) -> None:
    """Paged and recovered, it stays resolved until somebody grants a waiver."""
    one = alert("shop")
    bench.alerts(one)
    bench.alerts(resolved(one), now=1_000)
    timer = inputs.Timer("settle/INC-1", 601_000, "settle", "INC-1")
    bench.give(inputs.TimerCameDue(timer), 601_000)
    assert bench.only.state == "resolved"
    assert bench.only.has_postmortem
    bench.give(inputs.GrantWaiver("INC-1", "no answer was wrong", "ada", 10**9), 700_000)
    assert bench.only.state == "closed"


def test_an_incident_that_hurt_nobody_closes_with_a_reason(bench: Bench) -> None:
    """No page, no budget: recorded, not studied."""
    one = alert("mail")
    bench.alerts(one)
    bench.alerts(resolved(one), now=1_000)
    timer = inputs.Timer("settle/INC-1", 601_000, "settle", "INC-1")
    decision = bench.give(inputs.TimerCameDue(timer), 601_000)
    (closed,) = (x for x in decision.events if isinstance(x, e.IncidentClosed))
    assert closed.reason.says == "nobody was paged and no budget was spent"


def test_a_snapshot_is_the_fold(proposed: Bench) -> None:
    """Writing a shard and reading it back gives the same bytes."""
    approve(proposed)
    data = shard.dump(proposed.state)
    assert shard.dump(shard.load(data)) == data


def test_a_link_covers_the_link_before_it() -> None:
    """The same row after another history has another link."""
    assert chain.link(b"a" * 16, 1, "x") != chain.link(b"b" * 16, 1, "x")


def test_time_never_runs_back(bench: Bench) -> None:
    """A clock that steps back does not move the shard's time."""
    bench.alerts(alert("shop"), now=5_000)
    decision = bench.alerts(alert("mail"), now=1_000)
    assert decision.now == 5_000


def test_a_correlation_threshold_that_nothing_reaches_groups_nothing(bench: Bench) -> None:
    """The threshold is the rule's own, and it is used."""
    assert correlation.THRESHOLD < 1
    alone = Bench(Rules(topology=RULES.topology, policy=POLICY, threshold=2.0), Shard())
    alone.alerts(alert("shop"), alert("shop", "Other"))
    assert len(alone.state.incidents) == 2


def test_a_repeat_under_the_senders_key_stays_where_it_is_open(bench: Bench) -> None:
    """Hours later too: whoever names a problem says that it is the same one."""
    labels = {"alertname": "disk full", "service": "shop", "severity": "critical"}
    one = identify(labels, key="disk/7").alert("firing", 0)
    two = identify(labels | {"x": "1"}, key="disk/7").alert("firing", 7_200_000)
    bench.alerts(one)
    bench.alerts(two, now=7_200_000)
    assert (bench.only.alert_count, len(bench.only.firing)) == (1, 1)
    over = identify({}, key="disk/7").alert("resolved", 0)
    bench.alerts(over, now=7_300_000)
    assert bench.only.state == "mitigated"


# --- what a person may say ----------------------------------------------------------------------


def test_a_snooze_silences_and_pages_anew_at_its_end(bench: Bench) -> None:
    """It is an ack that ends by itself."""
    bench.alerts(alert("shop"))
    decision = bench.give(inputs.Snooze("INC-1", "ada", 60_000), 1_000)
    assert kinds(decision) == ["PageAcknowledged", "PageSnoozed"]
    assert decision.timers["escalate/INC-1"] is None
    timer = decision.timers["snooze/INC-1"]
    assert timer is not None
    assert timer.due_at == 60_000
    decision = bench.give(inputs.TimerCameDue(timer), 60_000)
    assert kinds(decision) == ["AckWithdrawn", "PagePlanned"]
    assert bench.only.awaits_ack


def test_an_ack_ends_a_snooze(bench: Bench) -> None:
    """Who says "I have it" for good is not woken when the nap is over."""
    bench.alerts(alert("shop"))
    timer = bench.give(inputs.Snooze("INC-1", "ada", 60_000), 1_000).timers["snooze/INC-1"]
    assert timer is not None
    decision = bench.give(inputs.Acknowledge("INC-1", "ada"), 2_000)
    assert decision.timers["snooze/INC-1"] is None
    assert bench.give(inputs.TimerCameDue(timer), 60_000).is_empty


def test_only_an_open_incident_and_a_time_to_come_can_be_snoozed(bench: Bench) -> None:
    """Everything else is refused, with what to do."""
    one = alert("shop")
    bench.alerts(one)
    with pytest.raises(StateError, match="in the past"):
        bench.give(inputs.Snooze("INC-1", "ada", 1_000), 1_000)
    bench.alerts(resolved(one), now=2_000)
    with pytest.raises(StateError, match="mitigated"):
        bench.give(inputs.Snooze("INC-1", "ada", 60_000), 3_000)


def test_a_person_resolves_what_no_objective_measures(bench: Bench) -> None:
    """Its alerts count as over, and the reason keeps who said so."""
    bench.alerts(alert("mail", severity="warning"))
    decision = bench.give(inputs.ResolveIncident("INC-1", "ada", "the disk was swapped"), 5_000)
    assert kinds(decision)[:2] == ["AlertsResolved", "IncidentMitigated"]
    assert bench.only.state == "closed"
    assert bench.only.recovery == "no SLI: ada: the disk was swapped"
    assert not bench.state.firing
    with pytest.raises(StateError, match="no action is needed"):
        bench.give(inputs.ResolveIncident("INC-1", "ada", "again"), 6_000)


def test_a_person_cannot_say_that_users_are_well_where_the_sli_can(burning: Bench) -> None:
    """With an objective only the SLI says so."""
    with pytest.raises(StateError, match="has not recovered"):
        burning.give(inputs.ResolveIncident("INC-1", "ada", "trust me"), 5_000)
