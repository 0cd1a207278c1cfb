"""Names that become a part of an address, and would not be found there: told before they serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch import config

RIGHT = """
sources: {alerts: {type: alertmanager}, a b?: {type: alertmanager}}
metrics: {counts: {type: pushed}}
watched_jobs: {backup: {every: 24h}}
pagers: {ops/terminal: {type: terminal}, chat: {type: slack, url_env: URL, signing_secret_env: S}}
escalation: {steps: [{to: ada}]}
"""
ADDRESS = "the name is part of an address"


def told(tmp_path: Path, text: str) -> list[str]:
    """Every error, each as one line."""
    (tmp_path / "midwatch.yaml").write_text(text, "utf-8")
    (tmp_path / "topology.yaml").write_text("services: [{name: web}]", "utf-8")
    return [str(error) for error in config.check(tmp_path)[1]]


def test_what_can_be_quoted_or_is_in_no_address_is_right(tmp_path: Path) -> None:
    """A blank, a question mark, and a terminal's slash."""
    assert told(tmp_path, RIGHT) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "alerts:",
            "eu/a:",
            f"midwatch.yaml:2 sources.eu/a: the name 'eu/a' cannot be used; {ADDRESS}",
        ),
        ("alerts:", "..:", f"midwatch.yaml:2 sources...: the name '..' cannot be used; {ADDRESS}"),
        (
            "counts:",
            "a/b:",
            f"midwatch.yaml:3 metrics.a/b: the name 'a/b' cannot be used; {ADDRESS}",
        ),
        (
            "backup:",
            "db/x:",
            f"midwatch.yaml:4 watched_jobs.db/x: the name 'db/x' cannot be used; {ADDRESS}",
        ),
        (
            "chat:",
            "a/chat:",
            f"midwatch.yaml:5 pagers.a/chat: the name 'a/chat' cannot be used; {ADDRESS}",
        ),
        (
            "alerts:",
            "changes:",
            "sources.changes: the name 'changes' cannot be used; that address is",
        ),
        (
            "counts:",
            "tickets:",
            "metrics.tickets: the name 'tickets' cannot be used; that address is",
        ),
        ("counts:", "alerts:", "metrics.alerts: has the name of an alert source; rename it"),
        ("backup:", "alerts:", "watched_jobs.alerts: has the name of a source; rename it: both"),
    ],
)
def test_a_name_that_its_sender_would_not_reach_is_told(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    """With its file, line and remedy, and nothing else beside it."""
    (error,) = told(tmp_path, RIGHT.replace(old, new, 1))
    assert says in error
