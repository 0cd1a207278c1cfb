"""Scorers: right, wrong, broken and unsupported are four things."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.core.values.evals import Case, Check, Reply
from midwatch.core.values.scorers import SCORERS, edit_likeness, judge, token_f1

JSON = '{"items": [{"name": "a", "n": 1}, {"name": "b"}], "ok": true}'


def status(text: str, kind: str, value: Any = None, **more: Any) -> str:
    """Judge an answer by one check."""
    reply = more.pop("reply", Reply(text, 0.5))
    case = Case("c", "q", checks=(Check(kind, value, **more),))
    return judge(case, "v1", reply).status


@pytest.mark.parametrize(
    ("text", "kind", "value", "expected"),
    [
        (" 30 days ", "equals", "30 days", "passed"),
        ("30 Days", "equals", "30 days", "failed"),
        ("30 Days", "iequals", "30 days", "passed"),
        ("Yes", "equals", ["No", "Yes"], "passed"),
        ("within 30 days", "contains", "30 days", "passed"),
        ("within 30 Days", "contains", "30 days", "failed"),
        ("within 30 Days", "icontains", "30 days", "passed"),
        ("a b", "contains-any", ["x", "b"], "passed"),
        ("a b", "contains-all", ["a", "x"], "failed"),
        ("A B", "icontains-all", ["a", "b"], "passed"),
        ("hello there", "starts-with", "hello", "passed"),
        ("oh, hello", "starts-with", "hello", "failed"),
        ("order 4711", "regex", r"\d{4}", "passed"),
        ("order", "regex", r"\d{4}", "failed"),
        ("order", "regex", "(", "error"),
        ("The answer is: 42.", "fuzzy", "answer is 42", "passed"),
        (JSON, "is-json", None, "passed"),
        ("{", "is-json", None, "failed"),
        ('{"b": 1, "a": 2}', "json-equals", '{"a": 2, "b": 1}', "passed"),
        (JSON, "json-schema", {"type": "object", "required": ["ok"]}, "passed"),
        (JSON, "json-schema", {"type": "object", "required": ["no"]}, "failed"),
        (JSON, "json-schema", {"type": 7}, "error"),
        (JSON, "json-path", "$.items[0].name", "passed"),
        (JSON, "json-path", {"path": "$.items[*].name", "equals": "b"}, "passed"),
        (JSON, "json-path", {"path": "$.items[*].name", "equals": "z"}, "failed"),
        (JSON, "json-path", "items", "error"),
        ("It costs 1,299.50 EUR", "number", 1299.5, "passed"),
        ("nothing", "number", 3, "failed"),
        ("3", "number", "three", "error"),
        ("[source: returns]", "cites", ["returns"], "passed"),
        ("I do not know.", "refuses", None, "passed"),
        ("It is 30 days.", "refuses", None, "failed"),
        ("x", "cost", 1, "error"),
        ("x", "tools", ["search"], "error"),
        ("x", "contains", None, "error"),
        ("x", "similar", "y", "unsupported"),
        ("x", "judge", "is polite", "error"),
    ],
)
def test_each_kind_says_what_it_should(text: str, kind: str, value: Any, expected: str) -> None:
    """A check that is nonsense is an error, one that nobody knows unsupported."""
    assert status(text, kind, value) == expected


def test_limits_and_what_else_a_target_tells() -> None:
    """Time, money, tools and sources."""
    reply = Reply("x", 0.5, 0.01, ("search", "pay"), ("returns",))
    assert status("", "latency", threshold=1.0, reply=reply) == "passed"
    assert status("", "latency", threshold=0.1, reply=reply) == "failed"
    assert status("", "cost", threshold=0.02, reply=reply) == "passed"
    assert status("", "tools", ["search", "pay"], reply=reply) == "passed"
    assert status("", "tools", ["pay"], reply=reply) == "failed"
    assert status("", "cites", "returns", reply=reply) == "passed"
    assert status("", "cites", "prices", reply=reply) == "failed"


def test_not_turns_it_round_and_an_error_stays_one() -> None:
    """Also for a check that broke."""
    assert status("a", "contains", "b", negate=True) == "passed"
    assert status("a", "contains", "a", negate=True) == "failed"
    assert status("a", "regex", "(", negate=True) == "error"


def test_a_failure_shows_what_was_expected_and_what_came() -> None:
    """Both."""
    case = Case("c", "q", checks=(Check("contains", "30 days"), Check("contains", "week")))
    outcome = judge(case, "v1", Reply("7 days"))
    assert outcome.got == "7 days"
    assert outcome.why == "expected to contain '30 days'; expected to contain 'week'"


@given(st.text(max_size=30), st.text(max_size=30))
def test_likeness_is_between_nothing_and_the_same(one: str, other: str) -> None:
    """And the same both ways round."""
    for measure in (token_f1, edit_likeness):
        assert 0.0 <= measure(one, other) <= 1.0
        assert measure(one, other) == pytest.approx(measure(other, one))
        assert measure(one, one) == 1.0


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(SCORERS)), JUNK, st.text(max_size=20))
def test_no_value_makes_a_scorer_raise(kind: str, value: Any, text: str) -> None:
    """Whatever stands in a file."""
    assert status(text, kind, value) in ("passed", "failed", "error")
