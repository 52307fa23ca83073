"""Compiled integrator of the mode system: an ESDIRK method whose implicit stages are one scalar root each.

    dm_i/dt = -2 eta(t) mu rate_i m_i + eta(t)^2 nu diffusion_i,   (mu, nu) = response(v, c(t)),   v = sum_i
    functionals[0, i] m_i

Kernels return a status; Python turns it into a sentence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, VECTOR, Type, boolean, called, float64, int64, jit
from hdlimit.kernels import mode_sweeps as sweeps
from hdlimit.kernels import quadratic_model as nearby
from hdlimit.kernels.arrays import resized_cube, resized_matrix, resized_vector
from hdlimit.kernels.mode_sweeps import GAMMA, STAGES, Modes, Work
from hdlimit.kernels.piecewise import Schedules, piecewise
from hdlimit.kernels.step import Record, Step, error_of, finish, stages, write

# How an integration ended.
REACHED, ESCAPED, FULL, STALLED, FELL = 0, 1, 2, 3, 4
RTOL, ESCAPE, ONE_STEP, MOST, LEVEL, SCALE, SETTINGS = range(7)
# Steps for which the output has room at first: a curve of rtol 1e-6 takes 30 to 100 (examples/benchmarks).
CHUNK = 256
# A step may have this fraction of rtol as error, so that the whole curve keeps rtol (tests/prediction/test_predict.py).
SAFETY = 0.2
# A step is at most this many times as long as the one before; chosen, not measured: as in Hairer & Wanner, IV.8.
LARGEST_GROWTH = 10.0
# 1/ORDER is the power of the error in the next step size: the embedded estimate is of order 4.
ORDER = 5

FOUND = Type(f"Tuple((int64, float64, float64, {VECTOR}, {MATRIX}, {CUBE}))")


class Arrays(NamedTuple):
    """The arguments of `advance` in their order, up to the response: advance(*arrays, address, parameters).

    numba takes 1.3 microseconds longer to unpack such a tuple than its members (2.5 against 1.2), so that the kernel
    takes these.

    Attributes
    ----------
    rate, diffusion : arrays, shape (n,)
        Of the modes.
    functionals : array, shape (k, n)
        Weights of what is followed, v first.
    initial : array, shape (n,)
        Modes at t = 0.
    floor : array, shape (k,)
        Functionals below it count as 0.
    settings : array, shape (SETTINGS,)
        RTOL; ESCAPE, the v that ends an integration; ONE_STEP, the time of one step of the optimizer; MOST steps;
        LEVEL of v that ends it, too; SCALE, the v that the problem brings.
    ends : array, shape (s,)
        Times at which the integration starts anew, from 0 to the horizon.
    lr_breaks, lr_pieces, control_breaks, control_pieces : arrays
        As in kernels.piecewise.Schedules.
    """

    rate: np.ndarray
    diffusion: np.ndarray
    functionals: np.ndarray
    initial: np.ndarray
    floor: np.ndarray
    settings: np.ndarray
    ends: np.ndarray
    lr_breaks: np.ndarray
    lr_pieces: np.ndarray
    control_breaks: np.ndarray
    control_pieces: np.ndarray


@jit(forceinline=True, borrows=True)
def _first_step(record: Record, step: Step, eta: float) -> float:
    """Return a first step, from 1e-13 t to the segment's end, on which no functional changes by more than a share."""
    h, fastest = step.end - step.t, eta * step.fastest
    share = step.rtol ** (1 / ORDER)
    for k in range(record.values.size):
        size = max(record.values[k], record.sizes[k])
        if size > 0 and record.slopes[k, 0] != 0:
            h = min(h, share * size / abs(record.slopes[k, 0]))
        elif fastest > 0:
            h = min(h, 1e-6 / fastest)
    return min(max(h, 1e-13 * step.t), step.end - step.t)


