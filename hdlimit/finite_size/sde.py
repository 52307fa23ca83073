"""The second route to a curve: paths of the limiting SDE, or of one that spreads like the algorithm."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.core.observable import Observable
from hdlimit.core.seeds import Seed, as_int, seed_sequence
from hdlimit.core.timegrid import check_horizon, check_memory, default_times
from hdlimit.core.version import __version__
from hdlimit.errors import DivergenceWarning, InvalidInput, Outcome, Status, shown, warn
from hdlimit.execution.parallel import collect
from hdlimit.finite_size.sde_paths import _MODE_SECONDS, Task, make_task, sample_paths
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.plotting.risk import plot_ensemble
from hdlimit.problem.problem import Problem
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Steps of a path, whose times are held: 0.1 GB. Chosen, not measured.
MOST_STEPS = 10**7
# Copies of the risks that are held at a time: parts, joined, ordered; counted in the code.
COPIES = 3
DIFFUSIONS = ("homogenized", "corrected")


@dataclass(frozen=True, eq=False, repr=False)
class SdePaths(Record):
    """Sampled paths of a diffusion, not of the algorithm, as sample_sde returns them.

    Attributes
    ----------
    problem, optimizer, horizon, diffusion
        As given to sample_sde.
    time : ndarray, shape (T,)
        Times at which the risk is recorded, t = k/d.
    risk : ndarray, shape (paths, T)
        Risk of every path, inf after a path diverged.
    steps : int
        Time steps taken.
    entropy, spawn_key : int, tuple of int
        Of the SeedSequence whose child k drives path k.
    outcome : Outcome
        How the paths ended.
    version : str
        Version of the package.

    Examples
    --------
    >>> import hdlimit as hd
    >>> found = hd.sample_sde(hd.Problem(hd.Isotropic(100)), hd.SGD(0.5), 1.0, paths=4, times=[0.0, 1.0])
    >>> found.runs, found.mean.shape, bool(found.mean[1] < found.mean[0])
    (4, (2,), True)
    """

    table: ClassVar[tuple[str, ...]] = ("time", "mean", "spread", "stderr")
    facts: ClassVar[tuple[str, ...]] = ("runs", "diffusion", "steps", "entropy", "spawn_key")
    kinds: ClassVar[dict[str, type]] = {"optimizer": Optimizer}
    shapes: ClassVar[dict[str, str]] = {"time": "T", "risk": "paths T"}
    ordered: ClassVar[tuple[str, ...]] = ("time",)

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

    def quantile(self, q: Any) -> FloatArray:
        """Return quantiles of the risk over the paths, linear between order statistics.

        Parameters
        ----------
        q : float or array_like
            Probabilities in [0, 1].

        Returns
        -------
        ndarray, shape (T,) or q.shape + (T,)
            The quantiles at every time; inf where diverged paths enter them.
        """
        return Observable("risk", self.risk).quantile(q)

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the mean as markers with the band of one path's spread.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; None for a new figure.
        **style
            Options of the markers, as of matplotlib's plot.

        Returns
        -------
        matplotlib.axes.Axes
            The Axes with the markers.
        """
        label = f"{self.diffusion} SDE, {self.runs} path{'s' if self.runs > 1 else ''}"
        return plot_ensemble(self, ax, **{"label": label, **style})


