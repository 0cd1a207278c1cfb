"""Threads that perform: as many as are needed, and none that the end waits for."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from midwatch.engine.hands import Hands
from midwatch.errors import Interrupted

LONG_S = 60


def test_calls_are_done_beside_each_other_and_answered() -> None:
    """On as many threads as there are calls, up to the bound; what is raised comes out."""
    hands, together = Hands(3, "test"), threading.Barrier(3)
    found = [hands.submit(lambda: together.wait(LONG_S)) for _ in range(3)]
    assert sorted(one.result(LONG_S) for one in found) == [0, 1, 2]
    for error in (ValueError("no"), Interrupted()):

        def fail(error: BaseException = error) -> None:
            raise error

        assert hands.submit(fail).exception(LONG_S) is error
    assert hands.settle(LONG_S)
    assert hands.busy == 0
    assert [hands.submit(str).result(LONG_S) for _ in range(50)] == [""] * 50
    assert threading.active_count() < 20
    hands.end()


def test_no_end_waits_for_a_call_that_hangs() -> None:
    """It is counted and left; what was not begun is cancelled."""
    hands, go = Hands(1, "test"), threading.Event()
    hanging: Future[Any] = hands.submit(lambda: go.wait(LONG_S))
    behind = hands.submit(str)
    assert not hands.settle(0.05)
    assert hands.busy == 2
    hands.end()
    assert behind.cancelled()
    with pytest.raises(RuntimeError):
        hands.submit(str)
    go.set()
    assert hanging.result(LONG_S) is True
