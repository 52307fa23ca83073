"""Responses as tables: what is slow to evaluate is tabulated before an integration.

In log v, and where the threshold moves in log c too, by Chebyshev pieces that are halved until they are right between
their nodes. A kernel that reads a table is in kernels/responses.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.kernels import responses as kernels

# A table that misses by more is refused instead of used. Chosen, not measured.
LARGEST_ERROR = 1e-5
# Share of sqrt(v) below which thresholds are not tabulated: mu ~ c and nu ~ c^2 hold to its square there.
SMALLEST_THRESHOLD = 1e-9
_DEGREE = kernels.TABLE_DEGREE
_NODES = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_TO_CHEBYSHEV = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, _DEGREE))
# Places between the Chebyshev nodes of a piece at which its error is measured.
_CHECKS = np.array([-0.985, -0.6, -0.11, 0.47, 0.993])
_AT_CHECKS = np.polynomial.chebyshev.chebvander(_CHECKS, _DEGREE)
_IN_THRESHOLD = np.cos(np.pi * (np.arange(kernels.SURFACE_POINTS) + 0.5) / kernels.SURFACE_POINTS)


class Tabulated(Hashable, Protocol):
    """A response that can be tabulated: (mu, nu) at v and c, and the relative error that its own evaluation allows."""

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu)."""

    @property
    def precision(self) -> float:
        """Relative error of an evaluation."""


class Pieces(NamedTuple):
    """(log mu, log nu) over a range of log v.

    ends: left ends of the pieces; coefficients: Chebyshev coefficients of every piece; error: the largest error seen
    between the nodes; at: log v there.
    """

    ends: list[float]
    coefficients: list[FloatArray]
    error: float
    at: float


def fitted(
    response: Callable[[float], tuple[float, float]], low: float, high: float, precision: float, units: FloatArray
) -> Pieces:
    """(mu, nu)/exp(units) over log v in [low, high]; pieces are halved until right to `precision`, or 0.04 long."""

    def logs(x: FloatArray) -> FloatArray:
        values = np.array([response(math.exp(u)) for u in x]).T / np.exp(units)[:, None]
        result: FloatArray = np.log(np.maximum(values, 0.0) + kernels.FLOOR)
        return result

    ends: list[float] = []
    pieces: list[FloatArray] = []
    worst, at = 0.0, low
    todo = _spans(low, high, 2.5)
    while todo:
        a, b = todo.pop()
        middle, half = (a + b) / 2, (b - a) / 2
        fit = _TO_CHEBYSHEV @ logs(middle + half * _NODES).T
        error = float(np.abs(_AT_CHECKS @ fit - logs(middle + half * _CHECKS).T).max())
        if error > precision and half > 0.02:
            todo += [(middle, b), (a, middle)]
            continue
        worst, at = (error, middle) if error > worst else (worst, at)
        ends.append(a)
        pieces.append(fit.T.ravel())
    return Pieces(ends, pieces, worst, at)


@lru_cache(maxsize=4096)
def table(response: Tabulated, c: float, low: float, high: float) -> FloatArray:
    """Parameters of kernels.table for v from low to high at one threshold, to the precision of the response.

    Values below 1e-30 of those at v = high are not resolved.

    Raises: NotAvailable where pieces of 0.04 in log v still miss by more than 1e-5.
    """
    units = np.log(np.maximum(response(high, c), 1e-290))
    fit = fitted(lambda v: response(v, c), math.log(low), math.log(high), response.precision, units)
    _check(response, fit.error, fit.at)
    return np.concatenate([[len(fit.ends)], units, fit.ends, [math.log(high)], *fit.coefficients])


@lru_cache(maxsize=16)
def surface(response: Tabulated, smallest: float, largest: float, low: float, high: float) -> FloatArray:
    """Parameters of kernels.surface for v from low to high and thresholds from smallest >= 0 to largest.

    Thresholds below 1e-9 sqrt(low) are not tabulated: there mu ~ c and nu ~ c^2.

    Raises: NotAvailable where pieces of 0.1 in log c still miss by more than 1e-5.
    """
    first = math.log(max(smallest / MARGIN, SMALLEST_THRESHOLD * math.sqrt(low)))
    ends: list[float] = []
    tables: list[FloatArray] = []
    todo = _spans(first, max(math.log(largest * MARGIN), first + 1e-3), 2.5)
    last = todo[0][1]
    while todo:
        a, b = todo.pop()
        points = (a + b) / 2 + (b - a) / 2 * _IN_THRESHOLD
        piece = [table(response, math.exp(y), low, high) for y in points]
        error, where = _surface_error(response, _joined([a], b, piece), (a, b), (math.log(low), math.log(high)))
        if error > max(10 * response.precision, 1e-8) and b - a > 0.1:
            todo += [((a + b) / 2, b), (a, (a + b) / 2)]
            continue
        _check(response, error, where)
        ends.append(a)
        tables += piece
    return _joined(ends, last, tables)


# Factor by which a surface reaches beyond the thresholds asked for. Chosen, not measured.
MARGIN = 1.02


def _surface_error(
    response: Tabulated, parameters: FloatArray, log_c: tuple[float, float], log_v: tuple[float, float]
) -> tuple[float, float]:
    """Find the largest relative error between the thresholds of one piece, and log v there."""
    worst, where = 0.0, log_v[0]
    for share_c in (0.01, 0.31, 0.77):
        c = math.exp(log_c[0] + share_c * (log_c[1] - log_c[0]))
        units = response(math.exp(log_v[1]), c)
        for share_v in (0.0, 0.2, 0.43, 0.7, 1.0):
            x = log_v[0] + share_v * (log_v[1] - log_v[0])
            exact, found = response(math.exp(x), c), kernels.surface(math.exp(x), c, parameters)
            for e, f, unit in zip(exact, found, units, strict=True):
                error = abs(f - e) / (e + kernels.FLOOR * unit + 1e-300)
                worst, where = (error, x) if error > worst else (worst, where)
    return worst, where


def _joined(ends: list[float], last: float, tables: list[FloatArray]) -> FloatArray:
    sizes = [table.size for table in tables]
    header = 2 + len(ends) + len(tables)
    starts = header + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.concatenate([[len(ends)], ends, [last], starts, *tables])


def _check(response: Tabulated, error: float, log_v: float) -> None:
    if not error < max(LARGEST_ERROR, 10 * response.precision):
        raise NotAvailable(f"noise: {response!r} cannot be tabulated: error {error:.0e} at v = {math.exp(log_v):.3g}")


def _spans(low: float, high: float, longest: float) -> list[tuple[float, float]]:
    """Intervals from low to high of at most `longest`, the last first."""
    edges = np.linspace(low, high, max(math.ceil((high - low) / longest), 1) + 1)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))[::-1]
