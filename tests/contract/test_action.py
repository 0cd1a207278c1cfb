"""What carries out a runbook's steps: by a request, by a command, and in the drill."""

from __future__ import annotations

import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest
from msgspec.structs import replace

from midwatch.adapters.actions.command import CommandActions
from midwatch.adapters.actions.http import HttpActions, value_at
from midwatch.adapters.actions.ways import Actions
from midwatch.core.state.effects import RunAction
from midwatch.core.values.actions import Command, Request
from midwatch.drill import scenarios
from midwatch.drill.world import Log, SimulatedActor
from midwatch.engine import steps
from midwatch.errors import HarnessError, InputError
from midwatch.outbound import Outbound
from midwatch.ports import Actor

SECRET = "nobody-guesses-this"
_STALE = scenarios.load(scenarios.find("stale-cache"))
AGENT = replace(_STALE, services=tuple(replace(one, name="shop") for one in _STALE.services))


class Cache:
    """A cache on loopback that can be purged, and be in any kind of trouble."""

    def __init__(self) -> None:
        self.cached = 7
        self.status = 200
        self.refuses = 0  # the status for what is to be done
        self.after = 0  # looks until a purge is seen
        self.body: bytes | None = None
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        cache = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                given = self.rfile.read(size)
                named = {name.lower(): value for name, value in self.headers.items()}
                cache.calls.append((self.command, self.path, named, given))
                refused = cache.refuses if self.command == "POST" else 0
                if self.command == "POST" and cache.status == 200 and not refused:
                    cache.cached = 0
                self.answer(refused)

            do_GET = do_POST  # noqa: N815  the library's names

            def answer(self, refused: int) -> None:
                shown = cache.cached
                if self.command == "GET" and cache.after:
                    cache.after, shown = cache.after - 1, 7
                body = cache.body or json.dumps({"state": {"cached": shown}}).encode()
                self.send_response(refused or cache.status)
                if cache.status == 307:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def cache() -> Iterator[Cache]:
    """One for each test."""
    found = Cache()
    yield found
    found.server.shutdown()
    found.server.server_close()


def doing(**environment: str) -> Actions:
    """What production does it with."""

    def outbound(url: str, timeout_s: float) -> Outbound:
        return Outbound([url], timeout_s=timeout_s)

    secrets = {"TOKEN": SECRET}
    commands = CommandActions({"PATH": "/usr/bin:/bin", "SECRET": SECRET, **environment})
    return Actions(HttpActions(outbound, secrets), commands)


def purge(cache: Cache, **more: Any) -> RunAction:
    """A purge by requests."""
    given = {"timeout_s": 5, **more}
    return RunAction(
        "action/INC-1/1/purge",
        "INC-1",
        "shop",
        "cache.purge",
        Request(f"{cache.url}/purge", "POST", {"topic": "a b; c"}, token_env="TOKEN"),
        Request(f"{cache.url}/state", expect={"state.cached": 0}, token_env="TOKEN"),
        **given,
    )


# --- the contract -------------------------------------------------------------------------------


class Made(Protocol):
    """An actor and an action that can be done once."""

    actor: Actor
    action: RunAction


class ByRequest:
    """Through the outgoing client, against a real server."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache()
        self.actor: Actor = doing()
        self.action = purge(self.cache)


class ByCommand:
    """A real process."""

    def __init__(self, folder: Path) -> None:
        tool = folder / "tool"
        tool.write_text(
            f'#!/bin/sh\ncd {folder}\n[ "$1" = look ] && {{ [ -e done ]; exit; }}\ntouch done\n'
        )
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        self.actor: Actor = doing()
        self.action = RunAction(
            "op",
            "INC-1",
            "shop",
            "index.restore",
            Command((str(tool), "do")),
            Command((str(tool), "look")),
        )


class InTheDrill:
    """The drill's twin."""

    def __init__(self, folder: Path) -> None:
        self.actor: Actor = SimulatedActor(AGENT, Log(), lambda: 0)
        self.action = RunAction(
            "op",
            "INC-1",
            "shop",
            "cache.purge",
            Request("http://agent/remedies", "POST"),
            Request("http://agent/remedies", expect={"cached": 0}),
        )


