"""Tuning of the step size alone, and what all tuning over a horizon shares."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

from hdlimit.core.declaration import known_names
from hdlimit.errors import HdlimitWarning, InvalidInput, shown
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.sgd import SGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.predict import predict
from hdlimit.problem.problem import Problem
from hdlimit.tuning.search import best_step
from hdlimit.tuning.trial import Trial, check_found, checked_trial


@dataclass(frozen=True, eq=False, repr=False)
class LrTuning:
    """The tuned step size.

    Parameters
    ----------
    optimizer : Optimizer
        With that lr.
    curve : Curve
        Its predicted curve.
    time : float or None
        Time at which the target is reached, None without a target.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> best = hd.tune_lr(problem, hd.SGD, horizon=5.0)
    >>> best.lr == best.optimizer.lr
    True
    """

    optimizer: Optimizer
    curve: Curve
    time: float | None

    def __repr__(self) -> str:
        return f"LrTuning({self.optimizer!r}, t={self.curve.horizon:g}, risk {self.risk:.4g})"

    @property
    def lr(self) -> float:
        """The step size eta."""
        return float(self.optimizer.lr)

    @property
    def risk(self) -> float:
        """The excess risk R at the horizon."""
        return float(self.curve.risk[-1])


@known_names
def tune_lr(problem: Problem, optimizer: Any, horizon: float, target: float | None = None) -> LrTuning:
    """Find the constant step size with the lowest risk at a horizon, or the shortest time to a target risk.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : type or Optimizer
        SGD or SignSGD (the class), or an optimizer with a constant threshold whose lr is replaced; its momentum is
        kept.
    horizon : float
        In units of t = k/d.
    target : float, optional
        A risk: the time at which it is reached is minimized.

    Returns
    -------
    LrTuning
        The lr is within a few parts in a thousand of the minimum's; with momentum, whose risk may oscillate, of the
        lowest minimum that is seen on a grid of steps of a factor 2.

    Raises
    ------
    InvalidInput
        As `tune_clip`.
    NoLimit
        For SGD under noise of infinite variance.

    Warns
    -----
    HdlimitWarning
        As `predict` does.

    Notes
    -----
    The lr minimizes R(horizon) of the limit ODE, or the first t with R(t) <= target.

    References
    ----------
    The limit of `predict`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> best = hd.tune_lr(problem, hd.SGD, horizon=5.0)
    >>> bool(best.risk < hd.predict(problem, hd.SGD(lr=1.5 * best.lr), horizon=5.0).risk[-1])
    True
    """
    if optimizer is SGD or optimizer is SignSGD:
        optimizer = optimizer(lr=1.0)
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput("optimizer", "SGD, SignSGD or an optimizer with its threshold", shown(optimizer))
    trial = checked_trial(problem, horizon, optimizer.features, target, optimizer.memory)
    found = best_step(trial, optimizer)
    check_found(trial, found.value, lambda: math.exp(best_step(untargeted(trial), optimizer).value))
    time = None if trial.target is None else math.exp(found.value)
    warn_caveats(problem, trial.horizon, limit_of(problem, found.optimizer))
    return LrTuning(found.optimizer, quiet_curve(problem, found.optimizer, trial.horizon), time)


def quiet_curve(problem: Problem, optimizer: Optimizer, horizon: float) -> Curve:
    """Predict the curve without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HdlimitWarning)
        return predict(problem, optimizer, horizon)


def untargeted(trial: Trial) -> Trial:
    """Copy the trial, without its target."""
    return replace(trial, target=None)
