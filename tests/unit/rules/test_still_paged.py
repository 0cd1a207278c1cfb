"""What is muted, merged, put off or late: who is owed a page gets it, and nobody else does."""

from __future__ import annotations

import pytest
from tests.unit.shifts import Shift

from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.schedules import Hours, Layer, Schedule
from midwatch.core.values.silences import Inhibition, Maintenance, Muting, read_matcher
from midwatch.core.values.teams import Policy, Step

POLICY = Policy("p", (Step(("ada",)), Step(("ben",))))
DAY_S = 86_400


def shift(muting: Muting | None = None) -> Shift:
    """One whose policy pages two people in turn."""
    return Shift(Rules(policy=POLICY, muting=muting or Muting()))


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


def deliver(on: Shift, at: int, *alerts: Alert) -> None:
    """Let alerts arrive."""
    on.give(inputs.AlertsArrived("test", alerts), at)


def first_page(on: Shift, since: int, incident: str = "INC-1") -> int | None:
    """When an incident was first paged for after a time."""
    return next((at for at in on.pages(incident) if at > since), None)


# --- what joins what is quiet -------------------------------------------------------------------


def test_an_alert_that_nothing_mutes_pages_in_a_silenced_incident() -> None:
    """Though it is no worse than what was silenced."""
    on = shift()
    deliver(on, 1_000, alert(1_000, "DiskFull"))
    on.give(silence("alertname=DiskFull", until=90_000), 1_010)
    deliver(on, 1_100, alert(1_100, "AllRequestsFail"))
    on.wake(1_200)
    assert len(on.shard.incidents) == 1
    assert first_page(on, 1_010) is not None


@pytest.mark.parametrize("quiet", ["mitigated", "silenced"])
def test_what_is_merged_into_a_quiet_incident_is_paged_on(quiet: str) -> None:
    """A person who says that two are one does not say that the second is over."""
    on = shift()
    deliver(on, 1_000, alert(1_000))
    if quiet == "mitigated":
        deliver(on, 1_050, end(1_000, 1_050))
    else:
        on.give(silence("service=shop", until=90_000), 1_010)
    deliver(on, 2_000, alert(2_000, service="mail"))
    on.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), 2_010)
    on.wake(2_100)
    assert on.incident().state == "open"
    assert first_page(on, 2_009) is not None


# --- what ends a muting -------------------------------------------------------------------------


def test_a_silence_of_one_alert_leaves_a_snooze_and_an_ack_their_ends() -> None:
    """Somebody took the incident for a time, and the other alert fires on."""
    for taken, over in (
        (inputs.Snooze("INC-1", "ada", 5_000 * SECOND), 5_000),
        (inputs.Acknowledge("INC-1", "ada"), 1_010 + 4 * 3_600),
    ):
        on = shift()
        deliver(on, 1_000, alert(1_000), alert(1_000, "Slow"))
        on.give(taken, 1_010)
        on.give(silence("alertname=Slow", until=2_000), 1_020)
        on.wake(over + 10)
        assert first_page(on, 1_010) == over


def test_a_silence_that_ends_in_a_maintenance_window_hands_over_its_end() -> None:
    """The window ends, and what fires on is paged for at once."""
    hours = (Hours(from_min=60, to_min=120),)
    nightly = Schedule("backup", "UTC", (Layer("l", ("x",), "1970-01-01T00:00", hours=hours),))
    window = Maintenance("backup", (read_matcher("service=db"),), nightly)
    on = shift(Muting((), (window,)))
    on.give(silence("service=db", until=4_500), 1_000)
    deliver(on, 2_000, alert(2_000, service="db"))
    on.wake(2 * DAY_S)
    assert first_page(on, 0) == 7_200


def test_the_end_of_a_source_by_hand_lets_its_targets_speak() -> None:
    """What it explained fires on, and nobody looks at it any more."""
    inhibition = Inhibition(
        "node", (read_matcher("alertname=NodeDown"),), (read_matcher("alertname=Slow"),), ("rack",)
    )
    on = shift(Muting((inhibition,)))
    deliver(on, 1_000, alert(1_000, "NodeDown", "node", rack="a"))
    deliver(on, 2_000, alert(2_000, "Slow", rack="a"))
    assert first_page(on, 0, "INC-2") is None
    on.give(inputs.ResolveIncident("INC-1", "ada", "replaced"), 2_100)
    assert first_page(on, 0, "INC-2") == 2_100


# --- what pages nobody --------------------------------------------------------------------------


def test_a_ticket_that_somebody_took_pages_nobody_when_it_is_given_back() -> None:
    """Neither by hand nor when the ack is too old; it is open again, that is all."""
    for how in (inputs.Unacknowledge("INC-1", "ada"), None):
        on = shift()
        deliver(on, 1_000, alert(1_000, level="info"))
        on.give(inputs.Acknowledge("INC-1", "ada"), 1_010)
        if how is not None:
            on.give(how, 1_020)
        on.wake(2 * DAY_S)
        assert (on.incident().urgency, on.incident().state) == ("ticket", "open")
        assert on.pages() == []


def test_what_is_silenced_pages_nobody_when_an_ack_is_too_old_until_it_speaks() -> None:
    """The silence holds for the hours that it was given."""
    on = shift()
    deliver(on, 1_000, alert(1_000))
    on.give(inputs.Acknowledge("INC-1", "ada"), 1_010)
    on.give(silence("service=shop", until=DAY_S), 1_020)
    on.wake(2 * DAY_S)
    assert first_page(on, 1_010) == DAY_S


# --- what is late -------------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True])
def test_the_end_of_an_earlier_firing_ends_no_later_one(together: bool) -> None:
    """It came late, or once more, beside the newer firing or after it."""
    on = shift()
    deliver(on, 1_000, alert(1_000))
    if together:
        deliver(on, 1_201, end(1_000, 1_100), alert(1_200))
    else:
        deliver(on, 1_101, end(1_000, 1_100))
        deliver(on, 1_201, alert(1_200))
        deliver(on, 1_210, end(1_000, 1_100))
    assert on.incident().state == "open"
    assert [one.starts_at for one in on.incident().firing.values()] == [1_200 * SECOND]
    deliver(on, 1_300, end(1_200, 1_290))
    assert on.incident().state == "mitigated"
