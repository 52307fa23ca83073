"""Mini-batches: the law of S = r_1^2 + ... + r_B^2, and the responses of the clipped and of the signed mean gradient.

    sign:  mu = (B - 1) E S^(-1/2),   nu = 1
    clip:  mu = [(B - 1) E min(1, sqrt(x0/S)) + P(S <= x0)]/B,   nu = E min(S, x0)/B^2,   x0 = (c B)^2

Three routes to the law of S, by what the noise is: point masses of equal variance (S is a mixture of scaled
noncentral chi^2, radial integrals, relative error 1e-12), normal laws of mean 0 (Laplace inversion on a Talbot
contour, 1e-10), anything else (Laplace inversion by Euler sums in Re q > 0, 1e-7 where the cdf of S is smooth).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdlimit.declaration import FloatArray
from hdlimit.noise import Components

ComplexArray = NDArray[np.complex128]
MOST_MULTISETS = 2000
_X, _W = np.polynomial.legendre.leggauss(10)
_X64, _W64 = np.polynomial.legendre.leggauss(64)


class BatchMoments(NamedTuple):
    """What responses and corrections need of S: H = E min(1, sqrt(x0/S)), P(S <= x0), E min(S, x0), p_S(x0), E[1/S; S
    > x0].
    """

    root_ratio: float
    below: float
    minimum: float
    density: float
    inverse_above: float


def laplace_transform(q: ComplexArray | FloatArray, v: float, parts: Components) -> ComplexArray | FloatArray:
    """L(q) = E exp(-q r^2) for r = z - eps, eps a mixture of normal laws; the shape of q."""
    flat = q.reshape(-1, 1)
    total: Any = np.empty(flat.shape[0], dtype=flat.dtype)
    centred = not parts.mean.any()
    for block in range(0, flat.shape[0], 512):
        qb = flat[block : block + 512]
        a = 1 + 2 * qb * (v + parts.variance)
        kernel = 1 / np.sqrt(a)
        if not centred:
            kernel = kernel * np.exp(-qb * parts.mean**2 / a)
        total[block : block + 512] = kernel @ parts.weight
    result: ComplexArray | FloatArray = total.reshape(q.shape)
    return result


def uniform_transform(q: ComplexArray | FloatArray, v: float, half_width: float) -> ComplexArray | FloatArray:
    """L(q) for uniform noise on [-h, h]: sqrt(pi/q)/(2 h) erf(h sqrt(q/(1 + 2 q v)))."""
    from scipy.special import erf

    result: ComplexArray | FloatArray = (
        np.sqrt(np.pi / q) / (2 * half_width) * erf(half_width * np.sqrt(q / (1 + 2 * q * v)))
    )
    return result


Transform = Callable[[ComplexArray | FloatArray], ComplexArray | FloatArray]
Inversion = Callable[[Transform, FloatArray], FloatArray]


def talbot(transform: Transform, x: FloatArray, nodes: int = 24) -> FloatArray:
    """Inverse Laplace transform at x > 0 on the cotangent contour of Weideman and Trefethen, singularities on the
    negative axis.
    """
    theta = (2 * np.arange(nodes // 2) + 1) * np.pi / nodes
    cot = 1 / np.tan(0.6407 * theta)
    z = nodes * (0.5017 * theta * cot - 0.6122 + 0.2645j * theta)
    slope = nodes * (0.5017 * cot - 0.5017 * 0.6407 * theta / np.sin(0.6407 * theta) ** 2 + 0.2645j)
    values = transform(z / x[:, None])
    result: FloatArray = (2 / nodes) * (values * (np.exp(z) * slope)).imag.sum(axis=1) / x
    return result


def euler(transform: Transform, x: FloatArray) -> FloatArray:
    """Inverse Laplace transform at x > 0 by the Euler sums of Abate and Whitt, which stay in Re q > 0."""
    a, plain, averaged = 23.0, 44, 14
    k = np.arange(plain + averaged + 1)
    q = (a + 2j * np.pi * k) / (2 * x[:, None])
    values = transform(q.astype(np.complex128)).real * np.where(k == 0, 0.5, 1.0) * (-1.0) ** k
    partial = np.cumsum(values, axis=1)[:, plain:]
    weights = np.array([math.comb(averaged, j) for j in range(averaged + 1)]) / 2.0**averaged
    return math.exp(a / 2) / x * (partial @ weights)


class InvertedLaw:
    """The law of S from the Laplace transform of r^2.

    transform: L; size: B >= 2; floor: v, below which (times 1e-6) the cdf of S is a power; inversion: talbot or euler.
    """

    def __init__(self, transform: Transform, size: int, floor: float, inversion: Inversion) -> None:
        self.transform, self.size, self.floor, self.inversion = transform, size, floor, inversion

    def cdf(self, x: FloatArray) -> FloatArray:
        """P(S <= x), x > 0."""
        return np.clip(self.inversion(lambda q: self.transform(q) ** self.size / q, x), 0.0, 1.0)

    def density(self, x: float) -> float:
        """p_S(x)."""
        return max(float(self.inversion(lambda q: self.transform(q) ** self.size, np.array([x]))[0]), 0.0)

    @cached_property
    def inverse_root(self) -> float:
        """E S^(-1/2) = (1/sqrt pi) int_0^inf q^(-1/2) L(q)^B dq, trapezoid in log q."""
        y, step = np.linspace(-math.log(self.floor) - 160, -math.log(self.floor) + 80, 1201, retstep=True)
        values = np.exp(y / 2) * np.real(self.transform(np.exp(y))) ** self.size
        return float(step * values.sum() / math.sqrt(math.pi))

    @cached_property
    def inverse(self) -> float:
        """E 1/S = int_0^inf L(q)^B dq (B >= 3)."""
        y, step = np.linspace(-math.log(self.floor) - 80, -math.log(self.floor) + 80, 801, retstep=True)
        return float(step * (np.exp(y) * np.real(self.transform(np.exp(y))) ** self.size).sum())

    def moments(self, x0: float) -> BatchMoments:
        """The moments at x0 > 0, by Gauss-Legendre panels in log x on the side of x0 where nothing cancels."""
        below = float(self.cdf(np.array([x0]))[0])
        low = min(x0, self.floor) * 1e-7
        x, w = _log_panels(low, x0)
        p = self.cdf(x)
        minimum = low + float(w @ (x * (1 - p)))
        if below < 0.5:
            tail = p[0] * (low / x[0]) ** (self.size / 2)
            half = float(w @ (x**-0.5 * p)) / 2 + tail * low**-0.5 / (self.size - 1)
            root_ratio = math.sqrt(x0) * (self.inverse_root - half)
            rest = float(w @ (p / x)) + (tail / low / (self.size / 2 - 1) if self.size > 2 else 0.0)
            inverse_above = self.inverse - rest - below / x0 if self.size > 2 else 0.0
        else:
            half, rest = self._above(x0)
            root_ratio = 1 - math.sqrt(x0) / 2 * half
            inverse_above = (1 - below) / x0 - rest
        return BatchMoments(root_ratio, below, minimum, self.density(x0), inverse_above)

    def _above(self, x0: float) -> tuple[float, float]:
        """Integrals of x^(-3/2) P(S > x) and of x^(-2) P(S > x) over x > x0, panel by panel until nothing is left."""
        half, rest, left = 0.0, 0.0, x0
        for _ in range(50):
            x, w = _log_panels(left, left * math.exp(1.5))
            q = 1 - self.cdf(x)
            half, rest, left = half + float(w @ (x**-0.5 * q)), rest + float(w @ (q / x)), left * math.exp(1.5)
            if q[-1] * (x0 / left) ** 0.5 < 1e-14:
                break
        return half, rest


def _log_panels(low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Nodes x and weights of d log x on [low, high], panels of length at most 1.5 in log x."""
    edges = np.linspace(math.log(low), math.log(high), max(math.ceil(math.log(high / low) / 1.5), 1) + 1)
    half = np.diff(edges)[:, None] / 2
    return np.exp(edges[:-1, None] + half + half * _X).ravel(), (half * _W).ravel()


