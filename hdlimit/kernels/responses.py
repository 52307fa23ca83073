"""Responses (mu, nu) = response(v, c, parameters) in the closed form that the integrator takes.

v = E z^2 >= 0, c: clip threshold >= 0, parameters: a float array whose meaning each function states.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float64, types

from hdlimit.kernels import formulas
from hdlimit.kernels.jit import jit

VECTOR = float64[::1]
TWO: Any = types.UniTuple(float64, 2)  # type: ignore[no-untyped-call]
SIGNATURE = TWO(float64, float64, VECTOR)
SMALLEST = 1e-280
FLOOR = 1e-30
TABLE_DEGREE = 12


@jit(SIGNATURE)
def identity(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """SGD: mu = 1, nu = (v + E eps^2)/B. parameters: E eps^2, B."""
    return 1.0, (v + parameters[0]) / parameters[1]


@jit(SIGNATURE)
def clip_mixture(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip at c, eps a mixture of k normal laws. parameters: weights, means, variances, k of each."""
    k = parameters.size // 3
    mu, nu = 0.0, 0.0
    for i in range(k):
        a, b = formulas.clip_normal(max(v, SMALLEST) + parameters[2 * k + i], c, parameters[k + i])
        mu += parameters[i] * a
        nu += parameters[i] * b
    return mu, nu


