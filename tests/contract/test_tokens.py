"""Tokens: shown once, hashed at rest, gone when revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.tokens import SqliteTokens
from midwatch.errors import StateError
from midwatch.ports import Token

SENDER = Token("ab12cd34", "alertmanager", "", "alertmanager", 1_000)


@pytest.fixture
def tokens(tmp_path: Path) -> SqliteTokens:
    """In a file that did not exist."""
    return SqliteTokens.open(tmp_path / "midwatch.db")


def test_a_token_is_found_by_its_text_alone(tokens: SqliteTokens) -> None:
    """Not by its id, a cut text, another prefix or a longer one."""
    text = tokens.create(SENDER)
    assert tokens.find(text) == SENDER
    for wrong in ("", "mw", SENDER.id, f"mw_{SENDER.id}_", text[:-1], text + "x", text.upper()):
        assert tokens.find(wrong) is None, wrong
    assert tokens.find("xx" + text[2:]) is None
    assert tokens.find("mw_unknown_" + text.split("_", 2)[2]) is None


def test_the_secret_is_not_in_the_file(tokens: SqliteTokens, tmp_path: Path) -> None:
    """Neither as text nor in the log beside it."""
    secret = tokens.create(SENDER).split("_", 2)[2]
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes(), file


def test_a_revoked_token_is_nobodys_at_once(tokens: SqliteTokens, tmp_path: Path) -> None:
    """Also on another connection, beside the journal's owner."""
    text = tokens.create(SENDER)
    owner = SqliteStore.own(tmp_path / "midwatch.db")
    other = SqliteTokens.open(tmp_path / "midwatch.db")
    assert other.find(text) == SENDER
    tokens.revoke(SENDER.id, 2_000)
    assert other.find(text) is None
    with pytest.raises(StateError):
        tokens.revoke(SENDER.id, 3_000)
    owner.close()


def test_a_token_ends_at_its_time(tmp_path: Path) -> None:
    """To the millisecond, by its text and by its id; one without an end does not."""
    now = [1_000]
    tokens = SqliteTokens.open(tmp_path / "midwatch.db", lambda: now[0])
    brief = Token("aa11bb22", "", "responder", "eve", 1_000, 0, 5_000)
    texts = [tokens.create(brief), tokens.create(SENDER)]
    for at, lives in ((4_999, True), (5_000, False), (10**13, False)):
        now[0] = at
        assert (tokens.find(texts[0]) == brief) is lives
        assert (tokens.get(brief.id) == brief) is lives
        assert tokens.find(texts[1]) == SENDER
    tokens.close()
