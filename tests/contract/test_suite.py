"""Files of eval cases: each format read as its own tool would, and junk told with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from midwatch.adapters.suites import files
from midwatch.core.values.evals import Case, Check, Reply
from midwatch.core.values.scorers import JUDGE, SCORERS, judge
from midwatch.errors import BadFile

OWN = """
suite: support-agent
cases:
  - id: refund
    question: How long can I return something?
    expect: Yes
  - id: said
    question: And shoes?
    turns: [How long can I return something?]
    slices: [returns, shoes]
    incident: INC-7
    runs: 5
    least: 4
    checks:
      - contains: 30 days
      - regex: "14|7 days"
        negate: true
      - token-f1: You have 30 days.
        threshold: 0.6
"""
PROMPTFOO = """
prompts: ['Answer shortly: {{question}}']
templates: {short: {type: latency, threshold: 1500}}
defaultTest:
  vars: {shop: Tideline}
  assert: [{$ref: '#/templates/short'}]
tests:
  - description: refund
    vars: {question: 'Refunds at {{shop}}?'}
    assert:
      - {type: icontains-any, value: [30 days, a month]}
      - {type: not-contains, value: '{{shop}} Ltd'}
  - vars: {question: hi}
    assert: [{type: javascript, value: 'output.length < 9'}]
  - file://more.csv
"""
CSV = """question,__expected1,__expected2,__description
"when, then?",contains: soon,not-icontains: never,when
what,plain text,,
how,similar(0.8): x,,
"""


def put(folder: Path, name: str, text: str) -> Path:
    """Write a file."""
    file = folder / name
    file.write_text(text, "utf-8")
    return file


def test_its_own_format(tmp_path: Path) -> None:
    """YAML 1.2: Yes is a text; and what was read is written and read again the same."""
    cases = files.read(put(tmp_path, "own.yaml", OWN))
    refund, said = cases
    assert (refund.expect, refund.wanted) == ("Yes", (Check("equals", "Yes"),))
    assert said.turns == ("How long can I return something?",)
    assert said.slices == ("returns", "shoes")
    assert (said.incident, said.runs, said.least) == ("INC-7", 5, 4)
    assert said.checks[1] == Check("regex", "14|7 days", negate=True)
    again = put(tmp_path, "again.yaml", files.write(cases, "midwatch", "support-agent"))
    assert files.read(again) == cases


def test_promptfoo_yaml_with_refs_defaults_and_a_csv(tmp_path: Path) -> None:
    """Variables are filled in; what is not judged here is named and never passes."""
    put(tmp_path, "more.csv", CSV)
    cases = files.read(put(tmp_path, "promptfooconfig.yaml", PROMPTFOO))
    refund, script, when, plain, similar = cases
    assert refund.question == "Answer shortly: Refunds at Tideline?"
    assert [one.kind for one in refund.checks] == ["latency", "icontains-any", "contains"]
    assert refund.checks[0].threshold == 1.5
    assert refund.checks[2] == Check("contains", "Tideline Ltd", negate=True)
    assert script.unsupported == ("assertion javascript",)
    assert judge(script, "v1", Reply("ok")).status == "unsupported"
    assert when.checks[1:] == (
        Check("contains", "soon"),
        Check("icontains", "never", negate=True),
    )
    assert (when.id, when.question) == ("when", "Answer shortly: when, then?")
    assert plain.checks[-1] == Check("equals", "plain text")
    assert similar.unsupported == ("assertion similar",)


def test_promptfoo_csv_and_lines(tmp_path: Path) -> None:
    """Each by itself."""
    cases = files.read(put(tmp_path, "tests.csv", CSV))
    assert [one.question for one in cases] == ["when, then?", "what", "how"]
    line = {"vars": {"q": "hi"}, "assert": [{"type": "equals", "value": "ho"}]}
    (case,) = files.read(put(tmp_path, "tests.jsonl", json.dumps(line) + "\n"))
    assert (case.question, case.checks) == ("hi", (Check("equals", "ho"),))


def test_openai_samples_and_their_registry(tmp_path: Path) -> None:
    """Messages become turns; the registry's class says how they match."""
    chat = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "refunds?"},
    ]
    lines = [{"input": chat, "ideal": ["30 days", "a month"]}, {"input": "q", "ideal": "a"}]
    body = "".join(json.dumps(one) + "\n" for one in lines)
    first, second = files.read(put(tmp_path, "samples.jsonl", body))
    assert (first.turns, first.question) == (("Be short.\n\nhi",), "refunds?")
    assert first.checks == (Check("starts-with", ["30 days", "a month"]),)
    assert second.checks == (Check("starts-with", "a"),)
    includes = files.read(tmp_path / "samples.jsonl", match="Includes")
    assert includes[0].checks[0].kind == "contains"
    registry = (
        "mine:\n  id: mine.v1\nmine.v1:\n  class: evals.elsuite.basic.fuzzy_match:FuzzyMatch\n"
        "  args: {samples_jsonl: samples.jsonl}\n"
    )
    assert files.read(put(tmp_path, "mine.yaml", registry))[1].checks[0].kind == "fuzzy"
    odd = registry.replace("FuzzyMatch", "ModelBasedClassify")
    assert files.read(put(tmp_path, "odd.yaml", odd))[0].unsupported == (
        "class ModelBasedClassify",
    )


