"""The first time at which a predicted curve falls to a level, exact on the piecewise quartic interpolant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, registered
from hdlimit.problem.problem import Problem

# From coefficients of 1, theta, ..., theta^4 to Bernstein coefficients on [0, 1]; the least of these bounds it.
_BERNSTEIN = np.array([[math.comb(i, k) / math.comb(4, k) for k in range(5)] for i in range(5)])


def first_crossing(dense: DenseOutput, level: float) -> float:
    """Find the first time t with v(t) <= level, where v is functional 0 of the interpolant.

    Dips between knots are seen.

    Parameters
    ----------
    dense : DenseOutput
        The interpolant.
    level : float
        In units of v = 2R.

    Returns
    -------
    float
        0.0 (the first knot) where v starts at or below the level, and inf where v never gets there.

    Raises
    ------
    InvalidInput
        If the level is not a finite number.
    """
    level = checks.number("level", level)
    powers = np.concatenate([dense.start[:, :1], dense.coefficients[:, 0, :]], axis=1)
    for step in np.flatnonzero((powers @ _BERNSTEIN.T).min(axis=1) <= level):
        theta = _first_root(powers[step], level)
        if theta is not None:
            left, right = dense.knots[step], dense.knots[step + 1]
            return float(min(left + theta * (right - left), right))
    return math.inf


def _first_root(powers: FloatArray, level: float) -> float | None:
    """Return the least theta in [0, 1] with p(theta) <= level, p given by its coefficients in ascending order."""
    ends = [0.0, *_turning_points(powers), 1.0]
    if _value(powers, 0.0) <= level:
        return 0.0
    for a, b in zip(ends[:-1], ends[1:], strict=True):
        if _value(powers, b) <= level:
            return _bisect(powers, level, a, b)
    return None


def _value(powers: FloatArray, theta: float) -> float:
    a, b, c, d, e = powers
    return float(a + theta * (b + theta * (c + theta * (d + theta * e))))


def _turning_points(powers: FloatArray) -> list[float]:
    """Ascending points in (0, 1) between which p is monotone: roots of p' (a complex root's real part does no harm)."""
    slope = powers[1:] * np.arange(1, 5)
    slope = np.where(np.abs(slope) > 1e-16 * np.abs(slope).max(), slope, 0.0)
    return sorted(float(x) for x in np.roots(slope[::-1]).real if 0 < x < 1)


def _bisect(powers: FloatArray, level: float, above: float, below: float) -> float:
    """Return the crossing in a monotone piece, from the side on which p <= level."""
    while True:
        middle = (above + below) / 2
        if middle in (above, below) or below - above < 1e-17:
            return below
        if _value(powers, middle) <= level:
            below = middle
        else:
            above = middle


@registered
@dataclass(frozen=True, eq=False)
class DenseOutput:
    """Piecewise quartic interpolant of k linear functionals of the modes.

    Parameters
    ----------
    knots : array, shape (s + 1,)
        Step ends of the integrator.
    start : array, shape (s, k)
        Values at the left knots.
    coefficients : array, shape (s, k, 4)
        Of theta, ..., theta^4 on every step, theta = (t - knot)/(step length).
    """

    shapes: ClassVar[dict[str, str]] = {"start": "s k", "coefficients": "s k 4", "knots": "s+1"}
    rising: ClassVar[tuple[str, ...]] = ("knots",)

    knots: FloatArray
    start: FloatArray
    coefficients: FloatArray

    def __call__(self, t: FloatArray, functional: int) -> FloatArray:
        """Return the functional at times t of any shape."""
        step = np.clip(np.searchsorted(self.knots, t, side="right") - 1, 0, self.start.shape[0] - 1)
        left = self.knots[step]
        theta = (t - left) / (self.knots[step + 1] - left)
        c = self.coefficients[step, functional]
        poly = theta * (c[..., 0] + theta * (c[..., 1] + theta * (c[..., 2] + theta * c[..., 3])))
        values: FloatArray = self.start[step, functional] + poly
        return values


class Integrated(Protocol):
    """A limit that has been integrated: what finite-size corrections need of a curve.

    problem, optimizer, horizon, rtol: as given to predict; dense: the interpolant; end: the last time reached.
    """

    @property
    def problem(self) -> Problem:
        """The problem."""

    @property
    def optimizer(self) -> Any:
        """The optimizer."""

    @property
    def horizon(self) -> float:
        """Up to which it was integrated, in units of t."""

    @property
    def rtol(self) -> float:
        """The relative tolerance."""

    @property
    def dense(self) -> DenseOutput:
        """The interpolant of v, and of the distance and the gradient norm where these are linear in the modes."""

    @property
    def end(self) -> float:
        """The last time reached."""
