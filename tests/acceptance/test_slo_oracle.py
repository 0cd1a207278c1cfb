"""Prometheus as the oracle: random series, and both say of every tier whether it fires.

The rules are those that `midwatch slo rules` writes, judged by `promtool test rules`. Left out is
where the two differ on purpose or by nature: the proof against bad luck is off, series start at 0
before the longest window, and samples and evaluations lie on the edges of buckets, so that
Prometheus has nothing to extrapolate.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct, structs
from tests.servers import need

from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.core.values.sli import Indicator, Sample
from midwatch.core.values.sli_window import SliWindow, Tally
from midwatch.core.values.slo import DAY_S, TIERS, Slo, Tier, weigh
from midwatch.engine.explain import windows_of

pytestmark = pytest.mark.slow

SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
SEED = int(os.environ.get("MIDWATCH_SEED", "4"))
OBJECTIVES = ("0.9", "0.95", "0.99", "0.995", "0.999", "0.9995", "0.9999")


class Bed(Struct, frozen=True):
    """What scenarios are drawn from: tiers, the seconds of a step, and how many of each."""

    tiers: tuple[Tier, ...]
    step_s: int
    scenarios: int
    steps: int  # past the longest window

    @property
    def warm(self) -> int:
        """How many steps the longest window has."""
        return max(tier.long_s for tier in self.tiers) // self.step_s


# The default tiers take promtool seconds each; the same factors over shorter windows do not.
SHORT = tuple(
    structs.replace(
        tier,
        long_s=long_s,
        short_s=short_s,
        budget_share=str(tier.factor(30 * DAY_S) * long_s / (30 * DAY_S)),
    )
    for tier, long_s, short_s in zip(
        TIERS, (600, 1_800, 2_400, 3_600), (60, 300, 600, 1_200), strict=True
    )
)
BEDS = {
    "short": Bed(SHORT, 60, 200 if SOAK else 24, 60),
    "default": Bed(TIERS, 300, 50 if SOAK else 1, 150),
}


class Scenario(Struct):
    """One objective and its cumulative counts, one a step."""

    slo: Slo
    step_s: int
    bad: list[int]
    total: list[int]

    @property
    def samples(self) -> list[Sample]:
        """The counts as midwatch takes them."""
        pairs = zip(self.bad, self.total, strict=True)
        return [Sample(n * self.step_s * 1_000, t - b, t) for n, (b, t) in enumerate(pairs)]


def draw(number: int, bed: Bed, rng: random.Random) -> Scenario:
    """Draw an objective and its traffic: calm, then episodes near the thresholds of its tiers."""
    objective, days = rng.choice(OBJECTIVES), rng.choice((28, 30))
    name = f"s{number}"
    indicator = Indicator(
        "counter",
        bad=f'sum(events_total{{s="{name}",kind="bad"}})',
        total=f'sum(events_total{{s="{name}",kind="all"}})',
    )
    slo = Slo(f"{name}/x", name, objective, days * DAY_S, bed.tiers, "", indicator=indicator)
    # A total that makes exact thresholds whole numbers where that is possible.
    total = rng.choice((1_000, 10_000, 7_777, 50_000))
    bad: list[int] = []
    steps = bed.warm + bed.steps
    while len(bad) < steps:
        factor = rng.choice([tier.factor(slo.period_s) for tier in bed.tiers])
        exact = slo.budget * factor * total
        share = rng.choice((0, 0, 1, 1, 1, Fraction(1, 2), Fraction(3, 2), 2))
        count = min(max(int(exact * share) + rng.choice((-1, 0, 0, 1)), 0), total)
        bad.extend([count] * rng.choice((1, 2, 6, 24, steps // 6, steps // 3)))
    counted = [0, *accumulate(bad[:steps])]
    return Scenario(slo, bed.step_s, counted, [n * total for n in range(steps + 1)])


def judged(scenario: Scenario, warm_s: int) -> Iterator[tuple[int, dict[str, bool]]]:
    """Say at each step past the longest window which tiers fire, by midwatch."""
    ring, tally = SliWindow(scenario.slo.period_s), Tally()
    windows_s = windows_of(scenario.slo)
    for sample in scenario.samples:
        ring.add(sample.at, *tally.more(sample))
        if sample.at >= warm_s * 1_000:
            tiers = weigh(scenario.slo, ring.counts(windows_s, sample.at))
            yield sample.at // 1_000, {one.tier.name: one.standing == "fires" for one in tiers}


@pytest.mark.parametrize("name", BEDS)
def test_prometheus_says_the_same(name: str, tmp_path: Path) -> None:
    """Of every tier at every step, near the thresholds too; make soak draws 200 scenarios."""
    promtool, bed = need("promtool"), BEDS[name]
    rng = random.Random(f"{SEED}/{name}")
    scenarios = [draw(number, bed, rng) for number in range(bed.scenarios)]
    (tmp_path / "rules.yaml").write_text(rules(one.slo for one in scenarios), "utf-8")
    series: list[dict[str, str]] = []
    by_time: dict[int, dict[str, list[dict[str, object]]]] = {}
    seen: Counter[tuple[str, bool]] = Counter()
    for scenario in scenarios:
        for kind, values in (("bad", scenario.bad), ("all", scenario.total)):
            name = f'events_total{{s="{scenario.slo.service}",kind="{kind}"}}'
            series.append({"series": name, "values": " ".join(map(str, values))})
        for at, fires in judged(scenario, bed.warm * bed.step_s):
            told = by_time.setdefault(at, {})
            for tier in scenario.slo.useful_tiers:
                seen[tier.name, fires[tier.name]] += 1
                alerts = told.setdefault(f"S{scenario.slo.service[1:]}X{tier.name}", [])
                if fires[tier.name]:
                    labels = {
                        "slo": scenario.slo.id,
                        "service": scenario.slo.service,
                        "severity": tier.severity,
                        "urgency": tier.urgency,
                        "tier": tier.name,
                    }
                    burn = (
                        f"{tier.speed} burn, above {float(tier.factor(scenario.slo.period_s)):.6g}x"
                    )
                    notes = {"summary": f"{scenario.slo.id}: {burn}"}
                    alerts.append({"exp_labels": labels, "exp_annotations": notes})
    expected = [
        {"eval_time": f"{at}s", "alertname": name, "exp_alerts": alerts}
        for at, told in by_time.items()
        for name, alerts in told.items()
    ]
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{bed.step_s}s",
        "tests": [
            {"interval": f"{bed.step_s}s", "input_series": series, "alert_rule_test": expected}
        ],
    }
    (tmp_path / "test.yaml").write_bytes(msgspec.json.encode(test))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[:2_000] + done.stderr[:4_000]
    # An oracle that is never asked about a fire, or about calm, proves nothing.
    fires = sum(count for (_, fires), count in seen.items() if fires)
    assert fires > seen.total() // 20, seen
    if name == "short":
        assert all(
            min(seen[t.name, True], seen[t.name, False]) > 10 * bed.scenarios for t in bed.tiers
        ), seen