@pytest.fixture(params=[ByRequest, ByCommand, InTheDrill], ids=lambda kind: kind.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """Each way of doing it."""
    found = request.param(tmp_path)
    yield found
    if isinstance(found, ByRequest):
        found.cache.server.shutdown()
        found.cache.server.server_close()


def test_it_is_seen_when_it_is_done_and_not_before(made: Made) -> None:
    """Looking changes nothing, doing is seen, and doing it again is seen just the same."""
    assert not made.actor.observe(made.action).done
    assert not made.actor.observe(made.action).done
    assert made.actor.apply(made.action)
    seen = made.actor.observe(made.action)
    assert seen.done
    assert seen.says
    made.actor.apply(made.action)
    assert made.actor.observe(made.action).done


# --- requests -----------------------------------------------------------------------------------


def test_a_request_carries_its_operation_its_body_and_its_token(cache: Cache) -> None:
    """As JSON, whole; the token in a header, and nowhere else."""
    doing().apply(purge(cache))
    ((method, path, headers, body),) = cache.calls
    assert (method, path) == ("POST", "/purge")
    assert json.loads(body) == {"topic": "a b; c"}
    assert headers["idempotency-key"] == "action/INC-1/1/purge"
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in path


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500, 503, 307])
def test_only_2xx_is_done(cache: Cache, status: int) -> None:
    """Anything else is an error of the call, and tells nobody what became of it."""
    cache.status = status
    for call in (doing().apply, doing().observe):
        with pytest.raises(HarnessError) as caught:
            call(purge(cache))
        assert SECRET not in str(caught.value)


def test_a_server_that_sends_a_token_back_leaks_none(cache: Cache) -> None:
    """In an error, which is written down."""
    cache.status, cache.body = 500, b"denied: Bearer " + SECRET.encode() + b", try again"
    with pytest.raises(HarnessError, match=r"answered 500: denied: Bearer \*\*\*, try") as caught:
        doing().apply(purge(cache))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("body", [b"not json", b"", b"[]", b'{"state": 3}', b'{"state": {}}'])
def test_an_answer_that_says_something_else_is_not_done(cache: Cache, body: bytes) -> None:
    """No JSON is nobody knows; JSON without the value is no."""
    cache.body = body or b" "
    if body in (b"not json", b""):
        with pytest.raises(HarnessError, match="did not return JSON"):
            doing().observe(purge(cache))
    else:
        seen = doing().observe(purge(cache))
        assert not seen.done
        assert "state.cached is not there" in seen.says


def test_what_takes_a_while_is_looked_at_again(cache: Cache) -> None:
    """Within its time, and done only once."""
    cache.after = 1
    acting = doing()
    slow = purge(cache, within_s=5)
    acting.apply(slow)
    assert acting.observe(slow).done
    assert [method for method, *_ in cache.calls] == ["POST", "GET", "GET"]


def test_a_server_that_is_not_there_is_an_error_in_time(cache: Cache) -> None:
    """And a secret that is missing is said by its name."""
    action = RunAction("op", "INC-1", "shop", "a.b", Request("http://127.0.0.1:1/x", "POST"))
    with pytest.raises(HarnessError):
        doing().apply(action)
    action = RunAction("op", "INC-1", "shop", "a.b", Request(cache.url, token_env="MISSING"))
    with pytest.raises(InputError, match=r"\$MISSING: the environment variable is not set"):
        doing().apply(action)


def test_paths_go_through_objects_and_lists() -> None:
    """And end at what is there."""
    body = {"parts": [{"name": "a", "whole": True}], "n": None}
    assert value_at(body, "parts.0.whole") is True
    assert value_at(body, "n") is None
    for path in ("parts.1.name", "parts.x", "n.x", "m", "parts.0.name.y"):
        assert value_at(body, path) not in (None, True, "a")


