"""Sums over a law: panels on which Gauss-Legendre quadrature integrates its density, and its moments, tails included.

A moment is summed panel by panel or atom by atom in the bulk, and octave by octave in the tails as far as the logarithm
of the density reaches. Where every octave adds what the one before added times a constant factor, the tail is a power
of |x|, and the factor tells whether the sum ends.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Nodes of a panel; the mass of every law is checked to 1e-9.
ORDER = 12
# Bisections of a panel: 240 go down to 2^-240 of it, to a pole of the density. Chosen, not measured.
MOST_BISECTIONS = 240
# Distance times density over the mass beyond, up to which a cdf is believed that says that nothing is left: 1 to 100 in
# tails of SciPy's laws; a cdf that SciPy integrates from the density loses the last 1e-8.
THIN = 1e3
# Octaves of distance beyond the bulk in which a tail is followed: up to 1e300 of its width.
MOST_OCTAVES = 1000
# Share of a moment below which an octave ends the tail, and mass at which tails begin: rounding.
NOTHING = 1e-17
# An exponent of a tail this close to a power counts as the power: octaves give those of power laws to 1e-12.
NEAR = 1e-6
# Change of a tail's exponent over the last quarter of its octaves, over the exponent, up to which it is a power of |x|.
DRIFT = 1e-3
# Octaves that show a power of |x|; fewer leave a moment open that they have not summed. Chosen, not measured.
FEWEST = 8
# Share of a moment beyond the last octave below which a tail that is no power may be cut.
CUT = 1e-9


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
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy's, where it integrates a density for the cdf
        steps = np.minimum((third - first) * 2.0 ** np.arange(-3, 997), 1e300)
        thin = [law.pdf(median + side * steps) * steps < THIN * negligible for side in (-1, 1)]
        down, up = (zip(median + side * steps, small, strict=True) for side, small in zip((-1, 1), thin, strict=True))
        left = next((x for x, small in down if x <= low or (small and law.cdf(x) < negligible)), median - steps[-1])
        right = next((x for x, small in up if x >= high or (small and law.sf(x) < negligible)), median + steps[-1])
    low, high = max(low, left), min(high, right)
    ends = np.unique(np.concatenate([[low, median, high], median - steps, median + steps]))
    ends = ends[(ends >= low) & (ends <= high)]
    return ends[:-1], ends[1:]


@lru_cache(maxsize=64)
def gauss(order: int) -> tuple[FloatArray, FloatArray]:
    """Return the nodes and weights of Gauss-Legendre quadrature on [-1, 1]; kept, and made only where they are used."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    nodes.setflags(write=False)
    weights.setflags(write=False)
    return nodes, weights


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
    half, (nodes, weights) = (b - a)[:, None] / 2, gauss(ORDER)
    mass: FloatArray = (half * weights * density(noise, a[:, None] + half + half * nodes)).sum(axis=1)
    return mass


class Moments(NamedTuple):
    """Moments: inf where infinite; a mean that does not exist, and a moment that a sum does not tell, are nan.

    Attributes
    ----------
    mean, second, fourth : float
        E eps, E eps^2, E eps^4.
    mass : float
        What the same sum gives for 1.
    """

    mean: float
    second: float
    fourth: float
    mass: float = 1.0


# The powers of x that Moments holds, in its order, with the mass last.
_POWERS = np.array([1, 2, 4, 0])


@lru_cache(maxsize=256)
def moments_of_density(noise: HasDensity) -> Moments:
    """Sum the moments of a law with a density; what was found is kept for the law."""
    law = noise.frozen
    edges, factor = panels(noise, 0)
    half, (nodes, weights) = np.diff(edges)[:, None] / 2, gauss(ORDER)
    x = edges[:-1, None] + half + half * nodes
    weight = half * weights * density(noise, x) * factor[:, None]
    mass = weight.sum(axis=1)
    heavy = np.flatnonzero((np.cumsum(mass) > NOTHING) & (np.cumsum(mass[::-1])[::-1] > NOTHING))
    if heavy.size:
        inner = slice(heavy[0], heavy[-1] + 1)
        edges, x, weight = edges[heavy[0] : heavy[-1] + 2], x[inner], weight[inner]
    (low, high), middle = law.support(), float(law.median())
    ends = (float(edges[0]) - middle, float(low) - middle), (float(edges[-1]) - middle, float(high) - middle)
    there = weight > 0
    return _together(weight[there], x[there], [_tail(law.logpdf, middle, *end) for end in ends])


