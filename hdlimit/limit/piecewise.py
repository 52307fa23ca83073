"""Schedules as piecewise polynomials: what the integrators read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput
from hdlimit.optimizers.reading import reading
from hdlimit.optimizers.schedules import Constant, Schedule, Table

# Degree of a piece: fewer coefficients need more pieces, more cost more at every stage. Chosen, not measured.
DEGREE = 8
# Error of a piece relative to its largest value: below the integrator's finest rtol.
TOLERANCE = 1e-11
# Error that short pieces may have relative to the largest value so far: rounding of a schedule that passes through 0.
ROUNDING = 1e-15
# Error that a piece may have at the times at which the schedule has been read, over that between the points of its fit:
# the error of a fit is largest near these. Chosen, not measured.
SEEN = 10.0
# Share of a step of the optimizer below which a piece counts as bent, so that the kink is sought. Chosen, not measured.
SHORT = 1e-3
# Share of its length at which the lines around a kink are drawn again. Chosen, not measured.
CLOSER = 0.01
# Relative length of a piece that is a point.
POINT = 1e-13
# Rounding of t, relative, through which a steep schedule is seen: four times that of double precision.
BLUR = 1e-15
# Pieces, and fits, after which a schedule counts as too rough; 100 fits find a kink, 10000 take half a second.
MOST_PIECES, MOST_FITS = 4000, 100_000
# Pieces after which pieces no longer shrink towards a zero of a schedule; chosen, not measured.
ENOUGH_PIECES = 400

_POINTS = chebyshev.extremes(DEGREE)
_FIT = chebyshev.from_extremes(DEGREE)
_TO_POWERS = chebyshev.powers(DEGREE)
_BETWEEN = chebyshev.roots(DEGREE)
_AT_BETWEEN = chebyshev.values_at(_BETWEEN, DEGREE)


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

    Knots at which a table bends by less than rtol/20 of the value are not stopped at.
    """
    if all(isinstance(s, Constant) for s in schedules):
        return np.array([0.0, horizon])
    inside = np.concatenate([s.stops(rtol / 20) for s in schedules])
    inside = inside[(inside > 0) & (inside < horizon * (1 - 1e-13))]
    return np.unique(np.concatenate([[0.0], inside, [horizon]]))


def tabulate(schedule: Schedule, horizon: float) -> Piecewise:
    """Return a schedule on [0, horizon] to 1e-11 of its largest value on every piece; every knot is an end of pieces.

    Values at a knot are taken from inside the piece, so that a jump does no harm.

    Raises: InvalidInput when the schedule is too rough (jumps between its knots).
    """
    if isinstance(schedule, Resolved):
        return schedule.pieces
    if isinstance(schedule, Constant):
        return Piecewise(np.array([0.0, horizon]), np.array([[schedule.value]]))
    knots = np.concatenate([[0.0], schedule.knots[schedule.knots < horizon], [horizon]])
    if schedule.degree == 0:
        return Piecewise(knots, schedule((knots[1:] + knots[:-1]) / 2)[:, None])
    if schedule.degree == 1:
        ends = knots[1:] if isinstance(schedule, Table) else np.nextafter(knots[1:], 0.0)
        return Piecewise(knots, np.column_stack([schedule(knots[:-1]), schedule(ends)]))
    return resolved(schedule, horizon, 0.0).pieces


class Resolved(Schedule):
    """A schedule that has been read up to a horizon: its pieces, and the times at which an integration must stop.

    Parameters
    ----------
    pieces : Piecewise
        Polynomials.
    bends : ndarray
        Knots of the schedule, kinks that were found, and ends of the pieces without which a feature could be stepped
        over.
    """

    explicit = True

    def __init__(self, pieces: Piecewise, bends: FloatArray) -> None:
        self.pieces, self.bends = pieces, bends

    def __repr__(self) -> str:
        return f"a schedule read in {self.pieces.coefficients.shape[0]} pieces"

    def _values(self, t: FloatArray) -> FloatArray:
        breaks, coefficients = self.pieces
        p = np.clip(np.searchsorted(breaks, t, side="right") - 1, 0, coefficients.shape[0] - 1)
        x = (2 * t - breaks[p] - breaks[p + 1]) / (breaks[p + 1] - breaks[p])
        values: FloatArray = np.zeros_like(x)
        for k in range(coefficients.shape[1] - 1, -1, -1):
            values = values * x + coefficients[p, k]
        return np.maximum(values, 0.0)

    @property
    def knots(self) -> FloatArray:
        """Times > 0 at which the schedule jumps or bends, ascending."""
        return self.bends


