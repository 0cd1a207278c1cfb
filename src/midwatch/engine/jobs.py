"""How watched jobs stand.

Law: read only.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.core.rules.heartbeats import timer_key
from midwatch.core.rules.rules import Rules
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import show_time
from midwatch.ports import Timers


class JobView(Struct, frozen=True):
    """One watched job: watched (never heard yet), beating or silent, and when it must be heard."""

    job: str
    state: str
    last_seen: str
    due_at: str
    service: str
    severity: str


def jobs(rules: Rules, shard: Shard, timers: Timers) -> list[JobView]:
    """List the watched jobs, those that are silent first."""
    found: list[JobView] = []
    for job in rules.jobs.values():
        state = shard.jobs.get(job.name, "watched")
        timer = timers.timer(timer_key(job.name))
        due_at = shard.shown(timer.due_at) if timer else 0
        due = show_time(due_at) if timer else ""
        last = show_time(due_at - job.wait_ms) if timer and state == "beating" else ""
        found.append(JobView(job.name, state, last, due, job.service, job.severity))
    return sorted(found, key=lambda one: (one.state != "silent", one.job))
