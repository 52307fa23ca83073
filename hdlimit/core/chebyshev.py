"""Chebyshev sums on [-1, 1]: places of interpolation, and coefficients from values there.

Written out, as matrices that are inverted when a module is read make it slow to load.
"""

from __future__ import annotations

import numpy as np

from hdlimit.core.declaration import FloatArray


def roots(n: int) -> FloatArray:
    """Return the n roots of T_n, in falling order."""
    found: FloatArray = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    return found


def from_roots(n: int) -> FloatArray:
    """Return the matrix from values at the roots of T_n to the n coefficients, by discrete orthogonality."""
    degree = np.arange(n)
    found: FloatArray = np.cos(np.pi / n * degree[:, None] * (degree + 0.5)) * (2 / n)
    found[0] /= 2
    return found


def extremes(degree: int) -> FloatArray:
    """Return the degree + 1 places where |T| is 1, in falling order."""
    found: FloatArray = np.cos(np.pi * np.arange(degree + 1) / degree)
    return found


def from_extremes(degree: int) -> FloatArray:
    """Return the matrix from values at the extremes to the degree + 1 coefficients."""
    place = np.arange(degree + 1)
    share = np.where((place == 0) | (place == degree), 0.5, 1.0)
    found: FloatArray = np.cos(np.pi / degree * place[:, None] * place) * share * share[:, None] * (2 / degree)
    return found


def values_at(x: FloatArray, degree: int) -> FloatArray:
    """Return T_0 .. T_degree at x in [-1, 1], shape (n, degree + 1)."""
    found: FloatArray = np.cos(np.arange(degree + 1) * np.arccos(x)[:, None])
    return found


def powers(degree: int) -> FloatArray:
    """Return the coefficients of T_0 .. T_degree in powers of x, one polynomial a row."""
    found = np.eye(degree + 1)
    for k in range(2, degree + 1):
        found[k] = -found[k - 2]
        found[k, 1:] += 2 * found[k - 1, :-1]
    return found
