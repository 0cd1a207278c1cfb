"""How a service's traffic is shared: the live release, and a candidate's part of it.

Law: who gets the candidate is a function of a request's key and the candidate alone, and more
weight only adds to it: nobody who got the candidate is moved back when its part grows.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

PARTS = 10_000


class Traffic(Struct, frozen=True):
    """What is served, or should be, at an epoch: `weight` per cent go to the candidate."""

    release: str
    epoch: int
    candidate: str = ""
    weight: int = 0

    @property
    def says(self) -> str:
        """Write it for people.

        >>> Traffic("v1", 7, "v2", 5).says, Traffic("v1", 8).says
        ('v1, 5 % v2, at epoch 7', 'v1 at epoch 8')
        """
        part = f", {self.weight} % {self.candidate}," if self.candidate else ""
        return f"{self.release}{part} at epoch {self.epoch}"

    def is_like(self, other: Traffic) -> bool:
        """Say whether both serve the same, at whatever epochs."""
        mine = (self.release, self.candidate, self.weight)
        return mine == (other.release, other.candidate, other.weight)

    def of(self, key: bytes, salt: bytes) -> str:
        """Give the release that a request with this key gets.

        `salt` keeps it from strangers which keys those are.

        >>> few, more = Traffic("v1", 1, "v2", 10), Traffic("v1", 2, "v2", 25)
        >>> keys = [str(n).encode() for n in range(2_000)]
        >>> first = {key for key in keys if few.of(key, b"salt") == "v2"}
        >>> 150 < len(first) < 250, all(more.of(key, b"salt") == "v2" for key in first)
        (True, True)
        """
        if not self.candidate:
            return self.release
        drawn = _draw(self.candidate, salt[:64]).copy()
        drawn.update(key)
        place = int.from_bytes(drawn.digest(), "big") % PARTS
        return self.candidate if place < self.weight * (PARTS // 100) else self.release


# It is the same for all requests while a candidate is tried, and only ever copied.
@lru_cache(256)
def _draw(candidate: str, salt: bytes) -> blake2b:
    """Make each candidate's part another one, so that no user tries all of them."""
    person = blake2b(candidate.encode(), digest_size=16).digest()
    return blake2b(digest_size=8, key=salt, person=person)
