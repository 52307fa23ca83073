"""Responses of the clipped mean gradient at many thresholds at once, for searches.

One inversion of the law of S at a v gives (mu, nu) for a whole grid of thresholds, by running integrals

    nu = int_0^x0 P(S > x) dx/B^2
    mu = [(B - 1) sqrt(x0) (E S^(-1/2) - int_0^x0 x^(-3/2) P(S <= x) dx/2) + P(S <= x0)]/B

with x0 = (c B)^2; between the thresholds log mu and log nu are cubic splines in log c. The error is below 3e-5
(measured in the tests): mixtures of many normal laws are thinned to a quarter.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import Components, NoiseLaw
from hdlimit.response import batch_law as batch
from hdlimit.response.noncentral_law import NoncentralLaw
from hdlimit.response.squared_norm import squared_norm

# Distance of thresholds in log c: with three nodes a panel an error of 3e-5 (tests/tuning/test_threshold_tuning.py).
SPACING = 0.1
# Normal laws beyond which a scale mixture is thinned to a quarter; the error of 3e-5 includes it.
MOST = 150
# Nodes of a panel of log S (see SPACING).
_X, _W = np.polynomial.legendre.leggauss(3)


class BatchGrid:
    """(mu, nu) of the clip for many thresholds at once, v by v, kept.

    Parameters
    ----------
    noise : NoiseLaw
        The label noise.
    size : int
        Batch size B >= 2.
    low, high : float
        Logarithms of the least and the largest threshold.
    """

    def __init__(self, noise: NoiseLaw, size: int, low: float, high: float) -> None:
        self.noise, self.size = noise, size
        self.log_c = np.linspace(low, high, max(math.ceil((high - low) / SPACING), 4) + 1)
        self._spline = lru_cache(maxsize=None)(self._fit)

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu); thresholds outside the range are moved to its ends."""
        mu, nu = self._spline(v)(min(max(math.log(c), self.log_c[0]), self.log_c[-1]))
        return math.exp(mu), math.exp(nu)

    def _fit(self, v: float) -> Any:
        from scipy.interpolate import CubicSpline

        return CubicSpline(self.log_c, np.log(self._responses(v)), axis=1)

    def _responses(self, v: float) -> FloatArray:
        law, b = self._law(v), self.size
        if not isinstance(law, batch.InvertedLaw):
            moments = [law.moments((math.exp(y) * b) ** 2) for y in self.log_c]
            mu = [((b - 1) * s.root_ratio + s.below) / b for s in moments]
            return np.array([mu, [s.minimum / b**2 for s in moments]])
        ends = 2 * (self.log_c + math.log(b))
        low = min(math.exp(ends[0]), law.v) * 1e-7
        first = np.linspace(math.log(low), ends[0], math.ceil((ends[0] - math.log(low)) / 0.8) + 1)
        edges = np.concatenate([first[:-1], ends])
        half = np.diff(edges)[:, None] / 2
        x, weight = np.exp(edges[:-1, None] + half + half * _X), half * _W
        p = law.cdf(x.ravel()).reshape(x.shape)
        from_low = slice(first.size - 2, None)
        tail = p[0, 0] * (low / x[0, 0]) ** (b / 2) * low**-0.5 / (b - 1)
        halves = tail + np.cumsum((weight * x**-0.5 * p).sum(axis=1))[from_low] / 2
        minimum = low + np.cumsum((weight * x * (1 - p)).sum(axis=1))[from_low]
        x0 = np.exp(ends)
        ratio = np.clip(np.sqrt(x0) * (law.inverse_root - halves), 0.0, 1.0)
        return np.array([((b - 1) * ratio + law.cdf(x0)) / b, minimum / b**2])

    def _law(self, v: float) -> batch.InvertedLaw | NoncentralLaw:
        parts = self.noise.mixture(self.noise.width * 1e3)
        closed = self.noise.laplace_transform(v) is not None
        if closed or not self.noise.scale_mixture or parts is None or parts.weight.size <= MOST:
            return squared_norm(self.noise, self.size, v)
        thin = Components(*(values[::4] for values in parts))
        return batch.batch_law(thin._replace(weight=thin.weight / thin.weight.sum()), self.size, v)
