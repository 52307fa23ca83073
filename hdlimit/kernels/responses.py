"""Responses (mu, nu) = response(v, c, parameters) in the closed form that the integrator takes.

v = E z^2 >= 0, c: clip threshold >= 0, parameters: a float array whose meaning each function states.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np

from hdlimit.core.jit import TWO, VECTOR, Kernel, float64, int64, jit, python
from hdlimit.kernels import formulas

SIGNATURE = TWO(float64, float64, VECTOR)
# v is taken as at least this where a response has 1/sqrt(v): its square root is far above the smallest float.
SMALLEST = 1e-280
# Share of mu and nu at the upper end of a panel that is added before a table takes logarithms, so that they may be 0.
FLOOR = 1e-30
# Degree of a table in log v on a piece, and points in log c of a surface; pieces are halved until their error is small
# enough (response/tables.py), so that these trade the number of pieces for the cost of each. Chosen, not measured.
TABLE_DEGREE = 12
# Most places in log c of a cell of a surface, which is halved where they do not do (response/surface.py).
SURFACE_POINTS = 16
# Numbers of a table before its ends, of a surface before its places, of a cell before its coefficients.
TABLE_HEAD, SURFACE_HEAD, CELL_HEAD = 5, 6, 9
# Length of a cell in log v and log c, the least that is tabulated: what many curves share. Chosen, not measured.
CELL = 1.25

Response: TypeAlias = Kernel[[float, float, np.ndarray], tuple[float, float]]


@jit(SIGNATURE, borrows=True)
def identity(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """SGD: mu = 1, nu = (v + E eps^2)/B. parameters: E eps^2, B."""
    return 1.0, (v + parameters[0]) / parameters[1]


@jit(SIGNATURE, borrows=True)
def sign_mixture(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, eps a mixture of k normal laws: mu = 2 p_r(0). parameters: weights, means, variances, k of each."""
    k = len(parameters) // 3
    density = 0.0
    for i in range(k):
        density += parameters[i] * formulas.density_normal(
            0.0, max(v, SMALLEST) + parameters[2 * k + i], parameters[k + i]
        )
    return 2 * density, 1.0


@jit(float64(float64, float64, VECTOR), borrows=True)
def clip_fourth_mixture(v: float, c: float, parameters: np.ndarray) -> float:
    """E min(r^4, c^4), eps a mixture of k normal laws. parameters: weights, means, variances, k of each."""
    k = len(parameters) // 3
    kappa = 0.0
    for i in range(k):
        kappa += parameters[i] * formulas.clip_fourth_normal(
            max(v, SMALLEST) + parameters[2 * k + i], c, parameters[k + i]
        )
    return kappa


