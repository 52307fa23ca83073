"""What a study of several dimensions found: slopes of bias and spread, and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import NotAvailable, VerificationRefused
from hdlimit.plotting.scaling import plot_scaling
from hdlimit.storage.records import Record
from hdlimit.verification.decay import Slope, detectable_constant, positive_slope, signed_slope
from hdlimit.verification.observables import measured
from hdlimit.verification.power import reach
from hdlimit.verification.report import TARGET, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Expected slope of the bias, and the margin for the next order in 1/D. The margin is chosen, not measured.
BIAS_SLOPE, BIAS_TOLERANCE = -1.0, 0.1


# Expected slope of the spread, and the margin for the next order in 1/D. The margin is chosen, not measured.
SPREAD_SLOPE, SPREAD_TOLERANCE = -0.5, 0.05
# Half length of the interval of the spread's slope beyond which the study is inconclusive: half of the slope itself.
WIDEST = 0.25
# Relative spread at the largest d beyond which log spread is not linear in the fluctuations. Chosen, not measured.
LARGEST_SPREAD = 0.3


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
    >>> study = hd.scaling_study(problem, hd.SGD(lr=0.3), horizon=3.0, dimensions=[32, 48, 64], runs=16)
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

    shapes: ClassVar[dict[str, str]] = dict.fromkeys(table, "k")
    ordered: ClassVar[tuple[str, ...]] = ("dimensions",)

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


def relative_moments(report: Report) -> tuple[float, float, float, float]:
    """Return (bias, standard error, spread, standard error) of the runs of a report, relative to curve and mean.

    With u_k the average over the test times of R_k/curve - 1 in run k, and q_k that of (R_k/mean - 1)^2: the mean of
    u_k, and the root of the sum of q_k over runs - 1. Both errors know how the times depend on each other.

    Raises
    ------
    VerificationRefused
        Where the risk is 0 in double precision, or runs do not differ.
    """
    risk = measured(report.runs, np.rint(report.time * report.curve.problem.dimension))
    n = risk.shape[0]
    if not (report.predicted.all() and report.mean.all()):
        raise VerificationRefused("horizon: expected one within which the risk stays above 0 in double precision")
    each = (risk / report.predicted).mean(axis=1) - 1
    square = ((risk / report.mean - 1) ** 2).mean(axis=1) * n / (n - 1)
    spread = math.sqrt(square.mean())
    if spread == 0:
        raise VerificationRefused(f"dimensions: runs at d = {report.curve.problem.dimension} do not differ")
    error = float(square.std(ddof=1)) / math.sqrt(n) / (2 * spread)
    return float(each.mean()), float(each.std(ddof=1)) / math.sqrt(n), spread, error


def predicted_spread(report: Report) -> float:
    """Return the relative spread that the theory of fluctuations gives at the test times, NaN without one."""
    try:
        noise = report.curve.linear_noise
    except NotAvailable:
        return math.nan
    t = np.minimum(report.time, report.curve.end)
    return float(np.sqrt(np.mean((noise.spread(t) / (report.predicted + noise.shift(t))) ** 2)))


def assess(sizes: IntArray, reports: tuple[Report, ...], false_alarm: float) -> ScalingStudy:
    """Make the study of finished runs, without predicted_spread.

    Parameters
    ----------
    sizes : ndarray, shape (k,)
        The dimensions.
    reports : tuple of Report
        One for each of them.
    false_alarm : float
        Rate of this look.

    Returns
    -------
    ScalingStudy
        With its verdict.
    """
    from scipy import stats

    runs = reports[0].runs.runs
    size = np.array([report.curve.problem.covariance.smooth_dimension for report in reports])
    quantile = float(stats.t.ppf(1 - false_alarm / 4, runs - 1))
    mean_seen = reach(quantile, runs - 1)
    unknown = np.full(size.size, math.nan)
    whole = all(np.isfinite(report.mean).all() for report in reports)
    if whole:
        bias, bias_error, spread, spread_error = np.array([relative_moments(report) for report in reports]).T
        bias_slope = signed_slope(size, bias, bias_error, quantile)
        spread_slope = positive_slope(size, spread, spread_error, quantile)
        detectable = detectable_constant(size, bias_error, BIAS_SLOPE + BIAS_TOLERANCE, mean_seen)
    else:
        bias, bias_error, spread, spread_error = (unknown,) * 4
        bias_slope = spread_slope = Slope(math.nan, -math.inf, math.inf)
        detectable = math.inf
    study = ScalingStudy(
        dimensions=sizes,
        size=size,
        bias=bias,
        bias_stderr=bias_error,
        spread=spread,
        spread_stderr=spread_error,
        predicted_spread=unknown,
        bias_slope=bias_slope,
        spread_slope=spread_slope,
        confidence=1 - false_alarm / 2,
        false_alarm=false_alarm,
        detectable=detectable,
        verdict="",
        reason="",
        stopped="",
        reports=reports,
    )
    verdict, reason = _verdict(study)
    return replace(study, verdict=verdict, reason=reason)


def _verdict(study: ScalingStudy) -> tuple[str, str]:
    """Decide the verdict, with its reason."""
    bias, spread = study.bias_slope, study.spread_slope
    if math.isnan(bias.value):
        worst = next(report for report in study.reports if not np.isfinite(report.mean).all())
        return "inconclusive", f"at d = {worst.curve.problem.dimension} {worst.runs.outcome.sentence}"
    if bias.low > BIAS_SLOPE + BIAS_TOLERANCE:
        return "inconsistent", f"the bias of the curve does not vanish like 1/D: slope {bias}"
    if spread.low > SPREAD_SLOPE + SPREAD_TOLERANCE or spread.high < SPREAD_SLOPE - SPREAD_TOLERANCE:
        return "inconsistent", f"the spread of runs does not vanish like 1/sqrt(D): slope {spread}"
    if study.spread[-1] > LARGEST_SPREAD:
        d = study.dimensions[-1]
        return "inconclusive", f"at d = {d} the spread of a run is still {study.spread[-1]:.0%} of the risk"
    if study.detectable > TARGET:
        return "inconclusive", f"only an error of {study.detectable:.1%} of the curve would be seen: use more runs"
    if spread.high - spread.low > 2 * WIDEST:
        return "inconclusive", f"the slope of the spread is known to {(spread.high - spread.low) / 2:.2f} only"
    if bias.resolved:
        return "consistent", "the bias of the curve vanishes like 1/D, the spread of runs like 1/sqrt(D)"
    seen = f"an error of {study.detectable:.1%} of the curve would be seen"
    return "consistent", f"no bias is resolved, though {seen}; the spread of runs vanishes like 1/sqrt(D)"
