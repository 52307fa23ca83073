"""Responses over v and a threshold that moves: cells in log v and log c that are filled where somebody comes to.

A cell holds Chebyshev sums. It is filled at nested places, one after another in both directions, until the sum through
those before is right at the next; where their number does not do, it is halved. kernels/responses.py reads cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from hdlimit.core import chebyshev
from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import count_table
from hdlimit.kernels import responses as kernels
from hdlimit.response.tables import LONGEST, Tabulated, check, edge

# Relative error of a cell: a sixth of what a curve at rtol = 1e-6 may have.
SURFACE_ERROR = 5e-7
# Error with the few first places above which all do not do: its logarithm at most doubles with their number.
HOPELESS = 2e-3
# Shortest cell.
SHORTEST = 0.005
# Cells that a surface keeps: 12 MB.
MOST_CELLS = 5000
# Share of sqrt(v) below which thresholds are not tabulated: mu ~ c and nu ~ c^2 hold to its square there.
SMALLEST_THRESHOLD = 1e-9
# Most places of a cell in log v and in log c, and one more in log c, which only tests the sum.
_ROWS, _COLUMNS = kernels.TABLE_DEGREE + 1, kernels.SURFACE_POINTS
# Least places through which a sum may be thought right, and places in log c that are tried before all of them.
_LEAST, _FEW = 4, 9
# Rows that decide on the places in log c: both ends and the middle of log v.
_DECIDING = 3


class OverControls(Tabulated, Protocol):
    """One over v and c."""

    def at_controls(self, v: float, c: FloatArray) -> FloatArray:
        """(mu, nu) at v and many c, shape (2, n)."""


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
        place = nested().places
        v, y = (left + right + (right - left) * place) / 2, (low + high + (high - low) * place) / 2
        units = np.log(np.maximum(self._values(v[:1], y[:1]), 1e-290))

        def logs(rows: slice, columns: slice) -> FloatArray:
            found: FloatArray = np.log(self._values(v[rows], y[columns]) / np.exp(units) + kernels.FLOOR)
            return found

        values, error = _across(logs)
        fails, columns = 2, values.shape[2]
        if error <= SURFACE_ERROR:
            values, missed = _along(lambda n: logs(slice(n, n + 1), slice(columns)), values)
            error, fails = max(error, missed), 1
        kind = 0 if error <= SURFACE_ERROR else _halved(fails, right - left, high - low)
        if kind == 0:
            check(self.response, error, (left + right) / 2)
        fit = np.zeros((2, _COLUMNS, _ROWS))
        fit[:, :columns, : values.shape[1]] = nested().sums(values)
        return np.concatenate([[kind], ends, [0, 0], units.ravel(), fit.ravel()])

    def _values(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(mu, nu) at log v = x and log c = y, shape (2, len(x), len(y))."""
        c = np.exp(y)
        return np.maximum(np.stack([self.response.at_controls(math.exp(u), c) for u in x.tolist()], axis=1), 0.0)

    def _leaf(self, x: float, y: float) -> FloatArray:
        """Return the cell around log v = x and log c = y that is not halved."""
        key = Key(0, math.floor(x / LONGEST + 0.5), 0, math.floor(y / LONGEST))
        while (found := self.cell(key))[0]:
            kind = int(found[0])
            place, end = (x, 2 * kind) if kind == 1 else (y, 2 * kind)
            key = key.halves(kind)[int(2 * place >= found[end - 1] + found[end])]
        return found

    def at(self, v: float, c: float) -> tuple[float, float]:
        """(mu, nu) at v > 0 and c > 0, from the cell around them."""
        x, y = math.log(v), math.log(c)
        mu, nu = kernels.cell(x, y, self._leaf(x, y), 0)
        return min(math.exp(mu), 1.0), min(math.exp(nu), c * c)

    def over(self, v: float, c: FloatArray) -> FloatArray:
        """(mu, nu) at v > 0 and many c > 0 in ascending order, shape (2, n)."""
        x, y, first = math.log(v), np.log(c), 0
        logs = np.empty((2, y.size))
        while first < y.size:
            leaf = self._leaf(x, float(y[first]))
            left, right, low, high = leaf[1:5]
            last = max(int(np.searchsorted(y, high)), first + 1)
            fit = leaf[kernels.CELL_HEAD :].reshape(2, _COLUMNS, _ROWS)
            columns = fit @ np.cos(
                np.arange(_ROWS) * math.acos(min(max((2 * x - left - right) / (right - left), -1.0), 1.0))
            )
            across = (2 * y[first:last] - low - high) / (high - low)
            logs[:, first:last] = np.polynomial.chebyshev.chebval(across, columns.T) + leaf[7:9, None]
            first = last
        return np.minimum(np.exp(logs), np.stack([np.ones(c.size), c * c]))


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


