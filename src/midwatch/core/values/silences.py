"""What mutes alerts: silences, maintenance windows and inhibition, with Alertmanager's meaning.

Law: muted means that nobody is paged for it, never that it is not recorded. A label that is not
there is the empty text. A regular expression is RE2's and matches the whole value. Whatever holds a
pattern that RE2 refuses, as an older journal may, mutes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from midwatch.core.values import patterns
from midwatch.core.values.schedules import Schedule

Operator = Literal["=", "!=", "=~", "!~"]
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_.\-]*)\s*(=~|!~|!=|=)\s*(?:"(.*)"|(.*?))\s*""", re.S
)


class Matcher(Struct, frozen=True):
    """One condition on a label."""

    name: str
    operator: Operator
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Say whether it holds for these labels."""
        value = labels.get(self.name, "")
        if self.operator == "=":
            return value == self.value
        if self.operator == "!=":
            return value != self.value
        try:
            found = patterns.fits(self.value, value)
        except patterns.BadPattern:
            return False  # whichever operator it has: nobody knows what it means
        return found if self.operator == "=~" else not found

    @property
    def trouble(self) -> str:
        """Say why it can hold for nothing; empty when it can."""
        if self.operator not in ("=~", "!~"):
            return ""
        why = patterns.refusal(self.value)
        return f"{self.says} has a pattern that RE2 refuses: {why}" if why else ""

    @property
    def says(self) -> str:
        """Write it as it is read."""
        return f'{self.name}{self.operator}"{self.value}"'


def read_matcher(text: str) -> Matcher:
    """Read a matcher as Alertmanager writes it. Raises ValueError.

    >>> read_matcher('service=~"shop|cart"').fits({"service": "cart"})
    True
    >>> read_matcher("severity!=critical").says
    'severity!="critical"'
    >>> read_matcher('service="shop",severity="error"')
    Traceback (most recent call last):
    ValueError: 'service="shop",severity="error"' has several matchers; write each separately
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is not a matcher; write it like service=shop or service=~"a|b"')
    if found[3] is not None and '",' in found[3]:
        raise ValueError(f"{text!r} has several matchers; write each separately")
    name, operator, quoted, bare = found.groups()
    value = quoted if quoted is not None else bare
    if operator in ("=~", "!~"):
        try:
            patterns.check(value)
        except patterns.BadPattern as error:
            raise ValueError(f"{text!r} has a bad regular expression: {error}") from None
    return Matcher(name, operator, value)  # pyright: ignore[reportArgumentType]  the four above


def all_fit(matchers: tuple[Matcher, ...], labels: Mapping[str, str]) -> bool:
    """Say whether every condition holds; without any, none does."""
    for one in matchers:  # asked of every alert, for each rule: no generator for one condition
        if not one.fits(labels):
            return False
    return bool(matchers)


class Silence(Struct, frozen=True):
    """Somebody wants quiet for [starts_at, ends_at)."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: int
    ends_at: int
    by: str
    why: str

    @property
    def key(self) -> str:
        """How it is named where it mutes."""
        return f"silence {self.id}"

    @property
    def trouble(self) -> str:
        """Say why it mutes nothing; empty when it can."""
        return next((one.trouble for one in self.matchers if one.trouble), "")

    def mutes(self, labels: Mapping[str, str], at: int) -> bool:
        """Say whether it mutes these labels at a moment."""
        return self.starts_at <= at < self.ends_at and all_fit(self.matchers, labels)


def refused(silences: Iterable[Silence]) -> list[str]:
    """Say of each silence that mutes nothing why: an older journal may hold one.

    >>> old = Silence("4", (Matcher("job", "=~", "(?=x)"),), 0, 60_000, "ada", "deploy")
    >>> print(*refused([old]))
    silence 4 mutes nothing: job=~"(?=x)" has a pattern that RE2 refuses: invalid perl operator: (?=
    """
    return [f"{one.key} mutes nothing: {one.trouble}" for one in silences if one.trouble]


class Maintenance(Struct, frozen=True):
    """A silence that comes again and again, by a schedule."""

    name: str
    matchers: tuple[Matcher, ...]
    schedule: Schedule

    @property
    def key(self) -> str:
        """How it is named where it mutes."""
        return f"maintenance {self.name}"

    def mutes(self, labels: Mapping[str, str], at: int) -> bool:
        """Say whether it mutes these labels at a moment."""
        return all_fit(self.matchers, labels) and self.schedule.on_call(at) is not None


class Inhibition(Struct, frozen=True):
    """While a source fires, targets with the same values of the `equal` labels are muted."""

    name: str
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()

    def key(self, labels: Mapping[str, str]) -> str:
        """Name what a source mutes, and what would mute a target.

        >>> rule = Inhibition("node", (), (), ("cluster",))
        >>> rule.key({"cluster": "eu", "pod": "a"})
        'inhibited by node (cluster="eu")'
        """
        values = ", ".join(f'{name}="{labels.get(name, "")}"' for name in self.equal)
        return f"inhibited by {self.name}" + (f" ({values})" if values else "")


class Muting(Struct, frozen=True):
    """What config mutes."""

    inhibitions: tuple[Inhibition, ...] = ()
    maintenances: tuple[Maintenance, ...] = ()
