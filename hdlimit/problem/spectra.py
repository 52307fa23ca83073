"""Named spectra in few nodes: eigenvalues that are a formula of their number, see hdlimit.problem.spectral_measure."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem import spectral_measure
from hdlimit.problem.covariance import Indexed


@lru_cache(maxsize=64)
def power_law(d: int, exponent: float, tolerance: float) -> Indexed:
    """Put eigenvalues proportional to i^-exponent, of sum d, into nodes.

    Parameters
    ----------
    d : int
        Number of eigenvalues, above 256.
    exponent : float
        Exponent of the decay, >= 0.
    tolerance : float
        Largest error, as in Compression.

    Returns
    -------
    Indexed
        The nodes.
    """
    scale, last = d / _power_sum(d, exponent), d / (100 * max(exponent, 1.0))
    return spectral_measure.of_function(lambda i: scale * (i + 1) ** -exponent, d, exponent, last, tolerance)


def _power_sum(d: int, exponent: float) -> float:
    """Sum i^-exponent over 1 <= i <= d, d > 256: 255 terms and the Euler-Maclaurin formula of the others."""
    a, p = 256.0, exponent
    head = float((np.arange(1, a) ** -p).sum())
    span = math.log(d / a)
    integral = a ** (1 - p) * (math.expm1((1 - p) * span) / (1 - p) if p != 1 else span)
    ends = (a**-p + d**-p) / 2
    first = p * (a ** (-p - 1) - d ** (-p - 1)) / 12
    third = p * (p + 1) * (p + 2) * (a ** (-p - 3) - d ** (-p - 3)) / 720
    return float(head + integral + ends + first - third)


@lru_cache(maxsize=64)
def marchenko_pastur(d: int, ratio: float, tolerance: float) -> Indexed:
    """Put the eigenvalues > 0 among the d quantiles (i - 1/2)/d of the Marchenko-Pastur law into nodes.

    Parameters
    ----------
    d : int
        Number of eigenvalues, and their sum.
    ratio : float
        Aspect ratio of the law.
    tolerance : float
        Largest error, as in Compression.

    Returns
    -------
    Indexed
        The nodes.
    """
    zeros = max(math.ceil(d * (1 - min(1.0, 1 / ratio)) - 0.5), 0)

    def value(number: FloatArray) -> FloatArray:
        return marchenko_pastur_quantiles((zeros + number + 0.5) / d, ratio)

    found = spectral_measure.of_function(value, d - zeros, 2.0, 1.0, tolerance)
    return Indexed(found.value * (d / float(found.mass @ found.value)), found.mass, found.error)


@lru_cache(maxsize=8)
def _marchenko_pastur_table(ratio: float) -> tuple[FloatArray, FloatArray]:
    """Tabulate the distribution function of phi and its density a cell at 20001 angles from 0 to pi.

    An eigenvalue > 0 is 1 + ratio - 2 sqrt(ratio) cos(phi).
    """
    phi = np.linspace(0.0, np.pi, 20001)
    node, weight = np.polynomial.legendre.leggauss(4)
    inside = phi[:-1, None] + np.pi / 20000 * (node + 1) / 2
    cells = _angle_density(inside, ratio) @ weight
    cdf = np.concatenate([[0.0], np.cumsum(cells)])
    return cdf / cdf[-1], 2 * _angle_density(phi, ratio) / cdf[-1]


def _angle_density(phi: FloatArray, ratio: float) -> FloatArray:
    """Return sin(phi)^2 over the eigenvalue."""
    x = (1 - math.sqrt(ratio)) ** 2 + 4 * math.sqrt(ratio) * np.sin(phi / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(x > 0, np.sin(phi) ** 2 / x, 1.0)


def marchenko_pastur_quantiles(q: FloatArray, ratio: float) -> FloatArray:
    """Return quantiles of the Marchenko-Pastur law.

    The distribution function of phi is interpolated by cubics and inverted by Newton's method.

    Parameters
    ----------
    q : ndarray
        Probabilities in [0, 1].
    ratio : float
        Aspect ratio of the law.

    Returns
    -------
    ndarray
        The quantiles, of the shape of q.
    """
    mass = min(1.0, 1.0 / ratio)
    cdf, density = _marchenko_pastur_table(ratio)
    share = np.clip((q - (1.0 - mass)) / mass, 0.0, 1.0)
    cell = np.clip(np.searchsorted(cdf, share, side="right") - 1, 0, cdf.size - 2)
    rise = cdf[cell + 1] - cdf[cell]
    left, right = density[cell] / rise, density[cell + 1] / rise
    want = (share - cdf[cell]) / rise
    u = want.copy()
    for _ in range(8):
        value = u * (left + u * ((3 - 2 * left - right) + u * (left + right - 2)))
        slope = left + u * (2 * (3 - 2 * left - right) + u * 3 * (left + right - 2))
        u = np.clip(u - (value - want) / np.maximum(slope, 1e-3), 0.0, 1.0)
    half = (cell + u) * (np.pi / 40000)
    x = (1 - math.sqrt(ratio)) ** 2 + 4 * math.sqrt(ratio) * np.sin(half) ** 2
    return np.where(q < 1.0 - mass, 0.0, x)
