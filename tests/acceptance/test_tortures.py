"""What goes wrong around a running server: a full disk, a clock that jumps, bad callers.

Real processes throughout. What got its 202 is kept, pages go out, and nobody waits for whoever
misbehaves.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Answer, Serving, alert, reconfigure, until, webhook
from tests.servers import clocked, lacking

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND
from midwatch.engine import queries
from midwatch.engine.queries import Fact

pytestmark = pytest.mark.slow

HOUR_S = 3_600
SLOW = 200
STORM = 100_000 if os.environ.get("MIDWATCH_SOAK") else 10_000
SIZES = (100, 100, 1_000)
CONNECTIONS = 16  # enough for some to wait whenever a group is decided on
DISK_MB, PIECES = 2, 8


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A fresh config, not started."""
    monkeypatch.setenv("HOOK", SECRET)
    serving = Serving(tmp_path)
    yield serving
    serving.kill()


def configure(serving: Serving, pagers: dict[str, str], steps: str, more: str = "") -> None:
    """Write a config: pagers by name, with the URL of their receiver or `terminal`."""
    lines = [
        f"  {name}: "
        + (
            "{type: terminal}"
            if url == "terminal"
            else f'{{type: webhook, url: "{url}", secret_env: HOOK}}'
        )
        for name, url in pagers.items()
    ]
    text = "\n".join(
        [
            "sources: {alertmanager: {type: alertmanager}}",
            "pagers:",
            *lines,
            f"escalation: {{digest: off, steps: {steps}}}",
            more,
        ]
    )
    reconfigure(serving.folder / "midwatch", text + "\n")


def journal(serving: Serving, file: str = "midwatch/midwatch.db") -> list[Fact[e.Event]]:
    """Verify the journal of a stopped server and give its facts."""
    done = serving.type("db", "verify", file)
    assert done.returncode == 0, done.stdout
    store = SqliteStore.read_only(serving.folder / file)
    try:
        return queries.facts(store)
    finally:
        store.close()


def homes(facts: list[Fact[e.Event]]) -> dict[str, list[str]]:
    """Say for each alert, by its name, which incidents it was put into."""
    found: dict[str, list[str]] = {}
    for fact in facts:
        if isinstance(fact.event, e.AlertsAttached):
            for item in fact.event.attached:
                found.setdefault(item.alert.name, []).append(fact.event.incident)
    return found


def only(facts: list[Fact[e.Event]], *kinds: type[e.Event]) -> list[Fact[Any]]:
    """Keep the facts of some kinds."""
    return [fact for fact in facts if isinstance(fact.event, kinds)]


