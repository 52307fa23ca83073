"""The real algorithm at finite d, run many times. No theory: declarations, samplers and updates only.

    delta <- delta - (eta(t)/d) update(g),   g = (1/B) sum_j r_j x_j,   r_j = <x_j, delta> - eps_j,   t = k/d

with delta = theta - theta* and B fresh samples a step. Recorded is the excess risk R = delta^T K delta / 2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hdlimit
from hdlimit import checks, samplers, updates
from hdlimit.declaration import FloatArray
from hdlimit.errors import DivergenceWarning, InvalidInput, Outcome, Status
from hdlimit.execution import collect
from hdlimit.kernels import stream
from hdlimit.optimizers import Optimizer
from hdlimit.problem import Problem
from hdlimit.results import Ensemble
from hdlimit.schedules import Schedule
from hdlimit.times import check_horizon, default_times, steps_at

Seed = int | np.random.SeedSequence | np.random.Generator

_DIVERGED = 1e12
_COORDINATE_SECONDS = 7e-9


@dataclass(frozen=True, eq=False)
class Task:
    """What all runs share; picklable.

    problem, optimizer: as given, the problem perhaps in other coordinates; sampler: source of the samples; steps: how
    many; marks: the increasing step numbers at which the risk is recorded; entropy, spawn_key: of the SeedSequence
    whose child k drives run k.
    """

    problem: Problem
    optimizer: Optimizer
    sampler: samplers.Sampler
    steps: int
    marks: NDArray[np.int64]
    entropy: int
    spawn_key: tuple[int, ...]

    def generators(self, run: int) -> tuple[np.random.Generator, np.random.Generator]:
        """The generators of the features and of the noise of a run."""
        seeds = (np.random.SeedSequence(self.entropy, spawn_key=(*self.spawn_key, run, k)) for k in (0, 1))
        features, noise = (np.random.Generator(np.random.SFC64(seed)) for seed in seeds)
        return features, noise

    def rule(self, start: int, stop: int) -> samplers.Rule:
        """The update, eta/d, and c sqrt(tr K) or the table and its level, at the steps start, ..., stop - 1."""
        t = np.arange(start, stop) / self.problem.dimension
        lr = _read("lr", self.optimizer.lr_schedule, t, allow_infinite=False)
        threshold = _read("threshold", self.optimizer.threshold_schedule, t, allow_infinite=True)
        number, step = updates.update_of(self.optimizer).number, lr / self.problem.dimension
        if self.table is not None:
            return samplers.Rule(number, step, threshold, self.table)
        return samplers.Rule(number, step, threshold * math.sqrt(self.problem.covariance.trace))

    @cached_property
    def table(self) -> FloatArray | None:
        """The table of the optimizer's residual map, if it carries one."""
        table = self.optimizer.residual_table
        return None if table is None else table.flat

    @cached_property
    def largest_risk(self) -> float:
        """The risk beyond which a run with an update of unbounded length has diverged."""
        noise = self.problem.noise
        scale = noise.second_moment if math.isfinite(noise.second_moment) else noise.width * noise.width
        return _DIVERGED * max(excess_risk(self.problem, self.problem.initial_error), scale, 1e-300)


def excess_risk(problem: Problem, delta: FloatArray) -> float:
    """R = delta^T K delta / 2 for delta of shape (d,), inf where it is not finite."""
    covariance = problem.covariance
    if covariance.diagonal is not None:
        form = stream.diagonal_form(np.ascontiguousarray(covariance.diagonal), delta)
    else:
        form = stream.matrix_form(np.ascontiguousarray(covariance.matrix), delta)
    return max(form, 0.0) / 2 if math.isfinite(form) else math.inf


