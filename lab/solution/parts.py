"""The toolkit of an on-call shift: one small part for each thing that a shift has to do.

Law: every part is a plain function or class, works on what it is given, and invents nothing. What
cannot be known raises NotDone with the reason; nobody here guesses.
"""

FAST_BURN = 14.4  # spends 2 % of a 30-day budget in one hour
SLOW_BURN = 6.0  # spends 5 % of it in six hours
PERIOD_H = 30 * 24
JOIN_WITHIN_S = 300
MIN_WORDS = 2


class NotDone(Exception):
    """A step that could not be taken, and why."""


# M32 AIOps: correlation. Alerts that are close in the call graph and in time are one incident.
def correlate(alerts, calls):
    """Group alerts into incidents; `calls` maps a service to those it calls.

    An alert joins the newest incident that has its service, or one that calls it or is called by
    it, and that began at most JOIN_WITHIN_S before. Otherwise it opens a new one.
    """
    incidents = []
    for alert in sorted(alerts, key=lambda a: (a["at"], a["service"], a["name"])):
        home = None
        for incident in incidents:
            fresh = alert["at"] - incident["began"] <= JOIN_WITHIN_S
            near = any(is_near(alert["service"], s, calls) for s in incident["services"])
            if fresh and near:
                home = incident
        if home is None:
            number = len(incidents) + 1
            home = {"id": "INC-%d" % number, "began": alert["at"], "services": [], "alerts": []}
            incidents.append(home)
        home["alerts"].append(alert)
        if alert["service"] not in home["services"]:
            home["services"].append(alert["service"])
    return incidents


def is_near(one, other, calls):
    """Say whether two services are the same, or one calls the other."""
    return one == other or other in calls.get(one, ()) or one in calls.get(other, ())


# M32 AIOps: ticket triage. Read a person's report, sort it, and find the incident it is about.
def triage(text, categories, incidents):
    """Give category, priority, route and incident of a report.

    `categories` maps a name to (words, service, route). A category needs MIN_WORDS of its words
    in the text, else it is unknown: a report that nobody understands goes to a person.
    """
    words = set("".join(c if c.isalnum() else " " for c in text.lower()).split())
    hits = {name: len(words & set(rule[0])) for name, rule in categories.items()}
    best = max(hits, key=hits.get)
    if hits[best] < MIN_WORDS:
        return {"category": "unknown", "priority": "P4", "route": "triage", "incident": None}
    _, service, route = categories[best]
    joined = [i["id"] for i in incidents if service in i["services"]]
    # A report about an incident that is open is urgent; one about nothing known can wait.
    priority = "P1" if joined else "P3"
    incident = joined[-1] if joined else None
    return {"category": best, "priority": priority, "route": route, "incident": incident}


# M31 incident response: SLI. Good answers out of all answers.
def sli(good, total):
    """Give the share of good answers. Without answers there is none."""
    if total == 0:
        raise NotDone("no traffic, so no SLI")
    return good / total


# M31 incident response: burn alert. How fast is the error budget being spent, and who must know?
def burn_rate(measured, slo):
    """Divide the bad share by the share that the SLO allows.

    Floats leave dust (0.2 / 0.01 is 19.99...), so the dust is rounded off.
    """
    return round((1 - measured) / (1 - slo), 6)


def page(measured, slo):
    """Decide whether a human is woken: paged, severity, reason."""
    burn = burn_rate(measured, slo)
    if burn > FAST_BURN:
        severity, speed = "sev1", "fast"
    elif burn > SLOW_BURN:
        severity, speed = "sev2", "slow"
    else:
        reason = "burn %gx is within bounds" % burn
        return {"paged": False, "severity": None, "burn": burn, "reason": reason}
    unit = "hours" if PERIOD_H / burn < 48 else "days"
    reason = "%s burn %gx (budget gone in %s)" % (speed, burn, unit)
    return {"paged": True, "severity": severity, "burn": burn, "reason": reason}


# M31 incident response: runbook. The written answer to this page: go back first, ask why later.
def runbook(call, registry):
    """Carry out the runbook for a page: roll back. Gives the releases before and after."""
    if not call["paged"]:
        raise NotDone("nobody was paged")
    return registry.rollback()


# M31 incident response: postmortem. What happened, and the test that stays behind.
def postmortem(incident, before, after, wrong):
    """Write the facts down and make a regression case out of an answer that was seen wrong.

    `wrong` holds (question, answer, expected) as users got them.
    """
    if not wrong:
        raise NotDone("no wrong answer was seen, so there is nothing to learn from")
    question, answer, expected = wrong[0]
    case = {"question": question, "expected": expected, "seen": answer, "incident": incident}
    return {"incident": incident, "sli_before": before, "sli_after": after, "case": case}


# M31 -> M26: the case enters the eval set. It counts only if it tells bad from good.
def passes(case, answer):
    """Say whether an answer is what the case expects."""
    return answer == case["expected"]


# M33 releases: registry. Which release is live, and which were good when they were.
class Registry:
    """Knows the live release, the good ones in order, and those known bad."""

    def __init__(self):
        self.live = None
        self.good = []
        self.bad = []

    def deploy(self, name, good=False):
        """Make a release live; `good` records that it served users well."""
        self.live = name
        if good:
            self.good.append(name)

    def last_good(self):
        """Name the newest release known good, never one known bad and never the live one."""
        fit = [n for n in self.good if n not in self.bad and n != self.live]
        if not fit:
            raise NotDone("there is no good release to go back to")
        return fit[-1]

    # M33 releases: rollback. Put the last good release live, remember the other as bad.
    def rollback(self):
        """Go back to the last good release; gives (from, to)."""
        left, target = self.live, self.last_good()
        self.bad.append(left)
        self.live = target
        return left, target

    # M33 releases: promote. Only a canary's verdict makes a candidate live.
    def promote(self, name, verdict):
        """Put a candidate live if the verdict says so; gives what is live now."""
        if verdict == "promote":
            self.deploy(name)
        else:
            self.bad.append(name)
        return self.live


# M33 releases: canary. The fix against what is live now, on the same cases.
def canary(cases, must_pass, candidate, baseline):
    """Compare two releases; `candidate` and `baseline` map a question to an answer.

    Promote only if the candidate passes the incident's case and no fewer cases than the baseline.
    """
    if not cases:
        raise NotDone("no cases, so no verdict")
    ours = sum(passes(c, candidate(c["question"])) for c in cases)
    theirs = sum(passes(c, baseline(c["question"])) for c in cases)
    fixed = passes(must_pass, candidate(must_pass["question"]))
    return {
        "verdict": "promote" if fixed and ours >= theirs else "reject",
        "candidate_passed": ours,
        "baseline_passed": theirs,
        "cases": len(cases),
    }
