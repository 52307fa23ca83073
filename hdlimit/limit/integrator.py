"""Integration of a mode system along its schedules: growing output, tables that are extended when v leaves them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import counting
from hdlimit.errors import NotAvailable
from hdlimit.kernels import esdirk
from hdlimit.limit.interpolant import DenseOutput
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.numpy_sweeps import advance
from hdlimit.limit.piecewise import Piecewise, stops, tabulate
from hdlimit.limit.system import Limit

# Steps after which an integration gives up, beside those that schedules ask for: some seconds for one mode, a thousand
# times what a curve of rtol 1e-6 takes.
MOST_STEPS = 200_000
# Repetitions of an integration whose tables grow, before it is given up: 10 to 20 are usual. Chosen, not measured.
MOST_REPEATS = 200
# Steps of an integration whose tables are not complete yet: a guess that jumps can hold it where it jumps.
FEW_STEPS = 1000
# Of the sizes that start and noise give v, what counts as 0: a fall by 138 powers of e, beyond any use of a risk.
FLOOR = 1e-60


class Solution(NamedTuple):
    """dense: the interpolant of the functionals; status: of kernels.esdirk; steps: accepted steps."""

    dense: DenseOutput
    status: int
    steps: int


@counting()
def solve(limit: Limit, modes: MomentSystem, horizon: float, rtol: float, level: float = -math.inf) -> Solution:
    """Integrate dm_i/dt = -2 eta mu rate_i m_i + eta^2 nu diffusion_i from modes.start to a relative accuracy of rtol.

    The integration ends at the horizon, where v escapes, or where it is at most the level. Falls below 1e-60 count as
    reaching 0; where a functional grows manifold within one step of the optimizer (a time 1/d after the start or a jump
    of a schedule), its error is below rtol times 1 % of what it grows to. Where the response is a table in v, it is
    extended and the integration repeated until v stays inside and nothing is missed. At the target without noise, where
    every residual is 0, and under a step size of 0 nothing moves.
    """
    if limit.response.noise.second_moment == 0 and not modes.moved:
        return _at_rest(modes, horizon)
    arrays, c_range = prepared(limit, modes, horizon, rtol, level)
    if not (arrays.lr_pieces[0, 0] or arrays.lr_pieces.any()):
        return _at_rest(modes, horizon)
    v_range, most = initial_range(limit, modes), float(arrays.settings[esdirk.MOST])
    few = float(FEW_STEPS + arrays.ends.size)
    for _ in range(MOST_REPEATS):
        response = limit.response.compiled(v_range, c_range)
        arrays.settings[esdirk.MOST] = most if response.cells is None else min(few, most)
        status, low, high, *dense = advance(arrays, modes.block, response.kernel, response.parameters)
        if response.missed():
            continue
        if status == esdirk.FULL and few < most:
            few = most
            continue
        low = max(low, float(arrays.floor[0]))
        if low >= response.low and high <= response.high:
            return Solution(DenseOutput(*dense), status, dense[1].shape[0])
        v_range = (min(v_range[0], low / 1.5), max(v_range[1], high * 1.5))
    raise NotAvailable(
        f"noise: the response would have to be tabulated over v from {v_range[0]:.2g} to {v_range[1]:.2g}"
    )


def prepared(
    limit: Limit, modes: MomentSystem, horizon: float, rtol: float, level: float = -math.inf
) -> tuple[esdirk.Arrays, tuple[float, float]]:
    """Return the arguments of esdirk.advance up to the response, and the range of the control."""
    limit = limit.explicit(horizon)
    ends = stops((limit.lr, limit.control), horizon, esdirk.SAFETY * rtol)
    lr, control = tabulate(limit.lr, horizon), tabulate(limit.control, horizon)
    settings = settings_of(limit, rtol)
    settings[[esdirk.LEVEL, esdirk.MOST]] = level, MOST_STEPS + ends.size
    floor = floors(limit, modes, lr)
    arrays = esdirk.Arrays(
        modes.rate, modes.diffusion, modes.functionals, modes.start, floor, settings, ends, *lr, *control
    )
    return arrays, value_range(control)


def _at_rest(modes: MomentSystem, horizon: float) -> Solution:
    values = modes.values[None, :]
    return Solution(DenseOutput(np.array([0.0, horizon]), values, np.zeros((*values.shape, 4))), esdirk.REACHED, 1)


def settings_of(limit: Limit, rtol: float) -> FloatArray:
    """Return what the kernel needs beside arrays, for any v and without a level."""
    scale = math.inf if limit.bounded else limit.scale or math.inf
    return np.array([rtol, limit.escape, limit.step, MOST_STEPS, -math.inf, scale])


def initial_range(limit: Limit, modes: MomentSystem) -> tuple[float, float]:
    """Return a range of v in which to tabulate the response at first."""
    scale = modes.v if modes.v > 0 else max(limit.response.noise.width**2, 1e-12)
    return 0.1 * scale, 1.5 * scale


def floors(limit: Limit, modes: MomentSystem, lr: Piecewise) -> FloatArray:
    """Values of the functionals that count as 0, shape (k,): 1e-60 of the sizes that start and noise give them.

    Noise reaches v through nu, which a bounded residual map bounds, however strong the noise is.
    """
    spread = modes.noise
    scale = (modes.v if limit.bounded else limit.scale) or (value_range(lr)[1] * spread[0]) ** 2
    floors: FloatArray = FLOOR * (modes.values + scale * spread / spread[0]) + 1e-300
    return floors


def value_range(schedule: Piecewise) -> tuple[float, float]:
    """Smallest and largest value on a fine grid of every piece."""
    values: FloatArray = schedule.coefficients
    if values.size == 1:
        return max(float(values[0, 0]), 0.0), float(values[0, 0])
    if values.shape[1] > 2:
        values = np.asarray(np.polynomial.polynomial.polyval(np.linspace(-1, 1, 33), values.T), dtype=np.float64)
    return max(float(values.min()), 0.0), float(values.max())
