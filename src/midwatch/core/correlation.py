"""Which incident an alert, a burn or a ticket joins, and why.

Law: each joins the single best open incident whose score reaches THRESHOLD, else it opens a new
one. Nothing is ever merged through a chain of others. A refresh of an alert that fires already
writes nothing; the same alert with a later start is a new firing, and proof that the former one
ended. A namespace is a wall. A service without a place in the call graph is unknown, not alone: it
is grouped by time, and the reason says so.

    score       relation * freshness + TICK at the same moment + CROWD_PULL * size of the crowd
    relation    the same trace, deploy or change, or service: 1; one call away .8; learned to come
                together .7; two calls .6; unknown with the same text .5, without .4; apart 0
    freshness   1 until CLOSING_S after the alert that opened the incident began, then 0; what
                reports lasting harm, a burn or a ticket, and what names the same id, halves it
                every HALF_LIFE_S

While it is small, an incident is about its services: others join at the moment when it opens, or,
when they are near in the call graph or not in it, close behind its last alert. With CROWD services
it is about a system, and takes what its part of the call graph raises. An alert that has opened
incidents alone again and again joins its own service only: it is noise.

How each figure was chosen, on which data, and what was tried besides: docs/correlation.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from midwatch.core import events, muting
from midwatch.core.alerts import Alert
from midwatch.core.board import number_of
from midwatch.core.clock import SECOND
from midwatch.core.decision import Decision
from midwatch.core.habits import MAX_TOGETHER, MIN_SHARE, Habits
from midwatch.core.incidents import (
    CROWD,
    FINE,
    PREFIX,
    Alike,
    Firing,
    Incident,
    Trouble,
    is_open,
    title_of,
    type_of,
)
from midwatch.core.reasons import Reason, Term
from midwatch.core.shard import Shard
from midwatch.core.silences import Muting
from midwatch.core.skews import JUMP_MS
from midwatch.core.templates import text_of
from midwatch.core.topology import Topology

RULE = "correlation/2"
THRESHOLD = 0.35
SAME, ONE_CALL, TOGETHER, TWO_CALLS, SAME_TEXT, UNKNOWN, APART = 1.0, 0.8, 0.7, 0.6, 0.5, 0.4, 0.0
BY_HOPS = {1: ONE_CALL, 2: TWO_CALLS}
TICK, CROWD_PULL, FULL_CROWD = 0.5, 0.1, 10
CLOSING_S = 315
TICK_S = 3
NEAR_S = {1: 45, 2: 30}  # by calls; what is not in the call graph like two
HALF_LIFE_S = 1_800
CHRONIC = 2
# Looking back: alerts that came LOOK_BACK_S before an incident grew to BACK alerts, at the end of
# one that has just closed, were its first.
LOOK_BACK_S = 60
BACK = 2
IN_ANOTHER_PART = "apart in the call graph"


class Candidate(Struct):
    """What the scorer has to know of an incident; it grows while a batch is placed."""

    incident: str
    namespace: str
    began_at: int
    last_at: int
    count: int  # alerts that fire
    wide: int  # services that fire
    services: dict[str, int]  # the incident's own: looked at, never changed here
    troubles: dict[str, Trouble]
    kinds: list[str]
    refs: dict[str, None]
    texts: dict[str, Alike]
    # What this batch has added: services that fire, types, texts and ids.
    new: dict[str, None]
    new_kinds: list[str] = field(default_factory=list[str])
    new_texts: set[str] = field(default_factory=set[str])
    new_refs: set[str] = field(default_factory=set[str])
    parts: set[str] | None = None  # of the call graph, without the unknown; None: not looked up yet

    def has(self, service: str) -> bool:
        """Say whether a service has an alert in it."""
        return service in self.services or service in self.new

    @property
    def is_crowd(self) -> bool:
        """Whether so many services fire in it that it is about a system."""
        return self.wide + len(self.new) >= CROWD

    def says(self, text: str) -> bool:
        """Say whether one of its alerts says the same."""
        return text in self.texts or text in self.new_texts

    def absorb(self, alert: Alert, symptom: Symptom) -> tuple[bool, bool]:
        """Count an alert in: say whether it scores, and is found, in another way since then."""
        service, at = alert.service, alert.starts_at
        scores_anew, found_anew = self.count < FULL_CROWD, False
        self.count += 1
        if service not in self.new:
            trouble = self.troubles.get(service)
            if trouble is None or not trouble.firing:
                self.new[service] = None
                self.parts = None
                found_anew = True
        if at > self.last_at:
            self.last_at, scores_anew = at, True
        if alert.namespace and not self.namespace:
            self.namespace, found_anew = alert.namespace, True
        if alert.refs:
            self.new_refs.update(alert.refs)
            found_anew = True
        if len(self.kinds) + len(self.new_kinds) < MAX_TOGETHER and symptom.kind not in self.kinds:
            self.new_kinds.append(symptom.kind)
            scores_anew = True
        text = symptom.text
        if len(self.texts) + len(self.new_texts) < FINE and not self.says(text):
            self.new_texts.add(text)
            scores_anew = True
        return scores_anew or found_anew, found_anew


class Symptom(Struct, frozen=True, gc=False):
    """Whatever looks for its incident: an alert, or with `lasting` a burn or a ticket.

    `chronic` when it has opened incidents alone before, `text` its template.
    """

    service: str
    namespace: str
    at: int
    lasting: bool = False
    kind: str = ""
    refs: tuple[str, ...] = ()
    chronic: bool = False
    text: str = ""


class Placement(Struct, frozen=True, gc=False):
    """The best incident, None when a new one has to be opened, and the reason."""

    incident: str | None
    reason: Reason


class Score(Struct, gc=False):
    """One pairing: the terms as numbers, and the relation in words."""

    candidate: Candidate
    relation: float
    says: str
    freshness: float
    tick: float = 0.0
    crowd: float = 0.0

    @property
    def value(self) -> float:
        """The sum that is compared."""
        if not self.relation:
            return 0.0
        return round(self.relation * self.freshness + self.tick + self.crowd, 4)


class Places(Struct, frozen=True):
    """By what alerts are placed: the call graph, what is usual, the threshold, and what mutes."""

    topology: Topology
    habits: Habits
    threshold: float = THRESHOLD
    muting: Muting = Muting()


def candidate_of(incident: Incident) -> Candidate:
    """Take from an incident what the scorer needs."""
    return Candidate(
        incident.id,
        incident.namespace,
        incident.began_at,
        incident.last_at,
        len(incident.firing),
        incident.wide,
        incident.services,
        incident.troubles,
        incident.kinds,
        incident.refs,
        incident.texts,
        {},
    )


def open_candidates(d: Decision) -> list[Candidate]:
    """List the incidents that still absorb, oldest first; one about our own clock takes nothing."""
    names = (name for name in d.shard.open if name != d.shard.clock_incident)
    return [candidate_of(d.shard.incidents[name]) for name in names]


def symptom_of(shard: Shard, alert: Alert) -> Symptom:
    """Take from an alert what the scorer needs."""
    return Symptom(
        alert.service,
        alert.namespace,
        alert.starts_at,
        kind=type_of(alert.service, alert.name),
        refs=alert.refs,
        chronic=_is_chronic(shard, alert),
        text=text_of(alert),
    )


def _is_chronic(shard: Shard, alert: Alert) -> bool:
    """Say whether an alert has opened incidents before that nothing else ever joined."""
    opened = shard.habits.openings.get(alert.fingerprint)
    if opened is None or len(opened) < CHRONIC:
        return False
    closing = alert.starts_at - CLOSING_S * SECOND
    return all(_was_alone(shard, name, closing) for name in opened)


def _was_alone(shard: Shard, name: str, closing: int) -> bool:
    """Say whether an incident had one alert, which began before it was closing."""
    one = shard.incidents.get(name)
    if one is None:
        return shard.habits.alone.get(name, closing) < closing
    return one.alert_count == 1 and one.first_at < closing


def score(symptom: Symptom, candidate: Candidate, places: Places) -> Score:
    """Score one pairing.

    >>> near = Candidate("INC-1", "", 0, 0, 1, 1, {"shop": 0}, {}, [], {}, {}, {})
    >>> places = Places(Topology(), Habits())
    >>> score(Symptom("shop", "", 10_000), near, places).value
    1.01
    >>> score(Symptom("shop", "", 400_000), near, places).value
    0.0
    """
    if symptom.namespace != candidate.namespace and symptom.namespace and candidate.namespace:
        return Score(candidate, APART, "another namespace", 0.0)
    age_ms = abs(symptom.at - candidate.began_at)
    is_fresh = age_ms <= CLOSING_S * SECOND
    quiet_ms = abs(symptom.at - candidate.last_at)
    relation, says, lasting = _relation(symptom, candidate, places, is_fresh, quiet_ms)
    if is_fresh:
        freshness = 1.0
    elif lasting:
        freshness = round(0.5 ** ((age_ms / SECOND - CLOSING_S) / HALF_LIFE_S), 4)
    else:
        freshness = 0.0
    if not relation or not freshness:
        return Score(candidate, 0.0, says if not relation else "it closed to alerts", freshness)
    return Score(
        candidate,
        relation,
        says,
        freshness,
        TICK if quiet_ms <= TICK_S * SECOND and is_fresh else 0.0,
        min(candidate.count, FULL_CROWD) / (FULL_CROWD / CROWD_PULL),
    )


def _relation(
    symptom: Symptom, candidate: Candidate, places: Places, is_fresh: bool, quiet_ms: int
) -> tuple[float, str, bool]:
    """Say how close they are, in words too, and whether that outlasts the closing time."""
    for ref in symptom.refs:
        if ref in candidate.refs or ref in candidate.new_refs:
            return SAME, "same " + ref.replace(":", " "), True
    lasting = symptom.lasting
    if not is_fresh and not lasting:
        return 0.0, "it closed to alerts", False
    service = symptom.service
    if service and candidate.has(service):
        return SAME, "same service", lasting
    if symptom.chronic:
        return 0.0, "it mostly fires alone", False
    topology = places.topology
    part, parts = topology.part(service), _parts(candidate, topology)
    if part and parts and part not in parts:
        return 0.0, IN_ANOTHER_PART, False
    best, through = _hops(service, candidate, topology)
    if best:
        relation = BY_HOPS[best]
        says = f"{'one call' if best == 1 else f'{best} calls'} from {through}"
    else:
        relation, says = _vague(symptom, candidate, topology)
    # While it is small, it is about its own services.
    if lasting or not topology.edges or candidate.is_crowd:
        return relation, says, lasting
    near = best or not topology.knows(service)
    opening = abs(symptom.at - candidate.began_at) <= TICK_S * SECOND
    if opening or (near and quiet_ms <= NEAR_S[best or 2] * SECOND):
        return relation, says, lasting
    others = [*candidate.kinds, *candidate.new_kinds]
    if places.habits.go_together(symptom.kind, others) >= MIN_SHARE:
        return TOGETHER, f"{symptom.kind} usually comes with it", lasting
    return 0.0, "too few alerts there to draw in another service", False


def _hops(service: str, candidate: Candidate, topology: Topology) -> tuple[int, str]:
    """Count the calls to the nearest of its services, 0 when none is near."""
    best, through = 0, ""
    for other, hops in topology.near(service).items():
        if (not best or hops < best) and candidate.has(other):
            best, through = hops, other
            if hops == 1:
                break
    return best, through


def _parts(candidate: Candidate, topology: Topology) -> set[str]:
    """Look up the parts of the call graph that it reaches into."""
    if candidate.parts is None:
        found = {topology.part(one) for one in (*candidate.services, *candidate.new)}
        candidate.parts = found - {""}
    return candidate.parts


def _vague(symptom: Symptom, candidate: Candidate, topology: Topology) -> tuple[float, str]:
    """Judge by time and text, when the call graph has nothing to say."""
    if topology.part(symptom.service) and _parts(candidate, topology):
        return UNKNOWN, "the same part of the call graph"
    if symptom.text and candidate.says(symptom.text):
        return SAME_TEXT, "not in the call graph: time and the same text"
    return UNKNOWN, "not in the call graph: time only"


def place(symptom: Symptom, candidates: Iterable[Candidate], places: Places) -> Placement:
    """Find the best incident. Ties go to the older one."""
    best: Score | None = None
    scored: Score | None = None
    best_value = second_value = 0.0
    second = ""
    # Of many candidates most are apart, which a look tells as well as a whole score.
    topology = places.topology
    part = "" if symptom.refs else topology.part(symptom.service)
    for candidate in candidates:
        parts = candidate.parts if candidate.parts is not None else _parts(candidate, topology)
        if part and parts and part not in parts:
            scored = Score(candidate, APART, IN_ANOTHER_PART, 0.0)
            continue
        scored = score(symptom, candidate, places)
        value = scored.value
        if value > best_value:
            if best is not None:
                second, second_value = best.candidate.incident, best_value
            best, best_value = scored, value
        elif value > second_value:
            second, second_value = candidate.incident, value
    if best is None:
        says = "nothing related is open"
        if scored is not None:
            says = f"{says}; {scored.candidate.incident}: {scored.says}"
        return Placement(None, Reason(RULE, says, {"threshold": places.threshold}))
    terms = _terms(symptom, best, best_value, places.threshold)
    name = best.candidate.incident
    if best_value < places.threshold:
        says = f"nothing open is close enough: {name} scores {best_value:.2f}, {best.says}"
        return Placement(None, Reason(RULE, says, terms, runner_up=name))
    if second:
        terms["margin"] = round(best_value - second_value, 4)
    says = f"{best.says}, {terms['age_s']} s after the first alert"
    return Placement(name, Reason(RULE, says, terms, runner_up=second))


def _terms(symptom: Symptom, best: Score, value: float, threshold: float) -> dict[str, Term]:
    """Give the numbers of one pairing, as they are shown."""
    candidate = best.candidate
    return {
        "score": value,
        "relation": best.says,
        "relation_value": best.relation,
        "age_s": max(symptom.at - candidate.began_at, 0) / SECOND,
        "freshness": best.freshness,
        "quiet_s": abs(symptom.at - candidate.last_at) / SECOND,
        "same_moment": best.tick,
        "crowd": best.crowd,
        "threshold": threshold,
    }


class _Pending(Struct, gc=False):
    """What joins an incident with this batch, and why; alerts that are alike share a reason."""

    items: list[events.Attachment]
    reasons: list[Reason]


class _Found(Struct, gc=False):
    """Where an alert belongs, which holds for the next like it; `why` is the reason's number."""

    incident: str
    candidate: Candidate
    pending: _Pending
    why: int