@known_names
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
    progress: bool | None = None,
) -> SdePaths:
    """Sample paths of the excess risk from a diffusion in place of the algorithm.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        The optimizer.
    horizon : float
        The last time, in units of t = k/d.
    paths : int
        How many, at least 1.
    seed : int, SeedSequence or Generator
        Path k depends on it and on k alone.
    times : array_like, shape (T,), optional
        When to record, non-decreasing in [0, horizon]; by default 0 and 200 geometric points from 1/d.
    diffusion : {"homogenized", "corrected"}
        The limiting SDE, or one with the spread of runs of the algorithm.
    step : float, optional
        The longest time step, in units of t; by default one with step eta mu lambda_max <= 1/10 along the limit curve.
    executor : concurrent.futures.Executor, optional
        By default threads, one a core.
    progress : bool, optional
        Show a progress bar; by default on a terminal, for work of more than a second.

    Returns
    -------
    SdePaths
        A path whose v exceeds 1e12 max(v(0), E eps^2) has diverged; its risk is inf from then on.

    Raises
    ------
    InvalidInput
        For an argument that is not as above, and a step with step eta mu lambda_max > 1 on the limit curve.
    NoLimit
        For SGD under noise of infinite variance.
    NotAvailable
        With momentum, for more than 2e7 steps, and for "corrected" where the spread of single runs is infinite or not
        known (sign features with a covariance that is not diagonal).

    Warns
    -----
    DivergenceWarning
        If a path diverged; and the warnings of `hdlimit.predict`.

    Notes
    -----
    "homogenized" is the limiting SDE

        dw = -eta mu(v) diag(lambda) w dt + eta sqrt(nu(v)/d) C^(1/2) dB,   v = 2R = sum_i lambda_i w_i^2.

    Its mean is that of the limit to O(1/d_int). Its spread from run to run is not the algorithm's: it leaves out, at
    the same order, the correlation of psi(r) with z and the fluctuations of psi(r)^2. "corrected" has both,

        dM = f dt + (Q/d)^(1/2) dB,

    on at most 128 bins of modes, Q the covariance of the algorithm's steps and f the drift of the limit with the
    correction for steps of length 1/d. It is sampled as norms of Gaussian vectors and stays positive by construction.

    A step of "homogenized" is of weak order 2 (measured with the same Brownian paths), one of "corrected" of order 2 in
    the mean and 1 in the fluctuations. Both cost O(n) with n distinct modes, sign features with a covariance that is
    not diagonal O(n^2). At the default step the mean is off by up to 0.2 % of the risk and the spread by up to 1 %
    ("corrected": 3 %, 4 % without noise); measured for K = I, d = 10^6, SGD with lr 0.5 and 1.2, clip, sign. lambda_max
    sets the step: for steep spectra (power law 1.5) paths cost as much as runs of the algorithm.

    References
    ----------
    .. [1] C. Paquette, E. Paquette, B. Adlam and J. Pennington, "Homogenization of SGD in high-dimensions", 2022.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(std=0.5))
    >>> paths = hd.sample_sde(problem, hd.SGD(lr=0.5), horizon=2.0, paths=4, seed=0)
    >>> paths.risk.shape
    (4, 201)
    """
    check_types(problem, optimizer)
    horizon = check_horizon(horizon, problem.dimension)
    paths = checks.count("paths", paths)
    sequence = seed_sequence(seed)
    checks.one_of("diffusion", diffusion, DIFFUSIONS)
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidInput("executor", "a concurrent.futures.Executor or None", shown(executor))
    step = None if step is None else checks.positive("step", step)
    if step is not None and horizon / step > MOST_STEPS:
        raise InvalidInput("step", f"at least {horizon / MOST_STEPS:g}: {MOST_STEPS:g} steps a path", f"{step:g}")
    time = default_times(horizon, problem.dimension) if times is None else checks.times("times", times, horizon)
    check_memory("paths", f"{paths:.3g} paths at {time.size} times", paths * time.size * COPIES * 8.0)
    warn_caveats(problem, horizon, limit_of(problem, optimizer))
    entropy, spawn_key = as_int(sequence.entropy), tuple(sequence.spawn_key)
    task = make_task(problem, optimizer, horizon, time, diffusion, step, entropy, spawn_key)
    seconds = task.grid.size * task.diffusion.start.size * _MODE_SECONDS
    risk, ends = collect(partial(sample_paths, task), paths, seconds, executor, progress)
    outcome = _outcome(ends, task)
    if outcome.status is Status.DIVERGED:
        warn(DivergenceWarning(outcome.sentence))
    steps = task.grid.size - 1
    return SdePaths(problem, optimizer, horizon, time, risk, diffusion, steps, entropy, spawn_key, outcome, __version__)


def _outcome(ends: FloatArray, task: Task) -> Outcome:
    diverged = ends[np.isfinite(ends)]
    if diverged.size:
        sentence = f"{diverged.size} of {ends.size} paths diverged, the first at t = {diverged.min():g}"
        return Outcome(Status.DIVERGED, sentence)
    return Outcome(
        Status.FINISHED, f"all {ends.size} paths took {task.grid.size - 1} steps, up to t = {task.grid[-1]:g}"
    )
