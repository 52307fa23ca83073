"""Integration of a mode system along its schedules: growing output, tables that are extended when v leaves them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.kernels import esdirk
from hdlimit.limit import Limit
from hdlimit.modes import ModeSystem
from hdlimit.piecewise import Piecewise, stops, tabulate
from hdlimit.response import Compiled
from hdlimit.results import DenseOutput

CHUNK = 256
MOST_STEPS = 200_000
FLOOR = 1e-60
SAFETY = 0.2


class Solution(NamedTuple):
    """dense: the interpolant of the functionals; status: of kernels.esdirk; steps: accepted steps."""

    dense: DenseOutput
    status: int
    steps: int


def solve(limit: Limit, modes: ModeSystem, horizon: float, rtol: float) -> Solution:
    """Integrate to a relative accuracy of rtol over the whole horizon.

    Relative errors of the steps add up while a functional falls or grows unstably, and are forgotten near a steady
    state; a second pass with tighter steps is made where the first shows more than a few powers of e. Falls below
    1e-60 count as reaching 0. At the target without noise nothing moves: every residual is 0, and so is every update.
    """
    if not modes.start[modes.rate > 0].any() and limit.response.noise.second_moment == 0:
        return _at_rest(modes, horizon)
    solution = integrate(limit, modes, horizon, SAFETY * rtol)
    values = solution.dense.start
    peak = np.maximum.accumulate(values, axis=0)
    left = np.divide(values, peak, out=np.ones_like(values), where=peak > 0)
    grown = 1.0 if limit.bounded else max(float(values[:, 0].max(initial=0.0)) / (limit.scale or math.inf), 1.0)
    depth = math.log(grown / max(float(left.min(initial=1.0)), FLOOR)) / 3
    if depth <= 1:
        return solution
    return integrate(limit, modes, horizon, max(SAFETY * rtol * depth ** (-4 / 3), 1e-13))


def _at_rest(modes: ModeSystem, horizon: float) -> Solution:
    values = (modes.functionals @ modes.start)[None, :]
    return Solution(DenseOutput(np.array([0.0, horizon]), values, np.zeros((*values.shape, 4))), esdirk.REACHED, 1)


def integrate(limit: Limit, modes: ModeSystem, horizon: float, rtol: float) -> Solution:
    """Integrate dm_i/dt = -2 eta mu rate_i m_i + eta^2 nu diffusion_i from modes.start to the horizon.

    The local error of every functional is kept below rtol times its value; where that grows manifold within one step of
    the optimizer (a time 1/d after the start or a jump of a schedule), below rtol times 1 % of what it grows to. Where
    the response is a table in v, the table is extended and the integration repeated until v stays inside.
    """
    ends = stops((limit.lr, limit.threshold), horizon, rtol)
    lr, threshold = tabulate(limit.lr, horizon), tabulate(limit.threshold, horizon)
    v_range, c_range = initial_range(limit, modes), value_range(threshold)
    for _ in range(40):
        response = limit.response.compiled(v_range, c_range)
        solution, low, high = _integrate(limit, modes, response, ends, lr, threshold, rtol)
        if low >= response.low and high <= response.high:
            return solution
        v_range = (min(v_range[0], low / 4), max(v_range[1], high * 4))
    raise NotAvailable(
        f"noise: the response would have to be tabulated over v from {v_range[0]:.2g} to {v_range[1]:.2g}"
    )


def initial_range(limit: Limit, modes: ModeSystem) -> tuple[float, float]:
    v = float(modes.functionals[0] @ modes.start)
    scale = v if v > 0 else max(limit.response.noise.width**2, 1e-12)
    return 0.1 * scale, 2.0 * scale


def floors(limit: Limit, modes: ModeSystem, lr: Piecewise) -> FloatArray:
    """Values of the functionals that count as 0, shape (k,): 1e-60 of the sizes that start and noise give them.

    Noise reaches v through nu, which a bounded residual map bounds, however strong the noise is.
    """
    spread = modes.functionals @ modes.diffusion
    start = float(modes.functionals[0] @ modes.start)
    scale = (start if limit.bounded else limit.scale) or (value_range(lr)[1] * spread[0]) ** 2
    floors: FloatArray = FLOOR * (modes.functionals @ modes.start + scale * spread / spread[0]) + 1e-300
    return floors


def value_range(schedule: Piecewise) -> tuple[float, float]:
    """Smallest and largest value on a fine grid of every piece."""
    values: FloatArray = schedule.coefficients
    if values.shape[1] > 2:
        values = np.asarray(np.polynomial.polynomial.polyval(np.linspace(-1, 1, 33), values.T), dtype=np.float64)
    return max(float(values.min()), 0.0), float(values.max())


def _integrate(
    limit: Limit,
    modes: ModeSystem,
    response: Compiled,
    ends: FloatArray,
    lr: Piecewise,
    threshold: Piecewise,
    rtol: float,
) -> tuple[Solution, float, float]:
    n, count = modes.rate.size, modes.functionals.shape[0]
    m, f = modes.start.copy(), np.empty((esdirk.STAGES, n))
    floor = floors(limit, modes, lr)
    control, sizes = np.zeros(esdirk.CONTROL), np.zeros(count)
    control[[esdirk.RTOL, esdirk.ESCAPE, esdirk.SMALLEST, esdirk.RESTART]] = rtol, limit.escape, math.inf, 1.0
    control[esdirk.ONE_STEP] = limit.step
    output = [(np.zeros(1), np.empty((0, count)), np.empty((0, count, 4)))]
    status, steps = esdirk.FULL, 0
    while status == esdirk.FULL and steps < MOST_STEPS + ends.size:
        knots, start, coefficients = np.empty(CHUNK), np.empty((CHUNK, count)), np.empty((CHUNK, count, 4))
        status, written = esdirk.advance(
            modes.rate, modes.diffusion, modes.functionals, m, f, floor, sizes, control, ends, *lr, *threshold,
            response.kernel, response.parameters, knots, start, coefficients,
        )  # fmt: skip
        output.append((knots[:written], start[:written], coefficients[:written]))
        steps += written
    knots, start, coefficients = (np.concatenate(parts) for parts in zip(*output))
    gone = (start <= floor) & (start + coefficients.sum(axis=2) <= floor)
    dense = DenseOutput(knots, np.where(gone, 0.0, start), np.where(gone[:, :, None], 0.0, coefficients))
    return Solution(dense, status, steps), control[esdirk.SMALLEST], control[esdirk.LARGEST]