def test_a_line_of_jsonl_ends_where_its_line_ends(tmp_path: Path) -> None:
    """A separator of lines that is a letter of a text, as JSON allows, cuts nothing."""
    line = '{"input": "one\u2028two\x85three", "target": "a"}\r\n'
    (case,) = files.read(put(tmp_path, "samples.jsonl", line))
    assert case.question == "one\u2028two\x85three"


def test_inspect_samples_in_three_shapes(tmp_path: Path) -> None:
    """With a map of fields; choices are not judged here, and said so."""
    samples = [
        {"id": 7, "input": [{"role": "user", "content": "hi"}], "target": "ho"},
        {"input": "pick", "target": "A", "choices": ["x", "y"]},
    ]
    one, two = files.read(put(tmp_path, "samples.json", json.dumps(samples)))
    assert (one.id, one.question, one.checks) == ("7", "hi", (Check("icontains", "ho"),))
    assert two.unsupported == ("choices",)
    assert judge(two, "v1", Reply("A")).status == "unsupported"
    mapped = put(tmp_path, "odd.csv", "prompt,answer\nhi,ho\n")
    (case,) = files.read(mapped, fields={"input": "prompt", "target": "answer"})
    assert (case.question, case.checks[0].value) == ("hi", "ho")
    assert files.read(put(tmp_path, "s.csv", "input,target,id\nhi,ho,x\n"))[0].id == "x"


def test_pydantic_datasets(tmp_path: Path) -> None:
    """Evaluators in their short and long forms, and those of the whole dataset."""
    text = """
name: bot
cases:
  - {name: a, inputs: hi, expected_output: ho, evaluators: [EqualsExpected]}
  - {name: b, inputs: {q: 1}, evaluators: [{Contains: {value: x, case_sensitive: false}}]}
  - {name: c, inputs: c, evaluators: [{IsInstance: str}]}
evaluators: [{MaxDuration: 2.0}]
"""
    a, b, c = files.read(put(tmp_path, "data.yaml", text))
    assert a.checks == (Check("latency", threshold=2.0), Check("equals", "ho"))
    assert (b.question, b.checks[1]) == ('{"q":1}', Check("icontains", "x"))
    assert c.unsupported == ("evaluator IsInstance",)
    as_json = {"cases": [{"inputs": "q", "evaluators": [{"Equals": "a"}]}]}
    assert files.read(put(tmp_path, "data.json", json.dumps(as_json)))[0].checks[0].value == "a"


