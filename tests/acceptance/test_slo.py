"""Objectives as their users meet them: commands, pushes, a real Prometheus, and a page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Answer, Serving, midwatch, reconfigure, until
from tests.servers import free_port, need, running

EXAMPLES = Path(__file__).parents[2] / "examples" / "slos"
START = 1_764_000_000
PUSHED = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: shop
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {spec: {evaluation: correctness}}}
        total: {metricSource: {spec: {evaluation: correctness}}}
  objectives: [{target: 0.99}]
"""
CONFIG = """
service_labels: [service]
sources: {alertmanager: {type: alertmanager}}
metrics: {judge: {type: pushed}}
escalation: {steps: [{to: ada}]}
"""


def counts(folder: Path, lines: list[tuple[int, int, int]]) -> str:
    """Write recorded counts: (minutes after the start, good, total)."""
    file = folder / "counts.jsonl"
    rows = [{"at": START + 60 * m, "good": good, "total": total} for m, good, total in lines]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(file)


def burning(minutes: int = 200, bad_from: int = 120) -> list[tuple[int, int, int]]:
    """A hundred requests a minute, a fifth of them bad from a minute on."""
    return [(m, 100 * m - 20 * max(m - bad_from, 0), 100 * m) for m in range(minutes)]


# --- explain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["availability.yaml", "sloth.yaml"])
def test_recorded_counts_are_explained(spec: str, tmp_path: Path) -> None:
    """An OpenSLO and a Sloth file: what fired when, on which counts, and why."""
    told = midwatch(
        "slo",
        "explain",
        str(EXAMPLES / spec),
        "--counts",
        counts(tmp_path, burning()),
        "--json",
        cwd=tmp_path,
    )
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["paged"] is True
    assert {"tier", "urgency", "at"} == set(found["fired"][0])
    assert {"PageQuick", "PageSlow"} <= {one["tier"] for one in found["fired"]}
    hour = next(one for one in found["windows"] if one["window_s"] == 3_600)
    assert (hour["bad"], hour["total"]) == (1_200, 6_000)
    quick = found["tiers"][0]
    assert quick["standing"] == "fires"
    assert quick["chance"] < 1e-4


def test_what_is_held_back_is_told_with_its_counts(tmp_path: Path) -> None:
    """One bad request of sixty an hour, which plain rules page for."""
    lines = [(m, m - (m >= 170), m) for m in range(172)]
    spec = str(EXAMPLES / "availability.yaml")
    file = counts(tmp_path, lines)
    told = midwatch("slo", "explain", spec, "--counts", file, cwd=tmp_path)
    assert told.returncode == 0
    assert "does not page" in told.stdout
    assert "held back: 1 bad of 60 in 60 min comes by chance once in" in told.stdout
    plain = midwatch("slo", "explain", spec, "--counts", file, "--proof", "off", cwd=tmp_path)
    assert "  pages" in plain.stdout


def test_a_moment_in_the_middle_knows_nothing_of_later(tmp_path: Path) -> None:
    """Up to the time that is asked for, given as seconds or in RFC 3339."""
    spec, file = str(EXAMPLES / "sloth.yaml"), counts(tmp_path, burning())
    for at in (str(START + 60 * 119), "2025-11-24T17:59:00Z"):
        told = midwatch(
            "slo", "explain", spec, "--counts", file, "--at", at, "--json", cwd=tmp_path
        )
        found = json.loads(told.stdout)
        assert (found["paged"], found["fired"]) == (False, [])
        assert found["at"] == "2025-11-24T17:59:00.000Z"


def test_a_burn_that_ends_is_cleared(tmp_path: Path) -> None:
    """The short window sees it first."""
    lines = burning(150)
    _, good, total = lines[-1]
    lines += [(m, good + 100 * (m - 149), total + 100 * (m - 149)) for m in range(150, 400)]
    told = midwatch(
        "slo",
        "explain",
        str(EXAMPLES / "sloth.yaml"),
        "--counts",
        counts(tmp_path, lines),
        "--json",
        cwd=tmp_path,
    )
    found = json.loads(told.stdout)
    assert found["cleared"][0]["tier"] == "PageQuick"
    assert found["paged"] is True


