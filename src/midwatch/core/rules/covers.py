"""Whether somebody who was woken a moment ago knows already, so that no phone need ring again.

Law: worse news always gets through. News is covered only by earlier news that pages, of people who
are the same, told as bad or worse, and so near that it is the same trouble:

    the same service          and namespace: for OWN_S after it was heard; when it has ended, only
                              QUIET_S after that, and for no more than ENDED_S
    connected by calls        while it still fires, for NEAR_S; also across an acknowledgement
    not connected by calls    the same, of the same namespace, and only until somebody acknowledged
                              it, merged into it or muted a part of it; where there is one
                              namespace alone, only in an organisation of at most SMALL services:
                              in a larger one outages meet by chance
    a snooze                  what it was given for, service and severity, as long as it lasts

A change of the service, or of what it calls, after the earlier news lifts its cover, but for the
same service within CHANGED_OWN_S. A burn is covered by news of its own service alone. What midwatch
itself raises, and what always pages, is covered by the very alerts alone; the first covers no other
service, the second nothing else. Alerts that name no service are of one where they have one name.
What is covered covers in turn. Nothing that does not page covers anything.

The figures were chosen on 24 made days of outages (12 calm, 12 busy); what else was tried stands in
docs/correlation.md. Nothing here looks at which incident an alert is in: that is another question.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.marks import Loud
from midwatch.core.values.reach import Reach
from midwatch.core.values.severity import SEVERITIES, Severity
from midwatch.core.values.topology import Topology

OWN_S = 3_600
ENDED_S, QUIET_S = 2_700, 1_800
NEAR_S = 900
CHANGE_S, CHANGED_OWN_S = 900, 1_800
SMALL = 48
# Of services with news of the last NEAR_S so many of the newest are looked at, and so many that are
# not connected: a line costs the same however many fire.
LOOKED_AT, BY_TIME = 256, 32


class News(Struct, frozen=True):
    """What came: of which service, how bad, and whose news it is.

    `alone` when only news of its own service covers it: a burn, and what midwatch itself raises.
    `apart` when no more than the very alerts do; `names` are those of alerts without a service.
    """

    service: str
    severity: Severity
    policy: str
    namespace: str = ""
    alone: bool = False
    apart: bool = False
    fingerprints: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Cover(Struct, frozen=True):
    """The incident whose pages cover it, the worst they told, and why, for people.

    `rung_at` is when those were asked for: what is covered covers in turn, and is no older news for
    whoever answers. `lasting` when an acknowledgement of it does not end the cover,
    `answered` when a snooze was given for the very news. `said` is
    the worst that was said of the very service, when earlier news of it covers.
    """

    incident: str
    told: str
    says: str
    rung_at: int
    lasting: bool = True
    answered: bool = False
    said: str = ""


def cover_of(
    shard: Shard,
    topology: Topology,
    reach: Reach,
    news: News,
    same_people: Callable[[str, str], bool],
) -> Cover | None:
    """Find what covers news that comes now, None when it pages.

    `same_people` says whether two policies page the same people.
    """

    def fits(one: Loud) -> bool:
        return _rank(one.severity) <= _rank(news.severity) and same_people(one.policy, news.policy)

    def fits_own(one: Loud) -> bool:
        # What its neighbours are told to be is no word of how bad this service is.
        said = one.said or one.severity
        return _rank(said) <= _rank(news.severity) and same_people(one.policy, news.policy)

    changed_at = _changed_at(shard, topology, news.service)
    own = [one for one in shard.loud.get(news.service, ()) if _is_own(one, news)]
    for one in reversed(own):
        if not one.held and fits_own(one) and _covers_own(shard, one, changed_at):
            ago = show_duration((shard.at - one.at) / SECOND)
            says = f"news of {_called(news)} {ago} ago"
            return Cover(one.thread, one.severity, says, one.rung_at, said=one.said)
    snoozed = _snoozed(shard, news, fits_own)
    if snoozed is not None or news.alone:
        return snoozed
    return _cover_by_others(shard, topology, reach, news, fits, changed_at)


def _is_own(one: Loud, news: News) -> bool:
    """Say whether it is of the very service: one of another namespace is another one.

    Where nothing names a service it is of the very alerts, or of the same name; what always pages
    and what midwatch itself raises is of the very alerts.
    """
    if one.namespace != news.namespace and one.namespace and news.namespace:
        return False
    if news.service and not (news.apart or one.apart):
        return True
    if news.fingerprints and news.fingerprints.issubset((*one.fingerprints, *one.gone)):
        return True
    return bool(news.names) and not (news.apart or one.apart) and news.names.issubset(one.names)


def _covers_own(shard: Shard, one: Loud, changed_at: int) -> bool:
    age = shard.at - one.at
    if one.at < changed_at and age > CHANGED_OWN_S * SECOND:
        return False
    if one.ended_at:
        return age <= ENDED_S * SECOND and shard.at - one.ended_at < QUIET_S * SECOND
    return age <= OWN_S * SECOND


def _snoozed(shard: Shard, news: News, fits: Callable[[Loud], bool]) -> Cover | None:
    """Find a snooze that was given for the same: it is a person's word, with an end."""
    for name in shard.snoozed:
        incident = shard.incidents[name]
        mark = incident.mark
        known = mark.news.get(news.service, ()) if mark is not None else ()
        if mark is None or incident.state != "acknowledged":
            continue
        for one in known:
            if _is_own(one, news) and fits(one):
                says = f"{mark.by} snoozed it in {incident.id}"
                return Cover(
                    incident.id, one.severity, says, one.rung_at, answered=True, said=one.said
                )
    return None


