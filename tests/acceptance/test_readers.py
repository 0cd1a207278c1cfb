"""Readers never hold up the writer: many open tabs, long lists, a storm beside them.

A real server. What is asserted are counts: how often the engine is asked, and how often the page is
drawn, does not grow with the number of those who look.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from tests.acceptance.serving import Answer, Serving, alert, until
from tests.acceptance.tabs import Tabs, session

from midwatch.adapters.stores.tokens import SqliteTokens, new_id
from midwatch.cli.over_server import OverServer
from midwatch.engine.paging import LIMIT
from midwatch.engine.queries import OVER
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
            form = re.compile(f"/incidents/INC-{number}-[0-9a-f]+/ack".encode())
            found = form.search(serving.ask("GET", "/", Cookie=cookie).body)
            assert found
            # urllib goes where the answer sends it, as a browser does.
            answer = serving.ask("POST", found[0].decode(), b"", Cookie=cookie, Origin=serving.url)
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


def following(part: Answer) -> str:
    """Where the next part is, as Link says; empty at the end."""
    link = part.headers["Link"]
    where = re.fullmatch('<(.+)>; rel="next"', link) if link else None
    assert bool(link) == bool(where)
    return where[1] if where else ""


def followed(serving: Serving, path: str) -> list[Answer]:
    """Every part of an answer."""
    found = [serving.ask("GET", path, token=serving.person)]
    while path := following(found[-1]):
        found.append(serving.ask("GET", path, token=serving.person))
    assert {one.status for one in found} == {200}
    return found


@pytest.mark.parametrize(
    "path", ["incidents?", "incidents?all=true&", "changes?", "report?", "alerts/rejected?"]
)
def test_a_list_comes_in_parts_that_say_where_the_next_one_is(serving: Serving, path: str) -> None:
    """Together they are the whole; the last one says nothing."""
    if path == "changes?":
        for n in range(5):
            body = f'{{"service": "svc{n}", "kind": "deploy", "id": "d/{n} ?"}}'.encode()
            answer = serving.ask("POST", "/api/v1/changes", body, serving.person)
            assert answer.status == 200
    if path == "alerts/rejected?":
        for n in range(5):
            bad = {"labels": {"alertname": f"Bad{n}"}, "startsAt": "never", "status": "firing"}
            assert serving.deliver(bad).document["rejected"] == 1
    whole = serving.ask("GET", f"/api/v1/{path}", token=serving.person)
    assert whole.headers["Link"] is None
    size = 2 if path in ("changes?", "alerts/rejected?") else 19

    def rows(answer: Answer) -> list[dict[str, object]]:
        return answer.document["incidents"] if path == "report?" else answer.document

    parts = followed(serving, f"/api/v1/{path}limit={size}")
    assert len(parts) == -(-len(rows(whole)) // size) > 1
    assert [row for part in parts for row in rows(part)] == rows(whole)


def test_a_timeline_comes_in_parts(serving: Serving) -> None:
    """Of an answer to a command too: its Link leads to the rest of the incident."""
    whole = serving.ask("GET", "/api/v1/incidents/INC-7", token=serving.person).document
    parts = followed(serving, "/api/v1/incidents/INC-7?limit=2")
    timeline = [moment for part in parts for moment in part.document["timeline"]]
    assert timeline == whole["timeline"]
    assert {part.document["pruned"] for part in parts} == {0}


def close(serving: Serving, name: str) -> None:
    """Let an incident leave: when it harmed somebody it is waived."""
    until_ms = time.time_ns() // 1_000_000 + 86_400_000
    waived = {"why": "no model", "owner": "ada", "ends_at": until_ms}
    for verb, given in (("ack", {}), ("resolve", {"why": "restarted"}), ("waive", waived)):
        body = json.dumps(given).encode()
        path = f"/api/v1/incidents/{name}/{verb}"
        answer = serving.ask("POST", path, body, serving.person)
        assert answer.status == 200
        if answer.document["incident"]["state"] == "closed":
            break  # it paged nobody


def test_who_closes_while_all_are_read_is_there_once(serving: Serving) -> None:
    """Ahead of the part that is read, and behind it; closed, each is told whole under its ref."""
    names = [
        one["id"]
        for one in serving.ask("GET", "/api/v1/incidents?all=true", token=serving.person).document
    ]
    read, path = [], "/api/v1/incidents?all=true&limit=9"
    closing = iter([(names[3], names[30]), (names[12], names[40]), (names[1], names[45])])
    while path:
        part = serving.ask("GET", path, token=serving.person)
        read += [one["id"] for one in part.document]
        path = following(part)
        for name in next(closing, ()):
            close(serving, name)
    assert read == names
    whole = serving.ask("GET", f"/api/v1/incidents/{names[3]}", token=serving.person).document
    assert whole["incident"]["state"] == "closed"
    parts = followed(serving, f"/api/v1/incidents/{whole['incident']['ref']}?limit=3")
    assert len(parts) > 1
    assert [one for part in parts for one in part.document["timeline"]] == whole["timeline"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("incidents?limit=0", 422),
        ("incidents?limit=1001", 422),
        ("incidents?limit=x", 422),
        ("incidents?after=nobody", 404),
        ("incidents?limit=2&after=INC-999999", 404),
        ("incidents?all=true&after=INC-x", 404),
        ("incidents/INC-1?after=x", 404),
        ("changes?after=nobody", 404),
        ("report?after=INC-999999", 404),
    ],
)
def test_a_part_that_cannot_be_given_is_refused(serving: Serving, path: str, status: int) -> None:
    """A limit that is none is refused, a place that is none is not found; with what to write."""
    answer = serving.ask("GET", f"/api/v1/{path}", token=serving.person)
    assert answer.status == status
    assert answer.document["remedy"]


def test_the_commands_show_the_whole_however_many_parts_it_has(serving: Serving) -> None:
    """More incidents than one part holds, in the order in which the file lists them."""
    many = [alert("Slow", "docs", severity="info", namespace=f"m{n}") for n in range(LIMIT + 7)]
    assert serving.deliver(*many).status == 202
    where = OverServer(serving.url, serving.person)
    listed = where.all(everything=True)
    assert len(listed) == len({one.id for one in listed}) > LIMIT
    assert [one.id for one in where.all(everything=False)] == [
        one.id for one in listed if one.state not in OVER
    ]
    assert listed[0].severity == "sev1"
    now = time.time_ns() // 1_000_000
    assert len(where.report(now - 3_600_000, now + 1_000).incidents) == len(listed)


def test_a_stop_waits_for_no_tab(serving: Serving) -> None:
    """The last test here: with all of them open the server ends at once."""
    with Tabs(serving.port, session(serving.port, serving.person), TABS) as tabs:
        until(lambda: tabs.showing('id="INC-1-') == TABS, 60)
        assert serving.stop() == 0
        assert "graceful shutdown" not in serving.out.read_text()
