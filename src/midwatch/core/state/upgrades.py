"""State as an older midwatch wrote it, brought to the shape of today.

Law: one pure function a state version, from decoded JSON to decoded JSON of the next version; each
is written once and stays. Events never change, so this is needed only where a snapshot stands in
for events that were pruned. What only gained fields with a default needs nothing done to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from midwatch.core.state import shard
from midwatch.core.state.incidents import Incident
from midwatch.core.state.leaving import Archived
from midwatch.core.state.runs import Run
from midwatch.core.state.shard import STATE_VERSION, Shard
from midwatch.errors import BadDatabase

Doc = dict[str, Any]


def _to_12(doc: Doc) -> Doc:
    """From midwatch 0.1.0, which looked for lessons in its incidents; it drew no salts."""
    past: dict[str, list[Doc]] = {}
    incidents: dict[str, Doc] = doc["incidents"]
    for one in sorted(incidents.values(), key=lambda one: int(one["id"].removeprefix("INC-"))):
        lesson = _lesson_of_11(one)
        if lesson is None:
            continue
        kept = past.setdefault(_service_of_11(one), [])
        kept[:] = [
            old
            for old in kept
            if set(old["kinds"]) != set(lesson["kinds"])
            or old["question"] not in ("", lesson["question"])
        ]
        kept.append(lesson)
        del kept[:-128]
    cases = {
        name: {**kept, "service": _service_of_11(incidents[kept["incident"]])}
        if kept["incident"] in incidents
        else kept
        for name, kept in doc["cases"].items()
    }
    return {**doc, "past": past, "cases": cases}


_FLAT = (
    "runbook",
    "plan",
    "step",
    "approved_by",
    "approved_at",
    "step_asked_at",
    "stopping",
    "given",
    "chosen_by",
    "looks",
)


def _to_13(doc: Doc) -> Doc:
    """From the days in which an incident had one plan at a time."""
    return {**doc, "incidents": {name: _plans(one) for name, one in doc["incidents"].items()}}


def _plans(one: Doc) -> Doc:
    """Give an incident its plans as a list: none, or the one that it had."""
    if "plan_hash" not in one:
        return one
    operation: str = one["operation"]
    promotes = operation.startswith("promote/")
    run = {name: one[name] for name in _FLAT if name in one}
    run |= {"hash": one["plan_hash"], "state": one["run"]}
    run["operation"] = "" if promotes else operation
    had = msgspec.convert(run, Run) != Run()
    if one["approved_by"]:
        run["number"] = one["runs"]
    run["asks"] = one.get("asks", 0)
    rolled = one.get("rolled_back", "")
    return {
        **one,
        "plans": [run] if had else [],
        "promotion": operation if promotes else "",
        "rolled": [rolled] if rolled else [],
    }


def archived(body: bytes) -> Incident:
    """Read an incident that has left, also one of the days in which it had one plan.

    >>> archived(msgspec.json.encode(Incident("INC-1", "shop", "", "slow", 0))).plans
    []
    """
    if b'"plan_hash"' in body and "plan_hash" in (doc := msgspec.json.decode(body)):
        return msgspec.convert(_plans(doc), Incident)
    return _incident(body)


_incident = msgspec.json.Decoder(Incident).decode


def _service_of_11(one: Doc) -> str:
    return one["slo"].split("/")[0] if one["slo"] else one["service"]


def _lesson_of_11(one: Doc) -> Doc | None:
    """Say what is remembered of an incident that is over, when there is anything."""
    admitted = one["case_state"] == "admitted" and one["case"]
    over = one["state"] in ("resolved", "closed") and (one["pages"] or one["slo"])
    if not over or not (one["kinds"] or admitted):
        return None
    return {
        "incident": one["id"],
        "opened_at": one["opened_at"],
        "kinds": one["kinds"],
        "case": one["case"]["id"] if admitted else "",
        "question": one["case"]["question"] if admitted else "",
        "waiver": one["waiver"],
    }


# state version -> what brings it to the next one
UPGRADES: dict[int, Callable[[Doc], Doc]] = {11: _to_12, 12: _to_13}
OLDEST = min(UPGRADES)


def load(body: bytes, version: int) -> Shard:
    """Read a shard that a midwatch of this state version wrote. Raises BadDatabase as `read` does.

    >>> load(shard.dump(Shard(next_incident=7)), STATE_VERSION).next_incident
    7
    """
    return read(body, version)[0]


def read(body: bytes, version: int) -> tuple[Shard, list[Archived]]:
    """Read a shard that a midwatch of this state version wrote, and whoever leaves it by that.

    Raises BadDatabase when it is newer than this midwatch, older than 0.1.0, or damaged.
    """
    try:
        return _read(body, version)
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError, ValueError) as error:
        remedy = "restore it from a backup"
        raise BadDatabase(f"has a snapshot that cannot be read: {error}", remedy=remedy) from error


def _read(body: bytes, version: int) -> tuple[Shard, list[Archived]]:
    if version == STATE_VERSION:
        return shard.load_whole(body)
    if not OLDEST <= version < STATE_VERSION:
        newer = version > STATE_VERSION
        raise BadDatabase(
            f"has a snapshot of state {version}, this midwatch reads {OLDEST} to {STATE_VERSION}",
            remedy="upgrade midwatch" if newer else "use that midwatch, or a whole event log",
        )
    doc: Doc = msgspec.json.decode(body)
    for step in range(version, STATE_VERSION):
        doc = UPGRADES[step](doc)
    return shard.load_whole(msgspec.json.encode(doc))