@contextmanager
def wordless(*, hangs: bool) -> Iterator[str]:
    """Somebody who takes a whole request and says nothing, or hangs up then; gives the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with suppress(OSError):
                while True:
                    one, _ = server.accept()
                    with one:
                        one.settimeout(10)
                        one.recv(65_536)
                        if hangs:
                            one.recv(65_536)  # till the other side gives up

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize(
    ("apply", "state"),
    [
        ("http://127.0.0.1:1/purge", "not-applied"),  # refused: nothing of it was sent
        ("http://no-such-host.invalid/purge", "not-applied"),
        ("503", "not-applied"),  # an answer, and not seen to be done
        ("502", "unknown"),  # a proxy that does not know what became of it
        ("504", "unknown"),
        ("hangs up", "unknown"),  # it may have been done before that
        ("hangs", "unknown"),
    ],
)
def test_only_what_cannot_have_happened_is_done_again(cache: Cache, apply: str, state: str) -> None:
    """As real servers answer; what is looked at says no each time."""
    with wordless(hangs=apply == "hangs") as silent:
        url = f"{silent}/purge" if apply.startswith("hangs") else apply
        if apply.isdecimal():
            cache.refuses, url = int(apply), f"{cache.url}/purge"
        action = replace(purge(cache, timeout_s=1), apply=Request(url, "POST", {"topic": "a"}))
        answer = steps.carry_out(doing(), action, 1)
    assert (answer.state, answer.repeatable) == (state, False), answer.seen
    assert "state.cached is 7" in answer.seen


# --- commands -----------------------------------------------------------------------------------


def command(folder: Path, text: str, *arguments: str, timeout_s: int = 5) -> RunAction:
    """A script that is done, and looked at, the same way."""
    tool = folder / "tool"
    tool.write_text(f"#!/bin/sh\n{text}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    deed = Command((str(tool), *arguments))
    return RunAction("op-7", "INC-1", "shop", "a.b", deed, deed, timeout_s=timeout_s)


@pytest.mark.parametrize(("code", "done"), [(0, True), (1, False)])
def test_its_exit_code_says_whether_it_is_done(tmp_path: Path, code: int, done: bool) -> None:
    """0 yes, 1 no."""
    assert doing().observe(command(tmp_path, f"exit {code}")).done is done


@pytest.mark.parametrize("text", ["exit 2", "exit 127", "kill -9 $$"])
def test_any_other_end_says_nothing(tmp_path: Path, text: str) -> None:
    """Nobody can tell then."""
    with pytest.raises(HarnessError, match=r"(exited with code|killed by signal)"):
        doing().observe(command(tmp_path, text))


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """In its time."""
    hanging = command(tmp_path, f"sleep 100 & echo $! > {tmp_path}/child; wait", timeout_s=1)
    with pytest.raises(HarnessError, match="ran longer than 1 s"):
        doing().apply(hanging)
    child = (tmp_path / "child").read_text().strip()
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text()


def test_arguments_are_no_shell_and_the_environment_is_clean(tmp_path: Path) -> None:
    """What looks like a command is a text; our secrets are not there; its operation is."""
    hostile = ("$(touch /tmp/x)", "a; b", "`id`", "*", "a\nb")
    said = doing().apply(
        command(tmp_path, 'printf "%s|" "$@" "$SECRET" "$MIDWATCH_OPERATION"', *hostile)
    )
    assert said.output == "|".join([*hostile, "", "op-7", ""])
    assert "op-7" not in said.says


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """One line, with its name."""
    action = RunAction("op", "INC-1", "shop", "a.b", Command((str(tmp_path / "nothing"),)))
    with pytest.raises(HarnessError, match="nothing: No such file"):
        doing().apply(action)
    with pytest.raises(HarnessError, match="no way to observe"):
        doing().observe(action)


def test_the_drill_knows_only_the_agents_remedies() -> None:
    """Another name, or a command, is an error there and never a success."""
    actor = SimulatedActor(AGENT, Log(), lambda: 0)
    for deed in (Request("http://agent", "POST"), Command(("true",))):
        with pytest.raises(HarnessError):
            actor.apply(RunAction("op", "INC-1", "shop", "no.such", deed))