class NoncentralLaw:
    """The law of S when eps takes few values and r given eps is N(-eps, s2): mixture of s2 chi'^2_B(N/s2), N the sum
    of eps^2.

    parts: components of equal variance s2 - v; size: B.
    """

    def __init__(self, parts: Components, size: int, v: float) -> None:
        self.size, self.s2 = size, v + float(parts.variance[0])
        squares, group = np.unique(parts.mean**2, return_inverse=True)
        weights = np.bincount(group, parts.weight)
        radius: dict[float, float] = {}
        for multiset in combinations_with_replacement(range(squares.size), size):
            counts = np.bincount(multiset, minlength=squares.size)
            log_ways = math.lgamma(size + 1) - sum(math.lgamma(n + 1) for n in counts)
            probability = math.exp(log_ways) * float(np.prod(weights**counts))
            radius[float(counts @ squares)] = radius.get(float(counts @ squares), 0.0) + probability
        self.radii, self.weights = np.sqrt(list(radius)), np.array(list(radius.values()))

    def _radial_density(self, rho: FloatArray, h: FloatArray) -> FloatArray:
        """Density of sqrt(S) at rho given sqrt(N) = h."""
        from scipy.special import ive

        s2, order = self.s2, self.size / 2 - 1
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            shifted = rho / s2 * (rho / h) ** order * np.exp(-((rho - h) ** 2) / (2 * s2)) * ive(order, rho * h / s2)
        log_central = (
            (self.size - 1) * np.log(rho / math.sqrt(s2))
            - (rho**2 + h**2) / (2 * s2)
            - order * math.log(2)
            - math.lgamma(self.size / 2)
        )
        return np.where(rho * h < 1e-12 * s2, np.exp(log_central) / math.sqrt(s2), shifted)

    def _expect(self, functions: tuple[Callable[[FloatArray], FloatArray], ...], split: float) -> list[float]:
        s = math.sqrt(self.s2)
        low = np.maximum(self.radii - 10 * s, 0.0)
        high = self.radii + (10 + 2 * math.sqrt(self.size)) * s
        cut = np.clip(split, low, high)
        totals = [0.0] * len(functions)
        for a, b in ((low, cut), (cut, high)):
            middle = (a + b) / 2
            for left, right in ((a, middle), (middle, b)):
                half = (right - left)[:, None] / 2
                rho = left[:, None] + half * (1 + _X64)
                mass = (
                    self.weights[:, None]
                    * half
                    * _W64
                    * self._radial_density(np.maximum(rho, 1e-300), self.radii[:, None])
                )
                for i, function in enumerate(functions):
                    totals[i] += float((mass * function(rho)).sum())
        return totals

    @cached_property
    def inverse_root(self) -> float:
        """E S^(-1/2)."""
        return self._expect((lambda rho: 1 / np.maximum(rho, 1e-300),), 0.0)[0]

    def moments(self, x0: float) -> BatchMoments:
        """The moments at x0 > 0."""
        cut = math.sqrt(x0)
        root_ratio, below, minimum, inverse = self._expect(
            (
                lambda rho: np.minimum(1.0, cut / np.maximum(rho, 1e-300)),
                lambda rho: (rho <= cut).astype(np.float64),
                lambda rho: np.minimum(rho, cut) ** 2,
                lambda rho: np.where(rho > cut, 1 / np.maximum(rho, 1e-150) ** 2, 0.0),
            ),
            cut,
        )
        density = float(self.weights @ self._radial_density(np.full(self.radii.size, cut), self.radii)) / (2 * cut)
        return BatchMoments(root_ratio, below, minimum, density, inverse)


