"""Each law broken on purpose, in one place, and the tests that have to go red for it.

Law: a mutation is one piece of text for another in one file, as it may happen by a slip. What
survives is a law that nobody guards.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """What is broken, where and how, and which tests are asked."""

    name: str
    law: int
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    lint: bool = False  # the layers' checks have to fail, instead of a test


DRILL, UNIT = "tests/acceptance/test_drill.py", "tests/unit"
NEWS = f"{UNIT}/rules/test_news.py"
COVERS = f"{UNIT}/rules/test_covers.py"
# What comes over connections.
DOOR = (
    Mutation(
        "connections have no bound", 11, "src/midwatch/cli/door.py",
        "if len(self._open) >= self.most and not self._make_room():", "if False:",
        (f"{UNIT}/cli/test_door.py", "tests/acceptance/test_idle.py"),
    ),
    Mutation(
        "a head has all the time in the world", 11, "src/midwatch/cli/connections.py",
        'if self.state != "head" or now <= self._head_by:', "if True:",
        ("tests/acceptance/test_idle.py",),
    ),
    Mutation(
        "a head may be of any size", 11, "src/midwatch/cli/connections.py",
        "if was_head and self._in_head and self._read > heads.MAX_BYTES and not self._over:",
        "if False:", (f"{UNIT}/cli/test_connections.py",),
    ),
    Mutation(
        "a trailer is a header", 11, "src/midwatch/cli/connections.py",
        "        if self._in_head:\n            super().on_header(name, value)",
        "        super().on_header(name, value)", (f"{UNIT}/cli/test_connections.py",),
    ),
    Mutation(
        "one sender may fill the queue", 11, "src/midwatch/engine/waiting.py",
        "if len(queue) * SHARE >= self._most or alerts * SHARE >= MAX_WAITING_ALERTS:",
        "if False:", (f"{UNIT}/engine/test_shares.py",),
    ),
    Mutation(
        "senders take no turns", 11, "src/midwatch/engine/waiting.py",
        "self._queues[of] = queue  # behind the others",
        "self._queues = {of: queue, **self._queues}", (f"{UNIT}/engine/test_shares.py",),
    ),
    Mutation(
        "a token has no rate", 11, "src/midwatch/web/shares.py", "        if not wait_s:\n",
        "        if True:\n", (f"{UNIT}/engine/test_shares.py",),
    ),
    Mutation(
        "anybody is believed about who calls", 11, "src/midwatch/web/peers.py",
        "if at is None or not _is_trusted(at, trust):", "if at is None:",
        (f"{UNIT}/web/test_peers.py",),
    ),
)  # fmt: skip
# Which incident an alert joins, and what is named as its cause.
GROUPING = (
    Mutation(
        "time alone joins what somebody has taken", 10, "src/midwatch/core/rules/correlation.py",
        'if incident.state == "acknowledged" or not self', "if not self",
        (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "a warning draws in by time alone", 10, "src/midwatch/core/state/board.py",
        "        if loud:\n            _fire(self.loud",
        "        if True:\n            _fire(self.loud",
        (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "what rings is small print of a warning", 10, "src/midwatch/core/rules/correlation.py",
        "    if search.is_surprise():\n", "    if False:\n", (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "among many services time says as much", 10, "src/midwatch/core/rules/correlation.py",
        "                if is_crowded(shard, self._places.topology):", "                if False:",
        (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "a namespace says nothing", 10, "src/midwatch/core/rules/correlation.py",
        "return space == self._symptom.namespace", "return True",
        (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "there is no wall", 10, "src/midwatch/core/rules/correlation.py",
        "        if not wall or not mine:\n", "        if True:\n",
        (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "an alert undoes what a person has resolved", 10, "src/midwatch/core/rules/correlation.py",
        'incident.state == "resolved" and incident.by_itself and',
        'incident.state == "resolved" and',
        (f"{UNIT}/rules/test_core.py",),
    ),
    Mutation(
        "a flapping alert is another incident each time", 10, "src/midwatch/core/values/windows.py",
        "AGAIN_S = 3_600", "AGAIN_S = 60",
        (f"{UNIT}/rules/test_placing.py", f"{UNIT}/rules/test_core.py"),
    ),
    Mutation(
        "what has ended still fires", 10, "src/midwatch/core/state/shard.py",
        "    _take_line(shard, name, fingerprint, one)\n    incident, before",
        "    incident, before",
        (f"{UNIT}/rules/test_placing.py",),
    ),
    Mutation(
        "a path runs through a hub", 10, "src/midwatch/core/values/reach.py",
        "                if at != start and at not in self._through:", "                if False:",
        (f"{UNIT}/values/test_reach.py",),
    ),
    Mutation(
        "a cause is named without evidence", 5, "src/midwatch/core/rules/causes.py",
        "    found = [one for one in ranked if one.why != IN_TROUBLE]\n",
        "    return list(ranked)\n",
        (f"{UNIT}/rules/test_causes.py",),
    ),
)  # fmt: skip
# Waits by the time that passes, people by the wall clock; a jump is an event and pages.
CLOCKS = (
    Mutation(
        "people are paged by the journal's time", 11, "src/midwatch/core/state/decision.py",
        "return self.now - self.shard.skew", "return self.now", (f"{UNIT}/rules/test_jumps.py",),
    ),
    Mutation(
        "a jump of the clock pages nobody", 11, "src/midwatch/core/rules/clocks.py",
        "        _tell(d, rules, jump, incident)\n", "        pass\n",
        (f"{UNIT}/rules/test_jumps.py",),
    ),
    Mutation(
        "the journal's time leaps with the wall clock", 11, "src/midwatch/engine/clock.py",
        "if abs(target - self._at - passed) >= JUMP_MS:", "if False:",
        (f"{UNIT}/engine/test_clock.py", "tests/acceptance/test_tortures.py"),
    ),
    Mutation(
        "a restart believes the wall clock", 11, "src/midwatch/engine/clock.py",
        "if self.boot and skews.boot == self.boot and self._seen >= skews.ticks_ms:", "if False:",
        (f"{UNIT}/engine/test_clock.py",),
    ),
    Mutation(
        "dates are not set again after a jump", 11, "src/midwatch/core/decide.py",
        "        escalation.keep_dates(d)\n", "", (f"{UNIT}/rules/test_jumps.py",),
    ),
    Mutation(
        "a snooze of a wrong clock lasts for years", 11, "src/midwatch/core/state/incidents.py",
        "return min(incident.snoozed_until + skew, latest)",
        "return incident.snoozed_until + skew", (f"{UNIT}/rules/test_jumps.py",),
    ),
    Mutation(
        "Prometheus is asked by the journal's time", 11,
        "src/midwatch/adapters/metrics/prometheus.py", "at = now - self._skew()", "at = now",
        (f"{UNIT}/rules/test_jumps.py",),
    ),
)  # fmt: skip
MUTATIONS = (
    *DOOR,
    *GROUPING,
    *CLOCKS,
    Mutation(
        "the core reads a clock", 1, "src/midwatch/core/values/clock.py",
        "from datetime import UTC, datetime, timedelta\n",
        "import time\nfrom datetime import UTC, datetime, timedelta\n", (), lint=True,
    ),
    Mutation(
        "the same input counts twice", 2, "src/midwatch/engine/handle.py",
        "if key and (key in group.keys or self._journal.seen(key)):", "if False:",
        (f"{UNIT}/engine/test_loop.py", "tests/acceptance/test_serve.py", DRILL),
    ),
    Mutation(
        "a press of Slack's button counts each time it is sent", 2, "src/midwatch/web/slack.py",
        'Envelope(f"slack/{name}/{pressed.signature}", given, actor', 'Envelope("", given, actor',
        ("tests/acceptance/test_channels.py",),
    ),
    Mutation(
        "a commit is answered before it is on disk", 2, "src/midwatch/adapters/stores/sqlite.py",
        "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF",
        ("tests/acceptance/test_serve.py", "tests/contract/test_store.py"),
    ),
    Mutation(
        "a fence that is over still writes", 2, "src/midwatch/adapters/stores/sqlite.py",
        "        if fence != self._fence:", "        if False:", ("tests/contract/test_store.py",),
    ),
    Mutation(
        "memory is kept when a commit failed", 2, "src/midwatch/engine/handle.py",
        "not known or not self._take_back(reversed(group.undos)):", "not known:",
        (DRILL, f"{UNIT}/engine/test_loop.py", "tests/contract/test_store.py"),
    ),
    Mutation(
        "a decision that raised leaves behind what it changed", 2, "src/midwatch/engine/handle.py",
        "if not self._take_back([undo]):", "if False:", (f"{UNIT}/state/test_undo.py",),
    ),
    Mutation(
        "an input that cannot be stored stops its neighbours", 11, "src/midwatch/engine/handle.py",
        "            except Unstorable:  # one of them", "            except ZeroDivisionError:  #",
        ("tests/contract/test_dead_letters.py",),
    ),
    Mutation(
        "what died pages nobody", 11, "src/midwatch/core/deaths.py",
        "        decide.dispatch(d, rules, inputs.AlertsArrived(WE, (raised,)))\n", "",
        ("tests/contract/test_dead_letters.py",),
    ),
    Mutation(
        "a timer that died once is forgotten", 11, "src/midwatch/core/deaths.py",
        "if timer is not None and tries <= MAX_RETRIES:", "if False:",
        ("tests/contract/test_dead_letters.py",),
    ),
    Mutation(
        "an undo forgets in what order incidents stood", 2, "src/midwatch/core/state/undo.py",
        "    u.whole(shard.open)\n", "    u.entry(shard.open, event.incident)\n",
        (f"{UNIT}/state/test_undo.py",),
    ),
    Mutation(
        "an ack stops nothing", 3, "src/midwatch/core/rules/escalation.py",
        "    if not is_waiting_for_ack(incident):\n        return\n    if incident.exhausted:",
        "    if incident.exhausted:",
        (f"{UNIT}/rules/test_core.py", f"{UNIT}/rules/test_escalation.py", DRILL),
    ),
    Mutation(
        "every page goes to one person", 3, "src/midwatch/core/rules/escalation.py",
        "    key = _page_key(d, incident)\n",
        '    key, person = _page_key(d, incident), "ben"\n',
        (f"{UNIT}/rules/test_escalation.py",),
    ),
    Mutation(
        "an ack hides whatever comes after it", 10, "src/midwatch/core/rules/news.py",
        'if incident.state not in ("open", "acknowledged"):', 'if incident.state != "open":',
        (NEWS, "tests/acceptance/test_drill.py"),
    ),
    Mutation(
        "an ack leaves what is not connected covered", 10, "src/midwatch/core/rules/covers.py",
        " and not _was_answered(shard, one):", ":", (NEWS,),
    ),
    Mutation(
        "a merge and a silence leave no mark", 10, "src/midwatch/core/rules/covers.py",
        "marks = (incident.mark, incident.seen)", "marks = (incident.mark,)", (NEWS,),
    ),
    Mutation(
        "a milder page covers what is worse", 10, "src/midwatch/core/rules/covers.py",
        "return _rank(said) <= _rank(news.severity) and", "return", (NEWS, COVERS),
    ),
    Mutation(
        "a change covers what it broke", 10, "src/midwatch/core/rules/covers.py",
        "oldest = max(shard.at - NEAR_S * SECOND, changed_at)",
        "oldest = shard.at - NEAR_S * SECOND", (NEWS,),
    ),
    Mutation(
        "a raise under the same key is a repeat", 10, "src/midwatch/core/rules/refreshes.py",
        "if alert.level != one.level or alert.starts_at", "if alert.starts_at", (NEWS,),
    ),
    Mutation(
        "growth that is held is dropped", 10, "src/midwatch/core/rules/growth.py",
        '    d.set_timer(inputs.Timer(_growth_key(incident), until, "grow", incident.id))\n'
        "    return True\n", "    return True\n", (NEWS,),
    ),
    Mutation(
        "anybody answers for the people of another service", 10,
        "src/midwatch/core/rules/escalation.py",
        "silence(d, incident, others=False)\n    d.emit(\n        events.PageAck",
        "silence(d, incident)\n    d.emit(\n        events.PageAck", (NEWS,),
    ),
    Mutation(
        "what covered is over and nobody looks", 10, "src/midwatch/core/rules/escalation.py",
        'if is_looked_for(d, other, loud, incident.severity or "sev1"):', "if True:", (NEWS,),
    ),
    Mutation(
        "what always pages is covered by its service", 10, "src/midwatch/core/rules/covers.py",
        "if news.service and not (news.apart or one.apart):", "if news.service:", (COVERS,),
    ),
    Mutation(
        "an ack leaves what was covered since covering", 10, "src/midwatch/core/rules/covers.py",
        "mark.at >= one.rung_at", "mark.at >= one.at", (COVERS,),
    ),
    Mutation(
        "a flap that nobody was told of hides its neighbours", 10,
        "src/midwatch/core/rules/covers.py",
        " or one.apart or one.held)", " or one.apart)", (f"{UNIT}/rules/test_flaps.py",),
    ),
    Mutation(
        "nobody looks again at what somebody has", 10, "src/midwatch/core/rules/looks.py",
        "    if open_now:\n", "    if not news:\n", (f"{UNIT}/rules/test_looks.py",),
    ),
    Mutation(
        "a snooze keeps the neighbours quiet", 10, "src/midwatch/core/rules/escalation.py",
        "return not snoozed or all(", "return True or all(", (f"{UNIT}/rules/test_looks.py",),
    ),
    Mutation(
        "an approval answers for every service", 10, "src/midwatch/core/rules/news.py",
        "if fires.intersection(incident.asking) <= begun:", "if True:",
        (NEWS,),
    ),
    Mutation(
        "whoever joins an incident takes its pages over", 10, "src/midwatch/core/rules/rules.py",
        "        known = self.policies.get(incident.policy)\n        if known is not None:",
        "        known = self.policies.get(incident.policy)\n"
        "        if known is not None and incident.awaits_ack:",
        (f"{UNIT}/rules/test_asked_people.py",),
    ),
    Mutation(
        "a moment of quiet is an answer", 10, "src/midwatch/core/rules/escalation.py",
        "    left = incident.left\n    if left is None:", "    left = incident.left\n    if True:",
        (f"{UNIT}/rules/test_asked_people.py",),
    ),
    Mutation(
        "a service whose people cannot be reached pages nobody", 10,
        "src/midwatch/core/rules/growth.py",
        "    if is_new:\n        grow(d, main, incident, told)\n", "",
        (f"{UNIT}/rules/test_asked_people.py",),
    ),
    Mutation(
        "a merge answers every page", 10, "src/midwatch/core/decide.py",
        "    news.merged(d, rules, old, into, given.by, was, asked)\n", "",
        (f"{UNIT}/rules/test_moves_news.py",),
    ),
    Mutation(
        "an escalation stays where it is", 3, "src/midwatch/core/state/asking.py",
        "    i.next_step = max(i.next_step, event.step + 1)\n", "",
        (f"{UNIT}/rules/test_escalation.py",),
    ),
    Mutation(
        "the second pager waits until the first is given up", 11,
        "src/midwatch/core/rules/receipts.py",
        "    _try_next_pager(d, policy_of, waiting, answer.key, answer.error)\n",
        "    if retry_at is None:\n"
        "        _try_next_pager(d, policy_of, waiting, answer.key, answer.error)\n",
        (f"{UNIT}/rules/test_escalation.py", "tests/acceptance/test_second_pager.py"),
    ),
    Mutation(
        "a pager that hangs keeps the second one waiting", 11,
        "src/midwatch/core/rules/receipts.py",
        '    if _paged(incident, key).state == "planned":', "    if False:",
        (f"{UNIT}/rules/test_escalation.py",),
    ),
    Mutation(
        "Apprise takes a page for markup", 11, "src/midwatch/adapters/pagers/apprise.py",
        ', body_format="text"):', "):", ("tests/contract/test_pager.py",),
    ),
    Mutation(
        "a name in Slack is taken for a person", 5, "src/midwatch/adapters/pagers/slack.py",
        'return next(known, f"slack:{plain(pressed.user)}")',
        "return next(known, plain(pressed.user))", ("tests/contract/test_pager.py",),
    ),
    Mutation(
        "a time from outside may be of any year", 11, "src/midwatch/core/values/moments.py",
        "        if earliest <= at < LATEST:\n            return at\n",
        "        return at\n",
        (f"{UNIT}/values/test_moments.py", "tests/contract/test_source.py"),
    ),
    Mutation(
        "a page in doubt is forgotten", 3, "src/midwatch/engine/perform.py",
        "if any(asks_by(one, page.key) for one in _told(page, shard)):", "if False:",
        (f"{UNIT}/engine/test_perform.py", "tests/acceptance/test_crashes.py"),
    ),
    Mutation(
        "a page that was acknowledged asks again after the next one", 3,
        "src/midwatch/core/state/incidents.py",
        "if page is not None and page.at < answered_at:", "if False:",
        (f"{UNIT}/engine/test_perform.py",),
    ),
    Mutation(
        "a rollback in doubt is done again blindly", 3, "src/midwatch/engine/perform.py",
        'return partial(self._observe, wish, claim.attempt, "after a crash")',
        "return partial(self._set_release, wish, claim.attempt)",
        (f"{UNIT}/engine/test_perform.py", "tests/acceptance/test_crashes.py"),
    ),
    Mutation(
        "a step in doubt is done again blindly", 3, "src/midwatch/engine/perform.py",
        "return partial(self._look_at, action, claim.attempt)",
        "return partial(self._run_action, action, claim.attempt)",
        ("tests/acceptance/test_runbook.py", "tests/acceptance/test_runbook_crashes.py"),
    ),
    Mutation(
        "yes, and not seen, is done again", 3, "src/midwatch/engine/steps.py",
        'if came == "never sent" or (not blind and (came == "declined" or not action.changes)):',
        'if came == "never sent" or not blind:', (f"{UNIT}/engine/test_steps.py",),
    ),
    Mutation(
        "what a crash left is taken for not done", 3, "src/midwatch/engine/steps.py",
        'return _observed(actor, action, attempt, "in doubt", StepSaid("after a crash"))',
        'return _observed(actor, action, attempt, "declined", StepSaid("after a crash"))',
        (f"{UNIT}/engine/test_steps.py",),
    ),
    Mutation(
        "a step in doubt is repeated when it is not idempotent", 3,
        "src/midwatch/core/rules/answers.py",
        'or (answer.state == "unknown" and answer.repeatable)', 'or answer.state == "unknown"',
        (f"{UNIT}/rules/test_runbooks.py",),
    ),
    Mutation(
        "a program that does not start may have done something", 3,
        "src/midwatch/adapters/processes.py", "raise NeverSent(f", "raise HarnessError(f",
        ("tests/contract/test_processes.py",),
    ),
    Mutation(
        "what a step has restarted is ended by its next line", 3,
        "src/midwatch/adapters/processes.py", "                leftovers.read_on(pipe)\n", "",
        ("tests/contract/test_processes.py",),
    ),
    Mutation(
        "what a program wrote is part of what is said", 11,
        "src/midwatch/adapters/actions/command.py",
        "        return StepSaid(says, ended.output)",
        "        return StepSaid(f\"{says}: {ended.output}\")", ("tests/contract/test_action.py",),
    ),
    Mutation(
        "too few events are waited for in silence", 4, "src/midwatch/core/rules/recovery.py",
        '    if verdict == "inconclusive":\n        patience', "    if False:\n        patience",
        (f"{UNIT}/rules/test_patience.py",),
    ),
    Mutation(
        "nobody can tell, and approve says that it was not done", 4,
        "src/midwatch/cli/following.py", "code=UNKNOWN if unknown else FAILED", "code=FAILED",
        (f"{UNIT}/cli/test_following.py",),
    ),
    Mutation(
        "a timer is lost with the process", 3, "src/midwatch/adapters/stores/writing.py",
        "        db.change(Timers.put, **columns, seal=seal(columns.values()))\n", "        pass\n",
        ("tests/contract/test_store.py", "tests/acceptance/test_crashes.py"),
    ),
    Mutation(
        "too few events are a recovery", 4, "src/midwatch/core/values/slo.py",
        "if counts is None or counts.total < max(verify.min_events, 1):",
        "if counts is None or not counts.total:",
        (
            f"{UNIT}/rules/test_core.py",
            f"{UNIT}/values/test_slo.py",
            f"{UNIT}/rules/test_runbooks.py",
        ),
    ),
    Mutation(
        "a canary promotes on no data", 4, "src/midwatch/core/values/canary.py",
        "    return one is not None and bool(one.cleared_at)", "    return True",
        (f"{UNIT}/rules/test_canary.py",),
    ),
    Mutation(
        "the gate is green when nothing could be run", 4, "src/midwatch/core/values/gate.py",
        '        if len(self._lost("candidate")) == len(self._counted):', "        if False:",
        (f"{UNIT}/values/test_gate.py",),
    ),
    Mutation(
        "the gate is always green", 4, "src/midwatch/core/values/gate.py",
        "        if self._blamed:\n            return self._red()\n        self._set_aside()",
        "        self._blamed.clear()\n        self._set_aside()",
        (f"{UNIT}/values/test_gate.py", "tests/acceptance/test_gate.py"),
    ),
    Mutation(
        "a reason is not stored", 5, "src/midwatch/engine/queries.py",
        '    reason = getattr(event, "reason", None)\n    return Moment(', "    return Moment(",
        (f"{UNIT}/rules/test_core.py", "tests/acceptance/test_api.py"),
    ),
    Mutation(
        "a rollback goes to a bad release", 6, "src/midwatch/core/state/releases.py",
        'if target.standing == "bad":', "if False:", (f"{UNIT}/rules/test_pointers.py",),
    ),
    Mutation(
        "silence of alerts is recovery", 6, "src/midwatch/core/rules/recovery.py",
        "if incident.firing or not incident.alert_count or impact.is_watched(d, rules, incident):",
        "if incident.firing or not incident.alert_count:",
        (f"{UNIT}/rules/test_core.py", f"{UNIT}/rules/test_runbooks.py"),
    ),
    Mutation(
        "an incident closes without a lesson", 7, "src/midwatch/core/state/incidents.py",
        "    if not incident.hurt:\n        return []\n    found", "    return []\n    found",
        (f"{UNIT}/rules/test_core.py", f"{UNIT}/rules/test_postmortems.py"),
    ),
    Mutation(
        "a case that proves nothing is admitted", 7, "src/midwatch/core/rules/regressions.py",
        "    if failed == len(on_bad) and passed == len(on_good):",
        "    if passed == len(on_good):", (f"{UNIT}/rules/test_core.py",),
    ),
    Mutation(
        "a muted alert is not recorded", 8, "src/midwatch/core/rules/correlation.py",
        "        found.pending.items.append(",
        "        muted or found.pending.items.append(",
        (f"{UNIT}/rules/test_correlation.py", "tests/acceptance/test_grouping.py"),
    ),
    Mutation(
        "the chain does not cover what is stored", 8, "src/midwatch/adapters/stores/writing.py",
        "head = chain.link(head, *columns)", "head = chain.link(head, row.seq)",
        ("tests/contract/test_store.py", "tests/acceptance/test_db.py"),
    ),
    Mutation(
        "any hash approves a plan", 9, "src/midwatch/core/rules/approving.py",
        "        if plan.hash == plan_hash:", "        if True:",
        (f"{UNIT}/rules/test_runbooks.py",),
    ),
    Mutation(
        "a plan runs without a policy", 9, "src/midwatch/core/values/automation.py",
        '    if not fitting:\n        says = f"no automation policy',
        '    if not fitting:\n        return "none", Reason(RULE, "anybody may", terms)\n'
        '        says = f"no automation policy',
        (f"{UNIT}/rules/test_runbooks.py",),
    ),
    Mutation(
        "shadow mode pages", 9, "src/midwatch/engine/perform.py",
        "        if self._shadow:\n            answer = PageAnswered(page.key",
        "        if False:\n            answer = PageAnswered(page.key",
        (f"{UNIT}/engine/test_perform.py", "tests/acceptance/test_shadow.py"),
    ),
    Mutation(
        "a release is moved in shadow", 9, "src/midwatch/engine/perform.py",
        '        if self._shadow:\n            says = "not applied: shadow',
        '        if False:\n            says = "not applied: shadow',
        (f"{UNIT}/engine/test_perform.py",),
    ),
    Mutation(
        "an action is run in shadow", 9, "src/midwatch/engine/perform.py",
        '        if self._shadow:\n            says = "not done: shadow',
        '        if False:\n            says = "not done: shadow',
        (f"{UNIT}/engine/test_perform.py",),
    ),
    Mutation(
        "a plan is approved in shadow", 9, "src/midwatch/web/api.py",
        'Carry out a plan."""\n        if self._service.shadow:',
        'Carry out a plan."""\n        if False:',
        ("tests/acceptance/test_shadow.py",),
    ),
    Mutation(
        "a person moves traffic in shadow", 9, "src/midwatch/web/api.py",
        'when nothing moves traffic."""\n        if self._service.shadow:',
        'when nothing moves traffic."""\n        if False:',
        ("tests/acceptance/test_shadow.py",),
    ),
    Mutation(
        "a new term keeps the old salt", 12, "src/midwatch/core/state/shard.py",
        "shard.term_salt = event.salt", "shard.term_salt = shard.term_salt or event.salt",
        (f"{UNIT}/rules/test_terms.py",),
    ),
    Mutation(
        "an incident has no salt of its own", 12, "src/midwatch/core/state/incidents.py",
        "        salt=salt,\n", "",
        (f"{UNIT}/rules/test_terms.py", "tests/acceptance/test_restore.py"),
    ),
    Mutation(
        "a page's key is that of every copy", 12, "src/midwatch/core/state/decision.py",
        "keys.key_of(self.shard.term_salt, *parts)", 'keys.key_of("", *parts)',
        (f"{UNIT}/rules/test_terms.py", "tests/acceptance/test_restore.py"),
    ),
    Mutation(
        "a page in doubt gets a new key", 12, "src/midwatch/engine/perform.py",
        "return partial(self._send, page, claim.attempt)",
        "return partial(self._send, replace(page, key=f'{page.key}/again'), claim.attempt)",
        (f"{UNIT}/engine/test_perform.py", "tests/acceptance/test_restore.py"),
    ),
    Mutation(
        "a button of another journal takes an incident", 12, "src/midwatch/core/state/shard.py",
        "incident if incident and incident.is_called(name) else None", "incident",
        (f"{UNIT}/rules/test_terms.py",),
    ),
    Mutation(
        "a journal that is gone is written on", 11, "src/midwatch/adapters/stores/sqlite.py",
        "            self.presence.check()\n", "            pass\n",
        ("tests/acceptance/test_removed.py",),
    ),
    Mutation(
        "an older midwatch goes on with a newer journal", 12,
        "src/midwatch/adapters/stores/versions.py",
        "if state > STATE_VERSION or event > EVENT_VERSION:", "if False:",
        ("tests/acceptance/test_upgrade.py",),
    ),
    Mutation(
        "looks hold up what is decided", 11, "src/midwatch/engine/views.py",
        "while self._waiting and (not answered or time.monotonic() < until):",
        "while self._waiting:",
        (f"{UNIT}/engine/test_loop.py",),
    ),
    Mutation(
        "each reader has a view made for himself", 11, "src/midwatch/web/shown.py",
        "if self._making is None or self._making.done():", "if True:",
        (f"{UNIT}/web/test_shown.py", "tests/acceptance/test_readers.py"),
    ),
    Mutation(
        "a page is older than what was answered", 11, "src/midwatch/web/shown.py",
        "view.after >= wanted and view.minute == minute", "view.minute == minute",
        (f"{UNIT}/web/test_shown.py", "tests/acceptance/test_readers.py"),
    ),
    Mutation(
        "a card misses what another incident gave it", 11, "src/midwatch/engine/overview.py",
        "stamp = (version, one.alert_count, bool(one.failures))",
        "stamp = (version, 0, bool(one.failures))", (f"{UNIT}/web/test_shown.py",),
    ),
    Mutation(
        "a list of all leaves out who has left", 11, "src/midwatch/engine/listing.py",
        "    found |= {one.id: summary(one, seen.skews) for one in left}\n", "",
        (f"{UNIT}/engine/test_paging.py",),
    ),
    Mutation(
        "a part begins with the last one of the part before", 11, "src/midwatch/engine/listing.py",
        "if urgent_first(one)[1:] > last)", "if urgent_first(one)[1:] >= last)",
        (f"{UNIT}/engine/test_paging.py",),
    ),
    Mutation(
        "a restored journal keeps every login", 12, "src/midwatch/adapters/stores/access.py",
        "            if not same:", "            if False:", ("tests/contract/test_access.py",),
    ),
    Mutation(
        "a closed incident is in no archive", 8, "src/midwatch/engine/handle.py",
        "    entry.archived.extend(decision.left.values())\n", "",
        (f"{UNIT}/state/test_archive.py",),
    ),
    Mutation(
        "a late fact is not told with its incident", 8, "src/midwatch/core/state/decision.py",
        "            evolving.evolve(one.incident, event, self.now)\n", "",
        (f"{UNIT}/state/test_archive.py",),
    ),
    Mutation(
        "pruning takes the events of what is open", 8, "src/midwatch/adapters/stores/pruning.py",
        "    for stream in made.staying:\n", "    for stream in ():\n",
        (f"{UNIT}/engine/test_prune.py",),
    ),
    Mutation(
        "a part leaves before what it was merged into", 2, "src/midwatch/core/state/leaving.py",
        'if one is None or one.state != "closed":', "if one is None:",
        (f"{UNIT}/state/test_archive.py",),
    ),
    Mutation(
        "rolled-up counts begin where no window may", 4,
        "src/midwatch/adapters/stores/sli_buckets.py",
        "FINE_FOR_S = 6 * 3_600 + SPARE_S", "FINE_FOR_S = 5 * 3_600",
        (f"{UNIT}/adapters/test_pushed_counts.py",),
    ),
    Mutation(
        "nobody is told what an incident waits for", 4, "src/midwatch/core/rules/patience.py",
        "    if incident.unproven_told:\n", "    if True:\n",
        (f"{UNIT}/rules/test_patience.py", DRILL),
    ),
    Mutation(
        "what an incident waits for is not written down", 4, "src/midwatch/core/rules/patience.py",
        'if incident.state not in ("open", "acknowledged") or "min_events" not in terms:',
        "if True:", (f"{UNIT}/rules/test_patience.py", DRILL),
    ),
    Mutation(
        "a request that nobody answered in time is done again", 3, "src/midwatch/outbound.py",
        '{self._timeout_s:g} s"\n            raise HarnessError(says, place=place)',
        '{self._timeout_s:g} s"\n            raise NeverSent(says, place=place)',
        ("tests/contract/test_action.py",),
    ),
)  # fmt: skip
