"""Where alerts go: the promises of grouping, muting, moving and of causes."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from midwatch.adapters.pagers.terminal import TerminalPager
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine, build_loop
from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.rules.tickets import MANY
from midwatch.core.state import events as e
from midwatch.core.state import inputs, shard
from midwatch.core.state.incidents import FINE
from midwatch.core.state.inputs import AlertsArrived, Envelope, Timer
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import Alert, Level, Status, identify
from midwatch.core.values.categories import Category
from midwatch.core.values.changes import KEPT, Change
from midwatch.core.values.habits import MAX_TYPES, WINDOW, Habits
from midwatch.core.values.schedules import Hours, Layer, Schedule
from midwatch.core.values.silences import Inhibition, Maintenance, Muting, read_matcher
from midwatch.core.values.storm import DIGEST_S, LASTS_S
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.errors import StateError

WAIT_S = 20
S = 1_000
MIN = 60 * S
CALLS = [
    ("web", "cart"),
    ("web", "search"),
    ("cart", "db"),
    ("search", "index"),
    ("index", "disk"),
    ("mail", "queue"),
]
TOPOLOGY = Topology([Service("web", 1), Service("cart", 1), Service("mail", 2)], CALLS)
APART = {"mail": "post", "queue": "post"}  # no calls and no namespace connect them with others
POLICY = Policy("p", (Step(("ada",), 300),), repeat=0)
RULES = Rules(topology=TOPOLOGY, policy=POLICY)


def alert(
    service: str,
    at: int = 0,
    name: str = "Slow",
    status: Status = "firing",
    level: Level = "critical",
    text: str = "",
    **labels: str,
) -> Alert:
    """An alert; `at` in seconds."""
    if service in APART:
        labels.setdefault("namespace", APART[service])
    full = {"alertname": name, "service": service, "severity": level, **labels}
    return identify(full).alert(status, at * S, None, text)


class Bench:
    """A shard to decide on."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.state = Shard()
        self.timers: dict[str, Timer] = {}
        self.log: list[tuple[e.Event, int]] = []

    def give(self, given: inputs.Input, at: int = 0) -> decide.Decision:
        """Decide on an input; `at` in seconds."""
        return self.give_at(given, at * S)

    def give_at(self, given: inputs.Input, at_ms: int) -> decide.Decision:
        """Decide on an input at a millisecond."""
        decision = decide.decide(self.state, given, at_ms, self.rules)
        self.log += [(event, decision.now) for event in decision.events]
        for key, timer in decision.timers.items():
            if timer is None:
                self.timers.pop(key, None)
            else:
                self.timers[key] = timer
        return decision

    def alerts(self, *alerts: Alert, at: int | None = None) -> decide.Decision:
        """Deliver alerts at the time of the last one."""
        newest = max((one.starts_at // S for one in alerts), default=0)
        return self.give(AlertsArrived("test", alerts), newest if at is None else at)

    def fire(self, key: str) -> decide.Decision:
        """Let a timer come due."""
        timer = self.timers.pop(key)
        return self.give(inputs.TimerCameDue(timer), timer.due_at // S)

    def home(self, one: Alert) -> str:
        """The incident of an alert that fires."""
        return self.state.firing[one.fingerprint]

    @property
    def sizes(self) -> dict[str, int]:
        """How many alerts fire in each incident."""
        return {name: len(one.firing) for name, one in self.state.incidents.items()}


@pytest.fixture
def bench() -> Bench:
    """With a call graph and nothing open."""
    return Bench()


def kinds(decision: decide.Decision) -> list[str]:
    """The types of a decision's events."""
    return [type(event).__name__ for event in decision.events]


# --- grouping -----------------------------------------------------------------------------------


PLACES = st.tuples(
    st.sampled_from(["web", "cart", "db", "search", "index", "disk", "mail", "queue", "lone", ""]),
    st.sampled_from(["", "eu", "us"]),
    st.sampled_from(["A", "B", "C"]),
    st.integers(0, 1_200),
)


def drawn(places: list[tuple[str, str, str, int]]) -> list[Alert]:
    """Alerts of these places, in the order of time."""
    made = [alert(s, at, name, namespace=space) for s, space, name, at in places]
    return sorted(made, key=lambda one: (one.starts_at, one.fingerprint))


@settings(max_examples=150)
@given(st.lists(PLACES, max_size=60), st.randoms(use_true_random=False))
def test_each_alert_is_in_one_incident_in_whatever_order(
    places: list[tuple[str, str, str, int]], rng: Random
) -> None:
    """None is lost or doubled; the order of a delivery, and of equal times, changes nothing."""
    batch = drawn(places)
    one, other, single = Bench(), Bench(), Bench()
    one.alerts(*batch)
    shuffled = list(batch)
    rng.shuffle(shuffled)
    other.alerts(*shuffled)
    for each in batch:
        single.alerts(each)
    newest = {each.fingerprint: each.starts_at for each in batch}
    assert sorted(one.state.firing) == sorted(newest)
    held = Counter(f for i in one.state.incidents.values() for f in i.firing)
    assert held == Counter(newest.keys())
    assert one.state.firing == other.state.firing
    if len(newest) == len(batch):  # else the first of a fingerprint stands for all
        assert one.state.firing == single.state.firing


@settings(max_examples=100)
@given(st.lists(PLACES, max_size=60))
def test_a_replay_and_a_snapshot_give_the_same(places: list[tuple[str, str, str, int]]) -> None:
    """The events alone make the same state, the look-ups too, and so does what was written down."""
    bench = Bench()
    for number, each in enumerate(drawn(places)):
        bench.alerts(each)
        if number % 3 == 2:
            bench.alerts(structs.replace(each, status="resolved"), at=each.starts_at // S)
    again = Shard()
    for event, at in bench.log:
        shard.evolve(again, event, at)
    again.at = bench.state.at
    assert shard.dump(again) == shard.dump(bench.state)
    assert again.board == bench.state.board
    assert shard.load(shard.dump(bench.state)) == bench.state


@pytest.mark.parametrize(("callers", "near"), [(39, True), (40, False)])
def test_no_path_runs_through_a_hub(callers: int, near: bool) -> None:
    """With forty calls it is a service, with more it joins nobody; its own calls stay."""
    calls = [(f"s{n}", "hub") for n in range(callers)]
    topology = Topology((), [*calls, ("hub", "disk")])
    assert topology.hops("s0", "disk") == (2 if near else None)
    assert (topology.hops("s0", "hub"), topology.hops("hub", "disk")) == (1, 1)
    assert ("disk" in topology.around("s0")) is near


@pytest.mark.parametrize("deliveries", [1, 8])
def test_identical_alerts_at_once_are_one(deliveries: int) -> None:
    """Eight senders of one delivery, or of one each: one incident, each alert once."""
    store = SqliteStore.memory()
    engine = build_engine(store, RULES, World({"pager": TerminalPager()}), lambda: 0)
    loop = build_loop(store, engine, lambda: 0)
    batch = (alert("cart"), alert("db", 1))
    ready = threading.Barrier(8)

    def send(number: int) -> str:
        envelope = Envelope(f"d{number % deliveries}", AlertsArrived("am", batch))
        ready.wait(WAIT_S)
        (handled,) = loop.submit([envelope]).result(WAIT_S)
        return handled.status

    loop.start()
    try:
        with ThreadPoolExecutor(8) as senders:
            statuses = Counter(senders.map(send, range(8)))
        (incident,) = loop.view(lambda shard: list(shard.incidents.values())).result(WAIT_S)
    finally:
        loop.stop()
        store.close()
    assert (statuses["committed"], statuses["duplicate"]) == (deliveries, 8 - deliveries)
    assert incident.alert_count == 2


def test_what_is_learned_is_bounded_and_fades() -> None:
    """Counts are halved, and what is rare is forgotten."""
    habits = Habits()
    for number in range(3 * MAX_TYPES):
        habits.count_type(f"type {number}", [])
        if number % 100 == 0:
            habits.count_incident()
    assert len(habits.seen) <= MAX_TYPES + 200
    common = Habits()
    for _ in range(WINDOW):
        common.count_type("often", [])
        common.count_incident()
    assert common.incidents == WINDOW / 2
    assert common.share("often") == pytest.approx(0.98, abs=0.02)


def test_texts_get_coarser_in_a_storm(bench: Bench) -> None:
    """Counts, and what the first of each said, are kept, however many texts there are."""
    bench.alerts(
        *(alert("cart", 0, f"N{n % 60}", text=f"{'x' * n} fails", n=str(n)) for n in range(100))
    )
    (incident,) = bench.state.incidents.values()
    assert sum(one.count for one in incident.texts.values()) == 100
    assert FINE < len(incident.texts) < 60
    assert all(one.says.endswith(" fails") for one in incident.texts.values())


# --- changes -----------------------------------------------------------------------------------


def test_changes_are_told_once_and_bounded(bench: Bench) -> None:
    """The same id of the same service is one change; the oldest go."""
    one = Change("d-1", "cart", "deploy", 5 * S)
    bench.give(inputs.ChangesArrived("ci", (one, one)))
    assert bench.give(inputs.ChangesArrived("ci", (one,))).is_empty
    many = tuple(Change(f"x{n}", "cart", "deploy", n * 10 * S) for n in range(KEPT + 50))
    bench.give(inputs.ChangesArrived("ci", many))
    assert len(bench.state.changes) == KEPT
    assert [c.at for c in bench.state.changes] == sorted(c.at for c in bench.state.changes)


# --- muting -------------------------------------------------------------------------------------


def muting(**rules: str) -> Muting:
    """Inhibitions, "source > target" each, equal in `cluster`."""
    found: list[Inhibition] = []
    for name, text in rules.items():
        source, target = (tuple(map(read_matcher, side.split())) for side in text.split(" > "))
        found.append(Inhibition(name, source, target, ("cluster",)))
    return Muting(tuple(found))


def muted_bench(quiet: Muting) -> Bench:
    """A bench with these rules."""
    return Bench(Rules(topology=TOPOLOGY, policy=POLICY, muting=quiet))


def test_a_target_of_the_same_cluster_pages_nobody_and_is_recorded() -> None:
    """Until its source is over; then it is judged as if it had just come."""
    bench = muted_bench(muting(node="alertname=NodeDown > alertname=Slow"))
    node = alert("disk", 0, "NodeDown", level="warning", cluster="eu")
    here, there = alert("cart", 1, cluster="eu"), alert("mail", 1, cluster="us")
    decision = bench.alerts(here, node, there)  # the target first: the order is an accident
    assert [p.incident for p in decision.effects] == [bench.home(there)]
    assert here.fingerprint in bench.state.incidents[bench.home(here)].firing
    over = bench.alerts(structs.replace(node, status="resolved"), at=60)
    assert [p.incident for p in over.effects] == [bench.home(here)]
    assert bench.state.muted == {}


def test_a_source_that_comes_later_mutes_what_fires() -> None:
    """Paging for it stops; a second source of the same changes nothing more."""
    bench = muted_bench(muting(node="alertname=NodeDown > alertname=Slow"))
    here = alert("cart", 0, cluster="eu")
    assert bench.alerts(here).effects
    decision = bench.alerts(alert("mail", 5, "NodeDown", level="warning", cluster="eu"), at=5)
    assert "AlertsMuted" in kinds(decision)
    assert not bench.state.incidents[bench.home(here)].awaits_ack
    again = bench.alerts(alert("queue", 6, "NodeDown", level="warning", cluster="eu"), at=6)
    assert "AlertsMuted" not in kinds(again)


def test_one_that_matches_both_sides_is_muted_by_none_that_does() -> None:
    """Alertmanager's rule: two of a kind do not silence each other; a pure source does."""
    both = "severity=~critical|warning > severity=critical"
    bench = muted_bench(muting(pair=both))
    one, two = alert("cart", 0, cluster="eu"), alert("mail", 1, cluster="eu")
    bench.alerts(one, two)
    assert not bench.state.muted
    pure = alert("lone", 2, level="warning", cluster="eu")
    third = alert("queue", 3, cluster="eu")
    bench.alerts(pure, third)
    assert list(bench.state.muted) == ['inhibited by pair (cluster="eu")']


def test_an_alert_does_not_mute_itself() -> None:
    """A rule whose sides are the same label mutes only others."""
    bench = muted_bench(muting(any="cluster=eu > service=cart"))
    bench.alerts(alert("cart", cluster="eu"))
    assert not bench.state.muted


def test_a_silence_mutes_what_fires_and_what_comes_until_it_ends(bench: Bench) -> None:
    """Paging stops at once; at its end what still fires pages."""
    bench.alerts(alert("cart"))
    assert bench.state.incidents["INC-1"].awaits_ack
    quiet = inputs.AddSilence(("service=cart",), 10 * S, 600 * S, "ada", "on it")
    decision = bench.give(quiet, 10)
    assert kinds(decision) == ["SilenceAdded", "AlertsMuted"]
    assert decision.timers["escalate/INC-1"] is None
    assert not bench.state.incidents["INC-1"].awaits_ack
    assert not bench.alerts(alert("cart", 400, "Other")).effects
    over = bench.fire("unmute/silence S-1")
    assert [p.incident for p in over.effects] == ["INC-1"]
    assert all(i.awaits_ack for i in bench.state.incidents.values())
    assert bench.state.silences == {}


def test_another_silence_goes_on_when_one_ends(bench: Bench) -> None:
    """What two mute is muted until both are over."""
    bench.alerts(alert("cart"))
    for end in (600, 900):
        bench.give(inputs.AddSilence(("service=cart",), 10 * S, end * S, "ada", "on it"), 10)
    assert list(bench.state.muted) == ["silence S-1"]
    assert not bench.fire("unmute/silence S-1").effects
    assert list(bench.state.muted) == ["silence S-2"]
    assert bench.fire("unmute/silence S-2").effects


def test_a_silence_to_come_mutes_when_it_begins(bench: Bench) -> None:
    """Not before; ending it early lets alerts speak."""
    bench.alerts(alert("cart"))
    bench.give(inputs.AddSilence(("service=cart",), 100 * S, 600 * S, "ada", "later"), 10)
    assert bench.state.incidents["INC-1"].awaits_ack
    bench.fire("mute/silence S-1")
    assert not bench.state.incidents["INC-1"].awaits_ack
    bench.give(inputs.EndSilence("S-1", "ada"), 120)
    assert bench.state.incidents["INC-1"].awaits_ack
    assert not {key for key in bench.timers if "silence" in key}


@pytest.mark.parametrize(
    ("matchers", "end", "says"),
    [
        (("cart",), 60, "not a matcher"),
        ((), 60, "everything"),
        (('service=~".*"',), 60, "everything"),
        (('service=~"("',), 60, "bad regular expression"),
        (("service=cart",), 0, "before it begins"),
    ],
)
def test_a_silence_that_says_nothing_is_refused(
    bench: Bench, matchers: tuple[str, ...], end: int, says: str
) -> None:
    """With what is wrong."""
    with pytest.raises(StateError, match=says):
        bench.give(inputs.AddSilence(matchers, 0, end * S, "ada", "why"), 10)


def test_a_maintenance_window_is_a_silence_with_a_schedule() -> None:
    """From two to three each night; at three what still fires pages."""
    nightly = Schedule(
        "n",
        "UTC",
        (Layer("w", ("w",), "1970-01-01T00:00", hours=(Hours(from_min=120, to_min=180),)),),
    )
    windows = (Maintenance("backup", (read_matcher("service=cart"),), nightly),)
    bench = muted_bench(Muting((), windows))
    assert not bench.alerts(alert("cart", 2 * 3600 + 60)).effects
    assert bench.timers["unmute/maintenance backup"].due_at == 3 * 3600 * S
    assert bench.fire("unmute/maintenance backup").effects
    assert bench.alerts(alert("mail", 4 * 3600)).effects


# --- moving -------------------------------------------------------------------------------------


def two(bench: Bench) -> None:
    """Two incidents of different parts."""
    bench.alerts(alert("cart"), alert("db", 1))
    bench.alerts(alert("mail", 1))
    assert bench.sizes == {"INC-1": 2, "INC-2": 1}


def test_a_merge_is_undone_without_a_trace_in_the_alerts(bench: Bench) -> None:
    """The other goes on with all of it; undone, each has its own again and somebody is paged."""
    two(bench)
    before = shard.load(shard.dump(bench.state))
    merged = bench.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), 5)
    assert kinds(merged) == ["AlertsMoved", "IncidentMerged"]
    assert bench.state.incidents["INC-2"].state == "merged"
    assert bench.sizes == {"INC-1": 3, "INC-2": 0}
    assert list(bench.state.open) == ["INC-1"]
    late = alert("mail", 6, "Other")
    bench.alerts(late)
    assert bench.home(late) == "INC-1"
    bench.alerts(structs.replace(late, status="resolved"), at=7)
    bench.give(inputs.UndoMove("INC-1", "ada"), 8)
    assert bench.state.firing == before.firing
    assert bench.state.incidents["INC-2"].state == "open"
    assert bench.state.incidents["INC-2"].awaits_ack
    with pytest.raises(StateError, match="neither merged nor split"):
        bench.give(inputs.UndoMove("INC-1", "ada"), 9)


def test_a_split_makes_an_incident_of_its_own_and_is_undone(bench: Bench) -> None:
    """It is judged and paged for itself; undone, it is part of the first again."""
    two(bench)
    bench.give(inputs.SplitIncident("INC-1", ("db",), (), "ada"), 5)
    assert bench.sizes == {"INC-1": 1, "INC-2": 1, "INC-3": 1}
    assert bench.state.incidents["INC-3"].severity
    assert "db" not in bench.state.incidents["INC-1"].services
    bench.give(inputs.UndoMove("INC-3", "ada"), 6)
    assert bench.sizes == {"INC-1": 2, "INC-2": 1, "INC-3": 0}
    assert bench.state.incidents["INC-3"].state == "merged"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (inputs.MergeIncident("INC-1", "INC-1", "ada"), "merged into itself"),
        (inputs.MergeIncident("INC-9", "INC-1", "ada"), "no incident"),
        (inputs.SplitIncident("INC-1", ("nobody",), (), "ada"), "has no 'nobody'"),
        (inputs.SplitIncident("INC-1", ("db", "cart"), (), "ada"), "all firing alerts of INC-1"),
        (inputs.UndoMove("INC-1", "ada"), "neither merged nor split"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(
    bench: Bench, command: inputs.Input, says: str
) -> None:
    """With what is wrong, and nothing changes."""
    two(bench)
    with pytest.raises(StateError, match=says):
        bench.give(command, 5)


# --- storms -------------------------------------------------------------------------------------


def test_a_storm_begins_pages_digests_and_ends() -> None:
    """A second, independent service still pages within its time, as part of a digest."""
    team = Team(digest_s=0)
    bench = Bench(Rules(topology=TOPOLOGY, policy=Policy("p", (Step(("ada",), 300),), team=team)))
    noise = [alert("cart", 0, f"N{n}", n=str(n)) for n in range(40)]
    decision = bench.alerts(*noise)
    assert "StormBegan" in kinds(decision)
    assert len(decision.effects) == 1
    second = bench.alerts(alert("mail", 5))
    assert "PageHeld" in kinds(second)
    (held,) = (key for key in bench.timers if key.startswith("digest/"))
    assert bench.timers[held].due_at <= (5 + DIGEST_S) * S
    assert len(bench.fire(held).effects) == 1
    paged = {page.key for i in bench.state.incidents.values() for page in i.pages}
    assert len(paged) == 2
    end = bench.timers["storm"]
    assert end.due_at >= LASTS_S * S
    assert kinds(bench.fire("storm")) == ["StormEnded"]


def test_what_is_usual_is_no_storm(bench: Bench) -> None:
    """The same rate as ever does not count as one, however high it is."""
    for minute in range(120):
        batch = [alert("cart", minute * 60, f"N{n}", m=str(minute)) for n in range(20)]
        bench.alerts(*batch)
        bench.alerts(*(structs.replace(one, status="resolved") for one in batch))
    assert not bench.state.storm.raging
    assert bench.state.storm.usual > 15


# --- tickets ------------------------------------------------------------------------------------

WORDS = (Category("checkout", ("cart", "pay"), "cart", "shop-team"),)
DESK = Rules(topology=TOPOLOGY, policy=POLICY, categories=WORDS)


def test_a_report_opens_an_incident_and_alone_wakes_nobody() -> None:
    """Users notice first; five affected are no single mistake."""
    bench = Bench(DESK)
    decision = bench.give(inputs.FileTicket("T-1", "I cannot pay for my cart"))
    assert kinds(decision) == [
        "IncidentOpened",
        "TicketTriaged",
        "TicketLinked",
        "SeverityDeclared",
    ]
    assert not decision.effects
    assert bench.give(inputs.FileTicket("T-1", "I cannot pay for my cart")).is_empty
    again = bench.give(inputs.FileTicket("T-2", "cannot pay for my CART", affected=MANY), 5)
    assert len(again.effects) == 1
    assert bench.state.tickets["T-2"].duplicate_of == "T-1"
    assert bench.give(inputs.FileTicket("T-3", "I cannot pay for my cart"), 6).effects == []
    assert list(bench.state.incidents) == ["INC-1"]
    assert bench.state.incidents["INC-1"].tickets == ["T-1", "T-2", "T-3"]


def test_priority_is_impact_times_urgency() -> None:
    """Tier, number affected and severity; words only hint."""
    found: list[str] = []
    for text, service, affected in (
        ("it is slow", "mail", 1),
        ("it is down", "mail", 1),
        ("it is slow", "mail", MANY),
        ("it is slow", "cart", 1),
        ("it is down", "cart", 1),
    ):
        bench = Bench(DESK)
        bench.give(inputs.FileTicket("T", text, service=service, affected=affected))
        found.append(bench.state.tickets["T"].priority)
    assert found == ["P4", "P3", "P3", "P3", "P2"]
    bench = Bench(DESK)
    bench.alerts(alert("cart"))
    bench.give(inputs.FileTicket("T", "it is slow", service="cart"), 60)
    assert bench.state.tickets["T"].priority == "P1"
    assert bench.state.tickets["T"].incident == "INC-1"


def test_nobody_guesses_what_a_report_is_about(bench: Bench) -> None:
    """Without a category and a service it goes to people, and to no incident."""
    bench.alerts(alert("cart"))
    bench.give(inputs.FileTicket("T", "the printer is out of paper"), 5)
    ticket = bench.state.tickets["T"]
    assert (ticket.category, ticket.route, ticket.incident) == ("unknown", "triage", "")


def test_a_category_that_somebody_else_knows_is_taken() -> None:
    """A classifier of one's own names it; a name that config does not know is not."""
    bench = Bench(DESK)
    bench.give(inputs.FileTicket("T", "hm", category="checkout"))
    bench.give(inputs.FileTicket("U", "hm", category="made up"))
    assert bench.state.tickets["T"].category == "checkout"
    assert bench.state.tickets["U"].category == "unknown"
