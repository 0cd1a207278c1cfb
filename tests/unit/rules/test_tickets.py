"""Reports of people: who is counted, what nobody knows a service for, and which words fit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.rules.test_correlation import POLICY, TOPOLOGY, Bench, alert

from midwatch import config
from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.rules.tickets import MANY, RECENT, TOGETHER_S
from midwatch.core.state import effects, inputs
from midwatch.core.values.categories import Category, categorise
from midwatch.core.values.phrases import Said, phrase_of, plain
from midwatch.core.values.teams import Policy, Route, Step

CART = (Category("checkout", ("cart", "pay"), "cart", "shop-team"),)
NIGHT = Policy("night", (Step(("ben",), 300),), repeat=0)
DESK = Rules(
    topology=TOPOLOGY,
    policy=POLICY,
    policies={"p": POLICY, "night": NIGHT},
    routes=(Route("night"),),  # everything that has a service
    categories=CART,
    trusted=frozenset(("zendesk",)),
)
HOURLY = TOGETHER_S // (MANY - 1)


def pages(decisions: Iterable[decide.Decision]) -> list[effects.SendPage]:
    """What would be sent."""
    return [x for one in decisions for x in one.effects if isinstance(x, effects.SendPage)]


def report(name: str, text: str = "nothing works any more", **more: object) -> inputs.FileTicket:
    """A report that names no service, unless it is said."""
    return inputs.FileTicket(name, text, **more)  # pyright: ignore[reportArgumentType]


# --- people, not letters ------------------------------------------------------------------------


def test_one_person_who_writes_ten_times_wakes_nobody() -> None:
    """In the same words or in others, in capitals and with blanks: it is one person."""
    bench = Bench(DESK)
    told = [
        bench.give(report(f"T-{n}", f"the cart is wrong{'!' * n}", by=by, service="cart"), n)
        for n, by in enumerate(["Ada", "ada", " ADA ", "ada", "ada"])
    ]
    told += [
        bench.give(report(f"U-{n}", f"problem {n} of mine, page {n}", by="ada", service="cart"), n)
        for n in range(5, 10)
    ]
    assert pages(told) == []
    incident = bench.state.incidents["INC-1"]
    assert (len(incident.tickets), incident.severity) == (10, "sev3")


def test_five_people_do_and_those_without_a_name_are_one_a_sender() -> None:
    """Who sends for others says who they are; else it is the sender alone."""
    bench = Bench(DESK)
    nameless = [
        bench.give(report(f"T-{n}", service="cart", source="shop-form"), n) for n in range(9)
    ]
    named = [bench.give(report(f"U-{n}", service="cart", by=f"u{n}"), n) for n in range(3)]
    assert pages([*nameless, *named]) == []
    (page,) = pages([bench.give(report("V", service="cart", source="mail-form"), 20)])
    assert page.severity == "sev2"
    assert "13 reports of 5 affected" in page.summary


def test_a_number_told_twice_is_not_added_up() -> None:
    """Three who speak for the same four people are four."""
    bench = Bench(DESK)
    for number in range(3):
        name = f"T-{number}"
        told = bench.give(report(name, service="cart", by=f"u{number}", affected=4), number)
        assert pages([told]) == []
    (page,) = pages([bench.give(report("U", service="cart", by="eve", affected=40), 9)])
    assert "4 reports of 40 affected" in page.summary


# --- without a service --------------------------------------------------------------------------


def test_five_people_without_a_service_open_one_incident_for_triage() -> None:
    """It pages the default policy, whatever the routes are, like a sev2; all reports are in it."""
    bench = Bench(DESK)
    told = [
        bench.give(report(f"T-{n}", f"site down number {n}, nothing on {n * 7}", by=f"u{n}"), n)
        for n in range(MANY + 2)
    ]
    (page,) = pages(told)
    assert (page.to, page.severity) == ("ada", "sev2")
    assert [len(one.events) > 1 for one in told] == [False] * (MANY - 1) + [True] * 3
    (incident,) = bench.state.incidents.values()
    assert incident.tickets == [f"T-{n}" for n in range(MANY + 2)]
    assert {one.incident for one in bench.state.tickets.values()} == {incident.id}
    assert "no service named: site down number 4" in incident.title
    # Escalation goes on where it began, and so does it after an ack that is too old.
    bench.give(inputs.Acknowledge("INC-1", "ada"), 20)
    assert DESK.policy_of(incident).name == "p"


@pytest.mark.parametrize(
    ("who", "paged"),
    [
        ({"by": "ada", "signed": True}, True),
        ({"source": "zendesk"}, True),
        ({"source": "form", "by": "ada"}, False),
        ({"source": "zendesk", "affected": MANY - 1}, False),
    ],
    ids=["signed in", "trusted", "anybody", "few"],
)
def test_who_speaks_for_many_is_believed_when_somebody_vouches(
    who: dict[str, object], paged: bool
) -> None:
    """A person who is signed in, or a sender whom the config trusts; not a form on the web."""
    bench = Bench(DESK)
    told = bench.give(report("T", "the whole site is down", **{"affected": 400, **who}))
    assert bool(pages([told])) is paged
    assert bool(bench.state.incidents) is paged
    assert bench.state.tickets["T"].affected == who.get("affected", 400)


def test_a_number_that_nobody_vouched_for_is_in_no_count() -> None:
    """Four others come: they are five people, whatever the first one said."""
    bench = Bench(DESK)
    first = report("T-0", "the whole site is down", by="u0", source="form", affected=400)
    told = [bench.give(first)]
    told += [bench.give(report(f"T-{n}", f"no page {n}", by=f"u{n}"), n) for n in range(1, MANY)]
    (page,) = pages(told)
    assert f"{MANY} reports of {MANY} affected" in page.summary


def test_text_alone_pages_nobody() -> None:
    """However loud one person is about it, and however often it is sent."""
    bench = Bench(DESK)
    loud = "URGENT outage!!! everyone is down, nobody can pay, page sev1 now"
    told = [bench.give(report(f"T-{n}", loud, by="eve"), n) for n in range(50)]
    told += [bench.give(report(f"U-{n}", f"{loud} {n}", source="form"), n) for n in range(50)]
    assert pages(told) == []
    assert bench.state.incidents == {}
    assert bench.state.tickets["T-9"].duplicate_of == "T-0"


def test_reports_of_a_whole_day_are_not_counted_together() -> None:
    """Four people in an hour, again and again, are what a help desk is for."""
    bench = Bench(DESK)
    for number in range(40):
        bench.give(
            report(f"T-{number}", f"question {number}", by=f"u{number}"), number * HOURLY + number
        )
    assert bench.state.incidents == {}
    bench.give(report("T-x", "and me", by="x"), 39 * HOURLY + 39)
    assert list(bench.state.incidents) == ["INC-1"]


def test_a_chatterbox_hides_nobody() -> None:
    """Hundreds of reports of one sender between those of five people: all five are counted."""
    bench = Bench(DESK)
    for number in range(MANY):
        for noise in range(RECENT + 20):
            name = f"N-{number}-{noise}"
            bench.give(report(name, f"newsletter {name}", by="bot"), number)
        if number < MANY - 2:
            bench.give(report(f"T-{number}", by=f"u{number}"), number)
    assert bench.state.incidents == {}
    bench.give(report("T-9", by="u9"), 9)
    (incident,) = bench.state.incidents.values()
    assert len(incident.tickets) == MANY
    assert {"T-0", "T-1", "T-2", "T-9"} < set(incident.tickets)


def test_what_comes_after_the_incident_is_counted_from_the_start() -> None:
    """One that is over takes no more reports, and those in it open no other one."""
    bench = Bench(DESK)
    for number in range(MANY):
        bench.give(report(f"T-{number}", by=f"u{number}"), number)
    bench.give(inputs.Acknowledge("INC-1", "ada"), 10)
    bench.give(inputs.ResolveIncident("INC-1", "ada", "mended"), 11)
    bench.give(report("U-1", by="u1"), 12)
    assert bench.state.tickets["U-1"].incident == ""
    assert list(bench.state.incidents) == ["INC-1"]


def test_reports_follow_where_their_incident_was_merged_into() -> None:
    """Who says that they are the same says so for the next one, too."""
    bench = Bench(DESK)
    bench.alerts(alert("cart"))
    for number in range(MANY):
        bench.give(report(f"T-{number}", by=f"u{number}"), number)
    bench.give(inputs.MergeIncident("INC-2", "INC-1", "ada"), 10)
    bench.give(report("U", by="u9"), 12)
    assert bench.state.tickets["U"].incident == "INC-1"


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "text", "fits"),
    [
        ("card", "My CARD.", True),
        ("card", "cards", False),
        ("card*", "my cardholder name", True),
        ("*zahlung", "Die Kartenzahlung geht nicht", True),
        ("*zahlung*", "ZAHLUNGSFEHLER", True),
        ("*zahlung", "Zahlungsfehler", False),
        ("log in", "I cannot log\nin", True),
        ("log in", "log-in fails", True),
        ("log in", "log me in", False),
        ("log ... in", "it will not log me in", True),
        ("log ... in", "the log of last week is in the mail", False),
        ("charged twice", "I was charged for it, twice", False),
        ("débité*", "J'ai été DEBITEE deux fois", True),
        ("debite", "débité", True),
        ("argent", "rendez-moi l\u2019argent", True),
        ("can't pay", "I cant pay", True),
        ("can't pay", "I can\u2019t pay", True),
        ("strasse", "Straße", True),
        ("登录", "我登录不了", True),
        ("登录", "我 登 录 不 了", True),
        ("カード", "ｶｰﾄﾞが使えない", True),
        ("ハ", "バ", False),
        ("visa", "信用卡visa付款", True),
        ("รหัสผ่าน", "ลืมรหัสผ่านแล้ว", True),
        ("500", "error 500.", True),
        # one no in all the ways of writing it, and no other word
        ("not sent", "It wasn\u2019t sent", True),
        ("not sent", "they never sent it", True),
        ("not work*", "it doesnt work", True),
        ("not sent", "a note sent", False),
        ("not ... reach", "we can't even reach them", True),
        ("nicht gebucht", "nie gebucht", True),
        ("reçu pas", "je ne l'ai reçu plus", True),
        ("no carga", "nunca carga", True),
        # numbers
        ("# minutes", "after 20 minutes", True),
        ("# minutes", "after some minutes", False),
        ("#分", "返事に20分かかる", True),
        ("#分", "返事に分かれ目", False),
        # umlauts, with and without the keys for them
        ("stürzt*", "Die App stuerzt ab", True),
        ("stürzt*", "Die App sturzt ab", True),
        ("sturzt*", "stuerzt", False),
        # a phrase ends with its sentence
        ("not ... help", "It does not work. Help me", False),
        ("not ... help", "It does not\nreally help", True),
        ("not ... help", "It did not\n\nHelp me", False),
        ("log in", "Log. In", False),
        ("version 2", "version 2.5 is out", True),
        # a verb's no in Japanese, and what stands between two parts
        ("届かない", "メールが届きません", True),
        ("届かない", "届かなかったので", True),
        ("届かない", "まだ届かず困る", True),
        ("届かない", "もう届きました", False),
        ("返ってこない", "返ってきません", True),
        ("表示しない", "表示せずに終わる", True),
        ("開けない", "画面が開けなくて", True),
        ("利用できない", "利用出来ません", True),
        ("英語 ... 返", "英語でしか返してくれない", True),
        ("英語...返", "英語だ。すぐ返して", False),
        ("英語 ... 返", "返事は英語", False),
        ("英語 ... 返", "英語の本を買って昨日図書館に行ってから返した", False),
    ],
)
def test_words_are_found_as_people_write_them(entry: str, text: str, fits: bool) -> None:
    """Whole words, beginnings, ends, phrases, and anywhere where there are no spaces."""
    assert bool(Said(text).places(phrase_of(entry))) is fits


def test_a_word_is_counted_once_and_a_phrase_by_its_words() -> None:
    """What two entries both mean is one piece of evidence; `sure` is enough alone."""
    one = Category("one", ("card", "card*", "登录"), "a", "r", ("refund*", "付款失败"))
    assert categorise("card card card", (one,)) == (None, [])
    assert categorise("登录", (one,)) == (None, [])
    assert categorise("登录 card", (one,))[1] == ["card", "card*", "登录"]
    assert categorise("refunds?", (one,))[0] is one
    assert categorise("付款失败", (one,))[0] is one
    other = Category("other", (), "b", "r", ("card",))
    assert categorise("my card, refund", (one, other))[0] is one
    tied = Category("tied", (), "b", "r", ("refund",))
    assert categorise("refund", (one, tied)) == (None, [])


def test_trouble_counts_for_a_category_that_has_a_word_of_its_own() -> None:
    """That something is wrong says nothing of what it is; the same word is not counted twice."""
    one = Category("one", ("card*", "not accepted"), "a", "r")
    other = Category("other", ("account",), "b", "r")
    trouble = ("not", "fail*", "不")
    assert categorise("the card", (one, other), trouble) == (None, [])
    assert categorise("it does not work, it fails", (one, other), trouble) == (None, [])
    assert categorise("the card fails", (one, other), trouble)[1] == ["card*", "fail*"]
    assert categorise("card? 我不知道", (one, other), trouble)[1] == ["card*", "不"]
    assert categorise("my account and card fail", (one, other), trouble) == (None, [])
    assert categorise("not accepted", (one, other), trouble)[1] == ["not accepted"]
    twice = Category("twice", ("fail*",), "a", "r")
    assert categorise("it fails", (twice,), trouble) == (None, [])


def test_a_report_is_read_with_the_trouble_of_the_config() -> None:
    """From the desk on: the words of it stand in the reason."""
    bench = Bench(structs.replace(DESK, trouble=("fail*",)))
    bench.give(inputs.FileTicket("T-1", "the cart fails"))
    assert bench.state.tickets["T-1"].category == "checkout"
    assert bench.state.incidents["INC-1"].tickets == ["T-1"]


@given(st.text(max_size=60), st.text(max_size=12))
def test_no_text_and_no_entry_breaks_it(text: str, entry: str) -> None:
    """An entry that is taken is found in itself; anything else is refused."""
    try:
        phrase = phrase_of(entry)
    except ValueError:
        return
    Said(text).places(phrase)
    if "*" not in entry:
        number = "#" if phrase.inside else r"(?<!\S)#(?!\S)"
        text = re.sub(number, "1", plain(entry).replace("...", " "))
        assert Said(text).places(phrase)


# --- the config ---------------------------------------------------------------------------------

CONFIG = """
sources: {{a: {{type: alertmanager}}}}
escalation: {{steps: [{{to: ada}}]}}
tickets:
  trusted: [zendesk]
  categories:
    login:
      words: {words}
      service: web
      route: id-team
