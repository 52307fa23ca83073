"""Sweeps: the limit of every combination of step sizes, thresholds, batch sizes and noises, on one labelled grid."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray
from hdlimit.core.timegrid import check_horizon, default_times
from hdlimit.core.version import __version__
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, Status
from hdlimit.kernels import esdirk
from hdlimit.kernels import grid as kernels
from hdlimit.limit.stability import stability
from hdlimit.limit.system import Limit, check_types, limit_of
from hdlimit.limit.validity import caveats
from hdlimit.optimizers.base import Optimizer
from hdlimit.plotting.grids import plot_sweep
from hdlimit.prediction.axes import Values, at, at_start, checked_axes, first, labels, plain
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.grid import Column, Grid, solved
from hdlimit.prediction.predict import LOOSEST, TIGHTEST, predict
from hdlimit.problem.covariance import TOLERANCE
from hdlimit.problem.problem import Problem
from hdlimit.response.residual_maps import residual_map
from hdlimit.response.response import MapResponse
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Record):
    """The predicted risk over a grid of parameters.

    problem, optimizer, horizon, rtol: as given, but for the parameters on the axes; names: of the axes; values: of the
    axes (arrays; a tuple of laws for noise, of schedules where one was given); time: shape (T,); risk: one axis for
    each name and time last, inf after the end of a curve; with final=True the risk at the horizon alone, without the
    axis of time, inf where it is not reached; status, end: how and when each curve ended
    ("finished", "unstable", "diverged" or "stopped"), one axis for each name; version: of the package; compress: as
    given.
    """

    table: ClassVar[tuple[str, ...]] = ("time", "risk")
    facts: ClassVar[tuple[str, ...]] = ("rtol", "names")

    problem: Problem
    optimizer: Any
    horizon: float
    rtol: float
    names: tuple[str, ...]
    values: tuple[Values, ...]
    time: FloatArray
    risk: FloatArray
    status: Any
    end: FloatArray
    version: str
    compress: bool | float = True

    def __repr__(self) -> str:
        grid = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        kind = "risks" if self.final else "curves"
        return f"Sweep({grid or 'one point'}: {kind} to t={self.horizon:g}, {self.outcome.sentence})"

    @property
    def axes(self) -> dict[str, Values]:
        """The values on every axis by name, in the order of the axes."""
        return dict(zip(self.names, self.values))

    @property
    def final(self) -> bool:
        """Whether only the risk at the horizon was kept."""
        return self.risk.ndim == len(self.names)

    @property
    def final_risk(self) -> FloatArray:
        """The risk at the last time, one axis for each name."""
        return self.risk if self.final else self.risk[..., -1]

    @property
    def best(self) -> dict[str, Any]:
        """The values at which the risk at the last time is least, by name; `sel(**best)` is that point.

        Raises: NotAvailable where no point reached it.
        """
        if not np.isfinite(self.final_risk).any():
            raise NotAvailable(f"best: {self.outcome.sentence}")
        place = np.unravel_index(int(self.final_risk.argmin()), self.final_risk.shape)
        return {name: plain(values[k]) for (name, values), k in zip(self.axes.items(), place)}

    @cached_property
    def outcome(self) -> Outcome:
        """How the curves ended, in one sentence; for one point that of its curve."""
        if not self.names:
            return self.curve.outcome
        counts = {status: int((self.status == status.value).sum()) for status in Status}
        found = [f"{count} {status.value}" for status, count in counts.items() if count]
        worst = max((status for status, count in counts.items() if count), key=list(Status).index)
        return Outcome(worst, f"{', '.join(found)} of {self.status.size}")

    @cached_property
    def curve(self) -> Curve:
        """predict's curve of a sweep of one point, `sel(...)` of all axes: dense output, spread and the rest.

        Raises: InvalidInput for a sweep that still has axes.
        """
        if self.names:
            raise InvalidInput("curve", f"one point: sel(...) of {', '.join(self.names)} first", repr(self)[:120])
        times = None if self.final else self.time
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return predict(self.problem, self.optimizer, self.horizon, times, self.rtol, self.compress)

    def sel(self, **values: Any) -> Sweep:
        """The part of the sweep at given values of some axes, which it no longer has: sel(lr=0.5, threshold=0.6).

        values: each exactly one of those on its axis. Raises: InvalidInput.
        """
        place: list[Any] = [slice(None)] * len(self.names)
        for name, value in values.items():
            axis = self.names.index(checks.one_of("sel", name, self.names))
            place[axis] = self._position(name, value)
        here = tuple(place)
        problem, optimizer = at(self.problem, self.optimizer, values)
        kept = [k for k, name in enumerate(self.names) if name not in values]
        return replace(
            self, problem=problem, optimizer=optimizer, names=tuple(self.names[k] for k in kept),
            values=tuple(self.values[k] for k in kept), risk=np.asarray(self.risk[here]),
            status=np.asarray(self.status[here]), end=np.asarray(self.end[here]),
        )  # fmt: skip

    def _position(self, name: str, value: Any) -> int:
        for k, one in enumerate(self.axes[name]):
            if type(value) is not bool and one == value:
                return k
        known = ", ".join(repr(plain(one)) for one in self.axes[name])
        expected = f"one of the values on the axis ({known if len(known) < 200 else known[:200] + '...'})"
        raise InvalidInput(name, expected, repr(value)[:120])

    def columns(self) -> dict[str, Any]:
        """The sweep as columns of one length, a row for every point and time: axes, time, risk; laws and schedules as
        their reprs.
        """
        shape = (*self.status.shape, self.time.size)
        table: dict[str, Any] = {}
        for k, (name, values) in enumerate(self.axes.items()):
            shown = labels(values).reshape([-1 if j == k else 1 for j in range(len(shape))])
            table[name] = np.broadcast_to(shown, shape).ravel()
        table["time"] = np.broadcast_to(self.time, shape).ravel()
        return table | {"risk": self.risk.ravel()}

    def to_xarray(self) -> Any:
        """An xarray.Dataset of risk, status and end, with the axes and time as coordinates (laws and schedules
        as their reprs).

        Raises: NotAvailable where xarray is not installed.
        """
        try:
            xarray = import_module("xarray")
        except ImportError:
            raise NotAvailable("to_xarray: xarray is not installed, pip install 'hdlimit[labels]'") from None
        dims = self.names if self.final else (*self.names, "time")
        data = {"risk": (dims, self.risk), "status": (self.names, self.status), "end": (self.names, self.end)}
        coordinates = {name: labels(values) for name, values in self.axes.items()}
        facts = {"problem": repr(self.problem), "optimizer": repr(self.optimizer), "horizon": self.horizon}
        return xarray.Dataset(
            data, coordinates if self.final else {**coordinates, "time": self.time}, {**facts, "version": self.version}
        )

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the sweep: up to one axis, the curves (final: the risk along the axis); two axes of numbers, the risk at
        the last time as filled contours; returns the Axes. Raises: NotAvailable for more axes (sel some first).
        """
        if (self.final or len(self.names) > 1) and any(isinstance(values, tuple) for values in self.values):
            raise NotAvailable(f"plot: needs axes of numbers, or curves along one axis; sel(...) some first: {self!r}")
        return plot_sweep(self, ax, **style)


