"""The law of S = r_1^2 + ... + r_B^2 where the noise is few normal laws of equal variance: noncentral chi^2, summed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import BoolArray, FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.problem.density import gauss
from hdlimit.problem.noise_law import Components

# Values of N = eps_1^2 + ... + eps_B^2 beyond which the law of S is inverted from its transform instead of summed;
# time and memory grow with them. Chosen, not measured.
MOST_RADII = 2000
# Distance of sqrt(S)/s from its mean that is integrated: e^(-REACH^2/2) of the mass is beyond. Nodes for a quarter of
# the range; the mass is checked to 1e-8 at each use.
REACH, NODES = 9.5, 32
Functions = tuple[Callable[[FloatArray], FloatArray], ...]


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

    def _density(self, u: FloatArray, rows: slice | BoolArray = slice(None)) -> FloatArray:
        """Density of (sqrt(S) - sqrt(N))/s at u given N, shape of u; u has one row a value of N."""
        from scipy.special import ive

        order = self.size / 2 - 1
        with np.errstate(all="ignore"):
            a = self.radius[rows, None] / self.s
            x, ratio = a * (a + u), 1 + u / a
            m = 4 * order**2
            far = 1 - (m - 1) / (8 * x) * (1 - (m - 9) / (16 * x) * (1 - (m - 25) / (24 * x)))
            bessel = np.where(x > 1e6, far / math.sqrt(2 * math.pi), ive(order, np.minimum(x, 1e6)) * np.sqrt(x))
            log_density = (order + 0.5) * np.log(ratio) - u**2 / 2 + np.log(bessel)
            found = np.where(a + u > 0, np.exp(log_density), 0.0)
            # Bessel functions of large order underflow at small x, and the power overflows.
            small = x**2 < (100 * self.size if self.size > 60 else 1e-24)
            log_central = (self.size - 1) * np.log(a + u) - (a**2 + (a + u) ** 2) / 2
            log_central = log_central[small] - order * math.log(2) - math.lgamma(self.size / 2)
            found[small] = np.exp(log_central) * _confluent(self.size / 2, x[small] ** 2 / 4)
            return found

    @cached_property
    def _bulk(self) -> tuple[FloatArray, FloatArray]:
        """Ends of (sqrt(S) - sqrt(N))/s for every N: sqrt(S)/s is within 9.5 of its mean but for 1e-19 of the mass."""
        a = self.radius / self.s
        middle = self.size / (np.hypot(a, math.sqrt(self.size)) + a)
        return np.maximum(middle - REACH, -a), middle + REACH

    def _expect(self, functions: Functions, split: float, rows: slice | BoolArray = slice(None)) -> FloatArray:
        """Return expectations given the values of N in `rows`, one column each; functions that bend do so at split."""
        radius = self.radius[rows]
        low, high = (end[rows] for end in self._bulk)
        cut = np.clip((split - radius) / self.s, low, high)
        x, w = gauss(NODES)
        totals, everything = np.zeros((len(functions), radius.size)), np.zeros(radius.size)
        for a, b in ((low, cut), (cut, high)):
            middle = (a + b) / 2
            for left, right in ((a, middle), (middle, b)):
                half = (right - left)[:, None] / 2
                u = left[:, None] + half * (1 + x)
                mass = half * w * self._density(u, rows)
                rho = np.maximum(radius[:, None] + self.s * u, 1e-150)
                everything += mass.sum(axis=1)
                totals += [(mass * function(rho)).sum(axis=1) for function in functions]
        if not abs(self.weight[rows] @ (everything - 1)) < 1e-8:
            raise NotAvailable(f"batch_size: the law of {self.size} squared residuals cannot be integrated")
        return totals

    @cached_property
    def _inverse_roots(self) -> FloatArray:
        found: FloatArray = self._expect((lambda rho: 1 / rho,), 0.0)[0]
        return found

    @property
    def inverse_root(self) -> float:
        """E S^(-1/2)."""
        return float(self.weight @ self._inverse_roots)

    @cached_property
    def inverse(self) -> float:
        """E 1/S (B >= 3)."""
        return float(self.weight @ self._expect((lambda rho: 1 / rho**2,), 0.0)[0])

    def moments(self, x0: float) -> BatchMoments:
        """Moments at x0 > 0: integrals given those N where S may be on both sides of x0, closed forms given others."""
        cut, s2 = math.sqrt(x0), self.s**2
        low, high = self._bulk
        below, above = self.radius + self.s * high <= cut, self.radius + self.s * low >= cut
        near, square = ~(below | above), self.radius**2
        first = (self.size * s2 + square) / x0
        second = first**2 + 2 * (s2 / x0) * ((self.size * s2 + 2 * square) / x0)
        found = np.ones((4, self.radius.size))
        found[2:, below] = x0 * first[below], second[below]
        found[:3, above] = [[0.0], [0.0], [x0]]
        if above.any():
            found[0, above] = cut * self._inverse_roots[above]
        if near.any():
            functions: Functions = (
                lambda rho: np.minimum(1.0, cut / rho),
                lambda rho: (rho <= cut).astype(np.float64),
                lambda rho: np.minimum(rho, cut) ** 2,
                lambda rho: np.minimum(rho / cut, 1.0) ** 4,
            )
            found[:, near] = self._expect(functions, cut, near)
        root_ratio, share, minimum, squared = (found @ self.weight).tolist()
        at_cut = self._density(np.maximum(cut - self.radius, -self.radius)[:, None] / self.s)[:, 0]
        return BatchMoments(root_ratio, share, minimum, float(self.weight @ at_cut) / (2 * cut * self.s), squared)

    def inverse_above(self, x0: float) -> float:
        """E[1/S; S > x0] for B >= 3."""
        cut = math.sqrt(x0)
        return float(self.weight @ self._expect((lambda rho: np.where(rho > cut, 1 / rho**2, 0.0),), cut)[0])


def _confluent(b: float, q: FloatArray) -> FloatArray:
    """0F1(; b; q) for q up to 50 b, term by term."""
    term, total = np.ones_like(q), np.ones_like(q)
    for k in range(1, 500):
        term = term * (q / (k * (b + k - 1)))
        total = total + term
        if (term <= 1e-17 * total).all():
            break
    return total


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