# A check of each kind, and the formats beside midwatch's own that have a word for it.
OTHERS = [one for one in files.FORMATS if one != "midwatch"]
WORDS: list[tuple[Check, set[str]]] = [
    (Check("equals", "30 days"), {"promptfoo", "pydantic"}),
    (Check("iequals", "30 days"), set()),
    (Check("contains", "30 days"), {"promptfoo", "openai", "pydantic"}),
    (Check("contains", ["30 days", "a month"]), {"openai"}),
    (Check("icontains", "30 days"), {"promptfoo", "inspect", "pydantic"}),
    (Check("icontains", ["30 days", "a month"]), {"inspect"}),
    (Check("starts-with", "30 days"), {"promptfoo", "openai"}),
    (Check("starts-with", ["30 days", "a month"]), {"openai"}),
    (Check("istarts-with", "30 days"), set()),
    (Check("contains-any", ["30 days", "a month"]), {"promptfoo"}),
    (Check("contains-all", ["30 days", "a month"]), {"promptfoo"}),
    (Check("icontains-any", ["30 days", "a month"]), {"promptfoo"}),
    (Check("icontains-all", ["30 days", "a month"]), {"promptfoo"}),
    (Check("regex", "3\\d days"), {"promptfoo"}),
    (Check("fuzzy", "30 days"), {"openai"}),
    (Check("is-json"), {"promptfoo"}),
    (Check("is-json", {"type": "object"}), {"promptfoo"}),
    (Check("json-equals", '{"days":30}'), {"openai"}),
    (Check("json-schema", {"type": "object"}), set()),
    (Check("json-path", "$.days"), set()),
    (Check("number", 30.0, threshold=0.5), set()),
    (Check("token-f1", "30 days", threshold=0.6), set()),
    (Check("edit", "30 days", threshold=0.6), set()),
    (Check("latency", threshold=1.5), {"promptfoo", "pydantic"}),
    (Check("cost", threshold=0.25), {"promptfoo"}),
    (Check("tools", ["search", "say"]), set()),
    (Check("cites", ["returns.md"]), set()),
    (Check("refuses"), {"promptfoo"}),
    (Check("judge", "is polite"), {"promptfoo", "pydantic"}),
]


def sent(folder: Path, cases: list[Case], kind: str) -> list[Case]:
    """Write cases in a format, and read them again as anybody would, with no flag."""
    name = "out.jsonl" if kind in ("openai", "inspect") else "out.yaml"
    return files.read(put(folder, name, files.write(cases, kind, "bot")))


def same(case: Case) -> Case:
    """Leave out what promptfoo keeps beside the filled-in question."""
    return msgspec.structs.replace(case, variables={})


def test_each_kind_of_check_stands_in_the_table() -> None:
    """So that a new scorer has to say which formats have a word for it."""
    assert {check.kind for check, _ in WORDS} == {*SCORERS, JUDGE}


@pytest.mark.parametrize("kind", files.FORMATS)
@pytest.mark.parametrize("negate", [False, True])
@pytest.mark.parametrize(("check", "words"), WORDS, ids=lambda one: getattr(one, "kind", ""))
def test_a_case_comes_back_whole_or_is_refused_by_its_name(
    tmp_path: Path, check: Check, words: set[str], kind: str, negate: bool
) -> None:
    """Its check, incident, slices and runs, in each format; never a weaker case."""
    check = msgspec.structs.replace(check, negate=negate)
    case = Case(
        "inc-7",
        "Can I return it?",
        checks=(check,),
        slices=("returns", "shoes"),
        incident="INC-7",
        runs=5,
        least=4,
    )
    if kind == "midwatch" or (kind in words and (not negate or kind == "promptfoo")):
        assert [same(one) for one in sent(tmp_path, [case], kind)] == [case]
    else:
        with pytest.raises(
            BadFile, match=f"inc-7: this format cannot express the check .*{check.kind}"
        ):
            files.write([case], kind, "bot")


@pytest.mark.parametrize("kind", OTHERS)
def test_turns_come_back_or_are_refused(tmp_path: Path, kind: str) -> None:
    """Two formats know conversations."""
    check = Check("contains" if kind == "openai" else "icontains", "yes")
    case = Case("said", "And shoes?", checks=(check,), turns=("Refunds?", "When?"))
    if kind in ("openai", "inspect"):
        assert sent(tmp_path, [case], kind) == [case]
    else:
        with pytest.raises(BadFile, match="said: this format cannot express the turns") as told:
            files.write([case], kind, "bot")
        assert "export to midwatch's own format" in told.value.remedy


def test_an_answer_that_has_to_be_equal_is_not_exported_as_less(tmp_path: Path) -> None:
    """`expect: A` against "A and then some nonsense" fails before and after, or is not written."""
    case, reply = Case("a", "q", expect="A"), Reply("A and then some nonsense: B")
    assert judge(case, "v1", reply).status == "failed"
    for kind in files.FORMATS:
        if kind in ("openai", "inspect"):
            with pytest.raises(BadFile, match="a: this format cannot express the check equals"):
                files.write([case], kind, "bot")
        else:
            (again,) = sent(tmp_path, [case], kind)
            assert judge(again, "v1", reply).status == "failed"