def sweep(
    problem: Problem,
    optimizer: Optimizer,
    horizon: float,
    *,
    times: Any = None,
    final: bool = False,
    rtol: float = 1e-6,
    compress: bool | float = True,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    **axes: Any,
) -> Sweep:
    """The predicted risk for every combination of parameters: a curve of predict, or its last risk, at every point.

    problem, optimizer: supply what is not swept; horizon, times, rtol, compress: as in predict; final: keep the risk at
    the horizon alone; threads: None for one a core; executor: a concurrent.futures.Executor in place of threads;
    progress: show a progress bar over the points; axes: name=values for any of lr, threshold (numbers, or a list with
    schedules among them), batch_size, noise (laws), or the numeric parameters of the problem's noise law (std, df,
    scale, half_width), in the order of the result's axes. Values are distinct, > 0; a threshold may be inf.

    Returns: a Sweep, the same bits on any number of threads and any executor. Every curve is predict's to rtol.
    Raises: InvalidInput; NoLimit where a point has no limit. Warns: as predict, each sentence once.
    """
    check_types(problem, optimizer)
    horizon, rtol = check_horizon(horizon, problem.dimension), checks.positive("rtol", rtol)
    if not TIGHTEST <= rtol <= LOOSEST:
        raise InvalidInput("rtol", f"a number from {TIGHTEST:g} to {LOOSEST:g}", f"{rtol:g}")
    if final and times is not None:
        raise InvalidInput("times", "None with final=True, which keeps the risk at the horizon alone", "times")
    if threads is not None:
        checks.count("threads", threads)
    if executor is not None and not isinstance(executor, Executor):
        raise InvalidInput("executor", "a concurrent.futures.Executor or None", repr(executor)[:120])
    if threads is not None and executor is not None:
        raise InvalidInput("threads", "None with an executor", f"{threads}")
    grid = default_times(horizon, problem.dimension) if times is None else checks.times("times", times, horizon)
    checked = checked_axes(problem, optimizer, axes)
    points = Points(problem, optimizer, checked)
    for caveat in points.caveats():
        warnings.warn(caveat, stacklevel=2)
    how: Any = {"threads": threads, "executor": executor, "progress": progress}
    return points.sweep(horizon, np.array([horizon]) if final else grid, final, rtol, compress, **how)


