"""A log record says its level, what happened, why, and which incident and page it is about."""

from __future__ import annotations

import json
import logging

import msgspec
import pytest

from midwatch.core.state import events as e
from midwatch.engine import logs
from midwatch.ports import Row

FAILED = e.PageFailed(
    incident="INC-1", key="page/INC-1/1", attempt=2, error="the receiver answered 500"
)


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (FAILED, "warning"),
        (e.PageSent(incident="INC-1", key="page/INC-1/1", receipt="status 202", attempt=1), "info"),
    ],
    ids=["failed", "sent"],
)
def test_a_record_about_a_page_names_it(
    event: e.PageFailed | e.PageSent, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One JSON object with level, event, msg and the ids as fields of their own."""
    name = type(event).__name__
    row = Row(7, "incident/INC-1", 3, 1_700_000_000_000, "key", name, msgspec.json.encode(event))
    with caplog.at_level(logging.INFO, "midwatch.engine"):
        logs.tell([row])
    (record,) = caplog.records
    line = json.loads(logs.JsonLines().format(record))
    assert (line["level"], line["event"], line["incident"]) == (level, name, "INC-1")
    assert line["page_id"] == "page/INC-1/1"
    assert line["msg"].startswith("page/INC-1/1")
