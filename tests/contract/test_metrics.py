"""Sources of counts: what each keeps to, and what Prometheus may answer."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec
import pytest
from tests.acceptance.receiver import Receiver
from tests.servers import need

from midwatch import config
from midwatch.adapters.metrics.file import FileMetrics
from midwatch.adapters.metrics.meter import PARTS
from midwatch.adapters.metrics.options import FileOptions, PrometheusOptions
from midwatch.adapters.metrics.prometheus import PrometheusMetrics
from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import build_metrics
from midwatch.core.rules.rules import Rules
from midwatch.core.state.inputs import Envelope, SliCounted
from midwatch.core.values.sli import Bucket, Counts, Indicator
from midwatch.core.values.slo import Slo
from midwatch.engine.handle import Handler
from midwatch.errors import HarnessError
from midwatch.outbound import Outbound

NOW = 1_764_000_000_000
COUNTER = Indicator("counter", bad='sum(requests{code="500"})', total="sum(requests)")


def slo(indicator: Indicator) -> Slo:
    """An objective that counts so."""
    return Slo("shop/x", "shop", "0.99", indicator=indicator)


class Prometheus:
    """Answers queries by a function, through a receiver that speaks HTTP."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.say: Callable[[str, dict[str, str]], Any] = lambda what, given: []
        self.paused: list[float] = []
        receiver.answer = self.answer
        outbound = Outbound([receiver.url])
        options = PrometheusOptions(receiver.url, token_env="T")
        self.metrics = PrometheusMetrics(options, outbound, "s3cret", self.paused.append)

    def answer(self, path: str, body: bytes) -> bytes:
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        said = self.say(path.rpartition("/")[2], given)
        if isinstance(said, bytes):
            return said
        kind = "matrix" if path.endswith("range") else "vector"
        return json.dumps(
            {"status": "success", "data": {"resultType": kind, "result": said}}
        ).encode()

    def counts(self, indicator: Indicator, *windows_s: int, now: int = NOW) -> dict[int, Counts]:
        return self.metrics.counts(slo(indicator), windows_s or (300,), now)


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    """A backend that says what the test wants."""
    with Receiver() as receiver:
        yield Prometheus(receiver)


def vector(*values: float | str, **labels: str) -> list[dict[str, Any]]:
    """One series a value."""
    return [
        {"metric": {"instance": str(n), **labels}, "value": [NOW / 1_000, str(value)]}
        for n, value in enumerate(values)
    ]


def test_counters_start_anew_series_by_series(prometheus: Prometheus) -> None:
    """One pod restarts, another appears with its first bad event: both count as they are."""
    looks = [
        {"bad": vector(5), "all": vector(1_000, 2_000)},
        {"bad": vector(5, 3), "all": vector(40, 2_100)},
    ]

    def say(what: str, given: dict[str, str]) -> Any:
        if what == "query_range":
            return []
        return looks[0]["bad" if "500" in given["query"] else "all"]

    prometheus.say = say
    assert prometheus.counts(COUNTER)[300] == Counts(0, 0)
    looks.pop(0)
    assert prometheus.counts(COUNTER, now=NOW + 10_000)[300] == Counts(137, 140)
    asked = {parse_qs(body.decode())["query"][0] for _, _, body in prometheus.receiver.requests}
    assert {'requests{code="500"}', "requests"} <= asked


