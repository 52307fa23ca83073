"""Moments of a law by summation, tails included: which are infinite, and what the others are.

The bulk is summed panel by panel or atom by atom, the tails octave by octave as far as the logarithm of the density
reaches. Where every octave adds what the one before added times a constant factor, the tail is a power of |x|, and the
factor tells whether the sum ends. What SciPy states of a law is taken where the sum confirms it.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.problem.density import NODES, WEIGHTS, HasDensity, density, panels

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
# Error of the total mass up to which a sum is trusted: that of the quadrature of responses.
LARGEST_MASS_ERROR = 1e-9
# Relative difference of a sum and of SciPy's value up to which they agree; sums were right to 1e-9 for 100 of its laws.
AGREEMENT = 1e-6


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
def of_density(noise: HasDensity) -> Moments:
    """Sum the moments of a law with a density; what was found is kept for the law."""
    law = noise.frozen
    edges, factor = panels(noise, 0)
    half = np.diff(edges)[:, None] / 2
    x = edges[:-1, None] + half + half * NODES
    weight = half * WEIGHTS * density(noise, x) * factor[:, None]
    mass = weight.sum(axis=1)
    heavy = np.flatnonzero((np.cumsum(mass) > NOTHING) & (np.cumsum(mass[::-1])[::-1] > NOTHING))
    if heavy.size:
        inner = slice(heavy[0], heavy[-1] + 1)
        edges, x, weight = edges[heavy[0] : heavy[-1] + 2], x[inner], weight[inner]
    (low, high), middle = law.support(), float(law.median())
    ends = (float(edges[0]) - middle, float(low) - middle), (float(edges[-1]) - middle, float(high) - middle)
    there = weight > 0
    return _together(weight[there], x[there], [_tail(law.logpdf, middle, *end) for end in ends])


def of_integers(law: Any, shift: float, weight: FloatArray, x: FloatArray) -> Moments:
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
    if begin == 0 or not abs(begin) < abs(end):
        return _Tail(np.zeros((0, _POWERS.size)), side, True)
    while first < MOST_OCTAVES:
        near = abs(begin) * 2.0 ** np.arange(first, first + count)
        near = near[near < min(abs(end), 1e300)][:, None]
        half = (np.minimum(2 * near, abs(end)) - near) / 2
        x = middle + side * (near + half + half * NODES)
        with np.errstate(all="ignore"):
            level = np.asarray(log_density(x), dtype=np.float64)
            level = np.where(np.isnan(level), -math.inf, level)
            distance = np.log(np.maximum(np.abs(x + shift), 1e-300))
            terms = (level + np.log(half * WEIGHTS))[..., None] + distance[..., None] * _POWERS
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


def settled(name: str, law: Any, found: Moments) -> tuple[float, float, float]:
    """Settle what SciPy states of a law and what a sum finds.

    Parameters
    ----------
    name : str
        The law, for the message.
    law : frozen scipy.stats distribution
        SciPy's, or one of the user's.
    found : Moments
        The sum's.

    Returns
    -------
    (mean, second, fourth) : tuple of float
        SciPy's value where the sum confirms it, else the sum's where its mass is 1 to 1e-9.

    Raises
    ------
    InvalidInput
        Where neither can be trusted.
    """
    error = abs(found.mass - 1)
    trusted = error <= LARGEST_MASS_ERROR
    if trusted and not math.isnan(found.second + found.fourth) and _is_integrated(law):
        return found[:3]
    stated = _stated(law)
    scale = math.sqrt(found.second) if math.isfinite(found.second) else abs(found.mean)
    result = []
    for k, label in enumerate(("E eps", "E eps^2", "E eps^4")):
        mine, theirs = found[k], stated[k]
        near = (AGREEMENT + min(error, 1e-3)) * (abs(mine) if k else scale)
        agree = mine == theirs or (math.isfinite(mine) and abs(mine - theirs) <= near)
        if agree or (k == 0 and math.isnan(mine) and math.isnan(theirs)):
            result.append(theirs)
        elif trusted and (k == 0 or not math.isnan(mine)):
            result.append(mine)
        elif theirs == math.inf:
            result.append(theirs)
        else:
            sums = f"its density or probabilities sum to {found.mass:.9g} in place of 1, {label} to {mine:.6g}"
            raise InvalidInput(
                "noise", "a law with known moments", f"{name:.160}: SciPy has {label} {theirs:g}, {sums}"
            )
    mean, second, fourth = result
    return mean, second, fourth


def _is_integrated(law: Any) -> bool:
    """Whether SciPy has no formula for the moments and would integrate, with less care."""
    from scipy import stats

    base, own = stats.rv_continuous, type(law.dist)
    return own._stats is base._stats and own._munp is base._munp


def _stated(law: Any) -> Moments:
    """Return the moments that SciPy states; nan where it fails, and inf for it and what follows where it has nan."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mean, variance, skewness, kurtosis = (float(m) for m in law.stats(moments="mvsk"))
    except Exception:  # what a distribution of the user's raises may be anything
        return Moments(math.nan, math.nan, math.nan)
    if not math.isfinite(variance):
        return Moments(mean, math.inf, math.inf)
    second = variance + mean**2
    if not (math.isfinite(skewness) and math.isfinite(kurtosis)):
        return Moments(mean, second, math.inf)
    fourth = (kurtosis + 3) * variance**2 + 4 * skewness * variance**1.5 * mean + 6 * mean**2 * variance + mean**4
    return Moments(mean, second, fourth)
