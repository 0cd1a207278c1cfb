"""All commands speak with one voice: names, options, documents, errors, colours, Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import re
import signal
import socket
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import fastjsonschema
import msgspec
import pytest
from click.testing import CliRunner
from tests.acceptance.serving import MIDWATCH, midwatch, until

from midwatch.cli.asking import ask
from midwatch.cli.main import COMMANDS, cli, main
from midwatch.cli.output import EACH_LINE
from midwatch.cli.places import CONFIG_SAYS, read_time
from midwatch.cli.schemas import declared, every, walk
from midwatch.drill.scenarios import folder
from midwatch.errors import InputError

ROOT = Path(__file__).parents[2]
SHOP = str(folder() / "shop")
ALL = list(walk(cli))
LEAVES = {" ".join(path): one for path, one in ALL if not isinstance(one, click.Group)}
GROUPS = {" ".join(path): one for path, one in ALL if isinstance(one, click.Group)}
KEBAB = re.compile(r"[a-z]+(-[a-z]+)*")

# They serve; they write a file, or text of another format; they print a secret once.
NO_DOCUMENT = {
    "agent serve",
    "completion",
    "proxy",
    "serve",
    "cases export",
    "db backup",
    "db migrate",
    "eval export",
    "eval import",
    "init",
    "postmortem export",
    "schema",
    "slo rules",
    "token create",
    "token revoke",
}
# What moves traffic, carries out steps or makes something go that does not come back.
SAYS_IT_FIRST = {"abort", "init", "migrate", "promote", "prune", "revoke", "rollback", "start"}
SAYS_WHY = {"quarantine", "refuse", "resolve", "retire", "stop", "waive"}


def options(command: click.Command) -> Iterator[click.Option]:
    return (one for one in command.params if isinstance(one, click.Option))


def kind(option: click.Option) -> str:
    """What has to be typed after it."""
    if option.is_flag:
        return "nothing"
    if option.callback is read_time:
        return "a time"
    if isinstance(option.type, click.Path):
        return "a path"
    numbers = (click.types.IntParamType, click.types.FloatParamType)
    return "a number" if isinstance(option.type, numbers) else "text"


# --- names and help ---


def test_each_name_is_lower_case_words_with_hyphens() -> None:
    """Commands and options."""
    for path, command in ALL:
        names = [*path, *(name[2:] for one in options(command) for name in one.opts)]
        assert [name for name in names if not KEBAB.fullmatch(name)] == [], path


@pytest.mark.parametrize("name", [*LEAVES, *GROUPS])
def test_each_help_is_sentences(name: str) -> None:
    """The command's first one, and every option's."""
    command = LEAVES.get(name) or GROUPS[name]
    assert (command.help or "").split("\n\n")[0].rstrip().endswith(".")
    for one in options(command):
        assert (one.help or "").endswith("."), f"{name} {one.name}"


def test_no_line_of_a_list_is_cut() -> None:
    """On a terminal of 80 columns each command of a group is told by a whole sentence."""
    assert all(
        says.endswith(".") and len(name) + len(says) < 72 for name, (_, says) in COMMANDS.items()
    )
    for name in GROUPS:
        shown = CliRunner().invoke(cli, [*name.split(), "--help"], terminal_width=80).output
        listed = shown.partition("Commands:")[2]
        assert listed, name
        assert "..." not in listed, name


def test_one_name_of_an_option_is_one_thing() -> None:
    """It takes the same kind of value wherever it stands; only `--from` is where something begins.

    A change goes from a release, a fuzz from a seed: both are said so everywhere.
    """
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, command in ALL:
        for one in options(command):
            for name in one.opts:
                kinds[name][kind(one)].append(" ".join(path))
    assert kinds.pop("--from") == {"text": ["changes add"], "a number": ["drill fuzz"]}
    assert {name: dict(found) for name, found in kinds.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("name", "inner", "says"),
    [
        ("--json", "as_json", "Print one JSON document."),
        ("--config", "folder", CONFIG_SAYS),
        ("--server", "server", "URL of a running midwatch serve (or set $MIDWATCH_SERVER)."),
        (
            "--token",
            "token",
            "Responder token for the server; prefer $MIDWATCH_TOKEN or --token-file.",
        ),
        ("--limit", "limit", "Maximum number of rows."),
        ("--dry-run", "dry_run", "Show what would be done, without doing it."),
    ],
)
def test_what_many_commands_take_is_said_in_the_same_words(
    name: str, inner: str, says: str
) -> None:
    """Common options have one help, one inner name and one variable."""
    found = [one for _, command in ALL for one in options(command) if name in one.opts]
    assert len(found) > 1
    assert {(one.name, one.help) for one in found} == {(inner, says)}
    assert len({one.envvar for one in found}) == 1


def test_the_database_is_named_by_one_option() -> None:
    """`--db` is the database, and its help begins with that."""
    for path, command in ALL:
        for one in options(command):
            if "--db" in one.opts:
                assert one.name == "database", path
                assert (one.help or "").startswith("The database"), path
            assert "--database" not in one.opts, path


def test_no_option_is_a_letter() -> None:
    """So none can clash; -h alone is help, everywhere."""
    for path, command in ALL:
        assert [name for one in options(command) for name in one.opts if name[1] != "-"] == []
        assert CliRunner().invoke(cli, [*path, "-h"]).exit_code == 0, path


@pytest.mark.parametrize("name", LEAVES)
def test_what_lists_or_shows_something_has_a_document(name: str) -> None:
    """--json, or JSON lines anyway; with its type declared."""
    command = LEAVES[name]
    flagged = any(one.name == "as_json" for one in options(command))
    if name in NO_DOCUMENT:
        assert not flagged
        return
    assert declared(command) is not None
    assert flagged or hasattr(command.callback, EACH_LINE)


@pytest.mark.parametrize("name", LEAVES)
def test_what_cannot_be_taken_back_says_it_first_or_says_why(name: str) -> None:
    """By --dry-run, or by a reason that has to be given; what acts on the world asks as well."""
    command, word = LEAVES[name], name.rsplit(maxsplit=1)[-1]
    found = {one.name: one for one in options(command)}
    if word in SAYS_IT_FIRST or name == "runbook run":
        assert "dry_run" in found
    if word in SAYS_WHY:
        assert found["why"].required
    if "epoch" in found or name in ("release abort", "runbook run"):
        assert "confirm" in found or "yes" in found


# --- counts ---

COUNTS = (
    "alerts",
    "bytes",
    "calls",
    "cases",
    "errors",
    "findings",
    "incidents",
    "objectives",
    "pages",
    "reports",
    "runbooks",
    "runs",
    "schedules",
    "services",
    "shifts",
    "sources",
    "suites",
    "times",
)


def test_one_of_something_is_not_several() -> None:
    """What commands count is told by `counted`, which knows 1 alert from 2 alerts.

    A line of the lab, and so of its drill, is fixed to the letter.
    """
    found = [
        f"{file.name}: {line.strip()}"
        for file in sorted((ROOT / "src" / "midwatch" / "cli").glob("*.py"))
        for line in file.read_text("utf-8").splitlines()
        if re.search(rf"\}} (?:[a-z]+ )?(?:{'|'.join(COUNTS)})\b", line)
    ]
    assert found == []


# --- asking ---


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("y\n", 0, ""),
        ("n\n", 1, "nothing was done"),
        ("", 1, "no terminal to ask on; nothing was done"),
    ],
)
def test_only_a_yes_goes_on(typed: str, code: int, says: str) -> None:
    """No, and nobody there, are errors that say how to go without a question."""
    asking = click.Command("move", callback=lambda: ask("move it?", "say it with --confirm shop"))
    ran = CliRunner().invoke(asking, input=typed)
    assert ran.exit_code == code
    if says:
        assert isinstance(ran.exception, InputError)
        assert str(ran.exception) == f"{says}; say it with --confirm shop"


# --- errors ---

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Typed:
    """Type a command in an empty folder; gives its code and both outputs."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MIDWATCH_")]:
        monkeypatch.delenv(name)

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["midwatch", *args])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(str(left.value.code)), out, err

    return run