def test_counts_that_start_late_count_whole_and_say_so(tmp_path: Path) -> None:
    """A series first seen bad counts."""
    told = midwatch(
        "slo",
        "explain",
        str(EXAMPLES / "sloth.yaml"),
        "--counts",
        counts(tmp_path, [(0, 0, 50)]),
        "--json",
        cwd=tmp_path,
    )
    found = json.loads(told.stdout)
    assert found["paged"] is True
    assert "the first line already has 50 events" in found["notes"][0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}", "counts.jsonl:1: not a valid count"),
        ('{"at": 1, "good": 3, "total": 2}', "counts.jsonl:1 good: 3 good of 2"),
        ('{"at": "now", "good": 1, "total": 2}', "counts.jsonl:1: not a valid count"),
        ("\x00", "counts.jsonl:1: not a valid count"),
        ('{"at": 9, "good": 1, "total": 2}\n{"at": 8, "good": 1, "total": 2}', "jsonl:2: older"),
    ],
)
def test_wrong_counts_are_told_with_their_line(line: str, says: str, tmp_path: Path) -> None:
    """Exit 2, one line, and what to write."""
    (tmp_path / "counts.jsonl").write_text(line + "\n", "utf-8")
    told = midwatch(
        "slo", "explain", str(EXAMPLES / "sloth.yaml"), "--counts", "counts.jsonl", cwd=tmp_path
    )
    assert told.returncode == 2
    assert says in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_a_file_of_several_asks_which(tmp_path: Path) -> None:
    """With the names that there are; a wrong spec exits 2."""
    two = (EXAMPLES / "sloth.yaml").read_text().replace("name: requests", "name: other")
    both = (EXAMPLES / "sloth.yaml").read_text() + "---\n" + two
    (tmp_path / "two.yaml").write_text(both, "utf-8")
    file = counts(tmp_path, burning())
    told = midwatch("slo", "explain", "two.yaml", "--counts", file, cwd=tmp_path)
    assert told.returncode == 2
    assert "support-agent/requests, support-agent/other" in told.stderr
    named = midwatch("slo", "explain", "two.yaml", "--slo", "other", "--counts", file, cwd=tmp_path)
    assert named.stdout.startswith("support-agent/other")


