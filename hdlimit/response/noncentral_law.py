"""The law of S = r_1^2 + ... + r_B^2 where the noise is few normal laws of equal variance: noncentral chi^2, summed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.problem.density import gauss
from hdlimit.problem.noise_law import Components

# Values of N = eps_1^2 + ... + eps_B^2 beyond which the law of S is inverted from its transform instead of summed;
# time and memory grow with them. Chosen, not measured.
MOST_RADII = 2000
# Nodes for a quarter of the range of the noncentral density, whose mass is checked to 1e-8 at each use.
NODES = 64


class BatchMoments(NamedTuple):
    """What responses and corrections need of S at x0.

    Attributes
    ----------
    root_ratio, below, minimum : float
        E min(1, sqrt(x0/S)), P(S <= x0) and E min(S, x0).
    density, square : float
        The density of S at x0, and E min(S/x0, 1)^2.
    """

    root_ratio: float
    below: float
    minimum: float
    density: float
    square: float


class NoncentralLaw:
    """The law of S when r given eps is N(-eps, s2): a mixture of s2 chi'^2_B(N/s2), N = eps_1^2 + ... + eps_B^2.

    Parameters
    ----------
    square, weight : ndarray, shape (k,)
        The values of N and their probabilities.
    size : int
        Batch size B.
    s2 : float
        Variance of r given eps.
    """

    def __init__(self, square: FloatArray, weight: FloatArray, size: int, s2: float) -> None:
        self.weight, self.size, self.s = weight, size, math.sqrt(s2)
        self.radius = np.sqrt(square)

    def _density(self, u: FloatArray) -> FloatArray:
        """Density of (sqrt(S) - sqrt(N))/s at u given N, shape of u; u has one row a value of N."""
        from scipy.special import ive

        order = self.size / 2 - 1
        with np.errstate(all="ignore"):
            a = self.radius[:, None] / self.s
            x, ratio = a * (a + u), 1 + u / a
            m = 4 * order**2
            far = 1 - (m - 1) / (8 * x) * (1 - (m - 9) / (16 * x) * (1 - (m - 25) / (24 * x)))
            bessel = np.where(x > 1e6, far / math.sqrt(2 * math.pi), ive(order, np.minimum(x, 1e6)) * np.sqrt(x))
            shifted = ratio ** (order + 0.5) * np.exp(-(u**2) / 2) * bessel
            log_central = (self.size - 1) * np.log(a + u) - (a**2 + (a + u) ** 2) / 2
            central = np.exp(log_central - order * math.log(2) - math.lgamma(self.size / 2))
            return np.where(x < 1e-12, central, np.where(a + u > 0, shifted, 0.0))

    def _expect(self, functions: tuple[Callable[[FloatArray], FloatArray], ...], split: float) -> list[float]:
        low = np.maximum(-self.radius / self.s, -10.0)
        high = np.full(low.size, 10 + 2 * math.sqrt(self.size))
        cut = np.clip((split - self.radius) / self.s, low, high)
        totals, everything, (x, w) = [0.0] * len(functions), 0.0, gauss(NODES)
        for a, b in ((low, cut), (cut, high)):
            middle = (a + b) / 2
            for left, right in ((a, middle), (middle, b)):
                half = (right - left)[:, None] / 2
                u = left[:, None] + half * (1 + x)
                mass = self.weight[:, None] * half * w * self._density(u)
                rho = np.maximum(self.radius[:, None] + self.s * u, 1e-150)
                everything += float(mass.sum())
                for i, function in enumerate(functions):
                    totals[i] += float((mass * function(rho)).sum())
        if not abs(everything - 1) < 1e-8:
            raise NotAvailable(f"batch_size: the law of {self.size} squared residuals cannot be integrated")
        return totals

    @cached_property
    def inverse_root(self) -> float:
        """E S^(-1/2)."""
        return self._expect((lambda rho: 1 / rho,), 0.0)[0]

    @cached_property
    def inverse(self) -> float:
        """E 1/S (B >= 3)."""
        return self._expect((lambda rho: 1 / rho**2,), 0.0)[0]

    def moments(self, x0: float) -> BatchMoments:
        """Moments at x0 > 0."""
        cut = math.sqrt(x0)
        root_ratio, below, minimum, square = self._expect(
            (
                lambda rho: np.minimum(1.0, cut / rho),
                lambda rho: (rho <= cut).astype(np.float64),
                lambda rho: np.minimum(rho, cut) ** 2,
                lambda rho: np.minimum(rho / cut, 1.0) ** 4,
            ),
            cut,
        )
        at_cut = self._density(np.maximum(cut - self.radius, -self.radius)[:, None] / self.s)[:, 0]
        density = float(self.weight @ at_cut) / (2 * cut * self.s)
        return BatchMoments(root_ratio, below, minimum, density, square)

    def inverse_above(self, x0: float) -> float:
        """E[1/S; S > x0] for B >= 3."""
        cut = math.sqrt(x0)
        return self._expect((lambda rho: np.where(rho > cut, 1 / rho**2, 0.0),), cut)[0]


def sums_of_squares(parts: Components, size: int) -> tuple[FloatArray, FloatArray] | None:
    """Sum the squares of B point masses: the law of eps_1^2 + ... + eps_B^2.

    Parameters
    ----------
    parts : Components
        The point masses of eps.
    size : int
        Batch size B.

    Returns
    -------
    (values, probabilities) or None
        Two arrays of the same shape (k,); None for too many values.
    """
    square, weight = _merged(parts.mean**2, parts.weight)
    total, probability = square, weight
    for _ in range(size - 1):
        if total.size * square.size > 100 * MOST_RADII:
            return None
        total, probability = _merged(np.add.outer(total, square).ravel(), np.outer(probability, weight).ravel())
        likely = probability > 1e-20
        total, probability = total[likely], probability[likely]
    return (total, probability) if total.size <= MOST_RADII else None


def _merged(value: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Add up the weights of values that are equal but for rounding."""
    order = np.argsort(value)
    value, weight = value[order], weight[order]
    first = np.concatenate([[True], np.diff(value) > 1e-13 * value[1:]])
    total: FloatArray = np.bincount(np.cumsum(first) - 1, weight).astype(np.float64)
    return value[first], total
