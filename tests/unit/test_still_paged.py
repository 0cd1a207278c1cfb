"""What is muted, merged, put off or late: who is owed a page gets it, and nobody else does."""

from __future__ import annotations

import pytest

from midwatch.core import decide, events, inputs
from midwatch.core.alerts import Alert, identify
from midwatch.core.clock import SECOND
from midwatch.core.incidents import Incident
from midwatch.core.rules import Rules
from midwatch.core.schedules import Hours, Layer, Schedule
from midwatch.core.shard import Shard
from midwatch.core.silences import Inhibition, Maintenance, Muting, read_matcher
from midwatch.core.teams import Policy, Step

POLICY = Policy("p", (Step(("ada",)), Step(("ben",))))
DAY_S = 86_400


class Shift:
    """A shard whose timers come due; times are seconds after the epoch."""

    def __init__(self, muting: Muting | None = None) -> None:
        self.rules = Rules(policy=POLICY, muting=muting or Muting())
        self.shard = Shard()
        self.timers: dict[str, inputs.Timer] = {}
        self.paged: list[tuple[int, str]] = []

    def give(self, given: inputs.Input, at: int) -> None:
        """Decide on an input at its time."""
        decision = decide.decide(self.shard, given, at * SECOND, self.rules)
        self.paged += [
            (at, event.incident)
            for event in decision.events
            if isinstance(event, events.PagePlanned)
        ]
        for key, timer in decision.timers.items():
            self.timers.pop(key, None)
            if timer is not None:
                self.timers[key] = timer

    def alerts(self, at: int, *alerts: Alert) -> None:
        """Let alerts arrive."""
        self.give(inputs.AlertsArrived("test", alerts), at)

    def live(self, until: int) -> None:
        """Let everything come due that does until a time."""
        while due := [one for one in self.timers.values() if one.due_at <= until * SECOND]:
            first = min(due, key=lambda one: one.due_at)
            del self.timers[first.key]
            self.give(inputs.TimerCameDue(first), first.due_at // SECOND)

    def first_page(self, since: int, incident: str = "INC-1") -> int | None:
        """When an incident was first paged for after a time."""
        return next((at for at, name in self.paged if at > since and name == incident), None)

    @property
    def incident(self) -> Incident:
        """The first incident."""
        return self.shard.incidents["INC-1"]


def alert(
    at: int, name: str = "Down", service: str = "shop", level: str = "critical", **labels: str
) -> Alert:
    """An alert that fires since a time."""
    full = {"alertname": name, "service": service, "severity": level, **labels}
    return identify(full).alert("firing", at * SECOND)


def end(since: int, at: int, name: str = "Down", service: str = "shop") -> Alert:
    """The end of one."""
    full = {"alertname": name, "service": service, "severity": "critical"}
    return identify(full).alert("resolved", since * SECOND, at * SECOND)


def silence(*matchers: str, until: int) -> inputs.AddSilence:
    """A silence from the epoch on."""
    return inputs.AddSilence(matchers, 0, until * SECOND, "ben", "known")


# --- what joins what is quiet -------------------------------------------------------------------


def test_an_alert_that_nothing_mutes_pages_in_a_silenced_incident() -> None:
    """Though it is no worse than what was silenced."""
    shift = Shift()
    shift.alerts(1_000, alert(1_000, "DiskFull"))
    shift.give(silence("alertname=DiskFull", until=90_000), 1_010)
    shift.alerts(1_100, alert(1_100, "AllRequestsFail"))
    shift.live(1_200)
    assert len(shift.shard.incidents) == 1
    assert shift.first_page(1_010) is not None


@pytest.mark.parametrize("quiet", ["mitigated", "silenced"])
def test_what_is_merged_into_a_quiet_incident_is_paged_on(quiet: str) -> None:
    """A person who says that two are one does not say that the second is over."""
    shift = Shift()
    shift.alerts(1_000, alert(1_000))
    if quiet == "mitigated":
        shift.alerts(1_050, end(1_000, 1_050))
    else:
        shift.give(silence("service=shop", until=90_000), 1_010)
    shift.alerts(2_000, alert(2_000, service="mail"))
    shift.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), 2_010)
    shift.live(2_100)
    assert shift.incident.state == "open"
    assert shift.first_page(2_009) is not None