@jit(SIGNATURE, borrows=True)
def clip_laplace(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip at c, Laplace noise. parameters: scale."""
    return formulas.clip_laplace(max(v, SMALLEST), c, parameters[0])


@jit(SIGNATURE, borrows=True)
def sign_laplace(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, Laplace noise. parameters: scale."""
    return 2 * formulas.density_laplace(0.0, max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE, borrows=True)
def clip_uniform(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip at c, uniform noise. parameters: half width."""
    return formulas.clip_uniform(max(v, SMALLEST), c, parameters[0])


@jit(SIGNATURE, borrows=True)
def sign_uniform(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, uniform noise. parameters: half width."""
    return 2 * formulas.density_uniform(0.0, max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE, borrows=True)
def sign_student1(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, Student-t noise with 1 degree of freedom. parameters: scale."""
    return 2 * formulas.density_student1(max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE, borrows=True)
def sign_student3(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign, Student-t noise with 3 degrees of freedom. parameters: scale."""
    return 2 * formulas.density_student3(max(v, SMALLEST), parameters[0]), 1.0


@jit(SIGNATURE, borrows=True)
def clip_batch_normal(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip of the mean gradient, Gaussian noise. parameters: Var eps, B."""
    return formulas.clip_batch_normal(max(v, SMALLEST) + parameters[0], c, parameters[1])


@jit(SIGNATURE, borrows=True)
def sign_batch_normal(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Sign of the mean gradient, Gaussian noise. parameters: Var eps, B."""
    return formulas.sign_batch_normal(max(v, SMALLEST) + parameters[0], parameters[1]), 1.0


@jit(float64(VECTOR, float64, float64), borrows=True)
def _clenshaw(coefficients: np.ndarray, offset: float, x: float) -> float:
    """Return a Chebyshev sum of DEGREE + 1 terms that start at offset."""
    b1, b2 = 0.0, 0.0
    first = int(offset)
    for k in range(TABLE_DEGREE, 0, -1):
        b1, b2 = 2 * x * b1 - b2 + coefficients[first + k], b1
    total: float = x * b1 - b2 + coefficients[first]
    return total


@jit(TWO(float64, VECTOR, int64), borrows=True)
def _logarithms(v: float, parameters: np.ndarray, start: int) -> tuple[float, float]:
    """log(mu/unit) and log(nu/unit) from the table that begins at `start`."""
    pieces = int(parameters[start])
    first = start + TABLE_HEAD
    x = min(max(math.log(max(v, SMALLEST)), parameters[first]), parameters[first + pieces])
    p = min(max(np.searchsorted(parameters[first : first + pieces + 1], x, side="right") - 1, 0), pieces - 1)
    left, right = parameters[first + p], parameters[first + p + 1]
    local = (2 * x - left - right) / (right - left)
    offset = first + pieces + 1.0 + p * 2 * (TABLE_DEGREE + 1)
    return _clenshaw(parameters, offset, local), _clenshaw(parameters, offset + TABLE_DEGREE + 1, local)


@jit(SIGNATURE, borrows=True)
def table(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """log(mu/unit), log(nu/unit) as piecewise Chebyshev sums in log v, at one threshold.

    parameters: number of pieces p, log of the units of mu and nu, the largest mu and nu that there are, the p + 1 ends
    in log v, then per piece 13 coefficients for mu and 13 for nu. Constant outside the ends; the caller checks that the
    range was kept.
    """
    log_mu, log_nu = _logarithms(v, parameters, 0)
    return min(math.exp(log_mu + parameters[1]), parameters[3]), min(math.exp(log_nu + parameters[2]), parameters[4])


@jit(TWO(float64, float64, VECTOR, int64), borrows=True)
def cell(x: float, y: float, parameters: np.ndarray, start: int) -> tuple[float, float]:
    """(log mu, log nu) at log v = x and log c = y, from the cell of a surface that begins at `start`."""
    left, right, low, high = parameters[start + 1], parameters[start + 2], parameters[start + 3], parameters[start + 4]
    along, across = (2 * x - left - right) / (right - left), (2 * y - low - high) / (high - low)
    first, width = start + CELL_HEAD, TABLE_DEGREE + 1
    a1, a2, b1, b2, a, b = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for m in range(SURFACE_POINTS - 1, -1, -1):
        a = _clenshaw(parameters, float(first + m * width), along)
        b = _clenshaw(parameters, float(first + (SURFACE_POINTS + m) * width), along)
        if m > 0:
            a1, a2 = 2 * across * a1 - a2 + a, a1
            b1, b2 = 2 * across * b1 - b2 + b, b1
    return across * a1 - a2 + a + parameters[start + 7], across * b1 - b2 + b + parameters[start + 8]


@jit(SIGNATURE, borrows=True)
def surface(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Return log mu and log nu as Chebyshev sums in log v and log c on cells, for thresholds that move.

    parameters: numbers of the first of n rows of cells in log v, n, of the first of m columns in log c, m, the squared
    width of the noise, B; n times m places where cells begin; the cells. A cell: 0, or 1 or 2 where it is too coarse
    and halved in log v or log c; its four ends; where its halves begin; log of the units of mu and nu; 12 times 13
    coefficients of each. 0 stands for a cell that is not there yet: -1 is written in its place to ask for it, and the
    cell around it answers, or a rough formula. Below the smallest c: mu ~ c and nu ~ c^2. mu <= 1 and nu <= c^2 always.
    """
    if c <= 0.0:
        return 0.0, 0.0
    rows, columns = int(parameters[1]), int(parameters[3])
    left, low = (parameters[0] - 0.5) * CELL, parameters[2] * CELL
    x = min(max(math.log(max(v, SMALLEST)), left), left + rows * CELL)
    y = min(max(math.log(c), low), low + columns * CELL)
    i, j = min(int((x - left) / CELL), rows - 1), min(int((y - low) / CELL), columns - 1)
    slot, start = SURFACE_HEAD + i * columns + j, 0
    while True:
        child = int(parameters[slot])
        if child <= 0:
            parameters[slot] = -1.0
            break
        start = child
        kind = int(parameters[start])
        if kind == 0:
            break
        ends, place = start + 2 * kind - 1, x if kind == 1 else y
        slot = start + (5 if 2 * place < parameters[ends] + parameters[ends + 1] else 6)
    if start == 0:
        square, clip = (max(v, SMALLEST) + parameters[4]) / parameters[5], c * c
        return math.sqrt(clip / (clip + square)), clip * (square / (clip + square))
    log_mu, log_nu = cell(x, y, parameters, start)
    below = min(math.log(c) - low, 0.0)
    return min(math.exp(log_mu + below), 1.0), min(math.exp(log_nu + 2 * below), c * c)


@jit(SIGNATURE, borrows=True)
def levels(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Return a residual map that is a blend, linear in log c, of two of m fixed maps psi_j.

    mu is a blend of E psi_j', nu of E psi_j psi_k.

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


@cache
def _as_python(kernel: Response) -> Callable[[float, float, list[float]], tuple[float, float]]:
    return python(kernel)  # type: ignore[arg-type]


def uncompiled(kernel: Response, parameters: np.ndarray) -> Callable[[float, float], tuple[float, float]]:
    """Return a response with its parameters as a Python function of v and c, for few calls: it needs no numba.

    It is the kernel's text, run by the interpreter on floats: a few microseconds a call and a normal law. Where Python
    refuses numbers beyond the range of floats the compiled kernel answers.
    """
    function, values = _as_python(kernel), parameters.tolist()

    def response(v: float, c: float) -> tuple[float, float]:
        try:
            with np.errstate(all="ignore"):
                mu, nu = function(float(v), float(c), values)
        except (ArithmeticError, ValueError):
            mu, nu = kernel(v, c, parameters)
        return mu, nu

    return response
