"""Compiled integrator of the mode system: an ESDIRK method whose implicit stages are one scalar root each.

    dm_i/dt = -2 eta(t) mu rate_i m_i + eta(t)^2 nu diffusion_i,   (mu, nu) = response(v, c(t)),   v = sum_i
    functionals[0, i] m_i

Given v, every mode of a stage is explicit, m_i = (base_i + h gamma eta^2 nu diffusion_i)/(1 + 2 h gamma eta mu
rate_i), so that a stage is one equation in v. Kernels return a status; Python turns it into a sentence.
"""

from __future__ import annotations

import math

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, RESPONSE, THREE, VECTOR, Type, boolean, called, float64, int64, jit
from hdlimit.kernels import formulas
from hdlimit.kernels import mode_sweeps as stages
from hdlimit.kernels import quadratic_model as nearby
from hdlimit.kernels.mode_sweeps import GAMMA, SEVEN, STAGES
from hdlimit.kernels.quadratic_model import MU_SLOPE, NU_SLOPE, Response

REACHED, ESCAPED, FULL, STALLED, FELL = 0, 1, 2, 3, 4
RTOL, ESCAPE, ONE_STEP, MOST, LEVEL, SCALE, SETTINGS = range(7)
CHUNK = 256
SAFETY, BETWEEN, LARGEST_GROWTH = 0.2, 400.0, 10.0
STAGE, PARABOLA = 1e-3, 0.03

A = np.array(formulas.A)
ERROR = np.array(formulas.B) - np.array(formulas.B_HAT)
NODES = np.array(formulas.C)
SECOND = np.array(formulas.SECOND)
DENSE = np.array(formulas.DENSE)
MIDDLE = DENSE @ np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16])
ROUNDING, ORDER = 4e-15, 5


def _extrapolation() -> np.ndarray:
    """weights[s, j] of the slopes at the nodes before, for the slope of v at node s: a parabola of least squares."""
    weights = np.zeros((STAGES, STAGES))
    for s in range(2, STAGES):
        powers = np.arange(min(s, 3))[:, None]
        weights[s, :s] = np.linalg.pinv(NODES[:s] ** powers) @ NODES[s] ** powers[:, 0]
    return weights


AHEAD = _extrapolation()

FOUND = Type(f"Tuple((int64, float64, float64, {VECTOR}, {MATRIX}, {CUBE}))")