class _Batch:
    """The alerts of one delivery on their way into incidents.

    What is placed is counted at once, so that one delivery of many alerts gives what as many
    deliveries would; it is written as one event for each incident. A storm's alerts are alike, and
    many begin at the same evaluation: what was found for one holds for the next like it, until an
    incident scores in another way.
    """

    def __init__(self, d: Decision, places: Places, news: Iterable[Alert]) -> None:
        self._d = d
        self._places = places
        self._judge = muting.Judge(d, places.muting, news)
        self._candidates: dict[int, Candidate] = {}
        self._pending: dict[str, _Pending] = {}
        self._over: dict[str, dict[str, None]] = {}
        self._found: dict[tuple[str, str, str, int, str], _Found] = {}
        self._since = 0
        self.touched: dict[str, list[events.Attachment]] = {}

    def put(self, alert: Alert) -> None:
        """Find the incident of an alert, opening it when there is none, and count it in."""
        d, shard = self._d, self._d.shard
        like = (alert.service, alert.name, alert.namespace, alert.starts_at, alert.summary)
        found = self._found.get(like)
        if found is not None and not self._is_special(alert):
            found.candidate.count += 1
            self._add(alert, found)
            return
        if self._pending and alert.starts_at - self._since > CLOSING_S * SECOND:
            self.flush()  # what is usual may have changed
        symptom = symptom_of(shard, alert)
        placement = _home(d, alert) if alert.keyed else None
        if placement is None:
            around = self._places.topology.around(alert.service)
            numbers = shard.board.look(around, alert.namespace, alert.refs)
            placement = place(symptom, map(self._candidate, numbers), self._places)
        name = placement.incident
        if name is None:
            title = title_of(alert.name, alert.service)
            name = open_incident(d, symptom, title, placement.reason).id
        candidate = self._candidate(number_of(name))
        scores_anew, found_anew = candidate.absorb(alert, symptom)
        if scores_anew:
            self._found.clear()
        if found_anew:
            crowd = candidate.is_crowd
            d.put_up(name, alert.service, candidate.namespace, alert.refs, crowd=crowd)
        if not self._pending:
            self._since = alert.starts_at
        pending = self._pending.get(name)
        if pending is None:
            pending = self._pending[name] = _Pending([], [])
        found = _Found(name, candidate, pending, len(pending.reasons))
        pending.reasons.append(placement.reason)
        self._add(alert, found)
        if not (scores_anew or self._is_special(alert)):
            self._found[like] = found
        if candidate.count == BACK:
            self._look_back(name)

    def _is_special(self, alert: Alert) -> bool:
        """Say whether more than its like decides where an alert belongs."""
        openings = self._d.shard.habits.openings
        return alert.keyed or bool(alert.refs) or alert.fingerprint in openings

    def _add(self, alert: Alert, found: _Found) -> None:
        """Note what joins an incident, and where it fired before."""
        name = found.incident
        before = self._d.shard.firing.get(alert.fingerprint, name)
        if before != name:
            self._over.setdefault(before, {})[alert.fingerprint] = None
        muted, mutes = self._judge.both(alert.labels)
        if muted:
            muting.watch(self._d, self._places.muting, muted)
        found.pending.items.append(events.Attachment(alert, found.why, muted, mutes))

    def flush(self) -> None:
        """Write what was placed so far."""
        for name, fingerprints in self._over.items():
            self._d.emit(events.AlertsResolved(name, tuple(fingerprints)))
            self.touched.setdefault(name, [])
        for name, pending in self._pending.items():
            items, reasons = tuple(pending.items), tuple(pending.reasons)
            self._d.emit(events.AlertsAttached(name, items, reasons))
            self.touched.setdefault(name, []).extend(items)
        self._candidates, self._pending, self._over = {}, {}, {}
        self._found.clear()

    def _candidate(self, number: int) -> Candidate:
        found = self._candidates.get(number)
        if found is None:
            incident = self._d.shard.incidents[f"{PREFIX}{number}"]
            found = self._candidates[number] = candidate_of(incident)
        return found

    def _look_back(self, name: str) -> None:
        """Take over what came last to an incident that closes, when it was the start of this."""
        shard = self._d.shard
        mine = self._candidate(number_of(name))
        names = (f"{PREFIX}{number}" for number in shard.board.look((), mine.namespace))
        closing = [
            other
            for other in names
            if other != name and _has_just_closed(shard.incidents[other], mine)
        ]
        if closing:
            self.flush()  # what it has, and what it lost, is known from here on
        for other in closing:
            late = _late(shard.incidents[other], shard.incidents[name])
            if len(late) >= BACK:
                says = f"{len(late)} alerts at the end of {other} were the first of {name}"
                reason = Reason(RULE, says, {"alerts": len(late), "look_back_s": LOOK_BACK_S})
                self._d.emit(events.AlertsMoved(other, name, tuple(late), reason))
                self.touched.setdefault(other, [])