def _cover_by_others(
    shard: Shard,
    topology: Topology,
    reach: Reach,
    news: News,
    fits: Callable[[Loud], bool],
    changed_at: int,
) -> Cover | None:
    oldest = max(shard.at - NEAR_S * SECOND, changed_at)
    near = reach.around(news.service)
    by_time = BY_TIME if _time_says_much(shard, topology) else 0
    if len(near) == 1 and not by_time:
        return None
    left = LOOKED_AT
    for service, known in reversed(shard.loud.items()):
        if known[-1].at < oldest or not left:
            break
        left -= 1
        calls = near.get(service)
        if calls == 0 or (calls is None and not by_time):
            continue
        by_time -= calls is None
        for one in reversed(known):
            if one.at < oldest or not _covers_others(one) or not fits(one):
                continue
            ago = show_duration((shard.at - one.at) / SECOND)
            if calls is not None:
                far = f"{calls} call{'s' * (calls != 1)} away"
                says = f"{service or 'an unknown service'}, {far}, {ago} ago"
                return Cover(one.thread, one.severity, says, one.rung_at)
            if one.namespace == news.namespace and not _was_answered(shard, one):
                says = f"{service or 'an unknown service'}, by time alone, {ago} ago"
                return Cover(one.thread, one.severity, says, one.rung_at, lasting=False)
    return None


def _covers_others(one: Loud) -> bool:
    return not (one.ended_at or one.own or one.apart or one.held)


def _time_says_much(shard: Shard, topology: Topology) -> bool:
    """Say whether two services that fail within minutes are likely to fail for one reason."""
    if len(shard.spaces) > 1:
        return True
    unknown = sum(1 for one in shard.met if not topology.knows(one))
    return topology.size + unknown <= SMALL


def _was_answered(shard: Shard, one: Loud) -> bool:
    """Say whether somebody has answered since its page, or the incident is no more."""
    incident = home_of(shard, one.thread)
    if incident is None:
        return True
    marks = (incident.mark, incident.seen)
    return any(mark is not None and mark.at >= one.rung_at for mark in marks)


def home_of(shard: Shard, name: str) -> Incident | None:
    """Find the incident that another one goes on in, itself when it was not merged."""
    incident = shard.incidents.get(name)
    while incident is not None and incident.merged_into:
        incident = shard.incidents.get(incident.merged_into)
    return incident


def _changed_at(shard: Shard, topology: Topology, service: str) -> int:
    """Say when the service or what it calls was changed last, in the journal's time; 0 is never."""
    since, found = shard.wall - CHANGE_S * SECOND, 0
    if not shard.changes or shard.changes[-1].at < since:
        return 0
    near = {service, *topology.callees(service)}
    for change in reversed(shard.changes):
        if change.at < since:
            break
        if _is_past(shard, change) and change.service in near:
            found = change.at + shard.skew
            break
    return found


def _is_past(shard: Shard, change: Change) -> bool:
    return change.at <= shard.wall


def _rank(severity: str) -> int:
    """Order severities, the worst first; what is none is the mildest."""
    return next((n for n, one in enumerate(SEVERITIES) if one == severity), len(SEVERITIES))


def _called(news: News) -> str:
    return news.service or "an unknown service"
