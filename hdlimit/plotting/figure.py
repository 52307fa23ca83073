"""A figure of risks: the style, the axes, and how it is written to a file."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hdlimit.core.declaration import AnyCallable, FloatArray
from hdlimit.errors import InvalidInput, shown
from hdlimit.storage.files import checked_path, new_file

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

FIGURE_FILES = (".png", ".pdf", ".svg")
_STYLE = Path(__file__).with_name("hdlimit.mplstyle")
# Markers of an ensemble: more of them overlap at the size of a figure. Chosen, not measured.
_MARKERS = 25


def style() -> AbstractContextManager[None]:
    """Return the package's matplotlib style as a context: `with style(): ...`.

    Returns
    -------
    context manager
        rcParams are restored at its end.
    """
    import matplotlib.style

    return matplotlib.style.context(_STYLE)


def label_axes(ax: Axes, log: bool = True) -> Axes:
    """Name the two axes of a risk plot and make them logarithmic.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    log : bool, default True
        Whether to make them logarithmic.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
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

    Parameters
    ----------
    path : str or path-like
        Ends in .png, .pdf or .svg.
    draw : callable
        Called with the Axes.

    Raises
    ------
    InvalidInput
        For another ending or a path that cannot be written.
    """
    from matplotlib.figure import Figure

    target = checked_path(path, FIGURE_FILES)
    with style(), new_file(target) as file:
        figure = Figure()
        draw(label_axes(figure.subplots()))
        figure.savefig(file, format=target.suffix.lower().removeprefix("."))


def new_axes() -> Axes:
    """Return the axes of a new log-log figure of risks."""
    import matplotlib.pyplot as plt

    with style():
        return label_axes(plt.subplots()[1])


def axes_of(ax: Axes | None) -> Axes:
    """Return the axes given, or new ones. Raises InvalidInput for what are no axes."""
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise InvalidInput("ax", "axes of matplotlib, or None", shown(ax))
    return new_axes() if ax is None else ax


def styled(draw: AnyCallable) -> AnyCallable:
    """Answer a keyword that matplotlib does not know with InvalidInput, as a misspelt `ax` is one."""

    @wraps(draw)
    def call(*args: Any, **given: Any) -> Any:
        try:
            with warnings.catch_warnings():  # contours of Matplotlib 3.10 only warn
                warnings.filterwarnings("error", "The following kwargs were not used")
                return draw(*args, **given)
        except (AttributeError, TypeError, UserWarning) as error:
            unknown = re.search(r"(?:unexpected keyword argument|not used by \w+:) '(\w+)'", str(error))
            if unknown is None or unknown[1] not in given:
                raise
            expected = "ax, or a property of what matplotlib draws"
            raise InvalidInput(unknown[1], expected, "an unknown name") from error

    return call  # type: ignore[return-value]


def shown_points(ax: Axes, time: FloatArray, risk: FloatArray) -> Any:
    """Return which points the axes can show; an axis of risks that are all 0 is made linear.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    time, risk : ndarray, shape (T,)
        The points.

    Returns
    -------
    ndarray of bool, shape (T,)
        False for risks that are not finite, negative times, and time 0 on a logarithmic axis.
    """
    if ax.get_yscale() == "log" and not (ax.lines or (risk > 0).any()):
        ax.set_yscale("linear")
    return np.isfinite(risk) & (time > 0 if ax.get_xscale() == "log" else time >= 0)


def thinned(ax: Axes, time: FloatArray) -> Any:
    """Return indices of about 25 times, evenly spread over the axis.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    time : ndarray, shape (T,)
        Increasing times.

    Returns
    -------
    ndarray of int
        The indices.
    """
    if time.size <= _MARKERS:
        return np.arange(time.size)
    spaced = np.geomspace if ax.get_xscale() == "log" else np.linspace
    return np.unique(np.searchsorted(time, spaced(time[0], time[-1], _MARKERS) * (1 - 1e-12)))