def _has_just_closed(old: Incident, new: Candidate) -> bool:
    opened_ms = new.began_at - old.began_at
    closed = CLOSING_S * SECOND < opened_ms <= (CLOSING_S + LOOK_BACK_S) * SECOND
    return closed and old.namespace == new.namespace


def _late(old: Incident, new: Incident) -> list[str]:
    """List the alerts of an incident that has just closed which began with the new one."""
    since = max(
        new.began_at - (LOOK_BACK_S + TICK_S) * SECOND,
        old.began_at + (CLOSING_S - LOOK_BACK_S - 2 * NEAR_S[2]) * SECOND,
    )
    return [
        fingerprint
        for fingerprint, one in old.firing.items()
        if one.starts_at >= since and old.services[one.service] >= since
    ]


def attach(
    d: Decision, places: Places, alerts: Iterable[Alert]
) -> dict[str, list[events.Attachment]]:
    """Put each alert of a batch into exactly one incident.

    Gives what was newly attached to each incident that changed; nothing when alerts only resolved.

    Firing alerts go first, so that an incident whose page resolves while its ticket newly fires
    is never taken for over. Equal times are ordered by fingerprint: delivery order is an accident.
    """
    firing, incidents = d.shard.firing, d.shard.incidents
    news = [a for a in alerts if not _is_refresh(firing, incidents, a)]
    if not news:
        return {}
    news.sort(key=lambda a: (a.starts_at, a.fingerprint))
    batch = _Batch(d, places, news)
    seen: set[str] = set()
    for alert in news:
        if alert.status == "firing" and alert.fingerprint not in seen:
            seen.add(alert.fingerprint)
            batch.put(alert)
    batch.flush()
    touched = batch.touched
    for name, fingerprints in _resolved(d, news).items():
        d.emit(events.AlertsResolved(name, tuple(fingerprints)))
        touched.setdefault(name, [])
    return touched


