"""Which incident an alert, a burn or a ticket joins, and why.

Law: what still fires draws in what comes next, by windows (`core/values/windows.py`) that depend on
how near the two services are in the call graph; each joins the incident of what draws most
strongly, else it opens a new one. Nothing is ever merged through a chain of others, and an answer
depends on what came before alone. A service's own alerts join it while something of it fires there,
and for a while after; the same alert finds its way back within an hour of its own resolution.
Whether a phone rings is decided elsewhere, by other rules.

Services that the call graph does not connect are joined by time alone, by what is critical and in
the same namespace, and not any more once somebody has taken the incident. A refresh of an alert
that fires already writes nothing. An alert that has opened incidents alone again and again is
noise: while it is alone it draws in its own service only.

How each figure was chosen, on which data, and what was tried besides: docs/correlation.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field, structs

from midwatch.core.rules import muting
from midwatch.core.state import events
from midwatch.core.state.board import NEWEST, Line, number_of
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Firing, Incident, is_alone, is_open, title_of, type_of
from midwatch.core.state.shard import Shard, is_chronic
from midwatch.core.values import windows
from midwatch.core.values.alerts import Alert
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.gathering import QUIET_S, Gathering, Group, group_of
from midwatch.core.values.keys import PREFIX
from midwatch.core.values.moments import kept
from midwatch.core.values.reach import reach_of
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.silences import Muting
from midwatch.core.values.skews import JUMP_MS
from midwatch.core.values.topology import Topology

RULE = "correlation/3"
THRESHOLD = 0.0
SAME_SERVICE = "same service"
LOOKS = 64  # services that fired last, of which one may draw
DEEP = 4  # alerts of one of them
WALLED = 256  # of them, and incidents, behind a wall: the newest may all be on its other sides


class Symptom(Struct, frozen=True, gc=False):
    """Whatever looks for its incident: an alert, a burn or a ticket.

    `walled` is the value of the label that no incident may cross; `loud` when it is a critical
    alert, `chronic` when it is not and has ended alone again and again,
    `lasting` when it is a burn or a ticket, which tell of harm long after it began: time alone says
    nothing about them.
    """

    service: str
    namespace: str
    at: int
    walled: str = ""
    refs: tuple[str, ...] = ()
    loud: bool = False
    chronic: bool = False
    lasting: bool = False


class Placement(Struct, frozen=True, gc=False):
    """The best incident, None when a new one has to be opened, and the reason."""

    incident: str | None
    reason: Reason


class Places(Struct, frozen=True):
    """By what alerts are placed: the call graph, what a join needs at least, what mutes.

    `wall` is the label of which no incident has two values, "" for none.
    """

    topology: Topology
    threshold: float = THRESHOLD
    muting: Muting = Muting()
    wall: str = ""
    gatherings: tuple[Gathering, ...] = ()


def walled(places: Places, labels: dict[str, str]) -> str:
    """Give an alert's value of the label that is a wall, "" when it has none."""
    return labels.get(places.wall, "") if places.wall else ""


def symptom_of(shard: Shard, places: Places, alert: Alert, at: int) -> Symptom:
    """Take from an alert what the search needs."""
    return Symptom(
        alert.service,
        alert.namespace,
        at,
        walled(places, alert.labels),
        alert.refs,
        alert.level == "critical",
        alert.level != "critical" and is_chronic(shard, alert.fingerprint),
    )


class Joined(Struct, gc=False):
    """What this delivery has put somewhere already: alerts, and the kinds of them by incident."""

    alerts: dict[str, Alert] = field(default_factory=dict[str, Alert])
    kinds: dict[int, dict[str, None]] = field(default_factory=dict[int, dict[str, None]])

    def add(self, number: int, alert: Alert) -> None:
        """Note where an alert was put."""
        self.alerts[alert.fingerprint] = alert
        self.kinds.setdefault(number, {})[type_of(alert.service, alert.name)] = None


