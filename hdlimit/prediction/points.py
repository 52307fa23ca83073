"""The points of a sweep as columns along the step size, and their integration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import check_memory
from hdlimit.errors import Status
from hdlimit.kernels import esdirk
from hdlimit.kernels import grid as kernels
from hdlimit.limit.stability import stability
from hdlimit.limit.system import limit_of, limit_on
from hdlimit.limit.validity import caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.prediction.axes import Values, at, at_start, first
from hdlimit.prediction.grid import Column, Grid, solved
from hdlimit.problem.covariance import TOLERANCE
from hdlimit.problem.problem import Problem

# Bytes of a point beside its risks, of a risk at one time, and of a column, while a sweep is solved; measured with
# tracemalloc.
POINT, RISK, COLUMN = 320.0, 32.0, 5300.0


class Solved(NamedTuple):
    """Risks of all points, one axis for each name and time last (but for final risks), and how and when they ended."""

    risk: FloatArray
    status: Any
    end: FloatArray


class Points:
    """The points of a grid. problem, optimizer: supply what is not swept; axes: checked values by name."""

    def __init__(self, problem: Problem, optimizer: Optimizer, axes: dict[str, Values]) -> None:
        self.problem, self.optimizer, self.axes = problem, optimizer, axes
        self.shape = tuple(len(values) for values in axes.values())

    def solve(
        self,
        horizon: float,
        times: FloatArray,
        final: bool,
        rtol: float,
        compress: bool | float = True,
        threads: int | None = None,
        executor: Executor | None = None,
        progress: bool | None = None,
    ) -> Solved:
        """Return the risks of all points, and how and when their curves ended."""
        columns = list(self.columns(min(TOLERANCE, rtol / 10) if compress is True else compress))
        grid = Grid([column for column, _ in columns], horizon, times, rtol)
        v, reports = solved(grid, threads, executor, progress)
        risk = np.maximum(v, 0.0).reshape(*self.shape, *(() if final else (times.size,))) / 2
        status = self._status(columns, reports, horizon).reshape(self.shape)
        end = reports[:, kernels.END].reshape(self.shape)
        return Solved(risk, status, end)

    def check_total(self, argument: str, times: int) -> None:
        """Refuse more points than fit into memory. argument: for the message; times: at which each is kept."""
        size = math.prod(self.shape)
        columns = size // (1 if isinstance(self.axes.get("lr"), tuple) else len(self.axes.get("lr", (1.0,))))
        held = f"{size:.3g} points at {times} time{'s' if times > 1 else ''}"
        check_memory(argument, held, size * (times * RISK + POINT) + columns * COLUMN)

    def columns(self, compress: bool | float) -> Iterator[tuple[Column, Optimizer]]:
        """Yield columns along numbers lr, each with the optimizer of its first point; compress as in limit_of."""
        modes = limit_of(*first(self.problem, self.optimizer, self.axes), compress).modes
        flat = np.arange(math.prod(self.shape)).reshape(self.shape)
        lr = None if isinstance(self.axes.get("lr"), tuple) else self.axes.get("lr")
        others = [name for name in self.axes if name != "lr" or lr is None]
        if lr is not None:
            flat = np.moveaxis(flat, list(self.axes).index("lr"), -1)
        for place in product(*(range(len(self.axes[name])) for name in others)):
            values = {name: self.axes[name][k] for name, k in zip(others, place)}
            problem, optimizer = at(self.problem, self.optimizer, values)
            yield Column(limit_on(modes, problem, optimizer), lr, np.atleast_1d(flat[place])), optimizer

    def _status(self, columns: Sequence[tuple[Column, Optimizer]], reports: FloatArray, horizon: float) -> Any:
        codes = reports[:, kernels.STATUS]
        status = np.full(codes.size, Status.STOPPED.value, dtype="U8")
        status[codes == esdirk.REACHED] = Status.FINISHED.value
        critical: dict[int, float] = {}
        for column, optimizer in columns:
            if column.limit.bounded:
                continue
            size = optimizer.batch_size
            if size not in critical or column.lr is None:
                judged = stability(self.problem, optimizer, horizon)
                critical[size] = judged.critical_lr
            stable = np.array([judged.stable]) if column.lr is None else column.lr < critical[size]
            status[column.index[~stable & (codes[column.index] == esdirk.REACHED)]] = Status.UNSTABLE.value
        status[codes == esdirk.ESCAPED] = Status.DIVERGED.value
        return status

    def caveats(self, horizon: float) -> list[Warning]:
        """Return what a reader of the predictions must know, each kind once."""
        found: dict[Any, Warning] = {}
        axes = [
            name for name in self.axes if name != "threshold" and (name != "lr" or isinstance(self.axes[name], tuple))
        ]
        last = {"threshold": max(self.axes["threshold"], key=at_start)} if "threshold" in self.axes else {}
        modes = limit_of(*first(self.problem, self.optimizer, self.axes)).modes
        for values in product(*(self.axes[name] for name in axes)):
            problem, optimizer = at(self.problem, self.optimizer, dict(zip(axes, values)) | last)
            for caveat in caveats(limit_on(modes, problem, optimizer), problem, horizon):
                found.setdefault((type(caveat), str(caveat).split()[0]), caveat)
        return list(found.values())
