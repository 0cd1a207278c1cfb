"""`midwatch correlate` and `midwatch check`, as they are typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from midwatch.drill import scenarios
from midwatch.drill.storm import Storm

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
FIXTURES = Path(__file__).parents[1] / "fixtures" / "alertmanager"
DELIVERIES = scenarios.folder() / "recorded-alertmanager" / "deliveries"


def midwatch(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Type a command."""
    return subprocess.run(
        [MIDWATCH, *args], capture_output=True, check=False, input=stdin, timeout=60
    )


def correlate(stdin: bytes) -> list[dict[str, object]]:
    """Run it; gives the lines."""
    done = midwatch("correlate", stdin=stdin)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def storm_lines() -> tuple[bytes, list[str]]:
    """The alerts of the drill's storm as JSON lines, shuffled, and the true cause of each."""
    storm = Storm(scenarios.load(scenarios.find("shift")), 0)
    alerts = [a for d in storm.deliveries for a in json.loads(d.body)["alerts"]]
    firing = [a for a in alerts if a["status"] == "firing"]
    firing.sort(key=lambda a: a["annotations"]["summary"][::-1])
    causes = [storm.cause_of(a["labels"]["service"], a["labels"]["alertname"]) for a in firing]
    return b"\n".join(json.dumps(a).encode() for a in firing), causes


def test_one_line_for_each_alert_in_order() -> None:
    """Incident, causes and why; the line's alert is the input's."""
    text, causes = storm_lines()
    rows = correlate(text)
    assert len(rows) == len(causes) == 40
    for row in rows:
        assert set(row) == {"incident", "causes", "why", "pages"}
        assert row["incident"]
        assert row["causes"]
        why = row["why"]
        assert isinstance(why, dict)
        assert why["rule"] == "correlation/3"
        assert why["says"]


def test_without_a_call_graph_it_says_so() -> None:
    """Grouping by time alone is admitted in the reason."""
    text, _ = storm_lines()
    rows = correlate(text.replace(b'"warning"', b'"critical"').replace(b'"namespace"', b'"team"'))
    assert any("not in the dependency graph: time only" in json.dumps(row["why"]) for row in rows)


def test_the_three_forms_say_the_same() -> None:
    """JSON lines, an array and a webhook with the same alerts give the same answer."""
    text, _ = storm_lines()
    alerts = [json.loads(line) for line in text.splitlines()]
    array = json.dumps(alerts, indent=1).encode()
    webhook = json.dumps({"version": "4", "alerts": alerts}, indent=1).encode()
    assert correlate(text) == correlate(array) == correlate(webhook)


def test_a_recorded_api_answer_is_read() -> None:
    """GET /api/v2/alerts has `status.state`, and an end in the future that is no end."""
    rows = correlate((FIXTURES / "alertmanager-api-v2-alerts.json").read_bytes())
    assert [row["incident"] for row in rows] == ["INC-1", "INC-1"]


@pytest.mark.parametrize("number", range(1, 6))
def test_recorded_webhooks_are_read(number: int) -> None:
    """Each recorded delivery; one whose alert only resolves opens nothing."""
    body = (DELIVERIES / f"000{number}-webhook.json").read_bytes()
    rows = correlate(body)
    assert len(rows) == len(json.loads(body)["alerts"])
    if number == 5:
        assert rows[0]["incident"] == ""


def test_a_storm_after_a_resolved_one_is_a_new_incident() -> None:
    """A resolved alert is news at its end; what fires hours later joins nothing."""

    def alert(minute: int, status: str, end: str = "") -> dict[str, object]:
        labels = {"alertname": "Slow", "service": "shop", "n": str(minute)}
        at = f"2026-01-01T{minute // 60:02d}:{minute % 60:02d}:00Z"
        return {"status": status, "labels": labels, "startsAt": at, "endsAt": end}

    first, later = alert(0, "firing"), alert(600, "firing")
    over = alert(0, "resolved", "2026-01-01T00:30:00Z")
    rows = correlate(json.dumps([first, over, later]).encode())
    assert [row["incident"] for row in rows] == ["INC-1", "INC-1", "INC-2"]
    rows = correlate(json.dumps([first, later]).encode())  # it still fires, on the same service
    assert [row["incident"] for row in rows] == ["INC-1", "INC-1"]


