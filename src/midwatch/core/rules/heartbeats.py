"""Jobs that say that they live, and the alert when one falls silent.

Law: a beat writes no event unless something changes by it: the deadline lives in a timer that each
beat moves. A job that was never heard is silent after its time too. What ran out while midwatch
itself was down gets its time once more, as its beats went nowhere meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.values.alerts import Alert, Identity, Naming, identify
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.severity import Severity

ALERT = "HeartbeatSilent"
_NAMING = Naming(("service",))  # a job's name is no service


class Watched(Struct, frozen=True):
    """A job that must be heard `every_s`; its beat may be an `alert` that comes on and on."""

    name: str
    every_s: int
    grace_s: int = 0
    service: str = ""
    severity: Severity = "sev3"
    alert: str = ""
    source: str = ""

    @property
    def wait_ms(self) -> int:
        """How long it may be silent."""
        return (self.every_s + self.grace_s) * SECOND


def watch(d: Decision, jobs: Iterable[Watched], due_at: dict[str, int]) -> None:
    """Begin to wait for jobs, when midwatch starts; `due_at` are the deadlines that it knows."""
    for job in jobs:
        if job.name not in d.shard.jobs:
            d.emit(events.JobWatched(job=job.name))
        if d.shard.jobs[job.name] != "silent" and due_at.get(job.name, 0) <= d.now:
            _wait(d, job)


def seen(d: Decision, job: Watched) -> Alert | None:
    """Move the deadline of a job that was heard; gives the end of its alert when it was silent."""
    before = d.shard.jobs.get(job.name)
    _wait(d, job)
    if before == "beating":
        return None
    d.emit(events.JobHeard(job=job.name))
    return d.end_of(_identity(job)) if before == "silent" else None


def silent(d: Decision, job: Watched) -> Alert | None:
    """Give the alert of a job whose time has run out; None when it is known."""
    if d.shard.jobs.get(job.name) == "silent":
        return None
    never = d.shard.jobs.get(job.name) == "watched"
    d.emit(events.JobWentSilent(job=job.name))
    waited = show_duration(job.every_s + job.grace_s)
    says = f"{job.name} was {'never heard' if never else 'not heard'} for {waited}"
    alert = _identity(job).alert("firing", d.wall, summary=says)
    return structs.replace(alert, severity=job.severity)


def timer_key(name: str) -> str:
    """Name the timer that holds a job's deadline."""
    return f"silent/{name}"


def _wait(d: Decision, job: Watched) -> None:
    due_at = d.now + job.wait_ms
    d.set_timer(inputs.Timer(timer_key(job.name), due_at, "silent", ""))


def _identity(job: Watched) -> Identity:
    labels = {"alertname": ALERT, "job": job.name, "service": job.service}
    return identify(labels, _NAMING)
