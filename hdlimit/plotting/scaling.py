"""Bias and spread against the dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hdlimit.core.declaration import FloatArray
from hdlimit.plotting.figure import axes_of, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class StudyLike(Protocol):
    """Bias and spread at several dimensions."""

    @property
    def size(self) -> FloatArray: ...  # noqa: D102

    @property
    def bias(self) -> FloatArray: ...  # noqa: D102

    @property
    def bias_stderr(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread(self) -> FloatArray: ...  # noqa: D102

    @property
    def spread_stderr(self) -> FloatArray: ...  # noqa: D102

    @property
    def predicted_spread(self) -> FloatArray: ...  # noqa: D102

    @property
    def bias_slope(self) -> Any: ...  # noqa: D102

    @property
    def spread_slope(self) -> Any: ...  # noqa: D102

    @property
    def verdict(self) -> str: ...  # noqa: D102


@styled
def plot_scaling(study: StudyLike, ax: Axes | None = None, **line: Any) -> Axes:
    """Draw |bias| and spread of a scaling study against D, with one standard error and lines of slope -1 and -1/2.

    A bias below its standard error is drawn as an arrow from the error down.

    Parameters
    ----------
    study : ScalingStudy
        From `scaling_study`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new log-log figure if omitted.
    **line
        Passed to `Axes.errorbar`.

    Returns
    -------
    matplotlib.axes.Axes
        The axes with the figure.
    """
    ax = axes_of(ax)
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