def batch_law(parts: Components, size: int, v: float) -> InvertedLaw | NoncentralLaw:
    """The law of S for noise given as components, by the most exact route that it allows."""
    equal = bool((parts.variance == parts.variance[0]).all())
    values = np.unique(parts.mean**2).size
    if equal and math.comb(values + size - 1, size) <= MOST_MULTISETS:
        return NoncentralLaw(parts, size, v)
    inversion = euler if parts.mean.any() else talbot
    return InvertedLaw(lambda q: laplace_transform(q, v, parts), size, v, inversion)


def compress(parts: Components, groups: int = 120) -> Components:
    """Point masses with at most 2 groups values and the same first four moments of eps^2 in every quantile group of
    |eps|.

    Only eps^2 enters the law of S. The error of mu and nu is measured in tests/test_batch.py.
    """
    if parts.weight.size <= 2 * groups:
        return parts
    order = np.argsort(parts.mean**2)
    square, weight = parts.mean[order] ** 2, parts.weight[order]
    group = np.minimum((np.cumsum(weight) - weight / 2) * groups, groups - 1).astype(np.int64)
    total = np.bincount(group, weight, groups)
    used = total > 0
    total = np.where(used, total, 1.0)
    mean = np.bincount(group, weight * square, groups) / total
    centred = square - mean[group]
    variance = np.bincount(group, weight * centred**2, groups) / total
    third = np.bincount(group, weight * centred**3, groups) / total
    spread = np.sqrt(np.maximum(variance, 1e-300))
    with np.errstate(invalid="ignore"):
        skew = np.where(variance > 1e-24 * mean**2, third / spread**3, 0.0) / 2
    root = np.sqrt(1 + skew**2)
    up, down = spread * (root + skew), spread * (root - skew)
    share = down / (up + down)
    values = np.concatenate([mean + up, np.maximum(mean - down, 0.0)])
    weights = np.concatenate([total * share, total * (1 - share)])
    keep = np.concatenate([used, used])
    return Components(weights[keep], np.sqrt(values[keep]), np.zeros(int(keep.sum())))
