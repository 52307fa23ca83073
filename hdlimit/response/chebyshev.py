"""Responses as tables: what is slow to evaluate is tabulated before an integration.

In log v, and where the threshold moves in log c too, by Chebyshev pieces that are halved until they are right between
their nodes. Of a surface over both only those cells are filled that an integration comes to. The kernels that read
tables are in kernels/responses.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import count_table
from hdlimit.errors import NotAvailable
from hdlimit.kernels import responses as kernels

# A table that misses by more is refused instead of used. Chosen, not measured.
LARGEST_ERROR = 1e-5
# Relative errors of a table at one threshold, and of a surface: a sixth of what a curve at rtol = 1e-6 may have.
TABLE_ERROR, SURFACE_ERROR = 1e-9, 5e-7
# Length of a panel in log v, as of a cell, and the shortest cell.
LONGEST, SHORTEST = kernels.CELL, 0.005
# Cells that a surface keeps: 12 MB.
MOST_CELLS = 5000
# Share of sqrt(v) below which thresholds are not tabulated: mu ~ c and nu ~ c^2 hold to its square there.
SMALLEST_THRESHOLD = 1e-9
_DEGREE = kernels.TABLE_DEGREE
_NODES = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
_TO_CHEBYSHEV = np.linalg.inv(np.polynomial.chebyshev.chebvander(_NODES, _DEGREE))
# Places between the Chebyshev nodes of a piece at which its error is measured.
_CHECKS = np.array([-0.985, -0.11, 0.6])
_AT_CHECKS = np.polynomial.chebyshev.chebvander(_CHECKS, _DEGREE)
# Places of a cell in log c at which its error is measured; in log v the same as above.
_ACROSS = np.array([-0.95, 0.17, 0.93])
_POINTS = kernels.SURFACE_POINTS
_IN_THRESHOLD = np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)
_TO_ACROSS = np.linalg.inv(np.polynomial.chebyshev.chebvander(_IN_THRESHOLD, _POINTS - 1))
_AT_ACROSS = np.polynomial.chebyshev.chebvander(_ACROSS, _POINTS - 1)


class Tabulated(Hashable, Protocol):
    """A response that can be tabulated: (mu, nu) at v and c, and their bounds."""

    def __call__(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu)."""

    def largest(self, c: float) -> tuple[float, float]:
        """Return bounds of mu and nu at c, inf where there are none."""


class OverControls(Tabulated, Protocol):
    """One over v and c."""

    def at_controls(self, v: float, c: FloatArray) -> FloatArray:
        """(mu, nu) at v and many c, shape (2, n)."""


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
        pieces.append(fit.T.ravel())
        count_table()
    return Pieces(ends, pieces, worst, at)


@lru_cache(maxsize=16384)
def _panel(response: Tabulated, c: float, k: int, precision: float) -> Pieces:
    """(log mu, log nu) over log v in [k, k + 1] LONGEST at one threshold; kept for all curves of the law and batch.

    Values below 1e-30 of those at the upper end are not resolved.
    """
    ends = edge(k), edge(k + 1)
    units = np.log(np.maximum(response(math.exp(ends[1]), c), 1e-290))
    found = fitted(lambda v: response(v, c), *ends, precision, units)
    for piece in found.coefficients:
        piece[[0, _DEGREE + 1]] += units
    _check(response, found.error, found.at)
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


class Key(NamedTuple):
    """A cell: number k of those of 2^-level of the full length in log v, and so in log c."""

    level: int
    k: int
    level_c: int
    k_c: int

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """Return log v on both sides, log c on both sides."""
        v, c = LONGEST / 2**self.level, LONGEST / 2**self.level_c
        return self.k * v - LONGEST / 2, (self.k + 1) * v - LONGEST / 2, self.k_c * c, (self.k_c + 1) * c

    def halves(self, kind: int) -> tuple[Key, Key]:
        """Return both halves in log v (kind 1) or in log c (kind 2)."""
        if kind == 1:
            first = self._replace(level=self.level + 1, k=2 * self.k)
            return first, first._replace(k=first.k + 1)
        first = self._replace(level_c=self.level_c + 1, k_c=2 * self.k_c)
        return first, first._replace(k_c=first.k_c + 1)