def test_the_summary_reads_like_a_sentence() -> None:
    """The counts first, then each incident with services, cause and why; ASCII."""
    text, _ = storm_lines()
    out = midwatch("correlate", "--summary", stdin=text).stdout.decode("ascii")
    head = re.match(r"40 alerts -> (\d+) incidents?, \d+ pages?\n", out)
    assert head
    assert len(re.findall(r"(?m)^  INC-\d+: \d+ alerts? on .*; cause ", out)) == int(head[1])
    total = sum(int(n) for n in re.findall(r"(?m)^  INC-\d+: (\d+) alerts?\b", out))
    assert total == 40


def test_reports_of_one_alert_are_one_alert() -> None:
    """As many as a server says, however often it was repeated and whether it resolved."""
    text = b"".join(file.read_bytes() for file in sorted(DELIVERIES.glob("*-webhook.json")))
    out = midwatch("correlate", "--summary", stdin=text).stdout.decode()
    assert out.startswith(
        "2 alerts in 6 reports -> 1 incident, 1 page\n  INC-1: 2 alerts on chat-api;"
    )
    assert "\n    chat-api: in trouble\n" in out
    one = alert_of(service="shop")
    out = midwatch("correlate", "--summary", stdin=json.dumps([one]).encode()).stdout.decode()
    assert out.startswith("1 alert -> 1 incident, 0 pages\n  INC-1: 1 alert on shop; cause shop; ")
    gone = {**one, "status": "resolved", "endsAt": "2026-01-01T00:09:00Z"}
    out = midwatch("correlate", "--summary", stdin=json.dumps([gone]).encode()).stdout.decode()
    assert out == "1 alert -> 0 incidents, 0 pages\n  1 resolved alert was never seen firing\n"


def alert_of(**labels: str) -> dict[str, object]:
    """An alert with these labels."""
    full = {"alertname": "Slow", "severity": "error", **labels}
    return {"labels": full, "startsAt": "2026-01-01T00:00:00Z"}


def test_alerts_that_name_no_service_say_which_labels_might(tmp_path: Path) -> None:
    """No empty name is printed; the labels that most share are named, and where to put them."""
    alerts = [alert_of(component=f"c{n % 3}", cluster="prod", pod=f"p{n}") for n in range(9)]
    alerts += [alert_of(service="chat-front", component="c1", odd="1")]
    stdin = json.dumps(alerts).encode()
    for where, last in (
        ((), "in midwatch.yaml, and give its folder with --config"),
        (("--config", str(tmp_path)), f"in {tmp_path}/midwatch.yaml"),
    ):
        (tmp_path / "midwatch.yaml").write_text("escalation: {steps: [{to: ada}]}\n", "utf-8")
        done = midwatch("correlate", "--summary", *where, stdin=stdin)
        assert done.returncode == 0, done.stderr
        out = done.stdout.decode()
        assert " on , " not in out
        assert " on chat-front, no service; cause" in out or " on no service; cause unknown;" in out
        assert "because" not in out
        assert out.splitlines()[-1] == (
            "9 of 10 alerts name no service; most have the labels cluster, component: list those"
            f" that name one under service_labels {last}"
        )
    rows = correlate(stdin)
    assert all("" not in row["causes"] for row in rows)  # type: ignore[operator]
    assert (
        "name no service"
        not in midwatch(
            "correlate", "--summary", stdin=json.dumps(alerts[9:]).encode()
        ).stdout.decode()
    )


