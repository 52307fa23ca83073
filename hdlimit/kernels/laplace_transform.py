"""The Laplace transform of a squared residual, compiled: mini-batches sum it at hundreds of points.

L(q) = E exp(-q r^2) for r = z - eps, eps a mixture of normal laws: a sum of w exp(-q m^2/a)/sqrt(a), a = 1 + 2 q (v +
variance). weight, square, variance: of the normal laws, their squared means in `square`.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.jit import VECTOR, Type, float64, jit

COMPLEX, COMPLEXES = Type("complex128"), Type("complex128[::1]")

_SUMS = {"reassoc", "contract", "nsz", "arcp"}


@jit(COMPLEX(float64, float64), fastmath=_SUMS)
def _inverse_root(re: float, im: float) -> complex:
    """1/sqrt(re + i im), principal, without cancellation or overflow."""
    most = max(abs(re), abs(im))
    ratio = min(abs(re), abs(im)) / most
    size = most * math.sqrt(1 + ratio * ratio)
    large = math.sqrt((size + abs(re)) / 2)
    small = im / (2 * large)
    p = large if re >= 0.0 else abs(small)
    q = small if re >= 0.0 else math.copysign(large, im)
    return complex(p / size, -q / size)


@jit(COMPLEXES(COMPLEXES, float64, VECTOR, VECTOR, VECTOR), fastmath=_SUMS)
def mixture_transform(
    q: np.ndarray, v: float, weight: np.ndarray, square: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """L(q) at complex q; the shape of q."""
    result = np.empty_like(q)
    for i in range(q.size):
        total, x, y = 0j, 2 * q[i].real, 2 * q[i].imag
        for k in range(weight.size):
            s2 = v + variance[k]
            root = _inverse_root(1 + x * s2, y * s2)
            total += weight[k] * (root if square[k] == 0.0 else root * np.exp(-q[i] * square[k] * root * root))
        result[i] = total
    return result


@jit(COMPLEXES(COMPLEXES, float64, VECTOR, VECTOR, VECTOR))
def mixture_deficit(
    q: np.ndarray, v: float, weight: np.ndarray, square: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """1 - L(q) at complex q to full precision; the shape of q.

    1 - t = b t^2/(1 + t) for t = 1/sqrt(1 + b), and the factor of the mean through expm1.
    """
    result = np.empty_like(q)
    for i in range(q.size):
        total = 0j
        for k in range(weight.size):
            b = 2 * q[i] * (v + variance[k])
            t = _inverse_root(1 + b.real, b.imag)
            term = b * t * t / (1 + t)
            if square[k] != 0.0:
                e = -q[i] * square[k] * t * t
                half = math.sin(e.imag / 2)
                real = math.expm1(e.real) * math.cos(e.imag) - 2 * half * half
                term -= t * complex(real, math.exp(e.real) * math.sin(e.imag))
            total += weight[k] * term
        result[i] = total
    return result


@jit(VECTOR(VECTOR, float64, VECTOR, VECTOR, VECTOR), fastmath=_SUMS)
def mixture_transform_real(
    q: np.ndarray, v: float, weight: np.ndarray, square: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """L(q) at q >= 0; the shape of q."""
    result, centred = np.empty_like(q), not square.any()
    for i in range(q.size):
        total, x = 0.0, 2 * q[i]
        if centred:
            for k in range(weight.size):
                total += weight[k] / math.sqrt(1 + x * (v + variance[k]))
        else:
            for k in range(weight.size):
                a = 1 + x * (v + variance[k])
                total += weight[k] * math.exp(-q[i] * square[k] / a) / math.sqrt(a)
        result[i] = total
    return result
