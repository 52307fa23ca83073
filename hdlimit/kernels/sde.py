"""Compiled steps of the limiting SDE, and of one with the algorithm's spread.

    dw = -alpha(v) diag(rate) w dt + sigma(v) F dB,   v = sum_i rate_i w_i^2,   alpha = eta mu,   sigma^2 = eta^2 nu

F F^T = C/d. The noise is a scalar function of v times a constant matrix, which makes a weak step of order 2 possible
with one normal vector xi and no iterated integrals: with u = F^T diag(rate) w, b = u xi/norm(u),

    w' = E w + D F sqrt(h) [s xi + (s_b - s) b u/norm(u) + g (b xi - u/norm(u))/2],
    E_i = exp(-rate_i h (alpha(v) + alpha(v_b))/2),   D_i^2 = (1 - exp(-2 a_i))/(2 a_i),   a_i = rate_i h alpha(v_b).

g is half the difference of sigma between v_+ and v_-; v_b and v_+- lie b and +-1 standard deviations off the mean of v
after the step; s and s_b give the mean of sigma^2 over the step across u and along it. With frozen coefficients the
step is the exact Ornstein-Uhlenbeck transition of every mode, so that stiff modes keep their variance.

Modes of equal rate and noise may be held as one, w_i their norm: the others' share is chi^2 distributed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, RESPONSE, TWO, VECTOR, float64, int64, jit, void
from hdlimit.kernels.quadratic_model import Response

# Sums may be reordered, so that loops over modes use vector instructions.
_SUMS = {"reassoc", "contract", "nsz"}


class Drive(NamedTuple):
    """The last arguments of `homogenized` and `corrected`, in their order.

    Attributes
    ----------
    steps : array, shape (m,)
        Lengths h of the steps.
    lr, control : arrays, shape (m, 2)
        At both ends of every step.
    response : Kernel
        (mu, nu) as a function of v, control and parameters.
    parameters : array
        Of the response.
    shocks, others : arrays, shape (m, ...)
        The noise, as each of the two has it.
    escape : float
        v that ends a path.
    v_after : array, shape (m,)
        Overwritten with v after every step.
    extremes : array, shape (2,)
        Overwritten with the smallest and the largest v at which the response was read.
    """

    steps: np.ndarray
    lr: np.ndarray
    control: np.ndarray
    response: Response
    parameters: np.ndarray
    shocks: np.ndarray
    others: np.ndarray
    escape: float
    v_after: np.ndarray
    extremes: np.ndarray


@jit(float64(float64))
def _mean_decay(x: float) -> float:
    """(1 - exp(-x))/x."""
    if x < 1e-5:
        return 1.0 - x / 2
    return -math.expm1(-x) / x


@jit(TWO(float64, float64, float64, RESPONSE, VECTOR))
def _coefficients(v: float, eta: float, c: float, response: Response, parameters: np.ndarray) -> tuple[float, float]:
    """Return alpha = eta mu and sigma^2 = eta^2 nu."""
    mu, nu = response(v, c, parameters)
    return eta * mu, eta * eta * nu


@jit(float64(float64, float64, float64, float64, float64, float64))
def _mean_after(v: float, alpha: float, square: float, pull: float, forcing: float, h: float) -> float:
    """Return the mean of v after a time h, to order h^2; pull: sum_i rate_i^2 w_i^2, forcing: sum_i rate_i C_ii/d."""
    decay = 2 * alpha * h * pull / v if v > 0 else 0.0
    return v * math.exp(-decay) + square * forcing * h * _mean_decay(decay)


@jit(TWO(VECTOR, VECTOR, MATRIX, VECTOR), fastmath=_SUMS)
def _pull(w: np.ndarray, rate: np.ndarray, noise: np.ndarray, pulled: np.ndarray) -> tuple[float, float]:
    """Overwrite pulled with (C/d) p, p = diag(rate) w; returns p p and p (C/d) p = norm(u)^2."""
    n, diagonal = w.size, noise.shape[0] == 1
    square, form = 0.0, 0.0
    for i in range(n):
        total = 0.0
        if diagonal:
            total = noise[0, i] * rate[i] * w[i]
        else:
            for j in range(n):
                total += noise[i, j] * rate[j] * w[j]
        pulled[i] = total
        square += rate[i] * w[i] * rate[i] * w[i]
        form += rate[i] * w[i] * total
    return square, max(form, 0.0)


@jit(
    int64(
        *(VECTOR, VECTOR, MATRIX, float64, VECTOR, MATRIX, MATRIX, RESPONSE, VECTOR),
        *(MATRIX, MATRIX, float64, VECTOR, VECTOR),
    ),
    fastmath=_SUMS,
)
def homogenized(
    w: np.ndarray,
    rate: np.ndarray,
    noise: np.ndarray,
    forcing: float,
    steps: np.ndarray,
    lr: np.ndarray,
    control: np.ndarray,
    response: Response,
    parameters: np.ndarray,
    shocks: np.ndarray,
    others: np.ndarray,
    escape: float,
    v_after: np.ndarray,
    extremes: np.ndarray,
) -> int:
    """Advance w over the steps; returns how many were taken before v reached `escape` or stopped being finite.

    noise: C/d, shape (n, n), or its diagonal (1, n); forcing: sum_i rate_i (C/d)_ii over all modes; shocks: F xi, xi
    standard normal, shape (m, n); others: (C/d)_ii chi^2 of the modes that share a w_i, less one, shape (m, n), or (0,
    n) where none do; the rest as in Drive. Overwrites w.
    """
    n, pulled = w.size, np.empty(w.size)
    v = 0.0
    for i in range(n):
        v += rate[i] * w[i] * w[i]
    for k in range(steps.size):
        # The mean of v after the step, and how the step spreads it along u.
        h = steps[k]
        alpha, square = _coefficients(v, lr[k, 0], control[k, 0], response, parameters)
        pull, form = _pull(w, rate, noise, pulled)
        mean, norm = _mean_after(v, alpha, square, pull, forcing, h), math.sqrt(form)
        wide = 2 * math.sqrt(square * h) * norm / mean if mean > 0 else 0.0
        along = 0.0
        for i in range(n):
            along += rate[i] * w[i] * shocks[k, i]
        along = along / norm if norm > 0 else 0.0
        # Coefficients at the end of the step, one standard deviation to both sides and where this path is.
        reach = math.tanh(wide)
        low, high, there = mean * (1 - reach), mean * (1 + reach), mean * (1 + math.tanh(wide * along))
        _, square_low = _coefficients(low, lr[k, 1], control[k, 1], response, parameters)
        _, square_high = _coefficients(high, lr[k, 1], control[k, 1], response, parameters)
        alpha_there, _ = _coefficients(there, lr[k, 1], control[k, 1], response, parameters)
        extremes[0], extremes[1] = min(extremes[0], v, low, there), max(extremes[1], v, high, there)
        bend = (math.sqrt(square_high) - math.sqrt(square_low)) / 2
        average = (2 * square + square_low + square_high) / 4
        across, parallel = math.sqrt(average - bend * bend / 4), math.sqrt(average - bend * bend / 2)
        # The step, mode by mode.
        root = math.sqrt(h)
        of_shock = root * (across + bend * along / 2)
        of_pull = root * ((parallel - across) * along - bend / 2) / norm if norm > 0 else 0.0
        drift, damping = h * (alpha + alpha_there) / 2, h * alpha_there
        v, before, kept, spread = 0.0, -1.0, 1.0, 1.0
        for i in range(n):
            if rate[i] != before:
                before = rate[i]
                kept, spread = math.exp(-drift * before), math.sqrt(_mean_decay(2 * damping * before))
            w[i] = kept * w[i] + spread * (of_shock * shocks[k, i] + of_pull * pulled[i])
            if others.shape[0] > 0:
                w[i] = math.sqrt(w[i] * w[i] + (spread * of_shock) ** 2 * others[k, i])
            v += rate[i] * w[i] * w[i]
        v_after[k] = v
        if not v < escape:
            return k
    return steps.size


@jit(void(CUBE, float64, float64, float64, float64, VECTOR))
def _moments(table: np.ndarray, first: float, spacing: float, level: float, v: float, out: np.ndarray) -> None:
    """Overwrite out with the covariance of (H, N), linear in log v and in the level between the entries of a table."""
    last, top = table.shape[1] - 1, table.shape[0] - 1
    x = min(max((math.log(max(v, 1e-280)) - first) / spacing, 0.0), float(last))
    i, j = min(int(x), last - 1), min(int(level), max(top - 1, 0))
    a, b, above = x - i, level - j, min(j + 1, top)
    for q in range(3):
        below = (1 - a) * table[j, i, q] + a * table[j, i + 1, q]
        out[q] = (1 - b) * below + b * ((1 - a) * table[above, i, q] + a * table[above, i + 1, q])


@jit(
    int64(
        *(VECTOR, VECTOR, VECTOR, VECTOR, float64, CUBE, float64, float64, VECTOR),
        *(VECTOR, MATRIX, MATRIX, RESPONSE, VECTOR, MATRIX, MATRIX, float64, VECTOR, VECTOR),
    ),
    fastmath=_SUMS,
)
def corrected(
    w: np.ndarray,
    rate: np.ndarray,
    noise: np.ndarray,
    count: np.ndarray,
    d: float,
    table: np.ndarray,
    first: float,
    spacing: float,
    levels: np.ndarray,
    steps: np.ndarray,
    lr: np.ndarray,
    control: np.ndarray,
    response: Response,
    parameters: np.ndarray,
    shocks: np.ndarray,
    others: np.ndarray,
    escape: float,
    v_after: np.ndarray,
    extremes: np.ndarray,
) -> int:
    """Advance w, w_i^2 = M_i the squared norm of a bin of modes, with the fluctuations of the algorithm's steps.

        dM = f dt + (Q/d)^(1/2) dB,   Q/(4 eta^2) = nu [diag(c M) - v p p^T] + Var H p p^T - (eta/2) Cov(H, N) (p b^T +
        b p^T) + (eta^2/4) Var N b b^T,   p = rate M/v,   b = count c/d

    noise: c/d of one mode of a bin; count: modes in it; table: (Var H/(v nu), Cov(H, N)/(nu sqrt(v nu)), Var N/nu^2)
    at log v = first, first + spacing, ..., for every level (of the clip threshold); levels: level of every step;
    shocks: standard normal, shape (m, n + 1), the last one moves N; others: chi^2 of count - 1 degrees of freedom,
    shape (m, n). M stays positive: what moves N is a positive factor of mean 1 on the noise across p. The rest as in
    `homogenized`.
    """
    n, shares, moments = w.size, np.empty(w.size), np.empty(3)
    v, forcing = 0.0, 0.0
    for i in range(n):
        v += rate[i] * w[i] * w[i]
        forcing += rate[i] * noise[i] * count[i]
    for k in range(steps.size):
        # Drift at the start, of the mean half a step of the algorithm ago.
        h = steps[k]
        alpha, square = _coefficients(v, lr[k, 0], control[k, 0], response, parameters)
        pull, along, length = 0.0, 0.0, 0.0
        for i in range(n):
            pull += (rate[i] * w[i]) ** 2
            shares[i] = rate[i] * w[i] / math.sqrt(noise[i] * d * v) if v > 0 else 0.0
            along += shares[i] * shocks[k, i]
            length += shares[i] ** 2
        ago = (square * forcing - 2 * alpha * pull) / (2 * d)
        alpha, square = _coefficients(max(v - ago, v / 2), lr[k, 0], control[k, 0], response, parameters)
        mean = _mean_after(v, alpha, square, pull, forcing, h)
        _, square_after = _coefficients(max(mean - ago, mean / 2), lr[k, 1], control[k, 1], response, parameters)
        # The covariance of (H, N): how noise along p is stretched, and tied to the factor that moves N.
        _moments(table, first, spacing, levels[k], (v + mean) / 2, moments)
        weight = min(length, 1.0)
        stretch = math.sqrt(max(1 + (moments[0] - 1) * weight, 0.0))
        along = along / math.sqrt(length) if length > 0 else 0.0
        size, uneven = h * (square + square_after) / 2, moments[2] / (h * d)
        width = math.sqrt(math.log1p(uneven))
        factor, tie = math.exp(width * shocks[k, n] - width * width / 2), 0.0
        if stretch > 0 and uneven > 0:
            tie = min(max(-moments[1] * math.sqrt(weight / moments[2]) / stretch, -1.0), 1.0)
        tied = math.sqrt(1 - tie * tie) * along + (tie * (factor - 1) / math.sqrt(uneven) if uneven > 0 else 0.0)
        # Noise of every mode, and the coefficients at the end of the step.
        rest = math.sqrt(factor)
        turn = (stretch * tied - rest * along) / math.sqrt(length) if length > 0 else 0.0
        moved = forcing * size * (factor - 1)
        for i in range(n):
            shares[i] = math.sqrt(size * noise[i]) * (rest * shocks[k, i] + turn * shares[i])
            moved += 2 * rate[i] * w[i] * shares[i]
        there = mean * (1 + math.tanh(moved / mean)) if mean > 0 else 0.0
        alpha_there, _ = _coefficients(max(there - ago, there / 2), lr[k, 1], control[k, 1], response, parameters)
        extremes[0], extremes[1] = min(extremes[0], v / 2, mean / 2, there / 2), max(extremes[1], v, mean, there)
        # The step, mode by mode.
        drift, damping = h * (alpha + alpha_there) / 2, h * alpha_there
        v = 0.0
        for i in range(n):
            kept = math.exp(h * d * math.log(abs(1.0 - drift * rate[i] / (h * d))))
            spread = _mean_decay(2 * damping * rate[i]) * (1.0 + damping * rate[i] / (h * d))
            radial = kept * w[i] + math.sqrt(spread) * shares[i]
            square_norm = radial * radial + spread * noise[i] * size * factor * others[k, i]
            w[i] = math.sqrt(square_norm)
            v += rate[i] * square_norm
        v_after[k] = v
        if not v < escape:
            return k
    return steps.size
