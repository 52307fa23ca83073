"""The rows of a log on a grid of thresholds, and the objective log(mu_c^2/nu_c) there with its standard error."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hdlimit.core.declaration import FloatArray, IntArray

# Thresholds of the grid, geometric: the resolution of c, refined by a parabola, against the time of a resample.
# Chosen, not measured.
GRID = 240


# Half width in log c of the smoothing window: noise of the optimum against its bias. Without it and CAUTION more than
# 1 of 20 logs of t 1.5 lose 2 % of the gain or more (tests/tuning/test_logs.py).
SMOOTHING = 0.7


# Standard errors by which the objective is lowered: thresholds with few rows on one side against the largest gain
# (tests/tuning/test_logs.py, as SMOOTHING).
CAUTION = 3.0


@lru_cache(maxsize=32)
def _smoother(window: int) -> FloatArray:
    """Return local quadratic regression over a window of the grid, as a matrix."""
    from scipy.signal import savgol_filter

    matrix: FloatArray = savgol_filter(np.eye(GRID), window, 2, axis=0)
    return matrix


class LogSample:
    """Rows in order of q, on a grid of thresholds; a resample is the number of times that each row was drawn.

    Parameters
    ----------
    size : ndarray, shape (n,)
        q of every row, >= 0.
    batch : int
        B.
    """

    def __init__(self, size: FloatArray, batch: int = 1) -> None:
        scale = float(size.max())
        self.scale, self.size = scale, np.sort(size / scale)
        positive = self.size[self.size > 0]
        low, high = np.quantile(positive, [0.01, 1 - 1 / positive.size])
        self.grid: FloatArray = np.geomspace(low, max(high, 1.01 * low), GRID)
        self.above: IntArray = np.searchsorted(self.size, self.grid, side="right")
        self.ones: FloatArray = np.ones(self.size.size)
        self.square, self.fourth = self.size**2, self.size**4
        self.inverse: FloatArray = np.where(self.size > 0, 1 / np.maximum(self.size, 1e-300), 0.0)
        self.radial = 1 - 1 / batch
        width = math.log(self.grid[-1] / self.grid[0]) / (GRID - 1)
        self.window = min(max(2 * round(SMOOTHING / width) + 1, 5), GRID - 1 - GRID % 2)

    def resample(self, generator: np.random.Generator) -> FloatArray:
        """Return how often each row is drawn in a bootstrap sample."""
        n = self.size.size
        return np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64)

    def _below(self, values: FloatArray) -> FloatArray:
        """Return means over all rows of values on q <= c, at every threshold of the grid."""
        total = np.cumsum(values)
        sums: FloatArray = np.where(self.above > 0, total[self.above - 1], 0.0) / self.size.size
        return sums

    def objective(self, count: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return log(mu^2/nu) and its standard error (delta method), at every threshold of the grid."""
        n, c2 = self.size.size, self.grid**2
        share, inside = self._below(count), self._below(count * self.square)
        nu, fourth = inside + c2 * (1 - share), self._below(count * self.fourth) + c2**2 * (1 - share)
        once, twice = self._scaled(count, share)
        mu = np.maximum(share + once, 0.5 / n)
        variance = 4 * ((share + twice) / mu**2 - 1) + (fourth / nu**2 - 1) - 4 * ((inside + c2 * once) / (mu * nu) - 1)
        return 2 * np.log(mu) - np.log(nu), np.sqrt(np.maximum(variance, 0.0) / n)

    def best(self, count: FloatArray) -> float:
        """Return the threshold with the best smoothed lower bound of log(mu^2/nu); inf at the end of the grid."""
        value, error = self.objective(count)
        bound = _smoother(self.window) @ (value - CAUTION * error)
        top = int(np.argmax(bound))
        if top in (0, GRID - 1):
            return math.inf if top else float(self.grid[0]) * self.scale
        left, middle, right = bound[top - 1 : top + 2].tolist()
        vertex = (right - left) / (2 * (2 * middle - left - right)) if 2 * middle > left + right else 0.0
        return float(self.grid[top] * (self.grid[1] / self.grid[0]) ** vertex) * self.scale

    def _scaled(self, count: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return E[m; q > c] and E[m^2; q > c], m = (1 - 1/B) c/q, what clipped batches add to mu; 0 for B = 1."""
        if self.radial == 0:
            return np.zeros_like(share), np.zeros_like(share)
        m = self.radial * self.grid
        once, twice = (
            (float(values.sum()) / values.size - self._below(values)) * m**power
            for power, values in ((1, count * self.inverse), (2, count * self.inverse**2))
        )
        return np.maximum(once, 0.0), np.maximum(twice, 0.0)

    def log_gain(self, c: float, count: FloatArray) -> float:
        """Return log((mu^2/nu) E r^2) of a resample at threshold c."""
        c = c / self.scale
        k = int(np.searchsorted(self.size, c, side="right"))
        n = self.size.size
        mu = share = float(count[:k].sum()) / n
        nu = float(count[:k] @ self.square[:k]) / n
        if c < math.inf:
            nu += c**2 * (1 - share)
            mu += self.radial * c * float(count[k:] @ self.inverse[k:]) / n
        square = float(count @ self.square) / n
        if mu == 0 or nu == 0:
            return -math.inf
        return 2 * math.log(mu) + math.log(square / nu)
