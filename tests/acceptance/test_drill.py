"""`midwatch drill`, as it is typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.acceptance.truth import untrue

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules import growth, news, patience
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.values import slo
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import SliReading
from midwatch.core.values.slo import Slo, Verify
from midwatch.core.values.verdicts import Verdict
from midwatch.drill import checkers, faults, fuzz, scenarios
from midwatch.drill.faults import Broken
from midwatch.drill.meddling import KINDS
from midwatch.drill.reports import Story
from midwatch.drill.shift import Shift
from midwatch.drill.world import Troubles

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
SEVEN = [name for name, _ in checkers.SEVEN]
SOAK_S = 3_600
DOCS = Path(__file__).parents[2] / "docs"

# The same table stands in docs/drill.md; the numbers are the checks that fail.
BREAKS = {
    "fix": [7],
    "correlation": [1, 2],
    "ticket": [2],
    "page": [3, 4, 5, 6, 7],
    "rollback": [5, 6],
    "regression-case": [6],
    "fix,regression-case": [6, 7],
    "router": [4, 5, 6, 7],
    "metrics": [2, 3, 4, 5, 6, 7],
}


def midwatch(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    return subprocess.run(
        [MIDWATCH, *args],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        env={**os.environ, **env},
        timeout=SOAK_S if os.environ.get("MIDWATCH_SOAK") else 120,
    )


def test_the_shift_tells_seven_sections_and_passes_seven_checks() -> None:
    """The lab's format, with the engine's numbers, exit 0."""
    done = midwatch("drill")
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.findall(r"(?m)^==== ([A-G])\. ", done.stdout) == list("ABCDEFG")
    assert "  40 alerts -> 5 incidents (page on causes, not symptoms)\n" in done.stdout
    assert "reason=fast burn 20x (budget gone in 35 h 20 min)\n" in done.stdout
    assert "  SLI was 80% against a 99% SLO\n" in done.stdout
    assert "  SLI recovered 80% -> 100%  (stop the bleeding first)\n" in done.stdout
    ends = "".join(f"  [PASS] {name}\n" for name in SEVEN)
    ends += "7/7 checks passed\nEVAL GATE: PASS (exit 0) - the whole shift behaved correctly\n"
    assert done.stdout.endswith(ends)
    assert "\n\n" not in done.stdout
    done.stdout.encode("ascii")


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_break_fails_exactly_its_checks(name: str, tmp_path: Path) -> None:
    """Each break fails the checks of the table and no other, exit 1; its postmortems are true."""
    done = midwatch("drill", "--break", name, "--db", str(tmp_path / "drill.db"))
    bad = [SEVEN.index(found) + 1 for found in re.findall(r"\[FAIL\] (.*)", done.stdout)]
    assert bad == BREAKS[name]
    assert done.returncode == 1
    assert f"{7 - len(bad)}/7 checks passed\n" in done.stdout
    assert untrue(tmp_path / "drill.db", scenarios.folder() / "shop") == []
    assert done.stdout.endswith("EVAL GATE: FAIL (exit 1) - a Part E pattern did not hold\n")


def test_the_docs_have_the_table_of_breaks() -> None:
    """What docs/drill.md says fails is what fails."""
    text = (DOCS / "drill.md").read_text("utf-8")
    rows = dict(re.findall(r"(?m)^\| `([a-z,-]+)` \|.*\| ([\d, ]+) \|$", text))
    assert {name: [int(n) for n in found.split(",")] for name, found in rows.items()} == BREAKS


@pytest.mark.parametrize(
    "name",
    [
        "shift",
        "two-at-once",
        "quiet",
        "recorded-alertmanager",
        "three-services",
        "slow-cascade",
        "flapping",
        "neighbour-deploy",
        "neighbour-workers",
        "neighbour-both",
        "traffic-stops",
    ],
)
def test_each_scenario_passes(name: str, tmp_path: Path) -> None:
    """Every scenario that comes with midwatch ends as it says, and its postmortems are true."""
    done = midwatch("drill", "run", name, "--db", str(tmp_path / "drill.db"))
    assert done.returncode == 0, done.stdout
    assert "[FAIL]" not in done.stdout
    assert "[PASS]" in done.stdout
    assert untrue(tmp_path / "drill.db", scenarios.folder() / "shop") == []


@pytest.mark.parametrize("name", ["two-at-once", "quiet", "recorded-alertmanager"])
def test_an_expectation_can_fail(tmp_path: Path, name: str) -> None:
    """A scenario whose expectations are off by one fails them, exit 1."""
    source = scenarios.folder() / f"{name}.yaml"
    text = source.read_text("utf-8").replace("pages: ", "pages: 1")
    for what in ("config", "deliveries"):
        text = re.sub(rf"(?m)^{what}: (.*)$", rf"{what}: {scenarios.folder()}/\1", text)
    (tmp_path / "off.yaml").write_text(text, "utf-8")
    done = midwatch("drill", "run", str(tmp_path / "off.yaml"))
    assert done.returncode == 1
    assert len(re.findall(r"\[FAIL\] \d+ pages", done.stdout)) == 1


PLANS_DIFFER = "one incident, a plan each: assistant refused and orders done"


@pytest.mark.parametrize(
    ("was", "instead", "fails"),
    [
        (", refuse: [assistant]", "", ["nothing done to assistant", PLANS_DIFFER]),
        ("alerts: [WorkersStuck]", "alerts: [QueueLong]", [PLANS_DIFFER]),
        ("orders: done", "orders: refused", [PLANS_DIFFER.replace("done", "refused")]),
    ],
    ids=["both approved", "one has no plan", "one was done"],
)
def test_two_plans_of_one_incident_end_each_as_expected(
    tmp_path: Path, was: str, instead: str, fails: list[str]
) -> None:
    """A yes to the one is no word about the other, and each is named by its hash."""
    text = (scenarios.folder() / "neighbour-both.yaml").read_text("utf-8")
    text = text.replace(was, instead, 1).replace("config: ", f"config: {scenarios.folder()}/")
    (tmp_path / "off.yaml").write_text(text, "utf-8")
    done = midwatch("drill", "run", str(tmp_path / "off.yaml"))
    assert done.returncode == 1
    assert re.findall(r"\[FAIL\] ([^:]*(?:: assistant[a-z ]*)?)", done.stdout) == fails


def test_recorded_alerts_follow_the_lift_of_the_inhibition(tmp_path: Path) -> None:
    """Fixture 0004: the page resolves while its ticket newly fires; recovery waits for 0005."""
    done = midwatch("drill", "run", "recorded-alertmanager", "--json")
    events = json.loads(done.stdout)["events"]
    kinds = [row["event"]["type"] for row in events]
    assert kinds.index("IncidentMitigated") > kinds.index("AlertsResolved")
    resolved = [row["at"] for row in events if row["event"]["type"] == "AlertsResolved"]
    mitigated = next(r for r in events if r["event"]["type"] == "IncidentMitigated")
    assert len(resolved) == 2
    assert mitigated["at"] == resolved[1] > resolved[0]
    assert mitigated["event"]["reason"]["says"] == "no SLI: all 2 alerts resolved"
    assert kinds[-1] == "IncidentClosed"


def test_the_report_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """Same seed, same bytes, under any hash seed; another seed, other bytes; no path in it."""
    for name, seed, hash_seed in (("a", "7", "1"), ("b", "7", "2"), ("c", "8", "1")):
        done = midwatch(
            "drill", "--seed", seed, "--report", str(tmp_path / name), PYTHONHASHSEED=hash_seed
        )
        assert done.returncode == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert str(tmp_path).encode() not in a
    document = json.loads(a)
    assert document["passed"] is True
    assert len(document["checks"]) == 7
    assert all(row["reason"]["rule"] for row in document["decisions"])
    assert len({row["seq"] for row in document["events"]}) == len(document["events"])


def test_json_is_the_report(tmp_path: Path) -> None:
    """--json prints the bytes that --report writes, and nothing else."""
    done = midwatch("drill", "--json", "--report", str(tmp_path / "r"))
    assert done.stdout == (tmp_path / "r").read_text("utf-8")


def test_trace_prints_every_event_with_its_reason() -> None:
    """The one line of the walk can be read from top to bottom."""
    lines = midwatch("drill", "--trace").stdout.splitlines()
    walk = [
        "IncidentOpened",
        "BudgetBurning",
        "PageSent",
        "PageAcknowledged",
        "RollbackCompleted",
        "IncidentMitigated",
        "PostmortemDrafted",
        "RegressionCaseAdmitted",
        "FixProposed",
        "CanaryJudged",
        "FixPromoted",
        "GateJudged",
        "IncidentClosed",
    ]
    events = [line.split() for line in lines if re.match(r"\d{4}-\d\d-\d\dT", line)]
    mine = [
        words[3] for words in events if words[2] in ("incident/INC-1", "slo/support-agent/answers")
    ]
    assert [kind for kind in dict.fromkeys(mine) if kind in walk] == walk


def test_list_and_explain_name_what_there_is() -> None:
    """Each scenario is listed, and explained with its expectations."""
    listed = midwatch("drill", "list").stdout
    for name in scenarios.names():
        assert listed.count(f"{name} ") >= 1
        told = midwatch("drill", "explain", name)
        assert told.returncode == 0
        assert "expected:" in told.stdout
    assert [row["name"] for row in json.loads(midwatch("drill", "list", "--json").stdout)]


# --- fuzz ---------------------------------------------------------------------------------------


def commit_seed() -> int:
    """Draw a seed from the commit, so that each one tries others, and a failure can be repeated."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=DOCS
    )
    return int(done.stdout[:7] or "0", 16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "few", "many"),
    [("shift", 60, 10_000), ("three-services", 50, 1_000), ("two-at-once", 5, 1_000)],
)
def test_no_seed_breaks_a_law(scenario: str, few: int, many: int) -> None:
    """Shifts with late deliveries, crashes, ports that refuse, hang and lie, and people who type.

    Whole in a soak, from the first seed on; else a sample, which the commit draws.
    """
    whole = bool(os.environ.get("MIDWATCH_SOAK"))
    seeds, first = (many, 0) if whole else (few, commit_seed())
    done = midwatch(
        "drill", "fuzz", "--scenario", scenario, "--seeds", str(seeds), "--from", str(first)
    )
    assert done.stdout == f"{seeds} shifts, 0 broke a law\n"
    assert done.returncode == 0


