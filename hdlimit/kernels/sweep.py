"""Many integrations of one mode system in one compiled loop: points of a sweep share modes, response and times."""

from __future__ import annotations

import math

import numpy as np
from numba import float64, types

from hdlimit.kernels import esdirk
from hdlimit.kernels.esdirk import CUBE, MATRIX, RESPONSE, VECTOR, Response
from hdlimit.kernels.jit import jit

CHUNK = 256
STATUS, END, STEPS, LOW, HIGH, REPORT = range(6)
RTOL, ESCAPE, ONE_STEP, SCALE, LOWEST, HIGHEST, SAFETY, FALL, MOST, SETTINGS = range(10)


@jit(float64(float64, VECTOR, float64, float64))
def _inside(value: float, coefficients: np.ndarray, theta: float, floor: float) -> float:
    """A dense output within its step, 0 where the step begins and ends below the floor."""
    c1, c2, c3, c4 = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    if value <= floor and value + (c1 + c2 + c3 + c4) <= floor:
        return 0.0
    inside: float = value + theta * (c1 + theta * (c2 + theta * (c3 + theta * c4)))
    return max(inside, 0.0)


@jit(
    float64(
        VECTOR,
        VECTOR,
        MATRIX,
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
        VECTOR,
        float64,
        VECTOR,
        VECTOR,
    )
)
def _integrate(
    rate: np.ndarray,
    diffusion: np.ndarray,
    functionals: np.ndarray,
    initial: np.ndarray,
    floor: np.ndarray,
    ends: np.ndarray,
    lr_breaks: np.ndarray,
    lr_pieces: np.ndarray,
    threshold_breaks: np.ndarray,
    threshold_pieces: np.ndarray,
    response: Response,
    parameters: np.ndarray,
    times: np.ndarray,
    settings: np.ndarray,
    rtol: float,
    v: np.ndarray,
    report: np.ndarray,
) -> float:
    """Write v at the times (inf after the end) and the report; returns how many powers of e the errors add up over."""
    m, f, sizes = initial.copy(), np.empty((esdirk.STAGES, rate.size)), np.zeros(1)
    control = np.zeros(esdirk.CONTROL)
    control[esdirk.RTOL], control[esdirk.ESCAPE], control[esdirk.SMALLEST] = rtol, settings[ESCAPE], math.inf
    control[esdirk.RESTART], control[esdirk.ONE_STEP] = 1.0, settings[ONE_STEP]
    knots, start, coefficients = np.empty(CHUNK), np.empty((CHUNK, 1)), np.empty((CHUNK, 1, 4))
    status, steps, left, last, next_time = esdirk.FULL, 0, 0.0, 0.0, 0
    peak, largest, fall = 0.0, 0.0, 1.0
    v[:] = math.inf
    while status == esdirk.FULL and steps < settings[MOST]:
        status, written = esdirk.advance(
            rate, diffusion, functionals, m, f, floor, sizes, control, ends, lr_breaks, lr_pieces, threshold_breaks,
            threshold_pieces, response, parameters, knots, start, coefficients,
        )  # fmt: skip
        for k in range(written):
            value = start[k, 0]
            last = value + coefficients[k, 0].sum()
            if value <= floor[0] and last <= floor[0]:
                value, last = 0.0, 0.0
            peak, largest = max(peak, value), max(largest, value)
            fall = min(fall, value / peak if peak > 0.0 else 1.0)
            while next_time < times.size and times[next_time] < knots[k]:
                theta = (times[next_time] - left) / (knots[k] - left)
                v[next_time] = _inside(start[k, 0], coefficients[k, 0], theta, floor[0])
                next_time += 1
            left = knots[k]
        steps += written
    while steps > 0 and next_time < times.size and times[next_time] <= left:
        v[next_time] = max(last, 0.0)
        next_time += 1
    report[STATUS], report[END], report[STEPS] = status, left, steps
    report[LOW], report[HIGH] = control[esdirk.SMALLEST], control[esdirk.LARGEST]
    return math.log(max(largest / settings[SCALE], 1.0) / max(fall, settings[FALL])) / 3


@jit(
    types.void(
        VECTOR,
        VECTOR,
        MATRIX,
        VECTOR,
        VECTOR,
        VECTOR,
        VECTOR,
        CUBE,
        VECTOR,
        CUBE,
        RESPONSE,
        VECTOR,
        VECTOR,
        VECTOR,
        MATRIX,
        MATRIX,
    )
)
def curves(
    rate: np.ndarray,
    diffusion: np.ndarray,
    functionals: np.ndarray,
    initial: np.ndarray,
    floor: np.ndarray,
    ends: np.ndarray,
    lr_breaks: np.ndarray,
    lr_pieces: np.ndarray,
    threshold_breaks: np.ndarray,
    threshold_pieces: np.ndarray,
    response: Response,
    parameters: np.ndarray,
    times: np.ndarray,
    settings: np.ndarray,
    v: np.ndarray,
    reports: np.ndarray,
) -> None:
    """v at the times, shape (points, T), and the reports (status, end, steps, smallest and largest v of a stage) of
    points that differ in their schedules, shape (points, pieces, powers).

    A second pass with tighter steps is made as in integrate.solve; not where v leaves [LOWEST, HIGHEST], in which the
    response may be read: the caller then extends it and comes back.
    """
    for k in range(v.shape[0]):
        rtol = settings[SAFETY] * settings[RTOL]
        for _ in range(2):
            depth = _integrate(
                rate, diffusion, functionals, initial, floor, ends, lr_breaks, lr_pieces[k], threshold_breaks,
                threshold_pieces[k], response, parameters, times, settings, rtol, v[k], reports[k],
            )  # fmt: skip
            left = reports[k, LOW] < settings[LOWEST] or reports[k, HIGH] > settings[HIGHEST]
            if depth <= 1.0 or left:
                break
            rtol = max(rtol * depth ** (-4 / 3), 1e-13)
