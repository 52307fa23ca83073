"""The second route to a curve: paths of the limiting SDE, or of one that spreads like the algorithm."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.core.observable import Observable
from hdlimit.core.seeds import Seed, as_int, seed_sequence
from hdlimit.core.timegrid import check_horizon, default_times
from hdlimit.core.version import __version__
from hdlimit.errors import DivergenceWarning, InvalidInput, NotAvailable, Outcome, Status
from hdlimit.execution.parallel import collect
from hdlimit.finite_size import diffusions
from hdlimit.finite_size.diffusions import Diffusion, Window
from hdlimit.limit.integrator import solve
from hdlimit.limit.piecewise import stops
from hdlimit.limit.system import Limit, check_types, limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Schedule
from hdlimit.plotting.risk import plot_ensemble
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import residual_map
from hdlimit.response.response import Compiled, MapResponse
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIFFUSIONS = ("homogenized", "corrected")
REACH = 0.1
MOST_REACH = 1.0
MOST_STEPS = 20_000_000
SMALLEST = 1e-25

_RTOL = 1e-4
_BLOCK = 2**15
_MODE_SECONDS = 3e-8


@dataclass(frozen=True, eq=False, repr=False)
class SdePaths(Record):
    """Sampled paths of a diffusion, not of the algorithm.

    problem, optimizer, horizon, diffusion: as given to sample_sde; time: shape (T,); risk: shape (paths, T), inf after
    a path diverged; steps: time steps taken; entropy, spawn_key: of the SeedSequence whose child k drives path k;
    outcome: how the paths ended; version: of the package.
    """

    table: ClassVar[tuple[str, ...]] = ("time", "mean", "spread", "stderr")
    facts: ClassVar[tuple[str, ...]] = ("runs", "diffusion", "steps", "entropy", "spawn_key")

    problem: Problem
    optimizer: Any
    horizon: float
    time: FloatArray
    risk: FloatArray
    diffusion: str
    steps: int
    entropy: int
    spawn_key: tuple[int, ...]
    outcome: Outcome
    version: str

    def __repr__(self) -> str:
        return (
            f"SdePaths({self.diffusion}, {self.optimizer!r}, d={self.problem.dimension}, paths={self.runs}, "
            f"t={self.time[-1]:g}, risk {self.mean[-1]:.4g} +- {self.stderr[-1]:.2g})"
        )

    @property
    def runs(self) -> int:
        """Number of paths."""
        return int(self.risk.shape[0])

    @property
    def mean(self) -> FloatArray:
        """Mean risk over the paths, shape (T,)."""
        return Observable("risk", self.risk).mean

    @property
    def spread(self) -> FloatArray:
        """Standard deviation of the risk of one path, shape (T,); inf with a single path or diverged paths."""
        return Observable("risk", self.risk).spread

    @property
    def stderr(self) -> FloatArray:
        """Standard error of the mean risk, spread/sqrt(paths), shape (T,)."""
        return Observable("risk", self.risk).stderr

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the mean as markers with the band of one path's spread; returns the Axes."""
        label = f"{self.diffusion} SDE, {self.runs} path{'s' if self.runs > 1 else ''}"
        return plot_ensemble(self, ax, **{"label": label, **style})


