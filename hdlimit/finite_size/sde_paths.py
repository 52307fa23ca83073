"""Paths of a diffusion: the grid of steps, and one path after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hdlimit.core.backend import check_stop
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import InvalidInput, NotAvailable, shown
from hdlimit.finite_size import diffusions
from hdlimit.finite_size.diffusions import Diffusion, Window
from hdlimit.limit.integrator import solve
from hdlimit.limit.piecewise import stops
from hdlimit.limit.system import Limit, limit_of
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Schedule
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.response import Compiled, MapResponse

# Longest default step times eta mu lambda_max: the mean is then off by up to 0.2 % (see sample_sde).
REACH = 0.1


# The same for a given step: beyond it the splitting of a step is no approximation.
MOST_REACH = 1.0


# Steps of a path, an hour of one core.
MOST_STEPS = 20_000_000


# Of the problem's scale, the v that responses are tabulated down to; smaller ones are noise of rounding.
SMALLEST = 1e-25


# Tolerance of the limit curve along which the steps are chosen.
_RTOL = 1e-4


# Numbers drawn at once: 256 kB, within the second cache.
_BLOCK = 2**15


# Time of a mode and step, for the number of tasks; measured on one core.
_MODE_SECONDS = 3e-8


@dataclass(frozen=True, eq=False)
class Task:
    """What all paths share; picklable.

    Attributes
    ----------
    diffusion : Diffusion
        The system.
    optimizer, noise
        What the response belongs to.
    grid : ndarray, shape (s + 1,)
        Ends of the time steps, from 0.
    lr, control : ndarray, shape (s, 2)
        Schedules at both ends of every step.
    marks : ndarray of int, shape (T,)
        Steps after which v is recorded.
    v_range : tuple of float
        Where the response is tabulated at first.
    scale, escape : float
        Sizes of v that count as small, and as diverged.
    entropy, spawn_key : int, tuple of int
        Of the SeedSequence whose child k drives path k.
    """

    diffusion: Diffusion
    optimizer: Optimizer
    noise: NoiseLaw
    grid: FloatArray
    lr: FloatArray
    control: FloatArray
    marks: IntArray
    v_range: tuple[float, float]
    scale: float
    escape: float
    entropy: int
    spawn_key: tuple[int, ...]

    @cached_property
    def response(self) -> MapResponse:
        """(mu, nu) as functions of v."""
        return MapResponse.of(self.optimizer, self.noise)

    @property
    def c_range(self) -> tuple[float, float]:
        """Smallest and largest control."""
        return float(self.control.min()), float(self.control.max())


def make_task(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    time: FloatArray,
    diffusion: str,
    step: float | None,
    entropy: int,
    spawn_key: tuple[int, ...],
) -> Task:
    """Choose the time steps, and put them, their schedules and the diffusion of a study together.

    Parameters
    ----------
    problem, optimizer, horizon, diffusion, step
        As in sample_sde.
    time : ndarray, shape (T,)
        When v is recorded.
    entropy, spawn_key : int, tuple of int
        Of the SeedSequence whose child k drives path k.

    Returns
    -------
    Task
        What all paths share.

    Raises
    ------
    NotAvailable
        With momentum, where no step can be taken in double precision, and where too many are needed.
    InvalidInput
        For a step that is too long.
    """
    if optimizer.memory is not None:
        what = f"not with momentum ({shown(optimizer, 80)})"
        raise NotAvailable(f"sample_sde: {what}; predict has the curve, simulate the runs")
    limit = limit_of(problem, optimizer).explicit(horizon)
    solution = solve(limit, limit.modes, horizon, _RTOL)
    if not solution.steps:
        raise NotAvailable(f"sample_sde: no step can be taken in double precision, choose other units ({optimizer!r})")
    dense = solution.dense
    knots = np.minimum(dense.knots, horizon)
    breaks = np.unique(np.concatenate([stops((limit.lr, limit.control), horizon, _RTOL), knots, time]))
    v = np.maximum(dense(np.minimum(breaks, knots[-1]), 0), 0.0)
    positive = v[v > 0] if v.any() else np.array([limit.scale or 1.0])
    v_range = (0.1 * float(positive.min()), 10 * float(positive.max()))
    lr, control = _both_ends(limit.lr, breaks), _both_ends(limit.control, breaks)
    c_range = float(control.min()), float(control.max())
    rate = limit.modes.fastest
    speed = rate * _pulls(limit, _compiled(limit.response, v_range, c_range), v, lr, control)
    if not v.any() and limit.response.noise.second_moment == 0:
        speed = np.zeros_like(speed)
    grid = _grid(breaks, speed, step)
    lr, control = _both_ends(limit.lr, grid), _both_ends(limit.control, grid)
    system: Diffusion
    if diffusion == "homogenized":
        system = diffusions.homogenized(problem, optimizer)
    else:
        system = diffusions.corrected(problem, optimizer, (v_range[0] * 10, v_range[1] / 10), c_range)
    marks = np.searchsorted(grid, time)
    return Task(
        system, optimizer, problem.noise, grid, lr, control, marks, v_range, limit.scale, limit.escape,
        entropy, spawn_key,
    )  # fmt: skip


def _both_ends(schedule: Schedule, grid: FloatArray) -> FloatArray:
    """Read the schedule at both ends of every step from inside of it, shape (s, 2)."""
    return np.column_stack([schedule(grid[:-1]), schedule(np.nextafter(grid[1:], 0.0))])


def _pulls(limit: Limit, response: Compiled, v: FloatArray, lr: FloatArray, control: FloatArray) -> FloatArray:
    """Return the larger of eta mu at both ends of every interval of the curve, shape (s,)."""
    v = np.maximum(v, SMALLEST * limit.scale)
    ends = np.stack([v[:-1], v[1:]], axis=1)
    mu = [response.kernel(*pair, response.parameters)[0] for pair in zip(ends.ravel(), control.ravel())]
    pulls: FloatArray = (lr * np.reshape(mu, ends.shape)).max(axis=1)
    return pulls


def _grid(breaks: FloatArray, speed: FloatArray, step: float | None) -> FloatArray:
    """Return the ends of the time steps: the breaks, and as many between two of them as the step asks for."""
    if step is not None and step * speed.max() > MOST_REACH:
        expected = f"at most {MOST_REACH / speed.max():.4g}, where step eta mu lambda_max = {MOST_REACH:g}"
        raise InvalidInput("step", expected, f"{step:g}")
    lengths = np.diff(breaks)
    counts = np.ceil(lengths * speed / REACH * (1 - 1e-9)) if step is None else np.ceil(lengths / step * (1 - 1e-9))
    if counts.sum() > MOST_STEPS:
        needed = f"{counts.sum():.3g} time steps are needed, more than {MOST_STEPS:g}"
        raise NotAvailable(f"sample_sde: {needed}; predict has the curve of any horizon")
    counts = np.maximum(counts, 1).astype(np.int64)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    inner = np.repeat(breaks[:-1], counts) + place * np.repeat(lengths / counts, counts)
    return np.append(inner, breaks[-1])


@lru_cache(maxsize=64)
def _compiled(response: MapResponse, v_range: tuple[float, float], c_range: tuple[float, float]) -> Compiled:
    return response.compiled(v_range, c_range).whole()


def sample_paths(task: Task, paths: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Sample the paths with the given numbers.

    Parameters
    ----------
    task : Task
        What all paths share.
    paths : sequence of int
        Path numbers.

    Returns
    -------
    tuple of ndarray
        Risk at the task's marks, shape (len(paths), T), and the time at which each was found to have diverged, inf for
        one that did not.
    """
    results = [_path(task, path) for path in paths]
    return np.array([risk for risk, _ in results]), np.array([end for _, end in results])


