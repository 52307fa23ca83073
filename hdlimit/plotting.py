"""Figures: theory as a line, simulated runs as markers with the band of one run.

matplotlib is imported inside the functions, on first use.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.errors import NotAvailable, ValidityWarning

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from hdlimit.finite_size.exact_mean import ExactMean
    from hdlimit.finite_size.sde import SdePaths
    from hdlimit.prediction.curve import Curve
    from hdlimit.prediction.sweep import Sweep
    from hdlimit.simulation.ensemble import Ensemble
    from hdlimit.tuning.compare import Comparison
    from hdlimit.tuning.landscape import Landscape
    from hdlimit.verification.scaling import ScalingStudy
    from hdlimit.verification.verify import Report

_STYLE = Path(__file__).with_name("hdlimit.mplstyle")
FIGURE_FILES = (".png", ".pdf", ".svg")
_MARKERS = 25
_HIGHEST = 1e3
_AXES = {"lr": "step size lr", "threshold": "clip threshold c (residual units)"}


def style() -> AbstractContextManager[None]:
    """The package's matplotlib style as a context: `with style(): ...` (rcParams are restored at its end)."""
    import matplotlib.style

    return matplotlib.style.context(_STYLE)


def label_axes(ax: Axes, log: bool = True) -> Axes:
    """Name the two axes of a risk plot and make them logarithmic; returns the Axes."""
    if log:
        ax.set(xscale="log", yscale="log")
        _label_plainly(ax.xaxis)
        _label_plainly(ax.yaxis)
    ax.set(xlabel="time t = steps / d", ylabel="excess risk R")
    return ax


def _label_plainly(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers, with 2 and 5 (or all) between the powers of ten on short axes."""

    def label(x: float, position: float) -> str:
        low, high = axis.get_view_interval()
        leading = x / 10 ** math.floor(math.log10(x) + 1e-9)
        spans = math.log10(high / low)
        shown = (1,) if spans > 3 else (1, 2, 5) if spans > 0.7 else range(1, 10)
        return f"{x:g}" if round(leading) in shown else ""

    axis.set_major_formatter(label)
    axis.set_minor_formatter(label)


def write_figure(path: str | PathLike[str], draw: Callable[[Axes], object]) -> None:
    """Draw one log-log risk figure and write it, whole or not at all; no display is needed.

    path: ends in .png, .pdf or .svg; draw: called with the Axes.
    Raises InvalidInput for another ending or a path that cannot be written.
    """
    from matplotlib.figure import Figure

    from hdlimit.storage.files import checked_path, new_file

    target = checked_path(path, FIGURE_FILES)
    with style(), new_file(target) as file:
        figure = Figure()
        draw(label_axes(figure.subplots()))
        figure.savefig(file, format=target.suffix.lower().removeprefix("."))


def plot_curve(curve: Curve, ax: Axes | None = None, *, band: bool = True, **line: Any) -> Axes:
    """Draw a predicted risk curve as a line, with dots at plus and minus the predicted spread of one run.

    curve: from predict; ax: where to draw, None for a new log-log figure; band: whether to draw the dots, which are
    left out where the spread is not known or above 0.3 of the risk; line: passed to Axes.plot. A logarithmic time axis
    starts at the first time > 0. Returns the Axes.
    """
    ax = _new_axes() if ax is None else ax
    shown = _shown(ax, curve.time, curve.risk)
    (drawn,) = ax.plot(curve.time[shown], curve.risk[shown], **{"label": repr(curve.optimizer), **line})
    if band and (spread := _trusted_spread(curve)) is not None:
        look: dict[str, Any] = {"color": drawn.get_color(), "linewidth": 1.0, "linestyle": ":", "label": "_spread"}
        for edge in (curve.risk - spread, curve.risk + spread):
            ax.plot(curve.time[shown], edge[shown], **look)
    return ax


def _trusted_spread(curve: Curve) -> FloatArray | None:
    """The spread, NaN where it is not to be trusted; None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ValidityWarning)
            return np.where(curve.spread_trusted, curve.spread, np.nan)
    except NotAvailable:
        return None