@jit(SIGNATURE)
def sign_mixture(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, eps a mixture of k normal laws: mu = 2 p_r(0). parameters: weights, means, variances, k of each."""
    k = parameters.size // 3
    density = 0.0
    for i in range(k):
        density += parameters[i] * formulas.density_normal(
            0.0, max(v, SMALLEST) + parameters[2 * k + i], parameters[k + i]
        )
    return 2 * density, 1.0


@jit(SIGNATURE)
def clip_laplace(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip at c, Laplace noise. parameters: scale."""
    return formulas.clip_laplace(max(v, SMALLEST), c, parameters[0])


@jit(SIGNATURE)
def sign_laplace(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, Laplace noise. parameters: scale."""
    return 2 * formulas.density_laplace(0.0, max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE)
def clip_uniform(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip at c, uniform noise. parameters: half width."""
    return formulas.clip_uniform(max(v, SMALLEST), c, parameters[0])


@jit(SIGNATURE)
def sign_uniform(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, uniform noise. parameters: half width."""
    return 2 * formulas.density_uniform(0.0, max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE)
def sign_student1(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, Student-t noise with 1 degree of freedom. parameters: scale."""
    return 2 * formulas.density_student1(max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE)
def sign_student3(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, Student-t noise with 3 degrees of freedom. parameters: scale."""
    return 2 * formulas.density_student3(max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE)
def clip_batch_normal(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip of the mean gradient, Gaussian noise. parameters: Var eps, B."""
    return formulas.clip_batch_normal(max(v, SMALLEST) + parameters[0], c, parameters[1])


@jit(SIGNATURE)
def sign_batch_normal(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign of the mean gradient, Gaussian noise. parameters: Var eps, B."""
    return formulas.sign_batch_normal(max(v, SMALLEST) + parameters[0], parameters[1]), 1.0


@jit(float64(VECTOR, float64, float64), fastmath={"contract"})
def _clenshaw(coefficients: np.ndarray, offset: float, x: float) -> float:
    """A Chebyshev sum of DEGREE + 1 terms that start at offset."""
    b1, b2 = 0.0, 0.0
    first = int(offset)
    for k in range(TABLE_DEGREE, 0, -1):
        b1, b2 = 2 * x * b1 - b2 + coefficients[first + k], b1
    total: float = x * b1 - b2 + coefficients[first]
    return total


@jit(SIGNATURE)
def table(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """log(mu + 1e-30), log(nu + 1e-30) as piecewise Chebyshev sums in log v, at one threshold.

    parameters: number of pieces p, their p + 1 ends in log v, then per piece 13 coefficients for mu and 13 for nu.
    Constant outside the ends; the caller checks that the range was kept.
    """
    pieces = int(parameters[0])
    x = min(max(math.log(max(v, SMALLEST)), parameters[1]), parameters[pieces + 1])
    p = min(max(np.searchsorted(parameters[1 : pieces + 2], x, side="right") - 1, 0), pieces - 1)
    left, right = parameters[1 + p], parameters[2 + p]
    local = (2 * x - left - right) / (right - left)
    offset = pieces + 2.0 + p * 2 * (TABLE_DEGREE + 1)
    mu = math.exp(_clenshaw(parameters, offset, local)) - FLOOR
    return max(mu, 0.0), max(math.exp(_clenshaw(parameters, offset + TABLE_DEGREE + 1, local)) - FLOOR, 0.0)


@jit(SIGNATURE)
def surface(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """log mu and log nu as Chebyshev sums in log c of tables in log v, for thresholds that move.

    parameters: number q of Chebyshev points in log c, ends of log c, then q tables one after the other, each preceded
    by its length. Barycentric interpolation in log c; below the smallest c: mu ~ c and nu ~ c^2, which is exact
    there.
    """
    q = int(parameters[0])
    low, high = parameters[1], parameters[2]
    if c <= 0.0:
        return 0.0, 0.0
    y = math.log(c)
    below = min(y - low, 0.0)
    x = (2 * min(max(y, low), high) - low - high) / (high - low)
    position, weight_sum, log_mu, log_nu = 3, 0.0, 0.0, 0.0
    for k in range(q):
        length = int(parameters[position])
        node = math.cos(math.pi * (k + 0.5) / q)
        mu, nu = table(v, c, parameters[position + 1 : position + 1 + length])
        if x == node:
            log_mu, log_nu, weight_sum = math.log(mu + FLOOR), math.log(nu + FLOOR), 1.0
            break
        weight = (1.0 if k % 2 == 0 else -1.0) * math.sin(math.pi * (k + 0.5) / q) / (x - node)
        log_mu += weight * math.log(mu + FLOOR)
        log_nu += weight * math.log(nu + FLOOR)
        weight_sum += weight
        position += 1 + length
    return math.exp(log_mu / weight_sum + below), math.exp(log_nu / weight_sum + 2 * below)


@jit(SIGNATURE)
def levels(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """A residual map that is a blend, linear in log c, of two of m fixed maps psi_j: mu is a blend of E psi_j', nu of
    E psi_j psi_k.

    parameters: number of pieces p in log v, m, B, the p + 1 ends of the pieces, the m values of log c, then per piece
    13 coefficients of each of m values of mu, m of nu and m - 1 of E psi_j psi_(j+1). Constant outside the ends in
    log v (the caller checks that the range was kept) and in log c.
    """
    pieces, m = int(parameters[0]), int(parameters[1])
    ends, places = parameters[3 : 4 + pieces], parameters[4 + pieces : 4 + pieces + m]
    x = min(max(math.log(max(v, SMALLEST)), ends[0]), ends[pieces])
    p = min(max(np.searchsorted(ends, x, side="right") - 1, 0), pieces - 1)
    local = (2 * x - ends[p] - ends[p + 1]) / (ends[p + 1] - ends[p])
    y = min(max(math.log(max(c, SMALLEST)), places[0]), places[m - 1])
    j = min(max(np.searchsorted(places, y, side="right") - 1, 0), m - 2)
    b = (y - places[j]) / (places[j + 1] - places[j])
    a, width = 1.0 - b, TABLE_DEGREE + 1
    mu = 4.0 + pieces + m + p * (3 * m - 1) * width + j * width
    nu, cross = mu + m * width, mu + 2 * m * width
    blend = a * _clenshaw(parameters, mu, local) + b * _clenshaw(parameters, mu + width, local)
    square = a * a * _clenshaw(parameters, nu, local) + b * b * _clenshaw(parameters, nu + width, local)
    return blend, (square + 2 * a * b * _clenshaw(parameters, cross, local)) / parameters[2]