def test_what_was_before_the_first_look_comes_from_the_counters_themselves(
    prometheus: Prometheus,
) -> None:
    """In steps, so that the first judgement has its windows."""

    def say(what: str, given: dict[str, str]) -> Any:
        each = 6 if "500" in given["query"] else 60  # a minute
        if what == "query":
            return vector(float(given["time"]) * each // 60)
        start, end, step = (float(given[name]) for name in ("start", "end", "step"))
        times = [start + n * step for n in range(int((end - start) // step) + 1)]
        values = [[t, str(t * each // 60)] for t in times]
        return [{"metric": {"instance": "0"}, "values": values}]

    prometheus.say = say
    found = prometheus.counts(COUNTER, 3_600, 259_200)
    assert found[3_600] == Counts(3_240, 3_600)
    assert found[259_200].total == pytest.approx(3 * 86_400, rel=0.02)


def test_a_question_of_windows_is_one_request(prometheus: Prometheus) -> None:
    """Each part under a label of its own; rates become events; a part without events is zero."""
    indicator = Indicator(
        "increase", bad="sum(rate(bad[{{.window}}]))", total="sum(rate(all[{{.window}}]))"
    )
    prometheus.say = lambda what, given: [
        {"metric": {"midwatch": "total/300"}, "value": [0, "2"]},
        {"metric": {"midwatch": "bad/300"}, "value": [0, "0.1"]},
        {"metric": {"midwatch": "total/3600"}, "value": [0, "2"]},
    ]
    assert prometheus.counts(indicator, 300, 3_600, 86_400) == {
        300: Counts(570, 600),
        3_600: Counts(7_200, 7_200),
    }
    assert len(prometheus.receiver.requests) == 1


@pytest.mark.parametrize("value", ["NaN", "+Inf"])
def test_what_is_no_number_is_no_data(prometheus: Prometheus, value: str) -> None:
    """Neither good nor bad."""
    indicator = Indicator("ratio", bad="errors[{{.window}}]")
    prometheus.say = lambda what, given: [{"metric": {"midwatch": "bad/300"}, "value": [0, value]}]
    assert prometheus.counts(indicator) == {}


def test_a_raw_ratio_is_read_in_parts(prometheus: Prometheus) -> None:
    """Of a million, as there are no events behind it."""
    prometheus.say = lambda what, given: vector(0.25)
    found = prometheus.counts(Indicator("ratio", bad="error_ratio"))
    assert found[300] == Counts(PARTS * 3 // 4, PARTS)


@pytest.mark.parametrize(("op", "good"), [("lt", 1), ("lte", 2), ("gt", 1), ("gte", 2)])
def test_a_threshold_makes_an_event_of_each_look(
    prometheus: Prometheus, op: Literal["lt", "lte", "gt", "gte"], good: int
) -> None:
    """Below, at and above it."""
    prometheus.say = lambda what, given: vector(1, 2, 3)
    found = prometheus.counts(Indicator("threshold", total="latency", op=op, value="2"))
    assert found[300] == Counts(good, 3)


PARTIAL = {
    "status": "success",
    "warnings": ["a shard is down"],
    "data": {"resultType": "vector", "result": []},
}
REFUSED = {"status": "error", "errorType": "bad_data", "error": "parse error"}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (json.dumps(PARTIAL).encode(), "partial result: a shard is down"),
        (json.dumps(REFUSED).encode(), "parse error"),
        (b"<html>", "answered 200"),
        (
            b'{"status":"success","data":{"resultType":"string","result":[1,"x"]}}',
            "returned a string",
        ),
        (b'{"status":"success","data":{"resultType":"vector","result":[{}]}}', "returned a vector"),
    ],
)
def test_an_answer_that_is_none_is_told_and_counts_nothing(
    prometheus: Prometheus, said: bytes, says: str
) -> None:
    """A partial one too: no data is never good news."""
    prometheus.say = lambda what, given: said
    with pytest.raises(HarnessError, match=says):
        prometheus.counts(Indicator("ratio", bad="x[{{.window}}]"))


def test_a_backend_that_is_busy_is_asked_again(prometheus: Prometheus) -> None:
    """Twice, with a pause; the token comes along each time and stands in no error."""
    prometheus.receiver.plan = [503, 429]
    prometheus.say = lambda what, given: vector(0.5)
    assert prometheus.counts(Indicator("ratio", bad="x"))[300].total == PARTS
    assert prometheus.paused == [0.3, 1.0]
    headers = {headers["authorization"] for _, headers, _ in prometheus.receiver.requests}
    assert headers == {"Bearer s3cret"}
    prometheus.receiver.plan = [503, 503, 503]
    with pytest.raises(HarnessError) as failed:
        prometheus.counts(Indicator("ratio", bad="x"), now=NOW + 10_000)
    assert "s3cret" not in str(failed.value)


def test_what_came_in_a_gap_is_spread_over_it(prometheus: Prometheus) -> None:
    """After forty minutes without a look; short windows hold what came after it alone."""
    counted = {"now": 100.0}

    def say(what: str, given: dict[str, str]) -> Any:
        if what == "query":
            return [] if "500" in given["query"] else vector(counted["now"])
        return []

    prometheus.say = say
    prometheus.counts(COUNTER)
    counted["now"] = 500.0
    later = NOW + 2_400_000
    assert set(prometheus.counts(COUNTER, 300, 1_800, 3_600, now=later)) == {1_800}
    counted["now"] = 505.0
    found = prometheus.counts(COUNTER, 300, 1_800, 2_400, 3_600, now=later + 10_000)
    assert (found[300].total, found[1_800].total, found[3_600].total) == (5, 5, 405)
    assert 390 <= found[2_400].total <= 405


def test_history_that_cannot_be_read_leaves_nobody_unwatched(prometheus: Prometheus) -> None:
    """A backend that has no time for thirty days has it for now: the third reading goes on."""

    def say(what: str, given: dict[str, str]) -> Any:
        return json.dumps(REFUSED).encode() if what == "query_range" else vector(float(counted))

    prometheus.say, counted = say, 100
    for number in range(2):
        with pytest.raises(HarnessError):
            prometheus.counts(COUNTER, now=NOW + 10_000 * number)
    assert prometheus.counts(COUNTER, now=NOW + 20_000)[300].total == 0
    counted = 107
    assert prometheus.counts(COUNTER, now=NOW + 30_000)[300].total == 7


def test_a_lifetime_is_no_increment(prometheus: Prometheus) -> None:
    """A process that was relabelled brings nothing along; one that began just now does."""
    looks = iter(
        [
            {"requests": vector(1_000), "bad": vector(10)},
            {"requests": vector(1_100), "bad": vector(10)},
            {
                "requests": [*vector(1_100), *_of("b", 980_000)],
                "bad": [*vector(10), *_of("b", 20_000)],
            },
            {"requests": [*vector(1_200), *_of("b", 980_050)], "bad": _of("b", 20_007)},
            {"requests": [*_of("b", 980_050), *_of("young", 70_000)], "bad": _of("young", 9)},
        ]
    )
    now: dict[str, Any] = {}
    began = {"b": NOW / 1_000 - 9e6, "young": NOW / 1_000 + 35}

    def say(what: str, given: dict[str, str]) -> Any:
        if what == "query_range":
            return []
        if given["query"].startswith("process_start"):
            name = next(one for one in began if f'"{one}"' in given["query"])
            return [{"metric": {}, "value": [0, str(began[name])]}]
        return now["bad" if "500" in given["query"] else "requests"]

    prometheus.say = say
    totals: list[tuple[int, int]] = []
    for number, one in enumerate(looks):
        now = one
        counts = prometheus.counts(COUNTER, 3_600, now=NOW + 10_000 * number)[3_600]
        totals.append((counts.bad, counts.total))
    assert totals == [(0, 0), (0, 100), (0, 100), (7, 250), (16, 70_250)]


def _of(instance: str, value: float) -> list[dict[str, Any]]:
    """A series of one process."""
    return vector(value, instance=instance, job="web")


# --- a file -------------------------------------------------------------------------------------


def test_a_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    """A line that is still being written waits; a file that the file got shorter is told."""
    file = tmp_path / "counts.jsonl"
    at = NOW // 1_000
    file.write_text(f'{{"at": {at}, "good": 9, "total": 10}}\n{{"at": {at + 10}, "go')
    metrics, objective = FileMetrics(FileOptions(str(file))), slo(Indicator("counter"))
    assert metrics.counts(objective, (300,), NOW)[300] == Counts(9, 10)
    with file.open("a") as more:
        more.write('od": 9, "total": 15}\n')
    assert metrics.counts(objective, (300,), NOW + 10_000)[300] == Counts(9, 15)
    file.write_text("")
    with pytest.raises(HarnessError, match="the file got shorter"):
        metrics.counts(objective, (300,), NOW + 20_000)
    file.unlink()
    with pytest.raises(HarnessError, match="cannot be read"):
        metrics.counts(objective, (300,), NOW + 30_000)


# --- pushed -------------------------------------------------------------------------------------


def test_slices_count_instead_of_events() -> None:
    """A minute is good when enough of its events were; one without events is none."""
    objective = slo(Indicator("delta", slice_s=60, slice_target="9/10"))
    metrics = PushedMetrics({objective.id: objective})
    minute = 60_000
    for number, good in ((0, 10), (1, 8), (3, 9)):
        metrics.take([Bucket(objective.id, NOW + number * minute + 10_000, good, 10)])
    assert metrics.counts(objective, (3_600,), NOW + 10 * minute)[3_600] == Counts(2, 3)


def test_no_push_is_too_large_for_the_sums(tmp_path: Path) -> None:
    """Whatever a sender says, the next push is counted and the journal starts again."""
    objective = slo(Indicator("delta", source="app"))
    metrics = PushedMetrics({objective.id: objective})
    store = SqliteStore.own(tmp_path / "journal.db")
    handler = Handler(store, Rules(slos={objective.id: objective}), lambda: NOW, metrics.take)

    def push(*items: object) -> int:
        taken = metrics.parse(msgspec.json.encode(items), NOW)
        handler.handle([Envelope("", SliCounted("app", taken.buckets), taken.rejected)])
        return len(taken.rejected)

    assert push({"slo": objective.id, "good": 2**53, "total": 2**53}) == 1
    most = {"slo": objective.id, "good": 10**12, "total": 10**12}
    assert push(*[most] * 3_000) == 0
    assert push({"slo": objective.id, "good": 0, "total": 1}) == 0
    anew = PushedMetrics({objective.id: objective})
    anew.remember(store, NOW)
    assert anew.counts(objective, (3_600,), NOW)[3_600] == Counts(10**15, 10**15)
    metrics.take([Bucket(objective.id, NOW, 10**18, 10**18)] * 9)
    assert metrics.counts(objective, (3_600,), NOW)[3_600].total < 2**62
    store.close()


@pytest.mark.parametrize("times", [1, 1_000, 1_000_000, 1_000_000_000])
def test_a_push_is_of_its_moment_in_whichever_unit(times: int) -> None:
    """Seconds to nanoseconds, as a number and in digits; what is no moment is refused alone."""
    objective = slo(Indicator("delta", source="app"))
    metrics = PushedMetrics({objective.id: objective})
    at = (NOW // 1_000 - 60) * times
    items = [{"slo": objective.id, "good": 1, "total": 1, "at": one} for one in (at, str(at))]
    taken = metrics.parse(msgspec.json.encode(items), NOW)
    assert len({one.at for one in taken.buckets}) == 1
    assert 0 <= taken.buckets[0].at - (NOW - 61_000) <= 11_000
    bad = json.dumps([{**items[0], "at": one} for one in (10**400, -1, True, "NaN", "9" * 400)])
    refused = metrics.parse(bad.encode(), NOW)
    assert (refused.buckets, len(refused.rejected)) == ((), 5)


# --- how it knows us, and we it ---

MAIN = """
escalation: {{steps: [{{to: ada}}]}}
metrics:
  prom:
    {{type: prometheus, url: "{url}", username: midwatch, password_env: PROM_PW, tls_ca: "{ca}"}}
"""


@pytest.fixture
def own_ca(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody but itself vouches for; its key is beside it."""
    need("openssl")
    file = tmp_path / "own.crt"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=prometheus -addext subjectAltName=IP:127.0.0.1"
    )
    names = ["-keyout", str(file.with_suffix(".key")), "-out", str(file)]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return file


@pytest.fixture
def secure(own_ca: Path) -> Iterator[Prometheus]:
    """A backend that speaks https with that certificate."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own_ca, own_ca.with_suffix(".key"))
    with Receiver(tls=tls) as receiver:
        yield Prometheus(receiver)


def test_a_password_and_a_ca_of_ones_own_are_used(
    secure: Prometheus, own_ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the config names them: the counts come, and each request carries the password."""
    monkeypatch.setenv("PROM_PW", "s3:cret")
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "midwatch.yaml").write_text(MAIN.format(url=secure.receiver.url, ca=own_ca), "utf-8")
    read = config.load(folder)
    (metrics,) = build_metrics(read, read.rules).values()
    given = Indicator("windowed", bad="bad[{{.window}}]", total="all[{{.window}}]")
    secure.say = lambda what, asked: [
        {"metric": {"midwatch": f"{part}/300"}, "value": [NOW / 1_000, value]}
        for part, value in (("bad", "2"), ("total", "40"))
    ]
    assert metrics.counts(slo(given), (300,), NOW) == {300: Counts(38, 40)}
    expected = "Basic " + base64.b64encode(b"midwatch:s3:cret").decode()
    assert {headers["authorization"] for _, headers, _ in secure.receiver.requests} == {expected}


def test_a_certificate_that_nobody_vouches_for_gets_no_password(secure: Prometheus) -> None:
    """Without the CA nothing is sent at all."""
    with pytest.raises(HarnessError, match="certificate verify failed"):
        secure.counts(COUNTER)
    assert secure.receiver.requests == []


def test_headers_parameters_and_a_client_certificate_go_with_each_query(
    own_ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant of Mimir, Thanos' deduplication, and a backend that asks who we are."""
    monkeypatch.setenv("MIMIR_KEY", "k3y")
    key = own_ca.with_suffix(".key")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own_ca, key)
    tls.load_verify_locations(own_ca)
    tls.verify_mode = ssl.CERT_REQUIRED
    folder = tmp_path / "config"
    folder.mkdir()
    text = """
escalation: {{steps: [{{to: ada}}]}}
metrics:
  prom:
    type: prometheus
    url: "{url}"
    headers: {{X-Scope-OrgID: team-a}}
    headers_env: {{X-Api-Key: MIMIR_KEY}}
    params: {{dedup: true, partial_response: "false"}}
    tls_ca: "{ca}"
    tls_cert: "{ca}"
    tls_key: "{key}"
"""
    with Receiver(tls=tls) as receiver:
        backend = Prometheus(receiver)
        (folder / "midwatch.yaml").write_text(
            text.format(url=receiver.url, ca=own_ca, key=key), "utf-8"
        )
        read = config.load(folder)
        (metrics,) = build_metrics(read, read.rules).values()
        seen: list[dict[str, str]] = []

        def say(what: str, given: dict[str, str]) -> Any:
            seen.append(given)
            return []

        backend.say = say
        metrics.counts(
            slo(Indicator("windowed", bad="b[{{.window}}]", total="a[{{.window}}]")), (300,), NOW
        )
        (_, headers, _) = receiver.requests[0]
    assert (headers["x-scope-orgid"], headers["x-api-key"]) == ("team-a", "k3y")
    assert (seen[0]["dedup"], seen[0]["partial_response"]) == ("true", "false")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("headers: {Authorization: x}", "the header 'Authorization' cannot be set"),
        ("headers: {'X Y': x}", "the header 'X Y' cannot be set"),
        ('headers: {X-A: "a\\nb"}', "a header is printable ASCII"),
        ("headers: {X-A: x}, headers_env: {x-a: Y}", "x-a is in headers too"),
        ("params: {query: up}", "midwatch sets this parameter itself"),
        ("tls_cert: own.crt", "tls_cert and tls_key belong together"),
    ],
)
def test_a_header_or_parameter_that_cannot_be_sent_has_its_line(
    more: str, says: str, tmp_path: Path
) -> None:
    """Before the first query."""
    url = "http://127.0.0.1:9090"
    main = f"metrics:\n  prom: {{type: prometheus, url: '{url}', {more}}}\n"
    (tmp_path / "midwatch.yaml").write_text(main, "utf-8")
    errors = [str(one) for one in config.check(tmp_path)[1]]
    assert any(says in one and "midwatch.yaml:2" in one for one in errors), errors


def test_a_remark_of_prometheus_is_no_warning(prometheus: Prometheus) -> None:
    """2.48 to 2.53 put remarks among warnings; a partial answer is refused as before."""
    data = {"resultType": "vector", "result": vector(7)}
    says = ["PromQL info: metric might not be a counter, name does not end in _total"]
    whole = {"status": "success", "data": data, "warnings": says}
    prometheus.say = lambda what, given: json.dumps(whole).encode()
    prometheus.counts(COUNTER)
    whole["warnings"] = [*says, "no store matched"]
    with pytest.raises(HarnessError, match=r"partial result: no store matched$"):
        prometheus.counts(COUNTER, now=NOW + 10_000)


def test_failures_that_another_exporter_counts_are_counted_from_the_first(
    prometheus: Prometheus,
) -> None:
    """It is scraped before what counts all requests: three failed, of none that came yet."""
    now: dict[str, Any] = {}

    def say(what: str, given: dict[str, str]) -> Any:
        return [] if what == "query_range" else now["bad" if "500" in given["query"] else "all"]

    prometheus.say = say
    found: list[Counts] = []
    for number, (bad, total) in enumerate([(0, 1_000), (0, 1_100), (3, 1_100), (3, 1_200)]):
        now = {"bad": vector(bad) if bad else [], "all": vector(total)}
        found.append(prometheus.counts(COUNTER, 3_600, now=NOW + 10_000 * number)[3_600])
    assert found[-1] == Counts(197, 200)
