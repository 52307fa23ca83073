"""The score of a problem as a finished table, which the simulator applies without knowing any theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.core.timegrid import check_horizon, default_times
from hdlimit.errors import InvalidInput, shown
from hdlimit.kernels import esdirk
from hdlimit.limit.compression import compressed
from hdlimit.limit.integrator import solve
from hdlimit.limit.system import Limit
from hdlimit.optimizers.residual_table import ResidualTable
from hdlimit.optimizers.schedules import Constant, Table, as_schedule
from hdlimit.optimizers.score import ScoreSGD
from hdlimit.problem.least_squares import checked_problem
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.problem import Problem
from hdlimit.response.fisher import Ceiling, smooth_information
from hdlimit.response.residual_law import ResidualLaw

# Relative tolerance of the design curve v(t), which says at which v the table is read. Chosen, not measured.
RTOL = 1e-4
# Least v of the table over the largest: below it the table keeps its last level. Chosen, not measured.
SMALLEST = 1e-9
# Distance of levels in log v, 16 %, and loss of efficiency of one interval of residuals: together they lose less than
# 3e-5 of the Fisher information, on levels and half-way between them (tests/tuning/test_score.py).
SPACING, LOSS = 0.15, 2e-8
# Residuals at which the refinement of the table stops: its memory. Chosen, not measured.
MOST_RESIDUALS = 2000


@known_names
def score_sgd(problem: Problem, horizon: float, lr: Any, batch_size: int = 1) -> ScoreSGD:
    """Return the score optimizer of a problem, which no other residual map can beat.

    Its design is the curve v(t) that it follows itself.

    Parameters
    ----------
    problem : Problem
        Supplies noise, covariance and start.
    horizon : float
        Up to which the design is needed, in units of t = k/d.
    lr : float or Schedule
        Step size eta > 0.
    batch_size : int, default 1
        Fresh samples a step.

    Returns
    -------
    ScoreSGD
        The optimizer, its residual map a finished table.

    Raises
    ------
    InvalidInput
        If an argument cannot be used, and where the risk diverges at this lr.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(200), hd.Laplace(0.5))
    >>> score = hd.tuning.score_sgd(problem, horizon=10.0, lr=0.3)
    >>> bool(hd.predict(problem, score, 10.0).risk[-1] < hd.predict(problem, hd.SGD(lr=0.3), 10.0).risk[-1])
    True
    """
    return ScoreSGD(lr, *score_of(problem, lr, horizon, batch_size), batch_size)


def score_of(problem: Problem, lr: Any, horizon: float, batch_size: int) -> tuple[ResidualTable, Table]:
    """Return the score of a problem and the v(t) that it follows itself, on the times of a default curve.

    Parameters
    ----------
    problem, lr, horizon, batch_size
        See `score_sgd`.

    Returns
    -------
    ResidualTable
        The score, scaled to mu = 1.
    Table
        v(t).

    Raises
    ------
    InvalidInput
        If an argument cannot be used, and where the risk diverges at this lr.

    Notes
    -----
    dm_i/dt = -2 eta lambda_i m_i + eta^2 lambda_i/(d B I_F(v)) gives v(t) without any table, as mu = 1 and nu =
    1/(B I_F) at v = s; the table then covers the v of that curve (down to 1e-9 of the largest). As I_F <= 1/v, a
    constant lr >= 2 B/kappa diverges, and with I_F ~ 1/v for large v no smaller one does.
    """
    checked_problem(problem)
    horizon = check_horizon(horizon, problem.dimension)
    schedule, batch_size = as_schedule("lr", lr), checks.count("batch_size", batch_size)
    if problem.initial_risk == 0 and problem.noise.width == 0:
        raise InvalidInput("problem", "a start that is not the target, or label noise", shown(problem))
    modes = compressed(problem, "identity", True)[0]
    critical = 2 * batch_size / modes.forcing if modes.forcing > 0 else math.inf
    if isinstance(schedule, Constant) and schedule.value >= critical:
        expected = f"a step size below {critical:.4g}, so that the risk stays bounded"
        raise InvalidInput("lr", expected, f"{schedule.value:g}")
    limit = Limit(modes, Ceiling(problem.noise, batch_size), schedule, Constant(math.inf), 1 / problem.dimension)
    solution = solve(limit, modes, horizon, RTOL)
    if solution.status != esdirk.REACHED:
        end = float(solution.dense.knots[-1])
        raise InvalidInput("lr", "a step size at which the risk stays bounded", f"{lr!r}: it diverges at t = {end:g}")
    grid = default_times(horizon, problem.dimension)
    times = grid if isinstance(schedule, Constant) else np.union1d(grid, solution.dense.knots)
    largest = float(solution.dense.start[:, 0].max()) or problem.noise.width**2
    v = np.maximum(solution.dense(times, 0), SMALLEST * largest)
    return score_table(problem.noise, float(v.min()), float(v.max())), Table(times, v)


def score_table(noise: NoiseLaw, low: float, high: float) -> ResidualTable:
    """Return the score, scaled to mu = 1, over v in [low, high].

    Levels are 16 % apart. Between residuals the linear interpolation of psi loses less than about 1e-5 of efficiency at
    every level.

    Parameters
    ----------
    noise : NoiseLaw
        Label noise.
    low, high : float
        Range of v = 2R.

    Returns
    -------
    ResidualTable
        psi over (log v, r).
    """
    count = max(math.ceil(math.log(1.1 * high / low) / SPACING), 1) + 1
    levels = np.geomspace(low / 1.05, high * 1.05, count)
    ladder = [ResidualLaw(noise, float(s)) for s in levels]
    scale = np.array([smooth_information(noise, float(s)) for s in levels])
    first, last = ladder[0].edges, ladder[-1].edges
    outer = last[(last < first[0]) | (last > first[-1])]
    r = np.union1d(first, outer)
    log_density, score = _on(ladder, r)
    while r.size < MOST_RESIDUALS:
        middle = (r[1:] + r[:-1]) / 2
        log_middle, score_middle = _on(ladder, middle)
        missed = score_middle - (score[:, 1:] + score[:, :-1]) / 2
        loss = (np.exp(log_middle) * np.diff(r) * missed**2 / scale[:, None]).max(axis=0)
        wanted = loss > LOSS
        if not wanted.any():
            break
        place = np.flatnonzero(wanted) + 1
        r = np.insert(r, place, middle[wanted])
        score = np.insert(score, place, score_middle[:, wanted], axis=1)
    return ResidualTable(levels, r, score / scale[:, None])


def _on(ladder: list[ResidualLaw], r: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log p_r and the score at every level, each of shape (levels, size of r).

    Where p_r vanishes in floating point, the score is that of the nearest place where it does not.
    """
    pairs = [law.log_density_and_score(r) for law in ladder]
    scores = [np.interp(r, r[np.isfinite(p)], s[np.isfinite(p)]) for p, s in pairs]
    return np.array([p for p, _ in pairs]), np.array(scores)
