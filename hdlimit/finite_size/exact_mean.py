"""The exact mean risk of streaming SGD at finite d, without sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, IntArray, known_names
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput, NoLimit, NotAvailable, Outcome, Status, shown
from hdlimit.finite_size.exact_recursion import affordable_modes, forms_after, risks_after
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.limit.quadratic_forms import Function, noise_scales, of_largest, share, weighted
from hdlimit.limit.stability import stability
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.plotting.risk import plot_exact
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import residual_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Splits of the modes whose bias is extrapolated to order 1/d.
_COPIES = 1, 2, 4, 8
# Step numbers that are held as an array: 0.8 GB.
_MOST_HELD = 100_000_000


@known_names
@dataclass(frozen=True, eq=False, repr=False)
class ExactMean:
    """The exact mean risk of SGD.

    The distance, the norm of the gradient, noise scales and alignments are made, when asked for, by the same recursion.

    Attributes
    ----------
    problem, optimizer
        As given.
    steps : array, shape (T,)
        Step numbers, up to the divergence if there is one.
    time : array, shape (T,)
        steps/d.
    risk : array, shape (T,)
        E R after these steps.
    outcome : Outcome
        How the recursion ended.
    version : str
        Version of the package.

    Examples
    --------
    >>> import hdlimit as hd
    >>> mean = hd.exact_mean(hd.Problem(hd.Isotropic(100)), hd.SGD(0.5), 200)
    >>> mean.risk.shape, mean.outcome.status.value
    ((201,), 'finished')
    """

    problem: Problem
    optimizer: Any
    steps: IntArray
    time: FloatArray
    risk: FloatArray
    outcome: Outcome
    version: str

    def __repr__(self) -> str:
        reached = (
            f"risk {self.risk[0]:.4g} -> {self.risk[-1]:.4g} at step {self.steps[-1]}" if self.risk.size else "empty"
        )
        return f"ExactMean({self.optimizer!r}, d={self.problem.dimension}, {self.outcome.status.value}, {reached})"

    @property
    def samples(self) -> FloatArray:
        """Samples seen after every number of steps: batch size times steps, shape (T,)."""
        samples: FloatArray = (self.steps * self.optimizer.batch_size).astype(np.float64)
        return samples

    @cached_property
    def _forms(self) -> FloatArray:
        """E delta^T K^j delta for j = 0, 2, 3, shape (3, T)."""
        return self._after([np.ones_like, np.square, lambda eigenvalues: eigenvalues**3])

    def _after(self, functions: Sequence[Function]) -> FloatArray:
        modes = affordable_modes(self.problem, self.optimizer, self.steps, 1)
        rows = weighted(modes, functions).functionals[1:]
        return forms_after(self.problem, self.optimizer, modes, self.steps, rows)

    @property
    def distance(self) -> FloatArray:
        """E norm(delta)^2, shape (T,)."""
        distance: FloatArray = self._forms[0]
        return distance

    @property
    def gradient_norm(self) -> FloatArray:
        """Root mean square of norm(K delta), shape (T,)."""
        norm: FloatArray = np.sqrt(self._forms[1])
        return norm

    @property
    def noise_scale(self) -> FloatArray:
        """Gradient noise scale as `Curve.noise_scale`, of the means of its two parts, shape (T,)."""
        scale: FloatArray = noise_scales(self.problem, self.risk, self._forms[1:])[0]
        return scale

    @property
    def hessian_noise_scale(self) -> FloatArray:
        """Gradient noise scale as `Curve.hessian_noise_scale`, of the means of its two parts, shape (T,)."""
        scale: FloatArray = noise_scales(self.problem, self.risk, self._forms[1:])[1]
        return scale

    def alignment(self, k: int) -> FloatArray:
        """Return the share of the mean squared population gradient in the top k eigenvectors of K.

        Parameters
        ----------
        k : int
            From 1 to d.

        Returns
        -------
        ndarray, shape (T,)
            As `Curve.alignment`.

        Raises
        ------
        InvalidInput
            If k is not from 1 to d.
        """
        part, whole = self._after([of_largest(self.problem.covariance, k), np.square])
        return share(part, whole)

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the mean risk as a line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; None for a new figure.
        **style
            Options of the line, as of matplotlib's plot.

        Returns
        -------
        matplotlib.axes.Axes
            The Axes with the line.
        """
        return plot_exact(self, ax, **style)