class _Search:
    """The strongest pull on one symptom, and the second one for the reason."""

    __slots__ = ("_d", "_joined", "_places", "_symptom", "best", "hint", "second", "value")

    def __init__(self, d: Decision, symptom: Symptom, places: Places, joined: Joined) -> None:
        self._d = d
        self._symptom = symptom
        self._places = places
        self._joined = joined
        self.value = 0.0
        self.best: tuple[int, str, windows.Window, int] | None = None
        self.second: tuple[int, float] = (0, 0.0)
        self.hint = ""

    def run(self) -> None:
        """Look where something may draw: the same ids, the same service, near ones, others."""
        for ref in self._symptom.refs:
            self._same_ref(ref)
        if self._symptom.service:
            self._same_service()
        lasting = self._symptom.lasting
        if not (lasting and self._places.wall):
            self._near()
        if not lasting:
            self._by_time()

    def _pull(self, number: int, value: float, says: str, window: windows.Window, ms: int) -> None:
        before = self.best[0] if self.best else 0
        if value > self.value:
            if self.best is not None and before != number:
                self.second = before, self.value
            self.best, self.value = (number, says, window, ms), value
        elif number != before and value > self.second[1]:
            self.second = number, value

    def _deep(self, usual: int) -> int:
        return WALLED if self._places.wall else usual

    def _incident(self, number: int) -> Incident:
        return self._d.shard.incidents[f"{PREFIX}{number}"]

    def _same_ref(self, ref: str) -> None:
        number = self._d.shard.board.of_ref(ref)
        if number is not None:
            incident = self._incident(number)
            quiet_ms = abs(self._symptom.at - incident.last_at)
            least = windows.LEAST if incident.firing else 0.0
            value = max(windows.SAME.strength(quiet_ms), least)
            says = "same " + ref.replace(":", " ")
            self._pull(number, value, says, windows.SAME, quiet_ms)

    def _same_service(self) -> None:
        shard, symptom = self._d.shard, self._symptom
        for line in reversed(shard.board.lines.get(symptom.service, ())[-self._deep(2 * DEEP) :]):
            if self._is_walled_off(line, own=True):
                continue
            ms = abs(symptom.at - line[0])
            value = max(windows.SAME.strength(ms), windows.LEAST)
            self._pull(line[2], value, SAME_SERVICE, windows.SAME, ms)
            break
        for number in shard.board.naming(symptom.service, self._deep(NEWEST)):
            self._rested(number)

    def _rested(self, number: int) -> None:
        """Let what has ended on the same service draw, in an incident that is not over."""
        symptom, service = self._symptom, self._symptom.service
        incident = self._incident(number)
        if number == self._clock_number():
            return
        trouble = incident.troubles.get(service)
        if trouble is None:  # a burn, a ticket, or what this delivery has put there
            if service in incident.services:
                ms = abs(symptom.at - incident.services[service])
                value = max(windows.SAME.strength(ms), windows.LEAST)
                self._pull(number, value, SAME_SERVICE, windows.SAME, ms)
        elif not trouble.firing and service in incident.ended:
            if self._places.wall and self._wall_of(incident) not in ("", symptom.walled):
                return
            if symptom.chronic and not self.is_alone(number):
                return
            ms = max(symptom.at - incident.ended[service], 0)
            says = f"{SAME_SERVICE}, which had calmed down"
            self._pull(number, windows.ENDED.strength(ms), says, windows.ENDED, ms)

    def _near(self) -> None:
        """Look among the services that fired last for those near in the call graph."""
        shard, symptom = self._d.shard, self._symptom
        around = reach_of(self._places.topology).around(symptom.service)
        if len(around) < 2:
            return
        looks = LOOKS
        lines, at_once = shard.board.lines, windows.ONE_CALL
        for newest, service in reversed(shard.board.recent):
            quiet_ms = symptom.at - newest
            if quiet_ms >= 0 and at_once.strength(quiet_ms) <= self.value:
                return
            looks -= 1
            if looks < 0:
                return
            hops = around.get(service)
            if not hops:
                continue
            window = windows.near(hops)
            for line in reversed(lines[service][-self._deep(DEEP) :]):
                if self._draws(line):
                    ms = abs(symptom.at - line[0])
                    calls = "one call" if hops == 1 else f"{hops} calls"
                    says = f"{calls} from {service}"
                    self._pull(line[2], window.strength(ms), says, window, ms)
                    break

    def _by_time(self) -> None:
        """Look for what is critical where the call graph says nothing."""
        symptom, window = self._symptom, windows.BY_TIME
        if window.at_once <= self.value:
            return
        shard, looks = self._d.shard, LOOKS
        around = reach_of(self._places.topology).around(symptom.service)
        for newest, service in reversed(shard.board.recent_loud):
            quiet_ms = symptom.at - newest
            if quiet_ms >= 0 and window.strength(quiet_ms) <= self.value:
                return
            looks -= 1
            if looks < 0:
                return
            if service in around and service:
                continue
            for line in reversed(shard.board.loud[service][-self._deep(DEEP) :]):
                if not self._draws(line):
                    continue
                incident = self._incident(line[2])
                if incident.state == "acknowledged" or not self._shares_space(line):
                    self.hint = f"{incident.id}: not connected in the call graph"
                    continue
                if is_crowded(shard, self._places.topology):
                    window = windows.BY_TIME_CROWDED
                ms = abs(symptom.at - line[0])
                says = "not in the dependency graph: time only"
                self._pull(line[2], window.strength(ms), says, window, ms)
                if self.best is not None and self.best[1] == says:
                    return
                break

    def is_surprise(self) -> bool:
        """Say whether nothing critical of late explains a critical alert that is drawn weakly.

        That rings, and what rings is an outage of its own, unless it is the same service's.
        """
        symptom, best = self._symptom, self.best
        if not symptom.loud or best is None or self.value >= windows.SURPRISE:
            return False
        return not best[1].startswith(SAME_SERVICE) and not self._is_explained()

    def _is_explained(self) -> bool:
        shard, symptom = self._d.shard, self._symptom
        board, topology = shard.board, self._places.topology
        own = board.loud.get(symptom.service)
        if own and symptom.at - own[-1][0] <= windows.EXPLAINS_SAME_S * SECOND:
            return True
        for number in board.naming(symptom.service, self._deep(NEWEST)):
            incident = self._incident(number)
            ended = incident.ended.get(symptom.service, -windows.EXPLAINS_ENDED_S * SECOND)
            trouble = incident.troubles.get(symptom.service)
            was_loud = trouble is not None and "critical" in trouble.names.values()
            if was_loud and symptom.at - ended < windows.EXPLAINS_ENDED_S * SECOND:
                return True
        around, looks = reach_of(topology).around(symptom.service), LOOKS
        for newest, service in reversed(board.recent_loud[-looks:]):
            if symptom.at - newest > windows.EXPLAINS_S * SECOND:
                return False
            if service != symptom.service and (
                service in around
                or (not is_crowded(shard, topology) and self._shares_space(board.loud[service][-1]))
            ):
                return True
        return False

    def _draws(self, line: Line) -> bool:
        """Say whether an alert draws in other services."""
        _, fingerprint, number = line
        if number == self._clock_number() or self._is_walled_off(line):
            return False
        if not self.is_alone(number) or not is_chronic(self._d.shard, fingerprint):
            return True
        told = self._told(number, fingerprint)
        return told is not None and told.level == "critical"

    def _clock_number(self) -> int:
        name = self._d.shard.clock_incident
        return number_of(name) if name else 0

    def is_alone(self, number: int) -> bool:
        """Say whether one kind of alert is all that an incident has, with this delivery."""
        incident = self._incident(number)
        joined = self._joined.kinds.get(number, {})
        if len(incident.kinds) > 1 or len(joined) > 1 or len(incident.troubles) > 1:
            return False
        return len({*incident.kinds, *joined}) <= 1 and not incident.slo

    def _told(self, number: int, fingerprint: str) -> Firing | Alert | None:
        """Look up an alert that fires; None for an objective that burns."""
        firing = self._incident(number).firing.get(fingerprint)
        return firing or self._joined.alerts.get(fingerprint)

    def _is_walled_off(self, line: Line, *, own: bool = False) -> bool:
        """Say whether the wall is between; of a burn that names no side only its service knows."""
        wall, mine = self._places.wall, self._symptom.walled
        if not wall or not mine:
            return False
        told = self._told(line[2], line[1])
        if told is not None:
            return told.labels.get(wall, "") not in ("", mine)
        theirs = self._wall_of(self._incident(line[2]))
        return theirs != mine and not (own and not theirs)

    def _wall_of(self, incident: Incident) -> str:
        found = (one.labels.get(self._places.wall, "") for one in incident.firing.values())
        return next(filter(None, found), incident.last_labels.get(self._places.wall, ""))

    def _shares_space(self, line: Line) -> bool:
        """Say whether an alert is of the same namespace: more than time has to speak for it."""
        told = self._told(line[2], line[1])
        incident = self._incident(line[2])
        space = told.labels.get("namespace", "") if told is not None else incident.namespace
        return space == self._symptom.namespace