class Surface:
    """(mu, nu) over log v and log c in cells; cells are kept for all curves of the law and batch.

    Parameters
    ----------
    response : OverControls
        What is tabulated.
    square : float
        Squared width of the noise, for a first guess.
    size : int
        B.
    """

    def __init__(self, response: OverControls, square: float, size: int) -> None:
        self.response, self.square, self.size = response, square, size
        self.cells: dict[Key, FloatArray] = {}

    def cell(self, key: Key) -> FloatArray:
        """Return a cell as kernels.surface reads it, without halves.

        Raises: NotAvailable where it is as small as cells may be and misses by more than 1e-5.
        """
        found = self.cells.get(key)
        if found is None:
            if len(self.cells) > MOST_CELLS:
                self.cells.clear()
            found = self.cells[key] = self._fitted(key)
            count_table()
        return found

    def _fitted(self, key: Key) -> FloatArray:
        left, right, low, high = ends = key.ends
        v, y = (left + right + (right - left) * _NODES) / 2, (low + high + (high - low) * _IN_THRESHOLD) / 2
        values = self._values(v, y)
        units = np.log(np.maximum(values.max(axis=(1, 2)), 1e-290))[:, None, None]
        fit = _TO_CHEBYSHEV @ np.log(values / np.exp(units) + kernels.FLOOR) @ _TO_ACROSS.T
        v, y = (left + right + (right - left) * _CHECKS) / 2, (low + high + (high - low) * _ACROSS) / 2
        missed = _AT_CHECKS @ fit @ _AT_ACROSS.T - np.log(self._values(v, y) / np.exp(units) + kernels.FLOOR)
        error, kind = float(np.abs(missed).max()), 0
        if error > SURFACE_ERROR:
            rest = float(np.abs(fit[:, -2:, :]).sum()), float(np.abs(fit[:, :, -2:]).sum())
            long = [length > 2 * SHORTEST for length in (right - left, high - low)]
            kind = 0 if not any(long) else 1 if long[0] and (rest[0] >= rest[1] or not long[1]) else 2
        if kind == 0:
            _check(self.response, error, (left + right) / 2)
        return np.concatenate([[kind], ends, [0, 0], units.ravel(), fit.transpose(0, 2, 1).ravel()])

    def _values(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(mu, nu) at log v = x and log c = y, shape (2, len(x), len(y))."""
        c = np.exp(y)
        return np.maximum(np.stack([self.response.at_controls(math.exp(u), c) for u in x.tolist()], axis=1), 0.0)

    def at(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu) at v > 0 and c > 0, from the cell around them."""
        x, y = math.log(v), math.log(c)
        key = Key(0, math.floor(x / LONGEST + 0.5), 0, math.floor(y / LONGEST))
        while True:
            found = self.cell(key)
            kind = int(found[0])
            if kind == 0:
                mu, nu = kernels.cell(x, y, found, 0)
                return min(math.exp(mu), 1.0), min(math.exp(nu), c * c)
            place, end = (x, 2 * kind) if kind == 1 else (y, 2 * kind)
            key = key.halves(kind)[int(2 * place >= found[end - 1] + found[end])]


class Cells:
    """The cells of a surface around v_range and c_range that are there, as an integration reads them.

    Thresholds below 1e-9 sqrt(low) are not tabulated: there mu ~ c and nu ~ c^2.

    Attributes
    ----------
    parameters : ndarray
        Of kernels.surface, which asks in it for cells that are not there.
    """

    def __init__(self, surface: Surface, panels: range, c_range: tuple[float, float]) -> None:
        least = SMALLEST_THRESHOLD * math.exp(edge(panels.start) / 2)
        self.surface, self.panels, self.c_range = surface, panels, (max(c_range[0], least), max(c_range[1], least))
        first, last = (math.floor(math.log(c) / LONGEST) for c in self.c_range)
        roots = [Key(0, k, 0, m) for k in panels for m in range(first, last + 1)]
        head = [panels.start, len(panels), first, last + 1 - first, surface.square, surface.size]
        todo, parts = list(enumerate(roots, kernels.SURFACE_HEAD)), []
        self.missing, size = [], kernels.SURFACE_HEAD + len(roots)
        starts: list[tuple[int, int]] = []
        while todo:
            place, key = todo.pop()
            found = surface.cells.get(key)
            if found is None:
                self.missing.append((place, key))
                continue
            starts.append((place, size))
            parts.append(found)
            if found[0]:
                todo += [(size + 5 + i, half) for i, half in enumerate(key.halves(int(found[0])))]
            size += found.size
        self.parameters = np.concatenate([head, np.zeros(len(roots)), *parts])
        for place, start in starts:
            self.parameters[place] = start

    def asked(self) -> bool:
        """Fill the cells that were asked for; whether there were any."""
        keys = [key for place, key in self.missing if self.parameters[place] < 0]
        for key in keys:
            self.surface.cell(key)
        return bool(keys)

    def ask_all(self) -> None:
        """Ask for every cell that c_range touches."""
        low, high = (math.log(c) for c in self.c_range)
        for place, key in self.missing:
            if key.ends[2] <= high and key.ends[3] >= low:
                self.parameters[place] = -1.0


def _check(response: Tabulated, error: float, log_v: float) -> None:
    if not error < LARGEST_ERROR:
        raise NotAvailable(f"noise: {response!r} cannot be tabulated: error {error:.0e} at v = {math.exp(log_v):.3g}")


def _spans(low: float, high: float, longest: float) -> list[tuple[float, float]]:
    """Intervals from low to high of at most `longest`, the last first."""
    edges = np.linspace(low, high, max(math.ceil((high - low) / longest), 1) + 1)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))[::-1]