@known_names
def exact_mean(problem: Problem, optimizer: Optimizer, steps: Any) -> ExactMean:
    """Compute the mean risk of streaming SGD at this d, exactly, for Gaussian x and any batch size.

    Parameters
    ----------
    problem : Problem
        The problem; one from data is taken as Gaussian with its K and noise law.
    optimizer : SGD
        Its lr is a number or a schedule.
    steps : int or array_like of int, shape (T,)
        K, for all of 0, ..., K, or non-decreasing step numbers.

    Returns
    -------
    ExactMean
        Divergence is an outcome: the record then ends where R exceeds 1e12 max(R(0), E eps^2).

    Raises
    ------
    InvalidInput
        For an argument that is not as above.
    NotAvailable
        For another optimizer, whose mean obeys no closed recursion.
    NoLimit
        Where E eps^2 is infinite, and with it the mean risk.

    Notes
    -----
    With rho_i = E <q_i, delta>^2 along the eigenvectors of K, l_i its eigenvalues, g = eta(t)/d and
    S = sum_i l_i rho_i + E eps^2,

        rho_i <- (1 - g l_i)^2 rho_i + g^2 [l_i^2 rho_i + l_i S]/B,   R = (1/2) sum_i l_i rho_i.

    With momentum the recursion is that of the second moments of delta and the buffer along every eigenvector. Equal
    eigenvalues are held as one. Proof: derivations/isserlis.py.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(50), hd.Gaussian(std=0.5))
    >>> mean = hd.exact_mean(problem, hd.SGD(lr=0.5), steps=500)
    >>> mean.risk.shape, round(float(mean.risk[-1]), 5)
    ((501,), 0.04249)
    """
    check_types(problem, optimizer)
    numbers = _step_numbers(steps)
    _check_exists(problem, optimizer)
    risk = risks_after(problem, optimizer, affordable_modes(problem, optimizer, numbers, 1), numbers, 1)
    reached = numbers[: risk.size]
    outcome = _outcome(problem, optimizer, reached, int(numbers[-1]), risk.size == numbers.size)
    return ExactMean(problem, optimizer, reached, reached / problem.dimension, risk, outcome, __version__)


def exact_bias(problem: Problem, optimizer: Optimizer, steps: Any) -> FloatArray:
    """Compute the exact mean risk less its limit as d grows at fixed t = k/d and fixed spectrum.

    Only the recursion of exact_mean is used, no predicted curve, so that a curve can be judged by it.

    Parameters
    ----------
    problem, optimizer, steps
        As in exact_mean.

    Returns
    -------
    ndarray, shape (T,)
        The bias after each of the steps.

    Raises
    ------
    NotAvailable
        As exact_mean, and where the mean diverges within these steps. Other errors are those of exact_mean.

    Notes
    -----
    The limit is (8 E_8 - 6 E_4 + E_2)/3 with E_N the exact mean for the same spectrum N times over at the same t
    (Richardson extrapolation): the bias is right to 1/64 of its part of order 1/d^3.
    """
    check_types(problem, optimizer)
    numbers = _step_numbers(steps)
    _check_exists(problem, optimizer)
    modes = affordable_modes(problem, optimizer, numbers, sum(_COPIES))
    means = [risks_after(problem, optimizer, modes, numbers, copies) for copies in _COPIES]
    if min(mean.size for mean in means) < numbers.size:
        raise NotAvailable("exact_bias: the mean of runs diverges, lr is not below the critical one at this d")
    limit = (8 * means[3] - 6 * means[2] + means[1]) / 3
    bias: FloatArray = means[0] - limit
    return bias


def _check_exists(problem: Problem, optimizer: Optimizer) -> None:
    linear = FEATURES[optimizer.features].linear and residual_map(optimizer).linear
    if not linear:
        raise NotAvailable(
            f"exact_mean: the mean of {optimizer!r} obeys no closed recursion, only that of SGD does; verify holds its "
            "runs against the curve with an allowance from the corrected mean"
        )
    if not math.isfinite(problem.noise.second_moment):
        raise NoLimit(
            f"noise: {problem.noise!r} has infinite variance, and so has every step of SGD: its mean risk is infinite "
            "from the first step on; clipped SGD and signSGD have a finite one"
        )


def _step_numbers(steps: Any) -> IntArray:
    expected = "a number of steps, an integer >= 0, or non-decreasing step numbers"
    if checks.is_scalar(steps):
        if (last := checks.integer("steps", steps, 0)) > _MOST_HELD:
            held = f"at most {_MOST_HELD:g} for all of 0, ..., K; an array of step numbers for later ones"
            raise InvalidInput("steps", held, f"{float(last):g}")
        return np.arange(last + 1, dtype=np.int64)
    numbers = checks.array("steps", steps, 1)
    if (numbers != np.floor(numbers)).any() or numbers[0] < 0 or numbers[-1] > 2.0**53:
        raise InvalidInput("steps", expected, shown(numbers.tolist()))
    if (falls := np.flatnonzero(np.diff(numbers) < 0)).size:
        raise InvalidInput("steps", expected, f"{numbers[falls[0]]:g} followed by {numbers[falls[0] + 1]:g}")
    return numbers.astype(np.int64)


def _outcome(problem: Problem, optimizer: Optimizer, reached: IntArray, last: int, whole: bool) -> Outcome:
    judged = stability(problem, optimizer, max(last, 1) / problem.dimension).outcome
    if not whole:
        after = f"after step {reached[-1]} of {last}" if reached.size else f"before the first of the steps up to {last}"
        return Outcome(Status.DIVERGED, f"diverged {after}: {judged.sentence}")
    if judged.status is Status.UNSTABLE:
        return Outcome(Status.UNSTABLE, f"{last} steps, but {judged.sentence}: at such an lr the risk grows")
    return Outcome(Status.FINISHED, f"{last} steps, up to t = {last / problem.dimension:g}")
