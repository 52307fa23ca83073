"""Mini-batches: the law of S = r_1^2 + ... + r_B^2, and the responses of the clipped and of the signed mean gradient.

    sign:  mu = (B - 1) E S^(-1/2),   nu = 1
    clip:  mu = [(B - 1) E min(1, sqrt(x0/S)) + P(S <= x0)]/B,   nu = E min(S, x0)/B^2,   x0 = (c B)^2

S is inverted from its Laplace transform for every law of the noise (contours.py); few point masses at a v far below x0
are summed instead (noncentral_law.py).
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.kernels import laplace_transform as kernels
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.response import contours
from hdlimit.response.contours import NEGLIGIBLE, RANGE, START
from hdlimit.response.noise_transform import Line, NoiseTransform, noise_transform
from hdlimit.response.noncentral_law import BatchMoments, NoncentralLaw, sums_of_squares

# Distance in log q of the trapezoids for E S^(-1/2) and E 1/S: 1e-13 of the integrals.
STEP = 0.25
# Panels of a line in which |z| may be below contours.FAR.
NEAR = 3
# log E exp(-START S/x0) above which S is so far below x0 that E min(S, x0)/x0 is summed as a small number. Below, it is
# 1 minus a sum, right to 1e-10 of itself.
SMALL = -0.05
# Least powers of 2 of the width of the noise for which a law of S is made, so that most thresholds share one.
OCTAVES = 10
# x0/v up to which the law is resolved at such x0, where hardly anything is clipped.
CRUDE = 3e3


class Chosen(NamedTuple):
    """A line for x0: in units of scale/x0; x0/v up to which it resolves the law; whether S is far below x0."""

    line: Line
    scale: float
    finest: float
    small: bool


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

    def _on_arc(self, x0: FloatArray, ratio: FloatArray) -> FloatArray:
        """Return the sums of `Arc` at every x0, shape (5, n), all of them as they grow with x0."""
        z, weights = contours.arc(self.size)
        rise = 1 + 2 * z / ratio[:, None]
        log_power = self.size * (self.transform.by_rows(z / rise / x0[:, None]) - np.log(rise) / 2)
        sums: FloatArray = (weights @ np.exp(log_power).T).real
        sums[2:4] = np.array([[1.0], [0.5]]) - sums[2:4]
        small = log_power[:, 0].real > SMALL
        if small.any():
            from scipy.special import expm1

            sums[2:4, small] = -(weights[2:4] @ expm1(log_power[small]).T).real
        return sums

    def _line(self, x0: float, ratio: float) -> Chosen:
        """Choose a line that other x0 share, up to where nothing is left, without panels that add nothing."""
        transform, size = self.transform, self.size
        x = 2.0 ** (math.ceil(2 * math.log2(x0)) / 2)
        scale = x0 / x
        small = size * scale * float(transform.on_line(x, 1).log[0].real) > SMALL
        finest = min(transform.finest, CRUDE) if small else transform.finest
        most = math.ceil(math.sqrt(20 * min(finest, ratio)) / (contours.LENGTH * scale))
        w = scale * (START + 1j * contours.LENGTH * np.arange(1, most))
        fall = 1 - 2 * w / ratio
        left: FloatArray = (w / fall).real + (0.0 if small else size / 2) * np.log(np.abs(fall))
        if small or transform.recurs:
            line = transform.on_line(x, _first(left, most))
            if not small:
                before = np.concatenate([[0.0], left[: line.largest.size - 1]])
                keep = before + size * line.largest >= NEGLIGIBLE
                keep[:NEAR] = True
                line = line.chosen(keep)
            return Chosen(line, scale, finest, small)
        known = transform.on_line(x, 1, more=True).largest[: left.size]
        count = _first(left[: known.size] + size * known, known.size + 1)
        while known.size < count < most and left[count - 1] + size * transform.largest(x, count) >= NEGLIGIBLE:
            count += 1
        return Chosen(transform.on_line(x, max(count, 1)), scale, finest, small)

    def _on_line(self, chosen: Chosen, ratio: float) -> FloatArray:
        line, scale, finest, small = chosen
        w = scale * line.w[: NEAR * contours.PANEL]
        z = w / (1 - 2 * w / ratio)
        half = contours.half_factor(z[: int((np.abs(z) < contours.FAR).sum())])
        return kernels.line_sums(line.w, line.share, line.log, scale, ratio, float(self.size), finest, small, half)

    def _cut(self, x0: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log p, shape (k,), and dp E exp(-q S) at q = p start/x0 for p in [0, 1], shape (n, k)."""
        end = np.log(start / x0)
        low = max(float(end.max()) + math.log(self.transform.typical + self.v), 0.0) + 2 * RANGE
        place, mass = contours.cut(math.ceil(low))
        power = self.transform.real_power((place + end[:, None]).ravel(), self.v, self.size)
        return place, mass * power.reshape(x0.size, place.size)

    def moments(self, x0: float) -> BatchMoments:
        """Moments at x0 > 0."""
        return BatchMoments(*self.moments_at(np.array([x0]))[:, 0].tolist())

    def moments_at(self, x0: FloatArray) -> FloatArray:
        """Return the members of BatchMoments at many x0 > 0 as rows: what they share is computed once.

        x0 has shape (n,), the result (5, n).
        """
        summed = np.zeros(x0.size, bool) if self.few is None else x0 > self.transform.finest * self.v
        found = np.empty((len(BatchMoments._fields), x0.size))
        for i in np.flatnonzero(summed).tolist():
            assert self.few is not None
            found[:, i] = self.few.moments(float(x0[i]))
        if not summed.all():
            found[:, ~summed] = self._inverted(x0[~summed])
        return found

    def _inverted(self, x0: FloatArray) -> FloatArray:
        """Return the members of BatchMoments as rows, by inversion."""
        ratio, start, sums = x0 / self.v, np.full(x0.size, START), np.empty((5, x0.size))
        far = ratio >= contours.line_from(self.size)
        for i in np.flatnonzero(far).tolist():
            chosen = self._line(float(x0[i]), float(ratio[i]))
            sums[:, i], start[i] = self._on_line(chosen, float(ratio[i])), _start(chosen.scale, float(ratio[i]))
        if not far.all():
            sums[:, ~far] = self._on_arc(x0[~far], ratio[~far])
        below, density, first, second, tail = sums
        share, below = np.clip(first, 0.0, 1.0), np.clip(below, 0.0, 1.0)
        square = np.minimum(np.maximum(2 * (first - second), share * share), share)
        place, mass = self._cut(x0, start)
        tail = np.maximum(tail + mass @ np.exp(-place / 2) * np.sqrt(start / math.pi), 0.0)
        root_ratio = np.minimum(tail + below, 1.0)
        return np.stack([root_ratio, below, x0 * share, np.maximum(density, 0.0) / x0, square])

    def inverse_above(self, x0: float) -> float:
        """E[1/S; S > x0] for B >= 3."""
        if self.few is not None and x0 > self.transform.finest * self.v:
            return self.few.inverse_above(x0)
        ratio, start = x0 / self.v, START
        if ratio >= contours.line_from(self.size):
            line, scale, finest, _ = self._line(x0, ratio)
            w, start = scale * line.w, _start(scale, ratio)
            fall = 1 - 2 * w / ratio
            z = w / fall
            weight, log = scale * line.share / math.pi / fall**2 * np.exp(z), line.log + np.log(fall) / 2
            if ratio > finest:
                t = 2 * w**2 / finest
                weight = weight * np.exp(t) * (1 - t * (1 - t / 2 * (1 - t / 3)))
        else:
            z, weights = contours.arc(self.size)
            rise = 1 + 2 * z / ratio
            weight = weights[1]
            log = np.asarray(self.transform.log(z / rise / x0) - np.log(rise) / 2, dtype=np.complex128)
        total = float((weight * contours.one_factor(z) * np.exp(self.size * log)).real.sum())
        _, mass = self._cut(np.array([x0]), np.array([start]))
        return max(total + float(mass.sum()) * start, 0.0) / x0