def test_a_config_that_lies_there_and_is_not_read_is_said(tmp_path: Path) -> None:
    """Other commands read ./midwatch by themselves; this one only when it is told."""
    assert midwatch("init", str(tmp_path / "midwatch")).returncode == 0
    for where in ((), ("--config", "midwatch")):
        done = subprocess.run(
            [MIDWATCH, "correlate", "--summary", *where],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            timeout=60,
            input=json.dumps([alert_of(service="shop")]).encode(),
        )
        says = b"midwatch/midwatch.yaml was not read, because --config midwatch was not given"
        assert (says in done.stdout) == (not where)


def test_several_documents_may_stand_one_behind_the_other() -> None:
    """As `cat` gives several files: webhooks over many lines, arrays, single alerts."""
    one = {"labels": {"alertname": "Slow"}, "startsAt": "2026-01-01T00:00:00Z"}
    parts = (
        json.dumps({"version": "4", "alerts": [one, one]}, indent=2),
        json.dumps([one]),
        json.dumps(one, indent=1),
        json.dumps({**one, "labels": {"alerts": "3"}}),
        json.dumps([{"version": "4", "alerts": [one]}, one, {"version": "4", "alerts": []}]),
    )
    for between in ("", "\n", "\n\n "):
        done = midwatch("correlate", stdin=between.join(parts).encode())
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(b"\n") == 7
    done = midwatch("correlate", stdin="\n".join([parts[0], "oops"]).encode())
    assert done.returncode == 2
    assert f"<stdin>:{parts[0].count(chr(10)) + 2}: not a valid alert" in done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "<stdin>: no alerts found"),
        (b"hello", "<stdin>:1: not a valid alert"),
        (b'{"labels": {}}', "missing required field `startsAt`"),
        (b'{"labels": {"a": 1}, "startsAt": "2026-01-01T00:00:00Z"}', "Expected `str`, got `int`"),
        (b'{"labels": {}, "startsAt": "soon"}', "<stdin>:1: invalid time"),
        (b'{"labels": {}, "startsAt": "2026-01-01T00:00:00"}', "has no time zone"),
        (
            b'{"labels": {}, "startsAt": "2026-01-01T00:00:00Z"}\n{"x',
            "<stdin>:2: not a valid alert",
        ),
        (b'[{"labels": {}, "startsAt": "x"}]', "<stdin>: $[0]: invalid time"),
        (
            b'{"version": "3", "alerts": []}',
            "unsupported version '3'; only 4 is supported; send Alertmanager's",
        ),
        (b'[{"version": "3", "alerts": []}]', "<stdin>: $[0]: $.version: unsupported version '3'"),
        (b'[{"version": "4", "alerts": [{}]}]', "<stdin>: $[0]: $.alerts[0]"),
        (b'[[{"alerts": []}]]', "<stdin>: $[0]: not a valid alert"),
        (b'{"labels": {}, "startsAt": "2026-01-01T00:00:00Z", "status": "odd"}', "status 'odd'"),
        (b"\xff\xfe", "<stdin>:1: not a valid alert"),
        (b"[" * 100_000, "<stdin>"),
    ],
)
def test_wrong_alerts_are_one_line(text: bytes, says: str) -> None:
    """Place, what was expected, what to do; exit 2; nothing on stdout."""
    done = midwatch("correlate", stdin=text)
    err = done.stderr.decode()
    assert done.returncode == 2
    assert done.stdout == b""
    assert err.count("\n") == 1
    assert says in err


# --- check --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["shop", "recorded-alertmanager"])
def test_the_configs_that_come_with_it_are_right(name: str) -> None:
    """Exit 0 and a line of counts."""
    done = midwatch("check", str(scenarios.folder() / name))
    assert done.returncode == 0
    assert done.stdout.startswith(b"ok: ")