def is_one_error(told: tuple[int, str, str]) -> str:
    """It is one line with a remedy, and nothing else; gives the line."""
    code, out, err = told
    assert code == 2, err
    assert out == ""
    assert re.fullmatch(r"error: [^\n]+[;?] [^\n]+\n", err), err
    return err


@pytest.mark.parametrize("name", [*LEAVES, *GROUPS])
def test_a_flag_that_is_none_is_one_line(typed: Typed, name: str) -> None:
    """Exit 2, with the command whose --help says more."""
    line = is_one_error(typed(*name.split(), "--nope"))
    assert line.startswith("error: no such option '--nope'; ")
    assert f"see midwatch {name}".strip() + " --help" in line


@pytest.mark.parametrize("name", GROUPS)
def test_a_command_that_is_none_is_one_line(typed: Typed, name: str) -> None:
    """Exit 2."""
    line = is_one_error(typed(*name.split(), "qqq"))
    assert line.startswith("error: no such command 'qqq'; ")


@pytest.mark.parametrize("name", LEAVES)
def test_an_argument_too_many_or_too_few_is_one_line(typed: Typed, name: str) -> None:
    """Exit 2; also where an option that is needed is missing."""
    if any(one.required for one in LEAVES[name].params):
        assert " missing " in is_one_error(typed(*name.split()))
    if all(one.nargs == 1 for one in LEAVES[name].params):
        is_one_error(typed(*name.split(), *("x",) * 9))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["serv"], "no such command 'serv'; did you mean 'serve'? see midwatch --help"),
        (["drilll"], "no such command 'drilll'; did you mean 'drill'? see midwatch --help"),
        (["serve", "--port", "80"], "; did you mean --listen? see midwatch serve --help"),
        (["correlate", "a.json"], "from standard input; run midwatch correlate < a.json"),
        (["init"], "midwatch/midwatch.yaml: already exists; choose another directory"),
        (["incidents", "snooze", "INC-1", "--minutes", "x"], "'--minutes': 'x' is not a number; "),
        (
            ["incidents", "snooze", "INC-1", "--minutes", "-1"],
            "-1.0 is not more than 0 and at most 43200; ",
        ),
        (["changes", "list", "--limit", "0"], "'--limit': 0 is not at least 1 and at most 10000; "),
        (["changes", "list", "--limit", "x"], "'--limit': 'x' is not a whole number; "),
        (["token", "create", "--role", "responder"], "--role: --name is required, so that "),
        (
            ["token", "create", "--role", "responder", "--name", " "],
            "--role: --name is required, so ",
        ),
    ],
)
def test_a_slip_of_the_fingers_is_told_in_plain_words(
    typed: Typed, args: list[str], says: str
) -> None:
    """What was meant, where that can be said; none of it in the words of a library."""
    assert typed("init")[0] == 0
    assert says in is_one_error(typed(*args))
    assert not list(Path.cwd().glob("midwatch/*.db"))


