"""Words and turns of phrase that no text for people uses any more.

Law: there is one list. A test of any text, be it a page, a `--help` or an error, calls `forbidden`;
its exceptions are listed in that test, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\n?", re.M | re.S)

# A pattern, and what to write in its place.
PATTERNS: tuple[tuple[str, str], ...] = (
    (r"\bstands?\b(?! (?:alone|up|trial)\b)", "is, is listed, means"),
    (r"\banew\b", "again"),
    (r"\btells?\b(?! \w+ (?:from|apart)\b)", "shows, prints, reports"),
    (r"\btold\b", "shown, reported, notified"),
    (r"(?:^|(?<=[.!|] )|(?<=^[-*] ))Who [^?.|:\n]*(?:[.|:]|$)", "If you ..., whoever ..."),
    (r"(?<!there )\bis no (?!longer\b|more\b|less\b|worse\b|better\b|later\b)\w", "is not a ..."),
    (r"\bmend(?:s|ed|ing)?\b", "fix"),
    (r"\bmay stand again\b", "(repeatable)"),
    (r"\bwoken\b", "paged"),
    (r"\bcr(?:y|ies) out\b", "trigger alerts"),
    (r"\bburns? on\b", "keeps burning"),
    (r"\b(?:is|are) called (?!by\b|back\b|when\b|again\b|before\b)\w", "is named"),
    (r"\bone's own\b", "your own"),
    (r"\bat the (?:least|most)\b", "at least, at most"),
    (r"\bso (?:many|long)\b", "this many, as long as"),
    (r"\bby itself\b|\bby themselves\b|\bof itself\b", "automatically, on its own"),
    (r"\bcame along\b|\bgoes along\b|\bgo along\b", "is included"),
    (r"\blook at what there is\b", "(say what to do)"),
    (r"\bput off\b", "snooze"),
    (r"\bhand-offs?\b", "handoff"),
    (r"\bstand(?:s|ing)? in\b|\bstood in\b", "override"),
    (r"\bwatched jobs?\b", "heartbeat"),
    (r"\bcall graphs?\b", "dependency graph"),
    (r"\bjournals?\b", "event log"),
    (r"\bfold(?:s|ed|ing)?\b", "replay"),
    (r"\bremed(?:y|ies)\b", "fix, hint, mitigation"),
    (r"\b(?:is|are|were) well\b|\bwell again\b", "recovered, healthy"),
    (r"\bin trouble\b", "failing, affected"),
    (r"\bkinds? of trouble\b", "failure types"),
    (r"\bhas to be found again\b", "activate the environment there too"),
    (r"\bis gone on with\b|\bgo(?:es)? on with\b", "resumes, continues"),
    (r"\bseen to be done\b", "verified, observed"),
    (r"\bis there already\b", "already exists"),
    (r"\bin vain\b", "without a response"),
    (r"\bwakes? nobody\b", "pages nobody"),
)

# What a program may not print besides: short texts have no room for these, and a reader no Python.
PRINTED: tuple[tuple[str, str], ...] = (
    (r"^Say\b", "show, print, check"),
    (r"\bWho (?:wants|misses|has|serves|runs)\b", "a sentence with a subject"),
    (r"\bWhoever\b", "a sentence with a subject"),
    (r"\bare no (?!longer\b|more\b)[a-z]+", "are not"),
    (r"\blacks\b", "X is missing"),
    (r"\bnames the unknown\b", "unknown X"),
    (r"\bknown are\b", "use one of"),
    (r"\bgo(?:es)? on\b", "continue, resume"),
    (r"\bbeside\b", "next to, compared with"),
    (r"\bover already\b", "in the past"),
    (r"\bNone\b|\bdict\b|\b(?:Key|Type)Error\b|\bisoformat\b|\btraceback\b", "no word of Python"),
    (r"\blook (?:at|again)\b", "see, check"),
)

# What a reader from outside stumbled over, word for word.
SENTENCES: tuple[str, ...] = (
    "users are well again",
    "in an incident and on disk before the 202",
    "of seven kinds of trouble, users well again",
    "with timelines that tell every reason and a button to take one",
    "Or ask about a storm that is over",
    "has those that miss their mark, too",
    "Nothing is paged, nothing is changed",
    "prints one line when it is ready, and stays",
    "where midwatch has to be found again",
    "Other pages are saved, a ticket or missed",
    "What got its 2xx is on disk",
    "One bad alert costs no neighbour",
    "One in which nobody can be reached is passed at once",
    "Jobs that must say that they live",
    "The first policy is the usual one",
    "Apprise knows no receipts",
    "calls a URL while the engine turns and commits",
    "You get midwatch as one more receiver of your Alertmanager",
    "Who misses midwatch itself is",
    "A channel wakes nobody",
    "one that was never red is no gate",
    "for a HAProxy that starts anew",
    "midwatch wants counts by HTTP, and somebody to ask",
    "without proof that this is no bad luck, nobody is",
    "each starts anew by itself",
    "what an incident has once closed to it never takes again",
    "draws nothing else in and is drawn into nothing",
    "each step is written down, done, and seen to be done",
    "What becomes of an incident is a further message in Slack's channel",
    "what was in doubt is settled first",
    "No data is never good news",
    "The newest minor version gets mends",
    "a server that lost its journal answers 503",
    "what is no number is told in plain words",
    "Tell a week or a month on call",
    "Say which watched jobs are heard",
    "Print what completes commands in a shell",
    "one that exists is gone on with",
    "Moves what chance decides",
    "whose value stands in a variable; may stand again",
    "Let somebody stand in for a while",
    "Tell the way of one case",
    "In an id, or a slice",
    "else it is recognised",
    "with --shadow behind each, it decides and records everything and sends nothing",
    "mend the syntax",
    "names the unknown service",
    "is owned by process",
    "no valid token came along",
    "its end is over already; name a time to come",
    "A PLAN WAITS FOR YOU",
    "Done, to be proven",
    "Waits for you",
    "This is no responder's token, or it was revoked",
    "nothing related is open",
    "its SLO is silent",
    "settle: it is over",
    "a person approves: no policy names",
    "What it was / What was done / What was learned",
    "each makes its callers cry out",
    "Do not leave before it says",
)


def forbidden(text: str) -> list[str]:
    """List what a text says in words that are off the list, each with what to write instead.

    >>> forbidden("Who wants more, asks anew.")
    ['Who wants more, asks anew. (write: If you ..., whoever ...)', 'anew (write: again)']
    >>> forbidden("The gate can tell noise from a regression; it is no longer red.")
    []
    """
    flat = " ".join(text.split())
    found = [
        f"{hit[0]} (write: {instead})"
        for pattern, instead in sorted(PATTERNS, key=lambda one: not one[0].startswith("(?:^"))
        for hit in re.finditer(pattern, flat, re.I if "Who" not in pattern else 0)
    ]
    return found + [one for one in SENTENCES if one.lower() in flat.lower()]


def unprintable(text: str) -> list[str]:
    """List what is off the list in a text that the program prints: an error, a help, a log record.

    >>> unprintable("is no YAML; look at the syntax")
    ['is no Y (write: is not a ...)', 'look at (write: see, check)']
    >>> unprintable("invalid YAML; fix the syntax")
    []
    """
    printed = [
        f"{hit[0]} (write: {instead})"
        for pattern, instead in PRINTED
        for hit in re.finditer(pattern, " ".join(text.split()))
    ]
    return forbidden(text) + printed


def paragraphs(page: str) -> Iterator[str]:
    """Give the prose of a Markdown page: paragraphs, rows and list items, and comments in code.

    What a program prints, or is typed, is left out: it is checked where it is written.
    """
    for kind, code in FENCE.findall(page):
        for line in code.splitlines():
            said = re.search(r"(?:^|\s)# (.*)", line)
            if said and kind != "python":
                yield said[1]
    prose = re.sub(r"`[^`]*`", "X", FENCE.sub("\n\n", page))
    for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=\|)|(?<=\|)\n", prose):
        if part.strip() and not part.lstrip().startswith("#"):
            yield re.sub(r"\]\([^)]*\)", "]", part.strip())
