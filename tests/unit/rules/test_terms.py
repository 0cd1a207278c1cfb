"""A term: what each process that decides begins with, so that its keys are new in the world."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch import config
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import build_service
from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.effects import SendPage
from midwatch.core.state.shard import Shard, dump, load
from midwatch.core.values.alerts import identify
from midwatch.core.values.teams import Policy, Step
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
    assert begin(shard, ONE) == [events.TermBegan(salt=ONE)]
    begin(shard, OTHER)
    assert shard.term_salt == OTHER


@pytest.mark.parametrize("salt", ["", "ab", ONE.upper(), f"{ONE}/", f"{ONE[:-1]}\n", f"{ONE}00"])
def test_what_is_not_a_salt_begins_nothing(salt: str) -> None:
    """It would be in keys and links: it is of one form."""
    with pytest.raises(StateError, match="is not a salt"):
        begin(Shard(), salt)


def test_a_salt_is_not_drawn_twice_in_a_row() -> None:
    """Whoever hands in the last one drew nothing."""
    shard = Shard()
    begin(shard, ONE)
    with pytest.raises(StateError, match="salt of the last start"):
        begin(shard, ONE)


def down(name: str) -> inputs.AlertsArrived:
    """A critical alert in a namespace of its own, which pages."""
    labels = {"alertname": name, "service": "shop", "severity": "critical", "namespace": name}
    return inputs.AlertsArrived("test", (identify(labels).alert("firing", 0),))


def test_two_copies_draw_no_key_twice_and_an_incident_keeps_its_own() -> None:
    """What was open in the copy is one incident for both; what is sent from then on is not."""
    steps = Step(("ada",), delay_s=60), Step(("ada",), delay_s=60)
    rules = Rules(policy=Policy("p", steps), wall="namespace")
    shard = Shard()
    decide.decide(shard, inputs.BeginTerm(ONE), 0, rules)
    decide.decide(shard, down("first"), 0, rules)
    twin = load(dump(shard))
    decide.decide(twin, inputs.BeginTerm(OTHER), 1, rules)
    keys, refs = [], []
    for one, name in ((shard, "mine"), (twin, "theirs")):
        timer = inputs.Timer("escalate/INC-1", 60_000, "escalate", "INC-1")
        pages = [
            effect
            for given, at in ((inputs.TimerCameDue(timer), 60_000), (down(name), 6_000_000))
            for effect in decide.decide(one, given, at, rules).effects
            if isinstance(effect, SendPage)
        ]
        keys += [page.key for page in pages]
        refs.append([page.ref for page in pages])
    assert len(set(keys)) == len(keys) == 4
    assert refs == [["INC-1-00112233", "INC-2-00112233"], ["INC-1-00112233", "INC-2-ffeeddcc"]]


def test_a_ref_of_another_journal_names_nobody() -> None:
    """Whatever a person does by it is refused, and its number's incident is left alone."""
    shard, rules = Shard(), Rules(policy=Policy("p", (Step(("ada",)),)))
    decide.decide(shard, inputs.BeginTerm(ONE), 0, rules)
    decide.decide(shard, down("first"), 0, rules)
    with pytest.raises(StateError, match="INC-1-ffeeddcc"):
        decide.decide(shard, inputs.Acknowledge("INC-1-ffeeddcc", "ada"), 0, rules)
    assert shard.incidents["INC-1"].state == "open"
    decide.decide(shard, inputs.Acknowledge("INC-1-00112233", "ada"), 0, rules)
    assert shard.incidents["INC-1"].state == "acknowledged"


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