@pytest.mark.parametrize("name", LEAVES)
def test_an_argument_that_is_no_utf_8_is_one_line(typed: Typed, name: str) -> None:
    """Exit 2, with which one it is, and never a bug of ours; nothing is made."""
    line = is_one_error(typed(*name.split(), "a\udcffb"))
    number = len(name.split()) + 1
    assert line == f"error: argument {number}, 'a\\udcffb', is not valid UTF-8; write it in UTF-8\n"
    assert not list(Path.cwd().iterdir())


def filled(command: click.Command) -> list[str]:
    """What has to be typed at least, with files that are nowhere."""
    given: list[str] = []
    for one in command.params:
        if not one.required:
            continue
        value = "x"
        if isinstance(one.type, click.Path):
            value = "nowhere/x.md"
        elif isinstance(one.type, click.Choice):
            value = one.type.choices[0]
        elif isinstance(one, click.Option):
            value = {"a number": "1", "a time": "2026-01-31T09:00:00Z"}.get(kind(one), "x")
        given += [one.opts[0], value] if isinstance(one, click.Option) else [value]
    return given


def reads_a_file(command: click.Command) -> bool:
    return any(
        isinstance(one, click.Argument) and isinstance(one.type, click.Path) and one.required
        for one in command.params
    )


@pytest.mark.parametrize("name", [n for n, one in LEAVES.items() if reads_a_file(one)])
def test_a_file_that_is_not_there_is_one_line(typed: Typed, name: str) -> None:
    """Place, what is wrong, what to do; exit 2."""
    if name == "route test":
        assert typed("init")[0] == 0
    line = is_one_error(typed(*name.split(), *filled(LEAVES[name])))
    assert "x.md" in line
    assert "cannot be read: No such file or directory; " in line


