"""One objective's harm over hours, and two objectives of one service: nobody is missed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from tests.unit.shifts import Shift

from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.values import slo
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts, SliReading
from midwatch.core.values.slo import Slo, Verify
from midwatch.core.values.teams import Policy, Step

SHOP = Slo("shop/availability", "shop", "0.999")
FAST = Slo("shop/latency", "shop", "0.999")
POLICY = Policy("p", (Step(("ada",)), Step(("ben",))))
EACH_S, EVENTS = 10, 1_000
HOUR_S, BEFORE_S = 3_600, 4 * 86_400
NOON = 10**9
Bad = Callable[[int], float]


class Life(Shift):
    """A service whose objectives are read every ten seconds; its first second is 0."""

    def __init__(self, until_s: int, **bad: Bad) -> None:
        objectives = [one for one in (SHOP, FAST) if one.id.split("/")[1] in bad]
        super().__init__(Rules(slos={one.id: one for one in objectives}, policy=POLICY), NOON)
        self._sums = {
            one.id: list(
                accumulate(
                    int(EVENTS * bad[one.id.split("/")[1]](at))
                    for at in range(-BEFORE_S, until_s, EACH_S)
                )
            )
            for one in objectives
        }

    def live(self, since_s: int, until_s: int) -> None:
        """Read everything, and let timers come due, from one second until before another."""
        for at in range(since_s, until_s, EACH_S):
            self.wake(at)
            for objective in self.rules.slos.values():
                self.give(inputs.SliMeasured(self._read(objective, at)), at)

    def _read(self, objective: Slo, at: int) -> SliReading:
        sums, end = self._sums[objective.id], (at + BEFORE_S) // EACH_S
        windows: dict[int, Counts] = {}
        for length_s in slo.windows_needed(objective, Verify()):
            size = min(length_s // EACH_S, end)
            bad = sums[end - 1] - (sums[end - size - 1] if size < end else 0)
            windows[length_s] = Counts(size * EVENTS - bad, size * EVENTS)
        return SliReading(objective.id, NOON + at * SECOND, windows, heard_at=NOON + at * SECOND)


def first_pages(life: Life) -> list[tuple[int, str]]:
    """When somebody was first paged for each incident."""
    return [(life.pages(name)[0], name) for name in life.shard.incidents if life.pages(name)]


def outage(*spans: tuple[int, int], share: float = 1.0) -> Bad:
    """Bad answers, all of them or a share, in these spans of seconds."""
    return lambda at: share if any(a <= at < b for a, b in spans) else 0.0


def test_a_second_outage_pages_while_slow_tiers_still_burn_of_the_first() -> None:
    """Two hours later the first is resolved, and its harm is in the long windows for days."""
    life = Life(4 * HOUR_S, availability=outage((0, 900), (2 * HOUR_S, 2 * HOUR_S + 1_800)))
    life.live(0, 4 * HOUR_S)
    assert "INC-1" not in life.shard.incidents  # it was closed: it owes no case
    ((second, name),) = first_pages(life)
    assert 2 * HOUR_S <= second <= 2 * HOUR_S + 70
    assert name == "INC-2"
    assert life.incident("INC-2").severity == "sev1"
    assert life.incident("INC-2").recurrence_of == "INC-1"


def test_old_harm_in_long_windows_opens_nothing() -> None:
    """One outage is one incident, though a ticket's tier burns on for days."""
    life = Life(80 * HOUR_S, availability=outage((0, 900)))
    life.live(0, 6 * HOUR_S)
    assert life.shard.burning
    life.live(6 * HOUR_S, 80 * HOUR_S)
    assert not life.shard.burning
    assert life.shard.next_incident == 2


def test_a_few_bad_answers_after_an_outage_are_no_second_one() -> None:
    """They burn above 1x for a minute now and then, which was within the objective before."""
    spans = [(HOUR_S + n * 600, HOUR_S + n * 600 + 10) for n in range(20)]
    few = outage(*spans, share=0.01)
    first = outage((0, 900))
    life = Life(5 * HOUR_S, availability=lambda at: first(at) or few(at))
    life.live(0, 5 * HOUR_S)
    assert life.shard.burning
    assert [name for _, name in first_pages(life)] == ["INC-1"]
    assert list(life.shard.incidents) == ["INC-1"]


def test_an_outage_right_after_a_person_said_it_is_over_pages() -> None:
    """Before ten minutes are over, and though no tier was calm in between."""
    end = 900 + 360
    life = Life(end + 600, availability=outage((0, 900), (end + 60, end + 600)))
    life.live(0, end)
    life.give(inputs.ResolveIncident("INC-1", "ada", "all is well"), end)
    assert life.incident("INC-1").state == "resolved"
    life.live(end, end + 600)
    (_, (second, name)) = first_pages(life)
    assert (name, life.incident(name).severity) == ("INC-2", "sev1")
    assert end + 60 < second < end + 360


def test_users_are_well_only_when_every_objective_says_so() -> None:
    """A latency that is fine again proves nothing while a half of the answers fail."""
    life = Life(
        3 * HOUR_S, availability=outage((0, 2 * HOUR_S), share=0.5), latency=outage((30, 90))
    )
    life.live(0, 2 * HOUR_S)
    first = life.incident("INC-1")
    assert list(life.shard.incidents) == ["INC-1"]
    assert set(first.slos) == {SHOP.id, FAST.id}
    assert first.state == "open"
    life.live(2 * HOUR_S, 2 * HOUR_S + 400)
    assert first.state == "mitigated"
    well = [x for _, x in life.told if isinstance(x, events.ObjectiveJudged)]
    assert [(x.slo, x.verdict) for x in well] == [(FAST.id, "recovered"), (SHOP.id, "recovered")]


def test_what_one_objective_said_is_taken_back_when_it_burns_anew() -> None:
    """Each is well once, and never both at the same time, until the end."""
    life = Life(
        2 * HOUR_S,
        availability=outage((0, 900), (1_500, 2_400)),
        latency=outage((0, 1_500), (2_200, 2_600)),
    )
    life.live(0, HOUR_S)
    first = life.incident("INC-1")
    assert 2_900 <= (first.mitigated_at - NOON) // SECOND < 3_000
    opened = [event for _, event in life.told if isinstance(event, events.IncidentReopened)]
    assert opened == []
    assert list(life.shard.incidents) == ["INC-1"]


def test_an_objective_that_is_gone_from_the_config_holds_no_incident_open() -> None:
    """Nobody could say any more that users are well; a person may."""
    life = Life(600, availability=outage((0, 600)))
    life.live(0, 600)
    life.rules = Rules(policy=POLICY)
    life.give(inputs.ResolveIncident("INC-1", "ada", "it is gone"), 600)
    assert life.incident("INC-1").state == "resolved"