# --- a full disk --------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, so small that it can be filled."""
    folder.mkdir()
    size = f"size={DISK_MB}m"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
    except OSError as error:
        lacking(f"a small disk cannot be mounted: {error}")
    if done.returncode:
        lacking(f"a small disk cannot be mounted, which needs root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk; it goes after the server that writes on it."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def on_disk(disk: Path, serving: Serving) -> Iterator[Serving]:
    """A running server whose journal is on the small disk, beside files that may be deleted."""
    where = ["--db", "disk/midwatch.db"]
    serving.sender = serving.token("--source", "alertmanager", *where)
    serving.person = serving.token("--role", "responder", "--name", "ada", *where)
    for number in range(PIECES):
        (disk / f"piece-{number}").write_bytes(bytes(DISK_MB * 1024 * 1024 // 2 // PIECES))
    serving.start(options=where)
    yield serving
    serving.kill()


def fill(serving: Serving, mark: str) -> list[str]:
    """Send alerts from three sides until each is refused; gives the names of what was taken."""
    kept: list[str] = []

    def send(sender: int) -> None:
        for count in range(1_000):
            names = [f"{mark}-{sender}-{count}-{n}" for n in range(20)]
            batch = [alert(n, namespace=names[0], pad="x" * 500) for n in names]
            if serving.deliver(*batch).status != 202:
                return
            kept.extend(names)

    threads = [threading.Thread(target=send, args=[sender]) for sender in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return kept


def test_a_full_disk_is_told_to_senders_and_to_whoever_watches(on_disk: Serving) -> None:
    """503 with Retry-After and the reason; /readyz and /metrics say it too; it lives on."""
    fill(on_disk, "A")
    refused: list[Answer] = []

    def is_full() -> bool:
        # Small commits may still find room, each of them less; then there is none.
        down = alert(f"B-{len(refused)}", namespace="b")
        refused.append(on_disk.deliver(down))
        return refused[-1].status == 503 and on_disk.ask("GET", "/readyz").status == 503

    until(is_full)
    assert int(refused[-1].headers["Retry-After"]) > 0
    assert "disk is full" in refused[-1].document["detail"]
    assert refused[-1].document["remedy"]
    assert on_disk.ask("GET", "/readyz").document == {"ready": False, "why": "commits are failing"}
    figures = on_disk.ask("GET", "/metrics").body.decode()
    assert re.search(r"^midwatch_failed_commits_total [1-9]", figures, re.MULTILINE)
    assert on_disk.ask("GET", "/healthz").status == 200


def test_a_full_disk_loses_nothing_and_space_is_all_it_needs(disk: Path, on_disk: Serving) -> None:
    """Filled again and again: what got its 202 is in one incident, and every page goes out."""
    pid = on_disk.pid
    kept: list[str] = []
    for number in range(PIECES):
        kept.extend(fill(on_disk, f"A{number}"))
        (disk / f"piece-{number}").unlink()
        until(lambda: on_disk.deliver(alert("Again", namespace="again")).status == 202)
        until(lambda: on_disk.ask("GET", "/readyz").status == 200)
    planned = {i["id"] for i in on_disk.incidents()}
    shown = r"PAGE sev1 (\S+) for"
    until(lambda: set(re.findall(shown, on_disk.out.read_text())) == planned)
    assert on_disk.pid == pid
    assert on_disk.stop() == 0
    facts = journal(on_disk, "disk/midwatch.db")
    placed = homes(facts)
    assert len(kept) > 100
    assert [name for name in kept if len(placed[name]) != 1] == []
    assert set(placed) == {*kept, "Again"}
    # A page may be printed again when its receipt could not be kept, and is recorded once.
    assert len(only(facts, e.PageSent)) == len(planned)


# --- a clock that jumps -------------------------------------------------------------------------


class Clock:
    """The server's clock, in seconds beside the machine's; only what it calls the time moves."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)

    def set(self, offset_s: int) -> None:
        """Step."""
        part = self._file.with_name("clock.part")
        part.write_text(f"{offset_s:+d}\n", "ascii")
        part.replace(self._file)

    def words(self) -> list[str]:
        """What a program is started with."""
        return clocked(
            FAKETIME_TIMESTAMP_FILE=str(self._file),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )


@pytest.fixture
def clock(serving: Serving) -> Clock:
    """The clock of a server that escalates within a second."""
    steps = "[{to: ada, delay: 1s}, {to: ben, delay: 1s}]"
    configure(serving, {"terminal": "terminal"}, steps)
    return Clock(serving.folder)


def answered_by(serving: Serving, name: str) -> None:
    """Deliver an alert and wait until it has paged ada, and ben in her stead."""
    assert serving.deliver(alert(name, namespace=name)).status == 202
    for person in ("ada", "ben"):
        line = re.compile(rf"PAGE sev1 \S+ for {person}: {name} on shop")
        until(lambda line=line: line.search(serving.out.read_text()))


@pytest.mark.parametrize(
    "steps", [(HOUR_S, 0), (-HOUR_S, 0)], ids=["forward-and-back", "back-and-forward"]
)
def test_a_clock_that_jumps_holds_up_no_page(
    serving: Serving, clock: Clock, steps: tuple[int, int]
) -> None:
    """After each step alerts are taken, people are paged and it escalates, as ever."""
    serving.start(*clock.words())
    answered_by(serving, "Before")
    for number, offset_s in enumerate(steps):
        clock.set(offset_s)
        answered_by(serving, f"Step{number}")
    assert serving.stop() == 0


def test_time_in_the_journal_goes_on_and_leaps_with_nothing(serving: Serving, clock: Clock) -> None:
    """As much of it passes as really does, whatever the wall clock says."""
    serving.start(*clock.words())
    began = time.monotonic()
    for number, offset_s in enumerate((0, HOUR_S, 0, -HOUR_S)):
        clock.set(offset_s)
        assert serving.deliver(alert(f"Step{number}", namespace=f"n{number}")).status == 202
    assert serving.stop() == 0
    passed_s = time.monotonic() - began
    store = SqliteStore.read_only(serving.folder / "midwatch" / "midwatch.db")
    times = [row.at for row, _ in store.rows()]
    store.close()
    assert len({fact.event.incident for fact in only(journal(serving), e.AlertsAttached)}) == 4
    assert times == sorted(times)
    assert times[-1] - times[0] <= (passed_s + 60) * SECOND


def test_a_restart_behind_the_journal_s_time_holds_up_no_page(
    serving: Serving, clock: Clock
) -> None:
    """The clock was mended while it was down: what comes now is paged now, not an hour later."""
    clock.set(HOUR_S)
    serving.start(*clock.words())
    assert serving.deliver(alert("Ahead", namespace="ahead")).status == 202
    assert serving.stop() == 0
    clock.set(0)
    serving.start(*clock.words())
    answered_by(serving, "Behind")


def test_a_clock_that_jumps_stops_no_heartbeat(serving: Serving, clock: Clock) -> None:
    """Whoever waits for a sign of life gets it after a step back too."""
    with Receiver() as receiver:
        beat = f'heartbeat: {{url: "{receiver.url}", every: 1s}}'
        configure(serving, {"terminal": "terminal"}, "[{to: ada}]", beat)
        serving.start(*clock.words())
        for offset_s in (HOUR_S, 0):
            clock.set(offset_s)
            before = len(receiver.requests)
            until(lambda before=before: len(receiver.requests) > before + 1)
        assert serving.stop() == 0


# --- pagers and callers that misbehave ----------------------------------------------------------


def test_a_pager_that_hangs_holds_up_no_other_pager(serving: Serving) -> None:
    """Every first page hangs, more of them than it sends at once; every second one arrives."""
    count = 20
    with Receiver(*["hang"] * 1_000) as bad, Receiver() as good:
        steps = "[{to: ada, via: bad, delay: 1s}, {to: ben, via: good}]"
        configure(serving, {"bad": bad.url, "good": good.url}, steps)
        serving.start()
        for number in range(count):
            down = alert(f"Down{number}", namespace=f"n{number}")
            assert serving.deliver(down).status == 202
        good.wait(count)
        assert {page["to"] for page in good.pages.values()} == {"ben"}
        assert good.refused == []
        assert bad.requests
        until(lambda: serving.out.read_text().count('"PageSent"') == count)
    serving.kill()
    facts = journal(serving)
    given_up = [fact.seq for fact in only(facts, e.PageFailed)]
    arrived = [fact.seq for fact in only(facts, e.PageSent)]
    assert len(arrived) == count
    # They came while the first ones still hung, not in their turn after them.
    assert not given_up or arrived[-1] < given_up[0]


def slow(serving: Serving, stack: ExitStack, cut: int) -> list[socket.socket]:
    """Open connections that send a delivery up to `cut` bytes after its head, or before its end."""
    head = (
        f"POST /intake/alertmanager HTTP/1.1\r\nHost: midwatch\r\n"
        f"Authorization: Bearer {serving.sender}\r\nContent-Length: 1000000\r\n\r\n"
    ).encode()
    opened: list[socket.socket] = []
    for _ in range(SLOW):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port), 20))
        one.sendall(head[:cut] if cut < 0 else head + b" " * cut)
        opened.append(one)
    return opened


@pytest.mark.parametrize("cut", [100, -2], ids=["body", "head"])
def test_slow_callers_hold_up_no_sender(serving: Serving, cut: int) -> None:
    """Beside 200 connections that drip, an ordinary sender gets its 202, and none of them ends."""
    serving.start()
    over = threading.Event()
    with ExitStack() as stack:
        opened = slow(serving, stack, cut)
        dripped: list[int] = []

        def drip() -> None:
            while not over.wait(0.05):
                for one in opened:
                    one.send(b" " if cut > 0 else b"x")
                dripped.append(len(opened))

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            for number in range(10):
                until(lambda number=number: len(dripped) > number)
                down = alert(f"Down{number}", namespace=f"n{number}")
                assert serving.deliver(down).status == 202
                assert serving.ask("GET", "/readyz").status == 200
        finally:
            over.set()
            thread.join()
        assert sum(dripped) >= 10 * SLOW
    assert serving.stop() == 0


def test_a_body_that_never_ends_is_told_so(serving: Serving) -> None:
    """Under a fast clock: 408 with its reason, however steadily it drips, and nothing is kept."""
    serving.start(*clocked(FAKETIME="+0 x20"))
    with ExitStack() as stack:
        opened = slow(serving, stack, 100)
        one = opened[0]
        one.settimeout(0.05)
        answer = b""

        def told() -> bool:
            nonlocal answer
            one.send(b" ")
            try:
                answer += one.recv(65_536)
            except TimeoutError:
                return False
            return answer.endswith(b"}")

        until(told)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["remedy"] == "send again"
    assert serving.incidents() == []


# --- a storm ------------------------------------------------------------------------------------


class Storm:
    """Alerts of a service of its own, as fast as they are taken, over several connections."""

    def __init__(self, serving: Serving) -> None:
        self.accepted: list[str] = []
        self.over = threading.Event()
        self._serving = serving
        self._number = 0
        # Made beforehand: a sender that is slower than the server is no storm.
        kind = {"service": "storm", "severity": "warning", "namespace": "storm"}
        self._bodies = {
            size: webhook(*(alert(f"S-{n}", **kind) for n in range(size))) for size in SIZES
        }
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._pour) for _ in range(CONNECTIONS)]

    def __enter__(self) -> Storm:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()

    def _pour(self) -> None:
        """Send batch after batch; one that is refused is sent again, as senders do."""
        connection = HTTPConnection("127.0.0.1", self._serving.port, timeout=60)
        headers = {"Authorization": f"Bearer {self._serving.sender}"}
        while not self.over.is_set():
            with self._lock:
                number, self._number = self._number, self._number + 1
            size = SIZES[number % len(SIZES)]
            names = [f"S{number}-{n}" for n in range(size)]
            body = self._bodies[size].replace(b'"S-', b'"S%d-' % number)
            status = 0
            while status != 202:
                connection.request("POST", "/intake/alertmanager", body, headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
                assert status in (202, 503)
            self.accepted.extend(names)
        connection.close()


@pytest.mark.soak
def test_a_storm_neither_holds_up_a_page_nor_loses_an_alert(serving: Serving) -> None:
    """A critical alert amid 10,000 others pages while they still pour in; each is kept once."""
    with Receiver() as receiver:
        configure(serving, {"hook": receiver.url}, "[{to: ada}]")
        serving.start()
        with Storm(serving) as storm:
            until(lambda: len(storm.accepted) > STORM // 10)
            assert serving.deliver(alert("Down", namespace="own")).status == 202
            accepted = len(storm.accepted)
            # The storm goes on until the page is there: a page that had to wait for its end, or
            # for all that came before it to be looked at again, would never come.
            receiver.wait(1)
            assert len(storm.accepted) - accepted < STORM
            until(lambda: len(storm.accepted) >= STORM, STORM / 100)
        (page,) = receiver.pages.values()
        assert page["title"] == "Down on shop"
    assert serving.stop() == 0
    placed = homes(journal(serving))
    assert [name for name in storm.accepted if len(placed.get(name, [])) != 1] == []
    assert len(placed) == len(storm.accepted) + 1
    assert len({incident for (incident,) in placed.values()}) == 2


def test_a_slow_pattern_in_a_silence_holds_up_nobody(serving: Serving) -> None:
    """An alert that meets it is answered and pages, the server still answers, and it stops."""
    with Receiver() as receiver:
        configure(serving, {"hook": receiver.url}, "[{to: [hook]}]")
        serving.start()
        for pattern in ("(a+)+b", "(a|aa)+b", "(.*)*b"):
            added = serving.type(
                "silences",
                "add",
                f'service=~"{pattern}"',
                "--why",
                "swap",
                "--server",
                serving.url,
                MIDWATCH_TOKEN=serving.person,
            )
            assert added.returncode == 0, added.stderr
        assert serving.deliver(alert("Slow", "a" * 5_000)).status == 202
        receiver.wait(1)
        assert serving.ask("GET", "/healthz").status == 200
        refused = serving.type(
            "silences",
            "add",
            'service=~"(?!shop).*"',
            "--why",
            "x",
            "--server",
            serving.url,
            MIDWATCH_TOKEN=serving.person,
        )
        assert refused.returncode == 2
        assert "bad regular expression" in refused.stderr
        assert serving.stop() == 0
