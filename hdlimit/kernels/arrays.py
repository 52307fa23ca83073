"""Arrays that grow: copies of another length, what is new left unset."""

from __future__ import annotations

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, VECTOR, int64, jit


@jit(VECTOR(VECTOR, int64))
def resized_vector(x: np.ndarray, size: int) -> np.ndarray:
    """Return a copy of another length."""
    y = np.empty(size)
    for i in range(min(size, x.shape[0])):
        y[i] = x[i]
    return y


@jit(MATRIX(MATRIX, int64))
def resized_matrix(x: np.ndarray, size: int) -> np.ndarray:
    """Return a copy with another number of rows."""
    y = np.empty((size, x.shape[1]))
    for i in range(min(size, x.shape[0])):
        for j in range(x.shape[1]):
            y[i, j] = x[i, j]
    return y


@jit(CUBE(CUBE, int64))
def resized_cube(x: np.ndarray, size: int) -> np.ndarray:
    """Return a copy with another number of matrices."""
    y = np.empty((size, x.shape[1], x.shape[2]))
    for i in range(min(size, x.shape[0])):
        for j in range(x.shape[1]):
            for k in range(x.shape[2]):
                y[i, j, k] = x[i, j, k]
    return y
