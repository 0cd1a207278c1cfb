"""The same objectives as Prometheus rules, for people who want both.

Law: factors and budgets are written as exact fractions, so that Prometheus decides as midwatch does
up to its floats; shares are taken of whole counts, not of rates, which rounding would part at the
threshold. What Prometheus cannot do stands at the top of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from io import StringIO
from typing import Any

from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import TIERS, Slo, Tier
from midwatch.errors import InputError
from midwatch.promql import WINDOW, series_of

HEAD = """\
# Written by `midwatch slo rules`. What differs from midwatch:
# - there is no significance test: one bad request of sixty in an hour pages at 99.9 %;
# - increase() misses the first value of a series that appears with a bad event.
"""
UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def rules(slos: Iterable[Slo]) -> str:
    """Write recording and alerting rules as YAML.

    An objective whose alerts are off has its recordings alone, of the windows of the usual tiers.
    Raises InputError for an objective that rules cannot express.
    """
    groups: list[dict[str, Any]] = []
    for slo in slos:
        # One group: what is recorded is there when the alerts are asked, in this order.
        alerts = [_alert(slo, tier) for tier in slo.useful_tiers]
        every = [*_recorded(slo), *alerts, *([_silent(slo)] if alerts else [])]
        groups.append({"name": f"midwatch-{slo.id}", "rules": every})
    from ruamel.yaml import YAML  # imported late: --help must not pay for it

    writer: Any = YAML()
    writer.width = 10_000
    out = StringIO()
    writer.dump({"groups": groups}, out)
    return HEAD + out.getvalue()


def windows_of(slo: Slo) -> list[int]:
    """List the windows of the tiers that can fire, in seconds; of the usual ones when none can."""
    return sorted({w for tier in slo.useful_tiers or TIERS for w in (tier.long_s, tier.short_s)})


def _recorded(slo: Slo) -> Iterable[dict[str, Any]]:
    for window_s in windows_of(slo):
        expr = bad_share(slo, window_s)
        yield {"record": _name(window_s), "expr": expr, "labels": _labels(slo)}


def bad_share(slo: Slo, window_s: int) -> str:
    """Write the share of bad events of a window. Raises InputError where rules have no words."""
    indicator = slo.indicator
    if (
        indicator is None
        or indicator.slice_s
        or indicator.kind not in ("counter", "increase", "ratio")
    ):
        raise InputError(
            "Prometheus rules cannot express these SLI events",
            place=slo.id,
            remedy="use Prometheus counters, {{.window}} queries or raw ratio metrics",
        )
    if indicator.kind == "ratio":
        share = _asked(slo, indicator, indicator.bad or indicator.good, window_s)
        return share if indicator.bad else f"1 - ({share})"
    total = _asked(slo, indicator, indicator.total, window_s)
    if indicator.bad:
        bad = _asked(slo, indicator, indicator.bad, window_s)
        return f"(({bad}) or ({total}) * 0) / ({total})"
    good = _asked(slo, indicator, indicator.good, window_s)
    return f"(({total}) - (({good}) or ({total}) * 0)) / ({total})"


def _asked(slo: Slo, indicator: Indicator, query: str, window_s: int) -> str:
    if WINDOW in query:
        return query.replace(WINDOW, _duration(window_s))
    selector = series_of(query)
    if selector is None or indicator.kind == "ratio":
        raise InputError(
            f"increase() cannot be applied to {query!r}",
            place=slo.id,
            remedy="write a plain series, sum(series), or the range as [{{.window}}]",
        )
    return f"sum(increase({selector}[{_duration(window_s)}]))"


def _alert(slo: Slo, tier: Tier) -> dict[str, Any]:
    allowed = tier.factor(slo.period_s) * slo.budget
    long, short = (
        f"{_name(window_s)}{_matching(slo)} {'>=' if tier.inclusive else '>'} {_exact(allowed)}"
        for window_s in (tier.long_s, tier.short_s)
    )
    bound = "at least" if tier.inclusive else "above"
    summary = f"{slo.id}: {tier.speed} burn, {bound} {float(tier.factor(slo.period_s)):.6g}x"
    return {
        "alert": slo.extras.alert or _camel(slo.id) + tier.name,
        "expr": f"({long}) and ({short})",
        # What a team wrote wins, since its Alertmanager routes by it.
        "labels": {
            "severity": tier.severity,
            "urgency": tier.urgency,
            **slo.extras.labels_of(tier.urgency),
            **_marks(slo),
            "tier": tier.name,
        },
        "annotations": {"summary": summary, **slo.extras.annotations_of(tier.urgency)},
    }


def _silent(slo: Slo) -> dict[str, Any]:
    shortest = _name(windows_of(slo)[0]) + _matching(slo)
    # Without events the share is 0 / 0, which no comparison holds for.
    return {
        "alert": _camel(slo.id) + "NoData",
        "expr": f"absent({shortest} >= 0)",
        "for": _duration(slo.quiet_s),
        "labels": {
            "severity": "sev3",
            "urgency": "ticket",
            **slo.extras.labels_of("ticket"),
            **_marks(slo),
        },
        "annotations": {
            "summary": f"{slo.id}: no SLI events",
            **slo.extras.annotations_of("ticket"),
        },
    }


def _labels(slo: Slo) -> dict[str, str]:
    return {**dict(slo.extras.labels), **_marks(slo)}


def _marks(slo: Slo) -> dict[str, str]:
    return {"slo": slo.id, "service": slo.service}


def _matching(slo: Slo) -> str:
    return f'{{slo="{slo.id}"}}'


def _name(window_s: int) -> str:
    return f"midwatch:bad_share:{_duration(window_s)}"


def _duration(seconds: int) -> str:
    size, unit = next(pair for pair in UNITS if seconds % pair[0] == 0)
    return f"{seconds // size}{unit}"


def _exact(share: Fraction) -> str:
    return f"({share.numerator} / {share.denominator})"


def _camel(text: str) -> str:
    """Make an alert's name out of any text.

    >>> _camel("shop/answer-quality")
    'ShopAnswerQuality'
    """
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^a-zA-Z0-9]+", text))
