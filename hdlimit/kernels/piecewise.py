"""Schedules as the integrator reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.jit import MATRIX, VECTOR, float64, jit


class Schedules(NamedTuple):
    """Step size and control as piecewise polynomials: breaks, shape (p + 1,), and pieces, shape (p, powers).

    block: M and w of modes of two numbers (block_sweeps) without lr and per unit of it, shape (2, 6), None for modes of
    one; sweeps: over the modes, a sweeps.Sweeps.
    """

    lr_breaks: np.ndarray
    lr_pieces: np.ndarray
    control_breaks: np.ndarray
    control_pieces: np.ndarray
    block: Any = None
    sweeps: Any = None


@jit(float64(float64, float64, VECTOR, MATRIX), forceinline=True, borrows=True)
def piecewise(t: float, end: float, breaks: np.ndarray, coefficients: np.ndarray) -> float:
    """Evaluate a piecewise polynomial at t < end; never negative.

    Over the end it is extrapolated from its left, far from there as a line.
    Piece p holds its value, its values at both ends, or powers of the local coordinate in [-1, 1].
    """
    pieces = coefficients.shape[0]
    if coefficients.size == 1:
        always: float = coefficients[0, 0]
        return always
    inside = min(t, np.nextafter(end, 0.0))
    p = min(max(np.searchsorted(breaks, inside, side="right") - 1, 0), pieces - 1)
    if coefficients.shape[1] == 1:
        constant: float = coefficients[p, 0]
        return constant
    if coefficients.shape[1] == 2:
        right, left = (t - breaks[p]) / (breaks[p + 1] - breaks[p]), (breaks[p + 1] - t) / (breaks[p + 1] - breaks[p])
        line: float = coefficients[p, 0] * left + coefficients[p, 1] * right
        return max(line, 0.0)
    x = (2 * t - breaks[p] - breaks[p + 1]) / (breaks[p + 1] - breaks[p])
    value, slope, near = 0.0, 0.0, min(x, 1.2)
    for k in range(coefficients.shape[1] - 1, -1, -1):
        slope = slope * near + value
        value = value * near + coefficients[p, k]
    curve: float = value + slope * (x - near)
    return max(curve, 0.0)