def moments_of_integers(law: Any, shift: float, weight: FloatArray, x: FloatArray) -> Moments:
    """Sum the moments of a law on integers, moved by `shift`, whose likely values x and their weights are given."""
    (low, high), values = law.support(), x - shift
    middle = float(np.rint(values[0] / 2 + values[-1] / 2))
    ends = (values[0] - middle - 0.5, low - middle - 0.5), (values[-1] - middle + 0.5, high - middle + 0.5)
    tails = [_tail(lambda x: law.logpmf(np.rint(x)), middle, *end, shift=shift) for end in ends]
    return _together(weight, x, tails)


class _Tail(NamedTuple):
    """The logarithm of what the octaves of a tail add to the moments, signs left out, shape (octaves, 4).

    side: the sign of its x; ends: whether they reach the end of the support.
    """

    added: FloatArray
    side: float
    ends: bool


def _tail(log_density: Any, middle: float, begin: float, end: float, shift: float = 0.0) -> _Tail:
    """Sum a tail from middle + begin to middle + end, where `end` may be infinite."""
    blocks: list[FloatArray] = []
    lowest: list[FloatArray] = []
    first, count, side = 0, 4, math.copysign(1.0, end)
    farthest, (nodes, weights) = min(abs(end), 1e300), gauss(ORDER)
    if begin == 0 or not abs(begin) < farthest:
        return _Tail(np.zeros((0, _POWERS.size)), side, True)
    while first < MOST_OCTAVES:
        with np.errstate(all="ignore"):
            near = abs(begin) * 2.0 ** np.arange(first, first + count)
            near = near[near < farthest][:, None]
            half = (np.minimum(2 * near, abs(end)) - near) / 2
            x = middle + side * (near + half + half * nodes)
            level = np.asarray(log_density(x), dtype=np.float64)
            level = np.where(np.isnan(level), -math.inf, level)
            distance = np.log(np.maximum(np.abs(x + shift), 1e-300))
            terms = (level + np.log(half * weights))[..., None] + distance[..., None] * _POWERS
            blocks.append(np.logaddexp.reduce(terms, axis=1))
        lowest.append(level.min(axis=1))
        highest = np.concatenate(blocks)[:, 2]
        if near.size < count or not highest[-1] > math.log(NOTHING) + highest.max():
            break
        first, count = first + count, 2 * count
    return _Tail(np.concatenate(blocks)[: _known(np.concatenate(lowest))], side, math.isfinite(end))


def _known(lowest: FloatArray) -> int:
    """Count the octaves before the density, or its logarithm, leaves double precision, by its smallest logarithm."""
    alive = np.flatnonzero(lowest > -math.inf)
    if not alive.size:
        return 0
    # a logarithm that is taken of the density itself ends at -745, and has lost digits from -708 on
    ends = lowest > -700 if lowest[alive[-1]] > -746 else lowest > -math.inf
    return int(np.flatnonzero(ends)[-1]) + 1 if ends.any() else 0


def _together(weight: FloatArray, x: FloatArray, tails: list[_Tail]) -> Moments:
    """Add tails to a bulk of weights and places."""
    found = []
    for k, power in enumerate(_POWERS):
        odd, bulk = power % 2, float(weight @ np.abs(x) ** power)
        signs = [tail.side if odd else 1.0 for tail in tails]
        middle = float(weight @ x) if odd else bulk
        found.append(middle + sum(sign * _sum(tail, k, bulk) for sign, tail in zip(signs, tails, strict=True)))
    return Moments(*found)


def _sum(tail: _Tail, k: int, bulk: float) -> float:
    """Return the sum of what octaves add, and of those beyond them; inf where it has no end, nan where that is open."""
    added = tail.added[:, k]
    with np.errstate(over="ignore"):
        total, least = float(np.exp(added).sum()), math.exp(min(added[-1], 700.0)) if added.size else 0.0
    if tail.ends or least <= CUT * CUT * (bulk + total):
        return total
    growth = np.diff(added) / math.log(2)
    size = growth.size
    while size >= FEWEST:  # where rounding has spoilt the last octaves, the first half of them tells
        last, before = float(growth[size - 1]), float(growth[size - 1 - size // 4])
        if abs(last - before) <= NEAR + DRIFT * abs(last):
            with np.errstate(over="ignore"):
                inner, end = float(np.exp(added[: size + 1]).sum()), float(np.exp(added[size]))
            return inner + end / (2.0**-last - 1) if last < -NEAR else math.inf
        size //= 2
    last = float(growth[-1]) if growth.size else 0.0
    return total if last < -NEAR and least / (2.0**-last - 1) <= CUT * (bulk + total) else math.nan
