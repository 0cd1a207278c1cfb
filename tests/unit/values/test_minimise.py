"""Smaller inputs: nothing that matters is taken out, and little that does not is left."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.core.values.evals import Case
from midwatch.core.values.minimise import MAX_TRIES, minimise


def smallest(case: Case, holds: Callable[[Case], bool]) -> tuple[Case, int]:
    """Search; gives the smallest case and how many were tried."""
    search, tries = minimise(case), 0
    try:
        proposed = next(search)
        while True:
            tries += 1
            proposed = search.send(holds(proposed))
    except StopIteration as stopped:
        return stopped.value, tries


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.lists(st.sampled_from("mnopqrst"), max_size=12), st.integers(0, 3), st.randoms())
def test_what_is_needed_stays_and_what_is_not_goes(
    needed: list[str], other: list[str], turns: int, draw: object
) -> None:
    """Over turns and sentences, in whatever order; a case never grows."""
    sentences = [f"{word}." for word in [*needed, *other]]
    draw.shuffle(sentences)  # type: ignore[attr-defined]
    *before, last = [sentences[n :: turns + 1] for n in range(turns + 1)]
    texts = [" ".join(one) for one in (*before, last) if one]
    case = Case("c", texts[-1], "x", turns=tuple(texts[:-1]))

    def holds(one: Case) -> bool:
        said = " ".join((*one.turns, one.question))
        return all(f"{word}." in said for word in needed)

    found, tries = smallest(case, holds)
    assert holds(found)
    assert sum(text.count(".") for text in (*found.turns, found.question)) == len(needed)
    assert tries <= MAX_TRIES + 2


def test_one_sentence_is_left_alone() -> None:
    """There is nothing to take out."""
    case = Case("c", "Only this.", "x")
    assert smallest(case, lambda one: True) == (case, 0)
