"""Law 15 broken on purpose: whose plan it is, and when a consent has ended."""

from __future__ import annotations

from tests.mutations.laws import UNIT, Mutation

SUBJECTS = (f"{UNIT}/test_subjects.py",)
MUTATIONS = (
    Mutation(
        "a plan acts on the incident's first service", 15, "src/midwatch/core/subjects.py",
        "services = [one.service for one in alerts if all_fit(match.labels, one.labels)]",
        "services = [incident.service for one in alerts if all_fit(match.labels, one.labels)]",
        SUBJECTS,
    ),
    Mutation(
        "labels that disagree fall back to the default", 15, "src/midwatch/core/subjects.py",
        "    if len(found) > 1:", "    if len(found) > 1 and not found.clear():", SUBJECTS,
    ),
    Mutation(
        "labels of another service fill a plan in", 15, "src/midwatch/core/subjects.py",
        "if name and one.service == service and name in one.labels",
        "if name and name in one.labels", SUBJECTS,
    ),
    Mutation(
        "only the first objective of an incident matches", 15, "src/midwatch/core/subjects.py",
        "burns = incident.slos.get(match.slo) == 0", "burns = incident.slo == match.slo", SUBJECTS,
    ),
    Mutation(
        "a rollback moves another service than the plan's", 15, "src/midwatch/core/incidents.py",
        "    if i.plan is not None and event.service != i.planned_for:", "    if False:", SUBJECTS,
    ),
    Mutation(
        "what was tried for one service is tried for all", 15, "src/midwatch/core/incidents.py",
        " and all(runbook not in one for one in self.tried_on.values())", "", SUBJECTS,
    ),
)  # fmt: skip