def explicit(schedule: Schedule, horizon: float, step: float) -> Schedule:
    """Return a schedule that says where it bends up to the horizon; step is 1/d."""
    return schedule if schedule.explicit else resolved(schedule, horizon, step)


def resolved(schedule: Schedule, horizon: float, step: float) -> Resolved:
    """Read a schedule; see Resolved. step is 1/d, or 0.

    Raises: InvalidInput when the schedule is too rough (jumps between its knots).
    """
    knots = np.concatenate([[0.0], schedule.knots[schedule.knots < horizon], [horizon]])
    times = np.empty(0) if schedule.smooth else reading(horizon, step)
    values = schedule(times)
    parts = []
    for left, right in zip(knots[:-1].tolist(), knots[1:].tolist()):
        inside = slice(*np.searchsorted(times, [np.nextafter(left, right), right]))
        parts.append(_Reader(schedule, left, right, times[inside], values[inside], SHORT * step).read())
    breaks = np.concatenate([*(p.breaks[:-1] for p in parts), [horizon]])
    bends = [knots[1:-1]] if schedule.explicit else [knots[1:-1], *(p.bends for p in parts)]
    coefficients = np.concatenate([p.coefficients for p in parts])
    return Resolved(Piecewise(breaks, coefficients), np.unique(np.concatenate(bends)))


class _Part(NamedTuple):
    """Breaks and coefficients between two knots, and where an integration must stop between them."""

    breaks: FloatArray
    coefficients: FloatArray
    bends: FloatArray


class _Span(NamedTuple):
    """An interval to be fitted, the interval between two knots that it came from, and whether its parent was missed."""

    a: float
    b: float
    left: float
    right: float
    missed: bool = False


