"""How two services stand to each other: `core/values/reach.py`."""

from __future__ import annotations

import random

import pytest

from midwatch.core.values import reach
from midwatch.core.values.reach import MOST_CALLS, Reach, reach_of
from midwatch.core.values.topology import HUB_EDGES, Topology


def reach_through(*calls: tuple[str, str]) -> Reach:
    return Reach(Topology([], calls))


@pytest.mark.parametrize(
    ("one", "other", "calls"),
    [
        ("shop", "shop", 0),
        ("shop", "cart", 1),
        ("cart", "shop", 1),
        ("shop", "db", 2),
        ("search", "shop", 3),  # down to the database that both use, and up again
        ("shop", "ink", None),
        ("shop", "nobody", None),
        ("nobody", "nobody", 0),
        ("nobody", "else", None),
    ],
)
def test_calls_between(one: str, other: str, calls: int | None) -> None:
    found = reach_through(("shop", "cart"), ("cart", "db"), ("search", "db"), ("paper", "ink"))
    assert found.hops(one, other) == calls
    assert found.hops(other, one) == calls


def test_a_path_has_an_end() -> None:
    chain = [(f"s{n}", f"s{n + 1}") for n in range(MOST_CALLS + 3)]
    found = reach_through(*chain)
    assert found.hops("s0", f"s{MOST_CALLS}") == MOST_CALLS
    assert found.hops("s0", f"s{MOST_CALLS + 1}") is None
    assert found.part_of("s0") == found.part_of(f"s{MOST_CALLS + 1}")


def test_no_path_runs_through_a_hub() -> None:
    users = [f"u{n}" for n in range(HUB_EDGES + 1)]
    found = reach_through(*((one, "dns") for one in users), ("u0", "shop"), ("u1", "cart"))
    assert found.hops("u0", "dns") == 1
    assert found.hops("dns", "u0") == 1
    assert found.hops("dns", "shop") == 2
    assert found.hops("u0", "u1") is None
    assert found.hops("shop", "cart") is None
    assert found.part_of("shop") == found.part_of("u0") != found.part_of("cart")
    assert found.part_of("dns") not in {found.part_of("shop"), found.part_of("cart"), ""}


def test_a_call_less_is_no_hub() -> None:
    users = [f"u{n}" for n in range(HUB_EDGES)]
    assert reach_through(*((one, "db") for one in users)).hops("u0", "u1") == 2


def test_what_is_kept_is_bounded_and_the_answers_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(3)
    names = [f"s{n}" for n in range(40)]
    calls = [(rng.choice(names), rng.choice(names)) for _ in range(45)]
    free = reach_through(*calls)
    monkeypatch.setattr(reach, "MOST_KEPT", 60)
    tight = reach_through(*calls)
    for one in names:
        for other in names:
            assert tight.hops(one, other) == free.hops(one, other) == free.hops(other, one)
        assert (free.part_of(one) == "") != free.knows(one)


def test_one_graph_has_one_table() -> None:
    graph = Topology([], [("shop", "db")])
    assert reach_of(graph) is reach_of(graph)
