"""The density of a noise law on panels: intervals on which Gauss-Legendre quadrature integrates it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray

# Nodes of a panel; the mass of every law is checked to 1e-9.
ORDER = 12
# Bisections of a panel: 240 go down to 2^-240 of it, to a pole of the density. Chosen, not measured.
MOST_BISECTIONS = 240
NODES, WEIGHTS = np.polynomial.legendre.leggauss(ORDER)


class HasDensity(Protocol):
    """What has a density: a hashable law with a frozen scipy.stats distribution, or what has its methods."""

    @property
    def frozen(self) -> Any:
        """The distribution, with pdf, cdf, sf, ppf, median and support."""

    def __hash__(self) -> int:
        """Panels are kept by the law."""


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


@lru_cache(maxsize=64)
def panels(noise: HasDensity, growth: int) -> Panels:
    """Return the panels of a continuous law, found by bisection.

    Parameters
    ----------
    noise : HasDensity
        The law.
    growth : int
        They end at tails of mass 1e-17/16^growth.

    Returns
    -------
    Panels
        Kept for the law.
    """
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


def _start(noise: HasDensity, negligible: float) -> tuple[FloatArray, FloatArray]:
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


def _probability(noise: HasDensity, a: FloatArray, b: FloatArray) -> FloatArray:
    law = noise.frozen
    with np.errstate(all="ignore"):
        result: FloatArray = np.where(a > law.median(), law.sf(a) - law.sf(b), law.cdf(b) - law.cdf(a))
    return result


def density(noise: HasDensity, x: FloatArray) -> FloatArray:
    """Return the density at every x."""
    with np.errstate(all="ignore"):
        return np.asarray(noise.frozen.pdf(x), dtype=np.float64)


def _mass(noise: HasDensity, a: FloatArray, b: FloatArray) -> FloatArray:
    half = (b - a)[:, None] / 2
    mass: FloatArray = (half * WEIGHTS * density(noise, a[:, None] + half + half * NODES)).sum(axis=1)
    return mass
