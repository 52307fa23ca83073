"""The first route to a curve: the limit ODE."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.timegrid import check_horizon, default_times
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, Status
from hdlimit.kernels import esdirk
from hdlimit.limit.integrator import Solution, solve
from hdlimit.limit.interpolant import first_crossing
from hdlimit.limit.stability import is_stable, judge
from hdlimit.limit.system import Limit, check_types, limit_of
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.prediction.curve import Curve
from hdlimit.problem.covariance import TOLERANCE
from hdlimit.problem.problem import Problem

LOOSEST, TIGHTEST = 1e-2, 1e-10


def predict(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    times: Any = None,
    rtol: float = 1e-6,
    compress: bool | float = True,
    until: float | None = None,
) -> Curve:
    """The excess-risk curve of an optimizer in the limit of large dimension.

        dm_i/dt = -2 eta mu(v) lambda_i m_i + eta^2 nu(v) c_i/d,   v = 2R = sum_i lambda_i m_i

    by a stiffly accurate ESDIRK method of order 5, whose stages are one scalar root each, with error control on R,
    norm(delta)^2 and norm(K delta)^2.

    problem: a Problem; optimizer: SGD, ClippedSGD or SignSGD; horizon: last time, t = k/d, from 1/d to 1e12; times:
    where to report, non-decreasing in [0, horizon], None for 0 and 200 geometric points from 1/d; rtol: relative
    accuracy of the curve against the exact solution of the limit ODE (measured: the error stays below 3 rtol), 1e-10
    to 1e-2; compress: True puts more than 4096 eigenvalues of a diagonal covariance into a few hundred modes, with an
    error of at most 1e-7 and rtol/10 (curve.compression says it), False keeps every eigenvalue, a number is the error
    allowed (1e-11 to 1e-2); a named covariance under the default target and start is never stored; until: a risk > 0
    at which to stop, None for the whole horizon: the curve ends with the step in which it is reached. The limit itself
    is off the mean of finite-d runs by O(1/d_int); verify measures it.

    Returns: a Curve. Divergence is an outcome: the curve then ends where v exceeds 1e12 max(v(0), E eps^2). Raises:
    InvalidInput; NoLimit for SGD under noise of infinite variance. Warns: LowDimensionWarning, HeavyTailWarning,
    NearCriticalWarning, NonGaussianWarning, ValidityWarning, see hdlimit.limit.validity.caveats. Source:
    high-dimensional limits
    of Collins-Woodfin, Paquette et al. (SGD), Marshall et al. (clipped SGD), Xiao et al. (signSGD); ESDIRK5(4)7L[2]SA2
    of Kennedy and Carpenter.
    """
    check_types(problem, optimizer)
    horizon = check_horizon(horizon, problem.dimension)
    rtol = checks.positive("rtol", rtol)
    if not TIGHTEST <= rtol <= LOOSEST:
        raise InvalidInput("rtol", f"a number from {TIGHTEST:g} to {LOOSEST:g}", f"{rtol:g}")
    grid = default_times(horizon, problem.dimension) if times is None else checks.times("times", times, horizon)
    limit = limit_of(problem, optimizer, min(TOLERANCE, rtol / 10) if compress is True else compress)
    warn_caveats(problem, optimizer, horizon)
    level = -math.inf if until is None else 2 * checks.positive("until", until)
    solution = solve(limit, limit.modes, horizon, rtol, level)
    if not solution.steps:
        sizes = f"initial risk {problem.initial_risk:.3g}, {problem.noise!r}, {optimizer!r}"
        raise NotAvailable(f"predict: no step can be taken in double precision, choose other units ({sizes})")
    end = float(solution.dense.knots[-1])
    reached = grid[grid <= end]
    risk = np.maximum(solution.dense(reached, 0), 0.0) / 2
    outcome = _outcome(problem, optimizer, limit, solution, horizon, level)
    return Curve(
        problem, optimizer, horizon, rtol, reached, risk, outcome, solution.dense, __version__, limit.compression
    )


def _outcome(
    problem: Problem, optimizer: Optimizer, limit: Limit, solution: Solution, horizon: float, level: float
) -> Outcome:
    end = float(solution.dense.knots[-1])
    if solution.status == esdirk.FELL:
        risk, reached = level / 2, first_crossing(solution.dense, level)
        return Outcome(Status.FINISHED, f"R = {risk:g} reached at t = {reached:.6g} of {horizon:g}")
    if solution.status == esdirk.REACHED:
        if is_stable(problem, optimizer, limit, horizon):
            return Outcome(Status.FINISHED, f"finished at t = {end:g}")
        judged = judge(problem, optimizer, limit, horizon)
        return Outcome(
            Status.UNSTABLE, f"finished at t = {end:g}, but {judged.outcome.sentence}: at such an lr the risk grows"
        )
    if solution.status == esdirk.ESCAPED:
        return Outcome(
            Status.DIVERGED,
            f"diverged at t = {end:.6g} of {horizon:g}: {judge(problem, optimizer, limit, horizon).outcome.sentence}",
        )
    reason = (
        "the step size of the integrator fell below rounding" if solution.status == esdirk.STALLED else "too many steps"
    )
    return Outcome(Status.STOPPED, f"stopped at t = {end:.6g} of {horizon:g}: {reason} ({solution.steps} steps)")