def _home(d: Decision, alert: Alert) -> Placement | None:
    """Find the open incident of a problem that its sender has named before."""
    home = d.shard.firing.get(alert.fingerprint)
    if home is None or not is_open(d.shard.incidents[home]):
        return None
    return Placement(home, Reason(RULE, "the sender's key is open there"))


def _is_refresh(firing: dict[str, str], incidents: dict[str, Incident], alert: Alert) -> bool:
    """Say whether this very firing is known already, so that there is nothing to write."""
    home = firing.get(alert.fingerprint)
    if home is None or alert.status != "firing":
        return False
    return alert.starts_at <= incidents[home].firing[alert.fingerprint].starts_at


def _resolved(d: Decision, batch: list[Alert]) -> dict[str, dict[str, None]]:
    """Group the resolved alerts by the incident that they fired in; others say nothing."""
    over: dict[str, dict[str, None]] = {}
    for alert in batch:
        incident = d.shard.firing.get(alert.fingerprint)
        if alert.status != "resolved" or incident is None:
            continue
        fires = d.shard.incidents[incident].firing[alert.fingerprint]
        if not _is_of_an_earlier(d, alert, fires):
            over.setdefault(incident, {})[alert.fingerprint] = None
    return over


def _is_of_an_earlier(d: Decision, alert: Alert, fires: Firing) -> bool:
    """Say whether it is the end of an earlier firing, which came late or once more."""
    ends_at = alert.ends_at
    if d.shard.clock_incident and fires.starts_at > d.wall + JUMP_MS:
        return False  # a start that our own clock gave while it was wrong says nothing
    return ends_at is not None and max(alert.starts_at, ends_at) < fires.starts_at


def open_incident(d: Decision, symptom: Symptom, title: str, reason: Reason) -> Incident:
    """Open an incident; after a resolved one of the same service it is linked as a recurrence."""
    name = f"{PREFIX}{d.shard.next_incident}"
    d.emit(
        events.IncidentOpened(
            name,
            symptom.service,
            symptom.namespace,
            title,
            symptom.at,
            reason,
            d.shard.last_resolved.get(symptom.service, ""),
        )
    )
    return d.known(name)


def place_burn(d: Decision, places: Places, service: str, title: str) -> tuple[Incident, Reason]:
    """Find the incident that a burn belongs to, as for an alert of the same service, or open it."""
    symptom = Symptom(service, "", d.wall, lasting=True)
    placement = place(symptom, open_candidates(d), places)
    if placement.incident is not None:
        return d.shard.incidents[placement.incident], placement.reason
    return open_incident(d, symptom, title, placement.reason), placement.reason
