"""An incident that waits for events that do not come: it says so, and its holder is told once."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.rules.test_core import SHOP, Bench, alert, kinds, resolved
from tests.unit.rules.test_runbooks import PURGES, answer, approve, bench, burn, due

from midwatch.core.state import effects, inputs
from midwatch.core.state import events as e
from midwatch.core.state.decision import Decision
from midwatch.core.values.slo import Verify
from midwatch.core.values.teams import Person, Policy, Step, Team
from midwatch.engine import queries

MINUTE = 60_000
DEADLINE = Verify().deadline_s * 1_000
WAITS = "waits for shop/answers: 4 of 30 events in 5 min"


def waiting(*, taken: bool = True) -> tuple[Bench, Decision]:
    """An incident that burned, of which only a trickle is heard since then."""
    found = bench()
    team = Team({"ada": Person("ada", ("phone",)), "ben": Person("ben", ("phone",))})
    policy = Policy("p", (Step(("ben",)), Step(("ada",))), team=team)
    found.rules = replace(found.rules, policy=policy)
    burn(found)
    if taken:
        found.give(inputs.Acknowledge("INC-1", "ada"), 2_000)
    return found, found.read(4, 4, 10 * MINUTE)


def pages(decision: Decision) -> list[str]:
    """Who is paged."""
    return [one.to for one in decision.effects if isinstance(one, effects.SendPage)]


def shown(found: Bench) -> str:
    """What `show` says that it waits for."""
    return queries.outline(found.state, found.only).waits


def test_what_is_waited_for_is_told_in_show() -> None:
    """From the first reading on that has too few events; later ones add nothing."""
    found, decision = waiting()
    (awaited,) = (one for one in decision.events if isinstance(one, e.RecoveryAwaited))
    assert (awaited.slo, awaited.reason.says) == (SHOP.id, WAITS)
    assert shown(found).startswith(f"{WAITS}, since ")
    assert "RecoveryAwaited" not in kinds(found.read(5, 5, 11 * MINUTE))
    assert decision.timers["waits/INC-1"] is not None


def test_its_holder_is_told_once() -> None:
    """And nobody else, as long as the holder answers."""
    found, _ = waiting()
    at = 10 * MINUTE + DEADLINE
    decision = due(found, "waits", at)
    assert "WaitTold" in kinds(decision)
    assert pages(decision) == ["ada"]
    (page,) = (one for one in decision.effects if isinstance(one, effects.SendPage))
    assert f"INC-1 still {WAITS}, 30 min ago; nothing fires" in page.summary
    found.give(inputs.Acknowledge("INC-1", "ada"), at + 1_000)
    assert kinds(due(found, "waits", at + DEADLINE)) == []
    decision = found.read(5, 5, at + 2 * DEADLINE)
    assert not {"RecoveryAwaited", "WaitTold"} & set(kinds(decision))
    assert pages(decision) == []


def test_who_is_well_or_hurt_again_waits_for_nothing() -> None:
    """Enough events say how users are; an alert that fires pages by itself."""
    found, _ = waiting()
    found.read(1_000, 1_000, 20 * MINUTE)
    assert found.only.state == "mitigated"
    assert shown(found) == ""
    assert kinds(due(found, "waits", 10 * MINUTE + DEADLINE)) == []
    found, _ = waiting()
    found.alerts(alert("shop", "Down"), now=20 * MINUTE)
    assert shown(found) == ""
    assert "RecoveryAwaited" not in kinds(found.read(4, 4, 21 * MINUTE))
    found.alerts(resolved(alert("shop", "Down")), now=22 * MINUTE)
    assert "RecoveryAwaited" in kinds(found.read(4, 4, 28 * MINUTE))


def test_a_plan_under_way_has_its_own_deadline() -> None:
    """Nobody is told twice of the same wait; and a snooze is not broken for it."""
    found = bench(PURGES)
    burn(found)
    approve(found)
    answer(found, "applied")
    assert "RecoveryAwaited" not in kinds(found.read(4, 4, 10 * MINUTE))
    found, _ = waiting()
    until = 10 * MINUTE + 3 * DEADLINE
    found.give(inputs.Snooze("INC-1", "ada", until), 11 * MINUTE)
    decision = due(found, "waits", 10 * MINUTE + DEADLINE)
    assert kinds(decision) == []
    assert decision.timers["waits/INC-1"] is not None


def test_who_is_looked_for_is_told_by_that() -> None:
    """The next page says why; nothing is added to it."""
    found, _ = waiting(taken=False)
    decision = due(found, "waits", 10 * MINUTE + DEADLINE)
    assert kinds(decision) == ["WaitTold"]
    assert pages(decision) == []
