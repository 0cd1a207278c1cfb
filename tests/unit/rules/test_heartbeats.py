"""Deadlines of jobs: what a start, a beat and silence do to them."""

from __future__ import annotations

from midwatch.core.decide import decide
from midwatch.core.rules.heartbeats import Watched
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.shard import Shard

JOB = Watched("backup", 60, 30, "db")
RULES = Rules(jobs={"backup": JOB})


def give(shard: Shard, given: inputs.Input, now: int) -> Decision:
    """Decide on one input."""
    return decide(shard, given, now, RULES)


def deadline(d: Decision) -> int | None:
    """When the job must be heard now; None when nothing was said of it."""
    timer = d.timers.get("silent/backup")
    return timer.due_at if timer else None


def test_a_first_start_gives_a_job_its_whole_time() -> None:
    """Every and grace, from the start on."""
    assert deadline(give(Shard(), inputs.Started({}), 1_000)) == 91_000


def test_a_start_leaves_a_deadline_that_is_still_to_come() -> None:
    """Else a midwatch that starts often would never miss a job."""
    shard = Shard()
    give(shard, inputs.Started({}), 0)
    d = give(shard, inputs.Started({"backup": 90_000}), 60_000)
    assert d.is_empty


def test_what_ran_out_while_midwatch_was_down_gets_its_time_again() -> None:
    """Its beats went nowhere meanwhile."""
    shard = Shard()
    give(shard, inputs.Started({}), 0)
    assert deadline(give(shard, inputs.Started({"backup": 90_000}), 100_000)) == 190_000


def test_a_beat_writes_an_event_only_when_something_changes() -> None:
    """The first one, and the first after silence."""
    shard = Shard()
    give(shard, inputs.Started({}), 0)
    kinds = [
        [type(e).__name__ for e in give(shard, inputs.HeartbeatSeen("backup"), at).events]
        for at in (1_000, 2_000)
    ]
    assert kinds == [["JobHeard"], []]
    timer = inputs.Timer("silent/backup", 92_000, "silent", "")
    silent = give(shard, inputs.TimerCameDue(timer), 92_000)
    assert "JobWentSilent" in [type(e).__name__ for e in silent.events]
    (incident,) = shard.incidents.values()
    assert (incident.severity, incident.urgency) == ("sev3", "ticket")
    again = give(shard, inputs.HeartbeatSeen("backup"), 93_000)
    assert "AlertsResolved" in [type(e).__name__ for e in again.events]
