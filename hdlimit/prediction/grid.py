"""The limits of many points, in columns that share everything but the step size, over threads or other workers.

What a point is computed with depends on its column alone: neither how the points are cut nor the workers change a bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from hdlimit.core.backend import check_stop
from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import NotAvailable
from hdlimit.execution.parallel import collect
from hdlimit.kernels import esdirk
from hdlimit.kernels import grid as kernels
from hdlimit.limit.integrator import (
    FEW_STEPS,
    MOST_REPEATS,
    MOST_STEPS,
    floors,
    initial_range,
    settings_of,
    value_range,
)
from hdlimit.limit.moments import MomentSystem
from hdlimit.limit.numpy_sweeps import run
from hdlimit.limit.piecewise import Piecewise, stops, tabulate
from hdlimit.limit.system import Limit
from hdlimit.response.closed_loop import ERROR, Feedback
from hdlimit.response.response import Compiled, MapResponse, Response
from hdlimit.response.tables import LARGEST_ERROR, TABLE_ERROR

# Time of a mode and curve, for the number of tasks; a rough figure of one core.
SECONDS = 1e-6
# The time that a point takes beside its modes, in modes; a rough figure of one core.
OVERHEAD = 50
# Seconds between two looks at whether a sweep has ended early: Ctrl-C is answered in two. Chosen, not measured.
BREATH = 0.2
# Factor by which the range of a table of v grows at a time; chosen, not measured.
WIDER = 16.0
Range = tuple[float, float]


class AtThreshold(Feedback):
    """A response at one control, tabulated panel by panel in log v, in units of what it is at v = unit."""

    def __init__(self, response: MapResponse, c: float, unit: float, error: float) -> None:
        exact = response.below(c)
        mu, nu = (max(x, 1e-290) for x in response(unit, c))

        def relative(v: float) -> tuple[float, float]:
            values = exact(v, c)
            return values[0] / mu, values[1] / nu

        super().__init__(relative, response.noise, response.batch_size, error)
        self.response, self.head = response, [math.log(mu), math.log(nu), *response.largest(c)]

    def __repr__(self) -> str:
        return repr(self.response)

    def bounded(self, c: float) -> bool:
        """Whether the residual map is bounded at this control."""
        return self.response.bounded(c)

    def compiled(self, v_range: Range, c_range: Range) -> Compiled:
        """Return the tables that cover v_range; raise NotAvailable where their error is too large."""
        found = super().compiled(v_range, c_range)
        found.parameters[1:5] = self.head
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
    """A column with all that its points share. times: where to report; rtol: of the curves."""

    column: Column
    horizon: float
    times: FloatArray
    rtol: float

    @cached_property
    def limit(self) -> Limit:
        """The limit of the first point, its schedules read up to the horizon."""
        return self.column.limit.explicit(self.horizon)

    @cached_property
    def control(self) -> Piecewise:
        """The control as the kernel reads it."""
        return tabulate(self.limit.control, self.horizon)

    @cached_property
    def lr(self) -> Piecewise:
        """The limit's own step size as the kernel reads it."""
        return tabulate(self.limit.lr, self.horizon)

    @cached_property
    def response(self) -> Response:
        """The limit's response, in panels of log v where it has no closed form.

        Their error is rtol/300, so that curves may fall by many powers of e.
        """
        response, (c, largest) = self.column.limit.response, value_range(self.control)
        if not isinstance(response, MapResponse) or response.map.table is not None:
            return response
        if (c != largest and response.map.controlled) or response.is_quick(c):
            return response
        error = max(TABLE_ERROR, min(self.rtol / 300, ERROR))
        return AtThreshold(response, c, self.column.limit.scale, error)

    @cached_property
    def ends(self) -> FloatArray:
        """Where the integration starts anew."""
        return stops((self.limit.lr, self.limit.control), self.horizon, esdirk.SAFETY * self.rtol)

    @cached_property
    def floor(self) -> FloatArray:
        """Value of v that counts as 0, shape (1,)."""
        return floors(self.column.limit, self.column.limit.modes, self.lr)[:1]

    @cached_property
    def modes(self) -> MomentSystem:
        """The moments, with v as what is read off."""
        return self.column.limit.modes.of_v

    @property
    def at_once(self) -> int:
        """How many points are integrated between two looks at whether the sweep has ended early."""
        return max(1, math.floor(BREATH / point_seconds(self.modes)))

    def points(self, points: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return v at the times, shape (m, T), and the reports of m points of the column."""
        v, reports = np.zeros((points.size, self.times.size)), np.zeros((points.size, kernels.REPORT))
        if self.column.limit.scale == 0:
            reports[:, [kernels.STATUS, kernels.END]] = esdirk.REACHED, self.horizon
            return v, reports
        todo = {initial_range(self.column.limit, self.column.limit.modes): np.arange(points.size)}
        for _ in range(MOST_REPEATS):
            missed: dict[Range, list[int]] = {}
            for v_range, some in todo.items():
                response = self._on(v_range, points, some, v, reports)
                for k in some.tolist():
                    low, high = reports[k, kernels.LOW], reports[k, kernels.HIGH]
                    if low < response.low or high > response.high:
                        missed.setdefault(widened(v_range, low, high), []).append(k)
            if not missed:
                return v, reports
            todo = {v_range: np.array(some) for v_range, some in missed.items()}
        raise NotAvailable(f"noise: the response would have to be tabulated over v in {next(iter(todo))}")

    def _on(self, v_range: Range, points: IntArray, some: IntArray, v: FloatArray, reports: FloatArray) -> Compiled:
        """Integrate some of the points with a response over v_range, which is returned, into v and reports."""
        most = FEW_STEPS + self.ends.size
        for _ in range(MOST_REPEATS):
            response = self.response.compiled(v_range, value_range(self.control))
            most = MOST_STEPS if response.cells is None else most
            for few in np.array_split(some, math.ceil(some.size / self.at_once)):
                check_stop()
                v[few], reports[few] = self._run(points[few], response, most)
            if not response.missed():
                if most == MOST_STEPS or not (reports[some, kernels.STATUS] == esdirk.FULL).any():
                    break
                most = MOST_STEPS
        return response

    def _run(self, points: IntArray, response: Compiled, most: int) -> tuple[FloatArray, FloatArray]:
        modes, count = self.modes, points.size
        v, reports = np.empty((count, self.times.size)), np.empty((count, kernels.REPORT))
        settings = settings_of(self.column.limit, self.rtol)
        settings[esdirk.MOST] = most
        lr = self.lr.coefficients[None] if self.column.lr is None else self.column.lr[points, None, None]
        control = np.repeat(self.control.coefficients[None], count, axis=0)
        arrays = esdirk.Arrays(
            modes.rate, modes.diffusion, modes.functionals, modes.start, self.floor, settings, self.ends,
            self.lr.breaks, lr, self.control.breaks, control,
        )  # fmt: skip
        kernel, block = (kernels.curves, ()) if modes.block is None else (kernels.block_curves, (modes.block,))
        run(kernel, (*arrays, *block), response.kernel, response.parameters, self.times, v, reports)
        return v, reports


def widened(v_range: Range, low: float, high: float) -> Range:
    """Return a range that holds [low/4, 4 high]; ends move by powers of 16, so that points share tables."""
    below, above = (math.log(4 * ratio, WIDER) for ratio in (v_range[0] / low, high / v_range[1]))
    return v_range[0] / WIDER ** max(math.ceil(below), 0), v_range[1] * WIDER ** max(math.ceil(above), 0)


def point_seconds(modes: MomentSystem) -> float:
    """About what a point costs on one core."""
    return SECONDS * (OVERHEAD + modes.size)


@dataclass(frozen=True, eq=False)
class Grid:
    """The work on all points, numbered column by column; it may be sent to other processes."""

    columns: Sequence[Column]
    horizon: float
    times: FloatArray
    rtol: float

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, f.name) for f in fields(self))

    @cached_property
    def prepared(self) -> list[Prepared]:
        """The columns with all that their points share."""
        return [Prepared(column, self.horizon, self.times, self.rtol) for column in self.columns]

    @cached_property
    def starts(self) -> IntArray:
        """The number of the first point of every column, and the number of all."""
        return np.cumsum([0, *(column.index.size for column in self.columns)])

    def __call__(self, numbers: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Return v at the times and the reports, a row for each of these points."""
        points, parts = np.asarray(numbers), []
        column = np.searchsorted(self.starts, points, side="right") - 1
        for k in np.unique(column):
            parts.append(self.prepared[k].points(points[column == k] - self.starts[k]))
        v, reports = (np.concatenate(rows) for rows in zip(*parts))
        return v, reports


def solved(
    grid: Grid, threads: int | None, executor: Executor | None, progress: bool | None
) -> tuple[FloatArray, FloatArray]:
    """Return v at the times and the reports of all points, in the order of their columns' index.

    Parameters
    ----------
    grid : Grid
        The work.
    threads : int or None
        Number of threads; None for one a core.
    executor : concurrent.futures.Executor or None
        In place of threads, as in `hdlimit.execution.parallel.collect`.
    progress : bool or None
        Show a progress bar over the points; None: on a terminal.

    Returns
    -------
    v : array of shape (points, T)
        inf after the end of a point.
    reports : array of shape (points, 5)
        What the kernel reports of every point.

    Raises
    ------
    HdlimitError
        What a point raises.
    """
    size, seconds = int(grid.starts[-1]), point_seconds(grid.columns[0].limit.modes)
    if threads is None or executor is not None:
        v, reports = collect(grid, size, seconds, executor, progress)
    else:
        with ThreadPoolExecutor(threads) as pool:
            v, reports = collect(grid, size, seconds, pool, progress)
    order = np.argsort(np.concatenate([column.index for column in grid.columns]))
    return v[order], reports[order]