def test_a_file_of_openais_is_of_one_class_which_whoever_reads_it_may_overrule(
    tmp_path: Path,
) -> None:
    """It stands in each sample; the second class is an error that names its case."""
    one = Case("one", "q", checks=(Check("contains", "x"),))
    other = Case("other", "q", checks=(Check("starts-with", "x"),))
    with pytest.raises(BadFile, match=r"other: .* starts-with: the file is of class Includes"):
        files.write([one, other], "openai", "bot")
    assert sent(tmp_path, [one], "openai") == [one]
    (again,) = files.read(tmp_path / "out.jsonl", match="FuzzyMatch")
    assert again.checks[0].kind == "fuzzy"


TEXTS = st.text("abé{}%:#\"'- \n\t\x85", max_size=6) | st.sampled_from(
    ("30", "1e3", "yes", "null", "file://a.csv", "{{question}}", "{{x}}", "- a", "a, b", "~")
)
VALUED = st.one_of(
    TEXTS,
    st.integers(-9, 9),
    st.floats(-9, 9),
    st.booleans(),
    st.none(),
    st.lists(st.one_of(TEXTS, st.integers(0, 3), st.booleans()), max_size=3),
    st.dictionaries(TEXTS, st.integers(0, 3), max_size=2),
)
KINDS = sorted({*SCORERS, JUDGE})


@st.composite
def sendings(draw: st.DrawFn) -> tuple[str, Case]:
    """Draw a format and a case, mostly of what the format has words for."""
    to = draw(st.sampled_from(files.FORMATS))
    known = sorted({check.kind for check, words in WORDS if to in words}) or KINDS
    checks = st.builds(
        Check,
        st.sampled_from(known) | st.sampled_from(KINDS),
        VALUED,
        st.sampled_from((False, False, True)),
        st.none() | st.floats(0, 9) | st.integers(0, 3).map(float),
    )
    turns = draw(st.lists(TEXTS, max_size=2)) if draw(st.integers(0, 3)) == 0 else []
    runs = draw(st.integers(1, 3))
    return to, Case(
        f"c{draw(TEXTS)}",
        draw(TEXTS) or "q",
        incident=draw(st.sampled_from(("", "INC-7"))),
        checks=tuple(draw(st.lists(checks, min_size=1, max_size=draw(st.integers(1, 2))))),
        turns=tuple(turns),
        slices=tuple(draw(st.lists(TEXTS.filter(bool), max_size=2))),
        runs=runs,
        least=draw(st.integers(1, runs)),
    )


REPLIES = [
    Reply(text, 1.2, 0.3, ("a",), ("a",))
    for text in ("", "a", "ab", "A b", "30", "3", "1000", "null", '{"a": 1}', "true", "{{x}}")
]


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sendings())
@example(("promptfoo", Case("c", "q", checks=(Check("contains-all", 0),))))  # an error, no text
def test_whatever_a_case_says_it_is_judged_alike_after_an_export(
    tmp_path: Path, sending: tuple[str, Case]
) -> None:
    """Or it is an error with its name and a remedy: values of the wrong kind, odd texts, all."""
    kind, case = sending
    try:
        text = files.write([case], kind, "bot")
    except BadFile as error:
        if (error.place, bool(error.remedy)) != (case.id, True):
            raise
        return
    name = "out.jsonl" if kind in ("openai", "inspect") else "out.yaml"
    (again,) = files.read(put(tmp_path, name, text))
    for field in ("id", "question", "turns", "slices", "incident", "runs", "least"):
        assert getattr(again, field) == getattr(case, field)
    assert [one.kind for one in again.wanted] == [one.kind for one in case.wanted]
    for reply in REPLIES:
        assert judge(again, "v1", reply).status == judge(case, "v1", reply).status


