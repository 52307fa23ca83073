"""Many integrations of one mode system in one compiled loop: points of a sweep share modes, response and times."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from hdlimit.core.jit import CUBE, MATRIX, READ, VECTOR, float64, int64, jit, void
from hdlimit.kernels import esdirk

STATUS, END, STEPS, LOW, HIGH, REPORT = range(6)
# What an integration returns.
Found: TypeAlias = tuple[int, float, float, np.ndarray, np.ndarray, np.ndarray]


@jit(float64(float64, VECTOR, float64), borrows=True)
def _inside(value: float, coefficients: np.ndarray, theta: float) -> float:
    """Return a dense output within its step."""
    c1, c2, c3, c4 = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    inside: float = value + theta * (c1 + theta * (c2 + theta * (c3 + theta * c4)))
    return max(inside, 0.0)


@jit(void(READ, VECTOR, MATRIX, CUBE, VECTOR), borrows=True)
def _read(times: np.ndarray, knots: np.ndarray, start: np.ndarray, coefficients: np.ndarray, v: np.ndarray) -> None:
    """Write v at the times, inf after the end."""
    step, steps = 0, start.shape[0]
    for i in range(times.size):
        while step < steps - 1 and times[i] >= knots[step + 1]:
            step += 1
        if step < steps and times[i] <= knots[steps]:
            theta = (times[i] - knots[step]) / (knots[step + 1] - knots[step])
            v[i] = _inside(start[step, 0], coefficients[step, 0], theta)
        else:
            v[i] = math.inf


@jit(forceinline=True, borrows=True)
def _report(found: Found, times: np.ndarray, v: np.ndarray, report: np.ndarray) -> None:
    """Write v at the times, and the report."""
    status, low, high, knots, start, coefficients = found
    _read(times, knots, start, coefficients, v)
    report[STATUS], report[END], report[STEPS], report[LOW], report[HIGH] = status, knots[-1], start.shape[0], low, high


@jit(
    void(
        VECTOR, VECTOR, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, CUBE, VECTOR, CUBE, int64, VECTOR, READ,
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
    control_breaks: np.ndarray,
    control_pieces: np.ndarray,
    address: int,
    parameters: np.ndarray,
    times: np.ndarray,
    v: np.ndarray,
    reports: np.ndarray,
) -> None:
    """Integrate points that differ in their schedules, and overwrite v and the reports.

    The arguments before `times` are those of esdirk.advance, but for `lr_pieces` and `control_pieces`, which have one
    schedule a point, shape (points, pieces, powers). v: at the times, shape (points, T); reports: status, end, steps,
    smallest and largest v of a stage.
    """
    for k in range(v.shape[0]):
        found = esdirk.advance(
            rate, diffusion, functionals, initial, floor, settings, ends, lr_breaks, lr_pieces[k], control_breaks,
            control_pieces[k], address, parameters,
        )  # fmt: skip
        _report(found, times, v[k], reports[k])


@jit(
    void(
        VECTOR, VECTOR, MATRIX, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR, CUBE, VECTOR, CUBE, MATRIX, int64, VECTOR, READ,
        MATRIX, MATRIX,
    )
)  # fmt: skip
def block_curves(
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
    times: np.ndarray,
    v: np.ndarray,
    reports: np.ndarray,
) -> None:
    """`curves` for modes of two numbers; block as in esdirk.advance_blocks."""
    for k in range(v.shape[0]):
        found = esdirk.advance_blocks(
            rate, diffusion, functionals, initial, floor, settings, ends, lr_breaks, lr_pieces[k], control_breaks,
            control_pieces[k], block, address, parameters,
        )  # fmt: skip
        _report(found, times, v[k], reports[k])
