"""The greedy step size: at every time the step with the fastest decrease of the risk.

eta*(t) = mu A/(nu Bq),   A = sum lambda_i^2 m_i,  Bq = sum lambda_i c_i/d,   dR/dt = -(mu^2/nu) A^2/(2 Bq)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput, NotAvailable
from hdlimit.limit.compression import binned
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Constant, Table
from hdlimit.optimizers.sgd import SGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.problem import Problem
from hdlimit.response.closed_loop import at_threshold
from hdlimit.response.response import MapResponse, Response
from hdlimit.tuning.clip_schedule import ClipSchedule
from hdlimit.tuning.search import best_step
from hdlimit.tuning.threshold_rules import Followed, clip_schedule, max_ccc
from hdlimit.tuning.trial import checked_trial

# Modes and times of the greedy integration: accuracy of the table against the time of LSODA. Chosen, not measured.
BINS, POINTS = 100, 300


def greedy_lr(problem: Problem, optimizer: Any, horizon: float) -> Table:
    """Compute the greedy step-size schedule of an optimizer along its own curve, as a table over t.

    It is best now at every time, for no horizon in particular: a constant can end lower.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : type or Optimizer
        SGD or SignSGD (the class), or an optimizer with a constant threshold, whose lr is ignored.
    horizon : float
        In units of t = k/d.

    Returns
    -------
    Table
        To be used as lr.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.
    NoLimit
        For SGD under noise of infinite variance.

    Warns
    -----
    HdlimitWarning
        As `predict` does.

    Notes
    -----
        eta*(t) = mu A/(nu Bq),   A = sum lambda_i^2 m_i,   Bq = sum lambda_i c_i/d

    minimizes dR/dt at every t; then dR/dt = -(mu^2/nu) A^2/(2 Bq).

    References
    ----------
    The limit of `predict`.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> lr = hd.tuning.greedy_lr(problem, hd.SGD, horizon=5.0)
    >>> bool(lr(0.0) > lr(5.0))
    True
    """
    if optimizer in (SGD, SignSGD):
        optimizer = optimizer(lr=1.0)
    if not isinstance(optimizer, Optimizer) or not isinstance(optimizer.control_schedule, Constant):
        raise InvalidInput("optimizer", "SGD, SignSGD or an optimizer with a constant threshold", repr(optimizer)[:120])
    c = optimizer.control_schedule.value
    exact = MapResponse.of(optimizer, problem.noise)
    response = at_threshold(exact, c) if exact.map.clips else exact
    table = greedy_table(problem, response, c, optimizer.features, horizon)
    followed: Any = optimizer
    warn_caveats(problem, horizon, limit_of(problem, replace(followed, lr=table)))
    return table


def greedy_table(problem: Problem, response: Response, c: float, features: str, horizon: float) -> Table:
    """Compute eta*(t) for a response, by integration of binned modes with the step in feedback.

    Parameters
    ----------
    problem : Problem
        The problem.
    response : Response
        Its mu and nu give the step.
    c : float
        Constant clip threshold that the response is asked with.
    features : str
        Name of the feature map.
    horizon : float
        In units of t = k/d.

    Returns
    -------
    Table
        At 0 and 300 times in geometric progression.
    """
    from scipy.integrate import solve_ivp

    trial = checked_trial(problem, horizon, features)
    modes = binned(trial.modes, BINS)
    rate, forcing = modes.rate, modes.diffusion
    quadratic = float(forcing.sum())
    gain = response.lookup(c)

    def step(u: FloatArray) -> tuple[float, float, float]:
        mu, nu = gain(max(float(u.sum()), 1e-280))
        return mu * float(rate @ u) / (nu * quadratic), mu, nu

    def slope(t: float, u: FloatArray) -> FloatArray:
        eta, mu, nu = step(u)
        change: FloatArray = -2 * eta * mu * rate * u + eta**2 * nu * forcing
        return change

    first = 1e-3 / (step(modes.start)[0] * step(modes.start)[1] * float(rate.max()))
    time = np.concatenate([[0.0], np.geomspace(min(first, trial.horizon / 10), trial.horizon, POINTS)])
    time[-1] = trial.horizon
    small = 1e-12 * float(modes.start.sum())
    found = solve_ivp(slope, (0.0, trial.horizon), modes.start, "LSODA", time, rtol=1e-6, atol=small / rate.size)
    if not found.success:
        raise NotAvailable(f"greedy step size: the integration stopped: {found.message}")
    return Table(time, np.array([step(u)[0] for u in np.maximum(found.y, 0.0).T]))


def greedy_clip(problem: Problem, horizon: float, batch_size: int = 1) -> ClipSchedule:
    """Compute the max-CCC threshold with the greedy step: the fastest decrease of the risk that clipping allows.

    Parameters
    ----------
    problem : Problem
        The problem.
    horizon : float
        In units of t = k/d.
    batch_size : int
        B.

    Returns
    -------
    ClipSchedule
        Both schedules, along the predicted curve.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.

    Warns
    -----
    HdlimitWarning
        As `predict` does.

    Notes
    -----
        c*(t) = argmax_c mu_c^2/nu_c,   eta*(t) = mu A/(nu Bq),   A = sum lambda_i^2 m_i,   Bq = sum lambda_i c_i/d

    References
    ----------
    Marshall, Xiao, Agarwala, Paquette (2025), the clipping comparison criterion (CCC).

    Examples
    --------
    >>> import hdlimit as hd
    >>> noise = hd.GaussianMixture(weights=[0.9, 0.1], scales=[0.3, 2.0])
    >>> problem = hd.Problem(hd.Isotropic(100), noise)
    >>> hd.tuning.greedy_clip(problem, horizon=2.0).gain > 1
    True
    """
    trial, batch_size = checked_trial(problem, horizon), checks.integer("batch_size", batch_size)
    rule = max_ccc(problem, batch_size)
    lr = greedy_table(problem, rule.response(problem.noise, batch_size), math.inf, "identity", trial.horizon)
    sgd = None if math.isinf(problem.noise.second_moment) else best_step(trial, SGD(1.0, batch_size))
    sgd_risk = math.inf if sgd is None else math.exp(sgd.value)
    schedule = clip_schedule(trial, Followed(rule, lr, math.nan), batch_size, sgd_risk)
    warn_caveats(problem, trial.horizon, limit_of(problem, schedule.optimizer))
    return schedule
