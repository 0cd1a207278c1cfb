"""Law 15 broken on purpose: whose plan it is, and when a consent has ended."""

from __future__ import annotations

from tests.mutations.laws import DRILL, UNIT, Mutation

SUBJECTS = (f"{UNIT}/rules/test_subjects.py",)
CONSENT = (f"{UNIT}/rules/test_consent.py",)
MODEL = (f"{UNIT}/rules/test_consent_model.py",)
SEVERAL = (f"{UNIT}/rules/test_several_plans.py",)
PLANNING = "src/midwatch/core/rules/planning.py"
RUNNING = "src/midwatch/core/rules/running.py"
ANSWERS = "src/midwatch/core/rules/answers.py"
PROPOSING = "src/midwatch/core/rules/proposing.py"
APPROVING = "src/midwatch/core/rules/approving.py"
MUTATIONS = (
    Mutation(
        "a plan acts on the incident's first service", 15, "src/midwatch/core/rules/subjects.py",
        "services = [one.service for one in alerts if all_fit(match.labels, one.labels)]",
        "services = [incident.service for one in alerts if all_fit(match.labels, one.labels)]",
        (*SUBJECTS, DRILL),
    ),
    Mutation(
        "labels that disagree fall back to the default", 15, "src/midwatch/core/rules/subjects.py",
        "    if len(found) > 1:", "    if len(found) > 1 and not found.clear():", SUBJECTS,
    ),
    Mutation(
        "labels of another service fill a plan in", 15, "src/midwatch/core/rules/subjects.py",
        "if name and one.service == service and name in one.labels",
        "if name and name in one.labels", SUBJECTS,
    ),
    Mutation(
        "only the first objective of an incident matches", 15,
        "src/midwatch/core/rules/subjects.py",
        "burns = incident.slos.get(match.slo) == 0", "burns = incident.slo == match.slo", SUBJECTS,
    ),
    Mutation(
        "a rollback moves another service than the plan's", 15,
        "src/midwatch/core/state/planned.py",
        "    if run.plan is not None and event.service != i.acts_for(run):", "    if False:",
        SUBJECTS,
    ),
    Mutation(
        "what was tried for one service is tried for all", 15,
        "src/midwatch/core/state/incidents.py",
        " and all(runbook not in one for one in self.tried_on.values())", "", SUBJECTS,
    ),
    Mutation(
        "a plan goes on when users are well", 15, "src/midwatch/core/rules/consent.py",
        '        return f"{incident.id} is {incident.state}"\n', '        return ""\n', CONSENT,
    ),
    Mutation(
        "a plan goes on when its own objective is well", 15, "src/midwatch/core/rules/consent.py",
        "    if proofs:\n", "    if False:\n", CONSENT,
    ),
    Mutation(
        "what waits is forgotten by a mitigation", 15, "src/midwatch/core/rules/recovery.py",
        "    approving.end(d, rules.means(incident), incident, says, keeps=keeps)\n", "",
        CONSENT,
    ),
    Mutation(
        "a later step compares no values", 15, RUNNING,
        "    if says := consent.difference(plan.steps[left], now.steps[left]):", "    if False:",
        CONSENT,
    ),
    Mutation(
        "an approval of the rest compares nothing", 15, APPROVING,
        "    if running.goes_on(d, means, incident, run):\n", "    if True:\n", CONSENT,
    ),
    Mutation(
        "a question has the hash of its plan", 15, RUNNING,
        "    fresh = sealed(plan, place)", "    fresh = plan if plan.hash else sealed(plan, place)",
        CONSENT,
    ),
    Mutation(
        "a question never ends", 15, ANSWERS,
        "        if d.now >= run.step_asked_at + step.ttl_s * SECOND:", "        if False:",
        CONSENT,
    ),
    Mutation(
        "a stop stops nothing", 15, RUNNING,
        "        if run.stopping:\n", "        if False:\n", CONSENT,
    ),
    Mutation(
        "a proposal is approved for what is gone", 15, APPROVING,
        "consent.over(incident, run) or _unmatched(d, means, incident, run):",
        "consent.over(incident, run):",
        CONSENT,
    ),
    Mutation(
        "a merge leaves the old plan to be approved", 15, "src/midwatch/core/rules/moves.py",
        '    proposing.take_away(d, old, f"{old.id} is part of {into.id}")\n', "", CONSENT,
    ),
    Mutation(
        "a split leaves a plan without its alerts", 15, "src/midwatch/core/decide.py",
        "    approving.check(d, rules.means(old), old)\n", "", CONSENT,
    ),
    Mutation(
        "what was shed stays shed", 15, "src/midwatch/core/rules/consent.py",
        "if one.undoes in done)", "if False)", MODEL,
    ),
    Mutation(
        "a plan goes on when what proves it is well", 15, "src/midwatch/core/rules/consent.py",
        "    proofs = incident.proofs_of(run)\n    if proofs:\n",
        "    proofs = incident.proofs_of(run)\n    if False:\n", MODEL,
    ),
    Mutation(
        "no consent is ever over", 15, "src/midwatch/core/rules/consent.py",
        '    if incident.state not in (*OPEN, "mitigated") or (\n',
        '    return ""\n    if incident.state not in (*OPEN, "mitigated") or (\n', MODEL,
    ),
    Mutation(
        "an approval is of no hash", 15, APPROVING,
        "        if plan.hash == plan_hash:\n", "        if True:\n", MODEL,
    ),
    Mutation(
        "two incidents run plans of one service", 15, RUNNING,
        "            if (other.runs and not (run.rolls_back and gives_way(other))) or (\n",
        "            if False and (\n", MODEL,
    ),
    Mutation(
        "a step is another plan's", 15, "src/midwatch/core/state/planned.py",
        "    found = named(i.plans, plan_hash) or doing(i.plans, operation)\n",
        "    found = None\n", SEVERAL,
    ),
    Mutation(
        "a rollback stops what runs another service", 15, RUNNING,
        "if other is run or one.acts_for(other) != service or not other.runs:",
        "if other is run or not other.runs:", SEVERAL,
    ),
    Mutation(
        "a rollback leaves what runs its service", 15, RUNNING,
        "    if not run.rolls_back:\n        return\n", "    if True:\n        return\n", SEVERAL,
    ),
    Mutation(
        "a service is rolled back again and again", 15, "src/midwatch/core/state/planned.py",
        "    i.rolled.append(event.service)\n", "    i.rolled += [event.service] * 0\n", SEVERAL,
    ),
    Mutation(
        "plans are not undone", 2, "src/midwatch/core/state/undo.py",
        "        kept.plans = [copy(run) for run in one.plans]  # they are changed in place\n", "",
        SEVERAL,
    ),
    Mutation(
        "a policy goes on where a person stopped", 15, PROPOSING,
        "    if service in incident.by_hand:\n", "    if False:\n", CONSENT,
    ),
    Mutation(
        "a plan is shown as it was before a release", 15, "src/midwatch/core/decide.py",
        "    if moved:\n        _plan_again(d, rules, moved)\n", "", CONSENT,
    ),
    Mutation(
        "a further try begins after a stop", 15, RUNNING,
        "    if d.now + SECOND >= run.again_at:", "    if True:", CONSENT,
    ),
    Mutation(
        "an undone split leaves a proposal", 15, "src/midwatch/core/rules/moves.py",
        '        proposing.take_away(d, new, f"{new.id} is part of {old.id}")\n', "", CONSENT,
    ),
    Mutation(
        "nobody hears of what is left done", 15, RUNNING,
        '    elif incident.state == "mitigated" and back:\n', "    elif False:\n", CONSENT,
    ),
    Mutation(
        "a recovery drops what has to be reverted", 15, "src/midwatch/core/state/evolving.py",
        'if one.state == "proposed" and not one.takes_back:', 'if one.state == "proposed":',
        CONSENT,
    ),
    Mutation(
        "nobody is paged for what was to be taken back before a recovery", 15, APPROVING,
        "            if run.asks_somebody:\n                undone",
        "            if False:\n                undone",
        CONSENT,
    ),
    Mutation(
        "a recovery stops what waits to be taken back", 15, APPROVING,
        'run.takes_back and run.state in ("proposed", "waiting", "running"):',
        'run.takes_back and run.state == "proposed":', CONSENT,
    ),
    Mutation(
        "a reopening drops what waits to be taken back", 15,
        "src/midwatch/core/state/evolving.py",
        'one.takes_back and one.state == "waiting":', "False:", CONSENT,
    ),
    Mutation(
        "a plan that comes back has its old hash", 15, PLANNING,
        'plan = plan if seen else sealed(plan, f"{incident.ref}/{incident.asks + 1}")', "pass",
        CONSENT,
    ),
    Mutation(
        "what is left of a stopped take-back is forgotten", 15,
        "src/midwatch/core/rules/consent.py",
        "        return plan.steps[run.step + begun :]\n", "        return ()\n", CONSENT,
    ),
    Mutation(
        "what people stopped stays behind at a split", 15, "src/midwatch/core/state/members.py",
        "        _keep_answers(old, new, one.service)\n", "", CONSENT,
    ),
    Mutation(
        "what was tried stays behind at a split", 15, "src/midwatch/core/state/members.py",
        "    tried = [one for one in old.tried_on.get(service, ()) if one not in begun]\n",
        "    tried: list[str] = []\n", CONSENT,
    ),
    Mutation(
        "a reopening drops what has to be reverted", 15, "src/midwatch/core/state/evolving.py",
        'elif not (one.takes_back and one.state == "proposed"):', "else:", CONSENT,
    ),
    Mutation(
        "a reopening leaves the old hash of what has to be reverted", 15, PROPOSING,
        "        if plan.hash != run.hash:\n            undone",
        "        if False:\n            undone",
        CONSENT,
    ),
    Mutation(
        "another choice replaces what has to be reverted", 15, "src/midwatch/core/state/runs.py",
        "            return self.takes_back == old.takes_back\n", "            return True\n",
        CONSENT,
    ),
    Mutation(
        "a plan that ends with a rollback goes first", 15, "src/midwatch/core/state/runs.py",
        "return bool(left) and left[0].action == ROLLBACK",
        "return any(one.action == ROLLBACK for one in left)", SEVERAL,
    ),
    Mutation(
        "no policy is asked again once a service is free", 15, PROPOSING,
        "            due_at = max(due_at or 0, soon) if allowed else None\n",
        "            due_at = None\n", CONSENT,
    ),
    Mutation(
        "who resolves is paged for what that withdraws", 15, "src/midwatch/core/rules/recovery.py",
        "reason.terms), keeps=False)", "reason.terms), keeps=True)", CONSENT,
    ),
    Mutation(
        "an old button approves the same plan again", 15, "src/midwatch/core/state/planned.py",
        "    if run.subject:  # in journals of one plan",
        "    if False:  # in journals of one plan", CONSENT,
    ),
    Mutation(
        "a release makes no plan possible", 15, "src/midwatch/core/decide.py",
        "        if asks or lacks:\n", "        if asks:\n", CONSENT,
    ),
)  # fmt: skip
