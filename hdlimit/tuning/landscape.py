"""The risk at a horizon over step size and clip threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import InvalidInput, shown
from hdlimit.optimizers.schedules import Constant
from hdlimit.optimizers.sgd import ClippedSGD
from hdlimit.plotting.grids import plot_landscape
from hdlimit.prediction.axes import numbers
from hdlimit.prediction.points import Points
from hdlimit.problem.problem import Problem
from hdlimit.tuning.trial import checked_trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Points an axis, and how far the axes reach, as factors around the optimum: resolution of a figure against its time.
# Chosen, not measured.
POINTS, LR_REACH, THRESHOLD_REACH = 24, 8.0, 16.0
# Tolerance of the risks, which are right to 1e-5 with it, and the growth beyond which a point shows as inf, as the
# search's trials do (TrialLimit.escape).
RTOL, GROWN = 1e-6, 1e3


@known_names
@dataclass(frozen=True, eq=False, repr=False)
class Landscape:
    """The excess risk at a horizon over constant step sizes and thresholds.

    Parameters
    ----------
    problem, horizon, batch_size, momentum, dampening, nesterov
        As given to `landscape`.
    lr : ndarray, shape (L,)
        Step sizes.
    threshold : ndarray, shape (C,)
        Thresholds in residual units.
    risk : ndarray, shape (L, C)
        At the horizon; inf where it grows more than a thousandfold.

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> hd.tuning.landscape(problem, 2.0, lr=[0.1, 0.3, 1.0], threshold=[0.5, 1.0]).risk.shape
    (3, 2)
    """

    problem: Problem
    horizon: float
    batch_size: int
    lr: FloatArray
    threshold: FloatArray
    risk: FloatArray
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __repr__(self) -> str:
        return (
            f"Landscape(t={self.horizon:g}, {self.lr.size} lr x {self.threshold.size} thresholds, best {self.best!r})"
        )

    @property
    def best(self) -> ClippedSGD:
        """The grid's best optimizer."""
        i, j = np.unravel_index(int(self.risk.argmin()), self.risk.shape)
        buffer = self.momentum, self.dampening, self.nesterov
        return ClippedSGD(float(self.lr[i]), float(self.threshold[j]), self.batch_size, *buffer)

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the risk as filled contours over lr and threshold, the best point as a cross.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; the current Axes by default.
        **style
            As for the plots of the other results.

        Returns
        -------
        Axes
            Where it was drawn.
        """
        return plot_landscape(self, ax, **style)


@known_names
def landscape(
    problem: Problem,
    horizon: float,
    lr: Any,
    threshold: Any,
    batch_size: int = 1,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
) -> Landscape:
    """Predict the risk at a horizon for every pair of a step size and a clip threshold.

    Parameters
    ----------
    problem : Problem
        The problem.
    horizon : float
        In units of t = k/d.
    lr : array_like, shape (L,)
        Increasing, > 0.
    threshold : array_like, shape (C,)
        Increasing, > 0, in residual units; inf allowed.
    batch_size : int
        B.
    momentum, dampening, nesterov
        As in ClippedSGD.

    Returns
    -------
    Landscape
        Its risks are right to 1e-5.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.
    NoLimit
        For a threshold inf under noise of infinite variance.

    Notes
    -----
    Every point is R(horizon) of the limit ODE that `predict` integrates.

    References
    ----------
    The limit of `predict`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> hd.tuning.landscape(problem, 2.0, lr=[0.1, 0.3, 1.0], threshold=[0.5, 1.0]).best.lr
    1.0
    """
    horizon = checked_trial(problem, horizon).horizon
    steps, clips = _axis("lr", lr, False), _axis("threshold", threshold, True)
    optimizer = ClippedSGD(1.0, 1.0, checks.count("batch_size", batch_size), momentum, dampening, nesterov)
    points = Points(problem, optimizer, {"lr": steps, "threshold": clips})
    points.check_total("threshold", 1)
    risk = points.solve(horizon, np.array([horizon]), True, RTOL).risk
    grown = np.where(risk > GROWN * problem.initial_risk, math.inf, risk)
    buffer = optimizer.momentum, optimizer.dampening, optimizer.nesterov
    return Landscape(problem, horizon, optimizer.batch_size, steps, clips, grown, *buffer)


def _axis(argument: str, value: Any, infinite: bool) -> FloatArray:
    """Check the values along an axis."""
    values = numbers(argument, value, infinite)
    if (values <= 0).any() or (np.diff(values) <= 0).any():
        raise InvalidInput(argument, "increasing values > 0", shown(values.tolist()))
    return values


def around(problem: Problem, optimizer: ClippedSGD, horizon: float) -> Landscape:
    """Compute the landscape around an optimizer with constant lr and threshold, 24 x 24 points.

    Raises
    ------
    InvalidInput
        Where one of the two is not constant.
    """
    lr, threshold = optimizer.lr_schedule, optimizer.control_schedule
    if not (isinstance(lr, Constant) and isinstance(threshold, Constant)):
        raise InvalidInput(
            "optimizer", "a constant lr and threshold (the landscape is over constants)", shown(optimizer)
        )
    c = threshold.value
    if math.isinf(c):
        c = 2 * math.sqrt(2 * problem.initial_risk + problem.noise.width**2)
    steps = np.geomspace(lr.value / LR_REACH, lr.value * LR_REACH, POINTS)
    clips = np.geomspace(c / THRESHOLD_REACH, c * THRESHOLD_REACH, POINTS)
    buffer = {} if optimizer.memory is None else optimizer.memory._asdict()
    return landscape(problem, horizon, steps, clips, optimizer.batch_size, **buffer)
