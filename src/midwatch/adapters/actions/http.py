"""A runbook's HTTP request, through the one outgoing client.

Law: only what the config names is called. The operation goes along as Idempotency-Key, so that the
other side can do it once. To see whether it is done the answer is 2xx and each path that is
expected has its value, of the same type; another value says no, and any other answer that nobody
can tell. Whoever stands between, and waited in vain for the other side, has not answered for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from midwatch.core.values.actions import OK, Request
from midwatch.errors import Declined, HarnessError, InputError
from midwatch.ports import Observed, StepSaid

if TYPE_CHECKING:
    from midwatch.outbound import Answer, Outbound  # nobody who drills needs an HTTP client

SHOWN = 200
NOTHING = object()
BETWEEN = (408, 499, 502, 504)  # what a proxy says that does not know what became of the request


class HttpActions:
    """Sends requests."""

    def __init__(
        self, outbound: Callable[[str, float], Outbound], secrets: Mapping[str, str]
    ) -> None:
        """`outbound` gives the way to an address that is listed, with its time in seconds."""
        self._outbound = outbound
        self._secrets = secrets

    def apply(self, deed: Request, operation: str, timeout_s: float) -> StepSaid:
        """Send it; gives the answer's status. Raises HarnessError, Declined when it is not 2xx."""
        answer = self._call(deed, operation, timeout_s)
        return StepSaid(f"answered {answer.status}")

    def observe(self, deed: Request, operation: str, timeout_s: float) -> Observed:
        """Say whether it is done. Raises HarnessError when nobody can tell."""
        answer = self._call(deed, operation, timeout_s)
        if not deed.expect:
            return Observed(done=True, says=f"answered {answer.status}")
        try:
            body = msgspec.json.decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise HarnessError(f"did not return JSON: {error}") from None
        found = {path: value_at(body, path) for path in deed.expect}
        says = ", ".join(f"{path} is {_shown(value)}" for path, value in found.items())
        done = all(is_same(found[path], value) for path, value in deed.expect.items())
        return Observed(done, says)

    def _call(self, deed: Request, operation: str, timeout_s: float) -> Answer:
        headers = {"idempotency-key": operation, "accept": "application/json"}
        body = b""
        if deed.body is not None:
            headers["content-type"] = "application/json"
            body = msgspec.json.encode(deed.body)
        if deed.token_env:
            token = self._secrets.get(deed.token_env, "")
            if not token:
                raise InputError("the environment variable is not set", place=f"${deed.token_env}")
            headers["authorization"] = f"Bearer {token}"
        answer = self._outbound(deed.url, timeout_s).request(deed.method, deed.url, headers, body)
        if answer.status not in OK:
            kind = HarnessError if answer.status in BETWEEN else Declined
            raise kind(f"answered {answer.status}: {answer.says}")
        return answer


def is_same(found: Any, wanted: Any) -> bool:
    """Compare two values as JSON has them: false is not 0, and 1.0 is 1.

    >>> is_same(False, 0), is_same(1, True), is_same(1.0, 1), is_same([0], [False])
    (False, False, True, False)
    """
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, dict) and isinstance(wanted, dict):
        one, other = cast("dict[str, Any]", found), cast("dict[str, Any]", wanted)
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(found, list) and isinstance(wanted, list):
        some, others = cast("list[Any]", found), cast("list[Any]", wanted)
        return len(some) == len(others) and all(map(is_same, some, others))
    return bool(found == wanted)


def value_at(body: Any, path: str) -> Any:
    """Give what stands at a path such as `cache.entries` or `parts.0.name`; NOTHING without it.

    >>> value_at({"cache": {"entries": 0}}, "cache.entries")
    0
    >>> value_at({"parts": [{"name": "a"}]}, "parts.0.name")
    'a'
    """
    found = body
    for part in path.split("."):
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(part, NOTHING)
        elif isinstance(found, list):
            items = cast("list[Any]", found)
            found = items[int(part)] if part.isdecimal() and int(part) < len(items) else NOTHING
        else:
            return NOTHING
    return found


def _shown(value: Any) -> str:
    if value is NOTHING:
        return "not there"
    return msgspec.json.encode(value).decode()[:SHOWN]
