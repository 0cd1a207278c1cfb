"""Tell the shift in seven sections, A to G.

Law: each line is made of what the shift found. A section whose step was not done says why.
"""

import drill


def say(line):
    """Print one line in ASCII, whatever a learner put into it."""
    print(line.encode("ascii", "backslashreplace").decode("ascii").replace("\n", " "))


def storm(s):
    counts = (len(s["alerts"]), len(s["incidents"]))
    return ["%d alerts -> %d incidents (page on causes, not symptoms)" % counts]


def page(s):
    call = s["page"]
    facts = (call["paged"], call["severity"], call["reason"])
    return [
        "paged=%s  severity=%s  reason=%s" % facts,
        "SLI was %s against a %s SLO" % (drill.percent(s["sli_before"]), drill.percent(drill.SLO)),
    ]


def ticket(s):
    read = s["ticket"]
    return [
        "category=%s  priority=%s  route=%s" % (read["category"], read["priority"], read["route"]),
        "joined %s" % (read["incident"] or "no incident"),
    ]


def mitigate(s):
    before, after = drill.percent(s["sli_before"]), drill.percent(s["sli_after"])
    verb = "recovered" if s["sli_after"] >= drill.SLO else "did not recover"
    return [
        "rolled back %s -> %s" % (s["rollback"]["from"], s["rollback"]["to"]),
        "SLI %s %s -> %s  (stop the bleeding first)" % (verb, before, after),
    ]


def learn(s):
    case = s["postmortem"]["case"]
    bad = "fails" if s["fails_on_bad"] else "passes"
    good = "passes" if s["passes_on_good"] else "fails"
    return [
        "postmortem of %s written from what was seen" % s["postmortem"]["incident"],
        "case: '%s' must say '%s', users saw '%s'"
        % (case["question"], case["expected"], case["seen"]),
        "the case %s on %s and %s on %s" % (bad, s["rollback"]["from"], good, s["rollback"]["to"]),
    ]


def ship(s):
    facts = (s["canary"]["verdict"], s["live"])
    return ["v3-fix canary decision: %s  ->  live is now %s" % facts]


def trace(s):
    return s["trace"]


SECTIONS = [
    ("A. AIOPS: collapse the alert storm (M32)", storm, "step_storm"),
    ("B. DETECT: the on-call page (M31)", page, "step_page"),
    ("C. TICKET: a user's report joins the incident (M32)", ticket, "step_ticket"),
    ("D. MITIGATE: runbook -> rollback (M31 + M33)", mitigate, "step_rollback"),
    ("E. LEARN: postmortem and the case it leaves (M31->M26)", learn, "step_learn"),
    ("F. SHIP THE FIX: canary the corrected release (M33)", ship, "step_fix"),
    ("G. TRACE: who did what, in order", trace, None),
]


def main():
    shift = drill.run_shift()
    for title, tell, step in SECTIONS:
        say("==== %s ====" % title)
        why = shift["not_done"].get(step)
        for line in ["not done: " + why] if why else tell(shift):
            say("  " + line)


if __name__ == "__main__":
    main()
