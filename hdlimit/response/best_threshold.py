"""The best clip threshold now: c* = argmax of mu_c^2/nu_c for a noise law at v = 2R.

At this state, each with its best step, clipping at c descends at the rate (mu_c^2/nu_c) A^2/(2 Bq), whatever the
spectrum. The maximum is global: sign changes of the slope of log(mu_c^2/nu_c) on a grid of every scale of the residual,
each solved as a root, compared with one another and with no clipping.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import NoiseLaw
from hdlimit.problem.normal_mixtures import Components
from hdlimit.response import batch_law as batch
from hdlimit.response.contours import euler
from hdlimit.response.mixtures import density_components
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse
from hdlimit.response.squared_norm import squared_norm

EXACT, INVERTED, SUMMED = 1e-12, 1e-8, 1e-4
MOST_ATOMS = 400
_X, _W = np.polynomial.legendre.leggauss(12)
_X, _W = (_X + 1) / 2, _W / 2


@dataclass(frozen=True)
class BestThreshold:
    """What clipping can gain at one state.

    threshold: c* in residual units, inf for "do not clip"; mu, nu: the responses there; clipped_fraction: probability
    that a step is clipped; rate_gain: (mu^2/nu) E r^2/B, the factor by which the best decrease of the risk exceeds
    SGD's (the CCC value, inf where SGD has no limit); permitted_gain: (mu/nu) E r^2/B, the factor by which the largest
    step that still decreases the risk exceeds SGD's (the CSC value); helps: rate_gain > 1; sentence: all of it in
    words.
    """

    threshold: float
    mu: float
    nu: float
    clipped_fraction: float
    rate_gain: float
    permitted_gain: float
    helps: bool
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def best_threshold(noise: Any, v: float, batch_size: int = 1) -> BestThreshold:
    """The clip threshold with the fastest decrease of the risk now, c* = argmax over c of mu_c^2/nu_c.

    c* solves c mu_c'/mu_c = c^2 P(|r| > c)/nu_c (B = 1), an interior point or inf: for v > 0 the objective rises at
    c = 0, from the value (2 p_r(0))^2 that it shares with the sign map (B = 1). A maximum that gains no more over
    no clipping than the responses are exact to (1e-12; B > 1: 1e-8 by Laplace inversion on a contour, 1e-4 by Euler
    sums) counts as inf.

    noise: a noise law, a frozen scipy.stats distribution or None; v: 2R = E z^2 > 0, in the units of y^2; batch_size:
    B, where the mean gradient is clipped.
    Returns: a BestThreshold; c* has a relative error below 1e-10 for B = 1; for B > 1 it is as good as the batch
    responses (see batch.py). Time: milliseconds for B = 1, seconds for B > 1 where the law of S takes Euler sums.
    Raises: InvalidInput. Source: Marshall, Xiao, Agarwala, Paquette (2025), the CCC;
    derivations/threshold.py.
    """
    law, v, size = as_noise(noise), checks.positive("v", v), checks.integer("batch_size", batch_size)
    square = (v + law.second_moment) / size
    condition, scales, error = _posed(law, v, size)
    c, value = _largest(condition, scales, error)
    if not value > -math.log(square) + error:
        c = math.inf
    mu, nu = MapResponse(CLIP, law, size)(v, c)
    clipped = float(condition(np.array([c])).clipped[0]) if c < math.inf else 0.0
    gain = mu**2 / nu * square if c < math.inf else 1.0
    permitted = mu / nu * square if c < math.inf else 1.0
    return BestThreshold(c, mu, nu, clipped, gain, permitted, gain > 1, _sentence(c, clipped, gain, permitted))


def _sentence(c: float, clipped: float, gain: float, permitted: float) -> str:
    if c == math.inf:
        return "do not clip: no threshold decreases the risk faster than SGD at its best step"
    share = f"clip at {c:.4g} in residual units, which clips {100 * clipped:.3g} % of the steps: "
    if gain == math.inf:
        return share + "SGD without clipping has no limit here, because the noise has infinite variance"
    return (
        share + f"the best decrease of the risk is {gain:.4g} times SGD's, "
        f"and the largest step that decreases it {permitted:.4g} times"
    )


class Condition(NamedTuple):
    """value = log(mu^2/nu), its derivative in log c, and the clipped fraction, each of the shape of c."""

    value: FloatArray
    slope: FloatArray
    clipped: FloatArray


Objective = Callable[[FloatArray], Condition]


def _largest(objective: Objective, scales: FloatArray, error: float = EXACT) -> tuple[float, float]:
    """The interior maximum (c, value) over all scales; (inf, -inf) where the objective has none.

    For B > 1 the objective is flat to c^B at c = 0 and its slope there rounding: then the largest of the scales that
    are best within the error counts.
    """
    values, slopes, _ = objective(scales)
    known = np.isfinite(values) & np.isfinite(slopes) & (slopes != 0)
    values, scales, slopes = values[known], scales[known], slopes[known]
    best = (math.inf, -math.inf)
    for i in np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] < 0)):
        c = _root(objective, float(scales[i]), float(scales[i + 1]), 1e-3 * error)
        best = max(best, (c, float(objective(np.array([c])).value[0])), key=lambda found: found[1])
    if np.any(slopes < 0) and values.max() > best[1] + error:
        top = int(np.flatnonzero(values >= values.max() - error)[-1])
        best = (float(scales[top]), float(values[top]))
    return best


def _root(objective: Objective, low: float, high: float, tolerance: float) -> float:
    """The zero of the slope between two thresholds; an end if the sign there is rounding."""
    from scipy.optimize import brentq

    def slope(x: float) -> float:
        return float(objective(np.array([low * (1 + x)])).slope[0])

    width = high / low - 1
    if not slope(0.0) > 0 > slope(width):
        return low
    return low * (1 + float(brentq(slope, 0.0, width, xtol=tolerance, rtol=1e-14)))


def _posed(noise: NoiseLaw, v: float, size: int) -> tuple[Objective, FloatArray, float]:
    """The objective, thresholds between which its slope changes sign at most once, and its relative error."""
    s, high = math.sqrt(v), 1e3 * max(math.sqrt(v), noise.width)
    parts = noise.components
    if parts is not None:
        high = 1e2 * max(s, float(np.sqrt(parts.mean**2 + parts.variance).max()))
    if size > 1:
        return _posed_batch(noise, v, size, high / 10)
    grid = _grid(1e-4 * s, high, 16)
    if parts is not None and parts.mean.any():
        chosen = _promising(np.abs(parts.mean), parts.weight, 1)
        grid = _around(grid, np.abs(parts.mean[chosen]), np.sqrt(v + parts.variance[chosen]))
    condition = _condition(noise, v)
    return condition, _rising(condition, grid), EXACT


def _posed_batch(noise: NoiseLaw, v: float, size: int, high: float) -> tuple[Objective, FloatArray, float]:
    law = squared_norm(noise, size, v)
    grid = _grid(0.03 * math.sqrt(v) / size, high, 5)
    error = EXACT
    if isinstance(law, batch.InvertedLaw):
        error = SUMMED if law.contour is euler else INVERTED
    else:
        chosen = _promising(law.radius, law.weight, size)[-12:]
        grid = _around(grid, law.radius[chosen] / size, np.full(chosen.size, law.s / size))

    def objective(c: FloatArray) -> Condition:
        return _stack([_batch_condition(law.moments((x * size) ** 2), x, size) for x in c.tolist()])

    return objective, grid, error


def _rising(objective: Objective, scales: FloatArray) -> FloatArray:
    """The scales, extended downwards to where the objective rises."""
    for _ in range(100):
        if not objective(scales[:1]).slope[0] < 0:
            break
        scales = np.concatenate([scales[:1] / 10, scales])
    return scales


def _grid(low: float, high: float, per_decade: int) -> FloatArray:
    return np.geomspace(low, high, math.ceil(per_decade * math.log10(high / low)))


def _around(grid: FloatArray, near: FloatArray, spread: FloatArray) -> FloatArray:
    extra = (near[:, None] + spread[:, None] * np.arange(-8.0, 9.0)).ravel()
    return np.unique(np.concatenate([grid, extra[extra > grid[0]]]))


def _promising(radii: FloatArray, weights: FloatArray, size: int) -> IntArray:
    """Indices of the values of sqrt(S) near which a maximum may hide, at v = 0: all of a few, else the best 10, best
    last.
    """
    order = np.argsort(radii)
    radius, weight = radii[order], weights[order]
    below = np.cumsum(weight)
    above = np.append(np.cumsum((weight / np.maximum(radius, 1e-300))[::-1])[::-1][1:], 0.0)
    mu = ((size - 1) * (below + radius * above) + below) / size
    nu = np.cumsum(weight * radius**2) + radius**2 * np.maximum(1 - below, 0.0)
    best = order[np.argsort(mu**2 / np.maximum(nu, 1e-300))].astype(np.int64)
    return best if best.size <= MOST_ATOMS else best[-10:]


def _condition(noise: NoiseLaw, v: float) -> Objective:
    if noise.mixture(1.0) is not None:
        return lambda c: mixture_condition(c, v, _parts(noise, float(c.max())))
    return lambda c: _stack(
        [mixture_condition(np.array([x]), v, density_components(noise, v, (x,), x)) for x in c.tolist()]
    )


def _parts(noise: NoiseLaw, threshold: float) -> Components:
    parts = noise.mixture(threshold)
    assert parts is not None
    return parts


def _stack(conditions: list[Condition]) -> Condition:
    return Condition(*(np.concatenate(column) for column in zip(*conditions, strict=True)))


def _batch_condition(s: Any, c: float, size: int) -> Condition:
    """log(mu^2/nu) of the clipped mean gradient, from the moments of S at x0 = (c B)^2."""
    x0 = (c * size) ** 2
    mu = ((size - 1) * s.root_ratio + s.below) / size
    nu = s.minimum / size**2
    drift = ((size - 1) * (s.root_ratio - s.below) + 2 * x0 * s.density) / size
    slope = 2 * drift / mu - 2 * x0 * (1 - s.below) / size**2 / nu
    return Condition(*(np.array([x]) for x in (2 * math.log(mu) - math.log(nu), slope, 1 - s.below)))


def mixture_condition(c: FloatArray, v: float, parts: Components) -> Condition:
    """log(mu_c^2/nu_c) at thresholds c > 0 for noise that is a mixture of normal laws (B = 1).

    With T = P(|r| > c), A = c^2 - nu and D = c mu' - mu, the slope is 2 (c mu'/mu - c^2 T/nu), and where mu is small
    2 (D/mu - (c mu'/mu) A/c^2 + mu)/(1 - A/c^2), in which nothing cancels.
    Source: derivations/threshold.py.
    """
    block = max(1, 400_000 // parts.weight.size)
    sums = np.concatenate([_sums(c[i : i + block], v, parts) for i in range(0, c.size, block)], axis=1)
    mass, tail, density, second, excess, bend = sums
    mu = np.where(tail < 0.5, 1 - tail, mass)
    nu = np.where(mu < 0.1, 1 - excess, second + tail)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = 2 * (density / mu - tail / nu)
        small = 2 * (bend / mu - density / mu * excess + mu) / nu
        value = 2 * np.log(mu) - np.log(nu) - 2 * np.log(c)
    return Condition(value, np.where(mu < 0.1, small, plain), tail)


def _sums(c: FloatArray, v: float, parts: Components) -> FloatArray:
    """P(|r| <= c), P(|r| > c), c mu', E[r^2; |r| <= c]/c^2, A/c^2 and D, shape (6, len(c))."""
    s = np.sqrt(v + parts.variance)
    a, k = c[:, None] / s, np.abs(parts.mean) / s
    thin = (a < 0.5) & (a * k < 4.5)
    total = np.where(thin, 0.0, _closed(a, k)) @ parts.weight
    rows, columns = np.nonzero(thin)
    values = _thin(a[rows, columns], k[columns]) * parts.weight[columns]
    total += np.stack([np.bincount(rows, value, c.size) for value in values])
    return total


def _closed(a: FloatArray, k: FloatArray) -> FloatArray:
    """The six for r ~ N(k, 1) at c = a, in closed form."""
    from scipy.special import ndtr

    x, y = a - k, a + k
    near, far = (np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) for u in (x, y))
    tail = ndtr(-x) + ndtr(-y)
    mass = np.where(x > 0, 1 - tail, ndtr(x) - ndtr(-y))
    density = a * (near + far)
    second = np.maximum((1 + k**2) * mass - y * near - x * far, 0.0) / a**2
    return np.stack([mass, tail, density, second, mass - second, density - mass])


def _thin(a: FloatArray, k: FloatArray) -> FloatArray:
    """The six for a threshold below half a standard deviation: Gauss-Legendre over [0, a]."""
    from scipy.special import ndtr

    u = a[:, None] * _X
    near, far = (np.exp(-((u + sign * k[:, None]) ** 2) / 2) / math.sqrt(2 * math.pi) for sign in (-1, 1))
    p = near + far
    bend = -u * ((u - k[:, None]) * near + (u + k[:, None]) * far)
    mass, second = a * (p @ _W), a * ((p * _X**2) @ _W)
    density = a * (np.exp(-((a - k) ** 2) / 2) + np.exp(-((a + k) ** 2) / 2)) / math.sqrt(2 * math.pi)
    tail = ndtr(k - a) + ndtr(-a - k)
    return np.stack([mass, tail, density, second, a * ((p * (1 - _X**2)) @ _W), a * (bend @ _W)])
