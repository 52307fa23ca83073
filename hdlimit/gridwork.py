"""The limits of many points, in columns that share everything but the step size, over threads.

Columns are cut into blocks of a fixed size, and a block is computed in the same way wherever it is: the number of
threads changes no bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdlimit.declaration import FloatArray, IntArray
from hdlimit.errors import NotAvailable
from hdlimit.feedback import ERROR, Feedback
from hdlimit.integrate import floors, initial_range, settings_of, value_range
from hdlimit.kernels import esdirk
from hdlimit.kernels import sweep as kernels
from hdlimit.limit import Limit
from hdlimit.piecewise import Piecewise, stops, tabulate
from hdlimit.response import Compiled, Response
from hdlimit.tables import LARGEST_ERROR

BLOCK = 32
Range = tuple[float, float]


class AtThreshold(Feedback):
    """A response at one threshold, tabulated panel by panel in log v, in units of what it is at v = unit."""

    def __init__(self, response: Response, c: float, unit: float, error: float) -> None:
        exact = response.below(c)
        mu, nu = (max(x, 1e-290) for x in response(unit, c))

        def relative(v: float) -> tuple[float, float]:
            values = exact(v, c)
            return values[0] / mu, values[1] / nu

        super().__init__(relative, response.noise, response.batch_size, error)
        self.map, self.units = response.map, (math.log(mu), math.log(nu))

    def compiled(self, v_range: Range, c_range: Range) -> Compiled:
        found = super().compiled(v_range, c_range)
        found.parameters[1:3] = self.units
        worst = max(panel.error for panel in list(self._panels.values()))
        if not worst < max(LARGEST_ERROR, 10 * self.error):
            raise NotAvailable(f"noise: {self!r} cannot be tabulated: error {worst:.0e}")
        return found


@dataclass(frozen=True, eq=False)
class Column:
    """Points that differ in a constant lr alone.

    limit: of the first of them; lr: shape (n,), None for one point with the limit's own schedule; index: where the
    points stand on the flat grid, shape (n,).
    """

    limit: Limit
    lr: FloatArray | None
    index: IntArray


@dataclass(frozen=True, eq=False)
class Prepared:
    """A column with all that its blocks share. times: where to report; rtol: of the curves."""

    column: Column
    horizon: float
    times: FloatArray
    rtol: float

    @cached_property
    def threshold(self) -> Piecewise:
        """The threshold as the kernel reads it."""
        return tabulate(self.column.limit.threshold, self.horizon)

    @cached_property
    def lr(self) -> Piecewise:
        """The limit's own step size as the kernel reads it."""
        return tabulate(self.column.limit.lr, self.horizon)

    @cached_property
    def response(self) -> Response:
        """The limit's response, in panels of log v where it has no closed form.

        Their error is rtol/300, so that curves may fall by many powers of e.
        """
        response, (c, largest) = self.column.limit.response, value_range(self.threshold)
        fixed = response.map.table is None and (c == largest or response.map.name == "sign")
        if not fixed or response.is_quick(c):
            return response
        error = max(response.precision, min(self.rtol / 300, ERROR))
        return AtThreshold(response, c, self.column.limit.scale, error)

    @cached_property
    def ends(self) -> FloatArray:
        """Where the integration starts anew."""
        limit = self.column.limit
        return stops((limit.lr, limit.threshold), self.horizon, esdirk.SAFETY * self.rtol)

    @cached_property
    def floor(self) -> FloatArray:
        """v that counts as 0, shape (1,)."""
        return floors(self.column.limit, self.column.limit.modes, self.lr)[:1]

    @cached_property
    def weights(self) -> FloatArray:
        """The weights of v, shape (1, n)."""
        return np.ascontiguousarray(self.column.limit.modes.functionals[:1])

    def block(self, points: IntArray) -> tuple[FloatArray, FloatArray]:
        """v at the times, shape (m, T), and the reports of m points of the column."""
        v, reports = np.zeros((points.size, self.times.size)), np.zeros((points.size, kernels.REPORT))
        if self.column.limit.scale == 0:
            reports[:, [kernels.STATUS, kernels.END]] = esdirk.REACHED, self.horizon
            return v, reports
        some = np.unique([0, points.size // 2, points.size - 1])
        v_range = initial_range(self.column.limit, self.column.limit.modes)
        for todo in (some, np.setdiff1d(np.arange(points.size), some)):
            for _ in range(40):
                if not todo.size:
                    break
                response = self.response.compiled(v_range, value_range(self.threshold))
                v[todo], reports[todo] = self._run(points[todo], response)
                low, high = reports[todo, kernels.LOW], reports[todo, kernels.HIGH]
                outside = (low < response.low) | (high > response.high)
                v_range = min(v_range[0], low.min() / 4), max(v_range[1], high.max() * 4)
                todo = todo[outside]
            if todo.size:
                raise NotAvailable(f"noise: the response would have to be tabulated over v in {v_range}")
        return v, reports

    def _run(self, points: IntArray, response: Compiled) -> tuple[FloatArray, FloatArray]:
        modes, count = self.column.limit.modes, points.size
        v, reports = np.empty((count, self.times.size)), np.empty((count, kernels.REPORT))
        settings = settings_of(self.column.limit, self.rtol)
        lr = self.lr.coefficients[None] if self.column.lr is None else self.column.lr[points, None, None]
        threshold = np.repeat(self.threshold.coefficients[None], count, axis=0)
        kernels.curves(
            modes.rate, modes.diffusion, self.weights, modes.start, self.floor, settings, self.ends, self.lr.breaks,
            lr, self.threshold.breaks, threshold, response.kernel.address, response.parameters, self.times, v, reports,
        )  # fmt: skip
        return v, reports


def solved(
    columns: Sequence[Column],
    horizon: float,
    times: FloatArray,
    rtol: float,
    threads: int | None,
    advance: Callable[[int], object],
) -> tuple[FloatArray, FloatArray]:
    """(v at the times, shape (points, T), inf after the end of a point; reports, shape (points, 5)) of all points.

    threads: None for one a core; advance: is told of finished points. Raises what a point raises.
    """
    size = sum(column.index.size for column in columns)
    v, reports = np.empty((size, times.size)), np.empty((size, kernels.REPORT))

    def work(prepared: Prepared, points: IntArray) -> int:
        index = prepared.column.index[points]
        v[index], reports[index] = prepared.block(points)
        return int(points.size)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        futures = [pool.submit(work, *block) for block in _blocks(columns, horizon, times, rtol)]
        try:
            for future in as_completed(futures):
                advance(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return v, reports


def _blocks(
    columns: Sequence[Column], horizon: float, times: FloatArray, rtol: float
) -> Iterator[tuple[Prepared, IntArray]]:
    for column in columns:
        prepared = Prepared(column, horizon, times, rtol)
        for first in range(0, column.index.size, BLOCK):
            yield prepared, np.arange(first, min(first + BLOCK, column.index.size))
