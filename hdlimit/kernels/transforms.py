"""The Laplace transform of a squared residual, compiled: mini-batches sum it at thousands of points."""

from __future__ import annotations

import numpy as np

from hdlimit.kernels.jit import VECTOR, Type, float64, jit

COMPLEX = Type("complex128[::1]")


@jit(COMPLEX(COMPLEX, float64, VECTOR, VECTOR, VECTOR))
def mixture_transform(
    q: np.ndarray, v: float, weight: np.ndarray, square: np.ndarray, variance: np.ndarray
) -> np.ndarray:
    """L(q) = E exp(-q r^2) for r = z - eps, eps a mixture of normal laws; the shape of q.

    weight, square, variance: of the normal laws, their squared means in `square`.
    """
    result = np.empty_like(q)
    for i in range(q.size):
        total = 0j
        for k in range(weight.size):
            a = 1 + 2 * q[i] * (v + variance[k])
            term = weight[k] / np.sqrt(a)
            total += term if square[k] == 0.0 else term * np.exp(-q[i] * square[k] / a)
        result[i] = total
    return result
