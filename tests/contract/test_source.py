"""Every source keeps the same promises, whatever its format looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.adapters.sources.generic import GenericOptions
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.alerts import NAMING, Naming
from midwatch.core.inputs import AlertsArrived, Envelope
from midwatch.core.rules import Rules
from midwatch.engine.handle import Handler
from midwatch.errors import BadFile, BadJson
from midwatch.ports import Parsed, Source
from midwatch.registry import SOURCES, make_source

T0 = "2026-01-31T09:00:00Z"
NOW = 1_769_850_000_000
OPTIONS = GenericOptions(
    {"name": "$.title", "service": "$.app", "status": "$.state", "severity": "$.level"},
    alerts="$.items",
)


@dataclass
class Format:
    """How one format says the same things."""

    kind: str
    good: Callable[[str], Any]  # status -> one alert
    batch: Callable[[list[Any]], Any] | None  # None: one alert a request
    wrong: Any  # no envelope of this format

    @property
    def source(self) -> Source:
        return make_source(self.kind, NAMING, OPTIONS)

    def parse(self, *alerts: Any) -> Parsed:
        whole = self.batch(list(alerts)) if self.batch else alerts[0]
        return self.source.parse(json.dumps(whole).encode(), NOW)


def labelled(status: str) -> dict[str, Any]:
    labels = {"alertname": "Slow", "service": "shop", "severity": "critical"}
    ends_at = T0 if status == "resolved" else "0001-01-01T00:00:00Z"
    return {"status": status, "labels": labels, "startsAt": T0, "endsAt": ends_at}


def event(status: str) -> dict[str, Any]:
    action = "resolve" if status == "resolved" else "trigger"
    payload = {"summary": "Slow", "source": "shop", "severity": "critical"}
    return {"event_action": action, "dedup_key": "slow/shop", "payload": payload}


def told(status: str) -> dict[str, Any]:
    kind = "incident.resolved" if status == "resolved" else "incident.triggered"
    data = {"id": "P1", "title": "Slow", "service": {"summary": "shop"}, "urgency": "high"}
    return {"event": {"event_type": kind, "occurred_at": T0, "data": data}}


FORMATS = [
    Format("alertmanager", labelled, lambda a: {"version": "4", "alerts": a}, {"alerts": []}),
    Format("grafana", labelled, lambda a: {"orgId": 1, "version": "1", "alerts": a}, {"orgId": 1}),
    Format("pagerduty", event, None, {"event_action": "shout"}),
    Format("pagerduty-webhook", told, None, {"event": {"event_type": "incident.triggered"}}),
    Format(
        "generic",
        lambda status: {"title": "Slow", "app": "shop", "state": status, "level": "critical"},
        lambda items: {"items": items},
        {"items": 7},
    ),
]
each = pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.kind)
batched = pytest.mark.parametrize("form", [f for f in FORMATS if f.batch], ids=lambda f: f.kind)


def test_no_source_is_left_out() -> None:
    """What the registry offers is tested here."""
    assert {f.kind for f in FORMATS} == set(SOURCES)


@each
def test_a_firing_alert_is_read_whole(form: Format) -> None:
    """Name, service and level arrive, whatever they are called there."""
    (alert,) = form.parse(form.good("firing")).alerts
    assert (alert.name, alert.service, alert.level) == ("Slow", "shop", "critical")
    assert (alert.status, alert.starts_at, alert.ends_at) == ("firing", NOW, None)


@each
def test_the_end_is_about_the_same_alert(form: Format) -> None:
    """Firing and resolved have one fingerprint."""
    (firing,) = form.parse(form.good("firing")).alerts
    (over,) = form.parse(form.good("resolved")).alerts
    assert over.status == "resolved"
    assert over.fingerprint == firing.fingerprint


@batched
@pytest.mark.parametrize("bad", [{}, 7, None, [], {"labels": {"a": 1}}, {"title": ""}])
def test_a_bad_alert_costs_no_neighbour(form: Format, bad: Any) -> None:
    """It comes back as it was, with its place and why."""
    parsed = form.parse(form.good("firing"), bad, form.good("firing"))
    assert len(parsed.alerts) == 2
    (rejected,) = parsed.rejected
    assert "[1]" in rejected.place
    assert rejected.why
    assert json.loads(rejected.body) == bad


@each
@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_no_json_is_said_so(form: Format, body: bytes) -> None:
    """Truncated, foreign, or a bomb of brackets."""
    with pytest.raises(BadJson):
        form.source.parse(body, NOW)


@each
def test_a_wrong_envelope_is_said_with_its_place(form: Format) -> None:
    """JSON, but not of this format."""
    with pytest.raises(BadFile) as caught:
        form.source.parse(json.dumps(form.wrong).encode(), NOW)
    assert not isinstance(caught.value, BadJson)
    assert caught.value.place.startswith("$")
    assert caught.value.remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@each
@given(whole=JSON, bad=JSON)
def test_garbage_raises_nothing_else(form: Format, whole: Any, bad: Any) -> None:
    """A source raises BadFile or nothing."""
    for document in (whole, form.batch([bad]) if form.batch else bad):
        try:
            form.source.parse(json.dumps(document).encode(), NOW)
        except BadFile:
            continue


def test_pagerduty_keys_have_a_limit() -> None:
    """255 characters are taken, 256 are not."""
    (form,) = [f for f in FORMATS if f.kind == "pagerduty"]
    assert form.parse(event("firing") | {"dedup_key": "k" * 255}).alerts
    with pytest.raises(BadFile, match="255 are allowed"):
        form.parse(event("firing") | {"dedup_key": "k" * 256})


def test_a_machine_does_not_acknowledge() -> None:
    """PagerDuty's acknowledge is kept, not obeyed."""
    (form,) = [f for f in FORMATS if f.kind == "pagerduty"]
    parsed = form.parse(event("firing") | {"event_action": "acknowledge"})
    assert not parsed.alerts
    assert len(parsed.rejected) == 1


