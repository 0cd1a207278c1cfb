"""Every source keeps the same promises, whatever its format looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.adapters.sources import changes
from midwatch.adapters.sources.generic import GenericOptions
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state.inputs import AlertsArrived, Envelope
from midwatch.core.values.alerts import NAMING, Naming
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


# Times as senders write them, and as nobody should: none of them may cost an alert its page, or
# come into the journal as a number that is no moment.
UNREAD = (
    "2026-11-30 11:22:29",
    "yesterday",
    "",
    [],
    {},
    True,
    -1,
    0,
    42,
    10**16 - 1,
    10**30,
    10**400,
    1e300,
    "9" * 400,
    "NaN",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
)
READ = (
    NOW // 1_000,
    NOW,
    NOW * 1_000,
    NOW * 1_000_000,
    str(NOW),
    NOW / 1_000,
    f"{NOW / 1_000:.3f}",
    T0,
    "2026-01-31 09:00:00Z",
    "2026-01-31t10:00:00.000+01:00",
)
TIMED = GenericOptions(
    {**OPTIONS.fields, "starts_at": "$.since", "ends_at": "$.until"}, alerts="$.items"
)


def timed(form: Format, at: Any) -> Any:
    """An alert of this format that says that it began then."""
    one = form.good("firing")
    match form.kind:
        case "pagerduty":
            one["payload"]["timestamp"] = at
        case "pagerduty-webhook":
            one["event"]["occurred_at"] = at
        case "generic":
            one["since"] = at
        case _:
            one["startsAt"] = at
    return one


@each
@pytest.mark.parametrize("at", [*UNREAD, *READ], ids=lambda at: repr(at)[:20])
def test_no_time_from_outside_is_taken_for_another(form: Format, at: Any) -> None:
    """It is the moment that was meant, or is handed back with its place; its neighbour is read."""
    source = make_source(form.kind, NAMING, TIMED)
    batch = form.batch or (lambda alerts: alerts[0])
    alerts = [timed(form, at), form.good("firing")]
    body = json.dumps(batch(alerts)).encode()
    if form.batch is None and not isinstance(at, str):  # not even the type that the format has
        with pytest.raises(BadFile, match=r"^\$\."):
            source.parse(body, NOW)
        return
    parsed = source.parse(body, NOW)
    assert all(one.starts_at == NOW for one in parsed.alerts)
    named = [one for one in parsed.rejected if one.place.startswith("$") and one.why.isprintable()]
    assert len(named) == len(parsed.rejected)
    if form.batch:
        assert len(parsed.alerts) + len(parsed.rejected) >= 2
    if form.kind in ("generic", "pagerduty", "pagerduty-webhook"):
        assert len(parsed.alerts) == (2 if form.batch else 1)  # whatever its time, it counts


def test_an_alert_of_generic_counts_though_its_time_cannot_be_read() -> None:
    """As of its arrival, and so it may be news though it is the same to the byte."""
    source = make_source("generic", NAMING, TIMED)
    down = {"title": "host DOWN", "app": "shop", "level": "critical", "since": "2026-01-31 09:00"}
    parsed = source.parse(json.dumps({"items": [down]}).encode(), NOW)
    assert [(one.name, one.status, one.starts_at) for one in parsed.alerts] == [
        ("host DOWN", "firing", NOW)
    ]
    (unread,) = parsed.rejected
    assert unread.place == "$.items[0].since"
    assert "its arrival time is used" in unread.why
    assert json.loads(unread.body) == down
    assert not parsed.repeatable
    good = source.parse(json.dumps({"items": [{**down, "since": NOW}]}).encode(), NOW)
    assert (good.rejected, good.repeatable) == ((), True)


@pytest.mark.parametrize("at", READ, ids=lambda at: repr(at)[:20])
def test_a_change_is_made_when_it_says_in_whichever_unit(at: Any) -> None:
    """As alerts are: the same number is the same moment at every door."""
    told = changes.parse(json.dumps({"service": "shop", "at": at}).encode(), NOW)
    assert [one.at for one in told.changes] == [NOW]


@pytest.mark.parametrize("at", [one for one in UNREAD if one != ""], ids=lambda at: repr(at)[:20])
def test_a_change_at_no_moment_is_refused_and_its_neighbour_kept(at: Any) -> None:
    """With its place."""
    body = json.dumps([{"service": "shop", "at": at}, {"service": "cart"}]).encode()
    told = changes.parse(body, NOW)
    assert [one.service for one in told.changes] == ["cart"]
    (refused,) = told.rejected
    assert refused.place.startswith("$[0]")
