"""Burns, proofs and silence: when an objective speaks, and what it says."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.shard import Shard
from midwatch.core.values import binomial, slo
from midwatch.core.values.alerts import identify
from midwatch.core.values.sli import Counts, SliReading
from midwatch.core.values.sli_window import EDGE_S, LATE_S, Counter, SliWindow
from midwatch.core.values.slo import DAY_S, HOUR_S, Slo, Verify
from midwatch.core.values.teams import Policy, Step

SHOP = Slo("shop/availability", "shop", "0.999")
RULES = Rules(slos={SHOP.id: SHOP}, policy=Policy("p", (Step(("ada",)),)))
WINDOWS = slo.windows_needed(SHOP, Verify())
MINUTE_MS = 60_000


def heard() -> Shard:
    """A shard that has heard of the objective."""
    return Shard(heard={SHOP.id: None})


def read(
    shard: Shard, counts: Counts | None, now: int, heard_at: int = 0, rules: Rules = RULES
) -> Decision:
    """Take a reading with the same counts in every window; None for a backend that fails."""
    windows = dict.fromkeys(WINDOWS, counts) if counts is not None else {}
    reading = SliReading(SHOP.id, now, windows, heard_at=heard_at)
    return decide.decide(shard, inputs.SliMeasured(reading), now, rules)


def kinds(d: Decision) -> list[str]:
    """Name the events of a decision."""
    return [type(event).__name__ for event in d.events]


# --- proof --------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.integers(0, 10_000_000), st.floats(1e-6, 0.999), st.floats(0, 6))
def test_the_tail_is_the_binomial_one(total: int, share: float, times: float) -> None:
    """For any counts, scipy says the same; further out than 1e-250 it is the less exact one."""
    bad = min(int(total * share * times) + 1, total)
    expected = binom.sf(bad - 1, total, share)
    assert binomial.tail(bad, total, share) == pytest.approx(expected, rel=1e-6, abs=1e-250)


@pytest.mark.parametrize(
    ("bad", "total", "share"), [(769, 787, 0.390625), (3, 5, 0.5), (60, 400, 0.01)]
)
def test_the_tail_is_exact_however_small(bad: int, total: int, share: float) -> None:
    """Against fractions, where scipy is off in the sixth digit."""
    p = Fraction(share)
    terms = (comb(total, k) * p**k * (1 - p) ** (total - k) for k in range(bad, total + 1))
    assert binomial.tail(bad, total, share) == pytest.approx(float(sum(terms)), rel=1e-9)


def test_bad_luck_is_held_back_with_its_counts() -> None:
    """One bad request of sixty burns 16.7 times too fast, and proves nothing."""
    shard = heard()
    d = read(shard, Counts(59, 60), 0)
    assert kinds(d)[0] == "BurnHeldBack"
    assert d.events[0].reason.terms["bad_long"] == 1
    assert "1 bad of 60" in d.events[0].reason.says
    assert not d.effects
    assert shard.held == {SHOP.id: "PageQuick"}


def test_a_ticket_needs_no_proof() -> None:
    """What is held back as a page may still be a ticket, which wakes nobody."""
    d = read(heard(), Counts(59, 60), 0)
    assert [e.severity for e in d.events if hasattr(e, "severity")] == ["sev3"]


def test_what_was_held_back_pages_once_it_is_proven() -> None:
    """Five of sixty are no bad luck."""
    shard = heard()
    read(shard, Counts(59, 60), 0)
    d = read(shard, Counts(55, 60), MINUTE_MS)
    assert "HoldEnded" in kinds(d)
    assert "PagePlanned" in kinds(d)
    assert shard.held == {}


def test_a_hold_is_told_once_and_ends() -> None:
    """The same burn again is no news; calm is."""
    shard = heard()
    read(shard, Counts(59, 60), 0)
    assert kinds(read(shard, Counts(59, 60), MINUTE_MS)) == ["BurnSampled"]
    assert "HoldEnded" in kinds(read(shard, Counts(60, 60), 2 * MINUTE_MS))


def test_without_a_gate_the_plain_rule_pages() -> None:
    """`proof` off: one of sixty at 99.9 % pages, as everybody else's rules do."""
    plain = Slo(SHOP.id, "shop", "0.999", proof="")
    d = read(heard(), Counts(59, 60), 0, rules=Rules(slos={SHOP.id: plain}, policy=RULES.policy))
    assert "PagePlanned" in kinds(d)


