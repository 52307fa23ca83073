"""The greedy step size: at every time the step with the fastest decrease of the risk.

eta*(t) = mu A/(nu Bq),   A = sum lambda_i^2 m_i,  Bq = sum lambda_i c_i/d,   dR/dt = -(mu^2/nu) A^2/(2 Bq)

In the clock s with ds = eta* mu dt neither mu nor nu enters the modes any more: they are a sum of exponentials.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.core.timegrid import counting
from hdlimit.errors import InvalidInput, NotAvailable, shown
from hdlimit.kernels.responses import SMALLEST
from hdlimit.limit.compression import binned
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.system import limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.optimizers.schedules import Constant, Table
from hdlimit.optimizers.sgd import SGD
from hdlimit.optimizers.sign import SignSGD
from hdlimit.problem.least_squares import checked_problem
from hdlimit.problem.problem import Problem
from hdlimit.response.closed_loop import at_threshold
from hdlimit.response.response import MapResponse, Response
from hdlimit.tuning.clip_schedule import ClipSchedule
from hdlimit.tuning.search import best_step
from hdlimit.tuning.threshold_rules import Followed, clip_schedule, max_ccc
from hdlimit.tuning.trial import checked_trial

# Modes and times of the greedy integration: accuracy of the table against the time of LSODA. Chosen, not measured.
BINS, POINTS = 100, 300
# Relative tolerance of the clock: 1e-8 of the exponent of a falling v. Chosen, not measured.
RTOL = 1e-10
# Share of the mean noise weight that a mode without noise is given, so that the modes have a symmetric form: its error
# against that of rounding, which grows with the inverse of its root. Chosen, not measured.
UNFORCED = 1e-12


@known_names
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
    NotAvailable
        With momentum, where dR/dt is linear in lr.

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
    checked_problem(problem)
    if optimizer is SGD or optimizer is SignSGD:
        optimizer = optimizer(lr=1.0)
    if not isinstance(optimizer, Optimizer) or not isinstance(optimizer.control_schedule, Constant):
        raise InvalidInput("optimizer", "SGD, SignSGD or an optimizer with a constant threshold", shown(optimizer))
    if optimizer.memory is not None:
        raise NotAvailable(
            "greedy_lr: with momentum the step follows past gradients and dR/dt is linear in lr, so that no lr is best "
            f"at a time ({shown(optimizer, 80)}); tune_lr has the best constant one"
        )
    c = optimizer.control_schedule.value
    exact = MapResponse.of(optimizer, problem.noise)
    response = at_threshold(exact, c) if exact.map.clips else exact
    table = greedy_table(problem, response, c, optimizer.features, horizon)
    followed: Any = optimizer
    warn_caveats(problem, horizon, limit_of(problem, replace(followed, lr=table)))
    return table


@counting()
def greedy_table(problem: Problem, response: Response, c: float, features: str, horizon: float) -> Table:
    """Compute eta*(t) for a response, from binned modes with the step in feedback.

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
    quadratic, decay = float(modes.diffusion.sum()), _decay(modes)
    gain = response.lookup(c)

    def pace(clock: float) -> tuple[float, float]:
        """Return the greedy step and its eta mu at a time of the modes' own clock."""
        v, rate = decay(clock)
        mu, nu = gain(v)
        eta = mu * v * rate / (nu * quadratic)
        return eta, eta * mu

    fastest = 1e3 * pace(0.0)[1] * modes.fastest
    first = min(1 / max(fastest, SMALLEST), trial.horizon / 10)
    time = np.concatenate([[0.0], np.geomspace(first, trial.horizon, POINTS)])
    time[-1] = trial.horizon
    found = solve_ivp(
        lambda t, clock: [pace(float(clock[0]))[1]],
        (0.0, trial.horizon),
        [0.0],
        "LSODA",
        time,
        rtol=RTOL,
        atol=RTOL / modes.fastest,
    )
    if not found.success:
        raise NotAvailable(f"greedy step size: the integration stopped: {found.message}")
    return Table(time, np.array([pace(clock)[0] for clock in found.y[0].tolist()]))


def _decay(modes: MomentSystem) -> Callable[[float], tuple[float, float]]:
    """Return v and A/v as functions of the clock s.

    du/ds = -2 lambda u + f A/Bq for the modes u = lambda m is linear, and symmetric in w = sqrt(lambda/f) u:
    A = sum of a exp(-y s) and, as dv/ds = -A, v = sum of a/y exp(-y s), with positive y.
    """
    rate, whole = modes.rate, float(modes.diffusion.sum())
    forcing = np.maximum(modes.diffusion, UNFORCED * whole / rate.size)
    pull = np.sqrt(rate * forcing)
    y, vectors = np.linalg.eigh(np.diag(2 * rate) - pull[:, None] * pull / whole)
    weight = (vectors.T @ pull) * (vectors.T @ (np.sqrt(rate / forcing) * modes.start))

    def decay(clock: float) -> tuple[float, float]:
        left = weight * np.exp(-(y - y[0]) * clock)
        v = float((left / y).sum())
        return max(v * math.exp(-y[0] * clock), SMALLEST), float(left.sum()) / v

    return decay


@known_names
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
    trial, batch_size = checked_trial(problem, horizon), checks.count("batch_size", batch_size)
    rule = max_ccc(problem, batch_size)
    lr = greedy_table(problem, rule.response(problem.noise, batch_size), math.inf, "identity", trial.horizon)
    sgd = None if math.isinf(problem.noise.second_moment) else best_step(trial, SGD(1.0, batch_size))
    sgd_risk = math.inf if sgd is None else math.exp(sgd.value)
    schedule = clip_schedule(trial, Followed(rule, lr, math.nan), batch_size, sgd_risk)
    warn_caveats(problem, trial.horizon, limit_of(problem, schedule.optimizer))
    return schedule
