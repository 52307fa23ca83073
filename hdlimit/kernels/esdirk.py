"""Compiled integrator of the mode system: an ESDIRK method whose implicit stages are one scalar root each.

    dm_i/dt = -2 eta(t) mu rate_i m_i + eta(t)^2 nu diffusion_i,   (mu, nu) = response(v, c(t)),   v = sum_i
    functionals[0, i] m_i

Given v, every mode of a stage is explicit, m_i = (base_i + h gamma eta^2 nu diffusion_i)/(1 + 2 h gamma eta mu
rate_i), so that a stage is one equation in v. Kernels return a status; Python turns it into a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import boolean, float64, int64, types

from hdlimit.kernels import formulas
from hdlimit.kernels.jit import jit

REACHED, ESCAPED, FULL, STALLED = 0, 1, 2, 3
TIME, STEP, SEGMENT, RTOL, ESCAPE, RESTART, SMALLEST, LARGEST, ONE_STEP, CONTROL = range(10)

A = np.array([row + (0.0,) * (6 - len(row)) for row in formulas.A])
ERROR = np.array(formulas.B) - np.array(formulas.B_HAT)
NODES = np.array(formulas.C)
DENSE = np.array(formulas.DENSE)
STAGES = len(formulas.C)
MIDDLE = DENSE @ np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16])
BETWEEN = 8.0
ROUNDING = 4e-15
GAMMA = formulas.A[1][1]

VECTOR, MATRIX, CUBE = float64[::1], float64[:, ::1], float64[:, :, ::1]
TWO: Any = types.UniTuple(float64, 2)  # type: ignore[no-untyped-call]
THREE: Any = types.UniTuple(float64, 3)  # type: ignore[no-untyped-call]
STATUS: Any = types.UniTuple(int64, 2)  # type: ignore[no-untyped-call]
RESPONSE = types.FunctionType(TWO(float64, float64, VECTOR))
Response: TypeAlias = Callable[[float, float, np.ndarray], tuple[float, float]]

_SUMS: Any = {"reassoc", "contract", "nsz"}


@jit(float64(float64, float64, VECTOR, MATRIX))
def piecewise(t: float, end: float, breaks: np.ndarray, coefficients: np.ndarray) -> float:
    """A piecewise polynomial at t < end, or extrapolated over the end from its left, far from there as a line; never
    negative.

    Piece p holds its value, its values at both ends, or powers of the local coordinate in [-1, 1].
    """
    pieces = coefficients.shape[0]
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


@jit(float64(VECTOR, VECTOR), fastmath=_SUMS)
def _dot(x: np.ndarray, y: np.ndarray) -> float:
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@jit(TWO(VECTOR, VECTOR, VECTOR, VECTOR, float64), fastmath=_SUMS)
def _stage_sums(
    base: np.ndarray, rate: np.ndarray, diffusion: np.ndarray, weight: np.ndarray, beta: float
) -> tuple[float, float]:
    """v of a stage as a + b h gamma eta^2 nu, beta = 2 h gamma eta mu."""
    a, b = 0.0, 0.0
    for i in range(base.size):
        q = weight[i] / (1.0 + beta * rate[i])
        a += q * base[i]
        b += q * diffusion[i]
    return a, b


@jit(THREE(VECTOR, VECTOR, VECTOR, VECTOR, float64, float64, float64, RESPONSE, VECTOR, float64, float64, float64))
def _stage_root(
    base: np.ndarray,
    rate: np.ndarray,
    diffusion: np.ndarray,
    weight: np.ndarray,
    hg: float,
    eta: float,
    c: float,
    response: Response,
    parameters: np.ndarray,
    guess: float,
    tolerance: float,
    floor: float,
) -> tuple[float, float, float]:
    """(v, mu, nu) of a stage by a safeguarded secant method; v is nan where no positive root was found.

    The gap falls through 0 at the root. Its slope (at first through nu alone, where most of v is noise) turns a gap
    into an error of v, which is far larger near the critical step. Below the floor v counts as 0: there the equation
    need only hold to the floor.
    """
    v, before, gap_before, swept = guess, 0.0, 0.0, math.nan
    a, b, slope = 0.0, 0.0, -1.0
    for _ in range(40):
        mu, nu = response(v, c, parameters)
        if mu != swept:
            a, b = _stage_sums(base, rate, diffusion, weight, 2 * hg * eta * mu)
            swept = mu
        noise = b * hg * eta * eta
        image = a + noise * nu
        gap = image - v
        if before == 0.0 and noise * nu > v / 2:
            slope = noise * (response(1.001 * v, c, parameters)[1] - nu) / (0.001 * v) - 1.0
        elif before > 0.0 and abs(v - before) > 1e-9 * v:
            slope = (gap - gap_before) / (v - before)
        if abs(gap) <= max(tolerance * min(-slope, 1.0), ROUNDING) * v + floor:
            return v, mu, nu
        new = v - gap / slope if slope < 0.0 else image
        if not floor < new < math.inf:
            new = max(v / 8, floor)
        before, gap_before, v = v, gap, new
    return math.nan, 0.0, 0.0


@jit(types.void(VECTOR, VECTOR, VECTOR, float64, float64, float64, float64, VECTOR, VECTOR))
def _stage_modes(
    base: np.ndarray,
    rate: np.ndarray,
    diffusion: np.ndarray,
    hg: float,
    eta: float,
    mu: float,
    nu: float,
    m: np.ndarray,
    f: np.ndarray,
) -> None:
    """Overwrite m with the modes of a stage and f with their time derivative."""
    beta, source = 2 * hg * eta * mu, hg * eta * eta * nu
    for i in range(base.size):
        m[i] = (base[i] + source * diffusion[i]) / (1.0 + beta * rate[i])
        f[i] = (m[i] - base[i]) / hg


@jit(types.void(VECTOR, VECTOR, MATRIX, int64, float64))
def _stage_base(m: np.ndarray, base: np.ndarray, f: np.ndarray, stage: int, h: float) -> None:
    """Overwrite base with m + h sum_(j < stage) A[stage, j] f_j."""
    for i in range(m.size):
        base[i] = m[i]
    for j in range(stage):
        weight = h * A[stage, j]
        for i in range(m.size):
            base[i] += weight * f[j, i]


@jit(types.void(VECTOR, VECTOR, VECTOR, float64, float64, float64, VECTOR))
def _slope(
    m: np.ndarray, rate: np.ndarray, diffusion: np.ndarray, eta: float, mu: float, nu: float, f: np.ndarray
) -> None:
    """Overwrite f with the time derivative of the modes."""
    for i in range(m.size):
        f[i] = -2 * eta * mu * rate[i] * m[i] + eta * eta * nu * diffusion[i]


@jit(float64(VECTOR, VECTOR, VECTOR, float64, float64, float64))
def _first_step(
    slopes: np.ndarray, values: np.ndarray, sizes: np.ndarray, fastest: float, least: float, span: float
) -> float:
    """A first step, from least to span, on which no functional changes by more than a few per cent.

    fastest: eta times the largest rate.
    """
    h = span
    for k in range(values.size):
        size = max(values[k], sizes[k])
        if size > 0 and slopes[k] != 0:
            h = min(h, 0.02 * size / abs(slopes[k]))
        elif fastest > 0:
            h = min(h, 1e-6 / fastest)
    return min(max(h, least), span)


@jit(boolean(VECTOR, VECTOR, VECTOR, float64))
def _jumps_up(slopes: np.ndarray, values: np.ndarray, floor: np.ndarray, span: float) -> bool:
    """Whether a functional more than doubles within a time span."""
    for k in range(values.size):  # noqa: SIM110
        if values[k] <= floor[k] or slopes[k] * span > values[k]:
            return True
    return False


@jit(
    STATUS(
        VECTOR,
        VECTOR,
        MATRIX,
        VECTOR,
        MATRIX,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        MATRIX,
        VECTOR,
        MATRIX,
        RESPONSE,
        VECTOR,
        VECTOR,
        MATRIX,
        CUBE,
    )
)
def advance(
    rate: np.ndarray,
    diffusion: np.ndarray,
    functionals: np.ndarray,
    m: np.ndarray,
    f: np.ndarray,
    floor: np.ndarray,
    sizes: np.ndarray,
    control: np.ndarray,
    ends: np.ndarray,
    lr_breaks: np.ndarray,
    lr_pieces: np.ndarray,
    threshold_breaks: np.ndarray,
    threshold_pieces: np.ndarray,
    response: Response,
    parameters: np.ndarray,
    knots: np.ndarray,
    start: np.ndarray,
    coefficients: np.ndarray,
) -> tuple[int, int]:
    """Integrate from one of the ends to the next and so on, or until the output arrays are full.

    Schedules may jump at the ends: the integration starts anew there, and a step reads them from its own side. Returns
    (status, steps written). The error of a step is that of its embedded pair, or 1/BETWEEN of the distance between its
    dense output and the cubic through both ends, which is larger where the modes are stiff. Where a functional jumps
    up, a trial step of ONE_STEP sets the size to which it need be known. Overwrites m (modes), f (6 x n, the slope in
    row 0), sizes, control (all but RTOL, ESCAPE, ONE_STEP) and the output: step ends in knots, functionals at the left
    ends in start, coefficients of the dense output.
    """
    n, count = rate.size, functionals.shape[0]
    base, trial = np.empty(n), np.empty(n)
    slopes, values = np.empty((count, STAGES)), np.empty(count)
    t, h, rtol, fastest = control[TIME], control[STEP], control[RTOL], 0.0
    segment, written, trying = int(control[SEGMENT]), 0, False
    for k in range(count):
        values[k], slopes[k, 0] = _dot(functionals[k], m), _dot(functionals[k], f[0])
    while True:
        end = ends[segment + 1]
        final = segment + 2 == ends.size
        if t >= end or (end - t <= 1e-14 * t and not final):
            if final:
                return REACHED, written
            t, segment, control[RESTART] = max(t, end), segment + 1, 1.0
            continue
        if written == start.shape[0]:
            control[TIME], control[STEP], control[SEGMENT] = t, h, segment
            return FULL, written
        if control[RESTART] > 0:
            eta = piecewise(t, end, lr_breaks, lr_pieces)
            mu, nu = response(values[0], piecewise(t, end, threshold_breaks, threshold_pieces), parameters)
            _slope(m, rate, diffusion, eta, mu, nu, f[0])
            for k in range(count):
                slopes[k, 0] = _dot(functionals[k], f[0])
            fastest = eta * rate.max()
            sizes[:] = 0.0
            trying = _jumps_up(slopes[:, 0].copy(), values, floor, control[ONE_STEP])
            h = _first_step(slopes[:, 0].copy(), values, sizes, fastest, 1e-13 * t, end - t)
            if trying:
                h = min(max(control[ONE_STEP], 1e-12 * t), end - t)
            control[RESTART] = 0.0
        last = t + 1.001 * h >= end
        if last:
            h = end - t
        if h <= 1e-14 * t or h < 1e-250:
            return STALLED, written
        v, solved, hg = values[0], True, h * GAMMA
        for s in range(1, STAGES):
            when = t + NODES[s] * h
            eta = piecewise(when, end, lr_breaks, lr_pieces)
            c = piecewise(when, end, threshold_breaks, threshold_pieces)
            _stage_base(m, base, f, s, h)
            guess = min(max(values[0] + NODES[s] * h * slopes[0, 0], values[0] / 4), values[0] * 4)
            v, mu, nu = _stage_root(
                base,
                rate,
                diffusion,
                functionals[0],
                hg,
                eta,
                c,
                response,
                parameters,
                max(guess, floor[0]),
                1e-3 * rtol,
                floor[0],
            )
            if math.isnan(v):
                solved = False
                break
            _stage_modes(base, rate, diffusion, hg, eta, mu, nu, trial, f[s])
            control[SMALLEST], control[LARGEST] = min(control[SMALLEST], v), max(control[LARGEST], v)
        if not solved:
            h /= 4
            continue
        worst = 0.0
        for k in range(count):
            error, middle = 0.0, 0.0
            for s in range(STAGES):
                if s > 0:
                    slopes[k, s] = _dot(functionals[k], f[s])
                error += h * ERROR[s] * slopes[k, s]
                middle += h * MIDDLE[s] * slopes[k, s]
            new = _dot(functionals[k], trial)
            if k == 0 and not new >= -floor[0]:
                solved = False
            cubic = (values[k] + new) / 2 + h * (slopes[k, 0] - slopes[k, STAGES - 1]) / 8
            error = max(abs(error), abs(values[k] + middle - cubic) / BETWEEN)
            worst = max(worst, error / (rtol * max(values[k], new, sizes[k]) + floor[k]))
            if trying:
                sizes[k] = 0.01 * new
        if trying and solved:
            trying = False
            h = _first_step(slopes[:, 0].copy(), values, sizes, fastest, 1e-13 * t, end - t)
            continue
        if not solved or not worst <= 1.0:
            h *= 0.25 if not worst < math.inf else max(0.2, 0.9 * worst**-0.25)
            continue
        for k in range(count):
            start[written, k] = values[k]
            for p in range(4):
                c_p = 0.0
                for s in range(STAGES):
                    c_p += DENSE[s, p] * slopes[k, s]
                coefficients[written, k, p] = h * c_p
        t = end if last else t + h
        knots[written] = t
        written += 1
        for i in range(n):
            m[i] = trial[i]
            f[0, i] = f[STAGES - 1, i]
        for k in range(count):
            values[k] = _dot(functionals[k], m)
            slopes[k, 0] = slopes[k, STAGES - 1]
        if values[0] > control[ESCAPE]:
            return ESCAPED, written
        h *= min(5.0, 0.9 * max(worst, 1e-8) ** -0.25)
