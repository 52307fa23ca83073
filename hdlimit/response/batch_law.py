"""Mini-batches: the law of S = r_1^2 + ... + r_B^2, and the responses of the clipped and of the signed mean gradient.

    sign:  mu = (B - 1) E S^(-1/2),   nu = 1
    clip:  mu = [(B - 1) E min(1, sqrt(x0/S)) + P(S <= x0)]/B,   nu = E min(S, x0)/B^2,   x0 = (c B)^2

S is inverted from its Laplace transform for every law of the noise (contours.py); few point masses at a v far below x0
are summed instead (noncentral_law.py).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.laplace_transform import ComplexArray
from hdlimit.response import contours
from hdlimit.response.contours import NEGLIGIBLE, START, half_factor, log1p, one_factor
from hdlimit.response.noise_transform import NoiseTransform
from hdlimit.response.noncentral_law import BatchMoments, NoncentralLaw

# Distance in log q of the trapezoids for E S^(-1/2) and E 1/S, and their range: 1e-13 of the integrals.
STEP, RANGE = 0.25, 32.0
# log E exp(-START S/x0) above which S is so far below x0 that E min(S, x0)/x0 is summed as a small number. Below, it is
# 1 minus a sum, right to 1e-10 of itself.
SMALL = -0.05
# x0/v up to which the law is resolved at such x0, where hardly anything is clipped.
CRUDE = 3e3


class Points(NamedTuple):
    """A contour for x0, its upper half.

    Attributes
    ----------
    z, weight : ndarray
        The points q x0, and weights of the inverse transform: Re sum weight F(z/x0)/x0.
    half, one : ndarray or None
        Factors of the weights for E[S^(-1/2); S > x0] sqrt(x0) and E[1/S; S > x0] x0, where they are known already.
    log_power : ndarray
        log E exp(-q S) up to a multiple of 2 pi i.
    start : float
        z where the contour leaves the real axis.
    """

    z: ComplexArray
    weight: ComplexArray
    half: ComplexArray
    one: ComplexArray | None
    log_power: ComplexArray
    start: float


class InvertedLaw:
    """The law of S by inversion of its Laplace transform.

    Parameters
    ----------
    transform : NoiseTransform
        Of the noise.
    size : int
        Batch size B >= 2.
    v : float
        E z^2 > 0.
    few : NoncentralLaw, optional
        The same law as a sum, where it is one of few terms: for x0 so far above v that the inversion would smooth it.
    """

    def __init__(self, transform: NoiseTransform, size: int, v: float, few: NoncentralLaw | None = None) -> None:
        self.transform, self.size, self.few = transform, size, few
        self.v = v + transform.shared

    def _moment(self, power: float) -> float:
        """int_0^inf q^(power - 1) E exp(-q S) dq, trapezoid in log q."""
        typical = self.transform.typical + self.v
        low, high = -math.log(typical) - RANGE / power, -math.log(self.v) + RANGE / (self.size / 2 - power)
        y, step = np.linspace(low, high, math.ceil((high - low) / STEP) + 1, retstep=True)
        return float(step * (np.exp(power * y) * self.transform.real_power(y, self.v, self.size)).sum())

    @cached_property
    def inverse_root(self) -> float:
        """E S^(-1/2)."""
        return self._moment(0.5) / math.sqrt(math.pi) if self.few is None else self.few.inverse_root

    @cached_property
    def inverse(self) -> float:
        """E 1/S (B >= 3)."""
        return self._moment(1.0) if self.few is None else self.few.inverse

    def _points(self, x0: float) -> Points:
        ratio, b = x0 / self.v, self.size
        if ratio >= contours.line_from(b):
            return self._on_line(x0, ratio)
        z, weight, half, one = contours.arc(b)
        rise = 1 + 2 * z / ratio
        return Points(z, weight, half, one, b * (self.transform.log(z / rise / x0) - np.log(rise) / 2), START)

    def _on_line(self, x0: float, ratio: float) -> Points:
        transform, b = self.transform, self.size
        small = b * transform.on_line(x0, 1).log[0].real > SMALL
        finest = min(transform.finest, CRUDE) if small else transform.finest
        most = math.ceil(math.sqrt(20 * min(finest, ratio)) / contours.LENGTH)
        for count in range(1, most + 1):
            line = transform.on_line(x0, count)
            w = line.w[-1]
            fall = 1 - 2 * w / ratio
            if (w / fall).real + (0.0 if small else b * (line.largest[-1] + math.log(abs(fall)) / 2)) < NEGLIGIBLE:
                break
        w, share, log = line.w, line.share, line.log
        fall = 1 - 2 * w / ratio
        z = w / fall
        weight = share / math.pi * np.exp(z) / fall**2
        if ratio > finest:
            t = 2 * w**2 / finest
            weight = weight * np.exp(t) * (1 - t * (1 - t / 2 * (1 - t / 3)))
        start = START / (1 - 2 * START / ratio)
        return Points(z, weight, half_factor(z), None, b * (log + log1p(-2 * w / ratio) / 2), start)

    def moments(self, x0: float) -> BatchMoments:
        """Moments at x0 > 0."""
        if self.few is not None and x0 > self.transform.finest * self.v:
            return self.few.moments(x0)
        from scipy.special import expm1

        z, weight, half, one, log_power, start = self._points(x0)
        power = np.exp(log_power)
        below, density = (float((weight * values).real.sum()) for values in (power / z, power))
        if log_power[0].real > SMALL:
            rest = -expm1(log_power)
            first, second = (float((weight * rest / z**k).real.sum()) for k in (2, 3))
        else:
            first, second = (1 / k - float((weight * power / z ** (k + 1)).real.sum()) for k in (1, 2))
        share = min(max(first, 0.0), 1.0)
        square = min(max(2 * (first - second), share * share), share)
        low = -max(math.log(start / x0 * (self.transform.typical + self.v)), 0.0) - 2 * RANGE
        y, step = np.linspace(low, RANGE, math.ceil((RANGE - low) / 0.4) + 1, retstep=True)
        place = 1 / (1 + np.exp(-y))  # the cut, q = place start/x0
        mass = step * np.exp(-y) * place**2 * self.transform.real_power(np.log(place * start / x0), self.v, self.size)
        below = min(max(below, 0.0), 1.0)
        tail = float((weight * half * power).real.sum())
        tail += float((mass / np.sqrt(place)).sum()) * math.sqrt(start / math.pi)
        above = 0.0
        if self.size > 2:
            factor = one_factor(z) if one is None else one
            above = max(float((weight * factor * power).real.sum()) + float(mass.sum() * start), 0.0) / x0
        return BatchMoments(
            min(max(tail, 0.0) + below, 1.0), below, x0 * share, max(density, 0.0) / x0, above, square
        )
