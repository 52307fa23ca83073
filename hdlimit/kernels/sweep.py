"""Many integrations of one mode system in one compiled loop: points of a sweep share modes, response and times."""

from __future__ import annotations

import math

import numpy as np

from hdlimit.kernels import esdirk
from hdlimit.kernels.jit import CUBE, MATRIX, VECTOR, float64, int64, jit, void

STATUS, END, STEPS, LOW, HIGH, REPORT = range(6)


@jit(float64(float64, VECTOR, float64, float64))
def _inside(value: float, coefficients: np.ndarray, theta: float, floor: float) -> float:
    """A dense output within its step, 0 where the step begins and ends below the floor."""
    c1, c2, c3, c4 = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    if value <= floor and value + (c1 + c2 + c3 + c4) <= floor:
        return 0.0
    inside: float = value + theta * (c1 + theta * (c2 + theta * (c3 + theta * c4)))
    return max(inside, 0.0)


@jit(void(VECTOR, VECTOR, MATRIX, CUBE, float64, VECTOR))
def _read(
    times: np.ndarray, knots: np.ndarray, start: np.ndarray, coefficients: np.ndarray, floor: float, v: np.ndarray
) -> None:
    """Write v at the times, inf after the end."""
    v[:] = math.inf
    left, next_time = 0.0, 0
    for k in range(knots.size):
        while next_time < times.size and times[next_time] < knots[k]:
            theta = (times[next_time] - left) / (knots[k] - left)
            v[next_time] = _inside(start[k, 0], coefficients[k, 0], theta, floor)
            next_time += 1
        left = knots[k]
    while knots.size > 0 and next_time < times.size and times[next_time] <= left:
        v[next_time] = _inside(start[-1, 0], coefficients[-1, 0], 1.0, floor)
        next_time += 1


@jit(
    void(
        VECTOR, VECTOR, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, CUBE, VECTOR, CUBE, int64, VECTOR, VECTOR,
        MATRIX, MATRIX,
    )
)  # fmt: skip
def curves(
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
    times: np.ndarray,
    v: np.ndarray,
    reports: np.ndarray,
) -> None:
    """v at the times, shape (points, T), and the reports (status, end, steps, smallest and largest v of a stage) of
    points that differ in their schedules, shape (points, pieces, powers).
    """
    for k in range(v.shape[0]):
        status, low, high, knots, start, coefficients = esdirk.advance(
            rate, diffusion, functionals, initial, floor, settings, ends, lr_breaks, lr_pieces[k], threshold_breaks,
            threshold_pieces[k], address, parameters,
        )  # fmt: skip
        _read(times, knots, start, coefficients, floor[0], v[k])
        reports[k, STATUS], reports[k, END], reports[k, STEPS] = status, knots[-1] if knots.size else 0.0, knots.size
        reports[k, LOW], reports[k, HIGH] = low, high