def _first(left: FloatArray, most: int) -> int:
    """Return the number of the first panel, from 1, after which nothing is left beside e^START, `most` without one."""
    gone = left < NEGLIGIBLE
    return int(gone.argmax()) + 1 if gone.any() else max(most, 1)


def _start(scale: float, ratio: float) -> float:
    """Return q x0 where the image of a line leaves the real axis."""
    w = START * scale
    return w / (1 - 2 * w / ratio)


def octaves_over(noise: NoiseLaw, root: FloatArray) -> IntArray:
    """Return over how many powers of 2 of the width of the noise a law of S is made that serves sqrt(S) up to root."""
    if noise.width == 0:
        return np.full(root.shape, OCTAVES)
    return np.maximum(np.ceil(np.log2(root / noise.width)), OCTAVES).astype(np.int64)


@lru_cache(maxsize=1024)
def squared_norm(noise: NoiseLaw, size: int, v: float, octaves: int = OCTAVES) -> InvertedLaw:
    """Return the law of S under a noise law, for sqrt(S) up to 2^octaves of the noise's width.

    Where it is inverted from its Laplace transform, v is taken as at least 1e-30 of the squared width of the noise.
    """
    few, parts = None, noise.components
    if parts is not None and (parts.variance == parts.variance[0]).all():
        sums = _sums(noise, size)
        few = None if sums is None else NoncentralLaw(*sums, size, v + float(parts.variance[0]))
    return InvertedLaw(noise_transform(noise, octaves), size, max(v, 1e-30 * noise.width**2), few)


@lru_cache(maxsize=64)
def _sums(noise: NoiseLaw, size: int) -> tuple[FloatArray, FloatArray] | None:
    assert noise.components is not None
    return sums_of_squares(noise.components, size)