def test_a_tier_that_can_never_fire_is_left_out() -> None:
    """All events bad is a burn of 10 at 90 %: 14.4 is out of reach."""
    loose = Slo("a/b", "a", "0.9")
    assert loose.useful_tiers[0].name == "PageSlow"
    windows = dict.fromkeys(WINDOWS, Counts(0, 1_000_000))
    burning = slo.judge_burn(loose, windows).burning
    assert burning is not None
    assert burning.tier.name == "PageSlow"


@given(st.integers(1, 10**9), st.sampled_from(["0.9", "0.99", "0.999", "0.9995", "0.99999"]))
def test_the_threshold_is_exact(total: int, objective: str) -> None:
    """At the factor to the last event nothing fires; one bad event more, and it does."""
    target = Slo("a/b", "a", objective, tiers=slo.TIERS[2:3], proof="")
    allowed = target.budget * slo.TIERS[2].factor(target.period_s) * total
    at = int(allowed) if allowed == int(allowed) else int(Fraction(allowed))
    for bad, fires in ((at, False), (at + 1, True)):
        if 0 <= bad <= total:
            windows = dict.fromkeys(WINDOWS, Counts(total - bad, total))
            assert (slo.judge_burn(target, windows).burning is not None) is fires


# --- silence ------------------------------------------------------------------------------------


def test_silence_is_an_alert_after_its_time_and_never_good() -> None:
    """No event for half an hour opens an incident of its own; before that nothing happens."""
    shard = heard()
    assert read(shard, Counts(0, 0), SHOP.quiet_s * 1_000 - 1).is_empty
    d = read(shard, Counts(0, 0), SHOP.quiet_s * 1_000)
    assert kinds(d) == [
        "SliWentSilent",
        "IncidentOpened",
        "AlertsAttached",
        "SeverityDeclared",
    ]
    (incident,) = shard.incidents.values()
    assert (incident.severity, incident.urgency) == ("sev3", "ticket")
    assert incident.title == "SliNoData on shop"
    assert read(shard, Counts(0, 0), SHOP.quiet_s * 1_000 + MINUTE_MS).is_empty


def test_a_backend_that_answers_nothing_is_silence_since_it_was_last_heard() -> None:
    """Its last answer had events: the time runs from there."""
    shard = heard()
    last_at = 5 * MINUTE_MS
    assert read(shard, None, last_at + SHOP.quiet_s * 1_000 - 1, last_at).is_empty
    d = read(shard, None, last_at + SHOP.quiet_s * 1_000, last_at)
    assert "no answer from its metrics" in d.events[-1].reason.says


def test_the_next_event_ends_the_silence() -> None:
    """Its alert resolves; only the SLI says that users are well."""
    shard = heard()
    read(shard, Counts(0, 0), SHOP.quiet_s * 1_000)
    d = read(shard, Counts(10, 10), SHOP.quiet_s * 1_000 + MINUTE_MS)
    assert kinds(d) == ["SliHeard", "AlertsResolved"]
    assert not next(iter(shard.incidents.values())).firing


def test_an_objective_that_is_silent_leaves_alerts_to_the_table() -> None:
    """Heard, it decides alone; never heard, or silent now, a critical alert pages by itself."""
    alert = identify({"alertname": "Down", "service": "shop", "severity": "critical"})
    firing = inputs.AlertsArrived("test", (alert.alert("firing", 0),))
    shard = heard()
    assert "PagePlanned" not in kinds(decide.decide(shard, firing, 0, RULES))
    silent = read(shard, Counts(0, 0), SHOP.quiet_s * 1_000)
    assert "PagePlanned" in kinds(silent)
    assert "PagePlanned" in kinds(decide.decide(Shard(), firing, 0, RULES))


