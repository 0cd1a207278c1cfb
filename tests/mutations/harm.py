"""Law 15 broken on purpose, as far as it is about what harm is told and who is credited."""

from __future__ import annotations

from tests.mutations.laws import UNIT, Mutation

HARM = f"{UNIT}/values/test_harm.py"
PARTS = f"{UNIT}/adapters/test_parts.py"
AFTER = f"{UNIT}/engine/test_after_closing.py"
TIMELINE = f"{UNIT}/rules/test_timeline.py"
TRUTH = "tests/acceptance/test_truth.py"
CARRIED = f"{UNIT}/rules/test_carried_out.py"
ORACLE = "tests/acceptance/test_harm_oracle.py"
MUTATIONS = (
    Mutation(
        "harm begins when it was noticed", 15, "src/midwatch/core/values/harm.py",
        "lowest = min(rises[first : seen + 1])", "lowest = rises[seen]", (HARM, ORACLE),
    ),
    Mutation(
        "harm ends with its proof", 15, "src/midwatch/core/values/harm.py",
        "highest = max(rises[start : last + 1])", "highest = rises[last]", (HARM, ORACLE),
    ),
    Mutation(
        "silence after the last event is harm", 15, "src/midwatch/core/values/sli_window.py",
        "for at in sorted({self._newest, end}) if end >= self._newest else ():",
        "for at in (end,) if end >= self._newest else ():", (HARM,),
    ),
    Mutation(
        "late counts change no figure", 15, "src/midwatch/core/rules/drafts.py",
        'if incident.state in ("mitigated", "resolved") and measure(', "if False and measure(",
        (HARM, ORACLE),
    ),
    Mutation(
        "a run that did not hold ends the next harm", 15, "src/midwatch/core/rules/carried_out.py",
        "    if one.run.verification == OPEN:\n", "    if True:\n", (HARM, CARRIED),
    ),
    Mutation(
        "a step after the last harm is credited", 15, "src/midwatch/core/rules/carried_out.py",
        "one.changed_at > max(ends)", "False", (HARM, CARRIED, ORACLE),
    ),
    Mutation(
        "a run is credited with an objective that does not prove it", 15,
        "src/midwatch/core/rules/carried_out.py",
        "return not self.proofs or not slo or slo in self.proofs", "return True",
        (CARRIED, ORACLE),
    ),
    Mutation(
        "who burned again is credited all the same", 15, "src/midwatch/core/rules/carried_out.py",
        "if is_measured and number is not None:", "if False and number is not None:", (CARRIED,),
    ),
    Mutation(
        "what is merged into an incident did no harm", 15, "src/midwatch/core/state/members.py",
        "home.parts = {**home.parts, **old.parts, old.id: mine}", "pass", (PARTS,),
    ),
    Mutation(
        "an undo leaves the reports where they were merged", 15,
        "src/midwatch/core/state/members.py",
        "home.tickets = [one for one in home.tickets if one not in theirs.tickets]", "pass",
        (PARTS,),
    ),
    Mutation(
        "a period that is not full has a share", 15, "src/midwatch/core/values/budget.py",
        "return seen_s is not None and seen_s >= slo.period_s", "return True", (HARM,),
    ),
    Mutation(
        "what comes after closing changes figures", 15, "src/midwatch/core/rules/timeline.py",
        'late = "after closing: " if after else ""', 'late = ""', (HARM,),
    ),
    Mutation(
        "a deploy stands where it was told", 15, "src/midwatch/core/rules/timeline.py",
        "found.sort(key=lambda one: one[:3])", "found.sort(key=lambda one: one[2])", (HARM,),
    ),
    Mutation(
        "each firing is an alert more", 15, "src/midwatch/core/rules/postmortem_writer.py",
        "own = distinct_alerts(i) if", "own = i.alert_count if", (TIMELINE, TRUTH),
    ),
    Mutation(
        "a page that every pager refused was a page", 15, "src/midwatch/core/rules/timeline.py",
        "if event.key in self._pages.refused:", "if False:", (TIMELINE,),
    ),
    Mutation(
        "a step that was never begun has no mark", 15, "src/midwatch/core/rules/carried_out.py",
        "if one.id not in begun and not (", "if False and not (", (TIMELINE,),
    ),
    Mutation(
        "a runbook ends harm that nobody measured", 15,
        "src/midwatch/core/rules/postmortem_writer.py",
        'elif list(by) == [""]:', "elif False:", (TRUTH,),
    ),
    Mutation(
        "what is told of a moment cites another one", 15,
        "src/midwatch/core/rules/postmortem_writer.py",
        "cited += [fact.seq, *(again", "cited += [1, *(again", (TRUTH,),
    ),
    Mutation(
        "a report after closing is not in the postmortem", 15, "src/midwatch/engine/retelling.py",
        "if event.incident not in own and event.service and about:", "if False:", (AFTER,),
    ),
    Mutation(
        "whatever comes after closing is about what is closed", 15,
        "src/midwatch/engine/retelling.py",
        "about = says_the_same or event.service in incident.services", "about = True", (AFTER,),
    ),
    Mutation(
        "a word is a name", 15, "src/midwatch/core/rules/sentences.py",
        'r"^{}(?=: )",', 'r"{}",', (HARM,),
    ),
    Mutation(
        "a stale whole replaces what was written since", 15, "src/midwatch/core/rules/drafts.py",
        "if given.version is not None and given.version != incident.edits:", "if False:", (HARM,),
    ),
)  # fmt: skip