class Nested(NamedTuple):
    """Places in [-1, 1] of which any first ones serve for interpolation.

    Attributes
    ----------
    places : ndarray, shape (n,)
        Leja points: both ends, the middle, then each where the product of the distances to those before is largest.
    fits : list of ndarray
        Number k takes values at the first k places to their k Chebyshev coefficients.
    ahead : list of ndarray
        Number k takes the values at the first k places to the one that they predict at the next.
    """

    places: FloatArray
    fits: list[FloatArray]
    ahead: list[FloatArray]

    def sums(self, values: FloatArray) -> FloatArray:
        """Return the coefficients (., m, n) of values (., n, m) at the first n places in log v and m in log c."""
        along, across = self.fits[values.shape[1]], self.fits[values.shape[2]]
        found: FloatArray = across @ values.transpose(0, 2, 1) @ along.T
        return found


@lru_cache(maxsize=1)
def nested() -> Nested:
    """Return the places of a cell in either direction."""
    found, line = [1.0, -1.0, 0.0], np.linspace(-1.0, 1.0, 2001)
    while len(found) < max(_ROWS, _COLUMNS + 1):
        found.append(float(line[np.abs(np.prod(line[:, None] - found, axis=1)).argmax()]))
    vander = chebyshev.values_at(np.array(found), len(found) - 1)
    fits = [np.asarray(np.linalg.inv(vander[:k, :k]), dtype=np.float64) for k in range(len(found) + 1)]
    ahead = [vander[k, :k] @ fits[k] for k in range(len(found))]
    return Nested(np.array(found), fits, ahead)


def _across(logs: Callable[[slice, slice], FloatArray]) -> tuple[FloatArray, float]:
    """Choose the places in log c by the deciding rows: their values there, and the error at the next place."""
    few, rest = slice(_FEW + 1), slice(_FEW + 1, _COLUMNS + 1)
    values = logs(slice(1), few)
    _, error = _enough(values)
    if error > HOPELESS:
        return values, error
    values = np.concatenate([values, logs(slice(1, _DECIDING), few)], axis=1)
    columns, error = _enough(values)
    if error > SURFACE_ERROR:
        first = np.concatenate([values[:, :1], logs(slice(1), rest)], axis=2)
        _, error = _enough(first)
        if error <= SURFACE_ERROR:
            others = np.concatenate([values[:, 1:], logs(slice(1, _DECIDING), rest)], axis=2)
            values = np.concatenate([first, others], axis=1)
            columns, error = _enough(values)
    return values[:, :, :columns], error


def _enough(values: FloatArray) -> tuple[int, float]:
    """Return how many of the places in log c do, but for the last of them, and the error at the next place."""
    ahead, most = nested().ahead, values.shape[2] - 1
    missed = [np.abs(values[:, :, :k] @ ahead[k] - values[:, :, k]).max() for k in range(_LEAST, most + 1)]
    for k, (before, error) in enumerate(itertools.pairwise(missed), _LEAST + 1):
        # One small error may be luck: the one before has to be small too.
        if error <= SURFACE_ERROR and before <= 10 * SURFACE_ERROR:
            return k, float(error)
    return most, float(max(missed[-2:]))


def _along(row: Callable[[int], FloatArray], values: FloatArray) -> tuple[FloatArray, float]:
    """Add rows to the deciding ones until the sum through them is right at the next, which is added too."""
    error = math.inf
    for n in range(_DECIDING, _ROWS):
        found = row(n)
        error = float(np.abs(np.einsum("r,qrc->qc", nested().ahead[n], values) - found[:, 0]).max())
        values = np.concatenate([values, found], axis=1)
        if error <= SURFACE_ERROR and n >= _LEAST:
            break
    return values, error


def _halved(fails: int, along: float, across: float) -> int:
    """Return in what a cell is halved, 1 for log v, 2 for log c: what fails unless it is short; 0 where both are."""
    long = along > 2 * SHORTEST, across > 2 * SHORTEST
    return fails if long[fails - 1] else (3 - fails) * int(long[2 - fails])
