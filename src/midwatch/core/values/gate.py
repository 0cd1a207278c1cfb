"""The gate of CI: whether a candidate may be shipped, beside a baseline of the same job.

Law: what was stored only screens; fresh runs of both sides decide, so a stale history costs calls
and never a verdict. An incident's case is never averaged. Green has to be proven: the upper bound
of the drop lies below the margin, or the runs have no noise at all. What could not be run is no
failure and no pass: it hides no failure of what could be run, and nothing passes on nothing.

    screen   two epochs of the candidate beside history, or three of both sides
    suspect  a case that fails more than it used to: run again, then 16 fresh runs on both sides
    broad    an exact test over all cases, and over each slice: extended, then 6 fresh epochs
    exact    no run differs from another: what turned is known by name, and counted
    green    more runs where there is most noise, until the bound is below the margin
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from math import sqrt
from typing import Literal

from msgspec import Struct, structs

from midwatch.core.values.exact import Sample, broad, fisher, one_sided, weight
from midwatch.core.values.reasons import Reason, Term

RULE = "gate/2"
MARGIN = 0.03
HISTORY_RUNS = 10  # of a case; less is no history
SCREEN, FLAG, CONFIRM = 0.05, 0.1, 0.008
BROAD_SCREEN, BROAD_STILL, BROAD_CONFIRM = 0.155, 0.13, 0.018
RERUNS, FRESH, CLEAR = (4, 4, 8), 16, 0.25  # a suspect that looks like before is one no more
BROAD_MORE, BROAD_FRESH = 3, 6
# Of a history: one more epoch of the baseline is run, it is dropped, it is dropped.
DOUBT, STALE, FLATTERS = 0.3, 0.035, 0.001
NOISY = 0.2  # a case that fails so often needs two failures to be a suspect
Z = 2.0  # a bound that is looked at a few times
CALLS_A_CASE = 24
LEAST_SLICE = 4
# Without noise: so many runs show it, so large a part of the margin may turn worse by name, and
# this is how sure it has to be that more turn worse than better.
EXACT_RUNS, EXACT_PART, EXACT_PROOF = 3, 3, 0.01

Side = Literal["candidate", "baseline"]
SIDES: tuple[Side, Side] = ("candidate", "baseline")
Word = Literal["pass", "regression", "inconclusive", "error"]


class Member(Struct, frozen=True):
    """A case of the suite. One of an incident passes `least` of `runs`, or blocks.

    A quarantined one runs, is told, and counts for neither side; `expired` blocks.
    """

    id: str
    slices: tuple[str, ...] = ()
    incident: str = ""
    runs: int = 1
    least: int = 1
    quarantine: Literal["", "active", "expired"] = ""


class Count(Struct):
    """Valid runs of a case on one side, and those that could not be run."""

    passed: int = 0
    failed: int = 0
    errors: int = 0

    @property
    def runs(self) -> int:
        """Valid runs."""
        return self.passed + self.failed


class Want(Struct, frozen=True):
    """So many fresh runs of a case on one side."""

    side: Side
    case: str
    times: int


class Blame(Struct, frozen=True):
    """What a red verdict stands on: a case, a slice or everything, with its fresh counts."""

    kind: Literal["incident", "case", "slice", "broad", "quarantine"]
    name: str
    failed: int = 0
    runs: int = 0
    base_failed: int = 0
    base_runs: int = 0
    chance: float = 0.0

    @property
    def says(self) -> str:
        """Write it for people.

        >>> Blame("case", "refund", 16, 16, 0, 16, 3.3e-9).says
        'case refund fails 16 of 16, the baseline 0 of 16 (chance 3.3e-09)'
        """
        if self.kind == "quarantine":
            return f"the quarantine of case {self.name} is over"
        counts = f"fails {self.failed} of {self.runs}"
        if self.kind == "incident":
            return f"case {self.name} of an incident {counts}"
        what = "everything" if self.kind == "broad" else f"{self.kind} {self.name}"
        beside = f"the baseline {self.base_failed} of {self.base_runs}"
        chance = f" (chance {self.chance:.2g})" if self.chance else ", each time"
        return f"{what} {counts}, {beside}{chance}"


class Verdict(Struct, frozen=True):
    """What the gate says, and what it stands on. `drop` and `bound` are of the mean pass rate."""

    verdict: Word
    reason: Reason
    blamed: tuple[Blame, ...] = ()
    unresolved: tuple[str, ...] = ()
    drop: float | None = None
    bound: float | None = None
    calls: int = 0


Results = Mapping[tuple[Side, str], Count]
_Play = Generator[list[Want], Results, Verdict]


class Settings(Struct, frozen=True):
    """How much worse is bad, and how many calls may be spent; 0 is so many a case."""

    margin: float = MARGIN
    budget: int = 0


class Gate:
    """Asks for runs until it can say; whoever runs them hands back what came."""

    def __init__(
        self,
        members: Sequence[Member],
        history: Mapping[str, Count] | None = None,
        settings: Settings = Settings(),  # noqa: B008  it is frozen
        unproven: Sequence[str] = (),
    ) -> None:
        """`history`: earlier runs of the baseline; `unproven`: incidents closed without a case."""
        self.members = tuple(members)
        self.settings = settings
        self.calls = 0
        self.counts: dict[tuple[Side, str], Count] = {}
        self.verdict: Verdict | None = None
        self._unproven = tuple(unproven)
        self._counted = tuple(m.id for m in members if m.quarantine != "active")
        self._plain = tuple(m.id for m in members if not m.incident and not m.quarantine)
        self._history = _usable(history or {}, self._plain)
        self._blamed: list[Blame] = []
        self._unresolved: list[str] = []
        self._play = self._decide()
        self._wants: list[Want] = []
        self._go(None)

    @property
    def wants(self) -> list[Want]:
        """What has to be run now; empty when the verdict is there."""
        return self._wants

    def take(self, results: Results) -> None:
        """Take what came of the runs that were wanted."""
        for key, came in results.items():
            seen = self.counts.setdefault(key, Count())
            seen.passed += came.passed
            seen.failed += came.failed
            seen.errors += came.errors
            self.calls += came.runs + came.errors
        self._go(results)

    def _go(self, results: Results | None) -> None:
        try:
            self._wants = next(self._play) if results is None else self._play.send(results)
            while not self._wants:
                self._wants = self._play.send({})
        except StopIteration as stopped:
            self._wants, self.verdict = [], stopped.value
            return
        budget = self.settings.budget
        if budget and self.calls + sum(want.times for want in self._wants) > budget:
            self._play.close()
            says = f"the budget of {budget} calls is not enough: {self.calls} were made"
            self._wants, self.verdict = [], self._say("inconclusive", says)

    # --- the play ---

    def _decide(self) -> _Play:
        if not self.members:
            return self._say("error", "there are no cases")
        expired = [m.id for m in self.members if m.quarantine == "expired"]
        self._blamed += [Blame("quarantine", name) for name in expired]
        epochs, base_epochs = (2, 1) if self._history else (3, 3)
        yield [
            Want("candidate", m.id, max(epochs, m.runs if m.incident else 1)) for m in self.members
        ] + [Want("baseline", m.id, base_epochs) for m in self.members]
        self._blame_incidents()
        if nothing := self._nothing():
            return nothing
        if self._blamed:
            return self._red()
        self._set_aside()
        if self._history and self._hides() <= DOUBT:
            yield [Want("baseline", name, 1) for name in self._plain]
        if self._history and (self._hides() <= STALE or self._flatters() <= FLATTERS):
            self._history = {}
            yield [
                *(Want("candidate", name, 1) for name in self._plain),
                *(Want("baseline", name, 2) for name in self._plain),
            ]
        if self._seems_exact():
            yield self._missing_runs()
            if self._is_exact():
                return self._judge_exact()
        yield from self._suspects()
        if self._blamed:
            return self._red()
        yield from self._broad()
        if self._blamed:
            return self._red()
        return (yield from self._prove())

    # --- without noise ---

    def _seems_exact(self) -> bool:
        """Say whether no run differed from another so far, on either side."""
        return bool(self._plain) and all(
            0 in (one.failed, one.passed)
            for name in self._plain
            for one in (self._of("candidate", name), self._of("baseline", name))
        )

    def _is_exact(self) -> bool:
        """Say whether every case came out the same in three runs or more of each side."""
        return all(
            _is_exact(self._of("candidate", name)) and _is_exact(self._of("baseline", name))
            for name in self._plain
        )

    def _missing_runs(self) -> list[Want]:
        """Ask for the runs that each side lacks of three."""
        return [
            Want(side, name, EXACT_RUNS - runs)
            for side in SIDES
            for name in self._plain
            if (runs := self._of(side, name).runs) < EXACT_RUNS
        ]

    def _judge_exact(self) -> Verdict:
        """Judge what turned: too many, too one-sided, or together in a slice.

        Any change turns a few cases of many this way or that. Without noise they are known by name,
        and nothing is to be tested by running them again.
        """
        turned = {name: self._turned(name) for name in self._plain}
        worse = [name for name, by in turned.items() if by < 0]
        drop, _ = self._bound()
        many = len(worse) > self.settings.margin / EXACT_PART * len(self._plain)
        groups = self._groups()
        for name, cases in groups.items():
            lost = sum(turned[case] < 0 for case in cases)
            chance = one_sided(sum(turned[case] > 0 for case in cases), lost)
            if chance <= (EXACT_PROOF / len(groups) if name else EXACT_PROOF):
                total = _sum(map(self._beside_baseline, cases))
                self._blamed.append(_blame("slice" if name else "broad", name, total, chance))
        if many:
            for name in worse:
                one = self._beside_baseline(name)
                self._blamed.append(_blame("case", name, one, 0.0))
        if self._blamed:
            return self._red(drop)
        if lacking := self._lacking():
            return lacking
        says = f"the mean pass rate drops by {drop:.4f} exactly: no run differed from another"
        if worse:
            says += f"; {len(worse)} of {len(self._plain)} got worse: {', '.join(worse[:3])}"
        return self._say("pass", says, drop, drop)

    def _turned(self, name: str) -> int:
        """Say how a case turned: 1 for better, -1 for worse."""
        mine, base = self._of("candidate", name), self._of("baseline", name)
        return (mine.passed > 0) - (base.passed > 0)

    # --- with noise ---

    def _suspects(self) -> Generator[list[Want], Results, None]:
        flagged = yield from (self._by_history() if self._history else self._by_both())
        if not flagged:
            return
        fresh = yield _both(flagged, FRESH)
        for name in flagged:
            one = _sample(fresh, name)
            chance, bar = fisher(one), CONFIRM / len(flagged)
            if chance <= bar:
                self._blamed.append(_blame("case", name, one, chance))
            elif chance <= SCREEN / len(flagged):
                self._unresolved.append(name)

    def _by_history(self) -> Generator[list[Want], Results, list[str]]:
        """Run suspects again until history speaks for them or against them."""
        open_ = [name for name in self._plain if self._is_suspect(name)]
        bar, flagged = SCREEN / max(len(open_), 1), list[str]()
        for times in RERUNS:
            still: list[str] = []
            for name in open_:
                chance = fisher(self._beside_history(name))
                if chance <= bar:
                    flagged.append(name)
                elif chance <= CLEAR or times == RERUNS[0]:
                    still.append(name)
            open_ = still
            if not open_:
                break
            yield [Want("candidate", name, times) for name in open_]
        return flagged + [n for n in open_ if fisher(self._beside_history(n)) <= bar]

    def _by_both(self) -> Generator[list[Want], Results, list[str]]:
        """Run suspects again on both sides, for want of a history."""
        suspects = [name for name in self._plain if self._is_worse(name)]
        if not suspects:
            return []
        fresh = yield _both(suspects, sum(RERUNS[:2]))
        return [name for name in suspects if fisher(_sample(fresh, name)) <= FLAG]

    def _is_suspect(self, name: str) -> bool:
        seen, before = self._count("candidate", name), self._history[name]
        noisy = before.failed >= NOISY * before.runs
        return seen.failed >= (2 if noisy else 1)

    def _is_worse(self, name: str) -> bool:
        seen, base = self._count("candidate", name), self._count("baseline", name)
        return seen.failed * base.runs > base.failed * seen.runs

    def _broad(self) -> Generator[list[Want], Results, None]:
        """Look for many small drops: over everything, and over each slice."""
        groups = self._groups()
        flagged = self._low(groups, BROAD_SCREEN)
        if not flagged:
            return
        names = _union(groups, flagged)
        more = [Want("candidate", name, BROAD_MORE) for name in names]
        if not self._history:
            more += [Want("baseline", name, BROAD_MORE) for name in names]
        yield more
        flagged = self._low({name: groups[name] for name in flagged}, BROAD_STILL)
        if not flagged:
            return
        weights = {case: self._weight(case) for case in self._plain}
        fresh = yield _both(_union(groups, flagged), BROAD_FRESH)
        for name in flagged:
            samples = [
                structs.replace(_sample(fresh, case), weight=weights[case]) for case in groups[name]
            ]
            chance = broad(samples)
            if chance <= BROAD_CONFIRM / len(flagged):
                kind = "slice" if name else "broad"
                self._blamed.append(_blame(kind, name, _sum(samples), chance))

    def _groups(self) -> dict[str, tuple[str, ...]]:
        """Give the cases of everything, "", and of each slice that is large enough."""
        groups: dict[str, list[str]] = {"": list(self._plain)} if self._plain else {}
        plain = set(self._plain)
        for member in self.members:
            if member.id in plain:
                for one in member.slices:
                    groups.setdefault(one, []).append(member.id)
        least = min(LEAST_SLICE, len(self._plain))
        return {
            name: tuple(cases)
            for name, cases in groups.items()
            if not name or least <= len(cases) < len(self._plain)
        }

    def _low(self, groups: Mapping[str, tuple[str, ...]], bar: float) -> list[str]:
        """List the groups in which the candidate fails more; slices share what one group gets."""
        shared = bar / max(len(groups) - 1, 1)
        found: list[str] = []
        for name, cases in groups.items():
            beside = self._beside_history if self._history else self._beside_baseline
            if broad(map(beside, cases)) <= (shared if name else bar):
                found.append(name)
        return found

    def _prove(self) -> _Play:
        """Spend calls where there is most noise, until the drop's bound is below the margin."""
        while True:
            if lacking := self._lacking():
                return lacking
            drop, bound = self._bound()
            if bound < self.settings.margin and not self._unresolved:
                says = f"the mean pass rate drops by less than {self.settings.margin:g}"
                return self._say("pass", says, drop, bound)
            if self._unresolved:
                names = ", ".join(self._unresolved)
                return self._say("inconclusive", f"not decided for {names}", drop, bound)
            wants = self._noisiest() if self._plain else []
            if not wants or self.calls + sum(w.times for w in wants) > self._budget:
                says = f"the drop may be up to {bound:.3f}, the margin is {self.settings.margin:g}"
                return self._say("inconclusive", f"{says}; {self.calls} calls", drop, bound)
            yield wants

    def _noisiest(self) -> list[Want]:
        """Choose where two more runs take most of the noise away; everywhere to get three."""
        least: dict[Side, int] = {"candidate": 3, "baseline": 0 if self._history else 3}
        few = [
            Want(side, name, 1)
            for side in least
            for name in self._plain
            if self._count(side, name).runs < least[side]
        ]
        gains: list[tuple[float, Side, str]] = sorted(
            (-_variance(one) / (one.runs * (one.runs + 2)), side, name)
            for side in least
            for name in self._plain
            if (one := self._of(side, name)).runs
        )
        many = max(4, len(gains) // 8)
        noisy = [Want(side, name, 2) for gain, side, name in gains[:many] if gain < 0]
        return noisy or few

    # --- counts ---

    def _count(self, side: Side, name: str) -> Count:
        return self.counts.get((side, name)) or Count()

    def _of(self, side: Side, name: str) -> Count:
        """Give all runs of a side; the baseline's history counts when it is not stale."""
        seen = self._count(side, name)
        before = self._history.get(name) if side == "baseline" else None
        if before is None:
            return seen
        return Count(seen.passed + before.passed, seen.failed + before.failed)

    def _beside_history(self, name: str) -> Sample:
        seen, before = self._count("candidate", name), self._history[name]
        return Sample(seen.failed, seen.runs, before.failed, before.runs)

    def _beside_baseline(self, name: str) -> Sample:
        seen, base = self._count("candidate", name), self._count("baseline", name)
        return Sample(seen.failed, seen.runs, base.failed, base.runs)

    def _weight(self, name: str) -> int:
        """Weigh a case by what is known of both sides before the fresh runs."""
        mine, base = self._of("candidate", name), self._of("baseline", name)
        return weight(mine.failed + base.failed, mine.runs + base.runs)

    def _hides(self) -> float:
        """Give the chance that history fails so much more than the baseline of today.

        Such a history would hide a drop.
        """
        return broad(
            Sample(before.failed, before.runs, now.failed, now.runs)
            for name, before in self._history.items()
            for now in (self._count("baseline", name),)
        )

    def _flatters(self) -> float:
        """Give the chance that history fails so much less than the baseline of today.

        Such a history raises suspects, which fresh runs of both sides clear: it only costs calls.
        """
        return broad(
            Sample(now.failed, now.runs, before.failed, before.runs)
            for name, before in self._history.items()
            for now in (self._count("baseline", name),)
        )

    def _bound(self) -> tuple[float, float]:
        """Give the mean drop and its upper bound."""
        if not self._plain:
            return 0.0, 0.0
        drop = variance = 0.0
        runs = [0, 0]
        for name in self._plain:
            mine, base = self._of("candidate", name), self._of("baseline", name)
            if not mine.runs or not base.runs:
                return 1.0, 1.0
            drop += mine.failed / mine.runs - base.failed / base.runs
            variance += _variance(mine) / mine.runs + _variance(base) / base.runs
            runs[0], runs[1] = runs[0] + mine.runs, runs[1] + base.runs
        count = len(self._plain)
        # Few runs say little even when all were alike: one more failure on each side.
        slack = sum(1.0 / n**2 for n in runs)
        return drop / count, drop / count + Z * sqrt(variance / count**2 + slack)

    def _blame_incidents(self) -> None:
        for member in self.members:
            if not member.incident or member.quarantine:
                continue
            seen = self._count("candidate", member.id)
            if seen.failed and seen.passed * member.runs < member.least * seen.runs:
                self._blamed.append(Blame("incident", member.id, seen.failed, seen.runs))

    def _nothing(self) -> Verdict | None:
        """Say that nothing can be judged; an incident's case needs no baseline for its failure."""
        if not self._counted:
            return self._say("error", "every case is quarantined: none counts")
        if len(self._lost("candidate")) == len(self._counted):
            return self._say("error", "no case could be run on the candidate")
        if not self._blamed and len(self._lost("baseline")) == len(self._counted):
            return self._say("inconclusive", "there is no baseline: no case could be run on it")
        return None

    def _set_aside(self) -> None:
        """Judge what could be run on both sides as if the rest were not there."""
        lost = {*self._lost("candidate"), *self._lost("baseline")}
        self._plain = tuple(name for name in self._plain if name not in lost)
        self._history = {name: self._history[name] for name in self._plain if self._history}

    def _lacking(self) -> Verdict | None:
        """Say what keeps a gate from being green in which nothing is red."""
        lost = dict.fromkeys([*self._lost("candidate"), *self._lost("baseline")])
        if lost:
            names = ", ".join(list(lost)[:3])
            says = f"{len(lost)} of {len(self._counted)} cases could not be run: {names}"
            return self._say("inconclusive", says)
        if self._unproven:
            says = f"{', '.join(self._unproven)} closed without a proven case"
            return self._say("inconclusive", says)
        return None

    def _lost(self, side: Side) -> list[str]:
        return [name for name in self._counted if self.is_lost(side, name)]

    def is_lost(self, side: Side, name: str) -> bool:
        """Say whether a case could not be run on a side, or broke there more often than not."""
        seen = self._count(side, name)
        return not seen.runs or seen.errors > seen.runs

    # --- what is said ---

    @property
    def _budget(self) -> int:
        return self.settings.budget or max(200, CALLS_A_CASE * len(self.members))

    def _red(self, drop: float | None = None) -> Verdict:
        return self._say("regression", "; ".join(one.says for one in self._blamed[:3]), drop, drop)

    def _say(
        self, word: Word, says: str, drop: float | None = None, bound: float | None = None
    ) -> Verdict:
        terms: dict[str, Term] = {
            "cases": len(self.members),
            "incident_cases": sum(bool(m.incident) for m in self.members),
            "quarantined": sum(bool(m.quarantine) for m in self.members),
            "margin": self.settings.margin,
            "calls": self.calls,
            "with_history": bool(self._history),
        }
        if drop is not None and bound is not None:
            terms |= {"drop": round(drop, 5), "bound": round(bound, 5)}
        blamed = tuple(self._blamed) if word == "regression" else ()
        return Verdict(
            word,
            Reason(RULE, says, terms),
            blamed,
            tuple(self._unresolved),
            drop,
            bound,
            self.calls,
        )


def _usable(history: Mapping[str, Count], names: Iterable[str]) -> dict[str, Count]:
    """Keep a history only when it knows every case well enough."""
    found = {name: history.get(name) or Count() for name in names}
    return found if all(one.runs >= HISTORY_RUNS for one in found.values()) else {}


def _variance(one: Count) -> float:
    """Estimate the variance of a case's single run without bias; 0 for one run."""
    if one.runs < 2:
        return 0.25
    return one.failed * one.passed / (one.runs * (one.runs - 1))


def _is_exact(one: Count) -> bool:
    return one.runs >= EXACT_RUNS and 0 in (one.failed, one.passed)


def _both(names: Sequence[str], times: int) -> list[Want]:
    return [Want(side, name, times) for side in ("candidate", "baseline") for name in names]


def _sample(fresh: Results, name: str) -> Sample:
    mine = fresh.get(("candidate", name)) or Count()
    base = fresh.get(("baseline", name)) or Count()
    return Sample(mine.failed, mine.runs, base.failed, base.runs)


def _sum(samples: Iterable[Sample]) -> Sample:
    total = [0, 0, 0, 0]
    for one in samples:
        for n, value in enumerate((one.failed, one.runs, one.base_failed, one.base_runs)):
            total[n] += value
    return Sample(*total)


def _blame(kind: Literal["case", "slice", "broad"], name: str, one: Sample, chance: float) -> Blame:
    return Blame(
        kind, name, one.failed, one.runs, one.base_failed, one.base_runs, round(chance, 12)
    )


def _union(groups: Mapping[str, tuple[str, ...]], names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(case for name in names for case in groups[name]))
