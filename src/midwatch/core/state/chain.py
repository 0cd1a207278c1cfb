"""The hash chain over the journal's stored bytes.

Law: each link covers its row's bytes and the link before it, so a changed, missing or moved row
breaks every link after it. It shows damage and tampering by accident; it is no signature.
"""

from __future__ import annotations

from hashlib import blake2b

GENESIS = bytes(16)


def link(before: bytes, *columns: bytes | str | int) -> bytes:
    """Hash one row onto the chain.

    >>> link(GENESIS, 1, "a", b"bc") == link(GENESIS, 1, "ab", b"c")
    False
    """
    parts = [before]
    for column in columns:
        data = (
            column if isinstance(column, bytes) else str(column).encode("utf-8", "surrogateescape")
        )
        # Lengths stand in front so that no two rows can run together.
        parts.append(b"%d:%s" % (len(data), data))
    return blake2b(b"".join(parts), digest_size=16).digest()
