"""Schedules as piecewise polynomials: what the integrators read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from hdlimit.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.schedules import Constant, Schedule, Steps, Table

DEGREE = 8
TOLERANCE = 1e-11
ROUNDING = 1e-15
MOST_PIECES = 4000
MOST_STOPS = 400

_POINTS = np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)
_FIT = np.linalg.inv(chebyshev.chebvander(_POINTS, DEGREE))
_TO_POWERS = np.array(
    [np.append(chebyshev.cheb2poly(row), np.zeros(DEGREE + 1))[: DEGREE + 1] for row in np.eye(DEGREE + 1)]
)
_BETWEEN = np.cos(np.pi * (np.arange(DEGREE) + 0.5) / DEGREE)
_AT_BETWEEN = chebyshev.chebvander(_BETWEEN, DEGREE)


class Piecewise(NamedTuple):
    """A piecewise polynomial: breaks, shape (p + 1,); powers of the local coordinate in [-1, 1], shape (p, degree +
    1).
    """

    breaks: FloatArray
    coefficients: FloatArray


def stops(schedules: tuple[Schedule, ...], horizon: float) -> FloatArray:
    """Segment ends for an integrator: 0, the knots of the schedules, the horizon. Dense tables (over 400 knots) are
    not stopped at.
    """
    knots = [s.knots for s in schedules if s.knots.size <= MOST_STOPS or isinstance(s, Steps)]
    inside = np.concatenate([np.empty(0), *knots])
    inside = inside[(inside > 0) & (inside < horizon)]
    return np.unique(np.concatenate([[0.0], inside, [horizon]]))


def tabulate(schedule: Schedule, left: float, right: float) -> Piecewise:
    """A schedule on the open segment (left, right) to 1e-11 of its largest value on every piece.

    Values at the ends are taken from inside, so that a jump at an end does no harm. Pieces that shrink to a point
    hold a kink if they are right to 1e-11 of the largest value so far, else a jump.

    Raises: InvalidInput when the schedule is too rough (jumps between its knots).
    """
    if isinstance(schedule, Constant):
        return Piecewise(np.array([left, right]), np.array([[schedule.value]]))
    if isinstance(schedule, Table):
        breaks = np.concatenate([[left], schedule.times[(schedule.times > left) & (schedule.times < right)], [right]])
        values = schedule(breaks)
        return Piecewise(breaks, np.column_stack([values[1:] + values[:-1], values[1:] - values[:-1]]) / 2)
    pieces: list[tuple[float, FloatArray]] = []
    inner = np.array([np.nextafter(left, right), np.nextafter(right, left)])
    todo = [(left, right)]
    largest = 0.0
    while todo:
        a, b = todo.pop()
        values, check = (schedule(np.clip((a + b) / 2 + (b - a) / 2 * x, *inner)) for x in (_POINTS, _BETWEEN))
        if not (np.isfinite(values).all() and (values >= 0).all()):
            got = f"{values.min():g} to {values.max():g} between t = {a:g} and {b:g}"
            raise InvalidInput("schedule", "finite values >= 0", got)
        largest = max(largest, float(values.max()))
        fit = _FIT @ values
        error = float(np.abs(_AT_BETWEEN @ fit - check).max())
        point = b - a < 1e-13 * max(abs(b), 1e-300)
        if error <= max(TOLERANCE * float(values.max()), (TOLERANCE if point else ROUNDING) * largest):
            pieces.append((a, fit @ _TO_POWERS))
        elif len(pieces) + len(todo) > MOST_PIECES or point:
            raise InvalidInput(
                "schedule",
                "a smooth schedule (use Steps for jumps, Table for kinks)",
                f"one that jumps or bends near t = {a:g}",
            )
        else:
            todo += [((a + b) / 2, b), (a, (a + b) / 2)]
    breaks = np.array([a for a, _ in pieces] + [right])
    return Piecewise(breaks, np.array([c for _, c in pieces]))