def test_a_fresh_config_can_be_asked_how_it_stands(tmp_path: Path) -> None:
    """Without a server and without a journal, which is not made by asking either."""
    assert midwatch("init", cwd=tmp_path).returncode == 0
    for verb in ("status", "budget"):
        done = midwatch("slo", verb, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "shop/availability" in done.stdout
    assert not list((tmp_path / "midwatch").glob("*.db*"))
    assert midwatch("incidents", "ack", "INC-1", cwd=tmp_path).returncode == 2


def test_rules_are_what_promtool_accepts(tmp_path: Path) -> None:
    """Of each format."""
    import subprocess

    for name in ("availability.yaml", "latency.yaml", "sloth.yaml", "pyrra.yaml"):
        told = midwatch("slo", "rules", str(EXAMPLES / name), cwd=tmp_path)
        assert told.returncode == 0
        (tmp_path / "rules.yaml").write_text(told.stdout, "utf-8")
        check = [need("promtool"), "check", "rules", "rules.yaml"]
        done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_error_of_a_spec_is_printed(tmp_path: Path) -> None:
    """With its line, and exit code 2: whoever mends a file mends it once."""
    wrong = (EXAMPLES / "sloth.yaml").read_text("utf-8").replace("objective:", "objectiv:")
    (tmp_path / "wrong.yaml").write_text(wrong.replace("sum(rate(", "sum by (x) (rate("), "utf-8")
    for verb in ("rules", "explain"):
        told = midwatch("slo", verb, "wrong.yaml", cwd=tmp_path)
        assert told.returncode == 2
        lines = told.stderr.splitlines()
        assert any("objectiv: unknown key; did you mean objective?" in one for one in lines)
        assert any("keeps the groups of x apart" in one for one in lines)
        assert all(one.startswith("error: wrong.yaml:") for one in lines)


# --- pushed -------------------------------------------------------------------------------------


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server with one objective whose answers are judged elsewhere, not started."""
    serving = Serving(tmp_path)
    reconfigure(tmp_path / "midwatch", CONFIG)
    (tmp_path / "midwatch" / "slos" / "answers.yaml").write_text(PUSHED, "utf-8")
    serving.judge = serving.token("--source", "judge")
    yield serving
    serving.stop()


def judged(number: int, label: str) -> dict[str, Any]:
    """One answer, as OpenTelemetry's GenAI conventions tell of it."""
    return {
        "name": "gen_ai.evaluation.result",
        "attributes": {
            "gen_ai.evaluation.name": "correctness",
            "gen_ai.evaluation.score.label": label,
            "gen_ai.response.id": f"resp-{number}",
            "gen_ai.evaluation.explanation": "names the wrong policy",
        },
    }


def push(serving: Serving, items: Any, key: str = "") -> Answer:
    """Push what a judge says."""
    extra = {"Idempotency-Key": key} if key else {}
    body = json.dumps(items).encode()
    return serving.ask("POST", "/intake/judge", body, token=serving.judge, **extra)


def standing(serving: Serving) -> dict[str, Any]:
    """How the objective stands."""
    (found,) = serving.ask("GET", "/api/v1/slos", token=serving.person).document
    return found


def test_judged_answers_that_burn_page_with_the_ids_of_those_that_failed(serving: Serving) -> None:
    """What was taken is on disk: after a kill it still counts, and the page names the answers."""
    serving.start()
    items = [judged(n, "pass" if n % 5 else "fail") for n in range(100)]
    assert push(serving, items).document == {
        "accepted": 100,
        "rejected": 0,
        "duplicate": False,
        "status": "success",
        "message": "committed",
    }
    serving.kill()
    serving.start()
    until(lambda: standing(serving)["state"] == "burning")
    detail = serving.ask("GET", "/api/v1/incidents/INC-1", token=serving.person).document
    assert "resp-95" in [one["id"] for one in detail["failures"]]
    assert detail["incident"]["severity"] == "sev1"
    until(lambda: "PAGE sev1 INC-1" in serving.out.read_text())
    assert "; failed: resp-" in serving.out.read_text(), serving.out.read_text()
    where = ("--server", serving.url, "--token", serving.person)
    assert "burning" in serving.type("slo", "status", *where).stdout
    whole = serving.type("slo", "status", "--slo", "answers", *where).stdout
    assert "by chance" in whole
    assert "PageQuick" in whole
    assert "budget: " in whole
    assert "that the events seen in" in serving.type("slo", "budget", *where).stdout


def test_the_same_push_again_counts_once(serving: Serving) -> None:
    """By the sender's own key; without one every push is news."""
    serving.start()
    counted = {"slo": "shop/answers", "good": 9, "total": 10}
    assert push(serving, counted, key="a").document["duplicate"] is False
    assert push(serving, counted, key="a").document["duplicate"] is True
    assert push(serving, counted).document["duplicate"] is False
    serving.stop()
    found = json.loads(serving.type("slo", "status", "--json").stdout)
    windows = {one["window_s"]: one["total"] for one in found[0]["objective"]["windows"]}
    assert windows[3_600] == 20


BAD = [
    ({"slo": "shop/other", "good": 1, "total": 1}, "no SLO of this source"),
    ({"slo": "shop/answers", "good": 2, "total": 1}, "2 good of 1"),
    ({"slo": "shop/answers", "good": 1, "total": 1, "at": 1}, "is not within 2000 and 2100"),
    ({"slo": "shop/answers", "good": 1, "total": 1, "at": 1_700_000_000}, "older than 10 min"),
    ({"slo": "shop/answers", "good": 1, "total": 1, "at": 4e9}, "in the future"),
    ({"slo": "shop/answers", "good": -1, "total": 1}, "Expected `int` >= 0"),
    ({"name": "gen_ai.other"}, "only gen_ai.evaluation.result is accepted"),
]


def test_bad_items_cost_none_of_their_neighbours(serving: Serving) -> None:
    """Each is kept as it came, with the reason."""
    serving.start()
    answer = push(serving, [judged(1, "pass"), *(item for item, _ in BAD), judged(2, "fail")])
    assert (answer.document["accepted"], answer.document["rejected"]) == (2, len(BAD))
    letters = serving.ask("GET", "/api/v1/alerts/rejected", token=serving.person).document
    for letter, (_, why) in zip(letters, BAD, strict=True):
        assert why in letter["why"]


def test_a_push_that_is_no_json_is_400(serving: Serving) -> None:
    """With the position."""
    serving.start()
    answer = serving.ask("POST", "/intake/judge", b"{nope", token=serving.judge)
    assert answer.status == 400


# --- a real Prometheus --------------------------------------------------------------------------


class Exporter:
    """A service that counts its requests."""

    def __init__(self) -> None:
        self.good, self.bad = 0, 0
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.good += 20
                lines = [f'requests_total{{code="200"}} {exporter.good}']
                # A series that appears with its first bad event, as client libraries make them.
                lines += [f'requests_total{{code="500"}} {exporter.bad}'] if exporter.bad else []
                body = ("\n".join(lines) + "\n").encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.slow
def test_a_burn_that_prometheus_scraped_pages(serving: Serving, tmp_path: Path) -> None:
    """A series that is first seen bad counts; the objective is read from its own DataSource."""
    exporter, port = Exporter(), free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n"
        f"  - {{job_name: shop, static_configs: [{{targets: ['127.0.0.1:"
        f"{exporter.server.server_port}']}}]}}\n"
    )
    text = (EXAMPLES / "availability.yaml").read_text()
    text = text.replace("http://localhost:9090", f"http://127.0.0.1:{port}")
    text = text.replace('service="support-agent",', "").replace('{service="support-agent"}', "")
    text = text.replace("http_requests_total", "requests_total").replace("support-agent", "shop")
    (tmp_path / "midwatch" / "slos" / "availability.yaml").write_text(text, "utf-8")
    (tmp_path / "midwatch" / "slos" / "answers.yaml").unlink()
    command = [
        need("prometheus"),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, f"http://127.0.0.1:{port}/-/ready", tmp_path / "log"):
        serving.start()
        until(lambda: standing(serving)["state"] in ("calm", "no data") and exporter.good > 100, 40)
        exporter.bad = 500
        until(lambda: standing(serving)["state"] == "burning", 90)
        now = midwatch("slo", "explain", "midwatch/slos/availability.yaml", cwd=tmp_path)
        assert now.returncode == 0, now.stderr
        assert now.stdout.startswith("shop/availability: 99.9%")
    until(lambda: "PAGE sev1 INC-1" in serving.out.read_text())
    exporter.server.shutdown()
    exporter.server.server_close()
