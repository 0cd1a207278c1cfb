"""Laws of time and keys that the fuzzer checks, broken on purpose; see `laws`."""

from __future__ import annotations

from tests.mutations.laws import UNIT, Mutation

CLOCK = ("tests/acceptance/test_drill_clock.py",)

MUTATIONS = (
    Mutation(
        "the journal's time leaps with the wall clock",
        11,
        "src/midwatch/engine/clock.py",
        "self._at += passed  # it has jumped",
        "self._at = float(target)",
        CLOCK,
    ),
    Mutation(
        "a step waits by the wall clock",
        11,
        "src/midwatch/core/rules/escalation.py",
        "due_at = d.now + delay_s * SECOND",
        "due_at = max(d.wall + delay_s * SECOND, d.now)",
        CLOCK,
    ),
    Mutation(
        "an ack is forgotten by the wall clock",
        11,
        "src/midwatch/core/rules/escalation.py",
        "due_at = d.now + team.ack_s * SECOND",
        "due_at = d.wall + team.ack_s * SECOND",
        CLOCK,
    ),
    Mutation(
        "whoever is on call by the journal's time is paged",
        11,
        "src/midwatch/core/rules/escalation.py",
        "found = _reached(d, policy, step, d.wall)",
        "found = _reached(d, policy, step, d.now)",
        CLOCK,
    ),
    Mutation(
        "a window of maintenance is lost by a jump",
        11,
        "src/midwatch/core/rules/muting.py",
        'changed += _mute(d, window, "") if muting.maintenances else []',
        "pass",
        (f"{UNIT}/rules/test_jumps.py", *CLOCK),
    ),
    Mutation(
        "a clock that was wrong in two ways is never right again",
        11,
        "src/midwatch/core/values/skews.py",
        "        if place >= 0:",
        "        if False:",
        (f"{UNIT}/rules/test_jumps.py",),
    ),
    Mutation(
        "a move by hand has a key that a copy draws too",
        12,
        "src/midwatch/core/rules/pointers.py",
        "operation = d.key(releases.key_of_move(pointer.service, epoch, operation))",
        "operation = releases.key_of_move(pointer.service, epoch, operation)",
        CLOCK,
    ),
    Mutation(
        "pages of one incident share a key",
        2,
        "src/midwatch/core/rules/escalation.py",
        'd.key("page", incident.id, incident.next_page)',
        'd.key("page", incident.id)',
        CLOCK,
    ),
)
