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


BIAS_SLOPE, BIAS_TOLERANCE = -1.0, 0.1


SPREAD_SLOPE, SPREAD_TOLERANCE = -0.5, 0.05


@dataclass(frozen=True, eq=False, repr=False)
class ScalingStudy(Record):
    """What a study of several dimensions found.

    dimensions: d, shape (k,); size: D = (tr K)^2/tr(K^2), shape (k,); bias: (mean - curve)/curve averaged over the 20
    test times, signed, with bias_stderr; spread: root mean square over the test times of sd/mean, with spread_stderr;
    predicted_spread: the same of the theory of fluctuations, NaN where it has none; each of shape (k,). bias_slope,
    spread_slope: of log |bias| and log spread against log D, with intervals of this confidence; false_alarm: the rate
    at which a correct curve is called inconsistent; detectable: the relative error of the curve, the same at every d,
    that is seen with 95 % power; verdict, reason: see scaling_study; stopped: why no more runs were added, empty where
    their number was given; reports: of verify, one a dimension.
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
        """The verdict, the slopes and a table of the dimensions."""
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
        """The curve and the runs of the largest dimension."""
        return self.reports[-1].parts()

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw |bias| and spread against D, log-log, with lines of the expected slopes; returns the Axes."""
        return plot_scaling(self, ax, **style)
