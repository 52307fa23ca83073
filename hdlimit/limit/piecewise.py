"""Schedules as piecewise polynomials: what the integrators read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.optimizers.schedules import Constant, Schedule, Steps, Table

# Degree of a piece: fewer coefficients need more pieces, more cost more at every stage. Chosen, not measured.
DEGREE = 8
# Error of a piece relative to its largest value: below the integrator's finest rtol.
TOLERANCE = 1e-11
# Error that short pieces may have relative to the largest value so far: rounding of a schedule that passes through 0.
ROUNDING = 1e-15
# Pieces after which a schedule counts as too rough, and after which pieces no longer shrink towards a zero of it.
MOST_PIECES = 4000
# Pieces after which pieces no longer shrink towards a zero of a schedule; chosen, not measured.
ENOUGH_PIECES = 400

_POINTS = np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)
_FIT = np.linalg.inv(chebyshev.chebvander(_POINTS, DEGREE))
_TO_POWERS = np.array(
    [np.append(chebyshev.cheb2poly(row), np.zeros(DEGREE + 1))[: DEGREE + 1] for row in np.eye(DEGREE + 1)]
)
_BETWEEN = np.cos(np.pi * (np.arange(DEGREE) + 0.5) / DEGREE)
_AT_BETWEEN = chebyshev.chebvander(_BETWEEN, DEGREE)


class Piecewise(NamedTuple):
    """A piecewise polynomial.

    Attributes
    ----------
    breaks : array, shape (p + 1,)
        Ends of the pieces.
    coefficients : array, shape (p, q)
        The value on a piece (q = 1), its values at both ends (q = 2), or the coefficients of the powers of the local
        coordinate in [-1, 1].
    """

    breaks: FloatArray
    coefficients: FloatArray


def stops(schedules: tuple[Schedule, ...], horizon: float, rtol: float) -> FloatArray:
    """Segment ends for an integrator of relative accuracy rtol: 0, the knots of the schedules, the horizon.

    Knots of tables that bend by less than rtol/20 of the value, seen from their neighbours, are not stopped at.
    """
    if all(isinstance(s, Constant) for s in schedules):
        return np.array([0.0, horizon])
    inside = np.concatenate([_bends(s, rtol / 20) if isinstance(s, Table) else s.knots for s in schedules])
    inside = inside[(inside > 0) & (inside < horizon * (1 - 1e-13))]
    return np.unique(np.concatenate([[0.0], inside, [horizon]]))


def _bends(table: Table, tolerance: float) -> FloatArray:
    """Return the first and last knot of a table, and those off their neighbours' chord by more than tolerance."""
    t, v = table.times, table.values
    chord = v[:-2] + (v[2:] - v[:-2]) * (t[1:-1] - t[:-2]) / (t[2:] - t[:-2])
    bent = np.abs(v[1:-1] - chord) > tolerance * v[1:-1]
    knots: FloatArray = t[np.concatenate([[True], bent, [True]])[: t.size]]
    return knots


def tabulate(schedule: Schedule, horizon: float) -> Piecewise:
    """Return a schedule on [0, horizon] to 1e-11 of its largest value on every piece; every knot is an end of pieces.

    Values at a knot are taken from inside the piece, so that a jump does no harm.

    Raises: InvalidInput when the schedule is too rough (jumps between its knots).
    """
    if isinstance(schedule, Constant):
        return Piecewise(np.array([0.0, horizon]), np.array([[schedule.value]]))
    knots = np.concatenate([[0.0], schedule.knots[schedule.knots < horizon], [horizon]])
    if isinstance(schedule, Steps):
        return Piecewise(knots, schedule((knots[1:] + knots[:-1]) / 2)[:, None])
    if isinstance(schedule, Table):
        values = schedule(knots)
        return Piecewise(knots, np.column_stack([values[:-1], values[1:]]))
    parts = [_smooth(schedule, left, right) for left, right in zip(knots[:-1].tolist(), knots[1:].tolist())]
    return Piecewise(
        np.concatenate([*(p.breaks[:-1] for p in parts), [horizon]]), np.concatenate([p.coefficients for p in parts])
    )


def _smooth(schedule: Schedule, left: float, right: float) -> Piecewise:
    """Return a schedule on the open interval (left, right), by bisection.

    Pieces shrink towards a zero of the schedule. Short pieces may be off by rounding errors of the largest value so
    far. Pieces that shrink to a point hold a kink if they are right to 1e-11 of it, else a jump.
    """
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
        noise = TOLERANCE if point else ROUNDING if b - a < 0.01 * b else 0.0
        vanishing = values.min() < 1e-3 * values.max() > 1e-16 * largest and not point and len(pieces) < ENOUGH_PIECES
        if error <= max(TOLERANCE * float(values.max()), noise * largest) and not vanishing:
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
