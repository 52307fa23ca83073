"""A scalar map given as a Python function, as a piecewise linear table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import InvalidInput

# Largest error of a piece relative to the largest |psi| on it: 1e-5 keeps tanh below 1500 knots and moves (mu, nu) by
# less than 1e-5 (tests/optimizers/test_residual.py).
TOLERANCE = 1e-5
# The map is followed for |r| from SMALLEST to REACH; chosen, not measured: residuals of any problem in sensible units.
SMALLEST, REACH = 1e-6, 1e6
# Intervals a decade at the start, and places of each at which the map is read: a feature narrower than 0.2 % of |r| may
# be missed. Chosen: 50000 values of a map take 1 ms.
PER_DECADE, PLACES = 20, 100
# Where an unbounded map is continued to: large enough to stand for infinity, small enough that its square is finite.
FARTHEST = 1e140
# Where the map is small beside what it was nearer to 0 (the end of a redescending one) its error is relative to this
# share of that.
FLOOR = 1e-2
# Relative length of an interval that is not halved any more: what is left there is a jump.
SHORTEST = 1e-13
# Knots that a table may have; chosen, not measured: moments of 30000 knots take about a second.
MOST_KNOTS = 30000
# Places of an interval at which the error of its line is read in any case, at no simple fraction.
_INNER = np.array([0.13, 0.31, 0.5, 0.73, 0.89])

ScalarMap = Callable[..., Any]


class Tabulated(NamedTuple):
    """Knots of a map, its values there, and the largest relative error seen between them."""

    residuals: FloatArray
    values: FloatArray
    error: float


def bound_to(psi: ScalarMap, control: float | None) -> Callable[[FloatArray], FloatArray]:
    """Return the map as a checked function of the residuals alone, with the control as its second argument."""
    arguments = () if control is None else (control,)

    def evaluate(r: FloatArray) -> FloatArray:
        try:
            with np.errstate(all="ignore"):
                values = psi(r.copy(), *arguments)
        except Exception as error:
            raise InvalidInput("psi", _expected(arguments), f"{type(error).__name__}: {error}") from error
        if not isinstance(values, np.ndarray) or values.shape != r.shape:
            got = f"shape {values.shape}" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
            raise InvalidInput("psi", _expected(arguments), f"{got} for {r.size} residuals")
        if values.dtype.kind not in "fiu":
            raise InvalidInput("psi", "a function that returns real numbers", f"values of type {values.dtype}")
        if not np.isfinite(values).all():
            raise InvalidInput("psi", "finite values", f"psi({r[~np.isfinite(values)][0]:g}) that is not")
        return values.astype(np.float64)

    return evaluate


def _expected(arguments: tuple[float, ...]) -> str:
    call = "(r, control)" if arguments else "(r)"
    return f"a function of {call} that maps an array of residuals to an array of the same shape"


def takes_control(psi: ScalarMap) -> bool:
    """Whether a function has a second argument without a default."""
    try:
        parameters = inspect.signature(psi).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters) == 2


def tabulate(psi: Callable[[FloatArray], FloatArray]) -> Tabulated:
    """Follow a map by bisection until pieces of lines meet it to TOLERANCE; a jump becomes two equal knots.

    Beyond REACH a map that is constant there is continued so, any other by the line through its values at REACH/2 and
    REACH.

    Parameters
    ----------
    psi : callable
        A checked map, see `bound_to`.

    Returns
    -------
    Tabulated

    Raises
    ------
    InvalidInput
        For a map that is not the same function of each residual at every call, grows faster than linearly, or bends
        too often.
    """
    decades = np.arange(np.log10(SMALLEST) * PER_DECADE, np.log10(REACH) * PER_DECADE + 1) / PER_DECADE
    start = np.concatenate([-(10.0 ** decades[::-1]), [0.0], 10.0**decades])
    _check_pointwise(psi, start)
    _check_growth(psi)
    pieces = _followed(psi, start)
    knots, values = _continued(psi, *_needed(*_with_jumps(psi, pieces)))
    return Tabulated(knots, values, pieces.error)


def _check_pointwise(psi: Callable[[FloatArray], FloatArray], r: FloatArray) -> None:
    values = psi(r)
    if not np.array_equal(values, psi(r)):
        raise InvalidInput("psi", "the same values at every call", "a map that changes from call to call")
    if not np.allclose(psi(r[5::7]), values[5::7], rtol=1e-9, atol=1e-12 * np.abs(values).max()):
        raise InvalidInput("psi", "a map of each residual alone", "values that depend on the other residuals")


def _check_growth(psi: Callable[[FloatArray], FloatArray]) -> None:
    for side in (-1.0, 1.0):
        near, edge, far = psi(side * REACH * np.array([1e-3, 1.0, 1e3]))
        if abs(far) > 2 * (abs(edge) + abs(near)) * 1e3:
            raise InvalidInput("psi", "a map that grows at most linearly", f"psi({side * 1e3 * REACH:g}) = {far:g}")


class _Pieces(NamedTuple):
    """Knots, the short intervals (shape (k, 2)) that no line meets, and the largest relative error on the others."""

    knots: FloatArray
    short: FloatArray
    error: float


def _followed(psi: Callable[[FloatArray], FloatArray], start: FloatArray) -> _Pieces:
    """Halve intervals until lines meet the map or they are short."""
    order = np.argsort(np.abs(start))
    distance, envelope = np.abs(start)[order], np.maximum.accumulate(np.abs(psi(start))[order])
    a, b, knots, short, worst = start[:-1], start[1:], [start], [np.empty((0, 2))], 0.0
    count = PLACES
    while a.size:
        places, count = np.union1d(_INNER, (np.arange(count) + 0.5) / count), count // 2
        inner = a + (b - a) * places[:, None]
        at, left, right = psi(inner.ravel()).reshape(inner.shape), psi(a), psi(b)
        missed = np.abs(at - (left + (right - left) * places[:, None])).max(axis=0)
        nearest = envelope[np.searchsorted(distance, np.minimum(np.abs(a), np.abs(b)), side="right") - 1]
        size = np.max([np.abs(left), np.abs(right), np.abs(at).max(axis=0), FLOOR * nearest], axis=0)
        error = np.divide(missed, size, out=np.zeros_like(size), where=size > 0)
        coarse = error > TOLERANCE
        ended = coarse & (b - a <= SHORTEST * np.maximum(np.maximum(np.abs(a), np.abs(b)), SMALLEST))
        short.append(np.stack([a[ended], b[ended]], axis=1))
        worst = max(worst, float(error[~coarse].max(initial=0.0)))
        coarse &= ~ended
        middle = (a[coarse] + b[coarse]) / 2
        knots.append(middle)
        a, b = np.concatenate([a[coarse], middle]), np.concatenate([middle, b[coarse]])
        if sum(part.size for part in knots) > MOST_KNOTS:
            raise InvalidInput("psi", f"a map that {MOST_KNOTS} pieces of lines follow", "one that bends more often")
    return _Pieces(np.unique(np.concatenate(knots)), np.unique(np.concatenate(short), axis=0), worst)


def _with_jumps(psi: Callable[[FloatArray], FloatArray], pieces: _Pieces) -> tuple[FloatArray, FloatArray]:
    """Knots and values in which a short interval with a jump has become two equal knots.

    A jump is a change that is not small against that over 1e10 times the length; anything else is a steep bend.
    """
    a, b = pieces.short[:, 0], pieces.short[:, 1]
    away = 1e10 * SHORTEST * np.maximum(np.abs(b), SMALLEST)
    around = np.abs(psi(b + away) - psi(b)) + np.abs(psi(a) - psi(a - away))
    jumps = np.abs(psi(b) - psi(a)) > 0.01 * around
    a, b = a[jumps], b[jumps]
    # A point at which the map differs from both sides (sign at 0) ends two of them: one jump, at that point.
    double = a[np.isin(a, b)]
    a, b = a[~np.isin(a, double)], b[~np.isin(b, double)]
    knots = np.setdiff1d(pieces.knots, double)
    values = psi(knots)
    place = b.copy()
    place[np.searchsorted(a, double) - 1] = double
    knots[np.searchsorted(knots, a)], knots[np.searchsorted(knots, b)] = place, place
    return knots, values


def _needed(knots: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Drop the knots on the line through their neighbours; 0 stays, where small residuals are read."""
    while knots.size > 2:
        length = np.diff(knots)
        slope = np.divide(np.diff(values), length, out=np.zeros(length.size), where=length > 0)
        near = np.maximum(np.abs(values[1:-1]), np.abs(values[2:] - values[:-2]))
        spare = np.abs(np.diff(slope)) * np.minimum(length[1:], length[:-1]) <= 1e-13 * near
        spare &= (length[1:] > 0) & (length[:-1] > 0) & (knots[1:-1] != 0)
        # Of a row of spare knots every second one goes at a time.
        first = np.flatnonzero(spare & ~np.append(False, spare[:-1]))
        run = (
            np.arange(spare.size) - first[np.maximum(np.searchsorted(first, np.arange(spare.size), "right") - 1, 0)]
            if first.size
            else 0
        )
        spare &= np.asarray(run) % 2 == 0
        if not spare.any():
            break
        keep = np.concatenate([[True], ~spare, [True]])
        knots, values = knots[keep], values[keep]
    return knots, values


def _continued(
    psi: Callable[[FloatArray], FloatArray], knots: FloatArray, values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Add a knot far out on each side where the map is not constant."""
    largest = float(np.abs(values).max())
    for side in (-1.0, 1.0):
        half, edge, far = psi(side * REACH * np.array([0.5, 1.0, 1e3]))
        slope = (edge - half) / (side * REACH / 2)
        size = abs(edge) + TOLERANCE * largest
        if max(abs(edge - half), abs(far - edge)) <= TOLERANCE * size:
            continue
        reach, place = side * FARTHEST, 0 if side < 0 else knots.size
        knots = np.insert(knots, place, reach)
        values = np.insert(values, place, edge + slope * (reach - side * REACH))
    return knots, values
