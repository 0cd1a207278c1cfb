"""Open tabs beside alerts: a real `midwatch serve`, fifty open incidents, tabs that follow it.

Law: the peer of each figure is the same server without tabs, in the same run. What the page costs
is CPU time: the tabs and the senders share the machine with the server.

    python -m benchmarks.tabs
"""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from msgspec import Struct
from tests.acceptance.serving import Serving, alert, until, webhook
from tests.acceptance.tabs import Tabs, session

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.core.values.topology import Topology
from midwatch.engine.overview import Looker
from midwatch.web.cards import Cards, templates
from midwatch.web.shown import drawn

TABS = 200
OPEN, WAVES = 50, 25
QUIET_S, BUSY_S = 8, 20
EVERY_S = 0.1
LOOKS, DRAWN = 300, 40
NOON = 1_764_504_000_000
TICKS = os.sysconf("SC_CLK_TCK")


class Answered(Struct):
    """Milliseconds until an alert is answered; seconds until the page of a sev1 is out."""

    p50_ms: float
    page_s: float


class Found(Struct):
    """Without tabs and with them; what a look at bytes that are there costs; views a second."""

    quiet: Answered
    busy: Answered
    look_ms: float
    views_per_s: float


def measure(count: int = TABS) -> Found:
    """Time alerts and pages without tabs, then with so many of them."""
    with _served() as serving:
        quiet = _answered(serving, QUIET_S, "quiet")
        cookie = session(serving.port, serving.person)
        look_ms = _look_ms(serving, cookie)
        with Tabs(serving.port, cookie, count) as tabs:
            until(lambda: tabs.showing('id="INC-1-') == count, 120)
            views, began = _views(serving), time.monotonic()
            busy = _answered(serving, BUSY_S, "busy")
            per_s = (_views(serving) - views) / (time.monotonic() - began)
        return Found(quiet, busy, look_ms, per_s)


def render_ms(opened: int, touched: int = 1) -> float:
    """CPU milliseconds of one view with so many open incidents, of which some have news."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore.own(Path(folder) / "midwatch.db")
        rules = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0)))
        engine = build_engine(store, rules, World({}), lambda: NOON)
        looker, cards = Looker(Topology(), 50), Cards(templates(), store, shadow=False)

        def news(wave: int, places: int) -> None:
            alerts = [_alert(f"A{wave}-{n}", f"svc{n}", f"n{n}") for n in range(places)]
            arrived = inputs.AlertsArrived("bench", tuple(alerts))
            engine.handler.handle([Envelope("", arrived)])

        for wave in range(WAVES):
            news(wave, opened)
        spent: list[float] = []
        for wave in range(WAVES, WAVES + DRAWN):
            news(wave, touched)
            began = time.process_time()
            drawn(cards, looker.look(engine.handler.shard), NOON)
            spent.append(time.process_time() - began)
        store.close()
        return statistics.median(spent[1:]) * 1_000  # the first one draws all of it


def _alert(name: str, service: str, place: str) -> inputs.Alert:
    labels = {"alertname": name, "service": service, "severity": "warning", "namespace": place}
    return identify(labels).alert("firing", NOON)


@contextmanager
def _served() -> Iterator[Serving]:
    """Serve, with open incidents that have timelines."""
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder))
        topology = "".join(f"  - {{name: svc{n}, tier: 3}}\n" for n in range(OPEN))
        (serving.folder / "midwatch" / "topology.yaml").write_text(
            f"services:\n{topology}  - {{name: shop, tier: 1}}\nedges: []\n", "utf-8"
        )
        serving.start(options=["--log-level", "error"])
        for wave in range(WAVES):
            places = [(f"A{wave}-{n}", f"svc{n}", f"n{n}") for n in range(OPEN)]
            serving.deliver(
                *(alert(name, s, severity="warning", namespace=n) for name, s, n in places)
            )
        yield serving
        serving.kill()


def _answered(serving: Serving, seconds: float, mark: str) -> Answered:
    """Send an alert every so often, and at last one that pages."""
    connection = HTTPConnection("127.0.0.1", serving.port, timeout=60)
    headers = {"Authorization": f"Bearer {serving.sender}"}
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number = len(taken) % OPEN
        body = webhook(
            alert(f"{mark}{len(taken)}", f"svc{number}", severity="warning", namespace=f"n{number}")
        )
        began = time.perf_counter()
        connection.request("POST", "/intake/alertmanager", body, headers)
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
        time.sleep(EVERY_S)
    began = time.perf_counter()
    name = f"Down-{mark}"
    serving.deliver(alert(name, "shop", namespace=mark))
    until(lambda: f"{name} on shop" in serving.out.read_text(), 60)
    connection.close()
    return Answered(statistics.median(taken) * 1_000, time.perf_counter() - began)


def _look_ms(serving: Serving, cookie: str) -> float:
    """CPU milliseconds of the server for a look at the page that is there already."""
    connection = HTTPConnection("127.0.0.1", serving.port, timeout=60)
    headers = {"Cookie": cookie, "Accept-Encoding": "gzip"}
    before = 0.0
    for number in range(LOOKS + 10):
        if number == 10:
            before = _cpu_s(serving.pid)
        connection.request("GET", "/", headers=headers)
        connection.getresponse().read()
    connection.close()
    return (_cpu_s(serving.pid) - before) / LOOKS * 1_000


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _views(serving: Serving) -> float:
    text = serving.ask("GET", "/metrics").body.decode()
    found = re.search(r"^midwatch_page_views_total (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def main() -> None:
    """Print what was found."""
    for opened in (50, 500):
        print(f"a view with {opened} open: {render_ms(opened):.2f} ms of CPU after one alert")
    print(f"a view with 50 open: {render_ms(50, 50):.2f} ms of CPU after news of each")
    found = measure()
    for name, one in (("without tabs", found.quiet), (f"with {TABS} tabs", found.busy)):
        print(
            f"{name}: an alert is answered in {one.p50_ms:.1f} ms,"
            f" a sev1 pages in {one.page_s:.2f} s"
        )
    print(f"a look: {found.look_ms:.2f} ms of CPU; views: {found.views_per_s:.2f} a second")


if __name__ == "__main__":
    main()
