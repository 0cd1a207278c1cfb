"""Patterns that people write: RE2 decides what they mean; what it refuses mutes nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from midwatch.core.state.shard import Shard
from midwatch.core.values import patterns
from midwatch.core.values.actions import checked
from midwatch.core.values.silences import (
    Inhibition,
    Matcher,
    Silence,
    all_fit,
    read_matcher,
    refused,
)
from midwatch.core.values.topology import Topology
from midwatch.engine import queries
from midwatch.engine.overview import Looker
from midwatch.errors import InputError

LONG = "a" * 50_000
EXPLODING = ("(a+)+b", "(a|aa)+b", "(a|a?)+b", "(.*)*b", "a*a*a*a*a*a*b", "([a-z]+)*=")
# Python's own, which RE2 and so Alertmanager do not know.
REFUSED = (
    r"(?=shop).*",
    r"(?!shop).*",
    r"(?<=x)shop",
    r"(\w+)-\1",
    "a{1001}",
    "(",
    "*",
    "a\ud800",
    "x" * 1_001,
)


@pytest.mark.parametrize("pattern", EXPLODING)
def test_no_pattern_explodes(pattern: str) -> None:
    """Each of these takes Python's own engine longer than anybody lives, on a text like this."""
    assert not patterns.fits(pattern, LONG)
    assert not Matcher("service", "=~", pattern).fits({"service": LONG})
    with pytest.raises(InputError, match="does not fit"):
        checked("topic", "a" * 199, pattern)


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_re2_refuses_is_refused_with_its_reason(pattern: str) -> None:
    """When it is given, not when it is first needed."""
    assert patterns.refusal(pattern)
    with pytest.raises(ValueError, match="bad regular expression"):
        read_matcher(f'service=~"{pattern}"')


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("shop|cart", "cart", True),
        ("shop|cart", "shop2", False),
        ("", "", True),
        ("(?i)SHOP", "shop", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("shop", "shop\n", False),
        ("shop$", "shop\n", False),
        ("^shop$", "shop", True),
        (r"\d+", "12", True),
        (r"\d+", "١٢", False),
        (r"\pL+", "né", True),
        (".", "é", True),
        (".", "\ud800", True),
        ("[[:upper:]]{2}", "AB", True),
    ],
)
def test_a_pattern_means_what_it_means_in_alertmanager(
    pattern: str, value: str, fits: bool
) -> None:
    """The whole value, no line break by `.`, ASCII digits; what is not UTF-8 raises nothing."""
    assert patterns.fits(pattern, value) is fits


@pytest.mark.parametrize("operator", ["=~", "!~"])
def test_a_stored_silence_that_re2_refuses_mutes_nothing_and_says_so(operator: str) -> None:
    """Nobody knows what it means: `!~` of it must not mute everything."""
    matcher = Matcher("service", operator, r"(?!shop).*")  # pyright: ignore[reportArgumentType]
    old = Silence("S-1", (Matcher("team", "=", "web"), matcher), 0, 100, "ada", "disks")
    assert not old.mutes({"service": "cart", "team": "web"}, 50)
    assert "RE2 refuses" in old.trouble
    (shown,) = queries.silences(Shard(silences={"S-1": old}))
    assert shown.trouble == old.trouble
    looked = Looker(Topology(), 10).look(Shard(silences={"S-1": old}))
    assert looked.notes == refused([old])
    good = replace(old, matchers=(Matcher("service", "=~", "cart|shop"),))
    assert good.mutes({"service": "cart"}, 50)
    assert good.trouble == ""


def test_an_inhibition_whose_pattern_is_refused_mutes_nothing() -> None:
    """Its source fits nothing, so nothing is inhibited."""
    rule = Inhibition("node", (Matcher("alertname", "!~", r"(x)\1"),), ())
    assert not all_fit(rule.source, {"alertname": "NodeDown"})
