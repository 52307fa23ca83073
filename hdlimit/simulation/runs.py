"""One run as a Markov chain: the state it starts from, the loop over the steps, and what is read from the state.

The state is delta = theta - theta* itself, or (hdlimit.simulation.eigenspaces) its norm in every eigenspace of K, which
K reads in the same way: R = sum_b lambda_b rho_b^2 / 2 is delta^T K delta / 2 for delta = rho and K = diag(lambda).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdlimit.core.backend import check_stop
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import InvalidInput
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Schedule
from hdlimit.problem.least_squares import LeastSquares
from hdlimit.simulation import samplers, updates
from hdlimit.simulation.kernels import steps as stream


@dataclass(frozen=True, eq=False)
class Chain:
    """What every run of a study shares; picklable.

    start: the first state, shape (n,); covariance: K as it reads a state, (n,) for a diagonal one or (n, n); trace: tr
    K; sampler: source of the samples.
    """

    start: FloatArray
    covariance: FloatArray
    trace: float
    sampler: samplers.Sampler

    def risk(self, state: FloatArray) -> float:
        """R = delta^T K delta / 2, inf where it is not finite."""
        return excess_risk(self.covariance, state)

    def distance(self, state: FloatArray) -> float:
        """norm(delta)^2."""
        length = stream.norm(state)
        return length * length

    def gradient_norm(self, state: FloatArray) -> float:
        """norm(K delta)."""
        if self.covariance.ndim == 1:
            return stream.norm(self.covariance * state)
        product = np.empty_like(state)
        stream.matrix_times(product, self.covariance, state)
        return stream.norm(product)


def excess_risk(covariance: FloatArray, delta: FloatArray) -> float:
    """R = delta^T K delta / 2 for K of shape (n, n), or (n,) for a diagonal one; inf where it is not finite."""
    form = (stream.diagonal_form if covariance.ndim == 1 else stream.matrix_form)(covariance, delta)
    return max(form, 0.0) / 2 if math.isfinite(form) else math.inf


def readable(problem: LeastSquares) -> FloatArray:
    """K of a problem as `excess_risk` reads it."""
    covariance = problem.covariance
    return np.ascontiguousarray(covariance.matrix if covariance.diagonal is None else covariance.diagonal)


def direct_chain(problem: LeastSquares, batch_size: int, rows: str, rotates: bool) -> Chain:
    """Return the algorithm itself, in O(d B) a step.

    problem: the problem; batch_size: B; rows: "data" for its actual rows, "gaussian" for Gaussian x; rotates: whether
    the update may be computed in the eigenbasis of K, where Gaussian features are independent.
    """
    if rows == "gaussian" and problem.covariance.diagonal is None and rotates:
        problem = samplers.in_eigenbasis(problem)
    sampler = samplers.sampler_of(problem, batch_size, rows)
    return Chain(np.array(problem.initial_error), readable(problem), problem.covariance.trace, sampler)


@dataclass(frozen=True, eq=False)
class Task:
    """What all runs share; picklable.

    chain: state, sampler and what is read; optimizer: as given; dimension: d; steps: how many; marks: the increasing
    step numbers at which to record; record: names of what is recorded beside the risk; largest_risk: beyond it a run
    with an update of unbounded length has diverged; entropy, spawn_key: of the SeedSequence whose child first + k
    drives run k.
    """

    chain: Chain
    optimizer: Optimizer
    dimension: int
    steps: int
    marks: IntArray
    record: tuple[str, ...]
    largest_risk: float
    entropy: int
    spawn_key: tuple[int, ...]
    first: int

    def generators(self, run: int) -> tuple[np.random.Generator, np.random.Generator]:
        """Return the generators of the features and of the noise of a run."""
        seeds = (np.random.SeedSequence(self.entropy, spawn_key=(*self.spawn_key, self.first + run, k)) for k in (0, 1))
        features, noise = (np.random.Generator(np.random.SFC64(seed)) for seed in seeds)
        return features, noise

    def memory(self) -> FloatArray:
        """Return a memory that has not begun, as stream.Steps has it; empty without momentum."""
        if (memory := self.optimizer.memory) is None:
            return np.empty(0)
        head = [memory.momentum, 1 - memory.dampening, memory.nesterov, 0.0]
        return np.concatenate([head, np.zeros(self.chain.start.size)])

    def rule(self, start: int, stop: int, memory: FloatArray) -> samplers.Rule:
        """Return the update, eta/d, and c sqrt(tr K) or the table and its level, at the steps start, ..., stop - 1."""
        t = np.arange(start, stop) / self.dimension
        lr = _read("lr", self.optimizer.lr_schedule, t, allow_infinite=False)
        control = _read("threshold", self.optimizer.control_schedule, t, allow_infinite=True)
        number, step = updates.update_of(self.optimizer).number, lr / self.dimension
        table = self.optimizer.flat_table
        control = control if table.size else control * math.sqrt(self.chain.trace)
        return samplers.Rule(number, step, control, table, memory)

    @cached_property
    def grows(self) -> bool:
        """Whether the residual map is unbounded, as psi(r) = r is."""
        table = self.optimizer.flat_table
        return table.size == 0 or bool(np.abs(table[2 + int(table[0] + table[1]) :]).max() >= stream.LARGEST)

    def read(self, state: FloatArray, risk: float, clipped: float) -> list[float]:
        """Return the risk and what is recorded beside it, for a state with this risk and a clipped fraction."""
        values = {
            "distance": lambda: self.chain.distance(state),
            "gradient_norm": lambda: self.chain.gradient_norm(state),
            "clipped_fraction": lambda: clipped,
        }
        return [risk, *(values[name]() for name in self.record)]


def simulate_runs(task: Task, runs: Sequence[int]) -> tuple[FloatArray, IntArray]:
    """Compute the runs with the given numbers, one after the other.

    Returns the risk and the task's record at its marks, shape (len(runs), 1 + len(record), len(marks)), and the step
    at which each run was found to have diverged, -1 for a run that did not, shape (len(runs),).
    """
    results = [_run(task, run) for run in runs]
    return np.array([values for values, _ in results]), np.array([end for _, end in results], dtype=np.int64)


def _run(task: Task, run: int) -> tuple[FloatArray, int]:
    values = np.full((1 + len(task.record), task.marks.size), math.inf)
    if task.marks[0] == 0:
        values[:, 0] = task.read(task.chain.start, task.chain.risk(task.chain.start), 0.0)
    before, clipped = 0, 0
    for done, state, count, largest in _states(task, run):
        clipped += count
        risk = task.chain.risk(state)
        if math.isinf(risk) or risk > largest:
            return values, done
        place = np.searchsorted(task.marks, done)
        if place < task.marks.size and task.marks[place] == done:
            values[:, place] = task.read(state, risk, clipped / (done - before))
            before, clipped = done, 0
    return values, -1


def _states(task: Task, run: int) -> Iterator[tuple[int, FloatArray, int, float]]:
    """Run the algorithm and yield what is read at every mark and after every block.

    That is: steps taken, the state (which is changed afterwards), steps that were clipped since the last one, and the
    risk that would mean divergence.
    """
    generators = task.generators(run)
    update = updates.update_of(task.optimizer)
    state, sampler, memory = task.chain.start.copy(), task.chain.sampler, task.memory()
    scratch = sampler.scratch()
    length = samplers.block_steps(sampler.width, task.optimizer.batch_size)
    for start in range(0, task.steps, length):
        check_stop()
        stop = min(start + length, task.steps)
        block = sampler.draw(*generators, stop - start, scratch)
        rule = task.rule(start, stop, memory)
        unbounded = task.grows and update.unbounded(float(rule.control.max()))
        largest = task.largest_risk if unbounded else math.inf
        inner = task.marks[np.searchsorted(task.marks, start, "right") : np.searchsorted(task.marks, stop, "left")]
        first = start
        for last in (*inner.tolist(), stop):
            clipped = block.advance(state, rule, first - start, last - start)
            yield last, state, clipped, largest
            first = last


def _read(argument: str, schedule: Schedule, t: FloatArray, allow_infinite: bool) -> FloatArray:
    values = schedule(t)
    if not (values >= 0).all() or not (allow_infinite or np.isfinite(values).all()):
        expected = "values >= 0" + ("" if allow_infinite else " that are finite")
        raise InvalidInput(argument, expected, f"{values.min():g} to {values.max():g} in t = {t[0]:g} to {t[-1]:g}")
    return values
