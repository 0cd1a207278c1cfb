"""Laws about what the outside refuses and answers, broken on purpose; see `laws`."""

from __future__ import annotations

from tests.mutations.laws import UNIT, Mutation

MUTATIONS = (
    Mutation(
        "a move has the key of an earlier one",
        2,
        "src/midwatch/core/state/releases.py",
        'return f"{MOVE}{service}/{epoch}/{name}"',
        'return f"{MOVE}{service}/{name}"',
        (f"{UNIT}/rules/test_refused_moves.py",),
    ),
    Mutation(
        "a canary goes on after a step that was refused",
        11,
        "src/midwatch/core/rules/rollouts.py",
        "trial is None or pointer.pending or pointer.done == operation",
        "trial is None or pointer.pending or pointer.weight == trial.weight",
        (f"{UNIT}/rules/test_refused_moves.py", "tests/acceptance/test_refused_steps.py"),
    ),
    Mutation(
        "people are paged for each try of the same move",
        11,
        "src/midwatch/core/rules/pointers.py",
        'if pointer.purpose != "rollback" and found.fingerprint in d.shard.firing:',
        "if False:",
        (f"{UNIT}/rules/test_refused_moves.py",),
    ),
    Mutation(
        "what was given up unseen cannot be rolled back",
        11,
        "src/midwatch/core/state/releases.py",
        "pointer.candidate or pointer.canary or pointer.unseen",
        "pointer.candidate or pointer.canary",
        (f"{UNIT}/rules/test_refused_moves.py",),
    ),
    Mutation(
        "a case that is tried again has the key of the first try",
        11,
        "src/midwatch/core/rules/regressions.py",
        "case.id, turn)",
        "case.id)",
        (f"{UNIT}/rules/test_core.py",),
    ),
    Mutation(
        "a receipt is taken as it comes",
        11,
        "src/midwatch/engine/perform.py",
        "sound.text(given.receipt)",
        "given.receipt",
        (f"{UNIT}/engine/test_sound.py", "tests/acceptance/test_drill.py"),
    ),
    Mutation(
        "a router's nonsense is what is served",
        11,
        "src/midwatch/engine/perform.py",
        'sound.traffic(_there(self._router, "router").observe(wish.service))',
        '_there(self._router, "router").observe(wish.service)',
        (f"{UNIT}/engine/test_sound.py",),
    ),
    Mutation(
        "counts that count nothing are judged",
        4,
        "src/midwatch/engine/watch.py",
        "for window_s, one in said.items() if sound.is_counts(one)}",
        "for window_s, one in said.items()}",
        (f"{UNIT}/engine/test_sound.py",),
    ),
)