@jit(float64(VECTOR, VECTOR, VECTOR, float64), borrows=True)
def _depth(values: np.ndarray, peaks: np.ndarray, floor: np.ndarray, scale: float) -> float:
    """Return over how many powers of e errors have added up.

    That is the largest fall from the peaks, which are brought up to date, and the growth of v above the scale.
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


@jit(forceinline=True)
def _workspace(initial: np.ndarray) -> Work:
    """Room for the sweeps, with the modes to start from."""
    n = initial.size
    return Work(
        initial.copy(), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n),
        np.empty(n), np.empty(STAGES),
    )  # fmt: skip


@jit(forceinline=True, borrows=True)
def _begin(
    work: Work, modes: Modes, record: Record, step: Step, eta: float, law: tuple[float, float], one_step: float
) -> tuple[float, bool]:
    """Overwrite the first slopes of the modes and of the functionals, and forget the sizes.

    Returns the length of the first step, and whether it is a trial one: of one step of the optimizer, as a functional
    jumps up.
    """
    mu, nu = law
    sweeps.slope(work, modes, 2 * eta * mu, eta * eta * nu)
    for k in range(record.values.size):
        record.slopes[k, 0], record.sizes[k] = sweeps.dot(record.functionals[k], work.f0), 0.0
    if _jumps_up(record.slopes, record.values, record.floor, one_step):
        return min(max(one_step, 1e-12 * step.t), step.end - step.t), True
    return _first_step(record, step, eta), False


@jit(forceinline=True, borrows=True)
def _after_trial(record: Record, step: Step, eta: float) -> float:
    """Return the length of the step after a trial one, whose end tells the sizes."""
    for k in range(record.values.size):
        record.sizes[k] = 0.01 * record.after[k]
    return _first_step(record, step, eta)


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
    control_breaks: np.ndarray,
    control_pieces: np.ndarray,
    address: int,
    parameters: np.ndarray,
) -> tuple[int, float, float, np.ndarray, np.ndarray, np.ndarray]:
    """Integrate from one of the ends to the next and so on, or until v is above ESCAPE or at most LEVEL.

    The relative error of every functional is kept below RTOL over the whole curve. Relative errors of the steps add up
    while a functional falls or grows unstably, over L powers of e so far, and are forgotten near a steady state: that
    of a step is kept below SAFETY RTOL (1 + L/3)^(-4/3), whose integral over L is bounded. Schedules may jump at the
    ends: the integration starts anew there, and a step reads them from its own side. Where a functional jumps up, a
    trial step of ONE_STEP sets the size to which it need be known. address: of the compiled response, in Python the
    response; parameters: of the response; the others as in Arrays.

    Returns
    -------
    tuple
        Status, smallest and largest v of a stage, 0 and the step ends, functionals at the left ends, coefficients of
        the dense output.
    """
    count, top = functionals.shape[0], sweeps.largest(rate)
    modes, response = Modes(rate, diffusion, functionals[0]), called(address)
    schedules = Schedules(lr_breaks, lr_pieces, control_breaks, control_pieces)
    work = _workspace(initial)
    slopes, values, after, sizes = np.empty((count, STAGES)), np.empty(count), np.empty(count), np.zeros(count)
    record, near = Record(functionals, values, after, slopes, sizes, floor), np.zeros(nearby.SIZE)
    knots, start, coefficients = np.zeros(CHUNK + 1), np.empty((CHUNK, count)), np.empty((CHUNK, count, 4))
    for k in range(count):
        values[k] = sweeps.dot(functionals[k], work.m)
    peaks, rtol = values.copy(), SAFETY * settings[RTOL]
    t, h, bend, smallest, largest = 0.0, 0.0, 0.0, math.inf, 0.0
    segment, written, restart, trying, status = 0, 0, True, False, STALLED
    while True:
        # Segments: the next one, or the end.
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
        # Start of a segment: slopes and a first step.
        if restart:
            eta = piecewise(t, end, lr_breaks, lr_pieces)
            law = response(values[0], piecewise(t, end, control_breaks, control_pieces), parameters)
            step = Step(t, h, end, bend, top, rtol)
            h, trying = _begin(work, modes, record, step, eta, law, settings[ONE_STEP])
            restart, bend = False, 0.0
        # Controller: the step ends with the segment, or gives up below rounding.
        last = t + 1.001 * h >= end
        if last:
            h = end - t
        if h <= 1e-14 * t or h < 1e-250:
            break
        # Stages.
        step = Step(t, h, end, bend, top, rtol)
        v, done, source, low, high = stages(work, modes, record, step, schedules, response, parameters, near)
        smallest, largest = min(smallest, low), max(largest, high)
        if math.isnan(v):
            h /= 4
            continue
        finish(work, modes, record, done, source, 1 / (h * GAMMA))
        # Error estimate, and whether the step is a trial one, refused or accepted.
        worst = error_of(record, h, rtol)
        positive = after[0] >= -floor[0]
        if trying and positive:
            trying = False
            h = _after_trial(record, step, piecewise(t, end, lr_breaks, lr_pieces))
            continue
        if not positive or not worst <= 1.0:
            h *= 0.25 if not worst < math.inf else max(0.2, 0.9 * worst ** (-1 / ORDER))
            continue
        # Acceptance: the dense output is written, the end of the step becomes the start of the next one.
        if written == start.shape[0]:
            size = 2 * written
            knots, start = resized_vector(knots, size + 1), resized_matrix(start, size)
            coefficients = resized_cube(coefficients, size)
        bend = write(record, h, written, start, coefficients)
        t = end if last else t + h
        written += 1
        knots[written] = t
        m, base, f0, f1, f2, f3, f4, f5, f6, products = work
        work = Work(base, m, f6, f1, f2, f3, f4, f5, f0, products)
        for k in range(count):
            values[k], slopes[k, 0] = after[k], slopes[k, STAGES - 1]
        # Controller: what the next step may err, whether there is one, and its length.
        rtol = SAFETY * settings[RTOL] * (1.0 + _depth(values, peaks, floor, settings[SCALE]) / 3) ** (-4 / 3)
        if values[0] > settings[ESCAPE] or values[0] <= settings[LEVEL]:
            status = ESCAPED if values[0] > settings[ESCAPE] else FELL
            break
        h *= min(LARGEST_GROWTH, 0.9 * max(worst, 1e-8) ** (-1 / ORDER))
    knots, start = resized_vector(knots, written + 1), resized_matrix(start, written)
    return status, smallest, largest, knots, start, resized_cube(coefficients, written)
