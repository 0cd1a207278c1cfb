"""One on-call shift, start to end, and the simulated service that it is about.

Law: the shift calls the parts in the order of its trace and keeps what they gave. A step that
cannot be done is kept with its reason, and so is every step that needed it. Releases, storm and
ticket are looked up when the shift runs, so your edit counts wherever in this file it stands.
"""

import parts

SLO = 0.99
SERVICE = "support-agent"
ROUNDS = 20  # how often each question is asked in a measurement

# The service stands in for the support agent of M27: it knows the answers to five questions.
ANSWERS = {
    "refund window": "30 days",
    "delivery time": "3 to 5 days",
    "warranty": "2 years",
    "support hours": "8 to 20 h",
    "gift cards": "valid for 3 years",
}


def v1_stable(q):
    return ANSWERS[q]


def v2_regressed(q):
    return {"refund window": "7 days"}.get(q, ANSWERS[q])


def v3_fix(q):
    corrected = dict(ANSWERS)
    return corrected[q]


TICKET = (
    "Your assistant told me the refund window is 7 days. The policy says 30, so which is wrong?"
)

# category -> (words that speak for it, the service it is about, the team that gets it)
CATEGORIES = {
    "answer quality": (
        ("answer", "answers", "assistant", "bot", "policy", "refund", "refunds", "told", "wrong"),
        SERVICE,
        "ai-support",
    ),
    "payment": (("card", "charged", "paid", "payment", "twice"), "checkout", "payments"),
    "delivery": (("arrived", "late", "lost", "parcel", "tracking"), "tracking", "logistics"),
}

# Who calls whom. A symptom calls its cause.
CALLS = {
    "chat-widget": ["support-agent"],
    "checkout": ["payments"],
    "payments": ["card-gateway"],
    "tracking": ["carrier-api"],
    "newsletter": ["mail-queue"],
    "product-pages": ["image-cdn"],
}


def storm():
    """Forty alerts in two minutes: five things are wrong, and each makes its callers cry out."""
    troubles = [
        (["support-agent", "chat-widget"], ["QualityLow", "ThumbsDown", "Retries", "Escalations"]),
        (["card-gateway", "payments", "checkout"], ["Errors", "SlowP95", "SlowP99", "Timeouts"]),
        (["carrier-api", "tracking"], ["Errors", "Slow", "Stale", "Timeouts"]),
        (["mail-queue", "newsletter"], ["QueueGrows", "Delayed", "Retries"]),
        (["image-cdn", "product-pages"], ["CacheMisses", "OriginSlow", "Bandwidth"]),
    ]
    alerts = []
    for services, names in troubles:
        for service in services:
            for name in names:
                alerts.append({"at": 3 * len(alerts), "service": service, "name": name})
    return alerts


def ask(release, question):
    """Ask a release by its name. One that raises has answered, and wrong."""
    try:
        return globals()[release.replace("-", "_")](question)
    except Exception as error:
        return "raised " + type(error).__name__


def measure(release):
    """Let users ask each question equally often; gives the SLI and the wrong answers."""
    seen = [(q, ask(release, q), right) for q, right in ANSWERS.items()] * ROUNDS
    wrong = [row for row in seen if row[1] != row[2]]
    return parts.sli(len(seen) - len(wrong), len(seen)), wrong


def run_shift():
    """Run the shift; gives what each step found, and in "not_done" why a step found nothing."""
    shift = {"trace": [], "not_done": {}}
    registry = parts.Registry()
    registry.deploy("v1-stable", good=True)
    registry.deploy("v2-regressed")
    steps = [
        ("M32", "storm and ticket", (step_storm, step_ticket)),
        ("M31", "burn and page", (step_page,)),
        ("M31+M33", "runbook and rollback", (step_rollback,)),
        ("M31->M26", "postmortem and case", (step_learn,)),
        ("M33", "canary and promotion", (step_fix,)),
    ]
    for module, title, calls in steps:
        notes = [attempt(shift, call, registry) for call in calls]
        shift["trace"].append("[%s] %s: %s" % (module, title, "; ".join(notes)))
    shift["live"] = registry.live
    return shift


def attempt(shift, step, registry):
    """Take one step. What stops it is kept, never hidden: the checks that need it will fail."""
    try:
        return step(shift, registry)
    except parts.NotDone as reason:
        why = str(reason)
    except Exception as error:
        why = "%s: %s" % (type(error).__name__, error)
    shift["not_done"][step.__name__] = why
    return "not done, " + why


def needed(shift, key, step):
    """Give what an earlier step found; without it this step cannot be done."""
    if key not in shift:
        raise parts.NotDone(shift["not_done"].get(step, "nobody knows the " + key))
    return shift[key]


def step_storm(shift, registry):
    shift["alerts"] = list(globals()["storm"]())
    shift["incidents"] = parts.correlate(shift["alerts"], CALLS)
    return "%d alerts -> %d incidents" % (len(shift["alerts"]), len(shift["incidents"]))


def step_ticket(shift, registry):
    incidents = needed(shift, "incidents", "step_storm")
    shift["ticket"] = parts.triage(globals()["TICKET"], CATEGORIES, incidents)
    return "ticket joined %s" % (shift["ticket"]["incident"] or "no incident")


def step_page(shift, registry):
    shift["sli_before"], shift["wrong"] = measure(registry.live)
    shift["page"] = parts.page(shift["sli_before"], SLO)
    return shift["page"]["reason"]


def step_rollback(shift, registry):
    left, target = parts.runbook(needed(shift, "page", "step_page"), registry)
    shift["rollback"] = {"from": left, "to": target, "good": target in registry.good}
    shift["sli_after"], _ = measure(registry.live)
    return "%s -> %s, SLI %s" % (left, target, percent(shift["sli_after"]))


def step_learn(shift, registry):
    rollback = needed(shift, "rollback", "step_rollback")
    affected = [i["id"] for i in shift.get("incidents", ()) if SERVICE in i["services"]]
    incident = affected[0] if affected else "no incident"
    written = parts.postmortem(incident, shift["sli_before"], shift["sli_after"], shift["wrong"])
    case = written["case"]
    shift["postmortem"] = written
    # The bug shipped because no eval asked this question: the set held the four others.
    before = [{"question": q, "expected": a} for q, a in ANSWERS.items() if q != case["question"]]
    shift["evals"] = before + [case]
    shift["fails_on_bad"] = not parts.passes(case, ask(rollback["from"], case["question"]))
    shift["passes_on_good"] = parts.passes(case, ask(rollback["to"], case["question"]))
    return "case '%s' expects '%s'" % (case["question"], case["expected"])


def step_fix(shift, registry):
    case = needed(shift, "postmortem", "step_learn")["case"]
    baseline = registry.live
    shift["canary"] = parts.canary(
        shift["evals"],
        case,
        lambda question: ask("v3-fix", question),
        lambda question: ask(baseline, question),
    )
    shift["promoted"] = registry.promote("v3-fix", shift["canary"]["verdict"]) == "v3-fix"
    return "v3-fix %s, live is %s" % (shift["canary"]["verdict"], registry.live)


def percent(share):
    """Write a share for people."""
    return "%g%%" % round(100 * share, 2)
