"""What a study of several dimensions found: slopes of bias and spread, and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.plotting.scaling import plot_scaling
from hdlimit.storage.records import Record
from hdlimit.verification.decay import Slope
from hdlimit.verification.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Expected slope of the bias, and the margin for the next order in 1/D. The margin is chosen, not measured.
BIAS_SLOPE, BIAS_TOLERANCE = -1.0, 0.1


# Expected slope of the spread, and the margin for the next order in 1/D. The margin is chosen, not measured.
SPREAD_SLOPE, SPREAD_TOLERANCE = -0.5, 0.05


@dataclass(frozen=True, eq=False, repr=False)
class ScalingStudy(Record):
    """What a study of several dimensions found.

    Parameters
    ----------
    dimensions : ndarray, shape (k,)
        d.
    size : ndarray, shape (k,)
        D = (tr K)^2/tr(K^2).
    bias, bias_stderr : ndarray, shape (k,)
        (mean - curve)/curve averaged over the 20 test times, signed, and its standard error.
    spread, spread_stderr : ndarray, shape (k,)
        Root mean square over the test times of sd/mean, and its standard error.
    predicted_spread : ndarray, shape (k,)
        The same of the theory of fluctuations, NaN where it has none.
    bias_slope, spread_slope : Slope
        Of log |bias| and log spread against log D.
    confidence : float
        Of the intervals of both slopes.
    false_alarm : float
        The rate at which a correct curve is called inconsistent.
    detectable : float
        The relative error of the curve, the same at every d, that is seen with 95 % power.
    verdict, reason : str
        See `scaling_study`.
    stopped : str
        Why no more runs were added, empty where their number was given.
    reports : tuple of Report
        One a dimension.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(32), hd.Gaussian(0.5))
    >>> study = hd.scaling_study(problem, hd.SGD(lr=0.3), dimensions=[32, 48, 64], horizon=3.0, runs=16)
    >>> study.dimensions, study.runs
    (array([32, 48, 64]), 16)
    """

    table: ClassVar[tuple[str, ...]] = (
        "dimensions",
        "size",
        "bias",
        "bias_stderr",
        "spread",
        "spread_stderr",
        "predicted_spread",
    )
    facts: ClassVar[tuple[str, ...]] = (
        "verdict",
        "reason",
        "detectable",
        "slopes",
        "confidence",
        "false_alarm",
        "stopped",
    )

    dimensions: IntArray
    size: FloatArray
    bias: FloatArray
    bias_stderr: FloatArray
    spread: FloatArray
    spread_stderr: FloatArray
    predicted_spread: FloatArray
    bias_slope: Slope
    spread_slope: Slope
    confidence: float
    false_alarm: float
    detectable: float
    verdict: str
    reason: str
    stopped: str
    reports: tuple[Report, ...]

    @property
    def runs(self) -> int:
        """Number of runs at each dimension."""
        return self.reports[0].runs.runs

    def summary(self) -> str:
        """Return the verdict, the slopes and a table of the dimensions.

        Returns
        -------
        str
            Several lines of text.
        """
        lines = [
            f"{self.verdict}: {self.reason}",
            f"bias slope {self.bias_slope}, at most {BIAS_SLOPE:g} expected; spread slope {self.spread_slope}, "
            f"{SPREAD_SLOPE:g} expected",
            f"intervals of {self.confidence:.2%}; slopes in D = (tr K)^2/tr(K^2); {self.runs} runs at each d",
            f"{'d':>8}{'D':>10}{'bias':>10}{'+-':>9}{'spread':>9}{'+-':>9}{'predicted':>11}",
        ]
        columns = (self.size, self.bias, self.bias_stderr, self.spread, self.spread_stderr, self.predicted_spread)
        for row in zip(self.dimensions, *columns, strict=True):
            d, size, bias, bias_error, spread, spread_error, predicted = row
            theory = "-" if math.isnan(predicted) else f"{predicted:.2%}"
            lines.append(
                f"{d:>8}{size:>10.4g}{bias:>+10.3%}{bias_error:>9.3%}{spread:>9.2%}{spread_error:>9.2%}{theory:>11}"
            )
        return "\n".join([*lines, self.stopped] if self.stopped else lines)

    def __repr__(self) -> str:
        return f"ScalingStudy({self.verdict!r}, bias slope {self.bias_slope}, spread slope {self.spread_slope})"

    @property
    def slopes(self) -> dict[str, list[float]]:
        """Value, low and high of the two slopes, by "bias" and "spread"."""
        named = {"bias": self.bias_slope, "spread": self.spread_slope}
        return {name: [slope.value, slope.low, slope.high] for name, slope in named.items()}

    def parts(self) -> tuple[Any, ...]:
        """Return the results that this one is made of.

        Returns
        -------
        tuple
            The curve and the runs of the largest dimension.
        """
        return self.reports[-1].parts()

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw |bias| and spread against D, log-log, with lines of the expected slopes.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; the current Axes by default.
        **style
            As for the plots of the other results.

        Returns
        -------
        Axes
            Where it was drawn.
        """
        return plot_scaling(self, ax, **style)