@jit(float64(float64, float64, VECTOR, MATRIX), forceinline=True, borrows=True)
def piecewise(t: float, end: float, breaks: np.ndarray, coefficients: np.ndarray) -> float:
    """A piecewise polynomial at t < end, or extrapolated over the end from its left, far from there as a line; never
    negative.

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


@jit(
    THREE(SEVEN, *[VECTOR] * 4, *[float64] * 4, RESPONSE, VECTOR, VECTOR, *[float64] * 5),
    forceinline=True,
    borrows=True,
)
def _root(
    swept: stages.Seven,
    base: np.ndarray,
    rate: np.ndarray,
    diffusion: np.ndarray,
    weight: np.ndarray,
    fastest: float,
    hg: float,
    eta: float,
    c: float,
    response: Response,
    parameters: np.ndarray,
    near: np.ndarray,
    v: float,
    mu: float,
    nu: float,
    rtol: float,
    floor: float,
) -> tuple[float, float, float]:
    """(v, mu, nu) of a stage by a safeguarded Newton method; v is nan where there is none.

    swept: the sums of stages.into at the mu of the first v. From them v of the modes, a + b h gamma eta^2 nu, is known
    for other mu to second order; where the third is not small, the modes are swept again. The gap between it and v
    falls through 0 at the root. Its slope turns a gap into an error of v, which is far larger near the critical step.
    The response and its slope come from the parabola of `nearby` where that is certain. Below the floor v counts as 0:
    there the equation need only hold to the floor.
    """
    _, a0, a1, a2, b0, b1, b2 = swept
    center, accuracy, scale = mu, max(STAGE * rtol, ROUNDING), hg * eta * eta
    for _ in range(60):
        inverse = 1.0 / center if center > 0.0 else 0.0
        delta = (mu - center) * inverse
        reach = min(abs(mu - center) * 2 * hg * eta * fastest, abs(delta)) if center > 0.0 or mu == 0.0 else math.inf
        a, b = a0 - delta * (a1 - delta * a2), b0 - delta * (b1 - delta * b2)
        image = a + b * scale * nu
        gap = image - v
        slope = b * scale * near[NU_SLOPE] - (a1 + b1 * scale * nu) * inverse * near[MU_SLOPE] - 1.0
        found = abs(gap) <= max(STAGE * rtol * min(-slope, 1.0), ROUNDING) * v + (floor if v <= floor else 0.0)
        if found and reach**3 * max(abs(a0), v) <= 0.1 * accuracy * v:
            return v, mu, nu
        if found or reach > 0.1:
            a0, a1, a2, b0, b1, b2 = stages.sums(base, rate, diffusion, weight, 2 * hg * eta * mu)
            center = mu
            continue
        new = v - gap / slope if slope < 0.0 else image
        v = new if floor < new < math.inf else max(v / 8, floor)
        if nearby.certain(near, v, PARABOLA * rtol):
            mu, nu = nearby.expanded(near, v)
        else:
            mu, nu = nearby.evaluated(near, v, c, response, parameters)
    return math.nan, 0.0, 0.0


@jit(float64(MATRIX, VECTOR, VECTOR, float64, float64, float64, float64), borrows=True)
def _first_step(
    slopes: np.ndarray, values: np.ndarray, sizes: np.ndarray, share: float, fastest: float, least: float, span: float
) -> float:
    """A first step, from least to span, on which no functional changes by more than a share.

    fastest: eta times the largest rate.
    """
    h = span
    for k in range(values.size):
        size = max(values[k], sizes[k])
        if size > 0 and slopes[k, 0] != 0:
            h = min(h, share * size / abs(slopes[k, 0]))
        elif fastest > 0:
            h = min(h, 1e-6 / fastest)
    return min(max(h, least), span)


@jit(float64(VECTOR, VECTOR, VECTOR, float64), borrows=True)
def _depth(values: np.ndarray, peaks: np.ndarray, floor: np.ndarray, scale: float) -> float:
    """Over how many powers of e errors have added up: the largest fall from the peaks, which are brought up to date,
    and the growth of v above the scale.
    """
    fall = 1.0
    for k in range(values.size):
        peaks[k] = max(peaks[k], values[k])
        if peaks[k] > floor[k]:
            fall = min(fall, max(values[k], floor[k]) / peaks[k])
    return math.log(max(peaks[0] / scale, 1.0) / fall)


@jit(boolean(MATRIX, VECTOR, VECTOR, float64), borrows=True)
def _jumps_up(slopes: np.ndarray, values: np.ndarray, floor: np.ndarray, span: float) -> bool:
    """Whether a functional more than doubles within a time span."""
    for k in range(values.size):  # noqa: SIM110
        if values[k] <= floor[k] or slopes[k, 0] * span > values[k]:
            return True
    return False


@jit(VECTOR(VECTOR, int64))
def _resized_vector(x: np.ndarray, size: int) -> np.ndarray:
    y = np.empty(size)
    for i in range(min(size, x.shape[0])):
        y[i] = x[i]
    return y


@jit(MATRIX(MATRIX, int64))
def _resized_matrix(x: np.ndarray, size: int) -> np.ndarray:
    y = np.empty((size, x.shape[1]))
    for i in range(min(size, x.shape[0])):
        for j in range(x.shape[1]):
            y[i, j] = x[i, j]
    return y


@jit(CUBE(CUBE, int64))
def _resized_cube(x: np.ndarray, size: int) -> np.ndarray:
    y = np.empty((size, x.shape[1], x.shape[2]))
    for i in range(min(size, x.shape[0])):
        for j in range(x.shape[1]):
            for k in range(x.shape[2]):
                y[i, j, k] = x[i, j, k]
    return y


@jit(
    FOUND(VECTOR, VECTOR, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX, VECTOR, MATRIX, int64, VECTOR),
    forceinline=True,
)
def advance(
    rate: np.ndarray,
    diffusion: np.ndarray,
    functionals: np.ndarray,
    initial: np.ndarray,
    floor: np.ndarray,
    settings: np.ndarray,
    ends: np.ndarray,
    lr_breaks: np.ndarray,
    lr_pieces: np.ndarray,
    threshold_breaks: np.ndarray,
    threshold_pieces: np.ndarray,
    address: int,
    parameters: np.ndarray,
) -> tuple[int, float, float, np.ndarray, np.ndarray, np.ndarray]:
    """Integrate from one of the ends to the next and so on, or until v is above ESCAPE or at most LEVEL.

    The relative error of every functional is kept below RTOL over the whole curve. Relative errors of the steps add up
    while a functional falls or grows unstably, over L powers of e so far, and are forgotten near a steady state: that
    of a step is kept below SAFETY RTOL (1 + L/3)^(-4/3), whose integral over L is bounded. It is the largest of two
    estimates, which together see that of the dense output, too, and, where both pass through 0, of 1/BETWEEN of the
    distance between the dense output and the cubic through both ends. Schedules may jump at the ends: the integration
    starts anew there, and a step reads them from its own side. Where a functional jumps up, a trial step of ONE_STEP
    sets the size to which it need be known. address: of the response. Returns (status, smallest and largest v of a
    stage, 0 and the step ends, functionals at the left ends, coefficients of the dense output), where functionals below
    their floor are 0.
    """
    n, count, top = rate.size, functionals.shape[0], stages.largest(rate)
    weight, response = functionals[0], called(address)
    m, base, f0, f1, f2 = initial.copy(), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    f3, f4, f5, f6, row = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(STAGES)
    slopes, values, after, sizes = np.empty((count, STAGES)), np.empty(count), np.empty(count), np.zeros(count)
    near = np.zeros(nearby.SIZE)
    knots, start, coefficients = np.zeros(CHUNK + 1), np.empty((CHUNK, count)), np.empty((CHUNK, count, 4))
    for k in range(count):
        values[k] = stages.dot(functionals[k], m)
    peaks, rtol = values.copy(), SAFETY * settings[RTOL]
    t, h, bend, smallest, largest = 0.0, 0.0, 0.0, math.inf, 0.0
    segment, written, restart, trying, status = 0, 0, True, False, STALLED
    while True:
        end = ends[segment + 1]
        final = segment + 2 == ends.size
        if t >= end or (end - t <= 1e-14 * t and not final):
            if final:
                status = REACHED
                break
            t, segment, restart = max(t, end), segment + 1, True
            continue
        if written >= settings[MOST]:
            status = FULL
            break
        if restart:
            eta = piecewise(t, end, lr_breaks, lr_pieces)
            mu, nu = response(values[0], piecewise(t, end, threshold_breaks, threshold_pieces), parameters)
            stages.slope(m, rate, diffusion, 2 * eta * mu, eta * eta * nu, f0)
            for k in range(count):
                slopes[k, 0], sizes[k] = stages.dot(functionals[k], f0), 0.0
            trying = _jumps_up(slopes, values, floor, settings[ONE_STEP])
            h = _first_step(slopes, values, sizes, rtol ** (1 / ORDER), eta * top, 1e-13 * t, end - t)
            if trying:
                h = min(max(settings[ONE_STEP], 1e-12 * t), end - t)
            restart, bend = False, 0.0
        last = t + 1.001 * h >= end
        if last:
            h = end - t
        if h <= 1e-14 * t or h < 1e-250:
            break
        v, hg, done, source = values[0], h * GAMMA, 0.0, 0.0
        for s in range(1, STAGES):
            span = NODES[s] * h
            eta = piecewise(t + span, end, lr_breaks, lr_pieces)
            c = piecewise(t + span, end, threshold_breaks, threshold_pieces)
            ahead, below = slopes[0, 0] + span * bend if s == 1 else 0.0, values[0]
            for j in range(s):
                row[j] = h * A[s, j]
                ahead += AHEAD[s, j] * slopes[0, j]
                below += row[j] * slopes[0, j]
            guess = max(min(max(below + hg * ahead, values[0] / 4), values[0] * 4), floor[0])
            mu, nu = nearby.evaluated(near, guess, c, response, parameters)
            swept = stages.into(
                s, m, f0, f1, f2, f3, f4, f5, base, rate, diffusion, weight, row, done, source, 1 / hg,
                2 * hg * eta * mu,
            )  # fmt: skip
            if s > 1:
                slopes[0, s - 1] = swept[0]
            v, mu, nu = _root(
                swept, base, rate, diffusion, weight, top, hg, eta, c, response, parameters, near, guess, mu, nu, rtol,
                floor[0],
            )  # fmt: skip
            if math.isnan(v):
                break
            done, source = 2 * hg * eta * mu, hg * eta * eta * nu
            slopes[0, s] = (v - below) / hg
            smallest, largest = min(smallest, v), max(largest, v)
        if math.isnan(v):
            h /= 4
            continue
        slopes[0, STAGES - 1], after[0] = stages.complete(base, rate, diffusion, weight, f6, done, source, 1 / hg)
        for k in range(1, count, 2):
            j = min(k + 1, count - 1)
            one, other = stages.rises(functionals[k], functionals[j], base, f1, f2, f3, f4, f5, f6)
            after[k], slopes[k, 1] = one[0], one[1] - slopes[k, 0]
            after[j], slopes[j, 1] = other[0], other[1] - slopes[j, 0]
            for s in range(2, STAGES):
                slopes[k, s], slopes[j, s] = one[s], other[s]
        worst = 0.0
        for k in range(count):
            first, second, middle = 0.0, 0.0, 0.0
            for s in range(STAGES):
                first += h * ERROR[s] * slopes[k, s]
                second += h * SECOND[s] * slopes[k, s]
                middle += h * MIDDLE[s] * slopes[k, s]
            cubic = (values[k] + after[k]) / 2 + h * (slopes[k, 0] - slopes[k, STAGES - 1]) / 8
            error = max(abs(first), abs(second), abs(values[k] + middle - cubic) / BETWEEN)
            worst = max(worst, error / (rtol * max(values[k], after[k], sizes[k]) + 10 * floor[k]))
        positive = after[0] >= -floor[0]
        if trying and positive:
            trying = False
            for k in range(count):
                sizes[k] = 0.01 * after[k]
            eta = piecewise(t, end, lr_breaks, lr_pieces)
            h = _first_step(slopes, values, sizes, rtol ** (1 / ORDER), eta * top, 1e-13 * t, end - t)
            continue
        if not positive or not worst <= 1.0:
            h *= 0.25 if not worst < math.inf else max(0.2, 0.9 * worst ** (-1 / ORDER))
            continue
        if written == start.shape[0]:
            size = 2 * written
            knots, start = _resized_vector(knots, size + 1), _resized_matrix(start, size)
            coefficients = _resized_cube(coefficients, size)
        for k in range(count):
            gone = values[k] <= floor[k] and after[k] <= floor[k]
            start[written, k] = 0.0 if gone else values[k]
            for p in range(4):
                c_p = 0.0
                for s in range(STAGES):
                    c_p += DENSE[s, p] * slopes[k, s]
                coefficients[written, k, p] = 0.0 if gone else h * c_p
        bend = 0.0
        for p in range(1, 4):
            bend += p * (p + 1) * coefficients[written, 0, p] / h / h
        t = end if last else t + h
        written += 1
        knots[written] = t
        m, base, f0, f6 = base, m, f6, f0
        for k in range(count):
            values[k], slopes[k, 0] = after[k], slopes[k, STAGES - 1]
        rtol = SAFETY * settings[RTOL] * (1.0 + _depth(values, peaks, floor, settings[SCALE]) / 3) ** (-4 / 3)
        if values[0] > settings[ESCAPE] or values[0] <= settings[LEVEL]:
            status = ESCAPED if values[0] > settings[ESCAPE] else FELL
            break
        h *= min(LARGEST_GROWTH, 0.9 * max(worst, 1e-8) ** (-1 / ORDER))
    knots, start = _resized_vector(knots, written + 1), _resized_matrix(start, written)
    return status, smallest, largest, knots, start, _resized_cube(coefficients, written)
