"""Mini-batches: the law of S = r_1^2 + ... + r_B^2, and the responses of the clipped and of the signed mean gradient.

    sign:  mu = (B - 1) E S^(-1/2),   nu = 1
    clip:  mu = [(B - 1) E min(1, sqrt(x0/S)) + P(S <= x0)]/B,   nu = E min(S, x0)/B^2,   x0 = (c B)^2

Three routes to the law of S, by what the noise is: few normal laws of equal variance (S is a mixture of scaled
noncentral chi^2, radial integrals), normal laws of mean 0 (Laplace inversion along a parabola), anything else
(Laplace inversion by Euler sums in Re q > 0, which need a smooth cdf of S).
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.noise_law import ComplexArray, Components, Points, Transform
from hdlimit.response.contours import Contour, _log1p, arc, euler, parabola
from hdlimit.response.laplace_transform import mixture_transform
from hdlimit.response.noncentral_law import BatchMoments, NoncentralLaw, sums_of_squares

# Nodes of a panel of log S (see InvertedLaw.longest). Chosen, not measured.
_X, _W = np.polynomial.legendre.leggauss(10)


class InvertedLaw:
    """The law of S from the Laplace transform of r^2.

    Parameters
    ----------
    transform : Transform
        L(q) = E exp(-q r^2).
    size : int
        Batch size B >= 2.
    v : float
        E z^2, far below which the cdf of S is a power.
    contour : callable
        parabola or euler.
    """

    def __init__(self, transform: Transform, size: int, v: float, contour: Contour) -> None:
        self.transform, self.size, self.v, self.contour = transform, size, v, contour
        self._panels: dict[tuple[float, int], tuple[float, float]] = {}
        self.longest = 1.5 / max(1.0, math.sqrt(size / 8))  # log S has a spread of sqrt(2/B)

    def cdf(self, x: FloatArray) -> FloatArray:
        """P(S <= x), x > 0."""
        q, weight = self.contour(x, self.size)
        probability: FloatArray = (weight * self.transform.value(q) ** self.size / q).real.sum(axis=1)
        return np.clip(probability, 0.0, 1.0)

    def _powers(self, q: Points) -> tuple[Points, Points]:
        """L(q)^B and 1 - L(q)^B to full precision."""
        power = self.transform.value(q) ** self.size
        rest = 1 - power
        if (near := np.abs(rest) < 0.5).any():
            rest[near] = -np.expm1(self.size * _log1p(-self.transform.deficit(q[near])))
        return power, rest

    def _moment(self, power: float) -> float:
        """int_0^inf q^(power - 1) L(q)^B dq, trapezoid in log q."""
        low, high = -math.log(self.transform.typical) - 36 / power, -math.log(self.v) + 36 / (self.size / 2 - power)
        y, step = np.linspace(low, high, math.ceil((high - low) / 0.25) + 1, retstep=True)
        return float(step * (np.exp(power * y) * self.transform.value(np.exp(y)) ** self.size).sum())

    @cached_property
    def inverse_root(self) -> float:
        """E S^(-1/2)."""
        return self._moment(0.5) / math.sqrt(math.pi)

    @cached_property
    def inverse(self) -> float:
        """E 1/S (B >= 3)."""
        return self._moment(1.0)

    def moments(self, x0: float) -> BatchMoments:
        """Moments at x0 > 0."""
        return self._on_arc(x0) if self.contour is parabola else self._by_panels(x0)

    def _inverted(self, q: ComplexArray, weight: ComplexArray, power: Points, rest: Points) -> tuple[float, ...]:
        """P(S <= x), x p_S(x), E min(S, x)/x, and E min(S/x, 1)^2 = 2 E min(S, x)/x - 2 int_0^x E min(S, y) dy/x^2.

        The inverse transforms of (1 - L^B)/q^2 and (1 - L^B)/q^3 are E min(S, x) and its integral. q, weight: in units
        of 1/x.
        """
        below, density = float((weight * power / q).real.sum()), float((weight * power).real.sum())
        first, second = (float((weight * rest / q**k).real.sum()) for k in (2, 3))
        share = min(max(first, 0.0), 1.0)
        square = min(max(2 * (first - second), share * share), share)
        return min(max(below, 0.0), 1.0), max(density, 0.0), share, square

    def _on_arc(self, x0: float) -> BatchMoments:
        z, start, weight, half, one = arc(self.size)
        power, rest = self._powers(z / x0)
        below, density, share, square = self._inverted(z, weight, power, rest)
        low = -max(math.log(start / x0 * self.transform.typical), 0.0) - 64
        y, step = np.linspace(low, 34.0, math.ceil((34 - low) / 0.3) + 1, retstep=True)
        place = 1 / (1 + np.exp(-y))  # the cut, q = place start/x0
        mass = step * np.exp(-y) * place**2 * np.real(self.transform.value(place * start / x0)) ** self.size
        tail = float((half * power).real.sum()) + float((mass / np.sqrt(place)).sum()) * math.sqrt(start / math.pi)
        root_ratio = min(max(tail, 0.0) + below, 1.0)
        inverse_above = (float((one * power).real.sum()) + float(mass.sum() * start)) / x0 if self.size > 2 else 0.0
        return BatchMoments(root_ratio, below, x0 * share, density / x0, max(inverse_above, 0.0), square)

    def _by_panels(self, x0: float) -> BatchMoments:
        """Integrals of the cdf over the side of x0 where nothing cancels."""
        q, weight = self.contour(np.array([x0]), self.size)
        below, density, share, square = self._inverted(q[0] * x0, weight[0] * x0, *self._powers(q[0]))
        if below < 0.5:
            half, rest = self._below(x0)
            root_ratio = math.sqrt(x0) * (self.inverse_root - half)
            inverse_above = self.inverse - rest - below / x0 if self.size > 2 else 0.0
        else:
            half, rest = self._above(x0)
            root_ratio = 1 - math.sqrt(x0) * half
            inverse_above = (1 - below) / x0 - rest
        return BatchMoments(root_ratio, below, x0 * share, density / x0, inverse_above, square)

    def _below(self, x0: float) -> tuple[float, float]:
        """Integrals of x^(-3/2) P(S <= x)/2 and of x^(-2) P(S <= x) over x < x0; far below v the cdf is a power."""
        low = self.v * 1e-7 if x0 > self.v else x0 * 1e-7
        x, _ = _panel(low, low * math.exp(self.longest))
        tail = float(self.cdf(x[:1])[0]) * (low / x[0]) ** (self.size / 2)
        half = tail * low**-0.5 / (self.size - 1)
        rest = tail / low / (self.size / 2 - 1) if self.size > 2 else 0.0
        full = int((math.log(x0) - math.log(low)) / self.longest)
        for k in range(full):
            one, two = self._panel_below(low, k)
            half, rest = half + one, rest + two
        x, w = _panel(low * math.exp(full * self.longest), x0)
        p = self.cdf(x)
        return half + float(w @ (x**-0.5 * p)) / 2, rest + float(w @ (p / x))

    def _panel_below(self, low: float, k: int) -> tuple[float, float]:
        """Return what panel k adds to _below; kept, because thresholds differ where the law is the same."""
        if (low, k) not in self._panels:
            x, w = _panel(low * math.exp(k * self.longest), low * math.exp((k + 1) * self.longest))
            p = self.cdf(x)
            self._panels[low, k] = float(w @ (x**-0.5 * p)) / 2, float(w @ (p / x))
        return self._panels[low, k]

    def _above(self, x0: float) -> tuple[float, float]:
        """Integrals of x^(-3/2) P(S > x)/2 and of x^(-2) P(S > x) over x > x0, panel by panel until nothing is left."""
        half, rest, left = 0.0, 0.0, x0
        for _ in range(200):
            x, w = _panel(left, left * math.exp(self.longest))
            q = 1 - self.cdf(x)
            half, rest = half + float(w @ (x**-0.5 * q)) / 2, rest + float(w @ (q / x))
            left = left * math.exp(self.longest)
            if q[-1] * (x0 / left) ** 0.5 < 1e-14:
                break
        return half, rest


def _panel(low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """Nodes x and weights of d log x on [low, high]."""
    half = (math.log(high) - math.log(low)) / 2
    return np.exp(math.log(low) + half + half * _X), half * _W


def batch_law(parts: Components, size: int, v: float) -> InvertedLaw | NoncentralLaw:
    """Choose the most exact law of S for noise given as components.

    Parameters
    ----------
    parts : Components
        The noise.
    size : int
        Batch size B >= 2.
    v : float
        E z^2 > 0.

    Returns
    -------
    InvertedLaw or NoncentralLaw
        The law of S = r_1^2 + ... + r_B^2.
    """
    if (parts.variance == parts.variance[0]).all() and (sums := sums_of_squares(parts, size)) is not None:
        return NoncentralLaw(*sums, size, v + float(parts.variance[0]))
    transform = mixture_transform(v, parts)
    return InvertedLaw(transform, size, v, parabola if transform.real_singularities else euler)