def simulate(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    runs: int = 32,
    seed: Seed = 0,
    *,
    times: Any = None,
    rows: str | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Ensemble:
    """Run the optimizer on fresh samples of the problem, several times, and record the excess risk.

    Each run takes floor(horizon * d) steps of batch_size fresh samples from the problem's start. Run k depends on the
    seed and on k alone, bit for bit: not on the number of runs, of workers, or on the executor.

    A run has diverged once its risk is not finite or exceeds 1e12 times the larger of the initial risk and E eps^2 (the
    squared width of the noise where that is infinite); it stops, and its risk is inf from then on. Where the update is
    of bounded length (sign, a finite clip threshold, a table) only a risk that is not finite counts.

    Args:
        problem: the problem.
        optimizer: the optimizer; its schedules are read at t = k/d, k the steps already taken.
        horizon: T, in units of t = k/d, at least one step.
        runs: number of independent runs, >= 1.
        seed: an int >= 0, a SeedSequence (not changed) or a Generator (from which one SeedSequence is spawned).
        times: times at which to record, shape (n,), non-decreasing, in [0, horizon], taken down to whole steps;
            None: 0 and 200 geometric points from 1/d to the horizon, taken to the nearest step.
        rows: "data": sample the problem's own rows with replacement; "gaussian": Gaussian x with the problem's K and
            noise from its law; None: "data" where the problem has rows.
        executor: a concurrent.futures.Executor; None: threads, one a core.
        progress: show a progress bar over the runs.

    Returns:
        An Ensemble: time k/d of shape (T,), risk of shape (runs, T), and an outcome that says how the runs ended.

    Raises:
        InvalidInput: for an argument that is not as above, or a schedule with a value that is negative or not finite.

    Warns:
        DivergenceWarning: if a run diverged.
    """
    _check(problem, optimizer, executor)
    horizon = check_horizon(horizon, problem.dimension)
    runs = checks.count("runs", runs)
    sequence = _seed_sequence(seed)
    rows = samplers.choose_rows(problem, rows)
    recorded = _recorded_steps(times, horizon, problem.dimension)
    marks, place = np.unique(recorded, return_inverse=True)
    entropy, spawn_key = _as_int(sequence.entropy), tuple(sequence.spawn_key)
    task = _task(problem, optimizer, rows, steps_at(horizon, problem.dimension), marks, entropy, spawn_key)
    cost = task.steps * optimizer.batch_size * problem.dimension * _COORDINATE_SECONDS
    risk, ends = collect(partial(simulate_runs, task), runs, cost, executor, progress)
    outcome = _outcome(ends, task)
    if outcome.status is Status.DIVERGED:
        warnings.warn(outcome.sentence, DivergenceWarning, stacklevel=2)
    time = recorded / problem.dimension
    return Ensemble(
        problem, optimizer, horizon, time, risk[:, place], entropy, spawn_key, rows, outcome, hdlimit.__version__
    )


def _check(problem: Any, optimizer: Any, executor: Any) -> None:
    if not isinstance(problem, Problem):
        raise InvalidInput("problem", "a Problem", repr(problem)[:120])
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput("optimizer", "an optimizer such as SGD(lr=0.5)", repr(optimizer)[:120])
    updates.update_of(optimizer)
    if math.isinf(excess_risk(problem, problem.initial_error)):
        raise InvalidInput("problem", "a start and a target with a finite initial risk", "a risk that overflows")
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidInput("executor", "a concurrent.futures.Executor or None", repr(executor)[:120])


def _task(
    problem: Problem,
    optimizer: Optimizer,
    rows: str,
    steps: int,
    marks: NDArray[np.int64],
    entropy: int,
    spawn_key: tuple[int, ...],
) -> Task:
    if rows == "gaussian" and problem.covariance.diagonal is None and updates.update_of(optimizer).rotates:
        problem = samplers.in_eigenbasis(problem)
    sampler = samplers.sampler_of(problem, optimizer.batch_size, rows)
    return Task(problem, optimizer, sampler, steps, marks, entropy, spawn_key)


def _seed_sequence(seed: Any) -> np.random.SeedSequence:
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, np.random.Generator):
        parent = seed.bit_generator.seed_seq
        if not isinstance(parent, np.random.SeedSequence):
            raise InvalidInput("seed", "a Generator that was seeded by a SeedSequence", type(parent).__name__)
        return parent.spawn(1)[0]
    try:
        return np.random.SeedSequence(checks.integer("seed", seed, 0))
    except InvalidInput as error:
        raise InvalidInput("seed", "an integer >= 0, a SeedSequence or a Generator", error.got) from None