class Points:
    """The points of a grid. problem, optimizer: supply what is not swept; axes: checked values by name."""

    def __init__(self, problem: Problem, optimizer: Optimizer, axes: dict[str, Values]) -> None:
        self.problem, self.optimizer, self.axes = problem, optimizer, axes
        self.shape = tuple(len(values) for values in axes.values())

    def sweep(
        self,
        horizon: float,
        times: FloatArray,
        final: bool,
        rtol: float,
        compress: bool | float = True,
        threads: int | None = None,
        executor: Executor | None = None,
        progress: bool = False,
    ) -> Sweep:
        """All curves."""
        columns = list(self.columns(min(TOLERANCE, rtol / 10) if compress is True else compress))
        grid = Grid([column for column, _ in columns], horizon, times, rtol)
        v, reports = solved(grid, threads, executor, progress)
        risk = np.maximum(v, 0.0).reshape(*self.shape, *(() if final else (times.size,))) / 2
        status = self._status(columns, reports, horizon).reshape(self.shape)
        end = reports[:, kernels.END].reshape(self.shape)
        names, values = tuple(self.axes), tuple(self.axes.values())
        return Sweep(
            self.problem, self.optimizer, horizon, rtol, names, values, times, risk, status, end, __version__, compress
        )  # fmt: skip

    def columns(self, compress: bool | float) -> Iterator[tuple[Column, Optimizer]]:
        """The points as columns along numbers lr, with the optimizer of the first of each; compress: as limit_of's."""
        modes = limit_of(*first(self.problem, self.optimizer, self.axes), compress).modes
        flat = np.arange(math.prod(self.shape)).reshape(self.shape)
        lr = None if isinstance(self.axes.get("lr"), tuple) else self.axes.get("lr")
        others = [name for name in self.axes if name != "lr" or lr is None]
        if lr is not None:
            flat = np.moveaxis(flat, list(self.axes).index("lr"), -1)
        for place in product(*(range(len(self.axes[name])) for name in others)):
            values = {name: self.axes[name][k] for name, k in zip(others, place)}
            problem, optimizer = at(self.problem, self.optimizer, values)
            response = MapResponse(residual_map(optimizer), problem.noise, optimizer.batch_size)
            schedules = optimizer.lr_schedule, optimizer.threshold_schedule
            limit = Limit(modes, response, *schedules, 1 / problem.dimension)
            yield Column(limit, lr, np.atleast_1d(flat[place])), optimizer

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

    def caveats(self) -> list[Warning]:
        """What a reader of the predictions must know, each kind once."""
        found: dict[Any, Warning] = {}
        axes = [
            name for name in self.axes if name != "threshold" and (name != "lr" or isinstance(self.axes[name], tuple))
        ]
        axes += ["lr"] if isinstance(self.axes.get("lr"), tuple) else []
        last = {"threshold": max(self.axes["threshold"], key=at_start)} if "threshold" in self.axes else {}
        for values in product(*(self.axes[name] for name in axes)):
            for caveat in caveats(*at(self.problem, self.optimizer, dict(zip(axes, values)) | last)):
                found.setdefault((type(caveat), str(caveat).split()[0]), caveat)
        return list(found.values())