"""


def problems(folder: Path, words: str) -> list[str]:
    """What `midwatch check` says of them."""
    (folder / "midwatch.yaml").write_text(CONFIG.format(words=words), "utf-8")
    (folder / "topology.yaml").write_text("services: [{name: web}]", "utf-8")
    return [str(one).split(" ", 1)[1] for one in config.check(folder)[1]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ('["log in"]', ""),
        ("[password, 登录]", ""),
        (
            "[login]",
            "words: only one word, but 2 must match, so no report ever would; add words or",
        ),
        ("['c*d', a, b]", "words[0]: 'c*d' has a * within a word; put it at an end"),
        ("[a, b, '!?']", "words[2]: '!?' has neither a letter nor a digit, so no report has it"),
        ("[a, b, '*']", "words[2]: '*' has a * without a word; put it at the end of one"),
        ("[a, b, 'l*']", "words[2]: 'l*' matches nearly all words; write at least 2 letters"),
        ("[a, b, '*in*']", "words[2]: '*in*' matches nearly all words; write at least 3 letters"),
        ("[a, b, 'log ...']", "words[2]: 'log ...' has ... at its end; put it between two words"),
        ("[a, b, '... in']", "words[2]: '... in' has ... at its beginning or twice; put it"),
        ("[a, b, '登*录']", "words[2]: '登*录' has a * within a word; put it at an end"),
        ("[a, b, 'no. Go']", "words[2]: 'no. Go' continues after the end of a sentence; write two"),
        ("[a, b, '登 ...']", "words[2]: '登 ...' has ... at its beginning, at its end or twice"),
        ("[a, b, '...登']", "words[2]: '...登' has ... at its beginning, at its end or twice"),
        ("[a, 5]", "words[1]: got 5; write text"),
        ("[]\n      sure: [login]", ""),
    ],
)
def test_what_can_never_fit_is_refused(tmp_path: Path, words: str, says: str) -> None:
    """With its place and a remedy; a phrase of two words is two words."""
    found = problems(tmp_path, words)
    if not says:
        assert found == []
        return
    (error,) = found
    assert error.startswith(f"tickets.categories.login.{says}"), error


def test_one_word_is_enough_where_trouble_is_known(tmp_path: Path) -> None:
    """Which is read like the words of a category."""
    text = CONFIG.replace("  trusted: [zendesk]", "  trouble: [fails]\n  trusted: [zendesk]")
    (tmp_path / "midwatch.yaml").write_text(text.format(words="[login]"), "utf-8")
    (tmp_path / "topology.yaml").write_text("services: [{name: web}]", "utf-8")
    assert config.check(tmp_path)[1] == []
    (tmp_path / "midwatch.yaml").write_text(text.replace("fails", "'*'").format(words="[a, b]"))
    (error,) = config.check(tmp_path)[1]
    assert "tickets.trouble[0]: '*' has a * without a word" in str(error)


def test_senders_that_are_trusted_are_named_in_the_config(tmp_path: Path) -> None:
    """By the name of their token."""
    assert problems(tmp_path, "[a, b]") == []
    assert config.load(tmp_path).rules.trusted == {"zendesk"}
