"""How what the limit leaves out decays with the dimension: the bias of the curve like 1/D, the spread like 1/sqrt(D).

Dimensions are compared through D = (tr K)^2/tr(K^2), which is d for K = identity and in proportion to d for Wishart and
Marchenko-Pastur covariances. For power laws it grows more slowly than d, and the decays follow D, not d.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike, fspath
from os.path import isdir
from typing import Any

import numpy as np

from hdlimit.core import checks
from hdlimit.core.declaration import IntArray
from hdlimit.core.seeds import as_int, seed_sequence
from hdlimit.errors import InvalidInput, NotAvailable, VerificationRefused
from hdlimit.limit.system import check_types
from hdlimit.optimizers.base import Optimizer
from hdlimit.problem.problem import Problem
from hdlimit.simulation.ensemble import Ensemble
from hdlimit.verification.decay import Slope, detectable_constant, positive_slope, signed_slope
from hdlimit.verification.dimensions import Case, rescaled
from hdlimit.verification.observables import measured
from hdlimit.verification.report import POWER, TARGET, Report
from hdlimit.verification.scaling_report import BIAS_SLOPE, BIAS_TOLERANCE, SPREAD_SLOPE, SPREAD_TOLERANCE, ScalingStudy
from hdlimit.verification.sequential import extended, plan, until_decided

# Half length of the interval of the spread's slope beyond which the study is inconclusive: half of the slope itself.
WIDEST = 0.25
# Relative spread at the largest d beyond which log spread is not linear in the fluctuations. Chosen, not measured.
LARGEST_SPREAD = 0.3
# Runs below which a standard error of a spread means little. Chosen, not measured.
FEWEST_RUNS = 8


def scaling_study(
    problem: Problem,
    optimizer: Optimizer,
    dimensions: Any,
    horizon: float,
    runs: int = 128,
    seed: Any = 0,
    *,
    max_runs: int | None = None,
    false_alarm: float = 0.01,
    method: str | None = None,
    executor: Executor | None = None,
    progress: bool = False,
    checkpoint: str | PathLike[str] | None = None,
) -> ScalingStudy:
    """Test whether the curve is the limit of the runs: bias vanishing like 1/D, spread of runs like 1/sqrt(D).

    Parameters
    ----------
    problem : Problem
        A named covariance (Wishart without row_scales), no target, start or data rows; its d does not matter.
    optimizer : Optimizer
        As in `predict`, used as it is at every d.
    dimensions : array_like of int, shape (k,)
        At least 3 different integers >= 2.
    horizon : float
        As in `predict`.
    runs : int
        At each d, >= 8.
    seed : int, SeedSequence or Generator
        The runs of a d depend on it and on d.
    max_runs : int, optional
        None for one look, else looks at runs, 2 runs, 4 runs, ..., max_runs until the verdict is decided
        (hdlimit.verification.sequential keeps the rate).
    false_alarm : float
        The rate at which a correct curve is called inconsistent.
    method : str, optional
        As in `simulate`; None for "blocks" where it applies and at most a quarter of the eigenvalues are distinct.
    executor, progress
        As in `simulate`.
    checkpoint : str or path-like, optional
        As in `simulate`, one file a dimension with "-d" and the dimension added to the name.

    Returns
    -------
    ScalingStudy
        Slopes, intervals and a verdict.

    Raises
    ------
    InvalidInput
        For an argument that is not as described.
    VerificationRefused, NoLimit
        As `verify`.

    Warns
    -----
    HdlimitWarning
        As `verify`, except for what a small dimension alone causes.

    Notes
    -----
    The problem is rebuilt at every d and simulated; relative bias and relative spread are averaged over the test times
    of `verify`, run by run, which gives them with standard errors. D = (tr K)^2/tr(K^2). The interval of the spread's
    slope is that of weighted least squares of log spread on log D. The interval of the bias's slope s holds every s for
    which b = a D^s is not rejected against a second term D^s log D, at an exact level also where the bias is lost in
    its errors: then the interval is open, and the slope "not resolved". Both have level false_alarm/2.

    Verdict: "inconsistent" when the whole interval of the bias's slope lies above -0.9, or that of the spread's slope
    has no part in -0.55 to -0.45 (the margins are for the next order in 1/D; a steeper bias is no fault of the curve).
    Otherwise "inconclusive" when runs diverged, the spread at the largest d exceeds 30 % of the risk, an error of 5 %
    of the curve, the same at every d, would not be seen with 95 % power, or the interval of the spread's slope is
    longer than 0.5. Otherwise "consistent".

    References
    ----------
    hdlimit.verification.decay has the statistics.

    Examples
    --------
    >>> import hdlimit as hd
    >>> problem = hd.Problem(hd.Isotropic(32), hd.Gaussian(0.5))
    >>> study = hd.scaling_study(problem, hd.SGD(lr=0.3), dimensions=[32, 48, 64], horizon=3.0, runs=16)
    >>> bool((study.spread > 0).all())
    True
    """
    check_types(problem, optimizer)
    sizes = _dimensions(dimensions)
    planned = plan(checks.count("runs", runs, FEWEST_RUNS), max_runs, checks.fraction("false_alarm", false_alarm))
    sequence = seed_sequence(seed)
    cases = [Case(rescaled(problem, int(d)), optimizer, horizon, method) for d in sizes]
    runs_of: dict[int, Ensemble] = {}

    def look(size: int) -> ScalingStudy:
        for case, d in zip(cases, sizes.tolist(), strict=True):
            if d in runs_of and checkpoint is None:
                runs_of[d] = extended(runs_of[d], size, executor, progress)
            else:
                runs_of[d] = case.simulated(size, _child(sequence, d), executor, progress, _file(checkpoint, d))
        reports = [
            case.judged(each, planned.rate / len(cases)) for case, each in zip(cases, runs_of.values(), strict=True)
        ]
        return assess(sizes, tuple(reports), planned.rate)

    ending = until_decided(planned, look, lambda study: "" if study.verdict == "inconclusive" else study.verdict)
    predicted = np.array([predicted_spread(report) for report in ending.result.reports])
    return replace(
        ending.result,
        false_alarm=planned.false_alarm,
        stopped=ending.sentence,
        predicted_spread=predicted,
    )


def _child(sequence: np.random.SeedSequence, d: int) -> np.random.SeedSequence:
    """Derive the seed of one dimension."""
    return np.random.SeedSequence(as_int(sequence.entropy), spawn_key=(*sequence.spawn_key, d))


def _file(checkpoint: Any, d: int) -> Any:
    """Name the checkpoint of one dimension."""
    if not isinstance(checkpoint, str | PathLike) or not fspath(checkpoint) or isdir(checkpoint):
        return checkpoint  # refused, with the reason, where it is opened
    return f"{fspath(checkpoint)}-d{d}"


def _dimensions(dimensions: Any) -> IntArray:
    """Check the dimensions."""
    expected = "at least 3 different integers >= 2"
    given = checks.array("dimensions", dimensions, 1)
    if (given != np.floor(given)).any() or (given < 2).any() or (given > checks.MOST).any():
        raise InvalidInput("dimensions", expected, repr(given.tolist())[:120])
    sizes = np.unique(given.astype(np.int64))
    if sizes.size != given.size or sizes.size < 3:
        raise InvalidInput("dimensions", expected, repr(given.tolist())[:120])
    return sizes


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
    reach = quantile + float(stats.t.ppf(POWER, runs - 1))
    unknown = np.full(size.size, math.nan)
    whole = all(np.isfinite(report.mean).all() for report in reports)
    if whole:
        bias, bias_error, spread, spread_error = np.array([relative_moments(report) for report in reports]).T
        bias_slope = signed_slope(size, bias, bias_error, quantile)
        spread_slope = positive_slope(size, spread, spread_error, quantile)
        detectable = detectable_constant(size, bias_error, BIAS_SLOPE + BIAS_TOLERANCE, reach)
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