def plot_ensemble(ensemble: Ensemble | SdePaths, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw the mean of simulated runs as about 25 markers, with a band of plus and minus the spread of one run.

    ensemble: from simulate or sample_sde; ax: where to draw, None for a new log-log figure; line: passed to Axes.plot.
    The band ends at the lowest run where the spread would reach below it. Times with a diverged run are left out.
    Returns the Axes.
    """
    ax = _new_axes() if ax is None else ax
    shown = _shown(ax, ensemble.time, ensemble.mean)
    time, mean, spread = ensemble.time[shown], ensemble.mean[shown], ensemble.spread[shown]
    label = f"{ensemble.optimizer!r}, {ensemble.runs} run{'s' if ensemble.runs > 1 else ''}"
    some = _thinned(ax, time)
    (markers,) = ax.plot(time[some], mean[some], **{"label": label, "linestyle": "none", "marker": "o", **line})
    if ensemble.runs > 1:
        lowest = ensemble.risk[:, shown].min(axis=0)
        bounds = np.maximum(mean - spread, np.minimum(lowest, mean)), mean + spread
        ax.fill_between(time, *bounds, color=markers.get_color(), alpha=0.2, linewidth=0)
    return ax


def plot_report(report: Report, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a verification: the predicted line, the runs on top, the verdict as the title.

    report: from verify; ax: where to draw, None for a new log-log figure; line: passed to both plots. Returns the Axes.
    """
    ax = _new_axes() if ax is None else ax
    plot_curve(report.curve, ax, **{"label": "predicted, dots: $\\pm$ spread of one run", **line})
    color = ax.lines[-1].get_color()
    plot_ensemble(report.runs, ax, **{"label": f"{report.runs.runs} simulated runs", "color": color, **line})
    ax.set_title(f"{report.curve.optimizer!r}: {report.verdict}")
    ax.legend()
    return ax


def plot_landscape(landscape: Landscape, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the risk over step size and clip threshold as filled contours in log risk, its least point as a cross.

    landscape: from landscape; ax: where to draw, None for a new figure; style: passed to Axes.contourf. Thresholds inf
    and runs that diverge are left out. Returns the Axes.
    """
    best = landscape.best
    axes = {"lr": landscape.lr, "threshold": landscape.threshold}
    point = {"lr": best.lr, "threshold": best.threshold}
    return _contours(axes, landscape.risk, point, landscape.horizon, ax, style)


def _contours(
    axes: dict[str, FloatArray], risk: FloatArray, best: dict[str, float], horizon: float, ax: Axes | None,
    style: dict[str, Any],
) -> Axes:  # fmt: skip
    """The risk, shape (n, m), over two axes in log risk; best: its least point. Values inf are left out."""
    from matplotlib.ticker import LogLocator

    ax = _new_axes() if ax is None else ax
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
    at = [min(value, values.max()) for value, values in zip(best.values(), (x, y))]
    ax.plot(*at, linestyle="none", marker="x", color="white")
    xlabel, ylabel = (_AXES.get(name, name) for name in axes)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)
    bar = ax.figure.colorbar(drawn, ax=ax, ticks=LogLocator(subs=(1, 2, 5)), format="%g")
    bar.set_label(f"excess risk R at t = {horizon:g}")
    return ax


def plot_sweep(sweep: Sweep, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw a sweep: curves of up to one axis, the risks along one axis, or those over two axes as filled contours.

    sweep: from sweep; ax: where to draw, None for a new figure; style: passed to Axes.plot or Axes.contourf. Returns
    the Axes. Raises: NotAvailable for more axes, and for laws as an axis of risks.
    """
    names, axes, shown = sweep.names, sweep.axes, not sweep.final and len(sweep.names) < 2
    if len(names) > 2 or (not shown and (not names or "noise" in names)):
        raise NotAvailable(f"plot: needs two axes of numbers, or curves along one; sel(...) some first: {sweep!r}")
    if len(names) == 2:
        return _contours(axes, sweep.final_risk, sweep.best, float(sweep.time[-1]), ax, style)
    ax = _new_axes() if ax is None else ax
    if not shown:
        values, finite = axes[names[0]], np.isfinite(axes[names[0]])
        order = np.flatnonzero(finite)[np.argsort(values[finite])]
        ax.plot(values[order], sweep.risk[order], **{"marker": "o", **style})
        ax.set(xlabel=_AXES.get(names[0], names[0]), ylabel=f"excess risk R at t = {sweep.horizon:g}")
        return ax
    labels = [f"{name}={value}" for name, values in axes.items() for value in values] or [repr(sweep.optimizer)]
    for label, risk in zip(labels, sweep.risk.reshape(-1, sweep.time.size)):
        kept = _shown(ax, sweep.time, risk)
        ax.plot(sweep.time[kept], risk[kept], **{"label": label, **style})
    ax.legend()
    return ax


def plot_comparison(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the curves of a comparison, each with its constants, the best one's name as the title.

    comparison: from compare; ax: where to draw, None for a new log-log figure. Returns the Axes.
    """
    ax = _new_axes() if ax is None else ax
    for number, entry in enumerate(comparison.entries):
        if entry.curve is not None:
            look: dict[str, Any] = {"color": f"C{number}", "linestyle": ("-", "--", "-.")[number]}
            plot_curve(entry.curve, ax, label=f"{entry.name}, {entry.constants}", **look)
    ax.set_title(f"{comparison.best.name} does best: R = {comparison.best.risk:.3g} at t = {comparison.horizon:g}")
    ax.legend()
    return ax


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    with style():
        return label_axes(plt.subplots()[1])


def _shown(ax: Axes, time: FloatArray, risk: FloatArray) -> Any:
    """The points that the axes can show; an axis of risks that are all 0 is made linear."""
    if ax.get_yscale() == "log" and not (ax.lines or (risk > 0).any()):
        ax.set_yscale("linear")
    return np.isfinite(risk) & (time > 0 if ax.get_xscale() == "log" else time >= 0)


def _thinned(ax: Axes, time: FloatArray) -> Any:
    """Indices of about 25 times, evenly spread over the axis."""
    if time.size <= _MARKERS:
        return np.arange(time.size)
    spaced = np.geomspace if ax.get_xscale() == "log" else np.linspace
    return np.unique(np.searchsorted(time, spaced(time[0], time[-1], _MARKERS) * (1 - 1e-12)))


def plot_exact(mean: ExactMean, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw an exact mean as a line.

    mean: from exact_mean; ax: where to draw, None for a new log-log figure; line: passed to Axes.plot. Returns the
    Axes.
    """
    ax = _new_axes() if ax is None else ax
    shown = _shown(ax, mean.time, mean.risk)
    ax.plot(mean.time[shown], mean.risk[shown], **{"label": f"exact mean, d = {mean.problem.dimension}", **line})
    return ax


def plot_scaling(study: ScalingStudy, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw |bias| and spread of a scaling study against D, with one standard error and lines of slope -1 and -1/2.

    study: from scaling_study; ax: where to draw, None for a new log-log figure; line: passed to Axes.errorbar. A bias
    below its standard error is drawn as an arrow from the error down. Returns the Axes.
    """
    ax = _new_axes() if ax is None else ax
    lost = np.abs(study.bias) < study.bias_stderr
    bias = np.where(lost, study.bias_stderr, np.abs(study.bias))
    reach = np.where(lost, 0.5 * bias, np.minimum(study.bias_stderr, 0.9 * bias)), np.where(lost, 0, study.bias_stderr)
    look = {"linestyle": "none", "capsize": 3, **line}
    ax.errorbar(
        study.size, bias, reach, uplims=lost, marker="o", color="C0", label=f"|bias|, slope {study.bias_slope}", **look
    )
    ax.errorbar(
        *(study.size, study.spread, study.spread_stderr),
        **{"marker": "s", "color": "C1", "label": f"spread, slope {study.spread_slope}", **look},
    )
    guides = [(study.spread, study.spread_stderr, -0.5, "C1")]
    if study.bias_slope.resolved:
        guides.append((bias, np.where(lost, np.inf, study.bias_stderr), -1.0, "C0"))
    for values, errors, slope, color in guides:
        weight = (values / errors) ** 2
        level = np.exp((weight @ np.log(values / study.size**slope)) / weight.sum())
        ax.plot(study.size, level * study.size**slope, color=color, linestyle=":", label=f"slope {slope:g}")
    if np.isfinite(study.predicted_spread).any():
        ax.plot(study.size, study.predicted_spread, color="C1", linewidth=1, label="spread, predicted")
    ax.set(xlabel="D = (tr K)^2 / tr(K^2)", ylabel="relative to the risk", title=f"scaling study: {study.verdict}")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.35)
    ax.legend(loc="upper right")
    return ax
