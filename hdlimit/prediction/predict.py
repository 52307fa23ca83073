"""The first route to a curve: the limit ODE."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import known_names
from hdlimit.core.timegrid import check_horizon, check_memory, default_times
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, Status
from hdlimit.kernels import esdirk
from hdlimit.limit.integrator import Solution, solve
from hdlimit.limit.interpolant import first_crossing
from hdlimit.limit.stability import is_stable, judge
from hdlimit.limit.system import Limit, limit_of
from hdlimit.limit.units import warn_units
from hdlimit.limit.validity import warn_caveats
from hdlimit.optimizers.base import Optimizer, check_types
from hdlimit.prediction.curve import Curve
from hdlimit.problem.covariance import TOLERANCE
from hdlimit.problem.problem import Problem

# Range of rtol: looser curves are sketches, tighter ones meet rounding.
LOOSEST, TIGHTEST = 1e-2, 1e-10
# Bytes of a time while a curve is read off; measured with tracemalloc.
TIME = 100.0


@known_names
def predict(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    times: Any = None,
    rtol: float = 1e-6,
    compress: bool | float = True,
    until: float | None = None,
) -> Curve:
    """Return the excess-risk curve of an optimizer in the limit of large dimension.

    Parameters
    ----------
    problem : Problem
        The problem.
    optimizer : Optimizer
        The optimizer.
    horizon : float
        The last time, in units of t = k/d, from 1/d to 1e12.
    times : array_like, shape (T,), optional
        Where to report, non-decreasing in [0, horizon]; by default 0 and 200 geometric points from 1/d.
    rtol : float
        Relative accuracy against the exact solution of the limit equations, from 1e-10 to 1e-2. Measured: the error
        stays below 3 rtol (tests/prediction/test_predict.py).
    compress : bool or float
        True puts more than 4096 eigenvalues of a diagonal covariance into a few hundred modes, with an error of at most
        1e-7 and rtol/10, which `curve.compression` states; False keeps every eigenvalue; a number from 1e-11 to 1e-2 is
        the error allowed. A named covariance under the default target and start is never written down.
    until : float, optional
        A risk > 0 at which to stop: the curve ends with the step in which it is reached.

    Returns
    -------
    Curve
        The curve. Divergence is an outcome: the curve then ends where v = 2R exceeds 1e12 max(v(0), E eps^2).

    Raises
    ------
    InvalidInput
        For an argument that is not as above.
    NoLimit
        For an unbounded residual map (SGD) under noise of infinite variance.
    NotAvailable
        Where no step can be taken in double precision, or a response cannot be tabulated.

    Warns
    -----
    LowDimensionWarning, HeavyTailWarning, NearCriticalWarning, NonGaussianWarning, ValidityWarning
        Where the limit is not to be trusted, with a number: see `hdlimit.errors`.
    UnitsWarning
        Where lr, horizon or a schedule looks like a trainer's: see `hdlimit.limit.units.warn_units`.

    Notes
    -----
    Per mode i of the covariance, with rate lambda_i and noise weight c_i,

        dm_i/dt = -2 eta(t) mu(v) lambda_i m_i + eta(t)^2 nu(v) c_i/d,   v = 2R = sum_i lambda_i m_i,

    is integrated by a stiffly accurate ESDIRK method of order 5 whose stages are one scalar root each, with control of
    the error of R, norm(delta)^2 and norm(K delta)^2. The limit itself is off the mean of runs at finite d by
    O(1/d_int), d_int = tr K/norm(K); `hdlimit.verify` measures it.

    References
    ----------
    .. [1] E. Collins-Woodfin and E. Paquette, "High-dimensional limit of one-pass SGD on least squares", 2023.
    .. [2] N. Marshall, K. L. Xiao, A. Agarwala and E. Paquette, "To clip or not to clip: the dynamics of SGD with
       gradient clipping in high-dimensions", 2025.
    .. [3] K. L. Xiao, N. Marshall, A. Agarwala and E. Paquette, "Exact risk curves of signSGD in high-dimensions",
       2025.
    .. [4] C. A. Kennedy and M. H. Carpenter, "Diagonally implicit Runge-Kutta methods for stiff ODEs", 2019.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(1000), hd.Gaussian(std=0.5))
    >>> curve = hd.predict(problem, hd.SGD(lr=0.5), horizon=10.0)
    >>> round(float(curve.at(10.0)), 5), round(float(curve.risk[-1]), 5)
    (0.04192, 0.04192)
    >>> round(curve.time_to(0.1), 3)
    2.749
    """
    check_types(problem, optimizer)
    horizon = check_horizon(horizon, problem.dimension)
    rtol = checks.positive("rtol", rtol)
    if not TIGHTEST <= rtol <= LOOSEST:
        raise InvalidInput("rtol", f"a number from {TIGHTEST:g} to {LOOSEST:g}", f"{rtol:g}")
    grid = default_times(horizon, problem.dimension) if times is None else checks.times("times", times, horizon)
    check_memory("times", f"{grid.size:.3g} times", grid.size * TIME)
    limit = limit_of(problem, optimizer, min(TOLERANCE, rtol / 10) if compress is True else compress)
    warn_caveats(problem, horizon, limit)
    level = -math.inf if until is None else 2 * checks.risk("until", until)
    solution = solve(limit, limit.modes, horizon, rtol, level)
    if not solution.steps:
        sizes = f"initial risk {problem.initial_risk:.3g}, {problem.noise!r}, {optimizer!r}"
        raise NotAvailable(f"predict: no step can be taken in double precision, choose other units ({sizes})")
    warn_units(problem, optimizer, horizon, limit, solution)
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