def test_the_same_bytes_may_be_news() -> None:
    """Only formats with times of their own make a retry recognisable."""
    said = {form.kind: form.parse(form.good("firing")).repeatable for form in FORMATS}
    assert said == {
        "alertmanager": True,
        "grafana": True,
        "pagerduty": False,
        "pagerduty-webhook": True,
        "generic": False,
    }


def test_a_rejected_alert_is_kept_beside_its_committed_neighbours() -> None:
    """One transaction: the good ones are decided on, the bad one is a dead letter."""
    store = SqliteStore.memory()
    handler = Handler(store, Rules(), lambda: NOW)
    parsed = FORMATS[0].parse(labelled("firing"), labelled("firing") | {"labels": 7})
    given_input = AlertsArrived("alertmanager", parsed.alerts)
    handler.handle([Envelope("k", given_input, parsed.rejected)])
    assert list(handler.shard.incidents) == ["INC-1"]
    (letter,) = store.letters()
    assert letter.key == "k"
    assert letter.reason.startswith("$.alerts[1].labels: ")


def naming_trace(form: Format) -> Any:
    """An alert of this format that names a trace and a deploy, each where its sender would."""
    one = form.good("firing")
    if form.kind == "pagerduty":
        one["payload"]["custom_details"] = {"trace_id": "7f3a", "deploy_id": "d-12"}
    elif form.kind == "generic":
        one |= {"trace": "7f3a", "deploy": "d-12"}
    else:
        one["labels"] = {**one["labels"], "traceID": "7f3a"}
        one["annotations"] = {"deploy_id": "d-12"}
    return one


@pytest.mark.parametrize("kind", ["alertmanager", "grafana", "pagerduty", "generic"])
def test_ids_of_traces_and_deploys_are_found_and_are_no_identity(kind: str) -> None:
    """They say what an alert belongs to; which alert it is stays the same."""
    (form,) = [f for f in FORMATS if f.kind == kind]
    fields = {**OPTIONS.fields, "trace_id": "$.trace", "deploy_id": "$.deploy"}
    options = GenericOptions(fields, alerts=OPTIONS.alerts)
    source = make_source(kind, NAMING, options)
    alerts = [naming_trace(form)]
    whole = form.batch(alerts) if form.batch else alerts[0]
    (named,) = source.parse(json.dumps(whole).encode(), NOW).alerts
    (plain,) = form.parse(form.good("firing")).alerts
    assert set(named.refs) == {"trace:7f3a", "deploy:d-12"}
    assert plain.refs == ()
    assert named.fingerprint == plain.fingerprint


@each
def test_ones_own_severities_are_understood(form: Format) -> None:
    """A spelling that config names means what config says; another stays an error."""
    own = Naming(levels={**NAMING.levels, "p1": "critical"})
    for spelled, level in (("P1", "critical"), ("P7", "error")):
        text = json.dumps(form.batch([form.good("firing")]) if form.batch else form.good("firing"))
        if '"critical"' not in text or form.kind == "pagerduty":
            continue  # the format has severities of its own
        source = make_source(form.kind, own, OPTIONS)
        (alert,) = source.parse(text.replace('"critical"', f'"{spelled}"').encode(), NOW).alerts
        assert alert.level == level
