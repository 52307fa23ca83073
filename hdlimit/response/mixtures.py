"""Quadrature over the label noise: every law as a finite mixture of normal laws.

A scale mixture (Student t, Laplace) becomes normal laws of mean 0, right at both ends of v; any other density becomes
point masses whose spacing resolves the scale sqrt(v) wherever the integrand bends.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.problem.noise_law import Components, NoiseLaw

# Nodes of a panel; the mass of every law is checked to 1e-9.
ORDER = 12
# Bisections of a panel: 240 go down to 2^-240 of it, to a pole of the density. Chosen, not measured.
MOST_BISECTIONS = 240
_X, _W = np.polynomial.legendre.leggauss(ORDER)


def density_components(
    noise: NoiseLaw, v: float, points: tuple[float, ...], reach: float, per_octave: int = 1
) -> Components:
    """Turn a continuous law into point masses: Gauss-Legendre panels that resolve its density and the integrand.

    Parameters
    ----------
    noise : NoiseLaw
        A law with a density.
    v : float
        The integrand bends at +-points on the scale sqrt(v).
    points : tuple of float
        Where the integrand bends, >= 0.
    reach : float
        The |eps| up to which the integrand grows, at most like eps^2.
    per_octave : int
        Panels for each doubling of the distance from a point.

    Returns
    -------
    Components
        Variances are 0.

    Raises
    ------
    NotAvailable
        When the weights miss the total mass 1 by more than 1e-9.
    """
    panels = _panels(noise, math.ceil(math.log(max(reach / noise.width, 1.0), 4)))
    low, high = panels.edges[0], panels.edges[-1]
    octaves = 2.0 ** np.arange(4, max(math.log2(max(high - low, 1e-300)) - math.log2(v) / 2, 4) + 1, 1 / per_octave)
    bends = math.sqrt(v) * np.concatenate([[0.0, 0.75, 1.5, 3.0, 4.5, 6.0, 8.0], octaves])
    edges = [panels.edges, *(side * point + sign * bends for point in points for side in (-1, 1) for sign in (-1, 1))]
    ends = np.unique(np.concatenate(edges))
    ends = ends[(ends >= low) & (ends <= high)]
    half = np.diff(ends)[:, None] / 2
    nodes = (ends[:-1, None] + half + half * _X).ravel()
    inside = np.clip(np.searchsorted(panels.edges, nodes, side="right") - 1, 0, panels.factor.size - 1)
    weight = (half * _W).ravel() * _density(noise, nodes) * panels.factor[inside]
    missing = abs(float(weight.sum()) - 1)
    if not missing < 1e-9:
        raise NotAvailable(
            f"noise: the density of {noise!r} integrates to 1 with an error of {missing:.1e}, more than 1e-9"
        )
    keep = weight > 0
    return Components(weight[keep], nodes[keep], np.zeros(int(keep.sum())))


class Panels(NamedTuple):
    """Intervals on which Gauss-Legendre integrates a density.

    Attributes
    ----------
    edges : ndarray, shape (n + 1,)
        Ends of the intervals.
    factor : ndarray, shape (n,)
        What the sum there is to be multiplied with: 1, but where the rounding of the nodes counts, next to a jump or a
        pole away from 0.
    """

    edges: FloatArray
    factor: FloatArray


def noise_panels(noise: NoiseLaw) -> Panels:
    """Panels of a continuous law, up to tails of mass 1e-17."""
    return _panels(noise, 0)


@lru_cache(maxsize=64)
def _panels(noise: NoiseLaw, growth: int) -> Panels:
    """Panels of a law by bisection, up to tails of mass 1e-17/16^growth."""
    a, b = _start(noise, 1e-17 / 16.0**growth)
    done: list[FloatArray] = []
    for level in range(MOST_BISECTIONS):
        middle = (a + b) / 2
        whole, parts = _mass(noise, a, b), _mass(noise, a, middle) + _mass(noise, middle, b)
        rounding = 2.0**-48 * np.maximum(np.abs(a), np.abs(b)) / (b - a)
        fine = np.abs(parts - whole) <= (min(1e-13 * 4.0**level, 1e-9) + rounding) * parts + 1e-22
        fine |= (rounding > 0.1) | (level == MOST_BISECTIONS - 1)
        coarse = (rounding > 1e-12) & fine & (whole > 0)
        factor = np.ones(a.size)
        factor[coarse] = _probability(noise, a[coarse], b[coarse]) / whole[coarse]
        done.append(np.stack([a, b, factor])[:, fine])
        a, b = np.concatenate([a[~fine], middle[~fine]]), np.concatenate([middle[~fine], b[~fine]])
        if not a.size:
            break
    left, right, factor = np.concatenate(done, axis=1)
    order = np.argsort(left)
    return Panels(np.append(left[order], right[order[-1]]), factor[order])


def _start(noise: NoiseLaw, negligible: float) -> tuple[FloatArray, FloatArray]:
    """Return ends of intervals of the support that grow by octaves away from the median."""
    law = noise.frozen
    first, median, third = (float(x) for x in law.ppf([0.25, 0.5, 0.75]))
    low, high = (float(e) for e in law.support())
    with np.errstate(all="ignore"):
        steps = np.minimum((third - first) * 2.0 ** np.arange(-3, 997), 1e300)
        left = next((x for x in median - steps if x <= low or law.cdf(x) < negligible), median - steps[-1])
        right = next((x for x in median + steps if x >= high or law.sf(x) < negligible), median + steps[-1])
    low, high = max(low, left), min(high, right)
    ends = np.unique(np.concatenate([[low, median, high], median - steps, median + steps]))
    ends = ends[(ends >= low) & (ends <= high)]
    return ends[:-1], ends[1:]


def _probability(noise: NoiseLaw, a: FloatArray, b: FloatArray) -> FloatArray:
    law = noise.frozen
    with np.errstate(all="ignore"):
        result: FloatArray = np.where(a > law.median(), law.sf(a) - law.sf(b), law.cdf(b) - law.cdf(a))
    return result


def _density(noise: NoiseLaw, x: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        return np.asarray(noise.frozen.pdf(x), dtype=np.float64)


def _mass(noise: NoiseLaw, a: FloatArray, b: FloatArray) -> FloatArray:
    half = (b - a)[:, None] / 2
    mass: FloatArray = (half * _W * _density(noise, a[:, None] + half + half * _X)).sum(axis=1)
    return mass


def flat(components: Components) -> FloatArray:
    """Components as the parameters of a kernel: weights, means, variances."""
    return np.ascontiguousarray(np.concatenate(components), dtype=np.float64)
