"""PromQL as far as a spec needs it: whether a query parses, and which labels its answer keeps.

Law: nothing is guessed from the text of a query; a parser reads it, and `{{.window}}` stands for a
duration. A function that the parser does not know is an error with its name, never skipped.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

WINDOW = "{{.window}}"
# Prometheus 2 knows it by this name, Prometheus 3 by double_exponential_smoothing.
_RENAMED = (("holt_winters", "double_exponential_smoothing"),)


def problem(query: str) -> str:
    """Say why a query does not parse; empty when it does.

    >>> problem("sum(rate(http_requests_total[{{.window}}]))"), problem("rate(x[5m]")
    ('', 'unclosed left parenthesis')
    """
    try:
        _parse(query)
    except ValueError as error:
        return " ".join(str(error).split())
    return ""


def groups(query: str) -> tuple[str, ...]:
    """List the labels that the author of a query asked it to keep apart, in order.

    Only an aggregation with `by` says so; a plain series has labels that nobody asked for. A query
    that does not parse keeps none.

    >>> groups("sum by (tenant) (rate(x[5m])) / sum(rate(y[5m]))"), groups("sum(rate(x[5m]))")
    (('tenant',), ())
    >>> groups("sum(sum by (tenant) (rate(x[5m])))")
    ()
    """
    try:
        return tuple(dict.fromkeys(_groups(_parse(query))))
    except ValueError:
        return ()


@lru_cache(1_024)  # asked with every reading
def series_of(query: str) -> str | None:
    """Unwrap a plain sum to the series behind it; None for anything else.

    >>> series_of('sum(requests_total{path=~"/v[0-9]{1,2}/.*"})'), series_of("requests_total")
    ('requests_total{path=~"/v[0-9]{1,2}/.*"}', 'requests_total')
    >>> series_of("sum(a) + sum(b)") is None, series_of("sum(a offset 5m)") is None
    (True, True)
    """
    from promql_parser import AggregateExpr, VectorSelector

    try:
        found = _parse(query)
    except ValueError:
        return None
    if isinstance(found, AggregateExpr) and str(found.op) == "sum":
        found = found.expr
    plain = isinstance(found, VectorSelector) and found.offset is None and found.at is None
    return found.prettify() if plain else None


def is_selector(query: str) -> bool:
    """Say whether a query is a plain series, such as `http_requests_total{job="api"}`.

    >>> is_selector('x{path=~"/v[0-9]{1,2}/.*"}'), is_selector("sum(x)"), is_selector("x[5m]")
    (True, False, False)
    """
    from promql_parser import VectorSelector  # imported late: only specs pay for it

    try:
        found = _parse(query)
    except ValueError:
        return False
    return isinstance(found, VectorSelector)


def _parse(query: str) -> Any:
    from promql_parser import parse

    text = query.replace(WINDOW, "5m")
    for old, new in _RENAMED:
        text = text.replace(f"{old}(", f"{new}(")
    return parse(text)


def _groups(node: Any) -> list[str]:
    """Walk down to the aggregations that decide what the answer keeps."""
    from promql_parser import (
        AggModifierType,
        AggregateExpr,
        BinaryExpr,
        Call,
        ParenExpr,
        SubqueryExpr,
        UnaryExpr,
    )

    if isinstance(node, AggregateExpr):
        kept = node.modifier
        return list(kept.labels) if kept and kept.type == AggModifierType.By else []
    if isinstance(node, BinaryExpr):
        return [*_groups(node.lhs), *_groups(node.rhs)]
    if isinstance(node, (ParenExpr, UnaryExpr, SubqueryExpr)):
        return _groups(node.expr)
    if isinstance(node, Call):
        inside = [label for one in node.args for label in _groups(one)]
        # histogram_quantile() and histogram_fraction() use up the buckets' own label.
        buckets = node.func.name.startswith("histogram_")
        return [one for one in inside if not (buckets and one == "le")]
    return []
