"""What nobody has answered is asked on when a person merges, splits, and takes that back."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.rules.test_asked_people import paged
from tests.unit.rules.test_news import BEGIN, ack, alert, deliver, routed, rules
from tests.unit.shifts import Shift

from midwatch.core.decide import decide
from midwatch.core.rules.planning import Books
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.effects import SendPage
from midwatch.core.state.shard import dump, load
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.core.values.gathering import Gathering
from midwatch.core.values.plans import Match, Runbook
from midwatch.core.values.plans import Step as BookStep
from midwatch.core.values.silences import read_matcher

LATER = BEGIN + 2_000


def ticket_and_page(on: Shift, worse: str = "db") -> None:
    """Cyd has a ticket, INC-1; ada is paged for INC-2 and says nothing."""
    deliver(on, BEGIN, alert("paper", BEGIN, "Late", "warning"))
    ack(on, BEGIN + 5, "cyd")
    deliver(on, LATER, alert(worse, LATER))
    on.wake(LATER + 30)
    assert paged(on) == [(LATER, "ada")]


def merge(on: Shift, at: int, by: str, old: str = "INC-2", into: str = "INC-1") -> None:
    """Somebody says that two are one."""
    on.wake(at)
    on.give(inputs.MergeIncident(old, into, by), at)


@pytest.mark.parametrize("worse", ["db", "shop"])
@pytest.mark.parametrize("by", ["ben", "cyd"])
def test_who_has_the_other_one_hears_of_what_was_merged(worse: str, by: str) -> None:
    """First of all; unless they merged it themselves. Nobody else's merge is their answer."""
    on = Shift(rules())
    ticket_and_page(on, worse)
    merge(on, LATER + 40, by)
    if by == "cyd":
        assert on.incident().acknowledged_by == "cyd"
        assert paged(on, LATER) == []
        return
    assert paged(on, LATER) == [(LATER + 40, "cyd")]
    (grew,) = [x.reason.says for _, x in on.told if isinstance(x, e.IncidentGrew)]
    assert f"Down on {worse} (critical), merged by ben as INC-2, was: Late on paper" in grew
    on.wake(LATER + 40 + 300)
    assert paged(on, LATER + 40) == [(LATER + 340, "ada")]


def test_a_page_that_is_merged_into_what_waits_goes_on() -> None:
    """What stood for the other one is part of it now."""
    on = Shift(rules([("paper", "till"), ("till", "queue")]))
    deliver(on, BEGIN, alert("paper", BEGIN, "Slow", "warning"))
    deliver(on, LATER, alert("queue", LATER))
    deliver(on, LATER + 280, alert("paper", LATER + 280))
    assert on.incident().waits_by == "INC-2"
    merge(on, LATER + 290, "dora")
    on.wake(LATER + 600)
    assert paged(on, LATER) == [(LATER + 290, "ada"), (LATER + 590, "ben")]


