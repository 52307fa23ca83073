"""Risk curves: theory as a line, simulated runs as markers with the band of one run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hdlimit.core.declaration import BoolArray, FloatArray
from hdlimit.errors import NotAvailable, ValidityWarning
from hdlimit.plotting.figure import axes_of, shown_points, styled, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CurveLike(Protocol):
    """A predicted risk curve."""

    @property
    def optimizer(self) -> Any: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread_trusted(self) -> BoolArray: ...  # noqa: D102


class RunsLike(Protocol):
    """Several runs or paths with their mean and spread."""

    @property
    def optimizer(self) -> Any: ...  # noqa: D102

    @property
    def runs(self) -> int: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102

    @property
    def mean(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread(self) -> FloatArray: ...  # noqa: D102


class ReportLike(Protocol):
    """A verification: a curve, runs and a verdict."""

    @property
    def curve(self) -> CurveLike: ...  # noqa: D102

    @property
    def runs(self) -> RunsLike: ...  # noqa: D102

    @property
    def verdict(self) -> str: ...  # noqa: D102


class ExactLike(Protocol):
    """An exact mean."""

    @property
    def problem(self) -> Any: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102


class ComparisonLike(Protocol):
    """Curves of several optimizers."""

    @property
    def entries(self) -> Sequence[Any]: ...  # noqa: D102

    @property
    def best(self) -> Any: ...  # noqa: D102

    @property
    def horizon(self) -> float: ...  # noqa: D102


@styled
def plot_curve(curve: CurveLike, ax: Axes | None = None, *, band: bool = True, **line: Any) -> Axes:
    """Draw a predicted risk curve as a line, with dots at plus and minus the predicted spread of one run.

    A logarithmic time axis starts at the first time > 0.

    Parameters
    ----------
    curve : Curve
        From `predict`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    band : bool, default True
        Whether to draw the dots, which are left out where the spread is not known or above 0.3 of the risk.
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
    ax = axes_of(ax)
    shown = shown_points(ax, curve.time, curve.risk)
    (drawn,) = ax.plot(curve.time[shown], curve.risk[shown], **{"label": repr(curve.optimizer), **line})
    if band and (spread := _trusted_spread(curve)) is not None:
        look: dict[str, Any] = {"color": drawn.get_color(), "linewidth": 1.0, "linestyle": ":", "label": "_spread"}
        for edge in (curve.risk - spread, curve.risk + spread):
            ax.plot(curve.time[shown], edge[shown], **look)
    return ax


def _trusted_spread(curve: CurveLike) -> FloatArray | None:
    """Return the spread, NaN where it is not to be trusted; None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ValidityWarning)
            return np.where(curve.spread_trusted, curve.spread, np.nan)
    except NotAvailable:
        return None


@styled
def plot_ensemble(ensemble: RunsLike, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw the mean of simulated runs as about 25 markers, with a band of plus and minus the spread of one run.

    The band ends at the lowest run where the spread would reach below it. Times with a diverged run are left out.

    Parameters
    ----------
    ensemble : Ensemble or SdePaths
        From `simulate` or `sample_sde`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
    ax = axes_of(ax)
    shown = shown_points(ax, ensemble.time, ensemble.mean)
    time, mean, spread = ensemble.time[shown], ensemble.mean[shown], ensemble.spread[shown]
    label = f"{ensemble.optimizer!r}, {ensemble.runs} run{'s' if ensemble.runs > 1 else ''}"
    some = thinned(ax, time)
    (markers,) = ax.plot(time[some], mean[some], **{"label": label, "linestyle": "none", "marker": "o", **line})
    if ensemble.runs > 1:
        lowest = ensemble.risk[:, shown].min(axis=0)
        bounds = np.maximum(mean - spread, np.minimum(lowest, mean)), mean + spread
        ax.fill_between(time, *bounds, color=markers.get_color(), alpha=0.2, linewidth=0)
    return ax


@styled
def plot_report(report: ReportLike, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw a verification: the predicted line, the runs on top, the verdict as the title.

    Parameters
    ----------
    report : Report
        From `verify`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    **line
        Passed to both plots.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
    ax = axes_of(ax)
    plot_curve(report.curve, ax, **{"label": "predicted, dots: $\\pm$ spread of one run", **line})
    color = ax.lines[-1].get_color()
    plot_ensemble(report.runs, ax, **{"label": f"{report.runs.runs} simulated runs", "color": color, **line})
    ax.set_title(f"{report.curve.optimizer!r}: {report.verdict}")
    ax.legend()
    return ax


def plot_comparison(comparison: ComparisonLike, ax: Axes | None = None) -> Axes:
    """Draw the curves of a comparison, each with its constants, the best one's name as the title.

    Parameters
    ----------
    comparison : Comparison
        From `compare`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
    ax = axes_of(ax)
    for number, entry in enumerate(comparison.entries):
        if entry.curve is not None:
            look: dict[str, Any] = {"color": f"C{number}", "linestyle": ("-", "--", "-.")[number]}
            plot_curve(entry.curve, ax, label=f"{entry.name}, {entry.constants}", **look)
    ax.set_title(f"{comparison.best.name} does best: R = {comparison.best.risk:.3g} at t = {comparison.horizon:g}")
    ax.legend()
    return ax


@styled
def plot_exact(mean: ExactLike, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw an exact mean as a line.

    Parameters
    ----------
    mean : ExactMean
        From `exact_mean`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    **line
        Passed to `Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
    ax = axes_of(ax)
    shown = shown_points(ax, mean.time, mean.risk)
    ax.plot(mean.time[shown], mean.risk[shown], **{"label": f"exact mean, d = {mean.problem.dimension}", **line})
    return ax
