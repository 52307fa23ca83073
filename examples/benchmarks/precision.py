"""Work and precision: every solver over a ladder of tolerances, timed in turns, compared at equal achieved error."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import process_time
from typing import NamedTuple

import numpy as np
from peers import Solver, TooLong

LADDER = tuple(10.0**-k for k in range(3, 11))
TARGETS = (1e-3, 1e-6, 1e-9)
MAIN = 1e-6
SHORTEST = 2e-3


class Rung(NamedTuple):
    """One tolerance. error: the achieved one, max over the times of |R/R_ref - 1|; seconds: of processor time, a median
    of so many calls.
    """

    rtol: float
    error: float
    seconds: float
    calls: int


@dataclass
class Entry:
    """What one solver did. note: why there is less than a full ladder; extrapolated: seconds, where it was not run."""

    name: str
    rungs: list[Rung] = field(default_factory=list)
    note: str = ""
    extrapolated: float = math.nan

    def at(self, rtol: float) -> Rung | None:
        """The rung of a tolerance."""
        return next((rung for rung in self.rungs if rung.rtol == rtol), None)


class Reading(NamedTuple):
    """Seconds at an achieved error, nan where it is not reached; calls behind every median."""

    seconds: float
    calls: int


class Effort(NamedTuple):
    """How much is measured. repeats: calls behind a median; slow: seconds of a call above which only what brackets the
    main target is measured; longest: seconds of a call above which no tighter tolerance is tried.
    """

    repeats: int = 7
    slow: float = 0.1
    longest: float = 10.0


def front(rungs: Sequence[Rung]) -> list[Rung]:
    """The rungs that no other beats in both error and time, from the least accurate to the most."""
    kept: list[Rung] = []
    for rung in sorted((r for r in rungs if math.isfinite(r.error)), key=lambda r: (r.seconds, r.error)):
        if not kept or rung.error < kept[-1].error:
            kept.append(rung)
    return kept


def seconds_at(rungs: Sequence[Rung], target: float) -> Reading:
    """Time at an achieved error, linear in log time over log error between the neighbours on the front.

    Where even the cheapest rung is more accurate, its time; nan where none is accurate enough. Rungs that were called
    once count only where no others lie on both sides.
    """
    ends = bracket([rung for rung in rungs if rung.calls > 1], target)
    if len(ends) < 2:
        ends = bracket(rungs, target)
    if not ends:
        return Reading(math.nan, 0)
    if len(ends) == 1:
        return Reading(ends[0].seconds, ends[0].calls)
    a, b = ends
    share = math.log(a.error / target) / math.log(a.error / b.error)
    log_time = math.log(a.seconds) + share * math.log(b.seconds / a.seconds)
    return Reading(math.exp(log_time), min(a.calls, b.calls))


def bracket(rungs: Sequence[Rung], target: float) -> list[Rung]:
    """The two rungs of the front around an error, or the cheapest where that is more accurate, or none."""
    kept = front(rungs)
    for k, rung in enumerate(kept):
        if rung.error <= target:
            return kept[max(k - 1, 0) : k + 1]
    return []


def achieved(risk: np.ndarray, reference: np.ndarray) -> float:
    """max |R/R_ref - 1|; inf for what is not finite, and at least 1e-16."""
    if not np.isfinite(risk).all():
        return math.inf
    return max(float(np.abs(risk / reference - 1).max()), 1e-16)


def timed(task: Callable[[], object]) -> float:
    """Processor time of a call, of as many as take 2 ms where one is shorter."""
    before = process_time()
    task()
    once = process_time() - before
    if once >= SHORTEST:
        return once
    count = math.ceil(SHORTEST / max(once, 1e-6))
    before = process_time()
    for _ in range(count):
        task()
    return (process_time() - before) / count


def scout(solver: Solver, times: np.ndarray, reference: np.ndarray, effort: Effort) -> tuple[list[Rung], str]:
    """One call a tolerance: the whole ladder, or for slow solvers from 1e-6 on until the main target is bracketed."""

    def call(rtol: float) -> Rung:
        before = process_time()
        risk = solver(times, rtol)
        return Rung(rtol, achieved(risk, reference), process_time() - before, 1)

    try:
        solver(times, MAIN)
        rungs = [call(MAIN)]
    except TooLong:
        return [], f"a call takes more than {effort.longest:g} s"
    middle, note = LADDER.index(MAIN), ""
    quick = rungs[0].seconds <= effort.slow
    try:
        for rtol in LADDER[middle + 1 :]:
            if not quick and rungs[-1].error <= MAIN:
                break
            if rungs[-1].seconds > effort.longest:
                note = f"a call takes more than {effort.longest:g} s"
                break
            rungs.append(call(rtol))
    except TooLong:
        note = f"a call takes more than {effort.longest:g} s"
    for rtol in reversed(LADDER[:middle]):
        if not quick and max(rung.error for rung in rungs) > MAIN:
            break
        rungs.insert(0, call(rtol))
    return sorted(rungs, reverse=True), note


def measure(
    solvers: Mapping[str, Solver], times: np.ndarray, reference: np.ndarray, effort: Effort, say: bool = False
) -> list[Entry]:
    """Scout every solver, then time the rungs around the targets in turns, so that load falls on all alike."""
    entries = []
    for name, solver in solvers.items():
        rungs, note = scout(solver, times, reference, effort)
        entries.append(Entry(name, rungs, note))
        if say:
            print(f"    {name}: {len(rungs)} tolerances {note}", file=sys.stderr, flush=True)
    chosen = [(entry, rung) for entry in entries for rung in worth_timing(entry.rungs, effort)]
    found: dict[tuple[str, float], list[float]] = {(entry.name, rung.rtol): [] for entry, rung in chosen}
    for _ in range(effort.repeats):
        for entry, rung in chosen:
            solver = solvers[entry.name]
            found[entry.name, rung.rtol].append(timed(lambda solver=solver, rung=rung: solver(times, rung.rtol)))  # type: ignore[misc]
    for entry in entries:
        entry.rungs = [
            rung._replace(seconds=median(values), calls=len(values))
            if (values := found.get((entry.name, rung.rtol)))
            else rung
            for rung in entry.rungs
        ]
    return entries


def worth_timing(rungs: Sequence[Rung], effort: Effort) -> list[Rung]:
    """All rungs of a quick solver, the two whose errors are around the main target of a slow one."""
    if all(rung.seconds <= effort.slow for rung in rungs):
        return list(rungs)
    by_error = sorted((r for r in rungs if math.isfinite(r.error)), key=lambda r: r.error)
    reached = [r for r in by_error if r.error <= MAIN]
    return [*by_error[len(reached) : len(reached) + 1], *reached[-1:]] if reached else []