@pytest.mark.parametrize("into", ["paged", "exhausted"])
def test_two_that_page_the_same_people_are_one_page(into: str) -> None:
    """Both were told to them; where everybody had been paged in vain it begins again."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("mail", BEGIN, namespace="eu"))
    at = BEGIN + 60 if into == "paged" else BEGIN + 1_300
    deliver(on, at, alert("db", at, namespace="us"))
    merge(on, at + 20, "ben")
    on.wake(at + 30)
    assert paged(on, at) == ([] if into == "paged" else [(at + 20, "ada")])


def test_an_acknowledgement_by_the_old_name_takes_what_it_is_part_of() -> None:
    """The page that is out names it so."""
    on = Shift(rules())
    deliver(on, BEGIN, alert("mail", BEGIN, namespace="eu"))
    deliver(on, BEGIN + 5, alert("db", BEGIN + 5, namespace="us"))
    merge(on, BEGIN + 20, "ben")
    ack(on, BEGIN + 30, "ada", "INC-2")
    assert on.incident().acknowledged_by == "ada"
    on.wake(BEGIN + 4_000)
    assert paged(on, BEGIN + 5) == []


@pytest.mark.parametrize(("by", "asked"), [("ada", True), ("ben", False), ("cyd", False)])
def test_other_people_are_asked_on_in_what_theirs_was_merged_into(by: str, asked: bool) -> None:
    """Unless one of them merged it: that is their answer. Each side answers for itself."""
    on = routed()
    deliver(on, BEGIN, alert("cart", BEGIN))
    ack(on, BEGIN + 30)
    deliver(on, BEGIN + 100, alert("till", BEGIN + 100))
    merge(on, BEGIN + 120, by)
    on.wake(BEGIN + 500)
    theirs = [(BEGIN + 120, "cyd"), (BEGIN + 420, "ben")]
    assert paged(on, BEGIN + 100) == (theirs if asked else [])
    assert on.incident().acknowledged_by == "ada"


def test_growth_that_was_held_is_told_in_what_it_was_merged_into() -> None:
    """At its time, to whoever has that."""
    on = Shift(rules([("cart", "db"), ("cart", "mail"), ("cart", "queue")]))
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    ack(on, BEGIN + 60)
    for number, service in enumerate(("db", "mail")):
        at = BEGIN + 200 + 60 * number
        change = Change(f"d-{number}", service, "deploy", (at - 10) * SECOND)
        on.give(inputs.ChangesArrived("ci", (change,)), at - 10)
        deliver(on, at, alert(service, at, same=True))
    ack(on, BEGIN + 300)
    deliver(on, BEGIN + 310, alert("paper", BEGIN + 310, "Late", "warning", namespace="z"))
    ack(on, BEGIN + 320, "cyd", "INC-2")
    merge(on, BEGIN + 330, "ben", "INC-1", "INC-2")
    on.wake(BEGIN + 810)
    assert paged(on, BEGIN + 200) == [(BEGIN + 800, "cyd")]
    told = [x.reason.says for _, x in on.told if isinstance(x, e.IncidentGrew)]
    assert told[-1].startswith("INC-2 grew: Down on mail (critical)")


# --- taken back ---------------------------------------------------------------------------------


def test_a_merge_that_is_undone_leaves_the_page_where_it_was() -> None:
    """It goes on by its policy; what it was merged into rings for it no more."""
    on = Shift(rules())
    ticket_and_page(on)
    merge(on, LATER + 40, "ben")
    on.give(inputs.UndoMove("INC-1", "ben"), LATER + 60)
    on.wake(LATER + 601)
    assert paged(on, LATER + 40) == [(LATER + 300, "ben"), (LATER + 600, "ada")]
    assert on.pages("INC-2") == [LATER, LATER + 300, LATER + 600]


def test_a_merge_that_is_undone_leaves_other_people_where_they_were() -> None:
    """And they are asked in one incident alone."""
    on = routed()
    deliver(on, BEGIN, alert("mail", BEGIN))
    ack(on, BEGIN + 10)
    deliver(on, BEGIN + 100, alert("cart", BEGIN + 100, same=True))
    deliver(on, BEGIN + 105, alert("till", BEGIN + 105, same=True))
    ack(on, BEGIN + 110, "ada", "INC-2")
    merge(on, BEGIN + 120, "ada")
    on.give(inputs.UndoMove("INC-1", "ada"), BEGIN + 140)
    assert [list(on.incident(name).besides) for name in ("INC-1", "INC-2")] == [[], ["tills"]]
    before = len(paged(on))
    on.wake(BEGIN + 420)
    assert [to for _, to in paged(on)[before:]] == ["ben"]


@pytest.mark.parametrize("by", ["ben", "ada"])
def test_a_split_that_is_undone_takes_back_what_came_since(by: str) -> None:
    """With the page that nobody has answered; nothing is left that waits for ever."""
    on = Shift(rules(threshold=0.001))
    deliver(on, BEGIN, alert("db", BEGIN, same=True), alert("mail", BEGIN, same=True))
    ack(on, BEGIN + 60)
    on.give(inputs.SplitIncident("INC-1", ("mail",), (), "ada"), BEGIN + 100)
    at = BEGIN + 5_000
    deliver(on, at, alert("mail", at, "DataGone"))
    assert paged(on, at - 1) == [(at, "ada")]
    on.give(inputs.UndoMove("INC-2", by), at + 70)
    assert on.incident("INC-2").state == "merged"
    assert len(on.incident().firing) == 3
    assert paged(on, at) == ([(at + 70, "ada")] if by == "ben" else [])


# --- approvals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["merged", "given back", "handed over"])
@pytest.mark.parametrize("over", [False, True])
def test_an_approval_answers_for_no_service_but_its_plans(how: str, over: bool) -> None:
    """Also for what was merged in, and after an answer was taken back; what is over asks not."""
    only = Match(labels=(read_matcher("service=cart"),))
    book = Runbook("warm", 1, only, (BookStep("w", "wait", {"for_s": 60}, "read"),))
    on = Shift(replace(rules(), books=Books((book,))))
    at = BEGIN + 60
    deliver(on, BEGIN, alert("cart", BEGIN, same=True))
    if how == "merged":
        deliver(on, at, alert("mail", at, namespace="x"))
        merge(on, at + 20, "ben")
    else:
        deliver(on, at, alert("mail", at, namespace="x", same=True))
        ack(on, at + 20, "ada")
        back = inputs.Unacknowledge("INC-1", "ada")
        on.give(back if how == "given back" else inputs.Reassign("INC-1", "ben", "ada"), at + 30)
    if over:
        same = how != "merged"
        deliver(on, at + 40, alert("mail", at, over=at + 40, same=same, namespace="x"))
    incident = on.incident()
    on.give(inputs.ApprovePlan("INC-1", incident.plan_hash, "ada"), at + 50)
    assert (incident.acknowledged_by == "ada") == over


# --- who follows --------------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("how", ["reopened", "undone"])
def test_what_needs_somebody_again_after_an_answer_rings_as_a_further_thread(
    answered: bool, how: str
) -> None:
    """PagerDuty rings no more for what it has as acknowledged."""
    on = Shift(rules())
    if how == "undone":
        deliver(on, BEGIN - 2_000, alert("paper", BEGIN - 2_000, "Late", "warning"))
    name = "INC-2" if how == "undone" else "INC-1"
    deliver(on, BEGIN, alert("db", BEGIN))
    if answered:
        ack(on, BEGIN + 60, "ada", name)
    if how == "undone":
        merge(on, BEGIN + 100, "ben")
        on.give(inputs.UndoMove("INC-1", "ben"), BEGIN + 120)
        timer = on.timers[f"escalate/{name}"]
        again = decide(on.shard, inputs.TimerCameDue(timer), timer.due_at, on.rules)
    else:
        deliver(on, BEGIN + 100, alert("db", BEGIN, over=BEGIN + 100))
        given = inputs.AlertsArrived("test", (alert("db", BEGIN + 3_000),))
        again = decide(on.shard, given, (BEGIN + 3_000) * SECOND, on.rules)
    pages = [x for x in again.effects if isinstance(x, SendPage)]
    assert [(x.incident, x.thread) for x in pages] == [(name, int(answered))]


# --- what it teaches ----------------------------------------------------------------------------


@pytest.mark.parametrize("undone", [False, True])
def test_a_merge_by_hand_teaches_the_group_of_a_route(undone: bool) -> None:
    """What would have joined the merged one joins, also after a restart, until it is undone."""
    disks = Gathering((read_matcher("alertname=~Disk.*"),), ("cluster",))
    on = Shift(replace(rules(), gatherings=(disks,)))
    deliver(on, BEGIN, alert("paper", BEGIN, "DiskFull", cluster="eu"))
    deliver(on, BEGIN + 4_000, alert("mail", BEGIN + 4_000, "Other"))
    merge(on, BEGIN + 4_020, "ada", "INC-1", "INC-2")
    if undone:
        on.give(inputs.UndoMove("INC-2", "ada"), BEGIN + 4_030)
    on.shard = load(dump(on.shard))
    for cluster in ("eu", "us"):
        deliver(on, BEGIN + 8_000, alert("till", BEGIN + 8_000, "DiskFull", cluster=cluster))
    homes = [
        on.shard.firing[one.fingerprint]
        for one in (
            alert("till", BEGIN, "DiskFull", cluster="eu"),
            alert("till", BEGIN, "DiskFull", cluster="us"),
        )
    ]
    assert homes == ["INC-1" if undone else "INC-2", "INC-3"]
