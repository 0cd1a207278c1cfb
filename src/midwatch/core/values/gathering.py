"""Which alerts people have said belong together: by labels, until they are over or quiet.

Law: what people say goes before what is measured. The first route whose matchers fit an alert
decides, and every alert that fits it with the same values, or that its sender has put into the same
group, shares one incident: until that is over, or until none has come for QUIET_S.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from midwatch.core.values.silences import Matcher, all_fit

QUIET_S = 600
Until = Literal["resolved", "quiet"]


class Gathering(Struct, frozen=True):
    """One route: which alerts, the labels whose values they share, and for how long.

    With `sent` they share their sender's own group; one that came without a group does not fit.
    """

    matchers: tuple[Matcher, ...]
    group_by: tuple[str, ...]
    until: Until = "resolved"
    sent: bool = False


class Group(Struct, frozen=True):
    """Where one alert is gathered: the name of its group, and for how long."""

    name: str
    until: Until


def group_of(
    gatherings: tuple[Gathering, ...], labels: Mapping[str, str], sent: str = ""
) -> Group | None:
    """Find where an alert is gathered, None when no route fits; `sent` is its sender's group.

    >>> from midwatch.core.values.silences import read_matcher
    >>> disks = Gathering((read_matcher("alertname=~Disk.*"),), ("cluster",))
    >>> group_of((disks,), {"alertname": "DiskFull", "cluster": "eu"}).name
    'group 1: cluster="eu"'
    >>> group_of((disks,), {"alertname": "Slow"}) is None
    True
    """
    for number, one in enumerate(gatherings, 1):
        if one.sent and not sent:
            continue
        if all_fit(one.matchers, labels):
            if one.sent:
                return Group(f"sender's group {sent}", one.until)
            values = (f"{name}={json.dumps(labels.get(name, ''))}" for name in one.group_by)
            return Group(f"group {number}: {', '.join(values)}", one.until)
    return None