class _Reader:
    """Reads a schedule on the open interval (left, right), by bisection.

    Pieces shrink towards a zero of the schedule. Short pieces may be off by rounding errors of the largest value so
    far. Pieces that shrink to a point hold a kink if they are right to 1e-11 of it, else a jump, or, in a schedule
    that is smooth between its knots, the beginning of a root of t; a kink, found where the lines of both sides meet,
    becomes a knot, and the pieces on both sides are fitted anew. A fit is compared with the values at the points
    between its own, and with every value that has been read at `times`.
    """

    def __init__(
        self, schedule: Schedule, left: float, right: float, times: FloatArray, values: FloatArray, short: float
    ) -> None:
        self.schedule, self.right, self.times, self.values, self.short = schedule, right, times, values, short
        self.inner = np.array([np.nextafter(left, right), np.nextafter(right, left)])
        self.pieces: list[tuple[float, FloatArray]] = []
        self.bends: list[float] = []
        self.todo = [_Span(left, right, left, right)]
        self.largest = float(values.max(initial=0.0))

    def read(self) -> _Part:
        """Return the pieces."""
        fits = 0
        while self.todo:
            span = self.todo.pop()
            fits += 1
            point = span.b - span.a < POINT * max(abs(span.b), 1e-300)
            fit, fits_well, vanishing = self._fitted(span, point)
            if fits_well and not (vanishing and not point and len(self.pieces) < ENOUGH_PIECES):
                kink = self._kink(span, point) if span.missed and (point or span.b - span.a < self.short) else None
                if kink is not None:
                    self._knot(span, kink)
                else:
                    self.pieces.append((span.a, fit @ _TO_POWERS))
            elif len(self.pieces) + len(self.todo) > MOST_PIECES or fits > MOST_FITS or point:
                expected = "a smooth schedule (use Steps for jumps, Table for many kinks)"
                raise InvalidInput("schedule", expected, f"one that jumps or bends near t = {span.a:g}")
            else:
                middle = (span.a + span.b) / 2
                self.todo += [
                    span._replace(a=middle, missed=not fits_well),
                    span._replace(b=middle, missed=not fits_well),
                ]
                self.bends += [] if fits_well else [middle]
        breaks = np.array([a for a, _ in self.pieces] + [self.right])
        return _Part(breaks, np.array([c for _, c in self.pieces]), np.array(self.bends))

    def _fitted(self, span: _Span, point: bool) -> tuple[FloatArray, bool, bool]:
        """Return the Chebyshev coefficients on a span, whether they are the schedule, and whether it vanishes there."""
        a, b = span.a, span.b
        values, check = (
            self.schedule(np.clip((a + b) / 2 + (b - a) / 2 * x, *self.inner)) for x in (_POINTS, _BETWEEN)
        )
        if not (np.isfinite(values).all() and (values >= 0).all()):
            got = f"{values.min():g} to {values.max():g} between t = {a:g} and {b:g}"
            raise InvalidInput("schedule", "finite values >= 0", got)
        size = float(values.max())
        self.largest = max(self.largest, size)
        fit = _FIT @ values
        noise = TOLERANCE if point else ROUNDING if b - a < 0.01 * b else 0.0
        blur = BLUR * b * (size - float(values.min())) / (b - a)
        allowed = max(TOLERANCE * size, noise * self.largest, blur)
        right = float(np.abs(_AT_BETWEEN @ fit - check).max()) <= allowed
        right = right and (point or self._meets(fit, a, b, SEEN * allowed)) or (point and self.schedule.smooth)
        return fit, right, bool(values.min() < 1e-3 * size > 1e-16 * self.largest)

    def _meets(self, fit: FloatArray, a: float, b: float, allowed: float) -> bool:
        """Whether a fit on (a, b) is right at all times that have been read."""
        first, last = np.searchsorted(self.times, [a, b])
        x = (2 * self.times[first:last] - a - b) / (b - a)
        missed = np.abs(np.polynomial.chebyshev.chebval(x, fit) - self.values[first:last])
        return bool(missed.max(initial=0.0) <= allowed)

    def _kink(self, span: _Span, point: bool) -> float | None:
        """Return where the lines on both sides of a short span meet, None where they do not meet close to it."""
        middle, w = (span.a + span.b) / 2, span.b - span.a
        if middle - 4 * w <= span.left or middle + 4 * w >= span.right:
            return None
        if point:
            around = self.schedule(np.array([middle - 4 * w, middle + 4 * w]))
            return middle if abs(around[1] - around[0]) <= TOLERANCE * self.largest else None
        kink = self._meeting(middle, 1.5 * w)
        return None if kink is None else self._meeting(kink, CLOSER * w)

    def _meeting(self, near: float, w: float) -> float | None:
        """Return where the lines at a distance of w to 3 w on both sides meet, None if not within w or no lines."""
        f = self.schedule(near + w * np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]))
        slopes, bends = f[[2, 5]] - f[[0, 3]], f[[0, 3]] - 2 * f[[1, 4]] + f[[2, 5]]
        if slopes[0] == slopes[1] or (np.abs(bends) > 0.2 * np.abs(slopes) + ROUNDING * self.largest).any():
            return None
        away = float((2 * (f[3] - f[2]) - slopes.sum()) / (slopes[0] - slopes[1]))
        return near + away * w if abs(away) <= 1 else None

    def _knot(self, span: _Span, kink: float) -> None:
        """Begin anew on both sides of a kink, with what it came from."""
        left, right = span.left, span.right
        self.pieces = [piece for piece in self.pieces if piece[0] < left]
        self.todo = [other for other in self.todo if other.left >= right]
        self.bends = [bend for bend in self.bends if not left < bend < right] + [kink]
        self.todo += [_Span(kink, right, kink, right), _Span(left, kink, left, kink)]
