"""Keys and names that leave: for whoever drops repeats, and for whoever opens a link much later.

Law: each carries the salt of the term in which it was drawn, so that it is never taken for what
another copy of the same journal drew. Once drawn it never changes: what is in doubt is repeated
under its old key. What midwatch 0.1.0 drew has no salt, and keeps its form.
"""

from __future__ import annotations

import re

SALT_CHARS = 16
REF_CHARS = (
    8  # of a salt; two terms of one journal that opened the same number share them once in 4e9
)
_SALT = re.compile(rf"/[0-9a-f]{{{SALT_CHARS}}}\Z")
_REF = re.compile(rf"(INC-[0-9]+)-[0-9a-f]{{{REF_CHARS}}}")


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
