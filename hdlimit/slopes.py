"""Slopes of log-log decays with confidence intervals that know the Monte Carlo error of every point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdlimit.declaration import Declaration, FloatArray

STEEPEST, FLATTEST, GRID = -4.0, 2.0, 1201


@dataclass(frozen=True, eq=False, repr=False)
class Slope(Declaration):
    """A slope with its confidence interval. value: the best fit; low, high: the ends, -inf or inf where open."""

    value: float
    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the interval has two finite ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def __str__(self) -> str:
        if not self.resolved:
            return f"not resolved ({self.low:.2f} to {self.high:.2f})"
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def positive_slope(size: FloatArray, values: FloatArray, stderr: FloatArray, quantile: float) -> Slope:
    """The slope of log(values) against log(size), by least squares with the weights (values/stderr)^2.

    quantile: half width of the interval in standard errors of the slope, which are those that the weights imply.
    """
    weight, x = (values / stderr) ** 2, np.log(size)
    centred = x - (weight @ x) / weight.sum()
    information = float(weight @ centred**2)
    value = float((weight * centred) @ np.log(values)) / information
    reach = quantile / math.sqrt(information)
    return Slope(value, value - reach, value + reach)


def _contrast(size: FloatArray, stderr: FloatArray, slope: float) -> FloatArray:
    """The unit-variance statistic, as weights on the values, that is 0 in the mean for values = a size^slope.

    It estimates the coefficient of size^slope log(size) beside size^slope: what a wrong slope adds to first order.
    """
    x = np.log(size / size[-1])
    own, other = size_power(x, slope) / stderr, x * size_power(x, slope) / stderr
    left = other - own * (own @ other) / (own @ own)
    statistic: FloatArray = left / np.linalg.norm(left) / stderr
    return statistic


def size_power(x: FloatArray, slope: float) -> FloatArray:
    """e^(slope x), scaled so that its largest value is 1."""
    power: FloatArray = np.exp(slope * x - (slope * x).max())
    return power


def signed_slope(size: FloatArray, values: FloatArray, stderr: FloatArray, quantile: float) -> Slope:
    """The slope s of values = a size^s, where the values have errors of either sign and may not be resolved from 0.

    The interval inverts a test: s is in it where the statistic of `_contrast` is below the quantile. Its level is exact
    for every a, a = 0 included, where every s is right and the interval is open.
    """
    x = np.log(size / size[-1])
    grid = np.linspace(STEEPEST, FLATTEST, GRID)
    fits = [size_power(x, s) / stderr for s in grid]
    explained = np.array([float(fit @ (values / stderr)) ** 2 / float(fit @ fit) for fit in fits])
    best = int(explained.argmax())
    accepted = np.array([abs(float(_contrast(size, stderr, s) @ values)) <= quantile for s in grid])
    accepted[best] = True
    inside = grid[accepted]
    low = -math.inf if accepted[0] else float(inside[0])
    high = math.inf if accepted[-1] else float(inside[-1])
    return Slope(float(grid[best]), low, high)


def detectable_constant(size: FloatArray, stderr: FloatArray, slope: float, reach: float) -> float:
    """The value, the same at every size, whose statistic against a decay with this slope is `reach` in the mean."""
    return reach / abs(float(_contrast(size, stderr, slope).sum()))
