"""A term: what each process that decides begins with, so that its keys are new in the world."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch import config
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import build_service
from midwatch.core import decide, events, inputs
from midwatch.core.rules import Rules
from midwatch.core.shard import Shard
from midwatch.engine import queries
from midwatch.engine.handle import Handler
from midwatch.errors import StateError

CONFIG = """\
sources: {alertmanager: {type: alertmanager}}
escalation: {steps: [{to: ada}]}
"""
ONE, OTHER = "00112233445566aa", "ffeeddccbbaa9988"


def begin(shard: Shard, salt: str) -> list[events.Event]:
    return decide.decide(shard, inputs.BeginTerm(salt), 5_000, Rules()).events


def test_a_term_has_the_newest_salt() -> None:
    """The one of the process that decides now."""
    shard = Shard()
    assert begin(shard, ONE) == [events.TermBegan(ONE)]
    begin(shard, OTHER)
    assert shard.term_salt == OTHER


@pytest.mark.parametrize("salt", ["", "ab", ONE.upper(), f"{ONE}/", f"{ONE[:-1]}\n", f"{ONE}00"])
def test_what_is_not_a_salt_begins_nothing(salt: str) -> None:
    """It would stand in keys and links: it is of one form."""
    with pytest.raises(StateError, match="is not a salt"):
        begin(Shard(), salt)


def test_a_salt_is_not_drawn_twice_in_a_row() -> None:
    """Whoever hands in the last one drew nothing."""
    shard = Shard()
    begin(shard, ONE)
    with pytest.raises(StateError, match="last term's salt"):
        begin(shard, ONE)


def test_each_start_draws_a_salt_before_it_decides(tmp_path: Path) -> None:
    """Once a start, as its first event; none is like another."""
    (tmp_path / "midwatch.yaml").write_text(CONFIG)
    file, loaded = tmp_path / "midwatch.db", config.load(tmp_path)
    for _ in range(3):
        store = SqliteStore.own(file)
        service = build_service(store, loaded, lambda: 1_000)
        salts = [
            fact.event.salt
            for fact in queries.facts(store)
            if isinstance(fact.event, events.TermBegan)
        ]
        assert service.engine.handler.shard.term_salt == salts[-1]
        store.close()
    reader = SqliteStore.read_only(file)
    assert len(set(salts)) == 3
    assert [row.type for row, _ in reader.rows()] == ["TermBegan"] * 3
    reader.close()


def test_a_command_on_the_file_is_of_the_last_term(tmp_path: Path) -> None:
    """A journal that no server ever served begins with a term all the same."""
    from midwatch.cli.on_file import OnFile

    (tmp_path / "midwatch.yaml").write_text(CONFIG)
    file = tmp_path / "midwatch.db"
    SqliteStore.own(file).close()
    at = OnFile(tmp_path, file)
    for ticket in ("T-1", "T-2"):
        at.ticket({"id": ticket, "text": "the shop is down for everybody", "by": "ada"})
    reader = SqliteStore.read_only(file)
    kinds = [row.type for row, _ in reader.rows()]
    assert (kinds[0], kinds.count("TermBegan")) == ("TermBegan", 1)
    assert Handler(reader, Rules(), lambda: 0).shard.term_salt
    reader.close()
