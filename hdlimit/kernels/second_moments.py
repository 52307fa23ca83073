"""Compiled recursion of exact second moments under a linear update."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import INTEGERS, VECTOR, float64, int64, jit


class Recursion(NamedTuple):
    """The arguments of `second_moments` in their order.

    Attributes
    ----------
    rate, weight : arrays, shape (n,)
        l, and their multiplicities n.
    rho : array, shape (n,)
        Overwritten.
    step : array
        g of every step.
    variance, batch : float
        E eps^2 and B.
    escape : float
        sum l rho beyond which the recursion ends.
    marks : integer array
        Non-decreasing numbers from 0 to len(step): the steps after which sum l rho is written.
    v_out : array, the shape of marks
        Overwritten.
    """

    rate: np.ndarray
    weight: np.ndarray
    rho: np.ndarray
    step: np.ndarray
    variance: float
    batch: float
    escape: float
    marks: np.ndarray
    v_out: np.ndarray


@jit(int64(VECTOR, VECTOR, VECTOR, VECTOR, float64, float64, float64, INTEGERS, VECTOR))
def second_moments(
    rate: np.ndarray,
    weight: np.ndarray,
    rho: np.ndarray,
    step: np.ndarray,
    variance: float,
    batch: float,
    escape: float,
    marks: np.ndarray,
    v_out: np.ndarray,
) -> int:
    """Advance rho <- (1 - g l)^2 rho + g^2 [l^2 rho + l n S]/B, S = sum l rho + variance, once for every g in step.

    Arguments as in Recursion. Returns the number of marks written: fewer than there are once sum l rho exceeds escape.
    """
    place, done = 0, 0
    while True:
        # Read, and write what is asked for.
        v = 0.0
        for i in range(rho.size):
            v += rate[i] * rho[i]
        if not v <= escape or v == math.inf:
            return place
        while place < marks.size and marks[place] == done:
            v_out[place] = v
            place += 1
        if done == step.size:
            return place
        # Step.
        g = step[done]
        noise = g * g * (v + variance) / batch
        for i in range(rho.size):
            x = g * rate[i]
            rho[i] = ((1.0 - x) * (1.0 - x) + x * x / batch) * rho[i] + noise * rate[i] * weight[i]
        done += 1