def _as_int(entropy: int | Sequence[int] | None) -> int:
    """The integer that stands for the same entropy as a sequence of integers."""
    if not isinstance(entropy, Sequence | np.ndarray):
        assert entropy is not None
        return int(entropy)
    words: list[int] = []
    for value in map(int, entropy):
        words += [value >> shift & 0xFFFFFFFF for shift in range(0, max(value.bit_length(), 1), 32)]
    return sum(word << 32 * k for k, word in enumerate(words))


def _recorded_steps(times: Any, horizon: float, dimension: int) -> NDArray[np.int64]:
    if times is None:
        nearest = np.rint(default_times(horizon, dimension) * dimension).astype(np.int64)
        return np.minimum(nearest, steps_at(horizon, dimension))
    return np.array([steps_at(t, dimension) for t in checks.times("times", times, horizon)], dtype=np.int64)


def simulate_runs(task: Task, runs: Sequence[int]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Compute the runs with the given numbers, one after the other.

    Returns the risk at the task's marks, shape (len(runs), len(marks)), and the step at which each run was found to
    have diverged, -1 for a run that did not, shape (len(runs),).
    """
    results = [_run(task, run) for run in runs]
    return np.array([risk for risk, _ in results]), np.array([end for _, end in results], dtype=np.int64)


def _run(task: Task, run: int) -> tuple[FloatArray, int]:
    risk = np.full(task.marks.size, math.inf)
    risk[task.marks == 0] = excess_risk(task.problem, task.problem.initial_error)
    for done, value, largest in _risks(task, run):
        if math.isinf(value) or value > largest:
            return risk, done
        place = np.searchsorted(task.marks, done)
        if place < task.marks.size and task.marks[place] == done:
            risk[place] = value
    return risk, -1


def _risks(task: Task, run: int) -> Iterator[tuple[int, float, float]]:
    """Run the algorithm; at every mark and after every block: steps taken, risk, risk that would mean divergence."""
    generators = task.generators(run)
    update = updates.update_of(task.optimizer)
    delta = np.array(task.problem.initial_error)
    length = samplers.block_steps(delta.size, task.optimizer.batch_size)
    for start in range(0, task.steps, length):
        stop = min(start + length, task.steps)
        block = task.sampler.draw(*generators, stop - start)
        rule = task.rule(start, stop)
        unbounded = task.table is None and update.unbounded(float(rule.control.max()))
        largest = task.largest_risk if unbounded else math.inf
        inner = task.marks[np.searchsorted(task.marks, start, "right") : np.searchsorted(task.marks, stop, "left")]
        first = start
        for last in (*inner.tolist(), stop):
            block.advance(delta, rule, first - start, last - start)
            yield last, excess_risk(task.problem, delta), largest
            first = last


def _read(argument: str, schedule: Schedule, t: FloatArray, allow_infinite: bool) -> FloatArray:
    values = schedule(t)
    if not (values >= 0).all() or not (allow_infinite or np.isfinite(values).all()):
        expected = "values >= 0" + ("" if allow_infinite else " that are finite")
        raise InvalidInput(argument, expected, f"{values.min():g} to {values.max():g} in t = {t[0]:g} to {t[-1]:g}")
    return values


def _outcome(ends: NDArray[np.int64], task: Task) -> Outcome:
    runs, d = ends.size, task.problem.dimension
    diverged = ends[ends >= 0]
    if diverged.size:
        sentence = f"{diverged.size} of {runs} runs diverged, the first at t = {diverged.min() / d:g}"
        return Outcome(Status.DIVERGED, sentence)
    return Outcome(Status.FINISHED, f"all {runs} runs took {task.steps} steps, up to t = {task.steps / d:g}")