# --- what ends a muting -------------------------------------------------------------------------


def test_a_silence_of_one_alert_leaves_a_snooze_and_an_ack_their_ends() -> None:
    """Somebody took the incident for a time, and the other alert fires on."""
    for taken, over in (
        (inputs.Snooze("INC-1", "ada", 5_000 * SECOND), 5_000),
        (inputs.Acknowledge("INC-1", "ada"), 1_010 + 4 * 3_600),
    ):
        shift = Shift()
        shift.alerts(1_000, alert(1_000), alert(1_000, "Slow"))
        shift.give(taken, 1_010)
        shift.give(silence("alertname=Slow", until=2_000), 1_020)
        shift.live(over + 10)
        assert shift.first_page(1_010) == over


def test_a_silence_that_ends_in_a_maintenance_window_hands_over_its_end() -> None:
    """The window ends, and what fires on is paged for at once."""
    hours = (Hours(from_min=60, to_min=120),)
    nightly = Schedule("backup", "UTC", (Layer("l", ("x",), "1970-01-01T00:00", hours=hours),))
    window = Maintenance("backup", (read_matcher("service=db"),), nightly)
    shift = Shift(Muting((), (window,)))
    shift.give(silence("service=db", until=4_500), 1_000)
    shift.alerts(2_000, alert(2_000, service="db"))
    shift.live(2 * DAY_S)
    assert shift.first_page(0) == 7_200


def test_the_end_of_a_source_by_hand_lets_its_targets_speak() -> None:
    """What it explained fires on, and nobody looks at it any more."""
    inhibition = Inhibition(
        "node", (read_matcher("alertname=NodeDown"),), (read_matcher("alertname=Slow"),), ("rack",)
    )
    shift = Shift(Muting((inhibition,)))
    shift.alerts(1_000, alert(1_000, "NodeDown", "node", rack="a"))
    shift.alerts(2_000, alert(2_000, "Slow", rack="a"))
    assert shift.first_page(0, "INC-2") is None
    shift.give(inputs.ResolveIncident("INC-1", "ada", "replaced"), 2_100)
    assert shift.first_page(0, "INC-2") == 2_100


# --- what pages nobody --------------------------------------------------------------------------


def test_a_ticket_that_somebody_took_pages_nobody_when_it_is_given_back() -> None:
    """Neither by hand nor when the ack is too old; it is open again, that is all."""
    for how in (inputs.Unacknowledge("INC-1", "ada"), None):
        shift = Shift()
        shift.alerts(1_000, alert(1_000, level="info"))
        shift.give(inputs.Acknowledge("INC-1", "ada"), 1_010)
        if how is not None:
            shift.give(how, 1_020)
        shift.live(2 * DAY_S)
        assert (shift.incident.urgency, shift.incident.state) == ("ticket", "open")
        assert shift.paged == []


def test_what_is_silenced_pages_nobody_when_an_ack_is_too_old_until_it_speaks() -> None:
    """The silence holds for the hours that it was given."""
    shift = Shift()
    shift.alerts(1_000, alert(1_000))
    shift.give(inputs.Acknowledge("INC-1", "ada"), 1_010)
    shift.give(silence("service=shop", until=DAY_S), 1_020)
    shift.live(2 * DAY_S)
    assert shift.first_page(1_010) == DAY_S


# --- what is late -------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True])
def test_the_end_of_an_earlier_firing_ends_no_later_one(together: bool) -> None:
    """It came late, or once more, beside the newer firing or after it."""
    shift = Shift()
    shift.alerts(1_000, alert(1_000))
    if together:
        shift.alerts(1_201, end(1_000, 1_100), alert(1_200))
    else:
        shift.alerts(1_101, end(1_000, 1_100))
        shift.alerts(1_201, alert(1_200))
        shift.alerts(1_210, end(1_000, 1_100))
    assert shift.incident.state == "open"
    assert [one.starts_at for one in shift.incident.firing.values()] == [1_200 * SECOND]
    shift.alerts(1_300, end(1_200, 1_290))
    assert shift.incident.state == "mitigated"