def is_crowded(shard: Shard, topology: Topology) -> bool:
    """Say whether so many services share one namespace that time alone says little."""
    if len(shard.spaces) > 1:
        return False
    known = reach_of(topology)
    named = known.count + sum(not known.knows(name) for name in topology.services)
    met = (name for name in shard.met if not known.knows(name) and name not in topology.services)
    return named > windows.CROWDED or named + sum(1 for _ in met) > windows.CROWDED


def place(d: Decision, symptom: Symptom, places: Places, joined: Joined | None = None) -> Placement:
    """Find the incident that draws most strongly. Ties go to what fired last.

    `joined` has what the same delivery has put somewhere before.
    """
    search = _Search(d, symptom, places, joined or Joined())
    search.run()
    threshold, best = places.threshold, search.best
    if best is None:
        says = "no related incident is open"
        says = f"{says}; {search.hint}" if search.hint else says
        return Placement(None, Reason(RULE, says, {"threshold": threshold}))
    number, relation, window, quiet_ms = best
    name, value = f"{PREFIX}{number}", round(search.value, 4)
    terms: dict[str, Term] = {
        "score": value,
        "relation": relation,
        "relation_value": window.at_once,
        "window_s": window.seconds,
        "quiet_s": quiet_ms / SECOND,
        "threshold": threshold,
    }
    if value < threshold:
        says = f"no incident is similar enough: {name} scores {value:.2f}, {relation}"
        return Placement(None, Reason(RULE, says, terms, runner_up=name))
    if search.is_surprise():
        says = f"no critical alert explains it, and {name} scores only {value:.2f}, {relation}"
        return Placement(None, Reason(RULE, says, terms, runner_up=name))
    if symptom.chronic and value < windows.CHRONIC and not search.is_alone(number):
        says = f"it mostly fires alone, and {name} scores only {value:.2f}, {relation}"
        return Placement(None, Reason(RULE, says, terms, runner_up=name))
    second, less = search.second
    if second:
        terms["margin"] = round(value - less, 4)
    after = show_duration(quiet_ms // SECOND) if quiet_ms >= SECOND else "at the same moment"
    says = f"{relation}, {after}{' after it' if quiet_ms >= SECOND else ''}"
    runner_up = f"{PREFIX}{second}" if second else ""
    return Placement(name, Reason(RULE, says, terms, runner_up=runner_up))


class _Pending(Struct, gc=False):
    """What joins an incident with this batch, and why; alerts that are alike share a reason."""

    items: list[events.Attachment]
    reasons: list[Reason]


class _Found(Struct, gc=False):
    """Where an alert belongs, which holds for the next like it; `why` is the reason's number."""

    incident: str
    pending: _Pending
    why: int


class _Batch:
    """The alerts of one delivery on their way into incidents.

    What is placed is counted at once, so that one delivery of many alerts gives what as many
    deliveries would; it is written as one event for each incident. A storm's alerts are alike, and
    many begin at the same evaluation: nothing draws more than the same service at the same moment,
    so what was found for one holds for the next.
    """

    def __init__(self, d: Decision, places: Places, news: Iterable[Alert]) -> None:
        self._d = d
        self._places = places
        self._judge = muting.Judge(d, places.muting, news)
        self._pending: dict[str, _Pending] = {}
        self._over: dict[str, dict[str, None]] = {}
        self._found: dict[tuple[str, str, int], _Found] = {}
        self._joined = Joined()
        self.touched: dict[str, list[events.Attachment]] = {}

    def put(self, alert: Alert) -> None:
        """Find the incident of an alert, opening it when there is none, and count it in."""
        d = self._d
        at = kept(alert.starts_at, d.now)
        like = (alert.service, walled(self._places, alert.labels), at)
        found = self._found.get(like)
        if found is not None and not self._is_special(alert):
            self._d.put_up(found.incident, alert)
            self._add(alert, found)
            return
        group = group_of(self._places.gatherings, alert.labels, alert.group)
        placement = self._special(alert, group, at)
        symptom = symptom_of(d.shard, self._places, alert, at)
        if placement is None:
            placement = place(d, symptom, self._places, self._joined)
        name = placement.incident
        if name is None:
            title = title_of(alert.name, alert.service)
            to = group.name if group else ""
            name = open_incident(d, symptom, title, placement.reason, to).id
        d.put_up(name, alert)
        pending = self._pending.get(name)
        if pending is None:
            pending = self._pending[name] = _Pending([], [])
        found = _Found(name, pending, len(pending.reasons))
        pending.reasons.append(placement.reason)
        self._add(alert, found)
        if alert.service and not symptom.chronic and self._places.threshold <= 1:
            says = Reason(RULE, "same service, at the same moment", {"score": 1.0})
            self._found[like] = _Found(name, pending, len(pending.reasons))
            pending.reasons.append(says)

    def _special(self, alert: Alert, group: Group | None, at: int) -> Placement | None:
        """Find where an alert belongs for a better reason than nearness."""
        placement = _home(self._d, alert) if alert.keyed else None
        if placement is None and group is not None:
            return _gathered(self._d, group, at)
        return placement or _again(self._d, alert)

    def _is_special(self, alert: Alert) -> bool:
        """Say whether more than its like decides where an alert belongs."""
        shard, told = self._d.shard, alert.keyed or bool(alert.refs)
        return told or bool(self._places.gatherings) or alert.fingerprint in shard.rested

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
        self._joined.add(number_of(name), alert)

    def flush(self) -> None:
        """Write what was placed."""
        for name, fingerprints in self._over.items():
            self._d.emit(events.AlertsResolved(incident=name, fingerprints=tuple(fingerprints)))
            self.touched.setdefault(name, [])
        for name, pending in self._pending.items():
            used = sorted({item.why for item in pending.items})
            at = {why: number for number, why in enumerate(used)}
            items = tuple(
                item if at[item.why] == item.why else structs.replace(item, why=at[item.why])
                for item in pending.items
            )
            reasons = tuple(pending.reasons[why] for why in used)
            self._d.emit(events.AlertsAttached(incident=name, attached=items, reasons=reasons))
            self.touched.setdefault(name, []).extend(items)


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
        d.emit(events.AlertsResolved(incident=name, fingerprints=tuple(fingerprints)))
        touched.setdefault(name, [])
    return touched


def _home(d: Decision, alert: Alert) -> Placement | None:
    """Find the open incident of a problem that its sender has named before."""
    home = d.shard.firing.get(alert.fingerprint)
    if home is None or not is_open(d.shard.incidents[home]):
        return None
    return Placement(home, Reason(RULE, "the sender's key belongs to it"))


def _gathered(d: Decision, group: Group, at: int) -> Placement:
    """Find the incident of a group that people want together."""
    number = d.shard.board.of_group(group.name)
    if number is None:
        return Placement(None, Reason(RULE, f"the first of {group.name}"))
    name = f"{PREFIX}{number}"
    quiet_ms = at - d.shard.incidents[name].last_at
    if group.until == "quiet" and quiet_ms > QUIET_S * SECOND:
        says = f"the first of {group.name} in {show_duration(quiet_ms // SECOND)}"
        return Placement(None, Reason(RULE, says, runner_up=name))
    return Placement(name, Reason(RULE, group.name, {"quiet_s": quiet_ms / SECOND}))


def _again(d: Decision, alert: Alert) -> Placement | None:
    """Find the incident that this very alert was in before it ended, opening it again.

    One that a person resolved stays over, and so does one that has closed.
    """
    rest = d.shard.rested.get(alert.fingerprint)
    incident = d.shard.incidents.get(rest.incident) if rest is not None else None
    if rest is None or incident is None:
        return None
    over = incident.state == "resolved" and incident.by_itself and not incident.firing
    if not over and not is_open(incident):
        return None
    since_s = max(kept(alert.starts_at, d.now) - rest.at, 0) // SECOND
    if since_s > windows.AGAIN_S:
        return None
    if (
        alert.level != "critical"
        and not is_alone(incident)
        and is_chronic(d.shard, alert.fingerprint)
    ):
        return None
    says = f"it fires again, {show_duration(since_s)} after it ended there"
    reason = Reason(RULE, says, {"since_s": since_s, "rounds": rest.rounds})
    if over:
        d.emit(events.IncidentReopened(incident=incident.id, reason=reason))
    return Placement(incident.id, reason)


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


def open_incident(
    d: Decision, symptom: Symptom, title: str, reason: Reason, group: str = ""
) -> Incident:
    """Open an incident; after a resolved one of the same service it is linked as a recurrence."""
    name = f"{PREFIX}{d.shard.next_incident}"
    d.emit(
        events.IncidentOpened(
            incident=name,
            service=symptom.service,
            namespace=symptom.namespace,
            title=title,
            started_at=symptom.at,
            reason=reason,
            recurrence_of=d.shard.last_resolved.get(symptom.service, ""),
            group=group,
        )
    )
    return d.known(name)


def place_burn(d: Decision, places: Places, service: str, title: str) -> tuple[Incident, Reason]:
    """Find the incident that a burn belongs to, as for an alert of the same service, or open it."""
    symptom = Symptom(service, "", d.wall, lasting=True)
    placement = place(d, symptom, places)
    if placement.incident is not None:
        return d.shard.incidents[placement.incident], placement.reason
    return open_incident(d, symptom, title, placement.reason), placement.reason
