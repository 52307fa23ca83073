"""The best clip threshold now: c* = argmax of mu_c^2/nu_c for a noise law at v = 2R.

At this state, each with its best step, clipping at c descends at the rate (mu_c^2/nu_c) A^2/(2 Bq), whatever the
spectrum. The maximum is global: sign changes of the slope of log(mu_c^2/nu_c) on a grid of every scale of the residual,
each solved as a root, compared with one another and with no clipping.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, IntArray, known_names
from hdlimit.problem.noise import as_noise
from hdlimit.problem.noise_law import Components, NoiseLaw
from hdlimit.response.batch_law import squared_norm
from hdlimit.response.clip_condition import Condition, mixture_condition
from hdlimit.response.mixtures import density_components
from hdlimit.response.residual_maps import CLIP
from hdlimit.response.response import MapResponse

# Relative errors of the objective: closed forms, Laplace inversion. A gain below them counts as none
# (tests/response/test_best_threshold.py, test_batch_law.py).
EXACT, INVERTED = 1e-12, 1e-8
# Values of sqrt(S) up to which the grid is refined around all; beyond, around the ten best. Chosen, not measured.
MOST_ATOMS = 400


@dataclass(frozen=True)
class BestThreshold:
    """What clipping can gain at one state.

    Attributes
    ----------
    threshold : float
        c* in residual units, inf for "do not clip".
    mu, nu : float
        The responses at c*.
    clipped_fraction : float
        Probability that a step is clipped.
    rate_gain : float
        (mu^2/nu) E r^2/B, the factor by which the best decrease of the risk exceeds SGD's (the CCC value), inf where
        SGD has no limit.
    permitted_gain : float
        (mu/nu) E r^2/B, the factor by which the largest step that still decreases the risk exceeds SGD's (the CSC
        value).
    helps : bool
        Whether rate_gain > 1.
    sentence : str
        All of it in words.

    Examples
    --------
    >>> import hdlimit as hd
    >>> hd.tuning.best_threshold(hd.Gaussian(0.5), v=0.1).helps
    False
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


@known_names
def best_threshold(noise: Any, v: float, batch_size: int = 1) -> BestThreshold:
    """Find the clip threshold with the fastest decrease of the risk now, c* = argmax over c of mu_c^2/nu_c.

    Parameters
    ----------
    noise : NoiseLaw, frozen scipy.stats distribution or None
        The label noise.
    v : float
        2R = E z^2 > 0, in the units of y^2.
    batch_size : int, optional
        B; the mean gradient is clipped.

    Returns
    -------
    BestThreshold
        c* has a relative error below 1e-10 for B = 1; for B > 1 it is as good as the batch responses
        (response/batch_law.py). Time: milliseconds for B = 1, tenths of a second for B > 1.

    Raises
    ------
    InvalidInput
        For arguments out of range.

    Notes
    -----
    c* solves c mu_c'/mu_c = c^2 P(|r| > c)/nu_c (B = 1), an interior point or inf: for v > 0 the objective rises at
    c = 0, from the value (2 p_r(0))^2 that it shares with the sign map (B = 1). A maximum that gains no more over
    no clipping than the responses are exact to (1e-12; B > 1: 1e-8) counts as inf. Proof: derivations/threshold.py.

    References
    ----------
    Marshall, Xiao, Agarwala and Paquette (2025), the clipping comparison criterion (CCC).

    Examples
    --------
    >>> import hdlimit as hd
    >>> best = hd.tuning.best_threshold(hd.StudentT(df=3, scale=0.5), v=0.1)
    >>> round(best.threshold, 3), round(best.rate_gain, 3)
    (0.73, 1.616)
    """
    law, v, size = as_noise(noise), checks.risk("v", v), checks.count("batch_size", batch_size)
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


Objective = Callable[[FloatArray], Condition]


def _largest(objective: Objective, scales: FloatArray, error: float = EXACT) -> tuple[float, float]:
    """Find the interior maximum (c, value) over all scales; (inf, -inf) where the objective has none.

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
    """Find the zero of the slope between two thresholds; an end if the sign there is rounding."""
    from scipy.optimize import brentq

    def slope(x: float) -> float:
        return float(objective(np.array([low * (1 + x)])).slope[0])

    width = high / low - 1
    if not slope(0.0) > 0 > slope(width):
        return low
    return low * (1 + float(brentq(slope, 0.0, width, xtol=tolerance, rtol=1e-14)))


def _posed(noise: NoiseLaw, v: float, size: int) -> tuple[Objective, FloatArray, float]:
    """Return the objective, thresholds between which its slope changes sign at most once, and its relative error."""
    s, high = math.sqrt(v), 1e3 * max(math.sqrt(v), noise.width)
    parts = noise.components
    if parts is not None:
        high = 1e2 * max(s, float(np.sqrt(parts.mean**2 + parts.variance).max()))
    if size > 1:
        return _posed_batch(noise, v, size, high / 10)
    grid = _grid(1e-4 * s, high, 16)
    if parts is not None and parts.mean.any():
        chosen = promising(np.abs(parts.mean), parts.weight, 1)
        grid = _around(grid, np.abs(parts.mean[chosen]), np.sqrt(v + parts.variance[chosen]))
    condition = _condition(noise, v)
    return condition, _rising(condition, grid), EXACT


def _posed_batch(noise: NoiseLaw, v: float, size: int, high: float) -> tuple[Objective, FloatArray, float]:
    law = squared_norm(noise, size, v)
    grid = _grid(0.03 * math.sqrt(v) / size, high, 5)
    if law.few is not None:
        few = law.few
        chosen = promising(few.radius, few.weight, size)[-12:]
        grid = _around(grid, few.radius[chosen] / size, np.full(chosen.size, few.s / size))

    def objective(c: FloatArray) -> Condition:
        return _stack([_batch_condition(law.moments((x * size) ** 2), x, size) for x in c.tolist()])

    return objective, grid, INVERTED


def _rising(objective: Objective, scales: FloatArray) -> FloatArray:
    """Return the scales, extended downwards to where the objective rises."""
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


def promising(radii: FloatArray, weights: FloatArray, size: int) -> IntArray:
    """Find the values of sqrt(S) near which a maximum may hide, at v = 0.

    Returns
    -------
    ndarray of int
        Indices: all of a few, else of the best 10, best last.
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
