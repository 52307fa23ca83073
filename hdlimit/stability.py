"""Stability and steady state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdlimit import checks
from hdlimit.covariance import CovarianceModel
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, Status
from hdlimit.limit import Limit, check_types, limit_of
from hdlimit.optimizers import Optimizer
from hdlimit.problem import Problem
from hdlimit.schedules import Constant, Schedule
from hdlimit.times import LONGEST_HORIZON

SMALLEST, LARGEST = 1e-280, 1e280  # of v


@dataclass(frozen=True)
class Stability:
    """stable: lr is below critical_lr; lr: the step size judged (the largest of a schedule); critical_lr: exact at
    this d and batch size for SGD, inf where no step size diverges; limit_critical_lr: the limit's; outcome: the
    sentence.
    """

    stable: bool
    lr: float
    critical_lr: float
    limit_critical_lr: float
    outcome: Outcome

    def __str__(self) -> str:
        return self.outcome.sentence


@dataclass(frozen=True)
class SteadyState:
    """risk: the excess risk R that the limit settles at, inf if it grows without limit; outcome: the sentence."""

    risk: float
    outcome: Outcome

    def __str__(self) -> str:
        return self.outcome.sentence


def exact_critical_lr(covariance: CovarianceModel, batch_size: int) -> float:
    """The step size above which the mean square of streaming SGD grows, for Gaussian x, at this d.

    Solves sum_i g l_i/(2B - g l_i (B + 1)) = 1 with g = eta/d and g l_max < 2B/(B + 1), l_i the eigenvalues of K.
    Source: derivations/steady.py.
    """
    from scipy.optimize import brentq

    values, b = covariance.eigenvalues / covariance.norm, batch_size
    values = values[values > 0]
    largest = 2 * b / (b + 1)
    excess = lambda g: float((g * values / (2 * b - g * values * (b + 1))).sum()) - 1  # noqa: E731
    root = brentq(excess, 0.0, largest * (1 - 1e-13), xtol=1e-300, rtol=1e-14)
    return float(root) * covariance.dimension / covariance.norm


def largest_lr(schedule: Schedule, horizon: float) -> float:
    """The largest value of a step-size schedule, on its knots and a grid of 2000 times up to the horizon."""
    grid = np.concatenate([[0.0], np.geomspace(min(1e-3, horizon / 2), horizon, 2000), schedule.knots])
    return float(schedule(grid[grid <= horizon]).max())


def stability(problem: Problem, optimizer: Optimizer, horizon: float = LONGEST_HORIZON) -> Stability:
    """Whether the optimizer's risk stays bounded, and the step size above which it does not.

    SGD with batch size B: the limit is stable iff eta kappa < 2B, kappa = tr(K)/d; at finite d the critical step is
    the root of sum_i g l_i/(2B - g l_i (B + 1)) = 1, g = eta/d. Bounded residual maps (clip, sign) never diverge:
    inf.

    problem: a Problem; optimizer: SGD, ClippedSGD or SignSGD; horizon: the lr of a schedule is judged by its largest
    value up to this time.
    Returns: a Stability. Raises: NoLimit where nu is infinite. Source: THEORY section 2; derivations/steady.py.
    """
    check_types(problem, optimizer)
    limit = limit_of(problem, optimizer)
    lr = largest_lr(limit.lr, checks.positive("horizon", horizon))
    if limit.bounded:
        return Stability(
            True, lr, math.inf, math.inf, Outcome(Status.FINISHED, "no step size diverges: the residual map is bounded")
        )
    b = optimizer.batch_size
    asymptotic = 2 * b / limit.modes.forcing
    critical = exact_critical_lr(problem.covariance, b)
    stable = lr < critical
    relation = "below" if stable else "not below"
    name = "lr" if isinstance(limit.lr, Constant) else "the largest lr"
    sentence = f"{name} {lr:.4g} is {relation} the critical lr {critical:.4g} (in the limit: {asymptotic:.4g})"
    return Stability(
        stable, lr, critical, asymptotic, Outcome(Status.FINISHED if stable else Status.UNSTABLE, sentence)
    )


def _balance(limit: Limit, lr: float, c: float, v: float) -> float:
    """2 v mu(v) - eta nu(v) cbar: its zeros are the steady states."""
    mu, nu = limit.response(v, c)
    return 2 * v * mu - lr * nu * limit.modes.forcing


def steady_state(problem: Problem, optimizer: Optimizer) -> SteadyState:
    """The excess risk at which the limit settles: 4 R mu(2R) = eta nu(2R) cbar, cbar = (1/d) sum of c_i over lambda_i
    > 0.

    Of several solutions the one is taken that is next to the start in the direction in which the risk moves.

    problem: a Problem; optimizer: SGD, ClippedSGD or SignSGD with constant lr and threshold.
    Returns: a SteadyState, with risk inf and its reason where the risk grows without limit.
    Raises: InvalidInput for schedules, NoLimit where nu is infinite. Source: derivations/steady.py.
    """
    from scipy.optimize import brentq

    check_types(problem, optimizer)
    limit = limit_of(problem, optimizer)
    if not (isinstance(limit.lr, Constant) and isinstance(limit.threshold, Constant)):
        raise InvalidInput("optimizer", "a constant lr and threshold (a schedule has no steady state)", repr(optimizer))
    lr, c = limit.lr.value, limit.threshold.value
    v = 2 * problem.initial_risk
    v = max(v, SMALLEST) if v > 0 else max(limit.response.noise.width, 1e-3) ** 2
    falling = _balance(limit, lr, c, v) > 0
    factor = 0.5 if falling else 2.0
    while SMALLEST <= v <= LARGEST:
        if (_balance(limit, lr, c, v * factor) > 0) != falling:
            root = brentq(lambda x, v=v: _balance(limit, lr, c, v * x), min(1.0, factor), max(1.0, factor), xtol=1e-14)
            risk = v * root / 2
            return SteadyState(risk, Outcome(Status.FINISHED, f"the excess risk settles at {risk:.6g}"))
        v *= factor
    if falling:
        return SteadyState(0.0, Outcome(Status.FINISHED, "the excess risk falls to 0"))
    if limit.bounded:
        raise NotAvailable(f"steady_state: the excess risk rises above {LARGEST:g}, choose other units")
    critical = stability(problem, optimizer).limit_critical_lr
    sentence = f"the excess risk grows without limit: lr {lr:.4g} is not below the limit's critical lr {critical:.4g}"
    return SteadyState(math.inf, Outcome(Status.UNSTABLE, sentence))
