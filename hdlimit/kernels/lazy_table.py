"""Responses to a mixture of normal laws that remember what they have computed, piece by piece of log v.

Beside the mixture, the parameters hold room for Chebyshev sums over pieces of length 1 in log v. A piece is filled when
v first comes there, checked between its nodes, and given up where it misses by more than ERROR; there, outside all
pieces and at another threshold the mixture is summed. What is written depends on nothing but the parameters, and a
piece that is half written holds a NaN: threads may share one array, and their number changes no bit.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.jit import TWO, VECTOR, float64, int64, jit, void
from hdlimit.kernels import formulas
from hdlimit.kernels.responses import SIGNATURE, SMALLEST, sign_mixture

KIND, THRESHOLD, FIRST, PIECES, TERMS, HEAD = range(6)
# Numbers of the maps that are summed.
CLIP, SIGN = 0.0, 1.0
# Chebyshev coefficients of a piece of length 1 in log v: the fewest that keep ERROR for the laws tried; chosen, not
# measured for each.
WIDTH = 16
# Relative error between the nodes above which a piece is given up: far below the integrator's finest tolerance.
ERROR = 1e-12
# c/s above which clipping changes nothing in double precision: erfc(9/sqrt 2) = 2e-19. Below a = 1/2, y = -a^2/2 is
# above NEAR, and the closed form cancels: there a series is summed.
CERTAIN, NEAR = 9.0, -0.125
_NODES = chebyshev.roots(WIDTH)
_TO_CHEBYSHEV = chebyshev.from_roots(WIDTH)
_CHECKS = np.array([-1.0, 0.0, math.cos(3 * math.pi / WIDTH), 1.0])
_INSIDE = np.array([1 / (math.factorial(k) * (2 * k + 1)) for k in range(11)])
_MISSED = np.array([2 / (math.factorial(k) * (2 * k + 1) * (2 * k + 3)) for k in range(11)])


@jit(TWO(float64), inline="always")
def _series(y: float) -> tuple[float, float]:
    """sum_k y^k/(k! (2k + 1)) and sum_k y^k/k! (1/(2k + 1) - 1/(2k + 3)) for -1/8 <= y <= 0."""
    inside, missed = 0.0, 0.0
    for k in range(_INSIDE.size - 1, -1, -1):
        inside = inside * y + _INSIDE[k]
        missed = missed * y + _MISSED[k]
    return inside, missed


@jit(TWO(float64, float64), borrows=True)
def clip_centred(s2: float, c: float) -> tuple[float, float]:
    """Responses of the residual clipped at c for r ~ N(0, s2), s2 > 0, 0 <= c < inf: formulas.clip_normal at mean 0.

    With a = c/s, t = a sqrt(2/pi), y = -a^2/2: mu = erf(a/sqrt 2), nu = c^2 (1 - mu) + s2 (mu - t e^y). That cancels
    below a = 1/2; there mu = t sum_k y^k/(k! (2k + 1)), nu = c^2 [1 - t sum_k y^k/k! (1/(2k + 1) - 1/(2k + 3))].
    """
    a = c / math.sqrt(s2)
    if a > CERTAIN:
        return 1.0, s2
    t, y = a * math.sqrt(2 / math.pi), -a * a / 2
    if y > NEAR:
        inside, missed = _series(y)
        return t * inside, c * c * (1 - t * missed)
    x = a * math.sqrt(0.5)
    outside = math.erfc(x)
    mu = 1.0 - outside
    return mu, c * c * outside + s2 * (mu - t * math.exp(y))


@jit(SIGNATURE, borrows=True)
def clip_mixture(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip at c < inf, eps a mixture of k normal laws. parameters: weights, means, variances, k of each."""
    k, v = len(parameters) // 3, max(v, SMALLEST)
    mu, nu = 0.0, 0.0
    for i in range(k):
        s2, mean = v + parameters[2 * k + i], parameters[k + i]
        a, b = clip_centred(s2, c) if mean == 0.0 else formulas.clip_normal(s2, c, mean)
        mu += parameters[i] * a
        nu += parameters[i] * b
    return mu, nu


@jit(SIGNATURE, borrows=True)
def _summed(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Return the sum over the mixture. parameters: as of `remembered`."""
    mixture = parameters[HEAD : HEAD + 3 * int(parameters[TERMS])]
    if parameters[KIND] == SIGN:
        return sign_mixture(v, c, mixture)
    return clip_mixture(v, c, mixture)


@jit(TWO(VECTOR, int64, float64), borrows=True)
def _read(parameters: np.ndarray, start: int, x: float) -> tuple[float, float]:
    """Return the two Chebyshev sums that begin at `start`, at x in [-1, 1]."""
    a1, a2, b1, b2 = 0.0, 0.0, 0.0, 0.0
    for k in range(WIDTH - 1, 0, -1):
        a1, a2 = 2 * x * a1 - a2 + parameters[start + k], a1
        b1, b2 = 2 * x * b1 - b2 + parameters[start + WIDTH + k], b1
    return x * a1 - a2 + parameters[start], x * b1 - b2 + parameters[start + WIDTH]


@jit(void(VECTOR, float64, int64))
def _fill(parameters: np.ndarray, left: float, start: int) -> None:
    """Write the piece that begins at log v = left, as sums that are right to ERROR between the nodes, or inf."""
    values, piece = np.empty((2, WIDTH)), np.zeros(2 * WIDTH)
    for j in range(WIDTH):
        v = math.exp(left + (1 + _NODES[j]) / 2)
        values[0, j], values[1, j] = _summed(v, parameters[THRESHOLD], parameters)
    for k in range(WIDTH):
        for j in range(WIDTH):
            piece[k] += _TO_CHEBYSHEV[k, j] * values[0, j]
            piece[WIDTH + k] += _TO_CHEBYSHEV[k, j] * values[1, j]
    for x in _CHECKS:
        mu, nu = _summed(math.exp(left + (1 + x) / 2), parameters[THRESHOLD], parameters)
        found = _read(piece, 0, x)
        if not (abs(found[0] - mu) <= ERROR * mu and abs(found[1] - nu) <= ERROR * nu):
            piece[:] = math.inf
            break
    parameters[start : start + 2 * WIDTH] = piece


@jit(SIGNATURE, borrows=True)
def remembered(v: float, c: float, parameters: np.ndarray) -> tuple[float, float]:
    """Clip or sign, eps a mixture of k normal laws: Chebyshev sums in log v, right to 1e-12 of mu and nu.

    parameters: KIND, the threshold c, log v where the first piece begins, number of pieces, k; weights, means,
    variances, k of each; for every piece 16 coefficients of mu and 16 of nu, NaN where it is not filled yet.
    """
    place = math.log(max(v, SMALLEST)) - parameters[FIRST]
    if not 0.0 <= place < parameters[PIECES] or (c != parameters[THRESHOLD] and parameters[KIND] == CLIP):
        return _summed(v, c, parameters)
    p = int(place)
    start = HEAD + 3 * int(parameters[TERMS]) + 2 * WIDTH * p
    for _ in range(2):
        if parameters[start] == math.inf:
            return _summed(v, c, parameters)
        mu, nu = _read(parameters, start, 2 * (place - p) - 1)
        if math.isfinite(mu + nu):
            return mu, nu
        _fill(parameters, parameters[FIRST] + p, start)
    return _summed(v, c, parameters)