def _path(task: Task, path: int) -> tuple[FloatArray, float]:
    """Sample one path; where v leaves the range of a table, it is extended and the path sampled again."""
    v_range = task.v_range
    for _ in range(40):
        response = _compiled(task.response, v_range, task.c_range)
        v, end, low, high = _attempt(task, path, response)
        if (low >= response.low or response.low <= SMALLEST * task.scale) and high <= response.high:
            return v / 2, end
        v_range = (min(v_range[0], max(low / 4, SMALLEST * task.scale)), max(v_range[1], high * 4))
    raise NotAvailable(f"noise: the response would have to be tabulated up to v = {v_range[1]:.2g}")


def _attempt(task: Task, path: int, response: Compiled) -> tuple[FloatArray, float, float, float]:
    """Return v at the marks, the time of divergence, and the smallest and largest v at which the response was read."""
    system = task.diffusion
    w, steps = system.start.copy(), np.diff(task.grid)
    recorded = np.full(task.marks.size, math.inf)
    recorded[task.marks == 0] = float(system.rate @ w**2)
    low, high = math.inf, 0.0
    if not w.any() and task.noise.second_moment == 0:
        return np.zeros(task.marks.size), math.inf, low, high
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(task.entropy, spawn_key=(*task.spawn_key, path))))
    length = max(_BLOCK // w.size, 1)
    for first in range(0, steps.size, length):
        check_stop()
        part = slice(first, min(first + length, steps.size))
        window, v = Window(steps[part], task.lr[part], task.control[part]), np.empty(steps[part].size)
        draws = system.draw(rng, v.size)
        done, least, most = system.advance(w, window, response, draws, task.escape, v)
        low, high = min(low, least), max(high, most)
        here = (task.marks > first) & (task.marks <= first + done)
        recorded[here] = v[task.marks[here] - first - 1]
        if done < v.size:
            return recorded, float(task.grid[first + done + 1]), low, high
    return recorded, math.inf, low, high