def sample_sde(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    paths: int = 32,
    seed: Seed = 0,
    *,
    times: Any = None,
    diffusion: str = "homogenized",
    step: float | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> SdePaths:
    """Sample paths of the excess risk from a diffusion in place of the algorithm.

    diffusion="homogenized" is the limiting SDE

        dw = -eta mu(v) diag(lambda) w dt + eta sqrt(nu(v)/d) C^(1/2) dB,   v = 2R = sum_i lambda_i w_i^2.

    Its mean is that of the limit to O(1/d_int). Its run-to-run spread is not the algorithm's: it leaves out, at the
    same order, the correlation of psi(r) with z and the fluctuations of psi(r)^2. diffusion="corrected" has both,

        dM = f dt + (Q/d)^(1/2) dB,

    on at most 128 bins of modes, Q the covariance of the algorithm's steps and f the drift of the limit with the
    correction for steps of length 1/d. It is sampled as norms of Gaussian vectors and stays positive by construction.

    A step of "homogenized" is of weak order 2 (measured with the same Brownian paths), one of "corrected" of order 2 in
    the mean and 1 in the fluctuations. Both cost O(n) with n distinct modes; sign features with a covariance that is
    not diagonal O(n^2). At the default step the mean is off by up to 0.2 % of the risk, the spread by up to 1 %
    ("corrected": 3 %, 4 % without noise); measured for K = I, d = 10^6, SGD lr 0.5 and 1.2, clip, sign. lambda_max sets
    the step: for steep spectra (power law 1.5) paths cost as much as runs of the algorithm.

    problem: a Problem; optimizer: SGD, ClippedSGD or SignSGD; horizon: last time, t = k/d; paths: how many, >= 1; seed:
    an int >= 0, a SeedSequence or a Generator; path k depends on it and on k alone; times: when to record, shape (T,),
    non-decreasing in [0, horizon], None for 0 and 200 geometric points from 1/d; step: longest time step, in units of
    t, None for one with step eta mu lambda_max <= 1/10 along the limit curve; executor: a concurrent.futures.Executor,
    None for threads, one a core; progress: show a progress bar.

    Returns: SdePaths. A path whose v exceeds 1e12 max(v(0), E eps^2) has diverged, its risk is inf from then on.
    Raises: InvalidInput, also for a step with step eta mu lambda_max > 1 on the limit curve; NoLimit for SGD under
    noise of infinite variance; NotAvailable for more than 2e7 steps, and for "corrected" where the spread of single
    runs is infinite or not known (sign features, K not diagonal). Warns: DivergenceWarning and the warnings of predict.
    Source: homogenized SGD of Paquette et al.; hdlimit.finite_size.linear_noise for Q.
    """
    check_types(problem, optimizer)
    horizon = check_horizon(horizon, problem.dimension)
    paths = checks.count("paths", paths)
    sequence = seed_sequence(seed)
    checks.one_of("diffusion", diffusion, DIFFUSIONS)
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidInput("executor", "a concurrent.futures.Executor or None", repr(executor)[:120])
    step = None if step is None else checks.positive("step", step)
    time = default_times(horizon, problem.dimension) if times is None else checks.times("times", times, horizon)
    warn_caveats(problem, optimizer, horizon)
    entropy, spawn_key = as_int(sequence.entropy), tuple(sequence.spawn_key)
    task = make_task(problem, optimizer, horizon, time, diffusion, step, entropy, spawn_key)
    seconds = task.grid.size * task.diffusion.start.size * _MODE_SECONDS
    risk, ends = collect(partial(sample_paths, task), paths, seconds, executor, progress)
    outcome = _outcome(ends, task)
    if outcome.status is Status.DIVERGED:
        warnings.warn(outcome.sentence, DivergenceWarning, stacklevel=2)
    steps = task.grid.size - 1
    return SdePaths(problem, optimizer, horizon, time, risk, diffusion, steps, entropy, spawn_key, outcome, __version__)


@dataclass(frozen=True, eq=False)
class Task:
    """What all paths share; picklable.

    diffusion: the system; optimizer, noise: what the response belongs to; grid: ends of the time steps from 0, shape (s
    + 1,); lr, threshold: at both ends of every step, shape (s, 2); marks: steps after which v is recorded, shape (T,);
    v_range: where the response is tabulated at first; scale, escape: sizes of v that count as small, and as diverged;
    entropy, spawn_key: of the SeedSequence whose child k drives path k.
    """

    diffusion: Diffusion
    optimizer: Optimizer
    noise: NoiseLaw
    grid: FloatArray
    lr: FloatArray
    threshold: FloatArray
    marks: IntArray
    v_range: tuple[float, float]
    scale: float
    escape: float
    entropy: int
    spawn_key: tuple[int, ...]

    @cached_property
    def response(self) -> MapResponse:
        """(mu, nu) as functions of v."""
        return MapResponse(residual_map(self.optimizer), self.noise, self.optimizer.batch_size)

    @property
    def c_range(self) -> tuple[float, float]:
        """Smallest and largest threshold."""
        return float(self.threshold.min()), float(self.threshold.max())


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
    """The time steps, their schedules and the diffusion of a study."""
    limit = limit_of(problem, optimizer)
    solution = solve(limit, limit.modes, horizon, _RTOL)
    if not solution.steps:
        raise NotAvailable(f"sample_sde: no step can be taken in double precision, choose other units ({optimizer!r})")
    dense = solution.dense
    knots = np.minimum(dense.knots, horizon)
    breaks = np.unique(np.concatenate([stops((limit.lr, limit.threshold), horizon, _RTOL), knots, time]))
    v = np.maximum(dense(np.minimum(breaks, knots[-1]), 0), 0.0)
    positive = v[v > 0] if v.any() else np.array([limit.scale or 1.0])
    v_range = (0.1 * float(positive.min()), 10 * float(positive.max()))
    lr, threshold = _both_ends(limit.lr, breaks), _both_ends(limit.threshold, breaks)
    c_range = float(threshold.min()), float(threshold.max())
    rate = limit.modes.fastest
    speed = rate * _pulls(limit, _compiled(limit.response, v_range, c_range), v, lr, threshold)
    if not v.any() and limit.response.noise.second_moment == 0:
        speed = np.zeros_like(speed)
    grid = _grid(breaks, speed, step)
    lr, threshold = _both_ends(limit.lr, grid), _both_ends(limit.threshold, grid)
    system: Diffusion
    if diffusion == "homogenized":
        system = diffusions.homogenized(problem, optimizer)
    else:
        system = diffusions.corrected(problem, optimizer, (v_range[0] * 10, v_range[1] / 10), c_range)
    marks = np.searchsorted(grid, time)
    return Task(
        system, optimizer, problem.noise, grid, lr, threshold, marks, v_range, limit.scale, limit.escape,
        entropy, spawn_key,
    )  # fmt: skip


def _both_ends(schedule: Schedule, grid: FloatArray) -> FloatArray:
    """The schedule at both ends of every step, read from inside of it, shape (s, 2)."""
    return np.column_stack([schedule(grid[:-1]), schedule(np.nextafter(grid[1:], 0.0))])


def _pulls(limit: Limit, response: Compiled, v: FloatArray, lr: FloatArray, threshold: FloatArray) -> FloatArray:
    """The larger of eta mu at both ends of every interval of the curve, shape (s,)."""
    v = np.maximum(v, SMALLEST * limit.scale)
    ends = np.stack([v[:-1], v[1:]], axis=1)
    mu = [response.kernel(*pair, response.parameters)[0] for pair in zip(ends.ravel(), threshold.ravel())]
    pulls: FloatArray = (lr * np.reshape(mu, ends.shape)).max(axis=1)
    return pulls


def _grid(breaks: FloatArray, speed: FloatArray, step: float | None) -> FloatArray:
    """Ends of the time steps: the breaks, and as many between two of them as the step asks for."""
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
    return response.compiled(v_range, c_range)


def sample_paths(task: Task, paths: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """The paths with the given numbers: risk at the task's marks, shape (len(paths), T), and the time at which each was
    found to have diverged, inf for one that did not.
    """
    results = [_path(task, path) for path in paths]
    return np.array([risk for risk, _ in results]), np.array([end for _, end in results])


def _path(task: Task, path: int) -> tuple[FloatArray, float]:
    """One path; where v leaves the range of a tabulated response, the table is extended and the path taken again."""
    v_range = task.v_range
    for _ in range(40):
        response = _compiled(task.response, v_range, task.c_range)
        v, end, low, high = _attempt(task, path, response)
        if (low >= response.low or response.low <= SMALLEST * task.scale) and high <= response.high:
            return v / 2, end
        v_range = (min(v_range[0], low / 4), max(v_range[1], high * 4))
    raise NotAvailable(f"noise: the response would have to be tabulated up to v = {v_range[1]:.2g}")


def _attempt(task: Task, path: int, response: Compiled) -> tuple[FloatArray, float, float, float]:
    """v at the marks, the time of divergence, and the smallest and largest v at which the response was read."""
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
        part = slice(first, min(first + length, steps.size))
        window, v = Window(steps[part], task.lr[part], task.threshold[part]), np.empty(steps[part].size)
        draws = system.draw(rng, v.size)
        done, least, most = system.advance(w, window, response, draws, task.escape, v)
        low, high = min(low, least), max(high, most)
        here = (task.marks > first) & (task.marks <= first + done)
        recorded[here] = v[task.marks[here] - first - 1]
        if done < v.size:
            return recorded, float(task.grid[first + done + 1]), low, high
    return recorded, math.inf, low, high


def _outcome(ends: FloatArray, task: Task) -> Outcome:
    diverged = ends[np.isfinite(ends)]
    if diverged.size:
        sentence = f"{diverged.size} of {ends.size} paths diverged, the first at t = {diverged.min():g}"
        return Outcome(Status.DIVERGED, sentence)
    return Outcome(
        Status.FINISHED, f"all {ends.size} paths took {task.grid.size - 1} steps, up to t = {task.grid[-1]:g}"
    )
