"""How a command writes the file that it is told to write."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from midwatch.cli.places import write_anew
from midwatch.errors import InputError


def test_an_older_file_is_replaced_whole(tmp_path: Path) -> None:
    """Who reads it meanwhile reads the older one to its end; nothing is left beside it."""
    file = tmp_path / "out.json"
    file.write_bytes(b"older")
    with file.open("rb") as reader:
        write_anew(file, b"new")
        assert reader.read() == b"older"
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_nothing_takes_the_place_of_a_link_or_a_pipe(tmp_path: Path) -> None:
    """As /dev/stdout is: it is written to, and stays what it was."""
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_bytes(b"something longer")
    link.symlink_to(file)
    write_anew(link, b"new")
    assert (link.is_symlink(), file.read_bytes()) == (True, b"new")
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_anew(pipe, b"through")
    reader.join(20)
    assert (pipe.is_fifo(), read) == (True, [b"through"])


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The error has its place and its remedy."""
    with pytest.raises(InputError, match="cannot be written: Is a directory; choose another file"):
        write_anew(tmp_path, b"new")
