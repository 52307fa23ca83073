"""The recursion of exact second moments under SGD, step by step."""

from __future__ import annotations

import numpy as np

from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.core.timegrid import check_duration
from hdlimit.kernels.second_moments import Recursion, pair_moments, second_moments
from hdlimit.limit.dynamics import momentum
from hdlimit.limit.modes import mode_system
from hdlimit.limit.moments import MomentSystem
from hdlimit.optimizers.base import Memory, Optimizer
from hdlimit.problem.least_squares import DIVERGED
from hdlimit.problem.problem import Problem
from hdlimit.response.response import MapResponse

# Steps whose schedules are read at once: 0.5 MB an array.
_AT_ONCE = 1 << 16
# Time of a step, and of a mode in it, for the refusal of what would take a day; measured on one core.
_STEP_SECONDS, _MODE_SECONDS = 2e-8, 1.2e-9


class _Means:
    """Second moments of the modes, every eigenvalue `copies` times; `state` is that after the steps taken.

    The state is E delta_i^2, shape (n,), or, with momentum, the numbers of _pairs, shape (3, n).
    """

    def __init__(self, problem: Problem, optimizer: Optimizer, modes: MomentSystem, copies: int) -> None:
        self.optimizer, self.d, self.copies = optimizer, problem.dimension * copies, copies
        self.rate, self.variance = modes.rate, problem.noise.second_moment
        self.weight = np.divide(modes.diffusion * self.d, self.rate, out=np.zeros_like(self.rate), where=self.rate > 0)
        self.escape = 2 * DIVERGED * max(problem.initial_risk, self.variance)
        whole = optimizer.memory is not None
        self.state = _pairs(problem, optimizer, modes, copies) if whole else modes.start.copy()

    def advance(self, first: int, last: int, marks: IntArray, v: FloatArray) -> int:
        """Take the steps first, ..., last - 1 and write v after those of the marks, which count from first.

        Returns how many were written: fewer once v escapes.
        """
        memory, batch = self.optimizer.memory, float(self.optimizer.batch_size)
        g = self.optimizer.lr_schedule(np.arange(first, last) / self.d) / self.d
        rest = self.variance, batch, self.escape, marks, v
        if memory is None:
            return second_moments(*Recursion(self.rate, self.weight, self.state, g, *rest))
        laws = _laws(memory, self.copies, g, first == 0 and last > 0)
        return pair_moments(self.rate, self.weight, self.state, laws, *rest)


def risks_after(
    problem: Problem, optimizer: Optimizer, modes: MomentSystem, numbers: IntArray, copies: int
) -> FloatArray:
    """Return E R after the steps, for every eigenvalue `copies` times and as many times the steps."""
    means, marks, v, written = _Means(problem, optimizer, modes, copies), numbers * copies, np.empty(numbers.size), 0
    for first in range(0, max(int(marks[-1]), 1), _AT_ONCE):
        last = min(first + _AT_ONCE, int(marks[-1]))
        stop = int(np.searchsorted(marks, last, side="right"))
        near, out = marks[written:stop] - first, v[written:stop]
        found = means.advance(first, last, near, out)
        written += found
        if found < near.size:
            break
    return v[:written] / 2


def forms_after(
    problem: Problem, optimizer: Optimizer, modes: MomentSystem, numbers: IntArray, weights: FloatArray
) -> FloatArray:
    """Return weights @ E delta_i^2 after the steps, shape (k, T); weights: shape (k, n)."""
    means = _Means(problem, optimizer, modes, 1)
    marks, place = np.unique(numbers, return_inverse=True)
    values, done, nothing = np.empty((weights.shape[0], marks.size)), 0, np.empty(0)
    for at, mark in enumerate(marks.tolist()):
        for first in range(done, mark, _AT_ONCE):
            means.advance(first, min(first + _AT_ONCE, mark), nothing.astype(np.int64), nothing)
        values[:, at], done = weights @ np.atleast_2d(means.state)[0], mark
    return values[:, place]


def _pairs(problem: Problem, optimizer: Optimizer, modes: MomentSystem, copies: int) -> FloatArray:
    """Return E delta^2, E delta y and E y^2 of the modes at the start, shape (3, n), y as in _laws.

    Of several copies y begins as that of the limit does.
    """
    memory, control = optimizer.memory, float(optimizer.control_schedule(0.0))
    assert memory is not None
    pairs = momentum.with_memory(modes, memory, problem.dimension)
    if copies > 1:
        first = momentum.First(MapResponse.of(optimizer, problem.noise), optimizer.batch_size, control)
        pairs = momentum.begun(pairs, memory, first, problem.dimension)
    return pairs.start.reshape(3, -1).copy()


def _laws(memory: Memory, copies: int, lr: FloatArray, begins: bool) -> FloatArray:
    """Return T_12, T_22, u_1, u_2 of steps on delta and y = buffer (1 - beta)/(1 - dampening), shape (steps, 4).

    lr: over d. The buffer begins with a whole gradient; of several copies, 1 - beta is as many times smaller.
    """
    w, eta = (1 - memory.momentum) / copies, lr * memory.gain
    beta, added = 1 - w, np.full(lr.size, w)
    if begins and copies == 1:
        added[0] = w / (1 - memory.dampening)
    back, ahead = (beta * beta, 1 + beta) if memory.nesterov else (beta, 1.0)
    return np.stack([-eta * back, np.full(lr.size, beta), -eta * ahead * added, added], axis=1)


def affordable_modes(problem: Problem, optimizer: Optimizer, numbers: IntArray, times: int) -> MomentSystem:
    """Return the modes if the recursion with them, run so many times, ends within a day."""
    modes, last = mode_system(problem.covariance, optimizer.features, problem.initial_error), int(numbers[-1])
    work = f"a recursion of {last * times:.3g} steps with {modes.size} eigenvalues"
    check_duration("steps", last, work, last * times * (_STEP_SECONDS + _MODE_SECONDS * modes.size))
    return modes