def test_ports_misbehave_in_every_way_and_people_type_meanwhile() -> None:
    """Over a thousand seeds each kind of each port is drawn; what is typed is taken and refused."""
    drawn = [faults.draw(seed) for seed in range(1_000)]
    kinds = {(one.port, one.kind) for each in drawn for one in each.ports}
    assert kinds == {(port, kind) for port, known in KINDS.items() for kind in known}
    assert all(one.to_s <= each.stops_at_s for each in drawn for one in each.ports)
    assert 5 < sum(not each.ports for each in drawn) < 100
    scenario = scenarios.load(scenarios.find("three-services"))
    told: list[str] = []
    for seed in range(20):
        played = fuzz.play(
            scenario, seed, lambda shift, story: told.extend(x.answer.status for x in shift.told)
        )
        assert played is None
    assert {"committed", "rejected"} == set(told)


def test_a_seed_replays_to_the_byte() -> None:
    """The same journal, with crashes, hangs and lies; another seed gives another one."""
    scenario = scenarios.load(scenarios.find("three-services"))
    heads: list[str] = []
    seeds = [s for s in range(40) if faults.draw(s).crash_share and faults.draw(s).ports][:3]
    for seed in (*seeds, *seeds):
        fuzz.play(scenario, seed, lambda shift, story: heads.append(story.head))
    assert heads[:3] == heads[3:]
    assert len({*heads}) == 3