@pytest.mark.parametrize("said", [{"runs": 0}, {"runs": 2, "least": 3}, {"incidnt": "x"}, 7])
def test_what_came_along_is_checked(tmp_path: Path, said: Any) -> None:
    """A word that is none is told with its line, not taken for an ordinary case."""
    line = {"input": "q", "target": "a", "metadata": {"midwatch": said}}
    with pytest.raises(BadFile) as told:
        files.read(put(tmp_path, "a.jsonl", json.dumps(line) + "\n"))
    assert told.value.place == f"{tmp_path}/a.jsonl:1"
    line["metadata"] = {"incident": "theirs", "runs": "many"}
    (case,) = files.read(put(tmp_path, "b.jsonl", json.dumps(line) + "\n"))
    assert (case.incident, case.runs) == ("", 1)


def test_a_limit_of_promptfoos_without_a_threshold_is_not_understood(tmp_path: Path) -> None:
    """Its value is nothing there, and would be seconds here."""
    text = "prompts: ['{{q}}']\ntests: [{vars: {q: q}, assert: [{type: latency, value: 900}]}]\n"
    (case,) = files.read(put(tmp_path, "a.yaml", text))
    assert case.unsupported == ("latency without a threshold",)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "suite: x\ncases:\n  - {id: a, question: q, expct: 1}\n", "a.yaml:3"),
        ("a.yaml", "suite: x\ncases: []\n", "no cases found"),
        ("a.yaml", "a: [", "invalid YAML"),
        ("a.yaml", "just text", "unknown format"),
        ("a.yaml", "prompts: [x]\ntests: 7\n", "tests is not a list"),
        ("a.yaml", "tests: [{assert: [{$ref: '#/no'}]}]\n", "points to nothing"),
        ("a.yaml", "a: {$ref: '#/a'}\ntests: [{$ref: '#/a'}]\n", "the reference is circular"),
        ("a.yaml", "tests: file://../../etc/passwd\n", "outside its directory"),
        ("a.jsonl", '{"input": "q", "ideal": "a"}\n{"input": 7, "ideal": "a"}\n', "a.jsonl:2"),
        ("a.jsonl", "{nothing\n", "a.jsonl:1"),
        ("a.jsonl", '{"question": "q", "expect": "a"}\n', "id is missing"),
        ("a.csv", "a,b\n1,2\n", "unknown format"),
        ("a.json", '{"cases": [{"name": "x"}]}', "inputs is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    """File, line where there is one, and what to do."""
    with pytest.raises(BadFile) as told:
        files.read(put(tmp_path, name, text))
    assert says in str(told.value)
    assert told.value.remedy


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab:{}%$#/\n", max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "cases",
                    "tests",
                    "prompts",
                    "input",
                    "target",
                    "ideal",
                    "assert",
                    "vars",
                    "type",
                    "value",
                    "$ref",
                    "evaluators",
                    "inputs",
                    "suite",
                    "id",
                    "question",
                    "class",
                    "args",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(("f.yaml", "f.json", "f.jsonl", "f.csv")),
    st.sampled_from(("", *files.FORMATS)),
    st.one_of(VALUES.map(json.dumps), st.text(max_size=60), st.binary(max_size=40)),
)
def test_junk_is_an_error_and_never_a_crash(
    tmp_path: Path, name: str, kind: str, body: Any
) -> None:
    """Whatever the bytes; what is read all the same has cases that can be judged."""
    file = tmp_path / name
    file.write_bytes(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    try:
        cases = files.read(file, kind)
    except BadFile as error:
        if not error.place:
            raise
        return
    assert cases
    for case in cases:
        assert judge(case, "v1", Reply("something else")).status in (
            "passed",
            "failed",
            "error",
            "unsupported",
        )


def test_numbers_of_yaml_are_plain_numbers(tmp_path: Path) -> None:
    """As they stand, and behind an anchor: what is read can be written down again."""
    file = tmp_path / "s.yaml"
    file.write_text(
        "suite: s\ncases:\n  - {id: a, question: q, checks: [{number: &n 4.90}, {number: *n}]}\n"
        "  - {id: b, question: q, checks: [{is-json: &t true}, {contains: 0x10}]}\n",
        "utf-8",
    )
    cases = files.read(file)
    kinds = [type(check.value) for case in cases for check in case.checks]
    assert kinds[:2] == [float, float]
    assert kinds[2:] == [bool, int]
    assert msgspec.json.decode(msgspec.json.encode(cases), type=list[Case]) == cases
