"""Runs added in looks until a verdict is decided, at the stated rate of false alarms.

Looks are at n, 2 n, 4 n, ... runs, up to a maximum. Every look is judged at the rate alpha/L, L the number of looks
planned, so that the chance of an alarm at any of them is at most alpha (Bonferroni), however they depend on each other
and whatever stops them. A look adds runs to those before: run k depends on the seed and on k alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import steps_at
from hdlimit.errors import InvalidInput, Outcome, Status
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.simulation.simulate import simulate

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """The looks that are planned.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of runs at the looks, increasing.
    false_alarm : float
        The rate of the whole.
    """

    sizes: tuple[int, ...]
    false_alarm: float

    @property
    def rate(self) -> float:
        """The rate of one look."""
        return self.false_alarm / len(self.sizes)


@dataclass(frozen=True)
class Ending(Generic[T]):
    """How the looks ended.

    Parameters
    ----------
    result
        What the last look found.
    sentence : str
        When and why the looks ended, empty for a single planned one.
    """

    result: T
    sentence: str


def plan(runs: int, max_runs: int | None, false_alarm: float) -> Plan:
    """Plan the looks at runs, 2 runs, 4 runs, ..., max_runs; one look where max_runs is None.

    Parameters
    ----------
    runs : int
        Of the first look.
    max_runs : int or None
        Of the last look.
    false_alarm : float
        The rate of the whole.

    Returns
    -------
    Plan
        The looks.

    Raises
    ------
    InvalidInput
        Where max_runs is below runs.
    """
    sizes = [runs]
    if max_runs is not None:
        most = checks.count("max_runs", max_runs)
        if most < runs:
            raise InvalidInput("max_runs", f"at least the {runs} runs of the first look, or None", max_runs)
        while sizes[-1] < most:
            sizes.append(min(2 * sizes[-1], most))
    return Plan(tuple(sizes), false_alarm)


def until_decided(planned: Plan, look: Callable[[int], T], decided: Callable[[T], str]) -> Ending[T]:
    """Take look after look until one is decided, or the last.

    Parameters
    ----------
    planned : Plan
        The looks.
    look : callable
        Number of runs -> result, adding to the runs of the look before.
    decided : callable
        Result -> why no more runs are needed, empty where they are.

    Returns
    -------
    Ending
        The last result, and why it was the last.
    """
    result, number = look(planned.sizes[0]), 1
    while not (reason := decided(result)) and number < len(planned.sizes):
        result, number = look(planned.sizes[number]), number + 1
    if len(planned.sizes) == 1:
        return Ending(result, "")
    made, most = planned.sizes[number - 1], planned.sizes[-1]
    return Ending(
        result,
        f"stopped after {made} of at most {most} runs, look {number} of {len(planned.sizes)}: "
        f"{reason or 'the maximum is reached'}",
    )


def extended(runs: Ensemble, size: int, executor: Executor | None = None, progress: bool | None = None) -> Ensemble:
    """Add to an ensemble the runs that it lacks for a given number of them.

    Parameters
    ----------
    runs : Ensemble
        What was simulated.
    size : int
        Number of runs.
    executor, progress
        As in `simulate`.

    Returns
    -------
    Ensemble
        That of one simulation of this size.
    """
    if size <= runs.runs:
        return runs
    sequence = np.random.SeedSequence(runs.entropy, spawn_key=runs.spawn_key)
    later = simulate(
        runs.problem,
        runs.optimizer,
        runs.horizon,
        size - runs.runs,
        sequence,
        times=runs.time,
        rows=runs.rows,
        method=runs.method,
        record=[observable.name for observable in runs.recorded],
        executor=executor,
        progress=progress,
        first=runs.runs,
    )
    risk = np.concatenate([runs.risk, later.risk])
    recorded = tuple(
        replace(a, values=np.concatenate([a.values, b.values]))
        for a, b in zip(runs.recorded, later.recorded, strict=True)
    )
    return replace(runs, risk=risk, recorded=recorded, outcome=_outcome(runs, risk))


def _outcome(runs: Ensemble, risk: FloatArray) -> Outcome:
    """Say how the runs ended."""
    d, ended = runs.problem.dimension, np.isinf(risk)
    if ended.any():
        first = float(runs.time[ended.any(axis=0)][0])
        sentence = f"{int(ended.any(axis=1).sum())} of {len(risk)} runs diverged, the first by t = {first:g}"
        return Outcome(Status.DIVERGED, sentence)
    steps = steps_at(runs.horizon, d)
    return Outcome(Status.FINISHED, f"all {len(risk)} runs took {steps} steps, up to t = {steps / d:g}")
