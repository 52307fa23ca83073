"""The risk of clipped SGD on rows whose norms vary, against rows of equal norms.

A row x = rho x', with E rho^2 = 1 and x' Gaussian, has z = rho sqrt(v) N and a gradient that is clipped where the
residuals r_j of a batch give S = sum_j rho_j^2 r_j^2 above (c B)^2. With m = min(1, c B/sqrt(S)) and integration by
parts

    mu = E rho_1^2 (m - [S > (c B)^2] m rho_1^2 r_1^2/S),   nu = E min(S, (c B)^2)/B^2,

which for rho = 1 are the responses of the limit.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.kernels.responses import SMALLEST
from hdlimit.limit.system import Limit
from hdlimit.problem.least_squares import Rows

# Draws of a residual, in all batches together: a ratio of risks is right to 2 % (two seeds).
DRAWS = 20_000
# Steps of the two paths in a decade of t: with twice as many a ratio moves by less than 1 %
# (tests/limit/test_row_average.py).
STEPS = 30


class _Draws:
    """Batches of rows, drawn once: rho and eps of shape (draws, B), and normal numbers for z."""

    def __init__(self, rows: Rows, batch: int, equal: bool) -> None:
        generator = np.random.default_rng(0)
        shape = max(DRAWS // batch, 2000), batch
        chosen = generator.integers(0, rows.noise.size, shape)
        square = np.einsum("ij,ij->i", rows.x, rows.x)
        self.square = np.ones(shape) if equal else (square / square.mean())[chosen]
        self.noise, self.normal = rows.noise[chosen], generator.standard_normal(shape)

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu) at v and the threshold c."""
        batch = self.normal.shape[1]
        parts = self.square * (np.sqrt(self.square * v) * self.normal - self.noise) ** 2
        total, most = parts.sum(axis=1), (c * batch) ** 2
        above = total > most
        length = np.where(above, c * batch / np.sqrt(np.where(above, total, 1.0)), 1.0)
        lost = np.where(above, length / np.where(above, total, 1.0), 0.0)
        mu = float((self.square * (length[:, None] - lost[:, None] * parts)).mean())
        return mu, float(np.minimum(total, most).mean()) / batch**2


def risk_ratios(limit: Limit, rows: Rows, horizon: float) -> tuple[float, float]:
    """Compare the risk on rows with that on rows of equal norms.

    Parameters
    ----------
    limit : Limit
        Of clipped SGD on a problem from data.
    rows : Rows
        Its rows.
    horizon : float
        Time up to which they are compared.

    Returns
    -------
    (last, largest) : tuple of float
        R on the rows over R on rows of equal norms at the horizon, and the largest on the way; kept with the rows.
    """
    asked = "risk ratios", limit, horizon
    if asked not in rows.kept:
        first = min(limit.step, horizon)
        count = math.ceil(STEPS * math.log10(horizon / first)) + 1
        times = np.append(0.0, np.geomspace(first, horizon, count))
        varied, equal = (_path(limit, _Draws(rows, limit.response.batch_size, same), times) for same in (False, True))
        ratio = varied / equal
        rows.kept[asked] = float(ratio[-1]), float(ratio.max())
    last, largest = rows.kept[asked]
    return last, largest


def _path(limit: Limit, response: _Draws, times: FloatArray) -> FloatArray:
    """V at the times, by the exponential midpoint rule."""
    modes = limit.modes
    read, m, found = modes.functionals[0], modes.start, []

    def moved(m: FloatArray, v: float, t: float, span: float) -> FloatArray:
        lr, (mu, nu) = float(limit.lr(t)), response(max(v, SMALLEST), float(limit.control(t)))
        pull = 2 * lr * mu * modes.rate * span
        grown = np.where(pull > 0, -np.expm1(-pull) / np.where(pull > 0, pull, 1.0), 1.0)
        result: FloatArray = m * np.exp(-pull) + lr**2 * nu * modes.diffusion * span * grown
        return result

    for begin, end in zip(times[:-1], times[1:], strict=True):
        half = moved(m, float(read @ m), float(begin), float(end - begin) / 2)
        m = moved(m, float(read @ half), float(begin + end) / 2, float(end - begin))
        found.append(max(float(read @ m), SMALLEST))
    return np.array(found)