WRONG = {
    "midwatch.yaml": """\
escalation:
  steps:
    - {to: ada, delay: soon}
  repeat: many
sources:
  am: {type: alertmanagr}
tickets:
  categories:
    odd: {words: [a, b], service: shp, route: r}
colour: blue
""",
    "topology.yaml": """\
services:
  - {name: shop, tier: 0}
  - {name: shop}
edges:
  - [shop, cart]
  - [shop]
""",
    "slos/a.yaml": """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: shop
  timeWindow: [{duration: 30d}]
  objectives:
    - target: 99.9
""",
    "slos/b.yaml": "kind: [",
    "runbooks/a.md": "no front matter\n",
    "runbooks/b.md": """\
---
id: b
match: {slo: shop/answer}
steps:
  - {id: x, action: rm -rf}
---
text
""",
    "suites/shop.jsonl": '{"id": "a", "question": "q", "expect": "Yes"}\n{"id": "a"}\n',
}
FINDINGS = [
    "midwatch.yaml:3 escalation.steps[0].delay: got 'soon'; write a duration",
    "midwatch.yaml:4 escalation.repeat: got 'many'; write a whole number",
    "midwatch.yaml:6 sources.am.type: got 'alertmanagr'; write one of alertmanager",
    "midwatch.yaml:9 tickets.categories.odd.service: unknown service 'shp'; did you mean",
    "midwatch.yaml:10 colour: unknown key; use one of",
    "topology.yaml:2 services[0].tier: got 0; it must be at least 1",
    "topology.yaml:3 services[1]: 'shop' is listed twice",
    "topology.yaml:5 edges[0][1]: unknown service 'cart'",
    "topology.yaml:6 edges[1]: not an edge; write [caller, callee]",
    "slos/a.yaml:4 spec: the SLO has no indicator, so nothing measures it",
    "slos/a.yaml:8 spec.objectives[0].target: got 99.9; this is a fraction: write 0.999",
    "slos/b.yaml:",
    "runbooks/a.md:1: the front matter is missing",
    "runbooks/b.md:3 match.slo: unknown objective 'shop/answer'",
    "runbooks/b.md:5 steps[0].action: got 'rm -rf'; write one of release.rollback",
    "suites/shop.jsonl:2: not a valid case",
]


def test_check_reports_everything_in_one_go(tmp_path: Path) -> None:
    """Each error with file, line, key and remedy; exit 2."""
    for name, text in WRONG.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    done = midwatch("check", str(tmp_path))
    err = done.stderr.decode()
    assert done.returncode == 2
    for finding in FINDINGS:
        assert finding in err
    assert err.endswith(f"{len(FINDINGS)} errors\n"), err
    listed = json.loads(midwatch("check", str(tmp_path), "--json").stdout)
    assert listed["ok"] is False
    assert len(listed["errors"]) == len(FINDINGS)
    assert all(row["remedy"] for row in listed["errors"])


@pytest.mark.parametrize("key", ["sources", "metrics", "pagers"])
def test_what_two_parts_read_is_told_once(tmp_path: Path, key: str) -> None:
    """A key of another kind is one error, whoever looks at it."""
    (tmp_path / "midwatch.yaml").write_text(f"{key}: 5\n", "utf-8")
    done = midwatch("check", str(tmp_path))
    assert done.stderr.decode().count(f"midwatch.yaml:1 {key}: got 5; write a mapping") == 1


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("midwatch.yaml", "to: primary", "to: primry", "did you mean primary?"),
        ("midwatch.yaml", "to: primary", "to: [me, nobody]", "add it to schedules or to people"),
        ("midwatch.yaml", "  repeat: 1", "  last_resort: primry", "did you mean primary?"),
        ("topology.yaml", "tier: 1", "tier: 9", "services[0].tier: got 9; it must be at most 3"),
    ],
)
def test_a_slip_in_the_first_config_is_found(
    tmp_path: Path, file: str, old: str, new: str, says: str
) -> None:
    """Also where no people are named: then who is paged is a schedule, or stands in one."""
    assert midwatch("init", str(tmp_path)).returncode == 0
    text = (tmp_path / file).read_text("utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new), "utf-8")
    done = midwatch("check", str(tmp_path))
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 2), done.stderr
    assert says in done.stderr.decode()


