"""The controller of the integrator: first steps of a segment, trial steps, and over how much errors have added up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hdlimit.core.jit import MATRIX, VECTOR, boolean, float64, jit
from hdlimit.kernels import mode_sweeps
from hdlimit.kernels.mode_sweeps import STAGES, Modes, Work
from hdlimit.kernels.step import Record, Step

# 1/ORDER is the power of the error in the next step size: the embedded estimate is of order 4.
ORDER = 5


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
def depth(values: np.ndarray, peaks: np.ndarray, floor: np.ndarray, scale: float) -> float:
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
def workspace(initial: np.ndarray) -> Work:
    """Room for the sweeps, with the modes to start from."""
    n = initial.size
    return Work(
        initial.copy(), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n),
        np.empty(n), np.empty(STAGES),
    )  # fmt: skip


@jit(forceinline=True, borrows=True)
def begin(
    work: Work, modes: Modes, record: Record, step: Step, eta: float, past: tuple[Any, Any, float, float], one: float
) -> tuple[float, bool]:
    """Overwrite the first slopes of the modes and of the functionals, and forget the sizes.

    past: the sweeps, law, mu and nu; one: time of one step of the optimizer. Returns the length of the first step, and
    whether it is a trial one: of one step of the optimizer, as a functional jumps up.
    """
    sweeps, law, mu, nu = past
    sweeps.slope(work, modes, law, mu, nu)
    for k in range(record.values.size):
        record.slopes[k, 0], record.sizes[k] = mode_sweeps.dot(record.functionals[k], work.f0), 0.0
    if _jumps_up(record.slopes, record.values, record.floor, one):
        return min(max(one, 1e-12 * step.t), step.end - step.t), True
    return _first_step(record, step, eta), False


@jit(forceinline=True, borrows=True)
def after_trial(record: Record, step: Step, eta: float) -> float:
    """Return the length of the step after a trial one, whose end tells the sizes."""
    for k in range(record.values.size):
        record.sizes[k] = 0.01 * record.after[k]
    return _first_step(record, step, eta)
