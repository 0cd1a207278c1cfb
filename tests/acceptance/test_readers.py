"""Readers never hold up the writer: many open tabs, long lists, a storm beside them.

A real server. What is asserted are counts: how often the engine is asked, and how often the page is
drawn, does not grow with the number of those who look.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from tests.acceptance.serving import Serving, alert, until
from tests.acceptance.tabs import Tabs, session

from midwatch.adapters.stores.tokens import SqliteTokens, new_id
from midwatch.ports import Token

pytestmark = pytest.mark.slow

TABS = 200 if os.environ.get("MIDWATCH_SOAK") else 20
STORM_S = 15 if os.environ.get("MIDWATCH_SOAK") else 1.5
OPEN, WAVES = 50, 3
TOPOLOGY = (
    "services:\n"
    + "".join(f"  - {{name: svc{n}, tier: {1 + n % 3}}}\n" for n in range(OPEN))
    + "  - {name: shop, tier: 1}\nedges: []\n"
)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Fifty open incidents, each with a timeline."""
    serving = Serving(tmp_path_factory.mktemp("readers"))
    (serving.folder / "midwatch" / "topology.yaml").write_text(TOPOLOGY, "utf-8")
    serving.start()
    for wave in range(WAVES):
        serving.deliver(
            *(
                alert(f"A{wave}-{n}", f"svc{n}", severity="warning", namespace=f"n{n}")
                for n in range(OPEN)
            )
        )
    assert len(serving.incidents()) == OPEN
    yield serving
    serving.kill()


@contextmanager
def kept(serving: Serving) -> Generator[SqliteTokens]:
    """The tokens, beside the server that owns the file."""
    tokens = SqliteTokens.open(serving.folder / "midwatch" / "midwatch.db")
    try:
        yield tokens
    finally:
        tokens.close()


def created(serving: Serving, name: str) -> str:
    """Make a responder's token."""
    with kept(serving) as tokens:
        return tokens.create(Token(new_id(), "", "responder", name, 1))


def figures(serving: Serving) -> dict[str, float]:
    """What /metrics says of looks and views."""
    text = serving.ask("GET", "/metrics").body.decode()
    found = re.findall(r"^midwatch_(view\w*?|page_\w+?)(?:_total)? (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_tabs_cost_the_engine_nothing_by_their_number(serving: Serving) -> None:
    """While alerts come in, all of them are shown every change, drawn twice a second at most.

    A sev1 of another service pages meanwhile, and each tab shows it in the end.
    """
    with Tabs(serving.port, session(serving.port, serving.person), TABS) as tabs:
        until(lambda: tabs.showing('id="INC-1-') == TABS, 60)
        before, began = figures(serving), time.monotonic()
        sent = 0
        while time.monotonic() - began < STORM_S:
            down = alert(f"P{sent}", f"svc{sent % OPEN}", namespace=f"n{sent % OPEN}")
            assert serving.deliver(down).status == 202
            sent += 1
            time.sleep(0.05)
        assert serving.deliver(alert("Down", "shop", namespace="other")).status == 202
        until(lambda: "Down on shop" in serving.out.read_text())
        until(lambda: tabs.showing("Down on shop") == TABS, 60)
        after, spent = figures(serving), time.monotonic() - began
        assert sent >= 5
    grown = {name: after[name] - before[name] for name in after}
    assert 2 <= grown["page_views"] <= 2 * spent + 2
    assert grown["page_looks"] <= 2 * spent + 2
    # The rest of the looks are those of the two questions for figures.
    assert grown["views"] <= grown["page_looks"] + 2
    assert after["page_followers"] == TABS
    assert sum(tab.refused for tab in tabs.tabs) == 0


def test_a_page_that_did_not_change_is_not_sent_again(serving: Serving) -> None:
    """Nothing for who has it; the whole page for another person, and none for a stranger."""
    cookie = session(serving.port, serving.person)
    first = serving.ask("GET", "/", Cookie=cookie)
    tag = first.headers["ETag"]
    again = serving.ask("GET", "/", Cookie=cookie, If_None_Match=tag)
    if again.status != 304:  # a minute ended between them, and ages with it
        tag = again.headers["ETag"]
        again = serving.ask("GET", "/", Cookie=cookie, If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["Cache-Control"] == "no-store"
    ben = session(serving.port, created(serving, "ben"))
    other = serving.ask("GET", "/", Cookie=ben, If_None_Match=tag)
    assert other.status == 200
    assert b"ben" in other.body
    stranger = serving.ask("GET", "/", If_None_Match=tag)
    assert b"INC-1" not in stranger.body
    assert b'name="token"' in stranger.body


def test_an_answer_stands_on_the_page_that_follows_it(serving: Serving) -> None:
    """Whoever acknowledges sees that, on the very next look, however many tabs are open."""
    cookie = session(serving.port, serving.person)
    with Tabs(serving.port, cookie, 5) as tabs:
        until(lambda: tabs.showing('id="INC-2-') == 5)
        for number in range(2, 5):
            told = serving.ask("GET", f"/api/v1/incidents/INC-{number}", token=serving.person)
            name = told.document["incident"]["ref"]
            form = re.compile(f"/incidents/{name}/ack".encode())
            assert form.search(serving.ask("GET", "/", Cookie=cookie).body)
            # urllib goes where the answer sends it, as a browser does.
            answer = serving.ask(
                "POST", f"/incidents/{name}/ack", b"", Cookie=cookie, Origin=serving.url
            )
            assert answer.status == 200
            assert not form.search(answer.body)


def test_a_revoked_token_gets_nothing_more(serving: Serving) -> None:
    """Not from what is kept for others either; what it follows ends with the next news."""
    eve = created(serving, "eve")
    cookie = session(serving.port, eve)
    with Tabs(serving.port, cookie, 1) as tabs:
        until(lambda: tabs.showing("eve") == 1)
        with kept(serving) as tokens:
            tokens.revoke(eve.split("_")[1], 1)
        assert b"INC-1" not in serving.ask("GET", "/", Cookie=cookie).body
        serving.deliver(alert("Later", "shop", namespace="later"))
        until(lambda: tabs.tabs[0].over)
        assert tabs.showing("Later on shop") == 0


def test_a_stop_waits_for_no_tab(serving: Serving) -> None:
    """The last test here: with all of them open the server ends at once."""
    with Tabs(serving.port, session(serving.port, serving.person), TABS) as tabs:
        until(lambda: tabs.showing('id="INC-1-') == TABS, 60)
        assert serving.stop() == 0
        assert "graceful shutdown" not in serving.out.read_text()