@pytest.mark.parametrize(
    "name",
    [
        n
        for n, c in LEAVES.items()
        if any("--db" in o.opts for o in options(c))
        and not reads_a_file(c)
        and not n.startswith("drill")
        and n not in ("token create", "check")
    ],
)
def test_a_database_or_a_config_that_is_not_there_is_one_line(typed: Typed, name: str) -> None:
    """Place, what is wrong, what to do; exit 2; and nothing is made."""
    line = is_one_error(typed(*name.split(), *filled(LEAVES[name])))
    assert (
        "midwatch/midwatch.yaml: not found; " in line
        or ".db: not found; " in line
        or (name == "incidents split" and "--service or --alert" in line)
    )
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "args",
    [
        ["serve"],
        ["check"],
        ["oncall", "who"],
        ["slo", "status"],
        ["incidents", "list"],
        ["token", "list"],
        ["token", "create", "--role", "responder", "--name", "ada"],
    ],
    ids=" ".join,
)
def test_before_it_is_set_up_the_way_there_is_named(typed: Typed, args: list[str]) -> None:
    """Whatever is typed first, the error says which command begins; where --config says, too."""
    for where, begin in (([], "midwatch init"), (["--config", "conf"], "midwatch init conf")):
        code, out, err = typed(*args, *where)
        assert (code, out) == (2, "")
        assert re.search(rf": not found; (create it|start) with {begin}, or ", err), err
    assert not list(Path.cwd().iterdir())


def test_a_database_of_the_other_kind_is_named(typed: Typed) -> None:
    """During a trial there is a shadow.db alone, and after it perhaps a midwatch.db alone."""
    assert typed("init")[0] == 0
    assert typed("token", "create", "--source", "alertmanager", "--shadow")[0] == 0
    for args in (["incidents", "list"], ["changes", "add", "shop"]):
        line = is_one_error(typed(*args))
        assert "midwatch/midwatch.db: not found; " in line
        assert "midwatch/shadow.db exists: use it with --db, or use --server" in line
    assert "midwatch/shadow.db exists: add --shadow" in is_one_error(typed("token", "list"))
    Path("midwatch/shadow.db").rename("midwatch/midwatch.db")
    line = is_one_error(typed("token", "list", "--shadow"))
    assert "midwatch/midwatch.db exists: omit --shadow" in line
    assert "midwatch/midwatch.db exists" in is_one_error(typed("shadow", "report"))


# --- documents ---

WRITES = {
    "agent load",
    "cases admit",
    "cases quarantine",
    "cases retire",
    "changes add",
    "db restore",
    "incidents ack",
    "incidents close",
    "incidents merge",
    "incidents reassign",
    "incidents resolve",
    "incidents snooze",
    "incidents split",
    "incidents unack",
    "incidents undo",
    "incidents waive",
    "oncall override add",
    "oncall override remove",
    "oncall swap",
    "page test",
    "postmortem draft",
    "postmortem edit",
    "release abort",
    "release canary start",
    "release promote",
    "release register",
    "release rollback",
    "session end-all",
    "runbook approve",
    "runbook plan",
    "runbook refuse",
    "runbook run",
    "runbook stop",
    "silences add",
    "silences end",
    "tickets file",
    "tickets import",
}


