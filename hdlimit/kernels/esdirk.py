"""Compiled integrator of the mode system: an ESDIRK method whose implicit stages are one scalar root each.

    dm_i/dt = -2 eta(t) mu rate_i m_i + eta(t)^2 nu diffusion_i,   (mu, nu) = response(v, c(t)),   v = sum_i
    functionals[0, i] m_i

or of modes of two numbers (block_sweeps). Kernels return a status; Python turns it into a sentence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, VECTOR, Type, called, int64, jit
from hdlimit.kernels import block_sweeps, mode_sweeps, sweeps
from hdlimit.kernels import quadratic_model as nearby
from hdlimit.kernels.arrays import resized_cube, resized_matrix, resized_vector
from hdlimit.kernels.controller import ORDER, after_trial, begin, depth, workspace
from hdlimit.kernels.mode_sweeps import GAMMA, STAGES, Modes, Work
from hdlimit.kernels.piecewise import Schedules, piecewise
from hdlimit.kernels.quadratic_model import Response
from hdlimit.kernels.step import Record, Step, Sweeps, error_of, finish, stages, write

# How an integration ended.
REACHED, ESCAPED, FULL, STALLED, FELL = 0, 1, 2, 3, 4
RTOL, ESCAPE, ONE_STEP, MOST, LEVEL, SCALE, SETTINGS = range(7)
# Steps for which the output has room at first: a curve of rtol 1e-6 takes 30 to 100 (examples/benchmarks).
CHUNK = 256
# A step may have this fraction of rtol as error, so that the whole curve keeps rtol (tests/prediction/test_predict.py).
SAFETY = 0.2
# A step is at most this many times as long as the one before; chosen, not measured: as in Hairer & Wanner, IV.8.
LARGEST_GROWTH = 10.0

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


_ARRAYS = VECTOR, VECTOR, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, MATRIX, VECTOR, MATRIX


@jit(FOUND(*_ARRAYS, int64, VECTOR), forceinline=True)
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
    kind = Sweeps(
        sweeps.mode_law, sweeps.mode_slope, sweeps.mode_scale, sweeps.mode_stiffness, sweeps.mode_sums,
        sweeps.mode_into, sweeps.mode_complete,
    )  # fmt: skip
    schedules = Schedules(lr_breaks, lr_pieces, control_breaks, control_pieces, None, kind)
    modes = Modes(rate, diffusion, functionals[0])
    return _advance(modes, functionals, initial, floor, (settings, ends), schedules, called(address), parameters)


@jit(FOUND(*_ARRAYS, MATRIX, int64, VECTOR), forceinline=True)
def advance_blocks(
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
    block: np.ndarray,
    address: int,
    parameters: np.ndarray,
) -> tuple[int, float, float, np.ndarray, np.ndarray, np.ndarray]:
    """`advance` for modes of two numbers: functionals and initial are of length 3 n, block as in Schedules."""
    kind = Sweeps(
        sweeps.block_law, block_sweeps.slope, sweeps.block_scale, sweeps.block_stiffness, block_sweeps.sums,
        block_sweeps.into, sweeps.block_complete,
    )  # fmt: skip
    schedules = Schedules(lr_breaks, lr_pieces, control_breaks, control_pieces, block, kind)
    modes = Modes(rate, diffusion, functionals[0, : rate.size])
    return _advance(modes, functionals, initial, floor, (settings, ends), schedules, called(address), parameters)


@jit(forceinline=True)
def _advance(
    modes: Modes,
    functionals: np.ndarray,
    initial: np.ndarray,
    floor: np.ndarray,
    rules: tuple[np.ndarray, np.ndarray],
    schedules: Schedules,
    response: Response,
    parameters: np.ndarray,
) -> tuple[int, float, float, np.ndarray, np.ndarray, np.ndarray]:
    """`advance` and `advance_blocks`; rules: settings and ends."""
    settings, ends = rules
    count, top, block = functionals.shape[0], mode_sweeps.largest(modes.rate), schedules.block
    kind = schedules.sweeps
    work = workspace(initial)
    slopes, values, after, sizes = np.empty((count, STAGES)), np.empty(count), np.empty(count), np.zeros(count)
    record, near = Record(functionals, values, after, slopes, sizes, floor), np.zeros(nearby.SIZE)
    knots, start, coefficients = np.zeros(CHUNK + 1), np.empty((CHUNK, count)), np.empty((CHUNK, count, 4))
    for k in range(count):
        values[k] = mode_sweeps.dot(functionals[k], work.m)
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
            eta = piecewise(t, end, schedules.lr_breaks, schedules.lr_pieces)
            control = piecewise(t, end, schedules.control_breaks, schedules.control_pieces)
            mu, nu = response(values[0], control, parameters)
            step, law = Step(t, h, end, bend, top, rtol), kind.law_at(block, eta)
            h, trying = begin(work, modes, record, step, eta, (kind, law, mu, nu), settings[ONE_STEP])
            restart, bend = False, 0.0
        # Controller: the step ends with the segment, or gives up below rounding.
        last = t + 1.001 * h >= end
        if last:
            h = end - t
        if h <= 1e-14 * t or h < 1e-250:
            break
        # Stages.
        step = Step(t, h, end, bend, top, rtol)
        v, past, low, high = stages(work, modes, record, step, schedules, response, parameters, near)
        smallest, largest = min(smallest, low), max(largest, high)
        if math.isnan(v):
            h /= 4
            continue
        finish(work, modes, kind, record, h * GAMMA, past)
        # Error estimate, and whether the step is a trial one, refused or accepted.
        worst = error_of(record, h, rtol)
        positive = after[0] >= -floor[0]
        if trying and positive:
            trying = False
            h = after_trial(record, step, piecewise(t, end, schedules.lr_breaks, schedules.lr_pieces))
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
        rtol = SAFETY * settings[RTOL] * (1.0 + depth(values, peaks, floor, settings[SCALE]) / 3) ** (-4 / 3)
        if values[0] > settings[ESCAPE] or values[0] <= settings[LEVEL]:
            status = ESCAPED if values[0] > settings[ESCAPE] else FELL
            break
        h *= min(LARGEST_GROWTH, 0.9 * max(worst, 1e-8) ** (-1 / ORDER))
    knots, start = resized_vector(knots, written + 1), resized_matrix(start, written)
    return status, smallest, largest, knots, start, resized_cube(coefficients, written)