def test_the_faults_are_really_drawn() -> None:
    """Over a hundred seeds each kind of fault occurs, and crashes really happen."""
    drawn = [faults.draw(seed) for seed in range(100)]
    for name in ("duplicates", "late", "crash_share", "pager_fails", "evals_fail", "noise_share"):
        assert 20 < sum(bool(getattr(d, name)) for d in drawn) < 80, name
    for name in ("bad_fix", "bad_target", "failures_lost"):
        assert sum(getattr(d, name) for d in drawn) > 3, name
    plugs: list[fuzz.Plug] = []
    build = fuzz.Plug

    class Seen(build):
        def __init__(self, seed: int, share: float) -> None:
            super().__init__(seed, share)
            plugs.append(self)

    fuzz.Plug = Seen
    try:
        scenario = scenarios.load(scenarios.find("shift"))
        for seed in range(12):
            assert fuzz.play(scenario, seed) is None
    finally:
        fuzz.Plug = build
    assert sum(plug.pulled for plug in plugs) > 10


def test_a_broken_law_is_told_with_its_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that promotes whatever it is given is caught, and it is said how to see it."""
    monkeypatch.setattr(
        "midwatch.core.rules.fixes.judge",
        lambda outcomes, **_: Verdict("promote", Reason("test", "blind trust", {})),
    )
    scenario = scenarios.load(scenarios.find("shift"))
    failure = next(f for seed in range(40) if (f := fuzz.play(scenario, seed)) is not None)
    told = "\n".join(failure.shown())
    assert "law: nothing promoted that fails its case" in told
    assert "drawn: {" in told
    assert f"replay: midwatch drill fuzz --scenario shift --from {failure.seed} --seeds 1" in told


def story_of(broken: Broken) -> tuple[Story, Shift]:
    store = SqliteStore.memory()
    shift = Shift(broken.scenario, store, troubles=broken.troubles)
    shift.run()
    return Story(store, shift.engine.handler.shard), shift


def _nothing_grows(*_: object, **__: object) -> None:
    """Take an ack for an answer to whatever comes later."""


def _as_an_ack_hid_it(
    d: Decision, rules: Rules, incident: Incident, items: Iterable[news.Item], was: news.Was
) -> None:
    """Judge no news of what somebody has."""
    if incident.state != "acknowledged":
        HEAR(d, rules, incident, items, was)


HEAR = news.hear


@pytest.mark.parametrize(
    ("where", "name", "instead"),
    [(growth, "grow", _nothing_grows), (news, "hear", _as_an_ack_hid_it)],
    ids=["growth", "news"],
)
def test_an_ack_that_hides_worse_news_breaks_a_law_and_a_scenario(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, instead: Callable[..., None]
) -> None:
    """Somebody has the gateway when payments fail: the checker says so, and a page is missing."""
    scenario = scenarios.load(scenarios.find("slow-cascade"))
    for breaks in (False, True):
        if breaks:
            monkeypatch.setattr(where, name, instead)
        story, shift = story_of(Broken(scenario, Troubles()))
        told = checkers.broken_laws(story, shift.storm, scenario, shift.log)
        assert [one.partition(":")[0] for one in told] == [
            "worse news gets through an ack"
        ] * breaks
        assert len(story.all(e.PagePlanned)) == (1 if breaks else 2)


def _nothing(*_: object) -> None:
    """Wait in silence."""


def _believes_anything(
    objective: Slo, verify: Verify, reading: SliReading, *, since: int
) -> tuple[slo.RecoveryVerdict, Reason]:
    """Take one good answer for a recovery."""
    return JUDGE(objective, replace(verify, min_events=1), reading, since=since)


JUDGE = slo.judge_recovery


@pytest.mark.parametrize(
    ("where", "name", "instead", "law", "failed"),
    [
        (patience, "begin", _nothing, "", "3 pages"),
        (patience, "on_timer", _nothing, "what is waited for is told", "3 pages"),
        (slo, "judge_recovery", _believes_anything, "no data is no recovery", "0 mitigated"),
    ],
    ids=["begin", "tell", "believe"],
)
def test_users_who_stay_away_after_a_rollback_prove_nothing(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, instead: Any, law: str, failed: str
) -> None:
    """The incident stays open and its holder is paged once; whoever breaks that is found out."""
    scenario = scenarios.load(scenarios.find("traffic-stops"))
    for breaks in (False, True):
        if breaks:
            monkeypatch.setattr(where, name, instead)
        story, shift = story_of(Broken(scenario, Troubles()))
        laws = checkers.broken_laws(story, shift.storm, scenario, shift.log)
        checks = checkers.expected(story, scenario, shift.log)
        assert [one.partition(":")[0] for one in laws] == [law] * bool(breaks and law)
        assert (failed in [what for what, passed, _ in checks if not passed]) is breaks
        if not breaks:
            (told,) = story.all(e.WaitTold)
            (incident,) = story.incidents.values()
            assert told.event.reason.says.endswith(
                "5 of 30 events in 5 min, 30 min ago; nothing fires"
            )
            assert (incident.state, incident.acknowledged_by) == ("acknowledged", "ada")


def test_show_says_what_an_incident_waits_for(tmp_path: Path) -> None:
    """And since when, for whoever looks."""
    db = str(tmp_path / "stops.db")
    assert midwatch("drill", "run", "traffic-stops", "--db", db).returncode == 0
    shop = str(scenarios.folder() / "shop")
    done = midwatch("incidents", "show", "INC-1", "--db", db, "--config", shop)
    assert done.returncode == 0, done.stderr
    says = (
        "waits for support-agent/answers: 5 of 30 events in 5 min, since 2026-03-02T01:22:00.000Z"
    )
    assert f"{says}\n" in done.stdout


@pytest.mark.parametrize("lull", ["", "    lulls: [{from: 0s, until: 2h}]\n"])
def test_what_a_scenario_does_not_measure_is_seen_to_be_well(tmp_path: Path, lull: str) -> None:
    """Its alerts end, and so does its incident; one that nobody uses is told to be silent."""
    file = tmp_path / "own.yaml"
    file.write_text(
        f"name: own\nsays: queues\nconfig: {scenarios.folder()}/shop\nlasts: 4h\n"
        'starts_at: "2026-03-02T06:48:00Z"\n'
        "services:\n  support-agent:\n"
        "    questions: [suites/support-agent.jsonl]\n"
        f"{lull}    releases: {{v1: {{good: true, at: 0s}}}}\n"
        "storm: [{at: 20m, cause: order-tracker, lasts: 90m, alerts: [QueueBacklog]}]\n",
        "utf-8",
    )
    story, _ = story_of(Broken(scenarios.load(file), Troubles()))
    assert {one.state for one in story.incidents.values()} == {"closed"}
    assert story.incidents["INC-1"].service == "order-tracker"
    assert len(story.all(e.SliWentSilent)) == bool(lull)


def test_each_law_can_be_broken() -> None:
    """Take away, double or forge what a law is about, and its checker says so."""
    scenario = scenarios.load(scenarios.find("shift"))
    story, shift = story_of(Broken(scenario, Troubles()))

    def broken() -> str:
        return " | ".join(checkers.broken_laws(story, shift.storm, scenario, shift.log))

    assert broken() == ""
    entries = shift.log.entries
    pages, moves = list(shift.log.sent()), list(shift.log.moved())
    shift.log.entries = list(moves)
    assert "no page lost" in broken()
    shift.log.entries = [*entries, moves[0]]
    assert "nothing done twice" in broken()
    shift.log.entries = [*pages, moves[0]]
    assert "the pointer is served" in broken()
    late = type(pages[0])(scenario.ends_at, pages[0].key, pages[0].incident, "ada", "again")
    shift.log.entries = [*entries, late]
    assert "no page after the ack" in broken()
    shift.log.entries = entries
    facts = story.facts
    story.facts = [f for f in facts if type(f.event).__name__ != "AlertsAttached"]
    assert "every alert in exactly one incident" in broken()
    story.facts = facts
    wrong = faults.break_on_purpose(scenario, "fix").scenario
    assert "promoted" in " ".join(checkers.broken_laws(story, shift.storm, wrong, shift.log))
    incident = next(iter(story.incidents.values()))
    incident.state, incident.acknowledged_by, incident.has_postmortem = "open", "", False
    assert "all settles" in broken()


@pytest.mark.parametrize(("idempotent", "says"), [(True, ""), (False, "nothing done twice: a/1")])
def test_only_an_idempotent_action_may_be_done_twice(idempotent: bool, says: str) -> None:
    """When nobody can see whether it was done, a retry of one does no harm."""
    scenario = scenarios.load(scenarios.find("neighbour-workers"))
    story, shift = story_of(Broken(scenario, Troubles()))
    books = scenario.config.rules.books
    restart = replace(books.actions["worker.restart"], idempotent=idempotent)
    rules = replace(
        scenario.config.rules, books=replace(books, actions={"worker.restart": restart})
    )
    judged = replace(scenario, config=replace(scenario.config, rules=rules))
    (done,) = shift.log.remedied()
    shift.log.entries += [done]
    broken = " | ".join(checkers.broken_laws(story, shift.storm, judged, shift.log))
    assert broken == says.replace("a/1", done.operation)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", ":1: invalid YAML"),
        ("- 1\n", ":1: got a list; write a mapping"),
        ("", ":1: missing; write a mapping"),
        ("name: x\nsays: y\n", ":1: config is missing; add config"),
        ("name: x\nname: y\nsays: y\nconfig: c\n", ":2: invalid YAML: found duplicate key"),
        ("name: x\nsays: y\nconfig: c\nstrom: []\n", ":4 strom: unknown key; did you mean"),
        ("name: x\nsays: y\nconfig: nowhere\n", "midwatch.yaml: not found; "),
        ("\x00\x01", "cannot be read"),
    ],
)
def test_a_wrong_scenario_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    """File, place, what was expected, what to do; exit 2; no traceback."""
    file = tmp_path / "bad.yaml"
    file.write_text(text, "utf-8")
    done = midwatch("drill", "run", str(file))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_a_wrong_value_deep_in_a_scenario_has_its_line(tmp_path: Path) -> None:
    """The line is that of the value."""
    source = (scenarios.folder() / "shift.yaml").read_text("utf-8")
    source = source.replace("config: shop", f"config: {scenarios.folder()}/shop")
    source = source.replace("lasts: 22m", "lasts: soon").replace("cause: smtp-relay", "cause: smtp")
    file = tmp_path / "shift.yaml"
    file.write_text(source, "utf-8")
    line = next(n for n, s in enumerate(source.splitlines(), 1) if "lasts: soon" in s)
    done = midwatch("drill", "run", str(file))
    assert done.returncode == 2
    assert f"shift.yaml:{line} storm[2].lasts: got 'soon'; write a duration" in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["drill", "--break", "everything"], "no failure is named 'everything'"),
        (["drill", "run", "nothing"], "no scenario is named 'nothing'"),
        (["drill", "run", "quiet", "--break", "fix"], "does not support fix"),
        (["drill", "run", "nowhere.yaml"], "nowhere.yaml: not found"),
        (["drill", "--report", "nowhere/at/all.json"], "the directory does not exist"),
        (["drill", "fuzz", "--seeds", "0"], "nothing to run"),
        (["drill", "--seed", "x"], "'x' is not a whole number"),
        (["fly"], "no such command"),
    ],
)
def test_wrong_usage_is_exit_2(args: list[str], says: str) -> None:
    """Usage errors say what to write instead."""
    done = midwatch(*args)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_is_exit_2_and_one_line() -> None:
    """An exception that nobody expected is a harness error, not a verdict."""
    code = (
        "import midwatch.drill.scenarios as s, midwatch.cli.main as m, sys\n"
        "s.names = lambda: 1 / 0\n"
        "sys.argv = ['midwatch', 'drill', 'list']\n"
        "m.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a bug in midwatch: ZeroDivisionError")
    assert "Traceback" not in done.stderr


def test_help_imports_nothing_heavy() -> None:
    """--help loads no database, YAML, server or HTTP library."""
    heavy = "sqlite3 ruamel.yaml starlette uvicorn httpx2 rich asyncio msgspec jinja2 psycopg"
    code = (
        "import sys\nfrom midwatch.cli.main import cli\n"
        "try:\n    cli.main(['--help'], standalone_mode=False)\nfinally:\n"
        f"    print('heavy:', sorted(set({heavy!r}.split()) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("heavy: []\n"), done.stdout + done.stderr
