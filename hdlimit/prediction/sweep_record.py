"""The risks of a sweep, labelled by its axes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, spelt
from hdlimit.errors import InvalidInput, NotAvailable, Outcome, Status, shown
from hdlimit.optimizers.base import Optimizer
from hdlimit.plotting.grids import plot_sweep
from hdlimit.prediction.axes import OPTIMIZER_AXES, Values, are_axes, at, labels, plain
from hdlimit.prediction.curve import Curve
from hdlimit.prediction.predict import predict
from hdlimit.problem.problem import Problem
from hdlimit.storage.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Relative distance at which a number is that of an axis: the rounding of float32 and of six printed digits.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Record):
    """The predicted risk over a grid of parameters.

    Attributes
    ----------
    problem, optimizer, horizon, rtol, compress
        As given, but for the parameters on the axes.
    names : tuple of str
        Names of the axes.
    values : tuple
        Values on the axes: arrays, or a tuple of laws for noise and of schedules where one was given.
    time : array, shape (T,)
        Times at which the risk is given.
    risk : array
        One axis for each name and time last, inf after the end of a curve; with final=True the risk at the horizon
        alone, without the axis of time, inf where it is not reached.
    status, end : array
        How ("finished", "unstable", "diverged" or "stopped") and when each curve ended, one axis for each name.
    version : str
        Of the package.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(200), hd.Gaussian(std=0.5))
    >>> found = hd.sweep(problem, hd.SGD(lr=1.0), 5.0, lr=[0.2, 0.4], std=[0.1, 0.5])
    >>> found.risk.shape, found.sel(std=0.1).names
    ((2, 2, 201), ('lr',))
    """

    table: ClassVar[tuple[str, ...]] = ("time", "risk")
    facts: ClassVar[tuple[str, ...]] = ("rtol", "names")
    kinds: ClassVar[dict[str, type]] = {"optimizer": Optimizer}
    shapes: ClassVar[dict[str, str]] = {"time": "T"}
    ordered: ClassVar[tuple[str, ...]] = ("time",)

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

    def _misfit(self) -> str | None:
        """Return the name of a field that does not fit the others, None if all do; read from a file they might not."""
        if not len(self.names) == len(self.axes) == len(self.values):
            return "names"
        if not are_axes(self.problem, self.optimizer, self.axes):
            return "values"
        shape = tuple(map(len, self.values))
        if not isinstance(self.status, np.ndarray) or not np.isin(self.status, list(Status)).all():
            return "status"
        if self.risk.shape not in (shape, (*shape, self.time.size)):
            return "risk"
        return next((name for name in ("status", "end") if getattr(self, name).shape != shape), None)

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
    def over_problems(self) -> bool:
        """Whether an axis belongs to the problem: the noise, or a parameter of it."""
        return not set(self.names) <= set(OPTIMIZER_AXES)

    @property
    def best(self) -> dict[str, Any]:
        """The values of lr, threshold and batch_size at which the risk at the last time is least, by name.

        `sel(**best)` is that point. Raises: NotAvailable where no point reached the last time, and while the sweep has
        axes of the problem, over which a least risk means nothing: select a value of each first.
        """
        if self.over_problems:
            own = ", ".join(name for name in self.names if name not in OPTIMIZER_AXES)
            raise NotAvailable(f"best: a least risk over axes of the problem means nothing: sel(...) of {own} first")
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
        """Return predict's curve of a sweep of one point, `sel(...)` of all axes: dense output, spread and the rest.

        Raises: InvalidInput for a sweep that still has axes.
        """
        if self.names:
            raise InvalidInput("curve", f"one point: sel(...) of {', '.join(self.names)} first", shown(self))
        times = None if self.final else self.time
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return predict(self.problem, self.optimizer, self.horizon, times, self.rtol, self.compress)

    def sel(self, **values: Any) -> Sweep:
        """Return the part of the sweep at given values of some axes, which it no longer has.

        Parameters
        ----------
        **values
            name=value, each one of those on its axis; a number is found to 1e-6 of its size.

        Returns
        -------
        Sweep
            With the other axes.

        Raises
        ------
        InvalidInput
            For another name or value.
        """
        place: list[Any] = [slice(None)] * len(self.names)
        for name, value in values.items():
            if name not in self.names:
                raise InvalidInput(name, f"an axis of the sweep: {spelt(name, list(self.names))}", "an unknown name")
            axis = self.names.index(name)
            place[axis] = self._position(name, value)
            values[name] = self.values[axis][place[axis]]
        here = tuple(place)
        problem, optimizer = at(self.problem, self.optimizer, values)
        kept = [k for k, name in enumerate(self.names) if name not in values]
        return replace(
            self, problem=problem, optimizer=optimizer, names=tuple(self.names[k] for k in kept),
            values=tuple(self.values[k] for k in kept), risk=np.asarray(self.risk[here]),
            status=np.asarray(self.status[here]), end=np.asarray(self.end[here]),
        )  # fmt: skip

    def _position(self, name: str, value: Any) -> int:
        held = self.axes[name]
        if isinstance(held, np.ndarray):
            number = value if checks.is_inf(value) else checks.number(name, value)
            with np.errstate(invalid="ignore"):
                off = np.where(held == number, 0.0, np.abs(held - number))
            if (off <= ROUNDING * held).any():
                return int(np.argmin(off))
        for k, one in enumerate(held):
            if type(one) is type(value) and one == value:
                return k
        known = ", ".join(repr(plain(one)) for one in self.axes[name])
        expected = f"one of the values on the axis ({known if len(known) < 200 else known[:200] + '...'})"
        raise InvalidInput(name, expected, shown(value))

    def columns(self) -> dict[str, Any]:
        """Return the sweep as columns of one length, a row for every point and time.

        The columns are the axes, time and risk; laws and schedules are given by their reprs.

        Returns
        -------
        dict of str to array
            The columns by name.
        """
        shape = (*self.status.shape, self.time.size)
        table: dict[str, Any] = {}
        for k, (name, values) in enumerate(self.axes.items()):
            shown = labels(values).reshape([-1 if j == k else 1 for j in range(len(shape))])
            table[name] = np.broadcast_to(shown, shape).ravel()
        table["time"] = np.broadcast_to(self.time, shape).ravel()
        return table | {"risk": self.risk.ravel()}

    def to_xarray(self) -> Any:
        """Return an xarray.Dataset of risk, status and end, with the axes and time as coordinates.

        Returns
        -------
        xarray.Dataset
            Laws and schedules are given by their reprs.

        Raises
        ------
        NotAvailable
            If xarray is not installed.
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
        """Draw the sweep.

        A sweep of up to one axis is drawn as curves, or as the risk along the axis where only final risks are held; one
        of two axes of numbers as filled contours of the risk at the last time.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        **style : Any
            Passed to matplotlib.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.

        Raises
        ------
        NotAvailable
            If there are more axes; select some first with `sel`.
        """
        if (self.final or len(self.names) > 1) and any(isinstance(values, tuple) for values in self.values):
            raise NotAvailable(f"plot: needs axes of numbers, or curves along one axis; sel(...) some first: {self!r}")
        return plot_sweep(self, ax, **style)