@pytest.mark.parametrize("absolute", [True, False])
def test_a_place_is_a_path_that_can_be_opened(tmp_path: Path, absolute: bool) -> None:
    """Each begins with the directory as it was given, and the remedy fits how it was."""
    given = str(tmp_path / "conf") if absolute else "conf"

    def told(*args: str) -> str:
        done = subprocess.run(
            [MIDWATCH, *args], capture_output=True, check=False, cwd=tmp_path, text=True
        )
        assert done.returncode == 2
        return done.stderr

    says = (
        f"error: {given}/midwatch.yaml: not found; create it with midwatch init {given}, or choose"
    )
    assert f"{says} another directory\n" in told("check", given)
    assert f"{says} a directory with --config\n" in told("check", "--config", given)
    for name, text in {**WRONG, "suites/a.yaml": "cases: 7", "topology.json": "{"}.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text, "utf-8")
    places = [line.removeprefix("error: ") for line in told("check", given).splitlines()[:-1]]
    files = {re.split(r":\d|: ", place)[0] for place in places}
    assert files == {f"{given}/{name}" for name in (*WRONG, "suites/a.yaml", "topology.json")}
    (tmp_path / "conf" / "midwatch.db").write_text("no database")
    assert f"error: {given}/midwatch.db: not an SQLite database" in told(
        "db", "verify", f"{given}/midwatch.db"
    )


def test_what_cannot_be_read_is_not_told_again_by_what_needs_it(tmp_path: Path) -> None:
    """Metrics, people and actions stand in midwatch.yaml; a syntax error there is one error."""
    assert midwatch("init", str(tmp_path)).returncode == 0
    main = tmp_path / "midwatch.yaml"
    main.write_text(main.read_text("utf-8") + "sources: [\n", "utf-8")
    done = midwatch("check", str(tmp_path))
    assert done.stderr.decode().endswith("fix the syntax\n1 error\n"), done.stderr
    (tmp_path / "topology.yaml").write_text("services: 5\n", "utf-8")
    assert (
        b"topology.yaml:1 services: got 5; write a list\n2 errors"
        in midwatch("check", str(tmp_path)).stderr
    )


def test_check_looks_where_it_is_told(tmp_path: Path) -> None:
    """--config, MIDWATCH_CONFIG and ./midwatch are looked at, and a missing one is said."""
    env = {**os.environ, "MIDWATCH_CONFIG": str(scenarios.folder() / "shop")}
    done = subprocess.run([MIDWATCH, "check"], capture_output=True, check=False, env=env)
    assert done.returncode == 0
    env.pop("MIDWATCH_CONFIG")
    done = subprocess.run(
        [MIDWATCH, "check"], capture_output=True, check=False, env=env, cwd=tmp_path
    )
    assert done.returncode == 2
    assert b"midwatch/midwatch.yaml: not found" in done.stderr


def test_yaml_is_yaml_1_2(tmp_path: Path) -> None:
    """`Yes`, `1:30` and `012` stay what they are; a name may be `no`."""
    (tmp_path / "midwatch.yaml").write_text("escalation: {steps: [{to: Yes}]}\n", "utf-8")
    (tmp_path / "topology.yaml").write_text("services: [{name: no}, {name: '012'}]\n", "utf-8")
    assert midwatch("check", str(tmp_path)).returncode == 0


