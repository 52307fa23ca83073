"""Slopes of log-log decays with confidence intervals that know the Monte Carlo error of every point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hdlimit.core.declaration import Declaration, FloatArray

# Range and number of the slopes that are tried: the interval's ends are known to 0.005. The range is chosen, not
# measured: the expected slopes -1 and -0.5 stand well inside.
STEEPEST, FLATTEST, GRID = -4.0, 2.0, 1201


@dataclass(frozen=True, eq=False, repr=False)
class Slope(Declaration):
    """A slope with its confidence interval.

    Parameters
    ----------
    value : float
        The best fit.
    low, high : float
        The ends of the interval, -inf or inf where it is open.
    """

    value: float
    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the interval has two finite ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def __str__(self) -> str:
        if not self.resolved:
            ends = [f", at least {self.low:.2f}"] if math.isfinite(self.low) else []
            ends += [f", at most {self.high:.2f}"] if math.isfinite(self.high) else []
            return "not resolved" + "".join(ends)
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def positive_slope(size: FloatArray, values: FloatArray, stderr: FloatArray, quantile: float) -> Slope:
    """Fit the slope of log(values) against log(size), by least squares with the weights (values/stderr)^2.

    Parameters
    ----------
    size, values, stderr : ndarray, shape (k,)
        Sizes, positive values and their standard errors.
    quantile : float
        Half width of the interval in standard errors of the slope, which are those that the weights imply.

    Returns
    -------
    Slope
        With a closed interval.
    """
    weight, x = (values / stderr) ** 2, np.log(size)
    centred = x - (weight @ x) / weight.sum()
    information = float(weight @ centred**2)
    value = float((weight * centred) @ np.log(values)) / information
    reach = quantile / math.sqrt(information)
    return Slope(value, value - reach, value + reach)


def _powers(size: FloatArray, stderr: FloatArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return size^slope/stderr, scaled to length 1, and log(size) times it; one row a slope, shape (m, k)."""
    x = np.log(size / size[-1])
    exponents = np.outer(slopes, x)
    own = np.exp(exponents - exponents.max(axis=1, keepdims=True)) / stderr
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    return own, own * x


def contrasts(size: FloatArray, stderr: FloatArray, slopes: FloatArray) -> FloatArray:
    """Return for each slope the weights of a statistic with variance 1, and mean 0 for values = a size^slope.

    It estimates the coefficient of size^slope log(size) beside size^slope: what a wrong slope adds to first order.

    Parameters
    ----------
    size, stderr : ndarray, shape (k,)
        Sizes and standard errors of the values.
    slopes : ndarray, shape (m,)
        The slopes.

    Returns
    -------
    ndarray, shape (m, k)
        The weights.
    """
    own, other = _powers(size, stderr, slopes)
    left = other - own * (own * other).sum(axis=1, keepdims=True)
    statistics: FloatArray = left / np.linalg.norm(left, axis=1, keepdims=True) / stderr
    return statistics


def signed_slope(size: FloatArray, values: FloatArray, stderr: FloatArray, quantile: float) -> Slope:
    """Fit the slope s of values = a size^s, where values have errors of either sign and may not be resolved from 0.

    Parameters
    ----------
    size, values, stderr : ndarray, shape (k,)
        Sizes, values and their standard errors.
    quantile : float
        The interval holds every s at which the statistic of `contrasts` is within the quantile.

    Returns
    -------
    Slope
        Looked for in -4 to 2. The level of its interval is exact for every a, a = 0 included, where every s is right
        and the interval is open.
    """
    grid = np.linspace(STEEPEST, FLATTEST, GRID)
    best = int(np.abs(_powers(size, stderr, grid)[0] @ (values / stderr)).argmax())
    accepted = np.abs(contrasts(size, stderr, grid) @ values) <= quantile
    accepted[best] = True
    inside = grid[accepted]
    low = -math.inf if accepted[0] else float(inside[0])
    high = math.inf if accepted[-1] else float(inside[-1])
    return Slope(float(grid[best]), low, high)


def detectable_constant(size: FloatArray, stderr: FloatArray, slope: float, reach: float) -> float:
    """Return the value, the same at every size, that a test against decays detects.

    Parameters
    ----------
    size, stderr : ndarray, shape (k,)
        Sizes and standard errors of the values.
    slope : float
        The statistics against all decays of this slope and steeper ones count.
    reach : float
        What they must be at least in the mean.

    Returns
    -------
    float
        The value.
    """
    grid = np.linspace(STEEPEST, FLATTEST, GRID)
    means = contrasts(size, stderr, grid[grid <= slope + 1e-9]).sum(axis=1)
    return reach / float(np.abs(means).min())
