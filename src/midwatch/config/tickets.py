"""What reports are about, by their words, and whose claims are believed.

Law: what can never fit a report is an error here, not a report that nobody finds.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from midwatch.core.values.categories import MIN_WORDS, Category
from midwatch.core.values.phrases import phrase_of
from midwatch.yaml_nodes import Node


class TicketsConfig(Struct, frozen=True):
    """The categories, words of trouble, and senders whose `affected` is believed."""

    categories: tuple[Category, ...] = ()
    trouble: tuple[str, ...] = ()
    trusted: frozenset[str] = frozenset()


def read_tickets(node: Node, services: Collection[str]) -> TicketsConfig:
    """Read `tickets` of midwatch.yaml."""
    if node.value is None:
        return TicketsConfig()
    node.keys("categories", "trouble", "trusted")
    trouble, _ = _entries(node.child("trouble"))
    least = MIN_WORDS - bool(trouble)
    found = tuple(
        _category(name, item, services, least) for name, item in node.child("categories").entries()
    )
    return TicketsConfig(
        found, trouble, frozenset(one.text() for one in node.child("trusted").items())
    )


def _category(name: str, item: Node, services: Collection[str], least: int) -> Category:
    item.keys("words", "sure", "service", "route", required=("service", "route"))
    if not item.has("words") and not item.has("sure"):
        item.error("words is missing", "add words, or sure: one of those is enough")
    words, good = _entries(item.child("words"))
    sure, all_good = _entries(item.child("sure"))
    service = item.child("service")
    service.known("service", services, "topology.yaml")
    category = Category(name, words, service.text(), item.child("route").text(), sure)
    if (words or sure) and good and all_good and category.most < least:
        item.child("words").error(
            f"only one word, but {MIN_WORDS} must match, so no report ever would",
            "add words or a phrase, or put it under sure, where one is enough",
        )
    return category


def _entries(node: Node) -> tuple[tuple[str, ...], bool]:
    """Read words and phrases; gives those that may fit, and whether all may."""
    found: list[str] = []
    good = True
    for item in node.items():
        text = item.text()
        try:
            phrase_of(text)
        except ValueError as error:
            says, _, remedy = str(error).partition("; ")
            if text:
                item.error(f"{text!r} {says}", remedy)
            good = False
        else:
            found.append(text)
    return tuple(found), good
