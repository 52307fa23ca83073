"""Risks over two parameters as contours, and sweeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable
from hdlimit.plotting.figure import axes_of, shown_points, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Risks above this many times the least one are left out of contours, whose 25 levels would show nothing else. Chosen,
# not measured.
_HIGHEST = 1e3
_AXES = {"lr": "step size lr", "threshold": "clip threshold c (residual units)"}


class LandscapeLike(Protocol):
    """The risk over step size and clip threshold."""

    @property
    def lr(self) -> FloatArray: ...  # noqa: D102

    @property
    def threshold(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def horizon(self) -> float: ...  # noqa: D102

    @property
    def best(self) -> Any: ...  # noqa: D102


class SweepLike(Protocol):
    """Predicted risks over a grid of parameters."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def axes(self) -> dict[str, Any]: ...  # noqa: D102

    @property
    def final(self) -> bool: ...  # noqa: D102

    @property
    def final_risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def best(self) -> dict[str, Any]: ...  # noqa: D102

    @property
    def over_problems(self) -> bool: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def horizon(self) -> float: ...  # noqa: D102

    @property
    def optimizer(self) -> Any: ...  # noqa: D102


@styled
def plot_landscape(landscape: LandscapeLike, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the risk over step size and clip threshold as filled contours in log risk, its least point as a cross.

    Thresholds inf and runs that diverge are left out.

    Parameters
    ----------
    landscape : Landscape
        From `hdlimit.tuning.landscape`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    **style
        Passed to `Axes.contourf`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.

    Raises
    ------
    NotAvailable
        If an axis has fewer than two finite values.
    """
    best = landscape.best
    axes = {"lr": landscape.lr, "threshold": landscape.threshold}
    point = {"lr": best.lr, "threshold": best.threshold}
    return _contours(axes, landscape.risk, point, landscape.horizon, ax, style)


def _contours(
    axes: dict[str, FloatArray], risk: FloatArray, best: dict[str, float] | None, horizon: float, ax: Axes | None,
    style: dict[str, Any],
) -> Axes:  # fmt: skip
    """Draw the risk, shape (n, m), over two axes in log risk, and its least point. Values inf are left out."""
    from matplotlib.ticker import LogLocator

    ax = axes_of(ax)
    finite = [np.flatnonzero(np.isfinite(values)) for values in axes.values()]
    order = [kept[np.argsort(values[kept])] for kept, values in zip(finite, axes.values())]
    x, y = (values[kept] for kept, values in zip(order, axes.values()))
    if min(x.size, y.size) < 2:
        raise NotAvailable(f"plot: contours need two finite values or more on each of {' and '.join(axes)}")
    risk = risk[np.ix_(*order)]
    shown = np.where(np.isfinite(risk) & (risk < _HIGHEST * risk.min()), risk, np.nan)
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    levels = np.geomspace(low, high * 1.001, 25) if high > low else None
    drawn = ax.contourf(x, y, shown.T, **{"levels": levels, "cmap": "viridis", "norm": "log", **style})
    if best is not None:
        at = [min(value, values.max()) for value, values in zip(best.values(), (x, y))]
        ax.plot(*at, linestyle="none", marker="x", color="white")
    xlabel, ylabel = (_AXES.get(name, name) for name in axes)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    bar = ax.figure.colorbar(drawn, ax=ax, ticks=LogLocator(subs=(1, 2, 5)), format="%g")
    bar.set_label(f"excess risk R at t = {horizon:g}")
    return ax


@styled
def plot_sweep(sweep: SweepLike, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw a sweep: curves of up to one axis, the risks along one axis, or those over two axes as filled contours.

    Parameters
    ----------
    sweep : Sweep
        From `hdlimit.sweep`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    **style
        Passed to `Axes.plot` or `Axes.contourf`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.

    Raises
    ------
    NotAvailable
        For more axes, and for laws as an axis of risks.
    """
    names, axes, shown = sweep.names, sweep.axes, not sweep.final and len(sweep.names) < 2
    if len(names) > 2 or (not shown and (not names or "noise" in names)):
        raise NotAvailable(f"plot: needs two axes of numbers, or curves along one; sel(...) some first: {sweep!r}")
    if len(names) == 2:
        best = None if sweep.over_problems else sweep.best
        return _contours(axes, sweep.final_risk, best, float(sweep.time[-1]), ax, style)
    ax = axes_of(ax)
    if not shown:
        values, finite = axes[names[0]], np.isfinite(axes[names[0]])
        order = np.flatnonzero(finite)[np.argsort(values[finite])]
        ax.plot(values[order], sweep.risk[order], **{"marker": "o", **style})
        ax.set(xlabel=_AXES.get(names[0], names[0]), ylabel=f"excess risk R at t = {sweep.horizon:g}")
        return ax
    labels = [f"{name}={value}" for name, values in axes.items() for value in values] or [repr(sweep.optimizer)]
    for label, risk in zip(labels, sweep.risk.reshape(-1, sweep.time.size)):
        kept = shown_points(ax, sweep.time, risk)
        ax.plot(sweep.time[kept], risk[kept], **{"label": label, **style})
    ax.legend()
    return ax
