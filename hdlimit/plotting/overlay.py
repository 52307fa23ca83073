"""Several results in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import FloatArray, known_names
from hdlimit.errors import InvalidInput, shown
from hdlimit.plotting.figure import axes_of, shown_points, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_X_AXES = {"t": "time t = steps / d", "steps": "steps", "samples": "samples"}
_NEEDED = "problem", "optimizer", "time", "risk"


class ResultLike(Protocol):
    """Risks at several times."""

    @property
    def problem(self) -> Any: ...  # noqa: D102

    @property
    def optimizer(self) -> Any: ...  # noqa: D102

    @property
    def time(self) -> FloatArray: ...  # noqa: D102

    @property
    def risk(self) -> FloatArray: ...  # noqa: D102


@known_names
def plot(results: Any, band: float | None = 0.8, x: str = "t", *, ax: Axes | None = None) -> Axes:
    """Draw several curves and ensembles in one figure.

    A predicted curve is drawn as a line. Simulated runs are drawn as about 25 markers at their mean, with a band that
    holds the given share of the runs at each time. Results of the same optimizer on the same problem have the same
    colour. Times with a diverged run have no marker.

    Parameters
    ----------
    results : Curve, Ensemble, SdePaths or ExactMean, or a sequence or dict of them
        What to draw. The keys of a dict are the labels of the legend; otherwise a label is the optimizer, followed by
        the covariance and the noise where the results differ in them.
    band : float or None, default 0.8
        Share of the runs inside the band, strictly between 0 and 1: the band reaches from the quantile (1 - band)/2 to
        the quantile (1 + band)/2. None draws no band; a single run has none.
    x : {"t", "steps", "samples"}, default "t"
        Horizontal axis: the time t = k/d, the number of steps k = t d, or the number of samples k B with batch size B.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.

    Raises
    ------
    InvalidInput
        If there is nothing to draw, if a result is neither a curve nor an ensemble, if `band` is not between 0 and 1,
        or if `x` is not one of the three names.

    See Also
    --------
    hdlimit.results.Curve.plot : One curve with the predicted spread of a run.
    hdlimit.results.Ensemble.plot : One ensemble with a band of plus and minus one standard deviation.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5))
    >>> curves = [hd.predict(problem, hd.SGD(lr=lr), horizon=5.0) for lr in (0.2, 0.5)]
    >>> ax = hd.plot(curves, x="samples")
    >>> [line.get_label() for line in ax.lines]
    ['SGD(lr=0.2)', 'SGD(lr=0.5)']
    >>> ax.get_xlabel()
    'samples'
    """
    checks.one_of("x", x, tuple(_X_AXES))
    if band is not None:
        checks.fraction("band", band)
    labels, items = _listed(results)
    ax = axes_of(ax)
    colours: dict[Any, Any] = {}
    for label, result in zip(labels, items):
        look: dict[str, Any] = {"label": label, "color": colours.get((result.problem, result.optimizer))}
        if hasattr(result, "quantile"):
            drawn = _runs(ax, result, band, x, look)
        else:
            shown = shown_points(ax, result.time, result.risk)
            (drawn,) = ax.plot(_along(result, x)[shown], result.risk[shown], **look)
        colours[result.problem, result.optimizer] = drawn.get_color()
    ax.set(xlabel=_X_AXES[x], ylabel="excess risk R")
    ax.legend()
    return ax


def _listed(results: Any) -> tuple[list[str], list[Any]]:
    """Labels and results."""
    if isinstance(results, Mapping):
        labels, items = [str(key) for key in results], list(results.values())
    else:
        labels, items = [], list(results) if isinstance(results, Sequence) else [results]
    expected = "a curve or an ensemble, or a sequence or dict of them"
    if not items:
        raise InvalidInput("results", expected, "nothing")
    for item in items:
        known = all(hasattr(item, name) for name in _NEEDED)
        if not known or (np.ndim(item.risk) != 1 and not hasattr(item, "quantile")):
            raise InvalidInput("results", expected, shown(item))
    return labels or _described(items), items


def _described(items: list[ResultLike]) -> list[str]:
    """Label each result with the optimizer, what differs between the problems, and the number of runs."""
    differs = [name for name in ("covariance", "noise") if len({getattr(item.problem, name) for item in items}) > 1]
    labels = []
    for item in items:
        parts = [repr(item.optimizer), *(repr(getattr(item.problem, name)) for name in differs)]
        if (runs := getattr(item, "runs", None)) is not None:
            parts.append(f"{runs} run{'s' if runs > 1 else ''}")
        labels.append(", ".join(parts))
    return labels


def _along(result: ResultLike, x: str) -> FloatArray:
    """Return the times of a result in the units of the horizontal axis."""
    if x == "t":
        return result.time
    each = result.problem.dimension * (result.optimizer.batch_size if x == "samples" else 1)
    along: FloatArray = result.time * each
    return along


def _runs(ax: Axes, runs: Any, band: float | None, x: str, look: dict[str, Any]) -> Line2D:
    """Markers at the mean of the runs, which are returned, and a band between two quantiles."""
    shown = shown_points(ax, runs.time, runs.mean)
    along, mean = _along(runs, x)[shown], runs.mean[shown]
    some = thinned(ax, along)
    (drawn,) = ax.plot(along[some], mean[some], linestyle="none", marker="o", **look)
    if band is not None and runs.runs > 1:
        low, high = runs.quantile(np.array([1 - band, 1 + band]) / 2)[:, shown]
        ax.fill_between(along, low, high, color=drawn.get_color(), alpha=0.2, linewidth=0)
    return drawn
