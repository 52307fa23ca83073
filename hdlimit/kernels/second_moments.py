"""Compiled recursion of exact second moments under a linear update."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import INTEGERS, MATRIX, VECTOR, float64, int64, jit


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


@jit(int64(VECTOR, VECTOR, MATRIX, MATRIX, float64, float64, float64, INTEGERS, VECTOR))
def pair_moments(
    rate: np.ndarray,
    weight: np.ndarray,
    s: np.ndarray,
    laws: np.ndarray,
    variance: float,
    batch: float,
    escape: float,
    marks: np.ndarray,
    v_out: np.ndarray,
) -> int:
    """Advance S <- T S T' + l (T S e_1 u' + u e_1' S T') + u u' G, G = (S_v/B) l n + (1 + 1/B) l^2 S_11, once a law.

    s: S_11, S_12, S_22 in rows, shape (3, n), overwritten; laws: T_12, T_22, u_1, u_2 of every step, T_11 = 1 and
    T_21 = 0, shape (steps, 4); S_v = sum l S_11 + variance; the rest as in Recursion. Returns the marks written.
    """
    place, done = 0, 0
    while True:
        # Read, and write what is asked for.
        v = 0.0
        for i in range(rate.size):
            v += rate[i] * s[0, i]
        if not v <= escape or v == math.inf:
            return place
        while place < marks.size and marks[place] == done:
            v_out[place] = v
            place += 1
        if done == laws.shape[0]:
            return place
        # Step.
        t12, t22, u1, u2 = laws[done, 0], laws[done, 1], laws[done, 2], laws[done, 3]
        for i in range(rate.size):
            a, b, c, x = s[0, i], s[1, i], s[2, i], rate[i]
            noise = (v + variance) / batch * x * weight[i] + (1.0 + 1.0 / batch) * x * x * a
            first, second = a + t12 * b, t22 * b
            s[0, i] = a + t12 * (2.0 * b + t12 * c) + 2.0 * x * u1 * first + u1 * u1 * noise
            s[1, i] = t22 * (b + t12 * c) + x * (u2 * first + u1 * second) + u1 * u2 * noise
            s[2, i] = t22 * t22 * c + 2.0 * x * u2 * second + u2 * u2 * noise
        done += 1


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
