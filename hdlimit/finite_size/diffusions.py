"""The two diffusions whose paths hdlimit.finite_size.sde samples: start, noise and steps.

homogenized: the limiting SDE, dw = -eta mu diag(lambda) w dt + eta sqrt(nu/d) C^(1/2) dB. Its mean is that of the
limit; its fluctuations miss the correlation of psi(r) with z and those of psi(r)^2.
corrected: dM = f dt + (Q/d)^(1/2) dB on bins of modes, Q the covariance of the algorithm's own steps (spread.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from hdlimit.core.backend import symmetric_eigen
from hdlimit.core.declaration import FloatArray
from hdlimit.finite_size.noise_modes import check_spread, noise_modes
from hdlimit.kernels import sde as kernels
from hdlimit.limit.modes import Basis, basis
from hdlimit.limit.system import Limit, limit_of
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.problem import Problem
from hdlimit.response.response import Compiled
from hdlimit.response.step_moments import step_moments

# Bins of modes for the corrected diffusion: its steps cost the square of their number. Chosen, not measured.
BINS = 128
# Grid of log v and of log c on which the moments of a step are tabulated; chosen, not measured.
NODES = 49
# The same of the clip threshold.
LEVELS = 9
# How far paths may leave the range of v of the limit curve, as a factor; chosen, not measured.
BEYOND = 30.0


class Window(NamedTuple):
    """Some time steps: their lengths, shape (m,); the step size and the control at both ends of each, (m, 2)."""

    steps: FloatArray
    lr: FloatArray
    control: FloatArray


class Draws(NamedTuple):
    """Random numbers of m steps: normal ones, and chi^2 ones of the modes that share a coordinate."""

    shocks: FloatArray
    others: FloatArray


class Diffusion(Protocol):
    """Modes w of rates `rate`, v = sum rate w^2, from `start`; all of shape (n,)."""

    @property
    def rate(self) -> FloatArray:
        """Rates of the modes, shape (n,)."""

    @property
    def start(self) -> FloatArray:
        """Modes at t = 0, shape (n,)."""

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """Draw random numbers for `count` steps."""

    def advance(
        self, w: FloatArray, window: Window, response: Compiled, draws: Draws, escape: float, v: FloatArray
    ) -> tuple[int, float, float]:
        """Take the steps of a window, overwriting w, and v with its values after each step.

        Parameters
        ----------
        w : ndarray, shape (n,)
            The modes.
        window : Window
            The m steps and the schedules over them.
        response : Compiled
            (mu, nu) as functions of v.
        draws : Draws
            Random numbers of the m steps.
        escape : float
            The v from which a path counts as diverged.
        v : ndarray, shape (m,)
            Where v after each step is written.

        Returns
        -------
        tuple of (int, float, float)
            The steps taken before v reached `escape` or was no longer finite, and the smallest and largest v at which
            the response was read.
        """


@dataclass(frozen=True, eq=False)
class Homogenized:
    """The limiting SDE in modes.

    Attributes
    ----------
    rate, start : ndarray, shape (n,)
        As in Diffusion.
    count : ndarray, shape (n,)
        Number of modes, of equal rate and noise, of which w is the norm.
    noise : ndarray, shape (1, n) or (n, n)
        C/d of one of them, or in full.
    factor : ndarray, shape (n, n), or None
        F with F F^T = C/d where it is full.
    """

    rate: FloatArray
    start: FloatArray
    count: FloatArray
    noise: FloatArray
    factor: FloatArray | None

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """Draw random numbers for `count` steps."""
        shocks = rng.standard_normal((count, self.rate.size))
        if self.factor is not None:
            return Draws(shocks @ self.factor.T, np.empty((0, self.rate.size)))
        return Draws(shocks * np.sqrt(self.noise), _others(rng, self.count, count) * self.noise)

    def advance(
        self, w: FloatArray, window: Window, response: Compiled, draws: Draws, escape: float, v: FloatArray
    ) -> tuple[int, float, float]:
        """Take the steps of a window; see Diffusion.advance."""
        single = self.noise[0] if self.factor is None else np.diagonal(self.noise)
        forcing, extremes = float(self.rate @ (single * self.count)), np.array([math.inf, 0.0])
        drive = kernels.Drive(*window, response.kernel, response.parameters, *draws, escape, v, extremes)
        done = kernels.homogenized(w, self.rate, self.noise, forcing, *drive)
        return done, float(extremes[0]), float(extremes[1])


@dataclass(frozen=True, eq=False)
class Corrected:
    """Bins of modes with the fluctuations of the algorithm's steps; w is the norm of a bin.

    Attributes
    ----------
    rate, start : ndarray, shape (n,)
        As in Diffusion.
    count : ndarray, shape (n,)
        Number of modes in a bin.
    noise : ndarray, shape (n,)
        c/d of one of them.
    dimension : int
        d, the number of parameters.
    table : ndarray
        Covariances of (H, N), see hdlimit.kernels.sde.corrected, at log v = first + spacing k for every one of
        log_controls.
    first, spacing, log_controls
        The grid of the table.
    """

    rate: FloatArray
    start: FloatArray
    count: FloatArray
    noise: FloatArray
    dimension: int
    table: FloatArray
    first: float
    spacing: float
    log_controls: FloatArray

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """Draw random numbers for `count` steps."""
        shocks = rng.standard_normal((count, self.rate.size + 1))
        others = _others(rng, self.count, count)
        return Draws(shocks, others if others.size else np.zeros((count, self.rate.size)))

    def advance(
        self, w: FloatArray, window: Window, response: Compiled, draws: Draws, escape: float, v: FloatArray
    ) -> tuple[int, float, float]:
        """Take the steps of a window; see Diffusion.advance."""
        extremes, d = np.array([math.inf, 0.0]), float(self.dimension)
        levels = np.zeros(v.size)
        if self.log_controls.size > 1:
            read = np.log(np.maximum(window.control[:, 0], 1e-300))
            levels = np.interp(read, self.log_controls, np.arange(float(self.log_controls.size)))
        drive = kernels.Drive(*window, response.kernel, response.parameters, *draws, escape, v, extremes)
        done = kernels.corrected(
            w, self.rate, self.noise, self.count, d, self.table, self.first, self.spacing, levels, *drive
        )
        return done, float(extremes[0]), float(extremes[1])


def _others(rng: np.random.Generator, modes: FloatArray, count: int) -> FloatArray:
    """chi^2 with one degree of freedom less than there are modes, shape (count, n); (0, n) where all are single."""
    shared = modes > 1
    if not shared.any():
        return np.empty((0, modes.size))
    values = np.zeros((count, modes.size))
    values[:, shared] = rng.chisquare(modes[shared] - 1, (count, int(shared.sum())))
    return values


def homogenized(problem: Problem, optimizer: Optimizer) -> Homogenized:
    """Make the limiting SDE of a problem.

    Parameters
    ----------
    problem : Problem
        Covariance, noise, target and start.
    optimizer : Optimizer
        Its features give the modes.

    Returns
    -------
    Homogenized
        The modes; those of rate 0 do not enter R and are left out.
    """
    b = basis(problem.covariance, optimizer.features)
    w, moving = b.coordinates(problem.initial_error), b.rate > 0
    if b.noise.ndim == 2:
        return _full(b, w, moving)
    pairs, group = np.unique(np.stack([b.rate[moving], b.noise[moving]]), axis=1, return_inverse=True)
    group = group.ravel()
    start, count = np.sqrt(np.bincount(group, w[moving] ** 2)), np.bincount(group).astype(np.float64)
    return Homogenized(pairs[0].copy(), start, count, pairs[1:].copy(), None)


def _full(b: Basis, w: FloatArray, moving: np.ndarray) -> Homogenized:
    noise = np.ascontiguousarray(b.noise[np.ix_(moving, moving)])
    values, vectors = symmetric_eigen(noise)
    factor = vectors * np.sqrt(np.maximum(values, 0.0))
    return Homogenized(b.rate[moving], w[moving], np.ones(int(moving.sum())), noise, factor)


def corrected(
    problem: Problem, optimizer: Optimizer, v_range: tuple[float, float], c_range: tuple[float, float]
) -> Corrected:
    """Make the diffusion with the algorithm's fluctuations, on at most 128 bins of modes.

    Parameters
    ----------
    problem, optimizer
        As in sample_sde.
    v_range : tuple of float
        Smallest and largest v of the limit curve; moments are tabulated up to 30 times beyond it.
    c_range : tuple of float
        Smallest and largest control.

    Returns
    -------
    Corrected
        The bins and the table of moments.

    Raises
    ------
    NotAvailable
        Where the spread of single runs does not exist or is not known.
    """
    limit = limit_of(problem, optimizer)
    check_spread(limit)
    modes = noise_modes(problem, optimizer, BINS)
    logs = np.linspace(math.log(v_range[0] / BEYOND), math.log(v_range[1] * BEYOND), NODES)
    low, high = max(c_range[0], 1e-6 * c_range[1]) if c_range[1] < math.inf else c_range[0], c_range[1]
    controls = np.geomspace(low, high, LEVELS) if low < high else np.array([high])
    table = np.array([[_covariance(limit, math.exp(x), c) for x in logs] for c in controls.tolist()])
    spacing = float(logs[1] - logs[0])
    single, start = modes.single / problem.dimension, np.sqrt(modes.start)
    return Corrected(
        modes.rate, start, modes.count, single, problem.dimension, table, float(logs[0]), spacing, np.log(controls)
    )


def _covariance(limit: Limit, v: float, c: float) -> tuple[float, float, float]:
    """Var H/(v nu), Cov(H, N)/(nu sqrt(v nu)) and Var N/nu^2; 1, 0, 0 where nothing moves."""
    mu, nu = limit.response(v, c)
    if nu <= 0:
        return 1.0, 0.0, 0.0
    nu_2, chi, kappa = step_moments(limit.response, v, c)
    variance = max(1 + v * (nu_2 - mu * mu) / nu, 0.0)
    return variance, math.sqrt(v / nu) * (chi - mu * nu) / nu, max(kappa / nu**2 - 1, 0.0)
