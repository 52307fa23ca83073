"""The condition of the best clip threshold, log(mu^2/nu) and its slope, for noise that is a mixture of normal laws."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.problem.density import gauss
from hdlimit.problem.noise_law import Components

# Nodes over [0, a], a < 1/2 standard deviation, where the integrand is a normal density: exact to rounding.
NODES = 12


class Condition(NamedTuple):
    """value = log(mu^2/nu), its derivative in log c, and the clipped fraction, each of the shape of c."""

    value: FloatArray
    slope: FloatArray
    clipped: FloatArray


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
    """Return the six for r ~ N(k, 1) at c = a, in closed form."""
    from scipy.special import ndtr

    x, y = a - k, a + k
    near, far = (np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) for u in (x, y))
    tail = ndtr(-x) + ndtr(-y)
    mass = np.where(x > 0, 1 - tail, ndtr(x) - ndtr(-y))
    density = a * (near + far)
    second = np.maximum((1 + k**2) * mass - y * near - x * far, 0.0) / a**2
    return np.stack([mass, tail, density, second, mass - second, density - mass])


def _thin(a: FloatArray, k: FloatArray) -> FloatArray:
    """Return the six for a threshold below half a standard deviation: Gauss-Legendre over [0, a]."""
    from scipy.special import ndtr

    x, w = gauss(NODES)
    place, share = (1 + x) / 2, w / 2
    u = a[:, None] * place
    near, far = (np.exp(-((u + sign * k[:, None]) ** 2) / 2) / math.sqrt(2 * math.pi) for sign in (-1, 1))
    p = near + far
    bend = -u * ((u - k[:, None]) * near + (u + k[:, None]) * far)
    mass, second = a * (p @ share), a * ((p * place**2) @ share)
    density = a * (np.exp(-((a - k) ** 2) / 2) + np.exp(-((a + k) ** 2) / 2)) / math.sqrt(2 * math.pi)
    tail = ndtr(k - a) + ndtr(-a - k)
    return np.stack([mass, tail, density, second, a * ((p * (1 - place**2)) @ share), a * (bend @ share)])
