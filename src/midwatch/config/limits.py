"""How much callers may ask for, and whose word about them is taken.

Law: what is not said is a default that no ordinary sender reaches, and that leaves the server its
time; nobody is trusted by being left out.
"""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from midwatch.ports import Rate
from midwatch.yaml_nodes import UNITS_S, Node

LOOPBACK = ("127.0.0.0/8", "::1/128")
MOST_WAITING = 100_000


class Limits(Struct, frozen=True):
    """What one token may ask for in a time, and how many deliveries may wait in all.

    `sender` is of one that delivers to a source, `person` of one that uses the API.
    """

    sender: Rate = Rate(2_000, 10)
    person: Rate = Rate(600, 10)
    waiting: int = 1_000


def read_limits(node: Node) -> Limits:
    """Read the limits; what is not there is as usual."""
    usual = Limits()
    if node.value is None:
        return usual
    node.keys("sender", "person", "waiting")
    return Limits(
        read_rate(node.child("sender")) or usual.sender,
        read_rate(node.child("person")) or usual.person,
        node.child("waiting").integer(usual.waiting, at_least=10, at_most=MOST_WAITING),
    )


def read_rate(node: Node) -> Rate | None:
    """Read how many in a time, such as 10/1m."""
    if node.value is None:
        return None
    count, _, span = str(node.value).partition("/")
    found = re.fullmatch(r"(\d+)([smhd])", span)
    if not count.isdigit() or int(count) < 1 or not found or int(found[1]) < 1:
        node.error(node.found, "write it like 10/1m")
        return None
    return Rate(int(count), int(found[1]) * UNITS_S[found[2]])


def read_trust(node: Node) -> tuple[str, ...]:
    """Read the networks whose proxies are believed; without them, those of this machine."""
    if node.value is None:
        return LOOPBACK
    found: list[str] = []
    for item in node.items():
        text = item.text()
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            if text:
                item.error(f"{item.found}: {error}", "write it like 10.1.2.0/24 or 10.1.2.3")
            continue
        if not network.prefixlen:
            item.error(f"{text} means every address", "write the addresses of your proxies")
        found.append(str(network))
    return tuple(found)