def test_silence_ends_no_burn() -> None:
    """Missing windows do not calm what burned before."""
    shard = heard()
    read(shard, Counts(900, 1_000), 0)
    assert SHOP.id in shard.burning
    read(shard, None, MINUTE_MS)
    read(shard, Counts(0, 0), 2 * MINUTE_MS)
    assert SHOP.id in shard.burning


# --- the ring -----------------------------------------------------------------------------------


def brute(events: list[tuple[int, int, int]], start: int, end: int) -> Counts:
    """Count what lies in (start, end], by the slow way."""
    inside = [(good, total) for at, good, total in events if start < at <= end]
    return Counts(sum(g for g, _ in inside), sum(t for _, t in inside))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_any_window_is_what_a_plain_count_gives(seed: int) -> None:
    """Events on edges, gaps, latecomers: exact to 10 s, 5 min or 1 h."""
    rng = random.Random(seed)
    ring = SliWindow(30 * DAY_S)
    now = rng.randrange(1, 10**6) * EDGE_S * 1_000 + 1_600_000_000_000 // 10_000 * 10_000
    kept: list[tuple[int, int, int]] = []
    for _ in range(300):
        now += rng.choice([0, 10, 10, 60, 300, 7_000, 90_000]) * 1_000
        late = rng.choice([0, 0, 0, 10, 290, LATE_S]) * 1_000
        total = rng.randrange(5)
        good = rng.randint(0, total)
        newest = max((at for at, _, _ in kept), default=0)
        assert ring.add(now - late, good, total) is (now - late >= newest - LATE_S * 1_000)
        if now - late >= newest - LATE_S * 1_000:
            kept.append((now - late, good, total))
    for window_s in (10, 300, 1_800, 6 * HOUR_S, DAY_S, 3 * DAY_S, 10 * DAY_S, 30 * DAY_S):
        width_ms = 1_000 * (
            10 if window_s <= 6 * HOUR_S else 300 if window_s <= 3 * DAY_S else 3_600
        )
        start = (now - window_s * 1_000) // width_ms * width_ms
        assert ring.counts((window_s,), now) == {window_s: brute(kept, start, now)}


def test_what_comes_too_late_is_refused_and_counted() -> None:
    """Ten minutes late counts; longer does not, and is told."""
    ring = SliWindow(DAY_S)
    ring.add(10_000_000, 1, 1)
    assert ring.add(10_000_000 - LATE_S * 1_000, 1, 1)
    assert not ring.add(10_000_000 - LATE_S * 1_000 - EDGE_S * 1_000, 0, 3)
    assert ring.late == 3
    assert ring.counts((HOUR_S,), 10_000_000) == {HOUR_S: Counts(2, 2)}


def test_a_window_longer_than_the_ring_is_left_out() -> None:
    """Nobody gets a number that lacks its beginning."""
    ring = SliWindow(DAY_S)
    for hour in range(100):
        ring.add(hour * HOUR_S * 1_000, 1, 1)
    assert ring.counts((10 * DAY_S,), 99 * HOUR_S * 1_000) == {}


def test_counts_that_no_events_can_have_are_refused() -> None:
    """More good than all, or less than none."""
    for good, total in ((2, 1), (-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="good of"):
            SliWindow(DAY_S).add(0, good, total)


def test_a_counter_that_starts_anew_loses_nothing_that_it_says() -> None:
    """After a restart the whole value is new; a series first seen bad counts."""
    counter = Counter()
    assert [counter.more(value) for value in (2, 10, 4, 4, 9)] == [2, 8, 4, 0, 5]


def test_memory_of_a_thousand_objectives_is_bounded() -> None:
    """Below 100 kB each, however many events come."""
    import sys

    ring = SliWindow(30 * DAY_S)
    for second in range(0, 40 * DAY_S, 60):
        ring.add(second * 1_000, 1, 1)
    size = sum(sys.getsizeof(a) for level in ring._levels for a in (level.good, level.total))
    assert size < 100_000
