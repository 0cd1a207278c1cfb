"""In a CI job's log nothing from outside is a command, however it is written."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.cli import joblog

JOB = {"GITHUB_ACTIONS": "true"}
COMMANDS = (
    "##[error]x",
    "##vso[task.complete result=Failed]",
    "##teamcity[x]",
    "  ::error::x",
    "::stop-commands::x",
)
ENDS = ["\n", "\r", "\r\n"]
PARTS = ["#", "##", "[", "[x]", ":", "::", " ", "\t", "a", "vso", "x" * 70, " " * 70, "é"]
PIECES = st.lists(st.sampled_from(PARTS + ENDS), max_size=12)


def written(pieces: list[str], environment: dict[str, str] = JOB) -> str:
    """What a pipe gets of these writes."""
    raw = io.BytesIO()
    plain = io.TextIOWrapper(raw, "utf-8", newline="")  # kept, as sys keeps its own
    stream = joblog.careful(plain, environment)
    for piece in pieces:
        stream.write(piece)
    stream.flush()
    return raw.getvalue().decode()


def obeyed(text: str) -> list[str]:
    """The lines that GitHub's, Azure's or TeamCity's runner would take for a command."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [
        line
        for line in lines
        if line.lstrip().startswith("::") or re.search(r"##[A-Za-z]{0,32}\[", line)
    ]


@pytest.mark.parametrize("text", COMMANDS)
def test_what_a_runner_would_obey_is_broken(text: str) -> None:
    """The referee above sees each of them before, and none after."""
    assert obeyed(text)
    assert not obeyed(written([f"{text}\n", f"nope {text}" if "##" in text else text]))


@given(PIECES)
def test_it_is_broken_however_it_is_written_in_pieces(pieces: list[str]) -> None:
    """And nothing but spaces is added: letters stay in their order."""
    out = written(pieces)
    assert not obeyed(out)
    assert out.replace(" ", "") == "".join(pieces).replace(" ", "")


def test_only_a_job_s_log_is_changed(tmp_path: Path) -> None:
    """On a person's machine a pipe gets every byte, and so does a file of data in a job."""
    assert written([COMMANDS[0]], {}) == COMMANDS[0]
    assert written([COMMANDS[0]], {"CI": "false"}) == COMMANDS[0]
    assert written([COMMANDS[0]], {"TF_BUILD": "True"}) != COMMANDS[0]
    with (tmp_path / "out").open("w+") as file:
        assert joblog.careful(file, JOB) is file


@given(st.text() | st.sampled_from(COMMANDS))
def test_a_json_document_stays_the_same_and_commands_nothing(text: str) -> None:
    """Its escape is JSON's own."""
    document = json.dumps({"got": text}, ensure_ascii=False).encode("utf-8", "replace")
    shown = joblog.in_json(document)
    assert json.loads(shown) == json.loads(document)
    assert not obeyed(shown)
