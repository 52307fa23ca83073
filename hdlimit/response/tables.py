"""Responses as tables in log v: what is slow to evaluate is tabulated before an integration.

By Chebyshev pieces that are halved until they are right between their nodes. Where the threshold moves too, surface.py
tabulates over both. The kernels that read tables are in kernels/responses.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import count_table
from hdlimit.errors import NotAvailable
from hdlimit.kernels import responses as kernels

# A table that misses by more is refused instead of used. Chosen, not measured.
LARGEST_ERROR = 1e-5
# Relative error of a table at one threshold.
TABLE_ERROR = 1e-9
# Length of a panel in log v.
LONGEST = kernels.CELL
_DEGREE = kernels.TABLE_DEGREE
_NODES = chebyshev.roots(_DEGREE + 1)
_TO_CHEBYSHEV = chebyshev.from_roots(_DEGREE + 1)
# Places between the Chebyshev nodes of a piece at which its error is measured.
_CHECKS = np.array([-0.985, -0.11, 0.6])
_AT_CHECKS = chebyshev.values_at(_CHECKS, _DEGREE)


class Tabulated(Hashable, Protocol):
    """A response that can be tabulated: (mu, nu) at v and c, and their bounds."""

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu)."""

    def largest(self, c: float) -> tuple[float, float]:
        """Return bounds of mu and nu at c, inf where there are none."""


class Pieces(NamedTuple):
    """(log mu, log nu) over a range of log v.

    ends: left ends of the pieces; coefficients: Chebyshev coefficients of every piece; error: the largest error seen
    between the nodes; at: log v there.
    """

    ends: list[float]
    coefficients: list[FloatArray]
    error: float
    at: float


def fitted(response: Callable[[float], tuple[float, float]], low: float, high: float, precision: float) -> Pieces:
    """Fit (mu, nu) over log v in [low, high] by pieces that are halved until right to `precision`, or 0.04 long.

    Values below 1e-30 of those at the upper end are not resolved.
    """
    units = np.log(np.maximum(response(math.exp(high)), 1e-290))

    def logs(x: FloatArray) -> FloatArray:
        values = np.array([response(math.exp(u)) for u in x]).T / np.exp(units)[:, None]
        result: FloatArray = np.log(np.maximum(values, 0.0) + kernels.FLOOR)
        return result

    ends: list[float] = []
    pieces: list[FloatArray] = []
    worst, at = 0.0, low
    todo = _spans(low, high, LONGEST)
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
        fit[0] += units
        pieces.append(fit.T.ravel())
        count_table()
    return Pieces(ends, pieces, worst, at)


@lru_cache(maxsize=16384)
def _panel(response: Tabulated, c: float, k: int, precision: float) -> Pieces:
    """(log mu, log nu) over log v in [k, k + 1] LONGEST at one threshold; kept for all curves of the law and batch."""
    found = fitted(lambda v: response(v, c), edge(k), edge(k + 1), precision)
    check(response, found.error, found.at)
    return found


def edge(k: int) -> float:
    """Return log v where panel k begins; v = 1, at which many start, is inside a panel."""
    return (k - 0.5) * LONGEST


def panels_over(low: float, high: float) -> range:
    """Return the numbers of the panels in log v that cover v from low to high."""
    first = math.floor(math.log(low) / LONGEST + 0.5)
    return range(first, max(math.ceil(math.log(high) / LONGEST + 0.5), first + 1))


def reach(panels: range) -> tuple[float, float]:
    """Return the least and the largest v of panels."""
    return math.exp(edge(panels.start)), math.exp(edge(panels.stop))


def table(response: Tabulated, c: float, panels: range, precision: float) -> FloatArray:
    """Parameters of kernels.table for panels in log v at one threshold, to a relative error of `precision`.

    Raises: NotAvailable where pieces of 0.04 in log v still miss by more than 1e-5.
    """
    found = [_panel(response, c, k, precision) for k in panels]
    coefficients = np.concatenate([piece for panel in found for piece in panel.coefficients]).reshape(
        -1, 2, _DEGREE + 1
    )
    units = coefficients[-1, :, 0].copy()
    coefficients[:, :, 0] -= units
    ends = [end for panel in found for end in panel.ends]
    head = [len(ends), *units, *response.largest(c)]
    return np.concatenate([head, ends, [edge(panels.stop)], coefficients.ravel()])


def check(response: Tabulated, error: float, log_v: float) -> None:
    """Refuse a table that misses by `error` at log_v: NotAvailable."""
    if not error < LARGEST_ERROR:
        raise NotAvailable(f"noise: {response!r} cannot be tabulated: error {error:.0e} at v = {math.exp(log_v):.3g}")


def _spans(low: float, high: float, longest: float) -> list[tuple[float, float]]:
    """Intervals from low to high of at most `longest`, the last first."""
    edges = np.linspace(low, high, max(math.ceil((high - low) / longest), 1) + 1)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))[::-1]
