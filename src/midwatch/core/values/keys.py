"""Keys and names that leave: for whoever drops repeats, and for whoever opens a link much later.

Law: each carries the salt of the term in which it was drawn, so that it is never taken for what
another copy of the same journal drew. Once drawn it never changes: what is in doubt is repeated
under its old key. What midwatch 0.1.0 drew has no salt, and keeps its form.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

SALT_CHARS = 16
REF_CHARS = 8  # of a salt; two terms of an event log share them once in 4e9 of the same number
PREFIX = "INC-"  # what the name of an incident begins with
_SALT = re.compile(rf"/[0-9a-f]{{{SALT_CHARS}}}\Z")
_REF = re.compile(rf"(INC-[0-9]+)-[0-9a-f]{{{REF_CHARS}}}")


class Key(NamedTuple):
    """What the key of a timer, an effect or a stream is made of: a purpose, and what it is for."""

    purpose: str
    rest: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Take a key apart.

        >>> Key.read("others/INC-1/night/shift"), Key.read("storm")
        (Key(purpose='others', rest='INC-1/night/shift'), Key(purpose='storm', rest=''))
        """
        purpose, _, rest = text.partition("/")
        return cls(purpose, rest)

    def after(self, incident: str) -> str:
        """Give what follows the incident that it names, such as the hash of a plan.

        >>> Key.read("step/INC-1/0f2a").after("INC-1"), Key.read("step/INC-1").after("INC-1")
        ('0f2a', '')
        """
        return self.rest.removeprefix(incident).removeprefix("/")


class Place(NamedTuple):
    """Where a page goes: a person, by one of their pagers."""

    person: str
    via: str

    @property
    def text(self) -> str:
        """Write it as the state keeps it."""
        return f"{self.person}/{self.via}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Take it apart; names of people may have a slash, those of pagers have none.

        >>> Place.read("team/ada/phone"), Place.read("ada/phone").text
        (Place(person='team/ada', via='phone'), 'ada/phone')
        """
        person, _, via = text.rpartition("/")
        return cls(person, via)


def service_of(slo: str) -> str:
    """Name the service of an SLO's id.

    >>> service_of("shop/availability"), service_of("shop")
    ('shop', 'shop')
    """
    return slo.partition("/")[0]


def number_in(incident: str) -> int | None:
    """Give the number of an incident's name; None for what is none.

    >>> number_in("INC-12"), number_in("INC-012"), number_in("INC-x"), number_in("12")
    (12, None, None, None)
    """
    digits = incident.removeprefix(PREFIX)
    if not (digits.isdecimal() and digits.isascii() and len(digits) < 18):
        return None
    return int(digits) if f"{PREFIX}{int(digits)}" == incident else None


def key_of(salt: str, *parts: object) -> str:
    """Draw the key of an effect.

    >>> key_of("00112233445566aa", "page", "INC-2", 1), key_of("", "page", "INC-2", 1)
    ('page/INC-2/1/00112233445566aa', 'page/INC-2/1')
    """
    return "/".join(map(str, (*parts, salt) if salt else parts))


def without_salt(key: str) -> str:
    """Give what a key was drawn of, whichever term drew it.

    >>> without_salt("page/INC-2/1/00112233445566aa"), without_salt("page/INC-2/1")
    ('page/INC-2/1', 'page/INC-2/1')
    """
    return _SALT.sub("", key)


def ref_of(incident: str, salt: str) -> str:
    """Name an incident where its number alone could be another one's: in links, buttons and keys.

    >>> ref_of("INC-2", "00112233445566aa"), ref_of("INC-2", "")
    ('INC-2-00112233', 'INC-2')
    """
    return f"{incident}-{salt[:REF_CHARS]}" if salt else incident


def id_of(name: str) -> str:
    """Give the name that people use, of an incident's ref or of that name itself.

    >>> id_of("INC-2-00112233"), id_of("INC-2")
    ('INC-2', 'INC-2')
    """
    found = _REF.fullmatch(name)
    return found[1] if found else name