class Shift:
    """The lab's shift on file, with all that read-only commands ask about."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.where = ["--db", str(at / "shift.db"), "--config", SHOP]
        assert midwatch("drill", "--db", "shift.db", cwd=at).returncode == 0
        (at / "bot.py").write_text("def answer(question):\n    return 'yes'\n")
        (at / "suite.jsonl").write_text('{"id":"a","question":"is it","expect":"yes"}\n')
        (at / "proof.jsonl").write_text('{"case":"a","candidate":1,"baseline":1}\n')
        counts = [{"at": 60 * n, "good": 99 * n, "total": 100 * n} for n in range(9)]
        labelled = {"text": "my card was charged twice", "category": "payment"}
        (at / "labelled.jsonl").write_text(json.dumps(labelled))
        (at / "counts.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in counts))
        alert = {
            "labels": {"alertname": "Down", "service": "shop"},
            "status": "firing",
            "startsAt": "2026-11-24T02:00:00Z",
        }
        (at / "alerts.json").write_text(json.dumps([alert]))
        person = ["--role", "responder", "--name", "ada"]
        made = midwatch("token", "create", *person, *self.where, cwd=at)
        assert made.returncode == 0, made.stderr
        (self.case,) = json.loads(self.say("cases", "list", "--all", *self.where, "--json"))[:1]
        self.service = json.loads(self.say("release", "list", *self.where, "--json"))[0]

    def say(self, *args: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [MIDWATCH, *args],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.at,
            input=stdin or "",
            timeout=60,
        )
        assert done.returncode in (0, 1, 3), done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Shift:
    return Shift(tmp_path_factory.mktemp("shift"))


READS: dict[str, list[str]] = {
    "agent ask": ["what does a return cost?"],
    "agent build-index": [],
    "agent questions": [],
    "agent releases": [],
    "alerts rejected": ["WHERE"],
    "cases blame": ["CASE", "WHERE"],
    "cases list": ["--all", "WHERE"],
    "cases show": ["CASE", "WHERE"],
    "changes list": ["WHERE"],
    "check": [SHOP],
    "correlate": [],
    "db prune": ["shift.db", "--dry-run"],
    "db verify": ["shift.db"],
    "drill": [],
    "drill explain": ["shift"],
    "drill fuzz": ["--seeds", "1", "--jobs", "1"],
    "drill list": [],
    "drill run": ["quiet"],
    "eval diff": ["done.jsonl", "done.jsonl"],
    "eval list": ["suite.jsonl"],
    "eval run": ["suite.jsonl", "--target", "python:bot:answer", "--results", "done.jsonl"],
    "eval show": ["suite.jsonl", "a"],
    "gate": [
        "--suite",
        "suite.jsonl",
        "--candidate",
        "python:bot:answer",
        "--baseline",
        "python:bot:answer",
    ],
    "heartbeats list": ["WHERE"],
    "incidents explain": ["ALERT", "WHERE"],
    "incidents list": ["--all", "WHERE"],
    "incidents show": ["INC-1", "WHERE"],
    "oncall gaps": ["WHERE"],
    "oncall handoff": ["WHERE"],
    "oncall override list": ["WHERE"],
    "oncall schedule": ["WHERE"],
    "oncall who": ["WHERE"],
    "postmortem check": ["INC-1", "WHERE"],
    "postmortem show": ["INC-1", "WHERE"],
    "release canary status": ["SERVICE", "WHERE"],
    "release history": ["SERVICE", "WHERE"],
    "release judge": ["proof.jsonl"],
    "release list": ["WHERE"],
    "release live": ["SERVICE", "WHERE"],
    "release show": ["SERVICE", "RELEASE", "WHERE"],
    "report": ["--until", "2026-11-30T00:00:00Z", "WHERE"],
    "route test": ["alerts.json", "WHERE"],
    "runbook lint": ["--config", SHOP],
    "runbook list": ["--config", SHOP],
    "runbook show": ["RUNBOOK", "--config", SHOP],
    "shadow report": ["WHERE"],
    "silences list": ["WHERE"],
    "slo budget": ["WHERE"],
    "slo explain": ["SPEC", "--counts", "counts.jsonl"],
    "slo status": ["WHERE"],
    "tickets list": ["WHERE"],
    "tickets test": ["labelled.jsonl", "--config", SHOP],
    "audit": ["WHERE"],
    "session list": ["WHERE"],
    "token list": ["WHERE"],
}


def test_each_command_with_a_document_is_run_here_or_writes() -> None:
    """So that a new one is thought of."""
    assert set(every(cli)) == READS.keys() | WRITES


@pytest.mark.parametrize("name", READS)
def test_each_document_fits_its_published_schema(shift: Shift, name: str) -> None:
    """And its declared type, with no field that the type does not know."""
    words: dict[str, Sequence[str]] = {
        "WHERE": shift.where,
        "CASE": [shift.case["id"]],
        "ALERT": ["SessionsAbandoned"],
        "SERVICE": [shift.service["service"]],
        "RELEASE": [shift.service["live"]],
        "RUNBOOK": [next(Path(SHOP).glob("runbooks/*.md")).stem],
        "SPEC": [str(next(Path(SHOP).glob("slos/*.yaml")))],
    }
    if name == "eval diff":
        shift.say("eval", "run", *READS["eval run"])
    given = [part for word in READS[name] for part in words.get(word, [word])]
    lines = hasattr((LEAVES.get(name) or GROUPS[name]).callback, EACH_LINE)
    flag = [] if lines else ["--json"]
    out = shift.say(*name.split(), *given, *flag, stdin=(shift.at / "alerts.json").read_text())
    documents = [json.loads(line) for line in out.splitlines()] if lines else [json.loads(out)]
    assert documents
    file = json.loads((ROOT / "docs" / "schemas" / "cli-1.json").read_text("utf-8"))
    valid: Any = fastjsonschema.compile(
        {**file["commands"][name], "$defs": file["$defs"]}, use_default=False
    )
    for document in documents:
        valid(document)
        read = msgspec.convert(document, every(cli)[name])
        assert json.loads(msgspec.json.encode(read)) == document


@pytest.mark.parametrize(
    "args",
    [
        ["incidents", "show"],
        ["incidents", "merge", "inc-1"],
        ["runbook", "plan"],
        ["postmortem", "show"],
        ["postmortem", "check"],
    ],
    ids=" ".join,
)
def test_an_incident_may_be_typed_in_small_letters(shift: Shift, args: list[str]) -> None:
    """As people type it; the answer is the same."""
    small, usual = (midwatch(*args, one, *shift.where, cwd=shift.at) for one in ("inc-1", "INC-1"))
    assert (small.returncode, small.stdout, small.stderr) == (
        usual.returncode,
        usual.stdout,
        usual.stderr,
    )
    assert "'inc-1'" not in small.stderr


# --- colours ---


def on_a_terminal(args: Sequence[str], cwd: Path, given: Path | None = None, **env: str) -> bytes:
    """All that a command writes to a terminal; a file may be its input."""
    ours, theirs = pty.openpty()
    with (given or Path(os.devnull)).open("rb") as read:
        process = subprocess.Popen(
            [MIDWATCH, *args],
            stdin=read,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", **env},
        )
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 65_536):
            written += part
    except OSError as error:
        if error.errno != errno.EIO:  # what Linux says when the other side is closed
            raise
    os.close(ours)
    process.wait(10)
    return written


TALKS = (
    ["--help"],
    ["nope"],
    ["drill"],
    ["drill", "fuzz", "--seeds", "3", "--jobs", "1"],
    ["eval", "run", "suite.jsonl", "--target", "python:bot:answer"],
    ["incidents", "list"],
    ["agent", "load", "--url", "http://127.0.0.1:1", "--seconds", "1"],
)


@pytest.mark.parametrize("args", TALKS, ids=lambda args: " ".join(args[:2]))
def test_no_colour_where_nobody_wants_one(shift: Shift, args: list[str]) -> None:
    """No escape in a pipe, whatever the variables say, and none on a terminal with NO_COLOR."""
    piped = midwatch(*args, cwd=shift.at, FORCE_COLOR="1", TERM="xterm-256color")
    assert "\x1b" not in piped.stdout + piped.stderr
    shown = on_a_terminal(args, shift.at, NO_COLOR="1")
    assert shown
    assert b"\x1b" not in shown


def test_no_text_from_outside_commands_the_terminal(shift: Shift) -> None:
    """A label with an escape is shown with it written out; a pipe gets it as it is."""
    labels = {"alertname": "Do\x1b[2Jwn\r\u202e", "service": "shop"}
    hostile = [{"labels": labels, "status": "firing", "startsAt": "2026-11-24T02:00:00Z"}]
    (shift.at / "hostile.json").write_text(json.dumps(hostile), "utf-8")
    args = ["correlate", "--summary"]
    seen = on_a_terminal(args, shift.at, shift.at / "hostile.json", NO_COLOR="1").decode()
    assert "Do\\x1b[2Jwn\\r\\u202e" in seen
    assert "\x1b[2J" not in seen
    (shift.at / "bad\x1b[2J.yaml").write_text("a: [", "utf-8")
    refused = on_a_terminal(["eval", "list", "bad\x1b[2J.yaml"], shift.at, NO_COLOR="1").decode()
    assert "error: bad\\x1b[2J.yaml" in refused
    assert "\x1b[2J" not in refused


def test_a_terminal_sees_how_far_it_is(shift: Shift) -> None:
    """A bar with colours; one plain line with NO_COLOR; nothing in a pipe."""
    args = ["drill", "fuzz", "--seeds", "3", "--jobs", "1"]
    assert b"\x1b[" in on_a_terminal(args, shift.at)
    assert b"\r3 of 3 shifts" in on_a_terminal(args, shift.at, NO_COLOR="1")
    assert midwatch(*args, cwd=shift.at).stderr == ""


LONG = (
    (["db", "verify", "shift.db"], "", "events"),
    (["db", "prune", "shift.db", "--dry-run"], "", "events"),
    (["correlate"], "alerts.json", "alerts"),
    (["eval", "run", "suite.jsonl", "--target", "python:bot:answer"], "", "cases"),
)


@pytest.mark.parametrize(("args", "given", "what"), LONG, ids=lambda one: " ".join(one[:2]))
def test_what_grows_with_its_input_says_how_far_it_is(
    shift: Shift, args: list[str], given: str, what: str
) -> None:
    """Down to its last event, alert or case, and to a terminal only."""
    file = shift.at / given if given else None
    seen = on_a_terminal(args, shift.at, file, NO_COLOR="1").decode()
    found = re.search(rf"\r(\d+) of (\d+) {what}", seen)
    assert found is not None, seen
    assert found[1] == found[2] != "0"
    assert b"\x1b[" in on_a_terminal(args, shift.at, file)
    piped = subprocess.run(
        [MIDWATCH, *args],
        cwd=shift.at,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        input=file.read_text() if file else "",
    )
    assert (piped.returncode, piped.stderr) == (0, "")


@pytest.mark.parametrize("given", [["--seed", "3"], ["--json"], ["--break", "always-rollback"]])
@pytest.mark.parametrize("command", [["list"], ["run", "shift"]])
def test_an_option_that_a_command_does_not_hear_is_refused(
    tmp_path: Path, given: list[str], command: list[str]
) -> None:
    """`drill --break x run y` is no run without the break."""
    refused = midwatch("drill", *given, *command, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{given[0]} is given before {command[0]}, which ignores it" in refused.stderr


# --- files ---


@pytest.mark.parametrize(
    "args",
    [
        ["drill", "--report"],
        ["cases", "export", "--out"],
        ["oncall", "schedule", "--ical"],
        ["postmortem", "export", "INC-1", "--out"],
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_what_cannot_be_written_is_one_line_and_what_can_is_written_anew(
    shift: Shift, args: list[str]
) -> None:
    """What is drawn out of a journal takes the place of its older self, and leaves no half."""
    where = [] if args[0] == "drill" else shift.where
    refused = midwatch(*args, "nowhere/out.html", *where, cwd=shift.at)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: nowhere/out.html: ")
    assert refused.stderr.count("\n") == 1
    for _ in range(2):
        assert midwatch(*args, "out.html", *where, cwd=shift.at).returncode == 0
    assert (shift.at / "out.html").stat().st_size > 0
    assert not list(shift.at.glob("*.part"))


# --- Ctrl-C ---


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.settimeout(20)
        yield bound


def stopped(
    args: Sequence[str], cwd: Path, begun: Callable[[subprocess.Popen[str]], object], **env: str
) -> tuple[int, str]:
    """Start a command, wait until it is at work, and do what Ctrl-C does on a terminal."""
    process = subprocess.Popen(
        [MIDWATCH, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        start_new_session=True,
        env={**os.environ, **env},
    )
    try:
        begun(process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=150)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, err


def a_line(process: subprocess.Popen[str]) -> None:
    """It said that it is ready."""
    assert process.stdout is not None
    assert process.stdout.readline()


@pytest.mark.parametrize("command", ["eval", "gate"])
@pytest.mark.parametrize("target", ["python:slow:answer", "cmd:sh slow.sh"])
def test_ctrl_c_stops_what_waits_for_a_target(tmp_path: Path, command: str, target: str) -> None:
    """One line and 130, at once."""
    (tmp_path / "suite.jsonl").write_text('{"id":"a","question":"is it","expect":"yes"}\n')
    (tmp_path / "slow.sh").write_text("touch begun; exec sleep 60\n")
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "def answer(question):\n    pathlib.Path('begun').touch()\n    time.sleep(60)\n"
    )
    args = {
        "eval": ["eval", "run", "suite.jsonl", "--target", target],
        "gate": ["gate", "--suite", "suite.jsonl", "--candidate", target, "--baseline", target],
    }[command]
    code, err = stopped(args, tmp_path, lambda _: until((tmp_path / "begun").exists))
    assert (code, err.strip()) == (130, "error: stopped")


@pytest.mark.parametrize("command", ["agent", "incidents", "release"])
def test_ctrl_c_stops_what_waits_for_a_server(
    tmp_path: Path, mute: socket.socket, command: str
) -> None:
    """One line and 130, at once."""
    url = f"http://127.0.0.1:{mute.getsockname()[1]}"
    at = ["--server", url, "--token", "x"]
    args = {
        "agent": ["agent", "load", "--url", url],
        "incidents": ["incidents", "list", *at],
        "release": ["release", "rollback", "shop", "--confirm", "shop", "--wait", "60", *at],
    }[command]
    with contextlib.ExitStack() as held:
        code, err = stopped(args, tmp_path, lambda _: held.enter_context(mute.accept()[0]))
    said = [line for line in err.splitlines() if line and "--token is visible" not in line]
    assert (code, said) == (130, ["error: stopped"])


def two_children(process: subprocess.Popen[str]) -> None:
    """It began two processes."""
    file = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(lambda: len(file.read_text().split()) == 2)


def test_ctrl_c_stops_a_pattern_that_never_ends(tmp_path: Path) -> None:
    """The process that tries it is not waited for, and does not outlive the command."""
    (tmp_path / "bot.py").write_text(f"def answer(question):\n    return '{'a' * 40}!'\n")
    hostile = "suite: x\ncases:\n  - {id: a, question: q, checks: [{regex: '^(a+)+$'}]}\n"
    (tmp_path / "suite.yaml").write_text(hostile, "utf-8")
    tried: list[str] = []

    def begun(process: subprocess.Popen[str]) -> None:
        def children() -> list[str]:  # of each thread: it is begun by one that works
            found = Path(f"/proc/{process.pid}/task").glob("*/children")
            tried.extend(pid for one in found for pid in one.read_text().split())
            return tried

        until(children)

    args = ["eval", "run", "suite.yaml", "--target", "python:bot:answer"]
    code, err = stopped(args, tmp_path, begun)
    assert (code, err) == (130, "\nerror: stopped\n")
    until(lambda: not Path(f"/proc/{tried[0]}").exists())


def test_ctrl_c_stops_a_long_fuzz(tmp_path: Path) -> None:
    """No process of it says anything but that one line."""
    args = ["drill", "fuzz", "--seeds", "100000", "--jobs", "2"]
    code, err = stopped(args, tmp_path, two_children)
    assert (code, err.strip()) == (130, "error: stopped")


@pytest.mark.parametrize("command", ["serve", "proxy", "agent"])
def test_ctrl_c_ends_a_server_well(tmp_path: Path, command: str) -> None:
    """Nothing went wrong: 0, and not a word of it on stderr."""
    assert midwatch("init", cwd=tmp_path).returncode == 0
    args = {
        "serve": ["serve", "--listen", "127.0.0.1:0", "--log-level", "error"],
        "proxy": [
            "proxy",
            "--upstream",
            "v1=http://127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
        ],
        "agent": ["agent", "serve", "--port", "0"],
    }[command]
    code, err = stopped(args, tmp_path, a_line, MIDWATCH_PROXY_TOKEN="x" * 16)
    assert (code, err) == (0, "")
