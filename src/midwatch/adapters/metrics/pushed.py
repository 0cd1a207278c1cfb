"""Counts and judged answers that services push.

Law: what is pushed is on disk before it is answered, and counts only then. A bad item costs none of
its neighbours. What is older than the ring takes, or from the future, is refused with that reason.

    {"slo": "shop/availability", "good": 99, "total": 100}              counts since the last push
    {"name": "gen_ai.evaluation.result", "attributes": {...}}           one judged answer

With a release ("release": "v2", or the attribute service.version or gen_ai.request.model) they also
count for it alone, which a canary compares.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field, structs

from midwatch.adapters.metrics.meter import Meter
from midwatch.core.state.inputs import Rejected
from midwatch.core.state.releases import is_name
from midwatch.core.values.clock import SECOND
from midwatch.core.values.moments import moment
from midwatch.core.values.sli import Bucket, Counts, FailedAnswer, Trace
from midwatch.core.values.sli_window import EDGE_S, LATE_S
from midwatch.core.values.slo import Slo
from midwatch.errors import BadJson
from midwatch.ports import Counted

EVALUATION = "gen_ai.evaluation.result"
PREFIX = "evaluation:"
# Which release gave an answer, where an event says so; the first that is there.
RELEASES = ("service.version", "gen_ai.request.model")
RELEASE_S = 6 * 3_600  # no canary looks further back
MAX_RELEASES = 32  # of an objective; the oldest are forgotten
GOOD_LABELS = ("pass", "passed", "good", "correct", "true", "yes", "relevant")
GOOD_SCORE = 0.5
AHEAD_S = 60
MAX_FAILURES = 20
SPARE_S = 3_600  # of the widest bucket
MAX_TEXT = 2_000
REMEDY = 'send {"slo": "service/name", "good": 99, "total": 100}'
Count = Annotated[int, Meta(ge=0, le=10**12)]  # no push is of more; sums stay far below 2**63


class _Counted(Struct, forbid_unknown_fields=True):
    slo: str
    good: Count
    total: Count
    at: str | int | float | None = None
    id: str = ""
    release: str = ""


class _Event(Struct):
    name: str
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    time: str | int | float | None = None


class Pushed(Struct, frozen=True):
    """A push: its buckets, how many items they are of, and what could not be taken."""

    buckets: tuple[Bucket, ...]
    items: int
    rejected: tuple[Rejected, ...] = ()


class PushedMetrics:
    """Reads pushes of one source, and counts what was committed of them."""

    def __init__(self, slos: Mapping[str, Slo]) -> None:
        self._slos = slos
        self._by_evaluation = {
            slo.indicator.total.removeprefix(PREFIX): slo.id
            for slo in slos.values()
            if slo.indicator and slo.indicator.total.startswith(PREFIX)
        }
        self._meters = {name: Meter(slo) for name, slo in slos.items()}
        self._failures: dict[str, deque[tuple[int, FailedAnswer]]] = {
            name: deque(maxlen=MAX_FAILURES) for name in slos
        }
        self._lock = threading.Lock()  # commits come on another thread than questions

    # --- on the way in ---

    def parse(self, body: bytes, now: int) -> Pushed:
        """Read a push: an object, an array, or one object a line. Raises BadJson."""
        buckets: list[Bucket] = []
        rejected: list[Rejected] = []
        items = 0
        for place, item in _items(body):
            items += 1
            try:
                release, bucket = self._bucket(item, now)
                buckets.append(bucket)
                if is_name(release):
                    name = f"{bucket.slo}@{release}"
                    buckets.append(Bucket(name, bucket.at, bucket.good, bucket.total))
            except (msgspec.MsgspecError, ValueError, OverflowError) as error:
                rejected.append(Rejected(place, str(error), item))
        return Pushed(tuple(buckets), items - len(rejected), tuple(rejected))

    def _bucket(self, item: bytes, now: int) -> tuple[str, Bucket]:
        """Read an item: which release it is of, and its counts. Raises ValueError."""
        kind = msgspec.json.decode(item)
        if isinstance(kind, dict) and "name" in kind:
            event = msgspec.json.decode(item, type=_Event)
            named = (str(event.attributes.get(one, "")) for one in RELEASES)
            return next((one for one in named if one), ""), self._judged(event, now)
        given = msgspec.json.decode(item, type=_Counted)
        if given.slo not in self._slos:
            raise ValueError(f"no SLO of this source is named {given.slo!r}")
        if given.good > given.total:
            raise ValueError(f"{given.good} good of {given.total}")
        bad = given.good < given.total and given.id
        failures = (FailedAnswer(given.id[:MAX_TEXT], "", "", ""),) if bad else ()
        edge = _edge(given.at, now)
        return given.release, Bucket(given.slo, edge, given.good, given.total, failures)

    def _judged(self, event: _Event, now: int) -> Bucket:
        if event.name != EVALUATION:
            raise ValueError(f"got the event {event.name!r}; only {EVALUATION} is accepted")
        said = event.attributes
        name = str(said.get("gen_ai.evaluation.name", ""))
        slo = self._by_evaluation.get(name)
        if slo is None:
            raise ValueError(f"no SLO of this source counts the evaluation {name!r}")
        good = _is_good(said)
        failure = FailedAnswer(
            str(said.get("gen_ai.response.id", ""))[:MAX_TEXT],
            "",
            str(said.get("gen_ai.evaluation.explanation", ""))[:MAX_TEXT],
            "",
        )
        return Bucket(slo, _edge(event.time, now), int(good), 1, () if good else (failure,))

    # --- at a start ---

    @property
    def units(self) -> dict[str, str]:
        """Say how each objective that counts slices judges them; the others count events."""
        return {name: _unit(slo) for name, slo in self._slos.items()}

    def remember(self, kept: Counted, now: int) -> None:
        """Count what was pushed before, once, as far back as each period reaches."""
        with self._lock:
            for name, slo in self._slos.items():
                self._fill(kept, name, now - slo.period_s * SECOND, _unit(slo))
                since = now - RELEASE_S * SECOND
                for release in kept.releases(name, since)[-MAX_RELEASES:]:
                    if release not in self._slos and self._of_release(release):
                        self._fill(kept, release, since, _unit(slo))
                self._failures[name].extend(kept.failed(name))

    def _fill(self, kept: Counted, name: str, since: int, unit: str) -> None:
        since -= SPARE_S * SECOND  # a window reaches back to an edge before its start
        raw = [*kept.counted(name, since, ""), *kept.counted(name, since, None)]
        judged = kept.counted(name, since, unit) if unit else ()
        self._meters[name].fill(judged, raw)

    # --- after the commit ---

    def take(self, buckets: Iterable[Bucket]) -> None:
        """Count what was committed; buckets of other sources are passed over."""
        with self._lock:
            for one in buckets:
                meter = self._meters.get(one.slo) or self._of_release(one.slo)
                if meter is None:
                    continue
                meter.add(one.at, one.good, one.total)
                if one.failures:
                    self._failures[one.slo].extend((one.at, failed) for failed in one.failures)

    def _of_release(self, name: str) -> Meter | None:
        """Give the meter of one release of an objective: SLO@RELEASE."""
        base, _, release = name.partition("@")
        slo = self._slos.get(base)
        if slo is None or not release:
            return None
        known = [one for one in self._meters if one.startswith(f"{base}@")]
        if len(known) >= MAX_RELEASES:
            del self._meters[known[0]]
        meter = self._meters[name] = Meter(structs.replace(slo, id=name, period_s=RELEASE_S))
        return meter

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count windows that end now."""
        with self._lock:
            meter = self._meters.get(slo.id) or self._of_release(slo.id)
            return meter.counts(windows_s, now) if meter else {}

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        """Give what was counted since a moment, edge by edge."""
        with self._lock:
            meter = self._meters.get(slo.id)
            return meter.trace(since, now) if meter else Trace()

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give the newest bad answers of a window that have an id or an explanation."""
        start = now - window_s * SECOND
        with self._lock:
            return tuple(one for at, one in self._failures[slo.id] if at > start)


def _unit(slo: Slo) -> str:
    """Say by which promise slices of time are judged; empty for an objective of events."""
    one = slo.indicator
    return f"{one.slice_s} {one.slice_target}" if one is not None and one.slice_s else ""


def _items(body: bytes) -> list[tuple[str, bytes]]:
    """Take a push apart; raises BadJson with the position when it is no JSON."""
    try:
        if body.lstrip()[:1] == b"[":
            items = msgspec.json.decode(body, type=list[msgspec.Raw])
            return [(f"$[{number}]", bytes(item)) for number, item in enumerate(items)]
        lines = [line for line in body.splitlines() if line.strip()]
        try:
            found = [bytes(msgspec.json.decode(line, type=msgspec.Raw)) for line in lines]
        except msgspec.DecodeError:
            found = [bytes(msgspec.json.decode(body, type=msgspec.Raw))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(f"not valid JSON: {error}", remedy=REMEDY) from None
    if not found:
        raise BadJson("is empty", remedy=REMEDY)
    return [(f"$[{number}]", item) for number, item in enumerate(found)]


def _edge(given: str | float | None, now: int) -> int:
    """Give the end of the bucket that a moment falls in. Raises ValueError for a wrong moment."""
    at = now
    if given is not None:
        at = moment(given, now)
        if at > now + AHEAD_S * SECOND:
            raise ValueError("the time is in the future: check the sender's clock")
        if at <= now - (LATE_S - EDGE_S) * SECOND:
            raise ValueError(
                f"older than {LATE_S // 60} min: it would change what was already judged"
            )
        at = min(at, now)
    edge_ms = EDGE_S * SECOND
    return -(-at // edge_ms) * edge_ms


def _is_good(said: Mapping[str, Any]) -> bool:
    """Read a judgement: its label, else its score."""
    label = said.get("gen_ai.evaluation.score.label")
    if isinstance(label, bool):
        return label
    if isinstance(label, str) and label.strip():
        return label.strip().lower() in GOOD_LABELS
    score = said.get("gen_ai.evaluation.score.value")
    if isinstance(score, (int, float)) and not isinstance(score, bool):
        return score >= GOOD_SCORE
    raise ValueError("gen_ai.evaluation.score.label and .value are both missing")
