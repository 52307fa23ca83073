"""The Laplace transform of a squared residual, compiled: mini-batches sum it at hundreds of points.

L(q) = E exp(-q r^2) for r = z - eps, eps a mixture of normal laws: a sum of w exp(-q m^2/a)/sqrt(a), a = 1 + 2 q (v +
variance). weight, square, variance: of the normal laws, their squared means in `square`.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, VECTOR, Type, boolean, float64, int64, jit, void

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


@jit(void(COMPLEXES, MATRIX, float64, COMPLEXES, COMPLEXES), fastmath=_SUMS)
def cells_transform(
    step: np.ndarray, moments: np.ndarray, beyond: float, value: np.ndarray, deficit: np.ndarray
) -> None:
    """E exp(-w s) and 1 - E exp(-w s) to full precision from local moments of s.

    step: -w times the length of a cell; moments[k, m]: E (s/length - k)^m over cell k; beyond: what the moments miss of
    the mass 1, far out; value, deficit: overwritten, the shape of step.
    """
    cells, order = moments.shape
    re, im = np.empty(order), np.empty(order)
    for i in range(step.size):
        term = complex(1.0, 0.0)
        for m in range(order):
            re[m], im[m] = term.real, term.imag
            term *= step[i] / (m + 1)
        x, y = 0.0, 0.0
        for m in range(1, order):
            x += moments[0, m] * re[m]
            y += moments[0, m] * im[m]
        total, missing = complex(x, y), complex(beyond - x, -y)
        turn, decay = np.exp(step[i]), complex(1.0, 0.0)
        for k in range(1, cells):
            decay *= turn
            if moments[k, 0] == 0.0:
                continue
            x, y = 0.0, 0.0
            for m in range(order):
                x += moments[k, m] * re[m]
                y += moments[k, m] * im[m]
            part = decay * complex(x, y)
            total += part
            missing += moments[k, 0] - part
        value[i], deficit[i] = total + moments[0, 0], missing


@jit(void(VECTOR, float64, float64, MATRIX, int64, float64, VECTOR), fastmath=_SUMS)
def real_power(
    log_q: np.ndarray, v: float, size: float, table: np.ndarray, first: int, length: float, power: np.ndarray
) -> None:
    """[Lambda(w)/sqrt(1 + 2 q v)]^size at real q, w = q/(1 + 2 q v), from Chebyshev sums of log Lambda in log w.

    table[k]: the coefficients over log w/length in [first + k, first + k + 1]; power: overwritten, the shape of log_q.
    """
    twice = math.log(2 * v)
    for i in range(log_q.size):
        y = log_q[i] + twice
        rise = y + math.log1p(math.exp(-y)) if y > 0.0 else math.log1p(math.exp(y))
        # The place within a row does not depend on where the table begins, which depends on what was asked before.
        place = (log_q[i] - rise) / length
        k = min(max(math.floor(place) - first, 0), table.shape[0] - 1)
        x = 2 * (place - (first + k)) - 1
        a, b = 0.0, 0.0
        for m in range(table.shape[1] - 1, 0, -1):
            a, b = 2 * x * a - b + table[k, m], a
        power[i] = math.exp(size * (min(x * a - b + table[k, 0], 0.0) - rise / 2))


@jit(int64(COMPLEX), fastmath=_SUMS)
def _terms(inverse: complex) -> int:
    """Return the terms of the series of int_0^inf (1 + t)^(-1/2) e^(z t) dt, z = 1/inverse: the next is below 3e-13."""
    size = abs(inverse.real) + abs(inverse.imag)
    if size > 1 / 60:
        return 20
    return 12 if size > 1 / 150 else 8 if size > 1 / 1000 else 5


@jit(VECTOR(COMPLEXES, VECTOR, COMPLEXES, float64, float64, float64, float64, boolean, COMPLEXES), fastmath=_SUMS)
def line_sums(
    w: np.ndarray,
    share: np.ndarray,
    log: np.ndarray,
    scale: float,
    ratio: float,
    size: float,
    finest: float,
    small: bool,
    half: np.ndarray,
) -> np.ndarray:
    """P(S <= x), x p_S(x), E min(S, x)/x, its integral over x/x^2, and a part of E[S^(-1/2); S > x] sqrt(x).

    w, share, log: nodes of a line of w, in units of scale/x, their weights and log Lambda there; ratio: x/v; size: B;
    finest: scale at which the law is smoothed; small: whether E min(S, x)/x is summed as a small number; half: factors
    sqrt(pi/-z) erfcx(sqrt(-z)) of the first nodes, where |z| is not large.
    """
    sums = np.zeros(5)
    for i in range(w.size):
        # the transform of S at q = z/x
        place = scale * w[i]
        u = -2.0 * place / ratio
        rise = 1.0 / (1.0 + u)
        fall = complex(math.log1p(2 * u.real + u.real * u.real + u.imag * u.imag) / 2, math.atan2(u.imag, 1 + u.real))
        z, power = place * rise, size * (log[i] + fall / 2)
        # the weight of the inversion
        weight = scale * share[i] / math.pi * rise * rise
        if ratio > finest:
            t = 2.0 * place * place / finest
            weight *= np.exp(t) * (1 - t * (1 - t / 2 * (1 - t / 3)))
        inverse = 1.0 / z
        part = weight * np.exp(z + power)
        sums[0] += (part * inverse).real
        sums[1] += part.real
        part_2 = part * inverse * inverse
        if small:
            sine, grown = math.sin(power.imag / 2), math.exp(power.real) * math.sin(power.imag)
            rest = complex(math.expm1(power.real) * math.cos(power.imag) - 2 * sine * sine, grown)
            part_2 = weight * np.exp(z) * rest * inverse * inverse
        sums[2] -= part_2.real
        sums[3] -= (part_2 * inverse).real
        # int_0^inf (1 + t)^(-1/2) e^(z t) dt
        factor = complex(1.0, 0.0)
        if i < half.size:
            factor = half[i]
        else:
            for k in range(_terms(inverse), 0, -1):
                factor = 1.0 + (k - 0.5) * inverse * factor
            factor *= -inverse
        sums[4] += (part * factor).real
    if not small:
        sums[2] += 1.0
        sums[3] += 0.5
    return sums


@jit(void(COMPLEXES, CUBE, int64, float64, COMPLEXES), fastmath=_SUMS)
def polar_log(w: np.ndarray, table: np.ndarray, first: int, length: float, result: np.ndarray) -> None:
    """Log Lambda at complex w, Re w >= 0, from Chebyshev sums in log |w| and |arg w|.

    table[k]: over log |w|/length in [first + k, first + k + 1], real parts of the coefficients (orders in |arg w|,
    orders in log |w|), then imaginary parts; result: overwritten, the shape of w.
    """
    across, along = table.shape[1] // 2, table.shape[2]
    for i in range(w.size):
        place = math.log(abs(w[i])) / length
        k = min(max(math.floor(place) - first, 0), table.shape[0] - 1)
        x = 2 * (place - (first + k)) - 1
        angle = math.atan2(w[i].imag, w[i].real)
        y = abs(angle) * 4 / math.pi - 1
        a1, a2, b1, b2, a, b = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for m in range(across - 1, -1, -1):
            p1, p2, q1, q2 = 0.0, 0.0, 0.0, 0.0
            for n in range(along - 1, 0, -1):
                p1, p2 = 2 * x * p1 - p2 + table[k, m, n], p1
                q1, q2 = 2 * x * q1 - q2 + table[k, across + m, n], q1
            a, b = x * p1 - p2 + table[k, m, 0], x * q1 - q2 + table[k, across + m, 0]
            if m > 0:
                a1, a2 = 2 * y * a1 - a2 + a, a1
                b1, b2 = 2 * y * b1 - b2 + b, b1
        a, b = y * a1 - a2 + a, y * b1 - b2 + b
        result[i] = complex(a, b if angle >= 0.0 else -b)
