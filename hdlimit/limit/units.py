"""What looks like a trainer's numbers: a raw step in the place of lr, a number of steps in the place of the horizon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from hdlimit.errors import HdlimitError, UnitsWarning, warn
from hdlimit.kernels import esdirk
from hdlimit.limit.integrator import Solution, solve
from hdlimit.limit.system import Limit
from hdlimit.optimizers.base import LARGE, Optimizer, over_steps
from hdlimit.optimizers.schedules import Constant
from hdlimit.problem.least_squares import LeastSquares

# lr tr(K)/d up to which a typed lr may be a trainer's step: SGD is stable below about 2 and tuned at 0.1 to 1. Chosen.
SMALL_LR = 0.005
# Horizon over d from which and below which it may be a number of steps, and the fewest steps. Chosen.
SHORTEST, LONGEST, FEWEST_STEPS = 10.0, 1000.0, 2000.0
# Relative distance from its last value within which a risk has settled: chosen, far above rtol.
SETTLED = 1e-3
# Relative tolerance of the trial with d times the lr, and the share of a risk below which it does better: chosen.
ROUGH, LOWER = 1e-3, 0.8


def warn_units(problem: LeastSquares, optimizer: Optimizer, horizon: float, limit: Limit, solution: Solution) -> None:
    """Warn once where arguments of `predict` look like a trainer's step, number of steps, or schedules over steps.

    From d = 100 on, and never for a curve that does not end at the horizon:

    - lr, at t = 0, is a trainer's step where it was typed (at most two digits), the effective lr tr(K)/d <= 0.005, and
      the risk has not halved at the horizon, but is 20 % lower there with a constant d lr;
    - the horizon is a number of steps where it is whole, at least 2000, from 10 d to below 1000 d, and the risk, which
      moved by more than 10 %, is within 1e-3 of its last value from t = 10 horizon/d on;
    - both are where the horizon is such a number and lr is as small and typed, and the risk falls by 20 % or more up to
      t = horizon/d with d lr;
    - a schedule is one over step numbers where `hdlimit.optimizers.base.over_steps` says so.

    An ordinary call takes 1 microsecond.
    """
    if solution.status != esdirk.REACHED or limit.step * LARGE > 1:
        return
    counts = SHORTEST <= horizon * limit.step < LONGEST and horizon >= FEWEST_STEPS and horizon == int(horizon)
    constant, v = isinstance(limit.lr, Constant) and isinstance(limit.control, Constant), solution.dense.start
    if constant and not counts and v[-1, 0] < v[0, 0] / 2:
        return
    d = problem.dimension
    found = [over_steps(optimizer, horizon, d)]
    if (lr := float(limit.lr(0.0))) * limit.gain * problem.covariance.trace <= SMALL_LR * d:
        found += _raw_lr(d, limit, lr, horizon, counts, solution)
    if counts:
        found += _settled(d, horizon, solution)
    if told := "; ".join(filter(None, found)):
        warn(UnitsWarning(told))


def _raw_lr(d: int, limit: Limit, lr: float, horizon: float, counts: bool, solution: Solution) -> Iterator[str]:
    """Say that lr is a trainer's step, and that the horizon with it is a number of steps where it may be (counts)."""
    start, end = solution.dense(np.array([0.0, horizon]), 0).tolist()
    if lr != float(f"{lr:.1e}") or start <= 0:
        return
    remedy = f"a trainer's step is lr/d or lr/(2d), and from_step_size({lr:g}, problem, loss=...) has the lr"
    if end > start / 2:
        if (other := _reached(limit, d * lr, horizon)) < LOWER * end:
            left = f"lr = {lr:g} leaves {end / start:.0%} of the risk at t = {horizon:g}"
            yield f"{left}, d times as much {other / start:.0%}: {remedy}"
    elif counts and _reached(limit, d * lr, horizon / d) < LOWER * start:
        yield f"lr = {lr:g} and horizon = {horizon:g} look like a trainer's: {remedy}; its steps/d are {horizon / d:g}"


def _reached(limit: Limit, lr: float, horizon: float) -> float:
    """Return v at a horizon under a constant lr, inf where the curve does not get there."""
    with suppress(HdlimitError):
        solution = solve(replace(limit, lr=Constant(lr)), limit.modes, horizon, ROUGH)
        if solution.status == esdirk.REACHED:
            return float(solution.dense(np.array([horizon]), 0)[0])
    return np.inf


def _settled(d: int, horizon: float, solution: Solution) -> Iterator[str]:
    """Say that nothing happens in the greatest part of a horizon that may be a number of steps."""
    early = 10 * horizon / d
    v = solution.dense(np.append(np.geomspace(early, horizon, 20), 0.0), 0)
    end, start = v[-2:].tolist()
    if abs(start - end) > 0.1 * end and (np.abs(v[:-1] - end) <= SETTLED * end).all():
        settled = (
            f"horizon = {horizon:g} is {horizon * d:.3g} steps, as t = steps/d, and the risk settles by t = {early:g}"
        )
        yield f"{settled}: {horizon:g} steps are horizon = {horizon / d:g}"
