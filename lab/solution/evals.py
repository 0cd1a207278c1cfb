"""The gate: seven checks on a whole shift. Exit 0 when all hold, 1 when one does not.

Law: a check looks only at what the shift found. What was not found cannot hold: the check fails.
"""

import sys

import drill


def correlated(s):
    placed = sum(len(i["alerts"]) for i in s["incidents"])
    # Forty incidents out of forty alerts would be no correlation; one alert has nothing to join.
    fewer = len(s["incidents"]) < len(s["alerts"]) or len(s["alerts"]) == 1
    return placed == len(s["alerts"]) > 0 and fewer


def ticket_joined(s):
    home = [i["id"] for i in s["incidents"] if drill.SERVICE in i["services"]]
    return s["ticket"]["incident"] in home


def paged(s):
    return s["page"]["paged"] and s["page"]["severity"] == "sev1"


def rolled_back(s):
    return s["rollback"]["good"] and s["rollback"]["to"] != s["rollback"]["from"]


def recovered(s):
    return s["sli_before"] < drill.SLO <= s["sli_after"]


def left_a_case(s):
    return s["fails_on_bad"] and s["passes_on_good"]


def fix_is_live(s):
    return s["canary"]["verdict"] == "promote" and s["promoted"] and s["live"] == "v3-fix"


CHECKS = [
    ("AIOps correlated the storm", correlated),
    ("ticket triaged into the incident", ticket_joined),
    ("fast burn paged at sev1", paged),
    ("runbook rolled back to the last good release", rolled_back),
    ("SLI recovered after the rollback", recovered),
    ("postmortem left a regression case", left_a_case),
    ("fix canaried & promoted to live", fix_is_live),
]


def holds(check, shift):
    """Run one check. A KeyError means that the shift never found what the check asks for."""
    try:
        return bool(check(shift))
    except KeyError:
        return False


def main():
    shift = drill.run_shift()
    results = [holds(check, shift) for _, check in CHECKS]
    for (name, _), passed in zip(CHECKS, results):
        print("  [%s] %s" % ("PASS" if passed else "FAIL", name))
    print("%d/%d checks passed" % (sum(results), len(results)))
    if all(results):
        print("EVAL GATE: PASS (exit 0) - the whole shift behaved correctly")
        return 0
    print("EVAL GATE: FAIL (exit 1) - a Part E pattern did not hold")
    return 1


if __name__ == "__main__":
    sys.exit(main())