def test_call_graph_changes_and_config_decide_too(tmp_path: Path) -> None:
    """Nearness joins, the change stands first, and what config mutes is named; each file counts."""
    lines = [
        ("2026-11-24T02:00:00Z", {"alertname": "Slow", "service": "shop"}),
        ("2026-11-24T02:00:20Z", {"alertname": "Errors", "service": "cart"}),
        ("2026-11-24T02:00:20Z", {"alertname": "Disk", "service": "docs"}),
    ]
    stdin = b"\n".join(
        json.dumps({"labels": labels, "startsAt": at}).encode() for at, labels in lines
    )
    calls = tmp_path / "calls.json"
    calls.write_text('{"edges": [["shop", "cart"], ["docs", "search"]]}', "utf-8")
    told = tmp_path / "changes.jsonl"
    told.write_text(
        '{"at": "2026-11-24T01:58:00Z", "service": "cart", "kind": "config", "id": "c-7"}', "utf-8"
    )
    folder = tmp_path / "midwatch"
    assert midwatch("init", str(folder)).returncode == 0
    main = folder / "midwatch.yaml"
    rule = "inhibit: {slow: {source: ['alertname=Errors'], target: ['alertname=Disk']}}\n"
    main.write_text(main.read_text("utf-8") + rule, "utf-8")
    args = ["correlate", "--topology", str(calls), "--changes", str(told), "--config", str(folder)]
    rows = [json.loads(line) for line in midwatch(*args, stdin=stdin).stdout.splitlines()]
    assert [row["incident"] for row in rows] == ["INC-1", "INC-1", "INC-2"]
    assert rows[0]["causes"][0] == "cart"
    summary = midwatch(*args, "--summary", stdin=stdin).stdout.decode()
    assert "3 alerts -> 2 incidents" in summary
    assert "config c-7" in summary
    assert "1 muted: inhibited by slow" in summary
    assert "2026-11-24 02:00 UTC" in summary


@pytest.mark.parametrize(
    ("option", "text", "says"),
    [
        ("--topology", '{"edges": [["a"]]}', "calls.json"),
        ("--topology", "nothing", "calls.json"),
        ("--changes", '{"kind": "deploy"}', "calls.json:1"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, option: str, text: str, says: str) -> None:
    """With its place; nothing is grouped without it in silence."""
    (tmp_path / "calls.json").write_text(text, "utf-8")
    done = midwatch("correlate", option, str(tmp_path / "calls.json"), stdin=b"[]")
    assert done.returncode == 2
    assert says in done.stderr.decode()


def critical(service: str, second: int, **labels: str) -> dict[str, object]:
    """A critical alert that fires since a second of one hour."""
    at = f"2026-01-01T02:{second // 60:02d}:{second % 60:02d}Z"
    full = {"alertname": "Down", "service": service, "severity": "critical", **labels}
    return {"status": "firing", "labels": full, "startsAt": at}


def test_each_line_says_whether_a_phone_rings(tmp_path: Path) -> None:
    """Disks of one cluster ring once, a warning never, what is not connected after its time.

    An answer depends on its own and earlier lines alone.
    """
    graph = tmp_path / "calls.json"
    graph.write_text('{"edges": [["shop", "cart"], ["cart", "db"], ["mail", "queue"]]}', "utf-8")
    lines = [critical("db", 420 * n, disk=str(n)) for n in range(4)]
    lines.append(critical("queue", 900, severity="warning"))
    lines.append(critical("cart", 1_270))
    lines.append(critical("mail", 2_175))
    lines.append(
        {**critical("mail", 2_175), "status": "resolved", "endsAt": "2026-01-01T02:40:00Z"}
    )
    text = [json.dumps(one) for one in sorted(lines, key=lambda one: str(one["startsAt"]))]

    def rang(rows: list[str]) -> list[bool]:
        done = midwatch("correlate", "--topology", str(graph), stdin="\n".join(rows).encode())
        return [json.loads(line)["pages"] for line in done.stdout.splitlines()]

    whole = rang(text)
    assert [n for n, one in enumerate(whole) if one] == [0, 6]
    for cut in (2, 5, 7):
        assert rang(text[:cut]) == whole[:cut]
    out = midwatch("correlate", "--summary", stdin="\n".join(text).encode()).stdout.decode()
    assert re.match(r"7 alerts in 8 reports -> \d+ incidents?, 2 pages\n", out), out
